/*
 * A cursor runs through the caller's memory. Each piece is written only when its longest form fits
 * in front of `end`, behind which there is always room for the tail of the line; so a line is cut
 * between fields or inside a text value, and stays valid either way.
 */
#include "observe/log_line.h"

#include "base/num.h"
#include "base/time_text.h"
#include "base/utf8.h"
#include "observe/log_redact.h"

enum {
	TAIL_MAX = 64,   /* room kept behind `end`: `[cut]"},"truncated":true}` and the newline */
	STEP = 8,        /* bytes looked at in one go */
	ESCAPE_MAX = 6,  /* \u00ff, the longest form of one character */
	VALUE_SMALL = 64 /* room for any value that is not text, with its colours */
};

#define CUT       "[cut]"
#define TRUNCATED ",\"truncated\":true"

/* --- what is known of a key ----------------------------------------------- */

enum key_note { KEY_KNOWN = 1, KEY_SECRET = 2, KEY_SECRET_NUMBER = 4 };

enum { KEY_CACHE = 256, KEY_PROBES = 4 };

/* Keys are literals: the same address and length is the same name. */
struct key_entry {
	const char *at;
	uint32_t len;
	uint32_t note; /* enum key_note */
};

static _Thread_local struct key_entry key_cache[KEY_CACHE];
static _Thread_local uint32_t key_cache_version;

static uint32_t judge(struct str key)
{
	return KEY_KNOWN | (log_redacted(key, false) ? KEY_SECRET : 0) |
	       (log_redacted(key, true) ? KEY_SECRET_NUMBER : 0);
}

/* The first probe without an entry is taken; when all are, the first one is given up. */
static uint32_t learn_key(struct str key, size_t index)
{
	struct key_entry *entry = &key_cache[index];

	for (size_t i = 0; i < KEY_PROBES; i++) {
		struct key_entry *probe = &key_cache[(index + i) % KEY_CACHE];

		if (!probe->note) {
			entry = probe;
			break;
		}
	}

	*entry = (struct key_entry){ key.at, (uint32_t)key.len, judge(key) };
	return entry->note;
}

static uint32_t key_note(struct str key)
{
	size_t index = (uint64_t)(uintptr_t)key.at * 0x9E3779B97F4A7C15u >> 56;

	for (size_t i = 0; i < KEY_PROBES; i++) {
		const struct key_entry *entry = &key_cache[(index + i) % KEY_CACHE];

		if (LIKELY(entry->at == key.at && entry->len == key.len))
			return entry->note;
	}
	return learn_key(key, index);
}

static bool secret(const struct log_field *field)
{
	bool text = field->kind == LOG_KIND_STR || field->kind == LOG_KIND_ERR;

	return key_note(field->key) & (text ? KEY_SECRET : KEY_SECRET_NUMBER);
}

static void forget_keys_if_changed(void)
{
	uint32_t version = log_redact_version();

	if (UNLIKELY(version != key_cache_version)) {
		memset(key_cache, 0, sizeof(key_cache));
		key_cache_version = version;
	}
}

/* --- the cursor ----------------------------------------------------------- */

struct line {
	char *at;
	char *end; /* text ends here; TAIL_MAX more bytes are there */
	bool truncated;
};

static inline void put(struct line *line, struct str text)
{
	memcpy(line->at, text.at, text.len);
	line->at += text.len;
}

static inline void put_byte(struct line *line, char byte)
{
	*line->at++ = byte;
}

static inline bool room(const struct line *line, size_t bytes)
{
	return line->end - line->at >= (ptrdiff_t)bytes;
}

/* --- escaping ------------------------------------------------------------- */

/* A non-zero byte for each of the eight that JSON cannot hold as it is, or that is not ASCII. */
static inline uint64_t special_bytes(uint64_t eight)
{
	const uint64_t ones = 0x0101010101010101u, tops = ones << 7;
	uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';

	return (((eight - ones * 0x20) | (quote - ones) | (backslash - ones)) | eight) & tops;
}

static inline bool plain_byte(char byte)
{
	return (unsigned char)byte >= 0x20 && (unsigned char)byte < 0x80 && byte != '"' &&
	       byte != '\\';
}

/* The form of an ASCII character that has to be escaped. */
static char *escape_ascii(char *at, unsigned char byte)
{
	static const char names[0x20] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
	};
	char name = byte == '"' || byte == '\\' ? (char)byte : byte < 0x20 ? names[byte] : 0;

	*at++ = '\\';
	if (name) {
		*at++ = name;
		return at;
	}
	memcpy(at, "u00", 3);
	num_write_hex(at + 3, byte, 2);
	return at + 5;
}

