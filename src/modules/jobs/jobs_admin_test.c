/* Looking at jobs and deciding about them, over HTTP. */
#include "modules/jobs/jobs_admin.h"

#include "base/err.h"
#include "modules/jobs/jobs_admin_fixture_test.h"
#include "observe/clock.h"

#include <stdio.h>

static const struct job_new plain = { .name = S_INIT("test:plain"), .queue = S_INIT("q") };

#define NEW(...) ((struct job_new){ __VA_ARGS__ })
#define JOB(...) NEW(.name = S("test:plain"), .queue = S("q"), ##__VA_ARGS__)

static struct answer post(struct world *world, const char *caller, const char *path, const char *id,
	const char *rest, const char *body)
{
	char request[300];

	(void)snprintf(request, sizeof(request), "POST %s%s%s", path, id, rest);
	return world_call(world, caller, request, "", body);
}

/* A change of one job; the status. */
static int change(struct world *world, const char *caller, const char *id, const char *what)
{
	return post(world, caller, "/api/v1/jobs/", id, what, NULL).status;
}

#define EXPECT_STATE(id, wanted) EXPECT_STR(str_from_c(job_state_of(world, "ada", id)), S(wanted))

#define EXPECT_ITEMS(caller, query, wanted)                                                        \
	({                                                                                         \
		struct answer listed_ = world_get(world, caller, "%s", "/api/v1/jobs" query);      \
		EXPECT_INT(listed_.status, 200);                                                   \
		EXPECT_INT(answer_count(&listed_, "\"queue\":"), wanted);                          \
	})

/* --- lists ------------------------------------------------------------------------------ */

WORLD_TEST(jobs_are_listed_in_pages, jobs_world)
{
	struct answer answer;
	char cursor[600];

	for (int i = 0; i < 5; i++)
		(void)job_add(world, "ada", plain);
	(void)job_add(world, "bob", plain);

	answer = world_get(world, "ada", "/api/v1/jobs?limit=3");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"test:plain\""), 3);
	EXPECT_INT(answer_count(&answer, "payload"), 0);
	(void)snprintf(cursor, sizeof(cursor), "%s", answer_text(&answer, "nextCursor"));
	EXPECT(cursor[0] != '\0');
	answer = world_get(world, "ada", "/api/v1/jobs?limit=3&cursor=%s", cursor);
	EXPECT_INT(answer_count(&answer, "\"test:plain\""), 2);
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
	EXPECT_INT(world_get(world, "ada", "/api/v1/jobs?cursor=x").status, 400);
	EXPECT_INT(world_get(world, "ada", "/api/v1/jobs?state=asleep").status, 400);
	EXPECT_INT(world_get(world, "Ada", "/api/v1/jobs").status, 403);
	EXPECT_INT(world_get(world, "nora", "/api/v1/jobs").status, 403);
}

WORLD_TEST(jobs_are_found_by_what_they_are, jobs_world)
{
	static const struct str tags[] = { S_INIT("red"), S_INIT("a\",\"blue") };
	const char *one = job_add(world, "ada",
		JOB(.unique_key = S("k"), .group_key = S("g"), .tags = tags, .tag_count = 2));
	char query[300];

	(void)job_add(world, "ada", plain);
	(void)job_add(
		world, "ada", NEW(.name = S("test:other"), .queue = S("q"), .delay_ns = HOUR));
	(void)job_add(world, "ada", NEW(.name = S("test:plain"), .queue = S("r")));

	EXPECT_ITEMS("ada", "", 4);
	EXPECT_ITEMS("ada", "?queue=r", 1);
	EXPECT_ITEMS("ada", "?queue=q&name=test%3Aother", 1);
	EXPECT_ITEMS("ada", "?state=scheduled", 1);
	EXPECT_ITEMS("ada", "?state=available&queue=q", 2);
	EXPECT_ITEMS("ada", "?state=running", 0);
	EXPECT_ITEMS("ada", "?tag=red", 1);
	EXPECT_ITEMS("ada", "?tag=blue", 0);
	EXPECT_ITEMS("ada", "?uniqueKey=k", 1);
	EXPECT_ITEMS("ada", "?uniqueKey=k&queue=r", 0);
	EXPECT_ITEMS("ada", "?groupKey=g", 1);
	EXPECT_ITEMS("ada", "?createdAfter=2020-01-01T00:00:00Z", 4);
	EXPECT_ITEMS("ada", "?createdBefore=2020-01-01T00:00:00Z", 0);
	EXPECT_ITEMS("bob", "", 0);
	(void)snprintf(query, sizeof(query), "/api/v1/jobs/%s", one);
	EXPECT_INT(world_get(world, "ada", "%s", query).status, 200);
	EXPECT_INT(world_get(world, "bob", "%s", query).status, 404);
}

