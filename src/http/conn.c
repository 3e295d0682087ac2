/* The life of a connection: accepted, waiting, busy, waiting, ..., closed. What happens while it is
 * busy is http/exchange.c. */
#include "http/conn.h"

#include "base/mem.h"
#include "http/metrics.h"

#include <unistd.h>

enum {
	BURST = 16,                /* pipelined requests before others get a turn */
	LINGER_BYTES = 256 * 1024, /* thrown away at most after the last answer */
};

#define LINGER_TIME SECOND

/* A connection that came right before the end may still say what it came for. */
#define FIRST_WORD_TIME SECOND

static void conn_changed(struct ready *ready);
static void conn_expired(struct timer *timer);

/* --- opening and closing ------------------------------------------------ */

static const struct server_limits *limits_of(const struct conn *conn)
{
	return &conn->home->server->limits;
}

/* The connection must get on by then. Timers are lazy: an armed one that fires too early is armed
 * again. */
static int set_deadline(struct conn *conn, uint64_t at_ns)
{
	struct timers *timers = &conn->home->worker.sched.timers;

	conn->deadline_ns = at_ns;
	if (conn->timer.slot && conn->armed_ns <= at_ns)
		return 0;

	conn->armed_ns = at_ns;
	return timer_arm(timers, &conn->timer, at_ns);
}

static struct conn *conn_new(struct server_worker *home, struct site *site)
{
	struct conn *conn = mem_zalloc(sizeof(*conn));
	uint64_t age = home->server->limits.connection_age_ns;

	if (!conn)
		return NULL;

	conn->home = home;
	conn->site = site;
	/* A quarter of jitter, or connections that came together would all have to come again
	 * together. */
	conn->expires_ns = sched_now() + age - age / 4 * (sched_now() / 1024 % 256) / 256;
	conn->timer = (struct timer){ .fire = conn_expired };
	buf_init(&conn->stash, home->server->limits.head.head + 1);
	list_push(&home->conns, &conn->link);
	return conn;
}

static void attach(struct conn *conn, struct stream *stream)
{
	conn->stream = stream;
	conn->stream->ready->owner = conn;
	conn->stream->ready->on_change = conn_changed;
}

struct conn *conn_open_stream(struct server_worker *home, struct site *site, struct stream *stream)
{
	struct conn *conn = conn_new(home, site);

	if (!conn)
		return NULL;

	(void)address_parse(S("127.0.0.1"), 0, &conn->peer);
	conn->peer_len = address_write_host(&conn->peer, conn->peer_text);
	home->load++;
	atomic_fetch_add(&home->server->connections, 1);
	metrics_connections(+1);
	conn->state = CONN_WAITING;
	attach(conn, stream);
	if (set_deadline(conn, sched_now() + limits_of(conn)->head_ns) < 0) {
		conn_close(conn);
		return NULL;
	}
	return conn;
}

/* Counts the connection out; what server.c counted in when it was accepted. */
static void leave(struct server_worker *home, const struct conn *conn)
{
	struct server *server = home->server;

	if (conn->own_tcp && !server_trusts(server, &conn->peer))
		peers_leave(&server->peers, &conn->peer);
	atomic_fetch_sub(&home->load, 1);
	atomic_fetch_sub(&server->connections, 1);
	metrics_connections(-1);
}

void conn_close(struct conn *conn)
{
	struct server_worker *home = conn->home;

	CHECK(!conn->exchange);
	timer_disarm(&home->worker.sched.timers, &conn->timer);
	if (conn->stream) {
		conn->stream->ready->on_change = NULL;
		stream_close(conn->stream);
	}
	link_remove(&conn->link);
	buf_done(&conn->stash);
	leave(home, conn);
	mem_free(conn, sizeof(*conn));
}

static int start_tls(struct conn *conn)
{
	int r = tls_accept(&conn->tls, conn->site->tls, &conn->tcp.stream);

	if (r < 0)
		return r;
	conn->over_tls = true;
	conn->state = CONN_HANDSHAKE;
	attach(conn, &conn->tls.stream);
	return set_deadline(conn, sched_now() + limits_of(conn)->handshake_ns);
}

