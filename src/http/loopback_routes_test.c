/* A module with a route for everything a handler can do, and much that it should not. */
#include "base/num.h"
#include "base/test.h"
#include "http/loopback_test.h"
#include "http/module.h"

#include <stdio.h>

char loopback_large[LOOPBACK_LARGE];
struct str loopback_text;
_Atomic int loopback_wait_result;
_Atomic size_t loopback_pings;

static const char text_type[] = "text/plain; charset=utf-8";
static const char bytes_type[] = "application/octet-stream";

#define TEXT  str_of(text_type, sizeof(text_type) - 1)
#define BYTES str_of(bytes_type, sizeof(bytes_type) - 1)

void loopback_make_bodies(void)
{
	static char text[20 * 1024];
	uint64_t seed = 3;
	size_t len = 0;

	if (loopback_text.at)
		return;
	for (size_t i = 0; i < LOOPBACK_LARGE; i++)
		loopback_large[i] = (char)test_random(&seed);
	while (len + 64 < sizeof(text))
		len += (size_t)snprintf(text + len, 64, "{\"id\":%llu,\"name\":\"user\"},\n",
			(unsigned long long)(test_random(&seed) % 100000));
	loopback_text = str_of(text, len);
}

static uint64_t number(const struct req *req, struct str name)
{
	uint64_t value = 0;

	CHECK(num_parse_u64(req_param(req, name), &value));
	return value;
}

/* --- bodies ------------------------------------------------------------- */

static int ping(struct req *req)
{
	loopback_pings++;
	return reply_send(req, 200, TEXT, S("pong"));
}

static int echo(struct req *req)
{
	struct str body;
	int r = req_read_all(req, &body);

	return r < 0 ? r : reply_send(req, 200, BYTES, body);
}

static int echo_pieces(struct req *req)
{
	enum { ROOM = 64 * 1024 };
	size_t size = (size_t)number(req, S("size")), have = 0;
	char *all = arena_alloc(&req->arena, ROOM);
	ssize_t got;

	if (!all)
		return -(int)err_last()->code;
	do {
		size_t room = MIN(size, ROOM - have);

		got = req_read(req, all + have, room);
		CHECK(got <= (ssize_t)room);
		have += got > 0 ? (size_t)got : 0;
	} while (got > 0);
	if (got == 0)
		EXPECT_INT(req_read(req, all, 1), 0); /* the end stays the end */
	else
		EXPECT(req_read(req, all, 1) < 0); /* and so does an error */
	return got < 0 ? fail((enum err_code) - (int)got, "reading in pieces")
		       : reply_send(req, 200, BYTES, str_of(all, have));
}

/* Reads what comes and answers with its length, which can be more than the arena has. */
static int measure(struct req *req)
{
	uint64_t total = 0;
	char piece[1000];
	ssize_t got;
	struct str answer;

	while ((got = req_read(req, piece, sizeof(piece))) > 0)
		total += (uint64_t)got;
	if (got < 0)
		return (int)got;
	answer = arena_printf(&req->arena, "%llu", (unsigned long long)total);
	return answer.at ? reply_send(req, 200, TEXT, answer) : -(int)err_last()->code;
}

static int late(struct req *req)
{
	int r = fiber_sleep_until(sched_now() + number(req, S("ms")) * MILLISECOND);

	return r < 0 ? r : echo(req);
}

/* A byte, a rest, and so on. */
static int sip(struct req *req)
{
	uint64_t rest = number(req, S("ms")) * MILLISECOND;
	char *all = arena_alloc(&req->arena, 100);
	ssize_t got = 1;
	size_t have = 0;

	if (!all)
		return -(int)err_last()->code;
	while (got > 0 && have < 100) {
		got = req_read(req, all + have, 1);
		have += got > 0;
		if (got < 0 || fiber_sleep_until(sched_now() + rest) < 0)
			return -(int)err_last()->code;
	}
	return reply_send(req, 200, BYTES, str_of(all, have));
}

static int ignore(struct req *req)
{
	return reply_send(req, 200, TEXT, S("ignored"));
}

static int ignore_large(struct req *req)
{
	return reply_send(req, 200, BYTES, str_of(loopback_large, LOOPBACK_LARGE));
}

/* --- replies ------------------------------------------------------------ */

