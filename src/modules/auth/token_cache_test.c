/*
 * The cache: that it is used at all (a counter says so), when it forgets, that it never answers for
 * another token, that it gives way within its size, that claims outlive their entry.
 */
#include "modules/auth/token_cache.h"

#include "base/fault.h"
#include "base/mem.h"
#include "modules/auth/token_test.h"
#include "observe/metric.h"

enum { SECOND_US = 1000000 };

static struct arena arena;
static struct sign_key *key;
static struct token_keys *set;
static struct token_keyring *ring;
static struct token_cache *cache;

static void set_up(size_t entries)
{
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	key = test_key(SIGN_ES256);
	set = test_set(&key, 1);
	REQUIRE(token_keyring_new(set, &ring) == 0);
	REQUIRE(token_cache_new(ring, &test_rules, entries, &cache) == 0);
}

static void tear_down(void)
{
	token_cache_free(TAKE(cache));
	token_keyring_free(ring);
	token_keys_unref(set);
	sign_key_unref(key);
	arena_done(&arena);
}

/* The count of one result. */
static int64_t count_of(struct str result)
{
	struct str line =
		arena_printf(&arena, "auth_token_checks_total{result=\"%.*s\"} ", STR_ARG(result));
	struct buf page;
	struct str rest;
	int64_t count = 0;

	buf_init(&page, MEGABYTE);
	REQUIRE(metric_write(&page, METRIC_TEXT) == 0);
	for (rest = buf_str(&page); rest.at;) {
		struct str each = str_cut(&rest, '\n');

		if (str_starts(each, line))
			for (each = str_from(each, line.len); each.len; each = str_from(each, 1))
				count = count * 10 + (each.at[0] - '0');
	}
	buf_done(&page);
	return count;
}

static struct str token_of(const char *subject, int64_t expires_us)
{
	struct token_claims claims = {
		.issuer = test_rules.issuer,
		.audience = test_rules.audience,
		.subject = str_from_c(subject),
		.tenant = S("tenant"),
		.roles = &(struct str)S_INIT("admin"),
		.role_count = 1,
		.expires_us = expires_us,
	};
	struct str copy;
	struct buf buf;

	buf_init(&buf, TOKEN_MAX);
	REQUIRE(token_make(key, &claims, &buf) == 0);
	copy = arena_str(&arena, buf_str(&buf));
	buf_done(&buf);
	return copy;
}

/* Checks a token and tells whether the cache knew it; negative when it was refused. */
static int check_at(struct str token, int64_t now_us, struct token_claims *claims)
{
	int64_t cached = count_of(S("cached")), verified = count_of(S("verified"));
	int64_t refused = count_of(S("refused"));
	int r = token_check(cache, token, now_us, &arena, claims);

	cached = count_of(S("cached")) - cached;
	verified = count_of(S("verified")) - verified;
	refused = count_of(S("refused")) - refused;
	EXPECT_INT(cached + verified + refused, 1);
	EXPECT_INT(refused, r < 0);
	return r < 0 ? r : (int)cached;
}

static int check(struct str token, int64_t now_us)
{
	struct token_claims claims;

	return check_at(token, now_us, &claims);
}

TEST(token_cache_hits)
{
	struct token_claims first, second;
	struct str token;

	set_up(TOKEN_CACHE_ENTRIES);
	token = token_of("user", TEST_NOW_US + 900 * (int64_t)SECOND_US);
	EXPECT_INT(check_at(token, TEST_NOW_US, &first), 0);
	EXPECT_INT(check_at(arena_str(&arena, token), TEST_NOW_US, &second), 1);
	EXPECT_STR(second.issuer, first.issuer);
	EXPECT_STR(second.audience, first.audience);
	EXPECT_STR(second.subject, S("user"));
	EXPECT_STR(second.tenant, S("tenant"));
	EXPECT_STR(second.session, S(""));
	EXPECT_INT(second.expires_us, first.expires_us);
	EXPECT_INT(second.type, TOKEN_ACCESS);
	REQUIRE(EXPECT_INT(second.role_count, 1));
	EXPECT_STR(second.roles[0], S("admin"));
	tear_down();
}

