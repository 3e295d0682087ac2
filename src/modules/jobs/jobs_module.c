/* The module: what it is made of, what it opens, and what it does beside requests. */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_cleanup.h"
#include "modules/jobs/jobs_run.h"

#include "base/embed.h"
#include "base/err.h"
#include "http/server.h"
#include "store/store.h"

EMBED_TEXT(jobs_sql, "src/modules/jobs/jobs.sql");

/* --- statements: a line for each file that has some ------------------------------------------ */

static const struct job_statements *const statements[] = {
	&job_add_statements,
	&job_unique_statements,
	&job_group_statements,
	&job_queue_statements,
	&job_kind_statements,
	&job_depth_statements,
	&job_note_statements,
	&job_look_statements,
	&job_lease_statements,
	&job_limit_statements,
	&job_take_statements,
	&job_end_statements,
	&job_cancel_statements,
	&job_promote_statements,
	&job_reap_statements,
	&job_list_statements,
	&job_change_statements,
	&job_census_statements,
	&job_census_read_statements,
	&job_cleanup_statements,
};

int jobs_register(struct store *store)
{
	int r = 0;

	for (size_t i = 0; i < LEN(statements) && r == 0; i++)
		if (statements[i]->count)
			r = store_register(store, statements[i]->at, statements[i]->count);
	return r;
}

/* --- up and down --------------------------------------------------------------------------------
 */

int jobs_memory_open(struct store *store)
{
	int r = bells_open(store);

	if (r < 0)
		return r;
	r = depth_open();
	if (r < 0) {
		bells_close();
		return r;
	}
	r = queues_open(store);
	if (r < 0) {
		depth_close();
		bells_close();
	}
	return r;
}

void jobs_memory_close(struct store *store)
{
	queues_close(store);
	depth_close();
	job_kinds_close();
	bells_close();
}

static int open_module(struct server *server)
{
	int r = jobs_register(server->store);

	return r < 0 ? r : jobs_memory_open(server->store);
}

static void close_module(struct server *server)
{
	jobs_memory_close(server->store);
}

/* --- beside requests
 * ------------------------------------------------------------------------------ */

enum { LOOK_MEMORY = 16 * 1024 * 1024 };

/* Runs a look at tables in an arena of its own. */
static int look(struct server *server, int (*at)(struct store *store, struct arena *arena))
{
	struct arena arena;
	int r;

	arena_init(&arena, 16 * KILOBYTE, LOOK_MEMORY);
	r = at(server->store, &arena);
	arena_done(&arena);
	return r;
}

static int refresh_queues(struct server *server)
{
	return look(server, queues_refresh);
}

static int refresh_depth(struct server *server)
{
	return look(server, depth_refresh);
}

static int sweep(struct server *server)
{
	int r = unique_sweep(server->store);

	return r < 0 ? r : groups_sweep(server->store);
}

static const struct chore chores[] = {
	{ "settings of queues", 200 * MILLISECOND, refresh_queues },
	{ "depths of queues", SECOND, refresh_depth },
	{ "keys and groups of jobs to forget", MINUTE, sweep },
};

const struct module jobs_module = {
	MODULE_HEAD,
	.name = "jobs",
	.migrations = jobs_sql,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
