/* Wrong passwords: what is counted, slowed down and locked, also a thousand at a time. */
#include "modules/auth/auth_signin_world_test.h"

#include "modules/mails/mails_fixture_test.h"
#include "observe/clock.h"
#include "observe/clock_test.h"
#include "observe/metric.h"

#include <stdio.h>
#include <stdlib.h>

WORLD_TEST(signin_locks, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *link;

	clock_ahead(0);
	signin_few_tries(3);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", i % 2 ? "acme" : NULL),
			401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT_INT(signin_status(world, "ADA@example.com", SIGNIN_PASSWORD, "acme"), 401);
	EXPECT_INT(signin_count(world, &signin_login_failures), 3);

	/* Nobody else is, and nobody can learn from it who is there. */
	REQUIRE(signin_join(world, "bob@example.com", "acme").status == 201);
	EXPECT_INT(signin_status(world, "bob@example.com", SIGNIN_PASSWORD, NULL), 200);
	for (int i = 0; i < 4; i++)
		EXPECT_INT(signin_status(world, "eve@example.com", "wrong", NULL), 401);

	EXPECT_INT(signin_do_errands(world), 2); /* of ada and of eve */
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_UNLOCK, "ada@example.com"), 1);
	link = signin_mailed(world, &tenant, MAIL_UNLOCK, "ada@example.com");
	EXPECT_INT(signin_post(world, "auth/unlock", "{\"token\":\"%s\"}", link).status, 204);
	EXPECT_INT(signin_post(world, "auth/unlock", "{\"token\":\"%s\"}", link).status, 400);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);

	/* The lock ends by itself; the next one is longer. */
	for (int i = 0; i < 3; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
	clock_ahead(14 * MINUTE);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	clock_ahead(16 * MINUTE);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
	clock_ahead((16 + 16) * MINUTE);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	clock_ahead((16 + 31) * MINUTE);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);
	clock_back();
}

/* With real time: tries beyond the free ones begin later and later, and of the last one nobody
 * waits for anything. */
WORLD_TEST(signin_slows_down, signin_modules)
{
	enum { DELAY_MS = 200, LAST = ATTEMPTS_FREE + 2, SLOW_MS = 3000 };
	struct auth_options options = signin_usual();
	uint64_t begun[LAST + 2], ended;

	options.login_tries = LAST;
	options.login_delay_ns = DELAY_MS * MILLISECOND;
	REQUIRE(auth_configure(&options) == 0);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	for (int i = 1; i <= LAST; i++) {
		/* after the one before, which has begun at this time at the earliest */
		uint64_t wait = i > ATTEMPTS_FREE ? DELAY_MS << (i - ATTEMPTS_FREE - 1) : 0;

		begun[i] = clock_now_ns();
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
		ended = clock_now_ns();
		if (i > 1)
			EXPECT(ended - begun[i - 1] >= wait * MILLISECOND);
		EXPECT(ended - begun[i] < (wait + SLOW_MS) * MILLISECOND);
		begun[i] = MAX(begun[i], i > 1 ? begun[i - 1] + wait * MILLISECOND : 0);
	}
	ended = clock_now_ns();
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT(clock_now_ns() - ended < SLOW_MS * MILLISECOND);
	EXPECT_INT(signin_status(world, "bob@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT_INT(signin_count(world, &signin_login_failures), LAST + 1);
}

/* Who has signed in here before is not locked out by strangers. */
WORLD_TEST(signin_known_device, signin_modules)
{
	struct answer answer;
	char cookie[300], stolen[300];
	struct str set;

	signin_few_tries(3);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	answer = signin_login(world, "ada@example.com", SIGNIN_PASSWORD, NULL);
	set = response_header(&answer.response, S("set-cookie"));
	REQUIRE(set.len && str_starts(set, S("bh_device=")));
	EXPECT(str_find(set, S("HttpOnly")) > 0 && str_find(set, S("SameSite=Lax")) > 0);
	(void)snprintf(cookie, sizeof(cookie), "Cookie: x=y; %.*s\r\n",
		(int)str_find_byte(set, ';'), set.at);

	for (int i = 0; i < 5; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
#define LOGIN_WITH(headers, email, password)                                                       \
	world_call(world, NULL, "POST /api/v1/auth/login", headers,                                \
		"{\"email\":\"" email "\",\"password\":\"" password "\"}")                         \
		.status
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", "wrong"), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", SIGNIN_PASSWORD), 200);

	/* It helps nobody else, and not for ever. */
	(void)snprintf(stolen, sizeof(stolen), "%s", cookie);
	stolen[strlen(stolen) - 4] ^= 1;
	EXPECT_INT(LOGIN_WITH(stolen, "ada@example.com", SIGNIN_PASSWORD), 401);
	REQUIRE(signin_join(world, "bob@example.com", "acme").status == 201);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(signin_status(world, "bob@example.com", "wrong", NULL), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "bob@example.com", SIGNIN_PASSWORD), 401);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", "wrong"), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", SIGNIN_PASSWORD), 401);
}

