/*
 * Secrets that people and programs carry as one word: API keys, refresh tokens, links in mails.
 *
 *     bh_sk_aebagbafaydqqcikbmga2dqpca4q...
 *
 * A prefix that says what it is (and lets scanners of source code find it), the bytes in base32
 * (RFC 4648, small letters, no padding: no two that look alike, one double click selects it), and
 * 20 bits of SHA-256 over both at the end, so that a typing error is found without asking anybody.
 * The checksum is not a secret and proves nothing.
 */
#ifndef CRYPTO_OPAQUE_H
#define CRYPTO_OPAQUE_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	OPAQUE_BYTES_MAX = 120,
	OPAQUE_PREFIX_MAX = 16,
	OPAQUE_CHECK_LEN = 4,
	OPAQUE_HASH_LEN = 64,
};

/* Length of the text of so many bytes behind a prefix of that length. */
#define OPAQUE_LEN(prefix_len, bytes) ((prefix_len) + ((bytes)*8 + 4) / 5 + OPAQUE_CHECK_LEN)

/* Writes exactly OPAQUE_LEN(prefix.len, bytes.len) bytes, no NUL. The time does not depend on the
 * bytes. */
void opaque_write(char *at, struct str prefix, struct str bytes);

/* Reads exactly `len` bytes. False for another prefix or length, a character that is none, bits set
 * behind the last byte, or a wrong checksum; then what `at` holds means nothing. */
bool opaque_read(struct str text, struct str prefix, void *at, size_t len);

/*
 * What a row keeps of a secret: SHA-256 as exactly OPAQUE_HASH_LEN small hex digits, no NUL. Enough
 * for random bytes (16 at least), which nobody can guess; never for what people choose.
 */
void opaque_hash(char at[OPAQUE_HASH_LEN], struct str secret);

#pragma GCC visibility pop

#endif
