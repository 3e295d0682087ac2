/* The writer: tables, escapes, the buffer's limit and memory, misuse. */
#include "json/writer.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <math.h>
#include <signal.h>

static void write_sample(struct json_writer *writer)
{
	json_write_object(writer);
	json_write_key(writer, S("empty"));
	json_write_object(writer);
	json_write_object_end(writer);
	json_write_key(writer, S("list"));
	json_write_array(writer);
	json_write_i64(writer, INT64_MIN);
	json_write_u64(writer, UINT64_MAX);
	json_write_double(writer, 0.1);
	json_write_double(writer, NAN);
	json_write_double(writer, -INFINITY);
	json_write_bool(writer, true);
	json_write_bool(writer, false);
	json_write_null(writer);
	json_write_string(writer, S(""));
	json_write_string(writer, str_of(NULL, 0));
	json_write_array(writer);
	json_write_array_end(writer);
	json_write_raw(writer, S("{\"raw\":[1]}"));
	json_write_array_end(writer);
	json_write_key(writer, S("\"\n"));
	json_write_string(writer, S("a/b\\"));
	json_write_object_end(writer);
}

static const struct str sample =
	S_INIT("{\"empty\":{},\"list\":[-9223372036854775808,18446744073709551615,0.1,null,null,"
	       "true,false,"
	       "null,\"\",\"\",[],{\"raw\":[1]}],\"\\\"\\n\":\"a/b\\\\\"}");

TEST(json_writer_document)
{
	struct json_writer writer;
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	write_sample(&writer);
	EXPECT_INT(json_writer_done(&writer), 0);
	EXPECT_STR(buf_str(&buf), sample);

	json_writer_init(&writer, &buf); /* one more behind it */
	json_write_u64(&writer, 7);
	EXPECT_INT(json_writer_done(&writer), 0);
	EXPECT_INT(buf.len, sample.len + 1);
	buf_done(&buf);
}

