/* Sign-in over HTTP on both engines: accounts are made, entered, locked, changed and ended. */
#include "modules/auth/auth_signin.h"

#include "base/fault.h"
#include "base/num.h"
#include "base/utf8.h"
#include "http/server.h"
#include "modules/auth/auth_fixture_test.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/rbac/rbac.h"
#include "observe/clock.h"
#include "observe/clock_test.h"
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

static const struct statement login_failures = STATEMENT("test_login_failures",
	.sql = "SELECT count(*) AS count FROM main.audit "
	       "WHERE action IN ('auth.login_failed', 'auth.locked')",
	.out = &counted_schema, .flags = STATEMENT_SYSTEM);
static const struct statement suspend_all = STATEMENT("test_suspend",
	.sql = "UPDATE main.users SET status = 'suspended' WHERE name = 'Sus'",
	.flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &attempt_count, &link_count, &user_count,
	&login_failures, &suspend_all };

/* "X-Fault: 3" as in rest/world_test.h, whoever asks. */
static int (*identify_next)(struct req *, struct caller *);

static int identify_and_arm(struct req *req, struct caller *ret)
{
	uint64_t nth = 0;
	int r = identify_next(req, ret);

	(void)num_parse_u64(h1_find(&req->head, S("x-fault")), &nth);
	fault_arm(FAULT_MEMORY, (size_t)nth);
	return r;
}

static int open_counting(struct server *server)
{
	identify_next = server->hooks.identify;
	server->hooks.identify = identify_and_arm;
	return 0;
}

static const struct module counting_module = {
	MODULE_HEAD,
	.name = "counting",
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_counting,
};

static const struct module *const modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &mails_module, &mail_fixture_module, &users_module, &auth_module,
	&counting_module, NULL };

/* Options for a test: what is usual there, with a change. Before the world begins. */
static struct auth_options usual(void)
{
	struct auth_options options = *auth_options();

	options.secure_cookies = false;
	return options;
}

/* --- helpers -------------------------------------------------------------- */

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

enum { LONG_TEXT = 8192 };

/* Room for a text; good until eight more were asked for. */
static char *long_room(void)
{
	static char rooms[8][LONG_TEXT];
	static size_t next;
	char *room = rooms[next++ % LEN(rooms)];

	room[0] = '\0';
	return room;
}

