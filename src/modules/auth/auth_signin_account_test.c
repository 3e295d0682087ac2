/* What people do with their account: forgotten and changed passwords, addresses, the end. */
#include "modules/auth/auth_signin_world_test.h"

#include "base/utf8.h"
#include "modules/mails/mails_fixture_test.h"
#include "observe/clock_test.h"

#include <stdio.h>

WORLD_TEST(signin_resets_a_password, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *token = signin_bearer(&answer), *first, *second;

	EXPECT_INT(signin_post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	first = strcpy(signin_room(), signin_mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
	EXPECT_INT(signin_post(world, "auth/forgot-password",
			   "{\"email\":\"ada@example.com\",\"tenant\":\"acme\"}")
			   .status,
		202);
	EXPECT_INT(signin_post(world, "auth/forgot-password",
			   "{\"email\":\"ada@example.com\",\"tenant\":\"beta\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 2);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 2);
	second =
		strcpy(signin_room(), signin_mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
	REQUIRE(*first && strcmp(first, second) != 0);

	/* Replaced, of another kind, too short, used. */
#define RESET(token_, password_)                                                                   \
	signin_post(world, "auth/reset-password", "{\"token\":\"%s\",\"password\":\"%s\"}",        \
		token_, password_)
	EXPECT_INT(RESET(first, "another whistle").status, 400);
	EXPECT_INT(RESET(signin_mailed(world, &tenant, MAIL_VERIFY, "ada@example.com"),
			   "another whistle")
			   .status,
		400);
	EXPECT_INT(
		signin_post(world, "auth/verify-email", "{\"token\":\"%s\"}", second).status, 400);
	EXPECT_INT(RESET(second, "short").status, 400);
	EXPECT_INT(RESET(second, "another whistle").status, 204);
	EXPECT_INT(RESET(second, "a third whistle").status, 400);

	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	answer = signin_login(world, "ada@example.com", "another whistle", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 1);
}

WORLD_TEST(signin_links_end, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *link;

	clock_ahead(0);
	EXPECT_INT(signin_post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	link = signin_mailed(world, &tenant, MAIL_RESET, "ada@example.com");
	clock_ahead(61 * MINUTE);
	EXPECT_INT(RESET(link, "another whistle").status, 400);

	/* Five within an hour. */
	for (int i = 0; i < 8; i++)
		EXPECT_INT(signin_post(
				   world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
				   .status,
			202);
	EXPECT_INT(signin_do_errands(world), 8);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_RESET, "ada@example.com"),
		1 + LINKS_PER_HOUR);
	clock_ahead((2 * 61) * MINUTE);
	EXPECT_INT(signin_post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_RESET, "ada@example.com"),
		2 + LINKS_PER_HOUR);
	EXPECT_INT(signin_count(world, &signin_link_count), 2);
	clock_back();
}

WORLD_TEST(signin_changes_a_password, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *token = signin_bearer(&answer), *other;

	answer = signin_login(world, "ada@example.com", SIGNIN_PASSWORD, NULL);
	other = signin_bearer(&answer);
#define CHANGE(current, next)                                                                      \
	world_call(world, token, "POST /api/v1/auth/change-password", "",                          \
		"{\"currentPassword\":\"" current "\",\"newPassword\":\"" next "\"}")
	answer = CHANGE("wrong one", "another whistle");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"currentPassword\"") == 1);
	answer = CHANGE(SIGNIN_PASSWORD, "short");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"newPassword\"") == 1);
	EXPECT_INT(CHANGE(SIGNIN_PASSWORD, "another whistle").status, 204);

	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 200);
	EXPECT_INT(world_call(world, other, "GET /api/v1/tenant", "", NULL).status, 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT_INT(signin_status(world, "ada@example.com", "another whistle", NULL), 200);
}

