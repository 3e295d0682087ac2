/* Adding: what becomes a row, and what of it. */
#include "base/err.h"
#include "base/fault.h"
#include "modules/jobs/jobs_census.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

JOBS_TEST(job_is_added_with_defaults)
{
	struct db db = store_test_tenant(test, 1);
	struct job_shown job = job_look(&db, job_put(&db, &(struct job_new){ .name = S("a:b") }));

	EXPECT_STR(job.name, S("a:b"));
	EXPECT_STR(job.queue, S("default"));
	EXPECT_INT(job.state, JOB_AVAILABLE);
	EXPECT_STR(job.payload.json, S("{}"));
	EXPECT_INT(job.priority, JOB_PRIORITY_NORMAL);
	EXPECT_INT(job.attempts, 3);
	EXPECT_INT(job.attempt, 0);
	EXPECT(!job.backoff && !job.timeout_ms.set && !job.unique_key.set && !job.blocked);
	EXPECT_INT(job.run_at.value, job.created_at);
}

JOBS_TEST(job_is_added_with_all_options)
{
	static const struct str tags[] = { S_INIT("one"), S_INIT("two") };
	static int64_t waits[] = { 1000, 2000 };
	struct job_backoff backoff = { JOB_BACKOFF_LIST, .jitter = 10 };
	struct db db = store_test_tenant(test, 1);
	struct job_shown job;

	backoff.list_ms.at = waits;
	backoff.list_ms.count = LEN(waits);
	job = job_look(&db, job_put(&db, &(struct job_new){ .name = S("a:b"),
						 .queue = S("email"),
						 .payload = S("{\"n\":1}"),
						 .priority = { .set = true, .value = 2 },
						 .delay_ns = 60 * SECOND,
						 .attempts = 7,
						 .backoff = &backoff,
						 .timeout_ns = 5 * SECOND,
						 .unique_key = S("u"),
						 .group_key = S("g"),
						 .tags = tags,
						 .tag_count = LEN(tags) }));
	EXPECT_STR(job.queue, S("email"));
	EXPECT_INT(job.state, JOB_SCHEDULED);
	EXPECT_INT(job.run_at.value, job.created_at + 60000000);
	EXPECT_INT(job.priority, 2);
	EXPECT_INT(job.attempts, 7);
	REQUIRE(job.backoff);
	EXPECT_INT(job.backoff->kind, JOB_BACKOFF_LIST);
	EXPECT_INT(job.backoff->list_ms.count, 2);
	EXPECT_INT(job.backoff->list_ms.at[1], 2000);
	EXPECT_INT(job.timeout_ms.value, 5000);
	EXPECT_STR(job.unique_key.value, S("u"));
	EXPECT_STR(job.group_key.value, S("g"));
	EXPECT_INT(job.tags.count, 2);
	EXPECT_STR(job.tags.at[1], S("two"));
	EXPECT_INT(group_look(&db, "email", "g").active, 0);
}

JOBS_TEST(jobs_of_a_group_take_turns)
{
	struct db db = store_test_tenant(test, 1);
	const struct job_new job = { .name = S("a:b"), .group_key = S("g") };
	struct str first = job_put(&db, &job), second = job_put(&db, &job);

	EXPECT(!job_look(&db, first).blocked);
	EXPECT(job_look(&db, second).blocked);
	EXPECT_INT(group_look(&db, "default", "g").active, 1);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 1);
}

JOBS_TEST(unique_jobs_are_one)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct job_new job = { .name = S("a:b"), .unique_key = S("u") };
	struct str id = job_put(&db, &job);
	struct job_added added;

	EXPECT_INT(job_try(&db, &job, &added), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->field), S("unique.key"));
	EXPECT_INT(job_try(&other, &job, &added), 0);

	job.unique_mode = JOB_UNIQUE_REPLACE;
	job.payload = S("{\"n\":2}");
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_REPLACED);
	EXPECT_STR(job_look(&db, id).payload.json, S("{\"n\":2}"));

	job_move(&db, id, JOB_RUNNING);
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_ADDED);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 2);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 1);
}

/* --- bounds ---------------------------------------------------------------------------- */

