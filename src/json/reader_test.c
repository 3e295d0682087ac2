/*
 * The reader: tables of what it takes, what it refuses and where, its limits one by one, names that
 * appear twice, skipping, random documents, truncation, failing memory, and the conformance suite.
 */
#include "json/reader.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "base/utf8.h"
#include "json/writer.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void start(void)
{
	arena_init(&arena, 4096, 64 * MEGABYTE);
}

static void stop(void)
{
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

/* --- traces: events as text, to compare them ---------------------------------- */

static const char event_letters[JSON_EVENTS] = {
	[JSON_END] = '.',
	[JSON_OBJECT] = '{',
	[JSON_OBJECT_END] = '}',
	[JSON_ARRAY] = '[',
	[JSON_ARRAY_END] = ']',
	[JSON_KEY] = 'k',
	[JSON_STRING] = 's',
	[JSON_NUMBER] = '#',
	[JSON_TRUE] = 't',
	[JSON_FALSE] = 'f',
	[JSON_NULL] = 'n',
};

static void note_event(struct buf *trace, int event, struct str text)
{
	buf_byte(trace, event_letters[event]);
	if (event == JSON_KEY || event == JSON_STRING || event == JSON_NUMBER) {
		buf_byte(trace, '<');
		buf_append(trace, text);
		buf_byte(trace, '>');
	}
}

/* Reads everything; the events go to `trace` unless it is NULL. Returns 0 or the reader's code. */
static int read_all(struct str text, const struct json_limits *limits, struct buf *trace)
{
	struct json_reader reader;
	int event;

	json_reader_init(&reader, text, &arena, limits);
	while ((event = json_next(&reader)) > 0)
		if (trace)
			note_event(trace, event, reader.text);
	EXPECT_INT(json_next(&reader), event); /* both ends stay */
	return event;
}

TEST(json_reader_events)
{
	static const struct {
		struct str text, trace;
	} cases[] = {
		{ S_INIT("null"), S_INIT("n") },
		{ S_INIT(" true\r\n"), S_INIT("t") },
		{ S_INIT("\t-0.5e+7 "), S_INIT("#<-0.5e+7>") },
		{ S_INIT("\"\""), S_INIT("s<>") },
		{ S_INIT("[]"), S_INIT("[]") },
		{ S_INIT("{}"), S_INIT("{}") },
		{ S_INIT("[ 1 ,[2,[]] , {} ]"), S_INIT("[#<1>[#<2>[]]{}]") },
		{ S_INIT("{ \"a\" : 1 , \"b\":[false] ,\"c\":{\"d\":null}}"),
			S_INIT("{k<a>#<1>k<b>[f]k<c>{k<d>n}}") },
		{ S_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), S_INIT("s<\"\\/\b\f\n\r\t>") },
		{ S_INIT("\"x\\u0041y\\u00e9\\u20AC\\uD83d\\uDe00z\""),
			S_INIT("s<xAy\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z>") },
		{ S_INIT("\"\\u0000\""), S_INIT("s<\0>") },
		{ S_INIT("\"12345678\xC3\xA9"
			 "12345678\xF4\x8F\xBF\xBF\x7F\""),
			S_INIT("s<12345678\xC3\xA9"
			       "12345678\xF4\x8F\xBF\xBF\x7F>") },
		{ S_INIT("{\"\\u0061\\n\":0}"), S_INIT("{k<a\n>#<0>}") },
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct buf trace;

		buf_init(&trace, KILOBYTE);
		EXPECT_INT(read_all(cases[i].text, NULL, &trace), 0);
		EXPECT_STR(buf_str(&trace), cases[i].trace);
		buf_done(&trace);
	}
	stop();
}

