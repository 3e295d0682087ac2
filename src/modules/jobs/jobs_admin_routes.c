/* Handlers by which people look at jobs and decide about them. */
#include "modules/jobs/jobs_admin_routes.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_change.h"
#include "observe/clock.h"
#include "rest/db.h"
#include "rest/write.h"

int caller_tenant(struct req *req, struct uuid *ret)
{
	struct db db = req_db(req);

	if (!db.store)
		return fail(ERR_FORBIDDEN, "the caller has no tenant");
	*ret = db.tenant;
	return 0;
}

/* --- looking ------------------------------------------------------------------------------ */

/* clang-format off */
const struct schema page_key_schema = SCHEMA(page_key, "Where a page begins.",
	FIELD(page_key, after_id, "Behind this one.", .format = FORMAT_UUID),
	FIELD(page_key, after_name, "Behind this one.", RANGE(0, JOB_QUEUE_MAX)));
/* clang-format on */

static const struct statement page_list = {
	.name = "jobs_page", .in = &page_key_schema, .out = &job_item_schema
};

static const struct page_order newest_first = {
	.name = S_INIT("jobs, newest first"),
	.list = &page_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

/* Where a page ends is not always one of its jobs: the last row that was looked at stands behind
 * them, and one more, so that it is known that there are more. */
static int end_page(struct req *req, const struct job_found *found, struct job_page *out)
{
	struct job_item edge[2] = { { .shown.id = found->next_id } };
	size_t count = LEN(edge);

	out->items.at = found->items;
	out->items.count = found->count;
	return found->next_id.len ? page_end(req, &newest_first, 1, edge, &count) : 0;
}

static int list(struct req *req, const struct job_filter *filter, int64_t limit, struct str cursor,
	struct job_page *out)
{
	struct job_window window = { .limit = (size_t)limit };
	struct job_found found;
	struct page_key key;
	struct uuid tenant;
	int r = caller_tenant(req, &tenant);

	if (r == 0)
		r = page_begin(req, &newest_first, cursor, &key);
	if (r < 0)
		return r;
	window.after_id = key.after_id;
	r = jobs_find(req_server(req)->store, &req->arena, &tenant, filter, &window, &found);
	return r < 0 ? r : end_page(req, &found, out);
}

static int jobs_list(struct req *req, const struct job_query *in, struct job_page *out)
{
	return list(req, &in->filter, in->limit, in->cursor, out);
}
HANDLER(jobs_list, job_query, job_page, 0)

static int jobs_running(struct req *req, const struct job_query *in, struct job_page *out)
{
	struct job_filter filter = in->filter;

	filter.state = (struct opt_int){ .set = true, .value = JOB_RUNNING };
	return list(req, &filter, in->limit, in->cursor, out);
}
HANDLER(jobs_running, job_query, job_page, 0)

static int job_show(struct req *req, const struct job_by_id *in, struct job_details *out)
{
	struct db db = req_db(req);

	return job_details_get(&db, in->id, false, out);
}
HANDLER(job_show, job_by_id, job_details, ROUTE_FAILS(NOT_FOUND))

static const struct page_order lines_in_order = {
	.name = S_INIT("lines of a job"),
	.list = &job_lines_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_FIRST },
};

/* For tenants there are none in queues of the installation's own. */
static int check_own(const struct job_shown *job)
{
	return queue_name_reserved(job->queue) ? fail(ERR_NOT_FOUND, "there is no such job") : 0;
}

