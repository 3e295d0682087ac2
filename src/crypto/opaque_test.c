/* Carried secrets: there and back, and every single mistake found. */
#include "crypto/opaque.h"

#include "base/test.h"
#include "crypto/digest.h"

#include <stdio.h>

static const char prefix_text[] = "bh_sk_";
#define PREFIX str_of(prefix_text, sizeof(prefix_text) - 1)

/* RFC 4648 section 10, in small letters and without padding. */
TEST(opaque_is_base32)
{
	static const struct {
		struct str bytes;
		const char *digits;
	} rows[] = { { S_INIT(""), "" }, { S_INIT("f"), "my" }, { S_INIT("fo"), "mzxq" },
		{ S_INIT("foo"), "mzxw6" }, { S_INIT("foob"), "mzxw6yq" },
		{ S_INIT("fooba"), "mzxw6ytb" }, { S_INIT("foobar"), "mzxw6ytboi" } };

	for (size_t i = 0; i < LEN(rows); i++) {
		char text[64];
		size_t len = OPAQUE_LEN(6, rows[i].bytes.len);

		opaque_write(text, PREFIX, rows[i].bytes);
		EXPECT_STR(str_of(text, len - OPAQUE_CHECK_LEN),
			str_from_c(
				(snprintf(text + 40, 24, "bh_sk_%s", rows[i].digits), text + 40)));
	}
}

TEST(opaque_there_and_back)
{
	for (uint64_t seed = 1; seed <= 2000; seed++) {
		uint64_t state = seed;
		size_t len = seed % (OPAQUE_BYTES_MAX + 1);
		uint8_t bytes[OPAQUE_BYTES_MAX], back[OPAQUE_BYTES_MAX];
		char text[OPAQUE_LEN(OPAQUE_PREFIX_MAX, OPAQUE_BYTES_MAX)];
		struct str whole = { text, OPAQUE_LEN(6, len) };

		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)test_random(&state);
		opaque_write(text, PREFIX, str_of((char *)bytes, len));
		REQUIRE(opaque_read(whole, PREFIX, back, len));
		EXPECT(memcmp(bytes, back, len) == 0);

		EXPECT(!opaque_read(whole, S("bh_pk_"), back, len));
		EXPECT(!opaque_read(str_first(whole, whole.len - 1), PREFIX, back, len));
		if (len > 0)
			EXPECT(!opaque_read(whole, PREFIX, back, len - 1));
	}
}

/* A wrong character is always found; 20 bits let one of a million pass, which a fixed set of cases
 * does not meet. */
TEST(opaque_mistakes)
{
	char text[OPAQUE_LEN(6, 40)], bytes[40], back[40];
	struct str whole = { text, sizeof(text) };

	memset(bytes, 0x5a, sizeof(bytes));
	opaque_write(text, PREFIX, str_of(bytes, sizeof(bytes)));
	for (size_t i = 0; i < sizeof(text); i++) {
		char was = text[i];

		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			EXPECT(opaque_read(whole, PREFIX, back, sizeof(back)) == (text[i] == was));
		}
		text[i] = was;
	}
	for (size_t i = 6; i + 1 < sizeof(text); i++) { /* neighbours swapped */
		char was = text[i];

		if (text[i] == text[i + 1])
			continue;
		text[i] = text[i + 1];
		text[i + 1] = was;
		EXPECT(!opaque_read(whole, PREFIX, back, sizeof(back)));
		text[i + 1] = text[i];
		text[i] = was;
	}
}

/* FIPS 180-4's example. */
TEST(opaque_hash_is_sha256)
{
	char hash[OPAQUE_HASH_LEN];

	opaque_hash(hash, S("abc"));
	EXPECT_STR(str_of(hash, sizeof(hash)),
		S("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
}
