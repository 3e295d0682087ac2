/* base64 and hex: the vectors of RFC 4648, every malformed shape, the law of the round trip. */
#include "crypto/base64.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/test.h"

TEST(base64_rfc4648)
{
	static const struct {
		enum base64_kind kind;
		struct str bytes, text;
	} cases[] = {
		{ BASE64_PADDED, S_INIT(""), S_INIT("") },
		{ BASE64_PADDED, S_INIT("f"), S_INIT("Zg==") },
		{ BASE64_PADDED, S_INIT("fo"), S_INIT("Zm8=") },
		{ BASE64_PADDED, S_INIT("foo"), S_INIT("Zm9v") },
		{ BASE64_PADDED, S_INIT("foob"), S_INIT("Zm9vYg==") },
		{ BASE64_PADDED, S_INIT("fooba"), S_INIT("Zm9vYmE=") },
		{ BASE64_PADDED, S_INIT("foobar"), S_INIT("Zm9vYmFy") },
		{ BASE64_BARE, S_INIT("f"), S_INIT("Zg") },
		{ BASE64_BARE, S_INIT("fo"), S_INIT("Zm8") },
		{ BASE64_PADDED, S_INIT("\xfb\xff\xbf"), S_INIT("+/+/") },
		{ BASE64_URL, S_INIT("\xfb\xff\xbf"), S_INIT("-_-_") },
		{ BASE64_URL, S_INIT("\xff"), S_INIT("_w") },
		{ BASE64_URL_PADDED, S_INIT("\xff"), S_INIT("_w==") },
		{ BASE64_URL, S_INIT("\0\0"), S_INIT("AAA") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char text[16], bytes[16];
		size_t len = base64_write(cases[i].kind, text, cases[i].bytes);
		size_t got = 99;

		EXPECT_INT(len, base64_len(cases[i].kind, cases[i].bytes.len));
		EXPECT_STR(str_of(text, len), cases[i].text);
		EXPECT(base64_read(cases[i].kind, cases[i].text, bytes, sizeof(bytes), &got));
		EXPECT_STR(str_of(bytes, got), cases[i].bytes);
	}
}

TEST(base64_refuses)
{
	static const struct {
		enum base64_kind kind;
		struct str text;
	} cases[] = {
		{ BASE64_PADDED, S_INIT("Zg") },
		{ BASE64_PADDED, S_INIT("Zg=") },
		{ BASE64_PADDED, S_INIT("Zg===") },
		{ BASE64_PADDED, S_INIT("Z===") },
		{ BASE64_PADDED, S_INIT("====") },
		{ BASE64_PADDED, S_INIT("Zm9v====") },
		{ BASE64_PADDED, S_INIT("Zg==Zg==") },
		{ BASE64_PADDED, S_INIT("=Zg=") },
		{ BASE64_PADDED, S_INIT("Zh==") }, /* bits behind the last byte */
		{ BASE64_PADDED, S_INIT("Zm9=") },
		{ BASE64_PADDED, S_INIT("Zm9v\n") },
		{ BASE64_PADDED, S_INIT(" Zm9") },
		{ BASE64_PADDED, S_INIT("Zm9-") },
		{ BASE64_PADDED, S_INIT("Zm9\0") },
		{ BASE64_PADDED, S_INIT("Zm9\xff") },
		{ BASE64_BARE, S_INIT("Zg==") },
		{ BASE64_BARE, S_INIT("Z") },
		{ BASE64_BARE, S_INIT("Zm9vY") },
		{ BASE64_BARE, S_INIT("Zm9.") },
		{ BASE64_URL, S_INIT("Zg==") },
		{ BASE64_URL, S_INIT("Zh") },
		{ BASE64_URL, S_INIT("+/+/") },
		{ BASE64_URL_PADDED, S_INIT("_w") },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char bytes[16];
		size_t got = 99;

		test_note(!base64_read(cases[i].kind, cases[i].text, bytes, sizeof(bytes), &got) &&
				  got == 99,
			__FILE__, __LINE__, "case %zu: \"%.*s\"", i, STR_ARG(cases[i].text));
	}
}

/* Whatever is read is written back as the same text, and so is the reverse; at every length around
 * the blocks. */
TEST(base64_round_trip)
{
	uint64_t seed = 64;
	char bytes[200], text[280], back[200];

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)test_random(&seed);
		for (enum base64_kind kind = 0; kind < BASE64_KINDS; kind++) {
			size_t wrote = base64_write(kind, text, str_of(bytes, len));
			size_t got = 0;

			EXPECT(base64_read(kind, str_of(text, wrote), back, len, &got));
			EXPECT_STR(str_of(back, got), str_of(bytes, len));
			EXPECT(base64_read_exact(kind, str_of(text, wrote), back, len));
			EXPECT(!base64_read_exact(kind, str_of(text, wrote), back, len + 1));
			EXPECT(len == 0 ||
				!base64_read(kind, str_of(text, wrote), back, len - 1, &got));
		}
	}
}

