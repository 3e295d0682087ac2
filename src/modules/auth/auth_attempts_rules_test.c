/* The arithmetic of failed logins: a table, and the law that the limit promises. */
#include "modules/auth/auth_attempts_rules.h"

#include "base/test.h"

#define S_(seconds) ((int64_t)(seconds)*1000000)

static const struct attempt_limits limits = { .tries = 5, .lock_us = S_(900), .delay_us = S_(1) };

TEST(attempts_slow_down_and_lock)
{
	static const struct {
		int64_t at; /* seconds */
		enum attempt_verdict verdict;
		int64_t begins; /* seconds; when allowed */
	} cases[] = {
		{ 100000, ATTEMPT_ALLOWED, 100000 },
		{ 100000, ATTEMPT_ALLOWED, 100000 },
		{ 100000, ATTEMPT_ALLOWED, 100000 },
		{ 100000, ATTEMPT_ALLOWED, 100001 }, /* 1 s later */
		{ 100000, ATTEMPT_LOCKS, 100003 },   /* and 2 s */
		{ 100000, ATTEMPT_REFUSED, 0 },
		{ 100902, ATTEMPT_REFUSED, 0 },
		{ 100903, ATTEMPT_ALLOWED, 100903 }, /* 900 s after it began */
		{ 100904, ATTEMPT_ALLOWED, 100904 },
		{ 100905, ATTEMPT_ALLOWED, 100905 },
		{ 100999, ATTEMPT_ALLOWED, 100999 },
		{ 101000, ATTEMPT_LOCKS, 101001 },
		{ 102800, ATTEMPT_REFUSED, 0 }, /* twice as long */
		{ 102801, ATTEMPT_ALLOWED, 102801 },
		{ 102802, ATTEMPT_ALLOWED, 102802 },
		{ 102803 + ATTEMPT_FORGET_S, ATTEMPT_ALLOWED, 102803 + ATTEMPT_FORGET_S },
		{ 102803 + ATTEMPT_FORGET_S, ATTEMPT_ALLOWED, 102803 + ATTEMPT_FORGET_S },
		{ 102803 + ATTEMPT_FORGET_S, ATTEMPT_ALLOWED, 102803 + ATTEMPT_FORGET_S },
		{ 102803 + ATTEMPT_FORGET_S, ATTEMPT_ALLOWED, 102804 + ATTEMPT_FORGET_S },
	};
	struct attempt_row row = { 0 };

	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_INT(attempt_take(&row, &limits, S_(cases[i].at)), cases[i].verdict);
		if (cases[i].verdict != ATTEMPT_REFUSED)
			EXPECT_INT(row.begins_at, S_(cases[i].begins));
	}
}

TEST(attempts_are_given_back)
{
	struct attempt_row row = { 0 };

	for (int i = 0; i < 4; i++)
		EXPECT_INT(attempt_take(&row, &limits, S_(100000)), ATTEMPT_ALLOWED);
	EXPECT_INT(attempt_take(&row, &limits, S_(100000)), ATTEMPT_LOCKS);
	attempt_return(&row, &limits);
	EXPECT_INT(attempt_take(&row, &limits, S_(100000)), ATTEMPT_LOCKS);
	EXPECT_INT(attempt_take(&row, &limits, S_(100000)), ATTEMPT_REFUSED);
	EXPECT_INT(row.locks, 1);

	row = (struct attempt_row){ 0 };
	attempt_return(&row, &limits);
	EXPECT_INT(row.tries, 0);
}

/* Whenever they come, no span as long as a lock sees more tries begin than the limit says. */
TEST(attempts_keep_their_law)
{
	enum { COUNT = 4000 };
	static int64_t begun[COUNT];

	for (uint64_t seed = 1; seed <= 30; seed++) {
		uint64_t state = seed;
		struct attempt_limits some = { .tries = 1 + (int64_t)(seed % 12),
			.lock_us = S_(60 * (1 + seed % 5)),
			.delay_us = seed % 3 ? S_(1) / 4 : 0 };
		struct attempt_row row = { 0 };
		int64_t now = S_(1000000);
		size_t count = 0;

		for (int i = 0; i < COUNT; i++) {
			now += (int64_t)(test_random(&state) % (i % 50 ? 3000000 : 400000000));
			if (attempt_take(&row, &some, now) != ATTEMPT_REFUSED)
				begun[count++] = row.begins_at;
		}
		EXPECT(count > (size_t)some.tries);
		for (size_t i = (size_t)some.tries; i < count; i++)
			EXPECT(begun[i] - begun[i - (size_t)some.tries] >= some.lock_us);
	}
}
