/*
 * Mails from the transaction that posts them to a real server, on both engines: nothing without a
 * commit, again when the server is down, once with three threads, also after a death in the middle.
 */
#include "modules/mails/mails_internal.h"

#include "base/fault.h"
#include "client/smtp_server_test.h"
#include "modules/audit/audit.h"
#include "modules/jobs/jobs_fixture_test.h"
#include "modules/jobs/jobs_threads_test.h"
#include "modules/mails/mails_fixture_test.h"
#include "observe/clock.h"
#include "observe/clock_test.h"
#include "rest/idempotency.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- rules and wordings ------------------------------------------------------------------ */

TEST(mail_backoff_grows)
{
	static const struct {
		int64_t attempts;
		uint64_t minutes;
	} rows[] = { { 0, 1 }, { 1, 1 }, { 2, 5 }, { 3, 15 }, { 4, 60 }, { 5, 120 }, { 6, 240 },
		{ 7, 240 }, { INT64_MAX, 240 } };

	for (size_t i = 0; i < LEN(rows); i++)
		EXPECT_INT(mail_wait(rows[i].attempts), rows[i].minutes * MINUTE);
}

/* There are tries for as long as a mail is kept. */
TEST(mail_tries_go_on_for_a_day)
{
	uint64_t all = 0;

	for (int64_t i = 1; i < MAIL_ATTEMPTS; i++)
		all += mail_wait(i) / 100 * (100 - (uint64_t)mail_backoff.jitter);
	EXPECT(all > MAIL_KEEP_HOURS * HOUR);
}

static const struct letter hostile = {
	.to = S_INIT("jo@example.org"),
	.name = S_INIT("<b>evil.example</b>\r\nBcc: x@y"),
	.tenant_name = S_INIT("A & \"B\" of pay.example"),
	.link = S_INIT("https://app.example/x?token=bh_ml_abc&y='1'"),
	.detail = S_INIT("one <i>\ntwo.three 10.0.0.1 http://10.0.0.1"),
	.expires_us = INT64_C(1795162177000000),
};

TEST(mails_escape_what_others_wrote)
{
	static const struct {
		bool html;
		const char *text;
		size_t times;
	} rows[] = {
		{ true, "<b>", 0 },
		{ true,
			"&lt;b&gt;evil.\xe2\x80\x8b"
			"example&lt;/b&gt;  Bcc: x@y",
			1 },
		{ true,
			"A &amp; &quot;B&quot; of pay.\xe2\x80\x8b"
			"example",
			2 },
		{ true, "<a ", 1 },
		{ true, "<a href=\"https://app.example/x?token=bh_ml_abc&amp;y=&#39;1&#39;\"", 1 },
		{ true, "https://app.example/", 2 },
		{ true,
			"one &lt;i&gt;<br>\ntwo.\xe2\x80\x8bthree 10.0.0.1 "
			"http:\xe2\x80\x8b//10.0.0.1",
			1 },
		{ true, "until 20 Nov 2026, 08:09 UTC.", 1 },
		{ true, "'", 0 },
		{ false,
			"Hello <b>evil.\xe2\x80\x8b"
			"example</b>  Bcc: x@y,\n\n",
			1 },
		{ false, "\nhttps://app.example/x?token=bh_ml_abc&y='1'\n", 1 },
		{ false, "https://", 1 },
		{ false, "\nProduct\n", 1 },
		{ false, "\r", 0 },
	};
	struct mail mail = { .id = S("1"), .from.address = S("a@b") };
	struct arena arena;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	EXPECT_INT(letter_write(&arena, MAIL_ALERT, &hostile, S("Product"), &mail), 0);
	for (size_t i = 0; i < LEN(rows); i++) {
		struct answer body = { .body = rows[i].html ? mail.html : mail.text };

		test_note(answer_count(&body, rows[i].text) == rows[i].times, __FILE__, __LINE__,
			"%s: %zu times, wanted %zu in %.*s", rows[i].text,
			answer_count(&body, rows[i].text), rows[i].times, STR_ARG(body.body));
	}
	arena_done(&arena);
}

