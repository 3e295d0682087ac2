/* Payloads that were good when they were added, and are not when the job is taken. */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"

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

TEST(jobs_with_a_name_of_the_programs_own_are_discarded_sqlite)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_SQLITE, sift_names);
}

TEST(jobs_with_a_name_of_the_programs_own_are_discarded_postgres)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_POSTGRES, sift_names);
}

TEST(jobs_with_a_payload_that_is_not_valid_any_more_are_discarded_sqlite)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_SQLITE, sift);
}

TEST(jobs_with_a_payload_that_is_not_valid_any_more_are_discarded_postgres)
{
	jobs_test_with(statements, LEN(statements));
	jobs_test_run(ENGINE_POSTGRES, sift);
}
