/*
 * The pull reader: a state (what may come next) and a bit for each open level. Each call consumes
 * one event with the punctuation before it. A string is checked and measured in one pass; only one
 * that has escapes is decoded, in a second pass that can trust the first.
 */
#include "json/reader.h"

#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"
#include "json/scan.h"

enum state {
	STATE_START,
	STATE_FIRST_ITEM, /* after '[' */
	STATE_NEXT_ITEM,
	STATE_FIRST_NAME, /* after '{' */
	STATE_NEXT_NAME,
	STATE_MEMBER, /* after a name */
	STATE_END,    /* after the document's value */
};

const struct json_limits json_limits_default = {
	.bytes = MEGABYTE,
	.depth = 64,
	.string = MEGABYTE,
	.elements = 100000,
};

void json_reader_init(struct json_reader *reader, struct str text, struct arena *arena,
	const struct json_limits *limits)
{
	CHECK(arena && (text.at || text.len == 0));

	reader->text = str_of(NULL, 0);
	reader->offset = 0;
	reader->integer = false;
	reader->skipping = false;
	reader->state = STATE_START;
	reader->after = STATE_END;
	reader->event = JSON_END;
	reader->start = reader->at = text.len ? text.at : "";
	reader->end = reader->start + text.len;
	reader->arena = arena;
	reader->limits = limits ? *limits : json_limits_default;
	reader->depth = reader->elements = 0;
	json_names_init(&reader->names);

	CHECK(reader->limits.depth <= JSON_DEPTH_MAX && reader->limits.bytes <= UINT32_MAX);
}

struct json_place json_place(const struct json_reader *reader, size_t offset)
{
	struct str before = str_of(reader->start, (size_t)(reader->end - reader->start));
	struct json_place place = { 1, 1 };
	ptrdiff_t newline;

	before = str_first(before, offset);
	while ((newline = str_find_byte(before, '\n')) >= 0) {
		before = str_from(before, (size_t)newline + 1);
		place.line++;
	}
	place.column += utf8_length(before);
	return place;
}

/* --- errors ------------------------------------------------------------------ */

/* What stands at a byte, in words. */
static const char *found(const struct json_reader *reader, const char *at, char text[static 16])
{
	unsigned char byte;

	if (at == reader->end)
		return "the end of the text";

	byte = (unsigned char)*at;
	if (byte > 0x20 && byte < 0x7F) {
		memcpy(text, "'x'", 4);
		text[1] = (char)byte;
	} else {
		memcpy(text, "byte 0x00", 10);
		num_write_hex(text + 7, byte, 2);
	}
	return text;
}

/* How every error text begins; its numbers are PLACE_ARGS and the offset. */
#define PLACE_FORMAT      "line %zu, column %zu (byte %zu): "
#define PLACE_ARGS(place) (place).line, (place).column

/* Makes `at` the reader's offset, for the error that the caller reports. */
static struct json_place stop_at(struct json_reader *reader, const char *at)
{
	reader->offset = (size_t)(at - reader->start);
	return json_place(reader, reader->offset);
}

static __attribute__((cold, noinline)) int refuse(
	struct json_reader *reader, const char *at, const char *what)
{
	struct json_place place = stop_at(reader, at);

	return fail(ERR_INVALID, PLACE_FORMAT "%s", PLACE_ARGS(place), reader->offset, what);
}

/* Something else than what is expected stands at `at`. */
static __attribute__((cold, noinline)) int expected(
	struct json_reader *reader, const char *at, const char *what)
{
	struct json_place place = stop_at(reader, at);
	char text[16];

	return fail(ERR_INVALID, PLACE_FORMAT "expected %s, found %s", PLACE_ARGS(place),
		reader->offset, what, found(reader, at, text));
}

static __attribute__((cold, noinline)) int too_large(
	struct json_reader *reader, const char *at, size_t limit, const char *what)
{
	struct json_place place = stop_at(reader, at);

	return fail(ERR_TOO_LARGE, PLACE_FORMAT "more than %zu %s", PLACE_ARGS(place),
		reader->offset, limit, what);
}

/* --- small steps ------------------------------------------------------------- */

