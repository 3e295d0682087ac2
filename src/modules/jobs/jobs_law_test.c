/*
 * What must hold after any sequence of adds, starts and ends: seats of groups never exceed their
 * number and are never left empty, of a unique key there is one. Random sequences, held against the
 * rows after each step, and fibers that want the same at once.
 */
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock_test.h"

#include <stdio.h>

enum { STEPS = 150, STEPS_LONG = 3000, ACTORS = 6, ROUNDS = 12, ROUNDS_LONG = 300 };

/* --- rows ------------------------------------------------------------------------------------ */

struct law_job {
	struct str id;
	enum job_state state;
	bool seated, blocked;
	int64_t turn, run_at;
	struct opt_str group_key, unique_key;
};

/* clang-format off */
static const struct schema law_job_schema = SCHEMA(law_job, "A job that has not ended.",
	FIELD(law_job, id, "Which.", .format = FORMAT_UUID),
	FIELD(law_job, state, "How far it is.", .choices = job_state_names),
	FIELD(law_job, seated, "Whether it has a seat."),
	FIELD(law_job, blocked, "Or waits for one."),
	FIELD(law_job, turn, "When it is its turn."),
	FIELD(law_job, run_at, "When it may start."),
	FIELD(law_job, group_key, "Of which group."),
	FIELD(law_job, unique_key, "Of which key."));
/* clang-format on */

static const struct statement law_jobs = STATEMENT("test_law_jobs",
	.sql = "SELECT id, state, seated, blocked, turn, run_at, group_key, unique_key FROM job "
	       "WHERE tenant_id = :tenant AND state IN ('scheduled', 'available', 'running', "
	       "'retryable') ORDER BY turn, id",
	.out = &law_job_schema);

static const struct statement law_move = STATEMENT("test_law_move",
	.sql = "UPDATE main.job SET state = :state, seated = :seated, blocked = :blocked, "
	       "run_at = :run_at WHERE tenant_id = :tenant AND id = :id",
	.in = &law_job_schema, .expect = EXPECT_ONE);

static const struct statement *const law_statements[] = { &law_jobs, &law_move };
const struct job_statements job_law_test_statements = { law_statements, LEN(law_statements) };

struct law {
	struct store_test *test;
	struct db db;
	uint64_t random;
	struct law_job *jobs;
	size_t count;
};

static void look(struct law *law)
{
	REQUIRE(db_all(&law->db, &law_jobs, NULL, &law->jobs, &law->count) == 0);
}

/* One of those that have not ended and are as `fits` wants; NULL when none is. */
static struct law_job *pick(struct law *law, bool (*fits)(const struct law_job *))
{
	size_t first = law->count ? test_random(&law->random) % law->count : 0;

	for (size_t i = 0; i < law->count; i++) {
		struct law_job *job = &law->jobs[(first + i) % law->count];

		if (fits(job))
			return job;
	}
	return NULL;
}

/* --- groups ------------------------------------------------------------------------------------
 */

static bool has_seat(const struct law_job *job)
{
	return job->seated;
}

static bool wants_seat(const struct law_job *job)
{
	return job->blocked;
}

struct group_step {
	struct law_job *job;
	enum { STEP_END, STEP_HALT, STEP_CANCEL, STEP_RESUME } what;
	const char *group;
};

static int group_step_in_tx(struct tx *tx, void *arg)
{
	const struct group_step *step = arg;
	const struct group_ref group = { S("default"),
		step->job ? step->job->group_key.value : str_from_c(step->group) };
	struct law_job job;
	int r;

	if (step->what == STEP_RESUME)
		return group_resume_in_tx(tx, &group);
	job = *step->job;
	job.state = step->what == STEP_CANCEL ? JOB_CANCELLED : JOB_COMPLETED;
	job.seated = job.blocked = false;
	r = tx_exec(tx, &law_move, &job);
	if (r < 0)
		return r;
	return step->what == STEP_CANCEL ? group_unwait_in_tx(tx, &group)
					 : group_leave_in_tx(tx, &group, step->what == STEP_HALT);
}

static const char *const groups[] = { "g1", "g2" };

