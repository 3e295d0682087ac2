/* Growth of buffers: by doubling, up to the limit. */
#include "base/buf.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/num.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIRST_SIZE = 256 };

void buf_init(struct buf *buf, size_t limit)
{
	*buf = (struct buf){ .limit = limit };
}

void buf_done(struct buf *buf)
{
	mem_free(buf->at, buf->cap);
	buf_init(buf, buf->limit);
}

bool buf_grow(struct buf *buf, size_t more)
{
	size_t cap = MAX(buf->cap, (size_t)FIRST_SIZE);
	char *at;

	if (buf->failed)
		return false;
	if (more > buf->limit - buf->len) {
		buf->failed = fail(ERR_TOO_LARGE, "more than %zu bytes in a buffer", buf->limit);
		return false;
	}

	while (cap - buf->len < more)
		cap *= 2;
	cap = MIN(cap, buf->limit);

	at = mem_resize(buf->at, buf->cap, cap);
	if (!at) {
		buf->failed = -ERR_NO_MEMORY;
		return false;
	}

	buf->at = at;
	buf->cap = cap;
	return true;
}

void buf_u64(struct buf *buf, uint64_t value)
{
	char text[NUM_TEXT_MAX];

	buf_append(buf, str_of(text, num_write_u64(text, value)));
}

void buf_i64(struct buf *buf, int64_t value)
{
	char text[NUM_TEXT_MAX];

	buf_append(buf, str_of(text, num_write_i64(text, value)));
}

void buf_hex(struct buf *buf, uint64_t value, size_t digits)
{
	CHECK(digits <= 16);

	if (buf_room(buf, digits)) {
		num_write_hex(buf->at + buf->len, value, digits);
		buf->len += digits;
	}
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(len >= 0);

	if (!buf_room(buf, (size_t)len + 1)) /* printf wants a byte for its NUL */
		return;

	va_start(args, format);
	(void)vsnprintf(buf->at + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
}

void buf_consume(struct buf *buf, size_t count)
{
	CHECK(count <= buf->len);

	buf->len -= count;
	if (buf->len)
		memmove(buf->at, buf->at + count, buf->len);
}
