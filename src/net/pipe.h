/*
 * A pair of streams in memory: what is written to one end is read from the other. For tests that
 * run a whole server without a port, and for TLS over memory. Both ends belong to one thread.
 */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include "base/buf.h"
#include "net/stream.h"

struct pipe_end {
	struct stream stream; /* first */
	struct ready ready;
	struct pipe_end *other; /* NULL once the other end is closed */
	struct buf incoming;    /* written by the other end, not yet read */
	size_t chop;            /* most bytes that one read or write moves */
	bool finished;          /* the other end will write no more */
};

/* Makes both ends; each buffers at most `capacity` bytes, and no read or write moves more than
 * `chop` (1 finds what a whole read hides). Takes no memory yet. */
void pipe_open(struct pipe_end ends[2], size_t capacity, size_t chop);

#endif