void conn_open(struct server_worker *home, struct site *site, int fd, const struct address *peer)
{
	struct conn *conn = conn_new(home, site);
	int r;

	if (!conn) {
		struct conn nobody = { .own_tcp = true, .peer = *peer };

		(void)close(fd);
		leave(home, &nobody);
		return;
	}

	conn->own_tcp = true;
	conn->peer = *peer;
	conn->peer_len = address_write_host(peer, conn->peer_text);
	r = tcp_open(&conn->tcp, &home->worker.poller, fd);
	if (r == 0) {
		conn->tcp.watch.ready.readable = false; /* epoll will say when */
		attach(conn, &conn->tcp.stream);
		conn->state = CONN_WAITING;
		r = site->tls ? start_tls(conn)
			      : set_deadline(conn, sched_now() + limits_of(conn)->head_ns);
	}
	if (r < 0)
		conn_close(conn);
	else if (home->draining) /* it was on its way here when the end began */
		conn_drain(conn);
}

/* --- output ------------------------------------------------------------- */

int conn_send(struct conn *conn, const struct str *parts, size_t count)
{
	struct buf *out = &conn->exchange->out;
	const struct server_limits *limits = limits_of(conn);
	struct stream_pace pace = { limits->write_stall_ns, limits->body_rate };
	struct str all[STREAM_PARTS_MAX];
	int r;

	CHECK(count < STREAM_PARTS_MAX);
	if (conn->broken)
		return fail(ERR_CLOSED, "the connection is broken");

	all[0] = buf_str(out);
	if (count)
		memcpy(all + 1, parts, count * sizeof(*parts));
	r = stream_write(conn->stream, all, count + 1, &pace);
	buf_reset(out);
	conn->exchange->complete = 0;
	conn->broken = r < 0;
	return r;
}

int conn_flush(struct conn *conn)
{
	return conn->exchange->out.len ? conn_send(conn, NULL, 0) : 0;
}

/* --- waiting for a head ------------------------------------------------- */

enum seek { SEEK_FOUND, SEEK_LATER, SEEK_GONE };

/* Moves what is not used up to the front of the inbox, so that there is room behind it. Nobody may
 * point into it. */
static void move_up(struct inbox *in)
{
	size_t len = in->end - in->start;

	if (in->start == 0)
		return;
	if (len)
		memmove(in->at, in->at + in->start, len);
	in->start = 0;
	in->end = len;
}

/* Looks for the end of the head in what has arrived. */
static enum seek scan_inbox(struct conn *conn, struct exchange *exchange)
{
	exchange->head_len =
		h1_head_scan(&conn->scan, inbox_str(&exchange->in), &limits_of(conn)->head);
	if (exchange->head_len == 0)
		return SEEK_LATER;
	if (exchange->head_len < 0)
		exchange->head_err = *err_last();
	return SEEK_FOUND;
}

/* Reads until the head is complete, nothing more is there now, or the other side has gone. Never
 * parks. */
static enum seek seek_head(struct conn *conn, struct exchange *exchange)
{
	struct inbox *in = &exchange->in;
	enum seek seek = scan_inbox(conn, exchange);

	if (seek == SEEK_LATER)
		move_up(in);
	while (seek == SEEK_LATER) {
		ssize_t got;

		/* The scanner gives up before the inbox is full. */
		CHECK(in->end < in->capacity);
		got = stream_try_read(conn->stream, in->at + in->end, in->capacity - in->end);
		if (got == STREAM_WANT_READ || got == STREAM_WANT_WRITE)
			return SEEK_LATER;
		if (got <= 0)
			return SEEK_GONE;
		in->end += (size_t)got;
		seek = scan_inbox(conn, exchange);
	}
	return seek;
}

/* Keeps the part of a head in the record, since the exchange goes back to the pool. */
static int stash(struct conn *conn, struct exchange *exchange)
{
	struct str part = inbox_str(&exchange->in);

	buf_done(&conn->stash);
	buf_append(&conn->stash, part);
	return conn->stash.failed;
}