WORLD_TEST(running_jobs_are_found_among_many, jobs_world)
{
	for (int i = 0; i < 3; i++) {
		(void)job_add(world, "ada", plain);
		(void)job_add(world, "bob", NEW(.name = S("test:plain"), .queue = S("r")));
	}
	EXPECT_INT(jobs_work(world, "q", 2, LEFT_RUNNING), 2);
	EXPECT_INT(jobs_work(world, "r", 2, LEFT_RUNNING), 2);
	EXPECT_ITEMS("ada", "?state=running", 2);
	EXPECT_ITEMS("ada", "/running", 2);
	EXPECT_ITEMS("ada", "/running?queue=r", 0);
	EXPECT_ITEMS("bob", "/running?queue=r", 2);
	EXPECT_ITEMS("ada", "/running?limit=1", 1);
	{
		struct answer answer = world_get(world, "ada", "/api/v1/jobs/running");

		EXPECT_INT(answer_count(&answer, "\"runningMs\":"), 2);
		EXPECT_STR(str_from_c(answer_text(&answer, "worker")), S("tester"));
	}
}

/* More jobs than a page looks at. */
static int add_many_in_tx(struct tx *tx, void *arg)
{
	struct job_added added;
	int r = 0;

	(void)arg;
	for (int i = 0; i < 1000 && r == 0; i++)
		r = tx_enqueue(tx, &plain, &added);
	return r;
}

static int add_many(const struct db *db, void *arg)
{
	return db_write_with(db, &jobs_adding, add_many_in_tx, arg);
}

WORLD_TEST(a_page_ends_where_it_has_looked_enough, jobs_world)
{
	char cursor[600] = "";
	struct answer answer;
	int pages = 0, found = 0;

	(void)job_add(world, "ada", NEW(.name = S("test:needle"), .queue = S("q")));
	for (int i = 0; i < JOBS_LOOK_MAX / 1000; i++)
		world_do(world, "ada", add_many, NULL);
	do {
		answer = world_get(world, "ada", "/api/v1/jobs?name=test%%3Aneedle%s%s",
			cursor[0] ? "&cursor=" : "", cursor);
		REQUIRE(answer.status == 200);
		found += (int)answer_count(&answer, "\"test:needle\"");
		(void)snprintf(cursor, sizeof(cursor), "%s", answer_text(&answer, "nextCursor"));
		pages++;
	} while (cursor[0] && pages < 10);
	EXPECT_INT(found, 1);
	EXPECT_INT(pages, 2);
}

/* --- one ------------------------------------------------------------------------------------ */

WORLD_TEST(a_job_tells_what_became_of_its_attempts, jobs_world)
{
	const char *id = job_add(world, "ada", JOB(.attempts = 2));
	struct answer answer;

	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	answer = world_get(world, "ada", "/api/v1/jobs/%s", id);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("retryable"));
	EXPECT_INT(answer_count(&answer, "\"it broke\""), 1);
	EXPECT_INT(answer_count(&answer, "\"payload\":{}"), 1);
	EXPECT_INT(change(world, "ada", id, "/promote"), 200);
	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	answer = world_get(world, "ada", "/api/v1/jobs/%s", id);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("discarded"));
	EXPECT_INT(answer_count(&answer, "\"it broke\""), 2);
	EXPECT_INT(world_get(world, "ada", "/api/v1/jobs/%s/logs", id).status, 200);
	EXPECT_INT(world_get(world, "bob", "/api/v1/jobs/%s/logs", id).status, 404);
}

