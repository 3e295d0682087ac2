/*
 * Formats of the calendar (RFC 3339): fixed columns, real days, offsets, the leap second where it
 * can be. The day count follows the public algorithm "days from civil" (H. Hinnant), as in
 * base/time_text.c, which goes the other way.
 */
#include "schema/format.h"

#include "base/check.h"

enum { DATE_LEN = 10, CLOCK_LEN = 8, OFFSET_LEN = 6, FRACTION_DIGITS = 6 };

#define DAY_US    (INT64_C(86400) * 1000000)
#define MINUTE_US (INT64_C(60) * 1000000)

/* The first and the last microsecond that has four digits of a year. */
#define FIRST_US (INT64_C(-719528) * DAY_US)
#define LAST_US  (INT64_C(2932897) * DAY_US - 1)

struct clock {
	unsigned hour, minute, second;
	int64_t fraction_us;
	int64_t offset_min; /* east of UTC */
};

/* `digits` decimal digits, or -1. */
static int read_digits(const char *at, size_t digits)
{
	int value = 0;

	for (size_t i = 0; i < digits; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		value = value * 10 + (at[i] - '0');
	}
	return value;
}

static int days_in_month(int year, int month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static int64_t days_from_civil(int year, int month, int day)
{
	int64_t shifted = year - (month <= 2) + 400; /* not negative: one era later */
	int64_t era = shifted / 400, of_era = shifted % 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (era - 1) * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The day number of a date. */
static bool read_date(struct str text, int64_t *ret_day)
{
	int year, month, day;

	if (text.len != DATE_LEN || text.at[4] != '-' || text.at[7] != '-')
		return false;

	year = read_digits(text.at, 4);
	month = read_digits(text.at + 5, 2);
	day = read_digits(text.at + 8, 2);
	if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;

	*ret_day = days_from_civil(year, month, day);
	return true;
}

/* "Z" or "+hh:mm". */
static bool read_offset(struct str text, int64_t *ret_min)
{
	int hours, minutes;

	if (text.len == 1 && (text.at[0] | 0x20) == 'z') {
		*ret_min = 0;
		return true;
	}
	if (text.len != OFFSET_LEN || (text.at[0] != '+' && text.at[0] != '-') || text.at[3] != ':')
		return false;

	hours = read_digits(text.at + 1, 2);
	minutes = read_digits(text.at + 4, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	*ret_min = (text.at[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
	return true;
}

/* ".123": at least one digit; those beyond microseconds are checked and dropped. */
static bool read_fraction(struct str *rest, int64_t *ret_us)
{
	int64_t value = 0;
	size_t digits = 0;

	if (rest->len == 0 || rest->at[0] != '.') {
		*ret_us = 0;
		return true;
	}

	*rest = str_from(*rest, 1);
	for (; digits < rest->len && rest->at[digits] >= '0' && rest->at[digits] <= '9'; digits++)
		if (digits < FRACTION_DIGITS)
			value = value * 10 + (rest->at[digits] - '0');
	if (digits == 0)
		return false;

	for (size_t i = digits; i < FRACTION_DIGITS; i++)
		value *= 10;
	*rest = str_from(*rest, digits);
	*ret_us = value;
	return true;
}

static bool read_clock(struct str text, struct clock *ret)
{
	int hour, minute, second;
	struct str rest;
	int64_t utc_min;

	if (text.len <= CLOCK_LEN || text.at[2] != ':' || text.at[5] != ':')
		return false;

	hour = read_digits(text.at, 2);
	minute = read_digits(text.at + 3, 2);
	second = read_digits(text.at + 6, 2);
	rest = str_from(text, CLOCK_LEN);
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 ||
		!read_fraction(&rest, &ret->fraction_us) || !read_offset(rest, &ret->offset_min))
		return false;

	utc_min = (hour * 60 + minute - ret->offset_min + 2 * 1440) % 1440;
	ret->hour = (unsigned)hour;
	ret->minute = (unsigned)minute;
	ret->second = (unsigned)second;
	return second < 60 || utc_min == 23 * 60 + 59;
}

bool format_read_date_time(struct str text, int64_t *ret_us)
{
	struct clock clock;
	int64_t day, us;

	if (text.len <= DATE_LEN || (text.at[DATE_LEN] | 0x20) != 't' ||
		!read_date(str_first(text, DATE_LEN), &day) ||
		!read_clock(str_from(text, DATE_LEN + 1), &clock))
		return false;

	us = day * DAY_US +
	     ((int64_t)clock.hour * 60 + clock.minute - clock.offset_min) * MINUTE_US +
	     (int64_t)clock.second * 1000000 + clock.fraction_us;
	if (us < FIRST_US || us > LAST_US)
		return false;
	*ret_us = us;
	return true;
}

bool format_date_time(struct str text)
{
	int64_t us;

	return format_read_date_time(text, &us);
}

bool format_date(struct str text)
{
	int64_t day;

	return read_date(text, &day);
}

bool format_time(struct str text)
{
	struct clock clock;

	return read_clock(text, &clock);
}

/*
 * Units in their order. RFC 3339 appendix A lets a unit be followed only by the next smaller one:
 * "P1Y2D" leaves out the months and is refused.
 */
static bool read_units(struct str *rest, const char *units)
{
	const char *last = NULL;

	while (rest->len && rest->at[0] >= '0' && rest->at[0] <= '9') {
		const char *unit;
		size_t digits = 0;

		while (digits < rest->len && rest->at[digits] >= '0' && rest->at[digits] <= '9')
			digits++;
		unit = digits < rest->len ? memchr(units, rest->at[digits], strlen(units)) : NULL;
		if (!unit || (last && unit != last + 1))
			return false;
		last = unit;
		*rest = str_from(*rest, digits + 1);
	}
	return last != NULL;
}

bool format_duration(struct str text)
{
	struct str rest = str_from(text, 1);

	if (text.len < 3 || text.at[0] != 'P')
		return false;
	if (text.at[text.len - 1] == 'W')
		return read_units(&rest, "W") && rest.len == 0;

	if (rest.at[0] != 'T' && !read_units(&rest, "YMD"))
		return false;
	if (rest.len == 0)
		return true;
	if (rest.at[0] != 'T')
		return false;
	rest = str_from(rest, 1);
	return read_units(&rest, "HMS") && rest.len == 0;
}
