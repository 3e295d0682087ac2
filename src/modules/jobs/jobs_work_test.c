/* Jobs done by this program: what is added is done, whatever becomes of a start. On both engines.
 */
#include "modules/jobs/jobs_work.h"

#include "base/fault.h"
#include "http/server.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE (20 * SECOND) /* of tests on busy machines */

/* --- kinds ------------------------------------------------------------------------------------ */

static atomic_int runs, at_once, most_at_once;
static atomic_int gate; /* handlers wait until it is open */

struct number_payload {
	int64_t number;
};

static const struct schema number_payload_schema = SCHEMA(number_payload, "A number.",
	FIELD(number_payload, number, "Which.", .flags = REQUIRED, RANGE(0, 1000000)));

static int run_plain(struct job *job, const void *payload)
{
	(void)job;
	(void)payload;
	(void)atomic_fetch_add(&runs, 1);
	return 0;
}

/* Longer than anybody would take others ahead for. */
static int run_slow(struct job *job, const void *payload)
{
	(void)job;
	(void)payload;
	(void)atomic_fetch_add(&runs, 1);
	return fiber_sleep_until(clock_now_ns() + 20 * MILLISECOND);
}

static int64_t sum;

static int run_number(struct job *job, const void *payload)
{
	const struct number_payload *number = payload;

	(void)job;
	sum += number->number; /* of one thread */
	(void)atomic_fetch_add(&runs, 1);
	return 0;
}

static int run_waiting(struct job *job, const void *payload)
{
	int now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once), r = 0;

	(void)job;
	(void)payload;
	while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
		continue;
	while (!atomic_load(&gate) && r == 0)
		r = fiber_sleep_until(clock_now_ns() + MILLISECOND);
	(void)atomic_fetch_sub(&at_once, 1);
	(void)atomic_fetch_add(&runs, 1);
	return r;
}

static int run_failing(struct job *job, const void *payload)
{
	(void)payload;
	(void)atomic_fetch_add(&runs, 1);
	if (job->attempt < job->attempts)
		return fail(ERR_CONFLICT, "not at attempt %d", (int)job->attempt);
	return job_result(job, S("{\"at\":\"last\"}"));
}

static int run_snoozing(struct job *job, const void *payload)
{
	(void)payload;
	if (atomic_fetch_add(&runs, 1) == 0)
		return job_snooze(job, MILLISECOND);
	return 0;
}

static int run_discarding(struct job *job, const void *payload)
{
	(void)payload;
	(void)atomic_fetch_add(&runs, 1);
	return job_discard(job, S("never"));
}

static const struct job_kind kinds[] = {
	{ .name = "test:plain", .queue = "plain", .run = run_plain },
	{ .name = "test:slow", .queue = "slow", .run = run_slow },
	{ .name = "test:number", .schema = &number_payload_schema, .run = run_number },
	{ .name = "test:wait", .queue = "wait", .run = run_waiting },
	{ .name = "test:timeout",
		.queue = "wait",
		.run = run_waiting,
		.timeout_ns = 100 * MILLISECOND,
		.attempts = 1 },
	{ .name = "test:fail", .run = run_failing },
	{ .name = "test:snooze", .run = run_snoozing },
	{ .name = "test:discard", .run = run_discarding },
	{ .name = "test:outside" },
};

/* --- the program -------------------------------------------------------------------------------
 */

static struct server server = { .limits.request_memory = 16 * MEGABYTE };

static void begin(struct store_test *test, const struct jobs_options *options)
{
	server.store = test->store;
	for (size_t i = 0; i < LEN(kinds); i++)
		REQUIRE(job_kind_declare(&server, &kinds[i]) == 0);
	jobs_configure(options);
	REQUIRE(jobs_start(&server) == 0);
}

static const struct jobs_options all = { .work = true, .schedule = true, .stop_ns = SECOND };

/* Waits until a condition holds; what the test looks at lies in its arena. */
static bool holds(struct store_test *test, bool (*condition)(const struct db *db))
{
	struct db db = store_test_tenant(test, 1);
	uint64_t until = clock_now_ns() + PATIENCE; /* also where the wall clock is a test's */
	bool held;

	do {
		struct arena_mark mark = arena_mark(&test->arena);

		held = condition(&db);
		arena_back(&test->arena, mark);
	} while (!held && clock_now_ns() < until &&
		 fiber_sleep_until(clock_now_ns() + 2 * MILLISECOND) == 0);
	return held;
}

