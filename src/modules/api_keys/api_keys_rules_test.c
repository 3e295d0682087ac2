/* What a key may be, without rows. */
#include "modules/api_keys/api_keys_internal.h"

#include "base/test.h"

#include <stdio.h>

/* --- the text --------------------------------------------------------------------------- */

static struct key_text sample(enum api_key_kind kind)
{
	struct key_text text = { .kind = kind };

	memset(&text.tenant, 0x11, sizeof(text.tenant));
	memset(&text.id, 0x22, sizeof(text.id));
	memset(text.secret, 0x33, sizeof(text.secret));
	return text;
}

TEST(api_key_text_there_and_back)
{
	for (enum api_key_kind kind = API_KEY_SECRET; kind <= API_KEY_PUBLISHABLE; kind++) {
		struct key_text text = sample(kind), back = { 0 };
		char at[KEY_TEXT_LEN];

		key_text_write(at, &text);
		EXPECT(key_text_is(str_of(at, sizeof(at))));
		EXPECT(key_text_read(str_of(at, sizeof(at)), &back));
		EXPECT(back.kind == kind && uuid_cmp(&back.tenant, &text.tenant) == 0 &&
			uuid_cmp(&back.id, &text.id) == 0 &&
			memcmp(back.secret, text.secret, sizeof(text.secret)) == 0);
	}
}

TEST(api_key_text_mistakes_are_found)
{
	struct key_text text = sample(API_KEY_SECRET), back;
	char at[KEY_TEXT_LEN + 1], wrong[KEY_TEXT_LEN + 1];

	key_text_write(at, &text);
	at[KEY_TEXT_LEN] = 'a';
	for (size_t i = 0; i < KEY_TEXT_LEN; i++) {
		memcpy(wrong, at, sizeof(at));
		wrong[i] = wrong[i] == 'q' ? 'r' : 'q';
		EXPECT(!key_text_read(str_of(wrong, KEY_TEXT_LEN), &back));
		EXPECT(!key_text_read(str_of(at, i), &back));
	}
	EXPECT(!key_text_read(str_of(at, sizeof(at)), &back));
	EXPECT(!key_text_is(S("bh_rt_abc")) && !key_text_is(S("")) && !key_text_is(S("BH_SK_a")));
}

/* The prefix that people see does not depend on a bit of the secret. */
TEST(api_key_prefix_tells_nothing)
{
	struct key_text one = sample(API_KEY_SECRET), other = one;
	char a[KEY_TEXT_LEN], b[KEY_TEXT_LEN];

	memset(other.secret, 0xcc, sizeof(other.secret));
	key_text_write(a, &one);
	key_text_write(b, &other);
	EXPECT(memcmp(a, b, KEY_PREFIX_LEN) == 0);
	EXPECT(memcmp(a, b, KEY_PREFIX_LEN + 1) != 0);
}

/* --- scopes -------------------------------------------------------------------------------- */

TEST(api_key_publishable_scopes)
{
	static const struct {
		const char *scope;
		bool may;
	} cases[] = { { "flags:read", true }, { "jobs:read", false }, { "jobs:write", false },
		{ "jobs:*", false }, { "*:read", false }, { "*", false }, { "users:read", false },
		{ "roles:read", false }, { "keys:read", false }, { "audit:read", false },
		{ "tenant:read", false }, { "tenant:write", false }, { "sessions:read", false },
		{ "platform:read", false }, { "platform:observe", false },
		{ "secrets:read", false }, { "account:read", false }, { "read", false },
		{ "", false }, { "jobs:read:all", false } };

	for (size_t i = 0; i < LEN(cases); i++)
		if (!EXPECT(scope_is_publishable(str_from_c(cases[i].scope)) == cases[i].may))
			(void)fprintf(stderr, "  %s\n", cases[i].scope);
}

/* --- addresses ------------------------------------------------------------------------------- */

TEST(api_key_addresses)
{
	static const struct {
		const char *network, *address;
		bool in;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", true },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.8", false },
		{ "2001:db8::/32", "2001:db8:1::1", true },
		{ "2001:db8::/32", "2001:db9::1", false },
		{ "::/0", "10.0.0.1", false },
		{ "0.0.0.0/0", "10.0.0.1", true },
		{ "0.0.0.0/0", "::1", false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct network network;
		struct address address;

		REQUIRE(network_parse(str_from_c(cases[i].network), &network) == 0);
		REQUIRE(address_parse(str_from_c(cases[i].address), 0, &address) == 0);
		if (!EXPECT(networks_have(&network, 1, &address) == cases[i].in))
			(void)fprintf(stderr, "  %s %s\n", cases[i].network, cases[i].address);
		EXPECT(networks_have(NULL, 0, &address));
	}
}

