/* The waiting halves of a stream: try, park until the wanted readiness, try again. */
#include "net/stream.h"

int stream_wait(struct stream *stream, ssize_t want, uint64_t deadline_ns)
{
	return ready_wait(
		stream->ready, want == STREAM_WANT_READ ? READY_READ : READY_WRITE, deadline_ns);
}

ssize_t stream_read(struct stream *stream, char *at, size_t size, uint64_t deadline_ns)
{
	CHECK(size > 0);

	for (;;) {
		ssize_t got = stream_try_read(stream, at, size);
		int r;

		if (!stream_wants(got))
			return got;
		r = stream_wait(stream, got, deadline_ns);
		if (r < 0)
			return r;
	}
}

/* Drops the first `bytes` of the parts. */
static void advance(struct str *parts, size_t *count, size_t bytes)
{
	size_t whole = 0;

	while (whole < *count && bytes >= parts[whole].len)
		bytes -= parts[whole++].len;

	*count -= whole;
	memmove(parts, parts + whole, *count * sizeof(*parts));
	if (*count)
		parts[0] = str_from(parts[0], bytes);
}

static uint64_t add_time(uint64_t a, uint64_t b)
{
	return a < TIME_NEVER - b ? a + b : TIME_NEVER;
}

/* When a writer that began at `began_ns` and has moved `moved` bytes must have moved another. */
static uint64_t next_deadline(const struct stream_pace *pace, uint64_t began_ns, uint64_t moved)
{
	uint64_t stall = add_time(sched_now(), pace->stall_ns);
	uint64_t rate = pace->bytes_per_s;
	uint64_t slowest;

	if (!rate)
		return stall;
	/* In two steps: moved * SECOND is more than 64 bits from 18 GB on. */
	slowest = add_time(began_ns, pace->stall_ns);
	slowest = add_time(slowest, moved / rate * SECOND + moved % rate * SECOND / rate);
	return MIN(stall, slowest);
}

int stream_write(struct stream *stream, const struct str *parts, size_t count,
	const struct stream_pace *pace)
{
	struct str left[STREAM_PARTS_MAX];
	uint64_t began = sched_now();
	uint64_t moved = 0;

	CHECK(count <= STREAM_PARTS_MAX);
	memcpy(left, parts, count * sizeof(*parts));
	advance(left, &count, 0);

	while (count > 0) {
		ssize_t took = stream_try_write(stream, left, count);

		if (stream_wants(took)) {
			int r = stream_wait(stream, took, next_deadline(pace, began, moved));

			if (r < 0)
				return r;
			continue;
		}
		if (took < 0)
			return (int)took;
		moved += (uint64_t)took;
		advance(left, &count, (size_t)took);
	}
	return 0;
}

int stream_end(struct stream *stream, uint64_t deadline_ns)
{
	for (;;) {
		int r = stream->ops->end(stream);

		if (!stream_wants(r))
			return r;
		r = stream_wait(stream, r, deadline_ns);
		if (r < 0)
			return r;
	}
}
