/*
 * bulkhead migrate: for deployments and for those who write modules. What it does is in
 * store/migration.h; here are words, files and what is printed.
 */
#include "commands_migrate.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "control_wire.h"
#include "module_list.h"
#include "observe/clock.h"
#include "store/migration_text.h"
#include "store_config.h"
#include "json/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_PENDING = 3 };

/* A server that has the data folder keeps it; other instances let go of PostgreSQL's lock. */
#define FOLDER_WAIT (3 * SECOND)

static const char *const state_texts[] = {
	[MIGRATION_APPLIED] = "applied",
	[MIGRATION_PENDING] = "pending",
	[MIGRATION_EDITED] = "edited",
	[MIGRATION_UNKNOWN] = "unknown",
};

/* --- the program's own migrations --------------------------------------------------- */

/* What the commands about the database need. */
struct work {
	const struct config *config;
	struct module_list modules;
	struct migration_source sources[MIGRATION_SOURCES_MAX];
	size_t count;
	struct migration_options options;
};

static void say(void *arg, struct str line)
{
	(void)arg;
	(void)printf("%.*s\n", STR_ARG(line));
	(void)fflush(stdout);
}

/* Errors are told. */
static int open_work(struct work *work, const struct command_line *line)
{
	*work = (struct work){ 0 };
	if (command_load(&work->config) < 0)
		return -ERR_INVALID;

	if (module_list_load(&work->modules, work->config) < 0)
		return (void)command_fail(""), -ERR_INVALID;
	work->count = module_list_migrations(&work->modules, work->sources);
	work->options = migration_options_of(work->config);
	work->options.dry_run = line->options & COMMAND_DRY_RUN;
	work->options.say = say;
	if (!work->options.store.url.len)
		work->options.wait_ns = FOLDER_WAIT;
	return 0;
}

static int close_work(struct work *work, int exit_code)
{
	module_list_done(&work->modules);
	config_free(work->config);
	return exit_code;
}

static bool server_runs(const struct config *config)
{
	const struct control_request request = { .command = S("ping") };
	struct buf out;
	int exit_code, r;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	r = control_call(
		config->data_dir, &request, clock_now_ns() + FOLDER_WAIT, &out, &exit_code);
	buf_done(&out);
	return r == 0;
}

/* Tells the failure, and what to do about it when a server has the file. It cannot migrate in our
 * place: it knows the migrations of its own program only, and those are applied. */
static int fail_migration(const struct work *work, int r, bool up)
{
	struct err err = *err_last();
	bool served =
		r == -ERR_UNAVAILABLE && !work->options.store.url.len && server_runs(work->config);

	(void)err_restore(&err);
	if (served && up && work->config->migrate_on_start)
		(void)err_wrap("start this program in the place of the server (`bulkhead serve "
			       "--replace`), which migrates on the way, or stop it first "
			       "(`bulkhead stop`)");
	else if (served)
		(void)err_wrap("stop the server first (`bulkhead stop`)");
	return command_fail("");
}

static int run_up(const struct command_line *line)
{
	struct work work;
	int exit_code = COMMAND_FAILED, r;

	if (open_work(&work, line) == 0) {
		if (line->count)
			work.options.only = str_from_c(line->operands[0]);
		r = migrate_up(&work.options, work.sources, work.count);
		exit_code = r < 0 ? fail_migration(&work, r, true) : COMMAND_DONE;
	}
	return close_work(&work, exit_code);
}

static int run_down(const struct command_line *line)
{
	struct work work;
	uint64_t steps = 1;
	int exit_code = COMMAND_FAILED, r;

	if (line->count > 1 && (!num_parse_u64(str_from_c(line->operands[1]), &steps) ||
				       steps == 0 || steps > MIGRATIONS_MAX)) {
		(void)fprintf(stderr, "bulkhead: STEPS is a number from 1 to %d\n", MIGRATIONS_MAX);
		return COMMAND_USAGE;
	}
	if (open_work(&work, line) == 0) {
		work.options.only = str_from_c(line->operands[0]);
		r = migrate_down(&work.options, work.sources, work.count, steps);
		exit_code = r < 0 ? fail_migration(&work, r, false) : COMMAND_DONE;
	}
	return close_work(&work, exit_code);
}