/*
 * One character at the start of `*rest` that is not plain. Ill-formed bytes become U+FFFD; the C1
 * controls and the line separators, which some readers take for commands or newlines, are escaped.
 */
static char *escape_one(char *at, struct str *rest)
{
	uint32_t point = 0;
	size_t len = utf8_read(*rest, &point);

	if (len == 0) {
		at += utf8_write(at, 0xFFFD);
		len = 1;
	} else if (point < 0x80) {
		at = escape_ascii(at, (unsigned char)point);
	} else if (point < 0xA0 || point == 0x2028 || point == 0x2029) {
		memcpy(at, "\\u", 2);
		num_write_hex(at + 2, point, 4);
		at += 6;
	} else {
		memcpy(at, rest->at, len);
		at += len;
	}
	*rest = str_from(*rest, len);
	return at;
}

/*
 * Copies text that needs no escape, in words that overlap at the end. False when there is something
 * to escape; what has been copied by then means nothing. Nearly all text takes this way.
 */
static inline bool copy_plain(char *at, struct str text)
{
	uint64_t special = 0, eight;
	uint32_t first, last;

	if (text.len >= STEP) {
		for (size_t i = 0; i + STEP < text.len; i += STEP) {
			memcpy(&eight, text.at + i, STEP);
			special |= special_bytes(eight);
			memcpy(at + i, &eight, STEP);
		}
		memcpy(&eight, text.at + text.len - STEP, STEP);
		memcpy(at + text.len - STEP, &eight, STEP);
		return (special | special_bytes(eight)) == 0;
	}
	if (text.len >= STEP / 2) {
		memcpy(&first, text.at, sizeof(first));
		memcpy(&last, text.at + text.len - sizeof(last), sizeof(last));
		memcpy(at, &first, sizeof(first));
		memcpy(at + text.len - sizeof(last), &last, sizeof(last));
		return special_bytes((uint64_t)first << 32 | last) == 0;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (!plain_byte(text.at[i]))
			return false;
		at[i] = text.at[i];
	}
	return true;
}

/* Escapes as much of `text` as fits in front of `end`; leaves the rest in `*text`. */
static char *escape(char *at, const char *end, struct str *text)
{
	struct str rest = *text;

	for (;;) {
		size_t few;

		while (rest.len >= STEP && end - at >= STEP) {
			uint64_t eight;

			memcpy(&eight, rest.at, STEP);
			if (special_bytes(eight))
				break;
			memcpy(at, &eight, STEP);
			at += STEP;
			rest.at += STEP;
			rest.len -= STEP;
		}

		for (few = 0; few < rest.len && few < STEP && at < end; few++) {
			if (!plain_byte(rest.at[few]))
				break;
			*at++ = rest.at[few];
		}
		rest = str_from(rest, few);

		if (rest.len == 0 || end - at < ESCAPE_MAX)
			break;
		if (!plain_byte(*rest.at))
			at = escape_one(at, &rest);
	}

	*text = rest;
	return at;
}

static bool all_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!plain_byte(text.at[i]))
			return false;
	return true;
}

/* The inside of a text value, bounded; what does not fit is replaced by the mark. False when cut.
 */
static bool put_text(struct line *line, struct str text, const char *value_end)
{
	value_end = MIN(value_end, line->end);
	if (LIKELY(value_end - line->at >= (ptrdiff_t)text.len && copy_plain(line->at, text))) {
		line->at += text.len;
		return true;
	}

	line->at = escape(line->at, value_end, &text);
	if (text.len == 0)
		return true;

	put(line, S(CUT));
	return false;
}

static void put_value_text(struct line *line, struct str text)
{
	(void)put_text(line, text, line->at + LOG_VALUE_MAX);
}

/* --- values --------------------------------------------------------------- */

static void put_u64(struct line *line, uint64_t value)
{
	line->at += num_write_u64(line->at, value);
}

static void put_milliseconds(struct line *line, uint64_t ns)
{
	uint64_t us = ns / MICROSECOND;
	unsigned part = (unsigned)(us % 1000);

	put_u64(line, us / 1000);
	put_byte(line, '.');
	put_byte(line, (char)('0' + part / 100));
	put_byte(line, (char)('0' + part / 10 % 10));
	put_byte(line, (char)('0' + part % 10));
}

static void put_number(struct line *line, const struct log_field *field)
{
	switch (field->kind) {
	case LOG_KIND_I64: line->at += num_write_i64(line->at, field->i64); break;
	case LOG_KIND_U64: put_u64(line, field->u64); break;
	case LOG_KIND_MS: put_milliseconds(line, field->u64); break;
	default: put(line, field->truth ? S("true") : S("false"));
	}
}

