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

/* --- in transactions of the user's tenant, for other modules -------------------------------------
 */

/* Ends all sessions of a user but one (NULL: all). Known everywhere within a second. */
int sessions_revoke_in_tx(struct tx *tx, const struct uuid *user, const struct uuid *except);

extern const struct module auth_module;

#endif