/* A login with the right password by another user agent, which the owner hears of; once of each. */
WORLD_TEST(signin_from_a_new_device, signin_modules)
{
	static const struct {
		const char *headers;
		size_t alerts;
	} rows[] = {
		{ "User-Agent: First/1.0\r\n", 1 }, /* who signed up had none */
		{ "User-Agent: First/1.0\r\n", 1 },
		{ "", 1 },
		{ "User-Agent: Second/1.0\r\n", 2 },
		{ "User-Agent: First/1.0\r\n", 2 },
	};
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	char headers[400];
	struct str set;

	for (size_t i = 0; i < LEN(rows); i++) {
		answer = world_call(world, NULL, "POST /api/v1/auth/login", rows[i].headers,
			"{\"email\":\"ada@example.com\",\"password\":\"" SIGNIN_PASSWORD "\"}");
		EXPECT_INT(answer.status, 200);
		EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"),
			rows[i].alerts);
	}

	/* A browser that has been here may have another name since. */
	set = response_header(&answer.response, S("set-cookie"));
	(void)snprintf(headers, sizeof(headers), "User-Agent: First/2.0\r\nCookie: %.*s\r\n",
		(int)str_find_byte(set, ';'), set.at);
	EXPECT_INT(LOGIN_WITH(headers, "ada@example.com", SIGNIN_PASSWORD), 200);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 2);
	EXPECT_INT(LOGIN_WITH("User-Agent: Third\r\n", "ada@example.com", "wrong"), 401);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 2);
}

static int64_t logins_counted(const char *result)
{
	char name[100];
	struct buf text;
	ptrdiff_t at;
	int64_t count;

	(void)snprintf(name, sizeof(name), "auth_logins_total{result=\"%s\"} ", result);
	buf_init(&text, 16 * MEGABYTE);
	REQUIRE(metric_write(&text, METRIC_TEXT) == 0);
	buf_byte(&text, '\0');
	at = str_find(buf_str(&text), str_from_c(name));
	REQUIRE(at >= 0);
	count = strtoll(text.at + at + strlen(name), NULL, 10);
	buf_done(&text);
	return count;
}

WORLD_TEST(signin_is_counted, signin_modules)
{
	signin_few_tries(2);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);
	for (int i = 0; i < 5; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
	EXPECT_INT(logins_counted("ok"), 1);
	EXPECT_INT(logins_counted("refused"), 2);
	EXPECT_INT(logins_counted("locked"), 3);
	for (int i = 0; i < 25; i++) {
		char email[40];

		(void)snprintf(email, sizeof(email), "user%d@example.com", i);
		(void)signin_login(world, email, "wrong", NULL);
	}
	EXPECT_INT(logins_counted("refused") + logins_counted("locked"), 2 * ATTEMPTS_OF_ADDRESS);
	EXPECT_INT(logins_counted("throttled"), 5 + 25 - 2 * ATTEMPTS_OF_ADDRESS);
}

/* One address that tries everybody. */
WORLD_TEST(signin_stops_an_address, signin_modules)
{
	int refused = 0;

	signin_few_tries(2);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	for (int i = 0; i < 25; i++) {
		char email[40];
		int status;

		(void)snprintf(email, sizeof(email), "user%d@example.com", i);
		status = signin_status(world, email, "wrong", NULL);
		EXPECT(status == (i < 2 * ATTEMPTS_OF_ADDRESS ? 401 : 429));
		refused += status == 429;
	}
	EXPECT_INT(refused, 25 - 2 * ATTEMPTS_OF_ADDRESS);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 429);
}

/* Tries that are right count against nobody. */
WORLD_TEST(signin_success_is_no_failure, signin_modules)
{
	signin_few_tries(2);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	for (int i = 0; i < 30; i++)
		EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);
	EXPECT_INT(signin_status(world, "ada@example.com", "wrong", NULL), 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);
}

/* --- a thousand at a time ------------------------------------------------- */

enum { GUESSERS = 100, GUESSES_EACH = 10 };

static void guess(struct world *world, size_t statuses[600])
{
	static struct client *clients[GUESSERS];

	for (size_t i = 0; i < GUESSERS; i++) {
		clients[i] = client_open(world->net);
		REQUIRE(clients[i]);
	}
	for (size_t k = 0; k < GUESSES_EACH; k++)
		for (size_t i = 0; i < GUESSERS; i++) {
			char body[200];

			(void)snprintf(body, sizeof(body),
				"{\"email\":\"ada@example.com\",\"password\":\"guess %zu\"}",
				k * GUESSERS + i);
			world_send(clients[i], NULL, "POST /api/v1/auth/login", "", body);
		}
	for (size_t k = 0; k < GUESSES_EACH; k++)
		for (size_t i = 0; i < GUESSERS; i++) {
			int status = world_answer(clients[i]).status;

			REQUIRE(status > 0 && status < 600);
			statuses[status]++;
		}
	for (size_t i = 0; i < GUESSERS; i++)
		client_close(clients[i]);
}

/* What is counted are the entries of the audit log: one for each password that was looked at. */
WORLD_TEST(signin_thousand_guesses, signin_modules)
{
	size_t statuses[600] = { 0 };

	signin_few_tries(7);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	guess(world, statuses);
	EXPECT_INT(statuses[401] + statuses[429] + statuses[503], GUESSERS * GUESSES_EACH);
	EXPECT(statuses[401] >= 7);
	EXPECT_INT(signin_count(world, &signin_login_failures), 7);
	EXPECT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL) != 200);
	fprintf(stderr, "  401: %zu, 429: %zu, 503: %zu\n", statuses[401], statuses[429],
		statuses[503]);
}
