/*
 * Content codings for answers: gzip (RFC 1952, zlib level 5) and br (RFC 7932, quality 4), as
 * streams that append to a buf.
 *
 * An encoder's state is large, so each worker keeps a few in a pool; all of it comes from mem_alloc
 * and is counted there. In use a gzip state has 135 KB, a br state 0.6 MB for small bodies and 2.1
 * MB for the worst that was found, whatever the length; more than the limits below is
 * ERR_NO_MEMORY. At most `most` are in use: beyond that compress_begin says ERR_FULL, and the
 * answer goes out as it is.
 *
 * A pool and its compressors belong to one thread at a time. Whoever compresses a body that holds
 * both a secret and text chosen by the client opens a side channel (BREACH); that is the caller's
 * to decide.
 */
#ifndef HTTP_COMPRESS_H
#define HTTP_COMPRESS_H

#include "base/buf.h"
#include "base/list.h"
#include "http/accept.h"

#pragma GCC visibility push(default)

enum {
	COMPRESS_GZIP_MEMORY = 160 * 1024,    /* bytes of one gzip state at most */
	COMPRESS_BR_MEMORY = 4 * 1024 * 1024, /* bytes of one br state at most */
	COMPRESS_IDLE_MEMORY = 1024 * 1024,   /* bytes of one idle state at most */
};

struct compress_state;

struct compress_pool {
	struct link idle[ENCODINGS];  /* states, last used first; none for identity */
	size_t idle_count[ENCODINGS]; /* length of each list */
	size_t keep;                  /* longest each list gets */
	size_t most;                  /* compressors in use at once */
	size_t used;                  /* in use now */
};

/* An empty pool; allocates nothing yet. */
void compress_pool_init(struct compress_pool *pool, size_t keep, size_t most);

/* Frees the idle states. None may be in use. */
void compress_pool_done(struct compress_pool *pool);

/* One body. Zero is a compressor that was never begun. */
struct compressor {
	struct compress_pool *pool;
	struct compress_state *state; /* NULL: not begun, or done */
	bool ended;
};

/*
 * Starts a body. `encoding` is gzip or br. ERR_FULL when `most` are in use, ERR_NO_MEMORY; the
 * compressor is then as if never begun.
 */
int compress_begin(
	struct compressor *compressor, struct compress_pool *pool, enum encoding encoding);

/*
 * Appends what the encoder gives out for `data`, perhaps nothing yet. ERR_TOO_LARGE when `out` is
 * at its limit, ERR_NO_MEMORY; the stream is then broken and only compress_done is left.
 */
int compress_write(struct compressor *compressor, struct str data, struct buf *out);

/* Appends all that was written so far, so that the client can read it; costs some bytes. */
int compress_flush(struct compressor *compressor, struct buf *out);

/* Ends the stream. Only compress_done may follow. */
int compress_end(struct compressor *compressor, struct buf *out);

/* Gives the state back, after the end or in the middle. Does nothing when there is none. */
void compress_done(struct compressor *compressor);

/* A whole body in one call: begin, write, end, done. What `out` held before stays, also on failure.
 */
int compress_whole(
	struct compress_pool *pool, enum encoding encoding, struct str data, struct buf *out);

#pragma GCC visibility pop

#endif
