/*
 * The writer: a state and a bit for each open level, as in the reader. Strings go out in runs: the
 * bytes that stand for themselves are found eight at a time and copied at once.
 */
#include "json/writer.h"

#include "base/num.h"
#include "base/utf8.h"
#include "json/scan.h"

#include <math.h>

enum state {
	STATE_VALUE,      /* one value, no comma: at the start, and after a key */
	STATE_FIRST_ITEM, /* in an array */
	STATE_NEXT_ITEM,
	STATE_FIRST_NAME, /* in an object */
	STATE_NEXT_NAME,
	STATE_END,
};

void json_writer_init(struct json_writer *writer, struct buf *buf)
{
	writer->buf = buf;
	writer->state = STATE_VALUE;
	writer->after = STATE_END;
	writer->depth = 0;
}

int json_writer_done(struct json_writer *writer)
{
	CHECK(writer->state == STATE_END);
	return writer->buf->failed;
}

/* Puts the comma before a value and makes room for its `len` bytes. False: the buffer has failed.
 */
static inline bool begin_value(struct json_writer *writer, size_t len)
{
	struct buf *buf = writer->buf;
	unsigned state = writer->state;
	bool comma = state == STATE_NEXT_ITEM;

	CHECK(state <= STATE_NEXT_ITEM);
	writer->state = writer->after;
	if (UNLIKELY(!buf_room(buf, len + comma)))
		return false;
	if (comma)
		buf->at[buf->len++] = ',';
	return true;
}

static inline void put(struct buf *buf, struct str text)
{
	memcpy(buf->at + buf->len, text.at, text.len);
	buf->len += text.len;
}

static inline void write_value(struct json_writer *writer, struct str json)
{
	if (begin_value(writer, json.len))
		put(writer->buf, json);
}

static void open_level(struct json_writer *writer, bool object)
{
	size_t level = writer->depth++;
	uint64_t bit = (uint64_t)1 << level % 64;

	CHECK(level < JSON_DEPTH_MAX);
	write_value(writer, object ? S("{") : S("["));
	if (object)
		writer->objects[level / 64] |= bit;
	else
		writer->objects[level / 64] &= ~bit;
	writer->state = object ? STATE_FIRST_NAME : STATE_FIRST_ITEM;
	writer->after = object ? STATE_NEXT_NAME : STATE_NEXT_ITEM;
}

static void close_level(struct json_writer *writer, char end)
{
	size_t outer = --writer->depth - 1;

	buf_byte(writer->buf, end);
	if (writer->depth == 0)
		writer->after = STATE_END;
	else if (writer->objects[outer / 64] >> outer % 64 & 1)
		writer->after = STATE_NEXT_NAME;
	else
		writer->after = STATE_NEXT_ITEM;
	writer->state = writer->after;
}

void json_write_object(struct json_writer *writer)
{
	open_level(writer, true);
}

void json_write_object_end(struct json_writer *writer)
{
	CHECK(writer->state == STATE_FIRST_NAME || writer->state == STATE_NEXT_NAME);
	close_level(writer, '}');
}

void json_write_array(struct json_writer *writer)
{
	open_level(writer, false);
}

void json_write_array_end(struct json_writer *writer)
{
	CHECK(writer->state == STATE_FIRST_ITEM || writer->state == STATE_NEXT_ITEM);
	close_level(writer, ']');
}

/* One byte that cannot stand for itself. */
static void escape_byte(struct buf *buf, unsigned char byte)
{
	static const char letters[128] = {
		['"'] = '"',
		['\\'] = '\\',
		['\b'] = 'b',
		['\f'] = 'f',
		['\n'] = 'n',
		['\r'] = 'r',
		['\t'] = 't',
	};
	char text[] = "\\u00xx";

	if (byte >= 0x80) {
		buf_append(buf, S("\xEF\xBF\xBD"));
		return;
	}
	if (letters[byte]) {
		text[1] = letters[byte];
		buf_append(buf, str_of(text, 2));
		return;
	}
	num_write_hex(text + 4, byte, 2);
	buf_append(buf, str_of(text, 6));
}

/* How much from `at` on is well-formed UTF-8 that stands for itself. */
static size_t clean_run(const char *at, const char *end)
{
	const char *start = at;
	uint32_t point;
	size_t len;

	for (;;) {
		at = scan_run(at, end);
		if (at == end || (unsigned char)*at < 0x80)
			return (size_t)(at - start);
		do {
			len = utf8_read(str_of(at, (size_t)(end - at)), &point);
			at += len;
		} while (len && at < end && (unsigned char)*at >= 0x80);
		if (len == 0)
			return (size_t)(at - start);
	}
}

void json_escape(struct buf *buf, struct str text)
{
	const char *at = text.len ? text.at : "", *end = at + text.len;

	while (at < end) {
		size_t clean = clean_run(at, end);

		buf_append(buf, str_of(at, clean));
		at += clean;
		if (at < end)
			escape_byte(buf, (unsigned char)*at++);
	}
}

/* Appends text in quotes. There is room for both unless something must be escaped. */
static inline void put_quoted(struct buf *buf, struct str text)
{
	const char *at = text.len ? text.at : "", *end = at + text.len;
	const char *plain = scan_run(at, end);

	buf->at[buf->len++] = '"';
	put(buf, str_of(at, (size_t)(plain - at)));
	if (UNLIKELY(plain < end))
		json_escape(buf, str_of(plain, (size_t)(end - plain)));
	buf_byte(buf, '"');
}

void json_write_key(struct json_writer *writer, struct str name)
{
	struct buf *buf = writer->buf;
	unsigned state = writer->state;
	bool comma = state == STATE_NEXT_NAME;

	CHECK(comma || state == STATE_FIRST_NAME);
	writer->state = STATE_VALUE;
	if (UNLIKELY(!buf_room(buf, comma + name.len + 3)))
		return;

	if (comma)
		buf->at[buf->len++] = ',';
	put_quoted(buf, name);
	buf_byte(buf, ':');
}

void json_write_string(struct json_writer *writer, struct str text)
{
	if (begin_value(writer, text.len + 2))
		put_quoted(writer->buf, text);
}

void json_write_i64(struct json_writer *writer, int64_t value)
{
	char text[NUM_TEXT_MAX];

	write_value(writer, str_of(text, num_write_i64(text, value)));
}

void json_write_u64(struct json_writer *writer, uint64_t value)
{
	char text[NUM_TEXT_MAX];

	write_value(writer, str_of(text, num_write_u64(text, value)));
}

void json_write_double(struct json_writer *writer, double value)
{
	char text[JSON_DOUBLE_MAX];

	if (isfinite(value))
		write_value(writer, str_of(text, json_number_write(text, value)));
	else
		json_write_null(writer);
}

void json_write_bool(struct json_writer *writer, bool value)
{
	write_value(writer, value ? S("true") : S("false"));
}

void json_write_null(struct json_writer *writer)
{
	write_value(writer, S("null"));
}

void json_write_raw(struct json_writer *writer, struct str json)
{
	CHECK(json.len);
	write_value(writer, json);
}