TEST(json_reader_refuses)
{
	static const struct {
		struct str text, error;
	} cases[] = {
		{ S_INIT(""),
			S_INIT("line 1, column 1 (byte 0): expected a value, found the end of "
			       "the text") },
		{ S_INIT(" \n "), S_INIT("line 2, column 2 (byte 3): expected a value, found the "
					 "end of the text") },
		{ S_INIT("\xEF\xBB\xBF{}"),
			S_INIT("line 1, column 1 (byte 0): expected JSON without a byte order "
			       "mark") },
		{ S_INIT("{} {}"), S_INIT("line 1, column 4 (byte 3): expected the end of the "
					  "text, found '{'") },
		{ S_INIT("[1,]"), S_INIT("line 1, column 4 (byte 3): expected a value, found "
					 "']'") },
		{ S_INIT("[1 2]"), S_INIT("line 1, column 4 (byte 3): expected ',' or ']', found "
					  "'2'") },
		{ S_INIT("[1}"), S_INIT("line 1, column 3 (byte 2): expected ',' or ']', found "
					"'}'") },
		{ S_INIT("{\"a\":1,}"), S_INIT("line 1, column 8 (byte 7): expected a name in "
					       "quotes, found '}'") },
		{ S_INIT("{a:1}"), S_INIT("line 1, column 2 (byte 1): expected a name in quotes or "
					  "'}', found 'a'") },
		{ S_INIT("{\"a\" 1}"), S_INIT("line 1, column 6 (byte 5): expected ':', found "
					      "'1'") },
		{ S_INIT("{\"a\":1;}"), S_INIT("line 1, column 7 (byte 6): expected ',' or '}', "
					       "found ';'") },
		{ S_INIT("{\n\"\xC3\xA9\": tru}"),
			S_INIT("line 2, column 6 (byte 8): expected a value, found 't'") },
		{ S_INIT("01"), S_INIT("line 1, column 2 (byte 1): expected the end of the text, "
				       "found '1'") },
		{ S_INIT("-"), S_INIT("line 1, column 2 (byte 1): expected a digit, found the end "
				      "of the text") },
		{ S_INIT("1.e1"), S_INIT("line 1, column 3 (byte 2): expected a digit after the "
					 "point, found 'e'") },
		{ S_INIT("1e+\xFF"), S_INIT("line 1, column 4 (byte 3): expected a digit of the "
					    "exponent, found byte 0xff") },
		{ S_INIT("\"a"), S_INIT("line 1, column 3 (byte 2): expected '\"' at the end of a "
					"string, found the end of the text") },
		{ S_INIT("\"a\x1F\""), S_INIT("line 1, column 3 (byte 2): a control character in a "
					      "string must be escaped") },
		{ S_INIT("\"\\x\""), S_INIT("line 1, column 2 (byte 1): expected one of \\\" \\\\ "
					    "\\/ \\b \\f \\n \\r \\t \\uXXXX (surrogates in "
					    "pairs)") },
		{ S_INIT("\"ab\xC3(\""), S_INIT("line 1, column 4 (byte 3): expected UTF-8") },
		{ S_INIT("{\"a\":1,\"b\":2,\"a\":3}"),
			S_INIT("line 1, column 14 (byte 13): a second member of the same name in "
			       "one object") },
		{ S_INIT("\0"), S_INIT("line 1, column 1 (byte 0): expected a value, found byte "
				       "0x00") },
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_INT(read_all(cases[i].text, NULL, NULL), -ERR_INVALID);
		EXPECT_STR(str_from_c(err_text()), cases[i].error);
	}
	stop();
}

TEST(json_reader_refuses_strings)
{
	static const struct str cases[] = {
		S_INIT("\"\\\""),
		S_INIT("\"\\"),
		S_INIT("\"\\u12"),
		S_INIT("\"\\u12\""),
		S_INIT("\"\\u12G4\""),
		S_INIT("\"\\U0041\""),
		S_INIT("\"\\\x80\""),
		S_INIT("\"\\uD800\""),
		S_INIT("\"\\uD800x\""),
		S_INIT("\"\\uD800\\n\""),
		S_INIT("\"\\uD800\\u0041\""),
		S_INIT("\"\\uD800\\uD800\""),
		S_INIT("\"\\uD800\\uDC0"),
		S_INIT("\"\\uDC00\\uD800\""),
		S_INIT("\"\x80\""),
		S_INIT("\"\xC0\x80\""),
		S_INIT("\"\xE2\x82\""),
		S_INIT("\"\xED\xA0\x80\""),
		S_INIT("\"\xF4\x90\x80\x80\""),
		S_INIT("\"\xC3"),
		S_INIT("\"12345678\n\""),
		S_INIT("\"1234567\x01"
		       "12345678\""),
		S_INIT("\"\t\""),
		S_INIT("{\"\\uDFFF\":1}"),
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++)
		test_note(read_all(cases[i], NULL, NULL) == -ERR_INVALID, __FILE__, __LINE__,
			"case %zu is accepted", i);
	stop();
}

