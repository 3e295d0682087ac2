/* The server with its threads and ports: start under load, limits, the end. */
#include "http/server.h"

#include "base/mem.h"
#include "base/test.h"
#include "http/loopback_test.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server server;

static void begin(const struct server_limits *limits)
{
	struct log_options log = { .level = LOG_OFF, .format = LOG_JSON, .fd = STDERR_FILENO };
	struct address address;

	CHECK(log_open(&log) == 0);
	loopback_make_bodies();
	server = (struct server){ .limits = limits ? *limits : loopback_limits };
	CHECK(address_parse(S("127.0.0.1"), 0, &address) == 0);
	REQUIRE(server_listen(&server, &address, NULL, ROUTE_ANYWHERE) == 0);
	REQUIRE(server_add(&server, &loopback_module) == 0);
}

static void end(void)
{
	server_stop(&server);
	server_done(&server);
	EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
}

static int dial(void)
{
	const struct address *address = &server.sites[0].listener.address;
	struct timeval time = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0);
	REQUIRE(connect(fd, &address->any, address->len) == 0);
	return fd;
}

static void say(int fd, const char *text)
{
	EXPECT(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* True when an answer with that status line comes. */
static bool answered(int fd, const char *status)
{
	char text[4096];
	size_t len = 0;

	while (len < strlen(status)) {
		ssize_t got = recv(fd, text + len, sizeof(text) - len, 0);

		if (got <= 0)
			return false;
		len += (size_t)got;
	}
	return str_starts(str_of(text, len), str_from_c(status));
}

static bool ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) <= 0;
}

/* Until there are that many connections. */
static bool connections_become(size_t count)
{
	for (int i = 0; i < 10000 && server_connections(&server) != count; i++)
		(void)poll(NULL, 0, 1);
	return server_connections(&server) == count;
}

#define PING "GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"

/* The first worker finds a full backlog while the others are still to be started. */
TEST(server_starts_with_a_full_backlog)
{
	enum { CLIENTS = 40, ROUNDS = 10 };

	for (int round = 0; round < ROUNDS; round++) {
		int fds[CLIENTS];

		begin(NULL);
		for (size_t i = 0; i < CLIENTS; i++) {
			fds[i] = dial();
			say(fds[i], PING);
		}
		REQUIRE(server_start(&server, 8) == 0);
		for (size_t i = 0; i < CLIENTS; i++) {
			EXPECT(answered(fds[i], "HTTP/1.1 200 "));
			(void)close(fds[i]);
		}
		EXPECT(connections_become(0));
		end();
	}
}

static _Atomic uint64_t ahead_ns;

static uint64_t ahead_now(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec + ahead_ns;
}

static int64_t ahead_wall(void *arg)
{
	(void)arg;
	return 0;
}

/* A worker that has slept longer than a head may take does not blame it on who wakes it. The clock
 * may move in a moment in which a worker looks at it, so not all must be right. */
TEST(server_serves_after_a_long_sleep)
{
	static const struct clock_source source = { ahead_now, ahead_wall, NULL };
	size_t served = 0;

	clock_replace(&source);
	begin(NULL);
	REQUIRE(server_start(&server, 2) == 0);
	for (int i = 0; i < 10; i++) {
		int fd;

		(void)poll(NULL, 0, 2);
		ahead_ns += HOUR;
		fd = dial();
		say(fd, PING);
		served += answered(fd, "HTTP/1.1 200 ");
		(void)close(fd);
		EXPECT(connections_become(0));
	}
	EXPECT(served >= 8);
	end();
	clock_replace(NULL);
}

/* Connections come while the server goes, at every moment of its going. */
TEST(server_stops_while_connections_come)
{
	enum { CLIENTS = 30, ROUNDS = 20 };

	for (int round = 0; round < ROUNDS; round++) {
		int fds[CLIENTS];

		begin(NULL);
		REQUIRE(server_start(&server, 4) == 0);
		for (size_t i = 0; i < CLIENTS; i++) {
			fds[i] = dial();
			say(fds[i], PING);
		}
		if (round % 2)
			server_drain(&server);
		server_stop(&server);
		server_done(&server);
		EXPECT_INT(server_connections(&server), 0);
		for (size_t i = 0; i < CLIENTS; i++) {
			(void)(answered(fds[i], "HTTP/1.1 200 ") && ended(fds[i]));
			(void)close(fds[i]);
		}
		EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
	}
}

