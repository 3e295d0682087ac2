/* Registering: founding a tenant and joining one, by invitation, with verification first. */
#include "modules/auth/auth_signin_world_test.h"

#include "modules/mails/mails_fixture_test.h"

#include <stdio.h>

/* --- registering ---------------------------------------------------------- */

WORLD_TEST(signin_founds_a_tenant, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *token;
	struct uuid tenant;

	if (!EXPECT_INT(answer.status, 201))
		fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	EXPECT(answer_count(&answer, "\"refreshToken\":\"bh_rt_") == 1);
	EXPECT(answer_count(&answer, "\"expiresIn\":900") == 1);
	EXPECT(answer_count(&answer, "\"slug\":\"acme\"") == 1);
	tenant = signin_tenant(&answer);
	token = signin_bearer(&answer);
	answer = world_call(world, token, "GET /api/v1/tenant", "", NULL); /* as an owner */
	EXPECT_INT(answer.status, 200);

	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 200);
	EXPECT_INT(signin_status(world, "ADA@EXAMPLE.com", SIGNIN_PASSWORD, "acme"), 200);
	EXPECT_INT(signin_status(world, "ada@example.com", "tin whistle", "acme"), 401);
	EXPECT_INT(signin_status(world, "eve@example.com", SIGNIN_PASSWORD, "acme"), 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, "other"), 401);

	answer = signin_found(world, "eve@example.com", "acme");
	EXPECT_INT(answer.status, 409);
	EXPECT(answer_count(&answer, "\"field\":\"tenant.slug\"") == 1);
	EXPECT_INT(signin_count(world, &signin_user_count), 1);

	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_VERIFY, "ada@example.com"), 1);
	answer = signin_post(world, "auth/verify-email", "{\"token\":\"%s\"}",
		signin_mailed(world, &tenant, MAIL_VERIFY, "ada@example.com"));
	EXPECT_INT(answer.status, 204);
	answer = signin_login(world, "ada@example.com", SIGNIN_PASSWORD, NULL);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
}

WORLD_TEST(signin_refuses_bodies, signin_modules)
{
	static const struct {
		const char *title, *path, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "nothing", "auth/register", "{}", 400, "password" },
		{ "nowhere", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\"}",
			400, "\"field\":\"tenant\"" },
		{ "both", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"acme\"},\"invitation\":\"x\"}",
			400, "not_both" },
		{ "nobody", "auth/register",
			"{\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"acme\"}}",
			400, "\"field\":\"email\"" },
		{ "no such tenant", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"nope\"}}",
			404, "" },
		{ "no invitation", "auth/register",
			"{\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\",\"invitation\":\"bh_in_x\"}",
			400, "invalid_token" },
		{ "short", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"kvz82mq\",\"name\":\"A\","
			"\"tenant\":{\"name\":\"A B\",\"slug\":\"ab\"}}",
			400,
			"\"field\":\"password\",\"message\":\"has fewer than 8 "
			"characters\",\"code\":\"too_short\"" },
		{ "common", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"Password1\",\"name\":\"A\","
			"\"tenant\":{\"name\":\"A B\",\"slug\":\"ab\"}}",
			400, "too_common" },
		{ "the tenant", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"flowmatic7\",\"name\":\"A\","
			"\"tenant\":{\"name\":\"A B\",\"slug\":\"flowmatic\"}}",
			400, "is_known" },
		{ "no address", "auth/login", "{\"email\":\"x\",\"password\":\"y\"}", 400,
			"invalid_email" },
		{ "a role", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" SIGNIN_PASSWORD
			"\",\"name\":\"A\",\"role\":\"owner\",\"tenant\":{\"slug\":\"acme\"}}",
			400, "unknown_member" },
		{ "no link", "auth/verify-email", "{\"token\":\"bh_ml_xyz\"}", 400,
			"invalid_token" },
		{ "no link", "auth/unlock", "{\"token\":\"x\"}", 400, "invalid_token" },
		{ "no link", "auth/confirm-email", "{\"token\":\"x\"}", 400, "invalid_token" },
		{ "no link", "auth/reset-password",
			"{\"token\":\"x\",\"password\":\"" SIGNIN_PASSWORD "\"}", 400,
			"invalid_token" },
		{ "signed out", "auth/change-password",
			"{\"currentPassword\":\"x\",\"newPassword\":\"y\"}", 401, "" },
		{ "signed out", "auth/change-email",
			"{\"password\":\"x\",\"email\":\"a@b.example\"}", 401, "" },
		{ "signed out", "users/import", "{\"users\":[]}", 401, "" },
	};

	REQUIRE(signin_found(world, "ada@example.com", "acme").status == 201);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer = signin_post(world, cases[i].path, "%s", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status) ||
			!EXPECT(str_find(answer.body, str_from_c(cases[i].contains)) >= 0))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
	EXPECT_INT(signin_count(world, &signin_user_count), 1);
}