TEST(json_reader_offsets)
{
	struct str text = S(" {\"a\" : [12, \"\\n\"]}");
	static const size_t offsets[] = { 1, 2, 8, 9, 13, 17, 18 };
	struct json_reader reader;

	start();
	json_reader_init(&reader, text, &arena, NULL);
	for (size_t i = 0; i < LEN(offsets); i++) {
		EXPECT(json_next(&reader) > 0);
		EXPECT_INT(reader.offset, offsets[i]);
	}
	EXPECT_INT(json_next(&reader), JSON_END);
	EXPECT_INT(reader.offset, text.len);
	stop();
}

/* Text without escapes is not copied. */
TEST(json_reader_points_into_the_text)
{
	struct str text = S("[\"plain \xC3\xA9\",17,\"\\u0020\"]");
	struct json_reader reader;

	start();
	json_reader_init(&reader, text, &arena, NULL);
	REQUIRE(json_next(&reader) == JSON_ARRAY);
	REQUIRE(json_next(&reader) == JSON_STRING);
	EXPECT(reader.text.at == text.at + 2 && reader.text.len == 8);
	REQUIRE(json_next(&reader) == JSON_NUMBER);
	EXPECT(reader.text.at == text.at + 12 && reader.integer);
	EXPECT_INT(arena_used(&arena), 0);
	REQUIRE(json_next(&reader) == JSON_STRING);
	EXPECT_STR(reader.text, S(" "));
	EXPECT(arena_used(&arena) > 0);
	stop();
}

TEST(json_reader_classifies_numbers)
{
	static const struct {
		struct str text;
		bool integer;
	} cases[] = {
		{ S_INIT("0"), true },
		{ S_INIT("-0"), true },
		{ S_INIT("12345678901234567890123"), true },
		{ S_INIT("1.0"), false },
		{ S_INIT("1e2"), false },
		{ S_INIT("1E-2"), false },
	};
	struct json_reader reader;

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		json_reader_init(&reader, cases[i].text, &arena, NULL);
		REQUIRE(json_next(&reader) == JSON_NUMBER);
		EXPECT_STR(reader.text, cases[i].text);
		EXPECT_INT(reader.integer, cases[i].integer);
		EXPECT_INT(json_next(&reader), JSON_END);
	}
	stop();
}

/* --- limits ------------------------------------------------------------------- */

TEST(json_reader_limits)
{
	static const struct {
		struct json_limits limits;
		struct str fits, exceeds, error;
	} cases[] = {
		{ { 8, 4, 8, 8 }, S_INIT("[1,2,34]"), S_INIT("[1,2,345]"),
			S_INIT("line 1, column 1 (byte 0): more than 8 bytes of JSON") },
		{ { 99, 3, 8, 8 }, S_INIT("[{\"a\":[]}]"), S_INIT("[{\"a\":[[]]}]"),
			S_INIT("line 1, column 8 (byte 7): more than 3 levels of nesting") },
		{ { 99, 0, 8, 8 }, S_INIT("1"), S_INIT("{}"),
			S_INIT("line 1, column 1 (byte 0): more than 0 levels of nesting") },
		{ { 99, 4, 3, 8 }, S_INIT("[\"abc\",\"\\u0061bc\",1234]"), S_INIT("[\"abcd\"]"),
			S_INIT("line 1, column 2 (byte 1): more than 3 bytes in a string") },
		{ { 99, 4, 3, 8 }, S_INIT("{\"abc\":1}"), S_INIT("{\"\\u00e9\\u00e9\":1}"),
			S_INIT("line 1, column 2 (byte 1): more than 3 bytes in a string") },
		{ { 99, 4, 8, 4 }, S_INIT("{\"a\":[1,{\"b\":2}]}"),
			S_INIT("{\"a\":[1,{\"b\":2,\"c\":3}]}"),
			S_INIT("line 1, column 16 (byte 15): more than 4 members and items in the "
			       "document") },
		{ { 99, 4, 8, 2 }, S_INIT("[1,2]"), S_INIT("[1,\n2,3]"),
			S_INIT("line 2, column 3 (byte 6): more than 2 members and items in the "
			       "document") },
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_INT(read_all(cases[i].fits, &cases[i].limits, NULL), 0);
		EXPECT_INT(read_all(cases[i].exceeds, &cases[i].limits, NULL), -ERR_TOO_LARGE);
		EXPECT_STR(str_from_c(err_text()), cases[i].error);
	}
	stop();
}