/* What came before the end is answered, whoever got it. */
TEST(server_drains)
{
	enum { CLIENTS = 30, ROUNDS = 10 };

	for (int round = 0; round < ROUNDS; round++) {
		int fds[CLIENTS];

		begin(NULL);
		REQUIRE(server_start(&server, 3) == 0);
		for (size_t i = 0; i < CLIENTS; i++) {
			fds[i] = dial();
			say(fds[i], PING);
		}
		server_drain(&server);
		EXPECT(!server_ready(&server));
		for (size_t i = 0; i < CLIENTS; i++)
			EXPECT(answered(fds[i], "HTTP/1.1 200 "));
		for (size_t i = 0; i < CLIENTS; i++) {
			EXPECT(ended(fds[i]));
			(void)close(fds[i]);
		}
		EXPECT(connections_become(0));
		end();
	}
}

TEST(server_stop_cancels_what_runs)
{
	int fd;

	begin(NULL);
	loopback_wait_result = 0;
	REQUIRE(server_start(&server, 2) == 0);
	fd = dial();
	say(fd, PING);
	EXPECT(answered(fd, "HTTP/1.1 200 "));
	say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
	(void)poll(NULL, 0, 50);
	end();
	EXPECT(loopback_wait_result == -ERR_CANCELLED || loopback_wait_result == 0);
	(void)close(fd);
}

static void refuse_the_third(const struct server_limits *limits)
{
	int fds[3];

	begin(limits);
	REQUIRE(server_start(&server, 2) == 0);
	for (size_t i = 0; i < 2; i++) {
		fds[i] = dial();
		say(fds[i], PING);
		EXPECT(answered(fds[i], "HTTP/1.1 200 "));
	}
	fds[2] = dial();
	EXPECT(ended(fds[2]));
	(void)close(fds[2]);
	(void)close(fds[0]);
	EXPECT(connections_become(1));

	fds[2] = dial();
	say(fds[2], PING);
	EXPECT(answered(fds[2], "HTTP/1.1 200 "));
	(void)close(fds[2]);
	(void)close(fds[1]);
	EXPECT(connections_become(0));
	end();
}

TEST(server_limits_connections)
{
	struct server_limits limits = loopback_limits;

	limits.connections = 2;
	refuse_the_third(&limits);
	limits = loopback_limits;
	limits.connections_per_address = 2;
	refuse_the_third(&limits);
}

TEST(server_exempts_proxies_from_the_limit_by_address)
{
	struct server_limits limits = loopback_limits;
	struct network proxies;
	int fds[5];

	REQUIRE(network_parse(S("127.0.0.0/8"), &proxies) == 0);
	limits.connections_per_address = 1;
	begin(&limits);
	server.proxies = &proxies;
	server.proxy_count = 1;
	REQUIRE(server_start(&server, 2) == 0);
	for (size_t i = 0; i < LEN(fds); i++) {
		fds[i] = dial();
		say(fds[i], PING);
		EXPECT(answered(fds[i], "HTTP/1.1 200 "));
	}
	for (size_t i = 0; i < LEN(fds); i++)
		(void)close(fds[i]);
	EXPECT(connections_become(0));
	end();
}

TEST(server_says_which_port_is_taken)
{
	struct server second = { .limits = loopback_limits };

	begin(NULL);
	EXPECT_INT(server_listen(&second, &server.sites[0].listener.address, NULL, ROUTE_PUBLIC),
		-ERR_IO);
	EXPECT(strstr(err_text(), "taken"));
	server_done(&second);
	end(); /* never started */
}

TEST(server_start_undoes_itself)
{
	size_t used = 0;

	for (int round = 0; round < 3; round++) {
		begin(NULL);
		(void)close(server.sites[0].listener.fd); /* no worker can look at it */
		EXPECT_INT(server_start(&server, 2), -ERR_IO);
		EXPECT(!server_ready(&server) && !server.workers);
		server.sites[0].listener.fd = -1;
		end();
		if (round > 0)
			EXPECT_INT(mem_used(), used);
		used = mem_used();
	}

	begin(NULL);
	EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
	EXPECT_INT(server_start(&server, 2), -ERR_CLOSED); /* nowhere to log to */
	server_stop(&server);
	server_done(&server);
}

