/* Adding: what becomes a row, and what of it. */
#include "modules/jobs/jobs_fixture_test.h"

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
