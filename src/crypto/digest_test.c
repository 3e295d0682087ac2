/* Digests against FIPS 180-4's examples, HMAC against RFC 4231 and RFC 2202, HKDF against RFC 5869.
 */
#include "crypto/digest.h"

#include "base/err.h"
#include "crypto/hex_test.h"

#include <pthread.h>

TEST(digest_examples)
{
	static const struct {
		enum digest_kind kind;
		struct str data, wanted;
	} cases[] = {
		{ DIGEST_SHA256, S_INIT("abc"),
			S_INIT("ba7816bf8f01cfea414140de5dae2223"
			       "b00361a396177a9cb410ff61f20015ad") },
		{ DIGEST_SHA256, S_INIT(""),
			S_INIT("e3b0c44298fc1c149afbf4c8996fb924"
			       "27ae41e4649b934ca495991b7852b855") },
		{ DIGEST_SHA256, S_INIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
			S_INIT("248d6a61d20638b8e5c026930c3e6039"
			       "a33ce45964ff2167f6ecedd419db06c1") },
		{ DIGEST_SHA384, S_INIT("abc"),
			S_INIT("cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
			       "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7") },
		{ DIGEST_SHA512, S_INIT("abc"),
			S_INIT("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
			       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49"
			       "f") },
		{ DIGEST_SHA1, S_INIT("abc"), S_INIT("a9993e364706816aba3e25717850c26c9cd0d89d") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		uint8_t got[DIGEST_MAX];

		digest(cases[i].kind, cases[i].data, got);
		EXPECT_HEX(got, digest_len(cases[i].kind), cases[i].wanted);
	}
}

/* However the data is cut, one-shot, in parts or over time, the digest is the same. */
TEST(digest_is_blind_to_cuts)
{
	char data[300];
	uint64_t seed = 9;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)test_random(&seed);

	for (enum digest_kind kind = 0; kind < DIGEST_KINDS; kind++) {
		uint8_t whole[DIGEST_MAX] = { 0 }, other[DIGEST_MAX] = { 0 };

		digest(kind, str_of(data, sizeof(data)), whole);
		for (size_t cut = 0; cut <= sizeof(data); cut += 13) {
			struct str parts[] = { str_of(data, cut), str_of(NULL, 0),
				str_of(data + cut, sizeof(data) - cut) };
			struct digest running;

			digest_parts(kind, parts, LEN(parts), other);
			EXPECT(memcmp(whole, other, sizeof(whole)) == 0);

			REQUIRE(digest_begin(&running, kind) == 0);
			for (size_t i = 0; i < LEN(parts); i++) {
				digest_add(&running, parts[i]);
				digest(kind, S("between"), other); /* does not disturb it */
			}
			digest_end(&running, other);
			EXPECT(memcmp(whole, other, digest_len(kind)) == 0);
		}
	}
}

TEST(digest_given_up)
{
	struct digest running = { 0 };

	digest_done(&running);
	REQUIRE(digest_begin(&running, DIGEST_SHA512) == 0);
	digest_add(&running, S("a"));
	digest_done(&running);
	digest_done(&running);
	EXPECT(!running.context);
}