TEST(server_places_routes)
{
	struct address address;
	struct router_match match;
	struct arena arena;

	CHECK(address_parse(S("127.0.0.1"), 0, &address) == 0);
	server = (struct server){ .limits = loopback_limits };
	REQUIRE(server_listen(&server, &address, NULL, ROUTE_OPS) == 0);
	REQUIRE(server_add(&server, &loopback_module) == 0);
	arena_init(&arena, 1024, MEGABYTE);
	EXPECT_INT(router_find(&server.sites[0].router, HTTP_GET, S("/ping"), &arena, &match), 0);
	EXPECT(!match.node); /* it is for the public */
	server_done(&server);

	REQUIRE(server_listen(&server, &address, NULL, ROUTE_PUBLIC) == 0);
	REQUIRE(server_add(&server, &loopback_module) == 0);
	EXPECT_INT(server_add(&server, &loopback_module), -ERR_CONFLICT);
	EXPECT(strstr(err_text(), "module loopback"));
	server_done(&server);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

/* True when nothing comes for a while. */
static bool silent(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };

	return poll(&entry, 1, 30) == 0;
}

/* Whoever comes during a pause waits, and is served after it. */
TEST(server_pauses_and_resumes)
{
	enum { CLIENTS = 20, ROUNDS = 10 };
	int fds[CLIENTS];

	begin(NULL);
	REQUIRE(server_start(&server, 3) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		int idle = dial();

		say(idle, PING);
		EXPECT(answered(idle, "HTTP/1.1 200 "));
		server_pause(&server);
		EXPECT(!server_ready(&server));
		EXPECT(ended(idle));
		(void)close(idle);
		EXPECT(connections_become(0));
		EXPECT(server_drained(&server));

		for (size_t i = 0; i < CLIENTS; i++) {
			fds[i] = dial();
			say(fds[i], PING);
		}
		EXPECT(silent(fds[0]));
		server_resume(&server);
		EXPECT(server_ready(&server) && !server_drained(&server));
		for (size_t i = 0; i < CLIENTS; i++) {
			EXPECT(answered(fds[i], "HTTP/1.1 200 "));
			(void)close(fds[i]);
		}
	}
	server_pause(&server);
	end();
}

/* One server lays the listener down, another one takes it up; who waits in between notices
 * nothing. */
TEST(server_hands_its_listener_over)
{
	enum { CLIENTS = 20 };
	static struct server other;
	int fds[CLIENTS];
	int copy;

	begin(NULL);
	REQUIRE(server_start(&server, 2) == 0);
	copy = dup(server.sites[0].listener.fd);
	REQUIRE(copy >= 0);
	server_pause(&server);
	for (size_t i = 0; i < CLIENTS; i++) {
		fds[i] = dial();
		say(fds[i], PING);
	}
	server_stop(&server);
	EXPECT(silent(fds[0]));
	server_done(&server);

	other = (struct server){ .limits = loopback_limits };
	REQUIRE(server_adopt(&other, copy, NULL, ROUTE_ANYWHERE) == 0);
	REQUIRE(server_add(&other, &loopback_module) == 0);
	REQUIRE(server_start(&other, 2) == 0);
	for (size_t i = 0; i < CLIENTS; i++) {
		EXPECT(answered(fds[i], "HTTP/1.1 200 "));
		(void)close(fds[i]);
	}
	server_stop(&other);
	server_done(&other);
	EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
}

TEST(server_adopts_listening_sockets_only)
{
	struct address address;
	int pair[2], plain;

	begin(NULL);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	plain = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_INT(server_adopt(&server, pair[0], NULL, ROUTE_OPS), -ERR_INVALID);
	EXPECT_INT(server_adopt(&server, plain, NULL, ROUTE_OPS), -ERR_INVALID);
	EXPECT_INT(server_adopt(&server, -1, NULL, ROUTE_OPS), -ERR_INVALID);
	EXPECT_INT(server.site_count, 1);
	(void)close(pair[1]);

	REQUIRE(address_parse(S("127.0.0.1"), 0, &address) == 0);
	EXPECT(listener_suits(&server.sites[0].listener, &address));
	REQUIRE(address_parse(S("127.0.0.1"), 1, &address) == 0);
	EXPECT(!listener_suits(&server.sites[0].listener, &address));
	REQUIRE(address_parse(S("127.0.0.2"), 0, &address) == 0);
	EXPECT(!listener_suits(&server.sites[0].listener, &address));
	REQUIRE(address_parse(S("::1"), 0, &address) == 0);
	EXPECT(!listener_suits(&server.sites[0].listener, &address));
	server_done(&server);
	EXPECT_INT(log_close(clock_now_ns() + 10 * SECOND), 0);
}
