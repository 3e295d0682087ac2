/*
 * The head of an HTTP/1.1 request (RFC 9112), strictly: one form is taken, whatever two parsers
 * could read differently is refused, nothing is repaired. After an error nothing that follows on
 * the connection is a request: answer and close.
 *
 *     n = h1_head_scan(&scan, input, limits);          as often as bytes arrive
 *     if (n > 0)
 *             r = h1_head_parse(str_first(input, n), limits, &head);
 *
 * Pure: no allocation, no system call; every str points into the caller's bytes (or at a constant).
 */
#ifndef HTTP_H1_PARSE_H
#define HTTP_H1_PARSE_H

#include "base/str.h"
#include "http/target.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum { H1_FIELDS_MAX = 100, H1_CONNECTION_OPTIONS_MAX = 16 };

struct h1_limits {
	size_t line;   /* bytes of the request line without its CRLF; over it 414 */
	size_t field;  /* bytes of one field line without its CRLF; over it 431 */
	size_t head;   /* bytes of the whole head; over it 431 */
	size_t fields; /* field lines, at most H1_FIELDS_MAX; over it 431 */
	uint64_t body; /* largest Content-Length that any route takes; over it 413 */
};

#define H1_LIMITS_DEFAULT                                                                          \
	((struct h1_limits){ .line = 8 * KILOBYTE,                                                 \
		.field = 16 * KILOBYTE,                                                            \
		.head = 32 * KILOBYTE,                                                             \
		.fields = H1_FIELDS_MAX,                                                           \
		.body = 1024 * MEGABYTE })

/*
 * Looks for the end of a head in bytes that are still arriving. Zero is the start; it remembers
 * offsets only, so the bytes may move between calls (but must begin with the same ones). All calls
 * together look at each byte once.
 */
struct h1_scan {
	size_t line; /* where the current line starts */
	size_t at;   /* all before this has been looked at */
	bool begun;  /* `line` is in or behind the request line, not before it */
	bool fields; /* the request line has ended */
};

/*
 * Returns the length of the head (with the empty line before it, if any, and the one that ends it),
 * or 0 when more bytes are needed, or an error as soon as no further byte can help: ERR_INVALID (a
 * bare CR or LF, another control byte than tab, a byte that cannot start a method, more than one
 * empty line before the request line), ERR_TARGET_TOO_LONG, ERR_HEAD_TOO_LARGE. The answer depends
 * on the bytes alone, never on how they were cut.
 */
ptrdiff_t h1_head_scan(struct h1_scan *scan, struct str input, const struct h1_limits *limits);

/* X(enumerator, spelling) */
#define HTTP_METHODS(X)                                                                            \
	X(GET)                                                                                     \
	X(HEAD)                                                                                    \
	X(POST)                                                                                    \
	X(PUT)                                                                                     \
	X(PATCH)                                                                                   \
	X(DELETE)                                                                                  \
	X(OPTIONS)                                                                                 \
	X(QUERY)                                                                                   \
	X(CONNECT)                                                                                 \
	X(TRACE)

#define HTTP_METHOD_ENUM(name) HTTP_##name,
enum http_method { HTTP_METHODS(HTTP_METHOD_ENUM) HTTP_METHODS_COUNT };
#undef HTTP_METHOD_ENUM

/* "GET", ... */
struct str http_method_text(enum http_method method);

/* The method of that exact spelling; false and untouched when there is none. */
bool http_method_of(struct str text, enum http_method *ret_method);

/*
 * Fields that are found by number. X(enumerator, name, its first byte, its last byte, flags); the
 * bytes make the hash. ONCE: two of them are refused, since two readers could each take another.
 * HOP: may be named in Connection.
 */
