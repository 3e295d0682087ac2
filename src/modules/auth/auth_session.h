/* What the files about sessions share: refresh tokens, rows, cookies, what was revoked. */
#ifndef MODULES_AUTH_SESSION_H
#define MODULES_AUTH_SESSION_H

#include "crypto/opaque.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth_internal.h"
#include "modules/auth/sessions.h"

/* --- refresh tokens, without rows (auth_session_token.c) -------------------------------- */

enum {
	REFRESH_SECRET_LEN = 32,
	REFRESH_HASH_LEN = OPAQUE_HASH_LEN,
};

/* How long the parent of the newest token still gives that one. */
#define REFRESH_GRACE (30 * SECOND)

struct refresh_token {
	struct uuid tenant, session;
	uint32_t generation; /* of the first one: 0 */
	uint8_t secret[REFRESH_SECRET_LEN];
};

/* The keys that tokens are made with, all derived from the installation's. */
struct refresh_keys {
	uint8_t next[MASTER_KEY_LEN]; /* secret of a token -> that of its child */
	uint8_t jump[MASTER_KEY_LEN]; /* ... -> that of another session of the bundle */
	uint8_t proof[MASTER_KEY_LEN];
	uint8_t csrf[MASTER_KEY_LEN];
	/* Those of the key before, while it is being changed: what was made with them is good. New
	 * things are made with these. NULL: none. */
	const struct refresh_keys *former;
};

/* `former` is the caller's, or NULL. */
void refresh_keys_make(struct refresh_keys *ret, const struct master_key *master,
	const struct refresh_keys *former);

/* The first token of a session. */
void refresh_begin(
	const struct uuid *tenant, const struct uuid *session, struct refresh_token *ret);

/* The child. */
void refresh_next(const struct refresh_keys *keys, const struct refresh_token *token,
	struct refresh_token *ret);

/* The token that session `to`, whose newest is of this generation, gets when who has `from`
 * switches to it. */
void refresh_jump(const struct refresh_keys *keys, const struct refresh_token *from,
	const struct uuid *tenant, const struct uuid *session, uint32_t generation,
	struct refresh_token *ret);

/* As people carry it, and back. False for what we have not made: nobody is asked for it. */
void refresh_write(
	const struct refresh_keys *keys, const struct refresh_token *token, char at[REFRESH_LEN]);
bool refresh_read(const struct refresh_keys *keys, struct str text, struct refresh_token *ret);

/* What is kept of the newest one. */
void refresh_hash(const struct refresh_token *token, char at[REFRESH_HASH_LEN]);

/* What a row says that a token is to be judged by. Times in microseconds since 1970. */
struct refresh_state {
	int64_t generation;
	struct str token_hash;
	int64_t rotated_at, expires_at;
	bool revoked;
};

enum refresh_verdict {
	REFRESH_REFUSED, /* the session is over, or the token is not of this time */
	REFRESH_NEWEST,
	REFRESH_PARENT, /* of the newest, a moment ago: *ret_next is that one */
	REFRESH_REUSED, /* it was used before: somebody has a copy */
};

enum refresh_verdict refresh_judge(const struct refresh_keys *keys,
	const struct refresh_token *token, const struct refresh_state *state, int64_t now_us,
	struct refresh_token *ret_next);

/* The CSRF token of a session: base64url. */
enum { CSRF_LEN = 43 };
void csrf_write(const struct refresh_keys *keys, const struct uuid *session, char at[CSRF_LEN]);
bool csrf_is(const struct refresh_keys *keys, const struct uuid *session, struct str text);

/* --- what goes in and out (auth_session_contract.c) ----------------------------------------- */

/* A row of main.session. */
struct session {
	struct str tenant_id, id, bundle_id, user_id;
	struct opt_str impersonator_id;
	struct str user_agent, address;
	int64_t generation;
	struct str token_hash;
	int64_t created_at, used_at, rotated_at;
	int64_t expires_at; /* unless it is used */
	int64_t ends_at;    /* in any case */
	struct opt_i64 revoked_at;
};

/* Of the caller's. */
struct session_view {
	struct str id;
	struct str user_agent, address;
	int64_t created_at, used_at, expires_at;
	bool impersonated, current;
};

struct session_list {
	LIST_OF(struct session_view) items;
};

struct session_ref {
	struct str id;
};

struct session_except {
	struct opt_int except;
};

