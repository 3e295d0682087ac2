/* Lists of tags, and what conditions do to requests for a versioned thing. */
#include "http/match.h"

#include "base/err.h"
#include "base/test.h"
#include "http/loopback_test.h"
#include "http/module.h"
#include "schema/schema.h"

#include <stdio.h>

TEST(etag_write)
{
	char text[ETAG_MAX];

	EXPECT_STR(str_of(text, etag_write(text, 0)), S("\"0\""));
	EXPECT_STR(str_of(text, etag_write(text, 17)), S("\"17\""));
	EXPECT_STR(str_of(text, etag_write(text, INT64_MIN)), S("\"-9223372036854775808\""));
}

TEST(etag_listed)
{
	static const struct {
		const char *value;
		int strong, weak; /* 1, 0 or -ERR_INVALID for "7" */
	} cases[] = {
		{ "\"7\"", 1, 1 },
		{ "  \"7\"\t", 1, 1 },
		{ "*", 1, 1 },
		{ " * ", 1, 1 },
		{ "W/\"7\"", 0, 1 },
		{ "\"8\"", 0, 0 },
		{ "\"\"", 0, 0 },
		{ "\"77\"", 0, 0 },
		{ "\"8\", \"7\"", 1, 1 },
		{ "\"8\",\"7\",W/\"9\"", 1, 1 },
		{ ",, \"7\" ,,", 1, 1 },
		{ "\"a,b\", \"7\"", 1, 1 },
		{ "\"a,\\\"7\"", -ERR_INVALID,
			-ERR_INVALID }, /* a backslash escapes nothing here */
		{ "\"\xc3\xa4\", W/\"7\"", 0, 1 },
		{ "\"7\", x", -ERR_INVALID, -ERR_INVALID }, /* also behind one that fits */
		{ "7", -ERR_INVALID, -ERR_INVALID },
		{ "\"7", -ERR_INVALID, -ERR_INVALID },
		{ "\"", -ERR_INVALID, -ERR_INVALID },
		{ "'7'", -ERR_INVALID, -ERR_INVALID },
		{ "w/\"7\"", -ERR_INVALID, -ERR_INVALID }, /* the mark is case-sensitive */
		{ "W/ \"7\"", -ERR_INVALID, -ERR_INVALID },
		{ "W/", -ERR_INVALID, -ERR_INVALID },
		{ "\"7\" \"8\"", -ERR_INVALID, -ERR_INVALID },
		{ "\"7\"\"8\"", -ERR_INVALID, -ERR_INVALID },
		{ "*, \"7\"", -ERR_INVALID, -ERR_INVALID },
		{ "\"7\", *", -ERR_INVALID, -ERR_INVALID },
		{ "\"a b\"", -ERR_INVALID, -ERR_INVALID },
		{ "", -ERR_INVALID, -ERR_INVALID },
		{ " , ", -ERR_INVALID, -ERR_INVALID },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct str value = str_from_c(cases[i].value);
		int strong = etag_listed(value, S("\"7\""), false);
		int weak = etag_listed(value, S("\"7\""), true);

		if (!EXPECT_INT(strong, cases[i].strong) || !EXPECT_INT(weak, cases[i].weak))
			fprintf(stderr, "  value %s\n", cases[i].value);
	}
}

/* --- over the wire -------------------------------------------------------------- */

struct paper {
	struct str text;
	int64_t version;
};

/* clang-format off */
static const struct schema paper_schema = SCHEMA(paper, "Something that is edited.",
	FIELD(paper, text, "What it says."),
	FIELD(paper, version, "Grows with each change.", .flags = READ_ONLY));
/* clang-format on */

static int page_get(struct req *req, const struct nothing *in, struct paper *out)
{
	(void)req, (void)in;
	*out = (struct paper){ S_INIT("words"), 7 };
	return 0;
}
HANDLER(page_get, nothing, paper, 0)

static int page_change(struct req *req, const struct nothing *in, struct paper *out)
{
	int r = req_if_match(req, 7);

	(void)in;
	if (r == 0)
		*out = (struct paper){ S_INIT("new words"), 8 };
	return r;
}
HANDLER(page_change, nothing, paper, ROUTE_FAILS(PRECONDITION) | ROUTE_FAILS(INVALID))

