/* Handlers of sessions and their contract. */
#include "modules/auth/auth_session.h"

#include "http/server.h"
#include "modules/auth/auth_documents.h"
#include "modules/rbac/rbac.h"
#include "rest/db.h"

/* --- which refresh token --------------------------------------------------------------------- */

/* The one of the body, or of the cookie, which a page of ours must have sent. -ERR_UNAUTHORIZED
 * when there is none that we have made, -ERR_FORBIDDEN. */
static int take_token(struct req *req, struct str text, struct refresh_token *ret, bool *ret_cookie)
{
	bool by_cookie = text.len == 0;

	if (by_cookie)
		text = cookie_get(req, COOKIE_REFRESH);
	if (!refresh_read(session_keys(), text, ret))
		return fail(ERR_UNAUTHORIZED, "sign in again: this refresh token is none of ours");
	*ret_cookie = by_cookie;
	return by_cookie ? csrf_check(req, &ret->session) : 0;
}

/* The answer of who came with cookies is cookies. */
static int answer(
	struct req *req, const struct session_use *use, bool by_cookie, struct signed_in *out)
{
	struct tenant tenant;
	int r = tenant_find(req_server(req)->store, &use->made.tenant, &req->arena, &tenant);

	if (r == -ERR_NOT_FOUND)
		return fail(ERR_FORBIDDEN, "there is no such tenant");
	if (r < 0)
		return r;
	return session_answer_as(
		req, &use->made, &use->user, &tenant, by_cookie || cookies_wanted(req), out);
}

/* --- refresh -------------------------------------------------------------- */

static int session_refresh_route(
	struct req *req, const struct refresh_input *in, struct signed_in *out)
{
	struct session_use use = { .actor = audit_actor_of(req) };
	bool by_cookie = false;
	int r = take_token(req, in->refresh_token, &use.token, &by_cookie);

	if (r == 0)
		r = tenant_admit(req_server(req)->store, &use.token.tenant, &req->arena);
	if (r == 0)
		r = session_refresh(req, &use);
	if (r < 0)
		return r;
	switch (use.verdict) {
	case REFRESH_NEWEST:
	case REFRESH_PARENT: return answer(req, &use, by_cookie, out);
	case REFRESH_REUSED:
		return fail(ERR_UNAUTHORIZED, "sign in again: this refresh token was used before, "
					      "so the session is over");
	case REFRESH_REFUSED: break;
	}
	return fail(ERR_UNAUTHORIZED, "sign in again: the session is over");
}
HANDLER(session_refresh_route, refresh_input, signed_in,
	ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN))

/* --- switch --------------------------------------------------------------- */

static int name_target(struct req *req, const struct switch_input *in, struct session_use *use)
{
	struct tenant tenant;
	int r;

	if (in->session_id.set == in->tenant.set)
		return fail_field(
			ERR_INVALID, "sessionId", "one_of", "either sessionId or tenant is needed");
	if (in->session_id.set) {
		use->to_session = in->session_id.value;
		return 0;
	}
	r = tenant_find_slug(req_server(req)->store, in->tenant.value, &req->arena, &tenant);
	if (r == 0)
		use->to_tenant = tenant.tenant_id;
	return r == -ERR_NOT_FOUND ? 0 : r; /* the same answer as when nobody is signed in there */
}

static int session_switch_route(
	struct req *req, const struct switch_input *in, struct signed_in *out)
{
	struct session_use use = { .actor = audit_actor_of(req) };
	bool by_cookie = false;
	int r = take_token(req, in->refresh_token, &use.token, &by_cookie);

	if (r == 0)
		r = name_target(req, in, &use);
	if (r == 0)
		r = session_switch(req, &use);
	if (r < 0)
		return r;
	if (use.verdict == REFRESH_REFUSED)
		return fail(ERR_UNAUTHORIZED, "sign in again: the session is over");
	if (!use.found)
		return fail(ERR_NOT_FOUND, "nobody is signed in there in this browser");
	r = tenant_admit(req_server(req)->store, &use.made.tenant, &req->arena);
	return r < 0 ? r : answer(req, &use, by_cookie, out);
}
HANDLER(session_switch_route, switch_input, signed_in,
	ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(NOT_FOUND) |
		ROUTE_FAILS(INVALID))

/* --- logout --------------------------------------------------------------- */

/* The session of the access token. */
static int leave_by_caller(struct req *req)
{
	struct refresh_token token = { 0 };

	if (!uuid_parse(req->caller.tenant, &token.tenant) ||
		!uuid_parse(req->caller.session, &token.session))
		return 0;
	return session_leave(req, &token, false);
}

