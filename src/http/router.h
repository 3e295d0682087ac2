/*
 * From method and path to a route, in time proportional to the path. Built once from tables, then
 * read by all workers. A fixed segment wins over a parameter. HEAD is served by GET, OPTIONS
 * answers what is allowed, an unknown method at a known path is told which there are.
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "base/arena.h"
#include "http/route.h"
#include "http/status.h"
#include "observe/metric.h"

#pragma GCC visibility push(default)

enum {
	ROUTE_PARAMS_MAX = 8,
	ROUTER_ALLOW_MAX = 64, /* bytes of an Allow value */
	STAGES_MAX = 10,       /* of the pipeline */
};

/* A route in its place, and what is counted about it. */
struct router_entry {
	struct router_entry *next; /* in the order of router_add */
	const struct route *route; /* NULL in the entry for what matches no route */
	struct str pattern;        /* "/flags/{key}" */
	struct str title;          /* "GET /flags/{key}": the name of its spans */
	struct str param_names[ROUTE_PARAMS_MAX];
	size_t param_count;
	const struct stage *stages[STAGES_MAX]; /* what a request goes through */
	size_t stage_count;
	const struct metric *_Atomic duration[HTTP_STATUS_SLOTS]; /* found when first needed */
};

struct router_node;
struct stage;

struct router {
	struct arena arena; /* everything below lives here */
	struct router_node *root;
	struct router_entry *first, **last; /* all entries */
	struct router_entry unmatched;
};

/* What a lookup found. */
struct router_match {
	struct router_entry *entry; /* NULL: there is no such path, or not with this method */
	struct router_node *node;   /* NULL: there is no such path */
	struct str params[ROUTE_PARAMS_MAX]; /* decoded, in the order of entry->param_names */
};

void router_init(struct router *router);
void router_done(struct router *router);

/*
 * Adds a route; it must live as long as the router. -ERR_INVALID with a sentence for a path that is
 * not well-formed, a handler or a summary that is missing; -ERR_CONFLICT when another route has the
 * same method and an equal path (parameters are equal whatever their names). -ERR_NO_MEMORY.
 */
int router_add(struct router *router, const struct route *route);

/*
 * Finds a path, which target_parse has cut. Returns 0 with what there is, also when that is
 * nothing, or the error of a malformed path (-ERR_INVALID) or of the arena, which takes decoded
 * segments.
 */
int router_find(struct router *router, enum http_method method, struct str path,
	struct arena *arena, struct router_match *ret);

/* Writes the Allow value of a path that exists; returns its length, at most ROUTER_ALLOW_MAX. */
size_t router_allow(const struct router_node *node, char *at);

#pragma GCC visibility pop

#endif
