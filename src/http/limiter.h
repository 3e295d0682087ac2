/*
 * Named rate limiters: how much a key (an address, a user, an API key) may do in a time. Shared by
 * all workers and exact under concurrency: whatever runs in parallel, no key gets a unit more than
 * its limit says. All times are the caller's monotonic clock, so tests need no waiting.
 *
 * LIMITER_TOKEN_BUCKET, as GCRA (ITU-T I.371): a full bucket holds `burst` units, and one flows
 * back every window_ns / quota. Any span of time t sees at most burst + t * quota / window_ns
 * units. State is one time, exact to 2^-32 ns.
 *
 * LIMITER_SLIDING_WINDOW: no span of window_ns ever sees more than `quota` units, wherever it
 * starts. With quota <= LIMITER_CELLS every take is remembered by itself, and a unit comes back
 * exactly window_ns after it was taken. Above that, takes that lie within window_ns /
 * (LIMITER_CELLS - 1) of each other are remembered together and come back together, at most that
 * long later. The error has one side: the limiter is up to 7 % stricter in time, never laxer.
 *
 * Memory is bounded and taken at the start: `slots` keys are remembered. A key is its 64-bit
 * SipHash under the process' secret, which also picks the set of LIMITER_WAYS slots where the key
 * may live. When a set is full, a new key replaces the first of: one whose state is that of a key
 * never seen; the open one that has used least; the blocked one whose block ends first. Nobody
 * outside can tell which keys share a set. So making a limiter forget a key that has used u units
 * takes about `slots` other keys that have used as much, in the same window; and making it forget a
 * blocked key takes about `slots` blocked ones. Whoever owns that many addresses has that many
 * quotas anyway: against him stand limits by tenant and by connection, not limits by address.
 */
#ifndef HTTP_LIMITER_H
#define HTTP_LIMITER_H

#include "base/check.h"
#include "base/str.h"
#include "net/address.h"

#include <pthread.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum limiter_algorithm { LIMITER_TOKEN_BUCKET, LIMITER_SLIDING_WINDOW };

enum {
	LIMITER_NAME_MAX = 32,       /* bytes */
	LIMITER_SLOTS = 64 * 1024,   /* when the options say 0 */
	LIMITER_SLOTS_MAX = 1 << 24, /* 0.7 GB of buckets, or 5 GB of windows */
	LIMITER_WAYS = 16,
	LIMITER_CELLS = 16,
	LIMITER_LOCKS = 64,
	LIMITER_ADDRESS_KEY = 16, /* bytes of limiter_address_key */
};

/* Of quota and burst; of window_ns; of window_ns, block_ns and the time a bucket takes to fill. */
#define LIMIT_QUOTA_MAX  ((uint64_t)UINT32_MAX)
#define LIMIT_WINDOW_MIN MILLISECOND
#define LIMIT_SPAN_MAX   ((uint64_t)366 * 24 * HOUR)

/* How much is allowed. Plain numbers: the same key may be held to another limit at each take. */
struct limit {
	uint64_t quota;     /* units in a window; at least 1 */
	uint64_t window_ns; /* LIMIT_WINDOW_MIN to LIMIT_SPAN_MAX */
	uint64_t burst; /* units of a full bucket; 0: as the quota. The sliding window has none */
	uint64_t block_ns; /* who asks for too much gets nothing for so long; 0: no block */

	/* made by limit_prepare */
	unsigned __int128 interval; /* of a bucket: time for one unit, in 2^-32 ns */
	unsigned __int128 capacity; /* burst times that */
	uint64_t grain_ns;          /* of a window: takes this close are remembered together */
};

/* Checks the numbers and makes what follows from them. -ERR_INVALID with a sentence for people. */
int limit_prepare(struct limit *limit);

struct limiter_options {
	struct str name; /* 1 to LIMITER_NAME_MAX of a-z, 0-9, '-', '_'; goes into headers */
	enum limiter_algorithm algorithm;
	struct limit limit; /* need not be prepared */
	size_t slots;       /* keys remembered, rounded up to a power of two; 0: LIMITER_SLOTS */
};

struct tally;
struct cell;

struct limiter_lock {
	pthread_mutex_t lock;
	uint64_t evicted; /* keys that were forgotten before their time */
	char padding[64 - (sizeof(pthread_mutex_t) + sizeof(uint64_t)) % 64];
};

struct limiter {
	char name[LIMITER_NAME_MAX];
	size_t name_len;
	enum limiter_algorithm algorithm;
	struct limit limit;
	size_t slots;
	uint64_t *tags; /* of each slot: the hash of its key, 0 when free; a set is WAYS in a row */
	struct tally *tallies; /* of each slot: what its key has used */
	struct cell *cells;    /* of each slot of a sliding window: LIMITER_CELLS */
	struct limiter_lock locks[LIMITER_LOCKS]; /* of the set with that number, modulo LOCKS */
};

/*
 * Takes all memory: 40 bytes a slot for a bucket, 296 for a window, of which all but 8 become
 * resident only when keys come to use them. -ERR_INVALID with a sentence for people,
 * -ERR_NO_MEMORY; then there is nothing to undo.
 */
int limiter_init(struct limiter *limiter, const struct limiter_options *options);

/* Frees it; also what is zero. */
void limiter_done(struct limiter *limiter);

/* What came of it. */
struct limit_verdict {
	bool allowed;
	bool blocked;       /* refused by a block, perhaps one that began just now */
	struct str name;    /* the limiter's own memory */
	uint64_t quota;     /* units in ... */
	uint64_t window_ns; /* ... this time */
	uint64_t limit;     /* most units at once: the burst of a bucket, the quota of a window */
	uint64_t remaining; /* units that could be taken now; 0 while blocked */
	uint64_t more_ns;   /* until `remaining` grows; 0 when nothing is used */
	uint64_t full_ns;   /* until nothing is used any more */
	uint64_t
		retry_after_ns; /* until the same cost is allowed, if nothing else is taken
				   meanwhile. 0: allowed; UINT64_MAX: never, cost exceeds `limit` */
};

/*
 * Takes `cost` units of the key, or nothing. A refusal starts the limit's block, if there is one
 * and the cost could ever be allowed; what is asked for during a block is refused, and neither
 * counts nor makes it longer. A block gives nothing back: whatever is still used when it ends stays
 * used, and retry_after_ns says when both are over.
 *
 * Cost 0 only looks: it is allowed unless the key is blocked, and does not make the limiter
 * remember the key. `now_ns` may lag behind that of another thread.
 */
void limiter_take(struct limiter *limiter, struct str key, uint64_t cost, uint64_t now_ns,
	struct limit_verdict *ret);

/* The same under another limit (prepared), for keys that have more or less than others. When a key
 * changes over, its bucket keeps the time it needs to be full, its window the units that were
 * taken. */
void limiter_take_of(struct limiter *limiter, const struct limit *limit, struct str key,
	uint64_t cost, uint64_t now_ns, struct limit_verdict *ret);

/* Makes the key one that was never seen, block included: after a login that went well, or by order
 * of an operator. */
void limiter_forget(struct limiter *limiter, struct str key);

/* How often a key was forgotten before its time because its set was full: grows in a flood, or when
 * `slots` is too small. */
uint64_t limiter_evicted(struct limiter *limiter);

/*
 * The key of a client address: all of IPv4, the /64 of IPv6, since any one host can use all
 * addresses of its /64. A site with a /48 still has 65,536 of them.
 */
void limiter_address_key(const struct address *address, char key[LIMITER_ADDRESS_KEY]);

#pragma GCC visibility pop

#endif
