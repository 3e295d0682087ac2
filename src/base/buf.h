/*
 * A growing run of bytes with a limit. Appending never needs a check in the middle: the first
 * failure (limit or memory) sticks in `failed`, later appends do nothing, and one look at the end
 * decides. The bytes before the failure stay as they were.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/check.h"
#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

struct buf {
	char *at;
	size_t len;
	size_t cap;
	size_t limit; /* len never passes it */
	int failed;   /* 0, or the negative error code of the first failure */
};

/* An empty buffer that holds at most `limit` bytes. Allocates nothing yet. */
void buf_init(struct buf *buf, size_t limit);

/* Frees the bytes; the buffer can be used again. */
void buf_done(struct buf *buf);

/* Empties it and forgets a failure, keeping the memory. */
static inline void buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = 0;
}

static inline struct str buf_str(const struct buf *buf)
{
	return str_of(buf->at, buf->len);
}

/* The slow path of buf_room: grows or fails. */
bool buf_grow(struct buf *buf, size_t more);

/* Makes room for `more` bytes behind len. False (and `failed` set) when limit or memory refuse. */
static inline bool buf_room(struct buf *buf, size_t more)
{
	return LIKELY(buf->cap - buf->len >= more && !buf->failed) || buf_grow(buf, more);
}

static inline void buf_append(struct buf *buf, struct str text)
{
	if (text.len && buf_room(buf, text.len)) {
		memcpy(buf->at + buf->len, text.at, text.len);
		buf->len += text.len;
	}
}

static inline void buf_byte(struct buf *buf, char byte)
{
	if (buf_room(buf, 1))
		buf->at[buf->len++] = byte;
}

void buf_u64(struct buf *buf, uint64_t value);
void buf_i64(struct buf *buf, int64_t value);

/* Exactly `digits` (at most 16) lower-case hex digits. */
void buf_hex(struct buf *buf, uint64_t value, size_t digits);

void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);

/* Removes the first `count` bytes and moves the rest to the front. */
void buf_consume(struct buf *buf, size_t count);

#pragma GCC visibility pop

#endif
