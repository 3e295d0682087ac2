/* Two buffers, crosswise. Readiness of one end follows from the buffer of the other. */
#include "net/pipe.h"

static struct pipe_end *end_of(struct stream *stream)
{
	return CONTAINER_OF(stream, struct pipe_end, stream);
}

/* A real socket tells its changes from the poller, never from inside the call that caused them.
 * on_change may do anything, so here, too, it must be the last thing. */
static void tell(struct pipe_end *end)
{
	/* Without another end a write does not wait: it fails. */
	ready_changed(&end->ready, end->incoming.len > 0 || end->finished,
		!end->other || end->other->incoming.len < end->other->incoming.limit,
		end->finished || !end->other);
}

static ssize_t pipe_read(struct stream *stream, char *at, size_t size)
{
	struct pipe_end *end = end_of(stream);
	size_t count = MIN(MIN(size, end->chop), end->incoming.len);

	if (count == 0) {
		if (end->finished)
			return 0;
		end->ready.readable = false;
		return STREAM_WANT_READ;
	}

	memcpy(at, end->incoming.at, count);
	buf_consume(&end->incoming, count);
	if (end->other)
		tell(end->other);
	return (ssize_t)count;
}

static ssize_t pipe_write(struct stream *stream, const struct str *parts, size_t count)
{
	struct pipe_end *end = end_of(stream);
	struct pipe_end *other = end->other;
	size_t moved = 0;

	if (!other)
		return fail(ERR_CLOSED, "the other end is closed");

	for (size_t i = 0; i < count; i++) {
		size_t room = MIN(other->incoming.limit - other->incoming.len, end->chop - moved);
		struct str part = str_first(parts[i], room);

		buf_append(&other->incoming, part);
		if (other->incoming.failed)
			return other->incoming.failed;
		moved += part.len;
	}
	if (moved == 0) {
		end->ready.writable = false;
		return STREAM_WANT_WRITE;
	}
	tell(other);
	return (ssize_t)moved;
}

static int pipe_finish(struct stream *stream)
{
	struct pipe_end *other = end_of(stream)->other;

	if (other && !other->finished) {
		other->finished = true;
		tell(other);
	}
	return 0;
}

static void pipe_close(struct stream *stream)
{
	struct pipe_end *end = end_of(stream);
	struct pipe_end *other = end->other;

	ready_close(&end->ready);
	buf_done(&end->incoming);
	end->other = NULL;
	if (other) {
		other->other = NULL;
		other->finished = true;
		tell(other);
	}
}

static const struct stream_ops pipe_ops = {
	.read = pipe_read,
	.write = pipe_write,
	.end = pipe_finish,
	.close = pipe_close,
};

void pipe_open(struct pipe_end ends[2], size_t capacity, size_t chop)
{
	CHECK(capacity > 0 && chop > 0);

	for (size_t i = 0; i < 2; i++) {
		struct pipe_end *end = &ends[i];

		*end = (struct pipe_end){ .other = &ends[!i], .chop = chop };
		end->stream = (struct stream){ &pipe_ops, &end->ready };
		ready_init(&end->ready);
		end->ready.readable = end->ready.writable = true;
		buf_init(&end->incoming, capacity);
	}
}
