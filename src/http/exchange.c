/* One request from head to answer: parse, identify, route, run, reply, account. */
#include "http/conn.h"

#include "base/mem.h"
#include "crypto/random.h"
#include "crypto/uuid.h"
#include "http/metrics.h"
#include "http/pipeline.h"
#include "observe/clock.h"

enum {
	POOL_KEEP = 64, /* exchanges that a worker keeps for later */
	ARENA_CHUNK = 8 * 1024,
	BUFFER_KEEP = 64 * 1024, /* larger buffers are given back */
};

/* --- the pool ----------------------------------------------------------- */

static void exchange_free(struct exchange *exchange)
{
	mem_free(exchange->in.at, exchange->in.capacity);
	buf_done(&exchange->out);
	buf_done(&exchange->packed);
	buf_done(&exchange->text);
	buf_done(&exchange->req.reply.headers);
	arena_done(&exchange->req.arena);
	mem_free(exchange, sizeof(*exchange));
}

static struct exchange *exchange_new(const struct server_limits *limits)
{
	struct exchange *exchange = mem_zalloc(sizeof(*exchange));

	if (!exchange)
		return NULL;

	exchange->in.capacity = limits->head.head + limits->pipelined;
	exchange->in.at = mem_alloc(exchange->in.capacity);
	if (!exchange->in.at) {
		mem_free(exchange, sizeof(*exchange));
		return NULL;
	}
	buf_init(&exchange->out, limits->response_queue + REPLY_QUEUED_MAX);
	buf_init(&exchange->packed, limits->response_queue);
	buf_init(&exchange->text, limits->request_memory);
	buf_init(&exchange->req.reply.headers, REPLY_HEADERS_MAX);
	arena_init(&exchange->req.arena, ARENA_CHUNK, limits->request_memory);
	return exchange;
}

struct exchange *exchange_take(struct server_worker *home)
{
	struct exchange *exchange = home->free;

	if (!exchange)
		return exchange_new(&home->server->limits);

	home->free = exchange->next_free;
	home->free_count--;
	return exchange;
}

void exchange_give(struct server_worker *home, struct exchange *exchange)
{
	if (home->free_count >= POOL_KEEP) {
		exchange_free(exchange);
		return;
	}
	if (exchange->out.cap > BUFFER_KEEP)
		buf_done(&exchange->out);
	if (exchange->text.cap > BUFFER_KEEP)
		buf_done(&exchange->text);
	if (exchange->packed.cap > BUFFER_KEEP)
		buf_done(&exchange->packed);
	buf_reset(&exchange->out);
	arena_reset(&exchange->req.arena);
	exchange->next_free = home->free;
	home->free = exchange;
	home->free_count++;
}

void exchange_free_all(struct server_worker *home)
{
	while (home->free) {
		struct exchange *exchange = home->free;

		home->free = exchange->next_free;
		exchange_free(exchange);
	}
	home->free_count = 0;
}

/* --- who asks ----------------------------------------------------------- */

static bool id_byte(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.' ||
	       byte == ':' || byte == '/' || byte == '+' || byte == '=';
}

static bool well_formed_id(struct str id)
{
	if (id.len == 0 || id.len > REQ_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!id_byte(id.at[i]))
			return false;
	return true;
}

/* The caller's x-request-id when it has one of sense, else a new one. */
static void identify(struct req *req)
{
	struct str given = h1_value(&req->head, H1_X_REQUEST_ID);
	struct uuid uuid;

	if (well_formed_id(given)) {
		memcpy(req->id_text, given.at, given.len);
		req->id = str_of(req->id_text, given.len);
		return;
	}
	uuid_v7(&uuid, clock_wall_us());
	uuid_write(req->id_text, &uuid);
	req->id = str_of(req->id_text, UUID_TEXT_LEN);
}

/* The caller's trace goes on when it sent exactly one well-formed traceparent, else one starts. */
static void start_trace(struct req *req)
{
	struct trace parent, trace;
	struct str value, second;
	uint64_t parent_span = 0;
	size_t at = 0;

	if (h1_each(&req->head, H1_TRACEPARENT, &at, &value) &&
		!h1_each(&req->head, H1_TRACEPARENT, &at, &second) && trace_parse(value, &parent)) {
		trace = trace_child(&parent, random_u64());
		parent_span = parent.span;
	} else {
		uint8_t random[TRACE_RANDOM_LEN];

		random_bytes(random, sizeof(random));
		trace = trace_start(random, true);
	}
	span_start(&req->span, &trace, parent_span, S("HTTP"), SPAN_SERVER);
	trace_write_id(req->trace_text, &trace);
	trace_write_span(req->span_text, trace.span);
}

