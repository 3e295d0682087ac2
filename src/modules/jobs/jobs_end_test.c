/* What becomes of jobs when their starts end: each kind, from a row to a row. */
#include "modules/jobs/jobs_run_fixture_test.h"

#include "base/err.h"

struct error_row {
	struct str kind, message;
	int64_t attempt;
};

JOBS_TEST(jobs_end_as_the_table_says)
{
	static const struct {
		const char *name;
		enum end_kind kind;
		int64_t attempts;
		bool cancelling;
		enum job_state state;
		int64_t attempt; /* afterwards */
	} cases[] = {
		{ "completed", END_COMPLETE, 3, false, JOB_COMPLETED, 1 },
		{ "completed although cancelled", END_COMPLETE, 3, true, JOB_COMPLETED, 1 },
		{ "failed", END_FAIL, 3, false, JOB_RETRYABLE, 1 },
		{ "failed for good", END_FAIL, 1, false, JOB_DISCARDED, 1 },
		{ "failed and cancelled", END_FAIL, 3, true, JOB_CANCELLED, 1 },
		{ "snoozed", END_SNOOZE, 1, false, JOB_SCHEDULED, 0 },
		{ "snoozed and cancelled", END_SNOOZE, 1, true, JOB_CANCELLED, 0 },
		{ "released", END_RELEASE, 1, false, JOB_AVAILABLE, 0 },
		{ "discarded", END_DISCARD, 3, false, JOB_DISCARDED, 1 },
		{ "lost", END_LOST, 3, false, JOB_AVAILABLE, 1 },
		{ "lost for good", END_LOST, 1, false, JOB_DISCARDED, 1 },
		{ "out of time", END_TIMEOUT, 3, false, JOB_RETRYABLE, 1 },
	};
	struct db db = store_test_tenant(test, 1);

	for (size_t i = 0; i < LEN(cases); i++) {
		struct job_new job = { .name = S("test:plain"), .attempts = cases[i].attempts };
		struct take take = taker("default", 10);
		struct str id = job_put(&db, &job);
		struct haul got = haul(test, &take);
		struct job_shown shown;
		struct job_end end;
		enum job_state state;

		REQUIRE(got.count == 1);
		EXPECT_STR(got.at[0].id, id);
		EXPECT_INT(job_look(&db, id).state, JOB_RUNNING);
		if (cases[i].cancelling)
			REQUIRE(job_cancel(&db, id, &state) == 0);
		end = end_of(&take, &got.at[0], cases[i].kind);
		end.delay_us = cases[i].kind == END_SNOOZE ? 60000000 : 0;
		REQUIRE(end_all(&db, &end, 1) == 0);
		EXPECT_INT(end.result_code, 0);
		shown = job_look(&db, id);
		if (!EXPECT_INT(shown.state, cases[i].state) ||
			!EXPECT_INT(end.state, cases[i].state) ||
			!EXPECT_INT(shown.attempt, cases[i].attempt))
			test_note(false, __FILE__, __LINE__, "%s", cases[i].name);
		EXPECT(!shown.cancelling);
		/* the same start again is somebody else's */
		REQUIRE(end_all(&db, &end, 1) == 0);
		EXPECT_INT(end.result_code, -ERR_CONFLICT);
		EXPECT_INT(job_look(&db, id).state, cases[i].state);
		(void)job_cancel(&db, id, &state);
	}
}

/* --- what ends leave behind --------------------------------------------------------------------
 */

/* Puts one, takes it, and ends it. */
static struct job_end run_one(
	struct store_test *test, struct take *take, const struct job_new *job, enum end_kind kind)
{
	struct db db = store_test_tenant(test, 1);
	struct haul got;
	struct job_end end;

	(void)job_put(&db, job);
	got = haul(test, take);
	REQUIRE(got.count == 1);
	end = end_of(take, &got.at[0], kind);
	REQUIRE(end_all(&db, &end, 1) == 0);
	EXPECT_INT(end.result_code, 0);
	return end;
}

