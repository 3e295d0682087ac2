/*
 * Fuzzes the JSON reader, and the writer with it: what the reader accepts is written anew and must
 * read as the same events. Skipping must come to the same verdict as reading, and numbers to the
 * same double as strtod and back.
 */
#include "base/err.h"
#include "json/reader.h"
#include "json/writer.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct json_limits limits = { MEGABYTE, 100, MEGABYTE, MEGABYTE };

/* The text in the C locale is what strtod reads; the double written reads as itself. */
static void check_number(struct str number, struct arena *arena)
{
	struct str copy = arena_str(arena, number);
	char text[JSON_DOUBLE_MAX];
	double value, again, witness;

	CHECK(copy.at);
	witness = strtod(copy.at, NULL);
	if (json_number_double(number, &value) < 0) {
		CHECK(isinf(witness));
		return;
	}

	CHECK(value == witness && signbit(value) == signbit(witness));
	CHECK(json_number_double(str_of(text, json_number_write(text, value)), &again) == 0);
	CHECK(value == again && signbit(value) == signbit(again));
}

static void write_event(struct json_writer *writer, int event, struct str text)
{
	switch ((enum json_event)event) {
	case JSON_OBJECT: json_write_object(writer); break;
	case JSON_OBJECT_END: json_write_object_end(writer); break;
	case JSON_ARRAY: json_write_array(writer); break;
	case JSON_ARRAY_END: json_write_array_end(writer); break;
	case JSON_KEY: json_write_key(writer, text); break;
	case JSON_STRING: json_write_string(writer, text); break;
	case JSON_NUMBER: json_write_raw(writer, text); break;
	case JSON_TRUE: json_write_bool(writer, true); break;
	case JSON_FALSE: json_write_bool(writer, false); break;
	default: json_write_null(writer); break;
	}
}

/* Reads all, writing it. Returns the reader's answer. */
static int rewrite(struct str text, struct arena *arena, struct buf *buf)
{
	struct json_reader reader;
	struct json_writer writer;
	int event;

	json_writer_init(&writer, buf);
	json_reader_init(&reader, text, arena, &limits);
	while ((event = json_next(&reader)) > 0) {
		if (event == JSON_NUMBER)
			check_number(reader.text, arena);
		write_event(&writer, event, reader.text);
	}
	CHECK(reader.offset <= text.len);
	if (event == JSON_END)
		CHECK(json_writer_done(&writer) == 0);
	return event;
}

static void compare(struct str one, struct str other, struct arena *arena)
{
	struct json_reader left, right;
	int event;

	json_reader_init(&left, one, arena, &limits);
	json_reader_init(&right, other, arena, &limits);
	do {
		event = json_next(&left);
		CHECK(event >= 0 && json_next(&right) == event);
		if (event == JSON_KEY || event == JSON_STRING || event == JSON_NUMBER)
			CHECK(str_eq(left.text, right.text));
	} while (event != JSON_END);
}

/* Skips the outermost value. */
static int skip(struct str text, struct arena *arena)
{
	struct json_reader reader;
	int r;

	json_reader_init(&reader, text, arena, &limits);
	r = json_next(&reader);
	if (r >= 0)
		r = json_skip(&reader);
	return r < 0 ? r : json_next(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_of((const char *)data, size);
	struct arena arena;
	struct buf buf;
	int verdict;

	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	buf_init(&buf, 16 * MEGABYTE);
	verdict = rewrite(text, &arena, &buf);
	CHECK(skip(text, &arena) == verdict);
	if (verdict == JSON_END)
		compare(text, buf_str(&buf), &arena);
	buf_done(&buf);
	arena_done(&arena);
	return 0;
}
