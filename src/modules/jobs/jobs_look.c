/*
 * What a thread looks at once a second for all its queues: the age of the oldest ready job where
 * the concurrency is dynamic, and, when notices may have been missed, which of its jobs were
 * cancelled.
 */
#include "modules/jobs/jobs_rows.h"
#include "modules/jobs/jobs_work_internal.h"
#include "observe/clock.h"
#include "observe/log.h"

#define LOOK_EVERY SECOND

struct old_key {
	struct str queue;
	int64_t before;
};

struct old_job {
	int64_t run_at;
};

struct had_key {
	struct str queue, lease_id;
};

/* clang-format off */
static const struct schema old_key_schema = SCHEMA(old_key, "Which job has waited.",
	FIELD(old_key, queue, "Where."),
	FIELD(old_key, before, "Since then, at least."));
static const struct schema old_job_schema = SCHEMA(old_job, "A job that has waited.",
	FIELD(old_job, run_at, "Since when."));
static const struct schema had_key_schema = SCHEMA(had_key, "Whose jobs.",
	FIELD(had_key, queue, "Where."),
	FIELD(had_key, lease_id, "Who has them.", .format = FORMAT_UUID));
/* clang-format on */

/* Any job that is old enough will do: it says that one grows old. */
static const struct statement job_old = STATEMENT("job_old",
	.sql = "SELECT j.run_at FROM main.job AS j WHERE j.queue = :queue "
	       "AND j.state = 'available' AND NOT j.blocked AND j.run_at <= :before LIMIT 1",
	.in = &old_key_schema, .out = &old_job_schema, .flags = STATEMENT_SYSTEM);

static const struct statement job_cancelling = STATEMENT("job_cancelling",
	.sql = "SELECT j.id FROM main.job AS j WHERE j.queue = :queue AND j.state = 'running' "
	       "AND j.cancelling AND j.lease_id = :lease_id LIMIT 10000",
	.in = &had_key_schema, .out = &job_ref_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_look_statements = JOB_STATEMENTS(&job_old, &job_cancelling);

/* --- dynamic queues ------------------------------------------------------------------------------
 */

static void look_at_age(struct crew *crew, const struct db *db)
{
	int64_t now_us = clock_wall_us();
	struct old_key key = { crew->queue, now_us - (int64_t)(PACE_AGE / MICROSECOND) };
	struct queue_settings settings;
	struct old_job old;
	uint64_t age = 0;
	int64_t former = crew->pace.hands;
	int r;

	queue_settings(crew->queue, &settings);
	if (settings.concurrency_min <= 0)
		return;
	r = db_one(db, &job_old, &key, &old);
	if (r == 0)
		age = (uint64_t)(now_us - old.run_at) * MICROSECOND;
	else if (r != -ERR_NOT_FOUND)
		return; /* others will tell */
	if (pace_look(&crew->pace, &settings, age, clock_now_ns()) > former)
		crew_wake(crew);
}

/* --- cancellations --------------------------------------------------------------------- */

/* Under the lease there is now; what was begun under another one is lost anyway. */
static int look_for_cancelled(struct crew *crew, const struct db *db)
{
	char lease_id[UUID_TEXT_LEN];
	struct had_key key = { crew->queue, str_of(lease_id, sizeof(lease_id)) };
	struct job_ref *refs;
	struct lease lease;
	size_t count;
	int r;

	if (crew->running_count == 0 || !work_lease(crew->thread->work, &lease))
		return 0;
	uuid_write(lease_id, &lease.id);
	r = db_all(db, &job_cancelling, &key, &refs, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct uuid id;

		if (uuid_parse(refs[i].id, &id))
			crew_cancel(crew, &id, START_CANCELLED);
	}
	return r;
}

int crews_look(void *arg)
{
	struct work_thread *thread = arg;
	struct arena arena;
	struct db db;

	arena_init(&arena, 4 * KILOBYTE, 16 * MEGABYTE);
	db = db_of_system(thread->work->server->store, &arena);
	while (fiber_sleep_until(clock_now_ns() + LOOK_EVERY) == 0) {
		bool doubt = thread->doubt;

		thread->doubt = false;
		for (size_t i = 0; i < thread->crew_count; i++) {
			look_at_age(&thread->crews[i], &db);
			if (doubt && look_for_cancelled(&thread->crews[i], &db) < 0)
				thread->doubt = true; /* once more */
			arena_reset(&arena);
		}
	}
	arena_done(&arena);
	return 0;
}
