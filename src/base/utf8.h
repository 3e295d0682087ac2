/* UTF-8 as RFC 3629 and the Unicode standard (table 3-7) define it: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum { UTF8_MAX = 4 }; /* bytes of the longest character */

/* True when all of it is well-formed. The empty text is. */
bool utf8_valid(struct str text);

/*
 * Reads one character at the start of `text`. Returns its length in bytes (1 to 4) and stores the
 * code point, or 0 when the text is empty or ill-formed there.
 */
size_t utf8_read(struct str text, uint32_t *ret_point);

/* Writes one character (a scalar value: not a surrogate, at most U+10FFFF); returns its length. */
size_t utf8_write(char *at, uint32_t point);

/* Number of code points. The text must be well-formed. */
size_t utf8_length(struct str text);

#pragma GCC visibility pop

#endif