/* "outermost: ...: cause" */
static void put_chain(struct line *line, const struct err *err)
{
	const char *value_end = line->at + LOG_VALUE_MAX;

	for (unsigned i = err->depth; i-- > 0;) {
		if (!put_text(line, str_from_c(err->frames[i].text), value_end))
			return;
		if (i > 0)
			put(line, S(": "));
	}
}

/* Where the cause arose: "file.c:12". */
static void put_place(struct line *line, const struct err *err)
{
	if (err->depth == 0 || !room(line, VALUE_SMALL))
		return;

	(void)put_text(line, str_from_c(err->frames[0].file), line->end - VALUE_SMALL / 2);
	put_byte(line, ':');
	line->at += num_write_i64(line->at, err->frames[0].line);
}

/* --- JSON ----------------------------------------------------------------- */

static void json_error(struct line *line, const struct err *err)
{
	put(line, S("{\"code\":\""));
	put(line, str_from_c(err_info((int)err->code)->name));
	put(line, S("\",\"text\":\""));
	put_chain(line, err);
	if (room(line, VALUE_SMALL)) {
		put(line, S("\",\"at\":\""));
		put_place(line, err);
	}
	put(line, S("\"}"));
}

/* ,"key": */
static void json_key(struct line *line, struct str key)
{
	put(line, S(",\""));
	(void)put_text(line, key, line->end);
	put(line, S("\":"));
}

static void json_field(struct line *line, const struct log_field *field)
{
	if (UNLIKELY(!room(line, field->key.len * ESCAPE_MAX + 2 * VALUE_SMALL))) {
		line->truncated = true;
		return;
	}

	json_key(line, field->key);
	if (UNLIKELY(secret(field))) {
		put(line, S("\"[redacted]\""));
	} else if (field->kind == LOG_KIND_STR) {
		put_byte(line, '"');
		put_value_text(line, field->text);
		put_byte(line, '"');
	} else if (field->kind == LOG_KIND_ERR) {
		json_error(line, field->err);
	} else {
		put_number(line, field);
	}
}

/* --- pretty --------------------------------------------------------------- */

static void pretty_error(struct line *line, const struct err *err)
{
	put(line, str_from_c(err_info((int)err->code)->name));
	put(line, S(" \""));
	put_chain(line, err);
	put_byte(line, '"');
	if (room(line, 2 * VALUE_SMALL)) {
		put(line, S(" at "));
		put_place(line, err);
	}
}

/* Quoted only when it must be, so that words stay easy to read and to copy. */
static void pretty_text(struct line *line, struct str text)
{
	bool bare = text.len && all_plain(text) && str_find_byte(text, ' ') < 0 &&
		    str_find_byte(text, '=') < 0;

	if (!bare)
		put_byte(line, '"');
	put_value_text(line, text);
	if (!bare)
		put_byte(line, '"');
}

static void pretty_field(struct line *line, const struct log_field *field)
{
	struct str key = field->key;

	if (!room(line, key.len * ESCAPE_MAX + 2 * VALUE_SMALL)) {
		line->truncated = true;
		return;
	}

	put(line, S(" \033[2m"));
	line->at = escape(line->at, line->end, &key);
	put(line, S("=\033[0m"));
	if (secret(field))
		put(line, S("[redacted]"));
	else if (field->kind == LOG_KIND_STR)
		pretty_text(line, field->text);
	else if (field->kind == LOG_KIND_ERR)
		pretty_error(line, field->err);
	else
		put_number(line, field);
}

/* --- context -------------------------------------------------------------- */

#define CONTEXT_ID(member, name)                                                                   \
	{                                                                                          \
		S_INIT(",\"" name "\":\""), S_INIT(" \033[2m" name "=\033[0m"),                    \
			offsetof(struct log_context, member)                                       \
	}

static const struct {
	struct str json, pretty; /* what stands in front of the value */
	size_t offset;           /* of the struct str in struct log_context */
} context_ids[] = {
	CONTEXT_ID(request_id, "requestId"),
	CONTEXT_ID(trace_id, "traceId"),
	CONTEXT_ID(span_id, "spanId"),
	CONTEXT_ID(tenant_id, "tenantId"),
	CONTEXT_ID(user_id, "userId"),
};

/* The id as the innermost context that has one says. */
static struct str nearest_id(const struct log_context *context, size_t offset)
{
	for (size_t depth = 0; context && depth < LOG_CONTEXT_MAX; depth++) {
		const struct str *id = (const void *)((const char *)context + offset);

		if (id->len)
			return *id;
		context = context->parent;
	}
	return str_of(NULL, 0);
}

