/* Adding jobs over HTTP on both engines: what is taken, what is refused and how, and that a request
 * that is repeated adds nothing. */
#include "modules/jobs/jobs_adding.h"

#include "modules/jobs/jobs_fixture_test.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>

static const struct module *const modules[] = { &rest_module, &tenant_tables_module, &jobs_module,
	NULL };

static struct answer add(struct world *world, const char *caller, const char *body)
{
	return world_call(world, caller, "POST /api/v1/jobs", "", body);
}

static bool has(const struct answer *answer, const char *text)
{
	return answer_count(answer, text) > 0;
}

WORLD_TEST(job_is_posted, modules)
{
	struct answer answer = add(world, "ada",
		"{\"queue\":\"email\",\"name\":\"email:send\",\"payload\":{\"to\":\"x\"},"
		"\"priority\":1,\"delayMs\":60000,\"attempts\":5,\"timeoutMs\":1000,"
		"\"backoff\":{\"kind\":\"fixed\",\"delayMs\":50},\"tags\":[\"a\",\"b\"],"
		"\"group\":\"g\",\"unique\":{\"key\":\"u\"}}");

	EXPECT_INT(answer.status, 201);
	EXPECT(has(&answer, "\"payload\":{\"to\":\"x\"}"));
	EXPECT(has(&answer, "\"state\":\"scheduled\""));
	EXPECT(has(&answer, "\"outcome\":\"added\""));
	EXPECT(has(&answer, "\"timeoutMs\":1000"));
	EXPECT(has(&answer, "\"tags\":[\"a\",\"b\"]"));
	EXPECT(has(&answer, "\"uniqueKey\":\"u\""));
	EXPECT(has(&answer, "\"groupKey\":\"g\""));
	EXPECT(has(&answer, "\"traceparent\":\"00-"));
	EXPECT(has(&answer, "\"delayMs\":50"));

	answer = add(world, "ada", "{\"name\":\"a:b\"}");
	EXPECT_INT(answer.status, 201);
	EXPECT(has(&answer, "\"queue\":\"default\""));
	EXPECT(has(&answer, "\"payload\":{}"));
	EXPECT(has(&answer, "\"state\":\"available\""));
	EXPECT_INT(add(world, "Ada", "{\"name\":\"a:b\"}").status, 403);
	EXPECT_INT(add(world, "nobody", "{\"name\":\"a:b\"}").status, 403);
}

WORLD_TEST(job_is_refused_with_all_that_is_wrong, modules)
{
	static const struct {
		const char *body;
		const char *wants[4]; /* field and code of details */
	} rows[] = {
		{ "{}", { "\"name\"", "required" } },
		{ "{\"name\":\"Nope\",\"queue\":\"A b\",\"unique\":{\"key\":\"u\",\"mode\":"
		  "\"throttle\"}}",
			{ "\"field\":\"name\"", "\"field\":\"queue\"",
				"\"field\":\"unique.ttlMs\"" } },
		{ "{\"name\":\"a:b\",\"delayMs\":5,\"runAt\":\"2030-01-01T00:00:00Z\"}",
			{ "\"field\":\"delayMs\"", "excluded", "\"field\":\"runAt\"" } },
		{ "{\"name\":\"a:b\",\"backoff\":{\"kind\":\"list\"}}",
			{ "\"field\":\"backoff.listMs\"", "required" } },
		{ "{\"name\":\"a:b\",\"priority\":10,\"attempts\":0,\"timeoutMs\":0}",
			{ "\"field\":\"priority\"", "\"field\":\"attempts\"",
				"\"field\":\"timeoutMs\"" } },
		{ "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\",\"ttlMs\":5}}",
			{ "\"field\":\"unique.ttlMs\"", "excluded" } },
		{ "{\"name\":\"a:b\",\"tags\":[\"x\",\"x\"]}",
			{ "\"field\":\"tags", "not_unique" } },
		{ "{\"name\":\"a:b\",\"nope\":1}", { "unknown_member" } },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct answer answer = add(world, "ada", rows[i].body);

		test_note(answer.status == 400, __FILE__, __LINE__, "%s: %d", rows[i].body,
			answer.status);
		for (size_t k = 0; k < LEN(rows[i].wants) && rows[i].wants[k]; k++)
			test_note(has(&answer, rows[i].wants[k]), __FILE__, __LINE__,
				"%s: no %s in %.*s", rows[i].body, rows[i].wants[k],
				STR_ARG(answer.body));
	}
}

