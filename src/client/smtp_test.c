/* Mails to a real server (tests/smtp), and what it says of them. */
#include "client/smtp.h"

#include "client/smtp_server_test.h"
#include "loop/worker.h"
#include "net/address.h"
#include "net/certificate_test.h"

#include <sys/socket.h>
#include <unistd.h>

/* --- on a worker ---------------------------------------------------------------------- */

static struct worker worker;
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

static void on_worker(void (*fn)(void))
{
	body = fn;
	worker = (struct worker){ .fiber_limit = 100, .on_start = start_body };
	REQUIRE(worker_start(&worker) == 0);
	worker_join(&worker);
}

static struct mail mail_to(struct str address)
{
	return (struct mail){ .id = S("m.1"),
		.from = { S("Bulkhead"), S("no-reply@example.com") },
		.to = { S("J\xc3\xbcrgen"), address },
		.subject = S("Gr\xc3\xbc\xc3\x9f"
			     "e"),
		.text = S("One line\n.\nfrom a dot, and \xc3\xa4.\n"),
		.html = S("<p>One line</p>\n"),
		.date_us = INT64_C(1795162177000000) };
}

/* --- tests ------------------------------------------------------------------------------- */

static struct smtp_server server;
static struct smtp *smtp;

static void send_some(void)
{
	char text[8192];
	struct mail mail = mail_to(S("jo@example.org"));

	EXPECT_INT(smtp_send(smtp, &mail), 0);
	REQUIRE(smtp_server_read(&server, 1, text, sizeof(text)) > 0);
	for (const char *const *wanted =
			(const char *const[]){ "X-Envelope-From: no-reply@example.com\r\n",
				"X-Envelope-To: jo@example.org\r\n",
				"From: \"Bulkhead\"\r\n <no-reply@example.com>\r\n",
				"To: =?UTF-8?B?SsO8cmdlbg==?=\r\n <jo@example.org>\r\n",
				"Subject: =?UTF-8?B?R3LDvMOfZQ==?=\r\n",
				"Date: Fri, 20 Nov 2026 08:09:37 +0000\r\n",
				"Message-ID: <m.1@example.com>\r\n",
				"Auto-Submitted: auto-generated\r\n",
				"Content-Type: multipart/alternative; boundary=",
				"Content-Type: text/plain; charset=utf-8\r\n",
				"One line\r\n.\r\nfrom a dot, and =C3=A4.\r\n",
				"Content-Type: text/html; charset=utf-8\r\n", "<p>One line</p>",
				NULL };
		*wanted; wanted++)
		test_note(strstr(text, *wanted) != NULL, __FILE__, __LINE__, "the mail has %s",
			*wanted);
	EXPECT(strstr(text, "multipart/mixed") == NULL);

	mail.html = S("");
	EXPECT_INT(smtp_send(smtp, &mail), 0);
	REQUIRE(smtp_server_read(&server, 2, text, sizeof(text)) > 0);
	EXPECT(strstr(text, "Content-Type: text/plain") != NULL);

	mail = mail_to(S("nobody@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("to"));
	mail = mail_to(S("later@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_UNAVAILABLE);
	mail = mail_to(S("spam@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S(""));
	mail = mail_to(S("busy@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_UNAVAILABLE);
	mail = mail_to(S("x@y\r\nRSET"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_INVALID);
	mail = mail_to(S("jo@example.org")); /* the connection is good after refusals */
	EXPECT_INT(smtp_send(smtp, &mail), 0);
}

TEST_SLOW(smtp_sends, 60)
{
	smtp_server_start(&server, NULL);
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"), .port = server.port },
			&smtp) == 0);
	on_worker(send_some);
	smtp_close(smtp);
	smtp_server_stop(&server);
}

static int send_one(void *arg)
{
	struct mail mail = mail_to(S("jo@example.org"));

	(void)arg;
	return smtp_send(smtp, &mail);
}

static void send_many(void)
{
	enum { MAILS = 40 };
	struct scope scope;
	char text[8192];

	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < MAILS; i++)
		EXPECT_INT(scope_spawn(&scope, send_one, NULL), 0);
	EXPECT_INT(scope_close(&scope), 0);
	EXPECT(smtp_server_read(&server, MAILS, text, sizeof(text)) > 0);
	EXPECT(smtp_server_read(&server, MAILS + 1, text, sizeof(text)) == 0);
}

TEST_SLOW(smtp_sends_many_at_once, 60)
{
	smtp_server_start(&server, NULL);
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"), .port = server.port },
			&smtp) == 0);
	on_worker(send_many);
	smtp_close(smtp);
	smtp_server_stop(&server);
}

static int expected;

static void send_and_expect(void)
{
	struct mail mail = mail_to(S("jo@example.org"));

	EXPECT_INT(smtp_send(smtp, &mail), expected);
}

TEST_SLOW(smtp_logs_in, 60)
{
	static const struct {
		struct str user, password;
		int result;
	} rows[] = { { S_INIT("us"), S_INIT("secret & more"), 0 },
		{ S_INIT("us"), S_INIT("wrong"), -ERR_UNAVAILABLE },
		{ S_INIT(""), S_INIT(""), -ERR_UNAVAILABLE } };

	smtp_server_start(&server, (const char *const[]){ "--login", "us", "secret & more", NULL });
	for (size_t i = 0; i < LEN(rows); i++) {
		REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"),
					  .port = server.port,
					  .user = rows[i].user,
					  .password = rows[i].password },
				&smtp) == 0);
		expected = rows[i].result;
		on_worker(send_and_expect);
		smtp_close(smtp);
	}
	smtp_server_stop(&server);
}

TEST_SLOW(smtp_without_a_server, 60)
{
	REQUIRE(smtp_open(
			&(struct smtp_options){ .host = S("127.0.0.1"), .port = smtp_free_port() },
			&smtp) == 0);
	expected = -ERR_UNAVAILABLE;
	on_worker(send_and_expect);
	smtp_close(smtp);
	EXPECT_INT(smtp_open(&(struct smtp_options){ .host = S("a b") }, &smtp), -ERR_INVALID);
	EXPECT_INT(smtp_open(&(struct smtp_options){ .host = S("") }, &smtp), -ERR_INVALID);
}

/* STARTTLS with a certificate of an authority that is trusted, or is not. */
TEST_SLOW(smtp_starts_tls, 60)
{
	struct certificate_files files;

	certificate_make(&files, &(struct certificate_wish){ 0 });
	smtp_server_start(
		&server, (const char *const[]){ "--tls", files.chain_file, files.key_file, NULL });
	for (int trusted = 0; trusted < 2; trusted++) {
		REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"),
					  .port = server.port,
					  .ca_file = trusted ? files.ca_file : NULL },
				&smtp) == 0);
		expected = trusted ? 0 : -ERR_UNAVAILABLE;
		on_worker(send_and_expect);
		smtp_close(smtp);
	}
	smtp_server_stop(&server);
	certificate_remove(&files);
}

/* A server that listens and says nothing. */
TEST_SLOW(smtp_gives_up_on_a_silent_server, 60)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0 && listen(fd, 5) == 0 &&
		getsockname(fd, (struct sockaddr *)&any, &len) == 0);
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"),
				  .port = ntohs(any.sin_port),
				  .timeout_ns = 300 * MILLISECOND },
			&smtp) == 0);
	expected = -ERR_TIMEOUT;
	on_worker(send_and_expect);
	smtp_close(smtp);
	(void)close(fd);
}
