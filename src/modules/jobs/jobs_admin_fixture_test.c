/* Jobs behind a server, for tests. */
#include "modules/jobs/jobs_admin_fixture_test.h"

#include "base/err.h"
#include "modules/audit/audit.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_queue.h"
#include "observe/clock.h"
#include "rest/idempotency.h"

#include <stdio.h>

const struct module *const jobs_world[] = { &rest_module, &audit_module, &tenant_tables_module,
	&jobs_module, &jobs_admin_module, &jobs_queues_module, NULL };

/* --- adding ---------------------------------------------------------------------------- */

struct adding_one {
	struct job_new job;
	struct job_added added;
};

static int add_in_tx(struct tx *tx, void *arg)
{
	struct adding_one *one = arg;

	return tx_enqueue(tx, &one->job, &one->added);
}

static int add(const struct db *db, void *arg)
{
	return db_write_with(db, &jobs_adding, add_in_tx, arg);
}

const char *job_add(struct world *world, const char *caller, struct job_new job)
{
	static char ids[64][UUID_TEXT_LEN + 1];
	static size_t next;
	char *id = ids[next++ % LEN(ids)];
	struct adding_one one = { .job = job };

	world_do(world, caller, add, &one);
	uuid_write(id, &one.added.id);
	return id;
}

/* --- working ------------------------------------------------------------------------------ */

struct work {
	const char *queue;
	size_t max;
	int how;
	struct take take;
	struct taken *taken;
	size_t count;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct work *work = arg;
	int64_t next;

	return jobs_take_in_tx(tx, &work->take, &work->taken, &work->count, &next);
}

struct ending_one {
	struct uuid tenant;
	struct job_end end;
};

static int end_in_tx(struct tx *tx, void *arg)
{
	struct ending_one *one = arg;
	int r = tx_enter(tx, &one->tenant);

	if (r == 0)
		r = jobs_end_in_tx(tx, &one->end, 1);
	return r < 0 ? r : tx_leave(tx);
}

static int end_one(const struct db *db, const struct work *work, const struct taken *taken)
{
	struct ending_one one = { .end = { .id = taken->id,
					  .lease_id = uuid_text(db->arena, &work->take.lease.id),
					  .attempt = taken->attempt,
					  .kind = (enum end_kind)work->how,
					  .message = S("it broke") } };
	int r;

	REQUIRE(uuid_parse(taken->tenant_id, &one.tenant));
	if (one.end.kind == END_SNOOZE)
		one.end.delay_us = INT64_C(60000000);
	r = db_write_with(db, &jobs_ending, end_in_tx, &one);
	REQUIRE(r < 0 || one.end.result_code == 0);
	return r;
}

/* PostgreSQL may still be rolling back what a call before has locked, and a take passes such rows
 * over: who gets nothing looks again before it believes it. */
static int take_all(const struct db *db, struct work *work)
{
	int r = 0;

	for (int look = 0; look < 5; look++) {
		r = db_write_with(db, &jobs_taking, take_in_tx, work);
		if (r < 0 || work->count || store_is_sqlite(db->store))
			break;
		r = fiber_sleep_until(clock_now_ns() + 10 * MILLISECOND);
		if (r < 0)
			break;
	}
	return r;
}

static int do_work(const struct db *db, void *arg)
{
	struct work *work = arg;
	int r;

	REQUIRE(queues_load(db->store, db->arena) == 0);
	work->take.queue = str_from_c(work->queue);
	work->take.max = work->max;
	work->take.lease = (struct lease){ .tenant = tenant_system,
		.kind = LEASE_PROGRAM,
		.worker = S("tester"),
		.lease_us = 4000000 };
	uuid_v7(&work->take.lease.id, clock_wall_us());
	r = take_all(db, work);
	for (size_t i = 0; i < work->count && r == 0 && work->how != LEFT_RUNNING; i++)
		r = end_one(db, work, &work->taken[i]);
	return r;
}

size_t jobs_work(struct world *world, const char *queue, size_t max, int how)
{
	struct work work = { .queue = queue, .max = max, .how = how };

	world_do(world, "o", do_work, &work);
	return work.count;
}

const char *job_state_of(struct world *world, const char *caller, const char *id)
{
	struct answer answer = world_get(world, caller, "/api/v1/jobs/%s", id);

	return answer.status == 200 ? answer_text(&answer, "state") : "gone";
}

static int recount(const struct db *db, void *arg)
{
	int r = census_count(db->store, (1U << CENSUS_PARTS) - 1);

	(void)arg;
	return r < 0 ? r : census_read(db->store);
}

void jobs_recount(struct world *world)
{
	world_do(world, "o", recount, NULL);
}
