/*
 * Databases with people in them, of earlier versions: tests/fixtures/identity. Whoever signed up
 * then signs in now, with the same password, roles, keys and links.
 *
 *     WRITE_FIXTURES=tests/fixtures/identity build/debug/unit identity_of_this_version
 *
 * writes NEXT_VERSION, once, when it is released; then NEXT_VERSION is the one behind it.
 */
#include "modules/api_keys/api_keys.h"
#include "modules/audit/audit_test.h"
#include "modules/auth/auth.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/rbac/rbac.h"
#include "modules/tenants/tenants.h"
#include "modules/users/users.h"
#include "rest/fixture_test.h"
#include "rest/idempotency.h"

#include <stdio.h>

#define NEXT_VERSION "0.2.0"

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &jobs_module, &mails_module, &mail_fixture_module, &users_module,
	&auth_module, &api_keys_module, NULL };

#define WORDS    "correct horse battery staple"
#define BCRYPT_U "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" /* of "U*U" */

/* The member of an answer, kept. */
static const char *kept(const struct answer *answer, const char *member)
{
	static char texts[8][2000];
	static size_t next;
	char *text = texts[next++ % LEN(texts)], name[100];
	struct str rest = answer->body;
	ptrdiff_t at;

	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	at = str_find(rest, str_from_c(name));
	REQUIRE(at >= 0);
	rest = str_from(rest, (size_t)at + strlen(name));
	rest = str_cut(&rest, '"');
	(void)snprintf(text, sizeof(texts[0]), "%.*s", STR_ARG(rest));
	return text;
}

static struct answer must(
	struct world *world, const char *token, const char *request, int status, const char *body)
{
	struct answer answer = world_call(world, token, request, "", body);

	if (!EXPECT_INT(answer.status, status))
		fprintf(stderr, "  %s: %.*s\n", request, STR_ARG(answer.body));
	return answer;
}

static const char *sign_in(struct world *world, const char *email, const char *password, int status)
{
	char body[300];
	struct answer answer;

	(void)snprintf(
		body, sizeof(body), "{\"email\":\"%s\",\"password\":\"%s\"}", email, password);
	answer = must(world, NULL, "POST /api/v1/auth/login", status, body);
	return status == 200 ? kept(&answer, "accessToken") : "";
}

/* --- what is in them ---------------------------------------------------------------------- */

static void make_people(struct world *world, const char *owner)
{
	(void)must(world, owner, "POST /api/v1/users/import", 201,
		"{\"users\":[{\"email\":\"bob@example.com\",\"name\":\"B\xc3\xb6"
		"b\","
		"\"passwordHash\":\"" BCRYPT_U "\",\"verified\":true,\"roles\":[\"auditor\"]},"
		"{\"email\":\"cy@example.com\",\"name\":\"Cy\",\"passwordHash\":\"" BCRYPT_U
		"\",\"verified\":true}]}");
	(void)must(world, owner, "POST /api/v1/invitations", 201,
		"{\"email\":\"dee@example.com\",\"role\":\"viewer\"}");
	(void)must(world, NULL, "POST /api/v1/auth/forgot-password", 202,
		"{\"email\":\"ada@example.com\"}");
	(void)sign_in(world, "ada@example.com", "wrong", 401); /* a try is counted */
}

static void make_rows(struct world *world)
{
	char body[400];
	const char *owner;
	struct answer answer = must(world, NULL, "POST /api/v1/auth/register", 201,
		"{\"email\":\"ada@example.com\",\"password\":\"" WORDS "\",\"name\":\"Ada\","
		"\"tenant\":{\"name\":\"Acme\",\"slug\":\"acme\"}}");

	owner = kept(&answer, "accessToken");
	(void)must(world, owner, "POST /api/v1/roles", 201,
		"{\"name\":\"auditor\",\"rights\":[\"audit:*\",\"users:read\"]}");
	make_people(world, owner);
	answer = must(world, owner, "POST /api/v1/api-keys", 201,
		"{\"name\":\"k\",\"scopes\":[\"users:read\"]}");
	/* Where whoever reads it finds it. */
	(void)snprintf(body, sizeof(body), "{\"settings\":{\"key\":\"%s\"}}", kept(&answer, "key"));
	(void)must(world, owner, "PATCH /api/v1/tenant", 200, body);
	world_do(world, "o", audit_chain_all, NULL);
}

/* --- what is read ------------------------------------------------------------------------- */

static void read_people(struct world *world, const char *owner)
{
	const char *bob = sign_in(world, "bob@example.com", "U*U", 200);
	struct answer answer = must(world, owner, "GET /api/v1/users", 200, NULL);

	EXPECT_INT(answer_count(&answer, "\"email\":"), 3);
	EXPECT_INT(answer_count(&answer, "\"name\":\"B\xc3\xb6"
					 "b\""),
		1);
	answer = must(world, bob, "GET /api/v1/me", 200, NULL);
	EXPECT_INT(answer_count(&answer, "\"auditor\""), 1);
	(void)must(world, bob, "GET /api/v1/audit", 200, NULL);
	(void)must(world, bob, "GET /api/v1/api-keys", 403, NULL);
	(void)sign_in(world, "cy@example.com", "U*V", 401);
}

static void read_key(struct world *world, const char *owner)
{
	struct answer answer = must(world, owner, "GET /api/v1/tenant", 200, NULL);
	const char *key = kept(&answer, "key");

	(void)must(world, key, "GET /api/v1/users", 200, NULL);
	(void)must(world, key, "GET /api/v1/roles", 403, NULL);
	answer = must(world, owner, "GET /api/v1/api-keys", 200, NULL);
	EXPECT_INT(answer_count(&answer, "\"name\":\"k\""), 1);
}

static void read_rows(struct world *world)
{
	const char *owner = sign_in(world, "ada@example.com", WORDS, 200);
	struct audit_verdict verdict;

	read_people(world, owner);
	read_key(world, owner);
	world_do(world, "o", audit_chain_all, NULL);
	verdict = audit_verdict_of(world, NULL);
	EXPECT_INT(verdict.report.found, 0);
	EXPECT(verdict.report.entries > 8);
}

TEST(identity_of_this_version_sqlite)
{
	fixture_try(ENGINE_SQLITE, modules, NEXT_VERSION, make_rows, read_rows);
}

TEST(identity_of_this_version_postgres)
{
	fixture_try(ENGINE_POSTGRES, modules, NEXT_VERSION, make_rows, read_rows);
}

TEST(identity_of_others_is_opened_sqlite)
{
	fixtures_open(ENGINE_SQLITE, modules, "identity", read_rows);
}

TEST(identity_of_others_is_opened_postgres)
{
	fixtures_open(ENGINE_POSTGRES, modules, "identity", read_rows);
}
