/* Modules that are refused at the start: each sentence names the module, the route and the rule,
 * and nothing is left of what was taken before. */
#include "base/fault.h"
#include "base/test.h"
#include "http/module.h"
#include "http/request.h"
#include "http/server.h"
#include "schema/schema.h"

#include <stdio.h>

/* The error slot as people read it. */
static struct str said(void)
{
	static char text[ERR_FRAMES * ERR_TEXT_MAX];

	return str_of(text, err_describe(err_last(), text, sizeof(text)));
}

struct small {
	int64_t a;
};

struct large {
	int64_t a, b;
};

/* clang-format off */
static const struct schema small_schema = SCHEMA(small, "One.",
	FIELD(small, a, "A number.", RANGE(0, 9)));
static const struct schema large_schema = SCHEMA(large, "Two.",
	FIELD(large, a, "A number.", RANGE(0, 9)),
	FIELD(large, b, "A number.", RANGE(0, 9)));
static const struct schema path_schema = SCHEMA(small, "From the path.",
	FIELD(small, a, "A number.", .from = FROM_PATH, RANGE(0, 9)));
static const struct schema broken_schema = SCHEMA(small, "None.",
	FIELD(small, a, "A number.", RANGE(9, 0)));
/* clang-format on */

static int copy(struct req *req, const struct small *in, struct small *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(copy, small, small, ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(TIMEOUT))

static int widen(struct req *req, const struct small *in, struct large *out)
{
	(void)req;
	*out = (struct large){ in->a, in->a };
	return 0;
}
HANDLER(widen, small, large, 0)

static int nothing_much(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(nothing_much, nothing, nothing, 0)

static int plain(struct req *req)
{
	return reply_empty(req, 204);
}

/* As the tables of modules are written. */
#define ROW_AT(place_, method_, path_, ...)                                                        \
	{                                                                                          \
		.method = HTTP_##method_, .path = path_, .summary = "A route", .place = place_,    \
		.need = RIGHT_PUBLIC, ##__VA_ARGS__                                                \
	}
#define ROW(method, path, ...) ROW_AT(ROUTE_PUBLIC, method, path, ##__VA_ARGS__)
#define COPY                   .handler = &copy_handler, .in = &small_schema, .out = &small_schema
#define FROM_ITS_PATH          .handler = &copy_handler, .in = &path_schema, .out = &small_schema, FAILS
#define FAILS                  .may_fail = ROUTE_FAILS(CONFLICT)

/* One that is good, so that there is something to give back. */
#define GOOD ROW(PUT, "/good", COPY, FAILS)

struct row {
	struct route routes[2];
	size_t count;
	const char *says; /* NULL: all is well */
};

static const struct row rows[] = {
	{ { GOOD, ROW(GET, "/x", .run = plain) }, 2 },
	{ { GOOD, ROW(POST, "/x", COPY, FAILS, .idempotent = true) }, 2 },
	{ { GOOD, ROW(DELETE, "/x", .handler = &nothing_much_handler) }, 2 },
	/* not served here, so not looked at */
	{ { GOOD, { HTTP_GET, "/x", "A route", plain, ROUTE_OPS } }, 2 },

	{ { GOOD, { HTTP_GET, "/x", "A route", plain, ROUTE_PUBLIC } }, 2,
		"module m: route GET /x: no right is declared" },
	{ { GOOD, { HTTP_GET, "/x", "A route", plain, ROUTE_PUBLIC, .need = "" } }, 2,
		"module m: route GET /x: no right is declared" },
	{ { GOOD, ROW(PUT, "/x/{a}", COPY, FAILS) }, 2,
		"module m: route PUT /x/{a}: no member of small comes from {a}" },
	{ { GOOD, ROW(PUT, "/x", FROM_ITS_PATH) }, 2,
		"module m: route PUT /x: small.a comes from a path without {a}" },
	{ { GOOD, ROW(PUT, "/x/{b}", FROM_ITS_PATH) }, 2,
		"module m: route PUT /x/{b}: no member of small comes from {b}" },
	{ { GOOD, ROW(PUT, "/x/{a}", FROM_ITS_PATH) }, 2 },
	{ { GOOD, ROW(GET, "/x") }, 2, "module m: route GET /x: it wants either run or handler" },
	{ { GOOD, ROW(GET, "/x", COPY, FAILS, .run = plain) }, 2,
		"module m: route GET /x: it wants either run or handler" },
	{ { GOOD, ROW(GET, "/x", .run = plain, .in = &small_schema) }, 2,
		"module m: route GET /x: only a typed handler has schemas" },
	{ { GOOD, ROW(GET, "/x", .run = plain, .out = &small_schema) }, 2,
		"module m: route GET /x: only a typed handler has schemas" },
	{ { GOOD, ROW(GET, "/x", COPY, FAILS, .idempotent = true) }, 2,
		"module m: route GET /x: only POST takes an Idempotency-Key" },

	/* structs that are not those of the schemas */
	{ { GOOD, ROW(GET, "/x", .handler = &copy_handler, FAILS) }, 2,
		"module m: route GET /x: the structs of the handler are not those of the "
		"schemas" },
	{ { GOOD, ROW(GET, "/x", .handler = &copy_handler, FAILS, .in = &small_schema) }, 2,
		"module m: route GET /x: the structs of the handler are not those of the "
		"schemas" },
	{ { GOOD, ROW(GET, "/x", .handler = &widen_handler, .in = &large_schema,
			  .out = &large_schema) },
		2,
		"module m: route GET /x: the structs of the handler are not those of the "
		"schemas" },
	{ { GOOD, ROW(GET, "/x", .handler = &nothing_much_handler, .out = &small_schema) }, 2,
		"module m: route GET /x: the structs of the handler are not those of the "
		"schemas" },

	/* errors the contract does not know; TIMEOUT is anybody's */
	{ { GOOD, ROW(GET, "/x", COPY) }, 2,
		"module m: route GET /x: the handler can return CONFLICT, which the route does not "
		"declare" },

	/* what the router says */
	{ { GOOD, ROW(PUT, "/good", COPY, FAILS) }, 2,
		"module m: route PUT /good: PUT /good is there already" },
	{ { GOOD, ROW(GET, "x", .run = plain) }, 2, "module m: route GET x: a path starts with /" },
	{ { GOOD, ROW(GET, "/a b", COPY, FAILS) }, 2,
		"module m: route GET /a b: \"a b\" is no path segment" },
	{ { GOOD, { HTTP_GET, "/x", NULL, plain, ROUTE_PUBLIC, .need = "x" } }, 2,
		"module m: route GET /x: handler, summary or place is missing" },

	/* what the schema says */
	{ { GOOD, ROW(GET, "/x", .handler = &copy_handler, FAILS, .in = &broken_schema,
			  .out = &small_schema) },
		2, "module m: route GET /x: small.a: the least, 9, is above the most, 0" },
	{ { GOOD, ROW(GET, "/x", .handler = &copy_handler, FAILS, .in = &small_schema,
			  .out = &broken_schema) },
		2, "module m: route GET /x: small.a: the least, 9, is above the most, 0" },
};

static void open_site(struct server *server)
{
	*server = (struct server){ .site_count = 1 };
	router_init(&server->sites[0].router);
	server->sites[0].place = ROUTE_PUBLIC;
	server->sites[0].listener.fd = -1;
}

static void expect_released(void)
{
	EXPECT_INT(small_schema.slot->uses, 0);
	EXPECT_INT(large_schema.slot->uses, 0);
	EXPECT_INT(broken_schema.slot->uses, 0);
	EXPECT(!small_schema.slot->plan && !large_schema.slot->plan && !broken_schema.slot->plan);
}

TEST(server_add_refusals)
{
	for (size_t i = 0; i < LEN(rows); i++) {
		const struct module module = {
			MODULE_HEAD,
			.name = "m",
			.routes = rows[i].routes,
			.route_count = rows[i].count,
		};
		struct server server;
		int r;

		open_site(&server);
		r = server_add(&server, &module);
		EXPECT((r == 0) == !rows[i].says);
		if (rows[i].says && !EXPECT_STR(said(), str_from_c(rows[i].says)))
			fprintf(stderr, "  in row %zu\n", i);
		EXPECT(small_schema.slot->uses > 0);
		server_done(&server);
		expect_released();
	}
}

TEST(server_add_on_two_sites)
{
	static const struct route routes[] = { ROW_AT(ROUTE_ANYWHERE, PUT, "/a", COPY, FAILS),
		ROW_AT(ROUTE_OPS, GET, "/b", .run = plain), ROW(GET, "/c", .run = plain) };
	static const struct module module = {
		MODULE_HEAD,
		.name = "m",
		.routes = routes,
		.route_count = LEN(routes),
	};
	struct server server;
	size_t counts[2] = { 0 };

	open_site(&server);
	router_init(&server.sites[1].router);
	server.sites[1].place = ROUTE_OPS;
	server.sites[1].listener.fd = -1;
	server.site_count = 2;
	REQUIRE(server_add(&server, &module) == 0);
	for (size_t i = 0; i < LEN(counts); i++)
		for (const struct router_entry *entry = server.sites[i].router.first; entry;
			entry = entry->next)
			counts[i]++;
	EXPECT_INT(counts[0], 2);
	EXPECT_INT(counts[1], 2);
	EXPECT_INT(small_schema.slot->uses, 8);
	server_done(&server);
	expect_released();
}

#ifdef BULKHEAD_FAULTS

TEST(server_add_torture)
{
	const struct module module = {
		MODULE_HEAD,
		.name = "m",
		.routes = rows[1].routes,
		.route_count = rows[1].count,
	};
	bool struck = true;

	for (size_t nth = 1; struck; nth++) {
		struct server server;
		int r;

		open_site(&server);
		fault_arm(FAULT_MEMORY, nth);
		r = server_add(&server, &module);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		server_done(&server);
		expect_released();
		REQUIRE(nth < 1000);
	}
}

#endif
