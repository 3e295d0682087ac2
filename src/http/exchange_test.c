/* Requests and their answers by a table, over pipes and sockets, whole and in pieces; and the same
 * with memory or system calls that fail. */
#include "base/mem.h"
#include "base/test.h"
#include "http/decode_test.h"
#include "http/loopback_test.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct expected {
	int status;
	const char *body;        /* all of it, or "~" and a part; NULL: any */
	const char *has, *lacks; /* parts of the head */
};

struct row {
	const char *send;
	struct expected want[4];
	bool closes;   /* after the last answer */
	bool open_end; /* the body ends with the connection, so that nobody can see it break off */
	bool bodyless; /* answers to HEAD */
};

#define LINES " HTTP/1.1\r\nHost: a\r\n"

#define GET(path)                "GET " path LINES "\r\n"
#define GET_WITH(path, field)    "GET " path LINES field "\r\n\r\n"
#define GET_CLOSE(path)          GET_WITH(path, "Connection: close")
#define GET_1_0(path)            "GET " path " HTTP/1.0\r\n\r\n"
#define HEAD(path)               "HEAD " path LINES "\r\n"
#define POST(path, length, body) "POST " path LINES "Content-Length: " length "\r\n\r\n" body
#define CHUNKED(path, body)      "POST " path LINES "Transfer-Encoding: chunked\r\n\r\n" body
#define EXPECTING(path, length)                                                                    \
	"POST " path LINES "Expect: 100-continue\r\nContent-Length: " length "\r\n\r\n"

#define ERROR(number, wire)                                                                        \
	{                                                                                          \
		number,                                                                            \
			"~\"success\":false,\"statusCode\":" #number                               \
			",\"error\":{\"code\":\"" wire "\"",                                       \
			"content-type: application/json"                                           \
	}

