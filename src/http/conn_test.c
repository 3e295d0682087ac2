/* What happens between requests and around them: pipelining, clocks, limits, the client's going,
 * and the end of the server. */
#include "base/mem.h"
#include "base/test.h"
#include "http/loopback_test.h"

#include <stdio.h>

#define LINES " HTTP/1.1\r\nHost: a\r\n"

#define GET(path)                "GET " path LINES "\r\n"
#define POST(path, length, body) "POST " path LINES "Content-Length: " length "\r\n\r\n" body

static void expect_answer(struct client *client, int status, struct str body)
{
	struct response response = client_response(client, false);

	EXPECT_INT(response.status, status);
	EXPECT(!response.cut);
	EXPECT_STR(response.body, body);
}

/* --- pipelining --------------------------------------------------------- */

enum { MANY = 1500 };

/* More requests than the inbox holds and more answers than the queue holds, while the client reads
 * as it likes. */
static void pipeline(struct loopback *net, void *arg)
{
	static char text[MANY * 64];
	static const char *const kinds[] = { GET("/ping"), GET("/params/1/x/2"),
		POST("/echo", "4", "pong"), GET("/sized/0") };
	static const char *const answers[] = { "pong", "1|2", "pong", "" };
	struct client *client = client_open(net);
	size_t count = loopback_way(net) == LOOPBACK_CHOPPED ? 100 : MANY, len = 0;

	(void)arg;
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", kinds[i * 7 / 3 % 4]);
	client_send_aside(client, str_of(text, len));
	for (size_t i = 0; i < count; i++)
		expect_answer(client, 200, str_from_c(answers[i * 7 / 3 % 4]));
	client_close(client);
}

TEST(conn_pipelines_without_end)
{
	loopback_run_all(pipeline, NULL);
}

/* Heads and bodies of all sizes behind each other, so that they end at every place of the inbox. */
static void pipeline_sizes(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (size_t pad = 0; pad < 420; pad += loopback_way(net) == LOOPBACK_CHOPPED ? 29 : 3) {
		static char text[16 * 1024];
		size_t len = 0, count = 0;

		while (len + pad + 700 < sizeof(text)) {
			len += (size_t)snprintf(text + len, sizeof(text) - len,
				"POST /echo" LINES "X-Pad: %0*d\r\nContent-Length: %zu\r\n\r\n%.*s",
				(int)pad, 0, 1 + pad % 300, (int)(1 + pad % 300), loopback_text.at);
			count++;
		}
		client_send_aside(client, str_of(text, len));
		for (size_t i = 0; i < count; i++)
			expect_answer(client, 200, str_first(loopback_text, 1 + pad % 300));
	}
	client_close(client);
}

TEST(conn_pipelined_bodies_end_anywhere)
{
	loopback_run_all(pipeline_sizes, NULL);
}

/* A whole answer behind others that fill the queue. */
static void queue_of_answers(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (size_t size = 14000; size <= 17000; size += 500) {
		char text[1024];
		int len = snprintf(text, sizeof(text),
			GET("/ping") "GET /sized/%zu" LINES "\r\n"
				     "GET /sized/%zu" LINES "\r\n",
			size, size);

		client_send_aside(client, str_of(text, (size_t)len));
		expect_answer(client, 200, S("pong"));
		expect_answer(client, 200, str_of(loopback_large, size));
		expect_answer(client, 200, str_of(loopback_large, size));
	}
	client_close(client);
}

TEST(conn_answers_of_all_sizes_fit_the_queue)
{
	loopback_run_all(queue_of_answers, NULL);
}

/* --- clocks ------------------------------------------------------------- */

static void run_virtual(const struct server_limits *limits,
	void (*scenario)(struct loopback *, void *arg), void *arg)
{
	static const enum loopback_way ways[] = { LOOPBACK_WHOLE, LOOPBACK_CHOPPED,
		LOOPBACK_SHUFFLED, LOOPBACK_POLLED };

	for (size_t i = 0; i < LEN(ways); i++)
		(void)loopback_run(
			&(struct loopback_options){ .way = ways[i], .seed = 5, .limits = limits },
			scenario, arg);
}

