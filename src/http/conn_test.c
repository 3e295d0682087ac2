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
