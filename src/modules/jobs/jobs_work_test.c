/* Jobs done by this program: what is added is done, and what handlers write. On both engines. */
#include "modules/jobs/jobs_work_fixture_test.h"

#include "base/err.h"
#include "modules/jobs/jobs_adding.h"
#include "observe/clock.h"

#include <stdio.h>

/* --- what is added is done ------------------------------------------------------------- */

JOBS_TEST(jobs_that_were_added_are_done_once)
{
	struct db db = store_test_tenant(test, 1);

	work_add(test, 1, "test:plain", 100); /* before it starts */
	work_begin(test, &work_all);
	work_add(test, 1, "test:plain", 700);
	work_add(test, 2, "test:plain", 500);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 1300);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 800);
	db = store_test_tenant(test, 2);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 500);
}

JOBS_TEST(several_threads_share_jobs)
{
	struct jobs_options options = work_all;

	options.threads = 3;
	work_begin(test, &options);
	work_add(test, 1, "test:plain", 900);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 900);
}

JOBS_TEST(a_payload_is_decoded_for_its_handler)
{
	struct work_number seven = { 7 };
	struct db db = store_test_tenant(test, 1);

	work_begin(test, &work_all);
	(void)job_put(&db,
		&(struct job_new){
			.name = S("test:number"), .schema = &work_number_schema, .data = &seven });
	(void)job_put(&db,
		&(struct job_new){ .name = S("test:number"), .payload = S("{\"number\":30}") });
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(work_sum, 37);
}

static bool the_second_has_none(const struct db *db)
{
	struct db other = *db;

	other.tenant.bytes[15] = 2; /* of store_test_tenant */
	return jobs_count(&other, COUNT_OPEN) == 0;
}

static bool is_rung(const struct db *db)
{
	static uint64_t rings;
	struct bell *bell = bell_of(S("plain"));

	if (!db) /* from here on */
		rings = bell_rings(bell);
	return bell_rings(bell) != rings;
}

JOBS_TEST(jobs_of_a_suspended_tenant_wait_until_it_is_served_again)
{
	struct db db = store_test_tenant(test, 1);

	tenant_is(&db, "suspended");
	work_add(test, 1, "test:plain", 20);
	work_add(test, 2, "test:plain", 20);
	work_begin(test, &work_all);
	EXPECT(work_holds(test, the_second_has_none));
	EXPECT_INT(jobs_count(&db, COUNT_OPEN), 20);
	EXPECT_INT(atomic_load(&work_runs), 20);
	(void)is_rung(NULL);
	tenant_is(&db, "active");
	EXPECT(work_holds(test, is_rung)); /* nobody waits for the next look */
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 40);
}

/* ThreadSanitizer makes their stacks so slowly that on a busy machine the program's lease is lost.
 */
enum { AT_ONCE = BUILT_WITH_TSAN ? 200 : 1000, BEHIND = 50 };

static bool all_run(const struct db *db)
{
	(void)db;
	return atomic_load(&work_at_once) == AT_ONCE;
}

JOBS_TEST(a_thousand_handlers_run_at_once)
{
	char bound[40];

	(void)snprintf(bound, sizeof(bound), "\"concurrency\":%d", AT_ONCE);
	queue_give(test, "wait", bound);
	work_begin(test, &work_all);
	work_add(test, 1, "test:wait", AT_ONCE);
	work_add(test, 1, "test:wait", BEHIND);
	EXPECT(work_holds(test, all_run));
	atomic_store(&work_gate, 1);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_most_at_once), AT_ONCE);
	EXPECT_INT(atomic_load(&work_runs), AT_ONCE + BEHIND);
}

static bool those_without_a_hand_wait(const struct db *db)
{
	return atomic_load(&work_at_once) == 100 && jobs_count(db, COUNT_WAITING) == 300;
}

/* Quick handlers have jobs taken ahead of their hands; when they turn slow, others may have them.
 */
