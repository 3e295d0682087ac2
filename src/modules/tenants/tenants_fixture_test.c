/*
 * Databases that earlier versions have made are opened by this one.
 *
 *     WRITE_FIXTURES=tests/fixtures build/debug/unit fixture_of_this_version
 *
 * writes those of the version that is compiled, once, when it is released.
 */
#include "modules/tenants/tenants_internal.h"

#include "base/version.h"
#include "rest/fixture_test.h"
#include "rest/idempotency.h"

#include <stdio.h>

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	NULL };

/* --- what is in them ------------------------------------------------------------------ */

static void make_rows(struct world *world)
{
	struct answer answer =
		world_call(world, "olga", "POST /api/v1/tenants", "Idempotency-Key: acme\r\n",
			"{\"slug\":\"acme\",\"name\":\"Acme \xc3\xa4\",\"tier\":\"professional\","
			"\"settings\":{\"colour\":\"red\",\"list\":[1,2,{\"deep\":null}]},"
			"\"limits\":{\"requestsPerMinute\":5000}}");

	REQUIRE(answer.status == 201);
	answer = world_call(world, "olga", "POST /api/v1/tenants", "",
		"{\"slug\":\"other\",\"name\":\"Other\",\"tier\":\"free\"}");
	REQUIRE(answer.status == 201);
}

static void read_rows(struct world *world)
{
	struct answer answer = world_call(world, "olga", "GET /api/v1/tenants", "", NULL);
	char path[100];

	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"slug\":\"acme\"") == 1);
	EXPECT(answer_count(&answer, "\"slug\":\"other\"") == 1);
	EXPECT(answer_count(&answer, "\"name\":\"Acme \xc3\xa4\"") == 1);
	EXPECT(answer_count(&answer, "\"list\":[1,2,{\"deep\":null}]") == 1);
	EXPECT(answer_count(&answer, "\"requestsPerMinute\":5000") == 1);

	/* The answer that was kept is a day old at most. A row of today's goes beside the old ones.
	 */
	answer = world_call(world, "olga", "POST /api/v1/tenants", "",
		"{\"slug\":\"newest\",\"name\":\"Newest\",\"tier\":\"starter\"}");
	EXPECT_INT(answer.status, 201);
	(void)snprintf(path, sizeof(path), "/api/v1/tenants/%s", answer_text(&answer, "id"));
	answer = world_get(world, "olga", "%s", path);
	EXPECT_INT(answer.status, 200);
}

/* --- writing and reading --------------------------------------------------------------- */

TEST(fixture_of_this_version_sqlite)
{
	fixture_try(ENGINE_SQLITE, modules, BULKHEAD_VERSION, make_rows, read_rows);
}

TEST(fixture_of_this_version_postgres)
{
	fixture_try(ENGINE_POSTGRES, modules, BULKHEAD_VERSION, make_rows, read_rows);
}

TEST(fixtures_are_opened_sqlite)
{
	fixtures_open(ENGINE_SQLITE, modules, "", read_rows);
}

TEST(fixtures_are_opened_postgres)
{
	fixtures_open(ENGINE_POSTGRES, modules, "", read_rows);
}