static int large(struct req *req)
{
	return reply_send(req, 200, BYTES, str_of(loopback_large, LOOPBACK_LARGE));
}

static int sized(struct req *req)
{
	return reply_send(req, 200, BYTES, str_of(loopback_large, (size_t)number(req, S("size"))));
}

static int write_all(struct req *req, struct str all, size_t step)
{
	int r = 0;

	while (all.len && r == 0) {
		struct str piece = str_first(all, step);

		r = reply_write(req, piece);
		all = str_from(all, piece.len);
	}
	return r;
}

static int stream_large(struct req *req)
{
	int r = reply_begin(req, 200, BYTES, UINT64_MAX);

	return r < 0 ? r : write_all(req, str_of(loopback_large, LOOPBACK_LARGE), 50000);
}

static int stream(struct req *req)
{
	int r = reply_begin(req, 200, TEXT, UINT64_MAX);

	if (r == 0)
		r = reply_write(req, S("one,"));
	if (r == 0)
		r = reply_write(req, S("")); /* no last chunk by accident */
	fiber_yield();
	return r < 0 ? r : reply_write(req, S("two"));
}

static int stream_length(struct req *req)
{
	int r = reply_begin(req, 201, TEXT, 7);

	if (r == 0)
		r = reply_write(req, S("one,"));
	fiber_yield();
	return r < 0 ? r : reply_write(req, S("two"));
}

static int stream_nothing(struct req *req)
{
	return reply_begin(req, 200, TEXT, number(req, S("known")) ? 0 : UINT64_MAX);
}

static int text(struct req *req)
{
	return reply_send(req, 200, S("application/json"), loopback_text);
}

static int text_stream(struct req *req)
{
	int r = reply_begin(req, 200, S("application/json"),
		number(req, S("known")) ? loopback_text.len : UINT64_MAX);

	return r < 0 ? r : write_all(req, loopback_text, 999);
}

/* Says it is text, but nothing makes it smaller. */
static int noise(struct req *req)
{
	return reply_send(req, 200, TEXT, str_of(loopback_large, 1200));
}

/* Does not look whether it could begin. */
static int begin_blindly(struct req *req)
{
	(void)reply_begin(req, 200, BYTES, 7);
	(void)reply_write(req, S("one,"));
	return reply_write(req, S("two"));
}

static int empty(struct req *req)
{
	return reply_empty(req, 204);
}

static int unchanged(struct req *req)
{
	int r = reply_header(req, S("etag"), S("\"1\""));

	return r < 0 ? r : reply_empty(req, 304);
}

static int moved(struct req *req)
{
	int r = reply_header(req, S("location"), S("/ping"));

	return r < 0 ? r : reply_empty(req, 308);
}

static int params(struct req *req)
{
	struct str a = req_param(req, S("a")), b = req_param(req, S("b"));
	struct str both = arena_printf(&req->arena, "%.*s|%.*s", STR_ARG(a), STR_ARG(b));

	return both.at ? reply_send(req, 200, TEXT, both) : -(int)err_last()->code;
}

static int who(struct req *req)
{
	return reply_send(req, 200, TEXT, req->id);
}

/* --- headers ------------------------------------------------------------ */

static int hostile_headers(struct req *req)
{
	static const struct str hostile[] = { S_INIT("a\r\nset-cookie: b"), S_INIT("a\nb"),
		S_INIT("a\rb"), S_INIT("\0"), S_INIT("\x1b[2J"), S_INIT("\x7f"), S_INIT("a\v") };

	for (size_t i = 0; i < LEN(hostile); i++) {
		int r = reply_header(req, S("x-hostile"), hostile[i]);

		if (r == 0)
			return fail(ERR_INTERNAL, "row %zu was taken", i);
	}
	if (reply_header(req, S("x-friendly"), S("a\tb \xc3\xa4")) < 0)
		return -(int)err_last()->code;
	return reply_send(req, 200, TEXT, S("refused"));
}

/* More than there is room for: the last one must leave no trace. */
static int many_headers(struct req *req)
{
	static char value[3000];
	int r = 0;

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 10 && r == 0; i++)
		r = reply_header(req, S("x-many"), str_of(value, sizeof(value)));
	if (r != -ERR_INTERNAL)
		return r < 0 ? r : fail(ERR_CONFLICT, "all were taken");
	return number(req, S("fail")) ? r : reply_send(req, 200, TEXT, S("many"));
}