JOBS_TEST(what_was_taken_ahead_in_vain_is_handed_back)
{
	struct db db = store_test_tenant(test, 1);

	atomic_store(&work_gate, 1);
	work_begin(test, &work_all);
	work_add(test, 1, "test:wait", 300);
	EXPECT(work_holds(test, work_none_waits));
	atomic_store(&work_gate, 0);
	work_add(test, 1, "test:wait", 400);
	EXPECT(work_holds(test, those_without_a_hand_wait));
	atomic_store(&work_gate, 1);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 700);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 700);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 0);
	EXPECT(atomic_load(&work_most_at_once) <= 100);
}

/* --- told of one ------------------------------------------------------------------------- */

/* As the API adds one: whoever works on the queue hears which. */
static struct str tell_of_one(const struct db *db, const char *name)
{
	struct job_new job = work_one(name);
	struct adding adding;

	REQUIRE(adding_make(&job, db->arena, clock_wall_us(), &adding) == 0);
	REQUIRE(adding_put(db, &adding) == 0);
	return adding.row.id;
}

/* Puts one there that nobody hears of. */
static struct str put_silently(const struct db *db)
{
	struct job_new later = { .name = S("test:plain"), .delay_ns = HOUR };
	struct str id = job_put(db, &later);

	job_move(db, id, JOB_AVAILABLE);
	return id;
}

static bool one_has_run(const struct db *db)
{
	(void)db;
	return atomic_load(&work_runs) == 1;
}

static bool none_is_open(const struct db *db)
{
	return jobs_count(db, COUNT_OPEN) == 0;
}

/* Whether the one that is told of is started before an older one that nobody hears of, which a look
 * around would have found. */
static bool told_comes_first(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct str silent, told;

	work_add(test, 1, "test:plain", 1);
	EXPECT(work_holds(test, none_is_open));
	EXPECT_INT(fiber_sleep_until(clock_now_ns() + 20 * MILLISECOND), 0); /* until it is idle */
	silent = put_silently(&db);
	told = tell_of_one(&db, "test:plain");
	EXPECT(work_holds(test, none_is_open)); /* and looks later */
	return job_look(&db, told).started_at.value < job_look(&db, silent).started_at.value;
}

/* Who has nothing else to do starts it without a look around, unless one is just due; */
JOBS_TEST(a_job_that_is_told_of_starts_at_once)
{
	bool first = false;

	work_begin(test, &work_all);
	for (int i = 0; i < 10 && !first; i++)
		first = told_comes_first(test);
	EXPECT(first);
	jobs_stop();
}

static int tell_of_many(void *arg)
{
	struct store_test *test = arg;
	struct arena arena;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	for (unsigned i = 0; i < 100; i++) {
		struct db db = store_test_tenant(test, 1 + i % 2);

		db.arena = &arena;
		(void)tell_of_one(&db, i % 10 ? "test:plain" : "test:slow");
		if (i % 3 == 0)
			(void)fiber_sleep_until(clock_now_ns() + MILLISECOND);
		arena_reset(&arena);
	}
	arena_done(&arena);
	return 0;
}

/* and several who hear of the same one do it once. */
JOBS_TEST(jobs_that_are_told_of_are_done_once)
{
	struct jobs_options options = work_all;
	struct db db = store_test_tenant(test, 1);
	struct scope scope;

	options.threads = 3;
	work_begin(test, &options);
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 4; i++)
		REQUIRE(scope_spawn(&scope, tell_of_many, test) == 0);
	REQUIRE(scope_close(&scope) == 0);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 400);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 0);
}

JOBS_TEST(a_job_that_is_told_of_waits_where_it_must)
{
	struct db db = store_test_tenant(test, 1);
	struct str paused, bounded;

	queue_give(test, "slow", "\"concurrency\":1");
	work_begin(test, &work_all);
	tenant_pause(&db, "plain");
	paused = tell_of_one(&db, "test:plain");
	bounded = tell_of_one(&db, "test:slow");
	EXPECT(work_holds(test, one_has_run));
	jobs_stop();
	EXPECT_INT(job_look(&db, bounded).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, paused).state, JOB_AVAILABLE);
	EXPECT_INT(job_look(&db, paused).attempt, 0);
}