static int page_delete(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)in, (void)out;
	return req_if_match(req, 7);
}
HANDLER(page_delete, nothing, nothing, ROUTE_FAILS(PRECONDITION) | ROUTE_FAILS(INVALID))

#define PAGE_ROUTE(method, handler_)                                                               \
	HTTP_##method, "/page", "The page", .place = ROUTE_PUBLIC, .handler = &(handler_),         \
					    .need = RIGHT_PUBLIC, .versioned = true

static const struct route routes[] = {
	{ PAGE_ROUTE(GET, page_get_handler), .out = &paper_schema },
	{ PAGE_ROUTE(PATCH, page_change_handler), .out = &paper_schema },
	{ PAGE_ROUTE(DELETE, page_delete_handler) },
};

static const struct module module = {
	MODULE_HEAD,
	.name = "match",
	.routes = routes,
	.route_count = LEN(routes),
};

static void scenario(struct loopback *net, void *arg)
{
	static const struct {
		const char *method, *fields;
		int status;
		const char *etag; /* NULL: none */
	} cases[] = {
		{ "GET", "", 200, "\"7\"" },
		{ "GET", "If-None-Match: \"7\"\r\n", 304, "\"7\"" },
		{ "GET", "If-None-Match: W/\"7\"\r\n", 304, "\"7\"" },
		{ "GET", "If-None-Match: \"6\"\r\n", 200, "\"7\"" },
		{ "GET", "If-None-Match: *\r\n", 304, "\"7\"" },
		{ "GET", "If-None-Match: \"5\"\r\nIf-None-Match: \"7\"\r\n", 304, "\"7\"" },
		{ "GET", "If-Match: \"7\"\r\nIf-None-Match: \"6\"\r\n", 200, "\"7\"" },
		{ "GET", "If-Match: \"6\"\r\n", 412, NULL },
		{ "GET", "If-None-Match: 7\r\n", 400, NULL },
		{ "HEAD", "", 200, "\"7\"" },
		{ "HEAD", "If-None-Match: \"7\"\r\n", 304, "\"7\"" },
		{ "PATCH", "", 200, "\"8\"" },
		{ "PATCH", "If-Match: \"7\"\r\n", 200, "\"8\"" },
		{ "PATCH", "If-Match: *\r\n", 200, "\"8\"" },
		{ "PATCH", "If-Match: \"6\", \"7\"\r\n", 200, "\"8\"" },
		{ "PATCH", "If-Match: \"6\"\r\nIf-Match: \"7\"\r\n", 200, "\"8\"" },
		{ "PATCH", "If-Match: \"6\"\r\n", 412, NULL },
		{ "PATCH", "If-Match: W/\"7\"\r\n", 412, NULL },
		{ "PATCH", "If-Match: seven\r\n", 400, NULL },
		{ "PATCH", "If-Match: \"7\"\r\nIf-Match: seven\r\n", 400, NULL },
		{ "PATCH", "If-None-Match: *\r\n", 412, NULL },
		{ "PATCH", "If-None-Match: \"7\"\r\n", 412, NULL },
		{ "PATCH", "If-None-Match: \"6\"\r\n", 200, "\"8\"" },
		{ "DELETE", "", 204, NULL },
		{ "DELETE", "If-Match: \"7\"\r\n", 204, NULL },
		{ "DELETE", "If-Match: \"6\"\r\n", 412, NULL },
	};
	struct client *client = client_open(net);

	(void)arg;
	for (size_t i = 0; i < LEN(cases); i++) {
		char text[300];
		struct response response;
		struct str etag;

		(void)snprintf(text, sizeof(text), "%s /page HTTP/1.1\r\nHost: x\r\n%s\r\n",
			cases[i].method, cases[i].fields);
		REQUIRE(client_send(client, str_from_c(text)));
		response = client_response(client, strcmp(cases[i].method, "HEAD") == 0);
		etag = response_header(&response, S("etag"));
		if (!EXPECT_INT(response.status, cases[i].status) ||
			!EXPECT_STR(etag, str_from_c(cases[i].etag)))
			fprintf(stderr, "  %s", text);
	}
}

TEST(match_over_the_wire)
{
	struct loopback_options options = { .module = &module };

	loopback_run_ways(&options, LOOPBACK_WAYS, scenario, NULL);
}
