/* For the tests of this folder: published vectors are hex text. */
#ifndef CRYPTO_HEX_TEST_H
#define CRYPTO_HEX_TEST_H

#include "base/test.h"
#include "crypto/base64.h"

enum { HEX_ROOM = 256 };

/* Bytes of a vector, or their hex text. */
struct hex {
	char at[2 * HEX_ROOM];
	size_t len;
};

/* The bytes that hex text stands for. */
static inline struct hex unhex(struct str text)
{
	struct hex bytes = { .len = text.len / 2 };

	REQUIRE(bytes.len <= HEX_ROOM && hex_read(text, bytes.at, bytes.len));
	return bytes;
}

#define HEX_STR(hex) str_of((hex).at, (hex).len)

/* Notes a failure unless the `count` bytes at `bytes` read `wanted` in hex. */
static inline bool hex_expect(
	const void *bytes, size_t count, struct str wanted, const char *file, int line)
{
	struct hex text = { .len = 2 * count };

	REQUIRE(count <= HEX_ROOM);
	hex_write(text.at, str_of(bytes, count));
	return test_note(str_eq(HEX_STR(text), wanted), file, line, "got %.*s, wanted %.*s",
		STR_ARG(HEX_STR(text)), STR_ARG(wanted));
}
#define EXPECT_HEX(bytes, count, wanted) hex_expect(bytes, count, wanted, __FILE__, __LINE__)

#endif