static void unstash(struct conn *conn, struct exchange *exchange)
{
	struct inbox *in = &exchange->in;

	CHECK(conn->stash.len < in->capacity);
	if (conn->stash.len)
		memcpy(in->at, conn->stash.at, conn->stash.len);
	in->start = 0;
	in->end = conn->stash.len;
	buf_done(&conn->stash);
}

/* Goes back to being a record. `time_ns`: until when it must get on; 0: what was said before holds.
 */
static void rest(struct conn *conn, struct exchange *exchange, uint64_t time_ns)
{
	bool begun = exchange->in.end > exchange->in.start; /* a head */
	int r = begun ? stash(conn, exchange) : 0;

	conn->exchange = NULL;
	conn->state = CONN_WAITING;
	exchange_give(conn->home, exchange);

	if (conn->home->draining && !begun && conn->requests == 0)
		time_ns = FIRST_WORD_TIME;
	if (r == 0 && time_ns)
		r = set_deadline(conn, sched_now() + time_ns);
	if (r < 0 || (conn->home->draining && !begun && conn->requests > 0))
		conn_close(conn);
}

/* --- busy --------------------------------------------------------------- */

/* After the last answer: what the client still sends is thrown away for a while, since closing a
 * socket with unread input would destroy the answer on its way. Never parks. */
static void linger(struct conn *conn)
{
	char scrap[4096];
	ssize_t got;

	do {
		got = stream_try_read(conn->stream, scrap, sizeof(scrap));
		conn->thrown += got > 0 ? (size_t)got : 0;
	} while (got > 0 && conn->thrown < LINGER_BYTES);
	if (got != STREAM_WANT_READ && got != STREAM_WANT_WRITE)
		conn_close(conn);
}

/* Sends what is left and lets go of the connection, as a record again: many may linger at once. */
static void finish(struct conn *conn)
{
	struct exchange *exchange = conn->exchange;
	bool lingers = conn_flush(conn) == 0 && !exchange->req.reply.upgraded;
	uint64_t deadline = sched_now() + LINGER_TIME;

	lingers = lingers && stream_end(conn->stream, deadline) == 0;
	conn->exchange = NULL;
	exchange_give(conn->home, exchange);
	if (!lingers || set_deadline(conn, deadline) < 0) {
		conn_close(conn);
		return;
	}
	conn->state = CONN_LINGERING;
	linger(conn);
}

/* A head far back in the inbox comes to the front, or its body would be read in tiny pieces, or not
 * at all. Not each one does: that would move all pipelined requests for each of them. */
static void make_room_for_body(struct conn *conn, struct exchange *exchange)
{
	struct inbox *in = &exchange->in;

	if (exchange->head_len > 0 &&
		in->capacity - in->start - (size_t)exchange->head_len < limits_of(conn)->pipelined)
		move_up(in);
}

/* A fiber's work: this request, and those that come right behind it. */
static int conn_run(void *arg)
{
	struct conn *conn = arg;
	struct exchange *exchange = conn->exchange;
	const struct server_limits *limits = limits_of(conn);

	for (size_t served = 1;; served++) {
		enum seek seek;

		make_room_for_body(conn, exchange);
		if (!exchange_run(exchange, conn) ||
			(exchange->out.len >= limits->response_queue && conn_flush(conn) < 0)) {
			finish(conn);
			return 0;
		}

		conn->scan = (struct h1_scan){ 0 };
		seek = scan_inbox(conn, exchange);
		if (seek == SEEK_LATER && conn_flush(conn) == 0)
			seek = seek_head(conn, exchange);
		if (seek == SEEK_GONE || conn->broken) {
			finish(conn);
			return 0;
		}
		if (seek == SEEK_LATER) {
			rest(conn, exchange, exchange->in.end ? limits->head_ns : limits->idle_ns);
			return 0;
		}
		if (served % BURST == 0)
			fiber_yield();
	}
}

/* Gives the connection to a fiber. */
static void go(struct conn *conn, struct exchange *exchange)
{
	conn->state = CONN_BUSY;
	conn->exchange = exchange;
	conn->deadline_ns = TIME_NEVER;
	if (scope_spawn(&conn->home->worker.sched.root, conn_run, conn) < 0) {
		conn->exchange = NULL;
		exchange_give(conn->home, exchange);
		conn_close(conn); /* no fiber to say 503 with */
	}
}