TEST(json_escape)
{
	static const struct {
		struct str text, escaped;
	} cases[] = {
		{ S_INIT(""), S_INIT("") },
		{ S_INIT("plain text, long enough for words of eight bytes"),
			S_INIT("plain text, long enough for words of eight bytes") },
		{ S_INIT("\"\\/\b\f\n\r\t"), S_INIT("\\\"\\\\/\\b\\f\\n\\r\\t") },
		{ S_INIT("\0\x01\x1F\x7F"), S_INIT("\\u0000\\u0001\\u001f\x7F") },
		{ S_INIT("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
			S_INIT("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80") },
		{ S_INIT("a\xFF"
			 "b"),
			S_INIT("a\xEF\xBF\xBD"
			       "b") },
		{ S_INIT("\xC3\xA9\xC3"), S_INIT("\xC3\xA9\xEF\xBF\xBD") },
		{ S_INIT("\xE2\x82"), S_INIT("\xEF\xBF\xBD\xEF\xBF\xBD") },
		{ S_INIT("\xED\xA0\x80"), S_INIT("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD") },
		{ S_INIT("\xC3\"\xA9\n"), S_INIT("\xEF\xBF\xBD\\\"\xEF\xBF\xBD\\n") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct buf buf;

		buf_init(&buf, KILOBYTE);
		json_escape(&buf, cases[i].text);
		EXPECT_STR(buf_str(&buf), cases[i].escaped);
		buf_done(&buf);
	}
}

/* Every byte at every place of a word, alone among plain ones. */
TEST(json_escape_every_byte)
{
	struct buf buf;

	buf_init(&buf, KILOBYTE);
	for (unsigned byte = 0; byte < 256; byte++)
		for (size_t at = 0; at < 19; at++) {
			char text[19];
			bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';

			memset(text, 'x', sizeof(text));
			text[at] = (char)byte;
			buf_reset(&buf);
			json_escape(&buf, str_of(text, sizeof(text)));
			EXPECT_INT(str_eq(buf_str(&buf), str_of(text, sizeof(text))), plain);
			EXPECT_INT(memcmp(buf.at, text, at), 0);
			EXPECT_INT(memcmp(buf.at + buf.len - (18 - at), text + at + 1, 18 - at), 0);
		}
	buf_done(&buf);
}

/* Whatever the limit: all of it, or a failure and a beginning of it. */
TEST(json_writer_limit)
{
	for (size_t limit = 0; limit < sample.len + 3; limit++) {
		struct json_writer writer;
		struct buf buf;
		int r;

		buf_init(&buf, limit);
		json_writer_init(&writer, &buf);
		write_sample(&writer);
		r = json_writer_done(&writer);
		EXPECT_INT(r, limit < sample.len ? -ERR_TOO_LARGE : 0);
		EXPECT(str_starts(sample, buf_str(&buf)));
		buf_done(&buf);
	}
}

#ifdef BULKHEAD_FAULTS
TEST(json_writer_survives_every_failed_allocation)
{
	for (size_t nth = 1;; nth++) {
		struct json_writer writer;
		struct buf buf;
		bool struck;
		int r;

		buf_init(&buf, MEGABYTE);
		json_writer_init(&writer, &buf);
		fault_arm(FAULT_MEMORY, nth);
		json_write_array(&writer);
		for (size_t i = 0; i < 50; i++)
			write_sample(&writer);
		json_write_array_end(&writer);
		r = json_writer_done(&writer);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		buf_done(&buf);
		EXPECT_INT(mem_used(), 0);
		if (!struck)
			break;
		REQUIRE(nth < 100);
	}
}
#endif

/* --- misuse stops the program -------------------------------------------------- */

static void value_without_key(struct json_writer *writer)
{
	json_write_object(writer);
	json_write_null(writer);
}

static void key_without_value(struct json_writer *writer)
{
	json_write_object(writer);
	json_write_key(writer, S("a"));
	json_write_object_end(writer);
}

static void key_after_key(struct json_writer *writer)
{
	json_write_object(writer);
	json_write_key(writer, S("a"));
	json_write_key(writer, S("b"));
}

static void key_in_array(struct json_writer *writer)
{
	json_write_array(writer);
	json_write_key(writer, S("a"));
}

static void wrong_end(struct json_writer *writer)
{
	json_write_array(writer);
	json_write_object_end(writer);
}

static void end_without_beginning(struct json_writer *writer)
{
	json_write_array_end(writer);
}

static void two_values(struct json_writer *writer)
{
	json_write_null(writer);
	json_write_null(writer);
}

static void no_end(struct json_writer *writer)
{
	json_write_array(writer);
	(void)!json_writer_done(writer);
}

static void no_value(struct json_writer *writer)
{
	(void)!json_writer_done(writer);
}

static void empty_raw(struct json_writer *writer)
{
	json_write_raw(writer, S(""));
}

static void too_deep(struct json_writer *writer)
{
	for (size_t i = 0; i <= JSON_DEPTH_MAX; i++)
		json_write_array(writer);
}

static void run_misuse(void *arg)
{
	void (*const *misuse)(struct json_writer *) = arg;
	struct json_writer writer;
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	(*misuse)(&writer);
}

TEST(json_writer_misuse)
{
	static void (*const misuses[])(struct json_writer *) = {
		value_without_key,
		key_without_value,
		key_after_key,
		key_in_array,
		wrong_end,
		end_without_beginning,
		two_values,
		no_end,
		no_value,
		empty_raw,
		too_deep,
	};

	for (size_t i = 0; i < LEN(misuses); i++)
		test_note(test_dies(run_misuse, (void *)&misuses[i], SIGABRT), __FILE__, __LINE__,
			"misuse %zu goes unseen", i);
}

TEST(json_writer_depth)
{
	struct json_writer writer;
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	json_writer_init(&writer, &buf);
	for (size_t i = 0; i < JSON_DEPTH_MAX; i++)
		json_write_array(&writer);
	for (size_t i = 0; i < JSON_DEPTH_MAX; i++)
		json_write_array_end(&writer);
	EXPECT_INT(json_writer_done(&writer), 0);
	EXPECT_INT(buf.len, 2 * JSON_DEPTH_MAX);
	buf_done(&buf);
}
