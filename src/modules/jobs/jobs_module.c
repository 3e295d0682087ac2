/* The module: what it is made of, what it opens, and what it does beside requests. */
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_callers.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_cleanup.h"
#include "modules/jobs/jobs_counts.h"
#include "modules/jobs/jobs_queues.h"
#include "modules/jobs/jobs_routes.h"
#include "modules/jobs/jobs_run.h"
#include "modules/jobs/jobs_schemas.h"
#include "modules/jobs/jobs_settings.h"
#include "modules/jobs/jobs_work.h"

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
	&job_seats_statements,
	&job_queue_statements,
	&job_schema_statements,
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
	&job_queues_statements,
	&job_settings_statements,
};

/* Those that only one engine has. */
static const struct job_statements *const of_sqlite[] = { &job_end_statements_sqlite,
	&job_seats_statements_sqlite };
static const struct job_statements *const of_postgres[] = { &job_end_statements_postgres,
	&job_seats_statements_postgres, &job_caller_statements };

static int register_all(
	struct store *store, const struct job_statements *const *lists, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		if (lists[i]->count)
			r = store_register(store, lists[i]->at, lists[i]->count);
	return r;
}

int jobs_register(struct store *store)
{
	int r = register_all(store, statements, LEN(statements));

	if (r == 0)
		r = store_is_sqlite(store) ? register_all(store, of_sqlite, LEN(of_sqlite))
					   : register_all(store, of_postgres, LEN(of_postgres));
	return r;
}

/* --- up and down --------------------------------------------------------------------------------
 */

static void close_bells(struct store *store)
{
	(void)store;
	bells_close();
}

static int open_metrics(struct store *store)
{
	(void)store;
	return job_metrics_open();
}

static void forget_census(struct store *store)
{
	(void)store;
	census_forget();
}

/* What is opened, in this order, and closed in the other. */
static const struct part {
	int (*open)(struct store *store);
	void (*close)(struct store *store);
} parts[] = {
	{ open_metrics, forget_census },
	{ bells_open, close_bells },
	{ depth_open, depth_close },
	{ queues_open, queues_close },
	{ job_schemas_open, job_schemas_close },
	{ NULL, job_kinds_close },
};

static void close_parts(struct store *store, size_t count)
{
	while (count > 0)
		parts[--count].close(store);
}

int jobs_memory_open(struct store *store)
{
	for (size_t i = 0; i < LEN(parts); i++)
		if (parts[i].open && parts[i].open(store) < 0) {
			struct err err = *err_last();

			close_parts(store, i);
			return err_restore(&err);
		}
	return 0;
}

void jobs_memory_close(struct store *store)
{
	close_parts(store, LEN(parts));
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

/* --- beside requests ------------------------------------------------------------------- */

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

/* Does jobs until the server ends, and is there until they have ended. */
static int do_jobs(struct server *server)
{
	int r = jobs_start(server);

	if (r < 0)
		return r;
	(void)fiber_sleep_until(TIME_NEVER);
	jobs_stop();
	return 0;
}

static const struct chore chores[] = {
	{ "jobs", SECOND, do_jobs },
	{ "settings of queues", 200 * MILLISECOND, refresh_queues },
	{ "depths of queues", SECOND, refresh_depth },
	{ "keys and groups of jobs to forget", MINUTE, sweep },
};

const struct module jobs_module = {
	MODULE_HEAD,
	.name = "jobs",
	.routes = job_routes,
	.route_count = JOB_ROUTES,
	.migrations = jobs_sql,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
};
