/* Header lines of verdicts, as a table. */
#include "http/limit_headers.h"

#include "base/err.h"
#include "base/test.h"

#define WALL_US INT64_C(1700000000250000)

#define VERDICT(verdict_name, verdict_quota, window, ...)                                          \
	{                                                                                          \
		.allowed = true, .name = S_INIT(verdict_name), .quota = verdict_quota,             \
		.window_ns = window, .limit = verdict_quota, __VA_ARGS__                           \
	}

static const struct {
	const char *what;
	struct limit_verdict verdicts[3];
	const char *lines;
} cases[] = {
	{ "none", { { 0 } }, "" },
	{ "one", { VERDICT("api", 600, MINUTE, .remaining = 599, .more_ns = 100, .full_ns = 100) },
		"ratelimit-policy: \"api\";q=600;w=60\r\n"
		"ratelimit: \"api\";r=599;t=1\r\n"
		"x-ratelimit-limit: 600\r\n"
		"x-ratelimit-remaining: 599\r\n"
		"x-ratelimit-reset: 1700000001\r\n" },
	{ "nothing used", { VERDICT("api", 600, MINUTE, .remaining = 600) },
		"ratelimit-policy: \"api\";q=600;w=60\r\n"
		"ratelimit: \"api\";r=600\r\n"
		"x-ratelimit-limit: 600\r\n"
		"x-ratelimit-remaining: 600\r\n"
		"x-ratelimit-reset: 1700000001\r\n" },
	{ "a bucket",
		{ { .allowed = true,
			.name = S_INIT("api"),
			.quota = 600,
			.window_ns = MINUTE,
			.limit = 50,
			.remaining = 49,
			.more_ns = SECOND,
			.full_ns = 3 * SECOND } },
		"ratelimit-policy: \"api\";q=600;w=60\r\n"
		"ratelimit: \"api\";r=49;t=1\r\n"
		"x-ratelimit-limit: 50\r\n"
		"x-ratelimit-remaining: 49\r\n"
		"x-ratelimit-reset: 1700000004\r\n" },
	{ "half a second", { VERDICT("a", 5, SECOND / 2, .remaining = 5) },
		"ratelimit-policy: \"a\";q=5\r\n"
		"ratelimit: \"a\";r=5\r\n"
		"x-ratelimit-limit: 5\r\n"
		"x-ratelimit-remaining: 5\r\n"
		"x-ratelimit-reset: 1700000001\r\n" },
	{ "refused",
		{ { .name = S_INIT("auth"),
			.quota = 10,
			.window_ns = MINUTE,
			.limit = 10,
			.blocked = true,
			.more_ns = 15 * MINUTE,
			.full_ns = 15 * MINUTE,
			.retry_after_ns = 15 * MINUTE } },
		"ratelimit-policy: \"auth\";q=10;w=60\r\n"
		"ratelimit: \"auth\";r=0;t=900\r\n"
		"x-ratelimit-limit: 10\r\n"
		"x-ratelimit-remaining: 0\r\n"
		"x-ratelimit-reset: 1700000901\r\n"
		"retry-after: 900\r\n" },
	{ "two, the second has least",
		{ VERDICT("address", 300, MINUTE, .remaining = 299, .more_ns = SECOND),
			VERDICT("api", 600, HOUR, .remaining = 12, .more_ns = 6 * SECOND + 1,
				.full_ns = HOUR) },
		"ratelimit-policy: \"address\";q=300;w=60, \"api\";q=600;w=3600\r\n"
		"ratelimit: \"address\";r=299;t=1, \"api\";r=12;t=7\r\n"
		"x-ratelimit-limit: 600\r\n"
		"x-ratelimit-remaining: 12\r\n"
		"x-ratelimit-reset: 1700003601\r\n" },
	{ "as little left, but later",
		{ VERDICT("a", 5, SECOND, .remaining = 1, .more_ns = SECOND),
			VERDICT("b", 6, SECOND, .remaining = 1, .more_ns = 2 * SECOND) },
		"ratelimit-policy: \"a\";q=5;w=1, \"b\";q=6;w=1\r\n"
		"ratelimit: \"a\";r=1;t=1, \"b\";r=1;t=2\r\n"
		"x-ratelimit-limit: 6\r\n"
		"x-ratelimit-remaining: 1\r\n"
		"x-ratelimit-reset: 1700000001\r\n" },
	{ "refused with more left than another",
		{ VERDICT("a", 5, SECOND, .remaining = 0, .more_ns = SECOND),
			{ .name = S_INIT("b"),
				.quota = 6,
				.window_ns = SECOND,
				.limit = 6,
				.remaining = 3,
				.more_ns = 1,
				.full_ns = SECOND,
				.retry_after_ns = SECOND + 1 } },
		"ratelimit-policy: \"a\";q=5;w=1, \"b\";q=6;w=1\r\n"
		"ratelimit: \"a\";r=0;t=1, \"b\";r=3;t=1\r\n"
		"x-ratelimit-limit: 6\r\n"
		"x-ratelimit-remaining: 3\r\n"
		"x-ratelimit-reset: 1700000002\r\n"
		"retry-after: 2\r\n" },
	{ "never",
		{ { .name = S_INIT("b"),
			.quota = 6,
			.window_ns = SECOND,
			.limit = 6,
			.remaining = 3,
			.more_ns = 1,
			.full_ns = SECOND,
			.retry_after_ns = UINT64_MAX } },
		"ratelimit-policy: \"b\";q=6;w=1\r\n"
		"ratelimit: \"b\";r=3;t=1\r\n"
		"x-ratelimit-limit: 6\r\n"
		"x-ratelimit-remaining: 3\r\n"
		"x-ratelimit-reset: 1700000002\r\n" },
};