/* Whatever is posted can be sent: no kind, name or length makes a mail that is none. */
TEST(mails_are_always_sound)
{
	static char longest[4 * MAIL_DETAIL_MAX];
	static const struct str names[] = { S_INIT(""), S_INIT("J\xc3\xb6"), S_INIT("a\tb"),
		S_INIT("=?UTF-8?B?eA==?="), S_INIT("{place}") };
	struct arena arena;

	memset(longest, 0xc3, sizeof(longest));
	for (size_t i = 1; i < sizeof(longest); i += 2)
		longest[i] = (char)0xa4;
	arena_init(&arena, KILOBYTE, 16 * MEGABYTE);
	for (int kind = 0; kind < MAIL_KINDS; kind++)
		for (size_t i = 0; i <= LEN(names); i++) {
			struct str name =
				i < LEN(names) ? names[i] : str_of(longest, 2 * MAIL_TENANT_MAX);
			struct letter letter = { .to = S("a@b"),
				.name = str_first(name, 200),
				.tenant_name = name,
				.detail = i < LEN(names) ? name : str_of(longest, sizeof(longest)),
				.link = i ? S("https://x") : S("") };
			struct mail mail = { .id = S("1"), .from.address = S("a@b") };

			if (i == 2) /* such a name is refused where it comes in */
				letter.name = S("");
			EXPECT_INT(letter_write(&arena, (enum mail_kind)kind, &letter, S("Product"),
					   &mail),
				0);
			EXPECT_INT(mail_check(&mail), 0);
			EXPECT((str_find(mail.text, S("https://x")) >= 0) == (i > 0));
			arena_reset(&arena);
		}
	arena_done(&arena);
}

/* --- a world with a server ------------------------------------------------------------------ */

static struct smtp_server smtp;

static void configure(uint16_t port, const char *folder)
{
	struct mails_options options = {
		.from = { S("Acme"), S("no-reply@acme.example") },
		.product = S("Acme"),
		.smtp = { .host = port ? S("127.0.0.1") : S(""),
			.port = port,
			.timeout_ns = 10 * SECOND },
		.folder = folder,
	};

	REQUIRE(mails_configure(&options) == 0);
}

/* Mails at the server. */
static unsigned arrived(void)
{
	char text[16];
	unsigned count = 0;

	while (smtp_server_read(&smtp, count + 1, text, sizeof(text)) > 0)
		count++;
	return count;
}

struct order {
	const char *to;
	int count;
	enum mail_kind kind;
	bool fail; /* the transaction, at its end */
	bool proved;
	int result;
};

static int post_in_tx(struct tx *tx, void *arg)
{
	const struct order *order = arg;
	struct mail_post post = {
		.kind = order->kind,
		.proved = order->proved,
		.to = str_from_c(order->to),
		.name = S("Jo"),
		.tenant_name = S("Acme Inc."),
		.link = S("https://app.acme.example/reset?token=bh_ml_secret"),
	};
	int r = 0;

	for (int i = 0; i < order->count && r == 0; i++)
		r = mail_post_in_tx(tx, &post);
	return r == 0 && order->fail ? fail(ERR_CONFLICT, "no") : r;
}

static int post(const struct db *db, void *arg)
{
	struct order *order = arg;

	order->result = db_write(db, post_in_tx, order);
	return 0;
}

static int order(struct world *world, const char *caller, struct order order)
{
	order.count = order.count ? order.count : 1;
	world_do(world, caller, post, &order);
	return order.result;
}

/* --- rows, as they are ------------------------------------------------------------------------ */

struct state {
	struct str status;
	int64_t count, boxes, attempts;
};

/* clang-format off */
static const struct schema state_schema = SCHEMA(state, "Mails of a status.",
	FIELD(state, status, "Which."), FIELD(state, count, "How many."),
	FIELD(state, boxes, "With a letter."), FIELD(state, attempts, "The most."));
/* clang-format on */

static const struct statement state_all = STATEMENT("test_mail_states",
	.sql = "SELECT status, count(*) AS count, count(box) AS boxes, max(attempts) AS attempts "
	       "FROM mail WHERE tenant_id = :tenant GROUP BY status ORDER BY status",
	.out = &state_schema);