/* `depth` times `open`, then as many times `close`. */
static void nest(
	struct buf *buf, size_t depth, struct str open, struct str middle, struct str close)
{
	buf_reset(buf);
	for (size_t i = 0; i < depth; i++)
		buf_append(buf, open);
	buf_append(buf, middle);
	for (size_t i = 0; i < depth; i++)
		buf_append(buf, close);
}

TEST(json_reader_depth)
{
	struct json_limits deepest = json_limits_default;
	struct buf buf;

	start();
	deepest.depth = JSON_DEPTH_MAX;
	buf_init(&buf, MEGABYTE);
	nest(&buf, 64, S("["), S(""), S("]"));
	EXPECT_INT(read_all(buf_str(&buf), NULL, NULL), 0);
	nest(&buf, 65, S("["), S(""), S("]"));
	EXPECT_INT(read_all(buf_str(&buf), NULL, NULL), -ERR_TOO_LARGE);
	nest(&buf, JSON_DEPTH_MAX / 2, S("[{\"a\":1,\"b\":"), S("2"), S(",\"c\":3}]"));
	EXPECT_INT(read_all(buf_str(&buf), &deepest, NULL), 0);
	nest(&buf, JSON_DEPTH_MAX / 2, S("[{\"a\":1,\"b\":"), S("[]"), S(",\"c\":3}]"));
	EXPECT_INT(read_all(buf_str(&buf), &deepest, NULL), -ERR_TOO_LARGE);
	nest(&buf, JSON_DEPTH_MAX / 2, S("[{\"a\":1,\"b\":"), S("2"), S(",\"a\":3}]"));
	EXPECT_INT(read_all(buf_str(&buf), &deepest, NULL), -ERR_INVALID);
	buf_done(&buf);
	stop();
}

/* The arena's own limit ends reading, too. */
TEST(json_reader_arena_limit)
{
	arena_init(&arena, 4096, 16);
	EXPECT_INT(read_all(S("[\"\\n23456789012345678901234567890123456\"]"), NULL, NULL),
		-ERR_TOO_LARGE);
	stop();
}

/* --- names -------------------------------------------------------------------- */

