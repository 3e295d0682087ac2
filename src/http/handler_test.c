/*
 * Typed handlers: from path, query, headers and body into one struct with everything that is wrong
 * told at once, and from a struct into an answer. Rows over pipes and sockets, whole and in pieces.
 */
#include "http/handler.h"
#include "http/module.h"

#include "base/num.h"
#include "base/test.h"
#include "http/loopback_test.h"
#include "http/openapi.h"
#include "http/router.h"
#include "schema/schema.h"

#include <stdio.h>

/* --- the module --------------------------------------------------------- */

enum color { RED, GREEN };

struct gadget {
	struct str id;
	int64_t limit;
	bool deep;
	LIST_OF(struct str) tag;
	struct opt_str x_mark;
	struct str name;
	struct opt_str note;
	struct opt_i64 count;
	int color;
};

struct gadget_ref {
	struct str id;
	int64_t limit;
};

struct letters {
	LIST_OF(struct str) all;
};

struct amount {
	int64_t count;
};

/* Nothing in it must be there. */
struct note {
	struct opt_str text;
	bool loud;
};

struct shape {
	enum { ROUND, EMPTY } kind;
	struct note round;
};

enum { LETTER = 1000, LETTERS_MAX = 10000 }; /* bytes of one, how many */

/* clang-format off */
static const struct schema gadget_schema = SCHEMA(gadget, "From everywhere.",
	FIELD(gadget, id, "Which.", .from = FROM_PATH, .flags = REQUIRED, RANGE(1, 20)),
	FIELD(gadget, limit, "How many.", .from = FROM_QUERY, RANGE(1, 100), .if_missing = "10"),
	FIELD(gadget, deep, "Further down, too.", .from = FROM_QUERY),
	LIST(gadget, tag, "Any of these.", .from = FROM_QUERY, RANGE(0, 3), .item = RULES(RANGE(1, 5))),
	FIELD(gadget, x_mark, "A mark.", .from = FROM_HEADER, RANGE(0, 5)),
	FIELD(gadget, name, "Its name.", .flags = REQUIRED, RANGE(1, 20)),
	FIELD(gadget, note, "A remark.", .flags = NULLABLE, RANGE(0, 20)),
	FIELD(gadget, count, "How often.", RANGE(0, 9)),
	FIELD(gadget, color, "Its colour.", CHOICES("red", "green"), .if_missing = "green"));

static const struct schema gadget_ref_schema = SCHEMA(gadget_ref, "Which one.",
	FIELD(gadget_ref, id, "Which.", .from = FROM_PATH, .flags = REQUIRED, RANGE(1, 20)),
	FIELD(gadget_ref, limit, "How many.", .from = FROM_QUERY, RANGE(1, 100), .if_missing = "10"));

static const struct schema letters_schema = SCHEMA(letters, "Many.",
	LIST(letters, all, "All of them.", RANGE(0, LETTERS_MAX), .item = RULES(RANGE(0, LETTER))));

static const struct schema note_schema = SCHEMA(note, "A note.",
	FIELD(note, text, "What.", RANGE(0, 20)), FIELD(note, loud, "How.", .if_missing = "true"));

static const struct schema shape_schema = UNION(shape, kind, "A shape.",
	CASE(shape, round, &note_schema), BARE_CASE(empty));

static const struct schema amount_schema = SCHEMA(amount, "How many.",
	FIELD(amount, count, "How many.", .from = FROM_QUERY, RANGE(0, LETTERS_MAX)));
/* clang-format on */

