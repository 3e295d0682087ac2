/*
 * Bells: what wakes those who wait for a queue to have something, on whatever thread they wait. A
 * bell tells that something may be there, not what; who is woken looks.
 */
#ifndef JOBS_BELL_H
#define JOBS_BELL_H

#include "base/str.h"

#include <stdint.h>

struct bell;
struct tx;

enum { BELLS_MAX = 4096 }; /* queues of this process; further ones share one bell */

/* The bell of a queue, made when it is asked for first; lives until bells_close. Any thread. */
struct bell *bell_of(struct str queue);

/* The bell of whoever makes delayed jobs available when their time has come. */
struct bell *bell_of_later(void);

/* How often it was rung. To be read before one looks, so that no ring is lost. Any thread. */
uint64_t bell_rings(const struct bell *bell);

/* Wakes all who wait for it here; those of other instances by a hint, soon. Any thread. */
void bell_ring(struct bell *bell);

/* After the commit of the transaction; once, however often it is asked for. -ERR_NO_MEMORY,
 * -ERR_FULL. */
int bell_ring_after(struct tx *tx, struct bell *bell);

/* Parks until it has been rung since `rings`. 0, -ERR_TIMEOUT, -ERR_CANCELLED. On a fiber. */
int bell_wait(struct bell *bell, uint64_t rings, uint64_t deadline_ns);

/* All of them. Nobody may wait when they close. -ERR_NO_MEMORY. */
int bells_open(struct store *store);
void bells_close(void);

#endif
