/*
 * What fibers of one thread meet at: mutex, condition, channel. Only a wait can interleave two
 * fibers of a thread, so plain variables between waits need no lock; these are for work that waits
 * in the middle. Nothing here may be shared between threads.
 */
#ifndef FIBER_SYNC_H
#define FIBER_SYNC_H

#include "fiber/fiber.h"

#pragma GCC visibility push(default)

/* Hands itself directly to the first waiter: fair, no barging. Not recursive. */
struct mutex {
	struct fiber *owner;
	struct link waits;
};

void mutex_init(struct mutex *mutex);

/* 0, or -ERR_TIMEOUT / -ERR_CANCELLED without the lock. */
int mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* Fibers waiting for something to change. Needs no mutex: check, then cond_wait, with no wait
 * between. */
struct cond {
	struct link waits;
};

void cond_init(struct cond *cond);

/* Parks until signalled or `deadline_ns`; the result of park. */
int cond_wait(struct cond *cond, uint64_t deadline_ns);

/* Wakes the first waiter, if there is one; all waiters. */
void cond_signal(struct cond *cond);
void cond_broadcast(struct cond *cond);

/* A bounded queue of elements of one size. A full one parks the sender: that is the back-pressure.
 */
struct channel {
	char *ring;
	size_t size;     /* of one element */
	size_t capacity; /* elements */
	size_t head, count;
	bool closed;
	struct link senders, receivers;
};

/* -ERR_NO_MEMORY. */
int channel_init(struct channel *channel, size_t size, size_t capacity);

/* Frees it. Nobody may wait at it. */
void channel_done(struct channel *channel);

/* Copies one element in. 0, -ERR_CLOSED, or the result of park (the element was not taken then). */
int channel_send(struct channel *channel, const void *element);

/* Copies one element out, in the order sent. 0, -ERR_CLOSED when it is closed and empty, or the
 * result of park. */
int channel_receive(struct channel *channel, void *ret);

/* No more sends; what is inside can still be received. Wakes all waiters that cannot go on. */
void channel_close(struct channel *channel);

#pragma GCC visibility pop

#endif
