/*
 * UUIDs (RFC 9562): version 7 made, any version read and written. A version 7 id begins with its
 * time, so ids made later sort later, as bytes and as text.
 */
#ifndef CRYPTO_UUID_H
#define CRYPTO_UUID_H

#include "base/arena.h"
#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum { UUID_TEXT_LEN = 36 };

/* In network order, as stored and as compared. */
struct uuid {
	uint8_t bytes[16];
};

/*
 * A new version 7 id for `time_us` (wall clock, microseconds since 1970, 0 to the year 10889).
 * 48 bits of milliseconds, 12 bits of the millisecond's 1/4096 parts (RFC 9562 6.2 method 3), 62
 * random bits. Ids of one thread strictly increase: a call in the same 1/4096 ms, or after the
 * clock stepped back by up to 10 s, keeps the former time and adds a random step of 1 to 2^40 to
 * the random bits (method 2). After a larger step back ids follow the clock.
 */
void uuid_v7(struct uuid *ret, int64_t time_us);

/* Writes UUID_TEXT_LEN bytes, lower case, no NUL. */
void uuid_write(char *at, const struct uuid *uuid);

/* The same in an arena; .at is NULL when there is no room. */
struct str uuid_text(struct arena *arena, const struct uuid *uuid);

/* Exactly 36 bytes, hyphens in their places, hex digits of either case; any version and variant. */
bool uuid_parse(struct str text, struct uuid *ret);

/* Order as bytes: negative, 0, positive. */
static inline int uuid_cmp(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/*
 * The time in a version 7 id: exact to the microsecond when uuid_v7 made it, to the millisecond
 * otherwise. False when it is of another version or variant.
 */
bool uuid_time(const struct uuid *uuid, int64_t *ret_us);

#pragma GCC visibility pop

#endif
