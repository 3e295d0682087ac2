/*
 * Migrations of the SQLite file. The lock of the data folder keeps servers and other migrators
 * away. Nothing in the file keeps tenants apart (the views are made per connection), so there is
 * only something to check: that every tenant's key begins with the tenant.
 */
#include "store/migrate.h"

#include "base/err.h"
#include "observe/clock.h"
#include "store/folder_lock.h"
#include "store/migrate_snapshot.h"
#include "store/sqlite_error.h"
#include "store/sqlite_file.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_PAUSE_MS = 50, FOLDER_MODE = 0700, CACHE_BYTES = 16 * 1024 * 1024 };

struct database {
	sqlite3 *at; /* NULL: there is no file */
	struct folder_lock lock;
	bool changing;
};

static struct database *database_of(struct migrate_run *run)
{
	return run->database;
}

/* --- talking to it ------------------------------------------------------------------ */

static int fail_sqlite(sqlite3 *at)
{
	return sqlite_fail(at, sqlite3_extended_errcode(at));
}

/* Statements of our own, without rows. */
static int run_text(sqlite3 *at, const char *sql)
{
	return sqlite3_exec(at, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail_sqlite(at);
}

static int prepare_text(sqlite3 *at, const char *sql, sqlite3_stmt **ret)
{
	return sqlite3_prepare_v2(at, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail_sqlite(at);
}

static struct str column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return str_of(text ? text : "", (size_t)sqlite3_column_bytes(statement, column));
}

/* The next row: 1, 0 at the end, negative. */
static int next_row(sqlite3_stmt *statement)
{
	int result = sqlite3_step(statement);

	if (result == SQLITE_ROW)
		return 1;
	return result == SQLITE_DONE ? 0 : fail_sqlite(sqlite3_db_handle(statement));
}

/* --- open and close -------------------------------------------------------------------- */

static int make_folder(struct str folder)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%.*s", STR_ARG(folder));

	if (len < 0 || (size_t)len >= sizeof(path))
		return fail(ERR_INVALID, "the path of the data folder is too long");
	if (mkdir(path, FOLDER_MODE) < 0 && errno != EEXIST)
		return fail(ERR_IO, "cannot make %s: %s", path, err_errno_text(errno));
	return 0;
}

static int take_lock(struct migrate_run *run, struct folder_lock *ret)
{
	uint64_t end_ns = clock_now_ns() + run->wait_ns;
	bool told = false;
	int r;

	while ((r = folder_lock_take(run->options->store.folder, ret)) == -ERR_CONFLICT) {
		struct timespec pause = { 0, LOCK_PAUSE_MS * (long)MILLISECOND };
		struct err err = *err_last();

		if (clock_now_ns() >= end_ns)
			return fail(ERR_UNAVAILABLE, "%s", err.frames[0].text);
		if (!told)
			migrate_say(run, "%s; waiting", err.frames[0].text);
		told = true;
		(void)nanosleep(&pause, NULL);
	}
	return r;
}

/*
 * Foreign keys are off while tables are rebuilt under other names, and checked before each commit
 * instead.
 */
static int open_file(struct migrate_run *run, struct database *database)
{
	struct sqlite_file *file = arena_new(&run->arena, struct sqlite_file);
	struct str folder = run->options->store.folder;
	char path[PATH_MAX];
	int r;

	if (!file)
		return -(int)err_last()->code;
	(void)snprintf(path, sizeof(path), "%.*s/bulkhead.db", STR_ARG(folder));
	if (!database->changing && access(path, F_OK) < 0)
		return 0; /* nothing to read */
	r = sqlite_file_init(file, folder, CACHE_BYTES);
	if (r == 0 && database->changing)
		r = sqlite_file_check(file);
	if (r == 0)
		r = sqlite_file_open(
			file, database->changing ? SQLITE_WRITER : SQLITE_READER, &database->at);
	if (r == 0 && database->changing)
		r = run_text(database->at,
			"PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 1000");
	return r;
}

static int sqlite_open(struct migrate_run *run, bool change)
{
	struct database *database = arena_new(&run->arena, struct database);
	int r = 0;

	if (!database)
		return -(int)err_last()->code;
	run->database = database;
	database->changing = change;
	if (change) {
		r = make_folder(run->options->store.folder);
		if (r == 0)
			r = take_lock(run, &database->lock);
	}
	return r < 0 ? r : open_file(run, database);
}

static void sqlite_close(struct migrate_run *run)
{
	struct database *database = database_of(run);

	if (!database)
		return;
	(void)sqlite3_close(database->at);
	folder_lock_release(&database->lock);
	run->database = NULL;
}

/* --- history ------------------------------------------------------------------------------ */

#define HISTORY                                                                                    \
	"CREATE TABLE IF NOT EXISTS main.migration ("                                              \
	"module text NOT NULL, number bigint NOT NULL, sum text NOT NULL, title text NOT NULL, "   \
	"version text NOT NULL, beside text NOT NULL, applied_us bigint NOT NULL, "                \
	"PRIMARY KEY (module, number)) WITHOUT ROWID"

