/* The world of the tests of sign-in. */
#include "modules/auth/auth_signin_world_test.h"

#include "http/server.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails_fixture_test.h"
#include "modules/rbac/rbac.h"
#include "rest/idempotency.h"

#include <stdarg.h>
#include <stdio.h>

/* --- the world ---------------------------------------------------------------------------- */

struct counted {
	int64_t count;
};

/* clang-format off */
static const struct schema counted_schema = SCHEMA(counted, "How many.",
	FIELD(counted, count, "So many."));
/* clang-format on */

const struct statement signin_link_count =
	STATEMENT("test_link_count", .sql = "SELECT count(*) AS count FROM main.auth_link",
		.out = &counted_schema, .flags = STATEMENT_SYSTEM);
const struct statement signin_user_count =
	STATEMENT("test_user_count", .sql = "SELECT count(*) AS count FROM main.users",
		.out = &counted_schema, .flags = STATEMENT_SYSTEM);

const struct statement signin_login_failures = STATEMENT("test_login_failures",
	.sql = "SELECT count(*) AS count FROM main.audit "
	       "WHERE action IN ('auth.login_failed', 'auth.locked')",
	.out = &counted_schema, .flags = STATEMENT_SYSTEM);
const struct statement signin_suspend_all = STATEMENT("test_suspend",
	.sql = "UPDATE main.users SET status = 'suspended' WHERE name = 'Sus'",
	.flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &signin_link_count, &signin_user_count,
	&signin_login_failures, &signin_suspend_all };

/* The hook of auth, and X-Fault, whoever asks. */
static int (*identify_next)(struct req *, struct caller *);

static int identify_and_arm(struct req *req, struct caller *ret)
{
	int r = identify_next(req, ret);

	world_arm(req);
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

const struct module *const signin_modules[] = { &rest_module, &tenants_module, &audit_module,
	&rbac_module, &jobs_module, &mails_module, &mail_fixture_module, &users_module,
	&auth_module, &counting_module, NULL };

/* Options for a test: what is usual there, with a change. Before the world begins. */
struct auth_options signin_usual(void)
{
	struct auth_options options = *auth_options();

	options.secure_cookies = false;
	return options;
}

void signin_few_tries(uint64_t tries)
{
	struct auth_options options = signin_usual();

	options.login_tries = tries;
	REQUIRE(auth_configure(&options) == 0);
}

/* --- helpers -------------------------------------------------------------- */

struct answer signin_post(struct world *world, const char *path, const char *format, ...)
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
struct answer signin_found(struct world *world, const char *email, const char *slug)
{
	return signin_post(world, "auth/register",
		"{\"email\":\"%s\",\"password\":\"" SIGNIN_PASSWORD
		"\",\"name\":\"Ada\",\"tenant\":{\"name\":\"Tenant %s\",\"slug\":\"%s\"}}",
		email, slug, slug);
}

struct answer signin_join(struct world *world, const char *email, const char *slug)
{
	return signin_post(world, "auth/register",
		"{\"email\":\"%s\",\"password\":\"" SIGNIN_PASSWORD
		"\",\"name\":\"Bob\",\"tenant\":{\"slug\":\"%s\"}}",
		email, slug);
}

struct answer signin_login(
	struct world *world, const char *email, const char *password, const char *tenant)
{
	return signin_post(world, "auth/login", "{\"email\":\"%s\",\"password\":\"%s\"%s%s%s}",
		email, password, tenant ? ",\"tenant\":\"" : "", tenant ? tenant : "",
		tenant ? "\"" : "");
}

int signin_status(struct world *world, const char *email, const char *password, const char *tenant)
{
	return signin_login(world, email, password, tenant).status;
}

/* Room for a text; good until eight more were asked for. */
char *signin_room(void)
{
	static char rooms[8][SIGNIN_TEXT];
	static size_t next;
	char *room = rooms[next++ % LEN(rooms)];

	room[0] = '\0';
	return room;
}

/* The whole text of a member, however long. */
const char *signin_text(const struct answer *answer, const char *member)
{
	char name[100], *text = signin_room();
	ptrdiff_t at;
	struct str rest;

	(void)snprintf(name, sizeof(name), "\"%s\":\"", member);
	at = str_find(answer->body, str_from_c(name));
	if (at < 0)
		return text;
	rest = str_from(answer->body, (size_t)at + strlen(name));
	rest = str_cut(&rest, '"');
	(void)snprintf(text, SIGNIN_TEXT, "%.*s", STR_ARG(rest));
	return text;
}

const char *signin_bearer(const struct answer *answer)
{
	return signin_text(answer, "accessToken");
}

/* The id of the tenant in the answer of a login. */
struct uuid signin_tenant(const struct answer *answer)
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

size_t signin_do_errands(struct world *world)
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

int64_t signin_count(struct world *world, const struct statement *statement)
{
	struct {
		const struct statement *statement;
		int64_t count;
	} ask = { statement, -1 };

	world_do(world, "otto", do_count, &ask);
	return ask.count;
}

/* The token of the newest mail of a kind to somebody in a tenant. */
const char *signin_mailed(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	return posted_token(mail_posted_in(world, tenant, kind, to));
}

size_t signin_mail_count(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	return mail_posted_count_in(world, tenant, kind, to);
}
