/*
 * Digests on kept contexts. HMAC and HKDF are the few lines of their standards over them, so that
 * no key stays behind in a context of the library.
 */
#include "crypto/digest.h"

#include "base/err.h"
#include "crypto/library.h"
#include "crypto/openssl.h"

#include <openssl/crypto.h>
#include <stdatomic.h>

enum { BLOCK_MAX = 128 };

static const struct {
	const char *name;
	size_t len, block;
} kinds[DIGEST_KINDS] = {
	[DIGEST_SHA256] = { "SHA2-256", SHA256_LEN, 64 },
	[DIGEST_SHA384] = { "SHA2-384", SHA384_LEN, 128 },
	[DIGEST_SHA512] = { "SHA2-512", SHA512_LEN, 128 },
	[DIGEST_SHA1] = { "SHA1", SHA1_LEN, 64 },
};

size_t digest_len(enum digest_kind kind)
{
	return kinds[kind].len;
}

EVP_MD *openssl_digest(enum digest_kind kind)
{
	static _Atomic(EVP_MD *) fetched[DIGEST_KINDS];
	EVP_MD *mine = atomic_load_explicit(&fetched[kind], memory_order_acquire);
	EVP_MD *first = NULL;

	if (LIKELY(mine))
		return mine;

	crypto_start();
	mine = EVP_MD_fetch(NULL, kinds[kind].name, NULL);
	CHECK(mine);
	if (atomic_compare_exchange_strong(&fetched[kind], &first, mine))
		return mine;

	EVP_MD_free(mine); /* another thread was faster */
	return first;
}

/* This thread's context of the kind, begun. */
static EVP_MD_CTX *begin(enum digest_kind kind)
{
	EVP_MD_CTX **context = &openssl_thread()->digests[kind];

	if (UNLIKELY(!*context)) {
		*context = EVP_MD_CTX_new();
		CHECK(*context);
	}
	CHECK(EVP_DigestInit_ex2(*context, openssl_digest(kind), NULL) == 1);
	return *context;
}

static void add(EVP_MD_CTX *context, struct str data)
{
	CHECK(EVP_DigestUpdate(context, openssl_bytes(data), data.len) == 1);
}

static void end(EVP_MD_CTX *context, uint8_t *at)
{
	CHECK(EVP_DigestFinal_ex(context, at, NULL) == 1);
}

void digest_parts(enum digest_kind kind, const struct str *parts, size_t count, uint8_t *at)
{
	EVP_MD_CTX *context = begin(kind);

	for (size_t i = 0; i < count; i++)
		add(context, parts[i]);
	end(context, at);
}

void digest(enum digest_kind kind, struct str data, uint8_t *at)
{
	digest_parts(kind, &data, 1, at);
}

int digest_begin(struct digest *digest, enum digest_kind kind)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	*digest = (struct digest){ .kind = kind };
	if (!context || EVP_DigestInit_ex2(context, openssl_digest(kind), NULL) != 1) {
		EVP_MD_CTX_free(context);
		return openssl_fail(ERR_NO_MEMORY, "no memory for a digest");
	}

	digest->context = context;
	return 0;
}

void digest_add(struct digest *digest, struct str data)
{
	CHECK(digest->context);
	add(digest->context, data);
}

void digest_end(struct digest *digest, uint8_t *at)
{
	CHECK(digest->context);
	end(digest->context, at);
	digest_done(digest);
}

void digest_done(struct digest *digest)
{
	EVP_MD_CTX_free(digest->context);
	digest->context = NULL;
}

/* Turns the padded key from one constant to the other (0: from none). */
static void pad_with(uint8_t *pad, size_t len, uint8_t difference)
{
	for (size_t i = 0; i < len; i++)
		pad[i] ^= difference;
}

void hmac_parts(
	enum digest_kind kind, struct str key, const struct str *parts, size_t count, uint8_t *at)
{
	enum { INNER = 0x36, OUTER = 0x5c };
	size_t block = kinds[kind].block, len = kinds[kind].len;
	uint8_t pad[BLOCK_MAX] = { 0 }, inner[DIGEST_MAX];
	EVP_MD_CTX *context;

	if (key.len > block)
		digest(kind, key, pad);
	else if (key.len)
		memcpy(pad, key.at, key.len);

	pad_with(pad, block, INNER);
	context = begin(kind);
	add(context, str_of((const char *)pad, block));
	for (size_t i = 0; i < count; i++)
		add(context, parts[i]);
	end(context, inner);

	pad_with(pad, block, INNER ^ OUTER);
	context = begin(kind);
	add(context, str_of((const char *)pad, block));
	add(context, str_of((const char *)inner, len));
	end(context, at);

	crypto_wipe(pad, sizeof(pad));
	crypto_wipe(inner, sizeof(inner));
}

void hmac(enum digest_kind kind, struct str key, struct str data, uint8_t *at)
{
	hmac_parts(kind, key, &data, 1, at);
}

void hkdf_sha256(struct str secret, struct str salt, struct str info, void *at, size_t len)
{
	uint8_t key[SHA256_LEN], block[SHA256_LEN];
	struct str key_bytes = str_of((const char *)key, sizeof(key));
	uint8_t *out = at;
	uint8_t round = 0;

	CHECK(len <= HKDF_MAX);

	hmac(DIGEST_SHA256, salt, secret, key);
	while (len > 0) {
		size_t take = MIN(len, sizeof(block));
		struct str parts[] = {
			str_of((const char *)block, round ? sizeof(block) : 0),
			info,
			str_of((const char *)&round, 1),
		};

		round++;
		hmac_parts(DIGEST_SHA256, key_bytes, parts, LEN(parts), block);
		memcpy(out, block, take);
		out += take;
		len -= take;
	}

	crypto_wipe(key, sizeof(key));
	crypto_wipe(block, sizeof(block));
}

bool crypto_equal(struct str a, struct str b)
{
	return a.len == b.len && CRYPTO_memcmp(openssl_bytes(a), openssl_bytes(b), a.len) == 0;
}

void crypto_wipe(void *at, size_t len)
{
	if (len)
		OPENSSL_cleanse(at, len);
}