WORLD_TEST(a_discarded_job_is_tried_again, jobs_world)
{
	const char *id = job_add(world, "ada", JOB(.attempts = 1));
	struct answer answer;

	EXPECT_INT(change(world, "ada", id, "/retry"), 409);
	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	EXPECT_STATE(id, "discarded");
	answer = post(world, "ada", "/api/v1/jobs/", id, "/retry", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "state")), S("available"));
	EXPECT_STR(str_from_c(answer_text(&answer, "attempts")), S("2"));
	EXPECT_INT(answer_count(&answer, "endedAt"), 0);
	EXPECT_INT(jobs_work(world, "q", 1, END_COMPLETE), 1);
	EXPECT_STATE(id, "completed");
	EXPECT_INT(change(world, "ada", id, "/retry"), 200);
	EXPECT_INT(change(world, "bob", id, "/retry"), 404);
	EXPECT_INT(change(world, "Ada", id, "/retry"), 403);
}

WORLD_TEST(a_job_tried_again_takes_its_key_and_seat, jobs_world)
{
	const struct job_new keyed = JOB(.unique_key = S("k"), .group_key = S("g"), .attempts = 1);
	const char *first = job_add(world, "ada", keyed), *second, *third;
	struct answer answer;

	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	second = job_add(world, "ada", keyed);
	answer = post(world, "ada", "/api/v1/jobs/", first, "/retry", NULL);
	EXPECT_INT(answer.status, 409);
	EXPECT_INT(answer_count(&answer, "\"field\":\"uniqueKey\""), 1);
	EXPECT_STATE(first, "discarded");

	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STATE(second, "completed");
	third = job_add(world, "ada", JOB(.group_key = S("g")));
	answer = post(world, "ada", "/api/v1/jobs/", first, "/retry", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "blocked")), S("true"));
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STATE(third, "completed");
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STATE(first, "completed");
}

WORLD_TEST(a_job_is_not_tried_for_ever, jobs_world)
{
	const char *id = job_add(world, "ada", JOB(.attempts = JOB_ATTEMPTS_MAX));
	struct answer answer;

	EXPECT_INT(jobs_work(world, "q", 1, END_DISCARD), 1);
	answer = post(world, "ada", "/api/v1/jobs/", id, "/retry", NULL);
	EXPECT_INT(answer.status, 200);
	/* the first round is not over */
	EXPECT_STR(str_from_c(answer_text(&answer, "attempts")), S("100"));
}

WORLD_TEST(a_job_is_made_due, jobs_world)
{
	const char *later = job_add(world, "ada", JOB(.delay_ns = HOUR)), *running;

	EXPECT_INT(jobs_work(world, "q", 1, END_COMPLETE), 0);
	EXPECT_INT(change(world, "ada", later, "/promote"), 200);
	EXPECT_INT(change(world, "ada", later, "/promote"), 409);
	EXPECT_INT(jobs_work(world, "q", 1, END_SNOOZE), 1);
	EXPECT_STATE(later, "scheduled");
	EXPECT_INT(change(world, "ada", later, "/promote"), 200);
	EXPECT_INT(jobs_work(world, "q", 1, END_COMPLETE), 1);

	/* one that waits for another of its key cannot be */
	running = job_add(world, "ada", JOB(.unique_key = S("k")));
	EXPECT_INT(jobs_work(world, "q", 1, LEFT_RUNNING), 1);
	later = job_add(world, "ada", JOB(.unique_key = S("k"), .unique_mode = JOB_UNIQUE_REPLACE));
	EXPECT(strcmp(later, running) != 0);
	EXPECT_INT(change(world, "ada", later, "/promote"), 409);
}

