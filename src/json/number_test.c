/* Numbers: the table of powers anew, tables of cases, round trips, the C library as a witness. */
#include "json/number.h"

#include "base/err.h"
#include "base/num.h"
#include "base/test.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the powers, computed with plain long arithmetic ------------------------- */

enum { WORDS = 48 }; /* 1536 bits: more than 10^342 and 2^(127 + 1137) need */

struct big {
	uint32_t words[WORDS]; /* lowest first */
};

static void big_scale(struct big *big, uint32_t factor)
{
	uint64_t carry = 0;

	for (size_t i = 0; i < WORDS; i++) {
		carry += (uint64_t)big->words[i] * factor;
		big->words[i] = (uint32_t)carry;
		carry >>= 32;
	}
	CHECK(carry == 0);
}

/* Divides; true when something remains. */
static bool big_divide(struct big *big, uint32_t divisor)
{
	uint64_t rest = 0;

	for (size_t i = WORDS; i-- > 0;) {
		rest = rest << 32 | big->words[i];
		big->words[i] = (uint32_t)(rest / divisor);
		rest %= divisor;
	}
	return rest != 0;
}

static size_t big_bits(const struct big *big)
{
	for (size_t i = WORDS; i-- > 0;)
		if (big->words[i])
			return i * 32 + 32 - (size_t)__builtin_clz(big->words[i]);
	return 0;
}

static uint64_t big_bit(const struct big *big, size_t bit)
{
	return big->words[bit / 32] >> bit % 32 & 1;
}

/* The 128 leading bits, rounded up when there are others or `more`. */
static struct json_power big_lead(const struct big *big, bool more)
{
	size_t bits = big_bits(big);
	struct json_power lead = { 0, 0 };

	for (size_t i = 0; i < bits; i++) {
		uint64_t bit = big_bit(big, bits - 1 - i);

		if (i < 64)
			lead.high |= bit << (63 - i);
		else if (i < 128)
			lead.low |= bit << (127 - i);
		else
			more |= bit;
	}
	lead.low += more;
	lead.high += more && lead.low == 0;
	return lead;
}

TEST(json_powers_of_ten)
{
	for (int power = JSON_POWER_MIN; power <= JSON_POWER_MAX; power++) {
		const struct json_power *row = &json_powers[power - JSON_POWER_MIN];
		struct big big = { { 0 } };
		struct json_power lead;
		bool more = false;

		big.words[power < 0 ? WORDS - 1 : 0] = power < 0 ? 1u << 31 : 1;
		for (int i = 0; i < power; i++)
			big_scale(&big, 10);
		for (int i = power; i < 0; i++)
			more |= big_divide(&big, 10);
		lead = big_lead(&big, more);
		EXPECT(lead.high == row->high && lead.low == row->low);
	}
}

/* --- integers ---------------------------------------------------------------- */

TEST(json_number_integers)
{
	static const struct {
		struct str text;
		bool is_signed, is_unsigned;
		int64_t as_signed;
		uint64_t as_unsigned;
	} cases[] = {
		{ S_INIT("0"), true, true, 0, 0 },
		{ S_INIT("-0"), true, true, 0, 0 },
		{ S_INIT("42"), true, true, 42, 42 },
		{ S_INIT("-42"), true, false, -42, 0 },
		{ S_INIT("9223372036854775807"), true, true, INT64_MAX, INT64_MAX },
		{ S_INIT("9223372036854775808"), false, true, 0, (uint64_t)INT64_MAX + 1 },
		{ S_INIT("-9223372036854775808"), true, false, INT64_MIN, 0 },
		{ S_INIT("-9223372036854775809"), false, false, 0, 0 },
		{ S_INIT("18446744073709551615"), false, true, 0, UINT64_MAX },
		{ S_INIT("18446744073709551616"), false, false, 0, 0 },
		{ S_INIT("1.0"), false, false, 0, 0 },
		{ S_INIT("1e2"), false, false, 0, 0 },
		{ S_INIT("-0.0"), false, false, 0, 0 },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		int64_t as_signed = 7;
		uint64_t as_unsigned = 7;

		EXPECT_INT(json_number_i64(cases[i].text, &as_signed),
			cases[i].is_signed ? 0 : -ERR_INVALID);
		EXPECT_INT(as_signed, cases[i].is_signed ? cases[i].as_signed : 7);
		EXPECT_INT(json_number_u64(cases[i].text, &as_unsigned),
			cases[i].is_unsigned ? 0 : -ERR_INVALID);
		EXPECT_INT(as_unsigned, cases[i].is_unsigned ? cases[i].as_unsigned : 7);
	}
}

