/*
 * The key of the installation (MASTER_KEY). Nothing is encrypted or signed with it: each purpose
 * has a key of its own that is derived from it, so that what one of them gives away says nothing
 * about another, and nothing at all about this one.
 */
#ifndef CRYPTO_MASTER_KEY_H
#define CRYPTO_MASTER_KEY_H

#include "base/str.h"

#include <stdint.h>

enum {
	MASTER_KEY_LEN = 32, /* bytes */
	MASTER_KEY_TEXT_LEN = 2 * MASTER_KEY_LEN,
};

struct master_key {
	uint8_t bytes[MASTER_KEY_LEN];
};

/* From 64 hexadecimal digits, or base64 of 32 bytes (RFC 4648 section 4 or 5, padded or not).
 * -ERR_INVALID, without quoting it. */
int master_key_parse(struct str text, struct master_key *ret);

/* A new one, and its text: hexadecimal digits, no NUL. */
void master_key_make(struct master_key *ret, char text[MASTER_KEY_TEXT_LEN]);

/* 32 bytes for a purpose: "audit/chain". The same each time. HKDF with SHA-256 (RFC 5869). */
void master_key_derive(
	const struct master_key *key, struct str purpose, uint8_t ret[MASTER_KEY_LEN]);

/* Wipes it. */
void master_key_done(struct master_key *key);

#endif