/* --- status ------------------------------------------------------------------------------ */

static void print_rows(const struct migration_rows *rows, struct buf *out)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct migration_row *row = &rows->at[i];
		char time[TIME_RFC3339_LEN];

		buf_printf(out, "%-8s %.*s %lld: %.*s", state_texts[row->state],
			STR_ARG(row->module), (long long)row->number, STR_ARG(row->title));
		if (row->applied_us) {
			time_write_rfc3339(time, row->applied_us);
			buf_printf(out, " (%.*s, by %.*s)", (int)sizeof(time), time,
				STR_ARG(row->version));
		}
		buf_byte(out, '\n');
	}
}

static void print_rows_json(const struct migration_rows *rows, struct buf *out)
{
	struct json_writer json;

	json_writer_init(&json, out);
	json_write_object(&json);
	json_write_key(&json, S("migrations"));
	json_write_array(&json);
	for (size_t i = 0; i < rows->count; i++) {
		const struct migration_row *row = &rows->at[i];
		char time[TIME_RFC3339_LEN];

		json_write_object(&json);
		json_write_key(&json, S("module"));
		json_write_string(&json, row->module);
		json_write_key(&json, S("number"));
		json_write_i64(&json, row->number);
		json_write_key(&json, S("title"));
		json_write_string(&json, row->title);
		json_write_key(&json, S("state"));
		json_write_string(&json, str_from_c(state_texts[row->state]));
		if (row->applied_us) {
			time_write_rfc3339(time, row->applied_us);
			json_write_key(&json, S("appliedAt"));
			json_write_string(&json, str_of(time, sizeof(time)));
			json_write_key(&json, S("version"));
			json_write_string(&json, row->version);
		}
		json_write_object_end(&json);
	}
	json_write_array_end(&json);
	json_write_object_end(&json);
	if (json_writer_done(&json) < 0)
		out->failed = -(int)err_last()->code;
	buf_byte(out, '\n');
}

static int exit_code_of(const struct migration_rows *rows)
{
	int exit_code = COMMAND_DONE;

	for (size_t i = 0; i < rows->count; i++)
		if (rows->at[i].state == MIGRATION_EDITED)
			return COMMAND_FAILED;
		else if (rows->at[i].state == MIGRATION_PENDING)
			exit_code = EXIT_PENDING;
	return exit_code;
}

static int run_status(const struct command_line *line)
{
	struct migration_rows rows;
	struct arena arena;
	struct work work;
	struct buf out;
	int exit_code = COMMAND_FAILED;

	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (open_work(&work, line) == 0) {
		if (migrate_status(&work.options, work.sources, work.count, &arena, &rows) < 0) {
			(void)command_fail("");
		} else {
			if (line->options & COMMAND_JSON)
				print_rows_json(&rows, &out);
			else
				print_rows(&rows, &out);
			exit_code = command_print(&out, exit_code_of(&rows));
		}
	}
	arena_done(&arena);
	return close_work(&work, exit_code);
}

/* --- files --------------------------------------------------------------------------------- */

/* "notes" of "src/modules/notes/notes.sql"; empty when it is no name of a module. */
static struct str module_of(const char *path)
{
	struct str name = str_from_c(path), rest = name;

	while (rest.at)
		name = str_cut(&rest, '/');
	if (str_ends(name, S(".sql")))
		name.len -= 4;
	return migration_module_is_sound(name) ? name : str_of(NULL, 0);
}

/* The name of the module that a file is of, NUL behind it. */
static int name_module(const char *path, char ret[MIGRATION_NAME_MAX + 1])
{
	struct str module = module_of(path);

	if (module.len == 0)
		return fail(ERR_INVALID, "%s: the name of the file is not MODULE.sql (a-z, 0-9, -)",
			path);
	memcpy(ret, module.at, module.len);
	ret[module.len] = '\0';
	return 0;
}

