/*
 * Access tokens: JSON Web Tokens (RFC 7519) in the profile of RFC 9068, signed with RS256, ES256 or
 * EdDSA, made and verified under the advice of RFC 8725.
 *
 * Header: {"alg", "kid", "typ"} and nothing else; "kid" is the RFC 7638 thumbprint of the key,
 * "alg" must be that key's, "typ" the one the rules ask for. Claims:
 *
 *     iss, sub, aud, exp      required; "aud" is a string or an array of strings
 *     iat, nbf, jti           as in RFC 7519
 *     client_id               the OAuth client (RFC 9068)
 *     tenant                  the tenant the token is for, by its id
 *     sid                     the session (as in OpenID Connect), by its id
 *     roles                   array of strings (RFC 9068 section 2.2.3.1)
 *     act                     object with "sub": who acts as the subject (RFC 8693 section 4.1)
 *
 * Other claims are ignored. Times are whole seconds. Texts are never empty. A claim of another type
 * than said here makes the token invalid, needed or not.
 */
#ifndef MODULES_AUTH_TOKEN_H
#define MODULES_AUTH_TOKEN_H

#include "modules/auth/token_jws.h"
#include "modules/auth/token_keys.h"

enum {
	TOKEN_TEXT_MAX = 255, /* bytes of a text claim, an audience or a role */
	TOKEN_ROLES_MAX = 64,
	TOKEN_AUDIENCES_MAX = 16,
	TOKEN_ARENA = 64 * 1024, /* bytes of an arena that verifying may take, at most */
};

/* What "typ" says a token is, so that one kind is not taken for another (RFC 8725 3.11). */
enum token_type {
	TOKEN_ACCESS, /* "at+jwt" */
	TOKEN_PLAIN,  /* "JWT" */
	TOKEN_TYPES,
};

/* What a token must be for us. Texts are the caller's. */
struct token_rules {
	struct str issuer;    /* "iss" is this */
	struct str audience;  /* "aud" is or contains this */
	enum token_type type; /* "typ" is this, in this spelling */
	uint64_t leeway_ns;   /* that clocks may differ, for exp, nbf and iat */
};

/* The claims. Absent texts are empty, absent times 0. */
struct token_claims {
	struct str issuer;   /* iss */
	struct str audience; /* aud; when verified, the one of the rules */
	struct str subject;  /* sub: the user's id */
	struct str client;   /* client_id */
	struct str tenant;   /* tenant */
	struct str session;  /* sid */
	struct str id;       /* jti */
	struct str actor;    /* act.sub */
	const struct str *roles;
	size_t role_count;
	int64_t expires_us;    /* exp */
	int64_t issued_us;     /* iat */
	int64_t not_before_us; /* nbf */
	enum token_type type;
};

/*
 * Verifies a token at `now_us` and gives its claims, whose texts stand in the arena. First all that
 * is cheap (size, alphabet, header, key), then the signature, then the claims; no claim is looked
 * at before the signature is good. A token is good before exp + leeway, and not with nbf or iat
 * beyond now + leeway.
 *
 * Whatever is wrong with the token is ERR_UNAUTHORIZED with one outermost text; the reason is the
 * cause in the error slot, for the log only. ERR_NO_MEMORY, also when the arena has less
 * than TOKEN_ARENA bytes left. On failure the arena is as before. No heap but the arena's chunks
 * (and what OpenSSL takes for EdDSA); never parks.
 */
int token_verify(const struct token_keys *keys, struct str token, const struct token_rules *rules,
	int64_t now_us, struct arena *arena, struct token_claims *ret);

/*
 * Appends a new token with these claims, signed by a private key; fractions of seconds are dropped.
 * Any set of keys with this one verifies it. ERR_INVALID when a claim is missing, malformed or too
 * long, or the key is public; ERR_TOO_LARGE beyond TOKEN_MAX, and the buffer's own errors. On
 * failure the buffer's text is as before.
 */
int token_make(const struct sign_key *key, const struct token_claims *claims, struct buf *buf);

/* ERR_INVALID when rules can accept no token or give more leeway than five minutes; says why. */
int token_rules_check(const struct token_rules *rules);

/* A copy that owns nothing outside of `at`: token_claims_size bytes, aligned as from an arena, that
 * take roles and texts. */
size_t token_claims_size(const struct token_claims *claims);
void token_claims_copy(const struct token_claims *claims, void *at, struct token_claims *ret);

#endif