TEST(hmac_rfc4231)
{
	static const struct {
		size_t key_len, data_len; /* of the bytes below, when the text is empty */
		int key_byte, data_byte;
		struct str key, data, sha256, sha384, sha512;
	} cases[] = {
		{ 20, 0, 0xb, 0x0, S_INIT(""), S_INIT("Hi There"),
			S_INIT("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
			S_INIT("afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
			       "faea9ea9076ede7f4af152e8b2fa9cb6"),
			S_INIT("87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
			       "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a12685"
			       "4") },
		{ 0, 0, 0x0, 0x0, S_INIT("Jefe"), S_INIT("what do ya want for nothing?"),
			S_INIT("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
			S_INIT("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
			       "8e2240ca5e69e2c78b3239ecfab21649"),
			S_INIT("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
			       "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce73"
			       "7") },
		{ 20, 50, 0xaa, 0xdd, S_INIT(""), S_INIT(""),
			S_INIT("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
			S_INIT("88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b"
			       "2a5ab39dc13814b94e3ab6e101a34f27"),
			S_INIT("fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39"
			       "bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292f"
			       "b") },
		{ 25, 50, 0x0, 0xcd,
			S_INIT("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
			       "\x11\x12\x13\x14\x15\x16\x17\x18\x19"),
			S_INIT(""),
			S_INIT("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
			S_INIT("3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e"
			       "6801dd23c4a7d679ccf8a386c674cffb"),
			S_INIT("b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db"
			       "a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298d"
			       "d") },
		{ 131, 0, 0xaa, 0x0, S_INIT(""),
			S_INIT("Test Using Larger Than Block-Size Key - Hash Key First"),
			S_INIT("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
			S_INIT("4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
			       "0c2ef6ab4030fe8296248df163f44952"),
			S_INIT("80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
			       "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d78659"
			       "8") },
		{ 131, 0, 0xaa, 0x0, S_INIT(""),
			S_INIT("This is a test using a larger than block-size key and a larger t"
			       "han block-size data. The key needs to be hashed before being use"
			       "d by the HMAC algorithm."),
			S_INIT("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
			S_INIT("6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5"
			       "a678cc31e799176d3860e6110c46523e"),
			S_INIT("e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944"
			       "b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a5"
			       "8") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char key_room[131], data_room[131];
		struct str key = cases[i].key, data = cases[i].data;
		uint8_t got[DIGEST_MAX];

		if (!key.len)
			key = str_of(memset(key_room, cases[i].key_byte, sizeof(key_room)),
				cases[i].key_len);
		if (!data.len)
			data = str_of(memset(data_room, cases[i].data_byte, sizeof(data_room)),
				cases[i].data_len);
		hmac(DIGEST_SHA256, key, data, got);
		EXPECT_HEX(got, SHA256_LEN, cases[i].sha256);
		hmac(DIGEST_SHA384, key, data, got);
		EXPECT_HEX(got, SHA384_LEN, cases[i].sha384);
		hmac(DIGEST_SHA512, key, data, got);
		EXPECT_HEX(got, SHA512_LEN, cases[i].sha512);
	}
}

/* A key of exactly a block, one more, and none (checked with another implementation). */
TEST(hmac_key_lengths)
{
	static const struct {
		size_t len;
		struct str wanted;
	} cases[] = {
		{ 0, S_INIT("e528c4d99e6177f5841f712a143b90843299a4aa181a06501422d9ca862bd2a5") },
		{ 1, S_INIT("98755ce7a0d431b5d7b8ec8e343ada3bcaa4f6c44ca468cffcbaa9c273634dd7") },
		{ 63, S_INIT("ac606b54f050fbdd53bb5848b99dd0bb6f1222bd375ea2aaf66f1af02fcf73e7") },
		{ 64, S_INIT("93244b031118b8060c6619e5900fcf916faefb2d8d020fecb22ae0f62275db08") },
		{ 65, S_INIT("a79b53d0bf1cb4bb00c301979e6e60ef792a435cafabd76ab9e8989bbdef2dff") },
		{ 129, S_INIT("b45d1b4d2a3c14a7aeb67d412235a02037ae5751cf38dd37498ded9ce127cd83") },
	};
	char key[129];

	memset(key, 'k', sizeof(key));
	for (size_t i = 0; i < LEN(cases); i++) {
		uint8_t got[DIGEST_MAX];

		hmac(DIGEST_SHA256, str_of(cases[i].len ? key : NULL, cases[i].len), S("data"),
			got);
		EXPECT_HEX(got, SHA256_LEN, cases[i].wanted);
	}
}

TEST(hmac_sha1_rfc2202)
{
	uint8_t got[DIGEST_MAX];

	hmac(DIGEST_SHA1, S("Jefe"), S("what do ya want for nothing?"), got);
	EXPECT_HEX(got, SHA1_LEN, S("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"));
}

TEST(hmac_rfc7515)
{
	char key[64], signature[BASE64_SIZE(SHA256_LEN)];
	uint8_t got[SHA256_LEN];

	REQUIRE(base64_read_exact(BASE64_URL,
		S("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1"
		  "Z9CAow"),
		key, sizeof(key)));
	hmac(DIGEST_SHA256, str_of(key, sizeof(key)),
		S("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MT"
		  "kzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"),
		got);
	EXPECT_STR(str_of(signature,
			   base64_write(BASE64_URL, signature, str_of((char *)got, sizeof(got)))),
		S("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
}

TEST(hkdf_rfc5869)
{
	static const struct {
		struct str secret, salt, info, wanted;
	} cases[] = {
		{ S_INIT("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
			S_INIT("000102030405060708090a0b0c"), S_INIT("f0f1f2f3f4f5f6f7f8f9"),
			S_INIT("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
			       "34007208d5b887185865") },
		{ S_INIT("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
			 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
			 "404142434445464748494a4b4c4d4e4f"),
			S_INIT("606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
			       "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
			       "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"),
			S_INIT("b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
			       "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
			       "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"),
			S_INIT("b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
			       "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
			       "cc30c58179ec3e87c14c01d5c1f3434f1d87") },
		{ S_INIT("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), S_INIT(""), S_INIT(""),
			S_INIT("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
			       "9d201395faa4b61a96c8") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct hex secret = unhex(cases[i].secret), salt = unhex(cases[i].salt);
		struct hex info = unhex(cases[i].info);
		uint8_t got[128];
		size_t len = cases[i].wanted.len / 2;

		hkdf_sha256(HEX_STR(secret), HEX_STR(salt), HEX_STR(info), got, len);
		EXPECT_HEX(got, len, cases[i].wanted);
	}
}

TEST(hkdf_longest)
{
	static uint8_t bytes[HKDF_MAX], last[SHA256_LEN];

	hkdf_sha256(S("secret"), S("salt"), S("info"), bytes, sizeof(bytes));
	memcpy(last, bytes + sizeof(bytes) - sizeof(last), sizeof(last));
	EXPECT_HEX(last, sizeof(last),
		S("568fe149e421479495e803a1dad7d4d0608ce9a3384a329dbdad5279657624f6"));
}

TEST(equal_and_wipe)
{
	char secret[] = "secret";

	EXPECT(crypto_equal(S("abc"), S("abc")) && crypto_equal(S(""), str_of(NULL, 0)));
	EXPECT(!crypto_equal(S("abc"), S("abd")) && !crypto_equal(S("abc"), S("ab")));
	EXPECT(!crypto_equal(S("\0a"), S("\0b")));
	crypto_wipe(secret, sizeof(secret));
	EXPECT_STR(str_of(secret, sizeof(secret)), S("\0\0\0\0\0\0\0"));
	crypto_wipe(NULL, 0);
}

static void *digest_much(void *arg)
{
	uint8_t got[DIGEST_MAX];
	size_t *right = arg;

	for (int i = 0; i < 1000; i++)
		for (enum digest_kind kind = 0; kind < DIGEST_KINDS; kind++) {
			digest(kind, S("abc"), got);
			*right += got[0] == (const uint8_t[]){ 0xba, 0xcb, 0xdd, 0xa9 }[kind];
		}
	return NULL;
}

/* Each thread has its own contexts, and both may be the first to fetch an algorithm. */
TEST(digest_in_threads)
{
	size_t right[2] = { 0 };
	pthread_t other;

	REQUIRE(pthread_create(&other, NULL, digest_much, &right[0]) == 0);
	(void)digest_much(&right[1]);
	REQUIRE(pthread_join(other, NULL) == 0);
	EXPECT_INT(right[0] + right[1], 8000);
}