/* Reads a file into the buffer, a NUL behind it. -ERR_NOT_FOUND when there is none. */
static int read_text(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;

	if (fd < 0)
		return fail(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path,
			err_errno_text(errno));
	while (buf_room(out, 4096) && (got = read(fd, out->at + out->len, 4096)) > 0)
		out->len += (size_t)got;
	(void)close(fd);
	if (got < 0)
		return fail(ERR_IO, "cannot read %s: %s", path, err_errno_text(errno));
	if (out->failed)
		return fail(ERR_TOO_LARGE, "%s is longer than %d bytes", path, MIGRATION_TEXT_MAX);
	if (out->len && memchr(out->at, '\0', out->len))
		return fail(ERR_INVALID, "%s is no text", path);
	buf_byte(out, '\0');
	return out->failed;
}

/* --- lint ------------------------------------------------------------------------------------- */

static int lint_file(const char *path, struct buf *out)
{
	char name[MIGRATION_NAME_MAX + 1];
	struct str module = module_of(path);
	struct buf text;
	int r;

	if (module.len == 0)
		return fail(ERR_INVALID, "%s: the name of the file is not MODULE.sql (a-z, 0-9, -)",
			path);
	memcpy(name, module.at, module.len);
	name[module.len] = '\0';
	buf_init(&text, MIGRATION_TEXT_MAX + 2 * 4096);
	r = read_text(path, &text);
	if (r == 0)
		r = migration_lint(&(struct migration_source){ name, text.at }, out);
	buf_done(&text);
	return r;
}

static int lint_program(const struct command_line *line, struct buf *out)
{
	struct work work;
	int r = open_work(&work, line), count = 0;

	if (r < 0)
		return (void)close_work(&work, 0), r;
	for (size_t i = 0; i < work.count && r >= 0; i++) {
		r = migration_lint(&work.sources[i], out);
		count += MAX(r, 0);
	}
	if (r < 0)
		(void)command_fail("");
	(void)close_work(&work, 0);
	return r < 0 ? r : count;
}

static int run_lint(const struct command_line *line)
{
	struct buf out;
	int count = 0, r = 0;

	buf_init(&out, COMMAND_OUTPUT_MAX);
	if (line->count == 0)
		r = count = lint_program(line, &out);
	for (size_t i = 0; i < line->count; i++) {
		r = lint_file(line->operands[i], &out);
		if (r < 0)
			(void)command_fail("");
		if (r < 0)
			break;
		count += r;
	}
	if (r < 0) {
		buf_done(&out);
		return COMMAND_FAILED;
	}
	if (count == 0)
		buf_append(&out, S("no mistakes\n"));
	return command_print(&out, count ? COMMAND_FAILED : COMMAND_DONE);
}

/* --- create
 * --------------------------------------------------------------------------------------- */

/* "notes" is src/modules/notes/notes.sql; what has a slash or ends with .sql is a path. */
static int path_of(const char *operand, char *path, size_t size)
{
	struct str text = str_from_c(operand), module = module_of(operand);
	bool is_path = str_find_byte(text, '/') >= 0 || str_ends(text, S(".sql"));
	int len = snprintf(path, size, is_path ? "%s" : "src/modules/%s/%s.sql", operand, operand);

	if (module.len == 0 || len < 0 || (size_t)len >= size)
		return fail(ERR_INVALID, "%s is neither a module (a-z, 0-9, -) nor MODULE.sql",
			operand);
	return 0;
}

/* The words of the title with blanks between them. */
static int write_title(const struct command_line *line, struct buf *out)
{
	for (size_t i = 1; i < line->count; i++) {
		buf_append(out, i > 1 ? S(" ") : S(""));
		buf_append(out, str_from_c(line->operands[i]));
	}
	for (size_t i = 0; i < out->len; i++)
		if ((unsigned char)out->at[i] < ' ' || out->at[i] == 0x7f)
			return fail(ERR_INVALID, "a title is one line");
	if (out->failed || str_trim(buf_str(out)).len == 0 || !utf8_valid(buf_str(out)))
		return fail(ERR_INVALID, "a title has 1 to %d bytes of UTF-8", MIGRATION_TITLE_MAX);
	return 0;
}