JOBS_TEST(backlog_is_bounded_by_what_was_added)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	const struct job_new job = { .name = S("a:b"), .queue = S("small") };
	struct job_added added;

	queue_give(test, "small", "\"backlog\":3");
	for (int i = 0; i < 3; i++)
		EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	EXPECT_STR(str_from_c(err_last()->field), S("queue"));
	EXPECT_STR(str_from_c(err_last()->rule), S("backlog"));
	EXPECT_INT(job_try(&other, &job, &added), 0);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 3);
}

struct many {
	struct job_new job;
	size_t count;
};

static int add_many_in_tx(struct tx *tx, void *arg)
{
	const struct many *many = arg;
	int r = 0;

	for (size_t i = 0; i < many->count && r == 0; i++)
		r = tx_enqueue(tx, &many->job, NULL);
	return r;
}

/* What one transaction adds counts before it is committed, and not at all when it is not. */
JOBS_TEST(backlog_minds_transactions)
{
	struct db db = store_test_tenant(test, 1);
	struct many many = { { .name = S("a:b"), .queue = S("small") }, 101 };

	queue_give(test, "small", "\"backlog\":100");
	EXPECT_INT(db_write(&db, add_many_in_tx, &many), -ERR_TOO_MANY);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);
	many.count = 100;
	EXPECT_INT(db_write(&db, add_many_in_tx, &many), 0);
	many.count = 1;
	EXPECT_INT(db_write(&db, add_many_in_tx, &many), -ERR_TOO_MANY);
}

JOBS_TEST(backlog_of_a_group_is_bounded)
{
	struct db db = store_test_tenant(test, 1);
	const struct job_new job = { .name = S("a:b"), .queue = S("small"), .group_key = S("g") };
	struct job_added added;

	queue_give(test, "small", "\"groupBacklog\":2");
	for (int i = 0; i < 3; i++) /* the first has a seat */
		EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	EXPECT_STR(str_from_c(err_last()->field), S("group"));
	EXPECT_INT(group_look(&db, "small", "g").waiting, 2);
}

struct counted {
	struct str queue;
	int64_t waiting, oldest_at, counted_at;
};

/* clang-format off */
static const struct schema counted_schema = SCHEMA(counted, "What was counted.",
	FIELD(counted, queue, "Where."),
	FIELD(counted, waiting, "How many."),
	FIELD(counted, oldest_at, "Since when."),
	FIELD(counted, counted_at, "When."));
/* clang-format on */

static const struct statement count_set = STATEMENT("test_depth_set",
	.sql = "INSERT INTO main.job_depth (tenant_id, queue, waiting, oldest_at, counted_at) "
	       "VALUES (:tenant, :queue, :waiting, :oldest_at, :counted_at) ON CONFLICT "
	       "(tenant_id, queue) DO UPDATE SET waiting = excluded.waiting, "
	       "oldest_at = excluded.oldest_at, counted_at = excluded.counted_at",
	.in = &counted_schema);
static const struct statement queue_ended = STATEMENT(
	"test_queue_ended", .sql = "UPDATE main.job SET state = 'completed', ended_at = :now "
				   "WHERE tenant_id = :tenant AND queue = 'q0'");

struct many_queues {
	int64_t count;
	struct json_value settings;
};

static const struct schema many_queues_schema = SCHEMA(many_queues,
	"Queues with the same settings.", FIELD(many_queues, count, "How many."),
	FIELD(many_queues, settings, "Which.", RANGE(0, QUEUE_SETTINGS_BYTES)));

static const struct statement queues_put = STATEMENT("test_queues_put",
	.sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count) "
	       "INSERT INTO main.job_queue (name, settings, paused, version, updated_at) "
	       "SELECT 'q' || n.i, CAST(:settings AS text), FALSE, 1, 0 FROM n WHERE n.i > 0 "
	       "ON CONFLICT (name) DO UPDATE SET settings = excluded.settings",
	.in = &many_queues_schema, .flags = STATEMENT_SYSTEM);

static const struct statement queues_drop = STATEMENT(
	"test_queues_drop", .sql = "DELETE FROM main.job_queue", .flags = STATEMENT_SYSTEM);

static const struct statement *const add_statements[] = { &count_set, &queue_ended, &queues_put,
	&queues_drop };
