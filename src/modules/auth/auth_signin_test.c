/* Sign-in over HTTP on both engines: accounts are made, entered, locked, changed and ended. */
#include "modules/auth/auth_signin.h"

#include "modules/auth/auth_fixture_test.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"
#include "rest/idempotency.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- the world ---------------------------------------------------------------------------- */

struct counted {
	int64_t count;
};

/* clang-format off */
static const struct schema counted_schema = SCHEMA(counted, "How many.",
	FIELD(counted, count, "So many."));
/* clang-format on */

static const struct statement attempt_count = STATEMENT("test_attempt_count",
	.sql = "SELECT count(*) AS count FROM auth_attempt WHERE tenant_id = :tenant",
	.out = &counted_schema);
static const struct statement link_count =
	STATEMENT("test_link_count", .sql = "SELECT count(*) AS count FROM main.auth_link",
		.out = &counted_schema, .flags = STATEMENT_SYSTEM);
static const struct statement user_count =
	STATEMENT("test_user_count", .sql = "SELECT count(*) AS count FROM main.users",
		.out = &counted_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &attempt_count, &link_count, &user_count };

static const struct module counting_module = {
	MODULE_HEAD,
	.name = "counting",
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &mails_module, &mail_fixture_module, &users_module, &auth_module,
	&counting_module, NULL };

/* Options for a test: what is usual there, with a change. Before the world begins. */
__attribute__((unused)) static struct auth_options usual(void)
{
	struct auth_options options = *auth_options();

	options.secure_cookies = false;
	return options;
}

/* --- helpers -----------------------------------------------------------------------------------
 */

#define PASSWORD_ "tin whistle over boots"

PRINTF_LIKE(3, 4)
static struct answer post(struct world *world, const char *path, const char *format, ...)
{
	char body[4096], request[200];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(body, sizeof(body), format, args);
	va_end(args);
	(void)snprintf(request, sizeof(request), "POST /api/v1/%s", path);
	return world_call(world, NULL, request, "", body);
}

/* A tenant of its own, with its owner. */
static struct answer found(struct world *world, const char *email, const char *slug)
{
	return post(world, "auth/register",
		"{\"email\":\"%s\",\"password\":\"" PASSWORD_
		"\",\"name\":\"Ada\",\"tenant\":{\"name\":\"Tenant %s\",\"slug\":\"%s\"}}",
		email, slug, slug);
}

static struct answer join(struct world *world, const char *email, const char *slug)
{
	return post(world, "auth/register",
		"{\"email\":\"%s\",\"password\":\"" PASSWORD_
		"\",\"name\":\"Bob\",\"tenant\":{\"slug\":\"%s\"}}",
		email, slug);
}

static struct answer login(
	struct world *world, const char *email, const char *password, const char *tenant)
{
	return post(world, "auth/login", "{\"email\":\"%s\",\"password\":\"%s\"%s%s%s}", email,
		password, tenant ? ",\"tenant\":\"" : "", tenant ? tenant : "", tenant ? "\"" : "");
}

static int login_status(
	struct world *world, const char *email, const char *password, const char *tenant)
{
	return login(world, email, password, tenant).status;
}

/* The whole text of a member, however long; lives as long as the process. */
static const char *long_text(const struct answer *answer, const char *member)
{
	char name[100], *text = calloc(1, 8192);
	ptrdiff_t at;
	struct str rest;

	REQUIRE(text);
	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	at = str_find(answer->body, str_from_c(name));
	if (at < 0)
		return text;
	rest = str_from(answer->body, (size_t)at + strlen(name));
	rest = str_cut(&rest, '"');
	(void)snprintf(text, 8192, "%.*s", STR_ARG(rest));
	return text;
}

static const char *bearer(const struct answer *answer)
{
	return long_text(answer, "accessToken");
}

/* The id of the tenant in the answer of a login. */
static struct uuid tenant_of(const struct answer *answer)
{
	ptrdiff_t at = str_find(answer->body, S("\"tenant\":{\"id\":\""));
	struct uuid id = { 0 };

	REQUIRE(at >= 0 &&
		uuid_parse(str_first(str_from(answer->body, (size_t)at + 16), UUID_TEXT_LEN), &id));
	return id;
}

static int run_errands(const struct db *db, void *arg)
{
	return errands_run(db->store, arg);
}