static void begin(struct req *req, struct conn *conn)
{
	struct reply *reply = &req->reply;
	struct buf headers = reply->headers;

	buf_reset(&headers);
	*reply = (struct reply){ .headers = headers };
	arena_reset(&req->arena);
	req->conn = conn;
	req->peer = &conn->peer;
	req->secure = conn->over_tls;
	req->entry = &conn->site->router.unmatched;
	req->began_ns = clock_now_ns();
	req->client = conn->peer;
	req->client_text = str_of(conn->peer_text, conn->peer_len);
	req->caller = (struct caller){ 0 };
	req->verdict_count = 0;
	req->problems.count = 0;
	req->in = NULL;
	req->out = NULL;
	req->data = str_of(NULL, 0);
	req->repeating = req->replayed = false;
	req->repeat = NULL;
	req->next_cursor = str_of(NULL, 0);
	req->success = 0;
	req->close = false;
	conn->requests++;
}

/* Behind a trusted proxy the client is whom it speaks for. */
static void find_client(struct req *req, const struct conn *conn)
{
	const struct server *server = conn->home->server;
	struct forwarded forwarded;

	if (!server->proxy_count || !server_trusts(server, &conn->peer))
		return;

	forwarded_read(&req->head, &conn->peer, &server->trust, &forwarded);
	req->client = forwarded.client;
	req->client_text =
		str_of(req->client_room, address_write_host(&forwarded.client, req->client_room));
	if (forwarded.scheme != FORWARDED_UNKNOWN)
		req->secure = forwarded.scheme == FORWARDED_HTTPS;
}

static void introduce(struct req *req)
{
	identify(req);
	start_trace(req);
	req->log = (struct log_context){
		.request_id = req->id,
		.trace_id = str_of(req->trace_text, TRACE_ID_LEN),
		.span_id = str_of(req->span_text, TRACE_SPAN_LEN),
	};
	log_context_push(&req->log);
}

/* --- the head ----------------------------------------------------------- */

/* Parses the head at the front of the inbox and steps behind it. */
static int parse(struct exchange *exchange, struct conn *conn)
{
	struct inbox *in = &exchange->in;
	struct req *req = &exchange->req;
	struct str text;
	int r;

	if (exchange->head_len < 0) {
		const struct err *err = &exchange->head_err;

		/* Not parsed: nothing of the last request may shine through. */
		memset(&req->head, 0, offsetof(struct h1_head, fields));
		return fail(err->code, "%s", err->frames[0].text);
	}

	text = str_of(in->at + in->start, (size_t)exchange->head_len);
	in->start += text.len;
	exchange->body_at = in->start;
	r = h1_head_parse(text, &conn->home->server->limits.head, &req->head);
	if (r < 0) { /* what was read so far may serve the log, but nothing else */
		struct str method = req->head.method_text, target = req->head.target_text;

		memset(&req->head, 0, offsetof(struct h1_head, fields));
		req->head.method_text = method;
		req->head.target_text = target;
	}
	return r;
}

/* Whether this is to be the last exchange of its connection. (When the server is coming to its end,
 * it also is; that is known best when the reply begins: http/reply.c.) */
static bool last_exchange(const struct req *req, const struct conn *conn)
{
	const struct server_limits *limits = &conn->home->server->limits;

	return !req->head.keep_alive || conn->requests >= limits->requests_per_connection ||
	       sched_now() >= conn->expires_ns;
}

/* --- the route ---------------------------------------------------------- */

/* For what is about no route in particular: "OPTIONS *", and methods that are refused everywhere.
 */
