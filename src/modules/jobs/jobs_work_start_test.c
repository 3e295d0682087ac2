/* What becomes of a start in this program: by what its handler returns, by time, by whoever cancels
 * it, and at the end of the program. On both engines. */
#include "modules/jobs/jobs_work_fixture_test.h"

#include "observe/clock.h"

#include <time.h>

/* --- what becomes of a start ------------------------------------------------------------------ */

/* A wall clock that goes as fast as the test wants. */
static _Atomic int64_t ahead_us;

static uint64_t real_now(void *arg)
{
	struct timespec now;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static int64_t shifted_wall(void *arg)
{
	struct timespec now;

	(void)arg;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + atomic_load(&ahead_us);
}

static bool is_retryable(const struct db *db)
{
	return jobs_count(db, COUNT_RETRYABLE) == 1;
}

static bool two_attempts_failed(const struct db *db)
{
	(void)db;
	return atomic_load(&work_runs) == 2;
}

static bool one_attempt_failed(const struct db *db)
{
	(void)db;
	return atomic_load(&work_runs) == 1;
}

static void go_ahead(uint64_t ns)
{
	(void)atomic_fetch_add(&ahead_us, (int64_t)(ns / MICROSECOND));
	bell_ring(bell_of_later());
}

JOBS_TEST(a_job_that_fails_is_tried_again_after_its_backoff)
{
	static const struct clock_source source = { real_now, shifted_wall, NULL };
	static const struct job_backoff backoff = { .kind = JOB_BACKOFF_FIXED, .delay_ms = 60000 };
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:fail");
	struct job_shown shown;
	struct str id;

	clock_replace(&source);
	job.backoff = &backoff;
	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, one_attempt_failed));
	EXPECT(work_holds(test, is_retryable));
	go_ahead(59 * SECOND);
	EXPECT_INT(job_look(&db, id).state, JOB_RETRYABLE);
	go_ahead(2 * SECOND);
	EXPECT(work_holds(test, two_attempts_failed));
	EXPECT(work_holds(test, is_retryable));
	go_ahead(61 * SECOND);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	shown = job_look(&db, id);
	EXPECT_INT(shown.state, JOB_COMPLETED);
	EXPECT_INT(shown.attempt, 3);
	EXPECT_STR(shown.result.json, S("{\"at\":\"last\"}"));
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 2);
	clock_replace(NULL);
}

JOBS_TEST(a_handler_that_takes_too_long_is_stopped)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:timeout");
	struct str id;

	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
	EXPECT_INT(atomic_load(&work_runs), 1);
	EXPECT_INT(atomic_load(&work_at_once), 0);
}

struct cancelling {
	struct str id;
	enum job_state state;
};

static int cancel_in_tx(struct tx *tx, void *arg)
{
	struct cancelling *cancelling = arg;

	return job_cancel_in_tx(tx, cancelling->id, &cancelling->state);
}

JOBS_TEST(a_job_that_runs_can_be_cancelled)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:wait");
	struct cancelling cancelling;

	work_begin(test, &work_all);
	cancelling.id = job_put(&db, &job);
	EXPECT(work_holds(test, work_one_runs));
	REQUIRE(db_write(&db, cancel_in_tx, &cancelling) == 0);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, cancelling.id).state, JOB_CANCELLED);
	EXPECT_INT(atomic_load(&work_at_once), 0);
}

JOBS_TEST(a_job_that_snoozes_comes_again_and_nothing_is_counted)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:snooze");
	struct str id;

	job.attempts = 1;
	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 2);
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, id).attempt, 1);
}

JOBS_TEST(a_job_that_is_discarded_is_not_tried_again)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:discard");
	struct str id;

	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 1);
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 1);
}

/* A payload that nobody has checked, as one of another program's transaction. */
JOBS_TEST(a_payload_that_is_none_is_discarded)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:outside");
	struct str id;

	id = job_put(&db, &job);
	job_rename(&db, id, "test:number");
	work_begin(test, &work_all);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&work_runs), 0);
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
}

struct why {
	struct str kind, message;
};