WORLD_TEST(a_promoted_job_of_a_group_waits_for_its_seat, jobs_world)
{
	const char *first = job_add(world, "ada", JOB(.group_key = S("g")));
	const char *second = job_add(world, "ada", JOB(.group_key = S("g"), .delay_ns = HOUR));

	EXPECT_INT(change(world, "ada", second, "/promote"), 200);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STATE(first, "completed");
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STATE(second, "completed");
}

WORLD_TEST(jobs_are_called_off_and_removed, jobs_world)
{
	const char *waiting = job_add(world, "ada", JOB(.unique_key = S("k"))), *running;
	char request[100];

	EXPECT_INT(change(world, "ada", waiting, "/cancel"), 200);
	EXPECT_STATE(waiting, "cancelled");
	EXPECT_INT(change(world, "ada", waiting, "/cancel"), 409);
	running = job_add(world, "ada", JOB(.unique_key = S("k")));
	EXPECT_INT(jobs_work(world, "q", 1, LEFT_RUNNING), 1);
	(void)snprintf(request, sizeof(request), "DELETE /api/v1/jobs/%s", running);
	EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 409);
	EXPECT_INT(change(world, "ada", running, "/cancel"), 200);
	EXPECT_STATE(running, "running");

	(void)snprintf(request, sizeof(request), "DELETE /api/v1/jobs/%s", waiting);
	EXPECT_INT(world_call(world, "bob", request, "", NULL).status, 404);
	EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 204);
	EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 404);
	EXPECT_STATE(waiting, "gone");
}

/* One that is removed leaves its place to the next of its group, and its key to anybody. */
WORLD_TEST(a_removed_job_makes_room, jobs_world)
{
	const char *first = job_add(world, "ada", JOB(.group_key = S("g"), .unique_key = S("k")));
	const char *second = job_add(world, "ada", JOB(.group_key = S("g")));
	char request[100];

	(void)snprintf(request, sizeof(request), "DELETE /api/v1/jobs/%s", first);
	EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 204);
	(void)job_add(world, "ada", JOB(.unique_key = S("k")));
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 2);
	EXPECT_STATE(second, "completed");
}

/* --- several ---------------------------------------------------------------------------------- */