/* --- doubles ----------------------------------------------------------------- */

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double of_bits(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Reads a NUL-terminated number with both readers and compares. */
static void expect_as_strtod(const char *text)
{
	double witness = strtod(text, NULL), value = 7;
	int r = json_number_double(str_from_c(text), &value);

	if (isinf(witness))
		test_note(r == -ERR_INVALID && value == 7, __FILE__, __LINE__, "%s is too large",
			text);
	else
		test_note(r == 0 && bits_of(value) == bits_of(witness), __FILE__, __LINE__,
			"%s is %a, wanted %a", text, value, witness);
}

TEST(json_number_double_cases)
{
	static const char *const cases[] = {
		"0",
		"-0",
		"0.0e999999999999999999999999",
		"1",
		"-1.5",
		"0.1",
		"123456789012345678901234567890",
		"1e22",
		"1e23",
		"9007199254740993",
		"9007199254740992.99999999999999999999999999999",
		"9007199254740993.00000000000000000000000000000",
		"9007199254740993.00000000000000000000000000001",
		"5e-324",
		"2.4703282292062327e-324",
		"2.4703282292062328e-324",
		"2.2250738585072011e-308",
		"2.2250738585072012e-308",
		"2.2250738585072014e-308",
		"1.7976931348623157e308",
		"1.7976931348623158e308",
		"1.7976931348623159e308",
		"1e308",
		"1e309",
		"1e-400",
		"1e99999999999999999999",
		"-1e99999999999999999999",
		"1e-99999999999999999999",
		"0.000001e317",
		"100000000000000000000e-20",
		"8.5e-309",
		"7.2057594037927933e16",
		"6.9294956446009195e15",
	};

	for (size_t i = 0; i < LEN(cases); i++)
		expect_as_strtod(cases[i]);
}

/* Halfway between two doubles, exactly, then a hair beside it: the last of very many digits
 * decides. */
TEST(json_number_double_halfway)
{
	static char text[2000];
	uint64_t seed = 5;

	for (int round = 0; round < 300; round++) {
		uint64_t bits = test_random(&seed) >> 1;
		double low = of_bits(bits), high = of_bits(bits + 1);
		long double middle = ((long double)low + (long double)high) / 2;
		int len;

		if (!isfinite(high) || isinf(high))
			continue;
		len = snprintf(text, sizeof(text) - 3, "%.1100Le", middle);
		REQUIRE(len > 1100 && len < (int)sizeof(text) - 3);
		expect_as_strtod(text);
		text[1100] = '1'; /* a digit far behind all others */
		expect_as_strtod(text);
		text[2] = text[2] == '9' ? '8' : (char)(text[2] + 1);
		expect_as_strtod(text);
	}
}

/* As many zeros as one likes, on either side, change nothing. */
TEST(json_number_double_long_texts)
{
	static char text[5000];
	double value;

	memset(text, '0', sizeof(text));
	memcpy(text, "0.", 2);
	memcpy(text + 4000, "1e3999", 6);
	REQUIRE(json_number_double(str_of(text, 4006), &value) == 0);
	EXPECT(value == 1);

	memset(text, '0', sizeof(text));
	memcpy(text, "25", 2);
	memcpy(text + 4000, "e-3999", 6);
	REQUIRE(json_number_double(str_of(text, 4006), &value) == 0);
	EXPECT(value == 2.5);
}

TEST(json_number_double_random_texts)
{
	uint64_t seed = 11;
	int rounds = test_long() ? 3000000 : 100000;

	for (int i = 0; i < rounds; i++) {
		uint64_t random = test_random(&seed);
		uint64_t digits = test_random(&seed) >> (random & 63);
		int exponent = (int)(random >> 32 & 1023) - 512;
		char text[64];

		(void)snprintf(text, sizeof(text), "%s%" PRIu64 "e%d", random & 64 ? "-" : "",
			digits, random & 128 ? exponent : exponent / 20);
		expect_as_strtod(text);
	}
}

TEST(json_number_write_cases)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ -0.0, "-0" },
		{ 1, "1" },
		{ -1, "-1" },
		{ 0.1, "0.1" },
		{ 0.5, "0.5" },
		{ -12.25, "-12.25" },
		{ 0.30000000000000004, "0.30000000000000004" },
		{ 100, "100" },
		{ 1e15, "1000000000000000" },
		{ 123456789012345680000.0, "123456789012345680000" },
		{ 1e20, "100000000000000000000" },
		{ 1e21, "1e+21" },
		{ 1.5e300, "1.5e+300" },
		{ 0.000001, "0.000001" },
		{ 0.0000001, "1e-7" },
		{ -0.0000012345678901234567, "-0.0000012345678901234567" },
		{ 9007199254740991, "9007199254740991" },
		{ 9007199254740992, "9007199254740992" },
		{ 9007199254740994, "9007199254740994" },
		{ 5e-324, "5e-324" },
		{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
		{ 1.7976931348623157e308, "1.7976931348623157e+308" },
		{ 0x1p-44, "5.684341886080802e-14" },
		{ 0x1p63, "9223372036854776000" },
		{ 0x1p64, "18446744073709552000" },
		{ 4.35, "4.35" },
		{ 1.0 / 3, "0.3333333333333333" },
		{ 2.0 / 3, "0.6666666666666666" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char text[JSON_DOUBLE_MAX];
		size_t len = json_number_write(text, cases[i].value);

		EXPECT_STR(str_of(text, len), str_from_c(cases[i].text));
	}
}

