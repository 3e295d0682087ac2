/* Decimals against what is known of them, and laws on random ones. */
#include "schema/decimal.h"

#include "base/test.h"

#include <stdio.h>

TEST(schema_decimal_compare)
{
	static const char *const ordered[] = { "-1e400", "-10.5", "-10", "-0.1e1", "-1e-7", "0",
		"1e-400", "0.3", "1", "1.0000000000000000001", "9007199254740992",
		"9007199254740993", "9223372036854775808", "12345678901234567890", "1e300", "1e400",
		"1e99999999999999999999" };

	for (size_t i = 0; i < LEN(ordered); i++)
		for (size_t j = 0; j < LEN(ordered); j++) {
			struct decimal a = decimal_read(str_from_c(ordered[i]));
			struct decimal b = decimal_read(str_from_c(ordered[j]));
			int sign = (i > j) - (i < j);

			if (strcmp(ordered[i > j ? i : j], "1.0000000000000000001") == 0 &&
				strcmp(ordered[i > j ? j : i], "1") == 0)
				continue; /* 20 digits: cut, equal */
			test_note(decimal_compare(a, b) == sign, __FILE__, __LINE__, "%s %s",
				ordered[i], ordered[j]);
			EXPECT(decimal_equal(a, b) == (sign == 0));
		}
	EXPECT(decimal_equal(decimal_read(S("1.50e1")), decimal_read(S("15"))));
	EXPECT(decimal_equal(decimal_read(S("-0.0")), decimal_read(S("0"))));
}

TEST(schema_decimal_multiple)
{
	static const struct {
		struct str value, divisor;
		bool multiple;
	} cases[] = {
		{ S_INIT("0.3"), S_INIT("0.1"), true },
		{ S_INIT("0.0075"), S_INIT("0.0001"), true },
		{ S_INIT("0.00751"), S_INIT("0.0001"), false },
		{ S_INIT("1e308"), S_INIT("0.123456789"), false },
		{ S_INIT("1e308"), S_INIT("0.5"), true },
		{ S_INIT("12391239123"), S_INIT("1e-8"), true },
		{ S_INIT("7"), S_INIT("2"), false },
		{ S_INIT("-8"), S_INIT("2"), true },
		{ S_INIT("0"), S_INIT("7e9"), true },
		{ S_INIT("4.5"), S_INIT("1.5"), true },
		{ S_INIT("35"), S_INIT("1.5"), false },
		{ S_INIT("1e-300"), S_INIT("1e300"), false },
		{ S_INIT("7e20"), S_INIT("7e3"), true },
		{ S_INIT("7e2"), S_INIT("7e3"), false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(decimal_is_multiple(decimal_read(cases[i].value),
				  decimal_read(cases[i].divisor)) == cases[i].multiple,
			__FILE__, __LINE__, "case %zu", i);
}

TEST(schema_decimal_integers)
{
	int64_t value;

	EXPECT(decimal_i64(decimal_read(S("1.0")), &value) && value == 1);
	EXPECT(decimal_i64(decimal_read(S("-9223372036854775808")), &value) && value == INT64_MIN);
	EXPECT(decimal_i64(decimal_read(S("9223372036854775807.0")), &value) && value == INT64_MAX);
	EXPECT(!decimal_i64(decimal_read(S("9223372036854775808")), &value));
	EXPECT(!decimal_i64(decimal_read(S("-9223372036854775809")), &value));
	EXPECT(!decimal_i64(decimal_read(S("0.5")), &value));
	EXPECT(!decimal_i64(decimal_read(S("1e30")), &value));
	EXPECT(decimal_i64(decimal_read(S("12.5e3")), &value) && value == 12500);
}

/* a * b is a multiple of a; what is one more is not, unless a is 1. */
TEST(schema_decimal_random)
{
	uint64_t state = 99;

	for (int i = 0; i < 20000; i++) {
		uint64_t a = test_random(&state) % 99999 + 1, b = test_random(&state) % 99999 + 1;
		int scale = (int)(test_random(&state) % 20) - 10;
		char text[3][64];
		struct decimal values[3];

		(void)snprintf(text[0], 64, "%llue%d", (unsigned long long)(a * b), scale);
		(void)snprintf(text[1], 64, "%llue%d", (unsigned long long)(a * b + 1), scale);
		(void)snprintf(text[2], 64, "%llue%d", (unsigned long long)a, scale);
		for (int k = 0; k < 3; k++)
			values[k] = decimal_read(str_from_c(text[k]));
		REQUIRE(decimal_is_multiple(values[0], values[2]));
		REQUIRE(decimal_is_multiple(values[1], values[2]) == (a == 1));
		REQUIRE(decimal_compare(values[1], values[0]) == 1);
	}
}
