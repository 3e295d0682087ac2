/* The smallest module there is: a constant answer, and an answer that says what was understood. */
#include "base/version.h"
#include "http/request.h"
#include "modules/hello/hello.h"

static int hello(struct req *req, const struct nothing *in, struct greeting *out)
{
	(void)req, (void)in;
	*out = (struct greeting){ S_INIT("Hello from Bulkhead"), S_INIT(BULKHEAD_VERSION) };
	return 0;
}
HANDLER(hello, nothing, greeting, 0)

static int echo(struct req *req, const struct echo *in, struct echo *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(echo, echo, echo, 0)

static const struct route routes[] = {
	{ HTTP_GET, "/hello", "Say hello", .place = ROUTE_PUBLIC, .handler = &hello_handler,
		.out = &greeting_schema, .shape = ROUTE_BARE, .need = RIGHT_PUBLIC,
		.limit = ROUTE_LIMIT_NONE /* it is there to be measured */ },
	{ HTTP_POST, "/api/v1/echo", "Answer what was understood", .place = ROUTE_PUBLIC,
		.handler = &echo_handler, .in = &echo_schema, .out = &echo_schema,
		.need = RIGHT_PUBLIC },
};

const struct module hello_module = {
	MODULE_HEAD,
	.name = "hello",
	.routes = routes,
	.route_count = LEN(routes),
};