/* The jobs of mails, of all tenants. */
struct mail_jobs {
	int64_t due, tries, telling;
};

/* clang-format off */
static const struct schema mail_jobs_schema = SCHEMA(mail_jobs, "Jobs that send mails.",
	FIELD(mail_jobs, due, "That run, or may."), FIELD(mail_jobs, tries, "How often they ran."),
	FIELD(mail_jobs, telling, "That tell what they should not."));
/* clang-format on */

/* An error tells too much when it has an address of anybody or anything. */
static const struct statement mail_jobs = STATEMENT("test_mail_jobs",
	.sql = "SELECT CAST(coalesce(sum(CASE WHEN state = 'available' OR state = 'running' OR "
	       "state IN ('scheduled', 'retryable') AND run_at <= :now THEN 1 ELSE 0 END), 0) "
	       "AS bigint) AS due, CAST(coalesce(sum(attempt - uncounted), 0) AS bigint) AS tries, "
	       "CAST(coalesce(sum(CASE WHEN length(payload) > 48 THEN 1 ELSE 0 END), 0) AS bigint) "
	       "+ (SELECT count(*) FROM main.job_error AS e WHERE e.message LIKE '%@%' "
	       "OR e.message LIKE '%127.0%') + (SELECT count(*) FROM main.job_line) AS telling "
	       "FROM main.job WHERE queue = 'system.email'",
	.out = &mail_jobs_schema, .flags = STATEMENT_SYSTEM);

static const struct statement jobs_lost =
	STATEMENT("test_mail_jobs_lost", .sql = "DELETE FROM main.job WHERE tenant_id = :tenant");

struct moment {
	int64_t at;
};

/* clang-format off */
static const struct schema moment_schema = SCHEMA(moment, "When.",
	FIELD(moment, at, "Then.", .format = FORMAT_DATE_TIME));
/* clang-format on */

static const struct statement mails_due = STATEMENT("test_mails_due",
	.sql = "UPDATE main.mail SET next_at = :at WHERE tenant_id = :tenant",
	.in = &moment_schema);

static const struct statement mail_ids = STATEMENT("test_mail_ids",
	.sql = "SELECT tenant_id, id FROM mail WHERE tenant_id = :tenant ORDER BY id",
	.out = &mail_ref_schema);

static const struct statement *const state_statements[] = { &state_all, &mail_jobs, &jobs_lost,
	&mails_due, &mail_ids };

static const struct module state_module = {
	MODULE_HEAD,
	.name = "mail-states",
	.statements = state_statements,
	.statement_count = LEN(state_statements),
};

struct states {
	char text[300]; /* "sent 1 0 1, ": status, rows, letters, tries */
};

static int read_states(const struct db *db, void *arg)
{
	struct states *states = arg;
	struct state *at;
	size_t count;
	int r = db_all(db, &state_all, NULL, &at, &count);

	for (size_t i = 0; i < count && r == 0; i++)
		(void)snprintf(states->text + strlen(states->text),
			sizeof(states->text) - strlen(states->text), "%.*s %d %d %d, ",
			STR_ARG(at[i].status), (int)at[i].count, (int)at[i].boxes,
			(int)at[i].attempts);
	return r;
}

static struct str states(struct world *world, const char *caller)
{
	static struct states all;

	all.text[0] = '\0';
	world_do(world, caller, read_states, &all);
	return str_from_c(all.text);
}

/* --- sending ---------------------------------------------------------------------------------- */

static int read_jobs(const struct db *db, void *arg)
{
	struct db system = db_of_system(db->store, db->arena);

	return db_one(&system, &mail_jobs, NULL, arg);
}

static struct mail_jobs jobs_now(struct world *world)
{
	struct mail_jobs jobs = { 0 };

	world_do(world, "ada", read_jobs, &jobs);
	return jobs;
}

/* Does what is due, and returns how many tries that were. */
static size_t send_all(struct world *world)
{
	struct mail_jobs before = jobs_now(world), now;
	uint64_t until = clock_now_ns() + 50 * SECOND;

	jobs_threads_start(world);
	do
		now = jobs_now(world);
	while (now.due > 0 && clock_now_ns() < until);
	jobs_threads_stop();
	EXPECT_INT(now.due, 0);
	EXPECT_INT(now.telling, 0);
	return (size_t)(now.tries - before.tries);
}

