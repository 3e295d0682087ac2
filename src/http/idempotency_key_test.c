/* Keys in either form, as a table; what a fingerprint tells apart. */
#include "http/idempotency_key.h"

#include "base/err.h"
#include "base/test.h"

TEST(idempotency_keys)
{
	static const struct {
		struct str value, key; /* key empty: refused */
	} cases[] = {
		{ S_INIT("8e03978e-40d5-43dd-bc93-6894a57f9324"),
			S_INIT("8e03978e-40d5-43dd-bc93-6894a57f9324") },
		{ S_INIT("\"8e03978e-40d5-43dd-bc93-6894a57f9324\""),
			S_INIT("8e03978e-40d5-43dd-bc93-6894a57f9324") },
		{ S_INIT("a"), S_INIT("a") },
		{ S_INIT("\"a\""), S_INIT("a") },
		{ S_INIT(" \t\"a\" "), S_INIT("a") },
		{ S_INIT("order,1;x=y"), S_INIT("order,1;x=y") },
		{ S_INIT("back\\slash"), S_INIT("back\\slash") },
		{ S_INIT("\"back\\\\slash\""), S_INIT("back\\slash") },
		{ S_INIT("\"say \\\"hi\\\"\""), { NULL, 0 } },
		{ S_INIT("\"say\\\"hi\\\"\""), S_INIT("say\"hi\"") },
		{ S_INIT("'a'"), S_INIT("'a'") },
		{ S_INIT("!~"), S_INIT("!~") },

		{ S_INIT(""), { NULL, 0 } },
		{ S_INIT("  "), { NULL, 0 } },
		{ S_INIT("\"\""), { NULL, 0 } },
		{ S_INIT("\""), { NULL, 0 } },
		{ S_INIT("\"a"), { NULL, 0 } },
		{ S_INIT("\"a\\\""), { NULL, 0 } },
		{ S_INIT("\"a\\"), { NULL, 0 } },
		{ S_INIT("\"a\\b\""), { NULL, 0 } },
		{ S_INIT("\"a\"b"), { NULL, 0 } },
		{ S_INIT("\"a\";p=1"), { NULL, 0 } },
		{ S_INIT("\"a\", \"b\""), { NULL, 0 } },
		{ S_INIT("a, b"), { NULL, 0 } },
		{ S_INIT("a b"), { NULL, 0 } },
		{ S_INIT("a\"b"), { NULL, 0 } },
		{ S_INIT("a\""), { NULL, 0 } },
		{ S_INIT("a\tb"), { NULL, 0 } },
		{ S_INIT("a\0b"), { NULL, 0 } },
		{ S_INIT("a\x7f"), { NULL, 0 } },
		{ S_INIT("\"a\x7f\""), { NULL, 0 } },
		{ S_INIT("sch\xc3\xb6n"), { NULL, 0 } },
		{ S_INIT("\"sch\xc3\xb6n\""), { NULL, 0 } },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct idempotency_key key = { .text = "untouched", .len = 9 };
		int r = idempotency_key_parse(cases[i].value, &key);

		if (cases[i].key.len == 0) {
			test_note(r == -ERR_INVALID, __FILE__, __LINE__, "\"%.*s\"",
				STR_ARG(cases[i].value));
			EXPECT_STR(idempotency_key_str(&key), S("untouched"));
		} else if (EXPECT(r == 0)) {
			EXPECT_STR(idempotency_key_str(&key), cases[i].key);
		}
	}
}

TEST(idempotency_key_length)
{
	struct idempotency_key key;
	char text[IDEMPOTENCY_KEY_MAX + 3];

	memset(text, 'k', sizeof(text));
	EXPECT_INT(idempotency_key_parse(str_of(text, IDEMPOTENCY_KEY_MAX), &key), 0);
	EXPECT_INT(key.len, IDEMPOTENCY_KEY_MAX);
	EXPECT_INT(
		idempotency_key_parse(str_of(text, IDEMPOTENCY_KEY_MAX + 1), &key), -ERR_INVALID);
	text[0] = text[IDEMPOTENCY_KEY_MAX + 1] = '"';
	EXPECT_INT(idempotency_key_parse(str_of(text, IDEMPOTENCY_KEY_MAX + 2), &key), 0);
	EXPECT_INT(key.len, IDEMPOTENCY_KEY_MAX);
	text[IDEMPOTENCY_KEY_MAX + 1] = 'k';
	text[IDEMPOTENCY_KEY_MAX + 2] = '"';
	EXPECT_INT(
		idempotency_key_parse(str_of(text, IDEMPOTENCY_KEY_MAX + 3), &key), -ERR_INVALID);
}

TEST(idempotency_fingerprints)
{
	static const struct str one[] = { S_INIT("7") }, other[] = { S_INIT("8") };
	static const struct str two[] = { S_INIT("7"), S_INIT("") };
	const struct idempotent_request same = { S("POST"), S("/accounts/{id}/payments"),
		S("t1/u1"), one, 1, S("a=1"), S("{\"amount\":5}") };
	struct idempotent_request others[] = { same, same, same, same, same, same, same, same,
		same };
	uint8_t wanted[SHA256_LEN], got[SHA256_LEN];

	others[0].method = S("PUT");
	others[1].route = S("/accounts/{id}/payment");
	others[2].caller = S("t1/u2");
	others[3].params = other;
	others[4].params = two;
	others[4].param_count = 2;
	others[5].query = S("");
	others[6].body = S("{\"amount\":6}");
	others[7].body = S("");
	others[8].query = S("a=1{"); /* the same bytes, cut elsewhere */
	others[8].body = S("\"amount\":5}");

	idempotency_fingerprint(&same, wanted);
	for (size_t i = 0; i < LEN(others); i++) {
		idempotency_fingerprint(&others[i], got);
		test_note(
			memcmp(wanted, got, sizeof(got)) != 0, __FILE__, __LINE__, "other %zu", i);
	}
	others[0].method = S("POST");
	idempotency_fingerprint(&others[0], got);
	EXPECT(memcmp(wanted, got, sizeof(got)) == 0);
}

/* It is stored, so it must not change: a value from another program. */
TEST(idempotency_fingerprint_is_fixed)
{
	static const struct str params[] = { S_INIT("7") };
	const struct idempotent_request request = { S("POST"), S("/a/{id}"), S("t/u"), params, 1,
		S(""), S("{}") };
	static const uint8_t wanted[SHA256_LEN] = { 0x62, 0x17, 0xbc, 0xad, 0x0c, 0x05, 0x4a, 0xb9,
		0xd8, 0xba, 0xaf, 0x62, 0x52, 0x8a, 0x0d, 0x46, 0xfd, 0x6b, 0xad, 0xe7, 0x12, 0x05,
		0xbb, 0xb9, 0xfc, 0x63, 0x2e, 0xa9, 0xe8, 0x56, 0x34, 0x87 };
	uint8_t got[SHA256_LEN];

	idempotency_fingerprint(&request, got);
	EXPECT(memcmp(wanted, got, sizeof(got)) == 0);
}
