/* Jobs of programs that die, lose their lease or have no memory: they are done all the same. */
#include "modules/jobs/jobs_work_fixture_test.h"

#include "base/fault.h"
#include "observe/clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- several programs ---------------------------------------------------------------------------
 */

static void in_child(struct store_test *test)
{
	work_begin(test, &work_all);
	while (!work_holds(test, work_none_waits))
		continue; /* until it is killed, or all is done */
	jobs_stop();
	jobs_memory_close(test->store);
}

/* Another program on the same database. */
static pid_t fork_program(struct store_test *test)
{
	pid_t child = fork();

	REQUIRE(child >= 0);
	if (child > 0)
		return child;
	if (store_test_open(test, jobs_test_modules) == 0) {
		store_test_work(test, in_child);
		store_test_close(test);
	}
	_exit(0);
}

static char waiting_text[UUID_TEXT_LEN];
static const struct str waiting_id = { waiting_text, sizeof(waiting_text) };

static void add_one_that_waits(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:wait");

	memcpy(waiting_text, job_put(&db, &job).at, sizeof(waiting_text));
	jobs_memory_close(test->store);
}

static bool somebody_runs(const struct db *db)
{
	return job_look(db, waiting_id).state == JOB_RUNNING;
}

static pid_t victim;

/* The other one dies without a word; what it had is done here, within five seconds. */
static void take_over(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);
	uint64_t began;

	EXPECT(work_holds(test, somebody_runs));
	REQUIRE(kill(victim, SIGKILL) == 0);
	REQUIRE(waitpid(victim, NULL, 0) == victim);
	began = clock_now_ns();
	atomic_store(&work_gate, 1);
	work_begin(test, &work_all);
	EXPECT(work_holds(test, work_none_waits));
	test_note(clock_now_ns() - began < 6 * SECOND, __FILE__, __LINE__, "taken over after %d ms",
		(int)((clock_now_ns() - began) / MILLISECOND));
	jobs_stop();
	EXPECT_INT(job_look(&db, waiting_id).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, waiting_id).attempt, 2);
	jobs_memory_close(test->store);
}

TEST(a_program_that_dies_is_taken_over_postgres)
{
	struct store_test test = { 0 };

	store_test_folder(&test, ENGINE_POSTGRES);
	store_test_migrate(&test, jobs_test_modules);
	REQUIRE(store_test_open(&test, jobs_test_modules) == 0);
	store_test_work(&test, add_one_that_waits);
	store_test_close(&test);

	victim = fork_program(&test);
	REQUIRE(store_test_open(&test, jobs_test_modules) == 0);
	store_test_work(&test, take_over);
	store_test_close(&test);
	store_test_remove(&test);
}

enum { SHARED_JOBS = 300, SHARED_ROUNDS = 40 };

static int64_t shared;

static bool all_are_done(const struct db *db)
{
	return jobs_count(db, COUNT_COMPLETED) == shared;
}

/* Neither has done all that is done. What runs here is counted from its beginning. */
static bool both_work(const struct db *db)
{
	int64_t here = (int64_t)atomic_load(&work_runs);

	return here > 0 && jobs_count(db, COUNT_COMPLETED) > here;
}

/* More than one has hands for, until both have had some. */
static void share_and_kill(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);

	EXPECT(work_holds(test, somebody_runs)); /* the other one is there */
	work_begin(test, &work_all);
	shared = 0;
	for (int i = 0; i < SHARED_ROUNDS && !both_work(&db); i++) {
		work_add(test, 1, "test:slow", SHARED_JOBS);
		shared += SHARED_JOBS;
		REQUIRE(fiber_sleep_until(clock_now_ns() + 50 * MILLISECOND) == 0);
	}
	EXPECT(work_holds(test, all_are_done));
	EXPECT(both_work(&db));
	jobs_stop();
	REQUIRE(kill(victim, SIGKILL) == 0);
	REQUIRE(waitpid(victim, NULL, 0) == victim);
	jobs_memory_close(test->store);
}

TEST(two_programs_share_the_work_postgres)
{
	struct store_test test = { 0 };

	store_test_folder(&test, ENGINE_POSTGRES);
	store_test_migrate(&test, jobs_test_modules);
	REQUIRE(store_test_open(&test, jobs_test_modules) == 0);
	store_test_work(&test, add_one_that_waits); /* keeps the other one going */
	store_test_close(&test);

	victim = fork_program(&test);
	REQUIRE(store_test_open(&test, jobs_test_modules) == 0);
	store_test_work(&test, share_and_kill);
	store_test_close(&test);
	store_test_remove(&test);
}

/* --- a lease that is lost -------------------------------------------------------------- */

static const struct statement lose_leases = STATEMENT(
	"test_job_leases_lost", .sql = "DELETE FROM main.job_lease", .flags = STATEMENT_SYSTEM);
static const struct statement *const losing[] = { &lose_leases };

static bool one_was_stopped(const struct db *db)
{
	(void)db;
	return atomic_load(&work_runs) > 0;
}

/* Whose lease is gone stops what runs under it, and takes jobs under another one. */
static void lose_lease(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1), system = db_of_system(test->store, &test->arena);
	struct job_new job = work_one("test:wait");
	struct str id;

	work_begin(test, &work_all);
	id = job_put(&db, &job);
	EXPECT(work_holds(test, work_one_runs));
	REQUIRE(db_exec(&system, &lose_leases, NULL) == 0);
	EXPECT(work_holds(test, one_was_stopped));
	atomic_store(&work_gate, 1);
	EXPECT(work_holds(test, work_none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT(atomic_load(&work_runs) >=
		2); /* it may have been begun again before it was noticed */
}

TEST(a_lost_lease_stops_its_handlers_sqlite)
{
	jobs_test_with(losing, LEN(losing));
	jobs_test_run(ENGINE_SQLITE, lose_lease);
}

TEST(a_lost_lease_stops_its_handlers_postgres)
{
	jobs_test_with(losing, LEN(losing));
	jobs_test_run(ENGINE_POSTGRES, lose_lease);
}

/* --- without memory -------------------------------------------------------------------- */

static size_t next_fault; /* of the handlers' thread */

/* From here on the thread has no memory once: after as many allocations as it never was before. */
static int run_faulty(struct job *job, const void *payload)
{
	(void)payload;
	(void)job_log(job, LOG_INFO, S("before"));
	fault_arm(FAULT_MEMORY, ++next_fault);
	(void)job_progress(job, 1, S("after"));
	(void)job_log(job, LOG_INFO, S("after"));
	(void)job_result(job, S("{}"));
	return 0;
}

static const struct job_kind faulty = { .name = "test:fault", .run = run_faulty };

JOBS_TEST(jobs_are_done_whatever_memory_there_is)
{
	static const struct job_backoff backoff = { .kind = JOB_BACKOFF_FIXED, .delay_ms = 1 };
	struct db db = store_test_tenant(test, 1);
	struct job_new job = work_one("test:fault"), number = work_one("test:number");
	enum { JOBS = 60 };

	REQUIRE(job_kind_declare(&work_server, &faulty) == 0);
	work_begin(test, &work_all);
	job.backoff = number.backoff = &backoff;
	job.attempts = number.attempts = JOB_ATTEMPTS_MAX;
	number.payload = S("{\"number\":1}");
	for (int i = 0; i < JOBS; i++) {
		(void)job_put(&db, &job);
		(void)job_put(&db, &number);
		EXPECT(work_holds(test, work_none_waits));
	}
	jobs_stop();
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 2 * JOBS);
	EXPECT_INT(atomic_load(&work_runs), JOBS);
}
