/* Handlers of the worker protocol and their contract. Each is there twice: for workers of a tenant,
 * and under /api/v1/platform for workers of all of them. */
#include "modules/jobs/jobs_push.h"
#include "modules/jobs/jobs_session.h"
#include "modules/jobs/jobs_settings.h"
#include "modules/jobs/jobs_worker_internal.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "observe/clock.h"

#define START_FAILS ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID)
#define LEASE_FAILS ROUTE_FAILS(TOO_MANY) | ROUTE_FAILS(CONFLICT) | ROUTE_FAILS(INVALID)

/* Bodies: results and messages of one, of many. */
enum { ONE_MAX = 512 * 1024, MANY_MAX = 8 * 1024 * 1024, SMALL_MAX = 1024 * 1024 };

/* --- what became of one ---------------------------------------------------------------------- */

static int end_one(struct req *req, struct worker_end *end, struct job_ended *out)
{
	struct worker_caller caller;
	int r = worker_caller_of(req, &caller);

	end->end.trace = str_of(req->trace_text, TRACE_ID_LEN);
	if (r == 0)
		r = worker_ends(&caller, &req->arena, end, 1);
	if (r < 0)
		return r;
	if (end->result < 0)
		return fail((enum err_code) - end->result, "%.*s",
			STR_ARG(worker_refusal(end->result)));
	*out = (struct job_ended){ end->end.id, end->state };
	return 0;
}

static struct worker_end completion(const struct job_complete_item *in)
{
	return (struct worker_end){ .token = in->lease_token,
		.end = { .id = in->id, .kind = END_COMPLETE, .result = in->result } };
}

static struct worker_end failure(const struct job_fail_item *in)
{
	return (struct worker_end){ .token = in->lease_token,
		.end = { .id = in->id,
			.kind = in->discard ? END_DISCARD : END_FAIL,
			.message = worker_cut(in->message, JOB_MESSAGE_MAX),
			/* 0 would be the backoff */
			.delay_us =
				in->retry_in_ms.set ? MAX(in->retry_in_ms.value * 1000, 1) : 0 } };
}

static struct worker_end release(const struct job_start_ref *in)
{
	return (struct worker_end){ .token = in->lease_token,
		.end = { .id = in->id, .kind = END_RELEASE } };
}

static int complete(struct req *req, const struct job_complete_request *in, struct job_ended *out)
{
	struct worker_end end = completion(&in->of);

	return end_one(req, &end, out);
}
HANDLER(complete, job_complete_request, job_ended, START_FAILS)

static int fail_job(struct req *req, const struct job_fail_request *in, struct job_ended *out)
{
	struct worker_end end = failure(&in->of);

	return end_one(req, &end, out);
}
HANDLER(fail_job, job_fail_request, job_ended, START_FAILS)

static int snooze(struct req *req, const struct job_snooze_request *in, struct job_ended *out)
{
	struct worker_end end = { .token = in->lease_token,
		.end = { .id = in->id, .kind = END_SNOOZE, .delay_us = in->delay_ms * 1000 } };

	return end_one(req, &end, out);
}
HANDLER(snooze, job_snooze_request, job_ended, START_FAILS)

static int release_job(struct req *req, const struct job_start_request *in, struct job_ended *out)
{
	struct worker_end end = release(&in->of);

	return end_one(req, &end, out);
}
HANDLER(release_job, job_start_request, job_ended, START_FAILS)

/* --- what became of many --------------------------------------------------------------------- */

static int tell(struct arena *arena, const struct worker_end *ends, size_t count,
	struct job_ending_list *ret)
{
	int r = 0;

	ret->at = count ? arena_zalloc(arena, count * sizeof(*ret->at)) : NULL;
	if (count && !ret->at)
		return -(int)err_last()->code;
	ret->count = count;
	for (size_t i = 0; i < count && r == 0; i++) {
		ret->at[i].id = ends[i].end.id;
		if (ends[i].result < 0)
			r = worker_refuse(arena, ends[i].result, &ret->at[i].error);
		else
			ret->at[i].state =
				(struct opt_int){ .set = true, .value = (int)ends[i].state };
	}
	return r;
}