/* Whoever has no session that lives is signed out already. With the cookies the way back to the
 * other accounts of the browser goes as well, so their sessions end, too. */
static int session_logout(struct req *req, const struct refresh_input *in, struct nothing *out)
{
	bool has_cookie =
		cookie_get(req, COOKIE_REFRESH).len > 0 || cookie_get(req, COOKIE_ACCESS).len > 0;
	bool bearer = h1_has(&req->head, H1_AUTHORIZATION), by_cookie = false;
	struct refresh_token token;
	int r = take_token(req, in->refresh_token, &token, &by_cookie);

	(void)out;
	if (r == -ERR_FORBIDDEN && !bearer)
		return r;
	if (r == 0)
		r = session_leave(req, &token, by_cookie);
	else
		r = leave_by_caller(req);
	return r == 0 && has_cookie && !bearer ? cookies_clear(req) : r;
}
HANDLER(session_logout, refresh_input, nothing, ROUTE_FAILS(FORBIDDEN))

/* --- one's own ------------------------------------------------------------ */

static int sessions_list(struct req *req, const struct nothing *in, struct session_list *out)
{
	struct session_search search = { .user_id = req->caller.id, .limit = SESSIONS_OF_USER_MAX };
	struct db db = req_db(req);
	struct session *rows = NULL;
	size_t count = 0;
	int r = db_all(&db, &session_of_user, &search, &rows, &count);

	(void)in;
	if (r < 0 || count == 0)
		return r;
	out->items.at = arena_alloc(&req->arena, count * sizeof(*out->items.at));
	if (!out->items.at)
		return -(int)err_last()->code;
	out->items.count = count;
	for (size_t i = 0; i < count; i++)
		session_show(&rows[i], req->caller.session, &out->items.at[i]);
	return 0;
}
HANDLER(sessions_list, nothing, session_list, 0)

/* What is to end, and who wants it. */
struct ending {
	struct audit_actor actor;
	struct uuid user, except;
	bool has_except;
	struct str id;
};

static int audit_end(struct tx *tx, const struct ending *ending, struct str action, struct str id)
{
	const struct audit_entry entry = { .action = action, .type = S("session"), .id = id };

	return tx_audit(tx, &ending->actor, &entry);
}

static int end_one_in_tx(struct tx *tx, void *arg)
{
	const struct ending *ending = arg;
	const struct session_ref ref = { ending->id };
	struct session row;
	struct uuid user;
	int r = tx_one(tx, &session_get, &ref, &row);

	if (r < 0)
		return r;
	CHECK(uuid_parse(row.user_id, &user));
	if (uuid_cmp(&user, &ending->user) != 0)
		return fail(ERR_NOT_FOUND, "there is no such session");
	r = session_end_in_tx(tx, &row, "revoked");
	if (r > 0)
		return fail(ERR_NOT_FOUND, "the session is over");
	return r < 0 ? r : audit_end(tx, ending, S("session.revoked"), row.id);
}

static int session_end(struct req *req, const struct session_ref *in, struct nothing *out)
{
	struct ending ending = { .actor = audit_actor_of(req), .id = in->id };
	struct db db = req_db(req);

	(void)out;
	CHECK(uuid_parse(req->caller.id, &ending.user));
	return db_write(&db, end_one_in_tx, &ending);
}
HANDLER(session_end, session_ref, nothing, ROUTE_FAILS(NOT_FOUND))

static int end_all_in_tx(struct tx *tx, void *arg)
{
	const struct ending *ending = arg;
	int r = sessions_revoke_in_tx(
		tx, &ending->user, ending->has_except ? &ending->except : NULL);

	return r < 0 ? r : audit_end(tx, ending, S("session.revoked_all"), S(""));
}

static int sessions_end(struct req *req, const struct session_except *in, struct nothing *out)
{
	struct ending ending = { .actor = audit_actor_of(req) };
	struct db db = req_db(req);

	(void)out;
	CHECK(uuid_parse(req->caller.id, &ending.user));
	if (in->except.set)
		ending.has_except = uuid_parse(req->caller.session, &ending.except);
	return db_write(&db, end_all_in_tx, &ending);
}
HANDLER(sessions_end, session_except, nothing, 0)

/* --- those of somebody else ----------------------------------------------- */