#define H1_KNOWN_FIELDS(X)                                                                         \
	X(HOST, "host", 'h', 't', H1_ONCE)                                                         \
	X(CONTENT_LENGTH, "content-length", 'c', 'h', H1_ONCE)                                     \
	X(TRANSFER_ENCODING, "transfer-encoding", 't', 'g', H1_ONCE)                               \
	X(CONNECTION, "connection", 'c', 'n', 0)                                                   \
	X(EXPECT, "expect", 'e', 't', H1_ONCE)                                                     \
	X(UPGRADE, "upgrade", 'u', 'e', H1_HOP)                                                    \
	X(TE, "te", 't', 'e', H1_HOP)                                                              \
	X(TRAILER, "trailer", 't', 'r', H1_HOP)                                                    \
	X(CONTENT_TYPE, "content-type", 'c', 'e', H1_ONCE)                                         \
	X(CONTENT_ENCODING, "content-encoding", 'c', 'g', H1_ONCE)                                 \
	X(AUTHORIZATION, "authorization", 'a', 'n', H1_ONCE)                                       \
	X(X_API_KEY, "x-api-key", 'x', 'y', H1_ONCE)                                               \
	X(X_CSRF_TOKEN, "x-csrf-token", 'x', 'n', H1_ONCE)                                         \
	X(COOKIE, "cookie", 'c', 'e', 0)                                                           \
	X(ORIGIN, "origin", 'o', 'n', H1_ONCE)                                                     \
	X(REFERER, "referer", 'r', 'r', 0)                                                         \
	X(SEC_FETCH_SITE, "sec-fetch-site", 's', 'e', H1_ONCE)                                     \
	X(IDEMPOTENCY_KEY, "idempotency-key", 'i', 'y', H1_ONCE)                                   \
	X(IF_MATCH, "if-match", 'i', 'h', 0)                                                       \
	X(IF_NONE_MATCH, "if-none-match", 'i', 'h', 0)                                             \
	X(IF_MODIFIED_SINCE, "if-modified-since", 'i', 'e', H1_ONCE)                               \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", 'i', 'e', H1_ONCE)                           \
	X(IF_RANGE, "if-range", 'i', 'e', H1_ONCE)                                                 \
	X(RANGE, "range", 'r', 'e', H1_ONCE)                                                       \
	X(ACCEPT, "accept", 'a', 't', 0)                                                           \
	X(ACCEPT_ENCODING, "accept-encoding", 'a', 'g', 0)                                         \
	X(ACCEPT_LANGUAGE, "accept-language", 'a', 'e', 0)                                         \
	X(USER_AGENT, "user-agent", 'u', 't', 0)                                                   \
	X(TRACEPARENT, "traceparent", 't', 't', 0)                                                 \
	X(TRACESTATE, "tracestate", 't', 'e', 0)                                                   \
	X(X_REQUEST_ID, "x-request-id", 'x', 'd', 0)                                               \
	X(FORWARDED, "forwarded", 'f', 'd', 0)                                                     \
	X(X_FORWARDED_FOR, "x-forwarded-for", 'x', 'r', 0)                                         \
	X(X_FORWARDED_HOST, "x-forwarded-host", 'x', 't', 0)                                       \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", 'x', 'o', 0)                                     \
	X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method", 'a', 'd', H1_ONCE)       \
	X(ACCESS_CONTROL_REQUEST_HEADERS, "access-control-request-headers", 'a', 's', 0)           \
	X(LAST_EVENT_ID, "last-event-id", 'l', 'd', H1_ONCE)                                       \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key", 's', 'y', H1_ONCE)                               \
	X(SEC_WEBSOCKET_VERSION, "sec-websocket-version", 's', 'n', H1_ONCE)                       \
	X(SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol", 's', 'l', 0)                           \
	X(SEC_WEBSOCKET_EXTENSIONS, "sec-websocket-extensions", 's', 's', 0)

#define H1_KNOWN_ENUM(id, name, first, last, flags) H1_##id,
enum h1_known { H1_OTHER, H1_KNOWN_FIELDS(H1_KNOWN_ENUM) H1_KNOWN_COUNT };
#undef H1_KNOWN_ENUM

_Static_assert(H1_KNOWN_COUNT <= 64, "h1_head.seen has a bit for each");

/* The number of a field name of any case; H1_OTHER when it has none. Also for HTTP/2. */
enum h1_known h1_known_of(struct str name);

/* The name of a number, lower case; "" for H1_OTHER. */
struct str h1_known_name(enum h1_known known);

struct h1_field {
	struct str name;     /* a token, as it came */
	struct str value;    /* trimmed; no control byte but tab; bytes >= 0x80 as they came */
	enum h1_known known; /* H1_OTHER: compare the name */
};

enum h1_framing {
	H1_BODY_NONE,    /* neither Content-Length nor Transfer-Encoding */
	H1_BODY_LENGTH,  /* `length` bytes, perhaps 0 */
	H1_BODY_CHUNKED, /* h1_chunk.h */
};

struct h1_head {
	enum http_method method;
	unsigned minor;         /* 0: HTTP/1.0; 1: HTTP/1.1 and later 1.x */
	struct str method_text; /* as it came; for logs */
	struct str target_text;
	struct target target;
	struct authority
		authority; /* of Host, which agrees with an absolute target; empty host: none */

	enum h1_framing framing;
	uint64_t length;      /* H1_BODY_LENGTH: bytes of the body */
	bool keep_alive;      /* the client wants to go on after the answer */
	bool close;           /* Connection: close was said */
	bool upgrade;         /* 1.1 with an Upgrade field that Connection names */
	bool expect_continue; /* 1.1, has a body and waits for 100 before sending it */

	uint64_t seen;                 /* bit n: field number n is there */
	uint8_t first[H1_KNOWN_COUNT]; /* index of its first line, if seen */
	size_t count;
	struct h1_field fields[H1_FIELDS_MAX]; /* in order, without those that Connection names */
};

/*
 * Parses a complete head, as h1_head_scan found it. Returns 0 or
 * - ERR_INVALID (400) for everything malformed or ambiguous; the message names the rule,
 * - ERR_TARGET_TOO_LONG (414), ERR_HEAD_TOO_LARGE (431), ERR_TOO_LARGE (413) for limits passed,
 * - ERR_UNKNOWN_METHOD (501) for a method or transfer coding nobody here knows,
 * - ERR_METHOD (405) for CONNECT and TRACE, ERR_VERSION (505), ERR_EXPECTATION (417).
 * `*ret_head` is large, so it is filled in place: after an error method_text and target_text are
 * what had been read (or empty), for the log; the rest means nothing.
 */
int h1_head_parse(struct str text, const struct h1_limits *limits, struct h1_head *ret_head);

static inline bool h1_has(const struct h1_head *head, enum h1_known known)
{
	return head->seen >> known & 1;
}

/* Value of the first such field; .at is NULL when there is none. */
static inline struct str h1_value(const struct h1_head *head, enum h1_known known)
{
	return h1_has(head, known) ? head->fields[head->first[known]].value : str_of(NULL, 0);
}

/*
 * Visits all lines of a field that may come more than once: start with `*at` = 0; true with the
 * next value, false at the end.
 */
bool h1_each(const struct h1_head *head, enum h1_known known, size_t *at, struct str *ret_value);

/* Value of the first field of that name in any case, known or not; .at is NULL when there is none.
 */
struct str h1_find(const struct h1_head *head, struct str name);

/*
 * The next member of a comma-separated list (RFC 9110 5.6.1), trimmed, quoted strings kept whole;
 * empty members are skipped. True with a member, false at the end. Start with `*rest` = the value.
 */
bool h1_list_next(struct str *rest, struct str *ret_member);

#pragma GCC visibility pop

#endif
