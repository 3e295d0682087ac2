/* Debug watch over fibers: deepest stack by spawn site, and slices that held the thread too long.
 */
#include "fiber/census.h"

#ifdef BULKHEAD_DEBUG

#include <pthread.h>
#include <stdio.h>

enum { SITES_MAX = 256 }; /* more spawn sites than that are not told apart */

static struct fiber_census table[SITES_MAX];
static size_t sites;
static size_t long_slices;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct fiber_census *row_of(const char *site)
{
	for (size_t i = 0; i < sites; i++)
		if (table[i].site == site)
			return &table[i];
	if (sites < SITES_MAX)
		table[sites++].site = site;
	return &table[sites - 1];
}

void census_note(const char *site, struct stack *stack)
{
	size_t depth = stack_depth(stack);
	struct fiber_census *row;

	(void)pthread_mutex_lock(&lock);
	row = row_of(site);
	row->ended++;
	row->depth = MAX(row->depth, depth);
	(void)pthread_mutex_unlock(&lock);
	stack_forget(stack);
}

size_t fiber_census(struct fiber_census *ret, size_t capacity)
{
	size_t count;

	(void)pthread_mutex_lock(&lock);
	count = MIN(sites, capacity);
	memcpy(ret, table, count * sizeof(*ret));
	(void)pthread_mutex_unlock(&lock);
	return count;
}

uint64_t slice_begin(const struct sched *sched)
{
	return sched->clock ? sched->clock() : 0;
}

void slice_end(const struct sched *sched, uint64_t began_ns, const char *site)
{
	uint64_t took;

	if (!sched->clock)
		return;
	took = sched->clock() - began_ns;
	if (took <= SLICE_LIMIT)
		return;

	__atomic_fetch_add(&long_slices, 1, __ATOMIC_RELAXED);
	(void)fprintf(stderr, "fiber spawned at %s held its thread for %llu ms\n", site,
		(unsigned long long)(took / MILLISECOND));
}

size_t fiber_long_slices(void)
{
	return __atomic_load_n(&long_slices, __ATOMIC_RELAXED);
}

#else

size_t fiber_census(struct fiber_census *ret, size_t capacity)
{
	(void)ret, (void)capacity;
	return 0;
}

size_t fiber_long_slices(void)
{
	return 0;
}

#endif
