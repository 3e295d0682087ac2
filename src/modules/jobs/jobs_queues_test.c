/* Queues over HTTP: what is in them, pauses, settings, groups, workers. */
#include "base/err.h"
#include "http/health.h"
#include "modules/jobs/jobs_admin_fixture_test.h"
#include "modules/jobs/jobs_settings.h"

#include <stdio.h>
#include <unistd.h>

#define JOB(...) ((struct job_new){ .name = S("test:plain"), .queue = S("q"), ##__VA_ARGS__ })

#define EXPECT_TEXT(answer, member, wanted)                                                        \
	EXPECT_STR(str_from_c(answer_text(&(answer), member)), S(wanted))

static struct answer put(struct world *world, const char *headers, const char *body)
{
	return world_call(world, "olga", "PUT /api/v1/platform/queues/q", headers, body);
}

static int load_queues(const struct db *db, void *arg)
{
	(void)arg;
	return queues_load(db->store, db->arena);
}

/* Takes over what was changed, as a notice makes the program do. */
static void hear(struct world *world)
{
	world_do(world, "olga", load_queues, NULL);
}

/* --- what is in them ------------------------------------------------------------------------- */

WORLD_TEST(queues_tell_what_is_in_them, jobs_world)
{
	struct answer answer;

	EXPECT_INT(world_get(world, "ada", "/api/v1/queues/q").status, 404);
	for (int i = 0; i < 3; i++)
		(void)job_add(world, "ada", JOB(.group_key = S("g"), .attempts = 1));
	(void)job_add(world, "ada", JOB(.delay_ns = HOUR));
	(void)job_add(world, "bob", JOB(.attempts = 1));
	EXPECT_INT(jobs_work(world, "q", 1, LEFT_RUNNING), 1);
	EXPECT_INT(jobs_work(world, "q", 1, END_FAIL), 1);
	jobs_recount(world);

	answer = world_get(world, "ada", "/api/v1/queues/q");
	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "blocked", "2");
	EXPECT_TEXT(answer, "scheduled", "1");
	EXPECT_TEXT(answer, "waiting", "3");
	answer = world_get(world, "olga", "/api/v1/platform/queues");
	EXPECT_TEXT(answer, "running", "1");
	EXPECT_TEXT(answer, "discarded", "1");
	EXPECT_INT(answer_count(&answer, "\"name\":"), 1);
	EXPECT_INT(world_get(world, "ada", "/api/v1/platform/queues").status, 403);
	EXPECT_INT(world_get(world, "Ada", "/api/v1/queues").status, 403);
	EXPECT_INT(world_get(world, "nora", "/api/v1/queues").status, 403);
}

WORLD_TEST(queues_come_in_pages, jobs_world)
{
	static const struct str names[] = { S_INIT("a"), S_INIT("b"), S_INIT("c") };
	struct answer answer;

	for (size_t i = 0; i < LEN(names); i++)
		(void)job_add(world, "ada",
			(struct job_new){ .name = S("test:plain"), .queue = names[i] });
	jobs_recount(world);
	answer = world_get(world, "ada", "/api/v1/queues?limit=2");
	EXPECT_INT(answer_count(&answer, "\"name\":"), 2);
	answer = world_get(world, "ada", "/api/v1/queues?limit=2&cursor=%s",
		answer_text(&answer, "nextCursor"));
	EXPECT_INT(answer_count(&answer, "\"name\":\"c\""), 1);
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
	answer = world_get(world, "bob", "/api/v1/queues");
	EXPECT_INT(answer_count(&answer, "\"name\":"), 0);
}

/* --- pauses ------------------------------------------------------------------------------------
 */

WORLD_TEST(a_tenant_pauses_its_own_part, jobs_world)
{
	struct answer answer;

	(void)job_add(world, "ada", JOB());
	(void)job_add(world, "bob", JOB());
	answer = world_call(world, "ada", "POST /api/v1/queues/q/pause", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "paused", "true");
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	jobs_recount(world);
	answer = world_get(world, "ada", "/api/v1/queues/q");
	EXPECT_TEXT(answer, "pausedTenant", "true");
	EXPECT_TEXT(answer, "paused", "false");
	EXPECT_INT(world_call(world, "ada", "POST /api/v1/queues/q/resume", "", NULL).status, 200);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_INT(world_call(world, "ada", "POST /api/v1/queues/Q/pause", "", NULL).status, 400);
	EXPECT_INT(world_call(world, "Ada", "POST /api/v1/queues/q/pause", "", NULL).status, 403);
}

