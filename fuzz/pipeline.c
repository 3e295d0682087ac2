/*
 * Whole requests through a server over a pipe: the pipeline with hooks, CORS and proxies, typed
 * handlers behind it. The first byte says what the rest is: 'b' the body of a request to the module
 * hello, 'q' the target of one, 'h' header fields, anything else bytes as they come from the wire.
 * Every answer is well-formed, and none says that we are to blame.
 */
#include "base/num.h"
#include "http/conn.h"
#include "http/metrics.h"
#include "http/module.h"
#include "modules/hello/hello.h"
#include "net/pipe.h"
#include "observe/clock.h"
#include "json/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* --- a module ----------------------------------------------------------- */

struct everything {
	struct str id;
	int64_t limit;
	bool deep;
	LIST_OF(double) share;
	struct opt_str x_mark;
	struct opt_str note;
	struct json_value extra;
	MAP_OF(struct str) labels;
};

/* clang-format off */
static const struct schema everything_schema = SCHEMA(everything, "From everywhere.",
	FIELD(everything, id, "Which.", .from = FROM_PATH, .flags = REQUIRED, .pattern = "[^x]+"),
	FIELD(everything, limit, "How many.", .from = FROM_QUERY, RANGE(1, 100), .if_missing = "10"),
	FIELD(everything, deep, "Further down, too.", .from = FROM_QUERY),
	LIST(everything, share, "Parts.", .from = FROM_QUERY, RANGE(0, 3), .flags = UNIQUE),
	FIELD(everything, x_mark, "A mark.", .from = FROM_HEADER),
	FIELD(everything, note, "A remark.", .flags = NULLABLE | MULTILINE),
	FIELD(everything, extra, "Anything.", RANGE(0, 1000)),
	MAP(everything, labels, "Names.", RANGE(0, 5), .key = RULES(.format = FORMAT_SLUG)));
/* clang-format on */

static int show(struct req *req, const struct everything *in, struct everything *out)
{
	(void)req;
	*out = *in;
	return 0;
}
HANDLER(show, everything, everything, 0)

static const struct route routes[] = {
	{ HTTP_GET, "/e/{id}", "Show it", .place = ROUTE_PUBLIC, .handler = &show_handler,
		.in = &everything_schema, .out = &everything_schema, .need = RIGHT_PUBLIC },
	{ HTTP_POST, "/e/{id}", "Show it", .place = ROUTE_PUBLIC, .handler = &show_handler,
		.in = &everything_schema, .out = &everything_schema, .need = "e:write",
		.idempotent = true, .body_max = 1000, .limit = ROUTE_LIMIT_AUTH },
};

static const struct module module = {
	MODULE_HEAD,
	.name = "fuzz",
	.routes = routes,
	.route_count = LEN(routes),
};

static size_t begun, ended;

static int identify(struct req *req, struct caller *ret)
{
	struct str value = h1_value(&req->head, H1_AUTHORIZATION);

	if (!value.at)
		return 0;
	if (str_find_byte(value, 'x') >= 0)
		return fail(ERR_UNAUTHORIZED, "no good");
	*ret = (struct caller){ CALLER_USER, value, value };
	return 0;
}

static int authorize(struct req *req, struct str right)
{
	(void)right;
	return str_find_byte(req->caller.id, 'y') >= 0 ? fail(ERR_FORBIDDEN, "not this one") : 0;
}

static int repeat_begin(struct req *req, struct str key)
{
	(void)req;
	if (str_find_byte(key, 'z') >= 0)
		return fail(ERR_CONFLICT, "in work");
	begun++;
	return 0;
}

static void repeat_finish(struct req *req, int result)
{
	(void)req, (void)result;
	ended++;
}

/* --- the server --------------------------------------------------------- */

static const struct server_limits limits = {
	.head = { .line = 512, .field = 512, .head = 2048, .fields = 30, .body = UINT64_MAX / 2 },
	.connections = 50,
	.connections_per_address = 50,
	.requests_per_connection = 1000,
	.connection_age_ns = 24 * HOUR,
	.handshake_ns = 5 * SECOND,
	.head_ns = 10 * SECOND,
	.idle_ns = 60 * SECOND,
	.handler_ns = 30 * SECOND,
	.body_grace_ns = 10 * SECOND,
	.body_rate = 1000,
	.write_stall_ns = 10 * SECOND,
	.body = 16 * KILOBYTE,
	.pipelined = 2048,
	.response_queue = 16 * KILOBYTE,
	.request_memory = 4 * MEGABYTE,
	.compress_from = 1000,
};