JOBS_TEST(jobs_give_their_seat_and_key_to_the_next)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("test:plain"), .group_key = S("g"), .attempts = 2 };
	struct take take = taker("default", 10);
	struct str first = job_put(&db, &job), second = job_put(&db, &job);
	struct haul got = haul(test, &take);

	REQUIRE(got.count == 1);
	EXPECT_STR(got.at[0].id, first);
	EXPECT_STR(got.at[0].group_key.value, S("g"));
	/* a retry holds the group */
	EXPECT_INT(end_one(test, &take, &got.at[0], END_LOST), 0);
	got = haul(test, &take);
	REQUIRE(got.count == 1);
	EXPECT_STR(got.at[0].id, first);
	/* a discard goes on with the next one */
	EXPECT_INT(end_one(test, &take, &got.at[0], END_FAIL), 0);
	EXPECT_INT(job_look(&db, first).state, JOB_DISCARDED);
	got = haul(test, &take);
	REQUIRE(got.count == 1);
	EXPECT_STR(got.at[0].id, second);
	EXPECT_INT(end_one(test, &take, &got.at[0], END_COMPLETE), 0);
	EXPECT_INT(jobs_count(&db, COUNT_GROUPS), 0);

	job = (struct job_new){ .name = S("test:plain"), .unique_key = S("u") };
	(void)run_one(test, &take, &job, END_COMPLETE);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
	(void)run_one(test, &take, &job, END_DISCARD);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
}

JOBS_TEST(jobs_halt_their_group_where_the_queue_says_so)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new job = { .name = S("test:plain"), .queue = S("strict"), .group_key = S("g") };
	struct take take = taker("strict", 10);

	queue_give(test, "strict", "\"onDiscard\":\"halt\"");
	(void)run_one(test, &take, &job, END_DISCARD);
	(void)job_put(&db, &job);
	EXPECT(group_look(&db, "strict", "g").halted);
	EXPECT_INT(haul(test, &take).count, 0);
}

/* Several of one queue and of others, some of them stale, some without a word about their queue. */
JOBS_TEST(jobs_end_in_batches_of_all_kinds)
{
	enum { COUNT = 12 };
	struct db db = store_test_tenant(test, 1);
	struct take take = taker("default", COUNT), bare = taker("bare", COUNT);
	struct job_end ends[2 * COUNT + 1];
	struct haul got, others;

	queue_give(test, "bare", "\"completed\":{\"count\":0}");
	for (size_t i = 0; i < COUNT; i++) {
		(void)job_put(&db, &(struct job_new){ .name = S("test:plain") });
		(void)job_put(&db, &(struct job_new){ .name = S("test:plain"),
					   .queue = S("bare"),
					   .unique_key = i ? S("") : S("u") });
	}
	got = haul(test, &take);
	others = haul(test, &bare);
	REQUIRE(got.count == COUNT && others.count == COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		ends[i] = end_of(&take, &got.at[i], END_COMPLETE);
		/* right, not said, or wrong, which is found out */
		ends[i].queue = i % 3 == 0 ? S("default") : i % 3 == 1 ? S("") : S("bare");
		ends[i].result.json = i % 2 ? S("{\"b\":1,\"a\":[]}") : S("");
		ends[COUNT + i] = end_of(&bare, &others.at[i], END_COMPLETE);
		ends[COUNT + i].queue = i % 2 ? S("bare") : S("");
	}
	ends[3].attempt = 2;
	ends[2 * COUNT] = ends[5]; /* twice in one batch */
	REQUIRE(end_all(&db, ends, 2 * COUNT + 1) == 0);
	for (size_t i = 0; i < 2 * COUNT; i++)
		EXPECT_INT(ends[i].result_code, i == 3 ? -ERR_CONFLICT : 0);
	EXPECT_INT(ends[2 * COUNT].result_code, -ERR_CONFLICT);
	EXPECT_INT(jobs_in(&db, JOB_RUNNING), 1);
	EXPECT_INT(jobs_in(&db, JOB_COMPLETED), COUNT - 1);
	EXPECT_INT(jobs_count(&db, COUNT_JOBS), COUNT);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
	EXPECT_STR(job_look(&db, got.at[1].id).result.json, S("{\"b\":1,\"a\":[]}"));
	EXPECT_STR(job_look(&db, got.at[0].id).result.json, S(""));
}