/* --- one after another on a hand ------------------------------------------------------------ */

/* Half of them say what went wrong. */
static int run_failing(struct job *job, const void *payload)
{
	const struct work_number *number = payload;

	(void)job;
	return number->number % 2 ? fail(ERR_IO, "the printer burns") : -ERR_IO;
}

static const struct job_kind failing = {
	.name = "test:burn", .schema = &work_number_schema, .run = run_failing, .attempts = 1
};

enum { BURNING = 600 };

static int add_burning(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int64_t i = 0; i < BURNING && r == 0; i++) {
		struct work_number number = { i };
		struct job_new job = work_one("test:burn");

		job.schema = &work_number_schema;
		job.data = &number;
		r = tx_enqueue(tx, &job, NULL);
	}
	return r;
}

/* A hand does many quick jobs; what the last one said is not what this one says. */
JOBS_TEST(a_job_does_not_tell_of_the_one_before_it)
{
	struct db db = store_test_tenant(test, 1);

	REQUIRE(job_kind_declare(&work_server, &failing) == 0);
	work_begin(test, &work_all);
	for (int round = 0; round < 2; round++) { /* the second time they are taken ahead */
		REQUIRE(db_write_with(&db, &jobs_adding, add_burning, NULL) == 0);
		EXPECT(work_holds(test, none_is_open));
	}
	jobs_stop();
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 2 * BURNING);
	EXPECT_INT(jobs_count(&db, COUNT_BURNT), BURNING);
}

/* --- with its own writes --------------------------------------------------------------- */

static int complete_in_tx(struct tx *tx, void *arg)
{
	struct job *job = arg;
	struct job_new next = work_one("test:plain");
	int r = tx_enqueue(tx, &next, NULL);

	return r < 0 ? r : tx_complete_job(tx, job);
}

/* The first time it is believed; the second time somebody else has the job, and though the function
 * does not care, nothing is written. */
static int run_completing(struct job *job, const void *payload)
{
	(void)payload;
	EXPECT_INT(job_result(job, S("7")), 0);
	EXPECT_INT(job_result(job, S("[1,")), -ERR_INVALID);
	EXPECT_INT(db_write(&job->db, complete_in_tx, job), 0);
	EXPECT_INT(db_write(&job->db, complete_in_tx, job), -ERR_CONFLICT);
	(void)atomic_fetch_add(&work_runs, 1);
	return 0;
}

static int run_talking(struct job *job, const void *payload)
{
	(void)payload;
	EXPECT_INT(job_progress(job, 101, S("")), -ERR_INVALID);
	EXPECT_INT(job_progress(job, 10, S("a tenth")), 0);
	for (int i = 0; i < JOB_LINES_MAX; i++)
		REQUIRE(job_log(job, LOG_INFO, S("a line")) == 0);
	EXPECT_INT(job_log(job, LOG_INFO, S("one too many")), -ERR_FULL);
	EXPECT_INT(fiber_sleep_until(clock_now_ns() + 150 * MILLISECOND), 0);
	EXPECT_INT(job_progress(job, 50, S("half")), 0);
	(void)atomic_fetch_add(&work_runs, 1);
	return 0;
}

static const struct job_kind completing = { .name = "test:complete", .run = run_completing };
static const struct job_kind talking = { .name = "test:talk", .run = run_talking };

JOBS_TEST(a_job_is_completed_with_its_own_writes)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:complete");
	struct str id;

	REQUIRE(job_kind_declare(&work_server, &completing) == 0);
	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_STR(job_look(&db, id).result.json, S("7"));
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 2); /* the second one was not added */
	EXPECT_INT(atomic_load(&work_runs), 2);
}

JOBS_TEST(a_job_tells_how_far_it_is)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:talk");
	struct str id;

	REQUIRE(job_kind_declare(&work_server, &talking) == 0);
	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).progress.value, 50);
	EXPECT_STR(job_look(&db, id).progress_note.value, S("half"));
	EXPECT_INT(jobs_count(&db, COUNT_LINES), JOB_LINES_MAX);
}
