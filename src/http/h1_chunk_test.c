/* Chunked bodies, valid and hostile; each whole, at every split and byte by byte. */
#include "http/h1_chunk.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/test.h"

#include <stdlib.h>

enum { BODY_LIMIT = 100000 };

struct chunk_case {
	const char *name;
	struct str text;
	int code;        /* 0: complete, ERR_CODES: incomplete, else the error */
	struct str body; /* when complete */
	size_t rest;     /* bytes behind the body, when complete */
};

static const struct chunk_case cases[] = {
	{ "empty body", S_INIT("0\r\n\r\n"), 0, S_INIT(""), 0 },
	{ "one chunk", S_INIT("5\r\nhello\r\n0\r\n\r\n"), 0, S_INIT("hello"), 0 },
	{ "two chunks", S_INIT("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), 0, S_INIT("hello!"), 0 },
	{ "hex of both cases", S_INIT("A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"), 0,
		S_INIT("01234567890123456789a"), 0 },
	{ "eight digits", S_INIT("00000001\r\na\r\n00000000\r\n\r\n"), 0, S_INIT("a"), 0 },
	{ "data with line ends", S_INIT("8\r\n\r\n0\r\n\r\n\n\r\n0\r\n\r\n"), 0,
		S_INIT("\r\n0\r\n\r\n\n"), 0 },
	{ "next request", S_INIT("1\r\na\r\n0\r\n\r\nGET /"), 0, S_INIT("a"), 5 },
	{ "extension", S_INIT("1;a\r\na\r\n0;b=c\r\n\r\n"), 0, S_INIT("a"), 0 },
	{ "extensions", S_INIT("1;a=b;c;d=\"e;\\\"\r\xff\"\r\na\r\n"), ERR_INVALID },
	{ "quoted extension", S_INIT("1;a=\"b;c\\\" \t\xff\";d\r\na\r\n0\r\n\r\n"), 0, S_INIT("a"),
		0 },
	{ "trailers", S_INIT("0\r\nA: b\r\nC:\td \xff\r\n\r\n"), 0, S_INIT(""), 0 },
	{ "forbidden trailers", S_INIT("0\r\nContent-Length: 5\r\nHost: a\r\n\r\n"), 0, S_INIT(""),
		0 },
	{ "incomplete size", S_INIT("5"), ERR_CODES },
	{ "incomplete data", S_INIT("5\r\nhell"), ERR_CODES },
	{ "incomplete end", S_INIT("0\r\n"), ERR_CODES },
	{ "incomplete trailer", S_INIT("0\r\nA: b\r\n"), ERR_CODES },

	{ "no size", S_INIT("\r\nhello\r\n"), ERR_INVALID },
	{ "size of nine digits", S_INIT("000000001\r\na\r\n"), ERR_INVALID },
	{ "size wraps 64 bits", S_INIT("10000000000000001\r\na\r\n"), ERR_INVALID },
	{ "size of the sign bit", S_INIT("80000000\r\na\r\n"), ERR_TOO_LARGE },
	{ "size ffffffff", S_INIT("ffffffff\r\na\r\n"), ERR_TOO_LARGE },
	{ "size 0x", S_INIT("0x1\r\na\r\n"), ERR_INVALID },
	{ "size plus", S_INIT("+1\r\na\r\n"), ERR_INVALID },
	{ "size minus", S_INIT("-1\r\na\r\n"), ERR_INVALID },
	{ "size underscore", S_INIT("1_0\r\na\r\n"), ERR_INVALID },
	{ "size of letters", S_INIT("g\r\na\r\n"), ERR_INVALID },
	{ "size leading space", S_INIT(" 1\r\na\r\n"), ERR_INVALID },
	{ "size trailing space", S_INIT("1 \r\na\r\n"), ERR_INVALID },
	{ "size trailing tab", S_INIT("1\t\r\na\r\n"), ERR_INVALID },
	{ "size ends in LF", S_INIT("1\na\r\n"), ERR_INVALID },
	{ "size ends in CR", S_INIT("1\ra\r\n"), ERR_INVALID },
	{ "size ends in CR CR LF", S_INIT("1\r\r\na\r\n"), ERR_INVALID },
	{ "size comma", S_INIT("1,1\r\na\r\n"), ERR_INVALID },
	{ "size NUL", S_INIT("1\0\r\na\r\n"), ERR_INVALID },
	{ "data too long", S_INIT("1\r\nab\r\n"), ERR_INVALID },
	{ "data too short", S_INIT("3\r\nab\r\n0\r\n\r\n"), ERR_INVALID },
	{ "data ends in LF", S_INIT("1\r\na\n0\r\n\r\n"), ERR_INVALID },
	{ "data ends in CR", S_INIT("1\r\na\r0\r\n\r\n"), ERR_INVALID },
	{ "data without end", S_INIT("1\r\na0\r\n\r\n"), ERR_INVALID },
	{ "extension empty", S_INIT("1;\r\na\r\n"), ERR_INVALID },
	{ "extension space before", S_INIT("1 ;a\r\na\r\n"), ERR_INVALID },
	{ "extension space after", S_INIT("1; a\r\na\r\n"), ERR_INVALID },
	{ "extension without value", S_INIT("1;a=\r\na\r\n"), ERR_INVALID },
	{ "extension without name", S_INIT("1;=a\r\na\r\n"), ERR_INVALID },
	{ "extension LF", S_INIT("1;a\na\r\n"), ERR_INVALID },
	{ "extension CR in quotes", S_INIT("1;a=\"\r\n\"\r\na\r\n"), ERR_INVALID },
	{ "extension escaped CR", S_INIT("1;a=\"\\\r\n\"\r\na\r\n"), ERR_INVALID },
	{ "extension NUL in quotes", S_INIT("1;a=\"\0\"\r\na\r\n"), ERR_INVALID },
	{ "extension after quotes", S_INIT("1;a=\"b\"c\r\na\r\n"), ERR_INVALID },
	{ "extension quote in token", S_INIT("1;a=b\"\r\na\r\n"), ERR_INVALID },
	{ "trailer without colon", S_INIT("0\r\nA\r\n\r\n"), ERR_INVALID },
	{ "trailer without name", S_INIT("0\r\n: a\r\n\r\n"), ERR_INVALID },
	{ "trailer space before colon", S_INIT("0\r\nA : b\r\n\r\n"), ERR_INVALID },
	{ "trailer folded", S_INIT("0\r\nA: b\r\n c\r\n\r\n"), ERR_INVALID },
	{ "trailer LF", S_INIT("0\r\nA: b\n\r\n"), ERR_INVALID },
	{ "trailer CR", S_INIT("0\r\nA: b\rc\r\n\r\n"), ERR_INVALID },
	{ "trailer NUL", S_INIT("0\r\nA: \0\r\n\r\n"), ERR_INVALID },
	{ "end in LF", S_INIT("0\r\n\n"), ERR_INVALID },
	{ "end in CR CR", S_INIT("0\r\n\r\r\n"), ERR_INVALID },
	{ "request instead of the end", S_INIT("0\r\nGET / HTTP/1.1\r\n\r\n"), ERR_INVALID },
};

/* Decodes `text` in pieces; the body goes to `body`. Returns as struct chunk_case says. */
static int decode(struct str text, size_t first, size_t step, struct buf *body, size_t *rest)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_chunk chunk;
	size_t from = 0;
	size_t len = first;

	h1_chunk_init(&chunk, &limits, BODY_LIMIT);
	buf_reset(body);
	for (;;) {
		char *copy = malloc(len + 1); /* of that size, for the sanitizer */
		struct str input = str_of(copy, len);
		struct str data;
		int r;

		CHECK(copy);
		memcpy(copy, text.at + from, len);
		while ((r = h1_chunk_next(&chunk, &input, &data)) == H1_CHUNK_DATA) {
			EXPECT(data.len > 0);
			buf_append(body, data);
		}
		free(copy);
		if (r < 0)
			return -r;
		from += len;
		if (r == H1_CHUNK_DONE) {
			*rest = input.len + text.len - from;
			return 0;
		}
		if (from == text.len)
			return ERR_CODES;
		len = MIN(step, text.len - from);
	}
}

TEST(h1_chunk_cases)
{
	struct buf body;
	size_t rest = 0;

	buf_init(&body, BODY_LIMIT);
	for (size_t i = 0; i < LEN(cases); i++) {
		const struct chunk_case *c = &cases[i];

		for (size_t first = 0; first <= c->text.len + 1; first++) {
			bool bytes = first > c->text.len;
			int r = decode(
				c->text, bytes ? 1 : first, bytes ? 1 : c->text.len, &body, &rest);

			test_note(r == c->code, __FILE__, __LINE__,
				"%s, first %zu: %d, wanted %d (%s)", c->name, first, r, c->code,
				err_text());
			if (r == 0 && c->code == 0) {
				EXPECT_STR(buf_str(&body), c->body);
				EXPECT_INT(rest, c->rest);
			}
		}
	}
	buf_done(&body);
}

/* A text of `count` times `filler` between two others, decoded whole and by 7 bytes. */
static int decode_filled(const char *text, const char *filler, size_t count, const char *end)
{
	struct buf wire, body;
	size_t rest;
	int whole, pieces;

	buf_init(&wire, MEGABYTE);
	buf_init(&body, BODY_LIMIT);
	buf_append(&wire, str_from_c(text));
	while (count-- > 0)
		buf_append(&wire, str_from_c(filler));
	buf_append(&wire, str_from_c(end));

	whole = decode(buf_str(&wire), wire.len, 0, &body, &rest);
	pieces = decode(buf_str(&wire), 1, 7, &body, &rest);
	EXPECT_INT(whole, pieces);
	buf_done(&wire);
	buf_done(&body);
	return whole;
}

TEST(h1_chunk_limits)
{
	/* extension: 256 bytes with what ends it */
	EXPECT_INT(decode_filled("1;", "a", 255, "\r\na\r\n0\r\n\r\n"), 0);
	EXPECT_INT(decode_filled("1;", "a", 256, "\r\na\r\n0\r\n\r\n"), ERR_HEAD_TOO_LARGE);

	/* chunk overhead attack: tiny chunks, each with an extension */
	EXPECT_INT(decode_filled("", "1;abcdefg\r\na\r\n", 2048, "0\r\n\r\n"), 0);
	EXPECT_INT(decode_filled("", "1;abcdefg\r\na\r\n", 2049, "0\r\n\r\n"), ERR_HEAD_TOO_LARGE);

	/* the body */
	EXPECT_INT(decode_filled("", "A\r\n0123456789\r\n", BODY_LIMIT / 10, "0\r\n\r\n"), 0);
	EXPECT_INT(
		decode_filled("", "A\r\n0123456789\r\n", BODY_LIMIT / 10, "1\r\n"), ERR_TOO_LARGE);

	/* trailers: lines, one line, all bytes */
	EXPECT_INT(decode_filled("0\r\n", "A: b\r\n", 100, "\r\n"), 0);
	EXPECT_INT(decode_filled("0\r\n", "A: b\r\n", 101, "\r\n"), ERR_HEAD_TOO_LARGE);
	EXPECT_INT(decode_filled("0\r\nA:", "b", 16384 - 2, "\r\n\r\n"), 0);
	EXPECT_INT(decode_filled("0\r\nA:", "b", 16384 - 1, "\r\n\r\n"), ERR_HEAD_TOO_LARGE);
	EXPECT_INT(decode_filled("0\r\n",
			   "A: 0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789"
			   "0123456789012345678901234567890123456789\r\n",
			   99, "\r\n"),
		ERR_HEAD_TOO_LARGE);
}

TEST(h1_chunk_body_limit_is_known_before_the_data)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct str input = S("B\r\n");
	struct h1_chunk chunk;
	struct str data;

	h1_chunk_init(&chunk, &limits, 10);
	EXPECT_INT(h1_chunk_next(&chunk, &input, &data), -ERR_TOO_LARGE);
}

