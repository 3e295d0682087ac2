/* The modules of administration: routes, what they open, and what is done beside requests. */
#include "modules/jobs/jobs_admin_routes.h"

#include "base/err.h"
#include "http/health.h"
#include "http/server.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_counts.h"

static int open_module(struct server *server)
{
	int r = server_add_check(server, &jobs_health);

	if (r == 0)
		r = jobs_change_compile();
	if (r < 0)
		return r;
	r = schema_compile(&page_key_schema);
	if (r < 0)
		jobs_change_release();
	return r;
}

static void close_module(struct server *server)
{
	(void)server;
	schema_release(&page_key_schema);
	jobs_change_release();
}

static int count(struct server *server)
{
	return census_turn(server->store);
}

static int write_tallies(struct server *server)
{
	struct arena arena;
	int r;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	r = job_tallies_write(server->store, &arena);
	arena_done(&arena);
	return r;
}

static const struct chore chores[] = {
	{ "jobs to count", SECOND, count },
	{ "tallies of jobs", 5 * SECOND, write_tallies },
};

const struct module jobs_admin_module = {
	MODULE_HEAD,
	.name = "jobs-admin",
	.routes = job_admin_routes,
	.route_count = JOB_ADMIN_ROUTES,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};

const struct module jobs_queues_module = {
	MODULE_HEAD,
	.name = "jobs-queues",
	.routes = job_queue_routes,
	.route_count = JOB_QUEUE_ROUTES,
};