/* --- from commit to arrival ----------------------------------------------- */

static void expect_parts(unsigned number)
{
	static const char *const parts[] = { "X-Envelope-To: jo@example.org\r\n",
		"From: \"Acme\"\r\n <no-reply@acme.example>\r\n",
		"Subject: Reset your password\r\n", "Message-ID: <", "@acme.example>\r\n",
		"Content-Type: multipart/alternative;", "Content-Type: text/plain; charset=utf-8",
		"Content-Type: text/html; charset=utf-8", "Hello Jo,", "bh_ml_secret" };
	static char text[32768];

	REQUIRE(smtp_server_read(&smtp, number, text, sizeof(text)) > 0);
	for (size_t i = 0; i < LEN(parts); i++)
		test_note(strstr(text, parts[i]) != NULL, __FILE__, __LINE__, "the mail has %s",
			parts[i]);
}

static const struct module *const all_modules[] = { &rest_module, &audit_module,
	&tenant_tables_module, &jobs_module, &jobs_admin_module, &jobs_queues_module, &mails_module,
	&mail_fixture_module, &state_module, NULL };

static void with_server(enum engine_kind engine, void (*body)(struct world *))
{
	smtp_server_start(&smtp, NULL);
	configure(smtp.port, NULL);
	clock_ahead(0);
	world_run(engine, all_modules, body);
	clock_back();
	smtp_server_stop(&smtp);
}

