/* For ./bench auth: the same empty answer for everybody, for who is signed in, and for who has a
 * right. */
#include "http/module.h"

static int answer(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(answer, nothing, nothing, 0)

#define ROUTE(path, right)                                                                         \
	{                                                                                          \
		HTTP_GET, path, "Answer", .place = ROUTE_PUBLIC, .handler = &answer_handler,       \
					  .need = right                                            \
	}

static const struct route routes[] = {
	ROUTE("/bench/open", RIGHT_PUBLIC),
	ROUTE("/bench/self", RIGHT_SELF),
	ROUTE("/bench/right", "tenant:read"),
};

static const struct module guarded_module = {
	MODULE_HEAD,
	.name = "guarded",
	.version = "1",
	.routes = routes,
	.route_count = LEN(routes),
};

BULKHEAD_MODULE(guarded_module);