/* The connection ends at that time, and without another byte. */
static void expect_silent_end(struct loopback *net, struct client *client, double time)
{
	EXPECT(client_is_closed(client));
	if (!EXPECT(loopback_time(net) >= time - 0.001 && loopback_time(net) <= time + 0.01))
		fprintf(stderr, "  at %.3f s, wanted %.3f\n", loopback_time(net), time);
}

/* An error comes at that time, and then the end. */
static void expect_error(struct loopback *net, struct client *client, int status, double time)
{
	struct response response = client_response(client, false);

	EXPECT_INT(response.status, status);
	EXPECT_STR(response_header(&response, S("connection")), S("close"));
	expect_silent_end(net, client, time);
}

/* Takes 1 s for each byte. */
static void send_slowly(struct client *client, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (i > 0)
			loopback_sleep(1);
		if (!client_send(client, str_of(text.at + i, 1)))
			return;
	}
}

static void clock_nothing_ever(struct loopback *net, void *arg)
{
	(void)arg;
	expect_silent_end(net, client_open(net), 10);
}

static void clock_nothing_more(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	loopback_sleep(7);
	EXPECT(client_send(client, S(GET("/ping"))));
	expect_answer(client, 200, S("pong"));
	expect_silent_end(net, client, 67);
}

static void clock_idle_starts_again(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	for (int i = 0; i < 4; i++) {
		EXPECT(client_send(client, S(GET("/ping"))));
		expect_answer(client, 200, S("pong"));
		loopback_sleep(50);
	}
	expect_silent_end(net, client, 210);
}

/* The time of a connection that rests is up when the next request has arrived, but was not told. */
static void clock_idle_races(struct loopback *net, void *arg)
{
	struct timers *timers = &loopback_worker(net)->worker.sched.timers;
	struct client *client = client_open(net);
	struct conn *conn;

	(void)arg;
	for (int i = 0; i < 3; i++) {
		EXPECT(client_send(client, S(GET("/ping"))));
		expect_answer(client, 200, S("pong"));
	}
	conn = CONTAINER_OF(loopback_worker(net)->conns.next, struct conn, link);
	EXPECT(client_send(client, S(GET("/ping"))));
	timer_disarm(timers, &conn->timer);
	conn->deadline_ns = sched_now();
	conn->timer.fire(&conn->timer);
	expect_answer(client, 200, S("pong"));
	expect_silent_end(net, client, 60);
}

/* Something that is no byte of a request (in TLS: a new key) does not start the clock again. */
static void clock_idle_stirs(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	double begun = 0;

	if (arg) {
		EXPECT(client_send(client, S(GET("/ping"))));
		expect_answer(client, 200, S("pong"));
		begun = 50;
	}
	for (int i = 0; i < 3; i++) {
		struct link *conns = &loopback_worker(net)->conns;
		struct conn *conn = CONTAINER_OF(conns->next, struct conn, link);

		loopback_sleep(begun ? 15 : 3);
		REQUIRE(!list_empty(conns));
		ready_changed(conn->stream->ready, true, false, false);
	}
	expect_silent_end(net, client, 10 + begun);
}

/* 10 s from the first byte, however many follow. */
static void clock_partial_head(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	loopback_sleep(6);
	send_slowly(client, S("GET /ping"));
	expect_error(net, client, 408, 16);
}

static void clock_partial_second_head(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S(GET("/ping"))));
	expect_answer(client, 200, S("pong"));
	loopback_sleep(50);
	send_slowly(client, S("GET /ping"));
	expect_error(net, client, 408, 60);
}

/* The first byte of the second head came with the first one. */
static void clock_head_behind_another(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S(GET("/nap/3000") "G")));
	expect_answer(client, 200, S("rested"));
	loopback_sleep(5);
	EXPECT(client_send(client, S("E")));
	expect_error(net, client, 408, 13);
}

static void clock_head_just_in_time(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("GET /ping" LINES)));
	loopback_sleep(9.9);
	EXPECT(client_send(client, S("\r\n")));
	expect_answer(client, 200, S("pong"));
	loopback_sleep(59);
	EXPECT(client_send(client, S(GET("/ping"))));
	expect_answer(client, 200, S("pong"));
	client_close(client);
}

/* --- clocks of bodies --- */

static void clock_no_body(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	EXPECT(client_send(client, str_from_c(arg)));
	expect_error(net, client, 408, 10);
}

