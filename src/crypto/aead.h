/*
 * Sealed boxes: authenticated encryption with associated data, for secrets at rest under MASTER_KEY
 * and for what we hand to clients to bring back. A box is
 *
 *     kind (1 byte) | key id (4, big-endian) | nonce (12, random) | ciphertext | tag (16)
 *
 * The kind and the key id must be those of the key it is opened with; nonce, ciphertext and
 * associated data are authenticated by the tag. The associated data is not stored: put in what the
 * secret belongs to (tenant, table, column, row), so that a box moved elsewhere does not open.
 *
 * Nonces are random, so one key may seal 2^32 boxes (NIST SP 800-38D 8.3). Derive a key per tenant
 * or purpose with aead_key_derive rather than count.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "base/str.h"

#include <stdint.h>

/* Values are stored; never change them. */
enum aead_kind {
	AEAD_AES_256_GCM = 1,       /* NIST SP 800-38D; the one to use */
	AEAD_CHACHA20_POLY1305 = 2, /* RFC 8439; for machines without AES instructions */
	AEAD_KINDS,
};

enum {
	AEAD_KEY_LEN = 32,
	AEAD_NONCE_LEN = 12,
	AEAD_TAG_LEN = 16,
	AEAD_HEAD_LEN = 1 + 4 + AEAD_NONCE_LEN,
	AEAD_OVERHEAD = AEAD_HEAD_LEN + AEAD_TAG_LEN, /* box.len - plain.len */
	AEAD_PLAIN_MAX = 1 << 30,                     /* also the limit of the associated data */
};

/* A key by value; wipe it with aead_key_done. */
struct aead_key {
	enum aead_kind kind;
	uint32_t id; /* chosen by the owner of the keys; tells old keys from new ones */
	uint8_t bytes[AEAD_KEY_LEN];
};

/* A key from a secret of exactly AEAD_KEY_LEN random bytes. ERR_INVALID for another length or an
 * unknown kind. */
int aead_key_init(struct aead_key *ret, enum aead_kind kind, uint32_t id, struct str secret);

/* The key for one purpose ("tenant/42/secrets") under a master key: HKDF-SHA256; same kind and id.
 */
void aead_key_derive(const struct aead_key *master, struct str purpose, struct aead_key *ret);

/* Wipes the key. */
void aead_key_done(struct aead_key *key);

/*
 * Seals `plain` into `at` (plain.len + AEAD_OVERHEAD bytes, not overlapping). ERR_TOO_LARGE beyond
 * AEAD_PLAIN_MAX.
 */
int aead_seal(const struct aead_key *key, struct str associated, struct str plain, void *at);

/* The id of the key that a box names, to find the key with. Not authenticated before aead_open.
 * ERR_INVALID, with the text of aead_open, when it cannot be a box. */
int aead_box_key(struct str box, uint32_t *ret_id);

/*
 * Opens a box into `at` (box.len - AEAD_OVERHEAD bytes, not overlapping). Whatever is wrong (shape,
 * kind, key, associated data, a single bit) is the same ERR_INVALID; `at` is then wiped.
 */
int aead_open(const struct aead_key *key, struct str associated, struct str box, void *at);

#endif
