/*
 * Bells: what wakes those who wait for a queue to have something, on whatever thread they wait. A
 * bell tells that something may be there, mostly not what; who is woken looks.
 */
#ifndef JOBS_BELL_H
#define JOBS_BELL_H

#include "base/str.h"
#include "crypto/uuid.h"

#include <stdint.h>

struct bell;
struct store;
struct tx;

enum {
	BELLS_MAX = 4096,       /* queues of this process; further ones share one bell */
	BELL_THREADS_MAX = 512, /* that wait at bells */
};

/* The bell of a queue, made when it is asked for first; lives until bells_close. Without memory for
 * it: the one that is shared. Any thread. */
struct bell *bell_of(struct str queue);

/* The bell of whoever makes delayed jobs available when their time has come. */
struct bell *bell_of_later(void);

/* How often it was rung. To be read before one looks, so that no ring is lost. Any thread. */
uint64_t bell_rings(const struct bell *bell);

/* Wakes all who wait for it here; those of other instances by a hint, soon. Any thread. */
void bell_ring(struct bell *bell);

/* A job that is ready: who has nothing else to do may take just this one. */
struct bell_offer {
	struct uuid tenant, job;
};

/* Rings, and says for what. */
void bell_ring_for(struct bell *bell, const struct bell_offer *offer);

/* How often it was rung; whether only once since `rings`, here, and for what. */
uint64_t bell_heard(struct bell *bell, uint64_t rings, bool *ret_offered, struct bell_offer *ret);

/* After the commit of the transaction; once, however often it is asked for. -ERR_NO_MEMORY,
 * -ERR_FULL. */
int bell_ring_after(struct tx *tx, struct bell *bell);

/* Parks until it has been rung since `rings`: 0, also when that was before. -ERR_TIMEOUT,
 * -ERR_CANCELLED; -ERR_NO_MEMORY and -ERR_FULL (more than BELL_THREADS_MAX threads have waited)
 * when it did not wait at all. On a fiber of a worker. */
int bell_wait(struct bell *bell, uint64_t rings, uint64_t deadline_ns);

/* Once for a store at a time: bells ring for the instances of its database from here on. Without it
 * they ring here only. -ERR_FULL. */
int bells_open(struct store *store);

/* Nobody may wait, and none may be used any more. */
void bells_close(void);

#endif
