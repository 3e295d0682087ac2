/*
 * Making and verifying signatures. Verification with RS256 and ES256 hashes the message itself and
 * hands the digest to a context that was made ready once per thread and key: the usual
 * EVP_DigestVerifyInit per call makes and fetches everything anew. Signing takes a new context each
 * time, so that no private key lives on in one.
 */
#include "crypto/sign.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/sign_key.h"

#include <openssl/rsa.h>

enum {
	DER_SEQUENCE = 0x30,
	DER_INTEGER = 0x02,
};

size_t sign_len(const struct sign_key *key)
{
	return key->signature_len;
}

/* A context for SHA-256 digests; NULL when there is no memory. */
static EVP_PKEY_CTX *ready(EVP_PKEY *pkey, enum sign_kind kind, bool sign)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool good = context &&
		    (sign ? EVP_PKEY_sign_init(context) : EVP_PKEY_verify_init(context)) == 1 &&
		    (kind != SIGN_RS256 ||
			    EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1) &&
		    EVP_PKEY_CTX_set_signature_md(context, openssl_digest(DIGEST_SHA256)) == 1;

	if (good)
		return context;
	EVP_PKEY_CTX_free(context);
	return NULL;
}

/* --- DER ------------------------------------------------------------------ */

static size_t write_integer(uint8_t *at, const uint8_t number[COORDINATE_LEN])
{
	size_t zeros = 0, sign, len;

	while (zeros < COORDINATE_LEN - 1 && number[zeros] == 0)
		zeros++;
	sign = number[zeros] >> 7; /* a zero byte keeps it positive */
	len = COORDINATE_LEN - zeros;

	at[0] = DER_INTEGER;
	at[1] = (uint8_t)(sign + len);
	at[2] = 0;
	memcpy(at + 2 + sign, number + zeros, len);
	return 2 + sign + len;
}

size_t sign_der_from_raw(const uint8_t raw[SIGN_RAW_LEN], uint8_t der[SIGN_DER_MAX])
{
	size_t len = write_integer(der + 2, raw);

	len += write_integer(der + 2 + len, raw + COORDINATE_LEN);
	der[0] = DER_SEQUENCE;
	der[1] = (uint8_t)len;
	return 2 + len;
}

/* Takes an integer from the front of `*rest`. */
static bool read_integer(struct str *rest, uint8_t number[COORDINATE_LEN])
{
	const uint8_t *at = (const uint8_t *)rest->at;
	size_t len;

	if (rest->len < 3 || at[0] != DER_INTEGER || at[1] == 0 || at[1] > rest->len - 2)
		return false;

	len = at[1];
	at += 2;
	*rest = str_from(*rest, 2 + len);
	if (at[0] & 0x80)
		return false; /* negative */
	if (at[0] == 0 && len > 1) {
		if (!(at[1] & 0x80))
			return false; /* not the shortest form */
		at++;
		len--;
	}
	if (len > COORDINATE_LEN)
		return false;

	memset(number, 0, COORDINATE_LEN - len);
	memcpy(number + COORDINATE_LEN - len, at, len);
	return true;
}

bool sign_raw_from_der(struct str der, uint8_t raw[SIGN_RAW_LEN])
{
	uint8_t numbers[SIGN_RAW_LEN];
	struct str rest = str_from(der, 2);

	if (der.len < 2 || der.len > SIGN_DER_MAX || (uint8_t)der.at[0] != DER_SEQUENCE ||
		(uint8_t)der.at[1] != rest.len)
		return false;
	if (!read_integer(&rest, numbers) || !read_integer(&rest, numbers + COORDINATE_LEN) ||
		rest.len != 0)
		return false;

	memcpy(raw, numbers, sizeof(numbers));
	return true;
}

/* --- making --------------------------------------------------------------- */

static bool make_rs256(EVP_PKEY_CTX *context, const uint8_t *hash, uint8_t *at, size_t len)
{
	size_t wrote = len;

	return EVP_PKEY_sign(context, at, &wrote, hash, SHA256_LEN) == 1 && wrote == len;
}

