/*
 * A ring of log lines between one producing thread and the writer thread. Plain bytes: whole lines
 * that end in a newline, published one at a time, so that the reader never sees half of one.
 * Neither side ever waits for the other.
 */
#ifndef OBSERVE_LOG_RING_H
#define OBSERVE_LOG_RING_H

#include "base/str.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_ring {
	/* The producer's. `head` and `tail` count bytes since the start and never wrap. */
	_Atomic size_t head;
	size_t tail_seen;         /* what the producer last knew of `tail` */
	_Atomic uint64_t lines;   /* put into the ring; written by the producer only */
	_Atomic uint64_t dropped; /* refused because it was full; written by the producer only */
	char apart[64];           /* keeps the two sides off each other's cache line */

	/* The reader's. */
	_Atomic size_t tail;
	char apart_too[64];

	size_t size;          /* of `bytes`, a power of two */
	_Atomic bool orphan;  /* the producing thread has let go; the writer frees it once empty */
	_Atomic bool cut_off; /* the log was closed under it; the producing thread frees it */
	char bytes[];
};

/* A ring for `size` bytes (a power of two), its memory touched; NULL with ERR_NO_MEMORY. */
struct log_ring *log_ring_new(size_t size);
void log_ring_free(struct log_ring *ring);

/* Producer: adds one whole line. False, and counted, when there is no room. */
bool log_ring_put(struct log_ring *ring, struct str line);

/* Bytes that wait, as either side may ask. */
size_t log_ring_used(const struct log_ring *ring);

/*
 * Reader: moves whole lines to `at`, as many as `room` holds; returns their bytes. 0 when the ring
 * is empty or not even the next line fits.
 */
size_t log_ring_take(struct log_ring *ring, char *at, size_t room);

#endif
