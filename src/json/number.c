/*
 * Text to numbers and doubles to text.
 *
 * Reading a double: up to 19 digits are an integer times a power of ten. When both are exact
 * doubles one rounded operation is the answer (Clinger 1990). Otherwise the integer is multiplied
 * with 128 bits of the power; the error is below one unit of the product, and only when that unit
 * could decide the rounding (or the result is subnormal) the whole text goes to strtod.
 *
 * Writing a double: Raffaello Giulietti's Schubfach (2020): the one or two candidates of the
 * shortest length are found with three products by the same table.
 */
#include "json/number.h"

#include "base/err.h"
#include "base/num.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 uint128;

enum {
	DIGITS_MAX = 19,       /* decimal digits that always fit 64 bits */
	DIGITS_DECISIVE = 770, /* more than the 767 a double's halfway point can have */
	FRACTION_BITS = 52,
	EXPONENT_BIAS = 1023,
	EXPONENT_NONE = 2047, /* the exponent field of infinity */
	QUOTE_MAX = 40,       /* bytes of a refused number in an error text */
	FIXED_MAX = 21,       /* from 10^21 on, and below 10^-6, ECMAScript writes an exponent */
	FIXED_MIN = -5,
};

/* (-1)^negative * digits * 10^exponent */
struct decimal {
	uint64_t digits;
	int64_t exponent;
	bool negative;
	bool cut; /* digits that are not all zero follow the 19 that were kept */
};

/* The powers of ten that are doubles. */
static const double exact_powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

#define EXACT_POWER_MAX   ((int64_t)LEN(exact_powers) - 1)
#define EXACT_INTEGER_MAX ((uint64_t)1 << 53)

static int refuse(struct str number, const char *what)
{
	return fail(ERR_INVALID, "%.*s%s is not %s", STR_ARG(str_first(number, QUOTE_MAX)),
		number.len > QUOTE_MAX ? "..." : "", what);
}

int json_number_i64(struct str number, int64_t *ret)
{
	if (num_parse_i64(number, ret))
		return 0;
	if (!str_eq(number, S("-0")))
		return refuse(number, "an integer of 64 bits");

	*ret = 0;
	return 0;
}

int json_number_u64(struct str number, uint64_t *ret)
{
	if (num_parse_u64(number, ret))
		return 0;
	if (!str_eq(number, S("-0")))
		return refuse(number, "an integer of 64 bits without a sign");

	*ret = 0;
	return 0;
}

/* Where the digits of a text stand, for those who want more of them than 19. */
struct digit_sink {
	char *at;
	size_t len, cap;
	bool more; /* digits that are not all zero did not fit */
};

/* Takes the exponent's digits; more than an exponent of any use stays at a bound. */
static int64_t read_exponent(const char *at, const char *end)
{
	const int64_t bound = INT64_MAX / 100;
	bool negative = at < end && *at == '-';
	int64_t exponent = 0;

	for (at += at < end && (*at == '-' || *at == '+'); at < end; at++)
		exponent = exponent < bound ? exponent * 10 + (*at - '0') : bound;
	return negative ? -exponent : exponent;
}

static void sink_digit(struct digit_sink *sink, char digit)
{
	if (sink->len < sink->cap)
		sink->at[sink->len++] = digit;
	else
		sink->more |= digit != '0';
}

/* Reads the text once. The sink, if any, gets the significant digits that fit. */
static struct decimal read_decimal(struct str number, struct digit_sink *sink)
{
	const char *at = number.at, *end = at + number.len;
	struct decimal decimal = { .negative = at < end && *at == '-' };
	bool fraction = false;
	unsigned kept = 0;

	for (at += decimal.negative; at < end && (*at | 0x20) != 'e'; at++) {
		unsigned digit = (unsigned char)*at - '0';

		if (*at == '.') {
			fraction = true;
			continue;
		}
		decimal.exponent -= fraction;
		if (kept == 0 && digit == 0)
			continue;
		if (sink)
			sink_digit(sink, *at);
		if (kept < DIGITS_MAX) {
			decimal.digits = decimal.digits * 10 + digit;
			kept++;
		} else {
			decimal.exponent++;
			decimal.cut |= digit != 0;
		}
	}
	if (at < end)
		decimal.exponent += read_exponent(at + 1, end);
	return decimal;
}

