/* Adding over HTTP, schemas of payloads, and the contract of both. */
#include "modules/jobs/jobs_routes.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_post.h"
#include "modules/jobs/jobs_schemas.h"
#include "observe/clock.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"
#include "schema/loaded.h"

#include <stdio.h>

#define ADD_FAILS ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(TOO_MANY)

/* --- adding ------------------------------------------------------------------------------------
 */

static int refuse_name(struct req *req, struct str at)
{
	struct str path = arena_printf(&req->arena, "%.*sname", STR_ARG(at));

	return path.at ? problems_add(&req->problems, path, "reserved",
				 "is of jobs that only the program itself adds")
		       : -(int)err_last()->code;
}

/* All that is wrong with a job, under `at`. The time is of the wall. */
static int look_over(
	struct req *req, const struct db *db, const struct job_new *job, int64_t now, struct str at)
{
	int r = job_check(job, now, at, &req->problems);

	if (r == 0 && job_name_reserved(job->name))
		return refuse_name(req, at);
	if (r == 0)
		r = job_payload_check(db, job->name, job->payload, at, &req->problems);
	return r == -ERR_INVALID ? 0 : r; /* there are more jobs to look over */
}

static int refuse_problems(const struct req *req)
{
	return req->problems.count ? fail(ERR_INVALID, "the request is not valid") : 0;
}

struct posting {
	const struct adding *adding;
	struct job_posted *ret;
	struct req *req;
};

static int post_in_tx(struct tx *tx, void *arg)
{
	struct posting *posting = arg;
	struct adding adding = *posting->adding;
	struct job_added added;
	int r = adding_put_in_tx(tx, &adding, &added);

	if (r < 0)
		return r;
	posting->ret->outcome = added.outcome;
	posting->req->success = added.outcome == JOB_ADDED ? 0 : 200;
	if (added.outcome == JOB_ADDED) {
		posting->ret->shown = job_shown_of(&adding.row);
		return 0;
	}
	return tx_one(tx, &job_get, &(struct job_ref){ adding.row.id }, &posting->ret->shown);
}

static int job_add(struct req *req, const struct job_post *in, struct job_posted *out)
{
	const struct job_new job = job_new_of(in);
	int64_t now = clock_wall_us();
	struct db db = req_db(req);
	struct adding adding;
	struct posting posting = { &adding, out, req };
	int r = look_over(req, &db, &job, now, str_of(NULL, 0));

	if (r == 0)
		r = refuse_problems(req);
	if (r < 0)
		return r;
	r = adding_make(&job, &req->arena, now, &adding);
	if (r < 0)
		return r;
	if (req_write_keeps(req) || adding.row.unique_key.set || adding.row.group_key.set)
		return req_write_with(req, &jobs_adding, post_in_tx, &posting);
	r = adding_put(&db, &adding);
	if (r == 0)
		*out = (struct job_posted){ job_shown_of(&adding.row), JOB_ADDED };
	return r;
}
HANDLER(job_add, job_post, job_posted, ADD_FAILS)

/* --- many at once --------------------------------------------------------------------------------
 */

enum { BULK_SLICE = 100 }; /* jobs that are looked over before others have a turn */

struct bulk {
	struct adding *addings;
	size_t count;
	struct jobs_posted *ret;
};

/* Says which of the jobs it was. */
static int blame(int r, size_t which)
{
	const struct err err = *err_last();
	char field[ERR_FIELD_MAX + 32];

	if (r != -ERR_CONFLICT && r != -ERR_TOO_MANY)
		return r;
	(void)snprintf(field, sizeof(field), "jobs.%zu.%s", which, err.field);
	return err_blame(field, err.rule);
}

static int bulk_in_tx(struct tx *tx, void *arg)
{
	const struct bulk *bulk = arg;
	struct jobs_posted *ret = bulk->ret;
	int64_t *counts[] = {
		[JOB_ADDED] = &ret->added, [JOB_REPLACED] = &ret->replaced, [JOB_KEPT] = &ret->kept
	};
	struct adding *addings = arena_alloc(tx_arena(tx), bulk->count * sizeof(*addings));
	size_t which;
	int r;

	if (!addings) /* of their own, since this may be run again */
		return -(int)err_last()->code;
	memcpy(addings, bulk->addings, bulk->count * sizeof(*addings));
	ret->added = ret->replaced = ret->kept = 0;
	r = addings_join_in_tx(tx, addings, bulk->count, &which);
	if (r < 0)
		return blame(r, which);
	for (size_t i = 0; i < bulk->count; i++) {
		struct job_added added;

		r = adding_put_in_tx(tx, &addings[i], &added);
		if (r < 0)
			return blame(r, i);
		ret->ids.at[i] = addings[i].row.id;
		++*counts[added.outcome];
	}
	return 0;
}