static const struct row plain_rows[] = {
	{ GET("/ping"), { { 200, "pong", "content-length: 4\r\n", "connection:" } } },
	{ GET_CLOSE("/ping"), { { 200, "pong", "connection: close\r\n" } }, .closes = true },
	{ GET_1_0("/ping"), { { 200, "pong", "connection: close\r\n" } }, .closes = true },
	{ "GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		{ { 200, "pong", "connection: keep-alive\r\n" } } },
	{ HEAD("/ping"), { { 200, "", "content-length: 4\r\n" } }, .bodyless = true },
	{ GET("/params/a%2Fb/x/%C3%A4"), { { 200, "a/b|\xc3\xa4" } } },
	{ GET("/params/a?b=c"), { ERROR(404, "NOT_FOUND") } },
	{ GET("/empty"), { { 204, "", NULL, "content-length" } } },
	{ GET("/unchanged"), { { 304, "", "etag: \"1\"\r\n", "content-length" } } },
	{ GET("/moved"), { { 308, "", "location: /ping\r\n" } } },
	{ GET_WITH("/who", "X-Request-Id: abc-1"),
		{ { 200, "abc-1", "x-request-id: abc-1\r\n" } } },
	{ GET_WITH("/who", "X-Request-Id: a b"), { { 200, NULL, NULL, "x-request-id: a b" } } },
	{ GET("/sized/16385"), { { 200, NULL, "content-length: 16385\r\n" } } },

	/* two at once */
	{ GET("/ping") GET("/params/1/x/2"), { { 200, "pong" }, { 200, "1|2" } } },
	{ GET("/ping") GET("/stream") GET_CLOSE("/ping"),
		{ { 200, "pong" }, { 200, "one,two" }, { 200, "pong" } }, .closes = true },
	{ GET_CLOSE("/ping") GET("/ping"), { { 200, "pong" } }, .closes = true },
	{ "\r\n" GET("/ping") "\r\n" GET("/ping"), { { 200, "pong" }, { 200, "pong" } } },

	/* streams */
	{ GET("/stream"), { { 200, "one,two", "transfer-encoding: chunked\r\n" } } },
	{ HEAD("/stream"), { { 200, "", "transfer-encoding: chunked\r\n" } }, .bodyless = true },
	{ GET_1_0("/stream"), { { 200, "one,two", "connection: close\r\n", "chunked" } },
		.closes = true, .open_end = true },
	{ "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		{ { 200, "one,two", "connection: close\r\n", "chunked" } }, .closes = true,
		.open_end = true },
	{ GET("/stream-length"), { { 201, "one,two", "content-length: 7\r\n", "chunked" } } },
	{ HEAD("/stream-length"), { { 201, "", "content-length: 7\r\n" } }, .bodyless = true },
	{ GET("/stream-nothing/0"), { { 200, "", "chunked" } } },
	{ GET("/stream-nothing/1"), { { 200, "", "content-length: 0\r\n" } } },

	/* bodies */
	{ POST("/echo", "0", ""), { { 200, "", "content-length: 0\r\n" } } },
	{ POST("/echo", "5", "hello"), { { 200, "hello" } } },
	{ POST("/echo", "5", "hello") GET("/ping"), { { 200, "hello" }, { 200, "pong" } } },
	{ "POST /echo" LINES "\r\n", { { 200, "" } } },
	{ POST("/pieces/1000", "5", "hello") GET("/ping"), { { 200, "hello" }, { 200, "pong" } } },
	{ POST("/pieces/1", "5", "hello") GET("/ping"), { { 200, "hello" }, { 200, "pong" } } },
	{ CHUNKED("/echo", "0\r\n\r\n"), { { 200, "" } } },
	{ CHUNKED("/echo", "5\r\nhello\r\n6;a=\"b\"\r\n world\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "hello world" }, { 200, "pong" } } },
	{ CHUNKED("/echo", "1\r\nx\r\n0\r\nTrailer: y\r\nHost: z\r\n\r\n") GET("/ping"),
		{ { 200, "x" }, { 200, "pong" } } },
	{ CHUNKED("/pieces/1000", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "hello world" }, { 200, "pong" } } },
	{ CHUNKED("/pieces/1", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "hello world" }, { 200, "pong" } } },
	{ CHUNKED("/pieces/2", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "hello world" }, { 200, "pong" } } },
	{ CHUNKED("/pieces/3", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "hello world" }, { 200, "pong" } } },
	{ POST("/ignore", "5", "hello") GET("/ping"), { { 200, "ignored" }, { 200, "pong" } } },
	{ CHUNKED("/ignore", "5\r\nhello\r\n0\r\n\r\n") GET("/ping"),
		{ { 200, "ignored" }, { 200, "pong" } } },
	{ POST("/small", "10", "0123456789"), { { 200, "0123456789" } } },
	{ POST("/small-pieces/3", "10", "0123456789"), { { 200, "0123456789" } } },
	{ POST("/small", "11", "0123456789a"), { ERROR(413, "PAYLOAD_TOO_LARGE") },
		.closes = true },
	{ POST("/small", "99999999", ""), { ERROR(413, "PAYLOAD_TOO_LARGE") }, .closes = true },
	{ CHUNKED("/small", "a\r\n0123456789\r\n0\r\n\r\n"), { { 200, "0123456789" } } },
	{ CHUNKED("/small", "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"),
		{ ERROR(413, "PAYLOAD_TOO_LARGE") }, .closes = true },
	{ CHUNKED("/echo", "5\r\nhelloX"), { ERROR(400, "VALIDATION_ERROR") }, .closes = true },
	{ CHUNKED("/ignore", "x"), { { 200, "ignored", "connection: close" } }, .closes = true },
	{ CHUNKED("/echo", "0\r\nBad Trailer: x\r\n\r\n"), { ERROR(400, "VALIDATION_ERROR") },
		.closes = true },

	/* who is told to go on */
	{ EXPECTING("/echo", "5") "hello" GET("/ping"), { { 200, "hello" }, { 200, "pong" } } },
	{ EXPECTING("/echo", "0"), { { 200, "" } } },
	{ EXPECTING("/ignore", "5"), { { 200, "ignored", "connection: close" } }, .closes = true },
	{ EXPECTING("/small", "11"), { ERROR(413, "PAYLOAD_TOO_LARGE") }, .closes = true },
	{ "POST /echo" LINES "Expect: cake\r\nContent-Length: 1\r\n\r\nx",
		{ ERROR(417, "VALIDATION_ERROR") }, .closes = true },

	/* what is no request */
	{ "GET /ping HTTP/1.1\r\n\r\n", { ERROR(400, "VALIDATION_ERROR") }, .closes = true },
	{ "nonsense\r\n\r\n" GET("/ping"), { ERROR(400, "VALIDATION_ERROR") }, .closes = true },
	{ "\x16\x03\x01\x02", { ERROR(400, "VALIDATION_ERROR") }, .closes = true },
	{ "GET /ping HTTP/2.0\r\n\r\n", { ERROR(505, "VALIDATION_ERROR") }, .closes = true },
	{ "BREW /ping" LINES "\r\n", { ERROR(501, "METHOD_NOT_ALLOWED") }, .closes = true },
	{ GET("/ping") "GET  /ping HTTP/1.1\r\n\r\n",
		{ { 200, "pong" }, ERROR(400, "VALIDATION_ERROR") }, .closes = true },
	{ GET("/%ff"), { ERROR(400, "VALIDATION_ERROR") } },

	/* what the router says */
	{ GET("/nowhere"), { ERROR(404, "NOT_FOUND") } },
	{ HEAD("/nowhere"), { { 404, "", "content-type: application/json" } }, .bodyless = true },
	{ "DELETE /echo" LINES "\r\n",
		{ { 405, "~\"code\":\"METHOD_NOT_ALLOWED\"", "allow: POST, OPTIONS\r\n" } } },
	{ "OPTIONS /ping" LINES "\r\n", { { 204, "", "allow: GET, HEAD, OPTIONS\r\n" } } },
	{ "OPTIONS *" LINES "\r\n", { { 204, "", "allow: GET, HEAD, POST" } } },
	{ "OPTIONS /nowhere" LINES "\r\n", { ERROR(404, "NOT_FOUND") } },

	/* and what becomes of the body then */
	{ POST("/nowhere", "0", ""), { ERROR(404, "NOT_FOUND") } },
	{ POST("/nowhere", "5", "hello"), { ERROR(404, "NOT_FOUND") } },
	{ POST("/nowhere", "5", "hello") GET("/ping"),
		{ ERROR(404, "NOT_FOUND"), { 200, "pong" } } },
	{ CHUNKED("/nowhere", "0\r\n\r\n"), { ERROR(404, "NOT_FOUND") } },
	{ CHUNKED("/nowhere", "5\r\nhello\r\n0\r\nA: b\r\n\r\n"), { ERROR(404, "NOT_FOUND") } },
	{ CHUNKED("/nowhere", "x"), { { 400, NULL, "connection: close" } }, .closes = true },
	{ EXPECTING("/nowhere", "5"), { { 404, NULL, "connection: close" } }, .closes = true },
	{ POST("/nowhere", "99999999", ""), { { 404, NULL, "connection: close" } },
		.closes = true },
	{ POST("/ping", "0", ""), { ERROR(405, "METHOD_NOT_ALLOWED") } },
	{ POST("/%ff", "0", ""), { ERROR(400, "VALIDATION_ERROR") } },
	{ "OPTIONS *" LINES "Content-Length: 0\r\n\r\n", { { 204, "" } } },
	{ "OPTIONS *" LINES "Content-Length: 3\r\n\r\nabc", { { 204, "" } } },

	/* what handlers do wrong */
	{ GET("/silent"), { ERROR(500, "INTERNAL_ERROR") } },
	{ GET("/change-mind"), { ERROR(409, "CONFLICT") } },
	{ GET("/hostile-headers"),
		{ { 200, "refused", "x-friendly: a\tb \xc3\xa4\r\n", "hostile" } } },
	{ GET("/children"), { { 200, "abcd" } } },
	{ GET("/child-fails"), { ERROR(409, "CONFLICT") } },

	{ GET("/child-fails-in-wait"), { { 409, "~a child says no" } } },
	{ GET("/both-fail"), { { 403, "~the parent says no" } } },
	{ GET("/many-headers/0"), { { 200, "many", "\r\nx-many: vvv" } } },
	{ GET("/many-headers/1"), { ERROR(500, "INTERNAL_ERROR") } },
	{ GET_CLOSE("/many-headers/0"), { { 200, "many", "\r\nconnection: close\r\n" } },
		.closes = true },

	/* nothing of the answer was sent yet: it is as if there was none, but what came before
	   stays */
	{ GET("/too-long"), { { 0 } }, .closes = true },
	{ GET_1_0("/too-long"), { { 0 } }, .closes = true },
	{ GET("/ping") GET("/too-long"), { { 200, "pong" } }, .closes = true },
	{ GET("/ping") POST("/echo", "1", "x") GET("/too-long") GET("/ping"),
		{ { 200, "pong" }, { 200, "x" } }, .closes = true },

	/* upgrades */
	{ GET("/upgrade"), { ERROR(426, "VALIDATION_ERROR") } },
	{ GET_WITH("/upgrade", "Connection: upgrade\r\nUpgrade: other"),
		{ ERROR(426, "VALIDATION_ERROR") } },
	{ GET_WITH("/ping", "Connection: upgrade\r\nUpgrade: echo"), { { 200, "pong" } } },
};