static struct server server;
static struct server_worker home;
static uint64_t now = 1000 * SECOND;

static bool trusted(const struct address *address, void *arg)
{
	return server_trusts(arg, address);
}

static void open_gates(void)
{
	static const struct str origin = S_INIT("https://a.example");
	static struct limiter limiters[SERVER_LIMITERS];
	static struct network proxy;
	static struct cors cors;

	for (size_t i = 0; i < SERVER_LIMITERS; i++)
		CHECK(limiter_init(&limiters[i],
			      &(struct limiter_options){ .name = S_INIT("any"),
				      .limit = { .quota = 1000, .window_ns = MILLISECOND },
				      .slots = 64 }) == 0);
	CHECK(cors_init(&cors, &(struct cors_config){ .origins = { &origin, 1 } }) == 0);
	CHECK(network_parse(S("127.0.0.0/8"), &proxy) == 0);
	server.limiters = limiters;
	server.cors = &cors;
	server.proxies = &proxy;
	server.proxy_count = 1;
	server.trust.trusted = trusted;
	server.trust.arg = &server;
	server.hooks = (struct hooks){ identify, authorize, repeat_begin, repeat_finish };
}

static void open_server(void)
{
	server.limits = limits;
	server.site_count = 1;
	server.sites[0].place = ROUTE_ANYWHERE;
	server.sites[0].listener.fd = -1;
	router_init(&server.sites[0].router);
	peers_init(&server.peers);
	CHECK(metrics_init() == 0);
	CHECK(server_add(&server, &hello_module) == 0 && server_add(&server, &module) == 0);
	open_gates();

	home.server = &server;
	link_init(&home.conns);
	compress_pool_init(&home.compress, 1, 4);
	sched_init(&home.worker.sched, 100);
	home.worker.sched.now_ns = now;
	server.workers = &home;
	server.worker_count = 1;
	atomic_store(&server.ready, true);
}

/* --- the client --------------------------------------------------------- */

struct talk {
	struct pipe_end ends[2];
	struct str send;
	struct buf got;
};

static int speak(void *arg)
{
	static const struct stream_pace pace = { .stall_ns = HOUR };
	struct talk *talk = arg;

	if (stream_write(&talk->ends[0].stream, &talk->send, 1, &pace) == 0)
		(void)stream_end(&talk->ends[0].stream, TIME_NEVER);
	return 0;
}

static int listen_to(void *arg)
{
	struct talk *talk = arg;
	char piece[4096];
	ssize_t got;

	while ((got = stream_read(&talk->ends[0].stream, piece, sizeof(piece), TIME_NEVER)) > 0)
		buf_append(&talk->got, str_of(piece, (size_t)got));
	return 0;
}

/* Says everything at once, and listens to the end. */
static void converse(struct talk *talk, size_t chop)
{
	struct sched *sched = &home.worker.sched;
	uint64_t next;

	pipe_open(talk->ends, 4096, chop);
	CHECK(conn_open_stream(&home, &server.sites[0], &talk->ends[1].stream));
	CHECK(scope_spawn(&sched->root, speak, talk) == 0);
	CHECK(scope_spawn(&sched->root, listen_to, talk) == 0);
	while ((next = sched_run(sched, now)) != TIME_NEVER)
		now = MAX(now, next);
	stream_close(&talk->ends[0].stream);
	while ((next = sched_run(sched, now)) != TIME_NEVER)
		now = MAX(now, next);
	CHECK(server_connections(&server) == 0 && home.load == 0 && list_empty(&home.conns));
	CHECK(sched->count == 0);
}

/* --- answers ------------------------------------------------------------ */

struct answer {
	uint64_t status, length;
	bool has_length, json, coded;
};