static double from_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static const struct json_power *power_of_ten(int64_t exponent)
{
	DEBUG_CHECK(exponent >= JSON_POWER_MIN && exponent <= JSON_POWER_MAX);
	return &json_powers[exponent - JSON_POWER_MIN];
}

/* floor(log2(10^n)) in the table's range. */
static int64_t log2_of_power(int64_t exponent)
{
	return exponent * 1741647 >> 19;
}

/*
 * Rounds digits * 10^exponent. False when 128 bits of the power cannot decide it. Answers infinity
 * when it is too large.
 */
static bool round_product(uint64_t digits, int64_t exponent, double *ret)
{
	const struct json_power *power = power_of_ten(exponent);
	int lead = __builtin_clzll(digits);
	uint64_t left = digits << lead;
	uint128 product = (uint128)left * power->high + ((uint128)left * power->low >> 64);
	unsigned drop = 127 - FRACTION_BITS - !(product >> 127);
	uint128 half = (uint128)1 << (drop - 1);
	uint128 rest = product & ((half << 1) - 1);
	uint64_t mantissa = (uint64_t)(product >> drop);
	int64_t binary = log2_of_power(exponent) - 63 - lead + (int64_t)drop;

	/* The true product is less than one away on either side. */
	if (rest == half)
		return false;

	mantissa += rest > half;
	if (mantissa >> (FRACTION_BITS + 1)) {
		mantissa >>= 1;
		binary++;
	}
	binary += FRACTION_BITS + EXPONENT_BIAS;
	if (binary <= 0)
		return false;
	if (binary >= EXPONENT_NONE) {
		*ret = HUGE_VAL;
		return true;
	}

	mantissa &= ((uint64_t)1 << FRACTION_BITS) - 1;
	*ret = from_bits((uint64_t)binary << FRACTION_BITS | mantissa);
	return true;
}

/*
 * The exact way: the digits that can decide, one more for "and something", and strtod in the C
 * locale. (newlocale answers a static object for "C": it neither allocates nor fails.)
 */
static double round_exactly(struct str number)
{
	char text[DIGITS_DECISIVE + sizeof("1e-9223372036854775808")];
	struct digit_sink sink = { .at = text, .cap = DIGITS_DECISIVE };
	struct decimal decimal = read_decimal(number, &sink);
	int64_t exponent = decimal.exponent;

	if (sink.len > DIGITS_MAX)
		exponent -= (int64_t)sink.len - DIGITS_MAX;
	if (sink.more) {
		text[sink.len++] = '1';
		exponent--;
	}
	(void)snprintf(text + sink.len, sizeof(text) - sink.len, "e%" PRId64, exponent);
	return strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", NULL));
}

static double round_decimal(struct decimal decimal, struct str number)
{
	double value, next;

	if (decimal.digits == 0 || decimal.exponent < JSON_POWER_MIN - DIGITS_MAX)
		return 0;
	if (decimal.exponent > JSON_POWER_MAX)
		return HUGE_VAL;

	if (decimal.digits <= EXACT_INTEGER_MAX && !decimal.cut) {
		double digits = (double)decimal.digits;

		if (decimal.exponent >= 0 && decimal.exponent <= EXACT_POWER_MAX)
			return digits * exact_powers[decimal.exponent];
		if (decimal.exponent < 0 && decimal.exponent >= -EXACT_POWER_MAX)
			return digits / exact_powers[-decimal.exponent];
	}

	if (decimal.exponent < JSON_POWER_MIN ||
		!round_product(decimal.digits, decimal.exponent, &value))
		return round_exactly(number);
	if (decimal.cut &&
		(!round_product(decimal.digits + 1, decimal.exponent, &next) || next != value))
		return round_exactly(number);
	return value;
}

int json_number_double(struct str number, double *ret)
{
	struct decimal decimal = read_decimal(number, NULL);
	double value = round_decimal(decimal, number);

	if (value == HUGE_VAL)
		return refuse(number, "in the range of a double");

	*ret = decimal.negative ? -value : value;
	return 0;
}

