/*
 * What backups ask of SQLite. The live file is only ever opened for reading here, with one read
 * transaction for the whole work, and never checkpointed: a checkpoint beside the writer's commits
 * could lose some of them (SQLite before 3.51.3).
 */
#include "store/backup_internal.h"

#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long another program may have the database open. */
enum { SETTLE_WAIT_MS = 5000 };

enum {
	PAGES_PER_STEP = 1024,
	OPS_BETWEEN_LOOKS = 100000, /* of SQLite's machine, until it is asked whether to stop */
	BUSY_MS = 5000,             /* a recovery or checkpoint may lock the file so long */
};

static const char *text_of(sqlite3 *db, int rc)
{
	return db && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
}

/* What a code of SQLite is here. */
static int failed(sqlite3 *db, int rc, const char *what)
{
	const char *text = text_of(db, rc);

	switch (rc & 0xff) {
	case SQLITE_FULL: return fail(ERR_UNAVAILABLE, "%s: the disk is full", what);
	case SQLITE_NOMEM: return fail(ERR_NO_MEMORY, "%s: not enough memory", what);
	case SQLITE_INTERRUPT: return fail(ERR_CANCELLED, "%s: the work was ended early", what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return fail(ERR_INVALID, "%s: the file is damaged: %s", what, text);
	case SQLITE_BUSY:
		return fail(ERR_UNAVAILABLE, "%s: another program has locked the file", what);
	default: return fail(ERR_IO, "%s: %s", what, text);
	}
}

static int asked_to_stop(void *stop)
{
	return atomic_load_explicit((const atomic_bool *)stop, memory_order_relaxed);
}

/* A connection that reads. */
static int open_to_read(const char *path, const atomic_bool *stop, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_busy_timeout(db, BUSY_MS);
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		if (stop)
			sqlite3_progress_handler(
				db, OPS_BETWEEN_LOOKS, asked_to_stop, (void *)stop);
		rc = sqlite3_exec(db, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
	}
	if (rc != SQLITE_OK) {
		int r = failed(db, rc, "cannot open the database");

		(void)sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* The one number that a statement gives. */
static int ask(sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (rc == SQLITE_OK) {
		rc = sqlite3_step(statement);
		*ret = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
		rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
		(void)sqlite3_finalize(statement);
	}
	return rc;
}

/* --- copying ------------------------------------------------------------------------- */

/* Begins to read one state of the database; says how large that is. */
static int hold_state(sqlite3 *from, uint64_t *ret_bytes)
{
	int64_t pages = 0, size = 0, any;
	int rc = sqlite3_exec(from, "BEGIN", NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = ask(from, "SELECT count(*) FROM sqlite_master", &any);
	if (rc == SQLITE_OK)
		rc = ask(from, "PRAGMA page_count", &pages);
	if (rc == SQLITE_OK)
		rc = ask(from, "PRAGMA page_size", &size);
	*ret_bytes = (uint64_t)pages * (uint64_t)size;
	return rc;
}

/* Copies page by page. The reading transaction keeps the state the same from step to step. */
static int copy_pages(sqlite3 *from, sqlite3 *to, const atomic_bool *stop)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
	int r = 0, rc = SQLITE_OK;

	if (!backup)
		return failed(to, sqlite3_errcode(to), "cannot copy the database");
	while (rc == SQLITE_OK && r == 0) {
		r = stop_asked(stop);
		if (r == 0)
			rc = sqlite3_backup_step(backup, PAGES_PER_STEP);
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = failed(NULL, rc, "cannot copy the database");
	(void)sqlite3_backup_finish(backup);
	return r;
}

/* Its own file gets no journal and no sync: until it is whole it is worth nothing. */
static int open_copy(const char *path, sqlite3 **ret)
{
	sqlite3 *db = NULL;
	int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
			"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF;"
			"PRAGMA synchronous = OFF",
			NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		int r = failed(db, rc, "cannot open the copy");

		(void)sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* The file's header says that there is a write-ahead log; the copy has none and shall not make one
 * wherever it is looked at (bytes 18 and 19,
 * https://sqlite.org/fileformat.html#file_format_version_numbers). */
static int finish_copy(const struct folder *folder, const char *name)
{
	static const char without_log[] = { 1, 1 };
	int fd = fault_point(FAULT_SYSCALL)
			 ? (errno = EIO, -1)
			 : openat(folder->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return fail(ERR_IO, "cannot open %s: %s", name, err_errno_text(errno));
	if (pwrite(fd, without_log, sizeof(without_log), 18) != sizeof(without_log))
		r = fail(ERR_IO, "cannot write %s: %s", name, err_errno_text(errno));
	else
		r = file_sync(fd, name);
	(void)close(fd);
	return r;
}

int database_copy(
	const char *from, const struct folder *folder, const char *to, const atomic_bool *stop)
{
	sqlite3 *source = NULL, *copy = NULL;
	char path[PATH_MAX];
	uint64_t bytes;
	int r, rc;

	r = folder_path(folder, to, path);
	if (r == 0)
		r = open_to_read(from, stop, &source);
	if (r < 0)
		return r;

	rc = hold_state(source, &bytes);
	if (rc != SQLITE_OK)
		r = failed(source, rc, "cannot read the database");
	if (r == 0 && bytes == 0)
		r = fail(ERR_NOT_FOUND, "the database is empty");
	if (r == 0)
		r = folder_has_room(folder, bytes);
	if (r == 0)
		r = open_copy(path, &copy);
	if (r == 0)
		r = copy_pages(source, copy, stop);
	rc = sqlite3_close(copy);
	if (r == 0 && rc != SQLITE_OK)
		r = failed(NULL, rc, "cannot close the copy");
	(void)sqlite3_close(source);
	return r < 0 ? r : finish_copy(folder, to);
}

/* --- checking ------------------------------------------------------------------------ */

/* One line for each row of a check; those of integrity_check have one column, "ok" or a finding. */
static void note(sqlite3_stmt *statement, struct buf *findings)
{
	const char *first = (const char *)sqlite3_column_text(statement, 0);

	if (sqlite3_column_count(statement) == 1)
		buf_printf(findings, "%s\n", first ? first : "");
	else
		buf_printf(findings, "row %lld of %s refers to nothing in %s\n",
			(long long)sqlite3_column_int64(statement, 1), first ? first : "",
			(const char *)sqlite3_column_text(statement, 2));
}

static bool is_fine(sqlite3_stmt *statement)
{
	const char *text = (const char *)sqlite3_column_text(statement, 0);

	return sqlite3_column_count(statement) == 1 && text && strcmp(text, "ok") == 0;
}

/* Runs a check to its end or its last finding. -ERR_INVALID also when the file cannot be read for
 * its damage, which is a finding itself. */
static int run_check(sqlite3 *db, const char *sql, struct buf *findings)
{
	sqlite3_stmt *statement = NULL;
	size_t found = 0;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(statement);
		if (rc != SQLITE_ROW || is_fine(statement))
			continue;
		note(statement, findings);
		if (++found == BACKUP_FINDINGS_MAX)
			break;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		int r = failed(db, rc, "cannot check the database");

		(void)sqlite3_finalize(statement);
		if (r == -ERR_INVALID)
			buf_printf(findings, "%s\n", err_text());
		return r;
	}
	(void)sqlite3_finalize(statement);
	return found ? -ERR_INVALID : 0;
}

static int check_file(const char *path, const atomic_bool *stop, struct buf *findings)
{
	sqlite3 *db = NULL;
	int r = open_to_read(path, stop, &db);
	int references;

	if (r == -ERR_INVALID)
		buf_printf(findings, "%s\n", err_text());
	if (r < 0)
		return r;

	r = run_check(db, "PRAGMA integrity_check(20)", findings);
	references = r == 0 || r == -ERR_INVALID
			     ? run_check(db, "PRAGMA foreign_key_check", findings)
			     : 0;
	(void)sqlite3_close(db);
	if (r == 0)
		r = references;
	if (r != -ERR_INVALID)
		return r;
	return fail(ERR_INVALID, "the database is damaged");
}

int database_verify(const char *path, const atomic_bool *stop)
{
	struct buf findings;
	int r;

	buf_init(&findings, 64 * KILOBYTE);
	r = check_file(path, stop, &findings);
	if (r == -ERR_INVALID) {
		struct str rest = buf_str(&findings);
		struct str first = str_cut(&rest, '\n');

		r = fail(ERR_INVALID, "the database is damaged: %.*s", STR_ARG(first));
	}
	buf_done(&findings);
	return r;
}

int database_check(const struct backup_place *place, struct buf *findings)
{
	struct folder folder;
	char path[PATH_MAX];
	struct stat what;
	int r = folder_open(place->folder, &folder);

	if (r < 0)
		return r;
	r = folder_path(&folder, DATABASE_FILE, path);
	if (r == 0 && fstatat(folder.fd, DATABASE_FILE, &what, 0) < 0)
		r = fail(ERR_NOT_FOUND, "there is no database in %s", folder.path);
	if (r == 0)
		r = check_file(path, place->stop, findings);
	folder_close(&folder);
	return r;
}

/* --- migrations ---------------------------------------------------------------------- */

#define MIGRATION_TABLE "migration"

static int read_migrations(sqlite3_stmt *statement, struct arena *arena, struct backup *ret)
{
	size_t count = 0;
	int rc;

	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		const char *module = (const char *)sqlite3_column_text(statement, 0);
		struct backup_migration *row = &ret->migrations.at[count];

		row->module = arena_str(arena, str_from_c(module));
		row->number = sqlite3_column_int64(statement, 1);
		if (!row->module.at)
			return -(int)err_last()->code;
		count++;
	}
	if (rc != SQLITE_DONE)
		return failed(sqlite3_db_handle(statement), rc, "cannot read the migrations");
	ret->migrations.count = count;
	return 0;
}

int database_migrations(const char *path, struct arena *arena, struct backup *ret)
{
	sqlite3_stmt *statement = NULL;
	int64_t there = 0, rows = 0;
	sqlite3 *db = NULL;
	int r = open_to_read(path, NULL, &db);
	int rc;

	if (r < 0)
		return r;
	ret->migrations.at = NULL;
	ret->migrations.count = 0;
	rc = ask(db,
		"SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = "
		"'" MIGRATION_TABLE "'",
		&there);
	if (rc == SQLITE_OK && there)
		rc = ask(db, "SELECT count(*) FROM " MIGRATION_TABLE, &rows);
	if (rc == SQLITE_OK && rows > BACKUP_MIGRATIONS_MAX)
		r = fail(ERR_INVALID, "more than %d migrations", BACKUP_MIGRATIONS_MAX);
	if (rc == SQLITE_OK && r == 0 && rows) {
		ret->migrations.at =
			arena_zalloc(arena, (size_t)rows * sizeof(*ret->migrations.at));
		r = ret->migrations.at ? 0 : -(int)err_last()->code;
		rc = sqlite3_prepare_v2(db,
			"SELECT module, number FROM " MIGRATION_TABLE " ORDER BY module, number",
			-1, &statement, NULL);
	}
	if (rc != SQLITE_OK)
		r = failed(db, rc, "cannot read the migrations");
	if (r == 0 && statement)
		r = read_migrations(statement, arena, ret);
	(void)sqlite3_finalize(statement);
	(void)sqlite3_close(db);
	return r;
}

/* --- before it is replaced ----------------------------------------------------------- */

int database_settle(const char *path)
{
	sqlite3 *db = NULL;
	int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (code == SQLITE_OK)
		(void)sqlite3_busy_timeout(db, SETTLE_WAIT_MS);
	/* A file whose head was not read yet is not known to have a log. */
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (code != SQLITE_OK && db) /* closing would throw the log away */
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_close(db);
	if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return fail(ERR_CONFLICT, "another program has the database open");
	return 0;
}
