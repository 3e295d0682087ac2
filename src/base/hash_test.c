/* The hash against values of another implementation (CPython 3.11 with a key of zeros). */
#include "base/hash.h"

#include "base/test.h"

TEST(hash_is_siphash_1_3)
{
	static const struct {
		struct str text;
		uint64_t hash;
	} cases[] = {
		{ S_INIT("a"), 0x407448d2b89b1813u },
		{ S_INIT("abcdefg"), 0x6db12aae9070f506u },
		{ S_INIT("abcdefgh"), 0x3f7b849c0b8e35eau },
		{ S_INIT("the quick brown fox"), 0x5a17575ad3449cbau },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT(hash_keyed((struct hash_key){ 0, 0 }, cases[i].text) == cases[i].hash);
}

TEST(hash_depends_on_the_key)
{
	struct str text = S("abcdefgh");

	EXPECT(hash_keyed((struct hash_key){ 1, 0 }, text) !=
		hash_keyed((struct hash_key){ 0, 1 }, text));
	EXPECT(hash_str(text) != hash_keyed((struct hash_key){ 0, 0 }, text));
	EXPECT(hash_str(text) == hash_str(text));
	EXPECT(hash_str(S("")) != hash_str(S("\0")));
	EXPECT(hash_str(str_of(NULL, 0)) == hash_str(S("")));
}