/* The whole text of a member, however long. */
static const char *long_text(const struct answer *answer, const char *member)
{
	char name[100], *text = long_room();
	ptrdiff_t at;
	struct str rest;

	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	at = str_find(answer->body, str_from_c(name));
	if (at < 0)
		return text;
	rest = str_from(answer->body, (size_t)at + strlen(name));
	rest = str_cut(&rest, '"');
	(void)snprintf(text, LONG_TEXT, "%.*s", STR_ARG(rest));
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

/* --- registering ---------------------------------------------------------- */

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

WORLD_TEST(signin_by_invitation, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *owner = bearer(&answer);
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
		mailed(world, &tenant, MAIL_INVITATION, "bob@example.com"));
	REQUIRE(*token);
#define ACCEPT(more)                                                                               \
	post(world, "auth/register",                                                               \
		"{\"invitation\":\"%s\",\"password\":\"" PASSWORD_ "\",\"name\":\"Bob\"" more "}", \
		token)
	EXPECT_INT(ACCEPT(",\"email\":\"eve@example.com\"").status, 400);
	EXPECT_INT(count_of(world, &user_count), 1);
	answer = ACCEPT("");
	EXPECT_INT(answer.status, 201);
	EXPECT(answer_count(&answer, "\"email\":\"bob@example.com\"") == 1);
	EXPECT(answer_count(&answer, "\"emailVerifiedAt\":") == 1);
	EXPECT_INT(world_call(world, bearer(&answer), "GET /api/v1/users", "", NULL).status, 200);
	EXPECT_INT(ACCEPT("").status, 400);
	EXPECT_INT(login_status(world, "bob@example.com", PASSWORD_, NULL), 200);
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

/* --- forgotten and changed ------------------------------------------------ */

WORLD_TEST(signin_resets_a_password, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *token = bearer(&answer), *first, *second;

	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	first = strcpy(long_room(), mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
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
	second = strcpy(long_room(), mailed(world, &tenant, MAIL_RESET, "ada@example.com"));
	REQUIRE(*first && strcmp(first, second) != 0);

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

	clock_ahead(0);
	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	link = mailed(world, &tenant, MAIL_RESET, "ada@example.com");
	clock_ahead(61 * MINUTE);
	EXPECT_INT(RESET(link, "another whistle").status, 400);

	/* Five within an hour. */
	for (int i = 0; i < 8; i++)
		EXPECT_INT(post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}")
				   .status,
			202);
	EXPECT_INT(errands(world), 8);
	EXPECT_INT(mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 1 + LINKS_PER_HOUR);
	clock_ahead((2 * 61) * MINUTE);
	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(mail_count(world, &tenant, MAIL_RESET, "ada@example.com"), 2 + LINKS_PER_HOUR);
	EXPECT_INT(count_of(world, &link_count), 2);
	clock_back();
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

/* Who knew the old password may have asked for another address with it. */
WORLD_TEST(signin_new_password_voids_links, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *token = bearer(&answer), *link;

	EXPECT_INT(MOVE(PASSWORD_, "eve@example.com").status, 202);
	EXPECT_INT(
		post(world, "auth/forgot-password", "{\"email\":\"ada@example.com\"}").status, 202);
	EXPECT_INT(errands(world), 1);
	link = mailed(world, &tenant, MAIL_RESET, "ada@example.com");
	EXPECT_INT(RESET(link, "another whistle").status, 204);
	link = mailed(world, &tenant, MAIL_CHANGE_EMAIL, "eve@example.com");
	EXPECT_INT(post(world, "auth/confirm-email", "{\"token\":\"%s\"}", link).status, 400);
	EXPECT_INT(login_status(world, "ada@example.com", "another whistle", NULL), 200);
}

/* Header fields are bytes; rows and answers are text. */
WORLD_TEST(signin_by_an_odd_agent, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");

	answer = world_call(world, NULL, "POST /api/v1/auth/login", "User-Agent: a\xff\xc3(b\r\n",
		"{\"email\":\"ada@example.com\",\"password\":\"" PASSWORD_ "\"}");
	EXPECT_INT(answer.status, 200);
	answer = world_call(world, bearer(&answer), "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(utf8_valid(answer.body));
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

/* --- wrong passwords ------------------------------------------------------ */

static void few_tries(uint64_t tries)
{
	struct auth_options options = usual();

	options.login_tries = tries;
	REQUIRE(auth_configure(&options) == 0);
}

WORLD_TEST(signin_locks, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *link;

	clock_ahead(0);
	few_tries(3);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(login_status(world, "ada@example.com", "wrong", i % 2 ? "acme" : NULL),
			401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	EXPECT_INT(login_status(world, "ADA@example.com", PASSWORD_, "acme"), 401);
	EXPECT_INT(count_of(world, &login_failures), 3);

	/* Nobody else is, and nobody can learn from it who is there. */
	REQUIRE(join(world, "bob@example.com", "acme").status == 201);
	EXPECT_INT(login_status(world, "bob@example.com", PASSWORD_, NULL), 200);
	for (int i = 0; i < 4; i++)
		EXPECT_INT(login_status(world, "eve@example.com", "wrong", NULL), 401);

	EXPECT_INT(errands(world), 2); /* of ada and of eve */
	EXPECT_INT(mail_count(world, &tenant, MAIL_UNLOCK, "ada@example.com"), 1);
	link = mailed(world, &tenant, MAIL_UNLOCK, "ada@example.com");
	EXPECT_INT(post(world, "auth/unlock", "{\"token\":\"%s\"}", link).status, 204);
	EXPECT_INT(post(world, "auth/unlock", "{\"token\":\"%s\"}", link).status, 400);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 200);

	/* The lock ends by itself; the next one is longer. */
	for (int i = 0; i < 3; i++)
		EXPECT_INT(login_status(world, "ada@example.com", "wrong", NULL), 401);
	clock_ahead(14 * MINUTE);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	clock_ahead(16 * MINUTE);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(login_status(world, "ada@example.com", "wrong", NULL), 401);
	clock_ahead((16 + 16) * MINUTE);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
	clock_ahead((16 + 31) * MINUTE);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 200);
	clock_back();
}

/* Who has signed in here before is not locked out by strangers. */
WORLD_TEST(signin_known_device, modules)
{
	struct answer answer;
	char cookie[300], stolen[300];
	struct str set;

	few_tries(3);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	answer = login(world, "ada@example.com", PASSWORD_, NULL);
	set = response_header(&answer.response, S("set-cookie"));
	REQUIRE(set.len && str_starts(set, S("bh_device=")));
	EXPECT(str_find(set, S("HttpOnly")) > 0 && str_find(set, S("SameSite=Lax")) > 0);
	(void)snprintf(cookie, sizeof(cookie), "Cookie: x=y; %.*s\r\n",
		(int)str_find_byte(set, ';'), set.at);

	for (int i = 0; i < 5; i++)
		EXPECT_INT(login_status(world, "ada@example.com", "wrong", NULL), 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 401);
#define LOGIN_WITH(headers, email, password)                                                       \
	world_call(world, NULL, "POST /api/v1/auth/login", headers,                                \
		"{\"email\":\"" email "\",\"password\":\"" password "\"}")                         \
		.status
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", "wrong"), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", PASSWORD_), 200);

	/* It helps nobody else, and not for ever. */
	(void)snprintf(stolen, sizeof(stolen), "%s", cookie);
	stolen[strlen(stolen) - 4] ^= 1;
	EXPECT_INT(LOGIN_WITH(stolen, "ada@example.com", PASSWORD_), 401);
	REQUIRE(join(world, "bob@example.com", "acme").status == 201);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(login_status(world, "bob@example.com", "wrong", NULL), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "bob@example.com", PASSWORD_), 401);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", "wrong"), 401);
	EXPECT_INT(LOGIN_WITH(cookie, "ada@example.com", PASSWORD_), 401);
}