/* --- rows --------------------------------------------------------------- */

static bool body_fits(struct str body, const char *wanted)
{
	if (!wanted)
		return true;
	return *wanted == '~' ? str_find(body, str_from_c(wanted + 1)) >= 0
			      : str_eq(body, str_from_c(wanted));
}

static bool fits(const struct response *response, const struct expected *want)
{
	return !response->cut && response->status == want->status &&
	       body_fits(response->body, want->body) &&
	       (!want->has || str_find(response->head, str_from_c(want->has)) >= 0) &&
	       (!want->lacks || str_find(response->head, str_from_c(want->lacks)) < 0);
}

/* An answer that is no success: an error in the one shape, or a connection that broke. */
static bool honest_failure(const struct response *response, const struct row *row)
{
	if (response->status < 400)
		return response->cut || response->status == 0 || row->open_end;
	return response->cut || row->bodyless || response->body.len == 0 ||
	       str_starts(response->body, S("{\"success\":false,"));
}

/* Coded answers may come plain when there is no memory for an encoder. */
static bool plain_instead(const struct response *response)
{
	return response->status == 200 && !response->cut &&
	       !response_header(response, S("content-encoding")).at &&
	       str_eq(response->body, loopback_text);
}

static void show(const struct row *row, const struct response *response)
{
	fprintf(stderr, "  for \"%.300s\"\n  came ", row->send);
	if (response->status)
		fprintf(stderr, "%.*s%.*s\n", STR_ARG(response->head),
			STR_ARG(str_first(response->body, 300)));
	else
		fprintf(stderr, "nothing\n");
}

