/*
 * Times as text. The clock is the caller's; this only knows the calendar (proleptic Gregorian,
 * UTC). Wall-clock times are microseconds since 1970-01-01T00:00:00Z.
 */
#ifndef BASE_TIME_TEXT_H
#define BASE_TIME_TEXT_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	TIME_RFC3339_LEN = 24, /* 2026-11-20T08:15:30.123Z */
	TIME_HTTP_LEN = 29,    /* Fri, 20 Nov 2026 08:15:30 GMT */
	TIME_DATE_LEN = 10,    /* 2026-11-20 */
};

/* RFC 3339 in UTC with milliseconds. Writes TIME_RFC3339_LEN bytes, no NUL. Years 0000 to 9999. */
void time_write_rfc3339(char *at, int64_t time_us);

/* IMF-fixdate of RFC 9110 5.6.7. Writes TIME_HTTP_LEN bytes, no NUL. */
void time_write_http(char *at, int64_t time_us);

/* The calendar day. Writes TIME_DATE_LEN bytes, no NUL. */
void time_write_date(char *at, int64_t time_us);

#pragma GCC visibility pop

#endif