static size_t errands(struct world *world)
{
	size_t count = 0;

	world_do(world, "otto", run_errands, &count);
	return count;
}

static int do_count(const struct db *db, void *arg)
{
	struct counted counted = { 0 };
	struct {
		const struct statement *statement;
		int64_t count;
	} *ask = arg;
	struct db own = db_of(db->store, &tenant_system, db->arena);
	int r = db_one(ask->statement->flags & STATEMENT_SYSTEM ? db : &own, ask->statement, NULL,
		&counted);

	ask->count = counted.count;
	return r;
}

static int64_t count_of(struct world *world, const struct statement *statement)
{
	struct {
		const struct statement *statement;
		int64_t count;
	} ask = { statement, -1 };

	world_do(world, "otto", do_count, &ask);
	return ask.count;
}

/* The token of the newest mail of a kind to somebody in a tenant. */
static const char *mailed(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	return posted_token(mail_posted_in(world, tenant, kind, to));
}

static size_t mail_count(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	return mail_posted_count_in(world, tenant, kind, to);
}

/* --- the wall clock, some minutes ahead ----------------------------------------------------------
 */

static _Atomic int64_t minutes_ahead;

static uint64_t now_ns(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static int64_t wall_us(void *arg)
{
	struct timespec time;

	(void)arg;
	(void)clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000 +
	       minutes_ahead * (int64_t)(MINUTE / MICROSECOND);
}

static const struct clock_source ahead = { now_ns, wall_us, NULL };

/* --- registering
 * ------------------------------------------------------------------------------------ */

WORLD_TEST(signin_founds_a_tenant, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *token;
	struct uuid tenant;

	if (!EXPECT_INT(answer.status, 201))
		fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	EXPECT(answer_count(&answer, "\"refreshToken\":\"bh_rt_") == 1);
	EXPECT(answer_count(&answer, "\"expiresIn\":900") == 1);
	EXPECT(answer_count(&answer, "\"slug\":\"acme\"") == 1);
	tenant = tenant_of(&answer);
	token = bearer(&answer);
	answer = world_call(world, token, "GET /api/v1/tenant", "", NULL); /* as an owner */
	EXPECT_INT(answer.status, 200);

	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 200);
	EXPECT_INT(login_status(world, "ADA@EXAMPLE.com", PASSWORD_, "acme"), 200);
	EXPECT_INT(login_status(world, "ada@example.com", "tin whistle", "acme"), 401);
	EXPECT_INT(login_status(world, "eve@example.com", PASSWORD_, "acme"), 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, "other"), 401);

	answer = found(world, "eve@example.com", "acme");
	EXPECT_INT(answer.status, 409);
	EXPECT(answer_count(&answer, "\"field\":\"tenant.slug\"") == 1);
	EXPECT_INT(count_of(world, &user_count), 1);

	EXPECT_INT(mail_count(world, &tenant, MAIL_VERIFY, "ada@example.com"), 1);
	answer = post(world, "auth/verify-email", "{\"token\":\"%s\"}",
		mailed(world, &tenant, MAIL_VERIFY, "ada@example.com"));
	EXPECT_INT(answer.status, 204);
	answer = login(world, "ada@example.com", PASSWORD_, NULL);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
}