const struct job_statements job_add_test_statements = { add_statements, LEN(add_statements) };

JOBS_TEST(backlog_follows_what_was_counted)
{
	struct db db = store_test_tenant(test, 1);
	const struct job_new job = { .name = S("a:b"), .queue = S("small") };
	struct counted counted = { S("small"), 3, 1, clock_wall_us() };
	struct job_added added;

	queue_give(test, "small", "\"backlog\":3,\"backlogAgeMs\":60000");
	REQUIRE(db_exec(&db, &count_set, &counted) == 0);
	REQUIRE(depth_refresh(test->store, &test->arena) == 0);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);

	counted.waiting = 0; /* but one that is old */
	counted.counted_at++;
	REQUIRE(db_exec(&db, &count_set, &counted) == 0);
	REQUIRE(depth_refresh(test->store, &test->arena) == 0);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	EXPECT_STR(str_from_c(err_last()->rule), S("backlog_age"));

	counted.oldest_at = counted.counted_at = clock_wall_us();
	REQUIRE(db_exec(&db, &count_set, &counted) == 0);
	REQUIRE(depth_refresh(test->store, &test->arena) == 0);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
}

/* --- what modules may not ask for ------------------------------------------------------ */

JOBS_TEST(modules_are_told_what_is_wrong)
{
	static const struct {
		struct job_new job;
		const char *field;
	} rows[] = {
		{ { .name = S_INIT("nope") }, "name" },
		{ { .name = S_INIT("a:b"), .queue = S_INIT("A") }, "queue" },
		{ { .name = S_INIT("a:b"), .attempts = 101 }, "attempts" },
		{ { .name = S_INIT("a:b"), .priority = { .set = true, .value = 10 } }, "priority" },
		{ { .name = S_INIT("a:b"), .unique_key = S_INIT("a\n") }, "unique.key" },
		{ { .name = S_INIT("a:b"), .group_key = S_INIT("\xff") }, "group" },
		{ { .name = S_INIT("a:b"), .delay_ns = 367 * 24 * HOUR }, "delayMs" },
	};
	struct db db = store_test_tenant(test, 1);
	struct job_added added;

	for (size_t i = 0; i < LEN(rows); i++) {
		EXPECT_INT(job_try(&db, &rows[i].job, &added), -ERR_INVALID);
		EXPECT_STR(str_from_c(err_last()->field), str_from_c(rows[i].field));
	}
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 0);
}

/* Who says a time long ago does not get before the others. */
JOBS_TEST(a_time_long_ago_is_now)
{
	struct db db = store_test_tenant(test, 1);
	struct str id = job_put(&db, &(struct job_new){ .name = S("a:b"), .run_at_us = 1 });
	struct job_shown job = job_look(&db, id);

	EXPECT_INT(job.state, JOB_AVAILABLE);
	EXPECT_INT(job.run_at.value, job.created_at);
}

#ifdef BULKHEAD_FAULTS
static int torn_in_tx(struct tx *tx, void *arg)
{
	const struct many *many = arg;
	int r;

	fault_arm(FAULT_MEMORY, many->count);
	r = tx_enqueue(tx, &many->job, NULL);
	fault_arm(FAULT_MEMORY, 0);
	return r;
}

/* Each allocation fails once: the job is there, or it is not and the reason was memory. */
JOBS_TEST(adding_survives_a_lack_of_memory)
{
	struct db db = store_test_tenant(test, 1);
	struct many many = { { .name = S("a:b"),
				     .group_key = S("g"),
				     .unique_key = S("u"),
				     .unique_mode = JOB_UNIQUE_REPLACE },
		0 };
	int r = -1;

	for (many.count = 1; many.count < 200 && r < 0; many.count++) {
		r = db_write(&db, torn_in_tx, &many);
		EXPECT(r == 0 || r == -ERR_NO_MEMORY || r == -ERR_UNAVAILABLE);
		EXPECT_INT(jobs_count(&db, COUNT_JOBS), r == 0);
		EXPECT_INT(jobs_count(&db, COUNT_KEYS), r == 0);
	}
	EXPECT_INT(r, 0);
}
#endif

