/* The kernel's clocks through the vDSO, behind one load that finds a test's clock. */
#include "observe/clock.h"

#include "base/check.h"

#include <stdatomic.h>
#include <time.h>

static const struct clock_source *_Atomic replaced;

uint64_t clock_now_ns(void)
{
	const struct clock_source *source = atomic_load_explicit(&replaced, memory_order_acquire);
	struct timespec now;

	if (UNLIKELY(source))
		return source->now_ns(source->arg);

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

int64_t clock_wall_us(void)
{
	const struct clock_source *source = atomic_load_explicit(&replaced, memory_order_acquire);
	struct timespec now;

	if (UNLIKELY(source))
		return source->wall_us(source->arg);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void clock_replace(const struct clock_source *source)
{
	atomic_store_explicit(&replaced, source, memory_order_release);
}