static int end_many(struct req *req, struct worker_end *ends, size_t count, struct job_endings *out)
{
	struct worker_caller caller;
	int r = worker_caller_of(req, &caller);

	for (size_t i = 0; i < count; i++)
		ends[i].end.trace = str_of(req->trace_text, TRACE_ID_LEN);
	if (r == 0)
		r = worker_ends(&caller, &req->arena, ends, count);
	return r < 0 ? r : tell(&req->arena, ends, count, &out->jobs);
}

static struct worker_end *room_for(struct req *req, size_t count)
{
	return arena_zalloc(&req->arena, MAX(count, (size_t)1) * sizeof(struct worker_end));
}

static int complete_many(
	struct req *req, const struct job_complete_items *in, struct job_endings *out)
{
	struct worker_end *ends = room_for(req, in->jobs.count);

	if (!ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < in->jobs.count; i++)
		ends[i] = completion(&in->jobs.at[i]);
	return end_many(req, ends, in->jobs.count, out);
}
HANDLER(complete_many, job_complete_items, job_endings, 0)

static int fail_many(struct req *req, const struct job_fail_items *in, struct job_endings *out)
{
	struct worker_end *ends = room_for(req, in->jobs.count);

	if (!ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < in->jobs.count; i++)
		ends[i] = failure(&in->jobs.at[i]);
	return end_many(req, ends, in->jobs.count, out);
}
HANDLER(fail_many, job_fail_items, job_endings, 0)

static int release_many(struct req *req, const struct job_start_refs *in, struct job_endings *out)
{
	struct worker_end *ends = room_for(req, in->jobs.count);

	if (!ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < in->jobs.count; i++)
		ends[i] = release(&in->jobs.at[i]);
	return end_many(req, ends, in->jobs.count, out);
}
HANDLER(release_many, job_start_refs, job_endings, 0)

/* --- taking ---------------------------------------------------------------------------------- */

static struct opt_str given(struct str text)
{
	return (struct opt_str){ .set = text.len > 0, .value = text };
}

static int show(struct arena *arena, const struct worker_take *take, const struct taken *taken,
	int64_t timeout_ms, struct leased_job *ret)
{
	struct job_token token = { .lease = take->lease, .attempt = taken->attempt };
	char text[JOB_TOKEN_LEN];

	CHECK(uuid_parse(taken->tenant_id, &token.tenant));
	job_token_write(text, &token);
	*ret = (struct leased_job){
		.id = taken->id,
		.tenant_id = { .set = take->caller.platform, .value = taken->tenant_id },
		.name = taken->name,
		.queue = take->queue,
		.payload = taken->payload,
		.priority = taken->priority,
		.attempt = taken->counted,
		.attempts = taken->attempts,
		.lease_token = arena_str(arena, str_of(text, sizeof(text))),
		.lease_expires_at = take->expires_at_us,
		.timeout_ms = taken->timeout_us.set ? taken->timeout_us.value / 1000 : timeout_ms,
		.traceparent = given(taken->trace),
		.group_key = taken->group_key,
		.unique_key = taken->unique_key,
		.tags = { taken->tags.at, taken->tags.count },
		.created_at = taken->created_at,
	};
	return ret->lease_token.at ? 0 : -(int)err_last()->code;
}

static int show_all(struct arena *arena, const struct worker_take *take, int64_t timeout_ms,
	struct job_lease_answer *out)
{
	int r = 0;

	if (take->count > 0)
		out->jobs.at = arena_alloc(arena, take->count * sizeof(*out->jobs.at));
	if (take->count > 0 && !out->jobs.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < take->count && r == 0; i++)
		r = show(arena, take, &take->taken[i], timeout_ms, &out->jobs.at[i]);
	out->jobs.count = take->count;
	return r < 0 ? r : tell(arena, take->ends, take->end_count, &out->completed);
}

/* Answers here and now: what could go wrong later would leave jobs with a worker that has never
 * heard of them. */
static int answer_taken(struct req *req)
{
	struct str data;
	int r = req_data(req, &data);

	return r < 0 ? r : reply_data(req, req_success(req), data);
}

static void free_arena(void *arg)
{
	arena_done(arg);
}

/* Memory for what is taken: half of what the answer may have, so that it always fits into that. */
static struct arena *arena_for_taken(struct req *req)
{
	struct arena *arena = arena_new(&req->arena, struct arena);
	struct cleanup *cleanup = arena_new(&req->arena, struct cleanup);

