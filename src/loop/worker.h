/*
 * One thread and its loop: run the fibers that are ready, then ask epoll until the next deadline.
 * Everything of a worker is touched by its own thread only, except its mailbox.
 */
#ifndef LOOP_WORKER_H
#define LOOP_WORKER_H

#include "base/time_text.h"
#include "fiber/fiber.h"
#include "loop/mailbox.h"
#include "loop/poller.h"
#include "loop/signals.h"

#include <pthread.h>

struct worker {
	unsigned index;
	pthread_t thread;
	struct sched sched;
	struct poller poller;
	struct mailbox mailbox;
	size_t fiber_limit;

	/* Runs on the new thread before the loop; its failure ends worker_start. */
	int (*on_start)(struct worker *);
	void (*on_stop)(struct worker *); /* on the thread, after the loop; may be NULL */
	void *arg;                        /* the starter's */

	bool stopping;
	_Atomic bool over;   /* nothing is left to be done but to join the thread */
	struct message stop; /* what worker_stop sends */
	struct timer trim;   /* gives memory back after a busy time */
	int64_t wall_second; /* the second that http_date tells */
	char http_date[TIME_HTTP_LEN];
	_Alignas(16) char crash_stack[SIGNAL_STACK];
};

/* The worker of this thread; NULL on others. */
struct worker *worker_here(void);

/*
 * Starts the thread and waits until its on_start has run. The worker's members from fiber_limit to
 * arg are set by the caller. -ERR_IO, or on_start's error.
 */
int worker_start(struct worker *worker);

/* Delivers the message on the worker's thread. From any thread. */
void worker_send(struct worker *worker, struct message *message);

/* Ends the loop once no fiber lives any more; cancels the ones that do. Returns at once;
 * worker_join waits, and must come after the last worker_send of any thread. A fiber that waits
 * lets others of its thread run, for which the ending one may wait in turn. */
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);

/* The IMF-fixdate of now, formatted once a second. TIME_HTTP_LEN bytes, valid until the next call.
 */
struct str worker_http_date(struct worker *worker);

#endif