/* The usual size keeps many clients apart. */
TEST(token_cache_many)
{
	struct str tokens[100];

	set_up(TOKEN_CACHE_ENTRIES);
	for (size_t i = 0; i < LEN(tokens); i++) {
		struct str subject = arena_printf(&arena, "user-%zu", i);

		tokens[i] = token_of(subject.at, TEST_NOW_US + 900 * (int64_t)SECOND_US);
		EXPECT_INT(check(tokens[i], TEST_NOW_US), 0);
	}
	for (size_t i = 0; i < LEN(tokens); i++)
		EXPECT_INT(check(tokens[i], TEST_NOW_US), 1);
	tear_down();
}

/* From the moment of verification to 60 s later or exp, and not while the clock is set back. */
TEST(token_cache_expiry)
{
	static const struct {
		int64_t lives_s; /* exp, from now */
		int64_t after_us;
		int result; /* 1: known */
	} cases[] = {
		{ 900, 0, 1 },
		{ 900, 59999999, 1 },
		{ 900, 60000000, 0 },
		{ 900, 899000000, 0 },
		{ 900, -1, 0 },
		{ 30, 29999999, 1 },
		{ 30, 30000000, 0 }, /* in the leeway: verified, not kept */
		{ 30, 39999999, 0 },
		{ 30, 40000000, -ERR_UNAUTHORIZED },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct str token;

		set_up(4);
		token = token_of("user", TEST_NOW_US + cases[i].lives_s * SECOND_US);
		EXPECT_INT(check(token, TEST_NOW_US), 0);
		test_note(check(token, TEST_NOW_US + cases[i].after_us) == cases[i].result,
			__FILE__, __LINE__, "case %zu", i);
		tear_down();
	}
}

/* A token in its leeway is not kept, and takes the place of none. */
TEST(token_cache_leeway)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct str late, tokens[LEN(names)];

	set_up(4);
	late = token_of("late", TEST_NOW_US);
	for (size_t i = 0; i < LEN(names); i++) {
		tokens[i] = token_of(names[i], TEST_NOW_US + 900 * (int64_t)SECOND_US);
		EXPECT_INT(check(tokens[i], TEST_NOW_US), 0);
	}
	EXPECT_INT(check(late, TEST_NOW_US + 1), 0);
	EXPECT_INT(check(late, TEST_NOW_US + 1), 0);
	for (size_t i = 0; i < LEN(names); i++)
		EXPECT_INT(check(tokens[i], TEST_NOW_US + 1), 1);
	tear_down();
}

TEST(token_cache_generation)
{
	struct token_keys *empty;
	struct str token;

	set_up(4);
	token = token_of("user", TEST_NOW_US + 900 * (int64_t)SECOND_US);
	EXPECT_INT(check(token, TEST_NOW_US), 0);
	EXPECT_INT(check(token, TEST_NOW_US), 1);

	token_keyring_revoke(ring);
	EXPECT_INT(check(token, TEST_NOW_US), 0);
	EXPECT_INT(check(token, TEST_NOW_US), 1);

	empty = test_set(NULL, 0);
	token_keyring_publish(ring, empty);
	EXPECT_INT(check(token, TEST_NOW_US), -ERR_UNAUTHORIZED);
	token_keyring_publish(ring, set); /* the former entry does not come back */
	EXPECT_INT(check(token, TEST_NOW_US), 0);
	EXPECT_INT(check(token, TEST_NOW_US), 1);
	token_keys_unref(empty);
	tear_down();
}

