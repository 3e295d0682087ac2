/* Targets, authorities, path segments and queries: tables, and the laws of decoding. */
#include "http/target.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/test.h"
#include "base/utf8.h"
#include "http/chars.h"

TEST(target_parts)
{
	static const struct {
		struct str text;
		int code;
		enum target_form form;
		struct str scheme, authority, path, query;
		bool has_query;
	} cases[] = {
		{ S_INIT("/"), 0, TARGET_ORIGIN, S_INIT(""), S_INIT(""), S_INIT("/") },
		{ S_INIT("/a?"), 0, TARGET_ORIGIN, S_INIT(""), S_INIT(""), S_INIT("/a"), S_INIT(""),
			true },
		{ S_INIT("/a?b?c"), 0, TARGET_ORIGIN, S_INIT(""), S_INIT(""), S_INIT("/a"),
			S_INIT("b?c"), true },
		{ S_INIT("//a"), 0, TARGET_ORIGIN, S_INIT(""), S_INIT(""), S_INIT("//a") },
		{ S_INIT("*"), 0, TARGET_ASTERISK, S_INIT(""), S_INIT(""), S_INIT("*") },
		{ S_INIT("http://a:1/b?c"), 0, TARGET_ABSOLUTE, S_INIT("http"), S_INIT("a:1"),
			S_INIT("/b"), S_INIT("c"), true },
		{ S_INIT("HttpS://a"), 0, TARGET_ABSOLUTE, S_INIT("HttpS"), S_INIT("a"),
			S_INIT("/") },
		{ S_INIT("http://a?b/c"), 0, TARGET_ABSOLUTE, S_INIT("http"), S_INIT("a"),
			S_INIT("/"), S_INIT("b/c"), true },
		{ S_INIT(""), ERR_INVALID },
		{ S_INIT("a"), ERR_INVALID },
		{ S_INIT("**"), ERR_INVALID },
		{ S_INIT("http://"), ERR_INVALID },
		{ S_INIT("http:///a"), ERR_INVALID },
		{ S_INIT("http:a"), ERR_INVALID },
		{ S_INIT("/a b"), ERR_INVALID },
		{ S_INIT("/a\tb"), ERR_INVALID },
		{ S_INIT("/a#"), ERR_INVALID },
		{ S_INIT("/\\"), ERR_INVALID },
		{ S_INIT("/\0"), ERR_INVALID },
		{ S_INIT("/?\x80"), ERR_INVALID },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct target target = { 0 };
		int r = target_parse(cases[i].text, &target);

		test_note(r == -cases[i].code, __FILE__, __LINE__, "%.*s", STR_ARG(cases[i].text));
		EXPECT_INT(target.form, cases[i].form);
		EXPECT_STR(target.scheme, cases[i].scheme);
		EXPECT_STR(target.authority, cases[i].authority);
		EXPECT_STR(target.path, cases[i].path);
		EXPECT_STR(target.query, cases[i].query);
		EXPECT((target.query.at != NULL) == cases[i].has_query);
	}
}

TEST(authority_length_of_a_name)
{
	char name[TARGET_HOST_MAX + 2];
	struct authority authority;

	memset(name, 'a', sizeof(name));
	EXPECT_INT(authority_parse(str_of(name, TARGET_HOST_MAX), &authority), 0);
	EXPECT_INT(authority.host.len, TARGET_HOST_MAX);
	EXPECT_INT(authority_parse(str_of(name, TARGET_HOST_MAX + 1), &authority), -ERR_INVALID);
	EXPECT_INT(authority_parse(S("[::\0]"), &authority), -ERR_INVALID);
	EXPECT_INT(authority_parse(str_of(NULL, 0), &authority), -ERR_INVALID);
}

/* Segments joined by '|', or the error. */
static int walk_path(struct str path, struct arena *arena, struct buf *out)
{
	struct path_segment segment;
	struct path_walk walk;
	int r;

	buf_reset(out);
	path_start(&walk, path);
	while ((r = path_next(&walk, arena, &segment)) > 0) {
		buf_append(out, S("|"));
		buf_append(out, segment.text);
	}
	return r;
}

