/*
 * Numbers of JSON text, exactly, whatever the locale of the process is. The texts are those of
 * JSON_NUMBER events: their form (RFC 8259 section 6) has been checked by the reader and is not
 * checked again.
 */
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum { JSON_DOUBLE_MAX = 25 }; /* longest text of a double: -0.0000012345678901234567 */

/*
 * The value of an integer. Exact or refused: ERR_INVALID when it does not fit, and when it is
 * written with a fraction or an exponent ("1.0" and "1e2" are not integers here). "-0" is 0.
 */
int json_number_i64(struct str number, int64_t *ret);
int json_number_u64(struct str number, uint64_t *ret);

/*
 * The double next to the number (ties to even), as IEEE 754 demands and strtod does in the C
 * locale. What is too small becomes a subnormal or zero; what is too large is refused
 * (ERR_INVALID), never infinity. Takes time linear in the length of the text.
 */
int json_number_double(struct str number, double *ret);

/*
 * Writes the shortest decimal text that reads back as the same double, and of those the nearest, in
 * the form of ECMAScript and RFC 8785 (1, 0.1, 1e+21, 1.5e-7), except that -0 keeps its sign. `at`
 * has room for JSON_DOUBLE_MAX bytes; returns the length. The value must be finite.
 */
size_t json_number_write(char *at, double value);

enum { JSON_POWER_MIN = -342, JSON_POWER_MAX = 324 };

/* A power of ten: the number is between (high * 2^64 + low - 1) and (high * 2^64 + low), times a
 * power of two; the highest bit is set. */
struct json_power {
	uint64_t high, low;
};

extern const struct json_power json_powers[JSON_POWER_MAX - JSON_POWER_MIN + 1];

#pragma GCC visibility pop

#endif