/* One address that tries everybody. */
WORLD_TEST(signin_stops_an_address, modules)
{
	int refused = 0;

	few_tries(2);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	for (int i = 0; i < 25; i++) {
		char email[40];
		int status;

		(void)snprintf(email, sizeof(email), "user%d@example.com", i);
		status = login_status(world, email, "wrong", NULL);
		EXPECT(status == (i < 2 * ATTEMPTS_OF_ADDRESS ? 401 : 429));
		refused += status == 429;
	}
	EXPECT_INT(refused, 25 - 2 * ATTEMPTS_OF_ADDRESS);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 429);
}

/* Tries that are right count against nobody. */
WORLD_TEST(signin_success_is_no_failure, modules)
{
	few_tries(2);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	for (int i = 0; i < 30; i++)
		EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 200);
	EXPECT_INT(login_status(world, "ada@example.com", "wrong", NULL), 401);
	EXPECT_INT(login_status(world, "ada@example.com", PASSWORD_, NULL), 200);
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
WORLD_TEST(signin_thousand_guesses, modules)
{
	size_t statuses[600] = { 0 };

	few_tries(7);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	guess(world, statuses);
	EXPECT_INT(statuses[401] + statuses[429] + statuses[503], GUESSERS * GUESSES_EACH);
	EXPECT(statuses[401] >= 7);
	EXPECT_INT(count_of(world, &login_failures), 7);
	EXPECT(login_status(world, "ada@example.com", PASSWORD_, NULL) != 200);
	fprintf(stderr, "  401: %zu, 429: %zu, 503: %zu\n", statuses[401], statuses[429],
		statuses[503]);
}

/* --- nothing tells who is there ------------------------------------------- */

/* Sanitizers have times of their own; there only the hashes count. */
enum { KINDS = 4, SAMPLES = BUILT_WITH_TSAN || BUILT_WITH_ASAN ? 8 : 60 };

static int suspend(const struct db *db, void *arg)
{
	(void)arg;
	return db_exec(db, &suspend_all, NULL);
}

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(const double *at)
{
	double sorted[SAMPLES];

	memcpy(sorted, at, sizeof(sorted));
	qsort(sorted, SAMPLES, sizeof(*sorted), compare_doubles);
	return (sorted[SAMPLES / 2 - 1] + sorted[SAMPLES / 2]) / 2;
}

