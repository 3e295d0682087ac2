/* Strict numbers. All arithmetic on input is checked. */
#include "base/num.h"

#include "base/check.h"

bool num_parse_u64(struct str text, uint64_t *ret)
{
	uint64_t value = 0;

	if (text.len == 0 || (text.at[0] == '0' && text.len > 1))
		return false;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.at[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return false;
	}

	*ret = value;
	return true;
}

bool num_parse_i64(struct str text, int64_t *ret)
{
	bool negative = text.len && text.at[0] == '-';
	uint64_t value;

	if (!num_parse_u64(negative ? str_from(text, 1) : text, &value))
		return false;
	if (value > (uint64_t)INT64_MAX + negative || (negative && value == 0))
		return false;

	*ret = negative ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

int num_hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool num_parse_hex(struct str text, uint64_t *ret)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 16)
		return false;

	for (size_t i = 0; i < text.len; i++) {
		int digit = num_hex_digit(text.at[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}

	*ret = value;
	return true;
}

size_t num_write_u64(char *at, uint64_t value)
{
	char digits[NUM_TEXT_MAX];
	size_t len = 0;

	do {
		digits[sizeof(digits) - ++len] = (char)('0' + value % 10);
		value /= 10;
	} while (value);

	memcpy(at, digits + sizeof(digits) - len, len);
	return len;
}

size_t num_write_i64(char *at, int64_t value)
{
	if (value >= 0)
		return num_write_u64(at, (uint64_t)value);

	*at = '-';
	return 1 + num_write_u64(at + 1, 0 - (uint64_t)value);
}

void num_write_hex(char *at, uint64_t value, size_t digits)
{
	while (digits-- > 0) {
		at[digits] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
}

struct num_unit {
	struct str name;
	uint64_t factor;
};

/* An integer and one of the units; `bare` is the factor of a number without a unit, 0 when it needs
 * one. */
static bool parse_with_unit(
	struct str text, const struct num_unit *units, size_t count, uint64_t bare, uint64_t *ret)
{
	size_t digits = 0;
	uint64_t factor = 0;
	uint64_t value;
	struct str unit;

	while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	if (!num_parse_u64(str_first(text, digits), &value))
		return false;

	unit = str_from(text, digits);
	if (unit.len == 0)
		factor = value == 0 ? 1 : bare;
	for (size_t i = 0; i < count && unit.len; i++)
		if (str_eq_nocase(unit, units[i].name))
			factor = units[i].factor;

	return factor != 0 && !__builtin_mul_overflow(value, factor, ret);
}

bool num_parse_duration(struct str text, uint64_t *ret_ns)
{
	static const struct num_unit units[] = {
		{ S_INIT("ms"), MILLISECOND },
		{ S_INIT("s"), SECOND },
		{ S_INIT("m"), MINUTE },
		{ S_INIT("h"), HOUR },
		{ S_INIT("d"), 24 * HOUR },
	};
	uint64_t value;

	if (!parse_with_unit(text, units, LEN(units), 0, &value))
		return false;

	*ret_ns = value;
	return true;
}

bool num_parse_size(struct str text, uint64_t *ret_bytes)
{
	static const struct num_unit units[] = {
		{ S_INIT("b"), 1 },
		{ S_INIT("kb"), KILOBYTE },
		{ S_INIT("mb"), MEGABYTE },
		{ S_INIT("gb"), 1024 * MEGABYTE },
	};
	uint64_t value;

	if (!parse_with_unit(text, units, LEN(units), 1, &value))
		return false;

	*ret_bytes = value;
	return true;
}
