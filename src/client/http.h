/*
 * Requests to addresses that somebody else has named: webhooks, push endpoints. By libcurl, all of
 * them on one thread; a fiber waits for its own. Whatever the other side does is bounded: time,
 * bytes, redirects (none). Unless it is allowed, nothing inside of our own network is talked to,
 * whatever the name stands for: the very address that is connected to is looked at.
 */
#ifndef CLIENT_HTTP_H
#define CLIENT_HTTP_H

#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	HTTP_CALLS_MAX = 1000,            /* under way at once, of a client */
	HTTP_URL_MAX = 2048,              /* bytes */
	HTTP_HEADERS_MAX = 32,            /* of a call */
	HTTP_BODY_MAX = 16 * 1024 * 1024, /* bytes of a call */
	HTTP_ANSWER_MAX = 1024 * 1024,    /* most that an answer may be allowed to have */
	HTTP_CONNECTIONS_KEPT = 100,
};

struct http_client_options {
	bool allow_private;  /* addresses that are not of the public Internet (net/address.h) */
	const char *ca_file; /* PEM with the authorities to trust; NULL: the system's */
};

struct http_client;

/* -ERR_NO_MEMORY, -ERR_IO. */
int http_client_open(const struct http_client_options *options, struct http_client **ret);

/* Nobody may wait for a call any more. NULL is allowed. */
void http_client_close(struct http_client *client);

/* Whether a text is an http or https URL that can be called: with a host, without userinfo and
 * fragment. Where it leads is not looked at. */
bool http_url_valid(struct str url);

/* A date of a header field (RFC 9110 5.6.7, old forms too), microseconds since 1970. */
bool http_date_read(struct str text, int64_t *ret_us);

struct http_field {
	struct str name, value; /* no control characters */
};

/* A POST. Texts are copied. */
struct http_call {
	struct str url;
	const struct http_field *fields;
	size_t field_count;
	struct str body;
	uint64_t timeout_ns; /* of all of it: name, connection, TLS, answer */
	size_t answer_max;   /* bytes of the answer's body; at most HTTP_ANSWER_MAX */
};

struct http_answer {
	int status;
	struct str body, content_type, retry_after; /* in the arena; empty: none */
};

/*
 * Calls and waits for the answer, or until the scope is over (then the call is broken off). Any
 * answer is a success, whatever its status. On a fiber.
 *
 * -ERR_INVALID (the URL, a field), -ERR_FORBIDDEN (the address is inside), -ERR_UNAVAILABLE (no
 * name, no connection, bad TLS, no HTTP), -ERR_TOO_LARGE (the answer), -ERR_TIMEOUT, -ERR_FULL,
 * -ERR_CANCELLED, -ERR_NO_MEMORY.
 */
int http_post(struct http_client *client, const struct http_call *call, struct arena *arena,
	struct http_answer *ret);

#endif