/* Asks for what a row says; `faulty`: it may also fail, but never lie. */
static void try_row(struct loopback *net, const struct row *row, bool faulty)
{
	struct client *client = client_open(net);

	if (!client || !client_send(client, str_from_c(row->send))) {
		EXPECT(faulty || row->closes);
		if (client && faulty)
			client_close(client);
		if (faulty)
			return;
	}
	for (size_t i = 0; i < LEN(row->want) && row->want[i].status; i++) {
		struct response response = client_response(client, row->bodyless);

		if (response.status == 100)
			response = client_response(client, row->bodyless);
		if (faulty && !fits(&response, &row->want[i])) {
			if (!EXPECT(honest_failure(&response, row) || plain_instead(&response)))
				show(row, &response);
			/* and it does not leave the client waiting */
			if (!EXPECT(loopback_time(net) < 5))
				show(row, &response);
			client_close(client);
			return;
		}
		if (!EXPECT(fits(&response, &row->want[i])))
			show(row, &response);
	}
	if (row->closes) {
		if (!EXPECT(client_is_closed(client)))
			show(row, &(struct response){ .head = S("more\n"), .body = S("") });
	} else if (!faulty) {
		struct response response;

		EXPECT(client_send(client, S(GET("/ping"))));
		response = client_response(client, false);
		if (!EXPECT_STR(response.body, S("pong")))
			show(row, &response);
	}
	client_close(client);
}

static void try_rows(struct loopback *net, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < LEN(plain_rows); i++)
		try_row(net, &plain_rows[i], false);
}

TEST(exchange_rows)
{
	loopback_run_all(try_rows, NULL);
}

/* --- answers that break off --------------------------------------------- */

static void try_breaks(struct loopback *net, void *arg)
{
	static const struct {
		const char *send;
		const char *part;
	} rows[] = {
		{ GET("/break-off/0"), "part" },
		{ GET("/break-off/1"), "part" },
		{ GET("/too-short"), "12345" },
		{ GET("/ping") GET("/break-off/0") GET("/ping"), "part" },
	};

	(void)arg;
	for (size_t i = 0; i < LEN(rows); i++) {
		struct client *client = client_open(net);
		struct response response;

		EXPECT(client_send(client, str_from_c(rows[i].send)));
		response = client_response(client, false);
		if (!response.cut && str_eq(response.body, S("pong")))
			response = client_response(client, false);
		EXPECT(response.cut);
		EXPECT_INT(response.status, 200);
		EXPECT_STR(response.body, str_from_c(rows[i].part));
		client_close(client);
	}
}

TEST(exchange_broken_answers_never_look_whole)
{
	loopback_run_all(try_breaks, NULL);
}

/* --- bodies cut anywhere ------------------------------------------------ */

/* All cuts in two of requests on one connection, each answered rightly. */
static void try_splits(struct loopback *net, void *arg)
{
	static const struct {
		const char *path, *answer;
	} rows[] = {
		{ "/echo", "hello world" },
		{ "/pieces/3", "hello world" },
		{ "/pieces/100", "hello world" },
		{ "/ignore", "ignored" },
		{ "/nowhere", NULL },
	};
	static const char rest[] = LINES "Transfer-Encoding: chunked\r\n\r\n"
					 "5;x\r\nhello\r\n006\r\n world\r\n0\r\nA: b\r\n\r\n";
	struct client *client = client_open(net);

	(void)arg;
	for (size_t i = 0; i < LEN(rows); i++) {
		char text[300];
		size_t len = (size_t)snprintf(text, sizeof(text), "POST %s%s", rows[i].path, rest);

		for (size_t at = 1; at < len; at++) {
			struct response response;

			EXPECT(client_send(client, str_of(text, at)));
			loopback_pause(net);
			EXPECT(client_send(client, str_of(text + at, len - at)));
			response = client_response(client, false);
			EXPECT_INT(response.status, rows[i].answer ? 200 : 404);
			if (rows[i].answer)
				EXPECT_STR(response.body, str_from_c(rows[i].answer));
		}
	}
	client_close(client);
}

TEST(exchange_chunked_bodies_in_all_splits)
{
	loopback_run_all(try_splits, NULL);
}

/* --- large answers, coded answers, HEAD --------------------------------- */

static struct response ask(
	struct client *client, const char *method, const char *path, const char *fields)
{
	char text[600];
	int len = snprintf(
		text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields);

	CHECK(len > 0 && (size_t)len < sizeof(text));
	EXPECT(client_send(client, str_of(text, (size_t)len)));
	return client_response(client, strcmp(method, "HEAD") == 0);
}

static void try_large(struct loopback *net, void *arg)
{
	static const char *const paths[] = { "/large", "/stream-large" };
	struct client *client = client_open(net);

	(void)arg;
	for (size_t i = 0; i < LEN(paths); i++) {
		struct response response = ask(client, "GET", paths[i], "");

		EXPECT(!response.cut &&
			str_eq(response.body, str_of(loopback_large, LOOPBACK_LARGE)));
	}
	client_close(client);
}

TEST(exchange_large_answers)
{
	loopback_run_all(try_large, NULL);
}