TEST(limit_header_lines)
{
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < LEN(cases); i++) {
		size_t count = 0;

		while (count < LEN(cases[i].verdicts) && cases[i].verdicts[count].name.len)
			count++;
		buf_reset(&out);
		limit_headers(&out, cases[i].verdicts, count, WALL_US);
		test_note(str_eq(buf_str(&out), str_from_c(cases[i].lines)), __FILE__, __LINE__,
			"%s:\n%.*s", cases[i].what, STR_ARG(buf_str(&out)));
	}

	buf_done(&out);
	buf_init(&out, 20);
	limit_headers(&out, cases[1].verdicts, 1, WALL_US);
	EXPECT_INT(out.failed, -ERR_TOO_LARGE);
	buf_done(&out);
}

/* From a real limiter: who obeys Retry-After is let in. */
TEST(limit_headers_of_a_limiter)
{
	struct limiter_options options = { S("auth"), LIMITER_SLIDING_WINDOW,
		{ .quota = 10, .window_ns = MINUTE, .block_ns = 15 * MINUTE }, 16 };
	struct limit_verdict verdict;
	struct limiter limiter;
	struct buf out;

	REQUIRE(limiter_init(&limiter, &options) == 0);
	limiter_take(&limiter, S("user"), 10, 0, &verdict);
	limiter_take(&limiter, S("user"), 1, SECOND / 2, &verdict);
	buf_init(&out, 4096);
	limit_headers(&out, &verdict, 1, 0);
	EXPECT_STR(buf_str(&out), S("ratelimit-policy: \"auth\";q=10;w=60\r\n"
				    "ratelimit: \"auth\";r=0;t=900\r\n"
				    "x-ratelimit-limit: 10\r\n"
				    "x-ratelimit-remaining: 0\r\n"
				    "x-ratelimit-reset: 900\r\n"
				    "retry-after: 900\r\n"));
	limiter_take(&limiter, S("user"), 1, SECOND / 2 + 900 * SECOND, &verdict);
	EXPECT(verdict.allowed);
	buf_done(&out);
	limiter_done(&limiter);
}
