/* The calendar by arithmetic: no time zone files, no locale, no shared state. The day count follows
 * the public algorithm "days from civil" (H. Hinnant). */
#include "base/time_text.h"

#include "base/check.h"

struct civil {
	int64_t year;
	unsigned month, day; /* from 1 */
	unsigned weekday;    /* 0 is Sunday */
	unsigned hour, minute, second, millisecond;
};

static int64_t divide_floor(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static struct civil civil_of(int64_t time_us)
{
	int64_t ms = divide_floor(time_us, 1000);
	int64_t days = divide_floor(ms, 86400000);
	unsigned in_day = (unsigned)(ms - days * 86400000);
	int64_t shifted = days + 719468; /* days since 0000-03-01 */
	int64_t era = divide_floor(shifted, 146097);
	unsigned of_era = (unsigned)(shifted - era * 146097);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned month = (5 * of_year + 2) / 153; /* 0 is March */

	return (struct civil){
		.year = (int64_t)year + era * 400 + (month >= 10),
		.month = month < 10 ? month + 3 : month - 9,
		.day = of_year - (153 * month + 2) / 5 + 1,
		.weekday = (unsigned)(((days + 4) % 7 + 7) % 7),
		.hour = in_day / 3600000,
		.minute = in_day / 60000 % 60,
		.second = in_day / 1000 % 60,
		.millisecond = in_day % 1000,
	};
}

static char *put(char *at, uint64_t value, size_t digits)
{
	for (size_t i = digits; i-- > 0; value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + digits;
}

static char *put_byte(char *at, char byte)
{
	*at = byte;
	return at + 1;
}

static char *put_date(char *at, const struct civil *civil)
{
	CHECK(civil->year >= 0 && civil->year <= 9999);

	at = put_byte(put(at, (uint64_t)civil->year, 4), '-');
	at = put_byte(put(at, civil->month, 2), '-');
	return put(at, civil->day, 2);
}

static char *put_clock(char *at, const struct civil *civil)
{
	at = put_byte(put(at, civil->hour, 2), ':');
	at = put_byte(put(at, civil->minute, 2), ':');
	return put(at, civil->second, 2);
}

void time_write_rfc3339(char *at, int64_t time_us)
{
	struct civil civil = civil_of(time_us);

	at = put_byte(put_date(at, &civil), 'T');
	at = put_byte(put_clock(at, &civil), '.');
	(void)put_byte(put(at, civil.millisecond, 3), 'Z');
}

void time_write_date(char *at, int64_t time_us)
{
	struct civil civil = civil_of(time_us);

	(void)put_date(at, &civil);
}

void time_write_http(char *at, int64_t time_us)
{
	static const char weekdays[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct civil civil = civil_of(time_us);

	memcpy(at, weekdays + (size_t)civil.weekday * 3, 3);
	memcpy(at + 3, ", ", 2);
	at = put_byte(put(at + 5, civil.day, 2), ' ');
	memcpy(at, months + (size_t)(civil.month - 1) * 3, 3);
	at = put_byte(at + 3, ' ');
	at = put_byte(put(at, (uint64_t)civil.year, 4), ' ');
	at = put_clock(at, &civil);
	memcpy(at, " GMT", 4);
}
