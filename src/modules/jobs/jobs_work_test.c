/* Jobs done by this program: what is added is done, whatever becomes of a start. On both engines.
 */
#include "modules/jobs/jobs_work.h"

#include "base/fault.h"
#include "http/server.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock.h"

#include <stdio.h>

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
	uint64_t until = clock_now_ns() + PATIENCE;
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
	return jobs_count(db, COUNT_WAITING) == 0 && jobs_count(db, COUNT_RUNNING) == 0;
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

/* --- what is added is done
 * ------------------------------------------------------------------------ */

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