struct refresh_input {
	struct str refresh_token;
};

struct switch_input {
	struct str refresh_token;
	struct opt_str session_id, tenant;
};

/* Somebody signed in in the caller's browser. */
struct bundle_account {
	struct str session_id;
	struct str user_id, email, name;
	struct str tenant_id, tenant_slug, tenant_name;
	bool current;
};

struct bundle_accounts {
	LIST_OF(struct bundle_account) items;
};

struct csrf_answer {
	struct str csrf_token;
};

extern const struct schema session_schema, session_view_schema, session_list_schema,
	session_ref_schema, session_except_schema, refresh_input_schema, switch_input_schema,
	bundle_account_schema, bundle_accounts_schema, csrf_answer_schema;

/* --- rows (auth_session_store.c) ------------------------------------------------------------- */

/* Of notices: the key is the id of a session that has ended. */
#define SESSION_TOPIC "session"

extern const struct statement session_get, session_advance, session_live, session_of_user,
	session_of_bundle, session_revoked_since;

/* What some of them take. */
struct session_search {
	struct str user_id, bundle_id;
	int64_t limit, since;
};

struct session_rotation {
	struct str id;
	int64_t generation; /* of the newest token until now */
	struct str token_hash, next_hash;
	int64_t until; /* when it expires, unless used again */
};

/* Ends a session and tells everybody. 0, or 1 when it had ended before. */
int session_end_in_tx(struct tx *tx, const struct session *session, const char *reason);

/* The session of a row, with this token, as others know it. */
void session_make(
	const struct session *row, const struct refresh_token *token, struct session_made *ret);

/* As its user sees it. */
void session_show(const struct session *row, struct str current, struct session_view *ret);

extern struct user_watcher session_watcher;

/* Of the event; compiled while the module is open. */
extern const struct schema session_ended_schema;

/* Deletes rows of sessions that have been over for long enough. */
int sessions_sweep(struct store *store);

/* --- refresh tokens in use (auth_session_refresh.c) ----------------------- */

/* The keys of this installation; made by sessions_open. */
const struct refresh_keys *session_keys(void);

/* One use of a refresh token. */
struct session_use {
	struct refresh_token token;
	struct audit_actor actor; /* of the security entry */

	/* To another session of the bundle: one of the two. */
	struct str to_session; /* id */
	struct str to_tenant;  /* id */

	enum refresh_verdict verdict;
	bool found;               /* the session to switch to */
	struct session_made made; /* REFRESH_NEWEST and _PARENT; of a switch when found */
	struct user user;
};

/* Errors of the store; what the token is worth is in use->verdict. On a fiber, outside of
 * transactions. */
int session_refresh(struct req *req, struct session_use *use);
int session_switch(struct req *req, struct session_use *use);

/* Ends the session of the token, with what depends on its cookies. */
int session_leave(struct req *req, const struct refresh_token *token, bool bundle);

/* As session_answer, with or without cookies (auth_session_answer.c). */
int session_answer_as(struct req *req, const struct session_made *made, const struct user *user,
	const struct tenant *tenant, bool cookies, struct signed_in *ret);

/* --- what was revoked (auth_session_revoked.c) ---------------------------- */

int sessions_open(struct server *server);
void sessions_close(struct server *server);
int sessions_tend(struct server *server);

/* Whether access tokens of the session are good. -ERR_UNAUTHORIZED; errors of the store. On a
 * fiber, outside of transactions. */
int session_check(struct req *req, const struct uuid *tenant, const struct uuid *session);

/* --- cookies (auth_session_cookies.c) ------------------------------------- */

enum session_cookie { COOKIE_ACCESS, COOKIE_REFRESH, COOKIE_CSRF, SESSION_COOKIES };

/* Its value; empty when there is none, or two that differ. */
struct str cookie_get(const struct req *req, enum session_cookie which);

/* Whether the client wants them. */
bool cookies_wanted(const struct req *req);

/* Sets all three; the access token is good for so many seconds. */
int cookies_set(struct req *req, const struct session_made *made, struct str access,
	int64_t access_s, struct opt_str *ret_csrf);
int cookies_clear(struct req *req);

/* For a request whose credentials came by cookie: whether a page of ours has made it. 0, or
 * -ERR_FORBIDDEN. Safe methods need no proof. */
int csrf_check(const struct req *req, const struct uuid *session);

#endif
