/* UUIDs: the example of RFC 9562, order, the clock's whims, text. */
#include "crypto/uuid.h"

#include "base/test.h"

#include <signal.h>

#define NOW_US ((int64_t)1790000000123456)

static struct uuid made_at(int64_t time_us)
{
	struct uuid uuid;

	uuid_v7(&uuid, time_us);
	return uuid;
}

static int64_t time_of(const struct uuid *uuid)
{
	int64_t time_us = -1;

	EXPECT(uuid_time(uuid, &time_us));
	return time_us;
}

TEST(uuid_rfc9562_example)
{
	struct uuid uuid;
	int64_t time_us = 0;
	char text[UUID_TEXT_LEN];

	REQUIRE(uuid_parse(S("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &uuid));
	EXPECT(uuid_time(&uuid, &time_us));
	EXPECT_INT(time_us / 1000, 1645557742000);
	uuid_write(text, &uuid);
	EXPECT_STR(str_of(text, sizeof(text)), S("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"));
}

TEST(uuid_has_version_variant_and_time)
{
	uint64_t seed = 7;

	for (int i = 0; i < 100000; i++) {
		int64_t time_us = (int64_t)(test_random(&seed) % ((uint64_t)1 << 57));
		struct uuid uuid = made_at(time_us);

		EXPECT_INT(uuid.bytes[6] >> 4, 7);
		EXPECT_INT(uuid.bytes[8] >> 6, 2);
		EXPECT_INT(time_of(&uuid), time_us);
	}
}

TEST(uuid_increases_in_one_moment)
{
	struct uuid former = made_at(NOW_US);

	for (int i = 0; i < 1000000; i++) {
		struct uuid next = made_at(NOW_US);

		REQUIRE(uuid_cmp(&former, &next) < 0);
		former = next;
	}
	EXPECT_INT(time_of(&former), NOW_US); /* the random bits had room for all of them */
}

TEST(uuid_increases_with_an_uneasy_clock)
{
	uint64_t seed = 42;
	int64_t time_us = NOW_US;
	struct uuid former = made_at(time_us);

	for (int i = 0; i < 100000; i++) {
		struct uuid next;

		time_us += (int64_t)(test_random(&seed) % 1000) - 400;
		next = made_at(time_us);
		REQUIRE(uuid_cmp(&former, &next) < 0);
		former = next;
	}
}

TEST(uuid_follows_a_clock_set_back)
{
	int64_t second = 1000 * 1000;
	struct uuid first = made_at(NOW_US);
	struct uuid held = made_at(NOW_US - 9 * second);
	struct uuid followed = made_at(NOW_US - 11 * second);

	EXPECT(uuid_cmp(&first, &held) < 0);
	EXPECT_INT(time_of(&held), NOW_US);
	EXPECT_INT(time_of(&followed), NOW_US - 11 * second);
}

static void make_before_1970(void *arg)
{
	(void)arg;
	(void)made_at(-1);
}

static void make_too_late(void *arg)
{
	(void)arg;
	(void)made_at((int64_t)1 << 48 << 10);
}

TEST(uuid_refuses_impossible_times)
{
	EXPECT(test_dies(make_before_1970, NULL, SIGABRT));
	EXPECT(test_dies(make_too_late, NULL, SIGABRT));
}

TEST(uuid_parse_is_strict)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ S_INIT("00000000-0000-0000-0000-000000000000"), true },
		{ S_INIT("ffffffff-FFFF-ffff-FFFF-ffffffffffff"), true },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148a8"), true },
		{ S_INIT(""), false },
		{ S_INIT("919108f752d143209bacf847db4148a8"), false },
		{ S_INIT("{919108f7-52d1-4320-9bac-f847db4148a8}"), false },
		{ S_INIT("urn:uuid:919108f7-52d1-4320-9bac-f847db4148a8"), false },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148a"), false },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148a80"), false },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148g8"), false },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148 8"), false },
		{ S_INIT("919108f7-52d1-4320-9bacf-847db4148a8"), false },
		{ S_INIT("919108f-752d1-4320-9bac-f847db4148a8"), false },
		{ S_INIT("919108f7_52d1_4320_9bac_f847db4148a8"), false },
		{ S_INIT("919108f7-52d1-4320-9bac-f847db4148a\0"), false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct uuid uuid = { .bytes = { 1, 2, 3 } }, before = uuid;
		bool ok = uuid_parse(cases[i].text, &uuid);

		test_note(ok == cases[i].ok && ok == (uuid_cmp(&uuid, &before) != 0), __FILE__,
			__LINE__, "case %zu: \"%.*s\"", i, STR_ARG(cases[i].text));
	}
}

TEST(uuid_time_is_of_version_7_only)
{
	static const struct str others[] = {
		S_INIT("017f22e2-79b0-4cc3-98c4-dc0c0c07398f"), /* version 4 */
		S_INIT("017f22e2-79b0-7cc3-18c4-dc0c0c07398f"), /* another variant */
		S_INIT("00000000-0000-0000-0000-000000000000"),
	};
	struct uuid uuid;
	int64_t time_us = -7;

	for (size_t i = 0; i < LEN(others); i++) {
		REQUIRE(uuid_parse(others[i], &uuid));
		EXPECT(!uuid_time(&uuid, &time_us) && time_us == -7);
	}
	/* 4095 of 4096 parts stay in their millisecond. */
	REQUIRE(uuid_parse(S("017f22e2-79b0-7fff-98c4-dc0c0c07398f"), &uuid));
	EXPECT_INT(time_of(&uuid), 1645557742000999);
}

/* Every byte in every place, against the digits one by one. */
TEST(uuid_parse_each_byte)
{
	const char *lower = "0123456789abcdef", *upper = "0123456789ABCDEF";

	for (size_t at = 0; at < UUID_TEXT_LEN; at++)
		for (int byte = 0; byte < 256; byte++) {
			char text[] = "01234567-89ab-7def-8123-456789abcdef";
			bool hyphen = text[at] == '-';
			size_t nibble = at - (at > 8) - (at > 13) - (at > 18) - (at > 23);
			const char *digit = byte ? strchr(lower, byte) : NULL;
			char again[UUID_TEXT_LEN];
			struct uuid uuid;
			bool ok;

			if (byte && !digit)
				digit = strchr(upper, byte);
			text[at] = (char)byte;
			ok = uuid_parse(str_of(text, UUID_TEXT_LEN), &uuid);
			if (!EXPECT_INT(ok, hyphen ? byte == '-' : digit != NULL) || !ok || hyphen)
				continue;
			EXPECT_INT(uuid.bytes[nibble / 2] >> (nibble % 2 ? 0 : 4) & 15,
				digit - (strchr(lower, byte) ? lower : upper));
			if (byte >= 'A' && byte <= 'F')
				text[at] = (char)(byte | 0x20);
			uuid_write(again, &uuid);
			EXPECT_STR(str_of(again, sizeof(again)), str_of(text, sizeof(again)));
		}
}