#define MAIL_TEST(name_)                                                                           \
	static void mail_test_##name_(struct world *world);                                        \
	TEST_SLOW(name_##_sqlite, 60)                                                              \
	{                                                                                          \
		with_server(ENGINE_SQLITE, mail_test_##name_);                                     \
	}                                                                                          \
	TEST_SLOW(name_##_postgres, 60)                                                            \
	{                                                                                          \
		with_server(ENGINE_POSTGRES, mail_test_##name_);                                   \
	}                                                                                          \
	static void mail_test_##name_(struct world *world)

MAIL_TEST(mails_leave_with_the_commit)
{
	struct order good = { .to = "jo@example.org", .kind = MAIL_RESET }, bad = good;

	bad.fail = true;
	EXPECT_INT(order(world, "ada", bad), -ERR_CONFLICT);
	EXPECT_INT(send_all(world), 0);
	EXPECT_STR(states(world, "ada"), S(""));

	EXPECT_INT(order(world, "ada", good), 0);
	EXPECT_INT(order(world, "bob", good), 0);
	EXPECT_STR(states(world, "ada"), S("waiting 1 1 0, "));
	EXPECT_INT(send_all(world), 2);
	EXPECT_INT(arrived(), 2);
	expect_parts(1);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 1, "));
	EXPECT_INT(send_all(world), 0);

	good.to = "jo@ex ample.org";
	EXPECT_INT(order(world, "ada", good), -ERR_INVALID);
}

/* Refused for good, and for now; the others come through. */
MAIL_TEST(mails_that_are_refused)
{
	EXPECT_INT(order(world, "ada", (struct order){ "nobody@example.org" }), 0);
	EXPECT_INT(order(world, "ada", (struct order){ "spam@example.org" }), 0);
	EXPECT_INT(order(world, "bob", (struct order){ "later@example.org" }), 0);
	EXPECT_INT(order(world, "bob", (struct order){ "jo@example.org" }), 0);
	EXPECT_INT(send_all(world), 4);
	EXPECT_INT(arrived(), 1);
	EXPECT_STR(states(world, "ada"), S("failed 2 0 1, "));
	EXPECT_STR(states(world, "bob"), S("sent 1 0 1, waiting 1 1 0, "));

	clock_ahead(2 * MINUTE); /* a minute and up to a tenth */
	EXPECT_INT(send_all(world), 1);
	EXPECT_INT(send_all(world), 0);
	EXPECT_STR(states(world, "bob"), S("sent 1 0 1, waiting 1 1 0, "));

	clock_ahead((25 * 60) * MINUTE);
	EXPECT_INT(send_all(world), 1);
	EXPECT_STR(states(world, "bob"), S("failed 1 0 3, sent 1 0 1, "));
}

MAIL_TEST(mails_wait_for_the_server)
{
	uint16_t port = smtp.port;

	smtp_server_stop(&smtp);
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org" }), 0);
	EXPECT_INT(send_all(world), 1);
	EXPECT_STR(states(world, "ada"), S("waiting 1 1 0, "));

	smtp_server_start_at(&smtp, port);
	EXPECT_INT(send_all(world), 0);
	clock_ahead(2 * MINUTE);
	EXPECT_INT(send_all(world), 1);
	EXPECT_INT(arrived(), 1);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 2, "));
}

/* Nobody is bombarded, but hears of what happens to the account all the same. */
MAIL_TEST(mails_to_one_address_are_limited)
{
	struct order many = { "jo@example.org", .count = MAILS_AN_HOUR - 5 },
		     more = { "JO@example.org", .count = 10 },
		     alert = { "jo@example.org", .kind = MAIL_ALERT };

	EXPECT_INT(order(world, "ada", many), 0);
	EXPECT_INT(order(world, "bob", more), 0);
	EXPECT_INT(order(world, "bob", alert), 0);
	EXPECT_INT(send_all(world), MAILS_AN_HOUR + 6);
	EXPECT_INT(arrived(), MAILS_AN_HOUR + 1);
	EXPECT_STR(states(world, "ada"), S("sent 15 0 1, "));
	EXPECT_STR(states(world, "bob"), S("dropped 5 0 1, sent 6 0 1, "));

	clock_ahead(61 * MINUTE);
	EXPECT_INT(order(world, "bob", alert), 0);
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org" }), 0);
	EXPECT_INT(send_all(world), 2);
	EXPECT_INT(arrived(), MAILS_AN_HOUR + 3);
}

/* What strangers have mailed to somebody does not keep them from a new password. */
MAIL_TEST(mails_of_strangers_crowd_nobody_out)
{
	struct order strangers = { "jo@example.org", .kind = MAIL_INVITATION, .count = 30 };
	struct order resets = { "Jo@example.org", .kind = MAIL_RESET, .count = 30 };
	struct order alerts = { "jo@example.org", .kind = MAIL_ALERT, .count = 30 };
	struct order own = { "jo@example.org", .kind = MAIL_RESET, .proved = true };
	struct order told = { "jo@example.org", .kind = MAIL_ALERT, .proved = true };

	/* A tenant that somebody made for this, with an account of that address in it. */
	EXPECT_INT(order(world, "bob", strangers), 0);
	EXPECT_INT(order(world, "bob", resets), 0);
	EXPECT_INT(order(world, "bob", alerts), 0);
	EXPECT_INT(send_all(world), 90);
	EXPECT_INT(arrived(), 2 * MAILS_AN_HOUR);

	EXPECT_INT(order(world, "ada", own), 0);
	EXPECT_INT(order(world, "ada", told), 0);
	EXPECT_INT(send_all(world), 2);
	EXPECT_INT(arrived(), 2 * MAILS_AN_HOUR + 2);
	EXPECT_STR(states(world, "ada"), S("sent 2 0 1, "));

	/* But they are counted, too. */
	own.count = MAILS_AN_HOUR + 4;
	EXPECT_INT(order(world, "ada", own), 0);
	EXPECT_INT(send_all(world), MAILS_AN_HOUR + 4);
	EXPECT_INT(arrived(), 3 * MAILS_AN_HOUR + 1);
	EXPECT_STR(states(world, "ada"), S("dropped 5 0 1, sent 21 0 1, "));
}

/* --- several who send ----------------------------------------------------- */

MAIL_TEST(mails_are_sent_once)
{
	char to[10][32];

	for (size_t i = 0; i < LEN(to); i++) {
		(void)snprintf(to[i], sizeof(to[i]), "jo%zu@example.org", i);
		EXPECT_INT(order(world, "ada", (struct order){ to[i], .count = 3 }), 0);
	}
	EXPECT_INT(send_all(world), 30);
	EXPECT_INT(arrived(), 30);
	EXPECT_STR(states(world, "ada"), S("sent 30 0 1, "));
}

/* Two who have had the same mail, one of them not knowing that it is somebody else's by now. */
struct late {
	struct str id;
	enum mail_status status;
};

static int end_late_in_tx(struct tx *tx, void *arg)
{
	const struct late *late = arg;

	return mail_end_in_tx(tx, late->id, 1, late->status);
}

static int end_late(const struct db *db, void *arg)
{
	static const enum mail_status order[] = { MAIL_FAILED, MAIL_SENT, MAIL_FAILED,
		MAIL_DROPPED };
	struct mail_ref mail;
	int r = db_one(db, &mail_ids, NULL, &mail);

	(void)arg;
	for (size_t i = 0; i < LEN(order) && r == 0; i++)
		r = db_write(db, end_late_in_tx, &(struct late){ mail.id, order[i] });
	return r;
}

MAIL_TEST(mails_that_a_server_has_are_sent_whoever_comes_late)
{
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org" }), 0);
	world_do(world, "ada", end_late, NULL);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 1, "));
	EXPECT_INT(send_all(world), 1); /* finds that there is nothing to do */
	EXPECT_INT(arrived(), 0);
}

/* What a tenant does to its own queue does not keep its people from their mails, nor does it see
 * when they had some. */
MAIL_TEST(mails_leave_whatever_the_tenant_does)
{
	static const char *const deeds[] = { "queues/email/pause", "queues/email/drain",
		"queues/system.email/pause", "queues/system.email/drain", "jobs/cancel" };
	struct answer answer;

	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .kind = MAIL_RESET }), 0);
	for (size_t i = 0; i < LEN(deeds); i++) {
		bool all = i == LEN(deeds) - 1;
		char request[100];

		(void)snprintf(request, sizeof(request), "POST /api/v1/%s", deeds[i]);
		answer = world_call(world, "ada", request, "",
			all ? "{\"filter\":{\"state\":\"available\"}}" : "{}");
		EXPECT_INT(answer.status, i == 2 || i == 3 ? 400 : 200);
	}
	answer = world_get(world, "ada", "/api/v1/jobs");
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"id\":"), 0);
	EXPECT_INT(send_all(world), 1);
	EXPECT_INT(arrived(), 1);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 1, "));
}