TEST(path_segments)
{
	static const struct {
		const char *name;
		struct str path;
		int code;
		struct str segments;
	} cases[] = {
		{ "root", S_INIT("/"), 0, S_INIT("|") },
		{ "asterisk", S_INIT("*"), 0, S_INIT("") },
		{ "two", S_INIT("/a/b"), 0, S_INIT("|a|b") },
		{ "trailing slash", S_INIT("/a/"), 0, S_INIT("|a|") },
		{ "double slash", S_INIT("//a"), 0, S_INIT("||a") },
		{ "plus stays", S_INIT("/a+b"), 0, S_INIT("|a+b") },
		{ "decoded", S_INIT("/%61%C3%a4"), 0, S_INIT("|a\xc3\xa4") },
		{ "decoded slash is data", S_INIT("/a%2Fb/c"), 0, S_INIT("|a/b|c") },
		{ "decoded question mark is data", S_INIT("/a%3Fb"), 0, S_INIT("|a?b") },
		{ "decoded once", S_INIT("/%2561"), 0, S_INIT("|%61") },
		{ "twice encoded traversal stays text", S_INIT("/%252e%252e"), 0,
			S_INIT("|%2e%2e") },
		{ "three dots", S_INIT("/.../.a/a."), 0, S_INIT("|...|.a|a.") },
		{ "highest character", S_INIT("/%F4%8F%BF%BF"), 0, S_INIT("|\xf4\x8f\xbf\xbf") },
		{ "dot", S_INIT("/./a"), ERR_INVALID },
		{ "dot dot", S_INIT("/a/../b"), ERR_INVALID },
		{ "dot dot last", S_INIT("/a/.."), ERR_INVALID },
		{ "encoded dot", S_INIT("/%2e"), ERR_INVALID },
		{ "encoded dot dot", S_INIT("/%2e%2E/a"), ERR_INVALID },
		{ "half encoded dot dot", S_INIT("/.%2e/a"), ERR_INVALID },
		{ "dot dot beside an encoded slash", S_INIT("/..%2fa"), ERR_INVALID },
		{ "dot dot behind an encoded slash", S_INIT("/a%2f%2e%2e"), ERR_INVALID },
		{ "encoded backslash", S_INIT("/a%5cb"), ERR_INVALID },
		{ "encoded NUL", S_INIT("/a%00.png"), ERR_INVALID },
		{ "encoded CR LF", S_INIT("/a%0d%0aSet-Cookie:b"), ERR_INVALID },
		{ "encoded tab", S_INIT("/%09"), ERR_INVALID },
		{ "encoded delete", S_INIT("/%7f"), ERR_INVALID },
		{ "overlong slash", S_INIT("/%c0%af"), ERR_INVALID },
		{ "overlong dot", S_INIT("/%c0%ae%c0%ae"), ERR_INVALID },
		{ "overlong NUL", S_INIT("/%c0%80"), ERR_INVALID },
		{ "surrogate", S_INIT("/%ed%a0%80"), ERR_INVALID },
		{ "over U+10FFFF", S_INIT("/%f4%90%80%80"), ERR_INVALID },
		{ "character cut", S_INIT("/%c3"), ERR_INVALID },
		{ "character across a slash", S_INIT("/%c3/%a4"), ERR_INVALID },
		{ "lone continuation", S_INIT("/%80"), ERR_INVALID },
		{ "percent at the end", S_INIT("/a%"), ERR_INVALID },
		{ "one digit", S_INIT("/a%4"), ERR_INVALID },
		{ "digit across a slash", S_INIT("/a%4/1"), ERR_INVALID },
		{ "not hex", S_INIT("/%zz"), ERR_INVALID },
		{ "sign", S_INIT("/%+1"), ERR_INVALID },
		{ "percent percent", S_INIT("/%%41"), ERR_INVALID },
		{ "unicode escape", S_INIT("/%u002e"), ERR_INVALID },
	};
	struct arena arena;
	struct buf out;

	arena_init(&arena, 4096, 65536);
	buf_init(&out, 4096);
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = walk_path(cases[i].path, &arena, &out);

		test_note(r == -cases[i].code, __FILE__, __LINE__, "%s: %s", cases[i].name,
			err_info(r)->name);
		if (cases[i].code == 0)
			EXPECT_STR(buf_str(&out), cases[i].segments);
	}
	buf_done(&out);
	arena_done(&arena);
}

TEST(path_copies_only_what_is_encoded)
{
	struct path_segment segment;
	struct path_walk walk;
	struct arena arena;

	arena_init(&arena, 4096, 65536);
	path_start(&walk, S("/plain/%41"));
	EXPECT_INT(path_next(&walk, &arena, &segment), 1);
	EXPECT(segment.text.at == segment.raw.at);
	EXPECT_INT(arena_used(&arena), 0);
	EXPECT_INT(path_next(&walk, &arena, &segment), 1);
	EXPECT_STR(segment.raw, S("%41"));
	EXPECT_STR(segment.text, S("A"));
	EXPECT_INT(path_next(&walk, &arena, &segment), 0);
	EXPECT_INT(path_next(&walk, &arena, &segment), 0);
	arena_done(&arena);
}