/* `last`: the time is up for who has said nothing. */
static void read_head(struct conn *conn, bool last)
{
	struct exchange *exchange = exchange_take(conn->home);
	bool begun = conn->stash.len > 0;
	enum seek seek;

	if (!exchange) {
		conn_close(conn);
		return;
	}

	unstash(conn, exchange);
	seek = seek_head(conn, exchange);
	if (seek == SEEK_LATER && last && exchange->in.end == 0)
		seek = SEEK_GONE;
	switch (seek) {
	case SEEK_FOUND: go(conn, exchange); break;
	case SEEK_LATER: /* the clock of a head starts with its first byte and is not set again */
		rest(conn, exchange, !begun && exchange->in.end ? limits_of(conn)->head_ns : 0);
		break;
	case SEEK_GONE:
		exchange_give(conn->home, exchange);
		conn_close(conn);
		break;
	}
}

/* To somebody who speaks plain HTTP to a TLS port: what a browser or curl will show. */
static void refuse_plain(struct conn *conn)
{
	static const struct str answer = S_INIT(
		"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
		"content-length: 116\r\nconnection: close\r\n\r\n"
		"{\"success\":false,\"statusCode\":400,\"error\":{\"code\":\"VALIDATION_ERROR\","
		"\"message\":\"This port speaks HTTPS, not HTTP.\"}}");

	/* One try: a socket that has just been opened has room for it. */
	(void)stream_try_write(&conn->tcp.stream, &answer, 1);
}

static void handshake(struct conn *conn)
{
	int r = tls_handshake(&conn->tls);

	if (r == STREAM_WANT_READ || r == STREAM_WANT_WRITE)
		return;
	if (r == 0)
		r = set_deadline(conn, sched_now() + limits_of(conn)->head_ns);
	if (r == -ERR_INVALID)
		refuse_plain(conn);
	if (r < 0) {
		conn_close(conn);
		return;
	}
	conn->state = CONN_WAITING;
	read_head(conn, false);
}

/* --- events ------------------------------------------------------------- */

/* Whether the end of what the client sends means that it has gone, and nobody wants the answer. A
 * client may also end its half after its last byte, and what it sent before is still to be read. */
static bool nothing_more_wanted(const struct req *req)
{
	return req->body.ended && !req->reply.upgraded;
}

static void conn_changed(struct ready *ready)
{
	struct conn *conn = ready->owner;

	switch (conn->state) {
	case CONN_HANDSHAKE: handshake(conn); break;
	case CONN_WAITING:
		if (ready->readable)
			read_head(conn, false);
		break;
	case CONN_LINGERING: linger(conn); break;
	case CONN_BUSY:
		if (ready->ended && conn->scope && nothing_more_wanted(&conn->exchange->req))
			scope_cancel(conn->scope);
		break;
	}
}

static void say_too_slow(struct conn *conn)
{
	struct exchange *exchange = exchange_take(conn->home);

	if (!exchange) {
		conn_close(conn);
		return;
	}
	unstash(conn, exchange);
	exchange->head_len =
		fail(ERR_SLOW_REQUEST, "the head of the request was not complete in time");
	exchange->head_err = *err_last();
	go(conn, exchange);
}

/* What has arrived, but was not told yet, came in time: it is served, not reset. */
static void look_once_more(struct conn *conn, bool last)
{
	conn->stream->ready->readable = true;
	read_head(conn, last);
}

static void conn_expired(struct timer *timer)
{
	struct conn *conn = CONTAINER_OF(timer, struct conn, timer);

	if (conn->state == CONN_BUSY)
		return;
	if (sched_now() < conn->deadline_ns) {
		if (set_deadline(conn, conn->deadline_ns) < 0)
			conn_close(conn);
		return;
	}
	if (conn->stash.len)
		say_too_slow(conn);
	else if (conn->state == CONN_WAITING)
		look_once_more(conn, true);
	else
		conn_close(conn);
}

void conn_drain(struct conn *conn)
{
	if (conn->state == CONN_WAITING && conn->stash.len == 0)
		look_once_more(conn, false);
}