static void group_step(struct law *law)
{
	uint64_t what = test_random(&law->random) % 10;
	const char *group = groups[test_random(&law->random) % LEN(groups)];
	struct group_step step = { .group = group };
	int r;

	if (what < 4) {
		(void)job_put(&law->db,
			&(struct job_new){ .name = S("a:b"),
				.group_key = str_from_c(group),
				.priority = { .set = true,
					.value = (int64_t)(test_random(&law->random) % 10) } });
		return;
	}
	step.what = what < 7    ? STEP_END
		    : what == 7 ? STEP_HALT
		    : what == 8 ? STEP_CANCEL
				: STEP_RESUME;
	if (step.what != STEP_RESUME)
		step.job = pick(law, step.what == STEP_CANCEL ? wants_seat : has_seat);
	if (!step.job && step.what != STEP_RESUME)
		return;
	r = db_write(&law->db, group_step_in_tx, &step);
	EXPECT(r == 0 || (r == -ERR_NOT_FOUND && step.what == STEP_RESUME));
}

/* Whoever waits comes after all who have a seat only as far as seats were free when it came, so of
 * the order only this is sure: who waits is held back by a full or halted group. */
static void check_group(struct law *law, const char *key, int64_t seats)
{
	struct group_seen seen = group_look(&law->db, "default", key);
	int64_t seated = 0, blocked = 0;

	for (size_t i = 0; i < law->count; i++) {
		const struct law_job *job = &law->jobs[i];

		if (!str_eq(job->group_key.value, str_from_c(key)))
			continue;
		EXPECT(job->seated != job->blocked);
		seated += job->seated;
		blocked += job->blocked;
	}
	EXPECT_INT(seen.active, seated);
	EXPECT_INT(seen.waiting, blocked);
	EXPECT(seated <= seats);
	EXPECT(blocked == 0 || seen.halted || seated == seats);
}

JOBS_TEST(groups_never_have_more_than_their_seats)
{
	for (int64_t seats = 1; seats <= 3; seats++) {
		struct law law = { .test = test,
			.db = store_test_tenant(test, (unsigned)seats),
			.random = (uint64_t)seats };
		char settings[64];

		(void)snprintf(settings, sizeof(settings), "\"groupConcurrency\":%d", (int)seats);
		queue_give(test, "default", settings);
		for (int i = 0; i < (test_long() ? STEPS_LONG : STEPS); i++) {
			struct arena_mark mark = arena_mark(&test->arena);

			look(&law);
			group_step(&law);
			look(&law);
			check_group(&law, "g1", seats);
			check_group(&law, "g2", seats);
			arena_back(&test->arena, mark);
		}
	}
}

/* Seats are given to those whose turn is first. */
JOBS_TEST(seats_go_by_turn)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .group_key = S("g") };
	struct law law = { .test = test, .db = db, .random = 1 };
	struct str first = job_put(&db, &job), late = job_put(&db, &job), soon;
	struct group_step step = { .what = STEP_END };

	job.priority = (struct opt_i64){ .set = true, .value = 0 };
	soon = job_put(&db, &job);
	look(&law);
	step.job = pick(&law, has_seat);
	REQUIRE(step.job);
	EXPECT_STR(step.job->id, first);
	EXPECT_INT(db_write(&db, group_step_in_tx, &step), 0);
	EXPECT(!job_look(&db, soon).blocked);
	EXPECT(job_look(&db, late).blocked);
}

JOBS_TEST(group_rates_space_starts)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .group_key = S("g") };
	struct job_shown first, second, third;

	queue_give(test, "default",
		"\"groupConcurrency\":3,\"groupRate\":{\"count\":1,\"perMs\":60000}");
	first = job_look(&db, job_put(&db, &job));
	second = job_look(&db, job_put(&db, &job));
	third = job_look(&db, job_put(&db, &job));
	EXPECT_INT(first.state, JOB_AVAILABLE);
	EXPECT_INT(second.state, JOB_SCHEDULED);
	EXPECT_INT(second.run_at.value - first.run_at.value, 60000000);
	EXPECT_INT(third.run_at.value - second.run_at.value, 60000000);
}

/* --- unique keys -------------------------------------------------------------------------------
 */

static bool may_start(const struct law_job *job)
{
	return job->state == JOB_AVAILABLE;
}

static bool is_any(const struct law_job *job)
{
	(void)job;
	return true;
}

static bool is_due(const struct law_job *job)
{
	return job->state == JOB_SCHEDULED && job->run_at < JOB_BEHIND_US;
}