WORLD_TEST(unique_modes_over_http, modules)
{
	struct answer answer = add(world, "ada", "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\"}}");
	const char *id = answer_text(&answer, "id");

	answer = add(world, "ada", "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\"}}");
	EXPECT_INT(answer.status, 409);
	EXPECT(has(&answer, "\"field\":\"unique.key\""));

	answer = add(world, "ada",
		"{\"name\":\"a:b\",\"payload\":{\"n\":2},\"unique\":{\"key\":\"u\",\"mode\":"
		"\"replace\"}}");
	EXPECT_INT(answer.status, 200);
	EXPECT(has(&answer, "\"outcome\":\"replaced\""));
	EXPECT(has(&answer, "\"payload\":{\"n\":2}"));
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));

	answer = world_call(world, "ada", "POST /api/v1/jobs", "Idempotency-Key: t\r\n",
		"{\"name\":\"a:b\",\"unique\":{\"key\":\"u\",\"mode\":\"throttle\",\"ttlMs\":60000}"
		"}");
	EXPECT_INT(answer.status, 200);
	EXPECT(has(&answer, "\"outcome\":\"kept\""));
	EXPECT(has(&answer, "\"payload\":{\"n\":2}"));
	answer = world_call(world, "ada", "POST /api/v1/jobs", "Idempotency-Key: t\r\n",
		"{\"name\":\"a:b\",\"unique\":{\"key\":\"u\",\"mode\":\"throttle\",\"ttlMs\":60000}"
		"}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("idempotent-replayed")), S("true"));

	EXPECT_INT(add(world, "bob", "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\"}}").status, 201);
}

WORLD_TEST(repeated_post_adds_once, modules)
{
	const char *body = "{\"name\":\"a:b\",\"payload\":{\"n\":1}}";
	struct answer answer =
		world_call(world, "ada", "POST /api/v1/jobs", "Idempotency-Key: k\r\n", body);
	const char *id = answer_text(&answer, "id");

	EXPECT_INT(answer.status, 201);
	answer = world_call(world, "ada", "POST /api/v1/jobs", "Idempotency-Key: k\r\n", body);
	EXPECT_INT(answer.status, 201);
	EXPECT_STR(str_from_c(answer_text(&answer, "id")), str_from_c(id));
	answer = world_call(
		world, "ada", "POST /api/v1/jobs", "Idempotency-Key: k\r\n", "{\"name\":\"a:c\"}");
	EXPECT_INT(answer.status, 422);
}

/* A body with `count` jobs, the last of which is `last`. */
static const char *bulk_of(size_t count, const char *last)
{
	static char text[200 * 1024];
	size_t len = (size_t)snprintf(text, sizeof(text), "{\"jobs\":[");

	for (size_t i = 1; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"{\"name\":\"a:b\",\"payload\":{\"n\":%zu}},", i);
	(void)snprintf(text + len, sizeof(text) - len, "%s]}", last);
	return text;
}

WORLD_TEST(jobs_are_posted_in_bulk, modules)
{
	struct answer answer = world_call(world, "ada", "POST /api/v1/jobs/bulk", "",
		bulk_of(1000, "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\"}}"));

	EXPECT_INT(answer.status, 201);
	EXPECT(has(&answer, "\"added\":1000,\"replaced\":0,\"kept\":0"));
	EXPECT_INT(answer_count(&answer, "\",\""), 999); /* between ids */

	answer = world_call(world, "ada", "POST /api/v1/jobs/bulk", "",
		bulk_of(3, "{\"name\":\"a:b\",\"unique\":{\"key\":\"u\"}}"));
	EXPECT_INT(answer.status, 409);
	EXPECT(has(&answer, "\"field\":\"jobs.2.unique.key\""));
	answer = world_call(world, "ada", "POST /api/v1/jobs/bulk", "",
		bulk_of(2, "{\"name\":\"b\",\"queue\":\"Q\"}"));
	EXPECT_INT(answer.status, 400);
	EXPECT(has(&answer, "\"field\":\"jobs.1.name\""));
	EXPECT(has(&answer, "\"field\":\"jobs.1.queue\""));
	answer = world_call(
		world, "ada", "POST /api/v1/jobs/bulk", "", bulk_of(1001, "{\"name\":\"a:b\"}"));
	EXPECT_INT(answer.status, 400);
	answer = world_call(world, "ada", "POST /api/v1/jobs/bulk", "", "{\"jobs\":[]}");
	EXPECT_INT(answer.status, 400);
}