TEST(json_reader_names)
{
	static const struct {
		struct str text;
		bool ok;
	} cases[] = {
		{ S_INIT("{\"a\":1,\"b\":{\"a\":1},\"c\":[{\"a\":1},{\"a\":1}]}"), true },
		{ S_INIT("{\"a\":1,\"a\":1}"), false },
		{ S_INIT("{\"a\":1,\"\\u0061\":1}"), false },
		{ S_INIT("{\"\\/\":1,\"/\":1}"), false },
		{ S_INIT("{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":1}"), false },
		{ S_INIT("{\"\":1,\"\":1}"), false },
		{ S_INIT("{\"\":1,\"\\u0000\":1}"), true },
		{ S_INIT("{\"a\":1,\"a\\u0000\":1}"), true },
		{ S_INIT("{\"a\":{\"b\":{\"a\":1}},\"b\":1}"), true },
		{ S_INIT("{\"a\":{\"b\":{\"a\":1}},\"a\":1}"), false },
		{ S_INIT("{\"a\":{\"b\":1,\"c\":2,\"b\":3}}"), false },
		{ S_INIT("{\"\xC3\xA9\":1,\"e\xCC\x81\":1}"), true }, /* no normalisation */
		{ S_INIT("{\"abcdxabcd\":1,\"abcdyabcd\":1,\"abcdxabcd\":1}"), false },
		{ S_INIT("{\"abcdxabcd\":1,\"abcdyabcd\":1,\"abcdzabcd\":1}"), true },
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++)
		test_note(read_all(cases[i].text, NULL, NULL) == (cases[i].ok ? 0 : -ERR_INVALID),
			__FILE__, __LINE__, "case %zu", i);
	stop();
}

/* An object with names "0" to "count - 1", and once more `again` unless that is `count`. */
static void write_object(struct json_writer *writer, size_t count, size_t again)
{
	char name[24];

	json_write_object(writer);
	for (size_t i = 0; i < count + (again < count); i++) {
		int len = snprintf(name, sizeof(name), "%zu", i == count ? again : i);

		json_write_key(writer, str_of(name, (size_t)len));
		json_write_null(writer);
	}
	json_write_object_end(writer);
}

TEST(json_reader_names_of_every_size)
{
	struct json_writer writer;
	struct buf buf;

	start();
	buf_init(&buf, MEGABYTE);
	for (size_t count = 1; count < 150; count++)
		for (size_t again = 0; again <= count; again++) {
			buf_reset(&buf);
			json_writer_init(&writer, &buf);
			write_object(&writer, count, again);
			REQUIRE(json_writer_done(&writer) == 0);
			EXPECT_INT(read_all(buf_str(&buf), NULL, NULL),
				again < count ? -ERR_INVALID : 0);
			arena_reset(&arena);
		}
	buf_done(&buf);
	stop();
}

TEST(json_reader_hundred_thousand_members)
{
	struct json_limits limits = { 4 * MEGABYTE, 4, MEGABYTE, 100001 };
	struct json_writer writer;
	struct buf buf;

	start();
	buf_init(&buf, 4 * MEGABYTE);
	for (size_t again = 50000; again <= 100000; again += 50000) {
		buf_reset(&buf);
		json_writer_init(&writer, &buf);
		write_object(&writer, 100000, again);
		REQUIRE(json_writer_done(&writer) == 0);
		EXPECT_INT(
			read_all(buf_str(&buf), &limits, NULL), again < 100000 ? -ERR_INVALID : 0);
	}
	EXPECT(arena_used(&arena) < 2 * 100 * 100000);
	buf_done(&buf);
	stop();
}

/* A table once used must not cost later objects its size, and large objects in each other keep
 * their names apart. */
TEST(json_reader_tables_are_used_again)
{
	struct json_limits limits = { 64 * MEGABYTE, 9, MEGABYTE, 2000000 };
	struct json_writer writer;
	struct buf buf;
	size_t used;

	start();
	buf_init(&buf, 64 * MEGABYTE);
	json_writer_init(&writer, &buf);
	json_write_array(&writer);
	write_object(&writer, 70000, 70000);
	for (size_t i = 0; i < 20000; i++)
		write_object(&writer, 17, 17);
	json_write_object(&writer);
	for (size_t i = 0; i < 40; i++) {
		json_write_key(&writer, str_of("0123456789012345678901234567890123456789", i));
		write_object(&writer, 20 + i, 20 + i);
	}
	json_write_object_end(&writer);
	json_write_array_end(&writer);
	REQUIRE(json_writer_done(&writer) == 0);

	EXPECT_INT(read_all(buf_str(&buf), &limits, NULL), 0);
	used = arena_used(&arena);
	EXPECT(used < 100 * 70000);
	buf_done(&buf);
	stop();
}

/* --- skipping ----------------------------------------------------------------- */

TEST(json_skip)
{
	struct str text = S("{\"a\":{\"x\":[1,{\"\\u0079\":\"\\n\"}]},\"b\":[1,[2],3],\"c\":4}");
	struct json_reader reader;

	start();
	json_reader_init(&reader, text, &arena, NULL);
	REQUIRE(json_next(&reader) == JSON_OBJECT);
	REQUIRE(json_next(&reader) == JSON_KEY);
	REQUIRE(json_skip(&reader) == 0); /* a member's value */
	REQUIRE(json_next(&reader) == JSON_KEY);
	EXPECT_STR(reader.text, S("b"));
	REQUIRE(json_next(&reader) == JSON_ARRAY);
	REQUIRE(json_next(&reader) == JSON_NUMBER);
	REQUIRE(json_skip(&reader) == 0); /* nothing is open */
	REQUIRE(json_next(&reader) == JSON_ARRAY);
	REQUIRE(json_skip(&reader) == 0); /* the rest of an array */
	REQUIRE(json_next(&reader) == JSON_NUMBER);
	EXPECT_STR(reader.text, S("3"));
	REQUIRE(json_next(&reader) == JSON_ARRAY_END);
	REQUIRE(json_next(&reader) == JSON_KEY);
	REQUIRE(json_skip(&reader) == 0);
	REQUIRE(json_next(&reader) == JSON_OBJECT_END);
	REQUIRE(json_next(&reader) == JSON_END);

	json_reader_init(&reader, text, &arena, NULL);
	REQUIRE(json_next(&reader) == JSON_OBJECT);
	REQUIRE(json_skip(&reader) == 0); /* all of it */
	EXPECT_INT(json_next(&reader), JSON_END);
	stop();
}

TEST(json_skip_checks)
{
	static const struct str cases[] = {
		S_INIT("{\"a\":{\"b\":1,\"b\":2}}"),
		S_INIT("{\"a\":[1,2}"),
		S_INIT("{\"a\":\"\\ud800\"}"),
		S_INIT("{\"a\":\"\xFF\"}"),
		S_INIT("{\"a\":01}"),
		S_INIT("{\"a\":"),
		S_INIT("{\"a\":[{}"),
	};

	start();
	for (size_t i = 0; i < LEN(cases); i++) {
		struct json_reader reader;
		int r;

		json_reader_init(&reader, cases[i], &arena, NULL);
		REQUIRE(json_next(&reader) == JSON_OBJECT);
		REQUIRE(json_next(&reader) == JSON_KEY);
		r = json_skip(&reader);
		EXPECT_INT(r ? r : json_next(&reader), -ERR_INVALID);
		EXPECT_INT(json_skip(&reader), -ERR_INVALID);
	}
	stop();
}

/* --- random documents --------------------------------------------------------- */

struct maker {
	uint64_t random;
	struct json_writer writer;
	struct buf text;
	struct buf trace;
	size_t names; /* so that no two are the same */
};

static size_t choose(struct maker *maker, size_t count)
{
	return (size_t)(test_random(&maker->random) >> 20) % count;
}

static size_t make_text(struct maker *maker, char *at)
{
	static const uint32_t points[] = { 0, 9, 10, 31, '"', '\\', '/', 0x7F, 0x80, 0x7FF, 0x800,
		0x2028, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x10FFFF };
	size_t count = choose(maker, 24), len = 0;
	bool plain = choose(maker, 2);

	for (size_t i = 0; i < count; i++)
		len += utf8_write(at + len, plain || choose(maker, 4)
						    ? (uint32_t)('a' + choose(maker, 26))
						    : points[choose(maker, LEN(points))]);
	return len;
}

static void make_number(struct maker *maker)
{
	uint64_t random = test_random(&maker->random);
	size_t before = maker->text.len;
	double value;

	memcpy(&value, &random, sizeof(value));
	if (choose(maker, 3) == 0)
		json_write_i64(&maker->writer, (int64_t)random >> choose(maker, 64));
	else if (choose(maker, 2))
		json_write_u64(&maker->writer, random >> choose(maker, 64));
	else
		json_write_double(&maker->writer, isfinite(value) ? value : 0.5);

	before += maker->text.at[before] == ',';
	note_event(&maker->trace, JSON_NUMBER, str_from(buf_str(&maker->text), before));
}

static void make_value(struct maker *maker, size_t depth);

static void make_container(struct maker *maker, size_t depth, bool object)
{
	char name[24 * UTF8_MAX + 24];

	note_event(&maker->trace, object ? JSON_OBJECT : JSON_ARRAY, S(""));
	(object ? json_write_object : json_write_array)(&maker->writer);
	for (size_t left = choose(maker, choose(maker, 20) ? 7 : 50); left > 0; left--) {
		size_t len = make_text(maker, name);

		if (object) {
			len += (size_t)sprintf(name + len, "%zu", maker->names++);
			note_event(&maker->trace, JSON_KEY, str_of(name, len));
			json_write_key(&maker->writer, str_of(name, len));
		}
		make_value(maker, depth + 1);
	}
	note_event(&maker->trace, object ? JSON_OBJECT_END : JSON_ARRAY_END, S(""));
	(object ? json_write_object_end : json_write_array_end)(&maker->writer);
}

static void make_value(struct maker *maker, size_t depth)
{
	size_t kind = choose(maker, depth == 0 ? 2 : depth < 6 ? 7 : 5);
	char text[24 * UTF8_MAX];
	bool value;

	if (depth == 0 || kind >= 5) {
		make_container(maker, depth, kind % 2);
	} else if (kind == 0) {
		note_event(&maker->trace, JSON_NULL, S(""));
		json_write_null(&maker->writer);
	} else if (kind == 1) {
		value = choose(maker, 2);
		note_event(&maker->trace, value ? JSON_TRUE : JSON_FALSE, S(""));
		json_write_bool(&maker->writer, value);
	} else if (kind == 2) {
		make_number(maker);
	} else {
		size_t len = make_text(maker, text);

		note_event(&maker->trace, JSON_STRING, str_of(text, len));
		json_write_string(&maker->writer, str_of(text, len));
	}
}

static void make_document(struct maker *maker, uint64_t seed)
{
	*maker = (struct maker){ .random = seed * 0x9E3779B97F4A7C15u };
	buf_init(&maker->text, MEGABYTE);
	buf_init(&maker->trace, MEGABYTE);
	json_writer_init(&maker->writer, &maker->text);
	make_value(maker, 0);
	REQUIRE(json_writer_done(&maker->writer) == 0);
	REQUIRE(maker->trace.failed == 0);
}

static void drop_document(struct maker *maker)
{
	buf_done(&maker->text);
	buf_done(&maker->trace);
}

/* The same document with white space and escapes that it does not need. */
static void loosen(struct maker *maker, struct buf *loose)
{
	static const char spaces[] = " \t\r\n";
	bool inside = false;

	for (size_t i = 0; i < maker->text.len; i++) {
		char byte = maker->text.at[i];

		if (inside && byte == '\\') {
			buf_append(loose, str_of(maker->text.at + i++, 2));
			continue;
		}
		if (inside && byte >= 'g' && byte <= 'z' && choose(maker, 4) == 0) {
			buf_printf(loose, choose(maker, 2) ? "\\u%04x" : "\\u%04X", byte);
			continue;
		}
		inside ^= byte == '"';
		buf_byte(loose, byte);
		while (!inside && strchr("{}[]:,", byte) && choose(maker, 3))
			buf_byte(loose, spaces[choose(maker, 4)]);
	}
}

TEST(json_random_documents)
{
	struct json_limits limits = { MEGABYTE, 9, MEGABYTE, MEGABYTE };
	uint64_t rounds = test_long() ? 20000 : 500;

	start();
	for (uint64_t seed = 1; seed <= rounds; seed++) {
		struct maker maker;
		struct buf trace, loose;

		make_document(&maker, seed);
		buf_init(&trace, MEGABYTE);
		buf_init(&loose, 4 * MEGABYTE);
		EXPECT_INT(read_all(buf_str(&maker.text), &limits, &trace), 0);
		EXPECT(str_eq(buf_str(&trace), buf_str(&maker.trace)));

		loosen(&maker, &loose);
		limits.bytes = loose.len;
		buf_reset(&trace);
		EXPECT_INT(read_all(buf_str(&loose), &limits, &trace), 0);
		EXPECT(str_eq(buf_str(&trace), buf_str(&maker.trace)));
		limits.bytes = MEGABYTE;

		buf_done(&loose);
		buf_done(&trace);
		drop_document(&maker);
		arena_reset(&arena);
	}
	stop();
}

/* No beginning of an object or array is a document. Each is in a block of its own size, so that
 * ASan sees a read behind its end. */
TEST(json_every_truncation_is_refused)
{
	start();
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct maker maker;
		size_t step;

		make_document(&maker, seed);
		step = 1 + maker.text.len / 2000;
		for (size_t len = 0; len < maker.text.len; len += step) {
			char *block = malloc(len);
			int r;

			REQUIRE(block || len == 0);
			if (len)
				memcpy(block, maker.text.at, len);
			r = read_all(str_of(block, len), NULL, NULL);
			EXPECT(r < 0);
			free(block);
			arena_reset(&arena);
		}
		drop_document(&maker);
	}
	stop();
}