/* All sessions of a user, ended by somebody who may touch them. */
struct dismissal {
	struct audit_actor actor;
	const struct rights *rights;
	struct uuid user;
	struct str id;
	bool refused; /* write that down instead */
};

static int dismiss_in_tx(struct tx *tx, void *arg)
{
	const struct dismissal *dismissal = arg;
	struct audit_entry entry = { .action = S("session.revoked_all"),
		.type = S("user"),
		.id = dismissal->id,
		.security = true };
	struct user user;
	int r;

	if (dismissal->refused) {
		entry.action = S("access.denied");
		return tx_audit(tx, &dismissal->actor, &entry);
	}
	r = user_get_in_tx(tx, &dismissal->user, &user);
	if (r == 0)
		r = rbac_may_touch_in_tx(tx, dismissal->rights, &dismissal->user);
	if (r == 0)
		r = sessions_revoke_in_tx(tx, &dismissal->user, NULL);
	return r < 0 ? r : tx_audit(tx, &dismissal->actor, &entry);
}

static int sessions_dismiss(struct req *req, const struct session_ref *in, struct nothing *out)
{
	struct dismissal dismissal = {
		.actor = audit_actor_of(req), .rights = req_rights(req), .id = in->id
	};
	struct db db = req_db(req);
	struct err err;
	int r;

	(void)out;
	CHECK(uuid_parse(in->id, &dismissal.user));
	r = db_write(&db, dismiss_in_tx, &dismissal);
	if (r != -ERR_FORBIDDEN)
		return r;
	err = *err_last();
	dismissal.refused = true;
	r = db_write(&db, dismiss_in_tx, &dismissal);
	return r < 0 ? r : err_restore(&err);
}
HANDLER(sessions_dismiss, session_ref, nothing, ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(FORBIDDEN))

/* --- the accounts of this browser ----------------------------------------- */

struct accounts_ask {
	struct uuid tenant;
	struct str session;
	struct session *rows;
	struct user *users;
	size_t count;
};

static int read_siblings(struct tx *tx, struct accounts_ask *ask)
{
	const struct session_ref ref = { ask->session };
	struct session_search search = { .limit = SESSIONS_OF_BUNDLE_MAX };
	struct session own = { 0 };
	int r = tx_enter(tx, &ask->tenant);

	if (r == 0)
		r = tx_one(tx, &session_get, &ref, &own);
	if (r == 0)
		r = tx_leave(tx);
	search.bundle_id = own.bundle_id;
	return r < 0 ? r : tx_all(tx, &session_of_bundle, &search, &ask->rows, &ask->count);
}

static int read_user(struct tx *tx, const struct session *row, struct user *ret)
{
	struct uuid tenant, user;
	int r;

	CHECK(uuid_parse(row->tenant_id, &tenant) && uuid_parse(row->user_id, &user));
	r = tx_enter(tx, &tenant);
	if (r == 0)
		r = user_get_in_tx(tx, &user, ret);
	return r < 0 ? r : tx_leave(tx);
}

static int accounts_in_tx(struct tx *tx, void *arg)
{
	struct accounts_ask *ask = arg;
	int r = read_siblings(tx, ask);

	if (r < 0 || ask->count == 0)
		return r;
	ask->users = arena_alloc(tx_arena(tx), ask->count * sizeof(*ask->users));
	if (!ask->users)
		return -(int)err_last()->code;
	for (size_t i = 0; i < ask->count && r == 0; i++)
		r = read_user(tx, &ask->rows[i], &ask->users[i]);
	return r;
}

static int show_account(
	struct req *req, const struct accounts_ask *ask, size_t which, struct bundle_account *ret)
{
	const struct session *row = &ask->rows[which];
	const struct user *user = &ask->users[which];
	struct tenant tenant;
	struct uuid id;
	int r;

	CHECK(uuid_parse(row->tenant_id, &id));
	r = tenant_find(req_server(req)->store, &id, &req->arena, &tenant);
	if (r < 0)
		return r;
	*ret = (struct bundle_account){ .session_id = row->id,
		.user_id = row->user_id,
		.email = user->email,
		.name = user->name,
		.tenant_id = row->tenant_id,
		.tenant_slug = tenant.slug,
		.tenant_name = tenant.name,
		.current = str_eq(row->id, req->caller.session) };
	return 0;
}

