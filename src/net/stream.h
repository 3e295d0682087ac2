/*
 * Bytes in and out, whatever carries them: TCP, TLS over anything, a pipe in memory. The two
 * operations of a stream only try: they move what can be moved now, or say which readiness to wait
 * for. Waiting is done here and nowhere else, by the fiber that owns the stream. At most one fiber
 * reads and one writes.
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include "base/str.h"
#include "loop/ready.h"

#include <sys/types.h>

#pragma GCC visibility push(default)

/* What a try answers when it could move nothing. A read may want to write, and the reverse (TLS).
 */
enum {
	STREAM_WANT_READ = -1000,
	STREAM_WANT_WRITE = -1001,
};

enum { STREAM_PARTS_MAX = 8 }; /* pieces of one write */

struct stream;

struct stream_ops {
	/* At least 1 byte: their number. 0: the other side ended properly. Negative: STREAM_WANT_x,
	 * or an error (-ERR_IO, -ERR_CLOSED) with the slot filled. */
	ssize_t (*read)(struct stream *, char *at, size_t size);

	/* Takes some of the parts, in order: how many bytes. Negative as above. `count` is at most
	 * STREAM_PARTS_MAX and the parts are not all empty. After STREAM_WANT_x the next write must
	 * begin with the same bytes (TLS has encrypted them already), wherever they lie then. */
	ssize_t (*write)(struct stream *, const struct str *parts, size_t count);

	/* Tells the other side that nothing more will come. 0, STREAM_WANT_x, or an error. */
	int (*end)(struct stream *);

	/* Lets go of everything below; the memory of the struct stays the owner's. */
	void (*close)(struct stream *);
};

struct stream {
	const struct stream_ops *ops;
	struct ready *ready; /* of whatever is at the bottom */
};

/* --- trying; also outside fibers ---------------------------------------- */

static inline ssize_t stream_try_read(struct stream *stream, char *at, size_t size)
{
	return stream->ops->read(stream, at, size);
}

static inline ssize_t stream_try_write(struct stream *stream, const struct str *parts, size_t count)
{
	return stream->ops->write(stream, parts, count);
}

/* NULL is allowed. */
static inline void stream_close(struct stream *stream)
{
	if (stream)
		stream->ops->close(stream);
}

/* True for STREAM_WANT_READ and STREAM_WANT_WRITE. */
static inline bool stream_wants(ssize_t result)
{
	return result == STREAM_WANT_READ || result == STREAM_WANT_WRITE;
}

/* --- in fibers ---------------------------------------------------------- */

/* Parks until what a try has asked for (STREAM_WANT_x); the errors of ready_wait. */
int stream_wait(struct stream *stream, ssize_t want, uint64_t deadline_ns);

/* Reads at least 1 byte (their number) or the proper end (0). Parks until then, `deadline_ns`, or
 * the end of the scope: errors of park, -ERR_IO, -ERR_CLOSED. */
ssize_t stream_read(struct stream *stream, char *at, size_t size, uint64_t deadline_ns);

/* How long a writer bears with a slow reader. */
struct stream_pace {
	uint64_t stall_ns;    /* longest time without any byte taken; TIME_NEVER: any */
	uint64_t bytes_per_s; /* slowest average after the first `stall_ns`; 0: any */
};

/*
 * Writes all parts, in order. Their memory must stay until it returns. 0, -ERR_TIMEOUT (the pace
 * was not held), or errors as above; after an error the stream is good for closing only.
 */
int stream_write(struct stream *stream, const struct str *parts, size_t count,
	const struct stream_pace *pace);

/* Tells the other side that nothing more will come. */
int stream_end(struct stream *stream, uint64_t deadline_ns);

#pragma GCC visibility pop

#endif
