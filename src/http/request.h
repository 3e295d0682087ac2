/*
 * One exchange: a request and its reply. A handler is straight-line code on a fiber of its own:
 *
 *     static int hello(struct req *req)
 *     {
 *             return reply_json(req, 200, S("{\"message\":\"hello\"}"));
 *     }
 *
 * It reads the body when it wants it, replies once, and returns 0; or it returns what fail() gave,
 * and the server answers in the error shape. Everything hangs on the request's arena and ends with
 * it.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "fiber/scope.h"
#include "http/caller.h"
#include "http/compress.h"
#include "http/h1_chunk.h"
#include "http/h1_parse.h"
#include "http/idempotency_key.h"
#include "http/limiter.h"
#include "http/router.h"
#include "net/address.h"
#include "net/stream.h"
#include "observe/log.h"
#include "observe/span.h"
#include "schema/problem.h"
#include "json/writer.h"

#pragma GCC visibility push(default)

struct conn;
struct server;

enum {
	REQ_ID_MAX = 128,              /* bytes of an x-request-id that is taken over */
	REPLY_HEADERS_MAX = 16 * 1024, /* bytes of all headers that a handler adds */
	REQ_VERDICTS_MAX = 4,          /* limiters that count one request */
};

/* How far the body has come. */
struct req_body {
	uint64_t limit;        /* bytes the route takes */
	uint64_t left;         /* H1_BODY_LENGTH: bytes not yet read */
	uint64_t received;     /* bytes read so far */
	uint64_t waited_ns;    /* time that reads had to wait for the sender */
	struct h1_chunk chunk; /* H1_BODY_CHUNKED */
	struct str whole;      /* what req_read_all gave; .at is NULL before */
	bool ended;            /* all of it was read */
	bool failed;           /* broken or too slow: nothing more can be read */
	bool owes_continue;    /* the client waits for "100 Continue" */
};

/* The reply, as far as it is known. */
struct reply {
	int status; /* 0: none yet */
	struct str content_type;
	struct buf headers; /* lines the handler added */
	struct str body;    /* a whole one */
	bool streaming;     /* the head is out; reply_write adds */
	bool chunked;
	bool has_length; /* streaming with a known length */
	bool upgraded;   /* 101: the stream belongs to the handler */
	uint64_t length; /* of the whole body as sent */
	uint64_t sent;   /* bytes of the body, before the transfer coding */
	enum encoding encoding;
	struct compressor compressor;
	int failed; /* the stream broke: negative */
};

struct req {
	/* what came */
	struct h1_head head;
	struct router_entry *entry; /* of the route, or of what matched none */
	struct router_node *node;   /* of the path; NULL: there is no such path */
	struct str params[ROUTE_PARAMS_MAX];
	const struct address *peer; /* who is connected */
	struct address client;      /* who asks: the peer, or whom a trusted proxy speaks for */
	struct str client_text;     /* its address, for people */
	char client_room[ADDRESS_TEXT_MAX];
	bool secure;   /* over TLS */
	struct str id; /* x-request-id, taken or made */
	char id_text[REQ_ID_MAX];
	char trace_text[TRACE_ID_LEN], span_text[TRACE_SPAN_LEN];

	/* what it works with */
	struct arena arena;
	struct scope scope; /* its deadline; cancelled when the client has gone */
	struct span span;
	struct log_context log;
	uint64_t began_ns;

	/* what the stages of the pipeline find out */
	struct caller caller;
	struct limit_verdict verdicts[REQ_VERDICTS_MAX];
	size_t verdict_count;
	struct problems
		problems; /* of the input; a handler may add to them and fail(ERR_INVALID) */
	void *in;         /* the handler's input */
	void *out;        /* the handler's output, while it is made and after; NULL: it has none */
	struct str data;  /* `out` as JSON, when it was made before the answer; .at is NULL else */
	struct idempotency_key repeat_key;
	bool repeating;         /* the hook wants to hear of the answer */
	bool replayed;          /* answered with what was kept, whatever the handler says */
	void *repeat;           /* what the hook keeps of this request */
	struct str next_cursor; /* of a list: goes into meta */
	int success; /* the handler's status of success, set before it writes; 0: the route's */