static int end_unique_in_tx(struct tx *tx, void *arg)
{
	struct law_job job = *(struct law_job *)arg;
	int r;

	job.state = JOB_COMPLETED;
	r = tx_exec(tx, &law_move, &job);
	return r < 0 ? r : unique_free_in_tx(tx, S("default"), job.unique_key.value, job.id);
}

static void add_unique(struct law *law, uint64_t modes)
{
	struct job_new job = { .name = S("a:b"),
		.unique_key = test_random(&law->random) % 2 ? S("u1") : S("u2"),
		.unique_mode = test_random(&law->random) % modes };
	struct job_added added;
	int r;

	if (job.unique_mode == JOB_UNIQUE_THROTTLE || job.unique_mode == JOB_UNIQUE_DEBOUNCE)
		job.unique_ns = MINUTE;
	r = job_try(&law->db, &job, &added);
	EXPECT(r == 0 || (r == -ERR_CONFLICT && job.unique_mode == JOB_UNIQUE_REJECT));
}

static void unique_step(struct law *law)
{
	uint64_t what = test_random(&law->random) % 8;
	struct law_job *job;

	if (what < 4) {
		add_unique(law, JOB_UNIQUE_DEBOUNCE + 1);
	} else if (what == 4) {
		job = pick(law, may_start);
		if (job)
			job_move(&law->db, job->id, JOB_RUNNING);
	} else if (what == 5) {
		job = pick(law, is_due);
		if (job)
			job_move(&law->db, job->id, JOB_AVAILABLE);
	} else if (what == 6) {
		job = pick(law, is_any);
		if (job)
			EXPECT_INT(db_write(&law->db, end_unique_in_tx, job), 0);
	} else {
		clock_pass(20 * SECOND);
	}
}

static void check_unique(struct law *law, struct str key)
{
	size_t running = 0, waiting = 0, behind = 0;

	for (size_t i = 0; i < law->count; i++) {
		const struct law_job *job = &law->jobs[i];
		bool is_behind = job->run_at == JOB_BEHIND_US;

		if (!str_eq(job->unique_key.value, key))
			continue;
		running += job->state == JOB_RUNNING;
		waiting += job->state != JOB_RUNNING;
		behind += is_behind;
	}
	EXPECT(running <= 1);
	EXPECT(waiting <= 1);
	EXPECT(behind == 0 || running == 1);
	EXPECT(running == 0 || waiting == behind);
}

JOBS_TEST(unique_keys_stand_for_one_job)
{
	struct law law = { .test = test, .db = store_test_tenant(test, 1), .random = 4711 };

	clock_ahead(0);
	for (int i = 0; i < (test_long() ? STEPS_LONG : STEPS); i++) {
		struct arena_mark mark = arena_mark(&test->arena);

		look(&law);
		unique_step(&law);
		look(&law);
		check_unique(&law, S("u1"));
		check_unique(&law, S("u2"));
		arena_back(&test->arena, mark);
	}
	clock_back();
}

JOBS_TEST(throttles_hold_for_their_time)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"),
		.unique_key = S("u"),
		.unique_mode = JOB_UNIQUE_THROTTLE,
		.unique_ns = MINUTE };
	struct job_added first, added;
	struct law law = { .test = test, .db = db, .random = 1 };

	EXPECT_INT(job_try(&db, &job, &first), 0);
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_KEPT);
	EXPECT(uuid_cmp(&added.id, &first.id) == 0);

	look(&law);
	EXPECT_INT(db_write(&db, end_unique_in_tx, &law.jobs[0]), 0);
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_KEPT); /* it has ended, and throttles */

	clock_ahead(61 * SECOND);
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_ADDED);
	look(&law);
	EXPECT_INT(db_write(&db, end_unique_in_tx, &law.jobs[0]), 0);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 1);
	EXPECT_INT(unique_sweep(test->store), 0);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 1);
	clock_pass(61 * SECOND);
	EXPECT_INT(unique_sweep(test->store), 0);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
	clock_back();
}

JOBS_TEST(debounce_moves_the_start_on)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"),
		.unique_key = S("u"),
		.unique_mode = JOB_UNIQUE_DEBOUNCE,
		.unique_ns = MINUTE };
	struct str id = job_put(&db, &job);
	int64_t before = job_look(&db, id).run_at.value;

	clock_ahead(30 * SECOND);
	EXPECT_STR(job_put(&db, &job), id);
	EXPECT(job_look(&db, id).run_at.value >= before + 30000000);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 1);
	clock_back();
}

