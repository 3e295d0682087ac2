/*
 * Links and impersonation on both engines: good once and for a day, one first operator however many
 * ask at a time, and what is noted of who acts as whom. The page itself is looked at in
 * tests/e2e/setup.test.mjs.
 */
#include "modules/operators/operators_internal.h"

#include "http/server.h"
#include "modules/jobs/jobs.h"
#include "modules/mails/mails.h"
#include "modules/rbac/rbac.h"
#include "rest/idempotency.h"
#include "rest/world_test.h"

#include <stdio.h>
#include <stdlib.h>

/* --- a world with tokens and with callers by name --------------------------------------------- */

static struct hooks named; /* the world's own */
static int (*by_token)(struct req *, struct caller *ret);

static int capture(struct server *server)
{
	named = server->hooks;
	return 0;
}

/* Access tokens are auth's business, all else is a name. */
static int identify(struct req *req, struct caller *ret)
{
	struct str value = h1_value(&req->head, H1_AUTHORIZATION);

	return (str_starts(value, S("Bearer eyJ")) ? by_token : named.identify)(req, ret);
}

static int restore(struct server *server)
{
	by_token = server->hooks.identify;
	server->hooks.identify = identify;
	server->hooks.authorize = named.authorize;
	return 0;
}

struct count {
	int64_t count;
};

/* clang-format off */
static const struct schema count_schema = SCHEMA(count, "How many.", FIELD(count, count, "Rows."));
/* clang-format on */

static const struct statement link_age = STATEMENT("test_link_age",
	.sql = "UPDATE main.operator_link SET expires_at = 1 WHERE tenant_id = :tenant");
static const struct statement link_count = STATEMENT("test_link_count",
	.sql = "SELECT count(*) AS count FROM operator_link WHERE tenant_id = :tenant",
	.out = &count_schema);
static const struct statement user_count = STATEMENT("test_user_count",
	.sql = "SELECT count(*) AS count FROM users WHERE tenant_id = :tenant",
	.out = &count_schema);
static const struct statement entry_count = STATEMENT("test_entry_count",
	.sql = "SELECT count(*) AS count FROM audit WHERE tenant_id = :tenant "
	       "AND action = 'impersonation.started'",
	.out = &count_schema);
static const struct statement impersonation_count = STATEMENT("test_impersonation_count",
	.sql = "SELECT count(*) AS count FROM impersonation WHERE tenant_id = :tenant",
	.out = &count_schema);
static const struct statement impersonation_age = STATEMENT("test_impersonation_age",
	.sql = "UPDATE main.impersonation SET expires_at = 1 WHERE tenant_id = :tenant");
static const struct statement tenant_add = STATEMENT("test_operators_tenant",
	.sql = "INSERT INTO main.tenant (tenant_id, slug, name, tier, status, settings, limits, "
	       "version, created_at, updated_at) VALUES (:tenant, 'acme', 'Acme', 'free', "
	       "'active', '{}', '{}', 1, :now, :now)");

static const struct statement *const test_statements[] = { &link_age, &link_count, &user_count,
	&entry_count, &impersonation_count, &impersonation_age, &tenant_add };

static const struct module capture_module = { MODULE_HEAD, .name = "capture", .open = capture };

static const struct module restore_module = {
	MODULE_HEAD,
	.name = "restore",
	.open = restore,
	.statements = test_statements,
	.statement_count = LEN(test_statements),
};

static const struct module *const modules[] = { &capture_module, &rest_module, &tenants_module,
	&audit_module, &rbac_module, &jobs_module, &mails_module, &users_module, &auth_module,
	&restore_module, &operators_module, NULL };

/* --- rules ------------------------------------------------------------------------------------ */