/* Any single byte changed: accepted or refused, but read within bounds. */
TEST(json_changed_bytes)
{
	start();
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct maker maker;

		make_document(&maker, seed);
		for (size_t i = 0; i < 100; i++) {
			size_t at = choose(&maker, maker.text.len);
			char before = maker.text.at[at];
			char *block = malloc(maker.text.len);

			REQUIRE(block);
			maker.text.at[at] = (char)choose(&maker, 256);
			memcpy(block, maker.text.at, maker.text.len);
			(void)read_all(str_of(block, maker.text.len), NULL, NULL);
			maker.text.at[at] = before;
			free(block);
			arena_reset(&arena);
		}
		drop_document(&maker);
	}
	stop();
}

#ifdef BULKHEAD_FAULTS
TEST(json_reader_survives_every_failed_allocation)
{
	struct json_writer writer;
	struct buf text;

	buf_init(&text, MEGABYTE);
	json_writer_init(&writer, &text);
	json_write_array(&writer);
	write_object(&writer, 300, 300);
	for (size_t i = 0; i < 60; i++) {
		json_write_object(&writer);
		json_write_key(&writer, S("\n"));
	}
	json_write_string(&writer, S("\t"));
	for (size_t i = 0; i < 60; i++)
		json_write_object_end(&writer);
	json_write_array_end(&writer);
	REQUIRE(json_writer_done(&writer) == 0);

	for (size_t nth = 1;; nth++) {
		size_t before = mem_used();
		bool struck;
		int r;

		arena_init(&arena, 256, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		r = read_all(buf_str(&text), NULL, NULL);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		arena_done(&arena);
		EXPECT_INT(mem_used(), before);
		if (!struck)
			break;
		REQUIRE(nth < 1000);
	}
	buf_done(&text);
}
#endif

/* --- the conformance suite ---------------------------------------------------- */

/* The whole file in a block of its size. */
static struct str read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *at;
	long size;

	REQUIRE(file);
	REQUIRE(fseek(file, 0, SEEK_END) == 0);
	size = ftell(file);
	REQUIRE(size >= 0);
	rewind(file);
	at = malloc((size_t)size);
	REQUIRE(at || size == 0);
	REQUIRE(fread(at, 1, (size_t)size, file) == (size_t)size);
	(void)fclose(file);
	return str_of(at, (size_t)size);
}

