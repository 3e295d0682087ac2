/*
 * Reads, beside the writer. A read runs at once on its worker, which costs less than the way to
 * another thread and back; but a worker must not stand still, so one that takes longer than its
 * budget is interrupted and runs again on a thread of its own. Statements that did so go there
 * straight away for a while. Internal to this folder. See doc/decisions/007.
 */
#ifndef STORE_SQLITE_READER_H
#define STORE_SQLITE_READER_H

#include "store/sqlite_connection.h"
#include "store/sqlite_queue.h"

enum {
	SQLITE_READERS_MAX = 64, /* threads, and workers with a connection of their own */
	SQLITE_SLOW_SKIPS = 200, /* a slow statement is not tried on its worker so often */
};

/* The longest that a read may hold the log (see store/sqlite_log.h). */
#define SQLITE_READ_TIME (60 * SECOND)

struct sqlite_reader;

struct sqlite_readers {
	struct sqlite_queue queue;
	const struct sqlite_database *database;
	uint64_t serial; /* of this one among all of the process */
	size_t thread_count;
	struct sqlite_reader *threads[SQLITE_READERS_MAX];
	pthread_mutex_t lock; /* of `workers` */
	struct sqlite_connection *workers[SQLITE_READERS_MAX];
	size_t worker_count;
	atomic_uchar *slow; /* by number of statement: skips that are left */
	size_t slow_count;
};

void sqlite_readers_init(struct sqlite_readers *readers, const struct sqlite_database *database,
	size_t threads, size_t queue_limit);

/* Opens the connections of the threads and starts them. */
int sqlite_readers_start(struct sqlite_readers *readers);

/* Ends the threads and closes all connections. Zeroed ones are allowed. */
void sqlite_readers_close(struct sqlite_readers *readers);

/* On a fiber: runs a transaction that only reads. */
int sqlite_readers_run(struct sqlite_readers *readers, struct tx *tx);

/* What engine_ops.step does before a statement of a read: gives up at once when it is known to be
 * too slow for the worker. */
int sqlite_readers_admit(
	struct sqlite_readers *readers, struct tx *tx, const struct statement *statement);

#endif