/* The significant digits of a text. */
static size_t digits_in(const char *text, size_t len)
{
	size_t digits = 0, zeros = 0;

	for (size_t i = 0; i < len && text[i] != 'e'; i++) {
		if (text[i] < '0' || text[i] > '9')
			continue;
		if (text[i] == '0') {
			zeros += digits > 0;
			continue;
		}
		digits += zeros + 1;
		zeros = 0;
	}
	return digits;
}

/* Reads back to the same bits, and printf with one digit less does not. */
static void expect_shortest(double value)
{
	char text[JSON_DOUBLE_MAX + 1], fewer[64];
	size_t len = json_number_write(text, value);
	size_t digits;

	REQUIRE(len <= JSON_DOUBLE_MAX);
	text[len] = 0;
	test_note(bits_of(strtod(text, NULL)) == bits_of(value), __FILE__, __LINE__,
		"%a is written %s", value, text);
	expect_as_strtod(text);

	digits = digits_in(text, len);
	if (digits < 2)
		return;
	(void)snprintf(fewer, sizeof(fewer), "%.*e", (int)digits - 2, value);
	test_note(strtod(fewer, NULL) != value, __FILE__, __LINE__, "%s is longer than %s", text,
		fewer);
}

TEST(json_number_write_is_shortest)
{
	uint64_t seed = 23;
	int rounds = test_long() ? 3000000 : 50000;

	for (int i = 0; i < rounds; i++) {
		uint64_t random = test_random(&seed);

		if (isfinite(of_bits(random)))
			expect_shortest(of_bits(random));
		expect_shortest(of_bits(random >> 12)); /* subnormal */
		expect_shortest((double)(int64_t)(random >> 20) / 1000);
	}
	for (int power = -1074; power < 1024; power++)
		expect_shortest(ldexp(1, power)); /* their interval is lopsided */
}

TEST(json_number_ignores_the_locale)
{
	static const char *const names[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR",
		"nl_NL.UTF-8", "pl_PL.UTF-8" };
	bool comma = false;
	char text[JSON_DOUBLE_MAX];
	double value;

	for (size_t i = 0; i < LEN(names) && !comma; i++)
		comma = setlocale(LC_ALL, names[i]) && *localeconv()->decimal_point == ',';
	if (!comma)
		test_skip("no locale with a decimal comma is installed");

	REQUIRE(json_number_double(S("2.4703282292062328e-324"), &value) == 0); /* by strtod_l */
	EXPECT(value == 5e-324);
	EXPECT_STR(str_of(text, json_number_write(text, 0.1)), S("0.1"));
}