static void put_ids(struct line *line, const struct log_context *context, bool pretty)
{
	for (size_t i = 0; i < LEN(context_ids); i++) {
		struct str id = nearest_id(context, context_ids[i].offset);

		if (id.len == 0)
			continue;
		if (!room(line, 2 * VALUE_SMALL)) {
			line->truncated = true;
			return;
		}
		put(line, pretty ? context_ids[i].pretty : context_ids[i].json);
		put_value_text(line, id);
		if (!pretty)
			put_byte(line, '"');
	}
}

static void put_context(struct line *line, const struct log_context *context, bool pretty)
{
	const struct log_context *chain[LOG_CONTEXT_MAX];
	size_t depth = 0;

	if (!context)
		return;

	put_ids(line, context, pretty);
	for (; context && depth < LOG_CONTEXT_MAX; context = context->parent)
		chain[depth++] = context;
	while (depth-- > 0)
		for (size_t i = 0; i < chain[depth]->field_count; i++)
			(pretty ? pretty_field : json_field)(line, &chain[depth]->fields[i]);
}

/* --- whole lines ---------------------------------------------------------- */

/* The time as RFC 3339; all but the milliseconds is made once a second and thread. */
static void put_time(struct line *line, int64_t time_us)
{
	static _Thread_local int64_t second = INT64_MIN;
	static _Thread_local char text[TIME_RFC3339_LEN];
	int64_t now = time_us / 1000000 - (time_us % 1000000 < 0);
	unsigned ms = (unsigned)((time_us - now * 1000000) / 1000);

	if (UNLIKELY(now != second)) {
		time_write_rfc3339(text, now * 1000000);
		second = now;
	}

	memcpy(line->at, text, sizeof(text));
	line->at[20] = (char)('0' + ms / 100);
	line->at[21] = (char)('0' + ms / 10 % 10);
	line->at[22] = (char)('0' + ms % 10);
	line->at += sizeof(text);
}

#define LEVEL_TEXT(name) S_INIT("\",\"level\":\"" name "\",\"msg\":\"")

size_t log_line_json(char *at, const struct log_line_parts *parts)
{
	static const struct str levels[] = {
		[LOG_TRACE] = LEVEL_TEXT("trace"),
		[LOG_DEBUG] = LEVEL_TEXT("debug"),
		[LOG_INFO] = LEVEL_TEXT("info"),
		[LOG_WARN] = LEVEL_TEXT("warn"),
		[LOG_ERROR] = LEVEL_TEXT("error"),
		[LOG_FATAL] = LEVEL_TEXT("fatal"),
	};
	struct line line = { .at = at, .end = at + LOG_LINE_MAX - TAIL_MAX };

	forget_keys_if_changed();
	put(&line, S("{\"time\":\""));
	put_time(&line, parts->time_us);
	put(&line, levels[parts->level]);
	put_value_text(&line, parts->message);
	put_byte(&line, '"');

	put_context(&line, parts->context, false);
	for (size_t i = 0; i < parts->count; i++)
		json_field(&line, &parts->fields[i]);

	if (UNLIKELY(line.truncated))
		put(&line, S(TRUNCATED));
	put(&line, S("}\n"));
	return (size_t)(line.at - at);
}

size_t log_line_pretty(char *at, const struct log_line_parts *parts)
{
	static const struct str levels[] = {
		[LOG_TRACE] = S_INIT(" \033[90mTRACE\033[0m "),
		[LOG_DEBUG] = S_INIT(" \033[36mDEBUG\033[0m "),
		[LOG_INFO] = S_INIT(" \033[32mINFO \033[0m "),
		[LOG_WARN] = S_INIT(" \033[33mWARN \033[0m "),
		[LOG_ERROR] = S_INIT(" \033[31mERROR\033[0m "),
		[LOG_FATAL] = S_INIT(" \033[1;31mFATAL\033[0m "),
	};
	struct line line = { .at = at, .end = at + LOG_LINE_MAX - TAIL_MAX };

	forget_keys_if_changed();
	put_time(&line, parts->time_us);
	memmove(at, at + TIME_DATE_LEN + 1, 12); /* only 08:15:30.123 of it */
	line.at = at + 12;
	put(&line, levels[parts->level]);
	put_value_text(&line, parts->message);

	put_context(&line, parts->context, true);
	for (size_t i = 0; i < parts->count; i++)
		pretty_field(&line, &parts->fields[i]);

	if (line.truncated)
		put(&line, S(" " CUT));
	put_byte(&line, '\n');
	return (size_t)(line.at - at);
}