static void try_codings(struct loopback *net, void *arg)
{
	static const char *const paths[] = { "/text", "/text-stream/0", "/text-stream/1" };
	static const struct {
		const char *field, *name;
		enum encoding encoding;
	} rows[] = {
		{ "Accept-Encoding: gzip\r\n", "gzip", ENCODING_GZIP },
		{ "Accept-Encoding: br\r\n", "br", ENCODING_BR },
		{ "Accept-Encoding: br;q=0.5\r\nAccept-Encoding: gzip\r\n", "gzip", ENCODING_GZIP },
		{ "Accept-Encoding: deflate\r\n", NULL, ENCODING_IDENTITY },
		{ "", NULL, ENCODING_IDENTITY },
	};
	struct client *client = client_open(net);

	(void)arg;
	for (size_t i = 0; i < LEN(paths) * LEN(rows); i++) {
		const char *path = paths[i / LEN(rows)], *field = rows[i % LEN(rows)].field;
		struct response response = ask(client, "GET", path, field);
		struct str coding = response_header(&response, S("content-encoding"));
		struct buf plain;

		buf_init(&plain, MEGABYTE);
		EXPECT_STR(coding, str_from_c(rows[i % LEN(rows)].name));
		EXPECT_STR(response_header(&response, S("vary")), S("accept-encoding"));
		if (coding.at)
			decode(rows[i % LEN(rows)].encoding, response.body, &plain);
		EXPECT(str_eq(coding.at ? buf_str(&plain) : response.body, loopback_text));
		EXPECT(!coding.at || response.body.len < loopback_text.len / 2);
		buf_done(&plain);
	}
	client_close(client);
}

TEST(exchange_codings)
{
	loopback_run_all(try_codings, NULL);
}

/* A body that does not shrink goes out as it is, also when an encoder's buffer is large already. */
static void try_noise(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (int i = 0; i < 4; i++) {
		const char *field = i < 2 ? "Accept-Encoding: gzip\r\n" : "Accept-Encoding: br\r\n";
		struct response response = ask(client, "GET", "/noise", field);

		EXPECT(!response_header(&response, S("content-encoding")).at);
		EXPECT(str_eq(response.body, str_of(loopback_large, 1200)));
		(void)ask(client, "GET", "/text", field);
	}
	client_close(client);
}

TEST(exchange_coding_that_does_not_pay)
{
	loopback_run_all(try_noise, NULL);
}

/* The lines of a head that do not differ from one answer to the next. */
static size_t stable_lines(struct str head, char *at, size_t room)
{
	size_t len = 0;

	while (head.at) {
		struct str line = str_cut(&head, '\n');

		if (str_starts(line, S("date:")) || str_starts(line, S("x-request-id:")))
			continue;
		CHECK(len + line.len < room);
		memcpy(at + len, line.at, line.len);
		len += line.len;
	}
	return len;
}

static void try_heads(struct loopback *net, void *arg)
{
	static const char *const paths[] = { "/ping", "/large", "/stream-large", "/stream",
		"/stream-length", "/stream-nothing/0", "/stream-nothing/1", "/text",
		"/text-stream/0", "/text-stream/1", "/empty", "/unchanged", "/moved", "/nowhere",
		"/fail/CONFLICT", "/silent", "/params/a/x/b", "/sized/0", "/sized/20000" };
	static const char *const fields[] = { "", "Accept-Encoding: gzip\r\n",
		"Accept-Encoding: br\r\n" };
	struct client *client = client_open(net);

	(void)arg;
	for (size_t i = 0; i < LEN(paths) * LEN(fields); i++) {
		const char *path = paths[i / LEN(fields)], *field = fields[i % LEN(fields)];
		char get[4096], head[4096];
		struct response response = ask(client, "GET", path, field);
		size_t get_len = stable_lines(response.head, get, sizeof(get)), head_len;

		response = ask(client, "HEAD", path, field);
		head_len = stable_lines(response.head, head, sizeof(head));
		if (!EXPECT_STR(str_of(head, head_len), str_of(get, get_len)))
			fprintf(stderr, "  for %s %s\n", path, field);
	}
	client_close(client);
}

TEST(exchange_head_is_get_without_a_body)
{
	loopback_run_all(try_heads, NULL);
}

/* --- errors ------------------------------------------------------------- */

static void try_errors(struct loopback *net, void *arg)
{
	const bool *causes = arg;
	struct client *client = client_open(net);

	for (int code = 1; code < ERR_CODES; code++) {
		const struct err_info *info = err_info(code);
		char path[64], wanted[600], status[64];
		struct response response;
		struct str id;
		bool own = info->status >= 500;

		(void)snprintf(path, sizeof(path), "/fail/%s", info->name);
		response = ask(client, "GET", path, "X-Request-Id: me\r\n");
		id = response_header(&response, S("x-request-id"));
		(void)snprintf(wanted, sizeof(wanted),
			"{\"success\":false,\"statusCode\":%d,\"error\":{\"code\":\"%s\","
			"\"message\":"
			"\"%s\"%s},\"requestId\":\"me\"}",
			info->status, info->wire.at, own ? info->text.at : "the outer intention",
			own && *causes ? ",\"causes\":[\"the outer intention\",\"the inner cause\"]"
				       : "");
		(void)snprintf(status, sizeof(status), "HTTP/1.1 %d ", info->status);
		EXPECT(str_starts(response.head, str_from_c(status)));
		EXPECT_STR(response.body, str_from_c(wanted));
		EXPECT_STR(id, S("me"));
		EXPECT_STR(response_header(&response, S("retry-after")),
			info->status == 429 || info->status == 503 ? S("1") : str_of(NULL, 0));
	}
	client_close(client);
}

