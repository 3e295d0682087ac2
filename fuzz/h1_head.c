/*
 * Request heads. The first byte says how the input arrives; what is scanned in pieces must end as
 * what is scanned whole, and a head that was taken must, written out again, be taken as the same.
 */
#include "http/h1_parse.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const struct h1_limits limits = {
	.line = 256, .field = 512, .head = 2048, .fields = 20, .body = 1000000
};

static ptrdiff_t scan_in_pieces(struct str text, size_t step)
{
	struct h1_scan scan = { 0 };
	ptrdiff_t r = 0;

	for (size_t len = step; r == 0; len += step) {
		char *copy;

		len = MIN(len, text.len);
		copy = malloc(len + 1);
		CHECK(copy);
		memcpy(copy, text.at, len);
		r = h1_head_scan(&scan, str_of(copy, len), &limits);
		free(copy);
		if (len == text.len)
			break;
	}
	return r;
}

static void write_head(const struct h1_head *head, struct buf *out)
{
	buf_append(out, head->method_text);
	buf_byte(out, ' ');
	buf_append(out, head->target_text);
	buf_append(out, head->minor ? S(" HTTP/1.1\r\n") : S(" HTTP/1.0\r\n"));
	for (size_t i = 0; i < head->count; i++) {
		buf_append(out, head->fields[i].name);
		buf_byte(out, ':');
		buf_append(out, head->fields[i].value);
		buf_append(out, S("\r\n"));
	}
	buf_append(out, S("\r\n"));
}

static void check_same(const struct h1_head *a, const struct h1_head *b)
{
	CHECK(a->method == b->method && a->minor == b->minor && a->framing == b->framing);
	CHECK(a->length == b->length && a->keep_alive == b->keep_alive && a->close == b->close);
	CHECK(a->upgrade == b->upgrade && a->expect_continue == b->expect_continue);
	CHECK(str_eq(a->target.path, b->target.path) && str_eq(a->target.query, b->target.query));
	CHECK(authority_eq(&a->authority, &b->authority, 80));
	CHECK(a->seen == b->seen && a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		CHECK(str_eq(a->fields[i].name, b->fields[i].name));
		CHECK(str_eq(a->fields[i].value, b->fields[i].value));
		CHECK(a->fields[i].known == b->fields[i].known);
		CHECK(a->fields[i].known == h1_known_of(a->fields[i].name));
	}
}

static void check_round_trip(const struct h1_head *head)
{
	struct h1_head again;
	struct buf out;

	buf_init(&out, 64 * KILOBYTE);
	write_head(head, &out);
	CHECK(h1_head_parse(buf_str(&out), &limits, &again) == 0);
	check_same(head, &again);
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text;
	struct h1_head head;
	ptrdiff_t whole;

	if (size == 0)
		return 0;

	text = str_of((const char *)bytes + 1, size - 1);
	whole = scan_in_pieces(text, text.len);
	CHECK(scan_in_pieces(text, 1 + bytes[0]) == whole);
	if (h1_head_parse(text, &limits, &head) == 0)
		CHECK(whole == (ptrdiff_t)text.len);
	if (whole > 0 && h1_head_parse(str_first(text, (size_t)whole), &limits, &head) == 0)
		check_round_trip(&head);
	return 0;
}
