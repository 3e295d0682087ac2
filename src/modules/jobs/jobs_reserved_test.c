/* Queues of the installation's own: tenants neither see nor touch what is in them. */
#include "modules/jobs/jobs_admin_fixture_test.h"

#include "modules/jobs/jobs_worker.h"

#include <stdio.h>

static const struct job_kind own = { .name = "test:own", .queue = QUEUE_RESERVED "test" };

static const struct module *const *own_world(void)
{
	static const struct module *list[8];
	size_t count = 0;

	while (jobs_world[count]) {
		list[count] = jobs_world[count];
		count++;
	}
	list[count] = &job_workers_module;
	return list;
}

static struct answer post(
	struct world *world, const char *caller, const char *path, const char *body)
{
	char request[200];

	(void)snprintf(request, sizeof(request), "POST /api/v1/%s", path);
	return world_call(world, caller, request, "", body);
}

static const char *add_own(struct world *world)
{
	return job_add(world, "ada", (struct job_new){ .name = S("test:own") });
}

TEST(queue_names_are_of_two_kinds)
{
	static const struct {
		const char *name;
		bool valid, reserved;
	} rows[] = { { "email", true, false }, { "system", true, false },
		{ "system-email", true, false }, { "system.email", false, true },
		{ "system.", false, false }, { "system.a.b", false, false },
		{ "system.E", false, false }, { "systems.a", false, false },
		{ ".email", false, false }, { "", false, false } };

	for (size_t i = 0; i < LEN(rows); i++) {
		struct str name = str_from_c(rows[i].name);

		test_note(queue_name_valid(name) == rows[i].valid &&
				  queue_name_reserved(name) == rows[i].reserved,
			__FILE__, __LINE__, "the name %s", rows[i].name);
	}
}

WORLD_TEST(reserved_jobs_are_added_by_the_program_alone, own_world())
{
	static const struct {
		const char *path, *body, *field;
	} rows[] = {
		{ "jobs", "{\"name\":\"test:own\"}", "\"name\"" },
		{ "jobs", "{\"name\":\"test:own\",\"queue\":\"email\"}", "\"name\"" },
		{ "jobs", "{\"name\":\"test:a\",\"queue\":\"system.test\"}", "\"queue\"" },
		{ "jobs/bulk", "{\"jobs\":[{\"name\":\"test:a\"},{\"name\":\"test:own\"}]}",
			"\"jobs.1.name\"" },
		{ "queues/system.test/lease", "{\"workerId\":\"w\",\"max\":1,\"waitMs\":0}",
			"\"name\"" },
		{ "platform/queues/system.test/lease",
			"{\"workerId\":\"w\",\"max\":1,\"waitMs\":0}", "\"name\"" },
	};
	struct answer answer;

	REQUIRE(job_kind_declare(NULL, &own) == 0);
	(void)add_own(world);
	for (size_t i = 0; i < LEN(rows); i++) {
		answer = post(
			world, i == LEN(rows) - 1 ? "olga" : "ada", rows[i].path, rows[i].body);
		EXPECT_INT(answer.status, 400);
		EXPECT_INT(answer_count(&answer, rows[i].field), 1);
	}
	answer = world_call(world, "ada", "PUT /api/v1/job-schemas/test:own", "",
		"{\"schema\":{\"type\":\"string\"}}");
	EXPECT_INT(answer.status, 400);
	EXPECT_INT(jobs_work(world, "system.test", 5, END_COMPLETE), 1);
}

WORLD_TEST(reserved_jobs_are_not_for_tenants, own_world())
{
	static const char *const ones[][2] = { { "GET", "" }, { "GET", "/logs" },
		{ "POST", "/retry" }, { "POST", "/promote" }, { "POST", "/cancel" },
		{ "DELETE", "" } };
	static const char *const queues[] = { "queues/system.test/pause",
		"queues/system.test/resume", "queues/system.test/drain" };
	struct answer answer;
	const char *id;

	REQUIRE(job_kind_declare(NULL, &own) == 0);
	id = add_own(world);
	for (size_t i = 0; i < LEN(ones); i++) {
		char request[200];

		(void)snprintf(request, sizeof(request), "%s /api/v1/jobs/%s%s", ones[i][0], id,
			ones[i][1]);
		EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 404);
	}
	answer = post(world, "ada", "jobs/cancel", "{\"filter\":{\"state\":\"available\"}}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("0"));
	for (size_t i = 0; i < LEN(queues); i++)
		EXPECT_INT(post(world, "ada", queues[i], "{}").status, 400);

	EXPECT_INT(post(world, "olga", "platform/queues/system.test/pause", "{}").status, 200);
	jobs_recount(world);
	answer = world_get(world, "ada", "/api/v1/jobs");
	EXPECT_INT(answer_count(&answer, id), 0);
	answer = world_get(world, "ada", "/api/v1/queues");
	EXPECT_INT(answer_count(&answer, "system."), 0);
	EXPECT_INT(world_get(world, "ada", "/api/v1/queues/system.test").status, 404);
	answer = world_get(world, "olga", "/api/v1/platform/queues");
	EXPECT_INT(answer_count(&answer, "system.test"), 1);
	EXPECT_INT(jobs_work(world, "system.test", 5, END_COMPLETE), 0);

	EXPECT_INT(post(world, "olga", "platform/queues/system.test/resume", "{}").status, 200);
	answer = post(world, "olga", "platform/queues/system.test/drain", "{}");
	EXPECT_STR(str_from_c(answer_text(&answer, "count")), S("1"));
	EXPECT_INT(jobs_work(world, "system.test", 5, END_COMPLETE), 0);
}

WORLD_TEST(reserved_queues_refuse_nothing, own_world())
{
	static const struct {
		const char *body;
		int status;
	} rows[] = {
		{ "{\"settings\":{\"backlog\":5}}", 400 },
		{ "{\"settings\":{\"backlogAgeMs\":5}}", 400 },
		{ "{\"settings\":{\"pushUrl\":\"https://example.org/jobs\"}}", 400 },
		{ "{\"settings\":{\"concurrency\":3,\"backlog\":0}}", 200 },
	};
	struct queue_settings settings;

	queue_settings(S("system.other"), &settings);
	EXPECT_INT(settings.backlog, 0);
	for (size_t i = 0; i < LEN(rows); i++)
		EXPECT_INT(world_call(world, "olga", "PUT /api/v1/platform/queues/system.test", "",
				   rows[i].body)
				   .status,
			rows[i].status);
}