/* The product's upper 64 bits, the lowest of them set when anything was dropped. */
static uint64_t round_to_odd(const struct json_power *power, uint64_t factor)
{
	uint128 low = (uint128)power->low * factor;
	uint128 high = (uint128)power->high * factor + (low >> 64);

	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest decimal in the rounding interval of mantissa * 2^binary; its digits may end in
 * zeros. */
static struct decimal shortest(uint64_t mantissa, int64_t binary, bool near_below)
{
	/* floor(log10) of 2^binary, or of 3/4 of it where the interval is narrower below. */
	int64_t exponent = (binary * 1262611 - (near_below ? 524031 : 0)) >> 22;
	const struct json_power *power = power_of_ten(-exponent);
	int shift = (int)(binary + log2_of_power(-exponent) + 1);
	uint64_t odd = mantissa & 1; /* an odd one does not own the ends of its interval */
	uint64_t lower = round_to_odd(power, (4 * mantissa - (near_below ? 1 : 2)) << shift) + odd;
	uint64_t value = round_to_odd(power, 4 * mantissa << shift);
	uint64_t upper = round_to_odd(power, (4 * mantissa + 2) << shift) - odd;
	uint64_t units = value / 4, tens = units / 10;
	bool below, above;

	if (units >= 10) { /* is a multiple of ten inside? */
		below = lower <= 40 * tens;
		above = 40 * tens + 40 <= upper;
		if (below != above)
			return (struct decimal){ tens + above, exponent + 1 };
	}

	below = lower <= 4 * units;
	above = 4 * units + 4 <= upper;
	if (below == above) /* both or none: the nearer one, the even one in the middle */
		above = value > 4 * units + 2 || (value == 4 * units + 2 && (units & 1));
	return (struct decimal){ units + above, exponent };
}

/* The decimal of a positive double, without trailing zeros. */
static struct decimal decimal_of(double value)
{
	const uint64_t hidden = (uint64_t)1 << FRACTION_BITS;
	struct decimal decimal;
	uint64_t bits, mantissa;
	int64_t field;

	memcpy(&bits, &value, sizeof(bits));
	field = (int64_t)(bits >> FRACTION_BITS);
	mantissa = bits & (hidden - 1);
	if (field == 0)
		decimal = shortest(mantissa, 1 - EXPONENT_BIAS - FRACTION_BITS, false);
	else
		decimal = shortest(hidden | mantissa, field - EXPONENT_BIAS - FRACTION_BITS,
			mantissa == 0 && field > 1);

	if (decimal.digits % 100000000 == 0) { /* the double had few digits: most are zeros */
		decimal.digits /= 100000000;
		decimal.exponent += 8;
	}
	while (decimal.digits % 10 == 0) {
		decimal.digits /= 10;
		decimal.exponent++;
	}
	return decimal;
}

static char *put_zeros(char *at, int64_t count)
{
	memset(at, '0', (size_t)count);
	return at + count;
}

static char *put(char *at, const char *digits, size_t count)
{
	memcpy(at, digits, count);
	return at + count;
}

/* One digit, a point and the rest, and the power of ten. */
static char *put_scientific(char *at, const char *digits, size_t len, int64_t power)
{
	*at++ = digits[0];
	if (len > 1) {
		*at++ = '.';
		at = put(at, digits + 1, len - 1);
	}
	*at++ = 'e';
	*at++ = power < 0 ? '-' : '+';
	return at + num_write_u64(at, (uint64_t)(power < 0 ? -power : power));
}

size_t json_number_write(char *at, double value)
{
	char *start = at, digits[NUM_TEXT_MAX];
	struct decimal decimal;
	int64_t point; /* how many digits stand before it */
	size_t len;

	CHECK(isfinite(value));
	if (signbit(value))
		*at++ = '-';
	value = fabs(value);
	if (value < (double)EXACT_INTEGER_MAX && value == (double)(uint64_t)value)
		return (size_t)(at - start) + num_write_u64(at, (uint64_t)value);

	decimal = decimal_of(value);
	len = num_write_u64(digits, decimal.digits);
	point = (int64_t)len + decimal.exponent;

	if (point > FIXED_MAX || point < FIXED_MIN) {
		at = put_scientific(at, digits, len, point - 1);
	} else if (point <= 0) {
		at = put(at, "0.", 2);
		at = put_zeros(at, -point);
		at = put(at, digits, len);
	} else if (decimal.exponent >= 0) {
		at = put(at, digits, len);
		at = put_zeros(at, decimal.exponent);
	} else {
		at = put(at, digits, (size_t)point);
		*at++ = '.';
		at = put(at, digits + point, len - (size_t)point);
	}
	return (size_t)(at - start);
}
