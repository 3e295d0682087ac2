/*
 * Digests (FIPS 180-4), HMAC (RFC 2104) and HKDF (RFC 5869), and two tools for secrets. Bytes are
 * passed as struct str. What a function writes to `at` is as long as the table of kinds says.
 *
 * The one-shot functions cannot fail: each thread keeps a context per kind, made at first use, and
 * a process that cannot get those few hundred bytes aborts.
 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum digest_kind {
	DIGEST_SHA256,
	DIGEST_SHA384,
	DIGEST_SHA512,
	DIGEST_SHA1, /* broken; only where a protocol demands it (the WebSocket handshake) */
	DIGEST_KINDS,
};

enum {
	SHA1_LEN = 20,
	SHA256_LEN = 32,
	SHA384_LEN = 48,
	SHA512_LEN = 64,
	DIGEST_MAX = SHA512_LEN,
	HKDF_MAX = 255 * SHA256_LEN,
};

/* Bytes of a digest of this kind. */
size_t digest_len(enum digest_kind kind);

/* The digest of `data`. */
void digest(enum digest_kind kind, struct str data, uint8_t *at);

/* The digest of the parts, one behind the other. */
void digest_parts(enum digest_kind kind, const struct str *parts, size_t count, uint8_t *at);

/* A digest that is fed over time; several may be under way. Owns a context from digest_begin on. */
struct digest {
	enum digest_kind kind;
	void *context; /* NULL when not under way */
};

/* Begins. ERR_NO_MEMORY; the struct is then as after digest_done. */
int digest_begin(struct digest *digest, enum digest_kind kind);

/* Adds bytes. */
void digest_add(struct digest *digest, struct str data);

/* Writes the digest of all bytes added and gives the context back. */
void digest_end(struct digest *digest, uint8_t *at);

/* Gives up. Does nothing after digest_end or on a zeroed struct. */
void digest_done(struct digest *digest);

/* HMAC of `data` under a key of any length. */
void hmac(enum digest_kind kind, struct str key, struct str data, uint8_t *at);

/* HMAC of the parts, one behind the other. */
void hmac_parts(
	enum digest_kind kind, struct str key, const struct str *parts, size_t count, uint8_t *at);

/*
 * HKDF with SHA-256: `len` (at most HKDF_MAX) bytes derived from a secret that has enough entropy
 * already (not from a password). `salt` may be empty; `info` says what the bytes are for.
 */
void hkdf_sha256(struct str secret, struct str salt, struct str info, void *at, size_t len);

/* Equality in a time that depends only on the lengths. Different lengths are unequal. */
bool crypto_equal(struct str a, struct str b);

/* Overwrites a secret; never optimised away. NULL is allowed when `len` is 0. */
void crypto_wipe(void *at, size_t len);

#pragma GCC visibility pop

#endif
