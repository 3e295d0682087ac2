/*
 * Everything of the crypto folder that reads text or bytes from outside. The first byte chooses the
 * reader; laws are checked on what it accepts: what was read can be written and is then the same.
 */
#include "crypto/aead.h"
#include "crypto/base64.h"
#include "crypto/password.h"
#include "crypto/sign.h"
#include "crypto/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 4096 };

/* A key that was accepted is written as PEM, which must give the same key. */
static void check_key(struct sign_key *key)
{
	struct sign_key *again = NULL;
	struct buf text;

	buf_init(&text, SIGN_PEM_MAX);
	CHECK(sign_key_write_public(key, &text) == 0);
	CHECK(sign_key_from_pem(buf_str(&text), &again) == 0);
	CHECK(str_eq(sign_key_id(key), sign_key_id(again)));
	buf_done(&text);
	sign_key_unref(again);
	sign_key_unref(key);
}

static void fuzz_pem(struct str text)
{
	struct sign_key *key = NULL;

	if (sign_key_from_pem(text, &key) == 0)
		check_key(key);
}

static void fuzz_jwk(struct str text)
{
	struct sign_key *key = NULL;
	struct sign_jwk jwk = { .kty = str_cut(&text, '\n') };

	jwk.crv = str_cut(&text, '\n');
	jwk.n = jwk.x = str_cut(&text, '\n');
	jwk.e = jwk.y = str_cut(&text, '\n');
	if (sign_key_from_jwk(&jwk, &key) == 0)
		check_key(key);
}

static void fuzz_password(struct str text)
{
	const struct password_cost cost = { PASSWORD_MEMORY_KB_MIN, 1, 1 };
	size_t memory;

	if (password_memory(text, &memory) == 0)
		CHECK(memory <= (size_t)PASSWORD_MEMORY_KB_MAX * KILOBYTE + MEGABYTE);
	else
		CHECK(password_needs_rehash(text, &cost));
}

static void fuzz_base64(struct str text)
{
	char bytes[TEXT_MAX], back[TEXT_MAX];
	size_t len;

	for (enum base64_kind kind = 0; kind < BASE64_KINDS; kind++)
		if (text.len <= sizeof(bytes) &&
			base64_read(kind, text, bytes, sizeof(bytes), &len))
			CHECK(str_eq(
				str_of(back, base64_write(kind, back, str_of(bytes, len))), text));
}

static void fuzz_der(struct str der)
{
	uint8_t raw[SIGN_RAW_LEN], back[SIGN_DER_MAX];

	if (sign_raw_from_der(der, raw))
		CHECK(str_eq(str_of((char *)back, sign_der_from_raw(raw, back)), der));
}

static void fuzz_uuid(struct str text)
{
	char back[UUID_TEXT_LEN];
	struct uuid uuid;

	if (uuid_parse(text, &uuid)) {
		uuid_write(back, &uuid);
		CHECK(str_eq_nocase(str_of(back, sizeof(back)), text));
	}
}

static void fuzz_box(struct str box)
{
	struct aead_key key = { .kind = AEAD_AES_256_GCM, .id = 1 };
	char plain[TEXT_MAX];

	if (box.len <= sizeof(plain))
		CHECK(aead_open(&key, S(""), box, plain) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(struct str) = { fuzz_pem, fuzz_jwk, fuzz_password,
		fuzz_base64, fuzz_der, fuzz_uuid, fuzz_box };

	if (size > 0)
		readers[data[0] % LEN(readers)](str_of((const char *)data + 1, size - 1));
	return 0;
}