static bool none_waits(const struct db *db)
{
	struct db other = *db;

	other.tenant.bytes[15] = 2; /* of store_test_tenant */
	return jobs_count(db, COUNT_OPEN) == 0 && jobs_count(&other, COUNT_OPEN) == 0;
}

/* Adds so many. */
struct many {
	struct job_new job;
	size_t count;
};

static int add_in_tx(struct tx *tx, void *arg)
{
	const struct many *many = arg;
	int r = 0;

	for (size_t i = 0; i < many->count && r == 0; i++)
		r = tx_enqueue(tx, &many->job, NULL);
	return r;
}

static void add(struct store_test *test, unsigned tenant, const char *name, size_t count)
{
	struct db db = store_test_tenant(test, tenant);
	struct many many = { .job = { .name = str_from_c(name) }, .count = count };

	REQUIRE(db_write_with(&db, &jobs_adding, add_in_tx, &many) == 0);
}

/* --- what is added is done ------------------------------------------------------------- */

JOBS_TEST(jobs_that_were_added_are_done_once)
{
	struct db db = store_test_tenant(test, 1);

	add(test, 1, "test:plain", 100); /* before it starts */
	begin(test, &all);
	add(test, 1, "test:plain", 700);
	add(test, 2, "test:plain", 500);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 1300);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 800);
	db = store_test_tenant(test, 2);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 500);
}

JOBS_TEST(several_threads_share_jobs)
{
	struct jobs_options options = all;

	options.threads = 3;
	begin(test, &options);
	add(test, 1, "test:plain", 900);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 900);
}

JOBS_TEST(a_payload_is_decoded_for_its_handler)
{
	struct number_payload seven = { 7 };
	struct db db = store_test_tenant(test, 1);

	begin(test, &all);
	(void)job_put(&db, &(struct job_new){ .name = S("test:number"),
				   .schema = &number_payload_schema,
				   .data = &seven });
	(void)job_put(&db,
		&(struct job_new){ .name = S("test:number"), .payload = S("{\"number\":30}") });
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(sum, 37);
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
	add(test, 1, "test:plain", 20);
	add(test, 2, "test:plain", 20);
	begin(test, &all);
	EXPECT(holds(test, the_second_has_none));
	EXPECT_INT(jobs_count(&db, COUNT_OPEN), 20);
	EXPECT_INT(atomic_load(&runs), 20);
	(void)is_rung(NULL);
	tenant_is(&db, "active");
	EXPECT(holds(test, is_rung)); /* nobody waits for the next look */
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 40);
}

static bool a_thousand_run(const struct db *db)
{
	(void)db;
	return atomic_load(&at_once) == 1000;
}

JOBS_TEST(a_thousand_handlers_run_at_once)
{
	queue_give(test, "wait", "\"concurrency\":1000");
	begin(test, &all);
	add(test, 1, "test:wait", 1000);
	add(test, 1, "test:wait", 50);
	EXPECT(holds(test, a_thousand_run));
	atomic_store(&gate, 1);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&most_at_once), 1000);
	EXPECT_INT(atomic_load(&runs), 1050);
}

static bool those_without_a_hand_wait(const struct db *db)
{
	return atomic_load(&at_once) == 100 && jobs_count(db, COUNT_WAITING) == 300;
}

/* Quick handlers have jobs taken ahead of their hands; when they turn slow, others may have them.
 */
JOBS_TEST(what_was_taken_ahead_in_vain_is_handed_back)
{
	struct db db = store_test_tenant(test, 1);

	atomic_store(&gate, 1);
	begin(test, &all);
	add(test, 1, "test:wait", 300);
	EXPECT(holds(test, none_waits));
	atomic_store(&gate, 0);
	add(test, 1, "test:wait", 400);
	EXPECT(holds(test, those_without_a_hand_wait));
	atomic_store(&gate, 1);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 700);
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 700);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 0);
	EXPECT(atomic_load(&most_at_once) <= 100);
}

