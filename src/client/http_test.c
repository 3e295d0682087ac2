/* Requests to addresses, against a small server of the test's own. */
#include "client/http.h"

#include "base/err.h"
#include "base/test.h"
#include "fiber/fiber.h"
#include "loop/worker.h"
#include "observe/clock.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(http_urls_that_can_be_called)
{
	static const struct {
		const char *url;
		bool good;
	} rows[] = {
		{ "http://example.com/", true },
		{ "https://example.com:8443/a/b?c=d", true },
		{ "http://[2001:db8::1]:80/", true },
		{ "https://example.com", true },
		{ "", false },
		{ "example.com", false },
		{ "ftp://example.com/", false },
		{ "file:///etc/passwd", false },
		{ "http://", false },
		{ "http://user@example.com/", false },
		{ "http://user:secret@example.com/", false },
		{ "http://example.com/#part", false },
		{ "http://exa mple.com/", false },
		{ "http://example.com/\r\nx: y", false },
		{ "http://example.com/\xc3\xa4", false },
		{ "http://example.com:99999/", false },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		test_note(http_url_valid(str_from_c(rows[i].url)) == rows[i].good, __FILE__,
			__LINE__, "\"%s\"", rows[i].url);
}

/* --- a server ------------------------------------------------------------------------------- */

static int listener;
static uint16_t port;

/* What it answers is the path: /NAME. */
static const struct {
	const char *path, *answer;
} answers[] = {
	{ "/good", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nretry-after: 3\r\n"
		   "content-length: 2\r\n\r\n{}" },
	{ "/moved", "HTTP/1.1 302 Found\r\nlocation: /good\r\ncontent-length: 0\r\n\r\n" },
	{ "/large", "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n"
		    "0123456789012345678901234567890123456789" },
	{ "/nothing", "" },
	{ "/broken", "SMTP ready\r\n" },
};

static char request[4096];

static void answer_one(int fd)
{
	ssize_t got = recv(fd, request, sizeof(request) - 1, 0);

	request[got > 0 ? got : 0] = '\0';
	for (size_t i = 0; i < LEN(answers); i++)
		if (strstr(request, answers[i].path))
			(void)send(fd, answers[i].answer, strlen(answers[i].answer), MSG_NOSIGNAL);
	if (strstr(request, "/never")) /* until the client has gone */
		(void)recv(fd, request, 1, 0);
	(void)close(fd);
}

static void *serve(void *arg)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0)
		answer_one(fd);
	return arg;
}

static pthread_t start_server(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	pthread_t thread;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		listen(listener, 10) == 0);
	REQUIRE(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	port = ntohs(at.sin_port);
	REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0);
	return thread;
}

/* --- on a worker ---------------------------------------------------------------------------- */

static struct worker worker;
static struct http_client *client;
static struct arena arena;
static void (*body)(void);

static int run_body(void *arg)
{
	(void)arg;
	body();
	worker_stop(&worker);
	return 0;
}

static int start_body(struct worker *started)
{
	return scope_spawn(&started->sched.root, run_body, NULL);
}

static void with_client(const struct http_client_options *options, void (*fn)(void))
{
	pthread_t thread = start_server();

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	REQUIRE(http_client_open(options, &client) == 0);
	body = fn;
	worker = (struct worker){ .fiber_limit = 100, .on_start = start_body };
	REQUIRE(worker_start(&worker) == 0);
	worker_join(&worker);
	http_client_close(client);
	arena_done(&arena);
	(void)shutdown(listener, SHUT_RDWR);
	(void)close(listener);
	(void)pthread_join(thread, NULL);
}

static int post(const char *path, uint64_t timeout_ns, struct http_answer *ret)
{
	static const struct http_field fields[] = { { S_INIT("x-test"), S_INIT("a b") } };
	struct http_call call = {
		.fields = fields,
		.field_count = LEN(fields),
		.body = S("{\"a\":1}"),
		.timeout_ns = timeout_ns,
		.answer_max = 30,
	};

	call.url = arena_printf(&arena, "http://127.0.0.1:%u%s", port, path);
	return http_post(client, &call, &arena, ret);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void call_all(void)
{
	static const struct http_field bad[] = { { S_INIT("x-test"), S_INIT("a\r\nb: c") } };
	struct http_call broken = {
		.url = S("http://127.0.0.1/"), .fields = bad, .field_count = 1, .timeout_ns = SECOND
	};
	struct http_answer answer = { 0 };
	uint64_t began;

	EXPECT_INT(post("/good", 5 * SECOND, &answer), 0);
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(answer.body, S("{}"));
	EXPECT_STR(answer.content_type, S("application/json"));
	EXPECT_STR(answer.retry_after, S("3"));
	EXPECT(strncmp(request, "POST /good HTTP/1.1\r\n", 21) == 0);
	EXPECT(strstr(request, "\r\nx-test: a b\r\n") != NULL);
	EXPECT(strstr(request, "\r\n\r\n{\"a\":1}") != NULL);
	EXPECT(strstr(request, "Expect") == NULL);

	EXPECT_INT(post("/moved", 5 * SECOND, &answer), 0);
	EXPECT_INT(answer.status, 302);
	EXPECT_INT(post("/large", 5 * SECOND, &answer), -ERR_TOO_LARGE);
	EXPECT_INT(post("/nothing", 5 * SECOND, &answer), -ERR_UNAVAILABLE);
	EXPECT_INT(post("/broken", 5 * SECOND, &answer), -ERR_UNAVAILABLE);
	began = clock_now_ns();
	EXPECT_INT(post("/never", 100 * MILLISECOND, &answer), -ERR_TIMEOUT);
	EXPECT(clock_now_ns() - began < 5 * SECOND);
	EXPECT_INT(http_post(client, &broken, &arena, &answer), -ERR_INVALID);
	broken.url = S("gopher://127.0.0.1/");
	EXPECT_INT(http_post(client, &broken, &arena, &answer), -ERR_INVALID);
}

TEST(http_posts_are_answered_or_not)
{
	with_client(&(struct http_client_options){ .allow_private = true }, call_all);
}

static void call_inside(void)
{
	struct http_answer answer = { 0 };

	EXPECT_INT(post("/good", 5 * SECOND, &answer), -ERR_FORBIDDEN);
	EXPECT_STR(str_from_c(request), S(""));
}

TEST(http_posts_stay_out_of_private_networks)
{
	with_client(&(struct http_client_options){ 0 }, call_inside);
}

static int call_for_ever(void *arg)
{
	struct http_answer answer = { 0 };

	*(int *)arg = post("/never", 60 * SECOND, &answer);
	return 0;
}

/* Whoever leaves leaves nothing behind, which the leak checker sees. */
static void leave(void)
{
	struct http_answer answer = { 0 };
	struct scope scope;
	int result = 0;

	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, call_for_ever, &result) == 0);
	EXPECT_INT(fiber_sleep_until(clock_now_ns() + 50 * MILLISECOND), 0);
	scope_cancel(&scope);
	(void)scope_close(&scope);
	EXPECT_INT(result, -ERR_CANCELLED);
	EXPECT_INT(post("/good", 5 * SECOND, &answer), 0);
}

TEST(http_posts_can_be_left)
{
	with_client(&(struct http_client_options){ .allow_private = true }, leave);
}