WORLD_TEST(signin_changes_an_address, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *token = signin_bearer(&answer), *other, *link;
	char body[300];

	answer = signin_login(world, "ada@example.com", SIGNIN_PASSWORD, NULL);
	other = signin_bearer(&answer);
	REQUIRE(signin_join(world, "bob@example.com", "acme").status == 201);
#define MOVE(password, to)                                                                         \
	world_call(world, token, "POST /api/v1/auth/change-email", "",                             \
		"{\"password\":\"" password "\",\"email\":\"" to "\"}")
	EXPECT_INT(MOVE("wrong one", "new@example.com").status, 400);
	EXPECT_INT(MOVE(SIGNIN_PASSWORD, "new@example.com").status, 202);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 1);
	EXPECT_INT(signin_status(world, "new@example.com", SIGNIN_PASSWORD, NULL), 401);
	link = signin_mailed(world, &tenant, MAIL_CHANGE_EMAIL, "new@example.com");
	EXPECT_INT(world_call(world, other, "GET /api/v1/tenant", "", NULL).status, 200);
	(void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}", link);
	for (int i = 0; i < 2; i++) {
		answer = world_call(world, token, "POST /api/v1/auth/confirm-email", "", body);
		EXPECT_INT(answer.status, i ? 400 : 204);
	}
	EXPECT_INT(world_call(world, other, "GET /api/v1/tenant", "", NULL).status, 401);
	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 200);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT_INT(signin_status(world, "new@example.com", SIGNIN_PASSWORD, NULL), 200);

	EXPECT_INT(MOVE(SIGNIN_PASSWORD, "bob@example.com").status, 202); /* says nothing of bob */
	link = signin_mailed(world, &tenant, MAIL_CHANGE_EMAIL, "bob@example.com");
	answer = signin_post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link);
	EXPECT_INT(answer.status, 409);
	EXPECT_INT(signin_status(world, "new@example.com", SIGNIN_PASSWORD, NULL), 200);

	/* Who opens the link elsewhere keeps none. */
	EXPECT_INT(MOVE(SIGNIN_PASSWORD, "newer@example.com").status, 202);
	link = signin_mailed(world, &tenant, MAIL_CHANGE_EMAIL, "newer@example.com");
	EXPECT_INT(
		signin_post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link).status, 204);
	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 401);
}

/* Who knew the old password may have asked for another address with it. */
WORLD_TEST(signin_new_password_voids_links, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *token = signin_bearer(&answer), *link;

	EXPECT_INT(MOVE(SIGNIN_PASSWORD, "eve@example.com").status, 202);
	EXPECT_INT(signin_post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	link = signin_mailed(world, &tenant, MAIL_RESET, "ada@example.com");
	EXPECT_INT(RESET(link, "another whistle").status, 204);
	link = signin_mailed(world, &tenant, MAIL_CHANGE_EMAIL, "eve@example.com");
	EXPECT_INT(
		signin_post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link).status, 400);
	EXPECT_INT(signin_status(world, "ada@example.com", "another whistle", NULL), 200);
}

/* Header fields are bytes; rows and answers are text. */
WORLD_TEST(signin_by_an_odd_agent, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");

	answer = world_call(world, NULL, "POST /api/v1/auth/login", "User-Agent: a\xff\xc3(b\r\n",
		"{\"email\":\"ada@example.com\",\"password\":\"" SIGNIN_PASSWORD "\"}");
	EXPECT_INT(answer.status, 200);
	answer = world_call(world, signin_bearer(&answer), "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(utf8_valid(answer.body));
}

WORLD_TEST(signin_account_is_deleted, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *owner = signin_bearer(&answer), *bob;

	answer = signin_join(world, "bob@example.com", "acme");
	bob = signin_bearer(&answer);
#define LEAVE(who, password)                                                                       \
	world_call(world, who, "DELETE /api/v1/me", "", "{\"password\":\"" password "\"}")
	EXPECT_INT(LEAVE(bob, "wrong one").status, 400);
	EXPECT_INT(LEAVE(owner, SIGNIN_PASSWORD).status, 409); /* the last owner */
	EXPECT_INT(LEAVE(bob, SIGNIN_PASSWORD).status, 204);
	EXPECT_INT(world_call(world, bob, "GET /api/v1/auth/sessions", "", NULL).status, 401);
	EXPECT_INT(signin_status(world, "bob@example.com", SIGNIN_PASSWORD, "acme"), 401);
	EXPECT_INT(signin_count(world, &signin_user_count), 1);
	EXPECT_INT(signin_join(world, "bob@example.com", "acme").status, 201);
}
