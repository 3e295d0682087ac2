/* Reading the body of a request: by length or in chunks, under the clock that keeps slow senders
 * away. */
#include "http/conn.h"

enum { DRAIN_BYTES = 64 * 1024 }; /* of a body nobody wanted; more costs the connection */

#define DRAIN_TIME SECOND

static struct exchange *exchange_of(struct req *req)
{
	return CONTAINER_OF(req, struct exchange, req);
}

void body_begin(struct req *req)
{
	const struct server_limits *limits = &req->conn->home->server->limits;
	struct req_body *body = &req->body;

	*body = (struct req_body){ .limit = limits->body,
		.owes_continue = req->head.expect_continue };
	body->left = req->head.framing == H1_BODY_LENGTH ? req->head.length : 0;
	body->ended = req->head.framing == H1_BODY_NONE ||
		      (req->head.framing == H1_BODY_LENGTH && body->left == 0);
	if (req->head.framing == H1_BODY_CHUNKED)
		h1_chunk_init(&body->chunk, &limits->head, body->limit);
}

void body_set_limit(struct req *req, size_t limit)
{
	CHECK(req->body.received == 0);
	req->body.limit = req->body.chunk.body_limit = limit;
}

/* How long the sender may let us wait now, so that it keeps the pace. What it sent has earned it
 * time, and earlier waits have used some; what the handler does in between is not its time. */
static uint64_t patience(const struct req *req)
{
	const struct server_limits *limits = &req->conn->home->server->limits;
	const struct req_body *body = &req->body;
	uint64_t earned = limits->body_grace_ns + body->received * SECOND / limits->body_rate;

	return earned > body->waited_ns ? earned - body->waited_ns : 0;
}

static int say_continue(struct req *req)
{
	struct buf *out = &exchange_of(req)->out;

	if (!req->body.owes_continue)
		return 0;
	req->body.owes_continue = false;
	buf_append(out, S("HTTP/1.1 100 Continue\r\n\r\n"));
	return out->failed;
}

/* Reads from the stream, at least 1 byte. */
static ssize_t receive(struct req *req, char *at, size_t size)
{
	uint64_t began, deadline;
	int r = say_continue(req);
	ssize_t got;

	if (r < 0)
		return r;
	/* Answers collected for earlier requests must not wait for a body that waits for them. */
	r = conn_flush(req->conn);
	if (r < 0)
		return r;

	began = sched_now();
	deadline = began + patience(req);
	got = stream_read(req->conn->stream, at, size, deadline);
	req->body.waited_ns += sched_now() - began;
	if (got == 0)
		return fail(ERR_CLOSED, "the client went away in the middle of the body");
	if (got == -ERR_TIMEOUT && sched_now() >= deadline)
		return fail(ERR_SLOW_REQUEST, "the body arrives too slowly");
	return got;
}

/* Makes sure the inbox has a byte. What was in it is used up, so it starts again behind the head.
 */
static int fill_inbox(struct req *req)
{
	struct exchange *exchange = exchange_of(req);
	struct inbox *in = &exchange->in;
	ssize_t got;

	if (in->start < in->end)
		return 0;

	in->start = in->end = exchange->body_at;
	got = receive(req, in->at + in->end, in->capacity - in->end);
	if (got < 0)
		return (int)got;
	in->end += (size_t)got;
	return 0;
}

static ssize_t read_by_length(struct req *req, char *at, size_t size)
{
	struct inbox *in = &exchange_of(req)->in;
	struct req_body *body = &req->body;
	size_t here = in->end - in->start;
	ssize_t got;

	size = (size_t)MIN((uint64_t)size, body->left);
	if (here) {
		got = (ssize_t)MIN(size, here);
		memcpy(at, in->at + in->start, (size_t)got);
		in->start += (size_t)got;
	} else {
		got = receive(req, at, size);
		if (got < 0)
			return got;
	}
	body->left -= (uint64_t)got;
	body->ended = body->left == 0;
	return got;
}

static ssize_t read_chunked(struct req *req, char *at, size_t size)
{
	struct inbox *in = &exchange_of(req)->in;
	struct req_body *body = &req->body;

	for (;;) {
		struct str input, data;
		size_t offered;
		int event;

		if (fill_inbox(req) < 0)
			return -(int)err_last()->code;

		/* No more than fits, so that a piece is never larger than the caller's space. */
		input = str_first(inbox_str(in), size);
		offered = input.len;
		event = h1_chunk_next(&body->chunk, &input, &data);
		if (event < 0)
			return event;
		in->start += offered - input.len;
		if (event == H1_CHUNK_DONE) {
			body->ended = true;
			return 0;
		}
		if (event == H1_CHUNK_DATA) {
			memcpy(at, data.at, data.len);
			return (ssize_t)data.len;
		}
	}
}

