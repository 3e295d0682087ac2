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

/* Who asks again to put a job off, because no answer came, must not stop the start after that one:
 * even when the same lease has it. */
JOBS_TEST(a_start_that_does_not_count_is_not_the_next_one)
{
	static const enum end_kind kinds[] = { END_SNOOZE, END_RELEASE };
	struct db db = store_test_tenant(test, 1);

	for (size_t i = 0; i < LEN(kinds); i++) {
		struct job_new job = { .name = S("test:plain"), .attempts = 1 };
		struct take take = taker("default", 10);
		struct str id = job_put(&db, &job);
		struct haul first = haul(test, &take), second;

		REQUIRE(first.count == 1);
		EXPECT_INT(end_one(test, &take, &first.at[0], kinds[i]), 0);
		(void)promote(test);
		second = haul(test, &take);
		REQUIRE(second.count == 1);
		EXPECT_STR(second.at[0].id, id);
		EXPECT_INT(second.at[0].counted, 1);
		for (size_t k = 0; k < LEN(kinds); k++)
			EXPECT_INT(end_one(test, &take, &first.at[0], kinds[k]), -ERR_CONFLICT);
		EXPECT_INT(end_one(test, &take, &first.at[0], END_COMPLETE), -ERR_CONFLICT);
		EXPECT_INT(job_look(&db, id).state, JOB_RUNNING);
		EXPECT_INT(job_look(&db, id).attempt, 1);
		EXPECT_INT(end_one(test, &take, &second.at[0], END_FAIL), 0);
		EXPECT_INT(job_look(&db, id).state, JOB_DISCARDED);
		EXPECT_INT(job_look(&db, id).attempt, 1);
	}
}
