/* The stages, as data. Each is small, and knows of the others only by its place in the table. */
#include "http/pipeline.h"

#include "base/hash.h"
#include "http/conn.h"
#include "http/handler.h"
#include "http/limit_headers.h"
#include "observe/clock.h"

static struct server *server_of(const struct req *req)
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

static int refuse(void)
{
	return fail(ERR_TOO_MANY, "too many requests; see Retry-After");
}

/* `limit` may be NULL: the limiter's own. */
static int take_of(
	struct req *req, enum server_limiter which, const struct limit *limit, struct str key)
{
	const struct server *server = server_of(req);
	struct limiter *limiter;
	struct limit_verdict *verdict;

	if (!server->limiters)
		return 0;

	CHECK(req->verdict_count < REQ_VERDICTS_MAX);
	verdict = &req->verdicts[req->verdict_count++];
	limiter = &server->limiters[which];
	limiter_take_of(limiter, limit ? limit : &limiter->limit, key, 1, clock_now_ns(), verdict);
	return verdict->allowed ? 0 : refuse();
}

static int take_by_address(struct req *req, enum server_limiter which)
{
	char key[LIMITER_ADDRESS_KEY];

	limiter_address_key(&req->client, key);
	return take_of(req, which, NULL, str_of(key, sizeof(key)));
}

static int limit_address(struct req *req)
{
	return take_by_address(req, LIMITER_ADDRESS);
}

static int limit_caller(struct req *req)
{
	const struct caller *caller = &req->caller;
	enum route_limit limit = req->entry->route->limit;
	enum server_limiter which = caller->kind == CALLER_SECRET ? LIMITER_SERVER : LIMITER_API;
	int r;

	if (limit == ROUTE_LIMIT_AUTH)
		return take_by_address(req, LIMITER_AUTH);
	if (caller->kind == CALLER_NOBODY)
		return take_by_address(
			req, limit == ROUTE_LIMIT_API ? LIMITER_API : LIMITER_GLOBAL);

	r = take_of(req, which, caller->limits.own, caller->id);
	if (r == 0 && caller->tenant.len)
		r = take_of(req, LIMITER_TENANT, caller->limits.tenant, caller->tenant);
	return r;
}

/* --- guesses ------------------------------------------------------------ */

/*
 * Credentials that are no good are counted by address, beside the tries to sign in: an address may
 * bring GUESSES times as many different ones as it may try to sign in, then none is looked at for a
 * minute. The same one again counts once a minute, since it is a client that does not know better
 * and no guess: so one of those does not shut out everybody behind its address.
 */
enum { GUESSES = 10 };

struct guess {
	char address[LIMITER_ADDRESS_KEY];
	char mark;           /* so that it is not the key of the tries to sign in */
	uint64_t credential; /* hash; 0: any */
} __attribute__((packed));

static struct str credential_of(const struct req *req)
{
	static const enum h1_known fields[] = { H1_AUTHORIZATION, H1_X_API_KEY, H1_COOKIE };

	for (size_t i = 0; i < LEN(fields); i++)
		if (h1_has(&req->head, fields[i]))
			return h1_value(&req->head, fields[i]);
	return str_of(NULL, 0);
}

static bool count_guess(struct req *req, const struct limit *limit, uint64_t credential,
	uint64_t cost, struct limit_verdict *verdict)
{
	struct guess guess = { .mark = 'g', .credential = credential };

	limiter_address_key(&req->client, guess.address);
	limiter_take_of(&server_of(req)->limiters[LIMITER_AUTH], limit,
		str_of((const char *)&guess, sizeof(guess)), cost, clock_now_ns(), verdict);
	return verdict->allowed;
}

static struct limit guess_limit(const struct req *req)
{
	struct limit limit = server_of(req)->limiters[LIMITER_AUTH].limit;

	limit.quota = MIN(limit.quota * GUESSES, LIMIT_QUOTA_MAX);
	limit.burst = 0;
	limit.block_ns = MINUTE;
	CHECK(limit_prepare(&limit) == 0);
	return limit;
}

/* A look at the limiter, but only when somebody was refused lately. */
static int check_guesses(struct req *req)
{
	const struct server *server = server_of(req);
	struct limit_verdict verdict;
	struct limit limit;

	if (!server->limiters ||
		clock_now_ns() >= atomic_load_explicit(&server->guessed_ns, memory_order_relaxed) ||
		!is_limited(req->entry->route) || !credential_of(req).at)
		return 0;
	limit = guess_limit(req);
	if (count_guess(req, &limit, 0, 0, &verdict))
		return 0;
	CHECK(req->verdict_count < REQ_VERDICTS_MAX);
	req->verdicts[req->verdict_count++] = verdict;
	return refuse();
}

/* Leaves the error as it is. */
static void note_guess(struct req *req)
{
	static const struct limit one = { .quota = 1, .window_ns = MINUTE };
	struct server *server = server_of(req);
	struct str credential = credential_of(req);
	struct limit_verdict verdict;
	struct limit limit = one;

	if (!server->limiters || !is_limited(req->entry->route) || !credential.at)
		return;
	CHECK(limit_prepare(&limit) == 0);
	if (!count_guess(req, &limit, hash_str(credential) | 1, 1, &verdict))
		return;
	limit = guess_limit(req);
	if (!count_guess(req, &limit, 0, 1, &verdict))
		atomic_store_explicit(
			&server->guessed_ns, clock_now_ns() + MINUTE, memory_order_relaxed);
}

/* --- who, and whether --------------------------------------------------- */

static int identify(struct req *req)
{
	const struct hooks *hooks = &server_of(req)->hooks;
	int r = check_guesses(req);

	if (r == 0 && hooks->identify)
		r = hooks->identify(req, &req->caller);
	if (r == -ERR_UNAUTHORIZED)
		note_guess(req);
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
