/* Decimal arithmetic on 64 bits of digits; products take 128. */
#include "schema/decimal.h"

#include "base/check.h"

__extension__ typedef unsigned __int128 uint128;

enum { DIGITS_MAX = 19, EXPONENT_MAX = 1000 * 1000 * 1000 };

#define POWER_MAX UINT64_C(10000000000000000000) /* 10^19 */

/* The exponent behind 'e', held within bounds that no real number reaches. */
static int64_t read_exponent(struct str text)
{
	bool negative = text.len && text.at[0] == '-';
	int64_t value = 0;

	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] >= '0' && text.at[i] <= '9' && value < EXPONENT_MAX)
			value = value * 10 + (text.at[i] - '0');
	return negative ? -value : value;
}

static struct decimal normal(struct decimal value, int64_t exponent)
{
	if (value.digits == 0)
		return (struct decimal){ 0 };

	for (; value.digits % 10 == 0; exponent++)
		value.digits /= 10;
	value.exponent = (int32_t)MAX(MIN(exponent, (int64_t)EXPONENT_MAX), -(int64_t)EXPONENT_MAX);
	return value;
}

struct decimal decimal_read(struct str number)
{
	struct decimal value = { .negative = number.len && number.at[0] == '-' };
	int64_t exponent = 0;
	size_t digits = 0, i = value.negative;
	bool fraction = false;

	for (; i < number.len && (number.at[i] | 0x20) != 'e'; i++) {
		if (number.at[i] == '.') {
			fraction = true;
			continue;
		}
		if (digits == DIGITS_MAX) {
			exponent += !fraction;
			continue;
		}
		value.digits = value.digits * 10 + (uint64_t)(number.at[i] - '0');
		digits += value.digits != 0;
		exponent -= fraction;
	}
	if (i < number.len)
		exponent += read_exponent(str_from(number, i + 1));
	return normal(value, exponent);
}

/* The digits with zeros behind them, 19 in all; how many were added. */
static uint64_t widen(uint64_t digits, int *ret_zeros)
{
	*ret_zeros = 0;
	for (; digits < POWER_MAX / 10; digits *= 10)
		++*ret_zeros;
	return digits;
}

static int compare_magnitudes(struct decimal a, struct decimal b)
{
	int a_zeros, b_zeros;
	uint64_t left, right;
	int64_t a_place, b_place;

	if (a.digits == 0 || b.digits == 0)
		return (a.digits != 0) - (b.digits != 0);

	left = widen(a.digits, &a_zeros);
	right = widen(b.digits, &b_zeros);
	a_place = (int64_t)a.exponent - a_zeros;
	b_place = (int64_t)b.exponent - b_zeros;
	if (a_place != b_place)
		return a_place < b_place ? -1 : 1;
	return (left > right) - (left < right);
}

int decimal_compare(struct decimal a, struct decimal b)
{
	if (a.negative != b.negative)
		return a.negative ? -1 : 1;
	return a.negative ? compare_magnitudes(b, a) : compare_magnitudes(a, b);
}

/* 10^power modulo m, by squaring. */
static uint64_t power_of_ten(uint64_t power, uint64_t m)
{
	uint64_t result = 1 % m, base = 10 % m;

	for (; power; power >>= 1) {
		if (power & 1)
			result = (uint64_t)((uint128)result * base % m);
		base = (uint64_t)((uint128)base * base % m);
	}
	return result;
}

/*
 * digits_v * 10^k must be divisible by digits_d, where k is the difference of the exponents. For a
 * negative k the power of ten is on the divisor's side.
 */
bool decimal_is_multiple(struct decimal value, struct decimal divisor)
{
	int64_t k = (int64_t)value.exponent - divisor.exponent;
	uint128 whole;

	CHECK(divisor.digits);
	if (value.digits == 0)
		return true;
	if (k >= 0)
		return (uint128)(value.digits % divisor.digits) *
			       power_of_ten((uint64_t)k, divisor.digits) % divisor.digits ==
		       0;
	if (k < -DIGITS_MAX)
		return false;

	whole = divisor.digits;
	for (; k < 0; k++)
		whole *= 10;
	return value.digits % whole == 0;
}

bool decimal_i64(struct decimal value, int64_t *ret)
{
	uint64_t digits = value.digits, limit = (uint64_t)INT64_MAX + value.negative;

	if (value.exponent < 0 || value.exponent > DIGITS_MAX)
		return false;
	for (int32_t i = 0; i < value.exponent; i++)
		if (__builtin_mul_overflow(digits, 10, &digits))
			return false;
	if (digits > limit)
		return false;
	*ret = (int64_t)(value.negative ? 0 - digits : digits);
	return true;
}
