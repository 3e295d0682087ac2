/* Sealed boxes on kept cipher contexts. After each use a context is given the zero key, so that it
 * does not hold a schedule of ours while it waits. */
#include "crypto/aead.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/library.h"
#include "crypto/openssl.h"
#include "crypto/random.h"

#include <endian.h>

static const char *const names[AEAD_KINDS] = {
	[AEAD_AES_256_GCM] = "AES-256-GCM",
	[AEAD_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
};

/* What one run of the cipher works on. */
struct work {
	bool seal;
	const uint8_t *nonce;
	struct str associated;
	struct str in;
	uint8_t *out;
	uint8_t *tag; /* written by sealing, compared by opening */
};

int aead_key_init(struct aead_key *ret, enum aead_kind kind, uint32_t id, struct str secret)
{
	if (kind != AEAD_AES_256_GCM && kind != AEAD_CHACHA20_POLY1305)
		return fail(ERR_INVALID, "unknown kind %d of key", (int)kind);
	if (secret.len != AEAD_KEY_LEN)
		return fail(ERR_INVALID, "a key has %d bytes, not %zu", AEAD_KEY_LEN, secret.len);

	*ret = (struct aead_key){ .kind = kind, .id = id };
	memcpy(ret->bytes, secret.at, sizeof(ret->bytes));
	return 0;
}

void aead_key_derive(const struct aead_key *master, struct str purpose, struct aead_key *ret)
{
	struct aead_key key = { .kind = master->kind, .id = master->id };

	hkdf_sha256(str_of((const char *)master->bytes, sizeof(master->bytes)), str_of(NULL, 0),
		purpose, key.bytes, sizeof(key.bytes));
	*ret = key;
	aead_key_done(&key);
}

void aead_key_done(struct aead_key *key)
{
	crypto_wipe(key, sizeof(*key));
}

/* This thread's context of the kind; NULL when there is no memory. */
static EVP_CIPHER_CTX *context_of(enum aead_kind kind)
{
	EVP_CIPHER_CTX **context = &openssl_thread()->ciphers[kind];
	EVP_CIPHER_CTX *made;
	EVP_CIPHER *cipher;

	if (LIKELY(*context))
		return *context;

	cipher = EVP_CIPHER_fetch(NULL, names[kind], NULL);
	made = EVP_CIPHER_CTX_new();
	if (cipher && made && EVP_CipherInit_ex2(made, cipher, NULL, NULL, 1, NULL) == 1)
		*context = TAKE(made);
	EVP_CIPHER_CTX_free(made);
	EVP_CIPHER_free(cipher); /* the context keeps its own reference */
	return *context;
}

static bool run(EVP_CIPHER_CTX *context, const struct aead_key *key, const struct work *work)
{
	unsigned char none[1];
	unsigned char *out = work->in.len ? work->out : none;
	int len;

	if (EVP_CipherInit_ex2(context, NULL, key->bytes, work->nonce, work->seal, NULL) != 1)
		return false;
	if (work->associated.len &&
		EVP_CipherUpdate(context, NULL, &len, openssl_bytes(work->associated),
			(int)work->associated.len) != 1)
		return false;
	if (work->in.len && EVP_CipherUpdate(context, out, &len, openssl_bytes(work->in),
				    (int)work->in.len) != 1)
		return false;
	if (!work->seal &&
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, work->tag) != 1)
		return false;
	if (EVP_CipherFinal_ex(context, out, &len) != 1)
		return false;

	return !work->seal ||
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, work->tag) == 1;
}

static void forget_key(EVP_CIPHER_CTX *context)
{
	static const uint8_t zero[AEAD_KEY_LEN];

	CHECK(EVP_CipherInit_ex2(context, NULL, zero, zero, 1, NULL) == 1);
}

int aead_seal(const struct aead_key *key, struct str associated, struct str plain, void *at)
{
	uint8_t *box = at;
	uint32_t id = htobe32(key->id);
	EVP_CIPHER_CTX *context;
	bool done;

	if (plain.len > AEAD_PLAIN_MAX || associated.len > AEAD_PLAIN_MAX)
		return fail(ERR_TOO_LARGE, "more than %d bytes to seal", AEAD_PLAIN_MAX);

	context = context_of(key->kind);
	if (!context)
		return openssl_fail(ERR_NO_MEMORY, "no memory for a cipher");

	box[0] = (uint8_t)key->kind;
	memcpy(box + 1, &id, sizeof(id));
	random_bytes(box + 1 + sizeof(id), AEAD_NONCE_LEN);

	done = run(context, key,
		&(struct work){ .seal = true,
			.nonce = box + 1 + sizeof(id),
			.associated = associated,
			.in = plain,
			.out = box + AEAD_HEAD_LEN,
			.tag = box + AEAD_HEAD_LEN + plain.len });
	forget_key(context);
	return done ? 0 : openssl_fail(ERR_INTERNAL, "sealing failed");
}

/* The one error of opening. */
static int not_opened(void)
{
	return openssl_fail(ERR_INVALID, "the sealed box does not open");
}

static bool box_head(struct str box, enum aead_kind *ret_kind, uint32_t *ret_id)
{
	uint32_t id;

	if (box.len < AEAD_OVERHEAD || box.len - AEAD_OVERHEAD > AEAD_PLAIN_MAX)
		return false;

	memcpy(&id, box.at + 1, sizeof(id));
	*ret_id = be32toh(id);
	*ret_kind = (enum aead_kind)(uint8_t)box.at[0];
	return true;
}

int aead_box_key(struct str box, uint32_t *ret_id)
{
	enum aead_kind kind;

	return box_head(box, &kind, ret_id) ? 0 : not_opened();
}

int aead_open(const struct aead_key *key, struct str associated, struct str box, void *at)
{
	EVP_CIPHER_CTX *context;
	enum aead_kind kind;
	uint8_t tag[AEAD_TAG_LEN];
	uint32_t id;
	size_t len;
	bool opened;

	if (!box_head(box, &kind, &id) || associated.len > AEAD_PLAIN_MAX)
		return not_opened();

	len = box.len - AEAD_OVERHEAD;
	if (kind != key->kind || id != key->id) {
		crypto_wipe(at, len);
		return not_opened();
	}

	context = context_of(key->kind);
	if (!context)
		return openssl_fail(ERR_NO_MEMORY, "no memory for a cipher");

	memcpy(tag, box.at + AEAD_HEAD_LEN + len, sizeof(tag));
	opened = run(context, key,
		&(struct work){ .nonce = (const uint8_t *)box.at + AEAD_HEAD_LEN - AEAD_NONCE_LEN,
			.associated = associated,
			.in = str_of(box.at + AEAD_HEAD_LEN, len),
			.out = at,
			.tag = tag });
	forget_key(context);
	if (opened)
		return 0;

	crypto_wipe(at, len);
	return not_opened();
}