TEST(exchange_errors_have_one_shape)
{
	for (int causes = 0; causes < 2; causes++)
		for (enum loopback_way way = 0; way < LOOPBACK_WAYS; way++)
			(void)loopback_run(
				&(struct loopback_options){
					.way = way, .seed = 3, .show_causes = causes },
				try_errors, &(bool){ causes });
}

/* --- 100 Continue ------------------------------------------------------- */

static void try_continue(struct loopback *net, void *arg)
{
	static const struct {
		const char *path;
		bool told;
		int status;
	} rows[] = {
		{ "/echo", true, 200 },
		{ "/pieces/2", true, 200 },
		{ "/late/1", true, 200 },
		{ "/ignore", false, 200 },
		{ "/nowhere", false, 404 },
		{ "/small", false, 413 },
	};

	(void)arg;
	for (size_t i = 0; i < 2 * LEN(rows); i++) {
		bool chunked = i % 2 && rows[i / 2].status != 413;
		struct client *client = client_open(net);
		struct response response = ask(client, "POST", rows[i / 2].path,
			chunked ? "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
				: "Expect: 100-continue\r\nContent-Length: 11\r\n");

		if (rows[i / 2].told) {
			EXPECT_INT(response.status, 100);
			EXPECT(client_send(client,
				chunked ? S("b\r\nhello world\r\n0\r\n\r\n") : S("hello world")));
			response = client_response(client, false);
			EXPECT_STR(response.body, S("hello world"));
			response = ask(client, "GET", "/ping", "");
			EXPECT_STR(response.body, S("pong"));
		} else {
			EXPECT_INT(response.status, rows[i / 2].status);
			EXPECT_STR(response_header(&response, S("connection")), S("close"));
			EXPECT(client_is_closed(client));
		}
		client_close(client);
	}
}

TEST(exchange_continue_is_said_to_who_is_read)
{
	loopback_run_all(try_continue, NULL);
}

/* --- bodies that nobody reads ------------------------------------------- */

/* The client sends all before it reads; the answer must come through. */
static void try_unread(struct loopback *net, void *arg)
{
	static char head[200];
	struct client *client = client_open(net);
	struct response response;

	(void)arg;
	(void)snprintf(head, sizeof(head),
		"POST /ignore-large HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 200 * 1024);
	EXPECT(client_send(client, str_from_c(head)));
	client_send_aside(client, str_of(loopback_large, 200 * 1024));
	response = client_response(client, false);
	EXPECT(!response.cut && str_eq(response.body, str_of(loopback_large, LOOPBACK_LARGE)));
	EXPECT(client_is_closed(client));
	client_close(client);
}

TEST(exchange_answer_does_not_wait_for_an_unread_body)
{
	loopback_run_all(try_unread, NULL);
}

static void try_measure(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (int i = 0; i < 2; i++) {
		char head[200];

		(void)snprintf(head, sizeof(head),
			"POST /measure HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
			LOOPBACK_LARGE);
		EXPECT(client_send(client, str_from_c(head)));
		client_send_aside(client, str_of(loopback_large, LOOPBACK_LARGE));
		EXPECT_STR(client_response(client, false).body, S("1048576"));
	}
	client_close(client);
}

TEST(exchange_large_body_in_little_memory)
{
	loopback_run_all(try_measure, NULL);
}

/* --- upgrades ----------------------------------------------------------- */

#define UPGRADE(path) GET_WITH(path, "Connection: upgrade\r\nUpgrade: other, Echo")

static void expect_bytes(struct client *client, struct str wanted)
{
	while (client_unread(client).len < wanted.len && client_fill(client))
		;
	EXPECT_STR(str_first(client_unread(client), wanted.len), wanted);
	client_use(client, MIN(wanted.len, client_unread(client).len));
}

static void try_upgrade(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;

	/* bytes of the new protocol come right behind the head */
	EXPECT(client_send(client, str_from_c(arg)));
	EXPECT(client_send(client, S(UPGRADE("/upgrade") "early")));
	response = client_response(client, false);
	if (response.status == 200)
		response = client_response(client, false);
	EXPECT_INT(response.status, 101);
	EXPECT_STR(response_header(&response, S("connection")), S("upgrade"));
	EXPECT_STR(response_header(&response, S("upgrade")), S("echo"));
	EXPECT_STR(response_header(&response, S("x-echo")), S("yes"));
	expect_bytes(client, S("early"));
	for (int i = 0; i < 3; i++) {
		EXPECT(client_send(client, S("GET /ping HTTP/1.1\r\n\r\n")));
		expect_bytes(client, S("GET /ping HTTP/1.1\r\n\r\n"));
	}
	EXPECT(client_send(client, S("q")));
	expect_bytes(client, S("q"));
	EXPECT(client_is_closed(client));
	client_close(client);
}

/* The client says its last words and ends its half: the handler hears them, and the end. */
static void try_upgrade_last_words(struct loopback *net, void *arg)
{
	struct client *client;

	(void)arg;
	if (loopback_way(net) == LOOPBACK_TCP)
		return; /* the handler waits for a second */
	client = client_open(net);
	loopback_wait_result = 0;
	EXPECT(client_send(client, S(UPGRADE("/upgrade-later"))));
	EXPECT_INT(client_response(client, false).status, 101);
	EXPECT(client_send(client, S("x")));
	client_end(client);
	EXPECT(client_is_closed(client));
	EXPECT_INT(loopback_wait_result, 1);
	client_close(client);
}

TEST(exchange_upgrade)
{
	loopback_run_all(try_upgrade, "");
	loopback_run_all(try_upgrade, GET("/ping"));
	loopback_run_all(try_upgrade_last_words, NULL);
}

/* --- clients that end their half ---------------------------------------- */

/* All of the request is sent, so it is answered, although nothing more will come. */
static void try_half_close(struct loopback *net, void *arg)
{
	static const struct {
		const char *send, *answer;
	} rows[] = {
		{ GET("/ping"), "pong" },
		{ POST("/echo", "5", "hello"), "hello" },
		{ POST("/late/5", "5", "hello"), "hello" },
		{ POST("/sip/1", "5", "hello"), "hello" },
		{ CHUNKED("/sip/1", "5\r\nhello\r\n0\r\n\r\n"), "hello" },
	};

	size_t count =
		loopback_way(net) == LOOPBACK_TCP ? 2 : LEN(rows); /* others need its clock */

	(void)arg;
	for (size_t i = 0; i < count; i++) {
		struct client *client = client_open(net);
		struct str text = str_from_c(rows[i].send);
		size_t first = text.len > 60 ? text.len - 3 : text.len;

		EXPECT(client_send(client, str_first(text, first)));
		loopback_pause(net);
		EXPECT(client_send(client, str_from(text, first)));
		client_end(client);
		EXPECT_STR(client_response(client, false).body, str_from_c(rows[i].answer));
		EXPECT(client_is_closed(client));
		client_close(client);
	}
}

TEST(exchange_half_closed_requests_are_answered)
{
	loopback_run_all(try_half_close, NULL);
}

/* --- memory ------------------------------------------------------------- */

/* A request leaves nothing behind: not on its connection, and no more with the worker than it
 * keeps for the next one. Each row is sent until its second and third time, which must be equal. */
static void try_memory(struct loopback *net, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < LEN(plain_rows); i++) {
		const struct row *row = &plain_rows[i];
		size_t before = 0;

		for (int round = 0; round < 3; round++) {
			if (round == 2)
				before = mem_used();
			try_row(net, row, false);
			loopback_sleep(2); /* until the connection has lingered */
		}
		if (!EXPECT_INT(mem_used(), before))
			fprintf(stderr, "  after \"%.300s\"\n", row->send);
	}
}