	if (!arena || !cleanup)
		return NULL;
	arena_init(arena, 16 * KILOBYTE, req_server(req)->limits.request_memory / 2);
	scope_defer(&req->scope, cleanup, free_arena, arena);
	return arena;
}

static int lease(struct req *req, const struct job_lease_request *in, struct job_lease_answer *out)
{
	uint64_t deadline = clock_now_ns() + (uint64_t)in->wait_ms * MILLISECOND;
	struct arena *arena = arena_for_taken(req);
	struct worker_take take = { .queue = in->name,
		.worker = in->worker_id,
		.max = (size_t)in->max,
		.end_count = in->complete.count,
		.lost_answer = in->lost_answer,
		.holding = in->holding.at,
		.holding_count = in->holding.count };
	struct queue_settings settings;
	int r = queue_name_check(in->name);

	if (r < 0)
		return r;
	queue_settings(in->name, &settings);
	if (settings.push_url.len)
		return fail_field(ERR_CONFLICT, "name", "push",
			"is a queue whose jobs are sent to an address");
	take.lease_us = (in->lease_ms.set ? in->lease_ms.value : settings.lease_ms) * 1000;
	take.ends = room_for(req, in->complete.count);
	if (!arena || !take.ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < in->complete.count; i++) {
		take.ends[i] = completion(&in->complete.at[i]);
		take.ends[i].end.queue = in->name; /* most likely */
	}
	r = worker_caller_of(req, &take.caller);
	if (r == 0)
		r = worker_take(req, &take, arena, deadline);
	if (r == 0)
		r = show_all(&req->arena, &take, settings.timeout_ms, out);
	if (r == 0)
		r = answer_taken(req);
	if (r < 0 && take.count > 0)
		worker_give_back(&take);
	return r;
}
HANDLER(lease, job_lease_request, job_lease_answer, LEASE_FAILS)

/* --- secrets of addresses --------------------------------------------------------------------- */

static int answer_secret(struct req *req, struct str queue, bool rotate, struct push_secret *out)
{
	struct store *store = req_server(req)->store;
	struct push_secrets secrets;
	char text[PUSH_SECRET_TEXT_LEN];
	int r = rotate ? push_secret_rotate(store, &req->arena, queue, &secrets)
		       : push_secrets_get(store, &req->arena, queue, &secrets);

	if (r < 0)
		return r;
	push_secret_write(text, secrets.at[0]);
	out->secret = arena_str(&req->arena, str_of(text, sizeof(text)));
	crypto_wipe(&secrets, sizeof(secrets));
	crypto_wipe(text, sizeof(text));
	return out->secret.at ? 0 : -(int)err_last()->code;
}

static int secret_show(struct req *req, const struct push_queue_ref *in, struct push_secret *out)
{
	return answer_secret(req, in->name, false, out);
}
HANDLER(secret_show, push_queue_ref, push_secret, 0)

static int secret_rotate(struct req *req, const struct push_queue_ref *in, struct push_secret *out)
{
	return answer_secret(req, in->name, true, out);
}
HANDLER(secret_rotate, push_queue_ref, push_secret, 0)

/* --- the contract ---------------------------------------------------------------------------- */

HANDLER(worker_heartbeat, job_start_request, job_standing, START_FAILS)
HANDLER(worker_heartbeats, job_start_refs, job_standings, 0)
HANDLER(worker_progress, job_progress_request, job_standing, START_FAILS)
HANDLER(worker_log, job_log_request, job_logged, START_FAILS)
HANDLER(worker_session, worker_session_request, nothing, ROUTE_FAILS(TOO_MANY))
HANDLER(worker_release, worker_ref, worker_released, 0)