static const struct schema why_schema =
	SCHEMA(why, "Why a job was discarded.", FIELD(why, kind, "What it was."),
		FIELD(why, message, "In words.", RANGE(0, JOB_MESSAGE_MAX)));

static const struct statement put_law = STATEMENT("test_job_work_law",
	.sql = "INSERT INTO main.job_schema (tenant_id, name, schema, version, updated_at) VALUES "
	       "(:tenant, 'test:number', '{\"properties\":{\"number\":{\"maximum\":10}}}', 1, "
	       ":now), (:tenant, 'test:plain', '{\"type\":7}', 1, :now)");

static const struct statement get_why = STATEMENT("test_job_work_why",
	.sql = "SELECT kind, message FROM job_error WHERE tenant_id = :tenant", .out = &why_schema);

static const struct statement *const law_statements[] = { &put_law, &get_why };

static bool one_waits(const struct db *db)
{
	return jobs_count(db, COUNT_SCHEDULED) == 1 && jobs_count(db, COUNT_OPEN) == 1;
}

/* The kind allows what the schema that the tenant has set does not; one that is no schema is
 * looked at again and again, but not at once. */
static void mind_schemas(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new large = work_one("test:number"), small = work_one("test:number");
	struct job_new unknown = work_one("test:plain");
	struct why why = { 0 };
	struct str bad, good;

	large.payload = S("{\"number\":30}");
	small.payload = S("{\"number\":7}");
	bad = job_put(&db, &large);
	good = job_put(&db, &small);
	(void)job_put(&db, &unknown);
	REQUIRE(db_exec(&db, &put_law, NULL) == 0);
	work_begin(test, &work_all);
	EXPECT(work_holds(test, one_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, bad).state, JOB_DISCARDED);
	EXPECT_INT(job_look(&db, good).state, JOB_COMPLETED);
	EXPECT_INT(atomic_load(&work_runs), 1);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 1);
	REQUIRE(db_one(&db, &get_why, NULL, &why) == 0);
	EXPECT_STR(why.kind, S("VALIDATION_ERROR"));
	EXPECT(str_find(why.message, S("payload.number")) >= 0);
}

TEST(schemas_of_the_api_are_minded_by_handlers_sqlite)
{
	jobs_test_with(law_statements, LEN(law_statements));
	jobs_test_run(ENGINE_SQLITE, mind_schemas);
}

TEST(schemas_of_the_api_are_minded_by_handlers_postgres)
{
	jobs_test_with(law_statements, LEN(law_statements));
	jobs_test_run(ENGINE_POSTGRES, mind_schemas);
}

static bool is_scheduled(const struct db *db)
{
	return jobs_count(db, COUNT_SCHEDULED) == 1;
}

JOBS_TEST(a_name_that_nobody_knows_is_put_off)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job =
		work_one("test:outside"); /* and one with no handler here is the same */
	struct str id;

	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, is_scheduled));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).attempt, 0);
}

/* --- the end -----------------------------------------------------------------------------------
 */

JOBS_TEST(handlers_finish_at_the_end)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:wait");
	struct str id;

	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_one_runs));
	jobs_stop_begin();
	EXPECT(!jobs_stopped());
	atomic_store(&work_gate, 1);
	jobs_stop();
	EXPECT(jobs_stopped());
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	(void)job_put(&db, &job); /* nobody takes it */
	EXPECT_INT(jobs_count(&db, COUNT_WAITING), 1);
}

JOBS_TEST(what_is_left_at_the_end_is_handed_back)
{
	struct jobs_options options = work_all;
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:wait");
	struct str id;

	options.stop_ns = MILLISECOND;
	work_begin(test, &options);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_one_runs));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_AVAILABLE);
	EXPECT_INT(job_look(&db, id).attempt, 0);
	EXPECT_INT(atomic_load(&work_at_once), 0);

	atomic_store(&work_gate, 1);
	jobs_configure(&work_all);
	REQUIRE(jobs_start(&work_server) == 0); /* the next program */
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, id).attempt, 1);
}