/* 1000 bytes buy a second each beyond the grace. */
static void clock_body_trickles(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("POST /echo" LINES "Content-Length: 50000\r\n\r\n")));
	EXPECT(client_send(client, str_of(loopback_large, 5000)));
	expect_error(net, client, 408, 15);
}

/* 2 KB/s is slow, but fast enough. */
static void clock_body_keeps_pace(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("POST /echo" LINES "Content-Length: 50000\r\n\r\n")));
	for (size_t at = 0; at < 50000; at += 2000) {
		EXPECT(client_send(client, str_of(loopback_large + at, 2000)));
		loopback_sleep(1);
	}
	expect_answer(client, 200, str_of(loopback_large, 50000));
	client_close(client);
}

/* What the handler does between two reads is not the sender's time. */
static void clock_body_of_a_slow_handler(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("POST /sip/8000" LINES "Content-Length: 5\r\n\r\n")));
	for (int i = 0; i < 5; i++) { /* each byte 1 s after it is waited for */
		loopback_sleep(i ? 9 : 1);
		EXPECT(client_send(client, S("x")));
	}
	expect_answer(client, 200, S("xxxxx"));
	client_close(client);
}

/* An unwanted body may take 1 s, then the connection is given up. */
static void clock_unwanted_body(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;

	(void)arg;
	EXPECT(client_send(client, S("POST /ignore" LINES "Content-Length: 5\r\n\r\nab")));
	response = client_response(client, false);
	EXPECT_STR(response.body, S("ignored"));
	EXPECT_STR(response_header(&response, S("connection")), S("close"));
	EXPECT(loopback_time(net) < 1.01);
	EXPECT(client_is_closed(client));
	client_close(client);
}

/* --- clocks of answers --- */

static void clock_handler(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;

	(void)arg;
	EXPECT(client_send(client, S(GET("/wait"))));
	response = client_response(client, false);
	EXPECT_INT(response.status, 504);
	EXPECT(loopback_time(net) >= 5 && loopback_time(net) < 5.01);
	EXPECT_INT(loopback_wait_result, -ERR_TIMEOUT);
	EXPECT(client_send(client, S(GET("/nap/40000")))); /* the connection goes on */
	response = client_response(client, false);
	EXPECT_INT(response.status, 504);
	EXPECT(loopback_time(net) >= 35 && loopback_time(net) < 35.01);
	client_close(client);
}

/* The client takes nothing: 10 s later the connection is cut, wherever it was. */
static void clock_write_stall(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;

	EXPECT(client_send(client, str_from_c(arg)));
	loopback_sleep(11);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
	response = client_response(client, false);
	EXPECT(response.cut); /* in the head, when little fits on the way */
	client_close(client);
}

/* Slowly, but above the slowest pace. */
static void clock_slow_reader(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	size_t had = 0;

	(void)arg;
	EXPECT(client_send(client, S(GET("/sized/200000"))));
	while (client_unread(client).len < 200000) {
		if (!EXPECT(client_fill(client)))
			return;
		if (client_unread(client).len > had + 30000) {
			had = client_unread(client).len;
			loopback_sleep(9);
		}
	}
	expect_answer(client, 200, str_of(loopback_large, 200000));
	client_close(client);
}

TEST(conn_clocks)
{
	static const struct {
		void (*scenario)(struct loopback *, void *arg);
		char *arg;
	} rows[] = {
		{ clock_nothing_ever },
		{ clock_nothing_more },
		{ clock_idle_starts_again },
		{ clock_idle_stirs },
		{ clock_idle_stirs, "after an answer" },
		{ clock_partial_head },
		{ clock_partial_second_head },
		{ clock_head_behind_another },
		{ clock_head_just_in_time },
		{ clock_no_body, POST("/echo", "5", "") },
		{ clock_no_body, POST("/echo", "5", "abc") },
		{ clock_no_body, POST("/pieces/100", "5", "abc") },
		{ clock_no_body, "POST /echo" LINES "Transfer-Encoding: chunked\r\n\r\n5\r\nab" },
		{ clock_body_trickles },
		{ clock_body_keeps_pace },
		{ clock_body_of_a_slow_handler },
		{ clock_unwanted_body },
		{ clock_handler },
		{ clock_write_stall, GET("/large") },
		{ clock_write_stall, GET("/stream-large") },
		{ clock_slow_reader },
	};

	for (size_t i = 0; i < LEN(rows); i++)
		run_virtual(NULL, rows[i].scenario, rows[i].arg);
	(void)loopback_run(
		&(struct loopback_options){ .way = LOOPBACK_POLLED }, clock_idle_races, NULL);
}

