/*
 * A connection between its requests is a record: no fiber, no buffer, no stack. When the bytes of a
 * whole head have arrived, it gets an exchange (the memory of a request) and a fiber, and keeps
 * them until there is nothing more to do. Internal to this folder.
 */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http/request.h"
#include "http/server.h"
#include "net/tcp.h"

enum {
	REPLY_COPY_MAX = 16 * 1024, /* a whole body up to here joins its head in the queue */
	/* Most bytes that one reply adds to the queue: lines of ours, of the handler, the body. */
	REPLY_QUEUED_MAX = 4 * 1024 + REPLY_HEADERS_MAX + REPLY_COPY_MAX,
};

enum conn_state {
	CONN_HANDSHAKE, /* TLS is being agreed on */
	CONN_WAITING,   /* for (the rest of) a head */
	CONN_BUSY,      /* a fiber has it */
	CONN_LINGERING, /* all is said; what still comes is thrown away */
};

/*
 * Bytes that have arrived: [start, end) are not used up yet. The capacity is the largest head and
 * what may be pipelined; a head far back is moved to the front before it is completed or run, so
 * that there is always room for it and for a part of its body.
 */
struct inbox {
	char *at;
	size_t start, end, capacity;
};

/* What a request needs while it is in work; pooled by the worker. */
struct exchange {
	struct exchange *next_free;
	struct inbox in;
	ptrdiff_t head_len;  /* of the head at the front of `in`, or the negative code that it is
				hopeless */
	struct err head_err; /* why */
	size_t body_at;      /* where in `in` the bytes behind the head begin */
	struct buf out;      /* replies not yet sent; before a request less than response_queue */
	size_t complete;     /* bytes of `out` that are complete replies to earlier requests */
	struct buf packed;   /* a body in the making: an error, or compressed */
	struct buf text;     /* the text of an answer, see req_text */
	struct req req;
};

struct conn {
	struct stream *stream;
	struct tcp tcp;
	struct tls tls;
	bool over_tls, own_tcp;
	enum conn_state state;
	bool broken; /* nothing can be written any more */
	struct server_worker *home;
	struct site *site;
	struct link link;   /* in home->conns */
	struct timer timer; /* fires at `armed_ns`; what counts is `deadline_ns` */
	uint64_t armed_ns, deadline_ns;
	uint64_t expires_ns; /* after that, no further request */
	size_t requests;
	size_t thrown;    /* bytes thrown away while lingering */
	struct buf stash; /* a part of a head, while there is no exchange */
	struct h1_scan scan;
	struct exchange *exchange; /* while busy */
	struct scope *scope; /* of the running handler, to be cancelled when the client goes */
	struct address peer;
	char peer_text[ADDRESS_TEXT_MAX];
	size_t peer_len;
};

/* A worker and what it keeps for its connections. */
struct server_worker {
	struct worker worker; /* first */
	struct server *server;
	struct acceptor acceptors[SERVER_SITES_MAX];
	struct link conns;
	_Atomic size_t load; /* connections, also those on their way here */
	struct exchange *free;
	size_t free_count;
	struct compress_pool compress;
	bool draining;
	struct message drain;
	struct message pause; /* and resume */
};

/* A new connection on this worker, which owns the socket from now on. */
void conn_open(struct server_worker *home, struct site *site, int fd, const struct address *peer);

/* The same over any stream, which stays the caller's; for tests without sockets. */
struct conn *conn_open_stream(struct server_worker *home, struct site *site, struct stream *stream);

/* Lets go of the connection at once. Not while it is busy. */
void conn_close(struct conn *conn);

/* Closes it if it is idle and nothing has arrived; otherwise its next reply will be the last one.
 */
void conn_drain(struct conn *conn);

/* Sends what has been collected. 0, or a negative code; then the connection is broken. Parks. */
int conn_flush(struct conn *conn);

/* Sends what has been collected and then these parts (at most STREAM_PARTS_MAX - 1). Parks. */
int conn_send(struct conn *conn, const struct str *parts, size_t count);

/* The bytes that have arrived and are not used up. */
static inline struct str inbox_str(const struct inbox *in)
{
	return str_of(in->at + in->start, in->end - in->start);
}

/* An exchange from the pool of the worker; NULL with the error slot filled. */
struct exchange *exchange_take(struct server_worker *home);
void exchange_give(struct server_worker *home, struct exchange *exchange);
void exchange_free_all(struct server_worker *home);

/* Serves the request whose head is at the front of the inbox. True when the connection may go on.
 */
bool exchange_run(struct exchange *exchange, struct conn *conn);

/* http/body.c: as soon as the head is known; then the route's own limit, if it has one. */
void body_begin(struct req *req);
void body_set_limit(struct req *req, size_t limit);

/* After the handler: 0 when the body is out of the way, else the negative code of why not; then the
 * connection cannot go on. */
int body_finish(struct req *req);

/* http/reply.c: sends a whole reply or the end of a streamed one. */
int reply_finish(struct req *req);

#endif