WORLD_TEST(payloads_are_checked_by_schemas, modules)
{
	static const char schema[] =
		"{\"schema\":{\"type\":\"object\",\"required\":[\"to\"],\"properties\":{\"to\":{"
		"\"type\":\"string\",\"maxLength\":3},\"n\":{\"type\":\"integer\"}}}}";
	struct answer answer;

	EXPECT_INT(add(world, "ada", "{\"name\":\"a:b\"}").status, 201);
	answer = world_call(world, "ada", "PUT /api/v1/job-schemas/a:b", "", schema);
	EXPECT_INT(answer.status, 200);
	EXPECT(has(&answer, "\"version\":1"));

	answer = add(world, "ada", "{\"name\":\"a:b\",\"payload\":{\"to\":\"long\",\"n\":\"x\"}}");
	EXPECT_INT(answer.status, 400);
	EXPECT(has(&answer, "\"field\":\"payload.to\""));
	EXPECT(has(&answer, "\"field\":\"payload.n\""));
	answer = world_call(world, "ada", "POST /api/v1/jobs/bulk", "",
		"{\"jobs\":[{\"name\":\"a:b\",\"payload\":{\"to\":\"x\"}},{\"name\":\"a:b\"}]}");
	EXPECT_INT(answer.status, 400);
	EXPECT(has(&answer, "\"field\":\"jobs.1.payload.to\""));
	EXPECT_INT(add(world, "ada", "{\"name\":\"a:b\",\"payload\":{\"to\":\"x\"}}").status, 201);
	EXPECT_INT(add(world, "ada", "{\"name\":\"a:c\"}").status, 201);
	EXPECT_INT(add(world, "bob", "{\"name\":\"a:b\"}").status, 201);

	/* of the installation: for all */
	EXPECT_INT(world_call(world, "otto", "PUT /api/v1/job-schemas/a:d", "",
			   "{\"schema\":{\"maxProperties\":0}}")
			   .status,
		200);
	EXPECT_INT(add(world, "bob", "{\"name\":\"a:d\",\"payload\":{\"n\":1}}").status, 400);
	EXPECT_INT(add(world, "bob", "{\"name\":\"a:d\"}").status, 201);

	answer = world_call(
		world, "ada", "PUT /api/v1/job-schemas/a:b", "If-Match: \"7\"\r\n", schema);
	EXPECT_INT(answer.status, 412);
	answer = world_call(world, "ada", "PUT /api/v1/job-schemas/a:b", "",
		"{\"schema\":{\"type\":\"nothing\"}}");
	EXPECT_INT(answer.status, 400);
	EXPECT(has(&answer, "invalid_schema"));
	EXPECT_INT(
		world_call(world, "ada", "PUT /api/v1/job-schemas/nope", "", schema).status, 400);

	answer = world_call(world, "ada", "GET /api/v1/job-schemas/a:b", "", NULL);
	EXPECT(has(&answer, "\"maxLength\":3"));
	answer = world_call(world, "ada", "GET /api/v1/job-schemas", "", NULL);
	EXPECT_INT(answer_count(&answer, "\"version\":"), 1);
	EXPECT_INT(world_call(world, "bob", "GET /api/v1/job-schemas/a:b", "", NULL).status, 404);
	EXPECT_INT(
		world_call(world, "ada", "DELETE /api/v1/job-schemas/a:b", "", NULL).status, 204);
	EXPECT_INT(
		world_call(world, "ada", "DELETE /api/v1/job-schemas/a:b", "", NULL).status, 404);
	EXPECT_INT(add(world, "ada", "{\"name\":\"a:b\"}").status, 201);
}

#ifdef BULKHEAD_FAULTS
/* Each allocation of a request fails once: it is answered 201 or 503. */
WORLD_TEST(posting_survives_a_lack_of_memory, modules)
{
	static const char *const requests[] = { "POST /api/v1/jobs", "POST /api/v1/jobs/bulk" };
	static char bodies[2][40000]; /* more than a request has at hand */
	size_t failed = 0;

	(void)snprintf(bodies[0], sizeof(bodies[0]),
		"{\"name\":\"a:b\",\"payload\":{\"to\":\"%030000d\"},\"group\":\"g\"}", 1);
	(void)snprintf(bodies[1], sizeof(bodies[1]),
		"{\"jobs\":[{\"name\":\"a:b\",\"payload\":{\"to\":\"%030000d\"}},{\"name\":\"a:c\"}"
		"]}",
		1);

	EXPECT_INT(world_call(world, "ada", "PUT /api/v1/job-schemas/a:b", "",
			   "{\"schema\":{\"required\":[\"to\"]}}")
			   .status,
		200);
	for (size_t i = 0; i < LEN(requests); i++) {
		int status = 0;

		for (int nth = 1; nth < 100 && status != 201; nth++) {
			char header[40];

			(void)snprintf(header, sizeof(header), "X-Fault: %d\r\n", nth);
			status = world_call(world, "ada", requests[i], header, bodies[i]).status;
			test_note(status == 201 || status == 503, __FILE__, __LINE__,
				"%s with fault %d: %d", requests[i], nth, status);
			failed += status == 503;
		}
		EXPECT_INT(status, 201);
	}
	EXPECT(failed > 0);
}
#endif