static int allow_all(struct req *req)
{
	return reply_header(req, S("allow"), S("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
}

static int answer_options(struct req *req, const struct router_node *node)
{
	char allow[ROUTER_ALLOW_MAX];
	int r = reply_header(req, S("allow"), str_of(allow, router_allow(node, allow)));

	return r < 0 ? r : reply_empty(req, 204);
}

static int refuse_method(struct req *req, const struct router_node *node)
{
	char allow[ROUTER_ALLOW_MAX];
	struct str list = str_of(allow, router_allow(node, allow));
	int r = reply_header(req, S("allow"), list);

	return r < 0 ? r : fail(ERR_METHOD, "only %.*s are possible here", STR_ARG(list));
}

/* "OPTIONS *" asks about the server as a whole. */
static int answer_asterisk(struct req *req)
{
	int r = allow_all(req);

	return r < 0 ? r : reply_empty(req, 204);
}

/* What the path leads to; for "OPTIONS *", and for what is no path, to nothing. */
static int find_route(struct req *req, struct conn *conn, struct router_match *ret)
{
	*ret = (struct router_match){ 0 };
	if (req->head.target.form == TARGET_ASTERISK)
		return 0;
	return router_find(
		&conn->site->router, req->head.method, req->head.target.path, &req->arena, ret);
}

static int answer_unmatched(struct req *req)
{
	if (req->head.target.form == TARGET_ASTERISK)
		return answer_asterisk(req);
	if (!req->node)
		return fail(ERR_NOT_FOUND, "there is nothing at this address");
	return req->head.method == HTTP_OPTIONS ? answer_options(req, req->node)
						: refuse_method(req, req->node);
}

static int dispatch(struct req *req, struct conn *conn)
{
	struct router_match match;
	int found = find_route(req, conn, &match), r;
	struct err err;

	if (found < 0)
		err = *err_last();
	req->node = found < 0 ? NULL : match.node;
	if (found == 0 && match.entry) {
		req->entry = match.entry;
		memcpy(req->params, match.params, sizeof(req->params));
	}
	r = pipeline_run(req);
	if (r < 0 || req->entry->route || req->reply.status)
		return r;

	/* It went through what everybody goes through; only now is it told what is not there. */
	if (found < 0)
		return err_restore(&err);
	return answer_unmatched(req);
}

/* --- the account -------------------------------------------------------- */

static enum log_level level_of(const struct req *req, int status)
{
	if (status >= 500)
		return LOG_ERROR;
	if (status >= 400)
		return LOG_WARN;
	return req->entry->route && req->entry->route->quiet ? LOG_DEBUG : LOG_INFO;
}

/*
 * The path as it came. A target that was refused is no path and a query, and may hold secrets in
 * other places: of that only what surely is a path.
 */
static struct str logged_path(const struct h1_head *head)
{
	struct str text = head->target_text;
	size_t len = 0;

	if (head->target.path.at)
		return head->target.path;
	if (!str_starts(text, S("/")))
		return S("");
	while (len < text.len && text.at[len] != '?' && text.at[len] != '#')
		len++;
	return str_first(text, len);
}

/* `err` is why it failed, or NULL. */
static void log_access(const struct req *req, uint64_t took_ns, const struct err *err)
{
	enum log_level level = level_of(req, req->reply.status);
	const struct log_field fields[] = {
		LOG_STR("method", req->head.method_text), LOG_STR("route", req->entry->pattern),
		LOG_STR("path", logged_path(&req->head)), LOG_INT("status", req->reply.status),
		LOG_DURATION(took_ns), LOG_U64("bytesIn", req->body.received),
		LOG_U64("bytesOut", req->reply.sent), LOG_STR("client", req->client_text),
		{ LOG_KEY("error"), LOG_KIND_ERR, .err = err }, /* last: only when it failed */
	};

	if (log_enabled(level))
		log_write(level, S("request"), fields, LEN(fields) - (err ? 0 : 1));
}

static void account(struct req *req, const struct err *err)
{
	uint64_t took = clock_now_ns() - req->began_ns;
	int status = req->reply.status;

	log_access(req, took, err);
	metrics_request(req->entry, status, took);

	req->span.name = req->entry->title;
	span_str(&req->span, "http.request.method", req->head.method_text);
	span_str(&req->span, "http.route", req->entry->pattern);
	span_str(&req->span, "url.path", req->head.target.path);
	span_int(&req->span, "http.response.status_code", status);
	span_str(&req->span, "client.address", req->client_text);
	span_end(&req->span, status >= 500 ? SPAN_ERROR : SPAN_UNSET);
	log_context_pop(&req->log);
}

/* --- all of it ---------------------------------------------------------- */

/* The reply failed: the connection ends here, but not before the replies ahead of it are sent. */
static void cut_off(struct exchange *exchange, struct conn *conn)
{
	exchange->out.len = exchange->complete;
	exchange->out.failed = 0;
	if (!conn->broken)
		(void)conn_flush(conn);
	conn->broken = true;
}

bool exchange_run(struct exchange *exchange, struct conn *conn)
{
	struct req *req = &exchange->req;
	int r, sent, body = -ERR_CLOSED;
	struct err err;

	exchange->complete = exchange->out.len;
	begin(req, conn);
	r = parse(exchange, conn);
	introduce(req);
	if (r == 0) {
		find_client(req, conn);
		req->close = last_exchange(req, conn);
		body_begin(req);
		r = dispatch(req, conn);
	} else {
		req->body = (struct req_body){ .failed = true };
		req->close = true; /* what follows on this connection is no request */
		if (r == -ERR_METHOD)
			(void)allow_all(req);
	}

	if (r < 0) {
		err = *err_last(); /* before anything else goes wrong */
		if (!req->reply.streaming && !req->reply.upgraded)
			(void)reply_error(req, r);
	}
	if (r == 0 || !req->reply.streaming) {
		/* The head says whether the connection goes on, so the body must be out of the way
		 * first; but a large answer must not wait for a client that waits for it. */
		if (!req->close && !req->reply.streaming) {
			body = body_finish(req);
			req->close = body < 0;
		}
		/* Nothing was done: that the message is malformed is the better reason. */
		if (r < 0 && (body == -ERR_INVALID || body == -ERR_HEAD_TOO_LARGE)) {
			err = *err_last();
			(void)reply_error(req, body);
		}
		sent = reply_finish(req);
	} else {
		compress_done(&req->reply.compressor);
		sent = r; /* it had begun: cutting it off is the only honest end */
	}

	account(req, r < 0 ? &err : sent < 0 ? err_last() : NULL);
	if (sent < 0)
		cut_off(exchange, conn);
	return sent == 0 && !req->close && (body == 0 || body_finish(req) == 0);
}
