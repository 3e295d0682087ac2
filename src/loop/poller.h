/*
 * epoll, edge-triggered: a descriptor is registered once for both directions, and what is known of
 * it is kept in its `struct ready`. That saves a system call for every change of interest, and a
 * read that filled less than its buffer tells that the socket is empty without asking again.
 */
#ifndef LOOP_POLLER_H
#define LOOP_POLLER_H

#include "loop/ready.h"

#include <sys/epoll.h>

enum { POLLER_BATCH = 256 };

struct poller {
	int epoll;
	struct epoll_event events[POLLER_BATCH];
	int next, count; /* the part of the batch that has not been told yet */
};

/* A descriptor that a poller looks at. The descriptor stays the caller's. */
struct watch {
	struct ready ready; /* first: on_change casts back */
	struct poller *poller;
	int fd;
};

/* -ERR_IO. */
int poller_init(struct poller *poller);
void poller_done(struct poller *poller);

/* Looks at `fd` until watch_remove. Both sides begin as "try": ready. -ERR_IO when the kernel
 * refuses. */
int watch_add(struct poller *poller, struct watch *watch, int fd);

/* For listening sockets shared between workers: level-triggered, and one event wakes few of them.
 */
int watch_add_shared(struct poller *poller, struct watch *watch, int fd);

/* Stops looking and closes watch->ready. The caller closes the descriptor afterwards. */
void watch_remove(struct watch *watch);

/* Waits at most `timeout_ms` (-1: for ever) until something happens. -ERR_IO. */
int poller_wait(struct poller *poller, int timeout_ms);

/* Tells the watches what happened. Between the two the scheduler learns what time it is now, since
 * what is told begins deadlines. */
void poller_tell(struct poller *poller);

#endif
