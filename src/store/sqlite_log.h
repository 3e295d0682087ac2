/*
 * The write-ahead log: how long it is, and when it moves into the database file. Only the writer
 * does that, and only between groups: a checkpoint inside of a commit would be everybody's delay,
 * and one beside a commit of another connection is unsafe in the SQLite versions in use. Internal
 * to this folder.
 */
#ifndef STORE_SQLITE_LOG_H
#define STORE_SQLITE_LOG_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages. */
enum {
	SQLITE_CHECKPOINT_PAGES = 16000,     /* between two groups */
	SQLITE_CHECKPOINT_IDLE_PAGES = 1000, /* when nobody writes */
	SQLITE_RESTART_PAGES = 64000,        /* beyond, readers are waited for */
};

#define SQLITE_IDLE (200 * MILLISECOND)

struct sqlite_log {
	size_t pages;      /* in use */
	size_t file_pages; /* most in use since the file was made short */
	size_t tried;      /* pages in use when a checkpoint was tried last */
};

/* Watches the commits of a connection. The log must stay where it is as long as it is open. */
void sqlite_log_watch(struct sqlite_log *log, sqlite3 *db);

/* True when there is something to do after a while of silence. */
bool sqlite_log_wants_idle(const struct sqlite_log *log);

/* Does what is due; `idle` when nobody writes. SQLITE_OK, also when readers were in the way, or the
 * error. */
int sqlite_log_tend(struct sqlite_log *log, sqlite3 *db, bool idle);

/*
 * Writes all of it once more, the same bytes in their places, and syncs. After a failed sync the
 * kernel takes for written what is not, and a later sync, also the one that a checkpoint begins
 * with, does nothing for it. Only on the writer, outside of transactions.
 */
int sqlite_log_rewrite(sqlite3 *db);

/* Moves all of it into the database file and makes it empty, waiting for readers up to a second.
 * SQLITE_OK only when it is empty. */
int sqlite_log_empty(struct sqlite_log *log, sqlite3 *db);

#endif