static int accounts_list(struct req *req, const struct nothing *in, struct bundle_accounts *out)
{
	struct accounts_ask ask = { .session = req->caller.session };
	struct db db = db_of_system(req_server(req)->store, &req->arena);
	int r;

	(void)in;
	if (!uuid_parse(req->caller.tenant, &ask.tenant))
		return fail(ERR_FORBIDDEN, "this needs a session");
	r = db_read(&db, accounts_in_tx, &ask);
	if (r < 0)
		return r;
	out->items.at = arena_alloc(&req->arena, (ask.count + 1) * sizeof(*out->items.at));
	if (!out->items.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < ask.count && r == 0; i++)
		r = show_account(req, &ask, i, &out->items.at[out->items.count++]);
	return r;
}
HANDLER(accounts_list, nothing, bundle_accounts, ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(FORBIDDEN))

/* --- CSRF ----------------------------------------------------------------- */

/* For pages that cannot read the cookie, since it is of another host. Who may read the answer is
 * decided by CORS. */
static int csrf_get(struct req *req, const struct nothing *in, struct csrf_answer *out)
{
	struct refresh_token token;
	bool by_cookie = false;
	int r = take_token(req, str_of(NULL, 0), &token, &by_cookie);
	char text[CSRF_LEN];

	(void)in;
	if (r < 0)
		return r;
	csrf_write(session_keys(), &token.session, text);
	out->csrf_token = arena_str(&req->arena, str_of(text, sizeof(text)));
	return out->csrf_token.at ? 0 : -(int)err_last()->code;
}
HANDLER(csrf_get, nothing, csrf_answer, ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN))

/* --- the contract --------------------------------------------------------- */

#define OPEN(text, handler_)                                                                       \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = RIGHT_PUBLIC
#define OWN(text, handler_) text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = RIGHT_SELF
#define DOCUMENT(text, function)                                                                   \
	text, .run = function, .place = ROUTE_PUBLIC, .need = RIGHT_PUBLIC, .shape = ROUTE_BARE

/* clang-format off */
const struct route auth_session_routes[AUTH_SESSION_ROUTES] = {
	{ HTTP_POST, "/api/v1/auth/refresh", OPEN("Get the next tokens of a session", session_refresh_route_handler),
		.in = &refresh_input_schema, .out = &signed_in_schema, .limit = ROUTE_LIMIT_API,
		.may_fail = ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN) },
	{ HTTP_POST, "/api/v1/auth/switch", OPEN("Go on as another account of this browser", session_switch_route_handler),
		.in = &switch_input_schema, .out = &signed_in_schema, .limit = ROUTE_LIMIT_API,
		.may_fail = ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN) | ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(INVALID) },
	{ HTTP_POST, "/api/v1/auth/logout", OPEN("End the session", session_logout_handler),
		.in = &refresh_input_schema, .limit = ROUTE_LIMIT_API, .may_fail = ROUTE_FAILS(FORBIDDEN) },
	{ HTTP_GET, "/api/v1/auth/csrf", OPEN("Show the CSRF token that goes with the cookies", csrf_get_handler),
		.out = &csrf_answer_schema, .limit = ROUTE_LIMIT_API,
		.may_fail = ROUTE_FAILS(UNAUTHORIZED) | ROUTE_FAILS(FORBIDDEN) },
	{ HTTP_GET, "/api/v1/auth/accounts", OWN("List who is signed in in this browser", accounts_list_handler),
		.out = &bundle_accounts_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(FORBIDDEN) },
	{ HTTP_GET, "/api/v1/auth/sessions", OWN("List one's own sessions", sessions_list_handler),
		.out = &session_list_schema },
	{ HTTP_DELETE, "/api/v1/auth/sessions/{id}", OWN("End one of one's own sessions", session_end_handler),
		.in = &session_ref_schema, .may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_DELETE, "/api/v1/auth/sessions", OWN("End all of one's own sessions", sessions_end_handler),
		.in = &session_except_schema },
	{ HTTP_DELETE, "/api/v1/users/{id}/sessions", "End all sessions of a user", .place = ROUTE_PUBLIC,
		.handler = &sessions_dismiss_handler, .need = "sessions:write", .in = &session_ref_schema,
		.may_fail = ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(FORBIDDEN) },

	{ HTTP_GET, "/.well-known/jwks.json", DOCUMENT("The keys that tokens are verified with", document_jwks) },
	{ HTTP_GET, "/.well-known/openid-configuration", DOCUMENT("Who signs the tokens, and how", document_openid) },
	{ HTTP_GET, "/.well-known/oauth-authorization-server", DOCUMENT("Who signs the tokens, and how", document_oauth) },
};
/* clang-format on */
