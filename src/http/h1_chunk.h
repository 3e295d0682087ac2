/*
 * The chunked transfer coding (RFC 9112 7.1), strictly. The decoder works in the caller's bytes and
 * takes them in any pieces; the state is a few words, no allocation.
 *
 * Taken: 1 to 8 hex digits, extensions by the grammar without white space, CRLF and nothing else.
 * Trailers are checked like header fields and dropped: they never join the head.
 */
#ifndef HTTP_H1_CHUNK_H
#define HTTP_H1_CHUNK_H

#include "http/h1_parse.h"

#pragma GCC visibility push(default)

enum {
	H1_CHUNK_EXTENSION_MAX = 256,        /* bytes of the extensions of one chunk */
	H1_CHUNK_EXTENSIONS_MAX = 16 * 1024, /* bytes of all extensions of one body */
	H1_CHUNK_HEAD_MAX = 16 + 2,          /* bytes that h1_chunk_head writes at most */
};

struct h1_chunk {
	const struct h1_limits *limits; /* of the trailers; owner: the caller */
	uint64_t body_limit;            /* bytes of data taken */
	uint64_t total;                 /* bytes of data in all chunks begun so far */
	uint64_t left;                  /* bytes of data still to come of this chunk */
	size_t extension;               /* bytes of this chunk's extensions */
	size_t extensions;              /* bytes of all extensions */
	size_t line;                    /* bytes of this trailer line */
	size_t trailers;                /* bytes of all trailers */
	size_t fields;                  /* trailer lines */
	uint8_t digits;                 /* of the chunk size, so far */
	uint8_t state;                  /* enum in h1_chunk.c; 0 at the start */
};

enum h1_chunk_event {
	H1_CHUNK_MORE, /* the input is used up */
	H1_CHUNK_DATA, /* a piece of the body */
	H1_CHUNK_DONE, /* the body has ended; what is left of the input is the next request */
};

/* Starts a body of at most `body_limit` bytes. `limits` (its field, head and fields members bound
 * the trailers) must outlive it. */
void h1_chunk_init(struct h1_chunk *chunk, const struct h1_limits *limits, uint64_t body_limit);

/*
 * Takes bytes off the front of `*input` up to the next event. With H1_CHUNK_DATA `*ret_data` is a
 * non-empty piece of the input; MORE leaves the input empty; after DONE it must not be called
 * again. Errors: ERR_INVALID, ERR_TOO_LARGE (the body; known from the chunk's size, before its
 * data), ERR_HEAD_TOO_LARGE (extensions or trailers). After an error, or in the middle of a body,
 * the connection cannot be used again.
 */
int h1_chunk_next(struct h1_chunk *chunk, struct str *input, struct str *ret_data);

/* Writes the line before a chunk of `size` (not 0) bytes; returns its length. After the data comes
 * H1_CHUNK_TAIL, and after the last chunk H1_CHUNK_LAST. */
size_t h1_chunk_head(char *at, size_t size);

#define H1_CHUNK_TAIL S("\r\n")
#define H1_CHUNK_LAST S("0\r\n\r\n")

#pragma GCC visibility pop

#endif
