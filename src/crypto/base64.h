/*
 * Bytes as text: base64 (RFC 4648 sections 4 and 5) and hex (section 8). Reading is strict: no
 * white space, no missing, wrong or superfluous padding, no bits set behind the last byte, so that
 * bytes have exactly one text. Neither a branch nor an address depends on the bytes or digits (only
 * on lengths), so keys and tokens may pass.
 */
#ifndef CRYPTO_BASE64_H
#define CRYPTO_BASE64_H

#include "base/buf.h"

#pragma GCC visibility push(default)

enum base64_kind {
	BASE64_PADDED,     /* + and /, with = */
	BASE64_BARE,       /* + and /, without */
	BASE64_URL,        /* - and _, without: JOSE, cursors */
	BASE64_URL_PADDED, /* - and _, with = */
	BASE64_KINDS,
};

/* Size of the text of `len` bytes, for arrays: padded, or more than enough for the bare kinds. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4)

/* The exact length of the text of `len` bytes. */
size_t base64_len(enum base64_kind kind, size_t len);

/* Writes base64_len(kind, bytes.len) bytes, no NUL; returns their number. */
size_t base64_write(enum base64_kind kind, char *at, struct str bytes);

/* Appends the text to a buffer. */
void base64_append(struct buf *buf, enum base64_kind kind, struct str bytes);

/* The number of bytes that a text of this length and padding stands for, if it is well-formed. */
size_t base64_read_len(enum base64_kind kind, struct str text);

/*
 * Reads text into `at`, which has room for `room` bytes. False when the text is malformed or stands
 * for more than `room` bytes; what `at` then holds is undefined, *ret_len untouched.
 */
bool base64_read(enum base64_kind kind, struct str text, void *at, size_t room, size_t *ret_len);

/* The same for exactly `len` bytes: a key, a digest. */
bool base64_read_exact(enum base64_kind kind, struct str text, void *at, size_t len);

/* Reads text to the end of a buffer. ERR_INVALID when it is malformed; the buffer's own error when
 * it is full. The buffer is unchanged on failure. */
int base64_append_read(struct buf *buf, enum base64_kind kind, struct str text);

/* Writes 2 * bytes.len lower-case hex digits, no NUL. */
void hex_write(char *at, struct str bytes);

/* Reads exactly 2 * len hex digits of either case. On false what `at` holds is undefined. */
bool hex_read(struct str text, void *at, size_t len);

#pragma GCC visibility pop

#endif
