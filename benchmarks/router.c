/*
 * Router: lookups a second with 1,000 routes, beside a walk through the table
 *
 * 200 resources with five routes each, like an API has them: lists, items by id, an action below an
 * item. Looked up are all paths in turn, with ids of 36 characters. The peer in the same run
 * compares every pattern with the path until one fits, as simple frameworks do.
 */
#include "http/router.h"
#include "http/request.h"
#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	RESOURCES = 200,
	SHAPES = 5,
	ROUTES = RESOURCES * SHAPES,
	LOOKUPS = 2000000,
	NAIVE_LOOKUPS = 20000
};

static const struct {
	enum http_method method;
	const char *tail, *path_tail;
} shapes[SHAPES] = {
	{ HTTP_GET, "", "" },
	{ HTTP_POST, "", "" },
	{ HTTP_GET, "/{id}", "/018f3d5e-0000-7000-8000-000000000001" },
	{ HTTP_PATCH, "/{id}", "/018f3d5e-0000-7000-8000-000000000001" },
	{ HTTP_POST, "/{id}/archive", "/018f3d5e-0000-7000-8000-000000000001/archive" },
};

static struct route routes[ROUTES];
static char patterns[ROUTES][96], paths[ROUTES][96];

static int nothing(struct req *req)
{
	return reply_empty(req, 204);
}

static void make_routes(struct router *router)
{
	router_init(router);
	for (size_t i = 0; i < ROUTES; i++) {
		size_t resource = i / SHAPES, shape = i % SHAPES;

		(void)snprintf(patterns[i], sizeof(patterns[i]), "/api/v1/resource-%zu%s", resource,
			shapes[shape].tail);
		(void)snprintf(paths[i], sizeof(paths[i]), "/api/v1/resource-%zu%s", resource,
			shapes[shape].path_tail);
		routes[i] = (struct route){ shapes[shape].method, patterns[i], "A route", nothing,
			ROUTE_PUBLIC, .need = RIGHT_PUBLIC };
		CHECK(router_add(router, &routes[i]) == 0);
	}
}

static uint64_t by_router(struct router *router, struct arena *arena)
{
	uint64_t began = clock_now_ns();

	for (size_t i = 0; i < LOOKUPS; i++) {
		size_t at = i * 7 % ROUTES;
		struct router_match match;

		CHECK(router_find(router, routes[at].method, str_from_c(paths[at]), arena,
			      &match) == 0);
		CHECK(match.entry && match.entry->route == &routes[at]);
	}
	return (clock_now_ns() - began) / LOOKUPS;
}

static bool fits(struct str pattern, struct str path)
{
	while (pattern.at && path.at) {
		struct str wanted = str_cut(&pattern, '/'), segment = str_cut(&path, '/');

		if (!(wanted.len && wanted.at[0] == '{') && !str_eq(wanted, segment))
			return false;
	}
	return !pattern.at && !path.at;
}

static uint64_t by_walk(void)
{
	uint64_t began = clock_now_ns();

	for (size_t i = 0; i < NAIVE_LOOKUPS; i++) {
		size_t at = i * 7 % ROUTES, found = 0;

		while (routes[found].method != routes[at].method ||
			!fits(str_from_c(patterns[found]), str_from_c(paths[at])))
			found++;
		CHECK(found == at);
	}
	return (clock_now_ns() - began) / NAIVE_LOOKUPS;
}

int main(void)
{
	struct router router;
	struct arena arena;
	uint64_t ours = UINT64_MAX, walk = UINT64_MAX;

	make_routes(&router);
	arena_init(&arena, 4096, MEGABYTE);
	for (int round = 0; round < 5; round++) {
		ours = MIN(ours, by_router(&router, &arena));
		walk = MIN(walk, by_walk());
	}
	printf("%d routes, best of 5 rounds\n", ROUTES);
	printf("router  %6llu ns  %9.0f lookups/s\n", (unsigned long long)ours, 1e9 / (double)ours);
	printf("walk    %6llu ns  %9.0f lookups/s  %.1f x\n", (unsigned long long)walk,
		1e9 / (double)walk, (double)walk / (double)ours);
	arena_done(&arena);
	router_done(&router);
	return EXIT_SUCCESS;
}