static inline void skip_space(struct json_reader *reader)
{
	const char *at = reader->at, *end = reader->end;

	while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
		at++;
	reader->at = at;
}

static inline bool sees(const struct json_reader *reader, char byte)
{
	return reader->at < reader->end && *reader->at == byte;
}

static inline bool takes(struct json_reader *reader, char byte)
{
	if (!sees(reader, byte))
		return false;

	reader->at++;
	return true;
}

static inline int count_element(struct json_reader *reader)
{
	if (UNLIKELY(reader->elements >= reader->limits.elements))
		return too_large(reader, reader->at, reader->limits.elements,
			"members and items in the document");

	reader->elements++;
	return 0;
}

/* --- strings ----------------------------------------------------------------- */

/* The four hex digits behind "\u", or -1. */
static int read_unit(const char *at, const char *end)
{
	uint64_t unit;

	return end - at >= 4 && num_parse_hex(str_of(at, 4), &unit) ? (int)unit : -1;
}

/*
 * Reads one escape, from its backslash on. Returns its length in the text and the character, or 0
 * when it is none.
 */
static size_t read_escape(const char *at, const char *end, uint32_t *ret_point)
{
	static const char meaning[128] = {
		['"'] = '"',
		['\\'] = '\\',
		['/'] = '/',
		['b'] = '\b',
		['f'] = '\f',
		['n'] = '\n',
		['r'] = '\r',
		['t'] = '\t',
	};
	unsigned char letter = end - at >= 2 ? (unsigned char)at[1] : 0;
	int unit, low;

	if (letter < sizeof(meaning) && meaning[letter]) {
		*ret_point = (uint32_t)meaning[letter];
		return 2;
	}
	if (letter != 'u')
		return 0;

	unit = read_unit(at + 2, end);
	if (unit < 0 || (unit & 0xFC00) == 0xDC00)
		return 0;
	if ((unit & 0xFC00) != 0xD800) {
		*ret_point = (uint32_t)unit;
		return 6;
	}

	low = end - at >= 12 && at[6] == '\\' && at[7] == 'u' ? read_unit(at + 8, end) : -1;
	if (low < 0 || (low & 0xFC00) != 0xDC00)
		return 0;
	*ret_point = 0x10000 + ((uint32_t)(unit & 0x3FF) << 10 | (uint32_t)(low & 0x3FF));
	return 12;
}

/* Says what is wrong with the byte at which a string could not go on. */
static __attribute__((cold, noinline)) int bad_string(struct json_reader *reader, const char *at)
{
	if (at == reader->end)
		return expected(reader, at, "'\"' at the end of a string");
	if ((unsigned char)*at < 0x20)
		return refuse(reader, at, "a control character in a string must be escaped");
	if (*at == '\\')
		return refuse(reader, at,
			"expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX (surrogates in "
			"pairs)");
	return refuse(reader, at, "expected UTF-8");
}

/*
 * Passes over what is not plain: an escape, or characters beyond ASCII. Answers how far that goes
 * and how much shorter it gets by decoding; 0 when nothing of that kind is at `at`.
 */
static size_t pass_special(const char *at, const char *end, size_t *saved)
{
	uint32_t point;
	char text[UTF8_MAX];
	size_t len;

	if (*at == '\\') {
		len = read_escape(at, end, &point);
		*saved += len ? len - utf8_write(text, point) : 0;
		return len;
	}
	return (unsigned char)*at < 0x80 ? 0 : utf8_read(str_of(at, (size_t)(end - at)), &point);
}

/* Writes the decoded form of a text that read_string has checked. */
static void decode(struct str text, char *to)
{
	const char *at = text.at, *end = at + text.len;

	while (at < end) {
		const char *escape = memchr(at, '\\', (size_t)(end - at));
		size_t plain = (size_t)((escape ? escape : end) - at);
		uint32_t point = 0;

		memcpy(to, at, plain);
		to += plain;
		at += plain;
		if (escape) {
			at += read_escape(at, end, &point);
			to += utf8_write(to, point);
		}
	}
}

/* The text between the quotes, decoded if need be. Wanted are the names (always: they are compared)
 * and, unless skipping, the values. */