/* Four ways and one set: the one unused for longest gives way. */
TEST(token_cache_eviction)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	struct str tokens[LEN(names)];

	set_up(4);
	for (size_t i = 0; i < LEN(names); i++)
		tokens[i] =
			token_of(names[i], TEST_NOW_US + (i == 1 ? 20 : 900) * (int64_t)SECOND_US);
	for (size_t i = 0; i < 4; i++)
		EXPECT_INT(check(tokens[i], TEST_NOW_US), 0);
	EXPECT_INT(check(tokens[0], TEST_NOW_US), 1); /* now b is the oldest */
	EXPECT_INT(check(tokens[4], TEST_NOW_US), 0);
	EXPECT_INT(check(tokens[0], TEST_NOW_US), 1);
	EXPECT_INT(check(tokens[2], TEST_NOW_US), 1);
	EXPECT_INT(check(tokens[3], TEST_NOW_US), 1);
	EXPECT_INT(check(tokens[4], TEST_NOW_US), 1);
	EXPECT_INT(check(tokens[1], TEST_NOW_US), 0);                  /* displaces a */
	EXPECT_INT(check(tokens[0], TEST_NOW_US + 20 * SECOND_US), 0); /* takes the place of b */
	for (size_t i = 2; i < LEN(names); i++)
		EXPECT_INT(check(tokens[i], TEST_NOW_US + 20 * SECOND_US), 1);
	tear_down();
}

/* With all tokens in one set nothing but the comparison stands between a token and another's
 * claims; each must be answered for itself, changed ones refused, also right after the good one. */
TEST(token_cache_no_false_hit)
{
	uint64_t seed = 7;

	set_up(4);
	for (size_t i = 0; i < 60; i++) {
		struct str subject = arena_printf(&arena, "user-%zu", i % 10);
		struct str token =
			token_of(subject.at, TEST_NOW_US + (900 + (int64_t)i) * SECOND_US);
		struct token_claims claims;

		EXPECT(check_at(token, TEST_NOW_US, &claims) == 0);
		EXPECT_STR(claims.subject, subject);
		EXPECT(check_at(token, TEST_NOW_US, &claims) == 1);
		EXPECT_STR(claims.subject, subject);
		for (size_t k = 0; k < 4; k++) {
			struct str copy = arena_str(&arena, token);
			size_t place = test_random(&seed) % copy.len;

			((char *)(uintptr_t)copy.at)[place] ^= 1;
			EXPECT_INT(check(copy, TEST_NOW_US), -ERR_UNAUTHORIZED);
			EXPECT_INT(check(copy, TEST_NOW_US), -ERR_UNAUTHORIZED);
		}
		EXPECT_INT(check(str_first(token, token.len - 1), TEST_NOW_US), -ERR_UNAUTHORIZED);
	}
	EXPECT_INT(check(S(""), TEST_NOW_US), -ERR_UNAUTHORIZED);
	tear_down();
}

/* A request that is still at work keeps its claims when other tokens take the place. */
TEST(token_cache_claims_outlive_entries)
{
	struct token_claims claims;
	struct str token;

	set_up(4);
	token = token_of("first", TEST_NOW_US + 900 * (int64_t)SECOND_US);
	EXPECT_INT(check(token, TEST_NOW_US), 0);
	EXPECT_INT(check_at(token, TEST_NOW_US, &claims), 1);
	for (int64_t i = 0; i < 8; i++)
		EXPECT_INT(
			check(token_of("later", TEST_NOW_US + (800 + i) * SECOND_US), TEST_NOW_US),
			0);
	token_cache_free(TAKE(cache));
	EXPECT_STR(claims.subject, S("first"));
	EXPECT_STR(claims.roles[0], S("admin"));
	tear_down();
}

/* A token with a letter in all of a subject and three roles, which together have `len` bytes. */
static struct str large_token(char letter, size_t len)
{
	char letters[TOKEN_TEXT_MAX];
	struct str roles[3], copy;
	struct token_claims claims = {
		.issuer = test_rules.issuer,
		.audience = test_rules.audience,
		.expires_us = TEST_NOW_US + 900 * (int64_t)SECOND_US,
		.roles = roles,
		.role_count = LEN(roles),
	};
	struct buf buf;

