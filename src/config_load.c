/*
 * Loading a table: collect what the sources give, settle each entry, check the whole, seal it.
 *
 * Values, origins and texts live in one mapping of their own, which is made read-only at the end
 * and left out of core dumps. The buffers that files were read into are wiped before they are
 * freed.
 */
#include "config_value.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "dotenv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	REGION_SIZE = 1024 * 1024, /* address space while loading; only what is used stays */
	FILE_MAX = 64 * 1024,      /* bytes of .env, and of what NAME_FILE names */
	REPORT_CHUNK = 8 * 1024,
	REPORT_MAX = 512 * 1024,
	COMPOSED_MAX = 8 * 1024, /* a message while it is composed; longer than any path */
	NAME_COMPARED = 64,      /* longer names are never taken for mistyped ones */
	VALUE_SHOWN = 60,        /* bytes of a wrong value in a message */
};

/* What one source says of one name. */
struct given {
	struct str value;
	unsigned line; /* in `.env` */
	bool given;    /* also when the value is empty */
};

/* All that is said of an entry: NAME and NAME_FILE, by place. */
struct entry_given {
	struct given direct[CONFIG_FROM_DOTENV + 1];
	struct given file[CONFIG_FROM_DOTENV + 1];
};

/* A file in memory. */
struct file {
	char *at; /* FILE_MAX + 1 bytes, or NULL */
	size_t len;
	bool exposed; /* everybody can read it */
};

struct loader {
	const struct config_table *table;
	const struct config_source *source;
	struct config_report *report;
	void *mapping; /* REGION_SIZE bytes; NULL when sealed */
	struct config_region region;
	struct config_loaded *loaded;  /* at the start of the region */
	struct config_origin *origins; /* the same that `loaded` has */
	struct entry_given *given;     /* one for each entry */
	struct file dotenv;
	struct buf line; /* for composing messages; its memory is taken at the start */
	enum app_env env;
};

/* --- files ------------------------------------------------------------------------ */

/* True when a test wants the next system call to fail. */
static bool call_fails(void)
{
	if (!fault_point(FAULT_SYSCALL))
		return false;

	errno = EIO;
	return true;
}

static void file_done(struct file *file)
{
	if (file->at)
		explicit_bzero(file->at, file->len);
	mem_free(file->at, FILE_MAX + 1);
	*file = (struct file){ 0 };
}

static int file_fill(int fd, struct file *file)
{
	struct stat status;

	if (call_fails() || fstat(fd, &status) < 0)
		return fail(ERR_IO, "cannot be read: %s", err_errno_text(errno));
	if (!S_ISREG(status.st_mode))
		return fail(ERR_INVALID, "is a folder, a device or a pipe");

	file->exposed = status.st_mode & S_IROTH;
	while (file->len <= FILE_MAX) {
		ssize_t got = call_fails()
				      ? -1
				      : read(fd, file->at + file->len, FILE_MAX + 1 - file->len);

		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return fail(ERR_IO, "cannot be read: %s", err_errno_text(errno));
		if (got > 0)
			file->len += (size_t)got;
	}
	return fail(ERR_TOO_LARGE, "is larger than %d bytes", FILE_MAX);
}

/* Reads a small regular file. ERR_NOT_FOUND when there is none. The text of an error, but of
 * ERR_NO_MEMORY, is made to follow "a file that". */
static int file_read(int directory, const char *path, struct file *ret)
{
	struct file file = { 0 };
	int fd, r;

	fd = call_fails() ? -1 : openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot be opened: %s",
			err_errno_text(errno));

	file.at = mem_alloc(FILE_MAX + 1);
	r = file.at ? file_fill(fd, &file) : -ERR_NO_MEMORY;
	(void)close(fd);
	if (r < 0) {
		file_done(&file);
		return r;
	}

	*ret = file;
	return 0;
}

/* --- names that nobody knows ---------------------------------------------------------- */

