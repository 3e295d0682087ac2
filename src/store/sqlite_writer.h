/*
 * The one thread that writes. It takes all transactions that wait, runs them one after the other
 * inside one database transaction, commits, and then answers them all: one sync of the disk for
 * many. Between groups it moves the log into the database file. Internal to this folder.
 */
#ifndef STORE_SQLITE_WRITER_H
#define STORE_SQLITE_WRITER_H

#include "store/sqlite_connection.h"
#include "store/sqlite_log.h"
#include "store/sqlite_queue.h"

enum {
	SQLITE_GROUP_MAX = 256,  /* transactions of a group */
	SQLITE_GROUP_RERUNS = 8, /* after so many, those that are left get a group each */
};

/* The longest that one member may hold up all others. */
#define SQLITE_MEMBER_TIME (30 * SECOND)

struct sqlite_writer {
	struct sqlite_queue queue;
	struct sqlite_connection connection;
	const struct sqlite_database *database;
	pthread_t thread;
	bool started;
	/* the thread's */
	bool synced;     /* PRAGMA synchronous is FULL, not NORMAL */
	bool distrusted; /* the disk has failed: nothing is written before the log is empty */
	size_t careful;  /* so many of the next ones get a group each */
	struct sqlite_log log;
};

/* Opens the connection; the thread comes with sqlite_writer_start. */
int sqlite_writer_open(
	struct sqlite_writer *writer, const struct sqlite_database *database, size_t queue_limit);
int sqlite_writer_start(struct sqlite_writer *writer);

/* Runs what is queued, ends the thread and closes the connection. Zeroed ones are allowed. */
void sqlite_writer_close(struct sqlite_writer *writer);

/* On a fiber: runs a transaction as a member of some group. */
int sqlite_writer_run(struct sqlite_writer *writer, struct tx *tx);

#endif
