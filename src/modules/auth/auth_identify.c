/*
 * Who asks: a JSON Web Token as Bearer, or the cookie that holds one. What was verified a moment
 * ago is remembered by each worker; whether the session has ended is asked each time.
 */
#include "modules/auth/auth_session.h"

#include "http/server.h"
#include "modules/auth/auth_keys.h"
#include "modules/auth/token_cache.h"
#include "observe/clock.h"
#include "observe/log.h"

#define LEEWAY (30 * SECOND)

/* Each is made and used by its worker alone. */
static struct token_cache *caches[SERVER_WORKERS_MAX];

static int cache_here(struct token_cache **ret)
{
	unsigned index = worker_here()->index;
	const struct token_rules rules = { .issuer = auth_options()->public_url,
		.audience = auth_options()->public_url,
		.type = TOKEN_ACCESS,
		.leeway_ns = LEEWAY };
	int r = 0;

	CHECK(index < LEN(caches));
	if (UNLIKELY(!caches[index]))
		r = token_cache_new(keys_ring(), &rules, TOKEN_CACHE_ENTRIES, &caches[index]);
	if (r == 0)
		*ret = caches[index];
	return r;
}

void auth_identify_close(void)
{
	for (size_t i = 0; i < LEN(caches); i++)
		token_cache_free(TAKE(caches[i]));
}

/* "Bearer x" -> x; empty for another scheme. */
static struct str bearer(struct str value)
{
	static const struct str scheme = S_INIT("bearer");

	if (value.len <= scheme.len || !str_eq_nocase(str_first(value, scheme.len), scheme) ||
		value.at[scheme.len] != ' ')
		return str_of(NULL, 0);
	return str_trim(str_from(value, scheme.len + 1));
}

static int verify(struct req *req, struct str token, struct token_claims *ret)
{
	struct token_cache *cache = NULL;
	int r = keys_ready(req_server(req)->store);

	if (r == 0)
		r = cache_here(&cache);
	return r < 0 ? r : token_check(cache, token, clock_wall_us(), &req->arena, ret);
}

static int check_session(struct req *req, const struct token_claims *claims, bool by_cookie)
{
	struct uuid tenant, session, user;
	int r;

	if (!uuid_parse(claims->tenant, &tenant) || !uuid_parse(claims->session, &session) ||
		!uuid_parse(claims->subject, &user))
		return fail(ERR_UNAUTHORIZED, "the token is of no session");
	r = session_check(req, &tenant, &session);
	return r == 0 && by_cookie ? csrf_check(req, &session) : r;
}

static int take(struct req *req, struct str token, bool by_cookie, struct caller *ret)
{
	struct token_claims claims;
	int r = verify(req, token, &claims);

	if (r == 0)
		r = check_session(req, &claims, by_cookie);
	if (r == 0)
		*ret = (struct caller){ .kind = CALLER_USER,
			.id = claims.subject,
			.tenant = claims.tenant,
			.session = claims.session,
			.impersonator = claims.actor };
	return r;
}

static bool is_open_to_all(const struct req *req)
{
	const struct route *route = req->entry->route;

	return route && route->need && strcmp(route->need, RIGHT_PUBLIC) == 0;
}

/*
 * Browsers send their cookies whether they are good or not, and clients often put the token of a
 * session that is over on everything, also on the request that gets a new one. Where nobody is left
 * out, bad credentials therefore are none; elsewhere they are refused, cookies as a missing
 * sign-in.
 */
int auth_identify(struct req *req, struct caller *ret)
{
	struct str value = h1_value(&req->head, H1_AUTHORIZATION), token;
	bool by_cookie = !value.at;
	int r;

	token = by_cookie ? cookie_get(req, COOKIE_ACCESS) : bearer(value);
	if (by_cookie && token.len == 0)
		return 0;
	r = token.len ? take(req, token, by_cookie, ret)
		      : fail(ERR_UNAUTHORIZED, "only Bearer credentials are taken");
	if (r == 0)
		return 0;
	if (r == -ERR_UNAUTHORIZED)
		log_debug("credentials refused", LOG_ERR);
	if ((r == -ERR_UNAUTHORIZED && by_cookie) ||
		((r == -ERR_UNAUTHORIZED || r == -ERR_FORBIDDEN) && is_open_to_all(req)))
		return 0;
	return r;
}