/* --- killed while a server has the mail ----------------------------------- */

static int silent_server(uint16_t *ret_port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(any);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0 && listen(fd, 5) == 0 &&
		getsockname(fd, (struct sockaddr *)&any, &len) == 0);
	*ret_port = ntohs(any.sin_port);
	return fd;
}

static void post_and_hang(struct world *world)
{
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .kind = MAIL_RESET }), 0);
	(void)send_all(world);
}

static void send_after_death(struct world *world)
{
	EXPECT_STR(states(world, "ada"), S("waiting 1 1 0, "));
	EXPECT_INT(send_all(world), 1);
	EXPECT_INT(arrived(), 1);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 2, "));
}

static void kill_in_the_middle(enum engine_kind engine)
{
	struct store_options options = { 0 };
	char path[256];
	uint16_t port;
	int fd = silent_server(&port), connection, status;
	pid_t child;

	options.folder = world_folder(path, sizeof(path));
	if (engine == ENGINE_POSTGRES)
		options.url = store_test_postgres(false);
	configure(port, NULL);
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		world_run_on(&options, all_modules, post_and_hang);
		test_end();
	}
	connection = accept(fd, NULL, NULL);
	EXPECT(connection >= 0);
	EXPECT_INT(kill(child, SIGKILL), 0);
	EXPECT_INT(waitpid(child, &status, 0), child);
	(void)close(connection);
	(void)close(fd);

	smtp_server_start(&smtp, NULL);
	configure(smtp.port, NULL);
	clock_ahead(0);
	world_run_on(&options, all_modules, send_after_death);
	clock_back();
	smtp_server_stop(&smtp);
	world_remove_folder(path);
}

TEST_SLOW(mails_survive_kill_sqlite, 60)
{
	kill_in_the_middle(ENGINE_SQLITE);
}

TEST_SLOW(mails_survive_kill_postgres, 60)
{
	kill_in_the_middle(ENGINE_POSTGRES);
}