TEST(exchange_leaves_no_memory_behind)
{
	static const enum loopback_way ways[] = { LOOPBACK_WHOLE, LOOPBACK_CHOPPED,
		LOOPBACK_POLLED };

	for (size_t i = 0; i < LEN(ways); i++)
		(void)loopback_run(&(struct loopback_options){ .way = ways[i] }, try_memory, NULL);
}

/* The memory of a large request does not stay with the pool. */
static void try_pool(struct loopback *net, void *arg)
{
	static char head[200];
	struct client *client = client_open(net);
	size_t before;

	(void)arg;
	EXPECT_STR(ask(client, "GET", "/ping", "").body, S("pong"));
	before = mem_used();
	for (int i = 0; i < 2; i++) {
		(void)snprintf(head, sizeof(head),
			"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 200000);
		EXPECT(client_send(client, str_from_c(head)));
		client_send_aside(client, str_of(loopback_large, 200000));
		EXPECT(str_eq(client_response(client, false).body, str_of(loopback_large, 200000)));
	}
	EXPECT(str_eq(ask(client, "GET", "/text-stream/0", "Accept-Encoding: br\r\n").body,
		       S("")) == false);
	loopback_pause(net);
	EXPECT(mem_used() < before + 2 * MEGABYTE); /* an encoder is kept */
	compress_pool_done(&loopback_worker(net)->compress);
	compress_pool_init(&loopback_worker(net)->compress, 1, 4);
	if (!EXPECT(mem_used() < before + 150 * KILOBYTE)) /* buffers of both sides of the pipe */
		fprintf(stderr, "  %zu more\n", mem_used() - before);
	client_close(client);
}

TEST(exchange_pool_keeps_little)
{
	(void)loopback_run(&(struct loopback_options){ .way = LOOPBACK_WHOLE }, try_pool, NULL);
}

/* When memory is short, requests are refused; when it is there again, they are not. */
static void try_short_memory(struct loopback *net, void *arg)
{
	static char head[200];
	size_t used;

	(void)arg;
	for (int round = 0; round < 3; round++) {
		struct client *client = client_open(net);
		struct response response;

		(void)snprintf(head, sizeof(head),
			"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 200000);
		used = mem_used();
		mem_limit(used + 150 * KILOBYTE);
		EXPECT(client_send(client, str_from_c(head)));
		client_send_aside(client, str_of(loopback_large, 200000));
		response = client_response(client, false);
		EXPECT(response.status == 503 || response.status == 0);
		client_close(client);
		loopback_sleep(2);
		mem_limit(0);
		client = client_open(net);
		EXPECT_STR(ask(client, "GET", "/ping", "").body, S("pong"));
		client_close(client);
		loopback_sleep(2);
	}
}

TEST(exchange_recovers_from_short_memory)
{
	(void)loopback_run(
		&(struct loopback_options){ .way = LOOPBACK_WHOLE }, try_short_memory, NULL);
}

/* --- the log ------------------------------------------------------------ */

/* What goes wrong after the answer was found does not hide why it is as it is. */
static void try_log(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S(POST("/nowhere", "9", "short"))));
	EXPECT_INT(client_response(client, false).status, 404);
	client_close(client);
}

