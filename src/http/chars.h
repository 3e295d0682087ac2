/*
 * Classes of bytes that the grammars of HTTP share, as one table, and the search for the byte that
 * ends a line.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include "base/str.h"

#include <endian.h>
#include <stdint.h>

enum char_class {
	CHAR_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
	CHAR_TARGET = 2, /* may stand in a request target: visible ASCII but " # < > \ */
	CHAR_HOST = 4,   /* reg-name of RFC 3986 3.2.2 without sub-delims and percent */
	CHAR_QUOTED = 8, /* qdtext, RFC 9110 5.6.4 */
	CHAR_FIELD = 16, /* in a field value: field-vchar, space, tab; RFC 9110 5.5 */
};

extern const unsigned char char_classes[256];

static inline bool char_is(char byte, enum char_class class)
{
	return char_classes[(unsigned char)byte] & class;
}

/* True when all bytes are of the class; the empty text is. */
bool chars_all(struct str text, enum char_class class);

/* A token of RFC 9110 5.6.2: at least one tchar and nothing else. */
static inline bool chars_token(struct str text)
{
	return text.len && chars_all(text, CHAR_TOKEN);
}

/* The token (perhaps empty) at the start of `*rest`, cut off from it. */
struct str chars_cut_token(struct str *rest);

/*
 * Position of the first control byte (below 0x20, or 0x7F; a tab counts) in at[from..end), or end.
 * Eight bytes at a time: a borrow can only fake a hit above a true one, and the lowest hit wins.
 */
static inline size_t chars_find_control(const char *at, size_t from, size_t end)
{
	const uint64_t ones = 0x0101010101010101u;
	const uint64_t tops = 0x8080808080808080u;

	for (; from + 8 <= end; from += 8) {
		uint64_t eight, low, del;

		memcpy(&eight, at + from, 8);
		eight = le64toh(eight);
		low = (eight - 0x20 * ones) & ~eight;
		eight ^= 0x7F * ones;
		del = (eight - ones) & ~eight;
		if ((low | del) & tops)
			return from + (size_t)(__builtin_ctzll((low | del) & tops) / 8);
	}
	while (from < end && (unsigned char)at[from] >= 0x20 && at[from] != 0x7F)
		from++;
	return from;
}

#endif