/* --- how long a connection lives ---------------------------------------- */

static void limit_of_requests(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;

	(void)arg;
	for (int i = 1; i <= 3; i++) {
		EXPECT(client_send(client, S(GET("/ping"))));
		response = client_response(client, false);
		EXPECT_STR(response.body, S("pong"));
		EXPECT_INT(str_eq(response_header(&response, S("connection")), S("close")), i == 3);
	}
	EXPECT(client_is_closed(client));
}

static void limit_of_age(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	struct response response;
	bool last = false;

	(void)arg;
	while (!last && loopback_time(net) < 200) {
		loopback_sleep(5);
		EXPECT(client_send(client, S(GET("/ping"))));
		response = client_response(client, false);
		EXPECT_STR(response.body, S("pong"));
		last = str_eq(response_header(&response, S("connection")), S("close"));
	}
	EXPECT(loopback_time(net) >= 75 &&
		loopback_time(net) <= 105); /* 100 s, or a quarter less */
	EXPECT(client_is_closed(client));
}

TEST(conn_requests_and_age_are_limited)
{
	struct server_limits limits = loopback_limits;

	limits.requests_per_connection = 3;
	run_virtual(&limits, limit_of_requests, NULL);
	limits = loopback_limits;
	limits.connection_age_ns = 100 * SECOND;
	run_virtual(&limits, limit_of_age, NULL);
}

/* --- the last answer arrives -------------------------------------------- */

/* What the client still sends behind its last request is thrown away for a while. */
static void linger(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);
	double closed_at;

	(void)arg;
	EXPECT(client_send(client, S("GET /ping" LINES "Connection: close\r\n\r\n")));
	expect_answer(client, 200, S("pong"));
	EXPECT(client_is_closed(client)); /* its half, at once */
	closed_at = loopback_time(net);
	EXPECT_INT(server_connections(loopback_server(net)), 1);
	EXPECT(client_send(client, str_of(loopback_large, 10000)));
	loopback_sleep(0.5);
	EXPECT_INT(server_connections(loopback_server(net)), 1);
	loopback_sleep(closed_at + 1.1 - loopback_time(net));
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

static void linger_ends_with_the_client(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("GET /ping" LINES "Connection: close\r\n\r\n")));
	expect_answer(client, 200, S("pong"));
	client_close(client);
	loopback_sleep(0.01);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