static int job_lines(struct req *req, const struct job_lines_query *in, struct job_lines_page *out)
{
	struct job_lines_query query = *in;
	const struct job_ref ref = { in->id };
	struct db db = req_db(req);
	struct job_shown job;
	int r = page_begin(req, &lines_in_order, in->cursor, &query);

	if (r == 0)
		r = db_one(&db, &job_get, &ref, &job);
	if (r == 0)
		r = check_own(&job);
	if (r == 0)
		r = db_all(&db, &job_lines_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;
	return page_end(req, &lines_in_order, in->limit, out->items.at, &out->items.count);
}
HANDLER(job_lines, job_lines_query, job_lines_page, ROUTE_FAILS(NOT_FOUND))

/* --- one ------------------------------------------------------------------------------------ */

struct change_one {
	enum job_change change;
	struct str id;
	struct audit_actor actor;
	struct job_shown *ret; /* NULL: it is gone afterwards */
};

static int change_one_in_tx(struct tx *tx, void *arg)
{
	const struct change_one *one = arg;
	const struct job_ref ref = { one->id };
	struct job_shown before = { 0 };
	int r = tx_one(tx, &job_get, &ref, &before);

	if (r == 0)
		r = check_own(&before);
	if (r == 0)
		r = job_change_in_tx(tx, one->change, one->id, (struct opt_int){ 0 });
	if (r == 0)
		r = job_change_audit(tx, &one->actor, one->change, one->id);
	if (r < 0 || !one->ret)
		return r;
	r = tx_one(tx, &job_get, &ref, one->ret);
	if (r == -ERR_NOT_FOUND) { /* a queue that keeps none */
		before.state = JOB_CANCELLED;
		*one->ret = before;
		r = 0;
	}
	return r;
}

static int change_one(struct req *req, enum job_change change, struct str id, struct job_shown *ret)
{
	struct change_one one = { change, id, audit_actor_of(req), ret };

	return req_write(req, change_one_in_tx, &one);
}

#define CHANGE_FAILS ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT)

static int job_retry(struct req *req, const struct job_by_id *in, struct job_shown *out)
{
	return change_one(req, JOB_RETRY, in->id, out);
}
HANDLER(job_retry, job_by_id, job_shown, CHANGE_FAILS)

static int job_promote(struct req *req, const struct job_by_id *in, struct job_shown *out)
{
	return change_one(req, JOB_PROMOTE, in->id, out);
}
HANDLER(job_promote, job_by_id, job_shown, CHANGE_FAILS)

static int job_cancel(struct req *req, const struct job_by_id *in, struct job_shown *out)
{
	return change_one(req, JOB_CANCEL, in->id, out);
}
HANDLER(job_cancel, job_by_id, job_shown, CHANGE_FAILS)

static int job_remove(struct req *req, const struct job_by_id *in, struct nothing *out)
{
	(void)out;
	return change_one(req, JOB_REMOVE, in->id, NULL);
}
HANDLER(job_remove, job_by_id, nothing, CHANGE_FAILS)

/* --- several ---------------------------------------------------------------------------------- */

/* Which jobs, as a body says it. */
struct jobs_which {
	struct job_filter filter;
	struct opt_i64 older_than_ms; /* since they have ended */
};

struct jobs_many {
	struct jobs_which filter;
	int64_t limit;
	struct opt_str cursor;
};

/* clang-format off */
static const struct schema jobs_which_schema = SCHEMA(jobs_which, "Which jobs; what is not said does not matter.",
	FIELD(job_filter, state, "In that state.", .choices = job_state_names),
	FIELD(job_filter, queue, "Of that queue.", RANGE(1, JOB_QUEUE_MAX)),
	FIELD(job_filter, name, "Of that name.", RANGE(1, JOB_NAME_MAX)),
	FIELD(job_filter, tag, "With that tag.", RANGE(1, JOB_TAG_MAX)),
	FIELD(job_filter, group_key, "Of that group.", RANGE(1, JOB_KEY_MAX)),
	FIELD(job_filter, unique_key, "With that key.", RANGE(1, JOB_KEY_MAX)),
	FIELD(job_filter, created_after, "Added then or later.", .format = FORMAT_DATE_TIME),
	FIELD(job_filter, created_before, "Added before then.", .format = FORMAT_DATE_TIME),
	FIELD(jobs_which, older_than_ms, "That have ended so long ago.", RANGE(0, INT64_C(31622400000))));

static const struct schema jobs_many_schema = SCHEMA(jobs_many, "Jobs that are changed together.",
	FIELD(jobs_many, filter, "Which.", .nested = &jobs_which_schema),
	FIELD(jobs_many, limit, "How many at most in this call.", RANGE(1, JOBS_CALL_MAX), .if_missing = "1000"),
	FIELD(jobs_many, cursor, "Where to go on: nextCursor of the call before.", .format = FORMAT_UUID));
/* clang-format on */

_Static_assert(offsetof(struct jobs_which, filter) == 0, "its fields are those of the filter");

/* The states of jobs that a change is for; the first one when nothing is said, if that is clear. */
struct change_states {
	unsigned allowed; /* bits 1 << enum job_state */
	struct opt_int otherwise;
};

#define ENDED   (1U << JOB_COMPLETED | 1U << JOB_DISCARDED | 1U << JOB_CANCELLED)
#define WAITING (1U << JOB_SCHEDULED | 1U << JOB_AVAILABLE | 1U << JOB_RETRYABLE)

static int change_many(struct req *req, const struct jobs_many *in, enum job_change change,
	struct change_states states, struct jobs_changed *out)
{
	struct audit_actor actor = audit_actor_of(req);
	struct jobs_change_all all = {
		.change = change,
		.filter = in->filter.filter,
		.after_id = in->cursor.value,
		.most = (size_t)in->limit,
	};
	struct uuid tenant;
	int r = caller_tenant(req, &tenant);

	if (!all.filter.state.set)
		all.filter.state = states.otherwise;
	if (r == 0 && !all.filter.state.set)
		r = fail_field(ERR_INVALID, "filter.state", "required", "must be there");
	if (r == 0 && !(states.allowed & 1U << all.filter.state.value))
		r = fail_field(ERR_INVALID, "filter.state", "wrong_state",
			"is not one of jobs that this is done with");
	if (r < 0)
		return r;
	if (in->filter.older_than_ms.set) {
		all.filter.ended_before.set = true;
		all.filter.ended_before.value =
			clock_wall_us() - in->filter.older_than_ms.value * 1000;
	}
	return jobs_change_all(req_server(req)->store, &req->arena, &tenant, &actor, &all, out);
}

static int jobs_retry(struct req *req, const struct jobs_many *in, struct jobs_changed *out)
{
	static const struct change_states ended = { ENDED,
		{ .set = true, .value = JOB_DISCARDED } };

	return change_many(req, in, JOB_RETRY, ended, out);
}
HANDLER(jobs_retry, jobs_many, jobs_changed, ROUTE_FAILS(INVALID))

static int jobs_cancel(struct req *req, const struct jobs_many *in, struct jobs_changed *out)
{
	static const struct change_states live = { WAITING | 1U << JOB_RUNNING, { 0 } };

	return change_many(req, in, JOB_CANCEL, live, out);
}
HANDLER(jobs_cancel, jobs_many, jobs_changed, ROUTE_FAILS(INVALID))

static int jobs_clean(struct req *req, const struct jobs_many *in, struct jobs_changed *out)
{
	static const struct change_states ended = { ENDED, { 0 } };

	return change_many(req, in, JOB_REMOVE, ended, out);
}
HANDLER(jobs_clean, jobs_many, jobs_changed, ROUTE_FAILS(INVALID))

/* --- the contract --------------------------------------------------------------------------- */

#define DO(handler_, right) .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

/* clang-format off */
const struct route job_admin_routes[JOB_ADMIN_ROUTES] = {
	{ HTTP_GET, "/api/v1/jobs", "List jobs", DO(jobs_list_handler, "jobs:read"),
		.in = &job_query_schema, .out = &job_page_schema },
	{ HTTP_GET, "/api/v1/jobs/running", "List the jobs that run", DO(jobs_running_handler, "jobs:read"),
		.in = &job_query_schema, .out = &job_page_schema },
	{ HTTP_GET, "/api/v1/jobs/{id}", "Show a job", DO(job_show_handler, "jobs:read"),
		.in = &job_by_id_schema, .out = &job_details_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_GET, "/api/v1/jobs/{id}/logs", "List what a job has logged", DO(job_lines_handler, "jobs:read"),
		.in = &job_lines_query_schema, .out = &job_lines_page_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_POST, "/api/v1/jobs/{id}/retry", "Try a job again that has ended", DO(job_retry_handler, "jobs:write"),
		.in = &job_by_id_schema, .out = &job_shown_schema, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/jobs/{id}/promote", "Start a job whose time has not come", DO(job_promote_handler, "jobs:write"),
		.in = &job_by_id_schema, .out = &job_shown_schema, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/jobs/{id}/cancel", "Call a job off", DO(job_cancel_handler, "jobs:write"),
		.in = &job_by_id_schema, .out = &job_shown_schema, .may_fail = CHANGE_FAILS },
	{ HTTP_DELETE, "/api/v1/jobs/{id}", "Remove a job that does not run", DO(job_remove_handler, "jobs:manage"),
		.in = &job_by_id_schema, .may_fail = CHANGE_FAILS },
	{ HTTP_POST, "/api/v1/jobs/retry", "Try all jobs again that fit a filter", DO(jobs_retry_handler, "jobs:manage"),
		.in = &jobs_many_schema, .out = &jobs_changed_schema, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_POST, "/api/v1/jobs/cancel", "Call all jobs off that fit a filter", DO(jobs_cancel_handler, "jobs:manage"),
		.in = &jobs_many_schema, .out = &jobs_changed_schema, .may_fail = ROUTE_FAILS(INVALID) },
	{ HTTP_POST, "/api/v1/jobs/clean", "Remove all jobs that fit a filter and have ended", DO(jobs_clean_handler, "jobs:manage"),
		.in = &jobs_many_schema, .out = &jobs_changed_schema, .may_fail = ROUTE_FAILS(INVALID) },
};
/* clang-format on */