static ssize_t read_some(struct req *req, char *at, size_t size)
{
	struct req_body *body = &req->body;
	ssize_t got;

	CHECK(size > 0);
	if (body->failed)
		return fail(ERR_CLOSED, "the body broke off");
	if (body->ended)
		return 0;
	if (req->head.framing == H1_BODY_LENGTH && req->head.length > body->limit) {
		body->failed = true;
		return fail(ERR_TOO_LARGE, "the body has more than %llu bytes",
			(unsigned long long)body->limit);
	}

	got = req->head.framing == H1_BODY_CHUNKED ? read_chunked(req, at, size)
						   : read_by_length(req, at, size);
	if (got < 0)
		body->failed = true;
	else
		body->received += (uint64_t)got;
	return got;
}

ssize_t req_read(struct req *req, char *at, size_t size)
{
	bool failed_before = req->body.failed;
	ssize_t got = read_some(req, at, size);

	/* Whoever left, it was not us: to whoever works with the body it is one that is wrong. */
	if (!failed_before && (got == -ERR_CLOSED || got == -ERR_IO))
		return fail(ERR_INVALID, "the connection ended in the middle of the body");
	return got;
}

/* A body whose length is known: where it is, when all of it has arrived, else collected in the
 * arena. */
static int read_all_by_length(struct req *req, struct str *ret)
{
	struct inbox *in = &exchange_of(req)->in;
	struct req_body *body = &req->body;
	size_t length = (size_t)body->left;
	char *at;

	if (length <= in->end - in->start) {
		*ret = str_of(in->at + in->start, length);
		in->start += length;
		body->left = 0;
		body->ended = true;
		body->received += length;
		return 0;
	}

	at = arena_alloc(&req->arena, length);
	if (!at)
		return -(int)err_last()->code;
	for (size_t have = 0; have < length;) {
		ssize_t got = req_read(req, at + have, length - have);

		if (got < 0)
			return (int)got;
		have += (size_t)got;
	}
	*ret = str_of(at, length);
	return 0;
}

/* A body in chunks: collected in a buffer that doubles, in the arena. */
static int read_all_chunked(struct req *req, struct str *ret)
{
	size_t room = 4 * KILOBYTE, have = 0;
	char *at = arena_alloc(&req->arena, room);

	while (at) {
		ssize_t got;

		if (have == room) {
			char *larger = arena_alloc(&req->arena, room * 2);

			if (!larger)
				break;
			memcpy(larger, at, have);
			at = larger;
			room *= 2;
		}
		got = req_read(req, at + have, room - have);
		if (got < 0)
			return (int)got;
		if (got == 0) {
			*ret = str_of(at, have);
			return 0;
		}
		have += (size_t)got;
	}
	return -(int)err_last()->code;
}

static int read_all(struct req *req, struct str *ret)
{
	CHECK(req->body.received == 0);

	if (req->body.ended) {
		*ret = str_of("", 0);
		return 0;
	}
	if (req->head.framing == H1_BODY_CHUNKED)
		return read_all_chunked(req, ret);
	if (req->head.length > req->body.limit) {
		req->body.failed = true;
		return fail(ERR_TOO_LARGE, "the body has more than %llu bytes",
			(unsigned long long)req->body.limit);
	}
	return read_all_by_length(req, ret);
}

int req_read_all(struct req *req, struct str *ret)
{
	int r = req->body.whole.at ? 0 : read_all(req, &req->body.whole);

	if (r == 0)
		*ret = req->body.whole;
	return r;
}

/* Reads and drops the rest of a body that nobody wanted, if that is soon done. */
static int drain(struct req *req)
{
	struct scope scope;
	char scrap[1024];
	size_t dropped = 0;
	ssize_t got;

	scope_open(&scope, sched_now() + DRAIN_TIME);
	do {
		got = read_some(req, scrap, sizeof(scrap));
		dropped += got > 0 ? (size_t)got : 0;
	} while (got > 0 && dropped < DRAIN_BYTES);
	(void)scope_close(&scope);
	if (req->body.ended)
		return 0;
	return got < 0 ? (int)got : fail(ERR_TOO_LARGE, "the body is not worth reading");
}

int body_finish(struct req *req)
{
	struct req_body *body = &req->body;

	if (body->ended)
		return 0;
	if (body->failed || req->close)
		return fail(ERR_CLOSED, "the rest of the body cannot be read");
	/* A client that was never told to continue may send the body or not: nobody can know. */
	if (body->owes_continue || body->left > DRAIN_BYTES)
		return fail(ERR_TOO_LARGE, "the body is not worth reading");
	return drain(req);
}