/* True when the table is there; negative. */
static int has_history(sqlite3 *at)
{
	sqlite3_stmt *statement;
	int r = prepare_text(at,
		"SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'migration'",
		&statement);

	if (r == 0)
		r = next_row(statement);
	(void)sqlite3_finalize(statement);
	return r;
}

static int sqlite_history(struct migrate_run *run)
{
	sqlite3 *at = database_of(run)->at;
	sqlite3_stmt *statement;
	int r = at ? has_history(at) : 0;

	if (r <= 0)
		return r;
	r = prepare_text(at,
		"SELECT module, number, sum, title, version, beside, applied_us "
		"FROM main.migration ORDER BY module, number",
		&statement);
	if (r < 0)
		return r;
	while ((r = next_row(statement)) > 0) {
		struct migrate_applied applied = {
			.module = column_text(statement, 0),
			.number = sqlite3_column_int64(statement, 1),
			.sum = column_text(statement, 2),
			.title = column_text(statement, 3),
			.version = column_text(statement, 4),
			.beside = column_text(statement, 5),
			.applied_us = sqlite3_column_int64(statement, 6),
		};

		r = migrate_add_applied(run, &applied);
		if (r < 0)
			break;
	}
	(void)sqlite3_finalize(statement);
	return r;
}

static void bind_text(sqlite3_stmt *statement, int at, struct str text)
{
	(void)sqlite3_bind_text(
		statement, at, text.len ? text.at : "", (int)text.len, SQLITE_STATIC);
}

/* Adds the row of a step that was done, or removes that of one that was undone. */
static int write_history(struct migrate_run *run, const struct migrate_step *step)
{
	const struct migration *migration = step->migration;
	sqlite3_stmt *statement;
	int r = prepare_text(database_of(run)->at,
		step->down ? "DELETE FROM main.migration WHERE module = ?1 AND number = ?2"
			   : "INSERT INTO main.migration (module, number, sum, title, version, "
			     "beside, applied_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
		&statement);

	if (r < 0)
		return r;
	bind_text(statement, 1, str_from_c(step->source->module));
	(void)sqlite3_bind_int64(statement, 2, migration->number);
	if (!step->down) {
		bind_text(statement, 3, str_of(migration->sum, sizeof(migration->sum)));
		bind_text(statement, 4, migration->title);
		bind_text(statement, 5, run->version);
		bind_text(statement, 6, migration->beside);
		(void)sqlite3_bind_int64(statement, 7, clock_wall_us());
	}
	r = next_row(statement);
	(void)sqlite3_finalize(statement);
	return r;
}

/* --- steps ---------------------------------------------------------------------------------- */

/*
 * What PostgreSQL wants and SQLite does not take: CONCURRENTLY, and the schema of the table in
 * CREATE INDEX and behind REFERENCES. There is nothing the plain name could mean instead.
 */
static int fit(struct str text)
{
	struct sql_scan scan = { text, ENGINE_SQLITE };
	struct sql_token before = { 0 }, token, qualified = { 0 };
	bool index = false;
	size_t count = 0;
	int r;

	while ((r = sql_next(&scan, &token)) == 0 && token.kind != SQL_END) {
		bool dot = token.kind == SQL_SIGN && token.text.at[0] == '.';

		index = index || (count < 3 && sql_is(&token, "INDEX"));
		if (index && count < 4 && sql_is(&token, "CONCURRENTLY"))
			memset((char *)token.text.at, ' ', token.text.len);
		if (qualified.text.at && dot)
			memset((char *)qualified.text.at, ' ',
				(size_t)(token.text.at + 1 - qualified.text.at));
		qualified = (struct sql_token){ 0 };
		if (sql_names(&token, "main") &&
			((index && sql_is(&before, "ON")) || sql_is(&before, "REFERENCES")))
			qualified = token;
		before = token;
		count++;
	}
	return r;
}

/* What is wrong with the statement, not with the disk, is the migration's fault. */
static int fail_statement(
	sqlite3 *at, const struct migrate_step *step, const struct migration_statement *text)
{
	char said[ERR_TEXT_MAX];

	(void)snprintf(said, sizeof(said), "%s", sqlite3_errmsg(at));
	if (fail_sqlite(at) == -ERR_INTERNAL)
		return migrate_fail(step, text, ERR_INVALID, said);
	(void)snprintf(said, sizeof(said), "%s", err_text());
	return migrate_fail(step, text, err_last()->code, said);
}

static int run_statement(
	sqlite3 *at, const struct migrate_step *step, const struct migration_statement *text)
{
	sqlite3_stmt *statement = NULL;
	int r = fit(text->text);

	if (r < 0)
		return migrate_fail(step, text, ERR_INVALID, err_text());
	r = sqlite3_prepare_v2(at, text->text.at, (int)text->text.len + 1, &statement, NULL);
	if (r == SQLITE_OK)
		do
			r = sqlite3_step(statement);
		while (r == SQLITE_ROW);
	r = r == SQLITE_OK || r == SQLITE_DONE ? 0 : fail_statement(at, step, text);
	(void)sqlite3_finalize(statement);
	return r;
}