/* Mann and Whitney's test: how many standard deviations the ranks of `a` lie from those of `b`. */
static double rank_distance(const double *a, const double *b)
{
	double wins = 0, n = SAMPLES;

	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < SAMPLES; k++)
			wins += a[i] > b[k] ? 1 : a[i] == b[k] ? 0.5 : 0;
	return (wins - n * n / 2) / __builtin_sqrt(n * n * (2 * n + 1) / 12);
}

/*
 * One hash each, whatever is wrong; and times that cannot be told apart. Samples are taken in turn,
 * so that what else the machine does meets all of them alike. A difference counts when it is both
 * beyond chance and more than a twentieth.
 */
WORLD_TEST(signin_takes_the_same_time, modules)
{
	static const char *const emails[KINDS] = { "ada@example.com", "nobody@example.com",
		"locked@example.com", "sus@example.com" };
	static double times[KINDS][SAMPLES];
	struct answer answer, first;

	few_tries(2);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	REQUIRE(join(world, "locked@example.com", "acme").status == 201);
	REQUIRE(post(world, "auth/register",
			"{\"email\":\"sus@example.com\",\"password\":\"" PASSWORD_
			"\",\"name\":\"Sus\",\"tenant\":{\"slug\":\"acme\"}}")
			.status == 201);
	world_do(world, "otto", suspend, NULL);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(login_status(world, "locked@example.com", "wrong", "acme"), 401);
	few_tries(1000000);

	first = login(world, emails[0], "wrong", "acme");
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < KINDS; k++) {
			uint64_t began = clock_now_ns(), before = passwords_computed();

			answer = login(world, emails[(k + i) % KINDS],
				k % 2 || (k + i) % KINDS == 0 ? "wrong" : PASSWORD_, "acme");
			times[(k + i) % KINDS][i] = (double)(clock_now_ns() - began);
			EXPECT_INT(passwords_computed() - before, 1);
			EXPECT_INT(answer.status, 401);
			EXPECT_INT(answer.body.len, first.body.len);
		}
	for (size_t k = 1; k < KINDS; k++) {
		double distance = rank_distance(times[0], times[k]);
		double ratio = median(times[k]) / median(times[0]);

		if (!EXPECT((distance > -4.5 && distance < 4.5) || (ratio > 0.95 && ratio < 1.05)))
			fprintf(stderr, "  %s: %.1f deviations, ratio %.3f\n", emails[k], distance,
				ratio);
	}
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

WORLD_TEST(signin_joins_unseen, modules)
{
	struct auth_options options = usual();
	struct answer answer = found(world, "ada@example.com", "acme");
	struct uuid tenant = tenant_of(&answer);
	const char *there;
	uint64_t before;

	options.verify_first = true;
	REQUIRE(auth_configure(&options) == 0);
	before = passwords_computed();
	answer = join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_INT(answer_count(&answer, "accessToken"), 0);
	EXPECT_INT(answer_count(&answer, "refreshToken"), 0);
	there = blanked(&answer);
	EXPECT_INT(count_of(world, &user_count), 1); /* not yet */
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(count_of(world, &user_count), 2);

	answer = join(world, "bob@example.com", "acme");
	EXPECT_INT(answer.status, 201);
	EXPECT_STR(str_from_c(blanked(&answer)), str_from_c(there));
	EXPECT_INT(passwords_computed() - before, 2);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(count_of(world, &user_count), 2);
	EXPECT_INT(mail_count(world, &tenant, MAIL_ALREADY_THERE, "bob@example.com"), 1);

	EXPECT_INT(login_status(world, "bob@example.com", "wrong", NULL), 401);
	answer = login(world, "bob@example.com", PASSWORD_, NULL);
	EXPECT_INT(answer.status, 403);
	EXPECT(answer_count(&answer, "\"unverified\"") == 1);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(mail_count(world, &tenant, MAIL_VERIFY, "bob@example.com"), 2);
	EXPECT_INT(
		post(world, "auth/verify-email/resend", "{\"email\":\"bob@example.com\"}").status,
		202);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(post(world, "auth/verify-email", "{\"token\":\"%s\"}",
			   mailed(world, &tenant, MAIL_VERIFY, "bob@example.com"))
			   .status,
		204);
	EXPECT_INT(login_status(world, "bob@example.com", PASSWORD_, NULL), 200);
	EXPECT_INT(
		post(world, "auth/verify-email/resend", "{\"email\":\"bob@example.com\"}").status,
		202);
	EXPECT_INT(errands(world), 1);
	EXPECT_INT(mail_count(world, &tenant, MAIL_VERIFY, "bob@example.com"), 3);
}

