/*
 * Chunked bodies. The first byte says how the input arrives; pieces must give the same body, end
 * and error as the whole, and the body written again with our encoder must decode to itself.
 */
#include "http/h1_chunk.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct h1_limits limits = { .field = 64, .head = 256, .fields = 4 };

enum { BODY_LIMIT = 4096 };

/* Returns the last event or error; `*ret_used` is where it happened. */
static int decode(struct str text, size_t step, struct buf *body, size_t *ret_used)
{
	struct h1_chunk chunk;
	int r = H1_CHUNK_MORE;

	h1_chunk_init(&chunk, &limits, BODY_LIMIT);
	*ret_used = 0;
	while (*ret_used < text.len && r == H1_CHUNK_MORE) {
		size_t len = MIN(step, text.len - *ret_used);
		char *copy = malloc(len);
		struct str input = str_of(copy, len);
		struct str data;

		CHECK(copy);
		memcpy(copy, text.at + *ret_used, len);
		while ((r = h1_chunk_next(&chunk, &input, &data)) == H1_CHUNK_DATA) {
			CHECK(data.len > 0);
			buf_append(body, data);
		}
		CHECK(r != H1_CHUNK_MORE || input.len == 0);
		*ret_used += len - input.len;
		free(copy);
	}
	CHECK(body->len <= BODY_LIMIT && body->len <= chunk.total && !body->failed);
	return r;
}

static void check_round_trip(struct str body)
{
	char head[H1_CHUNK_HEAD_MAX];
	struct buf wire, again;
	size_t used;

	buf_init(&wire, 64 * KILOBYTE);
	buf_init(&again, BODY_LIMIT);
	if (body.len) {
		buf_append(&wire, str_of(head, h1_chunk_head(head, body.len)));
		buf_append(&wire, body);
		buf_append(&wire, H1_CHUNK_TAIL);
	}
	buf_append(&wire, H1_CHUNK_LAST);
	CHECK(decode(buf_str(&wire), 3, &again, &used) == H1_CHUNK_DONE);
	CHECK(used == wire.len && str_eq(body, buf_str(&again)));
	buf_done(&wire);
	buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text = str_from(str_of((const char *)bytes, size), 1);
	size_t whole_used, pieces_used;
	struct buf whole, pieces;
	int r;

	if (size == 0)
		return 0;

	buf_init(&whole, BODY_LIMIT);
	buf_init(&pieces, BODY_LIMIT);
	r = decode(text, MAX(text.len, 1), &whole, &whole_used);
	CHECK(decode(text, 1 + bytes[0], &pieces, &pieces_used) == r);
	CHECK(whole_used == pieces_used && str_eq(buf_str(&whole), buf_str(&pieces)));
	if (r == H1_CHUNK_DONE)
		check_round_trip(buf_str(&whole));
	buf_done(&whole);
	buf_done(&pieces);
	return 0;
}
