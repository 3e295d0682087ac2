/*
 * The connection of a worker, as server-sent events (the WHATWG's HTML standard, 9.2): `ready` with
 * the session's id, `cancel` for jobs that shall stop, `drain` when the server is about to end, and
 * a comment a second, so that both sides notice when the other is gone.
 */
#include "modules/jobs/jobs_session.h"

#include "base/err.h"
#include "http/server.h"
#include "modules/jobs/jobs_worker_store.h"
#include "observe/clock.h"

#define PING_EVERY SECOND

/* Sent and not taken for so long: the other side is gone, whatever the network says. */
#define GIVE_UP_AFTER (2 * SECOND)

/* --- opening --------------------------------------------------------------------------------- */

struct opening {
	struct worker_caller caller;
	struct str worker;
	struct uuid id;      /* in: of a new one; out: of the one there is */
	struct str goes_on;  /* id of the one that is to go on; empty: none */
	bool resumed, again; /* out; again: there is more to be ended first */
};

static const struct tx_options opening_options = { .name = "job-session", .durability = TX_SOFT };

/* The session that is to go on, if it is one of this worker's. */
static int resume_in_tx(struct tx *tx, struct opening *opening, struct str id)
{
	struct uuid resumed;
	int64_t unused;
	int r;

	CHECK(uuid_parse(id, &resumed));
	r = lease_renew_in_tx(tx, &resumed, &unused);
	if (r == 0)
		r = tx_notice(tx, S(JOBS_SESSION_TOPIC), id);
	if (r == 0) {
		opening->resumed = true;
		opening->id = resumed;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int begin_in_tx(struct tx *tx, const struct opening *opening)
{
	struct lease lease = {
		.tenant = opening->caller.tenant,
		.id = opening->id,
		.kind = LEASE_SESSION,
		.worker = opening->worker,
		.lease_us = (int64_t)(SESSION_LOST_AFTER / MICROSECOND),
	};
	int r = tx_enter(tx, &opening->caller.tenant);

	if (r == 0)
		r = lease_open_in_tx(tx, &lease);
	return r < 0 ? r : tx_leave(tx);
}

static bool same_id(struct str a, struct str b)
{
	return a.len > 0 && str_eq_nocase(a, b);
}

static int open_in_tx(struct tx *tx, void *arg)
{
	struct opening *opening = arg;
	struct lease_closing closing = { .tenant = opening->caller.tenant,
		.kind = END_LOST,
		.message = S("the worker has begun another session") };
	struct worker_found *found = NULL;
	size_t count = 0;
	int r = worker_leases_in_tx(
		tx, &opening->caller.tenant, opening->worker, true, &found, &count);

	opening->resumed = opening->again = false;
	for (size_t i = 0; i < count && r == 0; i++) {
		if (same_id(opening->goes_on, found[i].id)) {
			r = tx_enter(tx, &opening->caller.tenant);
			if (r == 0)
				r = resume_in_tx(tx, opening, found[i].id);
			if (r == 0)
				r = tx_leave(tx);
			continue;
		}
		r = lease_close_in_tx(tx, &closing, found[i].id);
		opening->again |= r > 0;
		r = MIN(r, 0);
	}
	if (r == 0 && !opening->resumed && !opening->again)
		r = begin_in_tx(tx, opening);
	return r;
}

static int open_session(struct req *req, struct opening *opening)
{
	struct db db = db_of_system(opening->caller.store, &req->arena);
	struct uuid fresh;
	int r;

	uuid_v7(&fresh, clock_wall_us());
	do {
		opening->id = fresh;
		r = db_write_with(&db, &opening_options, open_in_tx, opening);
	} while (r == 0 && opening->again);
	return r;
}

/* --- events ---------------------------------------------------------------------------------- */

static int send_text(struct req *req, const struct buf *text)
{
	return text->failed ? text->failed : reply_write(req, buf_str(text));
}

static int send_ready(struct req *req, const struct opening *opening)
{
	struct buf *text = req_text(req);
	struct json_writer json;
	char id[UUID_TEXT_LEN];

	uuid_write(id, &opening->id);
	buf_printf(text, "retry: 200\nid: %.*s\nevent: ready\ndata: ", UUID_TEXT_LEN, id);
	json_writer_init(&json, text);
	json_write_object(&json);
	json_write_key(&json, S("sessionId"));
	json_write_string(&json, str_of(id, sizeof(id)));
	json_write_key(&json, S("workerId"));
	json_write_string(&json, opening->worker);
	json_write_key(&json, S("resumed"));
	json_write_bool(&json, opening->resumed);
	json_write_key(&json, S("lostAfterMs"));
	json_write_u64(&json, SESSION_LOST_AFTER / MILLISECOND);
	json_write_object_end(&json);
	if (json_writer_done(&json) < 0)
		return -(int)err_last()->code;
	buf_append(text, S("\n\n"));
	return send_text(req, text);
}

static void add_cancel(struct buf *text, struct str tenant, struct str id, bool platform)
{
	buf_printf(text, "event: cancel\ndata: {\"jobId\":\"%.*s\"", STR_ARG(id));
	if (platform)
		buf_printf(text, ",\"tenantId\":\"%.*s\"", STR_ARG(tenant));
	buf_append(text, S("}\n\n"));
}

/* Whatever of its jobs shall stop, told again if need be. */
static int add_cancelled_rows(struct req *req, const struct opening *opening, struct buf *text)
{
	struct db db = db_of_system(opening->caller.store, &req->arena);
	struct arena_mark mark = arena_mark(&req->arena);
	struct lease_jobs_key key = { uuid_text(&req->arena, &opening->id), SESSION_JOBS_AT_ONCE };
	struct lease_job *jobs = NULL;
	size_t count = 0;
	int r = key.lease_id.at ? db_all(&db, &lease_cancelled, &key, &jobs, &count)
				: -(int)err_last()->code;

	for (size_t i = 0; i < count && r == 0; i++)
		add_cancel(text, jobs[i].tenant_id, jobs[i].id, opening->caller.platform);
	arena_back(&req->arena, mark);
	return r;
}

static int send_news(
	struct req *req, const struct opening *opening, const struct session_news *news)
{
	struct buf *text = req_text(req);
	int r = news->look ? add_cancelled_rows(req, opening, text) : 0;

	for (size_t i = 0; i < news->cancel_count; i++) {
		char tenant[UUID_TEXT_LEN], id[UUID_TEXT_LEN];

		uuid_write(tenant, &news->cancels[i].tenant);
		uuid_write(id, &news->cancels[i].id);
		add_cancel(text, str_of(tenant, sizeof(tenant)), str_of(id, sizeof(id)),
			opening->caller.platform);
	}
	return r < 0 || text->len == 0 ? r : send_text(req, text);
}

static int send_last(struct req *req, const char *name)
{
	struct buf *text = req_text(req);

	buf_printf(text, "event: %s\ndata: {}\n\n", name);
	return send_text(req, text);
}

/* --- the connection -------------------------------------------------------------------------- */

static int hold(struct req *req, struct session *session, const struct opening *opening)
{
	uint64_t ping = clock_now_ns() + PING_EVERY;
	int r = send_ready(req, opening);

	while (r == 0) {
		uint64_t rings = bell_rings(session->bell);
		struct session_news news;

		session_news(session, &news);
		if (news.end != SESSION_STANDS)
			return send_last(req, "lost");
		if (!server_ready(req_server(req)))
			return send_last(req, "drain");
		if (news.look || news.cancel_count > 0)
			r = send_news(req, opening, &news);
		if (r == 0 && clock_now_ns() >= ping) {
			ping = clock_now_ns() + PING_EVERY;
			r = reply_write(req, S(":\n\n"));
		}
		if (r == 0)
			r = bell_wait(session->bell, rings, ping);
		if (r == -ERR_TIMEOUT)
			r = 0;
	}
	return r;
}

static int stream(struct req *req, const struct opening *opening)
{
	struct session session = { .tenant = opening->caller.tenant, .id = opening->id };
	int r;

	req_give_up_after(req, GIVE_UP_AFTER);
	session_enter(&session);
	/* Proxies that collect answers would keep it from the worker. */
	r = reply_header(req, S("x-accel-buffering"), S("no"));
	if (r == 0)
		r = reply_begin(req, 200, S("text/event-stream"), UINT64_MAX);
	if (r == 0)
		r = hold(req, &session, opening);
	session_exit(&session);
	return r;
}

int worker_session(struct req *req, const struct worker_session_request *in, struct nothing *out)
{
	struct opening opening = { .worker = in->worker_id, .goes_on = in->last_event_id.value };
	int r = worker_caller_of(req, &opening.caller);

	(void)out;
	if (r < 0)
		return r;
	if (!server_ready(req_server(req)))
		return fail(ERR_UNAVAILABLE, "this server is about to end");
	r = seat_take(SEAT_SESSION, &opening.caller.tenant);
	if (r < 0)
		return r;
	r = open_session(req, &opening);
	if (r == 0)
		r = stream(req, &opening);
	seat_give(SEAT_SESSION, &opening.caller.tenant);
	return r;
}

/* --- handing all back ------------------------------------------------------------------------ */

enum { RELEASE_ROUNDS = 10000 }; /* of a worker that goes on taking meanwhile */

struct releasing {
	struct lease_closing closing;
	struct str worker;
	bool again;
};

static int release_in_tx(struct tx *tx, void *arg)
{
	struct releasing *releasing = arg;
	struct lease_closing *closing = &releasing->closing;
	struct worker_found *found = NULL;
	size_t count = 0;
	int r = worker_leases_in_tx(tx, &closing->tenant, releasing->worker, false, &found, &count);

	closing->ended = 0;
	releasing->again = count > 0; /* they are read some at a time */
	for (size_t i = 0; i < count && r == 0 && closing->ended < SESSION_JOBS_AT_ONCE; i++)
		r = MIN(lease_close_in_tx(tx, closing, found[i].id), 0);
	return r;
}

int worker_release(struct req *req, const struct worker_ref *in, struct worker_released *out)
{
	struct releasing releasing = { .worker = in->worker_id,
		.closing = { .kind = END_RELEASE } };
	struct worker_caller caller;
	struct db db;
	int r = worker_caller_of(req, &caller);

	if (r < 0)
		return r;
	releasing.closing.tenant = caller.tenant;
	db = db_of_system(caller.store, &req->arena);
	releasing.again = true;
	for (size_t i = 0; i < RELEASE_ROUNDS && r == 0 && releasing.again; i++) {
		struct arena_mark mark = arena_mark(&req->arena);

		r = db_write_with(&db, &opening_options, release_in_tx, &releasing);
		out->released += r == 0 ? (int64_t)releasing.closing.ended : 0;
		arena_back(&req->arena, mark);
	}
	return r;
}