static int make_all(struct req *req, const struct jobs_post *in, int64_t now, struct bulk *bulk)
{
	for (size_t i = 0; i < bulk->count; i++) {
		const struct job_new job = job_new_of(&in->jobs.at[i]);
		int r = adding_make(&job, &req->arena, now, &bulk->addings[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int look_over_all(struct req *req, const struct jobs_post *in, int64_t now)
{
	struct db db = req_db(req);

	for (size_t i = 0; i < in->jobs.count; i++) {
		const struct job_new job = job_new_of(&in->jobs.at[i]);
		struct str at = arena_printf(&req->arena, "jobs.%zu.", i);
		int r = at.at ? look_over(req, &db, &job, now, at) : -(int)err_last()->code;

		if (r < 0)
			return r;
		if (i % BULK_SLICE == BULK_SLICE - 1)
			fiber_yield();
	}
	return refuse_problems(req);
}

static int jobs_add(struct req *req, const struct jobs_post *in, struct jobs_posted *out)
{
	int64_t now = clock_wall_us();
	struct bulk bulk = { .count = in->jobs.count, .ret = out };
	int r = look_over_all(req, in, now);

	if (r < 0)
		return r;
	bulk.addings = arena_alloc(&req->arena, bulk.count * sizeof(*bulk.addings));
	out->ids.at = arena_alloc(&req->arena, bulk.count * sizeof(*out->ids.at));
	out->ids.count = bulk.count;
	if (!bulk.addings || !out->ids.at)
		return -(int)err_last()->code;
	r = make_all(req, in, now, &bulk);
	return r < 0 ? r : req_write_with(req, &jobs_adding, bulk_in_tx, &bulk);
}
HANDLER(jobs_add, jobs_post, jobs_posted, ADD_FAILS)

/* --- schemas --------------------------------------------------------------------------- */

static int schema_get(struct req *req, const struct job_schema_ref *in, struct job_schema *out)
{
	struct db db = req_db(req);

	return db_one(&db, &job_schema_get, in, out);
}
HANDLER(schema_get, job_schema_ref, job_schema, ROUTE_FAILS(NOT_FOUND))

static const struct page_order by_name = {
	.name = S_INIT("job schemas by name"),
	.list = &job_schema_list,
	.key = { "name" },
	.after = { "after_name" },
	.start = { "" },
};

static int schemas_list(
	struct req *req, const struct job_schema_query *in, struct job_schema_page *out)
{
	struct job_schema_query query = *in;
	struct db db = req_db(req);
	int r = page_begin(req, &by_name, in->cursor, &query);

	if (r == 0)
		r = db_all(&db, &job_schema_list, &query, &out->items.at, &out->items.count);
	return r < 0 ? r : page_end(req, &by_name, in->limit, out->items.at, &out->items.count);
}
HANDLER(schemas_list, job_schema_query, job_schema_page, 0)

/* Whether it can be used. */
static int try_schema(struct str text)
{
	struct schema_loaded *loaded;
	char why[ERR_TEXT_MAX];
	int r = schema_load(text, &loaded);

	if (r == 0)
		schema_loaded_free(loaded);
	if (r != -ERR_INVALID && r != -ERR_TOO_LARGE)
		return r;
	(void)snprintf(why, sizeof(why), "%s", err_text());
	return fail_field(ERR_INVALID, "schema", "invalid_schema", "cannot be used: %s", why);
}

static int schema_put(struct req *req, const struct job_schema_put *in, struct job_schema *out)
{
	struct job_schema_change change = { req, in->name, in->schema.json, out };
	int r;

	if (!job_name_valid(in->name))
		return fail_field(ERR_INVALID, "name", PROBLEM_INVALID_PATTERN,
			"must be domain:action in small letters");
	if (job_name_reserved(in->name))
		return fail_field(ERR_INVALID, "name", "reserved",
			"is of jobs that only the program itself adds");
	r = try_schema(in->schema.json);
	return r < 0 ? r : req_write(req, job_schema_put_in_tx, &change);
}
HANDLER(schema_put, job_schema_put, job_schema, ROUTE_FAILS(CONFLICT))

static int schema_delete(struct req *req, const struct job_schema_ref *in, struct nothing *out)
{
	struct job_schema_change change = { req, in->name, str_of(NULL, 0), NULL };

	(void)out;
	return req_write(req, job_schema_delete_in_tx, &change);
}
HANDLER(schema_delete, job_schema_ref, nothing, ROUTE_FAILS(NOT_FOUND))

/* --- the contract ---------------------------------------------------------------------- */

#define ROUTE(text, handler_, right)                                                               \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

enum { BULK_BODY = 8 * 1024 * 1024 };

/* clang-format off */
const struct route job_routes[JOB_ROUTES] = {
	{ HTTP_POST, "/api/v1/jobs", ROUTE("Add a job", job_add_handler, "jobs:write"),
		.in = &job_post_schema, .out = &job_posted_schema, .status = 201, .idempotent = true,
		.may_fail = ADD_FAILS },
	{ HTTP_POST, "/api/v1/jobs/bulk", ROUTE("Add up to a thousand jobs, all or none", jobs_add_handler, "jobs:write"),
		.in = &jobs_post_schema, .out = &jobs_posted_schema, .status = 201, .idempotent = true,
		.body_max = BULK_BODY, .may_fail = ADD_FAILS },

	{ HTTP_GET, "/api/v1/job-schemas", ROUTE("List schemas of payloads", schemas_list_handler, "jobs:read"),
		.in = &job_schema_query_schema, .out = &job_schema_page_schema },
	{ HTTP_GET, "/api/v1/job-schemas/{name}", ROUTE("Show the schema of payloads", schema_get_handler, "jobs:read"),
		.in = &job_schema_ref_schema, .out = &job_schema_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_PUT, "/api/v1/job-schemas/{name}", ROUTE("Set the schema of payloads", schema_put_handler, "jobs:manage"),
		.in = &job_schema_put_schema, .out = &job_schema_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(CONFLICT) },
	{ HTTP_DELETE, "/api/v1/job-schemas/{name}", ROUTE("Take the schema of payloads away", schema_delete_handler, "jobs:manage"),
		.in = &job_schema_ref_schema, .versioned = true, .may_fail = ROUTE_FAILS(NOT_FOUND) },
};
/* clang-format on */