WORLD_TEST(a_queue_is_drained, jobs_world)
{
	const char *later = job_add(world, "ada", JOB(.delay_ns = HOUR));
	struct answer answer;

	for (int i = 0; i < 60; i++)
		(void)job_add(world, i % 2 ? "ada" : "bob", JOB());
	answer = world_call(world, "ada", "POST /api/v1/queues/q/drain", "", "{}");
	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "count", "30");
	EXPECT_STR(str_from_c(job_state_of(world, "ada", later)), S("scheduled"));
	answer = world_call(world, "ada", "POST /api/v1/queues/q/drain", "", "{\"later\":true}");
	EXPECT_TEXT(answer, "count", "1");
	EXPECT_STR(str_from_c(job_state_of(world, "ada", later)), S("cancelled"));

	jobs_recount(world);
	answer = world_call(world, "olga", "POST /api/v1/platform/queues/q/drain", "", "{}");
	EXPECT_TEXT(answer, "count", "30");
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 0);
}

/* --- settings --------------------------------------------------------------------------------- */

WORLD_TEST(a_queue_is_given_settings, jobs_world)
{
	struct answer answer = world_get(world, "olga", "/api/v1/platform/queues/email");
	struct queue_settings settings;

	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "isDefault", "true");
	EXPECT_TEXT(answer, "concurrency", "10");
	answer = put(world, "", "{\"settings\":{\"concurrency\":7,\"discarded\":{\"count\":5}}}");
	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "version", "1");
	hear(world);
	queue_settings(S("q"), &settings);
	EXPECT_INT(settings.concurrency, 7);
	EXPECT_INT(settings.discarded.count, 5);
	EXPECT_INT(settings.discarded.ms, INT64_C(7) * 86400000);
	EXPECT_INT(settings.attempts, 3);

	EXPECT_INT(put(world, "If-Match: \"2\"\r\n", "{\"settings\":{}}").status, 412);
	EXPECT_INT(put(world, "If-Match: \"1\"\r\n", "{\"settings\":{}}").status, 200);
	hear(world);
	queue_settings(S("q"), &settings);
	EXPECT_INT(settings.concurrency, 0);

	answer = world_call(world, "olga", "DELETE /api/v1/platform/queues/q", "", NULL);
	EXPECT_INT(answer.status, 200);
	answer = world_call(world, "olga", "DELETE /api/v1/platform/queues/q", "", NULL);
	EXPECT_INT(answer.status, 404);
	answer = world_get(world, "olga", "/api/v1/audit?limit=10");
	EXPECT_INT(answer_count(&answer, "\"queue.changed\""), 2);
	EXPECT_INT(answer_count(&answer, "\"queue.reset\""), 1);
}

WORLD_TEST(settings_that_make_no_sense_are_refused, jobs_world)
{
	static const struct {
		const char *settings, *field;
	} rows[] = {
		{ "\"concurrency\":-1", "settings.concurrency" },
		{ "\"concurrency\":\"many\"", "settings.concurrency" },
		{ "\"concurrency\":2,\"concurrencyMin\":3", "settings.concurrencyMin" },
		{ "\"attempts\":0", "settings.attempts" },
		{ "\"attempts\":101", "settings.attempts" },
		{ "\"rate\":{\"perMs\":10}", "settings.rate.count" },
		{ "\"rate\":{\"count\":1,\"perMs\":0}", "settings.rate.perMs" },
		{ "\"backoff\":{\"kind\":\"list\"}", "settings.backoff.listMs" },
		{ "\"backoff\":{\"delayMs\":1000,\"maxMs\":10}", "settings.backoff.maxMs" },
		{ "\"backoff\":{\"kind\":\"sometimes\"}", "settings.backoff.kind" },
		{ "\"leaseMs\":999", "settings.leaseMs" },
		{ "\"completed\":{\"ms\":-1}", "settings.completed.ms" },
		{ "\"onDiscard\":\"stop\"", "settings.onDiscard" },
		{ "\"level\":\"highest\"", "settings.level" },
		{ "\"pushUrl\":\"ftp://example.com\"", "settings.pushUrl" },
		{ "\"paused\":true", "settings.paused" },
		{ "\"speed\":1", "settings.speed" },
	};
	struct answer answer;

	for (size_t i = 0; i < LEN(rows); i++) {
		char body[200], field[100];

		(void)snprintf(body, sizeof(body), "{\"settings\":{%s}}", rows[i].settings);
		(void)snprintf(field, sizeof(field), "\"field\":\"%s\"", rows[i].field);
		answer = put(world, "", body);
		test_note(answer.status == 400 && answer_count(&answer, field) == 1, __FILE__,
			__LINE__, "%s: %.*s", rows[i].settings, STR_ARG(answer.body));
	}
	answer =
		world_call(world, "olga", "PUT /api/v1/platform/queues/Q", "", "{\"settings\":{}}");
	EXPECT_INT(answer.status, 400);
	answer = world_call(world, "ada", "PUT /api/v1/platform/queues/q", "", "{\"settings\":{}}");
	EXPECT_INT(answer.status, 403);
}