/* clang-format off */
#define WORKER(method, path_, text, handler_, right, in_, out_, max, ...) \
	{ method, path_, text, .place = ROUTE_PUBLIC, .handler = &(handler_##_handler), .need = right, \
		.in = &(in_##_schema), .out = &(out_##_schema), .limit = ROUTE_LIMIT_NONE, .body_max = max, \
		##__VA_ARGS__ }
#define SESSION(path_, right) \
	{ HTTP_GET, path_, "Hold the session of a worker (server-sent events)", .place = ROUTE_PUBLIC, \
		.handler = &worker_session_handler, .need = right, .in = &worker_session_request_schema, \
		.status = 200, .limit = ROUTE_LIMIT_NONE, .deadline_ns = TIME_NEVER, \
		.may_fail = ROUTE_FAILS(TOO_MANY) }

#define WORKER_ROUTES(at, right) \
	WORKER(HTTP_POST, at "/queues/{name}/lease", "Take jobs of a queue, waiting for them", lease, right, \
		job_lease_request, job_lease_answer, MANY_MAX, .may_fail = LEASE_FAILS, .deadline_ns = 90 * SECOND), \
	WORKER(HTTP_POST, at "/jobs/{id}/heartbeat", "Renew the lease of a job", worker_heartbeat, right, \
		job_start_request, job_standing, SMALL_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/progress", "Tell how far a job has come", worker_progress, right, \
		job_progress_request, job_standing, SMALL_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/log", "Write lines into a job's own log", worker_log, right, \
		job_log_request, job_logged, MANY_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/complete", "Say that a job is done", complete, right, \
		job_complete_request, job_ended, ONE_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/fail", "Say that an attempt has failed", fail_job, right, \
		job_fail_request, job_ended, ONE_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/snooze", "Put a job off", snooze, right, \
		job_snooze_request, job_ended, SMALL_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/{id}/release", "Hand a job back", release_job, right, \
		job_start_request, job_ended, SMALL_MAX, .may_fail = START_FAILS), \
	WORKER(HTTP_POST, at "/jobs/heartbeat", "Renew leases", worker_heartbeats, right, \
		job_start_refs, job_standings, SMALL_MAX), \
	WORKER(HTTP_POST, at "/jobs/complete", "Say that jobs are done", complete_many, right, \
		job_complete_items, job_endings, MANY_MAX), \
	WORKER(HTTP_POST, at "/jobs/fail", "Say that attempts have failed", fail_many, right, \
		job_fail_items, job_endings, MANY_MAX), \
	WORKER(HTTP_POST, at "/jobs/release", "Hand jobs back", release_many, right, \
		job_start_refs, job_endings, SMALL_MAX), \
	SESSION(at "/workers/{workerId}/session", right), \
	WORKER(HTTP_DELETE, at "/workers/{workerId}", "Hand all jobs of a worker back", worker_release, right, \
		worker_ref, worker_released, 0)

static const struct route routes[] = {
	WORKER_ROUTES("/api/v1", "jobs:work"),
	WORKER_ROUTES("/api/v1/platform", "platform:jobs"),
	{ HTTP_GET, "/api/v1/platform/queues/{name}/push-secret", "Show what signs the jobs that are sent to a queue's address",
		.place = ROUTE_PUBLIC, .handler = &secret_show_handler, .need = "platform:jobs",
		.in = &push_queue_ref_schema, .out = &push_secret_schema },
	{ HTTP_POST, "/api/v1/platform/queues/{name}/push-secret/rotate", "Sign with another secret; for a day with the former, too",
		.place = ROUTE_PUBLIC, .handler = &secret_rotate_handler, .need = "platform:jobs",
		.in = &push_queue_ref_schema, .out = &push_secret_schema },
};
/* clang-format on */

/* --- the module ------------------------------------------------------------------------------ */

static const struct chore chores[] = {
	{ "sessions of workers", 100 * MILLISECOND, worker_sessions_tend },
	{ "jobs for addresses", SECOND, push_jobs },
};

static const struct statement *statements[JOB_WORKER_STATEMENTS + JOB_PUSH_STATEMENTS];

/* Before main: a module is constant once the program runs. */
__attribute__((constructor)) static void join(void)
{
	memcpy(statements, job_worker_statements, sizeof(job_worker_statements));
	memcpy(statements + JOB_WORKER_STATEMENTS, job_push_statements,
		sizeof(job_push_statements));
}

static int open_module(struct server *server)
{
	push_secrets_open(server);
	return worker_sessions_open(server);
}

static void close_module(struct server *server)
{
	worker_sessions_close(server);
	push_secrets_close();
}

const struct module job_workers_module = {
	MODULE_HEAD,
	.name = "job-workers",
	.routes = routes,
	.route_count = LEN(routes),
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
	.reseal = push_secrets_reseal,
};