TEST(path_of_too_many_segments)
{
	struct arena arena;
	struct buf path, out;

	arena_init(&arena, 4096, 65536);
	buf_init(&path, 4096);
	buf_init(&out, 4096);
	for (size_t i = 0; i < PATH_SEGMENTS_MAX; i++)
		buf_append(&path, S("/a"));
	EXPECT_INT(walk_path(buf_str(&path), &arena, &out), 0);
	buf_append(&path, S("/"));
	EXPECT_INT(walk_path(buf_str(&path), &arena, &out), -ERR_INVALID);
	buf_done(&path);
	buf_done(&out);
	arena_done(&arena);
}

/* Pairs as "name>value|", or the error. */
static int walk_query(struct str query, struct arena *arena, struct buf *out)
{
	struct query_pair pair;
	struct query_walk walk;
	int r;

	buf_reset(out);
	query_start(&walk, query);
	while ((r = query_next(&walk, arena, &pair)) > 0) {
		buf_append(out, pair.name);
		buf_append(out, S(">"));
		buf_append(out, pair.value);
		buf_append(out, S("|"));
	}
	return r;
}

TEST(query_pairs)
{
	static const struct {
		const char *name;
		struct str query;
		int code;
		struct str pairs;
	} cases[] = {
		{ "none", { NULL, 0 }, 0, S_INIT("") },
		{ "empty", S_INIT(""), 0, S_INIT("") },
		{ "one", S_INIT("a=b"), 0, S_INIT("a>b|") },
		{ "two", S_INIT("a=b&c=d"), 0, S_INIT("a>b|c>d|") },
		{ "same name", S_INIT("a=b&a=c"), 0, S_INIT("a>b|a>c|") },
		{ "no value", S_INIT("a&b="), 0, S_INIT("a>|b>|") },
		{ "no name", S_INIT("=a"), 0, S_INIT(">a|") },
		{ "empty pairs", S_INIT("&&a=b&&c=d&&"), 0, S_INIT("a>b|c>d|") },
		{ "equals in value", S_INIT("a=b=c"), 0, S_INIT("a>b=c|") },
		{ "plus and percent", S_INIT("a+b=c%20d%2B"), 0, S_INIT("a b>c d+|") },
		{ "decoded separators are data", S_INIT("a%26b=c%3Dd"), 0, S_INIT("a&b>c=d|") },
		{ "line ends in a value", S_INIT("a=b%0D%0Ac%09"), 0, S_INIT("a>b\r\nc\t|") },
		{ "brackets", S_INIT("a[0]=b"), 0, S_INIT("a[0]>b|") },
		{ "semicolon is data", S_INIT("a=b;c=d"), 0, S_INIT("a>b;c=d|") },
		{ "UTF-8", S_INIT("a=%E2%82%AC"), 0, S_INIT("a>\xe2\x82\xac|") },
		{ "NUL", S_INIT("a=%00"), ERR_INVALID },
		{ "NUL in a name", S_INIT("a%00=b"), ERR_INVALID },
		{ "escape", S_INIT("a=%1b"), ERR_INVALID },
		{ "delete", S_INIT("a=%7F"), ERR_INVALID },
		{ "bell behind line ends", S_INIT("a=%0a%07"), ERR_INVALID },
		{ "percent at the end", S_INIT("a=%"), ERR_INVALID },
		{ "percent across a separator", S_INIT("a=%4&b=c"), ERR_INVALID },
		{ "not hex", S_INIT("a=%g1"), ERR_INVALID },
		{ "overlong", S_INIT("a=%c0%af"), ERR_INVALID },
		{ "raw bytes of a form", S_INIT("a=\xff"), ERR_INVALID },
		{ "raw UTF-8 of a form", S_INIT("a=\xc3\xa4"), 0, S_INIT("a>\xc3\xa4|") },
	};
	struct arena arena;
	struct buf out;

	arena_init(&arena, 4096, 65536);
	buf_init(&out, 4096);
	for (size_t i = 0; i < LEN(cases); i++) {
		int r = walk_query(cases[i].query, &arena, &out);

		test_note(r == -cases[i].code, __FILE__, __LINE__, "%s: %s", cases[i].name,
			err_info(r)->name);
		if (cases[i].code == 0)
			EXPECT_STR(buf_str(&out), cases[i].pairs);
	}
	buf_done(&out);
	arena_done(&arena);
}

