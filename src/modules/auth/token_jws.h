/*
 * The compact serialization of a JSON Web Signature (RFC 7515 section 7.1), strictly: three parts
 * of base64url without padding, white space or stray bits; a header that is one JSON object of
 * strings and has no other members than "alg", "kid" and "typ". Nothing of a header can bring or
 * name key material (jwk, jku, x5c, ...), change what is signed (b64), ask for extensions (crit) or
 * say that another token is inside (cty, zip, enc): such members are refused, not ignored, since
 * all tokens that we accept are made by us.
 *
 * Reading and checking are two steps, because which key shall check is the caller's decision
 * between them. What is wrong with a token is ERR_UNAUTHORIZED with the reason in the error slot.
 */
#ifndef MODULES_AUTH_TOKEN_JWS_H
#define MODULES_AUTH_TOKEN_JWS_H

#include "base/arena.h"
#include "crypto/sign.h"

enum {
	TOKEN_MAX = 8192,       /* bytes of a token */
	TOKEN_HEADER_MAX = 512, /* bytes of its header, decoded */
};

/* A token taken apart; none of it is to be believed before token_jws_check. */
struct token_jws {
	struct str alg, kid, typ;      /* empty when absent */
	struct str message;            /* what is signed; points into the token */
	struct str payload;            /* decoded, in the arena */
	struct str signature;          /* base64url; points into the token */
	char header[TOKEN_HEADER_MAX]; /* decoded; the texts above point into it, so never copy the
					  struct */
};

/*
 * Takes a token apart: every structural check that needs no key. The token must outlive `ret`; the
 * arena takes the payload. ERR_UNAUTHORIZED, ERR_NO_MEMORY; ERR_TOO_LARGE when the arena is full.
 */
int token_jws_read(struct str token, struct arena *arena, struct token_jws *ret);

/* 0 when the header names the key's algorithm and the signature is of this message by this key,
 * else ERR_UNAUTHORIZED; ERR_NO_MEMORY. */
int token_jws_check(const struct token_jws *jws, const struct sign_key *key);

/* Turns the answer of a JSON reader into ours: ERR_UNAUTHORIZED with the reader's reason, unless
 * memory was missing. */
int token_jws_bad_json(const char *part, int error);

#endif