TEST(exchange_logs_the_error_that_was_answered)
{
	char text[4096];
	int log = memfd_create("log", 0);
	ssize_t len;

	REQUIRE(log > 0);
	(void)loopback_run(&(struct loopback_options){ .log = log }, try_log, NULL);
	len = pread(log, text, sizeof(text), 0);
	REQUIRE(len > 0);
	EXPECT(str_find(str_of(text, (size_t)len), S("\"code\":\"NOT_FOUND\"")) >= 0);
	EXPECT(str_find(str_of(text, (size_t)len), S("TIMEOUT")) < 0);
	(void)close(log);
}

/* --- torture ------------------------------------------------------------ */

#ifdef BULKHEAD_FAULTS
static const struct row torture_rows[] = {
	{ GET("/begin-blindly"), { { 200, "one,two" } } },
	{ GET("/ping") GET("/begin-blindly"), { { 200, "pong" }, { 200, "one,two" } } },
	{ GET_WITH("/text", "Accept-Encoding: gzip"), { { 200, NULL, "content-encoding: gzip" } } },
	{ GET_WITH("/text", "Accept-Encoding: br"), { { 200, NULL, "content-encoding: br" } } },
	{ GET_WITH("/text-stream/0", "Accept-Encoding: gzip"), { { 200, NULL, "gzip" } } },
	{ GET_WITH("/text-stream/0", "Accept-Encoding: br"), { { 200, NULL, ": br" } } },
	{ GET("/large"), { { 200 } } },
	{ GET("/stream-large"), { { 200 } } },
	{ UPGRADE("/upgrade") "q", { { 101 } } },
	{ GET_CLOSE("/both-fail"), { ERROR(403, "FORBIDDEN") }, .closes = true },
};

static void try_with_fault(struct loopback *net, void *arg)
{
	try_row(net, arg, true);
}

static void torture(const struct row *row, enum loopback_way way, bool memory)
{
	static size_t base;
	bool struck = true;

	for (size_t nth = 0; struck || nth == 1; nth++) {
		struct loopback_options options = { .way = way,
			.fail_memory = memory ? nth : 0,
			.fail_syscall = memory ? 0 : nth };

		struck = loopback_run(&options, try_with_fault, (void *)row);
		if (nth == 0)
			base = mem_used();
		if (!EXPECT_INT(mem_used(), base)) {
			fprintf(stderr, "  leaked when fault %zu struck \"%.300s\"\n", nth,
				row->send);
			test_end();
		}
	}
}

static void torture_all(enum loopback_way way, bool memory)
{
	for (size_t i = 0; i < LEN(plain_rows); i++)
		torture(&plain_rows[i], way, memory);
	for (size_t i = 0; i < LEN(torture_rows); i++)
		torture(&torture_rows[i], way, memory);
}

TEST_SLOW(exchange_torture_of_memory, 120)
{
	torture_all(LOOPBACK_WHOLE, true);
	torture_all(LOOPBACK_POLLED, true);
}

TEST_SLOW(exchange_torture_of_system_calls, 120)
{
	torture_all(LOOPBACK_POLLED, false);
}
#endif
/* What is cut off in the middle is the client's fault, not ours. */
static void try_cut_bodies(struct loopback *net, void *arg)
{
	static const char *const rows[] = {
		POST("/echo", "5", "hel"),
		POST("/pieces/2", "5", ""),
		CHUNKED("/echo", "5\r\nhel"),
		CHUNKED("/echo", "5\r\nhello\r\n0\r\n"),
		CHUNKED("/pieces/2", "5\r\nhello\r\n"),
		POST("/nowhere", "5", "hel"),
	};

	(void)arg;
	for (size_t i = 0; i < LEN(rows); i++) {
		struct client *client = client_open(net);
		struct response response;

		EXPECT(client_send(client, str_from_c(rows[i])));
		client_end(client);
		response = client_response(client, false);
		EXPECT_INT(response.status, i == LEN(rows) - 1 ? 404 : 400);
		EXPECT_STR(response_header(&response, S("connection")), S("close"));
		EXPECT(client_is_closed(client));
		client_close(client);
	}
}

TEST(exchange_cut_bodies)
{
	loopback_run_all(try_cut_bodies, NULL);
}