WORLD_TEST(signin_joins, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	const char *owner = signin_bearer(&answer);

	answer = signin_join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_INT(
		world_call(world, signin_bearer(&answer), "PATCH /api/v1/tenant", "", "{}").status,
		403);
	answer = signin_join(world, "Bob@Example.com", "acme");
	EXPECT_INT(answer.status, 409);
	EXPECT(answer_count(&answer, "\"field\":\"email\"") == 1);

	answer = world_call(world, owner, "GET /api/v1/auth/policy", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"signUp\":\"open\",\"version\":0") == 1);
	answer = world_call(world, owner, "PATCH /api/v1/auth/policy", "If-Match: \"0\"\r\n",
		"{\"signUp\":\"invitation\"}");
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"version\":1") == 1);
	EXPECT_INT(world_call(world, owner, "PATCH /api/v1/auth/policy", "If-Match: \"0\"\r\n",
			   "{\"signUp\":\"open\"}")
			   .status,
		412);
	EXPECT_INT(signin_join(world, "cy@example.com", "acme").status, 403);
	EXPECT_INT(
		world_call(world, owner, "PATCH /api/v1/auth/policy", "", "{\"signUp\":\"closed\"}")
			.status,
		200);
	EXPECT_INT(signin_join(world, "cy@example.com", "acme").status, 403);
	EXPECT_INT(signin_count(world, &signin_user_count), 2);
}

WORLD_TEST(signin_by_invitation, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *owner = signin_bearer(&answer);
	char token[300];

	EXPECT_INT(world_call(world, owner, "PATCH /api/v1/auth/policy", "",
			   "{\"signUp\":\"invitation\"}")
			   .status,
		200);
	answer = world_call(world, owner, "POST /api/v1/invitations", "",
		"{\"email\":\"bob@example.com\",\"role\":\"admin\"}");
	if (!EXPECT_INT(answer.status, 201))
		fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	(void)snprintf(token, sizeof(token), "%s",
		signin_mailed(world, &tenant, MAIL_INVITATION, "bob@example.com"));
	REQUIRE(*token);
#define ACCEPT(more)                                                                               \
	signin_post(world, "auth/register",                                                        \
		"{\"invitation\":\"%s\",\"password\":\"" SIGNIN_PASSWORD                           \
		"\",\"name\":\"Bob\"" more "}",                                                    \
		token)
	EXPECT_INT(ACCEPT(",\"email\":\"eve@example.com\"").status, 400);
	EXPECT_INT(signin_count(world, &signin_user_count), 1);
	answer = ACCEPT("");
	EXPECT_INT(answer.status, 201);
	EXPECT(answer_count(&answer, "\"email\":\"bob@example.com\"") == 1);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
	EXPECT_INT(world_call(world, signin_bearer(&answer), "GET /api/v1/users", "", NULL).status,
		200);
	EXPECT_INT(ACCEPT("").status, 400);
	EXPECT_INT(signin_status(world, "bob@example.com", SIGNIN_PASSWORD, NULL), 200);
}