/* How many migrations the text has. */
static int count_migrations(const char *path, const char *text, size_t *ret)
{
	char name[MIGRATION_NAME_MAX + 1];
	struct migration_source source = { name, text };
	struct migrations migrations;
	struct arena arena;
	int r = name_module(path, name);

	if (r < 0)
		return r;
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	r = migration_parse(&arena, &source, ENGINE_SQLITE, &migrations);
	if (r == 0)
		*ret = migrations.count;
	arena_done(&arena);
	return r;
}

static int append(const char *path, struct str text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	ssize_t written = fd < 0 ? -1 : write(fd, text.at, text.len);
	int r = written == (ssize_t)text.len
			? 0
			: fail(ERR_IO, "cannot write %s: %s", path, err_errno_text(errno));

	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int create(const struct command_line *line, const char *path, struct buf *text,
	struct buf *title, size_t *ret_number)
{
	struct buf section;
	size_t count = 0;
	int r = write_title(line, title);

	if (r == 0)
		r = read_text(path, text);
	if (r == -ERR_NOT_FOUND)
		r = 0;
	else if (r == 0)
		r = count_migrations(path, text->at, &count);
	if (r < 0)
		return r;
	if (count >= MIGRATIONS_MAX)
		return fail(ERR_FULL, "%s has %d migrations already", path, MIGRATIONS_MAX);

	buf_init(&section, 1024);
	if (text->len > 1)
		buf_append(&section, text->at[text->len - 2] == '\n' ? S("\n") : S("\n\n"));
	buf_printf(&section, "-- up %zu: %.*s\n\n-- down %zu\n", count + 1,
		STR_ARG(str_trim(buf_str(title))), count + 1);
	r = section.failed ? section.failed : append(path, buf_str(&section));
	buf_done(&section);
	*ret_number = count + 1;
	return r;
}

static int run_create(const struct command_line *line)
{
	struct buf text, title;
	char path[PATH_MAX];
	size_t number = 0;
	int r;

	buf_init(&text, MIGRATION_TEXT_MAX + 2 * 4096);
	buf_init(&title, MIGRATION_TITLE_MAX);
	r = path_of(line->operands[0], path, sizeof(path));
	if (r == 0)
		r = create(line, path, &text, &title, &number);
	buf_done(&title);
	buf_done(&text);
	if (r < 0)
		return command_fail("");
	(void)printf("%s: up %zu and down %zu\n", path, number, number);
	return COMMAND_DONE;
}

/* --- the table
 * --------------------------------------------------------------------------------------- */

static const struct command commands[] = {
	{ "migrate", "up", "[MODULE]", 0, 1, COMMAND_DRY_RUN, "Bring the database up to date.",
		"Applies what is pending, in the order of the modules, and sets up what keeps "
		"tenants\napart. DATABASE_OWNER_URL is used when it is given. A SQLite file is "
		"copied to\nDATA_DIR/backups first; no server may have it.",
		run_up },
	{ "migrate", "down", "MODULE [STEPS]", 1, 2, COMMAND_DRY_RUN,
		"Undo the last migrations of a module.", "STEPS is how many; one by default.",
		run_down },
	{ "migrate", "status", NULL, 0, 0, COMMAND_JSON,
		"List what is applied and what is pending.",
		"Exit codes: 0 all is applied, 1 failed, or a migration was edited after it was "
		"applied,\n2 used wrongly, 3 something is pending.",
		run_status },
	{ "migrate", "create", "MODULE TITLE", 2, 32, 0, "Add a migration to the text of a module.",
		"Writes the next numbered sections to src/modules/MODULE/MODULE.sql. MODULE may "
		"also be\nthe path of a file MODULE.sql.",
		run_create },
	{ "migrate", "lint", "[FILE...]", 0, 1000, 0, "Look for mistakes and unsafe changes.",
		"Without files: in the migrations of this program and of MODULES. Exit code 1 when "
		"there\nare some.",
		run_lint },
};

const struct command_family migrate_commands = { commands, LEN(commands) };
