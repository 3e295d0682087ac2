/*
 * The contract of a feature (http/module.h): a route is one line that says all a caller may rely on.
 * What the table says, the handler does not repeat.
 */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "base/err.h"
#include "http/h1_parse.h"

struct req;

/* Where a route is served. */
enum route_place {
	ROUTE_PUBLIC = 1, /* on the public port */
	ROUTE_OPS = 2,    /* on the port of the operators, which is the public one in development */
	ROUTE_ANYWHERE = ROUTE_PUBLIC | ROUTE_OPS,
};

struct route {
	enum http_method method;
	const char *path;         /* "/flags/{key}": a segment in braces is a parameter */
	const char *summary;      /* one line, for people and documents */
	int (*run)(struct req *); /* answers with reply_x, or fails with a code of may_fail */
	enum route_place place;
	bool quiet;           /* answered without an access line at info: probes */
	size_t body_max;      /* bytes; 0: the server's limit */
	uint64_t deadline_ns; /* for the handler; 0: the server's */
	uint64_t may_fail; /* bits ROUTE_FAILS(CODE); codes the server itself gives need no bit */
};

#define ROUTE_FAILS(code) (UINT64_C(1) << ERR_##code)

#endif
