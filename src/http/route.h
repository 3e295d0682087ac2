/*
 * The contract of a feature (http/module.h): a route is one line that says all a caller may rely
 * on. What the table says, the handler does not repeat.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "base/err.h"
#include "http/h1_parse.h"

struct req;
struct schema;

/* Where a route is served. */
enum route_place {
	ROUTE_PUBLIC = 1, /* on the public port */
	ROUTE_OPS = 2,    /* on the port of the operators, which is the public one in development */
	ROUTE_ANYWHERE = ROUTE_PUBLIC | ROUTE_OPS,
};

/* What a successful typed handler's output is wrapped in. */
enum route_shape {
	ROUTE_ENVELOPE, /* {"success":true,"statusCode":200,"data":...,"requestId":"..."} */
	ROUTE_BARE,     /* the output alone: where another standard says what it looks like */
};

/* Which limiter counts the caller. The one by address, before identity, counts in any case. */
enum route_limit {
	ROUTE_LIMIT_CALLER, /* by who it is: api, server, or global for nobody in particular */
	ROUTE_LIMIT_AUTH,   /* sign-in and the like: few tries, then a block */
	ROUTE_LIMIT_NONE,   /* probes: no limiter at all */
	ROUTE_LIMIT_API,    /* as _CALLER, but nobody in particular counts against api, too */
};

struct route {
	enum http_method method;
	const char *path;         /* "/flags/{key}": a segment in braces is a parameter */
	const char *summary;      /* one line, for people and documents */
	int (*run)(struct req *); /* answers by itself with reply_x; or NULL, and: */
	enum route_place place;
	const struct handler *handler; /* typed: takes `in`, fills in `out` */
	const struct schema *in, *out; /* of the handler's structs; NULL: nothing */
	int status;                    /* of success; 0: 200, or 204 without `out` */
	enum route_shape shape;
	const char *need; /* the right, "flags:write", or RIGHT_PUBLIC: nobody is left out */
	enum route_limit limit;
	bool quiet;           /* answered without an access line at info: probes */
	bool idempotent;      /* POST that creates: takes an Idempotency-Key; typed handlers */
	bool versioned;       /* `out` has an int64_t version, which is its ETag; takes If-Match
				 and If-None-Match (http/match.h) */
	size_t body_max;      /* bytes; 0: the server's limit */
	uint64_t deadline_ns; /* for the handler; 0: the server's */
	uint64_t may_fail;    /* what the contract says: ROUTE_FAILS(CODE) | ...; what the pipeline
				 itself answers needs no bit */
};

/* The right that everybody has. A route without any right is refused at the start. */
#define RIGHT_PUBLIC "public"

/* What every active user has, whatever else they may do, and no key: for routes about whoever is
 * signed in. */
#define RIGHT_SELF "account:self"

/* A function with its types, made by HANDLER. */
struct handler {
	int (*call)(struct req *, const void *in, void *out);
	size_t in_size, out_size; /* must be those of the route's schemas */
	uint64_t fails;           /* the codes it may return; must be in the route's may_fail */
};

struct nothing {
	char unused;
};

/*
 *     static int flag_get(struct req *req, const struct flag_ref *in, struct flag *out) { ... }
 *     HANDLER(flag_get, flag_ref, flag, ROUTE_FAILS(NOT_FOUND))
 *
 * makes `flag_get_handler` for a route. A wrong struct does not compile; a code that is returned
 * but not declared is answered 500. `nothing` stands for no input or no output.
 */
#define HANDLER(function, in_type, out_type, fail_bits)                                            \
	static int function##_call(struct req *req, const void *in, void *out)                     \
	{                                                                                          \
		return function(req, in, out);                                                     \
	}                                                                                          \
	static const struct handler function##_handler = {                                         \
		.call = function##_call,                                                           \
		.in_size = sizeof(struct in_type),                                                 \
		.out_size = sizeof(struct out_type),                                               \
		.fails = (fail_bits),                                                              \
	};

#define ROUTE_FAILS(code) (UINT64_C(1) << ERR_##code)

#endif
