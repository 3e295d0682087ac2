/* The smallest module there is: one constant answer. */
#include "base/version.h"
#include "http/request.h"
#include "modules/hello/hello.h"

#define GREETING "{\"message\":\"Hello from Bulkhead\",\"version\":\"" BULKHEAD_VERSION "\"}"

/* Benchmarks compare it with answers of 50 to 70 bytes. */
_Static_assert(sizeof(GREETING) - 1 >= 50 && sizeof(GREETING) - 1 <= 70, "a small answer");

static int hello(struct req *req)
{
	return reply_json(req, 200, S(GREETING));
}

static const struct route routes[] = {
	{ HTTP_GET, "/hello", "Say hello", .run = hello, .place = ROUTE_PUBLIC },
};

const struct module hello_module = {
	MODULE_HEAD,
	.name = "hello",
	.routes = routes,
	.route_count = LEN(routes),
};