static void check_line(struct str line, struct answer *answer)
{
	struct str value = line, name = str_cut(&value, ':');

	CHECK(value.len >= 1 && value.at[0] == ' ' && name.len > 0);
	for (size_t i = 0; i < line.len; i++)
		CHECK((unsigned char)line.at[i] >= ' ' || line.at[i] == '\t');
	value = str_from(value, 1);
	if (str_eq(name, S("content-length"))) {
		CHECK(!answer->has_length && num_parse_u64(value, &answer->length));
		answer->has_length = true;
	}
	answer->json |= str_eq(name, S("content-type")) && str_eq(value, S("application/json"));
	answer->coded |= str_eq(name, S("content-encoding"));
	CHECK(!str_eq(name, S("transfer-encoding"))); /* nothing here streams */
}

/* Takes a head off the text. */
static struct answer take_head(struct str *text)
{
	ptrdiff_t end = str_find(*text, S("\r\n\r\n"));
	struct answer answer = { 0 };
	struct str head;

	CHECK(end > 0 && str_starts(*text, S("HTTP/1.1 ")));
	head = str_first(*text, (size_t)end + 2);
	*text = str_from(*text, (size_t)end + 4);
	CHECK(num_parse_u64(str_of(head.at + 9, 3), &answer.status));
	(void)str_cut(&head, '\n');
	while (head.len) {
		struct str line = str_cut(&head, '\n');

		CHECK(line.len && line.at[line.len - 1] == '\r');
		check_line(str_first(line, line.len - 1), &answer);
	}
	return answer;
}

static void check_json(struct str body)
{
	struct json_reader reader;
	struct arena arena;

	arena_init(&arena, 4096, MEGABYTE);
	json_reader_init(&reader, body, &arena, NULL);
	CHECK(json_next(&reader) == JSON_OBJECT && json_skip(&reader) == 0);
	CHECK(json_next(&reader) == JSON_END);
	arena_done(&arena);
}

/* An answer to HEAD has a length and no body: then the next head follows, or nothing. */
static void check_answers(struct str text)
{
	while (text.len) {
		struct answer answer = take_head(&text);
		struct str body;

		CHECK(answer.status < 500 || answer.status == 501 || answer.status == 505);
		if (answer.status == 100 || answer.status == 204) {
			CHECK(!answer.has_length);
			continue;
		}
		CHECK(answer.has_length);
		if (text.len == 0 || str_starts(text, S("HTTP/1.1 ")))
			continue;
		CHECK(answer.length <= text.len);
		body = str_first(text, (size_t)answer.length);
		text = str_from(text, body.len);
		if (answer.json && !answer.coded)
			check_json(body);
	}
}

/* --- inputs ------------------------------------------------------------- */

static void write_request(struct buf *out, char how, struct str text)
{
	switch (how) {
	case 'b':
		buf_append(out, S("POST /api/v1/echo HTTP/1.1\r\nHost: a\r\n"
				  "Content-Type: application/json\r\nContent-Length: "));
		buf_u64(out, text.len);
		buf_append(out, S("\r\n\r\n"));
		buf_append(out, text);
		break;
	case 'q':
		buf_append(out, S("GET "));
		buf_append(out, text);
		buf_append(out, S(" HTTP/1.1\r\nHost: a\r\n\r\n"));
		break;
	case 'h':
		buf_append(out, S("POST /e/a HTTP/1.1\r\nHost: a\r\n"));
		buf_append(out, text);
		buf_append(out, S("\r\n\r\n"));
		break;
	default: buf_append(out, text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct str text = str_of((const char *)bytes, size);
	struct talk talk = { 0 };
	struct buf request;

	if (!server.site_count)
		open_server();
	if (size < 2)
		return 0;
	buf_init(&request, MEGABYTE);
	buf_init(&talk.got, 16 * MEGABYTE);
	write_request(&request, text.at[0], str_from(text, 1));
	talk.send = buf_str(&request);
	begun = ended = 0;
	converse(&talk, size % 2 ? 1 + size % 50 : SIZE_MAX);
	CHECK(begun == ended);
	check_answers(buf_str(&talk.got));
	buf_done(&talk.got);
	buf_done(&request);
	return 0;
}
