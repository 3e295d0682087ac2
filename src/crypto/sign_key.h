/* For the files of this folder only: what a key is inside. */
#ifndef CRYPTO_SIGN_KEY_H
#define CRYPTO_SIGN_KEY_H

#include "crypto/base64.h"
#include "crypto/openssl.h"
#include "crypto/sign.h"

#include <stdatomic.h>

enum {
	COORDINATE_LEN = 32, /* P-256 and Ed25519 */
	EXPONENT_MAX = 4,    /* bytes of a public RSA exponent */
};

struct sign_key {
	_Atomic size_t references;
	enum sign_kind kind;
	uint64_t serial;      /* never used twice in a process */
	size_t signature_len; /* bytes */
	EVP_PKEY *public;     /* only the public half, rebuilt from its numbers */
	EVP_PKEY *private;    /* NULL when only the public half is known */
	struct sign_jwk jwk;  /* texts point into the struct or are constant */
	char id[SIGN_KEY_ID_LEN];
	char n[BASE64_SIZE(SIGN_SIGNATURE_MAX)];
	char e[BASE64_SIZE(EXPONENT_MAX)];
	char x[BASE64_SIZE(COORDINATE_LEN)];
	char y[BASE64_SIZE(COORDINATE_LEN)];
};

#endif
