/*
 * Numbers of JSON text as decimals, for what JSON Schema says of numbers: 1.0 is an integer, 1 and
 * 1e0 are equal, 0.3 is a multiple of 0.1. Exact up to 19 significant digits; further ones are cut.
 * Private to this folder.
 */
#ifndef SCHEMA_DECIMAL_H
#define SCHEMA_DECIMAL_H

#include "base/str.h"

#include <stdint.h>

/* (-1)^negative * digits * 10^exponent; digits do not end in zero, zero is 0 * 10^0. */
struct decimal {
	uint64_t digits;
	int32_t exponent;
	bool negative;
};

/* The value of a JSON number (its form has been checked). Exponents stop at a thousand million. */
struct decimal decimal_read(struct str number);

static inline bool decimal_is_integer(struct decimal value)
{
	return value.exponent >= 0;
}

/* Negative, 0, positive. */
int decimal_compare(struct decimal a, struct decimal b);

static inline bool decimal_equal(struct decimal a, struct decimal b)
{
	return a.digits == b.digits && a.exponent == b.exponent && a.negative == b.negative;
}

/* True when the value is an integer times the divisor, which is not zero. */
bool decimal_is_multiple(struct decimal value, struct decimal divisor);

/* False when the value is not an integer or does not fit. */
bool decimal_i64(struct decimal value, int64_t *ret);

#endif