WORLD_TEST(signin_refuses_bodies, modules)
{
	static const struct {
		const char *title, *path, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "nothing", "auth/register", "{}", 400, "password" },
		{ "nowhere", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" PASSWORD_ "\",\"name\":\"A\"}",
			400, "\"field\":\"tenant\"" },
		{ "both", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" PASSWORD_
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"acme\"},\"invitation\":\"x\"}",
			400, "not_both" },
		{ "nobody", "auth/register",
			"{\"password\":\"" PASSWORD_
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"acme\"}}",
			400, "\"field\":\"email\"" },
		{ "no such tenant", "auth/register",
			"{\"email\":\"a@b.example\",\"password\":\"" PASSWORD_
			"\",\"name\":\"A\",\"tenant\":{\"slug\":\"nope\"}}",
			404, "" },
		{ "no invitation", "auth/register",
			"{\"password\":\"" PASSWORD_
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
			"{\"email\":\"a@b.example\",\"password\":\"" PASSWORD_
			"\",\"name\":\"A\",\"role\":\"owner\",\"tenant\":{\"slug\":\"acme\"}}",
			400, "unknown_member" },
		{ "no link", "auth/verify-email", "{\"token\":\"bh_ml_xyz\"}", 400,
			"invalid_token" },
		{ "no link", "auth/unlock", "{\"token\":\"x\"}", 400, "invalid_token" },
		{ "no link", "auth/confirm-email", "{\"token\":\"x\"}", 400, "invalid_token" },
		{ "no link", "auth/reset-password",
			"{\"token\":\"x\",\"password\":\"" PASSWORD_ "\"}", 400, "invalid_token" },
		{ "signed out", "auth/change-password",
			"{\"currentPassword\":\"x\",\"newPassword\":\"y\"}", 401, "" },
		{ "signed out", "auth/change-email",
			"{\"password\":\"x\",\"email\":\"a@b.example\"}", 401, "" },
		{ "signed out", "users/import", "{\"users\":[]}", 401, "" },
	};

	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer = post(world, cases[i].path, "%s", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status) ||
			!EXPECT(str_find(answer.body, str_from_c(cases[i].contains)) >= 0))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
	EXPECT_INT(count_of(world, &user_count), 1);
}

WORLD_TEST(signin_joins, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *owner = bearer(&answer);

	answer = join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_INT(
		world_call(world, bearer(&answer), "PATCH /api/v1/tenant", "", "{}").status, 403);
	answer = join(world, "Bob@Example.com", "acme");
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
	EXPECT_INT(join(world, "cy@example.com", "acme").status, 403);
	EXPECT_INT(
		world_call(world, owner, "PATCH /api/v1/auth/policy", "", "{\"signUp\":\"closed\"}")
			.status,
		200);
	EXPECT_INT(join(world, "cy@example.com", "acme").status, 403);
	EXPECT_INT(count_of(world, &user_count), 2);
}