/* y: must be accepted, n: must be refused, i: as one likes. Members twice are ours to refuse. */
static void try_file(const char *data, const char *name)
{
	bool twice = str_starts(str_from_c(name), S("y_object_duplicated_key"));
	char kind = twice ? 'n' : *name;
	struct str path, text;
	int r;

	path = arena_printf(&arena, "%s/json/test_parsing/%s", data, name);
	text = read_file(path.at);
	r = read_all(text, NULL, NULL);
	test_note(kind == 'i' || (kind == 'y') == (r == 0), __FILE__, __LINE__, "%s: %s", name,
		r ? err_text() : "accepted");
	free((void *)text.at);
	arena_reset(&arena);
}

TEST(json_conformance)
{
	const char *data = getenv("CONFORMANCE_DATA");
	struct dirent *entry;
	size_t files = 0;
	DIR *folder;

	if (!data)
		test_skip("CONFORMANCE_DATA is not set");

	start();
	folder = opendir(arena_printf(&arena, "%s/json/test_parsing", data).at);
	REQUIRE(folder);
	while ((entry = readdir(folder)))
		if (str_ends(str_from_c(entry->d_name), S(".json"))) {
			try_file(data, entry->d_name);
			files++;
		}
	(void)closedir(folder);
	EXPECT(files > 300);
	stop();
}
