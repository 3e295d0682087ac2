/* The router: what a table refuses, what a path finds, and random tables against a naive matcher.
 */
#include "http/router.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <stdio.h>

static int nothing(struct req *req)
{
	(void)req;
	return 0;
}

#define ROUTE(route_method, route_path)                                                            \
	{                                                                                          \
		HTTP_##route_method, route_path, "A route", nothing, ROUTE_PUBLIC,                 \
			.need = RIGHT_PUBLIC                                                       \
	}

static struct arena arena;

static void begin(struct router *router, const struct route *routes, size_t count)
{
	arena_init(&arena, 4096, MEGABYTE);
	router_init(router);
	for (size_t i = 0; i < count; i++)
		REQUIRE(router_add(router, &routes[i]) == 0);
}

static void end(struct router *router)
{
	router_done(router);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

/* --- what is taken into a table ----------------------------------------- */

TEST(router_refuses_what_is_malformed)
{
	static const struct {
		const char *path;
		int result;
	} rows[] = {
		{ "/", 0 },
		{ "/a", 0 },
		{ "/a/", 0 },
		{ "/a//b", 0 },
		{ "/a.b-c_d~e/0", 0 },
		{ "/{x}", 0 },
		{ "/.well-known/x", 0 },
		{ "/1/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", 0 },
		{ "/2/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", -ERR_INVALID },
		{ "", -ERR_INVALID },
		{ NULL, -ERR_INVALID },
		{ "a", -ERR_INVALID },
		{ "/a b", -ERR_INVALID },
		{ "/a%20b", -ERR_INVALID },
		{ "/a?b", -ERR_INVALID },
		{ "/.", -ERR_INVALID },
		{ "/a/..", -ERR_INVALID },
		{ "/{}", -ERR_INVALID },
		{ "/3/{a}/{b}/{a}", -ERR_INVALID },
		{ "/{", -ERR_INVALID },
		{ "/x{a}", -ERR_INVALID },
		{ "/{a}x", -ERR_INVALID },
		{ "/{a{b}}", -ERR_INVALID },
		{ "/*", -ERR_INVALID },
		{ "/\xc3\xa4", -ERR_INVALID },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct route route = ROUTE(GET, rows[i].path);
		struct router router;

		begin(&router, NULL, 0);
		if (!EXPECT_INT(router_add(&router, &route), rows[i].result))
			fprintf(stderr, "  path %s\n", rows[i].path);
		EXPECT(rows[i].result == 0 || strstr(err_text(), "GET"));
		end(&router);
	}
}

TEST(router_refuses_routes_with_gaps)
{
	static const struct route rows[] = {
		{ HTTP_GET, "/a", "No handler", NULL, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
		{ HTTP_GET, "/a", NULL, nothing, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
		{ HTTP_GET, "/a", "No place", nothing, 0 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct router router;

		begin(&router, NULL, 0);
		EXPECT_INT(router_add(&router, &rows[i]), -ERR_INVALID);
		end(&router);
	}
}

TEST(router_refuses_the_same_twice)
{
	static const struct route first[] = { ROUTE(GET, "/a/{x}"), ROUTE(GET, "/b") };
	static const struct {
		struct route route;
		int result;
	} rows[] = {
		{ ROUTE(GET, "/b"), -ERR_CONFLICT },
		{ ROUTE(GET, "/a/{other}"), -ERR_CONFLICT },
		{ ROUTE(POST, "/b"), 0 },
		{ ROUTE(POST, "/a/{other}"), 0 },
		{ ROUTE(GET, "/b/"), 0 },
		{ ROUTE(GET, "/a/x"), 0 },
		{ ROUTE(HEAD, "/b"), 0 },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct router router;

		begin(&router, first, LEN(first));
		EXPECT_INT(router_add(&router, &rows[i].route), rows[i].result);
		end(&router);
	}
}

/* --- what is found ------------------------------------------------------ */

static const struct route table[] = {
	ROUTE(GET, "/"),
	ROUTE(GET, "/flags"),
	ROUTE(POST, "/flags"),
	ROUTE(GET, "/flags/{key}"),
	ROUTE(DELETE, "/flags/{key}"),
	ROUTE(GET, "/flags/all"),
	ROUTE(GET, "/flags/{key}/rules/{rule}"),
	ROUTE(PUT, "/flags/{other}/rules/{name}"),
	ROUTE(HEAD, "/own-head"),
	ROUTE(GET, "/own-head"),
	ROUTE(GET, "/slash/"),
	ROUTE(OPTIONS, "/own-options"),
};

TEST(router_finds_by_the_table)
{
	static const struct {
		enum http_method method;
		const char *path, *title; /* NULL: no such method; "": no such path */
		const char *first, *second;
	} rows[] = {
		{ HTTP_GET, "/", "GET /" },
		{ HTTP_GET, "//", "" },
		{ HTTP_GET, "/flags", "GET /flags" },
		{ HTTP_HEAD, "/flags", "GET /flags" },
		{ HTTP_POST, "/flags", "POST /flags" },
		{ HTTP_PUT, "/flags", NULL },
		{ HTTP_OPTIONS, "/flags", NULL },
		{ HTTP_GET, "/flags/", "" }, /* no parameter is empty */
		{ HTTP_GET, "/Flags", "" },
		{ HTTP_GET, "/flags/x", "GET /flags/{key}", "x" },
		{ HTTP_GET, "/flags/all", "GET /flags/all" },
		{ HTTP_DELETE, "/flags/all", NULL }, /* the fixed one wins, without a way back */
		{ HTTP_GET, "/flags/al", "GET /flags/{key}", "al" },
		{ HTTP_GET, "/flags/a%2Fb", "GET /flags/{key}", "a/b" },
		{ HTTP_GET, "/flags/a%2fb/rules/%7B%7D", "GET /flags/{key}/rules/{rule}", "a/b",
			"{}" },
		{ HTTP_PUT, "/flags/a/rules/b", "PUT /flags/{other}/rules/{name}", "a", "b" },
		{ HTTP_GET, "/flags/%61ll", "GET /flags/all" }, /* decoded before it is compared */
		{ HTTP_GET, "/flags/{key}", "GET /flags/{key}", "{key}" },
		{ HTTP_GET, "/flags/a/rules", "" },
		{ HTTP_GET, "/flags/a/rules/b/c", "" },
		{ HTTP_GET, "/flags/%C3%A4", "GET /flags/{key}", "\xc3\xa4" },
		{ HTTP_HEAD, "/own-head", "HEAD /own-head" },
		{ HTTP_GET, "/slash/", "GET /slash/" },
		{ HTTP_GET, "/slash", "" },
		{ HTTP_OPTIONS, "/own-options", "OPTIONS /own-options" },
		{ HTTP_GET, "/own-options", NULL },
		{ HTTP_HEAD, "/own-options", NULL },
	};
	struct router router;

	begin(&router, table, LEN(table));
	for (size_t i = 0; i < LEN(rows); i++) {
		struct router_match match;
		bool ok = EXPECT_INT(router_find(&router, rows[i].method, str_from_c(rows[i].path),
					     &arena, &match),
			0);

		if (rows[i].title && *rows[i].title) {
			ok &= EXPECT(match.entry && match.node);
			if (match.entry)
				ok &= EXPECT_STR(match.entry->title, str_from_c(rows[i].title));
		} else {
			ok &= EXPECT(!match.entry && !match.node == !!rows[i].title);
		}
		if (rows[i].first)
			ok &= EXPECT_STR(match.params[0], str_from_c(rows[i].first));
		if (rows[i].second)
			ok &= EXPECT_STR(match.params[1], str_from_c(rows[i].second));
		if (!ok)
			fprintf(stderr, "  path %s\n", rows[i].path);
	}
	end(&router);
}

TEST(router_names_parameters_by_route)
{
	struct router router;
	struct router_match match;

	begin(&router, table, LEN(table));
	EXPECT_INT(router_find(&router, HTTP_PUT, S("/flags/a/rules/b"), &arena, &match), 0);
	REQUIRE(match.entry && match.entry->param_count == 2);
	EXPECT_STR(match.entry->param_names[0], S("other"));
	EXPECT_STR(match.entry->param_names[1], S("name"));
	end(&router);
}

TEST(router_passes_on_malformed_paths)
{
	static const char *const paths[] = { "/flags/%", "/flags/%2", "/flags/%zz", "/flags/%00",
		"/flags/%0a", "/flags/%5c", "/flags/..", "/flags/%2e%2e", "/flags/a%2f..", "/%ff",
		"/nowhere/%ff", "/nowhere/x/y/%00" };
	struct router router;
	struct router_match match;
	char deep[2 * PATH_SEGMENTS_MAX + 2];

	begin(&router, table, LEN(table));
	for (size_t i = 0; i < LEN(paths); i++)
		EXPECT_INT(router_find(&router, HTTP_GET, str_from_c(paths[i]), &arena, &match),
			-ERR_INVALID);

	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 ? 'a' : '/';
	EXPECT_INT(router_find(&router, HTTP_GET, str_of(deep, sizeof(deep)), &arena, &match),
		-ERR_INVALID);
	EXPECT_INT(
		router_find(&router, HTTP_GET, str_of(deep, sizeof(deep) - 2), &arena, &match), 0);
	end(&router);
}

TEST(router_allow_lists_what_there_is)
{
	static const struct {
		const char *path, *allow;
	} rows[] = {
		{ "/", "GET, HEAD, OPTIONS" },
		{ "/flags", "GET, HEAD, POST, OPTIONS" },
		{ "/flags/x", "GET, HEAD, DELETE, OPTIONS" },
		{ "/flags/a/rules/b", "GET, HEAD, PUT, OPTIONS" },
		{ "/own-options", "OPTIONS" },
	};
	static const struct route all[] = { ROUTE(GET, "/"), ROUTE(HEAD, "/"), ROUTE(POST, "/"),
		ROUTE(PUT, "/"), ROUTE(PATCH, "/"), ROUTE(DELETE, "/"), ROUTE(OPTIONS, "/"),
		ROUTE(CONNECT, "/"), ROUTE(TRACE, "/") };
	char allow[ROUTER_ALLOW_MAX];
	struct router_match match;
	struct router router;

	begin(&router, table, LEN(table));
	for (size_t i = 0; i < LEN(rows); i++) {
		EXPECT_INT(
			router_find(&router, HTTP_TRACE, str_from_c(rows[i].path), &arena, &match),
			0);
		REQUIRE(match.node);
		EXPECT_STR(
			str_of(allow, router_allow(match.node, allow)), str_from_c(rows[i].allow));
	}
	end(&router);

	begin(&router, all, LEN(all));
	EXPECT_INT(router_find(&router, HTTP_GET, S("/"), &arena, &match), 0);
	REQUIRE(match.node);
	EXPECT(router_allow(match.node, allow) <= sizeof(allow)); /* the longest there can be */
	end(&router);
}

TEST(router_without_routes_finds_nothing)
{
	struct router router;
	struct router_match match;

	begin(&router, NULL, 0);
	EXPECT_INT(router_find(&router, HTTP_GET, S("/a/b"), &arena, &match), 0);
	EXPECT(!match.node && !match.entry);
	end(&router);
}

/* --- against a naive matcher -------------------------------------------- */

enum { RANDOM_ROUTES = 40, SEGMENTS = 4, PATH_MAX_LEN = 40 };

/* Few words, so that paths meet. */
static const char *const words[] = { "a", "b", "ab", "", "{x}", "{y}" };

struct random_route {
	char path[PATH_MAX_LEN];
	struct route route;
	const char *segments[SEGMENTS];
	size_t count;
	bool added;
};

static bool is_param(const char *segment)
{
	return segment[0] == '{';
}

static void make_path(
	char *path, const char **segments, size_t *count, uint64_t *seed, size_t kinds)
{
	size_t len = 0;

	*count = 1 + test_random(seed) % SEGMENTS;
	for (size_t i = 0; i < *count; i++) {
		segments[i] = words[test_random(seed) % kinds];
		len += (size_t)snprintf(path + len, PATH_MAX_LEN - len, "/%s", segments[i]);
	}
}

static bool same_shape(const struct random_route *a, const struct random_route *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (is_param(a->segments[i]) != is_param(b->segments[i]) ||
			(!is_param(a->segments[i]) && strcmp(a->segments[i], b->segments[i]) != 0))
			return false;
	return true;
}

/* The rule in other words: segment by segment, the routes that are left are those with this text
 * there or, when there is none, those with a parameter. */
static size_t match_naively(const struct random_route *routes, const char *const *segments,
	size_t count, const struct random_route **left)
{
	size_t found = 0;

	for (size_t i = 0; i < RANDOM_ROUTES; i++)
		if (routes[i].added)
			left[found++] = &routes[i];

	for (size_t at = 0; at < count; at++) {
		size_t fixed = 0, kept = 0;

		for (size_t i = 0; i < found; i++)
			fixed += left[i]->count > at && !is_param(left[i]->segments[at]) &&
				 strcmp(left[i]->segments[at], segments[at]) == 0;
		for (size_t i = 0; i < found; i++) {
			bool param = left[i]->count > at && is_param(left[i]->segments[at]);
			bool equal = left[i]->count > at && !param &&
				     strcmp(left[i]->segments[at], segments[at]) == 0;

			if (fixed ? equal : param && segments[at][0])
				left[kept++] = left[i];
		}
		found = kept;
	}

	size_t whole = 0;

	for (size_t i = 0; i < found; i++)
		if (left[i]->count == count)
			left[whole++] = left[i];
	return whole;
}

/* The same parameter twice. */
static bool has_twins(const struct random_route *route)
{
	for (size_t i = 0; i < route->count; i++)
		for (size_t k = 0; k < i; k++)
			if (is_param(route->segments[i]) &&
				strcmp(route->segments[i], route->segments[k]) == 0)
				return true;
	return false;
}

static void compare(struct router *router, const struct random_route *routes, uint64_t *seed)
{
	const struct random_route *left[RANDOM_ROUTES];
	const struct random_route *wanted = NULL;
	enum http_method method = test_random(seed) % 4; /* GET, HEAD, POST, PUT */
	const char *segments[SEGMENTS];
	struct router_match match;
	char path[PATH_MAX_LEN];
	size_t count, found;

	make_path(path, segments, &count, seed, 4);
	found = match_naively(routes, segments, count, left);
	for (size_t i = 0; i < found; i++)
		if (left[i]->route.method == method)
			wanted = left[i];
	for (size_t i = 0; i < found && !wanted; i++)
		if (method == HTTP_HEAD && left[i]->route.method == HTTP_GET)
			wanted = left[i];

	REQUIRE(router_find(router, method, str_from_c(path), &arena, &match) == 0);
	if (!EXPECT(!match.node == (found == 0)) ||
		!EXPECT((match.entry ? match.entry->route : NULL) ==
			(wanted ? &wanted->route : NULL))) {
		fprintf(stderr, "  path %s\n", path);
		test_end();
	}

	for (size_t i = 0, param = 0; wanted && i < count; i++)
		if (is_param(wanted->segments[i]))
			EXPECT_STR(match.params[param++], str_from_c(segments[i]));
}

TEST(router_against_a_naive_matcher)
{
	static struct random_route routes[RANDOM_ROUTES];

	for (uint64_t seed = 1; seed <= 300; seed++) {
		uint64_t state = seed;
		struct router router;

		begin(&router, NULL, 0);
		for (size_t i = 0; i < RANDOM_ROUTES; i++) {
			struct random_route *added = &routes[i];
			bool taken;

			*added = (struct random_route){ 0 };
			make_path(added->path, added->segments, &added->count, &state, LEN(words));
			added->route = (struct route)ROUTE(GET, added->path);
			added->route.method = test_random(&state) % 4;
			taken = has_twins(added);
			for (size_t k = 0; k < i; k++)
				taken |= routes[k].added && same_shape(&routes[k], added) &&
					 routes[k].route.method == added->route.method;
			added->added = router_add(&router, &added->route) == 0;
			REQUIRE(added->added == !taken);
		}
		for (size_t i = 0; i < 300; i++)
			compare(&router, routes, &state);
		end(&router);
	}
}

/* --- memory runs out ---------------------------------------------------- */

#ifdef BULKHEAD_FAULTS
TEST(router_torture)
{
	bool struck = true;

	for (size_t nth = 1; struck; nth++) {
		struct router_match match;
		struct router router;
		int r = 0;

		arena_init(&arena, 64, MEGABYTE);
		router_init(&router);
		router.arena.chunk_size = 64; /* so that nearly each allocation can fail */
		fault_arm(FAULT_MEMORY, nth);
		for (size_t i = 0; i < LEN(table) && r == 0; i++)
			r = router_add(&router, &table[i]);
		if (r == 0)
			r = router_find(
				&router, HTTP_GET, S("/flags/a%2Fb/rules/c%20d"), &arena, &match);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);

		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		if (r == 0)
			EXPECT_STR(match.params[1], S("c d"));
		end(&router);
	}
}
#endif
