/*
 * Sessions: a person who has signed in on a device. A session is a family of refresh tokens, each
 * the child of the one before; the access tokens name it. Sessions of one browser, of whatever
 * tenants, form a bundle, among which one can switch. doc/auth.md.
 */
#ifndef MODULES_AUTH_SESSIONS_H
#define MODULES_AUTH_SESSIONS_H

#include "crypto/opaque.h"
#include "modules/auth/auth.h"
#include "modules/tenants/tenants.h"
#include "modules/users/users.h"

enum {
	SESSIONS_OF_USER_MAX = 100,  /* live ones; one more ends the one unused for longest */
	SESSIONS_OF_BUNDLE_MAX = 20, /* that are looked at */
	SESSION_AGENT_MAX = 500,     /* bytes of the user agent that are kept */
	REFRESH_BYTES = 16 + 16 + 4 + 32 + 16, /* tenant, session, generation, secret, proof */
	REFRESH_LEN = OPAQUE_LEN(sizeof("bh_rt_") - 1, REFRESH_BYTES),
};

/* A session to be. Texts are copied; the user agent is cut. */
struct session_new {
	const struct uuid *user;
	const struct uuid *bundle; /* from session_bundle; NULL: a browser or device of its own */
	bool room;                 /* none needs to end for it: see session_look */
	struct str user_agent, address;
	struct str impersonator; /* id of the operator who acts as the user; else empty */
	uint64_t lifetime_ns;    /* at most; 0: the usual */
};

/* What a session is known by. Made and wiped by value. */
struct session_made {
	struct uuid tenant, id, bundle, user;
	struct uuid impersonator; /* nil: none */
	int64_t expires_us;       /* of the session, however often it is refreshed */
	char refresh[REFRESH_LEN];
};

/*
 * Begins a session of a user of the transaction's tenant, who is active. A former session of the
 * same user in the bundle ends, and what is more than a user may have. With `room` that is not
 * looked at, and of many who sign in at a time nobody meets another. Errors of tx_exec.
 */
int session_begin_in_tx(struct tx *tx, const struct session_new *session, struct session_made *ret);

/* What there is to know before a session in a browser of its own is begun. */
struct session_outlook {
	bool room;    /* there are less than a user may have */
	bool strange; /* there were some, and none with this user agent */
};

/*
 * Before the transaction. Of several that are begun at the same time each may find the last place,
 * and the next one ends them. Errors of the store.
 */
int session_look(const struct db *db, const struct uuid *user, struct str user_agent,
	struct session_outlook *ret);

/*
 * The bundle that the request proves to belong to: by a refresh token (empty: by that of the
 * cookie) of a session that lives. For login and register, so that one browser can have several
 * accounts. 1 when there is one, 0 when not; errors of the store.
 */
int session_bundle(struct req *req, struct str refresh_token, struct uuid *ret);

/* The answer of login, register, refresh and switch. Texts live in the request's arena. */
struct signed_in {
	struct user user;
	struct tenant tenant;
	struct opt_str access_token, refresh_token; /* not set when they went out as cookies */
	struct opt_str csrf_token;                  /* set then */
	int64_t expires_in;                         /* seconds, of the access token */
};

extern const struct schema signed_in_schema;

/*
 * Signs an access token and fills in the answer; when the client asked for cookies ("x-session:
 * cookie"), sets them instead. After the commit, on the request's fiber, outside of transactions:
 * errors of the store, -ERR_UNAVAILABLE without a signing key.
 */
int session_answer(struct req *req, const struct session_made *made, const struct user *user,
	const struct tenant *tenant, struct signed_in *ret);

/* An access token alone, without cookies: for who brings it elsewhere. As session_answer. */
int session_sign(struct req *req, const struct session_made *made, struct str *ret);

#endif
