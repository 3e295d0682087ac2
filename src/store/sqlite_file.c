/* Opening. SQLite is lenient where a store must not be: it takes a read-only file without a word,
 * makes files that others can read, and finds out late that something is no database. */
#include "store/sqlite_file.h"

#include "base/err.h"
#include "base/fault.h"
#include "store/sql.h"
#include "store/sqlite.h"
#include "store/sqlite_error.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_MODE = 0600,
	BUSY_MS = 2000, /* for a lock of another program: a shell, a backup */
	VALUE_BYTES_MAX = 64 * 1024 * 1024,
	EXPRESSION_DEPTH_MAX = 200,
	COMPOUND_MAX = 50,
	PATTERN_MAX = 1000, /* bytes of a LIKE pattern: matching is quadratic */
};

const char *sqlite_vfs_name;

static void configure(void)
{
	/* Memory is counted by base/mem.h for what callers can make grow; SQLite's own count would
	 * be a lock that all threads meet at. Refused once SQLite is in use; that is no harm. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int sqlite_file_init(struct sqlite_file *file, struct str folder, size_t cache_bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int fd, r;

	(void)pthread_once(&once, configure);
	file->cache_bytes = cache_bytes;
	r = snprintf(file->path, sizeof(file->path), "%.*s/bulkhead.db", STR_ARG(folder));
	if (r < 0 || (size_t)r >= sizeof(file->path) - sizeof("-journal"))
		return fail(ERR_INVALID, "the path of the data folder is too long");

	fd = fault_point(FAULT_SYSCALL)
		     ? (errno = EMFILE, -1)
		     : open(file->path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
	if (fd < 0)
		return fail(ERR_IO, "cannot open %s: %s", file->path, err_errno_text(errno));
	(void)close(fd);
	return 0;
}

/* --- a connection ------------------------------------------------------------- */

static int fail_open(const struct sqlite_file *file, sqlite3 *db, int code)
{
	const struct err *err = err_last();
	char text[ERR_TEXT_MAX];

	(void)sqlite_fail(db, code);
	(void)snprintf(text, sizeof(text), "%s", err->frames[0].text);
	return fail(err->code, "%s: %s", file->path, text);
}

static int run(const struct sqlite_file *file, sqlite3 *db, const char *sql)
{
	int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : fail_open(file, db, code);
}

/* The first column of the first row. */
static int ask(const struct sqlite_file *file, sqlite3 *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return code == SQLITE_ROW ? 0 : fail_open(file, db, code);
}

static void set_limits(sqlite3 *db)
{
	static const int limits[][2] = {
		{ SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX },
		{ SQLITE_LIMIT_SQL_LENGTH, SQL_TEXT_MAX * 2 }, /* with EXPLAIN, and views */
		{ SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH_MAX },
		{ SQLITE_LIMIT_COMPOUND_SELECT, COMPOUND_MAX },
		{ SQLITE_LIMIT_VARIABLE_NUMBER, SQL_PARAMS_MAX },
		{ SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_MAX },
		{ SQLITE_LIMIT_ATTACHED, 0 },
	};
	static const int switches[][2] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
		{ SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
		{ SQLITE_DBCONFIG_DQS_DML, 0 }, /* "x" is never a string */
		{ SQLITE_DBCONFIG_DQS_DDL, 0 },
	};

	for (size_t i = 0; i < LEN(limits); i++)
		(void)sqlite3_limit(db, limits[i][0], limits[i][1]);
	for (size_t i = 0; i < LEN(switches); i++)
		(void)sqlite3_db_config(db, switches[i][0], switches[i][1], NULL);
}

static int set_pragmas(const struct sqlite_file *file, enum sqlite_role role, sqlite3 *db)
{
	size_t cache = file->cache_bytes / (role == SQLITE_WRITER ? 1 : 4) / KILOBYTE;
	char size[64];
	int r;

	/* First those that touch no page of the file. Checkpoints are the writer's, between groups:
	 * one inside of a commit would be everybody's delay. */
	r = run(file, db,
		"PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
		"PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0;");
	(void)snprintf(size, sizeof(size), "PRAGMA cache_size=-%zu", cache);
	if (r == 0)
		r = run(file, db, size);
	if (r == 0 && role == SQLITE_WRITER)
		r = run(file, db, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;");
	return r;
}

int sqlite_file_open(const struct sqlite_file *file, enum sqlite_role role, sqlite3 **ret)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
	sqlite3 *db = NULL;
	int code, r;

	flags |= role == SQLITE_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
	code = sqlite3_open_v2(file->path, &db, flags, sqlite_vfs_name);
	if (code != SQLITE_OK) {
		r = fail_open(file, db, code);
	} else {
		(void)sqlite3_busy_timeout(db, BUSY_MS);
		set_limits(db);
		r = set_pragmas(file, role, db);
	}
	if (r < 0) {
		(void)sqlite3_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

/* --- what is inside ------------------------------------------------------------ */

/* The header of the file says whose it is; an empty one becomes ours. */
static int check_owner(const struct sqlite_file *file, sqlite3 *db)
{
	int64_t id = 0, tables = 0;
	char mark[64];
	int r;

	r = ask(file, db, "PRAGMA application_id", &id);
	if (r == 0)
		r = ask(file, db, "SELECT count(*) FROM main.sqlite_schema", &tables);
	if (r < 0)
		return r;

	if (id != 0 && (id & ~(int64_t)0xFF) != SQLITE_FILE_ID)
		return fail(ERR_INVALID, "%s is the database of another program", file->path);
	if (id - SQLITE_FILE_ID > SQLITE_FILE_FORMAT)
		return fail(ERR_INVALID,
			"%s has format %d, which a newer version of this program made; this one "
			"knows %d",
			file->path, (int)(id - SQLITE_FILE_ID), SQLITE_FILE_FORMAT);

	/* Written at each start, so that a disk that cannot be written is found now. */
	(void)snprintf(mark, sizeof(mark), "PRAGMA application_id=%d",
		SQLITE_FILE_ID + SQLITE_FILE_FORMAT);
	return run(file, db, mark);
}

static int check_mode(const struct sqlite_file *file, sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA journal_mode=WAL", -1, &stmt, NULL);
	bool wal = false;

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
	(void)sqlite3_finalize(stmt);
	if (code != SQLITE_ROW)
		return fail_open(file, db, code);
	return wal ? 0
		   : fail(ERR_IO, "%s is on a file system without shared memory for its log",
			     file->path);
}

int sqlite_file_check(const struct sqlite_file *file)
{
	sqlite3 *db;
	int64_t version;
	int r;

	r = sqlite_file_open(file, SQLITE_WRITER, &db);
	if (r < 0)
		return r;

	r = ask(file, db, "PRAGMA main.schema_version", &version);
	if (r == 0 && sqlite3_db_readonly(db, "main") != 0)
		r = fail(ERR_IO, "%s cannot be written", file->path);
	if (r == 0)
		r = check_mode(file, db);
	if (r == 0)
		r = check_owner(file, db);
	(void)sqlite3_close(db);
	return r;
}