static int keep_string(struct json_reader *reader, struct str raw, size_t saved, bool wanted)
{
	char *copy;

	if (raw.len - saved > reader->limits.string)
		return too_large(reader, raw.at - 1, reader->limits.string, "bytes in a string");

	if (saved && wanted) {
		copy = arena_alloc(reader->arena, raw.len - saved);
		if (!copy)
			return -(int)err_last()->code;
		decode(raw, copy);
		raw = str_of(copy, raw.len - saved);
	}
	reader->text = raw;
	return 0;
}

/* Reads a string from its opening quote on. */
static int read_string(struct json_reader *reader, bool wanted)
{
	const char *start = reader->at + 1, *end = reader->end;
	const char *at = scan_run(start, end);
	size_t saved = 0; /* every escape is longer than its character: 0 means there is none */

	while (UNLIKELY(at == end || *at != '"')) {
		size_t len = at == end ? 0 : pass_special(at, end, &saved);

		if (len == 0)
			return bad_string(reader, at);
		at += len;
		if (at < end && scan_plain((unsigned char)*at))
			at = scan_run(at, end);
	}

	reader->at = at + 1;
	return keep_string(reader, str_of(start, (size_t)(at - start)), saved, wanted);
}

/* --- values ------------------------------------------------------------------ */

static inline bool take_digits(const char **at, const char *end)
{
	const char *first = *at, *next = first;

	while (next < end && (unsigned char)(*next - '0') <= 9)
		next++;
	*at = next;
	return next > first;
}

static int read_number(struct json_reader *reader)
{
	const char *start = reader->at, *end = reader->end, *at = start;
	bool integer = true;

	at += *at == '-';
	if (at < end && *at == '0')
		at++;
	else if (!take_digits(&at, end))
		return expected(reader, at, "a digit");

	if (at < end && *at == '.') {
		integer = false;
		at++;
		if (!take_digits(&at, end))
			return expected(reader, at, "a digit after the point");
	}
	if (at < end && (*at | 0x20) == 'e') {
		integer = false;
		at++;
		at += at < end && (*at == '+' || *at == '-');
		if (!take_digits(&at, end))
			return expected(reader, at, "a digit of the exponent");
	}

	reader->text = str_of(start, (size_t)(at - start));
	reader->integer = integer;
	reader->at = at;
	reader->state = reader->after;
	return JSON_NUMBER;
}

static int read_literal(struct json_reader *reader, struct str name, int event)
{
	struct str rest = str_of(reader->at, (size_t)(reader->end - reader->at));

	if (!str_starts(rest, name))
		return expected(reader, reader->at, "a value");

	reader->at += name.len;
	reader->state = reader->after;
	return event;
}

static int open_level(struct json_reader *reader, bool object)
{
	size_t level = reader->depth;
	uint64_t bit = (uint64_t)1 << level % 64;
	int r;

	if (level >= reader->limits.depth)
		return too_large(reader, reader->at, reader->limits.depth, "levels of nesting");

	reader->at++;
	reader->depth++;
	if (!object) {
		reader->objects[level / 64] &= ~bit;
		reader->state = STATE_FIRST_ITEM;
		reader->after = STATE_NEXT_ITEM;
		return JSON_ARRAY;
	}

	r = json_names_open(&reader->names, reader->arena);
	if (r < 0)
		return r;

	reader->objects[level / 64] |= bit;
	reader->state = STATE_FIRST_NAME;
	reader->after = STATE_NEXT_NAME;
	return JSON_OBJECT;
}

static int close_level(struct json_reader *reader, int event)
{
	size_t outer = --reader->depth - 1;

	reader->at++;
	if (event == JSON_OBJECT_END)
		json_names_close(&reader->names);

	if (reader->depth == 0)
		reader->after = STATE_END;
	else if (reader->objects[outer / 64] >> outer % 64 & 1)
		reader->after = STATE_NEXT_NAME;
	else
		reader->after = STATE_NEXT_ITEM;
	reader->state = reader->after;
	return event;
}

