/* Mails to a real server (tests/smtp), and what it says of them. */
#include "client/smtp.h"

#include "base/test.h"
#include "loop/worker.h"
#include "net/address.h"
#include "net/certificate_test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_NO_PROGRAM = 77 };

/* --- the server -------------------------------------------------------------------- */

struct server {
	pid_t pid;
	int input; /* it ends when this closes */
	char folder[64];
	uint16_t port;
};

static uint16_t free_port(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0 &&
		getsockname(fd, (struct sockaddr *)&any, &len) == 0);
	(void)close(fd);
	return ntohs(any.sin_port);
}

/* tests/smtp of the working copy that this program was built in: build/FLAVOUR/unit. */
static void find_script(char *path, size_t size)
{
	char program[4096];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

	REQUIRE(len > 0);
	program[len] = '\0';
	for (int up = 0; up < 3; up++)
		*strrchr(program, '/') = '\0';
	(void)snprintf(path, size, "%s/tests/smtp", program);
}

/* One try on one port; false when somebody else was faster to take it. */
static bool try_start(struct server *server, const char *const *options)
{
	const char *arguments[16] = { 0 };
	char script[4200], port[8], line[16] = "";
	int to[2], from[2];
	size_t count = 3;

	server->port = free_port();
	(void)snprintf(port, sizeof(port), "%u", server->port);
	find_script(script, sizeof(script));
	arguments[0] = script, arguments[1] = port, arguments[2] = server->folder;
	for (; options && *options; options++)
		arguments[count++] = *options;

	REQUIRE(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
	server->pid = fork();
	REQUIRE(server->pid >= 0);
	if (server->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(to[0], STDIN_FILENO);
		(void)dup2(from[1], STDOUT_FILENO);
		(void)execv(script, (char *const *)arguments);
		_exit(STATUS_NO_PROGRAM);
	}
	server->input = to[1];
	(void)close(to[0]);
	(void)close(from[1]);
	(void)!read(from[0], line, sizeof(line) - 1);
	(void)close(from[0]);
	if (strcmp(line, "ready\n") == 0)
		return true;
	(void)close(server->input);
	(void)waitpid(server->pid, NULL, 0);
	return false;
}

static void start(struct server *server, const char *const *options)
{
	bool started = false;

	(void)snprintf(server->folder, sizeof(server->folder), "/tmp/bulkhead-smtp-XXXXXX");
	REQUIRE(mkdtemp(server->folder) != NULL);
	for (int i = 0; i < 5 && !started; i++)
		started = try_start(server, options);
	REQUIRE(started);
}

static void stop(struct server *server)
{
	char command[128];

	(void)close(server->input);
	(void)waitpid(server->pid, NULL, 0);
	(void)snprintf(command, sizeof(command), "rm -rf %s", server->folder);
	EXPECT_INT(system(command), 0);
}

/* The Nth mail as it came; 0 bytes when there is none. */
static size_t read_mail(const struct server *server, unsigned number, char *at, size_t size)
{
	char path[128];
	FILE *file;
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%u.eml", server->folder, number);
	file = fopen(path, "re");
	if (file) {
		len = fread(at, 1, size - 1, file);
		(void)fclose(file);
	}
	at[len] = '\0';
	return len;
}

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

static struct server server;
static struct smtp *smtp;

static void send_some(void)
{
	char text[8192];
	struct mail mail = mail_to(S("jo@example.org"));

	EXPECT_INT(smtp_send(smtp, &mail), 0);
	REQUIRE(read_mail(&server, 1, text, sizeof(text)) > 0);
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
	REQUIRE(read_mail(&server, 2, text, sizeof(text)) > 0);
	EXPECT(strstr(text, "Content-Type: text/plain") != NULL);

	mail = mail_to(S("nobody@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_INVALID);
	EXPECT_STR(str_from_c(err_last()->field), S("to"));
	mail = mail_to(S("later@example.org"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_UNAVAILABLE);
	mail = mail_to(S("x@y\r\nRSET"));
	EXPECT_INT(smtp_send(smtp, &mail), -ERR_INVALID);
	mail = mail_to(S("jo@example.org")); /* the connection is good after refusals */
	EXPECT_INT(smtp_send(smtp, &mail), 0);
}

TEST_SLOW(smtp_sends, 60)
{
	start(&server, NULL);
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"), .port = server.port },
			&smtp) == 0);
	on_worker(send_some);
	smtp_close(smtp);
	stop(&server);
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
	EXPECT(read_mail(&server, MAILS, text, sizeof(text)) > 0);
	EXPECT(read_mail(&server, MAILS + 1, text, sizeof(text)) == 0);
}

TEST_SLOW(smtp_sends_many_at_once, 60)
{
	start(&server, NULL);
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"), .port = server.port },
			&smtp) == 0);
	on_worker(send_many);
	smtp_close(smtp);
	stop(&server);
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

	start(&server, (const char *const[]){ "--login", "us", "secret & more", NULL });
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
	stop(&server);
}

TEST_SLOW(smtp_without_a_server, 60)
{
	REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"), .port = free_port() },
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
	start(&server, (const char *const[]){ "--tls", files.chain_file, files.key_file, NULL });
	for (int trusted = 0; trusted < 2; trusted++) {
		REQUIRE(smtp_open(&(struct smtp_options){ .host = S("127.0.0.1"),
					  .port = server.port,
					  .ca_file = trusted ? files.ca_file : NULL },
				&smtp) == 0);
		expected = trusted ? 0 : -ERR_UNAVAILABLE;
		on_worker(send_and_expect);
		smtp_close(smtp);
	}
	stop(&server);
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