/* Of the 256 bytes exactly the 64 of the alphabet are digits, wherever they stand. */
TEST(base64_alphabet)
{
	for (size_t place = 0; place < 96; place++) {
		unsigned accepted = 0;

		for (int byte = 0; byte < 256; byte++) {
			char text[96], bytes[72];

			memset(text, 'A', sizeof(text));
			text[place] = (char)byte;
			accepted += base64_read_exact(
				BASE64_URL, str_of(text, sizeof(text)), bytes, sizeof(bytes));
		}
		EXPECT_INT(accepted, 64);
	}
}

TEST(base64_in_buffers)
{
	struct buf buf;

	buf_init(&buf, 20);
	base64_append(&buf, BASE64_URL, S("hello"));
	EXPECT_STR(buf_str(&buf), S("aGVsbG8"));
	EXPECT_INT(base64_append_read(&buf, BASE64_URL, S("aGVsbG8")), 0);
	EXPECT_STR(buf_str(&buf), S("aGVsbG8hello"));
	EXPECT_INT(base64_append_read(&buf, BASE64_URL, S("aGVsbG9=")), -ERR_INVALID);
	EXPECT_INT(base64_append_read(&buf, BASE64_URL, S("")), 0);
	EXPECT_STR(buf_str(&buf), S("aGVsbG8hello"));
	EXPECT_INT(base64_append_read(&buf, BASE64_URL, S("aGVsbG8gd29ybGQ")), -ERR_TOO_LARGE);
	EXPECT_STR(buf_str(&buf), S("aGVsbG8hello"));
	buf_done(&buf);
}

#ifdef BULKHEAD_FAULTS
TEST(base64_without_memory)
{
	struct buf buf;

	buf_init(&buf, 100);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(base64_append_read(&buf, BASE64_URL, S("aGVsbG8")), -ERR_NO_MEMORY);
	EXPECT(fault_struck(FAULT_MEMORY) && buf.len == 0);
	buf_done(&buf);
}
#endif

TEST(hex)
{
	static const struct {
		struct str text;
		size_t len;
		bool ok;
	} cases[] = {
		{ S_INIT(""), 0, true },
		{ S_INIT("00fF7a"), 3, true },
		{ S_INIT("00fF7a"), 2, false },
		{ S_INIT("00fF7a"), 4, false },
		{ S_INIT("00fF7"), 2, false },
		{ S_INIT("00fF7"), 3, false },
		{ S_INIT("0g"), 1, false },
		{ S_INIT("g0"), 1, false },
		{ S_INIT("/0"), 1, false },
		{ S_INIT(":0"), 1, false },
		{ S_INIT("@0"), 1, false },
		{ S_INIT("`0"), 1, false },
		{ S_INIT("\x10\x10"), 1, false }, /* digits but for the letter-case bit */
		{ S_INIT("0\xff"), 1, false },
		{ S_INIT(" 0"), 1, false },
	};
	uint8_t bytes[256];
	char text[512];

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(hex_read(cases[i].text, bytes, cases[i].len) == cases[i].ok, __FILE__,
			__LINE__, "case %zu: \"%.*s\"", i, STR_ARG(cases[i].text));

	hex_write(text, S("\x00\x09\x0a\xff"));
	EXPECT_STR(str_of(text, 8), S("00090aff"));
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_write(text, str_of((char *)bytes, sizeof(bytes)));
	memset(bytes, 0, sizeof(bytes));
	EXPECT(hex_read(str_of(text, sizeof(text)), bytes, sizeof(bytes)));
	for (int i = 0; i < 256; i++)
		EXPECT_INT(bytes[i], i);
}
