/* Base32 without tables, so that neither a branch nor an address depends on a secret. */
#include "crypto/opaque.h"

#include "base/check.h"
#include "crypto/base64.h"
#include "crypto/digest.h"

/* 0..25 are letters, 26..31 the digits 2..7. */
static char digit_of(unsigned value)
{
	unsigned is_number = (25 - value) >> 31; /* 1 from 26 on */

	return (char)(value + 'a' - is_number * ('a' - '2' + 26));
}

/* The value of a digit; 32 and more for what is none. */
static unsigned value_of(char digit)
{
	unsigned c = (unsigned char)digit;
	unsigned letter = (c - 'a') | (unsigned)-((c - 'a') > 25);
	unsigned number = (c - '2') | (unsigned)-((c - '2') > 5);
	unsigned is_letter = (unsigned)-((c - 'a') <= 25), is_number = (unsigned)-((c - '2') <= 5);

	return (letter & is_letter) | ((number + 26) & is_number) | (32 & ~(is_letter | is_number));
}

/* Writes the digits of `bytes`; returns their number. */
static size_t write_digits(char *at, const uint8_t *bytes, size_t len)
{
	unsigned bits = 0, held = 0;
	size_t wrote = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (held += 8; held >= 5; held -= 5)
			at[wrote++] = digit_of(bits >> (held - 5) & 31);
	}
	if (held)
		at[wrote++] = digit_of(bits << (5 - held) & 31);
	return wrote;
}

static bool read_digits(const char *text, size_t count, uint8_t *at, size_t len)
{
	unsigned bits = 0, held = 0, wrong = 0;
	size_t got = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned value = value_of(text[i]);

		wrong |= value >> 5;
		bits = bits << 5 | (value & 31);
		held += 5;
		if (held >= 8 && got < len) {
			held -= 8;
			at[got++] = (uint8_t)(bits >> held);
		}
	}
	return !wrong && !(bits & ((1u << held) - 1));
}

static void check_of(struct str prefix, const void *bytes, size_t len, char ret[OPAQUE_CHECK_LEN])
{
	uint8_t sum[SHA256_LEN];
	char digits[8];

	digest_parts(DIGEST_SHA256, (const struct str[]){ prefix, str_of(bytes, len) }, 2, sum);
	(void)write_digits(digits, sum, 5);
	memcpy(ret, digits, OPAQUE_CHECK_LEN);
}

void opaque_write(char *at, struct str prefix, struct str bytes)
{
	size_t wrote;

	CHECK(prefix.len <= OPAQUE_PREFIX_MAX && bytes.len <= OPAQUE_BYTES_MAX);
	memcpy(at, prefix.at, prefix.len);
	wrote = write_digits(at + prefix.len, (const uint8_t *)bytes.at, bytes.len);
	check_of(prefix, bytes.at, bytes.len, at + prefix.len + wrote);
}

bool opaque_read(struct str text, struct str prefix, void *at, size_t len)
{
	size_t digits = (len * 8 + 4) / 5;
	char check[OPAQUE_CHECK_LEN];

	CHECK(prefix.len <= OPAQUE_PREFIX_MAX && len <= OPAQUE_BYTES_MAX);
	if (text.len != OPAQUE_LEN(prefix.len, len) || !str_starts(text, prefix) ||
		!read_digits(text.at + prefix.len, digits, at, len))
		return false;
	check_of(prefix, at, len, check);
	return crypto_equal(
		str_of(check, sizeof(check)), str_from(text, text.len - OPAQUE_CHECK_LEN));
}

void opaque_hash(char at[OPAQUE_HASH_LEN], struct str secret)
{
	uint8_t hash[SHA256_LEN];

	digest(DIGEST_SHA256, secret, hash);
	hex_write(at, str_of((const char *)hash, sizeof(hash)));
}
