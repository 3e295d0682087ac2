/*
 * A module outside of Bulkhead's tree: a constant answer, and one that depends on the path and may
 * fail. Compiled against the installed headers only.
 */
#include "base/str.h"
#include "base/utf8.h"
#include "http/module.h"
#include "observe/log.h"
#include "json/writer.h"

#define VERSION "1.0.0"

enum { NAME_MAX_LENGTH = 40, ANSWER_MAX = 1024 };

static int hello(struct req *req)
{
	return reply_json(
		req, 200, S("{\"message\":\"Hello from a module\",\"version\":\"" VERSION "\"}"));
}

/* The text of a buffer, moved to the request's arena so that it outlives the handler. */
static int keep_text(struct req *req, struct buf *buf, struct str *ret)
{
	struct str text = arena_str(&req->arena, buf_str(buf));

	if (!text.at)
		return -(int)err_last()->code;
	*ret = text;
	return 0;
}

static int hello_name(struct req *req)
{
	struct str name = req_param(req, S("name"));
	struct json_writer json;
	struct str text = { 0 };
	struct buf buf;
	int r;

	if (!utf8_valid(name) || utf8_length(name) > NAME_MAX_LENGTH)
		return fail(
			ERR_INVALID, "a name is UTF-8 of at most %d characters", NAME_MAX_LENGTH);
	if (str_eq(name, S("nobody")))
		return fail(ERR_NOT_FOUND, "nobody is not here");

	buf_init(&buf, ANSWER_MAX);
	json_writer_init(&json, &buf);
	json_write_object(&json);
	json_write_key(&json, S("hello"));
	json_write_string(&json, name);
	json_write_object_end(&json);
	r = json_writer_done(&json);
	if (r == 0)
		r = keep_text(req, &buf, &text);
	buf_done(&buf);
	if (r < 0)
		return r;

	log_debug("said hello", LOG_STR("name", name));
	return reply_json(req, 200, text);
}

static const struct route routes[] = {
	{ HTTP_GET, "/hello-module", "Say hello", .run = hello, .place = ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/hello-module/{name}", "Say hello to somebody", .run = hello_name,
		.place = ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.may_fail = ROUTE_FAILS(INVALID) | ROUTE_FAILS(NOT_FOUND) },
};

static const struct module hello_module = {
	MODULE_HEAD,
	.name = "hello-module",
	.version = VERSION,
	.routes = routes,
	.route_count = LEN(routes),
};

BULKHEAD_MODULE(hello_module);