	/* what goes in and out: http/body.c and http/reply.c */
	struct conn *conn;
	struct req_body body;
	struct reply reply;
	bool close; /* the connection ends with this exchange */
};

/* --- the request -------------------------------------------------------- */

/* The server it came to. */
const struct server *req_server(const struct req *req);

/* A buffer for the text of a whole answer, empty, good until the answer is sent. */
struct buf *req_text(struct req *req);

/* The routes of the port it came to. */
const struct router *req_router(const struct req *req);

/* True on the operators' port, where details may be told. */
bool req_from_operator(const struct req *req);

/* Value of the path parameter of that name; CHECK fails when the route has none. Decoded; may
 * contain '/'. */
struct str req_param(const struct req *req, struct str name);

/* Reads at least 1 byte of the body, or its end (0). -ERR_SLOW_REQUEST, -ERR_TOO_LARGE,
 * -ERR_INVALID (bad chunks, a connection that ends in the middle), after any of these -ERR_CLOSED,
 * or what park says. Sends "100 Continue" at the first call if the client waits. */
ssize_t req_read(struct req *req, char *at, size_t size);

/* The whole body, in the arena or where it arrived; again when it is asked for again. The route's
 * body_max bounds it. Errors of req_read, and of the arena. */
int req_read_all(struct req *req, struct str *ret);

/* The client counts as gone when something was sent and not acknowledged for so long: for answers
 * that last, since otherwise the network lets a machine that has lost its power seem alive for
 * minutes. */
void req_give_up_after(struct req *req, uint64_t after_ns);

/* --- the reply ---------------------------------------------------------- */

/* Adds a header line. Names are tokens in lower case, and not one of those the server writes itself
 * (CHECK). -ERR_INTERNAL for a value with CR, LF, NUL or another control byte, and when all lines
 * would be more than REPLY_HEADERS_MAX; -ERR_NO_MEMORY. */
int reply_header(struct req *req, struct str name, struct str value);

/* The whole answer at once. The body must live until the handler has returned. Returns 0. */
int reply_send(struct req *req, int status, struct str content_type, struct str body);
int reply_json(struct req *req, int status, struct str body);

/* An answer without a body: 204, 304, redirects. */
int reply_empty(struct req *req, int status);

/* The status of success: what the handler has said, else what the route's line promises. */
int req_success(const struct req *req);

/* The version of the handler's output, which is its ETag; false when the route has none. */
bool req_version(const struct req *req, int64_t *ret);

/* The JSON of the handler's output, as the caller will get it; made in the arena. For who keeps
 * answers. CHECK fails for a route without `out`. -ERR_INTERNAL when it is larger than an answer
 * may be, -ERR_NO_MEMORY. */
int req_data(struct req *req, struct str *ret);

/* Answers as a typed handler is answered for: `data` is the JSON of its output, the route's shape
 * says what it is wrapped in. Empty `data`: no body. */
int reply_data(struct req *req, int status, struct str data);

/*
 * An answer that is written piece by piece. With `length` (or UINT64_MAX when it is not known) the
 * head goes out at the first reply_write or at the end. reply_write parks while the client is slow;
 * errors -ERR_TIMEOUT (it was too slow), -ERR_CLOSED, -ERR_CANCELLED. When the handler fails after
 * it has begun, the connection is cut, so that the client does not take a part for the whole.
 */
int reply_begin(struct req *req, int status, struct str content_type, uint64_t length);
int reply_write(struct req *req, struct str piece);

/*
 * Takes the connection over for another protocol, after the request asked for `protocol` by Upgrade
 * (else -ERR_UPGRADE, which answers 426). Sends 101 with the headers added so far. Afterwards the
 * stream is the handler's until it returns; `*ret_rest` are bytes that came behind the request
 * already.
 */
int reply_upgrade(
	struct req *req, struct str protocol, struct stream **ret_stream, struct str *ret_rest);

/* Answers with an error: what the server does when a handler fails. `code` is negative, the text in
 * the error slot. */
int reply_error(struct req *req, int code);

#pragma GCC visibility pop

#endif