TEST(query_of_too_many_pairs)
{
	struct arena arena;
	struct buf query, out;

	arena_init(&arena, 4096, 65536);
	buf_init(&query, 4096);
	buf_init(&out, 4096);
	for (size_t i = 0; i < QUERY_PAIRS_MAX; i++)
		buf_append(&query, S("a=b&"));
	EXPECT_INT(walk_query(buf_str(&query), &arena, &out), 0);
	buf_append(&query, S("a"));
	EXPECT_INT(walk_query(buf_str(&query), &arena, &out), -ERR_INVALID);
	buf_done(&query);
	buf_done(&out);
	arena_done(&arena);
}

/* Any well-formed text without control bytes, encoded, comes back as one segment and one value. */
TEST(percent_decoding_undoes_encoding)
{
	struct buf text, path, query, out, wanted;
	struct arena arena;
	uint64_t seed = 99;

	arena_init(&arena, 4096, MEGABYTE);
	for (struct buf **each = (struct buf *[]){ &text, &path, &query, &out, &wanted, NULL };
		*each; each++)
		buf_init(*each, 65536);

	for (size_t round = 0; round < 2000; round++) {
		buf_reset(&text);
		buf_reset(&path);
		buf_reset(&query);
		buf_append(&text, S("|x"));
		buf_append(&path, S("/x"));
		buf_append(&query, S("n=x"));
		for (size_t n = test_random(&seed) % 8; n-- > 0;) {
			uint32_t point = (uint32_t)(test_random(&seed) % 0x110000);
			char at[UTF8_MAX];
			size_t len;

			if (test_random(&seed) % 2)
				point = 0x20 + point % 0x5F;
			if (point < 0x20 || point == 0x7F || point == '\\' ||
				(point >= 0xD800 && point <= 0xDFFF))
				continue;
			len = utf8_write(at, point);
			buf_append(&text, str_of(at, len));
			for (size_t i = 0; i < len; i++) {
				buf_printf(&path, "%%%02x", (unsigned char)at[i]);
				buf_printf(&query, "%%%02X", (unsigned char)at[i]);
			}
		}

		if (str_find(buf_str(&text), S("/.")) >= 0) /* may be a dot segment */
			continue;
		REQUIRE(walk_path(buf_str(&path), &arena, &out) == 0);
		EXPECT_STR(buf_str(&out), buf_str(&text));
		buf_reset(&wanted);
		buf_append(&wanted, S("n>"));
		buf_append(&wanted, str_from(buf_str(&text), 1));
		buf_append(&wanted, S("|"));
		REQUIRE(walk_query(buf_str(&query), &arena, &out) == 0);
		EXPECT_STR(buf_str(&out), buf_str(&wanted));
		arena_reset(&arena);
	}

	for (struct buf **each = (struct buf *[]){ &text, &path, &query, &out, &wanted, NULL };
		*each; each++)
		buf_done(*each);
	arena_done(&arena);
}

TEST(target_without_memory)
{
	struct path_segment segment;
	struct query_pair pair;
	struct path_walk path;
	struct query_walk query;
	struct arena arena;
	int r;

	arena_init(&arena, 64, 512);
	path_start(
		&path, S("/%41/%42/%43/%44/%45/%46/%47/%48/%49/%41/%42/%43/%44/%45/%46/%47/%48/%49"
			 "/%41/%42/%43/%44/%45/%46/%47/%48/%49/%41/%42/%43/%44/%45/%46/%47"));
	while ((r = path_next(&path, &arena, &segment)) > 0)
		;
	EXPECT_INT(r, -ERR_TOO_LARGE);
	query_start(&query, S("a+b=c+d&e+f=g+h"));
	while ((r = query_next(&query, &arena, &pair)) > 0)
		;
	EXPECT_INT(r, -ERR_TOO_LARGE);
	arena_done(&arena);

#ifdef BULKHEAD_FAULTS
	arena_init(&arena, 4096, 65536);
	fault_arm(FAULT_MEMORY, 1);
	path_start(&path, S("/%41"));
	EXPECT_INT(path_next(&path, &arena, &segment), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 1);
	query_start(&query, S("a=%41"));
	EXPECT_INT(query_next(&query, &arena, &pair), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 0);
	arena_done(&arena);
#endif
}

TEST(chars_find_control_at_every_place)
{
	char text[40];

	for (size_t len = 0; len <= sizeof(text); len++) {
		for (size_t at = 0; at < len; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				bool control = byte < 0x20 || byte == 0x7F;

				memset(text, byte & 1 ? 0xFF : 0x20, sizeof(text));
				text[at] = (char)byte;
				REQUIRE(chars_find_control(text, 0, len) == (control ? at : len));
				REQUIRE(chars_find_control(text, at + 1, len) == len);
			}
		}
	}
}