/* --- what becomes of a start ------------------------------------------------------------------ */

static struct job_new one(const char *name)
{
	return (struct job_new){ .name = str_from_c(name) };
}

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
	return atomic_load(&runs) == 2;
}

static bool one_attempt_failed(const struct db *db)
{
	(void)db;
	return atomic_load(&runs) == 1;
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
	struct job_new job = one("test:fail");
	struct job_shown shown;
	struct str id;

	clock_replace(&source);
	job.backoff = &backoff;
	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, one_attempt_failed));
	EXPECT(holds(test, is_retryable));
	go_ahead(59 * SECOND);
	EXPECT_INT(job_look(&db, id).state, JOB_RETRYABLE);
	go_ahead(2 * SECOND);
	EXPECT(holds(test, two_attempts_failed));
	EXPECT(holds(test, is_retryable));
	go_ahead(61 * SECOND);
	EXPECT(holds(test, none_waits));
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
	struct job_new job = one("test:timeout");
	struct str id;

	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
	EXPECT_INT(atomic_load(&runs), 1);
	EXPECT_INT(atomic_load(&at_once), 0);
}

static bool one_runs(const struct db *db)
{
	(void)db;
	return atomic_load(&at_once) == 1;
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
	struct job_new job = one("test:wait");
	struct cancelling cancelling;

	begin(test, &all);
	cancelling.id = job_put(&db, &job);
	EXPECT(holds(test, one_runs));
	REQUIRE(db_write(&db, cancel_in_tx, &cancelling) == 0);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, cancelling.id).state, JOB_CANCELLED);
	EXPECT_INT(atomic_load(&at_once), 0);
}

JOBS_TEST(a_job_that_snoozes_comes_again_and_nothing_is_counted)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:snooze");
	struct str id;

	job.attempts = 1;
	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 2);
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, id).attempt, 1);
}

JOBS_TEST(a_job_that_is_discarded_is_not_tried_again)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:discard");
	struct str id;

	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 1);
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
	EXPECT_INT(jobs_count(&db, COUNT_ERRORS), 1);
}

/* A payload that nobody has checked, as one of another program's transaction. */
JOBS_TEST(a_payload_that_is_none_is_discarded)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:outside");
	struct str id;

	id = job_put(&db, &job);
	job_rename(&db, id, "test:number");
	begin(test, &all);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(atomic_load(&runs), 0);
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
	struct job_new large = one("test:number"), small = one("test:number");
	struct job_new unknown = one("test:plain");
	struct why why = { 0 };
	struct str bad, good;

	large.payload = S("{\"number\":30}");
	small.payload = S("{\"number\":7}");
	bad = job_put(&db, &large);
	good = job_put(&db, &small);
	(void)job_put(&db, &unknown);
	REQUIRE(db_exec(&db, &put_law, NULL) == 0);
	begin(test, &all);
	EXPECT(holds(test, one_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, bad).state, JOB_DISCARDED);
	EXPECT_INT(job_look(&db, good).state, JOB_COMPLETED);
	EXPECT_INT(atomic_load(&runs), 1);
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
	struct job_new job = one("test:outside"); /* and one with no handler here is the same */
	struct str id;

	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, is_scheduled));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).attempt, 0);
}

/* --- the end -----------------------------------------------------------------------------------
 */

JOBS_TEST(handlers_finish_at_the_end)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:wait");
	struct str id;

	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, one_runs));
	jobs_stop_begin();
	EXPECT(!jobs_stopped());
	atomic_store(&gate, 1);
	jobs_stop();
	EXPECT(jobs_stopped());
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	(void)job_put(&db, &job); /* nobody takes it */
	EXPECT_INT(jobs_count(&db, COUNT_WAITING), 1);
}

JOBS_TEST(what_is_left_at_the_end_is_handed_back)
{
	struct jobs_options options = all;
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:wait");
	struct str id;

	options.stop_ns = MILLISECOND;
	begin(test, &options);
	id = job_put(&db, &job);
	EXPECT(holds(test, one_runs));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_AVAILABLE);
	EXPECT_INT(job_look(&db, id).attempt, 0);
	EXPECT_INT(atomic_load(&at_once), 0);

	atomic_store(&gate, 1);
	jobs_configure(&all);
	REQUIRE(jobs_start(&server) == 0); /* the next program */
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_INT(job_look(&db, id).attempt, 1);
}