static int read_value(struct json_reader *reader)
{
	int r;

	reader->offset = (size_t)(reader->at - reader->start);
	if (UNLIKELY(reader->at == reader->end))
		return expected(reader, reader->at, "a value");

	switch (*reader->at) {
	case '"':
		r = read_string(reader, !reader->skipping);
		reader->state = reader->after;
		return r < 0 ? r : JSON_STRING;
	case '{': return open_level(reader, true);
	case '[': return open_level(reader, false);
	case 't': return read_literal(reader, S("true"), JSON_TRUE);
	case 'f': return read_literal(reader, S("false"), JSON_FALSE);
	case 'n': return read_literal(reader, S("null"), JSON_NULL);
	case '-':
	case '0' ... '9': return read_number(reader);
	default: return expected(reader, reader->at, "a value");
	}
}

static int read_item(struct json_reader *reader)
{
	int r = count_element(reader);

	return r < 0 ? r : read_value(reader);
}

static int read_name(struct json_reader *reader, const char *wanted)
{
	int r;

	reader->offset = (size_t)(reader->at - reader->start);
	if (UNLIKELY(!sees(reader, '"')))
		return expected(reader, reader->at, wanted);

	r = count_element(reader);
	if (r < 0)
		return r;
	r = read_string(reader, true);
	if (r < 0)
		return r;
	r = json_names_add(&reader->names, reader->arena, reader->text);
	if (r < 0)
		return r;
	if (r > 0)
		return refuse(reader, reader->start + reader->offset,
			"a second member of the same name in one object");

	reader->state = STATE_MEMBER;
	return JSON_KEY;
}

/* --- events ------------------------------------------------------------------ */

static int read_start(struct json_reader *reader)
{
	struct str text = str_of(reader->start, (size_t)(reader->end - reader->start));

	if (text.len > reader->limits.bytes)
		return too_large(reader, reader->start, reader->limits.bytes, "bytes of JSON");
	if (str_starts(text, S("\xEF\xBB\xBF")))
		return refuse(reader, reader->start, "expected JSON without a byte order mark");

	skip_space(reader);
	return read_value(reader);
}

static int read_next_item(struct json_reader *reader)
{
	if (sees(reader, ']'))
		return close_level(reader, JSON_ARRAY_END);
	if (!takes(reader, ','))
		return expected(reader, reader->at, "',' or ']'");

	skip_space(reader);
	return read_item(reader);
}

static int read_next_name(struct json_reader *reader)
{
	if (sees(reader, '}'))
		return close_level(reader, JSON_OBJECT_END);
	if (!takes(reader, ','))
		return expected(reader, reader->at, "',' or '}'");

	skip_space(reader);
	return read_name(reader, "a name in quotes");
}

static int read_member(struct json_reader *reader)
{
	if (!takes(reader, ':'))
		return expected(reader, reader->at, "':'");

	skip_space(reader);
	return read_value(reader);
}

static int read_event(struct json_reader *reader)
{
	if (reader->state == STATE_START)
		return read_start(reader);

	skip_space(reader);
	reader->offset = (size_t)(reader->at - reader->start);
	switch ((enum state)reader->state) {
	case STATE_FIRST_ITEM:
		return sees(reader, ']') ? close_level(reader, JSON_ARRAY_END) : read_item(reader);
	case STATE_NEXT_ITEM: return read_next_item(reader);
	case STATE_FIRST_NAME:
		return sees(reader, '}') ? close_level(reader, JSON_OBJECT_END)
					 : read_name(reader, "a name in quotes or '}'");
	case STATE_NEXT_NAME: return read_next_name(reader);
	case STATE_MEMBER: return read_member(reader);
	default:
		if (reader->at != reader->end)
			return expected(reader, reader->at, "the end of the text");
		return JSON_END;
	}
}

int json_next(struct json_reader *reader)
{
	if (reader->event >= 0)
		reader->event = read_event(reader);
	return reader->event;
}

int json_skip(struct json_reader *reader)
{
	size_t depth;
	int r = reader->event;

	reader->skipping = true;
	if (r == JSON_KEY)
		r = json_next(reader);
	if (r == JSON_OBJECT || r == JSON_ARRAY)
		for (depth = reader->depth; r >= 0 && reader->depth >= depth;)
			r = json_next(reader);
	reader->skipping = false;
	return MIN(r, 0);
}
