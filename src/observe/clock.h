/*
 * The two clocks. Durations and deadlines use the monotonic one, dates the wall clock. Tests put
 * their own in place, so that a day passes without waiting for it.
 */
#ifndef OBSERVE_CLOCK_H
#define OBSERVE_CLOCK_H

#include <stdint.h>

#pragma GCC visibility push(default)

/* Where the time comes from; both functions may be called by any thread. */
struct clock_source {
	uint64_t (*now_ns)(void *arg);
	int64_t (*wall_us)(void *arg);
	void *arg;
};

/* Nanoseconds since an arbitrary moment; never goes back (CLOCK_MONOTONIC, no system call). */
uint64_t clock_now_ns(void);

/* Microseconds since 1970-01-01T00:00:00Z (CLOCK_REALTIME, no system call); may jump. */
int64_t clock_wall_us(void);

/*
 * Replaces both clocks for the whole process; NULL brings the real ones back. The source stays the
 * caller's and must live as long as it is in place. For tests.
 */
void clock_replace(const struct clock_source *source);

#pragma GCC visibility pop

#endif