static bool make_es256(EVP_PKEY_CTX *context, const uint8_t *hash, uint8_t *at)
{
	uint8_t der[SIGN_DER_MAX];
	size_t len = sizeof(der);

	return EVP_PKEY_sign(context, der, &len, hash, SHA256_LEN) == 1 &&
	       sign_raw_from_der(str_of((const char *)der, len), at);
}

static bool make_hashed(const struct sign_key *key, struct str message, uint8_t *at)
{
	EVP_PKEY_CTX *context = ready(key->private, key->kind, true);
	uint8_t hash[SHA256_LEN];
	bool made = false;

	digest(DIGEST_SHA256, message, hash);
	if (context && key->kind == SIGN_RS256)
		made = make_rs256(context, hash, at, key->signature_len);
	else if (context)
		made = make_es256(context, hash, at);
	EVP_PKEY_CTX_free(context);
	return made;
}

static bool make_eddsa(const struct sign_key *key, struct str message, uint8_t *at)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t len = SIGN_RAW_LEN;
	bool made = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key->private) == 1 &&
		    EVP_DigestSign(context, at, &len, openssl_bytes(message), message.len) == 1 &&
		    len == SIGN_RAW_LEN;

	EVP_MD_CTX_free(context);
	return made;
}

int sign_make(const struct sign_key *key, struct str message, uint8_t *at, size_t room)
{
	bool made;

	if (!key->private)
		return fail(ERR_INVALID, "a public key cannot sign");
	if (room < key->signature_len)
		return fail(ERR_INVALID, "a signature needs %zu bytes", key->signature_len);

	made = key->kind == SIGN_EDDSA ? make_eddsa(key, message, at)
				       : make_hashed(key, message, at);
	if (!made)
		return openssl_fail(ERR_INTERNAL, "signing failed");
	return (int)key->signature_len;
}

/* --- verifying ------------------------------------------------------------ */

/* This thread's context for the key; NULL when there is no memory. */
static EVP_PKEY_CTX *verifier_of(const struct sign_key *key)
{
	struct verifier *slot = &openssl_thread()->verifiers[key->serial % VERIFIERS];
	EVP_PKEY_CTX *context;

	if (LIKELY(slot->serial == key->serial))
		return slot->context;

	context = ready(key->public, key->kind, false);
	if (!context)
		return NULL;

	EVP_PKEY_CTX_free(slot->context);
	*slot = (struct verifier){ .serial = key->serial, .context = context };
	return context;
}

static bool verify_hashed(
	const struct sign_key *key, EVP_PKEY_CTX *context, struct str message, struct str signature)
{
	uint8_t hash[SHA256_LEN], der[SIGN_DER_MAX];
	struct str given = signature;

	digest(DIGEST_SHA256, message, hash);
	if (key->kind == SIGN_ES256)
		given = str_of(
			(const char *)der, sign_der_from_raw((const uint8_t *)signature.at, der));
	return EVP_PKEY_verify(context, openssl_bytes(given), given.len, hash, sizeof(hash)) == 1;
}

static bool verify_eddsa(
	const struct sign_key *key, EVP_MD_CTX *context, struct str message, struct str signature)
{
	return EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->public) == 1 &&
	       EVP_DigestVerify(context, openssl_bytes(signature), signature.len,
		       openssl_bytes(message), message.len) == 1;
}

int sign_verify(const struct sign_key *key, struct str message, struct str signature)
{
	EVP_PKEY_CTX *context = NULL;
	EVP_MD_CTX *one_shot = NULL;
	bool good;

	if (signature.len != key->signature_len)
		return fail(ERR_UNAUTHORIZED, "the signature is not valid");

	if (key->kind == SIGN_EDDSA)
		one_shot = EVP_MD_CTX_new();
	else
		context = verifier_of(key);
	if (!context && !one_shot)
		return openssl_fail(ERR_NO_MEMORY, "no memory to verify a signature");

	good = context ? verify_hashed(key, context, message, signature)
		       : verify_eddsa(key, one_shot, message, signature);
	EVP_MD_CTX_free(one_shot);
	return good ? 0 : openssl_fail(ERR_UNAUTHORIZED, "the signature is not valid");
}
