/*
 * Deadlines of one scheduler: a 4-ary heap of absolute times. A timer is a member of what waits;
 * arming and disarming it are O(log n) and arming allocates only when the heap grows.
 */
#ifndef FIBER_TIMER_H
#define FIBER_TIMER_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

#define TIME_NEVER UINT64_MAX

struct timer {
	void (*fire)(struct timer *); /* called once, disarmed; may arm it again */
	uint32_t slot;                /* position in the heap + 1; 0 when not armed */
};

struct timer_entry {
	uint64_t at_ns;
	struct timer *timer;
};

struct timers {
	struct timer_entry *heap;
	size_t count, capacity;
};

void timers_done(struct timers *timers);

/* Arms the timer (moves it when it is armed). -ERR_NO_MEMORY when the heap cannot grow. */
int timer_arm(struct timers *timers, struct timer *timer, uint64_t at_ns);

/* Nothing happens when it is not armed. */
void timer_disarm(struct timers *timers, struct timer *timer);

/* The nearest deadline, TIME_NEVER without any. */
static inline uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[0].at_ns : TIME_NEVER;
}

/* Fires all that are due at `now_ns`, earliest first. */
void timers_fire(struct timers *timers, uint64_t now_ns);

#pragma GCC visibility pop

#endif
