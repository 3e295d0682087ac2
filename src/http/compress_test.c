/*
 * Encoders: what they write must decode to what went in, whatever the pieces; states are reused and
 * bounded; every allocation may fail.
 */
#include "http/compress.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "http/decode_test.h"

#include <stdint.h>

enum { TEXT_LIMIT = 4 * 1024 * 1024 };

static const enum encoding encodings[] = { ENCODING_GZIP, ENCODING_BR };

/* Text as answers have it: JSON with some noise. */
static void fill_text(struct buf *text, size_t len, uint64_t seed)
{
	buf_reset(text);
	while (text->len < len)
		buf_printf(text, "{\"id\":%llu,\"name\":\"user %llu\",\"enabled\":%s},",
			(unsigned long long)test_random(&seed),
			(unsigned long long)(test_random(&seed) % 1000),
			test_random(&seed) % 2 ? "true" : "false");
	text->len = len;
}

TEST(compress_round_trips)
{
	static const size_t sizes[] = { 0, 1, 100, 511, 512, 513, 10000, 65536, 65537, 1000000 };
	struct compress_pool pool;
	struct buf text, packed, plain;

	compress_pool_init(&pool, 2, 2);
	buf_init(&text, TEXT_LIMIT);
	buf_init(&packed, TEXT_LIMIT);
	buf_init(&plain, TEXT_LIMIT);
	for (size_t e = 0; e < LEN(encodings); e++) {
		for (size_t i = 0; i < LEN(sizes); i++) {
			fill_text(&text, sizes[i], 5);
			buf_reset(&packed);
			buf_reset(&plain);
			buf_append(&packed, S("before"));
			EXPECT_INT(compress_whole(&pool, encodings[e], buf_str(&text), &packed), 0);
			EXPECT(str_starts(buf_str(&packed), S("before")));
			decode(encodings[e], str_from(buf_str(&packed), 6), &plain);
			EXPECT(str_eq(buf_str(&plain), buf_str(&text)));
			if (sizes[i] >= 10000)
				EXPECT(packed.len < text.len / 2);
		}
	}
	buf_done(&text);
	buf_done(&packed);
	buf_done(&plain);
	compress_pool_done(&pool);
	EXPECT_INT(mem_used(), 0);
}

/* Bytes without any order grow a little and pass every buffer limit inside. */
TEST(compress_noise)
{
	struct compress_pool pool;
	struct buf text, packed, plain;
	uint64_t seed = 3;

	compress_pool_init(&pool, 1, 1);
	buf_init(&text, TEXT_LIMIT);
	buf_init(&packed, TEXT_LIMIT);
	buf_init(&plain, TEXT_LIMIT);
	while (text.len < 300000)
		buf_byte(&text, (char)test_random(&seed));
	for (size_t e = 0; e < LEN(encodings); e++) {
		buf_reset(&packed);
		buf_reset(&plain);
		EXPECT_INT(compress_whole(&pool, encodings[e], buf_str(&text), &packed), 0);
		EXPECT(packed.len < text.len + 1000);
		decode(encodings[e], buf_str(&packed), &plain);
		EXPECT(str_eq(buf_str(&plain), buf_str(&text)));
	}
	buf_done(&text);
	buf_done(&packed);
	buf_done(&plain);
	compress_pool_done(&pool);
}

/* Random pieces and flushes: after each flush the client has everything written so far. */
TEST(compress_streams)
{
	struct compress_pool pool;
	struct buf text, packed, plain;
	uint64_t seed = 11;

	compress_pool_init(&pool, 2, 2);
	buf_init(&text, TEXT_LIMIT);
	buf_init(&packed, TEXT_LIMIT);
	buf_init(&plain, TEXT_LIMIT);
	for (size_t round = 0; round < 40; round++) {
		enum encoding encoding = encodings[round % 2];
		struct compressor compressor;
		struct str rest;

		fill_text(&text, test_random(&seed) % 20000, seed);
		buf_reset(&packed);
		rest = buf_str(&text);
		REQUIRE(compress_begin(&compressor, &pool, encoding) == 0);
		while (rest.len) {
			struct str piece = str_first(rest, 1 + test_random(&seed) % 3000);

			EXPECT_INT(compress_write(&compressor, piece, &packed), 0);
			rest = str_from(rest, piece.len);
			if (test_random(&seed) % 3 == 0) {
				EXPECT_INT(compress_flush(&compressor, &packed), 0);
				EXPECT_INT(compress_flush(&compressor, &packed), 0);
				buf_reset(&plain);
				decode(encoding, buf_str(&packed), &plain);
				EXPECT_INT(plain.len, text.len - rest.len);
			}
		}
		EXPECT_INT(compress_end(&compressor, &packed), 0);
		compress_done(&compressor);
		compress_done(&compressor); /* does nothing */
		buf_reset(&plain);
		decode(encoding, buf_str(&packed), &plain);
		EXPECT(str_eq(buf_str(&plain), buf_str(&text)));
	}
	buf_done(&text);
	buf_done(&packed);
	buf_done(&plain);
	compress_pool_done(&pool);
	EXPECT_INT(mem_used(), 0);
}