/* --- no more than who asks ------------------------------------------------ */

#define TEXTS(...)                                                                                 \
	{                                                                                          \
		(struct str[]){ __VA_ARGS__ },                                                     \
			sizeof((struct str[]){ __VA_ARGS__ }) / sizeof(struct str)                 \
	}

TEST(api_key_is_bounded_by_the_one_that_asks)
{
	static const struct rights none;
	struct str any4 = S("0.0.0.0/0"), ten = S("10.0.0.0/8"), part = S("10.1.0.0/16"),
		   other = S("192.0.2.1");
	const struct api_key free_one = { 0 };
	const struct api_key held = { .allowed_addresses = TEXTS(ten),
		.expires_at = { .set = true, .value = 100 },
		.requests_per_minute = { .set = true, .value = 10 } };
	const struct {
		struct api_key key;
		const char *field; /* "" when it is within `held` */
	} cases[] = {
		{ held, "" },
		{ free_one, "expiresAt" },
		{ { .expires_at = { .set = true, .value = 101 } }, "expiresAt" },
		{ { .expires_at = { .set = true, .value = 99 } }, "requestsPerMinute" },
		{ { .expires_at = { .set = true, .value = 99 },
			  .requests_per_minute = { .set = true, .value = 11 } },
			"requestsPerMinute" },
		{ { .expires_at = held.expires_at,
			  .requests_per_minute = held.requests_per_minute },
			"allowedAddresses" },
		{ { .expires_at = held.expires_at,
			  .requests_per_minute = held.requests_per_minute,
			  .allowed_addresses = TEXTS(part) },
			"" },
		{ { .expires_at = held.expires_at,
			  .requests_per_minute = held.requests_per_minute,
			  .allowed_addresses = TEXTS(part, other) },
			"allowedAddresses" },
		{ { .expires_at = held.expires_at,
			  .requests_per_minute = held.requests_per_minute,
			  .allowed_addresses = TEXTS(any4) },
			"allowedAddresses" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		int r = key_is_within(&cases[i].key, &none, &held);

		EXPECT_INT(r, cases[i].field[0] ? -ERR_FORBIDDEN : 0);
		if (r < 0)
			EXPECT_STR(str_from_c(err_last()->field), str_from_c(cases[i].field));
		EXPECT_INT(key_is_within(&cases[i].key, &none, NULL), 0);
		EXPECT_INT(key_is_within(&cases[i].key, &none, &free_one), 0);
	}
}

/* --- times and changes ---------------------------------------------------- */

TEST(api_key_overlaps)
{
	static const struct {
		const char *text;
		int64_t us; /* -1: refused */
	} cases[] = { { "0", 0 }, { "90s", 90000000 }, { "24h", INT64_C(86400000000) },
		{ "7d", INT64_C(604800000000) }, { "8d", -1 }, { "604801s", -1 }, { "1w", -1 },
		{ "", -1 }, { "-1h", -1 }, { "99999999999999999999d", -1 } };

	for (size_t i = 0; i < LEN(cases); i++) {
		int64_t us = -1;

		EXPECT_INT(overlap_read(str_from_c(cases[i].text), &us),
			cases[i].us < 0 ? -ERR_INVALID : 0);
		EXPECT_INT(us, cases[i].us);
	}
}

TEST(api_key_merges)
{
	struct str read = S("jobs:read"), all = S("jobs:*");
	struct api_key key = { .name = S("a"), .scopes = TEXTS(read) };
	struct api_key_patch patch = { 0 };

	EXPECT(!key_merge(&key, &patch));
	patch = (struct api_key_patch){ .name = { .set = true, .value = S("a") },
		.scopes = TEXTS(read),
		.expires_at = { .set = true, .null = true } };
	EXPECT(!key_merge(&key, &patch) && !key.ends_at.set);
	patch = (struct api_key_patch){ .expires_at = { .set = true, .value = 5 } };
	EXPECT(key_merge(&key, &patch));
	EXPECT(key.ends_at.set && key.ends_at.value == 5);
	EXPECT(key_has_ended(&key, 5) && !key_has_ended(&key, 4));
	patch.expires_at = (struct opt_i64){ .set = true, .null = true };
	EXPECT(key_merge(&key, &patch) && !key.expires_at.set && !key.ends_at.set);
	patch = (struct api_key_patch){ .scopes = TEXTS(read, all) };
	EXPECT(key_merge(&key, &patch) && key.scopes.count == 2);
	key.revoked_at = (struct opt_i64){ .set = true, .value = 3 };
	key.expires_at = (struct opt_i64){ .set = true, .value = 9 };
	key_set_end(&key);
	EXPECT_INT(key.ends_at.value, 3);
}
