/* Patterns: the syntax that is taken and refused, what matches, and that limits hold. */
#include "schema/pattern.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

static struct arena arena;

/* A pattern_verdict, or the error of compiling. */
static int match(struct str source, bool whole, struct str text)
{
	struct pattern *pattern;
	struct matcher matcher;
	int r = pattern_compile(source, whole, &pattern);

	if (r < 0)
		return r;
	matcher_init(&matcher, &arena);
	r = pattern_match(pattern, text, &matcher);
	pattern_free(pattern);
	return r;
}

TEST(schema_pattern_match)
{
	static const struct {
		struct str pattern, text;
		bool search, whole;
	} cases[] = {
		{ S_INIT("b"), S_INIT("abc"), true, false },
		{ S_INIT("^abc$"), S_INIT("abc"), true, true },
		{ S_INIT("c$"), S_INIT("abc\n"), false, false },
		{ S_INIT("a|ab"), S_INIT("ab"), true, true },
		{ S_INIT(""), S_INIT(""), true, true },
		{ S_INIT(""), S_INIT("x"), true, false },
		{ S_INIT("^\\d{3}$"), S_INIT("\xD9\xA1\xD9\xA2\xD9\xA3"), false, false },
		{ S_INIT("\\u00e9"), S_INIT("\xC3\xA9"), true, true },
		{ S_INIT("\\u{1F600}"), S_INIT("\xF0\x9F\x98\x80"), true, true },
		{ S_INIT("^.$"), S_INIT("\xF0\x9F\x98\x80"), true, true },
		{ S_INIT("\\p{Letter}+"), S_INIT("\xC3\xA9tude"), true, true },
		{ S_INIT("\\p{Lu}"), S_INIT("a"), false, false },
		{ S_INIT("[^\\P{L}]"), S_INIT("a"), true, true },
		{ S_INIT("a\\vb"),
			S_INIT("a\x0B"
			       "b"),
			true, true },
		{ S_INIT("a\\vb"), S_INIT("a\nb"), false, false },
		{ S_INIT("[]"), S_INIT("]"), false, false },
		{ S_INIT("[^]"), S_INIT("]"), true, true },
		{ S_INIT("a.b"), S_INIT("a\rb"), false, false },
		{ S_INIT("(?<year>\\d+)-\\k<year>"), S_INIT("12-12"), true, true },
		{ S_INIT("(a)?\\1b"), S_INIT("b"), true, true },
		{ S_INIT("(?=a)a(?!b)(?<=a)(?<!c)"), S_INIT("a"), true, true },
		{ S_INIT("[\\s\\S]+?"), S_INIT("a b"), true, true },
		{ S_INIT("\\x41\\cA\\0"), S_INIT("A\x01\0"), true, true },
		{ S_INIT("[a\\-z]{2,}"), S_INIT("-a"), true, true },
	};

	arena_init(&arena, 4096, MEGABYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		test_note(match(cases[i].pattern, false, cases[i].text) == cases[i].search,
			__FILE__, __LINE__, "case %zu, search: %s", i, err_text());
		test_note(match(cases[i].pattern, true, cases[i].text) == cases[i].whole, __FILE__,
			__LINE__, "case %zu, whole: %s", i, err_text());
	}
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

TEST(schema_pattern_refused)
{
	static const char *const patterns[] = { "(", ")", "[", "a**", "a++", "*a", "+", "{", "}",
		"]", "a{2", "a{,3}", "a{3,2}", "(*UTF)a", "(*LIMIT_MATCH=9)a", "(?R)", "(?1)",
		"(?>a)", "(?i)a", "(?|a)", "(?#a)", "(?P<n>a)", "\\Qa\\E", "\\A", "\\Z", "\\z",
		"\\K", "\\C", "\\X", "\\R", "\\h", "\\N", "\\G", "\\e", "\\a", "\\i", "\\_", "\\-",
		"\\xG0", "\\u00", "\\u{}", "\\u{110000}", "\\c1", "\\01", "\\p", "\\p{}", "\\pL",
		"\\p{Nonsense}", "\\p{^L}", "[[:alpha:]]", "[z-a]", "[\\d-z]", "[a-\\d]", "\\k<n",
		"\\", "a\\", "(?<=a", "(?<n>a)(?<n>b)", "^*", "(?:a)?\?\?" };
	char long_one[PATTERN_MAX + 2];

	arena_init(&arena, 4096, MEGABYTE);
	for (size_t i = 0; i < LEN(patterns); i++)
		test_note(match(str_from_c(patterns[i]), true, S("")) == -ERR_INVALID, __FILE__,
			__LINE__, "%s is taken", patterns[i]);
	EXPECT_INT(match(S("a\0b"), true, S("")), -ERR_INVALID);
	EXPECT_INT(match(S("\xFF"), true, S("")), -ERR_INVALID);
	memset(long_one, 'a', sizeof(long_one));
	EXPECT_INT(match(str_of(long_one, PATTERN_MAX + 1), true, S("")), -ERR_INVALID);
	EXPECT_INT(match(str_of(long_one, PATTERN_MAX), true, S("")), PATTERN_NO);
	EXPECT(strstr(err_text(), "1001 bytes"));
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

/* Patterns that take exponential or cubic time end; the harness kills what does not. */
TEST(schema_pattern_limits)
{
	static const struct {
		struct str pattern;
		size_t len;
	} cases[] = {
		{ S_INIT("^(a+)+$"), 1000 },
		{ S_INIT("^(a|a)*$"), 1000 },
		{ S_INIT("(a*)*(a*)*(a*)*b"), 5000 },
		{ S_INIT("(.*)(.*)(.*)\\1\\2\\3c"), 2000 },
		{ S_INIT("((a+)+)+$"), 30000 },
	};
	static char text[PATTERN_TEXT_MAX + 1];

	arena_init(&arena, 4096, 16 * MEGABYTE);
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < LEN(cases); i++) {
		struct str subject = str_of(text, cases[i].len);

		text[cases[i].len - 1] = '!';
		for (int whole = 0; whole < 2; whole++) {
			int verdict = match(cases[i].pattern, whole, subject);

			test_note(verdict == PATTERN_TOO_COMPLEX || verdict == PATTERN_NO, __FILE__,
				__LINE__, "case %zu ended with %d", i, verdict);
			arena_reset(&arena);
		}
		text[cases[i].len - 1] = 'a';
	}
	EXPECT_INT(match(S("(?:a|b)*"), true, str_of(text, 2000)), PATTERN_YES);
	EXPECT_INT(match(S("a"), false, str_of(text, PATTERN_TEXT_MAX + 1)), PATTERN_TOO_COMPLEX);
	arena_done(&arena);
}

TEST(schema_pattern_exhausted)
{
	struct pattern *evil, *good;
	struct matcher matcher;

	arena_init(&arena, 4096, 16 * MEGABYTE);
	REQUIRE(pattern_compile(S("(a+)+"), true, &evil) == 0);
	REQUIRE(pattern_compile(S("a"), true, &good) == 0);
	EXPECT_STR(pattern_source(evil), S("(a+)+"));
	matcher_init(&matcher, &arena);
	EXPECT_INT(pattern_match(good, S("a"), &matcher), PATTERN_YES);
	EXPECT_INT(pattern_match(evil, S("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"), &matcher),
		PATTERN_TOO_COMPLEX);
	EXPECT_INT(pattern_match(good, S("a"), &matcher), PATTERN_TOO_COMPLEX);
	matcher_init(&matcher, &arena);
	EXPECT_INT(pattern_match(good, S("a"), &matcher), PATTERN_YES);
	pattern_free(evil);
	pattern_free(good);
	pattern_free(NULL);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

#ifdef BULKHEAD_FAULTS
TEST(schema_pattern_torture)
{
	size_t n;

	for (n = 1; n < 200; n++) {
		int r;

		arena_init(&arena, 64, MEGABYTE);
		fault_arm(FAULT_MEMORY, n);
		r = match(S("(a|b)+[c-e]\\p{Lu}"), false, S("abdE"));
		arena_done(&arena);
		EXPECT_INT(mem_used(), 0);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(r, PATTERN_YES);
			break;
		}
		EXPECT(r == -ERR_NO_MEMORY || r == PATTERN_YES);
	}
	fault_arm(FAULT_MEMORY, 0);
	EXPECT(n > 5 && n < 200);
}
#endif
