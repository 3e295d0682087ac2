/* Payloads that were good when they were added, and are not when the job is taken. */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"
#include "base/fault.h"

struct law {
	struct str name, schema;
};

struct why {
	struct str kind, message;
};

/* clang-format off */
static const struct schema law_schema = SCHEMA(law, "The schema of a payload.",
	FIELD(law, name, "Of which jobs."),
	FIELD(law, schema, "What it says."));

static const struct schema why_schema = SCHEMA(why, "Why a job was discarded.",
	FIELD(why, kind, "What it was."),
	FIELD(why, message, "In words.", RANGE(0, JOB_MESSAGE_MAX)));
/* clang-format on */

static const struct statement put_law = STATEMENT("test_job_law",
	.sql = "INSERT INTO main.job_schema (tenant_id, name, schema, version, updated_at) "
	       "VALUES (:tenant, :name, :schema, 1, :now)",
	.in = &law_schema);

static const struct statement get_why = STATEMENT("test_job_why",
	.sql = "SELECT kind, message FROM job_error WHERE tenant_id = :tenant", .out = &why_schema);

static const struct statement *const statements[] = { &put_law, &get_why };

#define SIFT_TEST(name_, body_)                                                                    \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		jobs_test_with(statements, LEN(statements));                                       \
		jobs_test_run(ENGINE_SQLITE, body_);                                               \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		jobs_test_with(statements, LEN(statements));                                       \
		jobs_test_run(ENGINE_POSTGRES, body_);                                             \
	}

static void sift(struct store_test *test)
{
	static const struct law law = { S_INIT("test:strict"),
		S_INIT("{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
		       "\"required\":[\"n\"]}") };
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct job_new bad = { .name = S("test:strict"), .payload = S("{\"n\":\"x\"}") };
	struct job_new good = { .name = S("test:strict"), .payload = S("{\"n\":1}") };
	struct take take = taker("default", 10);
	struct why why = { 0 };
	struct haul got;
	struct str id;

	id = job_put(&db, &bad);
	(void)job_put(&db, &good);
	(void)job_put(&other, &bad); /* who has no such schema */
	REQUIRE(db_exec(&db, &put_law, &law) == 0);
	got = haul(test, &take);
	REQUIRE(got.count == 3);
	REQUIRE(jobs_sift(test->store, &test->arena, &take, got.at, &got.count) == 0);
	EXPECT_INT(got.count, 2);
	for (size_t i = 0; i < got.count; i++)
		EXPECT(!str_eq(got.at[i].id, id));
	EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
	REQUIRE(db_one(&db, &get_why, NULL, &why) == 0);
	EXPECT_STR(why.kind, S("VALIDATION_ERROR"));
	EXPECT(str_find(why.message, S("n must be")) >= 0);
	EXPECT_INT(jobs_in(&other, JOB_RUNNING), 1);
}

SIFT_TEST(jobs_with_a_payload_that_is_not_valid_any_more_are_discarded, sift)

/* What the program keeps to itself comes from nobody else's transaction. */
static void sift_names(struct store_test *test)
{
	static const struct job_kind own = { .name = "test:own", .queue = QUEUE_RESERVED "test" };
	struct db db = store_test_tenant(test, 1);
	struct job_new stray = { .name = S("test:own") };
	struct take take = taker("default", 10);
	struct why why = { 0 };
	struct haul got;

	(void)job_put(&db, &stray); /* before anybody here knows the name */
	REQUIRE(job_kind_declare(NULL, &own) == 0);
	got = haul(test, &take);
	REQUIRE(got.count == 1);
	REQUIRE(jobs_sift(test->store, &test->arena, &take, got.at, &got.count) == 0);
	EXPECT_INT(got.count, 0);
	REQUIRE(db_one(&db, &get_why, NULL, &why) == 0);
	EXPECT(str_find(why.message, S("only the program itself")) >= 0);
	stray.queue = S("default");
	EXPECT_INT(job_try(&db, &stray, &(struct job_added){ 0 }), -ERR_INVALID);
}

SIFT_TEST(jobs_with_a_name_of_the_programs_own_are_discarded, sift_names)

/* What cannot be judged waits without an attempt of its own, and holds up nobody. */
static void put_off(struct store_test *test)
{
	static const struct law law = { S_INIT("test:broken"), S_INIT("{\"type\":7}") };
	struct db db = store_test_tenant(test, 1);
	struct job_new broken = { .name = S("test:broken") }, good = { .name = S("test:good") };
	struct take take = taker("default", 10);
	struct job_shown shown;
	struct haul got;
	struct str id = job_put(&db, &broken);

	(void)job_put(&db, &good);
	REQUIRE(db_exec(&db, &put_law, &law) == 0);
	got = haul(test, &take);
	REQUIRE(got.count == 2);
	REQUIRE(jobs_sift(test->store, &test->arena, &take, got.at, &got.count) == 0);
	EXPECT_INT(got.count, 1);
	EXPECT(!str_eq(got.at[0].id, id));
	shown = job_look(&db, id);
	EXPECT_INT(shown.state, JOB_SCHEDULED);
	EXPECT_INT(shown.attempt, 0);
}

SIFT_TEST(jobs_with_a_payload_that_cannot_be_judged_wait, put_off)

/* Whatever fails, all that was taken can be handed back. */
static void lose_none(struct store_test *test)
{
	static const struct law law = { S_INIT("test:strict"),
		S_INIT("{\"type\":\"object\",\"required\":[\"n\"]}") };
	struct db db = store_test_tenant(test, 1);
	struct job_new bad = { .name = S("test:strict") };
	struct job_new good = { .name = S("test:strict"), .payload = S("{\"n\":1}") };
	struct take take = taker("default", 10);
	struct taken taken[4];
	size_t count = 0;
	struct haul got;
	int r = -1;

	for (size_t i = 0; i < LEN(taken); i++)
		(void)job_put(&db, i % 2 ? &good : &bad);
	REQUIRE(db_exec(&db, &put_law, &law) == 0);
	got = haul(test, &take);
	REQUIRE(got.count == LEN(taken));
	for (size_t nth = 1; r < 0 && nth < 2000; nth++) {
		struct arena arena;

		count = got.count;
		memcpy(taken, got.at, sizeof(taken));
		arena_init(&arena, KILOBYTE, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		r = jobs_sift(test->store, &arena, &take, taken, &count);
		fault_arm(FAULT_MEMORY, 0);
		arena_done(&arena);
		if (r == 0)
			break;
		REQUIRE(count == LEN(taken));
		for (size_t i = 0; i < count; i++)
			EXPECT_STR(taken[i].id, got.at[i].id);
	}
	EXPECT_INT(r, 0);
	EXPECT_INT(count, 2);
	EXPECT_INT(jobs_in(&db, JOB_RUNNING), 2);
}

SIFT_TEST(jobs_are_not_lost_when_judging_them_fails, lose_none)
