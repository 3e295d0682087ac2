/*
 * For the files of this folder only: the OpenSSL headers and what they share. One set of contexts
 * per thread, made at first use and freed when the thread ends, so that a digest, a sealed box or a
 * verified signature costs no allocation of a context. A fiber never leaves its thread and nothing
 * here parks, so a context is never in use twice.
 */
#ifndef CRYPTO_OPENSSL_H
#define CRYPTO_OPENSSL_H

#include "crypto/aead.h"
#include "crypto/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>

/* A context made ready to verify with one key. */
struct verifier {
	uint64_t serial;       /* the key's number, which no other key ever gets; 0: empty */
	EVP_PKEY_CTX *context; /* refers to the public half of the key only */
};

enum { VERIFIERS = 32 }; /* per thread; the keys that were made last never displace each other */

struct openssl_thread {
	bool registered; /* its end will be noticed */
	EVP_MD_CTX *digests[DIGEST_KINDS];
	EVP_CIPHER_CTX *ciphers[AEAD_KINDS];
	struct verifier verifiers[VERIFIERS];
};

/* The contexts of this thread. */
struct openssl_thread *openssl_thread(void);

/* The fetched algorithm of a digest, the process' own. */
EVP_MD *openssl_digest(enum digest_kind kind);

/* Bytes as OpenSSL takes them. Never NULL, which some of its functions give a meaning of its own.
 */
static inline const unsigned char *openssl_bytes(struct str bytes)
{
	return (const unsigned char *)(bytes.at ? bytes.at : "");
}

/* fail() that leaves nothing in OpenSSL's error queue for the next reader of it (TLS). */
#define openssl_fail(code, ...) (ERR_clear_error(), fail(code, __VA_ARGS__))

#endif
