/* The stages, as data. Each is small, and knows of the others only by its place in the table. */
#include "http/pipeline.h"

#include "http/conn.h"
#include "http/handler.h"
#include "http/limit_headers.h"
#include "observe/clock.h"

static const struct server *server_of(const struct req *req)
{
	return req->conn->home->server;
}

/* --- CORS --------------------------------------------------------------- */

/* First of all, since errors of later stages need the headers, too. */
static int apply_cors(struct req *req)
{
	const struct cors *cors = server_of(req)->cors;
	struct buf *headers = &req->reply.headers;
	size_t before = headers->len;
	bool preflight = cors && cors_apply(cors, &req->head, headers);

	if (headers->failed) { /* half a line would swallow the next */
		int r = headers->failed;

		headers->len = before;
		headers->failed = 0;
		return r;
	}
	return preflight ? (reply_empty(req, 204), 1) : 0;
}

/* --- body limit --------------------------------------------------------- */

/* A length that is too much is known before anything is read. */
static int limit_body(struct req *req)
{
	if (req->entry->route->body_max)
		body_set_limit(req, req->entry->route->body_max);
	if (req->head.framing != H1_BODY_LENGTH || req->head.length <= req->body.limit)
		return 0;

	req->close = true; /* it is not worth reading */
	return fail(ERR_TOO_LARGE, "the body has more than %llu bytes",
		(unsigned long long)req->body.limit);
}

/* --- limiters ----------------------------------------------------------- */

static bool is_limited(const struct route *route)
{
	return !route || route->limit != ROUTE_LIMIT_NONE;
}

static bool caller_is_limited(const struct route *route)
{
	return route && route->limit != ROUTE_LIMIT_NONE;
}

static int take(struct req *req, enum server_limiter which, struct str key)
{
	const struct server *server = server_of(req);
	struct limit_verdict *verdict;

	if (!server->limiters)
		return 0;

	CHECK(req->verdict_count < REQ_VERDICTS_MAX);
	verdict = &req->verdicts[req->verdict_count++];
	limiter_take(&server->limiters[which], key, 1, clock_now_ns(), verdict);
	return verdict->allowed ? 0 : fail(ERR_TOO_MANY, "too many requests; see Retry-After");
}

static int take_by_address(struct req *req, enum server_limiter which)
{
	char key[LIMITER_ADDRESS_KEY];

	limiter_address_key(&req->client, key);
	return take(req, which, str_of(key, sizeof(key)));
}

static int limit_address(struct req *req)
{
	return take_by_address(req, LIMITER_ADDRESS);
}

static int limit_caller(struct req *req)
{
	enum route_limit limit = req->entry->route->limit;

	if (limit == ROUTE_LIMIT_AUTH)
		return take_by_address(req, LIMITER_AUTH);

	switch (req->caller.kind) {
	case CALLER_NOBODY:
		return take_by_address(
			req, limit == ROUTE_LIMIT_API ? LIMITER_API : LIMITER_GLOBAL);
	case CALLER_SECRET: return take(req, LIMITER_SERVER, req->caller.id);
	case CALLER_USER:
	case CALLER_PUBLISHABLE: break;
	}
	return take(req, LIMITER_API, req->caller.id);
}

/* --- who, and whether --------------------------------------------------- */

static int identify(struct req *req)
{
	const struct hooks *hooks = &server_of(req)->hooks;
	int r = hooks->identify ? hooks->identify(req, &req->caller) : 0;

	req->log.tenant_id = req->caller.tenant;
	req->log.user_id = req->caller.id;
	if (r == 0 && req->caller.kind != CALLER_NOBODY && hooks->admit)
		r = hooks->admit(req);
	return r;
}

static bool is_guarded(const struct route *route)
{
	return route && !(route->need && strcmp(route->need, RIGHT_PUBLIC) == 0);
}

static int authorize(struct req *req)
{
	const struct hooks *hooks = &server_of(req)->hooks;
	struct str right = str_from_c(req->entry->route->need);

	if (req->caller.kind == CALLER_NOBODY)
		return fail(ERR_UNAUTHORIZED, "sign in to do this");
	if (!hooks->authorize)
		return fail(ERR_FORBIDDEN, "nobody has the right %.*s", STR_ARG(right));
	return hooks->authorize(req, right);
}

/* --- repeated requests -------------------------------------------------- */

static bool is_idempotent(const struct route *route)
{
	return route && route->idempotent;
}

static int begin_repeat(struct req *req)
{
	const struct hooks *hooks = &server_of(req)->hooks;
	struct str value = h1_value(&req->head, H1_IDEMPOTENCY_KEY);
	int r;

	if (!value.at || !hooks->repeat_begin)
		return 0;
	r = idempotency_key_parse(value, &req->repeat_key);
	if (r < 0)
		return r;
	r = hooks->repeat_begin(req, idempotency_key_str(&req->repeat_key));
	req->repeating = r == 0;
	return r;
}

/* What has begun ends, whatever stage came to the result; which the hook's own errors leave as it
 * is. */
static void end_repeat(struct req *req, int result)
{
	struct err err = *err_last();

	req->repeating = false;
	server_of(req)->hooks.repeat_finish(req, MIN(result, 0));
	(void)err_restore(&err);
}

/* --- the handler -------------------------------------------------------- */

static bool is_routed(const struct route *route)
{
	return route;
}

static int handle(struct req *req)
{
	int r = handler_run(req);

	return r < 0 ? r : 1;
}

/* --- the order ---------------------------------------------------------- */

static const struct stage stages[] = {
	{ "cors", NULL, apply_cors },
	{ "body limit", is_routed, limit_body },
	{ "address limiter", is_limited, limit_address },
	{ "identity", is_routed, identify },
	{ "rights", is_guarded, authorize },
	{ "caller limiter", caller_is_limited, limit_caller },
	{ "repeat", is_idempotent, begin_repeat },
	{ "validation", handler_takes_input, handler_decode },
	{ "handler", is_routed, handle },
};

size_t pipeline_of(const struct route *route, const struct stage *ret[STAGES_MAX])
{
	size_t count = 0;

	_Static_assert(LEN(stages) <= STAGES_MAX, "an entry has room for all stages");
	for (size_t i = 0; i < LEN(stages); i++)
		if (!stages[i].wanted || stages[i].wanted(route))
			ret[count++] = &stages[i];
	return count;
}

int pipeline_run(struct req *req)
{
	const struct router_entry *entry = req->entry;
	int r = 0;

	for (size_t i = 0; i < entry->stage_count && r == 0; i++)
		r = entry->stages[i]->run(req);
	if (r > 0 && !req->reply.status)
		r = fail(ERR_INTERNAL, "the handler gave no answer");
	if (req->repeating)
		end_repeat(req, r);
	return MIN(r, 0);
}