/* --- queues of a tenant ------------------------------------------------------------------------
 */

struct spread {
	size_t first, count;
	struct str queue; /* of one more job, in the same transaction; may be empty */
};

static int spread_in_tx(struct tx *tx, void *arg)
{
	const struct spread *spread = arg;
	int r = 0;

	for (size_t i = 0; i < spread->count && r == 0; i++) {
		struct job_new job = { .name = S("a:b"),
			.queue = arena_printf(tx_arena(tx), "q%zu", spread->first + i) };

		r = tx_enqueue(tx, &job, NULL);
	}
	if (r == 0 && spread->queue.len)
		r = tx_enqueue(
			tx, &(struct job_new){ .name = S("a:b"), .queue = spread->queue }, NULL);
	return r;
}

static int spread(const struct db *db, size_t first, size_t count, const char *more)
{
	struct spread spread = { first, count, str_from_c(more) };

	return db_write_with(db, &jobs_adding, spread_in_tx, &spread);
}

enum { AT_ONCE = 32 }; /* as many bells as one transaction rings */

static void spread_all(const struct db *db)
{
	for (size_t i = 0; i < JOB_TENANT_QUEUES_MAX; i += AT_ONCE)
		EXPECT_INT(spread(db, i, AT_ONCE, NULL), 0);
}

static void tell_of_queues(struct store_test *test)
{
	REQUIRE(census_count(test->store, (1U << CENSUS_PARTS) - 1) == 0);
	REQUIRE(depth_refresh(test->store, &test->arena) == 0);
}

JOBS_TEST(jobs_of_a_tenant_wait_in_so_many_queues)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct db third = store_test_tenant(test, 3);
	struct job_added added;
	struct job_new job = { .name = S("a:b"), .queue = S("beyond") };

	spread_all(&db);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	EXPECT_STR(str_from_c(err_last()->field), S("queue"));
	EXPECT_INT(job_try(&other, &job, &added), 0);
	EXPECT_INT(spread(&db, 7, 1, NULL), 0); /* where some wait already */

	/* as counted, too; and when one is empty again there is room for one */
	tell_of_queues(test);
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	clock_pass(10 * SECOND);
	REQUIRE(db_exec(&db, &queue_ended, NULL) == 0);
	tell_of_queues(test);
	EXPECT_INT(job_try(&db, &job, &added), 0);
	job.queue = S("further");
	EXPECT_INT(job_try(&db, &job, &added), -ERR_TOO_MANY);
	clock_back();

	/* what one transaction adds counts within it; none of it is there when that fails */
	for (size_t i = 0; i + AT_ONCE < JOB_TENANT_QUEUES_MAX; i += AT_ONCE)
		EXPECT_INT(spread(&third, i, AT_ONCE, NULL), 0);
	EXPECT_INT(spread(&third, 1000, AT_ONCE, "beyond"), -ERR_TOO_MANY);
	EXPECT_INT(spread(&third, 1000, AT_ONCE, "q0"), 0);
}

/* --- groups that are full ----------------------------------------------------------------------
 */

/* Adds, and commits whatever came of it. */
static int stubborn_in_tx(struct tx *tx, void *arg)
{
	EXPECT_INT(tx_enqueue(tx, arg, NULL), -ERR_TOO_MANY);
	return 0;
}

static void stubborn(const struct db *db, struct job_new *job)
{
	EXPECT_INT(db_write_with(db, &jobs_adding, stubborn_in_tx, job), 0);
}

JOBS_TEST(job_that_its_group_refuses_leaves_nothing_behind)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .queue = S("small"), .group_key = S("g") };
	struct str id;

	queue_give(test, "small", "\"groupBacklog\":1");
	(void)job_put(&db, &job);
	(void)job_put(&db, &job);
	stubborn(&db, &job);
	EXPECT_INT(group_look(&db, "small", "g").active, 1);
	EXPECT_INT(group_look(&db, "small", "g").waiting, 1);

	/* one that is replaced stays where it is */
	job.group_key = S("h");
	job.unique_key = S("u");
	id = job_put(&db, &job);
	job.group_key = S("g");
	job.unique_mode = JOB_UNIQUE_REPLACE;
	stubborn(&db, &job);
	EXPECT_STR(job_look(&db, id).group_key.value, S("h"));
	EXPECT_INT(group_look(&db, "small", "h").active, 1);
	EXPECT_INT(group_look(&db, "small", "g").waiting, 1);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), 3);
}