/* --- failures ----------------------------------------------------------- */

static int fail_by_name(struct req *req)
{
	struct str name = req_param(req, S("code"));

	for (int code = 1; code < ERR_CODES; code++)
		if (str_eq(name, str_from_c(err_info(code)->name))) {
			(void)fail((enum err_code)code, "the inner cause");
			return err_wrap("the outer intention");
		}
	return reply_send(req, 200, TEXT, S("no such code"));
}

static int silent(struct req *req)
{
	(void)req;
	return 0;
}

static int change_mind(struct req *req)
{
	(void)reply_send(req, 201, TEXT, S("done"));
	return fail(ERR_CONFLICT, "or rather not");
}

static int break_off(struct req *req)
{
	int r = reply_begin(req, 200, BYTES, number(req, S("known")) ? 100 : UINT64_MAX);

	if (r == 0)
		r = reply_write(req, S("part"));
	return r < 0 ? r : fail(ERR_CONFLICT, "broke off");
}

static int too_short(struct req *req)
{
	int r = reply_begin(req, 200, BYTES, 10);

	return r < 0 ? r : reply_write(req, S("12345"));
}

static int too_long(struct req *req)
{
	int r = reply_begin(req, 200, BYTES, 3);

	return r < 0 ? r : reply_write(req, S("12345"));
}

/* --- time and children -------------------------------------------------- */

static int wait_here(struct req *req)
{
	int r = fiber_sleep_until(sched_now() + HOUR);

	(void)req;
	loopback_wait_result = r;
	return r;
}

static int nap(struct req *req)
{
	int r = fiber_sleep_until(sched_now() + number(req, S("ms")) * MILLISECOND);

	loopback_wait_result = r;
	return r < 0 ? r : reply_send(req, 200, TEXT, S("rested"));
}

struct child {
	struct req *req;
	size_t number;
	char *at;
};

static int write_letter(void *arg)
{
	struct child *child = arg;

	(void)fiber_sleep_until(sched_now() + (5 - child->number) * MICROSECOND);
	*child->at = (char)('a' + child->number);
	return 0;
}

static int child_conflict(void *arg)
{
	(void)arg;
	(void)fiber_sleep_until(sched_now() + MICROSECOND);
	return fail(ERR_CONFLICT, "a child says no");
}

static int children(struct req *req)
{
	enum { COUNT = 4 };
	struct child *all = arena_alloc(&req->arena, COUNT * sizeof(*all));
	char *letters = arena_alloc(&req->arena, COUNT);

	if (!all || !letters)
		return -(int)err_last()->code;
	for (size_t i = 0; i < COUNT; i++) {
		all[i] = (struct child){ req, i, letters + i };
		if (scope_spawn(&req->scope, write_letter, &all[i]) < 0)
			return -(int)err_last()->code;
	}
	return reply_send(req, 200, TEXT, str_of(letters, COUNT)); /* which they write later */
}

static int child_fails(struct req *req)
{
	if (scope_spawn(&req->scope, child_conflict, NULL) < 0)
		return -(int)err_last()->code;
	return reply_send(req, 200, TEXT, S("too early"));
}

/* The child's error ends the wait of its parent. */
static int child_fails_in_wait(struct req *req)
{
	if (scope_spawn(&req->scope, child_conflict, NULL) < 0)
		return -(int)err_last()->code;
	return fiber_sleep_until(sched_now() + HOUR);
}

static int both_fail(struct req *req)
{
	if (scope_spawn(&req->scope, child_conflict, NULL) < 0)
		return -(int)err_last()->code;
	return fail(ERR_FORBIDDEN, "the parent says no");
}

static int child_waits(void *arg)
{
	(void)arg;
	loopback_wait_result = fiber_sleep_until(sched_now() + HOUR);
	return 0;
}

/* The answer is there, but a child still works on. */
static int child_stays(struct req *req)
{
	if (scope_spawn(&req->scope, child_waits, NULL) < 0)
		return -(int)err_last()->code;
	return reply_send(req, 200, TEXT, S("at last"));
}

/* --- another protocol --------------------------------------------------- */

