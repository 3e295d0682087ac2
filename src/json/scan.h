/* What reader and writer both look for: the end of a run of bytes that stand for themselves in a
 * JSON string. Private to this folder. */
#ifndef JSON_SCAN_H
#define JSON_SCAN_H

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

#define SCAN_EACH(byte) (0x0101010101010101u * (byte))

/* Printable ASCII without quote and backslash. */
static inline bool scan_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/*
 * The first byte from `at` on that is not plain, or `end`. Eight at a time: in each subtraction the
 * highest bit of a byte tells of a borrow; a byte below can make it lie, but only after having told
 * first.
 */
static inline const char *scan_run(const char *at, const char *end)
{
	for (; end - at >= 8; at += 8) {
		uint64_t eight, quote, backslash, odd;

		memcpy(&eight, at, 8);
		quote = (eight ^ SCAN_EACH('"')) - SCAN_EACH(1);
		backslash = (eight ^ SCAN_EACH('\\')) - SCAN_EACH(1);
		odd = (eight | (eight - SCAN_EACH(0x20)) | quote | backslash) & SCAN_EACH(0x80);
		if (odd)
			return at + __builtin_ctzll(odd) / 8;
	}
	while (at < end && scan_plain((unsigned char)*at))
		at++;
	return at;
}

#endif