/* --- old rows ------------------------------------------------------------- */

static int sweep(const struct db *db, void *arg)
{
	return mails_sweep(db->store, arg);
}

MAIL_TEST(mails_are_forgotten)
{
	int64_t waiting = -1;

	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .count = 2 }), 0);
	EXPECT_INT(send_all(world), 2);
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org" }), 0);
	world_do(world, "ada", sweep, &waiting);
	EXPECT_INT(waiting, 1);
	EXPECT_STR(states(world, "ada"), S("sent 2 0 1, waiting 1 1 0, "));
	clock_ahead((49 * 60) * MINUTE);
	world_do(world, "ada", sweep, &waiting);
	EXPECT_INT(waiting, 0);
	EXPECT_STR(states(world, "ada"), S(""));
}

/* --- without a job ------------------------------------------------------------------------------
 */

static int lose_jobs(const struct db *db, void *arg)
{
	(void)arg;
	return db_exec(db, &jobs_lost, NULL);
}

/* As a version did that sent mails without jobs. */
static int make_due(const struct db *db, void *arg)
{
	return db_exec(db, &mails_due, arg);
}

MAIL_TEST(mails_from_before_get_their_jobs)
{
	struct moment moment = { clock_wall_us() };
	int64_t waiting;

	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .count = 60 }), 0);
	EXPECT_INT(order(world, "bob", (struct order){ "jo@example.com" }), 0);
	world_do(world, "ada", lose_jobs, NULL);
	world_do(world, "bob", lose_jobs, NULL);
	world_do(world, "ada", make_due, &moment);
	world_do(world, "ada", sweep, &waiting); /* there may still be one that sends it */
	EXPECT_INT(send_all(world), 0);

	clock_ahead(6 * MINUTE);
	world_do(world, "ada", sweep, &waiting);
	world_do(world, "ada", sweep, &waiting);
	EXPECT_INT(waiting, 61);
	EXPECT_INT(send_all(world), 60);
	EXPECT_INT(arrived(), MAILS_AN_HOUR);
	EXPECT_STR(states(world, "bob"), S("waiting 1 1 0, "));
}

/* An operator has called it off. */
MAIL_TEST(mails_without_a_job_are_given_up)
{
	int64_t waiting;

	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .count = 2 }), 0);
	world_do(world, "ada", lose_jobs, NULL);
	world_do(world, "ada", sweep, &waiting);
	EXPECT_INT(waiting, 2);
	clock_ahead((25 * 60) * MINUTE);
	world_do(world, "ada", sweep, &waiting);
	EXPECT_INT(waiting, 0);
	EXPECT_STR(states(world, "ada"), S("failed 2 0 0, "));
}

/* --- files ---------------------------------------------------------------- */

static char folder[200];

