/* str, num, utf8, time_text, buf, list, err: tables of cases. */
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"
#include "base/time_text.h"
#include "base/utf8.h"

#include <signal.h>

TEST(str_search)
{
	EXPECT_INT(str_find(S("hello"), S("ll")), 2);
	EXPECT_INT(str_find(S("hello"), S("lo!")), -1);
	EXPECT_INT(str_find(S(""), S("a")), -1);
	EXPECT_INT(str_find(S(""), S("")), 0);
	EXPECT_INT(str_find_byte(S("a\0b"), 'b'), 2);
	EXPECT_INT(str_find_byte(str_of(NULL, 0), 'b'), -1);
	EXPECT(str_starts(S("abc"), S("ab")) && !str_starts(S("a"), S("ab")));
	EXPECT(str_ends(S("abc"), S("bc")) && !str_ends(S("c"), S("bc")));
	EXPECT(str_eq_nocase(S("Content-LENGTH"), S("content-length")));
	EXPECT(!str_eq_nocase(S("a["), S("a{")));
	EXPECT(str_cmp(S("a"), S("ab")) < 0 && str_cmp(S("b"), S("ab")) > 0 &&
		str_cmp(S("a"), S("a")) == 0);
	EXPECT_STR(str_trim(S(" \t a b\t")), S("a b"));
	EXPECT_STR(str_trim(S("  ")), S(""));
}

TEST(str_cut_visits_empty_parts)
{
	struct str rest = S(",a,,b,");
	size_t parts = 0, bytes = 0;

	while (rest.at) {
		struct str part = str_cut(&rest, ',');

		parts++;
		bytes += part.len;
	}
	EXPECT_INT(parts, 5);
	EXPECT_INT(bytes, 2);
}

TEST(num_parse)
{
	static const struct {
		struct str text;
		bool ok;
		uint64_t value;
	} cases[] = {
		{ S_INIT("0"), true, 0 },
		{ S_INIT("7"), true, 7 },
		{ S_INIT("18446744073709551615"), true, UINT64_MAX },
		{ S_INIT("18446744073709551616"), false, 0 },
		{ S_INIT("184467440737095516150"), false, 0 },
		{ S_INIT(""), false, 0 },
		{ S_INIT("00"), false, 0 },
		{ S_INIT("01"), false, 0 },
		{ S_INIT("+1"), false, 0 },
		{ S_INIT("-1"), false, 0 },
		{ S_INIT(" 1"), false, 0 },
		{ S_INIT("1 "), false, 0 },
		{ S_INIT("0x1"), false, 0 },
		{ S_INIT("1_0"), false, 0 },
		{ S_INIT("1\0"), false, 0 },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		uint64_t value = 0;
		bool ok = num_parse_u64(cases[i].text, &value);

		test_note(ok == cases[i].ok && value == cases[i].value, __FILE__, __LINE__,
			"case %zu: \"%.*s\"", i, STR_ARG(cases[i].text));
	}
}

TEST(num_signed_and_hex)
{
	int64_t value = 0;
	uint64_t hex = 0;
	char text[NUM_TEXT_MAX];

	EXPECT(num_parse_i64(S("-9223372036854775808"), &value) && value == INT64_MIN);
	EXPECT_STR(str_of(text, num_write_i64(text, value)), S("-9223372036854775808"));
	EXPECT(num_parse_i64(S("9223372036854775807"), &value) && value == INT64_MAX);
	EXPECT(!num_parse_i64(S("9223372036854775808"), &value));
	EXPECT(!num_parse_i64(S("-0"), &value) && !num_parse_i64(S("-"), &value));
	EXPECT_STR(str_of(text, num_write_u64(text, UINT64_MAX)), S("18446744073709551615"));
	EXPECT_STR(str_of(text, num_write_u64(text, 0)), S("0"));
	EXPECT(num_parse_hex(S("fFfFfFfFfFfFfFfF"), &hex) && hex == UINT64_MAX);
	EXPECT(!num_parse_hex(S(""), &hex) && !num_parse_hex(S("0x1"), &hex) &&
		!num_parse_hex(S("g"), &hex));
	EXPECT(!num_parse_hex(S("11111111111111111"), &hex));
	num_write_hex(text, 0xbeef, 8);
	EXPECT_STR(str_of(text, 8), S("0000beef"));
}

