/*
 * Password hashes: made with Argon2id (RFC 9106), verified in all the forms that users bring along
 * from elsewhere:
 *
 *     $argon2id$v=19$m=65536,t=3,p=4$salt$hash           Argon2id (also $argon2i$), PHC string
 *     $2b$12$...                                         bcrypt; $2a$ and $2y$, too
 *     $scrypt$ln=16,r=8,p=1$salt$hash                    scrypt (RFC 7914), passlib and PHC
 *     $7$CU..../....salt$hash                            scrypt, crypt(5)
 *     $pbkdf2-sha256$600000$salt$hash                    PBKDF2 (RFC 8018), passlib; -sha512, too
 *     pbkdf2_sha256$600000$salt$hash                     PBKDF2, Django
 *
 * These functions compute for milliseconds to seconds and use much memory: they run on a pool of
 * their own, which adds up password_memory of what it admits. Costs in a hash text are bounded, so
 * that an imported text can take neither minutes nor gigabytes: the dearest takes 256 MB, and a
 * few seconds on one core.
 */
#ifndef CRYPTO_PASSWORD_H
#define CRYPTO_PASSWORD_H

#include "base/str.h"

#include <stdint.h>

enum {
	PASSWORD_MAX = 1024,      /* bytes of a password; bcrypt looks at the first 72 */
	PASSWORD_HASH_MAX = 512,  /* bytes of a hash text that are looked at */
	PASSWORD_HASH_SIZE = 112, /* bytes that password_hash may write */

	PASSWORD_MEMORY_KB_MIN = 7 * 1024,
	PASSWORD_MEMORY_KB_MAX = 256 * 1024,
	PASSWORD_PASSES_MAX = 64,
	PASSWORD_LANES_MAX = 16,
	PASSWORD_WORK_KB_MAX = 2 * 1024 * 1024, /* memory times passes */
};

/* What an Argon2id hash costs. All lanes are computed on the calling thread. */
struct password_cost {
	uint32_t memory_kb; /* in units of 1024 bytes */
	uint32_t passes;
	uint32_t lanes;
};

/* ERR_INVALID when a cost is outside the bounds above; says which. */
int password_cost_check(const struct password_cost *cost);

/* Bytes of memory that hashing at this cost takes. */
size_t password_cost_memory(const struct password_cost *cost);

/*
 * Hashes a password with a random salt of 16 bytes: writes at most PASSWORD_HASH_SIZE bytes, no
 * NUL; returns their number. ERR_INVALID for a password of more than PASSWORD_MAX bytes or a cost
 * outside the bounds, ERR_NO_MEMORY.
 */
int password_hash(struct str password, const struct password_cost *cost, char *at);

/*
 * 0 when the password is the one of the hash. ERR_UNAUTHORIZED when it is not, is longer than
 * PASSWORD_MAX, or holds a zero byte and the hash is not Argon2; ERR_INVALID when the text is no
 * hash that we verify; ERR_NO_MEMORY.
 */
int password_verify(struct str password, struct str hash);

/* Bytes of memory that verifying against this text takes. ERR_INVALID when it is no hash that we
 * verify. */
int password_memory(struct str hash, size_t *ret_bytes);

/* True when the text is anything but an Argon2id hash of exactly this cost, with salt and hash as
 * long as ours: hash the password anew when it was verified next. */
bool password_needs_rehash(struct str hash, const struct password_cost *cost);

#endif
