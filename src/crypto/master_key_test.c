/* The key of the installation. */
#include "crypto/master_key.h"

#include "base/err.h"
#include "base/test.h"
#include "crypto/digest.h"

#define HEX "00ff02030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

TEST(master_key_is_read_in_the_forms_that_tools_write)
{
	static const char *const same[] = { HEX,
		"00FF02030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
		"AP8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
		"AP8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" };
	static const char *const bad[] = { "", "00", HEX "0", HEX "00", "secret",
		"AP8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
		" AP8CAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" };
	struct master_key first, key;

	REQUIRE(master_key_parse(S(HEX), &first) == 0);
	EXPECT_INT(first.bytes[1], 0xff);
	for (size_t i = 0; i < LEN(same); i++) {
		EXPECT_INT(master_key_parse(str_from_c(same[i]), &key), 0);
		EXPECT(memcmp(&key, &first, sizeof(key)) == 0);
	}
	for (size_t i = 0; i < LEN(bad); i++)
		EXPECT_INT(master_key_parse(str_from_c(bad[i]), &key), -ERR_INVALID);
}

TEST(master_key_made_is_read_back)
{
	struct master_key made, key, other;
	char text[MASTER_KEY_TEXT_LEN], another[MASTER_KEY_TEXT_LEN];

	master_key_make(&made, text);
	master_key_make(&other, another);
	EXPECT(memcmp(&made, &other, sizeof(made)) != 0);
	REQUIRE(master_key_parse(str_of(text, sizeof(text)), &key) == 0);
	EXPECT(memcmp(&made, &key, sizeof(made)) == 0);
}

TEST(master_key_purposes_have_keys_of_their_own)
{
	struct master_key key, other;
	uint8_t a[MASTER_KEY_LEN], again[MASTER_KEY_LEN], b[MASTER_KEY_LEN], c[MASTER_KEY_LEN];

	REQUIRE(master_key_parse(S(HEX), &key) == 0);
	other = key;
	other.bytes[31] ^= 1;
	master_key_derive(&key, S("audit/chain"), a);
	master_key_derive(&key, S("audit/chain"), again);
	master_key_derive(&key, S("audit/heads"), b);
	master_key_derive(&other, S("audit/chain"), c);
	EXPECT(memcmp(a, again, sizeof(a)) == 0);
	EXPECT(memcmp(a, b, sizeof(a)) != 0);
	EXPECT(memcmp(a, c, sizeof(a)) != 0);
	EXPECT(memcmp(a, key.bytes, sizeof(a)) != 0);
}