/* Sends back what comes, until the end or a 'q'. */
static int upgrade(struct req *req)
{
	static const struct stream_pace pace = { .stall_ns = 10 * SECOND };
	struct stream *stream;
	char piece[64];
	struct str rest;
	ssize_t got = 1;
	int r = reply_header(req, S("x-echo"), S("yes"));

	if (r == 0)
		r = reply_upgrade(req, S("echo"), &stream, &rest);
	if (r == 0 && rest.len)
		r = stream_write(stream, &rest, 1, &pace);
	while (r == 0 && got > 0) {
		got = stream_read(stream, piece, sizeof(piece), TIME_NEVER);
		if (got > 0) {
			struct str back = str_of(piece, (size_t)got);

			r = stream_write(stream, &back, 1, &pace);
			if (str_find_byte(back, 'q') >= 0)
				return r;
		}
	}
	loopback_wait_result = r < 0 ? r : (int)got;
	return loopback_wait_result;
}

/* Does something else while the other side speaks, and then listens. */
static int upgrade_later(struct req *req)
{
	struct stream *stream;
	char piece[64];
	struct str rest;
	int r = reply_upgrade(req, S("echo"), &stream, &rest);

	if (r == 0)
		r = fiber_sleep_until(sched_now() + SECOND);
	loopback_wait_result =
		r < 0 ? r : (int)stream_read(stream, piece, sizeof(piece), TIME_NEVER);
	return 0;
}

/* --- the table ---------------------------------------------------------- */

static const struct route routes[] = {
	{ HTTP_GET, "/ping", "Answer", ping, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_POST, "/echo", "The body again", echo, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_POST, "/pieces/{size}", "The body again", echo_pieces, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_POST, "/measure", "Length of the body", measure, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.body_max = 100 * 1024 * 1024 },
	{ HTTP_POST, "/late/{ms}", "The body, read late", late, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_POST, "/sip/{ms}", "The body, read slowly", sip, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.deadline_ns = HOUR },
	{ HTTP_POST, "/small", "At most 10 bytes", echo, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.body_max = 10 },
	{ HTTP_POST, "/small-pieces/{size}", "At most 10 bytes", echo_pieces, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC, .body_max = 10 },
	{ HTTP_POST, "/ignore", "The body is not read", ignore, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_POST, "/ignore-large", "The body is not read", ignore_large, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/large", "A megabyte", large, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/sized/{size}", "That many bytes", sized, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/stream-large", "A megabyte in pieces", stream_large, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/stream", "Pieces", stream, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/stream-length", "Pieces of a known length", stream_length, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/stream-nothing/{known}", "No piece", stream_nothing, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/text", "JSON", text, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/text-stream/{known}", "JSON in pieces", text_stream, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/noise", "Text that is none", noise, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/begin-blindly", "Without a look at errors", begin_blindly, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/empty", "204", empty, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/unchanged", "304", unchanged, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/moved", "308", moved, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/params/{a}/x/{b}", "Parameters", params, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/who", "The request's id", who, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/hostile-headers", "Control bytes", hostile_headers, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/many-headers/{fail}", "Too many", many_headers, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/fail/{code}", "An error", fail_by_name, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/silent", "No answer", silent, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/change-mind", "An answer, then an error", change_mind, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/break-off/{known}", "Fails in the middle", break_off, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/too-short", "Less than announced", too_short, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/too-long", "More than announced", too_long, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/wait", "Waits too long", wait_here, ROUTE_PUBLIC, .need = RIGHT_PUBLIC,
		.deadline_ns = 5 * SECOND },
	{ HTTP_GET, "/nap/{ms}", "Waits", nap, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/children", "Four children", children, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/child-fails", "After the answer", child_fails, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/child-fails-in-wait", "Before it", child_fails_in_wait, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/both-fail", "Parent and child", both_fail, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/child-stays", "Waits for a child", child_stays, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
	{ HTTP_GET, "/upgrade", "Another protocol", upgrade, ROUTE_PUBLIC, .need = RIGHT_PUBLIC },
	{ HTTP_GET, "/upgrade-later", "Another protocol", upgrade_later, ROUTE_PUBLIC,
		.need = RIGHT_PUBLIC },
};

const struct module loopback_module = {
	MODULE_HEAD,
	.name = "loopback",
	.routes = routes,
	.route_count = LEN(routes),
};
