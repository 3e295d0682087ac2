/*
 * The unit test harness. A test stands beside its code in x_test.c:
 *
 *     TEST(str_trim)
 *     {
 *             EXPECT(str_eq(str_trim(S(" a ")), S("a")));
 *     }
 *
 * Each test runs in a process of its own (tests/run.c), so one may crash, leak or hang without
 * hurting the others. EXPECT notes a failure and goes on; REQUIRE ends the test.
 */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include "base/check.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct test {
	const char *name;
	const char *file;
	void (*run)(void);
	unsigned seconds; /* before it is killed; 0: the harness' default */
};

/* Puts a test into the linker section that tests/run.c walks. TEST_SLOW gives it another time
 * limit. */
#define TEST_SLOW(test_name, limit_s)                                                              \
	static void test_##test_name(void);                                                        \
	static const struct test entry_##test_name = { #test_name, __FILE__, test_##test_name,     \
		limit_s };                                                                         \
	static const struct test *const pointer_##test_name                                        \
		__attribute__((used, section("tests"))) = &entry_##test_name;                      \
	static void test_##test_name(void)
#define TEST(test_name) TEST_SLOW(test_name, 0)

/* Notes a failure with its place; returns `ok`. */
bool test_note(bool ok, const char *file, int line, const char *format, ...) PRINTF_LIKE(4, 5);

/* Ends the running test: as skipped, with the reason, or as failed. */
_Noreturn void test_skip(const char *reason);
_Noreturn void test_end(void);

#define EXPECT(condition) test_note((condition), __FILE__, __LINE__, "%s", #condition)
#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!EXPECT(condition))                                                            \
			test_end();                                                                \
	} while (0)

#define EXPECT_INT(a, b)                                                                           \
	({                                                                                         \
		long long left_ = (long long)(a), right_ = (long long)(b);                         \
		test_note(left_ == right_, __FILE__, __LINE__, "%s is %lld, wanted %lld", #a,      \
			left_, right_);                                                            \
	})

#define EXPECT_STR(a, b)                                                                           \
	({                                                                                         \
		struct str left_ = (a), right_ = (b);                                              \
		test_note(str_eq(left_, right_), __FILE__, __LINE__,                               \
			"%s is \"%.*s\", wanted \"%.*s\"", #a, STR_ARG(left_), STR_ARG(right_));   \
	})

/* True when a line for people should be as long as `--long` allows (environment TEST_LONG). */
bool test_long(void);

/* Runs `body(arg)` in a child process; true when it died by `signal` (SIGSEGV, SIGABRT, ...). Under
 * sanitizers any death that is not exit code 0 counts, since they exit by themselves. */
bool test_dies(void (*body)(void *), void *arg, int signal);

/*
 * A deterministic generator for property tests (xorshift64*); the same seed gives the same numbers
 * on every machine. The seed must not be 0.
 */
uint64_t test_random(uint64_t *state);

#endif