TEST(compress_pool_bounds)
{
	struct compressor compressors[3], fourth;
	struct compress_pool pool;
	struct buf out;
	size_t idle;

	compress_pool_init(&pool, 1, 3);
	buf_init(&out, TEXT_LIMIT);
	for (size_t i = 0; i < LEN(compressors); i++)
		REQUIRE(compress_begin(&compressors[i], &pool, ENCODING_GZIP) == 0);
	EXPECT_INT(compress_begin(&fourth, &pool, ENCODING_GZIP), -ERR_FULL);
	compress_done(&fourth);
	EXPECT_INT(compress_whole(&pool, ENCODING_BR, S("a"), &out), -ERR_FULL);

	EXPECT_INT(compress_write(&compressors[0], S("left in the middle"), &out), 0);
	for (size_t i = 0; i < LEN(compressors); i++)
		compress_done(&compressors[i]);
	EXPECT_INT(pool.idle_count[ENCODING_GZIP], 1);

	buf_done(&out);
	idle = mem_used();
	EXPECT(idle > 0 && idle <= COMPRESS_GZIP_MEMORY);
	REQUIRE(compress_begin(&fourth, &pool, ENCODING_GZIP) == 0);
	EXPECT_INT(mem_used(), idle); /* the kept one */
	compress_done(&fourth);
	compress_pool_done(&pool);
	EXPECT_INT(mem_used(), 0);
}

/* A kept br state makes its next instance from its own blocks. */
TEST(compress_br_memory_is_bounded_and_reused)
{
	struct compress_pool pool;
	struct buf text, out;
	size_t buffers, first;

	compress_pool_init(&pool, 1, 1);
	buf_init(&text, TEXT_LIMIT);
	buf_init(&out, TEXT_LIMIT);
	REQUIRE(buf_room(&out, TEXT_LIMIT));
	fill_text(&text, TEXT_LIMIT / 2, 1);
	buffers = mem_used();

	EXPECT_INT(compress_whole(&pool, ENCODING_BR, buf_str(&text), &out), 0);
	first = mem_used() - buffers;
	EXPECT(first > 0 && first <= COMPRESS_IDLE_MEMORY);
	for (size_t len = TEXT_LIMIT / 2; len > 100; len /= 3) {
		buf_reset(&out);
		EXPECT_INT(compress_whole(&pool, ENCODING_BR, str_first(buf_str(&text), len), &out),
			0);
		EXPECT(mem_used() - buffers <= COMPRESS_IDLE_MEMORY);
	}

#ifdef BULKHEAD_FAULTS
	buf_reset(&out); /* the same body again: not one allocation */
	EXPECT_INT(compress_whole(&pool, ENCODING_BR, str_first(buf_str(&text), 5000), &out), 0);
	buf_reset(&out);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(compress_whole(&pool, ENCODING_BR, str_first(buf_str(&text), 5000), &out), 0);
	EXPECT(!fault_struck(FAULT_MEMORY));
	fault_arm(FAULT_MEMORY, 0);
#endif
	buf_done(&text);
	buf_done(&out);
	compress_pool_done(&pool);
	EXPECT_INT(mem_used(), 0);
}

/* A buffer at its limit breaks the stream, not the state. */
TEST(compress_into_a_full_buffer)
{
	struct compress_pool pool;
	struct buf text, out, plain;

	compress_pool_init(&pool, 1, 1);
	buf_init(&text, TEXT_LIMIT);
	buf_init(&plain, TEXT_LIMIT);
	fill_text(&text, 100000, 9);
	for (size_t e = 0; e < LEN(encodings); e++) {
		buf_init(&out, 1000);
		buf_append(&out, S("kept"));
		EXPECT_INT(
			compress_whole(&pool, encodings[e], buf_str(&text), &out), -ERR_TOO_LARGE);
		EXPECT_STR(buf_str(&out), S("kept"));
		buf_done(&out);

		buf_init(&out, TEXT_LIMIT);
		buf_reset(&plain);
		EXPECT_INT(compress_whole(&pool, encodings[e], buf_str(&text), &out), 0);
		decode(encodings[e], buf_str(&out), &plain);
		EXPECT(str_eq(buf_str(&plain), buf_str(&text)));
		buf_done(&out);
	}
	buf_done(&text);
	buf_done(&plain);
	compress_pool_done(&pool);
}

#ifdef BULKHEAD_FAULTS

/* One body with a flush in it; false when something failed. */
static bool scenario(struct compress_pool *pool, enum encoding encoding, struct str text)
{
	struct compressor compressor;
	struct buf out;
	bool ok;

	buf_init(&out, TEXT_LIMIT);
	ok = compress_begin(&compressor, pool, encoding) == 0 &&
	     compress_write(&compressor, str_first(text, 20000), &out) == 0 &&
	     compress_flush(&compressor, &out) == 0 &&
	     compress_write(&compressor, str_from(text, 20000), &out) == 0 &&
	     compress_end(&compressor, &out) == 0;
	compress_done(&compressor);
	buf_done(&out);
	return ok;
}

TEST_SLOW(compress_torture, 120)
{
	struct buf text;

	buf_init(&text, TEXT_LIMIT);
	fill_text(&text, 150000, 4);
	for (size_t keep = 0; keep < 2; keep++) {
		for (size_t e = 0; e < LEN(encodings); e++) {
			struct compress_pool pool;
			size_t before = mem_used();
			bool struck = true;

			for (size_t nth = 1; struck; nth++) {
				bool ok;

				compress_pool_init(&pool, keep, 1);
				fault_arm(FAULT_MEMORY, nth);
				ok = scenario(&pool, encodings[e], buf_str(&text));
				struck = fault_struck(FAULT_MEMORY);
				fault_arm(FAULT_MEMORY, 0);
				EXPECT(ok == !struck);
				if (struck)
					EXPECT_INT(err_last()->code, ERR_NO_MEMORY);
				EXPECT(scenario(&pool, encodings[e], buf_str(&text)));
				compress_pool_done(&pool);
				REQUIRE(mem_used() == before);
				REQUIRE(nth < 1000);
			}
		}
	}
	buf_done(&text);
}

#endif
