/* Access tokens signed, and the answer of whatever signs somebody in. */
#include "modules/auth/auth_session.h"

#include "http/server.h"
#include "modules/auth/auth_keys.h"
#include "modules/auth/token.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"

/* The client of tokens that people get by signing in here (RFC 9068 wants one named). */
static const struct str client = S_INIT("bulkhead");

/* Not longer than the session. */
static int64_t access_seconds(const struct session_made *made, int64_t now_us)
{
	int64_t life_s = (int64_t)(auth_options()->access_ns / SECOND);
	int64_t left_s = (made->expires_us - now_us) / 1000000;

	return MAX(MIN(life_s, left_s), 1);
}

static bool is_nil(const struct uuid *id)
{
	static const struct uuid nil;

	return uuid_cmp(id, &nil) == 0;
}

/* The texts of ids that a token names. */
static int name_all(
	struct arena *arena, const struct session_made *made, struct token_claims *claims)
{
	struct uuid id;

	uuid_v7(&id, claims->issued_us);
	claims->id = uuid_text(arena, &id);
	claims->subject = uuid_text(arena, &made->user);
	claims->tenant = uuid_text(arena, &made->tenant);
	claims->session = uuid_text(arena, &made->id);
	if (!claims->id.at || !claims->subject.at || !claims->tenant.at || !claims->session.at)
		return -(int)err_last()->code;
	if (is_nil(&made->impersonator))
		return 0;
	claims->actor = uuid_text(arena, &made->impersonator);
	return claims->actor.at ? 0 : -(int)err_last()->code;
}

static int sign(struct req *req, const struct token_claims *claims, struct str *ret)
{
	struct sign_key *key;
	struct buf text;
	int r = keys_signer(req_server(req)->store, &key);

	if (r < 0)
		return r;
	buf_init(&text, TOKEN_MAX);
	r = token_make(key, claims, &text);
	sign_key_unref(key);
	if (r == 0) {
		*ret = arena_str(&req->arena, buf_str(&text));
		r = ret->at ? 0 : -(int)err_last()->code;
	}
	buf_done(&text);
	return r;
}

static int make_token(
	struct req *req, const struct session_made *made, struct str *ret, int64_t *ret_seconds)
{
	const struct auth_options *options = auth_options();
	int64_t now_us = clock_wall_us(), seconds = access_seconds(made, now_us);
	struct token_claims claims = { .type = TOKEN_ACCESS,
		.issuer = options->public_url,
		.audience = options->public_url,
		.client = client,
		.issued_us = now_us,
		.expires_us = now_us + seconds * 1000000 };
	struct rights rights;
	struct texts roles = { 0 };
	int r = rbac_rights(
		req_server(req)->store, &made->tenant, &made->user, &req->arena, &rights, &roles);

	if (r == 0)
		r = name_all(&req->arena, made, &claims);
	claims.roles = roles.at;
	claims.role_count = roles.count;
	if (r == 0)
		r = sign(req, &claims, ret);
	*ret_seconds = seconds;
	return r;
}

int session_sign(struct req *req, const struct session_made *made, struct str *ret)
{
	int64_t seconds;

	return make_token(req, made, ret, &seconds);
}

static int give_texts(struct req *req, const struct session_made *made, struct str access,
	struct signed_in *answer)
{
	struct str refresh = arena_str(&req->arena, str_of(made->refresh, sizeof(made->refresh)));

	if (!refresh.at)
		return -(int)err_last()->code;
	answer->access_token = (struct opt_str){ .set = true, .value = access };
	answer->refresh_token = (struct opt_str){ .set = true, .value = refresh };
	return 0;
}

int session_answer_as(struct req *req, const struct session_made *made, const struct user *user,
	const struct tenant *tenant, bool cookies, struct signed_in *ret)
{
	struct signed_in answer = { .user = *user, .tenant = *tenant };
	struct str access;
	int r = make_token(req, made, &access, &answer.expires_in);

	if (r == 0)
		r = cookies ? cookies_set(req, made, access, answer.expires_in, &answer.csrf_token)
			    : give_texts(req, made, access, &answer);
	if (r == 0)
		*ret = answer;
	return r;
}

int session_answer(struct req *req, const struct session_made *made, const struct user *user,
	const struct tenant *tenant, struct signed_in *ret)
{
	return session_answer_as(req, made, user, tenant, cookies_wanted(req), ret);
}
