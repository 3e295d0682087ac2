/* For the files of this folder only: hash texts, read strictly. */
#ifndef CRYPTO_PASSWORD_TEXT_H
#define CRYPTO_PASSWORD_TEXT_H

#include "crypto/digest.h"

enum {
	PASSWORD_SALT_MAX = 64,
	PASSWORD_DIGEST_MAX = 64,
};

enum password_method {
	PASSWORD_ARGON2ID,
	PASSWORD_ARGON2I,
	PASSWORD_BCRYPT,
	PASSWORD_SCRYPT,
	PASSWORD_PBKDF2,
};

/* A hash text taken apart. All costs are within bounds. */
struct password_text {
	enum password_method method;
	union {
		struct {
			uint32_t memory_kb, passes, lanes;
		} argon2;
		struct {
			uint64_t n, r, p;
		} scrypt;
		struct {
			enum digest_kind digest;
			uint32_t rounds;
		} pbkdf2;
	};
	struct str setting; /* bcrypt: the whole text */
	size_t salt_len, digest_len;
	uint8_t salt[PASSWORD_SALT_MAX];
	uint8_t digest[PASSWORD_DIGEST_MAX];
};

/* Takes a text apart. ERR_INVALID when it is no hash that we verify or its cost is out of bounds.
 */
int password_text_parse(struct str text, struct password_text *ret);

#endif