static int check_foreign_keys(sqlite3 *at, const struct migrate_step *step)
{
	sqlite3_stmt *statement;
	char message[ERR_TEXT_MAX];
	int r = prepare_text(at, "PRAGMA main.foreign_key_check", &statement);

	if (r < 0)
		return r;
	r = next_row(statement);
	if (r > 0) {
		(void)snprintf(message, sizeof(message),
			"rows of main.%.*s refer to rows of "
			"main.%.*s that are not there",
			STR_ARG(column_text(statement, 0)), STR_ARG(column_text(statement, 2)));
		r = migrate_fail(step, NULL, ERR_INVALID, message);
	}
	(void)sqlite3_finalize(statement);
	return r;
}

/*
 * Tables whose tenant_id is not the first column of the primary key (a rowid is a number of the
 * database's own and tells nothing), or may be NULL, and unique indexes that do not begin with it.
 */
#define UNSAFE_TABLES                                                                              \
	"WITH tenant AS (SELECT l.name, t.pk, t.\"notnull\" AS required, "                         \
	"  (SELECT count(*) FROM pragma_table_info(l.name, 'main') k WHERE k.pk > 0) AS keys, "    \
	"  (SELECT count(*) FROM pragma_table_info(l.name, 'main') k "                             \
	"   WHERE k.pk = 1 AND upper(k.type) = 'INTEGER') AS numbers "                             \
	"  FROM pragma_table_list l, pragma_table_info(l.name, 'main') t "                         \
	"  WHERE l.schema = 'main' AND l.type = 'table' AND t.name = 'tenant_id' COLLATE NOCASE) " \
	"SELECT name, 'tenant_id is not NOT NULL' FROM tenant WHERE NOT required "                 \
	"UNION ALL SELECT name, 'its primary key does not begin with tenant_id' FROM tenant "      \
	"  WHERE pk <> 1 AND NOT (keys = 1 AND numbers = 1) "                                      \
	"UNION ALL SELECT tenant.name, 'its unique index ' || i.name || "                          \
	"  ' does not begin with tenant_id' FROM tenant, pragma_index_list(tenant.name, 'main') "  \
	"i "                                                                                       \
	"  WHERE i.\"unique\" AND (SELECT c.name FROM pragma_index_info(i.name, 'main') c "        \
	"    WHERE c.seqno = 0) IS NOT 'tenant_id' COLLATE NOCASE "                                \
	"ORDER BY 1, 2"

static int check_tenancy(sqlite3 *at)
{
	sqlite3_stmt *statement;
	int r = prepare_text(at, UNSAFE_TABLES, &statement);

	if (r < 0)
		return r;
	r = next_row(statement);
	if (r > 0)
		r = fail(ERR_INVALID, "tenants are not safe in main.%.*s: %.*s",
			STR_ARG(column_text(statement, 0)), STR_ARG(column_text(statement, 1)));
	(void)sqlite3_finalize(statement);
	return r;
}

static int run_step(struct migrate_run *run, const struct migrate_step *step)
{
	sqlite3 *at = database_of(run)->at;
	int r = 0;

	for (size_t i = 0; i < step->statements.count && r == 0; i++)
		r = run_statement(at, step, &step->statements.at[i]);
	if (r == 0)
		r = check_foreign_keys(at, step);
	if (r == 0) {
		r = check_tenancy(at);
		if (r == -ERR_INVALID) {
			struct err err = *err_last();

			r = migrate_fail(step, NULL, ERR_INVALID, err.frames[0].text);
		}
	}
	return r < 0 ? r : write_history(run, step);
}

static int sqlite_step(struct migrate_run *run, const struct migrate_step *step)
{
	sqlite3 *at = database_of(run)->at;
	int r = run_text(at, "BEGIN IMMEDIATE");

	if (r < 0)
		return r;
	r = run_step(run, step);
	if (r == 0)
		r = run_text(at, "COMMIT");
	if (r < 0 && !sqlite3_get_autocommit(at))
		(void)sqlite3_exec(at, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* --- before and after ----------------------------------------------------- */

static int sqlite_prepare(struct migrate_run *run, const struct migrate_step *steps, size_t count)
{
	sqlite3 *at = database_of(run)->at;
	int r;

	if (count > 0 && run->options->snapshot && run->applied_count > 0) {
		r = migrate_snapshot(run, at, &steps[0]);
		if (r < 0)
			return err_wrap("no snapshot before migrating, so nothing was changed");
	}
	return run_text(at, HISTORY);
}

static int sqlite_secure(struct migrate_run *run)
{
	sqlite3 *at = database_of(run)->at;

	return at ? check_tenancy(at) : 0;
}

const struct migrate_engine migrate_sqlite = {
	.kind = ENGINE_SQLITE,
	.open = sqlite_open,
	.history = sqlite_history,
	.prepare = sqlite_prepare,
	.step = sqlite_step,
	.secure = sqlite_secure,
	.close = sqlite_close,
};