TEST(impersonators_may_not_everything)
{
	static const struct {
		struct route route;
		bool may;
	} cases[] = {
		{ { HTTP_GET, "/api/v1/tenant", .need = "tenant:read" }, true },
		{ { HTTP_PATCH, "/api/v1/tenant", .need = "tenant:write" }, true },
		{ { HTTP_GET, "/api/v1/me", .need = RIGHT_SELF }, true },
		{ { HTTP_PATCH, "/api/v1/me", .need = RIGHT_SELF }, false },
		{ { HTTP_DELETE, "/api/v1/me", .need = RIGHT_SELF }, false },
		{ { HTTP_GET, "/api/v1/me/export", .need = RIGHT_SELF }, false },
		{ { HTTP_POST, "/api/v1/auth/change-password", .need = RIGHT_SELF }, false },
		{ { HTTP_POST, "/api/v1/auth/change-email", .need = RIGHT_SELF }, false },
		{ { HTTP_POST, "/api/v1/auth/switch", .need = RIGHT_SELF }, false },
		{ { HTTP_POST, "/api/v1/auth/logout", .need = RIGHT_SELF }, true },
		{ { HTTP_GET, "/api/v1/api-keys", .need = "keys:read" }, true },
		{ { HTTP_POST, "/api/v1/api-keys", .need = "keys:write" }, false },
		{ { HTTP_GET, "/api/v1/invitations", .need = "users:invite" }, true },
		{ { HTTP_POST, "/api/v1/invitations", .need = "users:invite" }, false },
		{ { HTTP_PUT, "/api/v1/users/{id}/roles", .need = "roles:write" }, false },
		{ { HTTP_POST, "/api/v1/users/import", .need = "users:write" }, false },
		{ { HTTP_PATCH, "/api/v1/users/{id}", .need = "users:write" }, true },
		{ { HTTP_GET, "/api/v1/tenants", .need = "platform:tenants" }, false },
		{ { HTTP_POST, "/api/v1/platform/impersonate", .need = "platform:impersonate" },
			false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		test_note(impersonator_may(&cases[i].route) == cases[i].may, __FILE__, __LINE__,
			"%s", cases[i].route.path);
}

/* --- links ---------------------------------------------------------------- */

/* What a test does as the installation. */
struct installation {
	struct setup_new link;
	const struct setup_ref *ref;
	int (*fn)(struct tx *, void *arg);
	void *arg;
	int result;
};

static int as_installation(const struct db *db, void *arg)
{
	struct installation *what = arg;
	struct db own = db_of(db->store, &tenant_system, db->arena);

	what->result = db_write(&own, what->fn, what->arg);
	return 0;
}

static int run(struct world *world, int (*fn)(struct tx *, void *arg), void *arg)
{
	struct installation what = { .fn = fn, .arg = arg };

	world_do(world, "oscar", as_installation, &what);
	return what.result;
}

static int count_in_tx(struct tx *tx, void *arg)
{
	struct count count = { 0 };
	int r = tx_one(tx, *(const struct statement **)arg, NULL, &count);

	return r < 0 ? r : (*(int64_t *)((void **)arg)[1] = count.count, 0);
}

static int64_t rows(struct world *world, const struct statement *statement)
{
	int64_t count = -1;
	void *both[] = { (void *)statement, &count };

	EXPECT_INT(run(world, count_in_tx, both), 0);
	return count;
}

static int age_in_tx(struct tx *tx, void *arg)
{
	return tx_exec(tx, arg, NULL);
}

static int get_in_tx(struct tx *tx, void *arg)
{
	struct setup_link link = { 0 };
	struct user user = { 0 };

	return setup_get_in_tx(tx, arg, &link, &user);
}

static int get(struct world *world, const struct setup_new *link)
{
	struct setup_ref ref;

	REQUIRE(setup_read(str_of(link->text, OPERATOR_LINK_LEN), &ref));
	return run(world, get_in_tx, &ref);
}

static int use(struct world *world, const struct setup_new *link, const char *email)
{
	struct setup_ref ref;
	struct user user = { 0 };
	struct setup_use use = { .ref = &ref,
		.email = str_from_c(email),
		.name = S("Olga"),
		.hash = S("$2b$04$abcdefghijklmnopqrstuuMT8n0MJ8FKFW9DSIR1EQ8VmyVrkoGdi"),
		.ret = &user };

	REQUIRE(setup_read(str_of(link->text, OPERATOR_LINK_LEN), &ref));
	return run(world, setup_use_in_tx, &use);
}

WORLD_TEST(setup_links_are_good_once, modules)
{
	struct setup_new one = { 0 }, two = { 0 };

	EXPECT_INT(run(world, setup_make_in_tx, &one), 0);
	EXPECT_INT(run(world, setup_make_in_tx, &two), 0);
	EXPECT_INT(get(world, &one), 0);
	EXPECT_INT(use(world, &one, "no address"), -ERR_INVALID);
	EXPECT_INT(get(world, &one), 0); /* nothing was used up */
	EXPECT_INT(use(world, &one, "olga@example.com"), 0);
	EXPECT_INT(use(world, &one, "eve@example.com"), -ERR_NOT_FOUND);
	EXPECT_INT(get(world, &two), -ERR_NOT_FOUND);
	EXPECT_INT(rows(world, &user_count), 1);
	EXPECT_INT(rows(world, &link_count), 0);

	/* One that was made just then is of no use either. */
	EXPECT_INT(run(world, setup_make_in_tx, &one), 0);
	EXPECT_INT(use(world, &one, "eve@example.com"), -ERR_NOT_FOUND);
	EXPECT_INT(rows(world, &user_count), 1);
}

WORLD_TEST(setup_links_end, modules)
{
	struct setup_new links[OPERATOR_LINKS_MAX + 3] = { 0 }, late = { 0 };

	for (size_t i = 0; i < LEN(links); i++)
		EXPECT_INT(run(world, setup_make_in_tx, &links[i]), 0);
	EXPECT_INT(rows(world, &link_count), OPERATOR_LINKS_MAX);
	for (size_t i = 0; i < LEN(links); i++)
		EXPECT_INT(get(world, &links[i]),
			i < LEN(links) - OPERATOR_LINKS_MAX ? -ERR_NOT_FOUND : 0);

	EXPECT_INT(run(world, age_in_tx, (void *)&link_age), 0);
	EXPECT_INT(get(world, &links[LEN(links) - 1]), -ERR_NOT_FOUND);
	EXPECT_INT(use(world, &links[LEN(links) - 1], "eve@example.com"), -ERR_NOT_FOUND);
	EXPECT_INT(run(world, setup_make_in_tx, &late), 0);
	EXPECT_INT(rows(world, &link_count), 1);
}

WORLD_TEST(setup_links_have_a_secret, modules)
{
	struct setup_new link = { 0 };
	struct setup_ref ref;

	EXPECT_INT(run(world, setup_make_in_tx, &link), 0);
	REQUIRE(setup_read(str_of(link.text, OPERATOR_LINK_LEN), &ref));
	for (size_t i = 0; i < sizeof(ref.secret_hash); i += 7) {
		struct setup_ref other = ref;

		other.secret_hash[i] = other.secret_hash[i] == 'a' ? 'b' : 'a';
		EXPECT_INT(run(world, get_in_tx, &other), -ERR_NOT_FOUND);
	}
	for (size_t i = 0; i < OPERATOR_LINK_LEN; i++) {
		struct setup_new other = link;

		other.text[i] = other.text[i] == 'a' ? 'b' : 'a';
		EXPECT(!setup_read(str_of(other.text, OPERATOR_LINK_LEN), &ref));
	}
	EXPECT(!setup_read(str_of(link.text, OPERATOR_LINK_LEN - 1), &ref));
	EXPECT_INT(get(world, &link), 0);
}

/* --- two at a time -------------------------------------------------------- */

static void post_form(struct client *client, const struct setup_new *link, size_t who)
{
	char body[400], text[800];

	(void)snprintf(body, sizeof(body),
		"token=%.*s&email=olga%zu%%40example.com&name=Olga&password=correct+horse+battery",
		OPERATOR_LINK_LEN, link->text, who);
	(void)snprintf(text, sizeof(text),
		"POST /setup HTTP/1.1\r\nHost: x\r\nContent-Type: "
		"application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	REQUIRE(client_send(client, str_from_c(text)));
}

WORLD_TEST(setup_makes_one_operator, modules)
{
	enum { CLIENTS = 4 };
	struct client *clients[CLIENTS];
	struct setup_new links[CLIENTS] = { 0 };
	size_t made = 0;

	for (size_t i = 0; i < CLIENTS; i++) {
		EXPECT_INT(run(world, setup_make_in_tx, &links[i]), 0);
		clients[i] = client_open(world->net);
		REQUIRE(clients[i]);
	}
	/* Two by the same link, the others by one of their own. */
	for (size_t i = 0; i < CLIENTS; i++)
		post_form(clients[i], &links[i < 2 ? 0 : i], i);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct answer answer = world_answer(clients[i]);

		if (!EXPECT(answer.status == 200 || answer.status == 404))
			(void)fprintf(stderr, "  %.*s\n", STR_ARG(answer.body));
		made += answer.status == 200;
		client_close(clients[i]);
	}
	EXPECT_INT(made, 1);
	EXPECT_INT(rows(world, &user_count), 1);
}

/* --- impersonation -------------------------------------------------------- */

static int make_user_in_tx(struct tx *tx, void *arg)
{
	struct user_new new = { .email = S("ada@example.com"), .name = S("Ada") };
	struct user user = { 0 };
	struct uuid id;
	int r = tx_exec(tx, &tenant_add, NULL);

	if (r == 0)
		r = user_create_in_tx(tx, &new, &user);
	if (r < 0)
		return r;
	REQUIRE(uuid_parse(user.id, &id));
	uuid_write(arg, &id);
	return rbac_grant_in_tx(tx, &id, S("member"));
}

static int make_user(const struct db *db, void *arg)
{
	return db_write(db, make_user_in_tx, arg);
}

/* A body, good until the next one. */
static const char *body_of(const char *user)
{
	static char text[400];
	char tenant[UUID_TEXT_LEN];
	struct uuid id = world_tenant("ada");

	uuid_write(tenant, &id);
	(void)snprintf(text, sizeof(text),
		"{\"tenant\":\"%.*s\",\"userId\":\"%.*s\",\"reason\":\"ticket 4711\"}",
		UUID_TEXT_LEN, tenant, UUID_TEXT_LEN, user);
	return text;
}

static int count_entries(const struct db *db, void *arg)
{
	struct count count;
	int r = db_one(db, &entry_count, NULL, &count);

	return r < 0 ? r : (*(int64_t *)arg = count.count, 0);
}

/* In the tenant's log. */
static int64_t entries(struct world *world)
{
	int64_t count = -1;

	world_do(world, "ada", count_entries, &count);
	return count;
}

/* A token is longer than what answer_text gives. */
static void take_token(const struct answer *answer, char *at, size_t size)
{
	static const struct str name = S_INIT("\"accessToken\":\"");
	ptrdiff_t begin = str_find(answer->body, name);
	struct str rest, token;

	REQUIRE(begin >= 0);
	rest = str_from(answer->body, (size_t)begin + name.len);
	token = str_cut(&rest, '"');
	(void)snprintf(at, size, "%.*s", STR_ARG(token));
}

WORLD_TEST(operators_act_as_users, modules)
{
	char user[UUID_TEXT_LEN], token[2000], request[200];
	struct answer answer;

	world_do(world, "ada", make_user, user);
	EXPECT_INT(world_call(world, "ada", "POST /api/v1/platform/impersonate", "", body_of(user))
			   .status,
		403);
	answer = world_call(world, "oscar", "POST /api/v1/platform/impersonate", "", body_of(user));
	REQUIRE(answer.status == 201);
	take_token(&answer, token, sizeof(token));
	(void)snprintf(request, sizeof(request), "DELETE /api/v1/platform/impersonate/%s",
		answer_text(&answer, "id"));

	EXPECT_INT(world_get(world, token, "/api/v1/tenant").status, 200);
	EXPECT_INT(world_get(world, token, "/api/v1/auth/sessions").status, 200);
	EXPECT_INT(world_call(world, token, "POST /api/v1/auth/change-password", "",
			   "{\"currentPassword\":\"x\",\"newPassword\":\"y\"}")
			   .status,
		403);
	EXPECT_INT(rows(world, &impersonation_count), 1);
	EXPECT_INT(rows(world, &entry_count), 1);
	EXPECT_INT(entries(world), 1);

	EXPECT_INT(world_call(world, "ada", request, "", NULL).status, 403);
	EXPECT_INT(world_call(world, "oscar", request, "", NULL).status, 204);
	EXPECT_INT(world_call(world, "oscar", request, "", NULL).status, 204);
	EXPECT_INT(world_get(world, token, "/api/v1/tenant").status, 401);
}

static int end_session_in_tx(struct tx *tx, void *arg)
{
	struct uuid session;

	REQUIRE(uuid_parse(str_of(arg, UUID_TEXT_LEN), &session));
	return auth_visit_end_in_tx(tx, &session);
}

static int end_session(const struct db *db, void *arg)
{
	return db_write(db, end_session_in_tx, arg);
}

/* What the user has ended is not begun anew by another token. */
WORLD_TEST(impersonation_ends_with_its_session, modules)
{
	char user[UUID_TEXT_LEN], session[UUID_TEXT_LEN + 1], request[200];
	struct answer answer;

	world_do(world, "ada", make_user, user);
	answer = world_call(world, "oscar", "POST /api/v1/platform/impersonate", "", body_of(user));
	REQUIRE(answer.status == 201);
	(void)snprintf(session, sizeof(session), "%s", answer_text(&answer, "id"));
	(void)snprintf(
		request, sizeof(request), "POST /api/v1/platform/impersonate/%s/token", session);
	EXPECT_INT(world_call(world, "oscar", request, "", NULL).status, 201);
	world_do(world, "ada", end_session, session);
	EXPECT_INT(world_call(world, "oscar", request, "", NULL).status, 409);
}

/* Each allocation fails in turn: either all of it is there or nothing. */
WORLD_TEST(impersonation_is_whole_or_not, modules)
{
	char user[UUID_TEXT_LEN];
	int64_t made = 0;

	world_do(world, "ada", make_user, user);
	for (int nth = 1; nth < 400; nth++) {
		char fault[40];
		int64_t before = rows(world, &impersonation_count);
		int status;

		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		status = world_call(
			world, "oscar", "POST /api/v1/platform/impersonate", fault, body_of(user))
				 .status;
		if (status == 0) { /* not even the answer */
			client_close(world->client);
			world->client = client_open(world->net);
			REQUIRE(world->client);
		}
		made = rows(world, &impersonation_count);
		EXPECT(made == before || made == before + 1);
		EXPECT_INT(rows(world, &entry_count), made);
		EXPECT_INT(entries(world), made);
		if (status == 201 && nth > 300)
			break;
	}
	EXPECT(made > 0);
}

WORLD_TEST(impersonations_are_forgotten, modules)
{
	char user[UUID_TEXT_LEN];

	world_do(world, "ada", make_user, user);
	EXPECT_INT(
		world_call(world, "oscar", "POST /api/v1/platform/impersonate", "", body_of(user))
			.status,
		201);
	EXPECT_INT(run(world, impersonations_clean_in_tx, NULL), 0);
	EXPECT_INT(rows(world, &impersonation_count), 1);
	EXPECT_INT(run(world, age_in_tx, (void *)&impersonation_age), 0);
	EXPECT_INT(run(world, impersonations_clean_in_tx, NULL), 0);
	EXPECT_INT(rows(world, &impersonation_count), 0);
}
