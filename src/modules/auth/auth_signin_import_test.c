/* Users brought along from elsewhere, with their password hashes. */
#include "modules/auth/auth_signin_world_test.h"

#include <stdio.h>
#include <stdlib.h>

static struct answer import(struct world *world, const char *token, const char *users)
{
	char *body = malloc(strlen(users) + 100);
	struct answer answer;

	REQUIRE(body);
	(void)sprintf(body, "{\"users\":[%s]}", users);
	answer = world_call(world, token, "POST /api/v1/users/import", "", body);
	free(body);
	return answer;
}

WORLD_TEST(signin_imports, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *owner = signin_bearer(&answer), *admin;
	uint64_t before;

	answer = import(world, owner,
		"{\"email\":\"bob@example.com\",\"name\":\"Bob\",\"passwordHash\":\"" SIGNIN_BCRYPT
		"\",\"verified\":true,\"roles\":[\"admin\"]},"
		"{\"email\":\"cy@example.com\",\"name\":\"Cy\"}");
	if (!EXPECT_INT(answer.status, 201))
		fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	EXPECT(answer_count(&answer, "\"email\":\"cy@example.com\"") == 1);

	before = passwords_computed();
	EXPECT_INT(signin_status(world, "bob@example.com", "U*V", NULL), 401);
	EXPECT_INT(passwords_computed() - before, 1);
	answer = signin_login(world, "bob@example.com", "U*U", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(passwords_computed() - before, 3); /* and made anew */
	admin = signin_bearer(&answer);
	EXPECT_INT(signin_status(world, "bob@example.com", "U*U", NULL), 200);
	EXPECT_INT(passwords_computed() - before, 4); /* once */
	EXPECT_INT(signin_status(world, "cy@example.com", "x", NULL), 401);

	answer = import(world, owner,
		"{\"email\":\"new@example.com\",\"name\":\"N\",\"passwordHash\":\"md5:abc\"},"
		"{\"email\":\"NEW@example.com\",\"name\":\"N\"}");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"users.0.passwordHash\"") == 1);
	EXPECT(answer_count(&answer, "\"field\":\"users.1.email\"") == 1);
	answer = import(world, owner,
		"{\"email\":\"new@example.com\",\"name\":\"N\",\"roles\":[\"none\"]},"
		"{\"email\":\"Bob@example.com\",\"name\":\"N\"}");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"users.0.roles\"") == 1);
	EXPECT(answer_count(&answer, "\"field\":\"users.1.email\"") == 1);
	answer = import(world, admin,
		"{\"email\":\"new@example.com\",\"name\":\"N\"},"
		"{\"email\":\"boss@example.com\",\"name\":\"N\",\"roles\":[\"owner\"]}");
	EXPECT_INT(answer.status, 403);
	EXPECT_INT(signin_count(world, &signin_user_count), 3);
}

WORLD_TEST(signin_imports_many, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *owner = signin_bearer(&answer);
	char *users = calloc(1, 64 * KILOBYTE), *at = users;

	REQUIRE(users);
	for (int i = 0; i < IMPORT_MAX; i++)
		at += sprintf(at, "%s{\"email\":\"u%d@e.example\",\"name\":\"U\"%s}", i ? "," : "",
			i, i % 100 == 17 ? ",\"passwordHash\":\"" SIGNIN_BCRYPT "\"" : "");
	EXPECT_INT(import(world, owner, users).status, 201);
	EXPECT_INT(signin_count(world, &signin_user_count), 1 + IMPORT_MAX);
	EXPECT_INT(signin_status(world, "u917@e.example", "U*U", "acme"), 200);
	answer = import(world, owner, users); /* all of them are there */
	EXPECT_INT(answer.status, 400);
	free(users);
}
