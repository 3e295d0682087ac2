/* Sign-in while allocations fail: what was begun is whole or not there. */
#include "modules/auth/auth_signin_world_test.h"

#include "modules/mails/mails_fixture_test.h"
#include "observe/clock_test.h"

#include <stdio.h>

/* Whatever allocation fails, an account is whole or not there, and a request has an answer. (A
 * forgotten password takes none on the request's thread.) */
WORLD_TEST(signin_without_memory, signin_modules)
{
	enum { MOST = 400, ENOUGH = 12 };
	static const char *const paths[] = { "register", "login", "forgot-password" };

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	signin_few_tries(1000);
	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	for (size_t p = 0; p < LEN(paths); p++) {
		int failed = 0, good = 0;

		for (int nth = 1; nth < MOST && good < ENOUGH; nth++) {
			char request[100], fault[40], body[300];
			int64_t users = signin_count(world, &signin_user_count);
			struct answer answer;

			(void)snprintf(request, sizeof(request), "POST /api/v1/auth/%s", paths[p]);
			(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
			(void)snprintf(body, sizeof(body),
				p == 0 ? "{\"email\":\"u%d@example.com\",\"password\":"
					 "\"" SIGNIN_PASSWORD
					 "\",\"name\":\"U\",\"tenant\":{\"slug\":\"acme\"}}"
				: p == 1 ? "{\"email\":\"ada@example.com\",\"password\":"
					   "\"" SIGNIN_PASSWORD "\"}%.0d"
					 : "{\"email\":\"ada@example.com\"}%.0d",
				p ? 0 : nth);
			answer = world_call(world, NULL, request, fault, body);
			if (answer.status == 0)
				world->client = client_open(world->net);
			if (!EXPECT(answer.status == 0 || answer.status == 201 ||
				    answer.status == 200 || answer.status == 202 ||
				    answer.status >= 500))
				fprintf(stderr, "  %s, %d: %.*s\n", paths[p], nth,
					STR_ARG(answer.body));
			failed += answer.status >= 500 || answer.status == 0;
			good = answer.status && answer.status < 300 ? good + 1 : 0;
			if (p == 0 && answer.status == 201)
				EXPECT_INT(signin_count(world, &signin_user_count), users + 1);
			if (p == 0 && signin_count(world, &signin_user_count) > users) {
				(void)snprintf(body, sizeof(body), "u%d@example.com", nth);
				EXPECT_INT(signin_status(world, body, SIGNIN_PASSWORD, NULL), 200);
			}
		}
		if (!EXPECT((failed > 0 || p == 2) && good == ENOUGH))
			fprintf(stderr, "  %s: %d failed, then %d good\n", paths[p], failed, good);
	}
	while (signin_do_errands(world) > 0)
		continue;
}

/* One who does a thing again and again, each time with another allocation that fails. */
struct torture {
	const char *title;
	/* Does it; the answer's status. What it takes is renewed when it is used up. */
	int (*act)(struct world *world, struct torture *torture, const char *fault);
	struct uuid tenant;
	char token[4096], link[300], password[60];
	size_t number;
};

static int torture_call(struct world *world, const char *token, const char *request,
	const char *fault, const char *body)
{
	int status = world_call(world, token, request, fault, body).status;

	if (status == 0)
		world->client = client_open(world->net);
	return status;
}

static int import_once(struct world *world, struct torture *torture, const char *fault)
{
	int64_t users = signin_count(world, &signin_user_count);
	char body[300];
	int status;

	(void)snprintf(body, sizeof(body),
		"{\"users\":[{\"email\":\"i%zu@example.com\",\"name\":\"I\"},"
		"{\"email\":\"j%zu@example.com\",\"name\":\"J\",\"passwordHash\":\"" SIGNIN_BCRYPT
		"\"}]}",
		torture->number, torture->number);
	torture->number++;
	status = torture_call(world, torture->token, "POST /api/v1/users/import", fault, body);
	users = signin_count(world, &signin_user_count) - users;
	EXPECT(users == 2 || (users == 0 && status != 201)); /* all or none */
	return status;
}

static int change_once(struct world *world, struct torture *torture, const char *fault)
{
	char body[300], next[60];
	int status;

	(void)snprintf(next, sizeof(next), "another whistle %zu", torture->number++);
	(void)snprintf(body, sizeof(body), "{\"currentPassword\":\"%s\",\"newPassword\":\"%s\"}",
		torture->password, next);
	status = torture_call(
		world, torture->token, "POST /api/v1/auth/change-password", fault, body);
	/* It is the one or the other; without an answer nobody knows which. */
	if (status == 204 || signin_status(world, "ada@example.com", next, NULL) == 200)
		(void)snprintf(torture->password, sizeof(torture->password), "%s", next);
	if (torture->number % 8 == 0)
		EXPECT_INT(signin_status(world, "ada@example.com", torture->password, NULL), 200);
	return status;
}

static int move_once(struct world *world, struct torture *torture, const char *fault)
{
	char body[300];

	(void)snprintf(body, sizeof(body), "{\"password\":\"%s\",\"email\":\"e%zu@example.com\"}",
		torture->password, torture->number++);
	return torture_call(world, torture->token, "POST /api/v1/auth/change-email", fault, body);
}

static int reset_once(struct world *world, struct torture *torture, const char *fault)
{
	char body[500];
	int status;

	if (!*torture->link) {
		clock_pass(61 * MINUTE); /* so many links an hour */
		REQUIRE(signin_post(
				world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
				.status == 202);
		REQUIRE(signin_do_errands(world) > 0);
		(void)snprintf(torture->link, sizeof(torture->link), "%s",
			signin_mailed(world, &torture->tenant, MAIL_RESET, "ada@example.com"));
	}
	(void)snprintf(torture->password, sizeof(torture->password), "another whistle %zu",
		torture->number++);
	(void)snprintf(body, sizeof(body), "{\"token\":\"%s\",\"password\":\"%s\"}", torture->link,
		torture->password);
	status = torture_call(world, NULL, "POST /api/v1/auth/reset-password", fault, body);
	/* A link that is used up has done what it was for. */
	if (status == 204 ||
		signin_status(world, "ada@example.com", torture->password, NULL) == 200)
		torture->link[0] = '\0';
	return status;
}

static int verify_once(struct world *world, struct torture *torture, const char *fault)
{
	char email[60], slug[60], body[400];
	struct answer answer;
	int status;

	(void)snprintf(email, sizeof(email), "v%zu@example.com", torture->number);
	if (!*torture->link) {
		(void)snprintf(email, sizeof(email), "v%zu@example.com", ++torture->number);
		(void)snprintf(slug, sizeof(slug), "v-%zu", torture->number);
		answer = signin_found(world, email, slug);
		REQUIRE(answer.status == 201);
		torture->tenant = signin_tenant(&answer);
		(void)snprintf(torture->link, sizeof(torture->link), "%s",
			signin_mailed(world, &torture->tenant, MAIL_VERIFY, email));
	}
	(void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}", torture->link);
	status = torture_call(world, NULL, "POST /api/v1/auth/verify-email", fault, body);
	answer = signin_login(world, email, SIGNIN_PASSWORD, NULL);
	EXPECT(answer.status == 200 && (status != 204 || answer_count(&answer, "emailVerifiedAt")));
	if (answer_count(&answer, "emailVerifiedAt"))
		torture->link[0] = '\0';
	return status;
}

/* Whatever allocation fails, it is done or not, and the next one can do it. */
WORLD_TEST(signin_changes_without_memory, signin_modules)
{
	enum { MOST = 500, ENOUGH = 4 };
	static struct torture tortures[] = {
		{ "import", import_once },
		{ "verify-email", verify_once },
		{ "change-email", move_once },
		{ "change-password", change_once },
		{ "reset-password", reset_once },
	};
	struct answer answer;
	struct uuid tenant;
	char token[4096];

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	signin_few_tries(1000);
	clock_ahead(0);
	answer = signin_found(world, "ada@example.com", "acme");
	tenant = signin_tenant(&answer);
	(void)snprintf(token, sizeof(token), "%s", signin_bearer(&answer));
	for (size_t t = 0; t < LEN(tortures); t++) {
		struct torture *torture = &tortures[t];
		int failed = 0, good = 0;

		torture->tenant = tenant;
		(void)snprintf(torture->token, sizeof(torture->token), "%s", token);
		(void)snprintf(torture->password, sizeof(torture->password), "%s",
			t < 4 ? SIGNIN_PASSWORD : "");
		for (int nth = 1; nth < MOST && good < ENOUGH; nth++) {
			char fault[40];
			int status;

			(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
			status = torture->act(world, torture, fault);
			if (!EXPECT(status == 0 || (status >= 200 && status < 300) ||
				    status >= 500))
				fprintf(stderr, "  %s, %d: %d\n", torture->title, nth, status);
			failed += status == 0 || status >= 500;
			good = status && status < 300 ? good + 1 : 0;
		}
		if (!EXPECT(failed > 0 && good == ENOUGH))
			fprintf(stderr, "  %s: %d failed, then %d good\n", torture->title, failed,
				good);
	}
	clock_ahead(0 * MINUTE);
	clock_back();
}