TEST(num_units)
{
	uint64_t value = 0;

	EXPECT(num_parse_duration(S("15m"), &value) && value == 15 * MINUTE);
	EXPECT(num_parse_duration(S("250ms"), &value) && value == 250 * MILLISECOND);
	EXPECT(num_parse_duration(S("7d"), &value) && value == 7 * (24 * HOUR));
	EXPECT(num_parse_duration(S("0"), &value) && value == 0);
	EXPECT(!num_parse_duration(S("15"), &value) && !num_parse_duration(S("m"), &value));
	EXPECT(!num_parse_duration(S("1.5h"), &value) && !num_parse_duration(S("-1s"), &value));
	EXPECT(!num_parse_duration(S("300000d"), &value));
	EXPECT(num_parse_size(S("10mb"), &value) && value == 10 * MEGABYTE);
	EXPECT(num_parse_size(S("512"), &value) && value == 512);
	EXPECT(num_parse_size(S("1KB"), &value) && value == KILOBYTE);
	EXPECT(!num_parse_size(S("1k"), &value) && !num_parse_size(S("17179869184gb"), &value));
}

TEST(utf8_table)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ S_INIT(""), true },
		{ S_INIT("plain ascii longer than eight"), true },
		{ S_INIT("gr\xC3\xBC\xC3\x9F"), true },
		{ S_INIT("\xE2\x82\xAC\xF0\x9F\x98\x80"), true },
		{ S_INIT("\xF4\x8F\xBF\xBF"), true },
		{ S_INIT("\xEF\xBF\xBF"), true },
		{ S_INIT("\x80"), false },             /* continuation alone */
		{ S_INIT("\xC0\x80"), false },         /* overlong NUL */
		{ S_INIT("\xC1\xBF"), false },         /* overlong */
		{ S_INIT("\xE0\x9F\xBF"), false },     /* overlong */
		{ S_INIT("\xF0\x8F\xBF\xBF"), false }, /* overlong */
		{ S_INIT("\xED\xA0\x80"), false },     /* surrogate */
		{ S_INIT("\xF4\x90\x80\x80"), false }, /* above U+10FFFF */
		{ S_INIT("\xF5\x80\x80\x80"), false },
		{ S_INIT("abcdefgh\xC3"), false }, /* cut off */
		{ S_INIT("\xE2\x82"), false },
		{ S_INIT("\xE2\x28\xA1"), false },
		{ S_INIT("\xFF"), false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(utf8_valid(cases[i].text) == cases[i].ok, __FILE__, __LINE__, "case %zu",
			i);
}

TEST(utf8_round_trip)
{
	for (uint32_t point = 0; point <= 0x10FFFF; point++) {
		char at[UTF8_MAX];
		uint32_t back = 0;
		size_t len;

		if (point >= 0xD800 && point <= 0xDFFF)
			continue;
		len = utf8_write(at, point);
		REQUIRE(utf8_read(str_of(at, len), &back) == len && back == point);
		REQUIRE(utf8_length(str_of(at, len)) == 1);
	}
}