/* --- at once --------------------------------------------------------------------------- */

struct actor {
	struct db db;
	struct arena arena;
	struct job_new job;
	struct law_job *leaves; /* NULL: it adds */
	struct job_added added;
	unsigned delay;
	int result;
};

static int act(void *arg)
{
	struct actor *actor = arg;
	struct group_step step = { .job = actor->leaves, .what = STEP_END };

	for (unsigned i = 0; i < actor->delay; i++)
		fiber_yield();
	actor->result = actor->leaves
				? db_write_with(&actor->db, &jobs_adding, group_step_in_tx, &step)
				: job_try(&actor->db, &actor->job, &actor->added);
	return 0;
}

static void act_all(struct law *law, struct actor *actors, size_t count)
{
	struct scope scope;

	law->test->worker->sched.order_seed = test_random(&law->random) | 1;
	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < count; i++) {
		arena_init(&actors[i].arena, 4 * KILOBYTE, MEGABYTE);
		actors[i].db = law->db;
		actors[i].db.arena = &actors[i].arena;
		actors[i].delay = (unsigned)(test_random(&law->random) % 4);
		REQUIRE(scope_spawn(&scope, act, &actors[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (size_t i = 0; i < count; i++)
		arena_done(&actors[i].arena);
	law->test->worker->sched.order_seed = 0;
}

static size_t succeeded(const struct actor *actors, size_t count)
{
	size_t good = 0;

	for (size_t i = 0; i < count; i++)
		good += actors[i].result == 0;
	return good;
}

JOBS_TEST(of_those_who_want_a_key_at_once_one_gets_it)
{
	struct law law = { .test = test, .db = store_test_tenant(test, 1), .random = 99 };

	for (int round = 0; round < (test_long() ? ROUNDS_LONG : ROUNDS); round++) {
		enum job_unique_mode mode = (enum job_unique_mode)(round % 4);
		struct actor actors[ACTORS] = { 0 };
		char key[32];
		size_t kept = 0;

		for (size_t i = 0; i < ACTORS; i++)
			actors[i].job = (struct job_new){ .name = S("a:b"),
				.unique_mode = mode,
				.unique_ns =
					mode == JOB_UNIQUE_THROTTLE || mode == JOB_UNIQUE_DEBOUNCE
						? MINUTE
						: 0,
				.unique_key = str_of(
					key, (size_t)snprintf(key, sizeof(key), "u%d", round)) };
		act_all(&law, actors, ACTORS);
		for (size_t i = 0; i < ACTORS; i++)
			kept += actors[i].result == 0 && actors[i].added.outcome != JOB_ADDED;
		EXPECT_INT(succeeded(actors, ACTORS), mode == JOB_UNIQUE_REJECT ? 1 : ACTORS);
		EXPECT_INT(kept, mode == JOB_UNIQUE_REJECT ? 0 : ACTORS - 1);
		EXPECT_INT(jobs_count(&law.db, COUNT_JOBS), round + 1);
	}
}

/* Adds and ends of one group, at once. */
JOBS_TEST(groups_hold_when_all_come_at_once)
{
	struct law law = { .test = test, .db = store_test_tenant(test, 1), .random = 5 };

	queue_give(test, "default", "\"groupConcurrency\":2");
	for (int round = 0; round < (test_long() ? ROUNDS_LONG : ROUNDS); round++) {
		struct arena_mark mark = arena_mark(&test->arena);
		struct actor actors[ACTORS] = { 0 };
		size_t leaving = 0;

		look(&law);
		for (size_t i = 0; i < law.count; i++)
			if (law.jobs[i].seated && leaving < ACTORS / 2)
				actors[leaving++].leaves = &law.jobs[i];
		for (size_t i = leaving; i < ACTORS; i++)
			actors[i].job = (struct job_new){ .name = S("a:b"), .group_key = S("g1") };
		act_all(&law, actors, ACTORS);
		EXPECT_INT(succeeded(actors, ACTORS), ACTORS);
		look(&law);
		check_group(&law, "g1", 2);
		arena_back(&test->arena, mark);
	}
}