/* --- import --------------------------------------------------------------- */

#define BCRYPT_U "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" /* of "U*U" */

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

WORLD_TEST(signin_imports, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *owner = bearer(&answer), *admin;
	uint64_t before;

	answer = import(world, owner,
		"{\"email\":\"bob@example.com\",\"name\":\"Bob\",\"passwordHash\":\"" BCRYPT_U
		"\",\"verified\":true,\"roles\":[\"admin\"]},"
		"{\"email\":\"cy@example.com\",\"name\":\"Cy\"}");
	if (!EXPECT_INT(answer.status, 201))
		fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
	EXPECT(answer_count(&answer, "\"email\":\"cy@example.com\"") == 1);

	before = passwords_computed();
	EXPECT_INT(login_status(world, "bob@example.com", "U*V", NULL), 401);
	EXPECT_INT(passwords_computed() - before, 1);
	answer = login(world, "bob@example.com", "U*U", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(passwords_computed() - before, 3); /* and made anew */
	admin = bearer(&answer);
	EXPECT_INT(login_status(world, "bob@example.com", "U*U", NULL), 200);
	EXPECT_INT(passwords_computed() - before, 4); /* once */
	EXPECT_INT(login_status(world, "cy@example.com", "x", NULL), 401);

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
	EXPECT_INT(count_of(world, &user_count), 3);
}

WORLD_TEST(signin_imports_many, modules)
{
	struct answer answer = found(world, "ada@example.com", "acme");
	const char *owner = bearer(&answer);
	char *users = calloc(1, 64 * KILOBYTE), *at = users;

	REQUIRE(users);
	for (int i = 0; i < IMPORT_MAX; i++)
		at += sprintf(at, "%s{\"email\":\"u%d@e.example\",\"name\":\"U\"%s}", i ? "," : "",
			i, i % 100 == 17 ? ",\"passwordHash\":\"" BCRYPT_U "\"" : "");
	EXPECT_INT(import(world, owner, users).status, 201);
	EXPECT_INT(count_of(world, &user_count), 1 + IMPORT_MAX);
	EXPECT_INT(login_status(world, "u917@e.example", "U*U", "acme"), 200);
	answer = import(world, owner, users); /* all of them are there */
	EXPECT_INT(answer.status, 400);
	free(users);
}

/* --- no memory ------------------------------------------------------------ */

/* Whatever allocation fails, an account is whole or not there, and a request has an answer. (A
 * forgotten password takes none on the request's thread.) */
WORLD_TEST(signin_without_memory, modules)
{
	enum { MOST = 400, ENOUGH = 12 };
	static const char *const paths[] = { "register", "login", "forgot-password" };

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	few_tries(1000);
	REQUIRE(found(world, "ada@example.com", "acme").status == 201);
	for (size_t p = 0; p < LEN(paths); p++) {
		int failed = 0, good = 0;

		for (int nth = 1; nth < MOST && good < ENOUGH; nth++) {
			char request[100], fault[40], body[300];
			int64_t users = count_of(world, &user_count);
			struct answer answer;

			(void)snprintf(request, sizeof(request), "POST /api/v1/auth/%s", paths[p]);
			(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
			(void)snprintf(body, sizeof(body),
				p == 0 ? "{\"email\":\"u%d@example.com\",\"password\":\"" PASSWORD_
					 "\",\"name\":\"U\",\"tenant\":{\"slug\":\"acme\"}}"
				: p == 1
					? "{\"email\":\"ada@example.com\",\"password\":\"" PASSWORD_
					  "\"}%.0d"
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
				EXPECT_INT(count_of(world, &user_count), users + 1);
			if (p == 0 && count_of(world, &user_count) > users) {
				(void)snprintf(body, sizeof(body), "u%d@example.com", nth);
				EXPECT_INT(login_status(world, body, PASSWORD_, NULL), 200);
			}
		}
		if (!EXPECT((failed > 0 || p == 2) && good == ENOUGH))
			fprintf(stderr, "  %s: %d failed, then %d good\n", paths[p], failed, good);
	}
	while (errands(world) > 0)
		continue;
}