WORLD_TEST(signin_with_several_accounts, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const struct posted *posted;

	EXPECT_INT(found(world, "ada@example.com", "beta").status, 201);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, "acme"), 200);
	answer = login(world, "ada@example.com", PASSWORD_, "beta");
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"slug\":\"beta\"") == 1);

	EXPECT_INT(post(world, "auth/find-tenants", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(post(world, "auth/find-tenants", "{\"email\":\"eve@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 2);
	EXPECT_INT(errands(world), 0);
	posted = mail_posted_in(world, &tenant, MAIL_TENANTS, "ada@example.com");
	EXPECT(posted->found);
	EXPECT_STR(str_from_c(posted->detail), S("Tenant acme (acme)\nTenant beta (beta)"));
	EXPECT_INT(mail_count(world, &tenant, MAIL_TENANTS, "eve@example.com"), 0);
}

/* --- forgotten and changed
 * ---------------------------------------------------------------------------- */

WORLD_TEST(signin_resets_a_password, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *token = bearer(&answer), *first, *second;

	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	first = strdup(mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
	EXPECT_INT(post(world, "auth/forgot-password",
			   "{\"email\":\"ada@example.com\",\"tenant\":\"acme\"}")
			   .status,
		202);
	EXPECT_INT(post(world, "auth/forgot-password",
			   "{\"email\":\"ada@example.com\",\"tenant\":\"beta\"}")
			   .status,
		202);
	EXPECT_INT(errands(world), 2);
	EXPECT_INT(mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 2);
	second = strdup(mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
	REQUIRE(first && second && *first && strcmp(first, second) != 0);

	/* Replaced, of another kind, too short, used. */
#define RESET(token_, password_)                                                                   \
	post(world, "auth/reset-password", "{\"token\":\"%s\",\"password\":\"%s\"}", token_,       \
		password_)
	EXPECT_INT(RESET(first, "another whistle").status, 400);
	EXPECT_INT(RESET(mailed(world, &tenant, MAIL_VERIFY, "ada@example.com"), "another whistle")
			   .status,
		400);
	EXPECT_INT(post(world, "auth/verify-email", "{\"token\":\"%s\"}", second).status, 400);
	EXPECT_INT(RESET(second, "short").status, 400);
	EXPECT_INT(RESET(second, "another whistle").status, 204);
	EXPECT_INT(RESET(second, "a third whistle").status, 400);

	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	answer = login(world, "ada@example.com", "another whistle", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
	EXPECT_INT(mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 1);
}

WORLD_TEST(signin_links_end, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *link;

	clock_replace(&ahead);
	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	link = mailed(world, &tenant, MAIL_RESET, "ada@example.com");
	minutes_ahead = 61;
	EXPECT_INT(RESET(link, "another whistle").status, 400);

	/* Five within an hour. */
	for (int i = 0; i < 8; i++)
		EXPECT_INT(post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
				   .status,
			202);
	EXPECT_INT(errands(world), 8);
	EXPECT_INT(mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 1 + LINKS_PER_HOUR);
	minutes_ahead = 2 * 61;
	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 2 + LINKS_PER_HOUR);
	EXPECT_INT(count_of(world, &link_count), 2);
	clock_replace(NULL);
}

WORLD_TEST(signin_changes_a_password, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *token = bearer(&answer), *other;

	answer = login(world, "ada@example.com", PASSWORD_, NULL);
	other = bearer(&answer);
#define CHANGE(current, next)                                                                      \
	world_call(world, token, "POST /api/v1/auth/change-password", "",                          \
		"{\"currentPassword\":\"" current "\",\"newPassword\":\"" next "\"}")
	answer = CHANGE("wrong one", "another whistle");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"currentPassword\"") == 1);
	answer = CHANGE(PASSWORD_, "short");
	EXPECT_INT(answer.status, 400);
	EXPECT(answer_count(&answer, "\"field\":\"newPassword\"") == 1);
	EXPECT_INT(CHANGE(PASSWORD_, "another whistle").status, 204);

	EXPECT_INT(world_call(world, token, "GET /api/v1/tenant", "", NULL).status, 200);
	EXPECT_INT(world_call(world, other, "GET /api/v1/tenant", "", NULL).status, 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	EXPECT_INT(login_status(world, "ada@example.com", "another whistle", NULL), 200);
}

WORLD_TEST(signin_changes_an_address, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *token = bearer(&answer), *link;

	REQUIRE(join(world, "bob@example.com", "acme").status == 201);
#define MOVE(password, to)                                                                         \
	world_call(world, token, "POST /api/v1/auth/change-email", "",                             \
		"{\"password\":\"" password "\",\"email\":\"" to "\"}")
	EXPECT_INT(MOVE("wrong one", "new@example.com").status, 400);
	EXPECT_INT(MOVE(PASSWORD_, "new@example.com").status, 202);
	EXPECT_INT(mail_count(world, &tenant, MAIL_ALERT, "ada@example.com"), 1);
	EXPECT_INT(login_status(world, "new@example.com", PASSWORD_, NULL), 401);
	link = mailed(world, &tenant, MAIL_CHANGE_EMAIL, "new@example.com");
	EXPECT_INT(post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link).status, 204);
	EXPECT_INT(post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link).status, 400);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	EXPECT_INT(login_status(world, "new@example.com", PASSWORD_, NULL), 200);

	EXPECT_INT(MOVE(PASSWORD_, "bob@example.com").status, 202); /* says nothing of bob */
	link = mailed(world, &tenant, MAIL_CHANGE_EMAIL, "bob@example.com");
	answer = post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link);
	EXPECT_INT(answer.status, 409);
	EXPECT_INT(login_status(world, "new@example.com", PASSWORD_, NULL), 200);
}

WORLD_TEST(signin_account_is_deleted, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *owner = bearer(&answer), *bob;

	answer = join(world, "bob@example.com", "acme");
	bob = bearer(&answer);
#define LEAVE(who, password)                                                                       \
	world_call(world, who, "DELETE /api/v1/me", "", "{\"password\":\"" password "\"}")
	EXPECT_INT(LEAVE(bob, "wrong one").status, 400);
	EXPECT_INT(LEAVE(owner, PASSWORD_).status, 409); /* the last owner */
	EXPECT_INT(LEAVE(bob, PASSWORD_).status, 204);
	EXPECT_INT(world_call(world, bob, "GET /api/v1/auth/sessions", "", NULL).status, 401);
	EXPECT_INT(login_status(world, "bob@example.com", PASSWORD_, "acme"), 401);
	EXPECT_INT(count_of(world, &user_count), 1);
	EXPECT_INT(join(world, "bob@example.com", "acme").status, 201);
}