static int show(struct req *req, const struct gadget *in, struct gadget *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(show, gadget, gadget, 0)

static int get(struct req *req, const struct gadget_ref *in, struct gadget_ref *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(get, gadget_ref, gadget_ref, 0)

static int take_note(struct req *req, const struct note *in, struct note *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(take_note, note, note, 0)

static int take_shape(struct req *req, const struct shape *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(take_shape, shape, nothing, 0)

static int drop(struct req *req, const struct gadget_ref *in, struct nothing *out)
{
	(void)req, (void)out;
	if (str_eq(in->id, S("taken")))
		return fail_field(ERR_NOT_FOUND, "id", "gone", "was \"taken\"");
	return str_eq(in->id, S("gone")) ? fail(ERR_NOT_FOUND, "there is no such gadget") : 0;
}
HANDLER(drop, gadget_ref, nothing, ROUTE_FAILS(NOT_FOUND))

static int constant(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	(void)req, (void)in;
	*out = (struct gadget_ref){ S("x"), 1 };
	return 0;
}
HANDLER(constant, nothing, gadget_ref, 0)

/* With a cursor when there is more. */
static int list(struct req *req, const struct amount *in, struct letters *out)
{
	static char letter[LETTER];
	struct str *all = arena_alloc(&req->arena, ((size_t)in->count + 1) * sizeof(*all));

	if (!all)
		return -(int)err_last()->code;
	for (size_t i = 0; i < (size_t)in->count; i++)
		all[i] = (struct str)S_INIT("abc");
	if (in->count >= 100) {
		memset(letter, 'x', sizeof(letter));
		for (size_t i = 0; i < (size_t)in->count; i++)
			all[i] = str_of(letter, sizeof(letter));
	}
	out->all.at = all;
	out->all.count = (size_t)in->count;
	if (in->count == 2)
		req->next_cursor = (struct str)S_INIT("more \"of\" it");
	return 0;
}

static int picky(struct req *req, const struct gadget_ref *in, struct gadget_ref *out)
{
	(void)in, (void)out;
	if (problems_add(&req->problems, S("id"), "already_used", "is used by %s", "another") < 0 ||
		problems_add(&req->problems, S("limit"), "too_soon", "must wait") < 0)
		return -(int)err_last()->code;
	return fail(ERR_INVALID, "this cannot be made");
}
HANDLER(picky, gadget_ref, gadget_ref, ROUTE_FAILS(INVALID))

static int undeclared(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	(void)req, (void)in, (void)out;
	return fail(ERR_CONFLICT, "the secret of the house");
}
HANDLER(undeclared, nothing, gadget_ref, ROUTE_FAILS(NOT_FOUND))

static int child_conflict(void *arg)
{
	(void)arg;
	return fail(ERR_CONFLICT, "the secret of the child");
}

static int undeclared_child(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	*out = (struct gadget_ref){ S("x"), 1 };
	(void)in;
	return scope_spawn(&req->scope, child_conflict, NULL);
}
HANDLER(undeclared_child, nothing, gadget_ref, 0)

static int declared_child(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	return undeclared_child(req, in, out);
}
HANDLER(declared_child, nothing, gadget_ref, ROUTE_FAILS(CONFLICT))

/* What needs no declaration: the server says it on behalf of anybody. */
static int implied(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	(void)req, (void)in, (void)out;
	return fail(ERR_UNAVAILABLE, "the store is away");
}
HANDLER(implied, nothing, gadget_ref, 0)

/* Answers by itself, which counts more than `out`. */
static int by_hand(struct req *req, const struct nothing *in, struct gadget_ref *out)
{
	(void)in, (void)out;
	return reply_send(req, 202, S("text/plain"), S("by hand"));
}
HANDLER(by_hand, nothing, gadget_ref, 0)

HANDLER(list, amount, letters, 0)

#define TYPED(method_, path_, handler_, ...)                                                       \
	{                                                                                          \
		.method = HTTP_##method_, .path = path_, .summary = path_, .place = ROUTE_PUBLIC,  \
		.need = RIGHT_PUBLIC, .handler = &handler_##_handler, ##__VA_ARGS__                \
	}

static const struct route routes[] = {
	TYPED(POST, "/gadgets/{id}", show, .in = &gadget_schema, .out = &gadget_schema,
		.shape = ROUTE_BARE),
	TYPED(POST, "/wrapped/{id}", show, .in = &gadget_schema, .out = &gadget_schema,
		.status = 201, .body_max = 200),
	TYPED(GET, "/refs/{id}", get, .in = &gadget_ref_schema, .out = &gadget_ref_schema),
	TYPED(PUT, "/refs/{id}", get, .in = &gadget_ref_schema, .out = &gadget_ref_schema),
	TYPED(DELETE, "/refs/{id}", drop, .in = &gadget_ref_schema,
		.may_fail = ROUTE_FAILS(NOT_FOUND)),
	TYPED(PATCH, "/refs/{id}", drop, .in = &gadget_ref_schema, .status = 202,
		.may_fail = ROUTE_FAILS(NOT_FOUND)),
	TYPED(POST, "/constant", constant, .out = &gadget_ref_schema),
	TYPED(POST, "/notes", take_note, .in = &note_schema, .out = &note_schema,
		.shape = ROUTE_BARE),
	TYPED(POST, "/shapes", take_shape, .in = &shape_schema),
	TYPED(GET, "/letters", list, .in = &amount_schema, .out = &letters_schema),
	TYPED(POST, "/picky/{id}", picky, .in = &gadget_ref_schema, .out = &gadget_ref_schema,
		.may_fail = ROUTE_FAILS(INVALID)),
	TYPED(GET, "/undeclared", undeclared, .out = &gadget_ref_schema,
		.may_fail = ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT)),
	TYPED(GET, "/undeclared-child", undeclared_child, .out = &gadget_ref_schema),
	TYPED(GET, "/declared-child", declared_child, .out = &gadget_ref_schema,
		.may_fail = ROUTE_FAILS(CONFLICT)),
	TYPED(GET, "/implied", implied, .out = &gadget_ref_schema),
	TYPED(GET, "/by-hand", by_hand, .out = &gadget_ref_schema),
};

static const struct module module = {
	MODULE_HEAD,
	.name = "handler",
	.routes = routes,
	.route_count = LEN(routes),
};

/* --- rows --------------------------------------------------------------- */

struct row {
	const char *send;
	int status;
	const char *body; /* all of it, or "~" and a part; NULL: any */
	const char *also; /* another part */
	const char *head; /* a part */
	const char *lacks;
};

static bool has(struct str text, const char *part)
{
	return !part || str_find(text, str_from_c(part)) >= 0;
}

static bool body_fits(struct str body, const char *wanted)
{
	if (!wanted || *wanted == '~')
		return !wanted || has(body, wanted + 1);
	return str_eq(body, str_from_c(wanted));
}

static void try_rows(struct loopback *net, void *arg)
{
	const struct row *rows = arg;
	struct client *client = client_open(net);

	REQUIRE(client);
	for (; rows->send; rows++) {
		struct response response;

		EXPECT(client_send(client, str_from_c(rows->send)));
		response = client_response(client, str_starts(str_from_c(rows->send), S("HEAD")));
		if (!EXPECT(!response.cut && response.status == rows->status &&
			    body_fits(response.body, rows->body) &&
			    has(response.body, rows->also) && has(response.head, rows->head) &&
			    !(rows->lacks && has(response.body, rows->lacks))))
			fprintf(stderr, "  for \"%s\"\n  came %.*s%.*s\n", rows->send,
				STR_ARG(response.head), STR_ARG(str_first(response.body, 900)));
		if (str_eq(response_header(&response, S("connection")), S("close"))) {
			client_close(client);
			client = client_open(net);
			REQUIRE(client);
		}
	}
	client_close(client);
}

static void run(const struct row *rows, bool causes)
{
	loopback_run_ways(&(struct loopback_options){ .module = &module, .show_causes = causes },
		LOOPBACK_WAYS, try_rows, (void *)rows);
}

#define LINES                  " HTTP/1.1\r\nHost: a\r\nX-Request-Id: me\r\n"
#define PLAIN(method, path)    method " " path LINES "\r\n"
#define TYPE(text)             "Content-Type: " text "\r\n"
#define JSON                   TYPE("application/json")
#define POST(path, more, n, b) "POST " path LINES more "Content-Length: " n "\r\n\r\n" b
#define NAMED(path, more)      POST(path, more, "12", "{\"name\":\"x\"}")
#define BODY(n, text)          POST("/gadgets/a", JSON, n, text)
#define DEFAULTS               "\"limit\":10,\"deep\":false,\"tag\":[],"
#define END                    "\"name\":\"x\",\"color\":\"green\"}"

/* --- where values come from --------------------------------------------- */

TEST(handler_input)
{
	static const struct row rows[] = {
		{ NAMED("/gadgets/a", JSON), 200, "{\"id\":\"a\"," DEFAULTS END, NULL,
			"content-type: application/json\r\n" },
		/* all places at once */
		{ POST("/gadgets/a?limit=5&deep=true&tag=b&tag=c", JSON "X-MARK: m\r\n", "51",
			  "{\"name\":\"n\",\"note\":null,\"count\":0,\"color\":\"red\"   }"),
			200,
			"{\"id\":\"a\",\"limit\":5,\"deep\":true,\"tag\":[\"b\",\"c\"],"
			"\"x-mark\":\"m\",\"name\":\"n\",\"note\":null,\"count\":0,\"color\":"
			"\"red\"}" },
		/* decoded, and a slash in a parameter is no separator */
		{ NAMED("/gadgets/a%2Fb%20%C3%A4?tag=%26+%3D", JSON), 200,
			"~{\"id\":\"a/b \xc3\xa4\",", "\"tag\":[\"& =\"]" },
		/* missing is not null, and null is not missing */
		{ BODY("24", "{\"name\":\"x\",\"note\":null}"), 200, "~\"note\":null",
			.lacks = "count" },
		{ BODY("22", "{\"name\":\"x\",\"note\":\"\"}"), 200, "~\"note\":\"\"" },
		{ BODY("25", "{\"name\":\"x\",\"count\":null}"), 400, "~\"field\":\"count\"",
			"\"code\":\"invalid_type\"" },
		{ BODY("13", "{\"name\":null}"), 400, "~\"field\":\"name\"",
			"\"code\":\"invalid_type\"" },
		/* a body that came in chunks */
		{ "POST /gadgets/a" LINES JSON "Transfer-Encoding: chunked\r\n\r\n"
		  "5\r\n{\"nam\r\n7\r\ne\":\"x\"}\r\n0\r\n\r\n",
			200, "{\"id\":\"a\"," DEFAULTS END },
		{ 0 },
	};

	run(rows, false);
}

TEST(handler_problems)
{
	static const struct row rows[] = {
		/* all at once, each with its path, in the one shape */
		{ POST("/gadgets/a?limit=0&limit=7&more=1&deep=maybe&tag=toolong",
			  JSON "X-Mark: toolong\r\n", "46",
			  "{\"note\":5,\"count\":10,\"color\":\"blue\",\"size\":1} "),
			400,
			"{\"success\":false,\"statusCode\":400,\"error\":{\"code\":"
			"\"VALIDATION_ERROR\",\"message\":\"11 problems in the "
			"input\",\"details\":["
			"{\"field\":\"limit\",\"message\":\"must be at least 1\",\"code\":"
			"\"too_small\"},"
			"{\"field\":\"limit\",\"message\":\"must be given once\",\"code\":"
			"\"given_twice\"},"
			"{\"field\":\"more\",\"message\":\"is not known here\",\"code\":"
			"\"unknown_member\"},"
			"{\"field\":\"deep\",\"message\":\"must be true or false\",\"code\":"
			"\"invalid_type\"},"
			"{\"field\":\"tag.0\",\"message\":\"must have at most 5 characters\","
			"\"code\":\"too_long\"},"
			"{\"field\":\"x-mark\",\"message\":\"must have at most 5 characters\","
			"\"code\":\"too_long\"},"
			"{\"field\":\"note\",\"message\":\"must be text or null\",\"code\":"
			"\"invalid_type\"},"
			"{\"field\":\"count\",\"message\":\"must be at most 9\",\"code\":"
			"\"too_large\"},"
			"{\"field\":\"color\",\"message\":\"must be one of: red, green\",\"code\":"
			"\"invalid_enum\"},"
			"{\"field\":\"size\",\"message\":\"is not known here\",\"code\":"
			"\"unknown_member\"},"
			"{\"field\":\"name\",\"message\":\"is required\",\"code\":\"required\"}]},"
			"\"requestId\":\"me\"}" },
		{ NAMED("/gadgets/a?deep=true&deep=true", JSON), 400, "~\"field\":\"deep\"",
			"\"code\":\"given_twice\"" },
		{ NAMED("/gadgets/a", JSON "X-Mark: a\r\nx-mark: b\r\n"), 400,
			"~\"field\":\"x-mark\"", "\"code\":\"given_twice\"" },
		{ NAMED("/gadgets/a?tag=1&tag=2&tag=3&tag=4", JSON), 400, "~\"field\":\"tag\"",
			"\"code\":\"too_many\"" },
		{ NAMED("/gadgets/a?id=b", JSON), 400, "~\"field\":\"id\"",
			"\"code\":\"unknown_member\"" },
		{ NAMED("/gadgets/a?name=b", JSON), 400, "~\"field\":\"name\"",
			"\"code\":\"unknown_member\"" },
		{ BODY("21", "{\"name\":\"x\",\"id\":\"b\"}"), 400, "~\"field\":\"id\"",
			"\"code\":\"unknown_member\"" },
		{ NAMED("/gadgets/123456789012345678901", JSON), 400, "~\"field\":\"id\"",
			"\"code\":\"too_long\"" },
		{ PLAIN("GET", "/refs/a?limit=1.5"), 400, "~\"field\":\"limit\"",
			"\"code\":\"invalid_type\"" },
		{ PLAIN("GET", "/refs/a?limit="), 400, "~\"field\":\"limit\"" },
		{ PLAIN("GET", "/refs/a?limit=1&x=%ff"), 400, .lacks = "details" },
		/* what is no JSON says where, besides what else is wrong */
		{ POST("/gadgets/a?limit=0", JSON, "8", "{\"name\":"), 400,
			"~{\"field\":\"\",\"message\":\"is not valid JSON: ", "\"too_small\"" },
		{ BODY("4", "null"), 400, "~\"must be an object\"" },
		{ BODY("2", "[]"), 400, "~\"must be an object\"" },
		{ BODY("23", "{\"name\":\"x\",\"name\":\"y\"}"), 400,
			"~\"code\":\"invalid_json\"" },
		{ BODY("14", "{\"name\":\"x\"} x"), 400, "~\"code\":\"invalid_json\"" },
		{ BODY("12", "{\"name\":\"\xff\"}"), 400, "~\"code\":\"invalid_json\"" },
		/* what only the handler knows */
		{ PLAIN("POST", "/picky/a"), 400,
			"~\"message\":\"this cannot be made\",\"details\":["
			"{\"field\":\"id\",\"message\":\"is used by another\",\"code\":\"already_"
			"used\"},{\"field\":\"limit\",\"message\":\"must "
			"wait\",\"code\":\"too_soon\"}]" },
		/* and nothing of it is left for the next one */
		{ PLAIN("DELETE", "/refs/gone"), 404, .lacks = "details" },
		{ 0 },
	};

	run(rows, false);
}

TEST(handler_bodies)
{
	static const struct row rows[] = {
		{ NAMED("/gadgets/a", TYPE("application/json; charset=utf-8")), 200 },
		{ NAMED("/gadgets/a", TYPE("Application/JSON;Charset=\"UTF-8\"")), 200 },
		{ NAMED("/gadgets/a", TYPE("application/vnd.gadget+json")), 200 },
		{ NAMED("/gadgets/a", TYPE("application/vnd.gadget+JSON; charset=UTF-8")), 200 },
		{ NAMED("/gadgets/a", TYPE("application/json; version=1")), 200 },
		{ NAMED("/gadgets/a", TYPE("application/json; version=1; charset=utf-8")), 200 },
		{ NAMED("/gadgets/a", TYPE("application/json; version=1; charset=utf-16")), 415 },
		{ NAMED("/gadgets/a", ""), 415,
			"~\"code\":\"UNSUPPORTED_MEDIA_TYPE\",\"message\":\"the body must be JSON, "
			"with content-type: application/json\"" },
		{ NAMED("/gadgets/a", TYPE("")), 415 },
		{ NAMED("/gadgets/a", TYPE("text/plain")), 415 },
		{ NAMED("/gadgets/a", TYPE("text/json")), 415 },
		{ NAMED("/gadgets/a", TYPE("text/x+json")), 415 },
		{ NAMED("/gadgets/a", TYPE("application/jsonx")), 415 },
		{ NAMED("/gadgets/a", TYPE("application/json; charset=latin1")), 415 },
		{ NAMED("/gadgets/a", TYPE("application/x-www-form-urlencoded")), 415 },
		/* without a body there is nothing to be of a type: what is missing is told */
		{ PLAIN("POST", "/gadgets/a"), 400, "~{\"field\":\"name\"",
			"\"code\":\"required\"" },
		{ POST("/gadgets/a", JSON, "0", ""), 400, "~{\"field\":\"name\"" },
		{ POST("/gadgets/a", TYPE("text/plain"), "0", ""), 400, "~{\"field\":\"name\"" },
		/* nothing in it must be there: nor must it */
		{ PLAIN("POST", "/notes"), 200, "{\"loud\":true}" },
		{ POST("/notes", JSON, "0", ""), 200, "{\"loud\":true}" },
		{ POST("/notes", JSON, "2", "{}"), 200, "{\"loud\":true}" },
		{ POST("/notes", "", "2", "{}"), 415 },
		{ POST("/shapes", JSON, "16", "{\"kind\":\"empty\"}"), 204 },
		{ PLAIN("POST", "/shapes"), 400, "~{\"field\":\"\",\"message\":\"is required\"" },
		/* nobody asked for one: it is not even looked at */
		{ POST("/constant", TYPE("text/plain"), "5", "hello"), 200, "~\"id\":\"x\"" },
		{ POST("/picky/a", TYPE("text/plain"), "5", "hello"), 400, "~this cannot be made" },
		{ "PUT /refs/a" LINES "Content-Length: 5\r\n\r\nhello", 200, "~\"id\":\"a\"" },
		/* the route's own limit */
		{ POST("/wrapped/a", JSON, "201", ""), 413, .head = "\r\nconnection: close\r\n" },
		{ 0 },
	};

	run(rows, false);
}

/* --- answers ------------------------------------------------------------ */

TEST(handler_answers)
{
	static const struct row rows[] = {
		{ NAMED("/wrapped/a", JSON), 201,
			"{\"success\":true,\"statusCode\":201,\"data\":{\"id\":\"a\"," DEFAULTS END
			",\"requestId\":\"me\"}" },
		{ PLAIN("GET", "/refs/a"), 200,
			"{\"success\":true,\"statusCode\":200,\"data\":{\"id\":\"a\",\"limit\":10},"
			"\"requestId\":\"me\"}" },
		{ PLAIN("HEAD", "/refs/a"), 200, "", .head = "content-length: 79\r\n" },
		{ PLAIN("HEAD", "/refs/a?limit=0"), 400, "", .head = "content-type: " },
		{ PLAIN("DELETE", "/refs/a"), 204, "" },
		{ PLAIN("PATCH", "/refs/a"), 202, "", .head = "content-length: 0\r\n" },
		{ PLAIN("DELETE", "/refs/gone"), 404, "~there is no such gadget",
			.lacks = "details" },
		{ PLAIN("DELETE", "/refs/taken"), 404,
			"~\"message\":\"id was \\\"taken\\\"\",\"details\":[{\"field\":\"id\","
			"\"message\":\"was \\\"taken\\\"\",\"code\":\"gone\"}]}" },
		{ PLAIN("GET", "/letters?count=1"), 200, "~\"data\":{\"all\":[\"abc\"]},\"req",
			.lacks = "meta" },
		{ PLAIN("GET", "/letters?count=2"), 200,
			"~]},\"meta\":{\"nextCursor\":\"more \\\"of\\\" it\"},\"requestId\"" },
		{ PLAIN("GET", "/letters?count=3"), 200, .lacks = "meta" },
		{ PLAIN("GET", "/letters"), 200, "~{\"all\":[]}" },
		{ PLAIN("GET", "/by-hand"), 202, "by hand",
			.head = "content-type: text/plain\r\n" },
		{ 0 },
	};

	run(rows, false);
}

TEST(handler_failures)
{
	static const struct row rows[] = {
		{ PLAIN("GET", "/undeclared"), 500, "~\"code\":\"INTERNAL_ERROR\"",
			.lacks = "secret" },
		{ PLAIN("GET", "/undeclared-child"), 500, "~\"code\":\"INTERNAL_ERROR\"",
			.lacks = "secret" },
		{ PLAIN("GET", "/declared-child"), 409, "~the secret of the child" },
		{ PLAIN("GET", "/implied"), 503, "~SERVICE_UNAVAILABLE", .lacks = "away" },
		/* more than one request may use */
		{ PLAIN("GET", "/letters?count=9000"), 500, "~\"code\":\"INTERNAL_ERROR\"",
			.lacks = "bytes" },
		{ PLAIN("GET", "/letters?count=2"), 200 },
		{ 0 },
	};
	static const struct row in_development[] = {
		{ PLAIN("GET", "/undeclared"), 500,
			"~\"causes\":[\"the handler of GET /undeclared returned CONFLICT, which it "
			"does not declare: the secret of the house\"]" },
		{ PLAIN("GET", "/undeclared-child"), 500, "~the secret of the child" },
		{ PLAIN("GET", "/letters?count=9000"), 500,
			"~\"causes\":[\"the answer has more than 4194304 bytes\"]" },
		{ 0 },
	};

	run(rows, false);
	run(in_development, true);
}

/* Far more than joins its head, and less than a request may use. */
static void try_large(struct loopback *net, void *arg)
{
	static const char *const fields[] = { "", "Accept-Encoding: gzip\r\n" };
	struct client *client = client_open(net);

	(void)arg;
	REQUIRE(client);
	for (size_t i = 0; i < LEN(fields); i++) {
		char text[200];
		struct response response;

		(void)snprintf(
			text, sizeof(text), "GET /letters?count=2000" LINES "%s\r\n", fields[i]);
		EXPECT(client_send(client, str_from_c(text)));
		response = client_response(client, false);
		EXPECT_INT(response.status, 200);
		EXPECT(!response.cut);
		if (i == 0)
			EXPECT(response.body.len > 2000 * LETTER &&
				str_starts(response.body, S("{\"success\":true,")) &&
				str_ends(response.body, S("\"]},\"requestId\":\"me\"}")));
		else
			EXPECT(response.body.len < 2000 * LETTER / 10);
	}
	client_close(client);
}

TEST(handler_large_answer)
{
	loopback_run_ways(
		&(struct loopback_options){ .module = &module }, LOOPBACK_WAYS, try_large, NULL);
}

/* --- the document ------------------------------------------------------- */

/* What it says of a body is what the server does without one. */
TEST(handler_documents_bodies)
{
	static const struct {
		const char *operation, *wants; /* NULL: no word of a body */
	} rows[] = {
		{ "postGadgetsById", "\"requestBody\":{\"required\":true" },
		{ "postNotes", "\"requestBody\":{\"required\":false" },
		{ "postShapes", "\"requestBody\":{\"required\":true" },
		{ "putRefsById", NULL },
	};
	struct json_writer json;
	struct router router;
	struct arena arena;
	struct buf text;

	router_init(&router);
	arena_init(&arena, 4096, MEGABYTE);
	buf_init(&text, MEGABYTE);
	json_writer_init(&json, &text);
	for (size_t i = 0; i < LEN(routes); i++)
		REQUIRE(handler_check(&routes[i]) == 0 && router_add(&router, &routes[i]) == 0);
	REQUIRE(openapi_write(&router, NULL, &arena, &json) == 0 && json_writer_done(&json) == 0);
	for (size_t i = 0; i < LEN(rows); i++) {
		char name[60];
		struct str rest;
		ptrdiff_t at;

		(void)snprintf(name, sizeof(name), "\"operationId\":\"%s\"", rows[i].operation);
		at = str_find(buf_str(&text), str_from_c(name));
		REQUIRE(at >= 0);
		rest = str_from(buf_str(&text), (size_t)at);
		at = str_find(rest, S("\"responses\""));
		REQUIRE(at >= 0);
		rest = str_first(rest, (size_t)at);
		if (!EXPECT(rows[i].wants ? has(rest, rows[i].wants) : !has(rest, "requestBody")))
			fprintf(stderr, "  %.*s\n", STR_ARG(rest));
	}
	for (size_t i = 0; i < LEN(routes); i++)
		handler_release(&routes[i]);
	buf_done(&text);
	arena_done(&arena);
	router_done(&router);
}