	memset(letters, letter, sizeof(letters));
	for (size_t i = 0; i < LEN(roles); i++)
		roles[i] = str_of(letters, 200);
	claims.subject = str_of(letters, len - 600);
	buf_init(&buf, TOKEN_MAX);
	REQUIRE(token_make(key, &claims, &buf) == 0);
	copy = arena_str(&arena, buf_str(&buf));
	buf_done(&buf);
	return copy;
}

static bool all_of(struct str text, char letter)
{
	size_t count = 0;

	while (count < text.len && text.at[count] == letter)
		count++;
	return count == text.len;
}

/* Claims that do not fit an entry are verified each time; those that just do stay whole, beside
 * others as large. */
TEST(token_cache_large_claims)
{
	size_t largest = 0, smallest = 0;

	set_up(4);
	for (size_t len = 740; len < 800; len++) {
		struct str tokens[4];

		for (size_t i = 0; i < LEN(tokens); i++) {
			tokens[i] = large_token((char)('a' + i), len);
			EXPECT_INT(check(tokens[i], TEST_NOW_US), 0);
		}
		for (size_t i = 0; i < LEN(tokens); i++) {
			struct token_claims claims;
			int known = check_at(tokens[i], TEST_NOW_US, &claims);

			EXPECT(known >= 0 && all_of(claims.subject, (char)('a' + i)));
			REQUIRE(EXPECT_INT(claims.role_count, 3));
			EXPECT(all_of(claims.roles[0], (char)('a' + i)));
			EXPECT(all_of(claims.roles[2], (char)('a' + i)));
			EXPECT_STR(claims.issuer, test_rules.issuer);
			largest = known ? len : largest;
			smallest = known || smallest ? smallest : len;
		}
		arena_reset(&arena);
	}
	EXPECT(largest >= 740 && smallest == largest + 1);
	tear_down();
}

TEST(token_cache_too_long)
{
	static char letters[TOKEN_MAX + 1];

	set_up(4);
	memset(letters, 'a', sizeof(letters));
	EXPECT_INT(check(str_of(letters, sizeof(letters)), TEST_NOW_US), -ERR_UNAUTHORIZED);
	tear_down();
}

TEST(token_cache_rules)
{
	struct token_rules rules = test_rules;
	struct token_cache *none = NULL;

	set_up(4);
	rules.audience = S("");
	EXPECT_INT(token_cache_new(ring, &rules, 4, &none), -ERR_INVALID);
	EXPECT(!none);
	tear_down();
}

#ifdef BULKHEAD_FAULTS
TEST(token_cache_without_memory)
{
	struct token_cache *other = NULL;
	struct token_claims claims;
	struct arena tight;
	struct str token;
	size_t used;

	set_up(4);
	used = mem_used();
	for (size_t nth = 1; !other; nth++) {
		fault_arm(FAULT_MEMORY, nth);
		int r = token_cache_new(ring, &test_rules, 4, &other);

		EXPECT_INT(r, fault_struck(FAULT_MEMORY) ? -ERR_NO_MEMORY : 0);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT(other || mem_used() == used);
		REQUIRE(nth < 100);
	}
	token_cache_free(other);

	token = token_of("user", TEST_NOW_US + 900 * (int64_t)SECOND_US);
	EXPECT_INT(check(token, TEST_NOW_US), 0);
	arena_init(&tight, 64, MEGABYTE);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(token_check(cache, token, TEST_NOW_US, &tight, &claims), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 0);
	EXPECT_INT(token_check(cache, token, TEST_NOW_US, &tight, &claims), 0);
	arena_done(&tight);
	tear_down();
	EXPECT(mem_used() < used);
}
#endif
