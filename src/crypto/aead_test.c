/*
 * Sealed boxes: published vectors (McGrew and Viega's for AES-256-GCM, RFC 8439 for the other) are
 * opened as boxes put together by hand; every bit of a box is turned.
 */
#include "crypto/aead.h"

#include "base/err.h"
#include "crypto/digest.h"
#include "crypto/hex_test.h"

#include <pthread.h>

static struct aead_key key_of(enum aead_kind kind, uint32_t id, struct str hex)
{
	struct hex secret = unhex(hex);
	struct aead_key key;

	REQUIRE(aead_key_init(&key, kind, id, HEX_STR(secret)) == 0);
	return key;
}

static struct aead_key some_key(enum aead_kind kind)
{
	return key_of(kind, 0x01020304,
		S("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"));
}

TEST(aead_vectors)
{
	static const struct {
		enum aead_kind kind;
		struct str key, nonce, associated, plain, cipher, tag;
	} cases[] = {
		{ AEAD_AES_256_GCM,
			S_INIT("00000000000000000000000000000000"
			       "00000000000000000000000000000000"),
			S_INIT("000000000000000000000000"), S_INIT(""), S_INIT(""), S_INIT(""),
			S_INIT("530f8afbc74536b9a963b4f1c4cb738b") },
		{ AEAD_AES_256_GCM,
			S_INIT("00000000000000000000000000000000"
			       "00000000000000000000000000000000"),
			S_INIT("000000000000000000000000"), S_INIT(""),
			S_INIT("00000000000000000000000000000000"),
			S_INIT("cea7403d4d606b6e074ec5d3baf39d18"),
			S_INIT("d0d1c8a799996bf0265b98b5d48ab919") },
		{ AEAD_AES_256_GCM,
			S_INIT("feffe9928665731c6d6a8f9467308308"
			       "feffe9928665731c6d6a8f9467308308"),
			S_INIT("cafebabefacedbaddecaf888"),
			S_INIT("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
			S_INIT("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			       "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"),
			S_INIT("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			       "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"),
			S_INIT("76fc6ece0f4e1768cddf8853bb2d551b") },
		{ AEAD_CHACHA20_POLY1305,
			S_INIT("808182838485868788898a8b8c8d8e8f"
			       "909192939495969798999a9b9c9d9e9f"),
			S_INIT("070000004041424344454647"), S_INIT("50515253c0c1c2c3c4c5c6c7"),
			S_INIT("4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
			       "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
			       "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
			       "637265656e20776f756c642062652069742e"),
			S_INIT("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
			       "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
			       "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
			       "3ff4def08e4b7a9de576d26586cec64b6116"),
			S_INIT("1ae10b594f09e26a7e902ecbd0600691") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct aead_key key = key_of(cases[i].kind, 7, cases[i].key);
		struct hex associated = unhex(cases[i].associated);
		struct str parts[] = { cases[i].kind == AEAD_AES_256_GCM ? S("01") : S("02"),
			S("00000007"), cases[i].nonce, cases[i].cipher, cases[i].tag };
		char text[2 * HEX_ROOM], plain[HEX_ROOM];
		size_t len = 0;
		struct hex box;

		for (size_t part = 0; part < LEN(parts); len += parts[part++].len)
			memcpy(text + len, parts[part].at, parts[part].len);
		box = unhex(str_of(text, len));
		EXPECT_INT(aead_open(&key, HEX_STR(associated), HEX_STR(box), plain), 0);
		EXPECT_HEX(plain, cases[i].plain.len / 2, cases[i].plain);
	}
}

TEST(aead_round_trip)
{
	static const enum aead_kind kinds[] = { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };
	char plain[300], box[300 + AEAD_OVERHEAD], again[300 + AEAD_OVERHEAD], back[300];

	memset(plain, 'p', sizeof(plain));
	for (size_t i = 0; i < LEN(kinds); i++) {
		struct aead_key key = some_key(kinds[i]);

		for (size_t len = 0; len <= sizeof(plain); len += 20) {
			struct str sealed = str_of(box, len + AEAD_OVERHEAD);
			uint32_t id = 0;

			EXPECT_INT(aead_seal(&key, S("row"), str_of(plain, len), box), 0);
			EXPECT_INT(aead_seal(&key, S("row"), str_of(plain, len), again), 0);
			EXPECT(memcmp(box, again, sealed.len) != 0); /* the nonce is new */
			EXPECT_INT(aead_box_key(sealed, &id), 0);
			EXPECT_INT(id, 0x01020304);
			EXPECT_INT(aead_open(&key, S("row"), sealed, back), 0);
			EXPECT_STR(str_of(back, len), str_of(plain, len));
		}
	}
}

/* Opening fails with the one error, and leaves nothing of the plain text. */
static bool refused(const struct aead_key *key, struct str associated, struct str box)
{
	char plain[64], zero[64] = { 0 };
	size_t len = box.len < AEAD_OVERHEAD ? 0 : box.len - AEAD_OVERHEAD;

	memset(plain, 'x', sizeof(plain));
	return aead_open(key, associated, box, plain) == -ERR_INVALID &&
	       str_eq(str_from_c(err_text()), S("the sealed box does not open")) &&
	       err_last()->depth == 1 && memcmp(plain, zero, len) == 0;
}

TEST(aead_refuses_every_changed_bit)
{
	static const enum aead_kind kinds[] = { AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 };
	struct str plain = S("forty-two bytes of something quite secret!");
	char box[64 + AEAD_OVERHEAD], back[64];

	for (size_t i = 0; i < LEN(kinds); i++) {
		struct aead_key key = some_key(kinds[i]);
		struct str sealed = str_of(box, plain.len + AEAD_OVERHEAD);

		REQUIRE(aead_seal(&key, S("ad"), plain, box) == 0);
		for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
			box[bit / 8] ^= (char)(1 << bit % 8);
			test_note(
				refused(&key, S("ad"), sealed), __FILE__, __LINE__, "bit %zu", bit);
			box[bit / 8] ^= (char)(1 << bit % 8);
		}
		EXPECT_INT(aead_open(&key, S("ad"), sealed, back), 0);
		EXPECT_STR(str_of(back, plain.len), plain);

		for (size_t len = 0; len < sealed.len; len++)
			EXPECT(refused(&key, S("ad"), str_first(sealed, len)));
		EXPECT(refused(&key, S("ad"), str_of(box, sealed.len + 1)));
		EXPECT(refused(&key, S("ae"), sealed));
		EXPECT(refused(&key, S(""), sealed));
		EXPECT(refused(&key, S("ad\0"), sealed));
	}
}

TEST(aead_refuses_another_key)
{
	struct aead_key key = some_key(AEAD_AES_256_GCM), other = key;
	char box[6 + AEAD_OVERHEAD];
	struct str sealed = str_of(box, sizeof(box));

	REQUIRE(aead_seal(&key, S(""), S("secret"), box) == 0);
	other.bytes[31] ^= 1;
	EXPECT(refused(&other, S(""), sealed));
	other = key;
	other.id++;
	EXPECT(refused(&other, S(""), sealed));
	other = key;
	other.kind = AEAD_CHACHA20_POLY1305;
	EXPECT(refused(&other, S(""), sealed));
	EXPECT(!refused(&key, S(""), sealed));
}

TEST(aead_keys)
{
	struct aead_key key = some_key(AEAD_AES_256_GCM), same, other;
	struct aead_key zero;

	EXPECT_INT(aead_key_init(&same, AEAD_AES_256_GCM, 1, S("too short")), -ERR_INVALID);
	EXPECT_INT(aead_key_init(&same, 0, 1, S("01234567890123456789012345678901")), -ERR_INVALID);
	EXPECT_INT(aead_key_init(&same, AEAD_KINDS, 1, S("01234567890123456789012345678901")),
		-ERR_INVALID);

	aead_key_derive(&key, S("tenant/1"), &same);
	aead_key_derive(&key, S("tenant/2"), &other);
	EXPECT(memcmp(same.bytes, other.bytes, AEAD_KEY_LEN) != 0);
	EXPECT(same.id == key.id && same.kind == key.kind);
	other = key;
	aead_key_derive(&other, S("tenant/1"), &other); /* in place */
	EXPECT(memcmp(same.bytes, other.bytes, AEAD_KEY_LEN) == 0);

	memset(&zero, 0, sizeof(zero));
	aead_key_done(&key);
	EXPECT(memcmp(&key, &zero, sizeof(key)) == 0);
}

TEST(aead_limits)
{
	struct aead_key key = some_key(AEAD_AES_256_GCM);
	struct str huge = str_of("", (size_t)AEAD_PLAIN_MAX + 1);
	char box[AEAD_OVERHEAD];
	uint32_t id = 5;

	EXPECT_INT(aead_seal(&key, S(""), huge, box), -ERR_TOO_LARGE);
	EXPECT_INT(aead_seal(&key, huge, S(""), box), -ERR_TOO_LARGE);
	REQUIRE(aead_seal(&key, S(""), S(""), box) == 0);
	EXPECT_INT(aead_open(&key, huge, str_of(box, sizeof(box)), box), -ERR_INVALID);
	EXPECT_INT(aead_box_key(S("short"), &id), -ERR_INVALID);
	EXPECT_INT(id, 5);
}

static void *seal_much(void *arg)
{
	struct aead_key key = some_key(AEAD_AES_256_GCM);
	size_t *right = arg;

	for (int i = 0; i < 2000; i++) {
		char box[5 + AEAD_OVERHEAD], plain[5];

		*right += aead_seal(&key, S("x"), S("plain"), box) == 0 &&
			  aead_open(&key, S("x"), str_of(box, sizeof(box)), plain) == 0 &&
			  memcmp(plain, "plain", 5) == 0;
	}
	return NULL;
}

TEST(aead_in_threads)
{
	size_t right[2] = { 0 };
	pthread_t other;

	REQUIRE(pthread_create(&other, NULL, seal_much, &right[0]) == 0);
	(void)seal_much(&right[1]);
	REQUIRE(pthread_join(other, NULL) == 0);
	EXPECT_INT(right[0] + right[1], 4000);
}