WORLD_TEST(an_operator_pauses_a_queue_for_all, jobs_world)
{
	struct answer answer;

	(void)job_add(world, "ada", JOB());
	answer = world_call(world, "olga", "POST /api/v1/platform/queues/q/pause", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 0);
	/* settings leave it paused */
	EXPECT_INT(put(world, "", "{\"settings\":{\"attempts\":2}}").status, 200);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 0);
	jobs_recount(world);
	answer = world_get(world, "ada", "/api/v1/queues/q");
	EXPECT_TEXT(answer, "paused", "true");
	answer = world_call(world, "olga", "POST /api/v1/platform/queues/q/resume", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
}

/* --- groups and workers ------------------------------------------------------------------------
 */

WORLD_TEST(a_halted_group_goes_on, jobs_world)
{
	struct answer answer;
	const char *second;

	EXPECT_INT(put(world, "", "{\"settings\":{\"onDiscard\":\"halt\"}}").status, 200);
	hear(world);
	(void)job_add(world, "ada", JOB(.group_key = S("g/1"), .attempts = 1));
	second = job_add(world, "ada", JOB(.group_key = S("g/1")));
	EXPECT_INT(jobs_work(world, "q", 5, END_FAIL), 1);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 0);
	answer = world_get(world, "ada", "/api/v1/queues/q/groups");
	EXPECT_INT(answer_count(&answer, "\"key\":\"g/1\""), 1);
	EXPECT_TEXT(answer, "halted", "true");
	answer = world_get(world, "bob", "/api/v1/queues/q/groups?halted=false");
	EXPECT_INT(answer_count(&answer, "\"key\":"), 0);
	answer = world_call(world, "ada", "POST /api/v1/queues/q/groups/g%2F1/resume", "", NULL);
	EXPECT_INT(answer.status, 204);
	answer = world_call(world, "ada", "POST /api/v1/queues/q/groups/h/resume", "", NULL);
	EXPECT_INT(answer.status, 404);
	EXPECT_INT(jobs_work(world, "q", 5, END_COMPLETE), 1);
	EXPECT_STR(str_from_c(job_state_of(world, "ada", second)), S("completed"));
}

WORLD_TEST(workers_are_listed_with_what_they_have, jobs_world)
{
	struct answer answer;

	for (int i = 0; i < 3; i++)
		(void)job_add(world, "ada", JOB());
	EXPECT_INT(jobs_work(world, "q", 2, LEFT_RUNNING), 2);
	answer = world_get(world, "olga", "/api/v1/platform/workers");
	EXPECT_INT(answer.status, 200);
	EXPECT_TEXT(answer, "worker", "tester");
	EXPECT_TEXT(answer, "running", "2");
	EXPECT_TEXT(answer, "kind", "program");
	/* leases of the program are not the tenant's */
	answer = world_get(world, "ada", "/api/v1/workers");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"worker\":"), 0);
	EXPECT_INT(world_get(world, "ada", "/api/v1/platform/workers").status, 403);
}

/* --- health ---------------------------------------------------------------------------- */

WORLD_TEST(health_names_the_queue_that_is_not_well, jobs_world)
{
	struct buf why;

	buf_init(&why, HEALTH_WHY_MAX);
	EXPECT_INT(put(world, "", "{\"settings\":{\"alarmDepth\":2}}").status, 200);
	hear(world);
	for (int i = 0; i < 2; i++)
		(void)job_add(world, "ada", JOB());
	jobs_recount(world);
	EXPECT(jobs_health.is_well(&why));
	EXPECT_INT(why.len, 0);
	(void)job_add(world, "bob", JOB());
	jobs_recount(world);
	EXPECT(!jobs_health.is_well(&why));
	EXPECT(str_find(buf_str(&why), S("queue q: 3 jobs wait")) == 0);
	EXPECT_INT(put(world, "", "{\"settings\":{\"alarmRunningMs\":1}}").status, 200);
	hear(world);
	EXPECT_INT(jobs_work(world, "q", 1, LEFT_RUNNING), 1);
	(void)usleep(5000);
	jobs_recount(world);
	buf_reset(&why);
	EXPECT(!jobs_health.is_well(&why));
	EXPECT(str_find(buf_str(&why), S("running")) > 0);
	buf_done(&why);
}
