/* A hash table with open addressing, at most half full, under one lock that is held for some tens
 * of nanoseconds. Keys are digests, so their first bytes are their hash. */
#include "rest/in_flight.h"

#include "base/check.h"
#include "base/err.h"

#include <pthread.h>

enum { SLOTS = 2 * IN_FLIGHT_MAX, MASK = SLOTS - 1 };

struct slot {
	const void *owner; /* NULL: free */
	uint8_t key[SHA256_LEN];
};

static struct {
	pthread_mutex_t lock;
	struct slot slots[SLOTS];
	size_t count;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t home_of(const uint8_t *key)
{
	size_t hash;

	_Static_assert((SLOTS & MASK) == 0, "a power of two");
	memcpy(&hash, key, sizeof(hash));
	return hash & MASK;
}

/* The slot of the key, or the free one where it would be. */
static size_t find(const void *owner, const uint8_t *key)
{
	size_t at = home_of(key);

	while (table.slots[at].owner && (table.slots[at].owner != owner ||
						memcmp(table.slots[at].key, key, SHA256_LEN) != 0))
		at = (at + 1) & MASK;
	return at;
}

/* Closes the gap: whoever stands behind it because the place was taken moves up. */
static void close_gap(size_t gap)
{
	for (size_t at = (gap + 1) & MASK; table.slots[at].owner; at = (at + 1) & MASK) {
		size_t home = home_of(table.slots[at].key);

		/* It stays when its home lies behind the gap, seen from where it stands. */
		if (((at - home) & MASK) < ((at - gap) & MASK))
			continue;
		table.slots[gap] = table.slots[at];
		gap = at;
	}
	table.slots[gap].owner = NULL;
}

int in_flight_enter(const void *owner, const uint8_t key[SHA256_LEN])
{
	bool known, full;
	size_t at;

	(void)pthread_mutex_lock(&table.lock);
	at = find(owner, key);
	known = table.slots[at].owner;
	full = table.count == IN_FLIGHT_MAX;
	if (!known && !full) {
		table.slots[at].owner = owner;
		memcpy(table.slots[at].key, key, SHA256_LEN);
		table.count++;
	}
	(void)pthread_mutex_unlock(&table.lock);

	if (known)
		return fail(ERR_CONFLICT, "the first request with this Idempotency-Key is in work");
	if (full)
		return fail(ERR_FULL, "more than %d repeatable requests in work", IN_FLIGHT_MAX);
	return 0;
}

void in_flight_leave(const void *owner, const uint8_t key[SHA256_LEN])
{
	size_t at;

	(void)pthread_mutex_lock(&table.lock);
	at = find(owner, key);
	CHECK(table.slots[at].owner);
	close_gap(at);
	table.count--;
	(void)pthread_mutex_unlock(&table.lock);
}

size_t in_flight_count(void)
{
	size_t count;

	(void)pthread_mutex_lock(&table.lock);
	count = table.count;
	(void)pthread_mutex_unlock(&table.lock);
	return count;
}