/* --- with its own writes --------------------------------------------------------------- */

static int complete_in_tx(struct tx *tx, void *arg)
{
	struct job *job = arg;
	struct job_new next = one("test:plain");
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
	(void)atomic_fetch_add(&runs, 1);
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
	(void)atomic_fetch_add(&runs, 1);
	return 0;
}

static const struct job_kind completing = { .name = "test:complete", .run = run_completing };
static const struct job_kind talking = { .name = "test:talk", .run = run_talking };

JOBS_TEST(a_job_is_completed_with_its_own_writes)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:complete");
	struct str id;

	REQUIRE(job_kind_declare(&server, &completing) == 0);
	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT_STR(job_look(&db, id).result.json, S("7"));
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 2); /* the second one was not added */
	EXPECT_INT(atomic_load(&runs), 2);
}

JOBS_TEST(a_job_tells_how_far_it_is)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = one("test:talk");
	struct str id;

	REQUIRE(job_kind_declare(&server, &talking) == 0);
	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).progress.value, 50);
	EXPECT_STR(job_look(&db, id).progress_note.value, S("half"));
	EXPECT_INT(jobs_count(&db, COUNT_LINES), JOB_LINES_MAX);
}

/* --- several programs ---------------------------------------------------------------------------
 */

static void in_child(struct store_test *test)
{
	begin(test, &all);
	while (!holds(test, none_waits))
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
	struct job_new job = one("test:wait");

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

	EXPECT(holds(test, somebody_runs));
	REQUIRE(kill(victim, SIGKILL) == 0);
	REQUIRE(waitpid(victim, NULL, 0) == victim);
	began = clock_now_ns();
	atomic_store(&gate, 1);
	begin(test, &all);
	EXPECT(holds(test, none_waits));
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
	int64_t here = (int64_t)atomic_load(&runs);

	return here > 0 && jobs_count(db, COUNT_COMPLETED) > here;
}

/* More than one has hands for, until both have had some. */
static void share_and_kill(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);

	EXPECT(holds(test, somebody_runs)); /* the other one is there */
	begin(test, &all);
	shared = 0;
	for (int i = 0; i < SHARED_ROUNDS && !both_work(&db); i++) {
		add(test, 1, "test:slow", SHARED_JOBS);
		shared += SHARED_JOBS;
		REQUIRE(fiber_sleep_until(clock_now_ns() + 50 * MILLISECOND) == 0);
	}
	EXPECT(holds(test, all_are_done));
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
	return atomic_load(&runs) > 0;
}

/* Whose lease is gone stops what runs under it, and takes jobs under another one. */
static void lose_lease(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1), system = db_of_system(test->store, &test->arena);
	struct job_new job = one("test:wait");
	struct str id;

	begin(test, &all);
	id = job_put(&db, &job);
	EXPECT(holds(test, one_runs));
	REQUIRE(db_exec(&system, &lose_leases, NULL) == 0);
	EXPECT(holds(test, one_was_stopped));
	atomic_store(&gate, 1);
	EXPECT(holds(test, none_waits));
	jobs_stop();
	EXPECT_INT(job_look(&db, id).state, JOB_COMPLETED);
	EXPECT(atomic_load(&runs) >= 2); /* it may have been begun again before it was noticed */
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
	struct job_new job = one("test:fault"), number = one("test:number");
	enum { JOBS = 60 };

	REQUIRE(job_kind_declare(&server, &faulty) == 0);
	begin(test, &all);
	job.backoff = number.backoff = &backoff;
	job.attempts = number.attempts = JOB_ATTEMPTS_MAX;
	number.payload = S("{\"number\":1}");
	for (int i = 0; i < JOBS; i++) {
		(void)job_put(&db, &job);
		(void)job_put(&db, &number);
		EXPECT(holds(test, none_waits));
	}
	jobs_stop();
	EXPECT_INT(jobs_count(&db, COUNT_COMPLETED), 2 * JOBS);
	EXPECT_INT(atomic_load(&runs), JOBS);
}
