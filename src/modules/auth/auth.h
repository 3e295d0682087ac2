/*
 * How people prove who they are: passwords, sessions, access and refresh tokens, the signing keys,
 * and what protects all that from guessing. RFC 9068 tokens, OWASP ASVS 5.0 level 2.
 */
#ifndef AUTH_H
#define AUTH_H

#include "crypto/password.h"
#include "crypto/sign.h"
#include "crypto/uuid.h"
#include "http/module.h"
#include "modules/jobs/jobs.h"
#include "modules/users/users.h"
#include "store/db.h"

enum auth_sign_up {
	SIGN_UP_OPEN,       /* anybody */
	SIGN_UP_INVITATION, /* who was invited */
	SIGN_UP_CLOSED,
};

/* Times in nanoseconds; texts are copied by auth_configure. */
struct auth_options {
	struct str public_url;    /* of the API, the issuer of tokens: "https://api.example.com" */
	struct str app_url;       /* of the product's pages: links in mails lead there */
	enum sign_kind algorithm; /* of new signing keys */
	unsigned rsa_bits;
	uint64_t key_every_ns;   /* a new signing key so often; 0: by command only */
	uint64_t key_overlap_ns; /* it is published so long before it signs; 0: 11 min, since JWK
				    Sets are kept for 10 */
	uint64_t access_ns, refresh_ns,
		session_ns; /* lifetimes: of the tokens, and of a session at most */
	struct password_cost cost;
	size_t password_memory;    /* bytes of all hashing under way */
	const char *breached_file; /* NULL: only the built-in list of the most common ones */
	size_t password_min;       /* characters */
	enum auth_sign_up sign_up; /* of tenants that say nothing, and of new tenants */
	bool new_tenants;          /* registration may make tenants */
	uint64_t login_tries;      /* failed logins of an account before it is locked */
	uint64_t login_lock_ns;
	uint64_t login_delay_ns; /* before the fourth try in a row; doubles. 0: no delays */
	bool verify_first;       /* nobody signs in before the address is verified, and who joins
				    a tenant is not told whether the address was there */
	bool secure_cookies;     /* __Host- and Secure; off only without TLS in development */
};

/* Before the module is opened. -ERR_INVALID with a sentence for people. Without it, options for
 * tests: cheap hashes, open sign-up. */
int auth_configure(const struct auth_options *options);

/* sessions:cleanup, by schedule: removes sessions that ended long ago. To be declared by the
 * program.
 */
extern const struct job_kind sessions_cleanup;

/* --- in transactions of the user's tenant, for other modules -------------- */

/* Ends all sessions of a user but one (NULL: all). Known everywhere within a second. */
int sessions_revoke_in_tx(struct tx *tx, const struct uuid *user, const struct uuid *except);

/* --- for operators (auth_operators.c) ------------------------------------- */

/*
 * The hash of a new password for an account with these texts, in the arena. -ERR_INVALID, field
 * "password", when it may not be one (the rule says why); -ERR_FULL when too many are computed just
 * now. On a fiber, outside of transactions.
 */
int auth_password_hash(struct str given, struct str email, struct str name, struct arena *arena,
	struct str *ret_hash);

/* The user of the transaction's tenant has this password from now on. Their sessions and links end,
 * locks are opened. */
int auth_set_password_in_tx(
	struct tx *tx, const struct uuid *user, struct str hash, const struct audit_actor *actor);

/* The same without a password: nobody can sign in as the user before there is a new one. */
int auth_shut_out_in_tx(struct tx *tx, const struct uuid *user, const struct audit_actor *actor);

/* An operator who acts as a user. Texts are copied; the user agent is cut. */
struct auth_visitor {
	const struct uuid *user;
	struct str operator_id; /* who it is really */
	struct str user_agent, address;
	uint64_t lifetime_ns;
};

/* A session of the user that names the operator. */
struct auth_visit {
	struct uuid tenant, session, user, operator;
	int64_t expires_us;
};

/* In a transaction of the user's tenant; the user is active. */
int auth_visit_begin_in_tx(
	struct tx *tx, const struct auth_visitor *visitor, struct auth_visit *ret);
int auth_visit_end_in_tx(struct tx *tx, const struct uuid *session);

/* An access token of it, good for the usual time or until its end, whichever is sooner; after the
 * commit, on the request's fiber. There is no refresh token. -ERR_CONFLICT when the session has
 * ended, errors of the store, -ERR_UNAVAILABLE without a signing key. */
int auth_visit_token(
	struct req *req, const struct auth_visit *visit, struct str *ret, int64_t *ret_seconds);

extern const struct module auth_module;

#endif
