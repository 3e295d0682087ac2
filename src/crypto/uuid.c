/* UUID version 7 with sub-millisecond time and a random counter; text forms. Keeps one record per
 * thread: the id made last. */
#include "crypto/uuid.h"

#include "base/check.h"
#include "base/num.h"
#include "crypto/random.h"

enum {
	US_PER_MS = 1000,
	PARTS_PER_MS = 4096,
	TIME_BITS = 60, /* 48 of milliseconds, 12 of parts */
	TAIL_BITS = 62,
	STEP_BITS = 40,
};

/* How far the clock may step back before ids follow it, in parts. */
#define HOLD_PARTS ((uint64_t)10 * 1000 * PARTS_PER_MS)

static _Thread_local struct {
	uint64_t time; /* in parts since 1970 */
	uint64_t tail; /* the 62 bits behind it */
} last;

static uint64_t low_bits(uint64_t value, unsigned bits)
{
	return value & (((uint64_t)1 << bits) - 1);
}

/* The next tail in the same part; the next part when this one's are used up. */
static void step(void)
{
	last.tail += 1 + low_bits(random_u64(), STEP_BITS);
	if (last.tail >> TAIL_BITS) {
		last.time++;
		last.tail = low_bits(random_u64(), TAIL_BITS - 1);
	}
}

static void put_be(uint8_t *at, uint64_t value, size_t len)
{
	while (len-- > 0) {
		at[len] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get_be(const uint8_t *at, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | at[i];
	return value;
}

void uuid_v7(struct uuid *ret, int64_t time_us)
{
	uint64_t ms = (uint64_t)time_us / US_PER_MS;
	uint64_t time =
		ms * PARTS_PER_MS + (uint64_t)time_us % US_PER_MS * PARTS_PER_MS / US_PER_MS;

	CHECK(time_us >= 0 && time >> TIME_BITS == 0);

	if (time > last.time || last.time - time > HOLD_PARTS) {
		last.time = time;
		last.tail = low_bits(random_u64(), TAIL_BITS - 1); /* half the room is for steps */
	} else {
		step();
	}

	put_be(ret->bytes, last.time / PARTS_PER_MS, 6);
	put_be(ret->bytes + 6, (uint64_t)7 << 12 | last.time % PARTS_PER_MS, 2);
	put_be(ret->bytes + 8, (uint64_t)2 << TAIL_BITS | last.tail, 8);
}

static bool hyphen_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_write(char *at, const struct uuid *uuid)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
		if (hyphen_before(i))
			*at++ = '-';
		*at++ = digits[uuid->bytes[i] >> 4];
		*at++ = digits[uuid->bytes[i] & 15];
	}
}

bool uuid_parse(struct str text, struct uuid *ret)
{
	struct uuid uuid;
	const char *at = text.at;

	if (text.len != UUID_TEXT_LEN)
		return false;

	for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
		int high, low;

		if (hyphen_before(i) && *at++ != '-')
			return false;
		high = num_hex_digit(*at++);
		low = num_hex_digit(*at++);
		if (high < 0 || low < 0)
			return false;
		uuid.bytes[i] = (uint8_t)(high << 4 | low);
	}

	*ret = uuid;
	return true;
}

bool uuid_time(const struct uuid *uuid, int64_t *ret_us)
{
	uint64_t ms = get_be(uuid->bytes, 6);
	uint64_t parts = low_bits(get_be(uuid->bytes + 6, 2), 12);
	uint64_t us;

	if (uuid->bytes[6] >> 4 != 7 || uuid->bytes[8] >> 6 != 2)
		return false;

	/* Rounded up, as writing rounded down; the random bits of another maker stay in their ms.
	 */
	us = (parts * US_PER_MS + PARTS_PER_MS - 1) / PARTS_PER_MS;
	*ret_us = (int64_t)(ms * US_PER_MS + MIN(us, (uint64_t)US_PER_MS - 1));
	return true;
}