/* A flood is cut off before its second is over. */
static void linger_has_a_limit(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	(void)arg;
	EXPECT(client_send(client, S("GET /ping" LINES "Connection: close\r\n\r\n")));
	expect_answer(client, 200, S("pong"));
	EXPECT(!client_send(client, str_of(loopback_large, LOOPBACK_LARGE)));
	EXPECT(loopback_time(net) < 0.9);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

TEST(conn_lingers)
{
	run_virtual(NULL, linger, NULL);
	run_virtual(NULL, linger_ends_with_the_client, NULL);
	run_virtual(NULL, linger_has_a_limit, NULL);
}

/* --- the client goes ---------------------------------------------------- */

static void gone_while_waiting(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	loopback_wait_result = 0;
	EXPECT(client_send(client, str_from_c(arg)));
	loopback_sleep(1);
	client_close(client);
	loopback_sleep(0.001);
	EXPECT_INT(loopback_wait_result, -ERR_CANCELLED);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

static void gone_in_the_head(struct loopback *net, void *arg)
{
	struct client *client = client_open(net);

	EXPECT(client_send(client, str_from_c(arg)));
	loopback_sleep(1);
	EXPECT_INT(server_connections(loopback_server(net)), 1);
	client_close(client);
	loopback_sleep(0.001);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

TEST(conn_client_goes)
{
	run_virtual(NULL, gone_while_waiting, GET("/wait"));
	run_virtual(NULL, gone_while_waiting, GET("/child-stays"));
	run_virtual(NULL, gone_in_the_head, "");
	run_virtual(NULL, gone_in_the_head, "GET /pi");
	run_virtual(NULL, gone_in_the_head, POST("/echo", "3", "ab"));
	run_virtual(NULL, gone_in_the_head, GET("/stream-large"));
}

/* --- fairness ----------------------------------------------------------- */

/* One who has pipelined a thousand requests does not keep another waiting. */
static void fairness(struct loopback *net, void *arg)
{
	static char text[1000 * 64];
	struct client *greedy = client_open(net), *modest = client_open(net);
	size_t len = 0;

	(void)arg;
	loopback_pings = 0;
	for (size_t i = 0; i < 1000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, GET("/ping"));
	client_send_aside(greedy, str_of(text, len));
	EXPECT(client_send(modest, S(GET("/ping"))));
	expect_answer(modest, 200, S("pong"));
	EXPECT(loopback_pings < 100);
	for (size_t i = 0; i < 1000; i++)
		expect_answer(greedy, 200, S("pong"));
	client_close(greedy);
	client_close(modest);
}

TEST(conn_pipelining_takes_turns)
{
	run_virtual(NULL, fairness, NULL);
}

/* --- the end of the server ---------------------------------------------- */

static void drain(struct loopback *net)
{
	struct server_worker *home = loopback_worker(net);
	struct conn *conn;

	atomic_store(&loopback_server(net)->draining, true);
	home->draining = true;
	LIST_EACH (conn, &home->conns, struct conn, link)
		conn_drain(conn);
}

static void drain_closes_who_is_idle(struct loopback *net, void *arg)
{
	struct client *fresh = client_open(net), *used = client_open(net);

	(void)arg;
	EXPECT(client_send(used, S(GET("/ping"))));
	expect_answer(used, 200, S("pong"));
	drain(net);
	expect_silent_end(net, used, 0);
	expect_silent_end(net, fresh, 1); /* it may still say what it came for */
}

/* A request in work, one that waits behind it, and half a head: the first is answered, and says
 * that it was the last one. */
static void drain_lets_finish(struct loopback *net, void *arg)
{
	struct client *busy = client_open(net), *late = client_open(net);
	struct response response;

	(void)arg;
	EXPECT(client_send(busy, S(GET("/nap/2000") GET("/ping"))));
	EXPECT(client_send(late, S("GET /ping")));
	loopback_sleep(1);
	drain(net);
	loopback_sleep(0.5);
	EXPECT_INT(server_connections(loopback_server(net)), 2);
	EXPECT(client_send(late, S(LINES "\r\n")));
	response = client_response(late, false);
	EXPECT_STR(response.body, S("pong"));
	EXPECT_STR(response_header(&response, S("connection")), S("close"));
	EXPECT(client_is_closed(late));
	response = client_response(busy, false);
	EXPECT_STR(response.body, S("rested"));
	EXPECT_STR(response_header(&response, S("connection")), S("close"));
	EXPECT(client_is_closed(busy)); /* the other one is the client's to send again */
	client_close(late);
	client_close(busy);
	loopback_sleep(0.01);
	EXPECT_INT(server_connections(loopback_server(net)), 0);
}

/* The request was sent before the end began, but the server has not heard of it yet. */
static void drain_hears_who_came_before(struct loopback *net, void *arg)
{
	struct client *fresh = client_open(net), *used = client_open(net);
	struct client *all[] = { fresh, used };

	(void)arg;
	EXPECT(client_send(used, S(GET("/ping"))));
	expect_answer(used, 200, S("pong"));
	for (size_t i = 0; i < LEN(all); i++)
		EXPECT(client_send(all[i], S(GET("/ping"))));
	drain(net);
	for (size_t i = 0; i < LEN(all); i++) {
		struct response response = client_response(all[i], false);

		EXPECT_STR(response.body, S("pong"));
		EXPECT_STR(response_header(&response, S("connection")), S("close"));
		EXPECT(client_is_closed(all[i]));
	}
}

TEST(conn_drains)
{
	run_virtual(NULL, drain_closes_who_is_idle, NULL);
	run_virtual(NULL, drain_lets_finish, NULL);
	(void)loopback_run(&(struct loopback_options){ .way = LOOPBACK_POLLED },
		drain_hears_who_came_before, NULL);
}
