/* The world of the tests of this module. */
#include "modules/api_keys/api_keys_world_test.h"

#include "http/server.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails.h"
#include "modules/rbac/rbac_world_test.h"
#include "modules/tenants/tenants.h"
#include "modules/tenants/tenants_world_test.h"
#include "modules/users/users.h"
#include "observe/metric.h"
#include "rest/idempotency.h"

#include <stdio.h>
#include <stdlib.h>

/* --- limiters, and allocations that fail -------------------------------------------------- */

bool keys_limited;

static struct limiter limiters[SERVER_LIMITERS];
static int (*former)(struct req *, struct caller *);

static void open_limiters(void)
{
	static const uint64_t quotas[SERVER_LIMITERS] = { 100000, 100000, 100000, KEYS_API,
		KEYS_SERVER, KEYS_TENANT };

	for (size_t i = 0; i < SERVER_LIMITERS; i++)
		REQUIRE(limiter_init(&limiters[i],
				&(struct limiter_options){ .name = S("test"),
					.algorithm = LIMITER_TOKEN_BUCKET,
					.limit = { .quota = quotas[i], .window_ns = MINUTE },
					.slots = 64 }) == 0);
}

/* As the world's own hook does for people. */
static int arm_and_identify(struct req *req, struct caller *ret)
{
	world_arm(req);
	return former(req, ret);
}

static int open_fixture(struct server *server)
{
	if (keys_limited) {
		open_limiters();
		server->limiters = limiters;
	}
	former = server->hooks.identify;
	server->hooks.identify = arm_and_identify;
	return 0;
}

static void close_fixture(struct server *server)
{
	(void)server;
	for (size_t i = 0; i < SERVER_LIMITERS; i++) {
		limiter_done(&limiters[i]);
		limiters[i] = (struct limiter){ 0 };
	}
}

static int hello(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(hello, nothing, nothing, 0)

/* What publishable keys may do; other doors: rbac_world. */
static const struct route routes[] = {
	{ HTTP_GET, "/flags", "Whether one is let in", .place = ROUTE_PUBLIC,
		.handler = &hello_handler, .need = "flags:read" },
};

static const struct module fixture = {
	MODULE_HEAD,
	.name = "keys-fixture",
	.routes = routes,
	.route_count = LEN(routes),
	.open = open_fixture,
	.close = close_fixture,
};

/* --- what was asked ---------------------------------------------------------------------- */

int64_t keys_loads(void)
{
	static const struct str name = S_INIT("cache_loads_total{cache=\"api_key\"} ");
	struct buf text;
	ptrdiff_t at;
	int64_t loads;

	buf_init(&text, 16 * MEGABYTE);
	REQUIRE(metric_write(&text, METRIC_TEXT) == 0);
	buf_byte(&text, '\0');
	at = str_find(buf_str(&text), name);
	REQUIRE(at >= 0);
	loads = strtoll(text.at + at + name.len, NULL, 10);
	buf_done(&text);
	return loads;
}

/* --- the world ------------------------------------------------------------------------------- */

void keys_begin(struct world *world)
{
	world_make_tenant(world, "anna", "alpha");
	world_make_tenant(world, "bert", "beta");
	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "bert", "owner"), 0);
}

const struct module *const *keys_world(void)
{
	static const struct module *list[12];

	list[0] = &rest_module;
	list[1] = rbac_world[1]; /* the things */
	list[2] = &audit_module;
	list[3] = &rbac_module;
	list[4] = &jobs_module;
	list[5] = &mails_module;
	list[6] = &users_module;
	list[7] = &tenants_module;
	list[8] = &api_keys_module;
	list[9] = &tenant_fixture_module;
	list[10] = &fixture;
	return list;
}

static struct test_key read_key(const struct answer *answer)
{
	struct test_key key = { .status = answer->status };

	(void)snprintf(key.id, sizeof(key.id), "%s", answer_text(answer, "id"));
	(void)snprintf(key.key, sizeof(key.key), "%s", answer_text(answer, "key"));
	return key;
}

struct test_key keys_make(
	struct world *world, const char *caller, const char *scopes, const char *more)
{
	struct answer answer;
	char body[3000];

	(void)snprintf(body, sizeof(body), "{\"name\":\"k\",\"scopes\":%s%s}", scopes, more);
	answer = strncmp(caller, "bh_", 3) == 0
			 ? keys_call(world, caller, "POST /api/v1/api-keys", body)
			 : world_call(world, caller, "POST /api/v1/api-keys", "", body);
	return read_key(&answer);
}

struct test_key keys_replace(
	struct world *world, const char *caller, const char *id, const char *overlap)
{
	const char *path = keys_path("POST", id, "/rotate");
	struct answer answer;
	char body[100];

	(void)snprintf(body, sizeof(body), "{\"overlap\":\"%s\"}", overlap);
	answer = strncmp(caller, "bh_", 3) == 0 ? keys_call(world, caller, path, body)
						: world_call(world, caller, path, "", body);
	return read_key(&answer);
}

struct answer keys_call(struct world *world, const char *key, const char *request, const char *body)
{
	char header[300];

	(void)snprintf(header, sizeof(header), "X-API-Key: %s\r\n", key);
	return world_call(world, NULL, request, header, body);
}

int keys_get(struct world *world, const char *key, const char *path)
{
	char request[300];

	(void)snprintf(request, sizeof(request), "GET %s", path);
	return keys_call(world, key, request, NULL).status;
}

const char *keys_doors(struct world *world, const char *key)
{
	static const char *const doors[] = { "/look", "/work", "/users", "/keys", "/tenant",
		"/operate", "/self", "/public" };
	static char text[LEN(doors) + 1];
	size_t len = 0;

	for (size_t i = 0; i < LEN(doors); i++)
		if (keys_get(world, key, doors[i]) == 204)
			text[len++] = doors[i][1];
	text[len] = '\0';
	return text;
}

const char *keys_path(const char *method, const char *id, const char *more)
{
	static char texts[4][300];
	static size_t next;
	char *text = texts[next++ % LEN(texts)];

	(void)snprintf(text, sizeof(texts[0]), "%s /api/v1/api-keys/%s%s", method, id, more);
	return text;
}
