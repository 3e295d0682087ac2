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

struct str uuid_text(struct arena *arena, const struct uuid *uuid)
{
	char *at = arena_alloc(arena, UUID_TEXT_LEN);

	if (!at)
		return str_of(NULL, 0);
	uuid_write(at, uuid);
	return str_of(at, UUID_TEXT_LEN);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are loaded as they stand");

/* A byte in each of a word's places. */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The top bit of each byte that is at least `least`. Bytes are below 0x80. */
static uint64_t at_least(uint64_t bytes, uint8_t least)
{
	return (bytes + EACH(0x80U - least)) & EACH(0x80U);
}

/* Eight hex digits, all at once, to four bytes. What is wrong sets bits in `*wrong`. */
static void parse_digits(const char *first, const char *second, uint8_t *ret, uint64_t *wrong)
{
	uint64_t text, lower, digits, letters;
	uint32_t bytes;

	memcpy(&text, first, 4);
	memcpy((char *)&text + 4, second, 4);
	*wrong |= text & EACH(0x80U);
	text &= EACH(0x7fU);
	lower = text | EACH(0x20U);
	digits = at_least(text, '0') & ~at_least(text, '9' + 1);
	letters = at_least(lower, 'a') & ~at_least(lower, 'f' + 1);
	*wrong |= (digits | letters) ^ EACH(0x80U);

	text = (text & EACH(0x0fU)) + 9 * (letters >> 7); /* nibbles, */
	text = (text << 4 | text >> 8) & UINT64_C(0x00ff00ff00ff00ff);
	text = (text | text >> 8) & UINT64_C(0x0000ffff0000ffff);
	bytes = (uint32_t)(text | text >> 16); /* and bytes without gaps */
	memcpy(ret, &bytes, sizeof(bytes));
}

bool uuid_parse(struct str text, struct uuid *ret)
{
	const char *at = text.at;
	struct uuid uuid;
	uint64_t wrong = 0;

	if (text.len != UUID_TEXT_LEN || at[8] != '-' || at[13] != '-' || at[18] != '-' ||
		at[23] != '-')
		return false;

	parse_digits(at, at + 4, uuid.bytes, &wrong);
	parse_digits(at + 9, at + 14, uuid.bytes + 4, &wrong);
	parse_digits(at + 19, at + 24, uuid.bytes + 8, &wrong);
	parse_digits(at + 28, at + 32, uuid.bytes + 12, &wrong);
	if (wrong)
		return false;

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
