/*
 * base64 and hex by arithmetic instead of tables: a digit is compared with every range of the
 * alphabet and the one that fits survives a mask. The loops over a block have a fixed count, so
 * that the compiler turns them into vector code.
 */
#include "crypto/base64.h"

#include "base/err.h"

#include <stdint.h>

enum {
	BLOCK_BYTES = 48,
	BLOCK_DIGITS = 64,
};

struct alphabet {
	uint8_t digit_62, digit_63;
	bool padded;
};

static const struct alphabet alphabets[BASE64_KINDS] = {
	[BASE64_PADDED] = { '+', '/', true },
	[BASE64_BARE] = { '+', '/', false },
	[BASE64_URL] = { '-', '_', false },
	[BASE64_URL_PADDED] = { '-', '_', true },
};

/* All bits set when low <= value <= high, none otherwise. */
static inline uint8_t within(uint8_t value, uint8_t low, uint8_t high)
{
	return (uint8_t) - (uint8_t)((uint8_t)(value - low) <= (uint8_t)(high - low));
}

static inline uint8_t digit_of(uint8_t six, const struct alphabet *alphabet)
{
	return (uint8_t)((within(six, 0, 25) & (six + 'A')) |
			 (within(six, 26, 51) & (six - 26 + 'a')) |
			 (within(six, 52, 61) & (six - 52 + '0')) |
			 (within(six, 62, 62) & alphabet->digit_62) |
			 (within(six, 63, 63) & alphabet->digit_63));
}

/* 0 to 63, or 255 for a foreign digit. The sum is one too high so that "no range" is 0 before the
 * end. */
static inline uint8_t six_of(uint8_t digit, const struct alphabet *alphabet)
{
	return (uint8_t)(((within(digit, 'A', 'Z') & (digit - 'A' + 1)) |
				 (within(digit, 'a', 'z') & (digit - 'a' + 27)) |
				 (within(digit, '0', '9') & (digit - '0' + 53)) |
				 (within(digit, alphabet->digit_62, alphabet->digit_62) & 63) |
				 (within(digit, alphabet->digit_63, alphabet->digit_63) & 64)) -
			 1);
}

