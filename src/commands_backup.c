/* What the commands about backups do and print. */
#include "commands_backup.h"

#include "config.h"
#include "observe/clock.h"
#include "schema/encode.h"
#include "store/backup.h"
#include "store/folder_lock.h"
#include "json/writer.h"

#include <stdlib.h>

enum { ARENA_MAX = 256 * 1024 * 1024 };

/* A backup of a large file on a slow disk. */
#define SERVER_TIME (24 * HOUR)

int command_by_server(
	const char *name, command_fn *here, const struct command_job *job, struct buf *out)
{
	struct control_request request = {
		.command = str_from_c(name), .argument = job->argument, .json = job->json
	};
	struct folder_lock lock = { 0 };
	int exit_code = 0;
	int r = control_call(
		job->config->data_dir, &request, clock_now_ns() + SERVER_TIME, out, &exit_code);

	if (r != -ERR_NOT_FOUND || !here)
		return r < 0 ? r : exit_code;
	r = folder_lock_take(job->config->data_dir, &lock);
	if (r == 0)
		r = here(job, out);
	folder_lock_release(&lock);
	return r;
}

static struct backup_place place_of(const struct command_job *job)
{
	return (struct backup_place){ job->config->data_dir, job->stop };
}

static int check_engine(const struct command_job *job)
{
	if (job->config->database_url.text.len)
		return fail(ERR_INVALID,
			"DATABASE_URL is set: these backups are of the SQLite file, and "
			"PostgreSQL has tools of its own");
	return 0;
}

/* Bytes for people: 1536 is "1.5 KB". */
static void write_size(struct buf *out, int64_t bytes)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1024 && unit < LEN(units) - 1) {
		size /= 1024;
		unit++;
	}
	buf_printf(out, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

static int write_json(const struct backup *backup, struct buf *out)
{
	struct json_writer writer;
	int r;

	json_writer_init(&writer, out);
	schema_encode(&backup_schema, SCHEMA_ALL, backup, &writer);
	r = json_writer_done(&writer);
	buf_byte(out, '\n');
	return r;
}

/* --- create ----------------------------------------------------------------------------- */

static int create(const struct command_job *job, struct arena *arena, struct buf *out)
{
	struct backup_retention retention = { job->config->backup_keep,
		job->config->backup_keep_days };
	struct backup_place place = place_of(job);
	struct backup backup = { 0 };
	size_t removed = 0;
	int r = check_engine(job);

	if (r == 0)
		r = backup_create(&place, arena, &backup);
	if (r == 0)
		r = backup_prune(&place, &retention, &removed);
	if (r < 0)
		return r;
	if (job->json)
		return write_json(&backup, out);
	buf_printf(out, "%.*s (", STR_ARG(backup.name));
	write_size(out, backup.size);
	buf_append(out, S(")\n"));
	if (removed > 0)
		buf_printf(out, "%zu old backups removed\n", removed);
	return 0;
}

int backup_command_create(const struct command_job *job, struct buf *out)
{
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, ARENA_MAX);
	r = create(job, &arena, out);
	arena_done(&arena);
	return r;
}

/* --- list ------------------------------------------------------------------------------- */

static void list_json(const struct backup_entry *entries, size_t count, struct buf *out)
{
	struct json_writer writer;
	int r;

	json_writer_init(&writer, out);
	json_write_array(&writer);
	for (size_t i = 0; i < count; i++) {
		json_write_object(&writer);
		json_write_key(&writer, S("name"));
		json_write_string(&writer, entries[i].backup.name);
		if (entries[i].problem.len) {
			json_write_key(&writer, S("problem"));
			json_write_string(&writer, entries[i].problem);
		} else {
			json_write_key(&writer, S("backup"));
			schema_encode(&backup_schema, SCHEMA_ALL, &entries[i].backup, &writer);
		}
		json_write_object_end(&writer);
	}
	json_write_array_end(&writer);
	r = json_writer_done(&writer);
	(void)r; /* sticks in the buffer */
	buf_byte(out, '\n');
}

static void list_text(const struct backup_entry *entries, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct backup *backup = &entries[i].backup;

		buf_printf(out, "%.*s  ", STR_ARG(backup->name));
		if (entries[i].problem.len) {
			buf_printf(out, "DAMAGED: %.*s\n", STR_ARG(entries[i].problem));
			continue;
		}
		write_size(out, backup->size);
		buf_printf(out, ", version %.*s\n", STR_ARG(backup->program));
	}
	if (count == 0)
		buf_append(out, S("there are no backups\n"));
}

int backup_command_list(const struct command_job *job, struct buf *out)
{
	struct backup_place place = place_of(job);
	struct backup_entry *entries;
	struct arena arena;
	size_t count;
	int r;

	arena_init(&arena, 64 * KILOBYTE, ARENA_MAX);
	r = backup_list(&place, &arena, &entries, &count);
	if (r == 0 && job->json)
		list_json(entries, count, out);
	else if (r == 0)
		list_text(entries, count, out);
	arena_done(&arena);
	return r;
}

/* --- verify and restore ------------------------------------------------------------------ */

int backup_command_verify(const struct command_job *job, struct buf *out)
{
	struct backup_place place = place_of(job);
	struct backup backup = { 0 };
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, ARENA_MAX);
	r = backup_verify(&place, job->argument, &arena, &backup);
	if (r == 0 && job->json)
		r = write_json(&backup, out);
	else if (r == 0)
		buf_printf(out, "%.*s is whole\n", STR_ARG(backup.name));
	arena_done(&arena);
	return r;
}

int backup_command_restore(const struct command_job *job, struct buf *out)
{
	struct backup_place place = place_of(job);
	struct backup_restored done = { 0 };
	struct arena arena;
	int r;

	arena_init(&arena, 64 * KILOBYTE, ARENA_MAX);
	r = check_engine(job);
	if (r == 0)
		r = backup_restore(&place, job->argument, &arena, &done);
	if (r == 0 && job->json) {
		r = write_json(&done.backup, out);
	} else if (r == 0) {
		buf_printf(out, "%.*s is restored\n", STR_ARG(done.backup.name));
		if (done.aside.len)
			buf_printf(out, "the former database is now %.*s/%.*s\n",
				STR_ARG(job->config->data_dir), STR_ARG(done.aside));
		buf_append(out, S("keys are not part of a backup: MASTER_KEY and the like must be "
				  "those of its time\n"));
	}
	arena_done(&arena);
	return r;
}

/* --- check ------------------------------------------------------------------------------- */

int backup_command_check(const struct command_job *job, struct buf *out)
{
	struct backup_place place = place_of(job);
	struct buf findings;
	int r = check_engine(job);

	if (r < 0)
		return r;
	buf_init(&findings, CONTROL_ANSWER_MAX / 8);
	r = database_check(&place, &findings);
	if (r == 0)
		buf_append(out, S("the database is sound\n"));
	else if (r == -ERR_INVALID && findings.len)
		buf_append(out, buf_str(&findings));
	if (r == -ERR_INVALID)
		r = EXIT_FAILURE;
	buf_done(&findings);
	return r;
}
