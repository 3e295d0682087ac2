/* The wall clock of tests. */
#include "observe/clock_test.h"

#include "base/check.h"
#include "base/test.h"
#include "observe/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t ahead;

static uint64_t now_ns(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static int64_t wall_us(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000 + atomic_load(&ahead);
}

void clock_ahead(uint64_t ns)
{
	static const struct clock_source source = { now_ns, wall_us, NULL };

	atomic_store(&ahead, (int64_t)(ns / MICROSECOND));
	clock_replace(&source);
}

void clock_pass(uint64_t ns)
{
	clock_ahead((uint64_t)atomic_load(&ahead) * MICROSECOND + ns);
}

/* --- stopped clocks ------------------------------------------------------------------ */

static _Atomic uint64_t stopped_ns;
static _Atomic int64_t stopped_us;

static uint64_t stopped_now_ns(void *arg)
{
	(void)arg;
	return atomic_load(&stopped_ns);
}

static int64_t stopped_wall_us(void *arg)
{
	(void)arg;
	return atomic_load(&stopped_us);
}

void clock_stop(void)
{
	static const struct clock_source source = { stopped_now_ns, stopped_wall_us, NULL };

	atomic_store(&stopped_ns, now_ns(NULL));
	atomic_store(&stopped_us, wall_us(NULL));
	clock_replace(&source);
}

void clock_go(uint64_t ns)
{
	(void)atomic_fetch_add(&stopped_ns, ns);
	(void)atomic_fetch_add(&stopped_us, (int64_t)(ns / MICROSECOND));
}

void clock_jump(int64_t us)
{
	(void)atomic_fetch_add(&stopped_us, us);
}

void clock_back(void)
{
	clock_replace(NULL);
	atomic_store(&ahead, 0);
}

TEST(clock_goes_ahead)
{
	int64_t wall = clock_wall_us();
	uint64_t now = clock_now_ns();

	clock_ahead(HOUR);
	clock_pass(HOUR);
	EXPECT(clock_wall_us() - wall >= INT64_C(7200000000));
	EXPECT(clock_now_ns() - now < HOUR);
	clock_back();
	EXPECT(clock_wall_us() - wall < INT64_C(3600000000));
}

TEST(clock_stands_still)
{
	uint64_t now;
	int64_t wall;

	clock_stop();
	now = clock_now_ns();
	wall = clock_wall_us();
	clock_go(3 * SECOND);
	clock_jump(-5000000);
	EXPECT_INT(clock_now_ns() - now, 3 * SECOND);
	EXPECT_INT(clock_wall_us() - wall, -2000000);
	clock_back();
	EXPECT(clock_wall_us() > wall - 1000000);
}