/* Ordinary names of environments that come close to one of ours. */
static const struct str well_known[] = {
	S_INIT("HOME"),
	S_INIT("HOSTNAME"),
	S_INIT("HOSTTYPE"),
	S_INIT("LOGNAME"),
	S_INIT("NODE_ENV"),
	S_INIT("POST"),
	S_INIT("SSL_CERT_DIR"),
	S_INIT("SSL_CERT_FILE"),
};

static unsigned char fold(char byte)
{
	return (unsigned char)(byte >= 'a' && byte <= 'z' ? byte - 0x20 : byte);
}

/* Insertions, deletions, replacements and swaps of neighbours between two names (optimal string
 * alignment), case folded; more than `most` when there are more, or when a name is too long. */
static size_t edit_distance(struct str a, struct str b, size_t most)
{
	size_t rows[3][NAME_COMPARED + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	if (a.len > NAME_COMPARED || b.len > NAME_COMPARED || a.len > b.len + most ||
		b.len > a.len + most)
		return most + 1;

	for (size_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *oldest = before;

		before = above;
		above = row;
		row = oldest;
		row[0] = i;
		for (size_t j = 1; j <= b.len; j++) {
			unsigned char x = fold(a.at[i - 1]), y = fold(b.at[j - 1]);

			row[j] = MIN(MIN(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
			if (i > 1 && j > 1 && x == fold(b.at[j - 2]) && fold(a.at[i - 2]) == y)
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
	}
	return row[b.len];
}

/* The setting that was probably meant: at most one slip away, two in a long name, and `more`. */
static const struct config_entry *nearest(
	const struct config_table *table, struct str name, size_t more)
{
	const struct config_entry *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < table->count; i++) {
		const struct config_entry *entry = &table->entries[i];
		size_t most = (entry->name.len >= 10 ? 2 : 1) + more;
		size_t distance = edit_distance(name, entry->name, most);

		if (distance <= most && distance < best_distance) {
			best = entry;
			best_distance = distance;
		}
	}
	return best;
}

static bool is_well_known(struct str name)
{
	for (size_t i = 0; i < LEN(well_known); i++)
		if (str_eq(name, well_known[i]))
			return true;
	return false;
}

static struct str without_file(struct str name)
{
	struct str suffix = S("_FILE");

	return str_ends(name, suffix) ? str_first(name, name.len - suffix.len) : str_of(NULL, 0);
}

/* Appends text from outside: printable ASCII as it is, anything else as "?". */
static void append_shown(struct buf *out, struct str text, size_t most)
{
	for (size_t i = 0; i < MIN(text.len, most); i++)
		buf_byte(out, text.at[i] >= ' ' && text.at[i] <= '~' ? text.at[i] : '?');
	if (text.len > most)
		buf_append(out, S("..."));
}

/* In `.env` every unknown name is worth a warning; in the environment, which belongs to everybody,
 * only one that looks mistyped. */
static void note_unknown(
	struct loader *loader, enum config_place place, unsigned line, struct str name)
{
	size_t more = place == CONFIG_FROM_DOTENV ? 1 : 0;
	bool file = false;
	const struct config_entry *meant;

	if (place == CONFIG_FROM_ENVIRONMENT && is_well_known(name))
		return;

	meant = nearest(loader->table, name, more);
	if (!meant && without_file(name).len) {
		meant = nearest(loader->table, without_file(name), more);
		file = true;
	}
	if (!meant && place == CONFIG_FROM_ENVIRONMENT)
		return;

	buf_reset(&loader->line);
	append_shown(&loader->line, name, NAME_COMPARED);
	if (place == CONFIG_FROM_ENVIRONMENT)
		config_warning(loader->report, buf_str(&loader->line),
			"is not a setting; did you mean %.*s%s? (environment)",
			STR_ARG(meant->name), file ? "_FILE" : "");
	else if (meant)
		config_warning(loader->report, buf_str(&loader->line),
			"is not a setting; did you mean %.*s%s? (.env line %u)",
			STR_ARG(meant->name), file ? "_FILE" : "", line);
	else
		config_warning(loader->report, buf_str(&loader->line),
			"is not a setting and has no effect (.env line %u)", line);
}

/* --- collecting ------------------------------------------------------------------------ */

/* Where to put what a source says of `name`; NULL when no setting is called so. */
static struct given *place_for(struct loader *loader, enum config_place place, struct str name)
{
	struct str stem = without_file(name);
	struct given *file = NULL;

	for (size_t i = 0; i < loader->table->count; i++) {
		struct str known = loader->table->entries[i].name;

		if (str_eq(name, known))
			return &loader->given[i].direct[place];
		if (stem.len && str_eq(stem, known))
			file = &loader->given[i].file[place];
	}
	return file;
}

static void collect(struct loader *loader, enum config_place place, unsigned line, struct str name,
	struct str value)
{
	struct given *given = place_for(loader, place, name);

	if (!given)
		note_unknown(loader, place, line, name);
	else if (given->given && place == CONFIG_FROM_DOTENV)
		config_problem(loader->report, name, "is given twice (.env lines %u and %u)",
			given->line, line);
	else if (given->given)
		config_problem(loader->report, name, "is given twice (environment)");
	else
		*given = (struct given){ value, line, true };
}

static void collect_environment(struct loader *loader)
{
	for (const char *const *at = loader->source->variables; *at; at++) {
		struct str value = str_from_c(*at);
		struct str name = str_cut(&value, '=');

		if (value.at)
			collect(loader, CONFIG_FROM_ENVIRONMENT, 0, name, value);
	}
}

static int collect_dotenv(struct loader *loader)
{
	struct dotenv_item item;
	struct dotenv dotenv;
	int r;

	r = file_read(loader->source->directory, ".env", &loader->dotenv);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == -ERR_NO_MEMORY)
		return r;
	if (r < 0) {
		config_problem(loader->report, S(".env"), "%s", err_text());
		return 0;
	}

	dotenv = dotenv_start(loader->dotenv.at, loader->dotenv.len);
	while (dotenv_next(&dotenv, &item))
		if (item.problem)
			config_problem(loader->report, item.name.len ? item.name : S(".env"),
				"%s (.env line %u)", item.problem, item.line);
		else
			collect(loader, CONFIG_FROM_DOTENV, item.line, item.name, item.value);
	return 0;
}

/* --- settling --------------------------------------------------------------------------- */

static void *member_of(struct loader *loader, const struct config_entry *entry)
{
	return loader->loaded->values + entry->offset;
}

static struct config_origin *origin_of(struct loader *loader, const struct config_entry *entry)
{
	return &loader->origins[entry - loader->table->entries];
}

/* "NAME <message><detail> (<origin>)", as a problem. */
static void complain(struct loader *loader, const struct config_entry *entry, const char *message,
	const char *detail)
{
	buf_reset(&loader->line);
	config_origin_write(entry, origin_of(loader, entry), &loader->line);
	config_problem(loader->report, entry->name, "%s%s (%.*s)", message, detail,
		STR_ARG(buf_str(&loader->line)));
}

/* Says what the value must be and, unless it may hold a secret, what it is. */
static void complain_rule(struct loader *loader, const struct config_entry *entry, struct str text)
{
	struct buf *line = &loader->line;

	buf_reset(line);
	config_kinds[entry->type].rule(entry, line);
	if (!(entry->flags & CONFIG_SECRET) && entry->type != CONFIG_URL) {
		buf_append(line, S(", not \""));
		append_shown(line, text, VALUE_SHOWN);
		buf_byte(line, '"');
	}
	buf_append(line, S(" ("));
	config_origin_write(entry, origin_of(loader, entry), line);
	config_problem(loader->report, entry->name, "must be %.*s)", STR_ARG(buf_str(line)));
}

/* A value that others on this machine can read in its file. A warning only: Docker and Kubernetes
 * mount secrets like that unless told otherwise. */
static void check_exposure(struct loader *loader, const struct config_entry *entry)
{
	const char *message =
		"is secret but everybody can read the file; make it mode 0400 or 0440";
	bool secret = entry->flags & CONFIG_SECRET;

	if (entry->type == CONFIG_URL) {
		const struct config_url *url = member_of(loader, entry);

		secret = secret || url->password.len;
	}
	if (!secret)
		return;

	buf_reset(&loader->line);
	config_origin_write(entry, origin_of(loader, entry), &loader->line);
	config_warning(
		loader->report, entry->name, "%s (%.*s)", message, STR_ARG(buf_str(&loader->line)));
}

/* Takes a text that is not empty. Its origin is noted already. */
static void settle_text(
	struct loader *loader, const struct config_entry *entry, struct str text, bool exposed)
{
	void *member = member_of(loader, entry);

	if (!config_kinds[entry->type].parse(entry, text, &loader->region, member)) {
		if (!loader->region.full)
			complain_rule(loader, entry, text);
		return;
	}

	if (config_is_redacted(entry, member))
		complain(loader, entry, "is the asterisks of `config print`, not the secret", "");
	else if (exposed)
		check_exposure(loader, entry);
}

static int settle_file(struct loader *loader, const struct config_entry *entry)
{
	struct config_origin *origin = origin_of(loader, entry);
	struct file file;
	struct str text;
	int r;

	r = file_read(loader->source->directory, origin->file.at, &file);
	if (r == -ERR_NO_MEMORY)
		return r;
	if (r < 0) {
		complain(loader, entry, "is in a file that ", err_text());
		return 0;
	}

	text = str_of(file.at, file.len);
	if (str_ends(text, S("\n")))
		text.len--;
	if (str_ends(text, S("\r")))
		text.len--;
	if (text.len)
		settle_text(loader, entry, text, file.exposed);
	else
		complain(loader, entry, "is empty in its file", "");
	file_done(&file);
	return 0;
}

/* The path is shown in messages, so it must be text like any other. */
static int settle_file_path(
	struct loader *loader, const struct config_entry *entry, struct str path)
{
	static const struct config_entry rule = { CONFIG_OF_PATH };
	struct config_origin *origin = origin_of(loader, entry);

	if (config_kinds[CONFIG_PATH].parse(&rule, path, &loader->region, &origin->file))
		return settle_file(loader, entry);

	if (!loader->region.full)
		complain(loader, entry, "has a _FILE that is not a path", "");
	return 0;
}

static void settle_default(struct loader *loader, const struct config_entry *entry)
{
	struct str text = str_from_c(entry->defaults[loader->env]);
	struct config_origin *origin = origin_of(loader, entry);

	*origin = (struct config_origin){ .empty = text.len == 0 };
	if (text.len)
		CHECK(config_kinds[entry->type].parse(
			      entry, text, &loader->region, member_of(loader, entry)) ||
			loader->region.full);
	else if (entry->flags & CONFIG_REQUIRED_IN_PRODUCTION && loader->env == APP_PRODUCTION)
		config_problem(loader->report, entry->name,
			"is required in production; give it or %.*s_FILE", STR_ARG(entry->name));
}

/* The environment goes before `.env`, and an empty value stands for the default. */
static int settle(struct loader *loader, const struct config_entry *entry)
{
	const struct entry_given *given = &loader->given[entry - loader->table->entries];

	for (enum config_place place = CONFIG_FROM_ENVIRONMENT; place <= CONFIG_FROM_DOTENV;
		place++) {
		const struct given *direct = &given->direct[place];
		const struct given *file = &given->file[place];
		bool by_file = file->value.len;

		*origin_of(loader, entry) = (struct config_origin){
			.place = place,
			.line = by_file ? file->line : direct->line,
		};
		if (by_file && direct->value.len) {
			complain(loader, entry, "is given both directly and as _FILE", "");
			return 0;
		}
		if (by_file)
			return settle_file_path(loader, entry, file->value);
		if (direct->value.len) {
			settle_text(loader, entry, direct->value,
				place == CONFIG_FROM_DOTENV && loader->dotenv.exposed);
			return 0;
		}
		if (direct->given)
			break;
	}

	settle_default(loader, entry);
	return 0;
}

/* APP_ENV comes first, since it decides the defaults of the others. A wrong one counts as
 * development here: it is reported, and brings no further complaints. */
static int settle_all(struct loader *loader)
{
	const struct config_entry *entries = loader->table->entries;

	for (size_t i = 0; i < loader->table->count; i++) {
		int r = settle(loader, &entries[i]);

		if (r < 0)
			return r;
		if (i == 0 && config_sound(loader->report, entries[0].name))
			memcpy(&loader->env, member_of(loader, &entries[0]), sizeof(loader->env));
	}
	return 0;
}

/* --- the whole ---------------------------------------------------------------------------- */

static void report_init(struct config_report *report)
{
	*report = (struct config_report){ 0 };
	arena_init(&report->arena, REPORT_CHUNK, REPORT_MAX);
	report->last = &report->first;
}

static int prepare(struct loader *loader)
{
	const struct config_table *table = loader->table;

	CHECK(table->count > 0 && str_eq(table->entries[0].name, S("APP_ENV")));

	loader->given = mem_zalloc(table->count * sizeof(*loader->given));
	if (!loader->given || !buf_room(&loader->line, COMPOSED_MAX))
		return -ERR_NO_MEMORY;

	loader->mapping = call_fails() ? MAP_FAILED
				       : mmap(NULL, REGION_SIZE, PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (loader->mapping == MAP_FAILED) {
		loader->mapping = NULL;
		return fail(ERR_NO_MEMORY, "no memory for the configuration: %s",
			err_errno_text(errno));
	}

	loader->region.at = loader->mapping;
	loader->region.end = loader->region.at + REGION_SIZE;
	loader->loaded =
		config_region_alloc(&loader->region, sizeof(*loader->loaded) + table->size);
	loader->origins =
		config_region_alloc(&loader->region, table->count * sizeof(*loader->origins));
	CHECK(loader->loaded && loader->origins);
	return 0;
}

/* Collects, settles and checks; the report says what is wrong. */
static int fill(struct loader *loader)
{
	const struct config_table *table = loader->table;
	int r;

	collect_environment(loader);
	r = collect_dotenv(loader);
	if (r < 0)
		return r;

	r = settle_all(loader);
	if (r < 0)
		return r;

	if (table->check)
		table->check(loader->loaded->values, loader->report);
	if (loader->report->failed)
		return loader->report->failed;
	if (loader->region.full)
		return fail(
			ERR_TOO_LARGE, "the configuration takes more than %d bytes", REGION_SIZE);
	if (loader->report->problems)
		return fail(ERR_INVALID, "the configuration has %zu problem%s",
			loader->report->problems, loader->report->problems == 1 ? "" : "s");
	return 0;
}

/* Gives the unused end of the mapping back and makes the rest read-only. */
static int seal(struct loader *loader, const void **ret)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t used = (size_t)(loader->region.at - (char *)loader->mapping);
	size_t size = (used + page - 1) / page * page;

	*loader->loaded = (struct config_loaded){ size, loader->table, loader->origins };
	if (call_fails() || mprotect(loader->mapping, size, PROT_READ) < 0)
		return fail(ERR_IO, "the configuration cannot be made read-only: %s",
			err_errno_text(errno));

	(void)madvise(loader->mapping, size, MADV_DONTDUMP);
	if (size < REGION_SIZE)
		(void)munmap((char *)loader->mapping + size, REGION_SIZE - size);
	*ret = loader->loaded->values;
	loader->mapping = NULL;
	return 0;
}

int config_load_table(const struct config_table *table, const struct config_source *source,
	struct config_report *report, const void **ret)
{
	struct loader loader = { .table = table, .source = source, .report = report };
	int r;

	report_init(report);
	buf_init(&loader.line, COMPOSED_MAX);

	r = prepare(&loader);
	if (r == 0)
		r = fill(&loader);
	if (r == 0)
		r = seal(&loader, ret);

	if (loader.mapping)
		(void)munmap(loader.mapping, REGION_SIZE);
	mem_free(loader.given, table->count * sizeof(*loader.given));
	file_done(&loader.dotenv);
	buf_done(&loader.line);
	return r;
}

void config_free(const void *values)
{
	const struct config_loaded *loaded;

	if (!values)
		return;

	loaded = CONTAINER_OF((const char *)values, const struct config_loaded, values);
	(void)munmap((void *)loaded, loaded->size);
}