TEST(time_text_known_moments)
{
	static const struct {
		int64_t time_us;
		const char *rfc3339, *http;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT" },
		{ 784111777000000, "1994-11-06T08:49:37.000Z", "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ 951782400123999, "2000-02-29T00:00:00.123Z", "Tue, 29 Feb 2000 00:00:00 GMT" },
		{ 4107542399999999, "2100-02-28T23:59:59.999Z", "Sun, 28 Feb 2100 23:59:59 GMT" },
		{ -1, "1969-12-31T23:59:59.999Z", "Wed, 31 Dec 1969 23:59:59 GMT" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char at[32];

		time_write_rfc3339(at, cases[i].time_us);
		EXPECT_STR(str_of(at, TIME_RFC3339_LEN), str_from_c(cases[i].rfc3339));
		time_write_http(at, cases[i].time_us);
		EXPECT_STR(str_of(at, TIME_HTTP_LEN), str_from_c(cases[i].http));
		time_write_date(at, cases[i].time_us);
		EXPECT_STR(str_of(at, TIME_DATE_LEN), str_first(str_from_c(cases[i].rfc3339), 10));
	}
}

TEST(buf_limit_sticks)
{
	struct buf buf;

	buf_init(&buf, 10);
	buf_append(&buf, S("12345"));
	buf_u64(&buf, 67890);
	EXPECT_STR(buf_str(&buf), S("1234567890"));
	EXPECT_INT(buf.failed, 0);
	buf_byte(&buf, 'x');
	EXPECT_INT(buf.failed, -ERR_TOO_LARGE);
	buf_consume(&buf, 5);
	buf_byte(&buf, 'x'); /* the failure sticks, though there is room now */
	EXPECT_STR(buf_str(&buf), S("67890"));
	buf_reset(&buf);
	buf_hex(&buf, 0xab, 4);
	buf_printf(&buf, "%d", 42);
	EXPECT_STR(buf_str(&buf), S("00ab42"));
	EXPECT_INT(buf.failed, 0);
	buf_done(&buf);
	EXPECT_INT(mem_used(), 0);
}

TEST(mem_limit_refuses)
{
	void *at;

	mem_limit(1000);
	EXPECT(mem_alloc(1001) == NULL);
	EXPECT_INT(err_last()->code, ERR_NO_MEMORY);
	at = mem_zalloc(600);
	REQUIRE(at != NULL);
	EXPECT(mem_resize(at, 600, 1200) == NULL);
	EXPECT_INT(mem_used(), 600);
	mem_free(at, 600);
	EXPECT_INT(mem_used(), 0);
}

TEST(list_moves)
{
	struct node {
		int value;
		struct link link;
	} a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 }, *each;
	struct link head = LIST_INIT(head), other = LIST_INIT(other);
	int sum = 0;

	link_init(&a.link);
	link_remove(&a.link); /* in no list: nothing happens */
	list_push(&head, &b.link);
	list_push(&head, &c.link);
	list_push_first(&head, &a.link);
	LIST_EACH (each, &head, struct node, link) {
		sum = sum * 10 + each->value;
		link_remove(&each->link);
	}
	EXPECT_INT(sum, 123);
	EXPECT(list_empty(&head) && list_pop(&head) == NULL);
	list_push(&head, &a.link);
	list_push(&other, &b.link);
	list_push(&other, &c.link);
	list_take(&head, &other);
	EXPECT(list_empty(&other));
	EXPECT(list_pop(&head) == &a.link && list_pop(&head) == &b.link &&
		list_pop(&head) == &c.link);
}

TEST(err_chain)
{
	char text[200];

	EXPECT_INT(fail(ERR_CONFLICT, "version %d", 3), -ERR_CONFLICT);
	EXPECT_INT(err_wrap("while saving"), -ERR_CONFLICT);
	EXPECT_INT((long long)err_describe(err_last(), text, sizeof(text)), 23);
	EXPECT_STR(str_from_c(text), S("while saving: version 3"));
	EXPECT_INT((long long)err_describe(err_last(), text, 5), 4);
	EXPECT_STR(str_from_c(text), S("whil"));
	(void)fail(ERR_INVALID, "%s again", err_text()); /* the argument points into the slot */
	EXPECT_STR(str_from_c(err_text()), S("while saving again"));
	for (int i = 0; i < 10; i++)
		(void)err_wrap("level %d", i);
	EXPECT_INT(err_last()->depth, ERR_FRAMES);
	EXPECT_STR(str_from_c(err_last()->frames[0].text), S("while saving again"));
	EXPECT_STR(str_from_c(err_text()), S("level 9"));
}

TEST(err_blames_a_field)
{
	struct err kept;

	EXPECT_INT(fail_field(ERR_CONFLICT, "slug", "unique", "is taken"), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_text()), S("is taken"));
	EXPECT_STR(str_from_c(err_last()->field), S("slug"));
	EXPECT_STR(str_from_c(err_last()->rule), S("unique"));
	(void)err_wrap("while saving");
	EXPECT_STR(str_from_c(err_last()->field), S("slug"));
	kept = *err_last();
	(void)fail(ERR_INVALID, "another");
	EXPECT_INT(err_last()->field[0], 0);
	EXPECT_INT(err_last()->rule[0], 0);
	EXPECT_INT(err_restore(&kept), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_last()->field), S("slug"));
	EXPECT_STR(str_from_c(err_text()), S("while saving"));
}

TEST(err_table)
{
	EXPECT_INT(err_info(-ERR_CONFLICT)->status, 409);
	EXPECT_STR(err_info(ERR_TOO_MANY)->wire, S("TOO_MANY_REQUESTS"));
	EXPECT(err_info(-ERR_TIMEOUT)->retryable);
	EXPECT_INT(err_info(-9999)->status, 500);
	for (int code = 1; code < ERR_CODES; code++)
		EXPECT(err_info(code)->name && err_info(code)->status >= 400 &&
			err_info(code)->text.len);
}

static void break_check(void *arg)
{
	CHECK(arg != NULL);
}

TEST(check_aborts)
{
	EXPECT(test_dies(break_check, NULL, SIGABRT));
}
