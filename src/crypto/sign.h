/*
 * Signatures and their keys, for tokens (JOSE) and webhooks:
 *
 *     RS256  RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), 2048 to 8192 bits
 *     ES256  ECDSA on P-256 with SHA-256 (FIPS 186-4); signatures are the 64 bytes r || s
 *     EdDSA  Ed25519 (RFC 8032)
 *
 * A key knows its one algorithm, so that a token cannot choose another. Keys are immutable, counted
 * and may be used by any number of threads at once. Verification keeps a ready context per thread
 * and key for RS256 and ES256.
 */
#ifndef CRYPTO_SIGN_H
#define CRYPTO_SIGN_H

#include "base/buf.h"

#include <stdint.h>

enum sign_kind {
	SIGN_RS256,
	SIGN_ES256,
	SIGN_EDDSA,
	SIGN_KINDS,
};

enum {
	SIGN_RSA_BITS_MIN = 2048,
	SIGN_RSA_BITS_MAX = 8192,
	SIGN_SIGNATURE_MAX = SIGN_RSA_BITS_MAX / 8, /* bytes; 64 for ES256 and EdDSA */
	SIGN_RAW_LEN = 64,                          /* r || s */
	SIGN_DER_MAX = 72,                          /* the same as an ASN.1 sequence */
	SIGN_KEY_ID_LEN = 43,
	SIGN_PEM_MAX = 16384, /* bytes of text that are looked at */
};

struct sign_key;

/*
 * The public members of a JWK (RFC 7517, 7518, 8037), base64url as on the wire: kty "RSA" with n
 * and e; "EC" with crv "P-256", x and y; "OKP" with crv "Ed25519" and x. The others are empty.
 */
struct sign_jwk {
	struct str kty, crv, n, e, x, y;
};

/* The "alg" of a kind: "RS256", "ES256", "EdDSA". */
struct str sign_alg(enum sign_kind kind);

/*
 * A new private key. `rsa_bits` is for RS256 (SIGN_RSA_BITS_MIN to _MAX, a multiple of 256), else
 * 0; ERR_INVALID otherwise. RSA takes a tenth of a second and more: not on a worker thread.
 */
int sign_key_generate(enum sign_kind kind, unsigned rsa_bits, struct sign_key **ret);

/*
 * One key from PEM (RFC 7468): "PRIVATE KEY" (PKCS #8, unencrypted) or "PUBLIC KEY" (SPKI), with
 * nothing but white space around it. The kind follows from the key. A private key must sign for its
 * own public half. ERR_INVALID when it is anything else, ERR_NO_MEMORY.
 */
int sign_key_from_pem(struct str pem, struct sign_key **ret);

/* A public key from its JWK members; members of other key types are ignored. ERR_INVALID,
 * ERR_NO_MEMORY. */
int sign_key_from_jwk(const struct sign_jwk *jwk, struct sign_key **ret);

/* Another reference to the key; returns it. */
struct sign_key *sign_key_ref(struct sign_key *key);

/* Drops a reference; the last one frees the key and wipes its private half. NULL is allowed. */
void sign_key_unref(struct sign_key *key);

/* Appends the PEM that sign_key_from_pem reads. The private one: ERR_INVALID when there is none;
 * the caller wipes the buffer. */
int sign_key_write_private(const struct sign_key *key, struct buf *buf);
int sign_key_write_public(const struct sign_key *key, struct buf *buf);

enum sign_kind sign_key_kind(const struct sign_key *key);

/* True when it can sign. */
bool sign_key_private(const struct sign_key *key);

/* The public members; the texts live as long as the key. */
const struct sign_jwk *sign_key_jwk(const struct sign_key *key);

/* The JWK thumbprint with SHA-256 (RFC 7638), base64url, SIGN_KEY_ID_LEN bytes: the key's "kid".
 * Lives as long as the key. */
struct str sign_key_id(const struct sign_key *key);

/* Bytes of a signature of this key. */
size_t sign_len(const struct sign_key *key);

/*
 * Signs the message: writes sign_len(key) bytes and returns their number. ERR_INVALID for a public
 * key or when `room` is too small, ERR_INTERNAL when the library refuses.
 */
int sign_make(const struct sign_key *key, struct str message, uint8_t *at, size_t room);

/* 0 when the signature is of this message by this key, else ERR_UNAUTHORIZED without detail.
 * ERR_NO_MEMORY. */
int sign_verify(const struct sign_key *key, struct str message, struct str signature);

/*
 * ECDSA signatures of P-256 between the two encodings: r || s (JOSE) and an ASN.1 sequence
 * (WebAuthn, X.509, OpenSSL). Reading DER is strict: shortest forms, positive, nothing behind.
 */
size_t sign_der_from_raw(const uint8_t raw[SIGN_RAW_LEN], uint8_t der[SIGN_DER_MAX]);
bool sign_raw_from_der(struct str der, uint8_t raw[SIGN_RAW_LEN]);

#endif
