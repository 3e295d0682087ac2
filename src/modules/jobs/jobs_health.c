/* When queues are not well: their own thresholds against what was counted last. */
#include "modules/jobs/jobs_admin.h"

#include "http/health.h"
#include "observe/clock.h"

#include <stdarg.h>
#include <stdio.h>

struct looking {
	struct buf *why;
	int64_t now_us;
	bool well;
};

static void complain(struct looking *looking, struct str queue, const char *format, ...)
	PRINTF_LIKE(3, 4);

static void complain(struct looking *looking, struct str queue, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	buf_printf(
		looking->why, "%squeue %.*s: %s", looking->well ? "" : "; ", STR_ARG(queue), text);
	looking->well = false;
}

static int64_t age_ms(const struct looking *looking, struct opt_i64 since)
{
	return since.set ? MAX(looking->now_us - since.value, 0) / 1000 : 0;
}

static void look_at(const struct job_depth *sums, void *arg)
{
	struct looking *looking = arg;
	struct queue_settings settings;
	int64_t waited = age_ms(looking, sums->oldest_at), ran = age_ms(looking, sums->running_at);

	queue_settings(sums->queue, &settings);
	if (settings.alarm_depth && sums->waiting > settings.alarm_depth)
		complain(looking, sums->queue, "%lld jobs wait, more than %lld",
			(long long)sums->waiting, (long long)settings.alarm_depth);
	if (settings.alarm_age_ms && waited > settings.alarm_age_ms)
		complain(looking, sums->queue, "the next one has waited %lld ms, more than %lld",
			(long long)waited, (long long)settings.alarm_age_ms);
	if (settings.alarm_running_ms && ran > settings.alarm_running_ms)
		complain(looking, sums->queue, "one has been running for %lld ms, more than %lld",
			(long long)ran, (long long)settings.alarm_running_ms);
}

static bool is_well(struct buf *why)
{
	struct looking looking = { why, clock_wall_us(), true };

	census_each(look_at, &looking);
	return looking.well;
}

const struct health_check jobs_health = { "jobs", is_well };
