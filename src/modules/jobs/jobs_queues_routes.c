/* Handlers for queues: for tenants their own part, for operators all of it. */
#include "modules/jobs/jobs_admin_routes.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_queues.h"
#include "modules/jobs/jobs_settings.h"
#include "rest/db.h"
#include "rest/write.h"

/* --- what goes in and out ------------------------------------------------------------------ */

struct queues_query {
	int64_t limit;
	struct str cursor;
};

struct queue_drain_in {
	struct str name;
	bool later;
};

struct queue_pause_out {
	struct str name;
	bool paused;
};

struct group_ref_in {
	struct str name, key;
};

struct workers_query {
	int64_t limit;
	struct str cursor;
};

/* clang-format off */
static const struct schema queues_query_schema = SCHEMA(queues_query, "Which queues.",
	PAGE_FIELDS(queues_query));

static const struct schema queue_drain_in_schema = SCHEMA(queue_drain_in, "A queue to be drained.",
	FIELD(queue_drain_in, name, "Which.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(queue_drain_in, later, "Also what is scheduled, or has failed and comes again."));

static const struct schema queue_pause_out_schema = SCHEMA(queue_pause_out, "Whether a queue is paused.",
	FIELD(queue_pause_out, name, "Which.", .flags = REQUIRED, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(queue_pause_out, paused, "Whether none of the caller's jobs start.", .flags = REQUIRED));

static const struct schema group_ref_in_schema = SCHEMA(group_ref_in, "A group of a queue.",
	FIELD(group_ref_in, name, "Which queue.", .from = FROM_PATH, RANGE(1, JOB_QUEUE_MAX)),
	FIELD(group_ref_in, key, "Which group.", .from = FROM_PATH, RANGE(1, JOB_KEY_MAX)));

static const struct schema workers_query_schema = SCHEMA(workers_query, "Which workers.",
	PAGE_FIELDS(workers_query));
/* clang-format on */

/* --- looking ------------------------------------------------------------------------------------
 */

static const struct statement queue_list = {
	.name = "queues_page", .in = &page_key_schema, .out = &queue_shown_schema
};

static const struct page_order by_name = {
	.name = S_INIT("queues by name"),
	.list = &queue_list,
	.key = { "name" },
	.after = { "after_name" },
	.start = { "" },
};

static int list_queues(struct req *req, const struct uuid *tenant, const struct queues_query *in,
	struct queue_page *out)
{
	struct queues_ask ask = { .tenant = tenant, .limit = in->limit };
	struct db db = db_of_system(req_server(req)->store, &req->arena);
	struct page_key key = { 0 };
	int r = page_begin(req, &by_name, in->cursor, &key);

	ask.after = key.after_name;
	if (r == 0)
		r = queues_show(&db, &ask, &out->items.at, &out->items.count);
	return r < 0 ? r : page_end(req, &by_name, in->limit, out->items.at, &out->items.count);
}

static int queues_list(struct req *req, const struct queues_query *in, struct queue_page *out)
{
	struct uuid tenant;
	int r = caller_tenant(req, &tenant);

	return r < 0 ? r : list_queues(req, &tenant, in, out);
}
HANDLER(queues_list, queues_query, queue_page, 0)

static int queues_list_all(struct req *req, const struct queues_query *in, struct queue_page *out)
{
	return list_queues(req, NULL, in, out);
}
HANDLER(queues_list_all, queues_query, queue_page, 0)

static int queue_show(struct req *req, const struct queue_by_name *in, struct queue_shown *out)
{
	struct db db = db_of_system(req_server(req)->store, &req->arena);
	struct queues_ask ask = { .only = in->name, .limit = 1 };
	struct queue_shown *found = NULL;
	struct uuid tenant;
	size_t count = 0;
	int r = caller_tenant(req, &tenant);

	ask.tenant = &tenant;
	if (r == 0)
		r = queues_show(&db, &ask, &found, &count);
	if (r < 0)
		return r;
	if (count == 0)
		return fail(ERR_NOT_FOUND, "there is nothing in this queue");
	*out = found[0];
	return 0;
}
HANDLER(queue_show, queue_by_name, queue_shown, ROUTE_FAILS(NOT_FOUND))

static const struct statement worker_list = {
	.name = "workers_page", .in = &page_key_schema, .out = &worker_shown_schema
};

static const struct page_order oldest_first = {
	.name = S_INIT("workers, oldest first"),
	.list = &worker_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_FIRST },
};

static int list_workers(struct req *req, const struct uuid *tenant, const struct workers_query *in,
	struct worker_page *out)
{
	struct db db = db_of_system(req_server(req)->store, &req->arena);
	struct page_key key = { 0 };
	int r = page_begin(req, &oldest_first, in->cursor, &key);

	if (r == 0)
		r = workers_show(
			&db, tenant, key.after_id, in->limit, &out->items.at, &out->items.count);
	return r < 0 ? r
		     : page_end(req, &oldest_first, in->limit, out->items.at, &out->items.count);
}

static int workers_list(struct req *req, const struct workers_query *in, struct worker_page *out)
{
	struct uuid tenant;
	int r = caller_tenant(req, &tenant);

	return r < 0 ? r : list_workers(req, &tenant, in, out);
}
HANDLER(workers_list, workers_query, worker_page, 0)

static int workers_list_all(
	struct req *req, const struct workers_query *in, struct worker_page *out)
{
	return list_workers(req, NULL, in, out);
}
HANDLER(workers_list_all, workers_query, worker_page, 0)

/* --- the tenant's own part ------------------------------------------------------------------ */

struct pausing {
	struct str name;
	bool paused;
	struct audit_actor actor;
	struct queue_pause_out *ret;
};

static int pause_in_tx(struct tx *tx, void *arg)
{
	const struct pausing *pausing = arg;
	int r = queue_pause_in_tx(tx, pausing->name, pausing->paused);

	if (r == 0)
		r = tx_audit(tx, &pausing->actor,
			&(struct audit_entry){
				.action = pausing->paused ? S("queue.paused") : S("queue.resumed"),
				.type = S("queue"),
				.id = pausing->name });
	*pausing->ret = (struct queue_pause_out){ pausing->name, pausing->paused };
	return r;
}

static int pause(struct req *req, struct str name, bool paused, struct queue_pause_out *ret)
{
	struct pausing pausing = { name, paused, audit_actor_of(req), ret };
	int r = queue_name_check(name);

	return r < 0 ? r : req_write(req, pause_in_tx, &pausing);
}

static int queue_pause(struct req *req, const struct queue_by_name *in, struct queue_pause_out *out)
{
	return pause(req, in->name, true, out);
}
HANDLER(queue_pause, queue_by_name, queue_pause_out, ROUTE_FAILS(INVALID))

static int queue_resume(
	struct req *req, const struct queue_by_name *in, struct queue_pause_out *out)
{
	return pause(req, in->name, false, out);
}
HANDLER(queue_resume, queue_by_name, queue_pause_out, ROUTE_FAILS(INVALID))

static int drain(struct req *req, const struct queue_drain_in *in, const struct uuid *tenant,
	struct jobs_changed *out)
{
	struct audit_actor actor = audit_actor_of(req);
	int r = tenant ? queue_name_check(in->name) : queue_name_check_any(in->name);

	return r < 0 ? r
		     : queue_drain(req_server(req)->store, &req->arena, tenant, in->name, in->later,
			       &actor, out);
}

static int queue_drain_own(
	struct req *req, const struct queue_drain_in *in, struct jobs_changed *out)
{
	struct uuid tenant;
	int r = caller_tenant(req, &tenant);

	return r < 0 ? r : drain(req, in, &tenant, out);
}
HANDLER(queue_drain_own, queue_drain_in, jobs_changed, ROUTE_FAILS(INVALID))

static const struct page_order by_key = {
	.name = S_INIT("groups by key"),
	.list = &job_groups_all,
	.key = { "key" },
	.after = { "after_key" },
	.start = { "" },
};

static int groups_list(struct req *req, const struct group_query *in, struct group_page *out)
{
	struct group_query query = *in;
	struct db db = req_db(req);
	int r = page_begin(req, &by_key, in->cursor, &query);

	if (r == 0)
		r = db_all(&db, in->halted ? &job_groups_halted : &job_groups_all, &query,
			&out->items.at, &out->items.count);
	return r < 0 ? r : page_end(req, &by_key, in->limit, out->items.at, &out->items.count);
}
HANDLER(groups_list, group_query, group_page, 0)

struct resuming {
	struct group_ref group;
	struct audit_actor actor;
};

static int resume_group_in_tx(struct tx *tx, void *arg)
{
	const struct resuming *resuming = arg;
	int r = group_resume_in_tx(tx, &resuming->group);

	return r < 0 ? r
		     : tx_audit(tx, &resuming->actor,
			       &(struct audit_entry){ .action = S("job_group.resumed"),
				       .type = S("job_group"),
				       .id = resuming->group.key });
}

static int group_resume(struct req *req, const struct group_ref_in *in, struct nothing *out)
{
	struct resuming resuming = { { in->name, in->key }, audit_actor_of(req) };

	(void)out;
	return req_write(req, resume_group_in_tx, &resuming);
}
HANDLER(group_resume, group_ref_in, nothing, ROUTE_FAILS(NOT_FOUND))

/* --- for operators ------------------------------------------------------------------------------
 */

static int config_show(struct req *req, const struct queue_by_name *in, struct queue_config *out)
{
	struct db db = req_system_db(req);
	int r = queue_name_check_any(in->name);

	return r < 0 ? r : queue_config_get(&db, in->name, out);
}
HANDLER(config_show, queue_by_name, queue_config, ROUTE_FAILS(INVALID))

#define CONFIG_FAILS ROUTE_FAILS(INVALID) | ROUTE_FAILS(CONFLICT)

/* Whoever hears the answer finds it in force here; other instances follow within a second. */
static int change(struct req *req, struct queue_change wanted)
{
	int r;

	wanted.req = req;
	wanted.actor = audit_actor_of(req);
	r = req_system_write(req, queue_change_in_tx, &wanted);
	return r < 0 ? r : queues_refresh(req_server(req)->store, &req->arena);
}

static int config_put(struct req *req, const struct queue_put *in, struct queue_config *out)
{
	return change(req, (struct queue_change){ .name = in->name,
				   .what = QUEUE_PUT,
				   .settings = &in->settings,
				   .ret = out });
}
HANDLER(config_put, queue_put, queue_config, CONFIG_FAILS)

static int config_reset(struct req *req, const struct queue_by_name *in, struct queue_config *out)
{
	return change(
		req, (struct queue_change){ .name = in->name, .what = QUEUE_RESET, .ret = out });
}
HANDLER(config_reset, queue_by_name, queue_config, CONFIG_FAILS | ROUTE_FAILS(NOT_FOUND))

static int config_pause(struct req *req, const struct queue_by_name *in, struct queue_config *out)
{
	return change(
		req, (struct queue_change){ .name = in->name, .what = QUEUE_PAUSE, .ret = out });
}
HANDLER(config_pause, queue_by_name, queue_config, CONFIG_FAILS)

static int config_resume(struct req *req, const struct queue_by_name *in, struct queue_config *out)
{
	return change(
		req, (struct queue_change){ .name = in->name, .what = QUEUE_RESUME, .ret = out });
}
HANDLER(config_resume, queue_by_name, queue_config, CONFIG_FAILS)

static int queue_drain_all(
	struct req *req, const struct queue_drain_in *in, struct jobs_changed *out)
{
	return drain(req, in, NULL, out);
}
HANDLER(queue_drain_all, queue_drain_in, jobs_changed, ROUTE_FAILS(INVALID))

/* --- the contract --------------------------------------------------------------------------- */

#define DO(handler_, right) .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right
#define OPERATE(handler_)   DO(handler_, "platform:jobs")

/* clang-format off */
const struct route job_queue_routes[JOB_QUEUE_ROUTES] = {
	{ HTTP_GET, "/api/v1/queues", "List queues and what is in them", DO(queues_list_handler, "jobs:read"),
		.in = &queues_query_schema, .out = &queue_page_schema },
	{ HTTP_GET, "/api/v1/queues/{name}", "Show a queue and what is in it", DO(queue_show_handler, "jobs:read"),
		.in = &queue_by_name_schema, .out = &queue_shown_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_POST, "/api/v1/queues/{name}/pause", "Start no more jobs of the tenant", DO(queue_pause_handler, "jobs:manage"),
		.in = &queue_by_name_schema, .out = &queue_pause_out_schema, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_POST, "/api/v1/queues/{name}/resume", "Start jobs of the tenant again", DO(queue_resume_handler, "jobs:manage"),
		.in = &queue_by_name_schema, .out = &queue_pause_out_schema, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_POST, "/api/v1/queues/{name}/drain", "Call off what waits of the tenant", DO(queue_drain_own_handler, "jobs:manage"),
		.in = &queue_drain_in_schema, .out = &jobs_changed_schema, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_GET, "/api/v1/queues/{name}/groups", "List groups of a queue", DO(groups_list_handler, "jobs:read"),
		.in = &group_query_schema, .out = &group_page_schema },
	{ HTTP_POST, "/api/v1/queues/{name}/groups/{key}/resume", "Go on with a halted group", DO(group_resume_handler, "jobs:manage"),
		.in = &group_ref_in_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_GET, "/api/v1/workers", "List who takes jobs of the tenant", DO(workers_list_handler, "jobs:read"),
		.in = &workers_query_schema, .out = &worker_page_schema },

	{ HTTP_GET, "/api/v1/platform/queues", "List queues and what is in them, of all tenants", OPERATE(queues_list_all_handler),
		.in = &queues_query_schema, .out = &queue_page_schema },
	{ HTTP_GET, "/api/v1/platform/queues/{name}", "Show the settings of a queue", OPERATE(config_show_handler),
		.in = &queue_by_name_schema, .out = &queue_config_schema, .versioned = true, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_PUT, "/api/v1/platform/queues/{name}", "Give a queue settings", OPERATE(config_put_handler),
		.in = &queue_put_schema, .out = &queue_config_schema, .versioned = true, .may_fail = CONFIG_FAILS },
	{ HTTP_DELETE, "/api/v1/platform/queues/{name}", "Give a queue its first settings again", OPERATE(config_reset_handler),
		.in = &queue_by_name_schema, .out = &queue_config_schema, .versioned = true,
		.may_fail = CONFIG_FAILS | ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_POST, "/api/v1/platform/queues/{name}/pause", "Start no more jobs of a queue", OPERATE(config_pause_handler),
		.in = &queue_by_name_schema, .out = &queue_config_schema, .versioned = true, .may_fail = CONFIG_FAILS },
	{ HTTP_POST, "/api/v1/platform/queues/{name}/resume", "Start jobs of a queue again", OPERATE(config_resume_handler),
		.in = &queue_by_name_schema, .out = &queue_config_schema, .versioned = true, .may_fail = CONFIG_FAILS },
	{ HTTP_POST, "/api/v1/platform/queues/{name}/drain", "Call off what waits in a queue, of all tenants",
		OPERATE(queue_drain_all_handler), .in = &queue_drain_in_schema, .out = &jobs_changed_schema,
		.may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_GET, "/api/v1/platform/workers", "List who takes jobs", OPERATE(workers_list_all_handler),
		.in = &workers_query_schema, .out = &worker_page_schema },
};
/* clang-format on */
