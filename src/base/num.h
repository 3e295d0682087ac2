/*
 * Numbers and text, strictly. One parser for every number from outside: digits only, no sign where
 * none is asked for, no white space, no prefix, no overflow; the whole text must be used.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum { NUM_TEXT_MAX = 20 }; /* longest decimal text of a 64-bit number, sign included */

/* Decimal digits, no leading zero (except "0" itself). False and untouched when it is anything
 * else. */
bool num_parse_u64(struct str text, uint64_t *ret);

/* The same with an optional minus sign. "-0" is refused. */
bool num_parse_i64(struct str text, int64_t *ret);

/* 1 to 16 hex digits of either case. */
bool num_parse_hex(struct str text, uint64_t *ret);

/* Writes decimal digits without a NUL; `at` has room for NUM_TEXT_MAX bytes. Returns their number.
 */
size_t num_write_u64(char *at, uint64_t value);
size_t num_write_i64(char *at, int64_t value);

/* Writes exactly `digits` lower-case hex digits, the lowest ones of the value. */
void num_write_hex(char *at, uint64_t value, size_t digits);

/* Value of one hex digit of either case, or -1. */
int num_hex_digit(char digit);

/*
 * A duration: an integer with a unit, "250ms", "15m", "7d" (ms, s, m, h, d); "0" needs none.
 * Nanoseconds. False when it is anything else or does not fit.
 */
bool num_parse_duration(struct str text, uint64_t *ret_ns);

/* A size: an integer, alone (bytes) or with a unit of 1024 steps: "512b", "64kb", "10mb", "2gb". */
bool num_parse_size(struct str text, uint64_t *ret_bytes);

#pragma GCC visibility pop

#endif