size_t base64_len(enum base64_kind kind, size_t len)
{
	if (alphabets[kind].padded)
		return (len + 2) / 3 * 4;
	return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

/* Up to BLOCK_BYTES bytes, of which only the last block may be no multiple of 3. */
static void write_block(
	uint8_t *at, const uint8_t *bytes, size_t len, const struct alphabet *alphabet)
{
	uint8_t block[BLOCK_BYTES] = { 0 };
	uint8_t digits[BLOCK_DIGITS];

	memcpy(block, bytes, len);
	for (size_t i = 0; i < BLOCK_BYTES / 3; i++) {
		const uint8_t *in = block + 3 * i;

		digits[4 * i] = in[0] >> 2;
		digits[4 * i + 1] = (uint8_t)((in[0] & 3) << 4 | in[1] >> 4);
		digits[4 * i + 2] = (uint8_t)((in[1] & 15) << 2 | in[2] >> 6);
		digits[4 * i + 3] = in[2] & 63;
	}
	for (size_t i = 0; i < BLOCK_DIGITS; i++)
		digits[i] = digit_of(digits[i], alphabet);
	memcpy(at, digits, (len * 4 + 2) / 3);
}

size_t base64_write(enum base64_kind kind, char *at, struct str bytes)
{
	size_t len = base64_len(kind, bytes.len);
	size_t digits = bytes.len / 3 * 4 + (bytes.len % 3 ? bytes.len % 3 + 1 : 0);

	for (size_t i = 0; i < bytes.len; i += BLOCK_BYTES)
		write_block((uint8_t *)at + i / 3 * 4, (const uint8_t *)bytes.at + i,
			MIN(bytes.len - i, (size_t)BLOCK_BYTES), &alphabets[kind]);

	memset(at + digits, '=', len - digits);
	return len;
}

void base64_append(struct buf *buf, enum base64_kind kind, struct str bytes)
{
	size_t len = base64_len(kind, bytes.len);

	if (len && buf_room(buf, len))
		buf->len += base64_write(kind, buf->at + buf->len, bytes);
}

/* The digits without their padding; false when their number cannot be. */
static bool strip(enum base64_kind kind, struct str *text)
{
	if (alphabets[kind].padded) {
		if (text->len % 4 != 0)
			return false;
		for (int i = 0; i < 2 && text->len && text->at[text->len - 1] == '='; i++)
			text->len--;
	}
	return text->len % 4 != 1;
}

size_t base64_read_len(enum base64_kind kind, struct str text)
{
	if (!strip(kind, &text))
		return 0;
	return text.len / 4 * 3 + (text.len % 4 ? text.len % 4 - 1 : 0);
}

/* Up to BLOCK_DIGITS digits into `len` bytes. False on a foreign digit or bits behind the end. */
static bool read_block(
	uint8_t *at, size_t len, const char *text, size_t count, const struct alphabet *alphabet)
{
	uint8_t digits[BLOCK_DIGITS];
	uint8_t bytes[BLOCK_BYTES];
	uint8_t seen = 0, rest = 0;

	memset(digits, 'A', sizeof(digits));
	memcpy(digits, text, count);
	for (size_t i = 0; i < BLOCK_DIGITS; i++)
		digits[i] = six_of(digits[i], alphabet);
	for (size_t i = 0; i < BLOCK_DIGITS; i++)
		seen |= digits[i];

	for (size_t i = 0; i < BLOCK_DIGITS / 4; i++) {
		const uint8_t *in = digits + 4 * i;

		bytes[3 * i] = (uint8_t)(in[0] << 2 | in[1] >> 4);
		bytes[3 * i + 1] = (uint8_t)(in[1] << 4 | in[2] >> 2);
		bytes[3 * i + 2] = (uint8_t)(in[2] << 6 | in[3]);
	}
	for (size_t i = len; i < BLOCK_BYTES; i++)
		rest |= bytes[i];
	memcpy(at, bytes, len);
	return (seen & 0xc0) == 0 && rest == 0;
}

bool base64_read(enum base64_kind kind, struct str text, void *at, size_t room, size_t *ret_len)
{
	size_t len = base64_read_len(kind, text);
	bool good = strip(kind, &text) && len <= room;

	if (!good)
		return false;

	for (size_t i = 0, done = 0; i < text.len; i += BLOCK_DIGITS, done += BLOCK_BYTES)
		good &= read_block((uint8_t *)at + done, MIN(len - done, (size_t)BLOCK_BYTES),
			text.at + i, MIN(text.len - i, (size_t)BLOCK_DIGITS), &alphabets[kind]);
	if (good)
		*ret_len = len;
	return good;
}

bool base64_read_exact(enum base64_kind kind, struct str text, void *at, size_t len)
{
	size_t got;

	return base64_read_len(kind, text) == len && base64_read(kind, text, at, len, &got);
}

int base64_append_read(struct buf *buf, enum base64_kind kind, struct str text)
{
	size_t room = base64_read_len(kind, text);
	size_t len;

	if (!buf_room(buf, room))
		return buf->failed;
	if (!base64_read(kind, text, room ? buf->at + buf->len : NULL, room, &len))
		return fail(ERR_INVALID, "this is not base64");

	buf->len += len;
	return 0;
}

void hex_write(char *at, struct str bytes)
{
	for (size_t i = 0; i < bytes.len; i++) {
		uint8_t byte = (uint8_t)bytes.at[i];
		uint8_t high = byte >> 4, low = byte & 15;

		at[2 * i] = (char)(high + '0' + (within(high, 10, 15) & ('a' - '0' - 10)));
		at[2 * i + 1] = (char)(low + '0' + (within(low, 10, 15) & ('a' - '0' - 10)));
	}
}

/* 0 to 15, or 255 for a foreign digit. */
static inline uint8_t four_of(uint8_t digit)
{
	uint8_t lower = digit | 0x20;

	return (uint8_t)(((within(digit, '0', '9') & (digit - '0' + 1)) |
				 (within(lower, 'a', 'f') & (lower - 'a' + 11))) -
			 1);
}

bool hex_read(struct str text, void *at, size_t len)
{
	uint8_t *bytes = at;
	uint8_t seen = 0;

	if (text.len % 2 != 0 || text.len / 2 != len)
		return false;

	for (size_t i = 0; i < len; i++) {
		uint8_t high = four_of((uint8_t)text.at[2 * i]);
		uint8_t low = four_of((uint8_t)text.at[2 * i + 1]);

		bytes[i] = (uint8_t)(high << 4 | (low & 15));
		seen |= high | low;
	}
	return (seen & 0xf0) == 0;
}
