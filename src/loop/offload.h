/*
 * Blocking work on threads of its own, so that a worker never waits for a disk, a resolver or a
 * password hash. A pool has few threads and a bounded queue; a full queue is an error at once
 * (ERR_FULL, a 503), not a longer wait. Work of different kinds gets different pools.
 */
#ifndef LOOP_OFFLOAD_H
#define LOOP_OFFLOAD_H

#include "loop/mailbox.h"

#include <pthread.h>

struct worker;

struct offload {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct link queue; /* struct offload_task.link */
	size_t queued, queue_limit;
	bool closing;
	pthread_t *threads;
	size_t thread_count, thread_room; /* started; space in `threads` */
};

/* Work that may be abandoned. Owned by the pool from offload_start on. */
struct offload_task {
	struct message done;
	struct link link;
	void (*run)(struct offload_task *); /* on a thread of the pool; must not touch fibers */
	void (*free)(
		struct offload_task *); /* on the worker, when nobody wants the result any more */
	struct worker *home;
	struct wait *wait;  /* the caller, while it waits */
	atomic_bool wanted; /* false: the caller has gone, need not begin */
};

/* Starts `threads` threads with a queue of at most `queue_limit` tasks. -ERR_IO, -ERR_NO_MEMORY.
 * `name` (at most 11 characters) is for people who look at the threads. */
int offload_open(struct offload *pool, const char *name, size_t threads, size_t queue_limit);

/* Runs what is queued, then ends the threads. Nobody may start work any more. */
void offload_close(struct offload *pool);

/*
 * Runs fn(arg) on the pool and parks until it has run, also when the scope is cancelled meanwhile:
 * `arg` may lie on the caller's stack. For work that is sure to end soon. 0, or -ERR_FULL without
 * having run.
 */
int offload_call(struct offload *pool, void (*fn)(void *arg), void *arg);

/*
 * Runs task->run on the pool and parks until it has run or the scope is over. With 0 the caller
 * owns the task and its result again; with a negative result it does not: task->free will be called
 * when it is done (or was, for -ERR_FULL). The task must not point into the caller's stack or
 * arena.
 */
int offload_start(struct offload *pool, struct offload_task *task);

#endif
