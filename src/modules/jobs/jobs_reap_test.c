/* Workers that are gone, starts that take too long, and clocks that lie about both. */
#include "modules/jobs/jobs_lookout.h"
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"
#include "observe/clock_test.h"

/* --- watching, without rows ------------------------------------------------------------------ */

TEST(watched_things_are_known_by_key_and_version)
{
	struct lookout lookout = { NULL };
	struct lookout_key keys[3] = { { .id.bytes = { 1 } }, { .id.bytes = { 2 } },
		{ .id.bytes = { 3 } } };
	uint64_t since = 0;

	for (uint64_t look = 1; look <= 4; look++) {
		lookout_begin(&lookout);
		for (size_t i = 0; i < 3; i++) {
			int64_t version = i == 1 ? (int64_t)look : 7;

			if (i == 2 && look == 3)
				continue; /* not there for once */
			REQUIRE(lookout_see(&lookout, &keys[i], version, look * 10, &since) == 0);
			EXPECT_INT(since, i == 1 || (i == 2 && look == 4) ? look * 10 : 10);
		}
		lookout_end(&lookout);
	}
	/* a look that has no end did not happen */
	lookout_begin(&lookout);
	REQUIRE(lookout_see(&lookout, &keys[0], 8, 50, &since) == 0);
	lookout_begin(&lookout);
	REQUIRE(lookout_see(&lookout, &keys[0], 7, 60, &since) == 0);
	EXPECT_INT(since, 10);
	lookout_done(&lookout);
}

/* --- leases ---------------------------------------------------------------------------------- */

struct scene {
	struct store_test *test;
	struct db db;
	struct reaper *reaper;
	struct take take;
	struct haul got;
};

/* A job with two starts, taken by somebody whose lease lasts 4 s. */
static struct scene begin(struct store_test *test, uint64_t timeout_ns)
{
	struct scene scene = {
		.test = test, .db = store_test_tenant(test, 1), .take = taker("default", 10)
	};

	test->worker->sched.clock = NULL;
	clock_stop();
	(void)job_put(&scene.db,
		&(struct job_new){
			.name = S("test:plain"), .attempts = 2, .timeout_ns = timeout_ns });
	scene.got = haul(test, &scene.take);
	REQUIRE(scene.got.count == 1);
	REQUIRE(reaper_open(test->store, &scene.reaper) == 0);
	return scene;
}

static void end(struct scene *scene)
{
	reaper_close(scene->reaper);
	clock_back();
}

/* Time goes by, with a look every half second. */
static void watch_for(struct scene *scene, uint64_t ns)
{
	for (uint64_t gone = 0; gone < ns; gone += 500 * MILLISECOND) {
		clock_go(500 * MILLISECOND);
		REQUIRE(reaper_look(scene->reaper) == 0);
	}
}

static enum job_state state(const struct scene *scene)
{
	return job_look(&scene->db, scene->got.at[0].id).state;
}

static int beat_in_tx(struct tx *tx, void *arg)
{
	return lease_beat_in_tx(tx, arg);
}

static int beat(struct scene *scene)
{
	struct db db = db_of(scene->test->store, &tenant_system, &scene->test->arena);

	return db_write(&db, beat_in_tx, &scene->take.lease.id);
}

JOBS_TEST(jobs_of_a_worker_that_falls_silent_go_to_another)
{
	struct scene scene = begin(test, HOUR);

	for (int i = 0; i < 5; i++) {
		watch_for(&scene, 3 * SECOND);
		EXPECT_INT(state(&scene), JOB_RUNNING);
		EXPECT_INT(beat(&scene), 0);
	}
	watch_for(&scene, 4 * SECOND);
	EXPECT_INT(state(&scene), JOB_RUNNING);
	watch_for(&scene, SECOND);
	EXPECT_INT(state(&scene), JOB_AVAILABLE);
	EXPECT_INT(beat(&scene), -ERR_NOT_FOUND);
	EXPECT_INT(end_one(test, &scene.take, &scene.got.at[0], END_COMPLETE), -ERR_CONFLICT);

	/* its last start is lost, too */
	scene.take = taker("default", 10);
	scene.got = haul(test, &scene.take);
	REQUIRE(scene.got.count == 1);
	EXPECT_INT(scene.got.at[0].attempt, 2);
	watch_for(&scene, 6 * SECOND);
	EXPECT_INT(state(&scene), JOB_DISCARDED);
	end(&scene);
}

JOBS_TEST(jobs_are_not_lost_by_clocks_that_jump)
{
	struct scene scene = begin(test, HOUR);

	watch_for(&scene, SECOND);
	clock_jump(INT64_C(86400000000));
	watch_for(&scene, SECOND);
	clock_jump(INT64_C(-2) * 86400000000);
	watch_for(&scene, SECOND);
	EXPECT_INT(state(&scene), JOB_RUNNING);
	EXPECT_INT(beat(&scene), 0);
	watch_for(&scene, SECOND);
	/* this process stood still; who knows whether the other one did */
	clock_go(20 * MINUTE);
	REQUIRE(reaper_look(scene.reaper) == 0);
	EXPECT_INT(state(&scene), JOB_RUNNING);
	watch_for(&scene, 3 * SECOND);
	EXPECT_INT(state(&scene), JOB_AVAILABLE);
	end(&scene);
}

JOBS_TEST(jobs_that_take_too_long_end)
{
	struct scene scene = begin(test, 10 * SECOND);

	clock_jump(INT64_C(86400000000)); /* which is no time that went by */
	for (int i = 0; i < 5; i++) {
		watch_for(&scene, 2 * SECOND);
		EXPECT_INT(beat(&scene), 0);
		EXPECT_INT(state(&scene), JOB_RUNNING);
	}
	watch_for(&scene, 4 * SECOND);
	EXPECT_INT(state(&scene), JOB_RETRYABLE);
	end(&scene);
}

/* Somebody takes jobs although its lease is gone: nobody would ever watch them. */
JOBS_TEST(jobs_without_a_lease_are_ended)
{
	struct scene scene = begin(test, HOUR);

	watch_for(&scene, 6 * SECOND);
	EXPECT_INT(state(&scene), JOB_AVAILABLE);
	scene.got = haul(test, &scene.take);
	REQUIRE(scene.got.count == 1);
	watch_for(&scene, 2 * SECOND);
	EXPECT_INT(state(&scene), JOB_DISCARDED);
	end(&scene);
}

JOBS_TEST(jobs_of_this_program_run_again_at_once_after_a_restart)
{
	struct db db = store_test_tenant(test, 1);
	struct take own = taker("default", 1), others = taker("default", 1);
	struct haul mine, theirs;

	(void)job_put(&db, &(struct job_new){ .name = S("test:plain") });
	(void)job_put(&db, &(struct job_new){ .name = S("test:plain") });
	own.lease.kind = LEASE_PROGRAM;
	mine = haul(test, &own);
	theirs = haul(test, &others);
	REQUIRE(mine.count == 1 && theirs.count == 1);
	REQUIRE(jobs_recover(test->store, &test->arena) == 0);
	/* with PostgreSQL other instances may live */
	EXPECT_INT(job_look(&db, mine.at[0].id).state,
		store_is_sqlite(test->store) ? JOB_AVAILABLE : JOB_RUNNING);
	EXPECT_INT(job_look(&db, theirs.at[0].id).state, JOB_RUNNING);
}

JOBS_TEST(jobs_sync_returns)
{
	EXPECT_INT(jobs_sync(test->store, &test->arena), 0);
	EXPECT_INT(jobs_sync(test->store, &test->arena), 0);
}