static void write_files(struct world *world)
{
	char path[800], text[16384] = "";
	struct dirent *entry;
	struct stat info;
	DIR *dir;
	FILE *file;

	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org", .kind = MAIL_RESET }), 0);
	EXPECT_INT(send_all(world), 1);
	EXPECT_STR(states(world, "ada"), S("sent 1 0 1, "));

	EXPECT(stat(folder, &info) == 0 && (info.st_mode & 0777) == 0700);
	dir = opendir(folder);
	REQUIRE(dir);
	while ((entry = readdir(dir)) && entry->d_name[0] == '.')
		continue;
	REQUIRE(entry && str_ends(str_from_c(entry->d_name), S("-reset.eml")));
	(void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
	EXPECT(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
	file = fopen(path, "re");
	REQUIRE(file);
	EXPECT(fread(text, 1, sizeof(text) - 1, file) > 0);
	(void)fclose(file);
	(void)closedir(dir);
	EXPECT(strstr(text, "To: \"Jo\"\r\n <jo@example.org>\r\n") != NULL);
	EXPECT(strstr(text, "\r\nhttps://app.acme.example/reset?token=bh_ml_secret\r\n") != NULL);
	EXPECT(strstr(text, "<a href=\"https://app.acme.example/reset?token=") != NULL);
}

TEST(mails_become_files_sqlite)
{
	char base[100];

	(void)world_folder(base, sizeof(base));
	(void)snprintf(folder, sizeof(folder), "%s/mails", base);
	configure(0, folder);
	world_run(ENGINE_SQLITE, all_modules, write_files);
	world_remove_folder(base);
}

TEST(mail_files_are_bounded)
{
	char base[100], path[200];
	struct mail_file files = { .folder = base };

	(void)world_folder(base, sizeof(base));
	for (int i = 0; i < MAIL_FILES_MAX + 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/%06d.eml", base, i);
		REQUIRE(fclose(fopen(path, "we")) == 0);
	}
	mail_files_prune(&files);
	(void)snprintf(path, sizeof(path), "%s/000002.eml", base);
	EXPECT(access(path, F_OK) != 0);
	(void)snprintf(path, sizeof(path), "%s/000003.eml", base);
	EXPECT(access(path, F_OK) == 0);
	world_remove_folder(base);
}

/* --- options -------------------------------------------------------------- */

static void expect_refused(struct world *world)
{
	EXPECT(!mails_can_leave());
	EXPECT_INT(order(world, "ada", (struct order){ "jo@example.org" }), 0);
	EXPECT_INT(order(world, "ada", (struct order){ "jo" }), -ERR_INVALID);
	EXPECT_STR(states(world, "ada"), S(""));
}

TEST(mails_without_a_way_sqlite)
{
	configure(0, NULL);
	world_run(ENGINE_SQLITE, all_modules, expect_refused);
}

TEST(mails_options_are_checked)
{
	struct mails_options options = { .from = { S("A\nB"), S("a@b") } };

	EXPECT_INT(mails_configure(&options), -ERR_INVALID);
	options.from = (struct mail_address){ S("A"), S("a b") };
	EXPECT_INT(mails_configure(&options), -ERR_INVALID);
	options.from = (struct mail_address){ S("A"), S("") };
	EXPECT_INT(mails_configure(&options), 0);
	options.smtp.host = S("mail.example");
	EXPECT_INT(mails_configure(&options), -ERR_INVALID);
	options.from.address = S("a@b");
	options.product = S("A\r\nB");
	EXPECT_INT(mails_configure(&options), -ERR_INVALID);
	EXPECT(mails_can_leave() == false);
}

/* --- letters -------------------------------------------------------------- */

TEST(letters_are_sealed_in_their_place)
{
	const struct uuid tenant = { { 1 } }, id = { { 2 } };
	struct letter back;
	struct arena arena;
	struct str box;
	int r;

	arena_init(&arena, KILOBYTE, MEGABYTE);
	REQUIRE(letters_open(NULL, NULL) == 0);
	REQUIRE(letter_seal(&arena, &tenant, &id, &hostile, &box) == 0);
	EXPECT(str_find(box, S("jo@")) < 0);
	EXPECT_INT(letter_open(&arena, &tenant, &id, box, &back), 0);
	EXPECT_STR(back.link, hostile.link);
	EXPECT_STR(back.name, hostile.name);
	EXPECT_INT(back.expires_us, hostile.expires_us);
	EXPECT_INT(letter_open(&arena, &id, &id, box, &back), -ERR_INVALID);
	EXPECT_INT(letter_open(&arena, &tenant, &tenant, box, &back), -ERR_INVALID);
	EXPECT_INT(letter_open(&arena, &tenant, &id, S("x"), &back), -ERR_INVALID);

	for (size_t nth = 1;; nth++) {
		struct mail mail = { .id = S("1"), .from.address = S("a@b") };

		arena_done(&arena);
		arena_init(&arena, KILOBYTE, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		r = letter_seal(&arena, &tenant, &id, &hostile, &box);
		if (r == 0)
			r = letter_open(&arena, &tenant, &id, box, &back);
		if (r == 0)
			r = letter_write(&arena, MAIL_ALERT, &back, S("Product"), &mail);
		if (!fault_struck(FAULT_MEMORY))
			break;
		EXPECT_INT(r, -ERR_NO_MEMORY);
	}
	fault_arm(FAULT_MEMORY, 0);
	EXPECT_INT(r, 0);
	letters_close();
	arena_done(&arena);
}
