/* Rates: so many starts in so much time, from one number that is kept. Pure. */
#include "modules/jobs/jobs_run.h"

static int64_t period_us(const struct queue_rate *rate)
{
	return rate->per_ms * 1000;
}

/* How far the times of those who spend at once may lie apart: a transaction's time is that of its
 * beginning, and who began first need not come first. */
#define APART ((int64_t)(MINUTE / MICROSECOND))

/* Hardly more than a period ahead, unless the clock was set back, or the period made shorter: then
 * it is begun anew. */
static int64_t known(const struct queue_rate *rate, int64_t next_at, int64_t now)
{
	return next_at > now + period_us(rate) + APART ? now : MAX(now, next_at);
}

/* What `count` starts take, in microseconds, rounded up. */
static int64_t span_us(const struct queue_rate *rate, int64_t count)
{
	return (int64_t)(((__int128)count * period_us(rate) + rate->count - 1) / rate->count);
}

int64_t rate_room(const struct queue_rate *rate, int64_t next_at, int64_t now, int64_t most)
{
	int64_t left_us;

	if (!rate->count)
		return most;
	left_us = MAX(now + period_us(rate) - known(rate, next_at, now), 0);
	return MIN(most, (int64_t)((__int128)left_us * rate->count / period_us(rate)));
}

int64_t rate_spend(const struct queue_rate *rate, int64_t next_at, int64_t now, int64_t count)
{
	return known(rate, next_at, now) + span_us(rate, count);
}

int64_t rate_again(const struct queue_rate *rate, int64_t next_at, int64_t now)
{
	return known(rate, next_at, now) + span_us(rate, 1) - period_us(rate);
}
