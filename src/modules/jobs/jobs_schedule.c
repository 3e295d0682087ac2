/*
 * Jobs by schedule: kinds that say how often are added by themselves, to the installation's own
 * jobs. Every instance that schedules tries; a unique key that throttles lets one of them succeed,
 * and whose time it is counted by is the database's. So a schedule goes on where it was after a
 * restart, and what was missed meanwhile is done once.
 */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_work_internal.h"
#include "observe/clock.h"
#include "observe/log.h"

/* Others may have added it: it is tried again so often until it is due. */
#define TRY_EVERY MINUTE

/* An attempt that failed is for people to look at; the next one is not in a hurry. */
#define AGAIN_AFTER_MS (5 * 60 * 1000)

struct due {
	const struct job_kind *kind;
	struct job_added added;
};

static int add_in_tx(struct tx *tx, void *arg)
{
	static const struct job_backoff backoff = {
		.kind = JOB_BACKOFF_FIXED, .delay_ms = AGAIN_AFTER_MS, .jitter = 20
	};
	struct due *due = arg;
	struct str name = str_from_c(due->kind->name);
	struct job_new job = {
		.name = name,
		.backoff = &backoff,
		.unique_key = name,
		.unique_mode = JOB_UNIQUE_THROTTLE,
		.unique_ns = due->kind->every_ns,
	};

	return tx_enqueue(tx, &job, &due->added);
}

/* Tries to add one; when it is to be tried again. */
static uint64_t try_one(struct work *work, const struct job_kind *kind, struct arena *arena)
{
	struct db db = db_of(work->server->store, &tenant_system, arena);
	struct due due = { .kind = kind };
	int r = db_write_with(&db, &jobs_adding, add_in_tx, &due);

	if (r < 0 && r != -ERR_CANCELLED)
		log_warn("a job cannot be added by schedule", LOG_ERR,
			LOG_STR("job", str_from_c(kind->name)));
	arena_reset(arena);
	return clock_now_ns() + (r == 0 && due.added.outcome == JOB_ADDED
						? kind->every_ns
						: MIN(kind->every_ns, TRY_EVERY));
}

int schedule_keep(void *arg)
{
	struct work *work = arg;
	uint64_t next_ns[SCHEDULES_MAX] = { 0 }, until;
	struct arena arena;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	do {
		const struct job_kind *kind;
		size_t at = 0, i = 0;

		until = TIME_NEVER;
		while ((kind = job_kind_next(&at)) && i < SCHEDULES_MAX) {
			if (!kind->every_ns)
				continue;
			if (clock_now_ns() >= next_ns[i])
				next_ns[i] = try_one(work, kind, &arena);
			until = MIN(until, next_ns[i]);
			i++;
		}
	} while (fiber_sleep_until(until) == 0);
	arena_done(&arena);
	return 0;
}
