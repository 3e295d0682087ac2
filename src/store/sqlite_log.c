/* A log that readers hold cannot start again at its beginning and grows; that they are bounded in
 * time, and waited for when it is very long, bounds it. */
#include "store/sqlite_log.h"

#include "base/check.h"
#include "observe/clock.h"
#include "store/sqlite_metrics.h"

enum {
	EMPTY_WAIT_MS = 1000,
	RESTART_WAIT_MS = 100,
	BUSY_MS = 2000, /* as everywhere else */
};

static void set_pages(struct sqlite_log *log, size_t pages)
{
	metric_gauge_add(sqlite_metrics.log_pages, (int64_t)pages - (int64_t)log->pages);
	log->pages = pages;
}

static int committed(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_log *log = arg;

	(void)db, (void)name;
	if ((size_t)pages < log->pages)
		log->tried = 0; /* it began again */
	set_pages(log, (size_t)pages);
	log->file_pages = MAX(log->file_pages, log->pages);
	return SQLITE_OK;
}

void sqlite_log_watch(struct sqlite_log *log, sqlite3 *db)
{
	(void)sqlite3_wal_hook(db, committed, log);
}

/* Pages since the last try. */
static size_t waiting(const struct sqlite_log *log)
{
	return log->pages - MIN(log->tried, log->pages);
}

bool sqlite_log_wants_idle(const struct sqlite_log *log)
{
	return waiting(log) >= SQLITE_CHECKPOINT_IDLE_PAGES ||
	       log->file_pages >= SQLITE_CHECKPOINT_PAGES;
}

static int checkpoint(struct sqlite_log *log, sqlite3 *db, int mode, int wait_ms)
{
	uint64_t began = clock_now_ns();
	int code;

	(void)sqlite3_busy_timeout(db, wait_ms);
	code = sqlite3_wal_checkpoint_v2(db, "main", mode, NULL, NULL);
	(void)sqlite3_busy_timeout(db, BUSY_MS);
	metric_observe(sqlite_metrics.checkpoint, clock_now_ns() - began);
	log->tried = log->pages;
	if (code == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE) {
		set_pages(log, 0);
		log->file_pages = log->tried = 0;
	}
	return code;
}

int sqlite_log_tend(struct sqlite_log *log, sqlite3 *db, bool idle)
{
	int code = SQLITE_OK;

	if (idle && log->file_pages >= SQLITE_CHECKPOINT_PAGES)
		code = checkpoint(log, db, SQLITE_CHECKPOINT_TRUNCATE, 0);
	else if (waiting(log) >= SQLITE_CHECKPOINT_PAGES && log->pages >= SQLITE_RESTART_PAGES)
		code = checkpoint(log, db, SQLITE_CHECKPOINT_RESTART, RESTART_WAIT_MS);
	else if (waiting(log) >= SQLITE_CHECKPOINT_PAGES ||
		 (idle && waiting(log) >= SQLITE_CHECKPOINT_IDLE_PAGES))
		code = checkpoint(log, db, SQLITE_CHECKPOINT_PASSIVE, 0);
	return (code & 0xFF) == SQLITE_BUSY ? SQLITE_OK : code;
}

/* Reads and writes each part of the file in its place. */
static int write_again(sqlite3_file *file, sqlite3_int64 size)
{
	char part[32 * 1024];
	int code = SQLITE_OK;

	for (sqlite3_int64 at = 0; at < size && code == SQLITE_OK; at += (int)sizeof(part)) {
		int len = (int)MIN(size - at, (sqlite3_int64)sizeof(part));

		code = file->pMethods->xRead(file, part, len, at);
		if (code == SQLITE_OK)
			code = file->pMethods->xWrite(file, part, len, at);
	}
	return code == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : code;
}

int sqlite_log_rewrite(sqlite3 *db)
{
	sqlite3_file *file = NULL;
	sqlite3_int64 size;
	int code = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file);

	if (code != SQLITE_OK || !file || !file->pMethods)
		return code; /* there is no log yet */
	code = file->pMethods->xFileSize(file, &size);
	return code == SQLITE_OK ? write_again(file, size) : code;
}

int sqlite_log_empty(struct sqlite_log *log, sqlite3 *db)
{
	return checkpoint(log, db, SQLITE_CHECKPOINT_TRUNCATE, EMPTY_WAIT_MS);
}