/* Whoever takes its own place again makes the group no larger. */
JOBS_TEST(job_is_replaced_in_a_group_that_is_full)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .queue = S("small"), .group_key = S("g") };
	struct job_added added = { 0 };

	queue_give(test, "small", "\"groupBacklog\":1");
	(void)job_put(&db, &job);
	job.unique_key = S("u");
	(void)job_put(&db, &job);
	job.unique_mode = JOB_UNIQUE_REPLACE;
	EXPECT_INT(job_try(&db, &job, &added), 0);
	EXPECT_INT(added.outcome, JOB_REPLACED);
	EXPECT_INT(group_look(&db, "small", "g").active, 1);
	EXPECT_INT(group_look(&db, "small", "g").waiting, 1);
}

/* A group waits for its rate, and not for a clock that was ahead. */
JOBS_TEST(job_does_not_wait_for_a_clock_that_was_set_back)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("a:b"), .queue = S("paced"), .group_key = S("g") };
	struct job_shown shown;

	queue_give(
		test, "paced", "\"groupConcurrency\":3,\"groupRate\":{\"count\":1,\"perMs\":1000}");
	clock_ahead(24 * HOUR);
	(void)job_put(&db, &job);
	clock_back();
	shown = job_look(&db, job_put(&db, &job));
	EXPECT(shown.run_at.value <= shown.created_at + 1000000);
	shown = job_look(&db, job_put(&db, &job)); /* and the rate is kept from there on */
	EXPECT_INT(shown.state, JOB_SCHEDULED);
	EXPECT(shown.run_at.value <= shown.created_at + 2000000);
}

/* --- settings ----------------------------------------------------------------------------------
 */

/* Settings of as many queues as there may be, long ones. */
static void put_queues(struct store_test *test, int64_t depth, const char *more)
{
	struct db db = db_of_system(test->store, &test->arena);
	char url[1900];
	struct many_queues many = { QUEUES_MAX, { { NULL, 0 } } };

	memset(url, 'u', sizeof(url));
	many.settings.json = arena_printf(&test->arena,
		"{\"alarmDepth\":%lld,\"pushUrl\":\"https://%.*s\",\"backoff\":{\"kind\":\"list\","
		"\"listMs\":[1,2,3,4,5,6,7,8]},\"completed\":{},\"discarded\":{},"
		"\"cancelled\":{}%s}",
		(long long)depth, (int)sizeof(url), url, more);
	REQUIRE(db_exec(&db, &queues_put, &many) == 0);
	REQUIRE(queues_load(test->store, &test->arena) == 0);
	arena_reset(&test->arena);
}

/* However often settings change, no more is kept of them than others may hold on to. */
JOBS_TEST(jobs_settings_may_change_for_ever)
{
	struct db db = db_of_system(test->store, &test->arena);
	struct queue_settings first = { 0 }, last = { 0 };

	put_queues(test, 1, "");
	queue_settings(S("q1000"), &first);
	for (int64_t depth = 2; depth <= 8; depth++)
		put_queues(test, depth, "");
	queue_settings(S("q1000"), &last);
	EXPECT_INT(last.alarm_depth, 8);
	EXPECT(last.push_url.at == first.push_url.at);
	EXPECT_INT(last.backoff.list_ms.count, 8);
	EXPECT_INT(last.backoff.list_ms.at[7], 8);

	put_queues(test, 9, ",\"nope\":1"); /* which nobody can read */
	queue_settings(S("q7"), &last);
	EXPECT_INT(last.alarm_depth, 8);

	REQUIRE(db_exec(&db, &queues_drop, NULL) == 0);
	REQUIRE(queues_load(test->store, &test->arena) == 0);
	queue_settings(S("q7"), &last);
	EXPECT_INT(last.alarm_depth, 0);
	queue_give(test, "another", "\"alarmDepth\":5"); /* there is room again */
	queue_settings(S("another"), &last);
	EXPECT_INT(last.alarm_depth, 5);
}