/* A token of one tenant does nothing in another, whatever it says. */
JOBS_TEST(jobs_of_others_cannot_be_ended)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct take take = taker("default", 10);
	struct haul got;
	struct job_end end;
	enum job_state state;

	(void)job_put(&db, &(struct job_new){ .name = S("test:plain") });
	got = haul(test, &take);
	end = end_of(&take, &got.at[0], END_COMPLETE);
	REQUIRE(end_all(&other, &end, 1) == 0);
	EXPECT_INT(end.result_code, -ERR_CONFLICT);
	EXPECT_INT(job_cancel(&other, got.at[0].id, &state), -ERR_NOT_FOUND);
	EXPECT_INT(job_look(&db, got.at[0].id).state, JOB_RUNNING);
	/* what is no id at all */
	end.id = S("0190a1b2");
	REQUIRE(end_all(&db, &end, 1) == 0);
	EXPECT_INT(end.result_code, -ERR_CONFLICT);
}

/* --- pure --------------------------------------------------------------------------------------
 */

TEST(jobs_wait_as_the_job_or_the_queue_says)
{
	const struct job_backoff own = { .kind = JOB_BACKOFF_FIXED, .delay_ms = 5 };
	const struct queue_settings settings = { .backoff = { .kind = JOB_BACKOFF_FIXED,
							 .delay_ms = 7 } };
	struct end_row row = {
		.attempt = 1, .attempts = 3, .priority = 2, .run_at = 11, .turn = 12
	};
	struct job_end end = { .kind = END_FAIL };
	struct end_settle settle = end_decide(&row, &end, &settings, 1000, 0);

	EXPECT_INT(settle.run_at, 1000 + 7000);
	EXPECT_INT(settle.turn, job_turn(1000 + 7000, 2));
	row.backoff = &own;
	EXPECT_INT(end_decide(&row, &end, &settings, 1000, 0).run_at, 1000 + 5000);
	end.delay_us = 42;
	EXPECT_INT(end_decide(&row, &end, &settings, 1000, 0).run_at, 1042);
	end.kind = END_RELEASE;
	settle = end_decide(&row, &end, &settings, 1000, 0);
	EXPECT_INT(settle.run_at, 11);
	EXPECT_INT(settle.turn, 12);
	EXPECT_INT(settle.attempt, 0);
	end.kind = END_SNOOZE;
	end.delay_us = INT64_MAX;
	EXPECT(end_decide(&row, &end, &settings, 1000, 0).run_at <=
		1000 + JOB_DELAY_DAYS * INT64_C(86400000000));
}

/* --- cancelling ----------------------------------------------------------------------------------
 */

JOBS_TEST(jobs_are_cancelled_in_every_state)
{
	struct db db = store_test_tenant(test, 1);
	struct job_new grouped = {
		.name = S("test:plain"), .group_key = S("g"), .unique_key = S("u")
	};
	struct job_new later = { .name = S("test:plain"), .delay_ns = HOUR };
	struct take take = taker("default", 10);
	struct str first = job_put(&db, &grouped), waits, delayed = job_put(&db, &later);
	struct haul got;
	enum job_state state;

	grouped.unique_key = S("");
	waits = job_put(&db, &grouped);
	EXPECT_INT(job_cancel(&db, delayed, &state), 0);
	EXPECT_INT(state, JOB_CANCELLED);
	EXPECT_INT(job_cancel(&db, delayed, &state), -ERR_CONFLICT);
	/* one that waits for a seat leaves its place, one that has a seat gives it on */
	EXPECT_INT(job_cancel(&db, waits, &state), 0);
	EXPECT_INT(group_look(&db, "default", "g").waiting, 0);
	waits = job_put(&db, &grouped);
	EXPECT_INT(job_cancel(&db, first, &state), 0);
	EXPECT_INT(jobs_count(&db, COUNT_KEYS), 0);
	got = haul(test, &take);
	REQUIRE(got.count == 1);
	EXPECT_STR(got.at[0].id, waits);
	EXPECT_INT(job_cancel(&db, waits, &state), 0);
	EXPECT_INT(state, JOB_RUNNING);
	EXPECT(job_look(&db, waits).cancelling);
	EXPECT_INT(end_one(test, &take, &got.at[0], END_RELEASE), 0);
	EXPECT_INT(job_look(&db, waits).state, JOB_CANCELLED);
	EXPECT_INT(jobs_count(&db, COUNT_GROUPS), 0);
	EXPECT_INT(
		job_cancel(&db, S("01900000-0000-7000-8000-00000000ffff"), &state), -ERR_NOT_FOUND);
}