WORLD_TEST(signin_with_several_accounts, signin_modules)
{
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const struct posted *posted;

	EXPECT_INT(signin_found(world, "ada@example.com", "beta").status, 201);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, NULL), 401);
	EXPECT_INT(signin_status(world, "ada@example.com", SIGNIN_PASSWORD, "acme"), 200);
	answer = signin_login(world, "ada@example.com", SIGNIN_PASSWORD, "beta");
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"slug\":\"beta\"") == 1);

	EXPECT_INT(
		signin_post(world, "auth/find-tenants", "{\"email\":\"ada@example.com\"}").status,
		202);
	EXPECT_INT(
		signin_post(world, "auth/find-tenants", "{\"email\":\"eve@example.com\"}").status,
		202);
	EXPECT_INT(signin_do_errands(world), 2);
	EXPECT_INT(signin_do_errands(world), 0);
	posted = mail_posted_in(world, &tenant, MAIL_TENANTS, "ada@example.com");
	EXPECT(posted->found);
	EXPECT_STR(str_from_c(posted->detail), S("Tenant acme (acme)\nTenant beta (beta)"));
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_TENANTS, "eve@example.com"), 0);
}

/* --- verification first --------------------------------------------------- */

/* Text with what differs from one answer to the next taken out. */
static void blank(char *text, const char *member)
{
	char name[40];
	char *at = text;

	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	while ((at = strstr(at, name))) {
		at += strlen(name);
		while (*at && *at != '"')
			*at++ = '?';
	}
}

static const char *blanked(const struct answer *answer)
{
	static char texts[2][4096];
	static size_t next;
	char *text = texts[next++ % 2];

	(void)snprintf(text, sizeof(texts[0]), "%.*s", STR_ARG(answer->body));
	blank(text, "id");
	blank(text, "requestId");
	blank(text, "createdAt");
	blank(text, "updatedAt");
	return text;
}

WORLD_TEST(signin_joins_unseen, signin_modules)
{
	struct auth_options options = signin_usual();
	struct answer answer = signin_found(world, "ada@example.com", "acme");
	struct uuid tenant = signin_tenant(&answer);
	const char *there;
	uint64_t before;

	options.verify_first = true;
	REQUIRE(auth_configure(&options) == 0);
	before = passwords_computed();
	answer = signin_join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_INT(answer_count(&answer, "accessToken"), 0);
	EXPECT_INT(answer_count(&answer, "refreshToken"), 0);
	there = blanked(&answer);
	EXPECT_INT(signin_count(world, &signin_user_count), 1); /* not yet */
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_count(world, &signin_user_count), 2);

	answer = signin_join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_STR(str_from_c(blanked(&answer)), str_from_c(there));
	EXPECT_INT(passwords_computed() - before, 2);
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_count(world, &signin_user_count), 2);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_ALREADY_THERE, "bob@example.com"), 1);

	EXPECT_INT(signin_status(world, "bob@example.com", "wrong", NULL), 401);
	answer = signin_login(world, "bob@example.com", SIGNIN_PASSWORD, NULL);
	EXPECT_INT(answer.status, 403);
	EXPECT(answer_count(&answer, "\"unverified\"") == 1);
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_VERIFY, "bob@example.com"), 2);
	EXPECT_INT(signin_post(world, "auth/verify-email/resend", "{\"email\":\"bob@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_post(world, "auth/verify-email", "{\"token\":\"%s\"}",
			   signin_mailed(world, &tenant, MAIL_VERIFY, "bob@example.com"))
			   .status,
		204);
	EXPECT_INT(signin_status(world, "bob@example.com", SIGNIN_PASSWORD, NULL), 200);
	EXPECT_INT(signin_post(world, "auth/verify-email/resend", "{\"email\":\"bob@example.com\"}")
			   .status,
		202);
	EXPECT_INT(signin_do_errands(world), 1);
	EXPECT_INT(signin_mail_count(world, &tenant, MAIL_VERIFY, "bob@example.com"), 3);
}