WORLD_TEST(jobs_are_changed_together, jobs_world)
{
	struct answer answer;
	char body[300];

	for (int i = 0; i < 70; i++)
		(void)job_add(world, "ada", JOB(.attempts = 1));
	(void)job_add(world, "bob", JOB(.attempts = 1));
	while (jobs_work(world, "q", 100, END_FAIL))
		continue;
	answer = post(world, "ada", "/api/v1/jobs/retry", "", "",
		"{\"filter\":{\"queue\":\"q\"},\"limit\":60}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("60"));
	EXPECT_STR(str_from_c(answer_text(&answer, "more")), S("true"));
	(void)snprintf(
		body, sizeof(body), "{\"cursor\":\"%s\"}", answer_text(&answer, "nextCursor"));
	answer = post(world, "ada", "/api/v1/jobs/retry", "", "", body);
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("10"));
	EXPECT_STR(str_from_c(answer_text(&answer, "more")), S("false"));
	EXPECT_ITEMS("bob", "?state=discarded", 1);

	answer = post(world, "ada", "/api/v1/jobs/cancel", "", "",
		"{\"filter\":{\"state\":\"available\"}}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("70"));
	answer = post(world, "ada", "/api/v1/jobs/clean", "", "",
		"{\"filter\":{\"state\":\"cancelled\",\"olderThanMs\":3600000}}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("0"));
	answer = post(world, "ada", "/api/v1/jobs/clean", "", "",
		"{\"filter\":{\"state\":\"cancelled\",\"olderThanMs\":0}}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("70"));
	EXPECT_ITEMS("ada", "", 0);
	EXPECT_ITEMS("bob", "", 1);
}

WORLD_TEST(jobs_are_changed_together_only_where_that_is_clear, jobs_world)
{
	static const struct {
		const char *path, *body;
		int status;
	} rows[] = {
		{ "retry", "{\"filter\":{\"state\":\"running\"}}", 400 },
		{ "cancel", "{}", 400 },
		{ "cancel", "{\"filter\":{\"state\":\"completed\"}}", 400 },
		{ "clean", "{}", 400 },
		{ "clean", "{\"filter\":{\"state\":\"available\"}}", 400 },
		{ "clean", "{\"filter\":{\"state\":\"discarded\"},\"limit\":1001}", 400 },
		{ "clean", "{\"filter\":{\"status\":\"discarded\"}}", 400 },
		{ "clean", "{\"filter\":{\"state\":\"discarded\"},\"cursor\":\"x\"}", 400 },
		{ "clean", "{\"filter\":{\"state\":\"discarded\"}}", 200 },
		{ "retry", "{}", 200 },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		EXPECT_INT(
			post(world, "ada", "/api/v1/jobs/", rows[i].path, "", rows[i].body).status,
			rows[i].status);
	EXPECT_INT(post(world, "Ada", "/api/v1/jobs/retry", "", "", "{}").status, 403);
	EXPECT_INT(post(world, "nora", "/api/v1/jobs/retry", "", "", "{}").status, 403);
}

/* One whose key another one has is left as it is; the others go on. */
WORLD_TEST(who_cannot_be_tried_again_is_skipped, jobs_world)
{
	struct answer answer;

	for (int i = 0; i < 3; i++) {
		(void)job_add(world, "ada", JOB(.unique_key = S("k"), .attempts = 1));
		EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	}
	answer = post(world, "ada", "/api/v1/jobs/retry", "", "", "{}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("1"));
	EXPECT_STR(str_from_c(answer_text(&answer, "skipped")), S("2"));
}

WORLD_TEST(what_people_decide_is_audited, jobs_world)
{
	const char *id = job_add(world, "ada", JOB(.attempts = 1));
	struct answer answer;

	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	EXPECT_INT(change(world, "ada", id, "/retry"), 200);
	EXPECT_INT(post(world, "ada", "/api/v1/jobs/cancel", "", "",
			   "{\"filter\":{\"state\":\"available\"}}")
			   .status,
		200);
	answer = world_get(world, "ada", "/api/v1/audit?limit=10");
	EXPECT_INT(answer_count(&answer, "\"job.retried\""), 1);
	EXPECT_INT(answer_count(&answer, "\"jobs.cancelled\""), 1);
	EXPECT_INT(answer_count(&answer, "\"count\":1"), 1);
}

/* --- no memory -------------------------------------------------------------------------------- */

/* Whatever allocation fails, either all of it has happened or nothing. */
WORLD_TEST(changes_survive_a_lack_of_memory, jobs_world)
{
	const char *id = job_add(world, "ada", JOB(.attempts = 1, .group_key = S("g")));
	char fault[40], request[100];
	int status = 0;

	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	(void)snprintf(request, sizeof(request), "POST /api/v1/jobs/%s/retry", id);
	for (int nth = 1; nth < 200 && status != 200; nth++) {
		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		status = world_call(world, "ada", request, fault, NULL).status;
		EXPECT(status == 200 || status == 503);
		if (status == 503)
			EXPECT_STATE(id, "discarded");
	}
	EXPECT_INT(status, 200);
	EXPECT_STATE(id, "available");

	status = 0;
	for (int nth = 1; nth < 300 && status != 200; nth++) {
		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		status = world_call(world, "ada", "POST /api/v1/jobs/cancel", fault,
			"{\"filter\":{\"state\":\"available\"}}")
				 .status;
		EXPECT(status == 200 || status == 503);
	}
	EXPECT_INT(status, 200);
	EXPECT_STATE(id, "cancelled");
}
