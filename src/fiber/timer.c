/* A 4-ary heap: half the levels of a binary one, and the four children share a cache line. */
#include "fiber/timer.h"

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

enum { FIRST_CAPACITY = 64, ARITY = 4 };

void timers_done(struct timers *timers)
{
	mem_free(timers->heap, timers->capacity * sizeof(*timers->heap));
	*timers = (struct timers){ 0 };
}

static void place(struct timers *timers, size_t slot, struct timer_entry entry)
{
	timers->heap[slot] = entry;
	entry.timer->slot = (uint32_t)slot + 1;
}

static void sift_up(struct timers *timers, size_t slot, struct timer_entry entry)
{
	while (slot > 0) {
		size_t parent = (slot - 1) / ARITY;

		if (timers->heap[parent].at_ns <= entry.at_ns)
			break;
		place(timers, slot, timers->heap[parent]);
		slot = parent;
	}
	place(timers, slot, entry);
}

static size_t earliest_child(const struct timers *timers, size_t slot)
{
	size_t first = slot * ARITY + 1;
	size_t end = MIN(first + ARITY, timers->count);
	size_t best = first;

	for (size_t child = first + 1; child < end; child++)
		if (timers->heap[child].at_ns < timers->heap[best].at_ns)
			best = child;
	return best;
}

static void sift_down(struct timers *timers, size_t slot, struct timer_entry entry)
{
	while (slot * ARITY + 1 < timers->count) {
		size_t child = earliest_child(timers, slot);

		if (timers->heap[child].at_ns >= entry.at_ns)
			break;
		place(timers, slot, timers->heap[child]);
		slot = child;
	}
	place(timers, slot, entry);
}

static int grow(struct timers *timers)
{
	size_t capacity = timers->capacity ? timers->capacity * 2 : FIRST_CAPACITY;
	struct timer_entry *heap = mem_resize(
		timers->heap, timers->capacity * sizeof(*heap), capacity * sizeof(*heap));

	if (!heap)
		return -ERR_NO_MEMORY;

	timers->heap = heap;
	timers->capacity = capacity;
	return 0;
}

int timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ns)
{
	timer_disarm(timers, timer);
	if (timers->count == timers->capacity && grow(timers) < 0)
		return -ERR_NO_MEMORY;

	timers->count++;
	sift_up(timers, timers->count - 1, (struct timer_entry){ at_ns, timer });
	return 0;
}

void timer_disarm(struct timers *timers, struct timer *timer)
{
	size_t slot = timer->slot;
	struct timer_entry last;

	if (slot == 0)
		return;

	slot--;
	CHECK(slot < timers->count && timers->heap[slot].timer == timer);
	timer->slot = 0;
	last = timers->heap[--timers->count];
	if (slot == timers->count)
		return;

	if (slot > 0 && timers->heap[(slot - 1) / ARITY].at_ns > last.at_ns)
		sift_up(timers, slot, last);
	else
		sift_down(timers, slot, last);
}

void timers_fire(struct timers *timers, uint64_t now_ns)
{
	while (timers->count && timers->heap[0].at_ns <= now_ns) {
		struct timer *timer = timers->heap[0].timer;

		timer_disarm(timers, timer);
		timer->fire(timer);
	}
}
