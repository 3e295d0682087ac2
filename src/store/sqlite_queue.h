/*
 * Transactions of fibers on their way to a thread of the engine and back. A bounded queue takes
 * them, the caller parks, the thread runs them and answers, one message for all that go to the same
 * worker. Internal to this folder.
 *
 * A caller whose scope ends while its transaction waits takes it out again. One that is being run
 * is told to stop and waited for, since it lives on the caller's stack.
 */
#ifndef STORE_SQLITE_QUEUE_H
#define STORE_SQLITE_QUEUE_H

#include "loop/worker.h"
#include "observe/metric.h"
#include "store/sqlite_connection.h"

#include <pthread.h>
#include <stdatomic.h>

/* A transaction of a fiber, on its stack. */
struct sqlite_request {
	struct tx *tx;
	struct link link;            /* in the queue, then in a list of the thread's */
	struct worker *home;         /* of the fiber */
	struct message answer;       /* of the first of several */
	struct sqlite_request *also; /* answered by the same message */
	struct wait wait;
	void *context;        /* the fiber's, for log lines */
	atomic_int stop;      /* not 0: why the caller wants no more */
	uint64_t deadline_ns; /* of the caller's scope or shielded section */
	int result;           /* the thread's, with `err` when it is negative */
	struct err err;       /* the slot while the thread runs it */
	bool queued;          /* in the queue; under its lock */
	bool answered;        /* the worker's */
};

struct sqlite_queue {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct link requests; /* struct sqlite_request.link */
	size_t count, limit;
	bool open;                  /* takes requests */
	const char *of;             /* for people: "writes" */
	const struct metric *depth; /* gauge of `count`; may be NULL */
};

void sqlite_queue_init(struct sqlite_queue *queue, const char *of, size_t limit);
void sqlite_queue_done(struct sqlite_queue *queue);

/* From now on, until sqlite_queue_close, it takes requests. Closing wakes the threads. */
void sqlite_queue_open(struct sqlite_queue *queue);
void sqlite_queue_close(struct sqlite_queue *queue);

/* 0, or why a transaction of the running fiber must not begin: its scope is over. */
int sqlite_refuse(void);

/* When a transaction of the running fiber must end. */
uint64_t sqlite_deadline(const struct tx *tx);

/*
 * On the caller's fiber: has a thread run the transaction, and gives its result. -ERR_FULL when too
 * many wait; -ERR_TIMEOUT or -ERR_CANCELLED when the scope ended before it began.
 */
int sqlite_queue_run(struct sqlite_queue *queue, struct tx *tx);

/*
 * On a thread: moves up to `max` requests to the end of `to` and returns their number; waits for
 * the first one until `until_ns` (CLOCK_MONOTONIC; TIME_NEVER). 0: none came, or the queue is
 * closed.
 */
size_t sqlite_queue_take(
	struct sqlite_queue *queue, size_t max, uint64_t until_ns, struct link *to);

/* True when it takes no requests any more and none is left. */
bool sqlite_queue_over(struct sqlite_queue *queue);

/* Puts requests that were taken back to the front, in their order. */
void sqlite_queue_give_back(struct sqlite_queue *queue, struct link *requests);

/*
 * Runs the transaction on this connection with the caller's error slot and log context: an attempt
 * by tx_call. At most `longest_ns`. Commits nothing.
 */
int sqlite_request_call(
	struct sqlite_request *request, struct sqlite_connection *connection, uint64_t longest_ns);

/* Answers all of the list, which is empty then. They must not be touched any more. */
void sqlite_answer(struct link *requests);

#endif