TEST(h1_chunk_heads)
{
	static const struct {
		size_t size;
		struct str text;
	} heads[] = {
		{ 1, S_INIT("1\r\n") },
		{ 15, S_INIT("f\r\n") },
		{ 16, S_INIT("10\r\n") },
		{ 255, S_INIT("ff\r\n") },
		{ 0x123456, S_INIT("123456\r\n") },
		{ 0xFFFFFFFF, S_INIT("ffffffff\r\n") },
		{ SIZE_MAX, S_INIT("ffffffffffffffff\r\n") },
	};

	for (size_t i = 0; i < LEN(heads); i++) {
		char at[H1_CHUNK_HEAD_MAX];

		EXPECT_STR(str_of(at, h1_chunk_head(at, heads[i].size)), heads[i].text);
	}
}

/* What the encoder writes, the decoder reads, however both are cut. */
TEST(h1_chunk_round_trips)
{
	uint64_t seed = 7;
	struct buf wire, plain, body;

	buf_init(&wire, MEGABYTE);
	buf_init(&plain, BODY_LIMIT);
	buf_init(&body, BODY_LIMIT);
	for (size_t round = 0; round < 500; round++) {
		size_t rest = 1;

		buf_reset(&wire);
		buf_reset(&plain);
		for (uint64_t n = test_random(&seed) % 6; n-- > 0;) {
			size_t size = 1 + test_random(&seed) % 300;
			char head[H1_CHUNK_HEAD_MAX];

			buf_append(&wire, str_of(head, h1_chunk_head(head, size)));
			for (size_t i = 0; i < size; i++) {
				buf_byte(&plain, (char)test_random(&seed));
				buf_byte(&wire, plain.at[plain.len - 1]);
			}
			buf_append(&wire, H1_CHUNK_TAIL);
		}
		buf_append(&wire, H1_CHUNK_LAST);

		EXPECT_INT(decode(buf_str(&wire), test_random(&seed) % wire.len,
				   1 + test_random(&seed) % 50, &body, &rest),
			0);
		EXPECT(str_eq(buf_str(&body), buf_str(&plain)));
		EXPECT_INT(rest, 0);
	}
	buf_done(&wire);
	buf_done(&plain);
	buf_done(&body);
}
