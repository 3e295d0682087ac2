/* This program at work, for tests. */
#include "modules/jobs/jobs_work_fixture_test.h"

#include "base/err.h"
#include "fiber/fiber.h"
#include "observe/clock.h"

#define PATIENCE (20 * SECOND) /* of tests on busy machines */

/* --- kinds ------------------------------------------------------------------------------------ */

atomic_int work_runs, work_at_once, work_most_at_once, work_gate;
int64_t work_sum;

const struct schema work_number_schema = SCHEMA(work_number, "A number.",
	FIELD(work_number, number, "Which.", .flags = REQUIRED, RANGE(0, 1000000)));

static int run_plain(struct job *job, const void *payload)
{
	(void)job;
	(void)payload;
	(void)atomic_fetch_add(&work_runs, 1);
	return 0;
}

/* Longer than anybody would take others ahead for. */
static int run_slow(struct job *job, const void *payload)
{
	(void)job;
	(void)payload;
	(void)atomic_fetch_add(&work_runs, 1);
	return fiber_sleep_until(clock_now_ns() + 20 * MILLISECOND);
}

static int run_number(struct job *job, const void *payload)
{
	const struct work_number *number = payload;

	(void)job;
	work_sum += number->number; /* of one thread */
	(void)atomic_fetch_add(&work_runs, 1);
	return 0;
}

static int run_waiting(struct job *job, const void *payload)
{
	int now = atomic_fetch_add(&work_at_once, 1) + 1, most = atomic_load(&work_most_at_once),
	    r = 0;

	(void)job;
	(void)payload;
	while (now > most && !atomic_compare_exchange_weak(&work_most_at_once, &most, now))
		continue;
	while (!atomic_load(&work_gate) && r == 0)
		r = fiber_sleep_until(clock_now_ns() + MILLISECOND);
	(void)atomic_fetch_sub(&work_at_once, 1);
	(void)atomic_fetch_add(&work_runs, 1);
	return r;
}

static int run_failing(struct job *job, const void *payload)
{
	(void)payload;
	(void)atomic_fetch_add(&work_runs, 1);
	if (job->attempt < job->attempts)
		return fail(ERR_CONFLICT, "not at attempt %d", (int)job->attempt);
	return job_result(job, S("{\"at\":\"last\"}"));
}

static int run_snoozing(struct job *job, const void *payload)
{
	(void)payload;
	if (atomic_fetch_add(&work_runs, 1) == 0)
		return job_snooze(job, MILLISECOND);
	return 0;
}

static int run_discarding(struct job *job, const void *payload)
{
	(void)payload;
	(void)atomic_fetch_add(&work_runs, 1);
	return job_discard(job, S("never"));
}

static const struct job_kind kinds[] = {
	{ .name = "test:plain", .queue = "plain", .run = run_plain },
	{ .name = "test:slow", .queue = "slow", .run = run_slow },
	{ .name = "test:number", .schema = &work_number_schema, .run = run_number },
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

struct server work_server = { .limits.request_memory = 16 * MEGABYTE };

void work_begin(struct store_test *test, const struct jobs_options *options)
{
	work_server.store = test->store;
	for (size_t i = 0; i < LEN(kinds); i++)
		REQUIRE(job_kind_declare(&work_server, &kinds[i]) == 0);
	jobs_configure(options);
	REQUIRE(jobs_start(&work_server) == 0);
}

const struct jobs_options work_all = { .work = true, .schedule = true, .stop_ns = SECOND };

/* Waits until a condition holds; what the test looks at lies in its arena. */
bool work_holds(struct store_test *test, bool (*condition)(const struct db *db))
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

bool work_none_waits(const struct db *db)
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

void work_add(struct store_test *test, unsigned tenant, const char *name, size_t count)
{
	struct db db = store_test_tenant(test, tenant);
	struct many many = { .job = { .name = str_from_c(name) }, .count = count };

	REQUIRE(db_write_with(&db, &jobs_adding, add_in_tx, &many) == 0);
}

struct job_new work_one(const char *name)
{
	return (struct job_new){ .name = str_from_c(name) };
}

bool work_one_runs(const struct db *db)
{
	(void)db;
	return atomic_load(&work_at_once) == 1;
}
