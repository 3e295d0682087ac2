/* Roles and rights over HTTP on both engines: who may do what, who may give what, and that nothing
 * of it is stale or reaches another tenant. */
#include "modules/rbac/rbac_world_test.h"

#include "observe/clock.h"
#include "store/notice_internal.h"
#include "store/store_internal.h"

#include <stdio.h>

#define ROLES "/api/v1/roles"

/* A PUT of the roles of a user; `roles` is a JSON array. */
static struct answer put(struct world *world, const char *caller, const char *user,
	const char *headers, const char *roles)
{
	char body[600];

	(void)snprintf(body, sizeof(body), "{\"roles\":%s}", roles);
	return world_call(world, caller, world_roles_path("PUT", user), headers, body);
}

/* --- the built-in roles -------------------------------------------------------------- */

WORLD_TEST(rbac_roles_open_doors, rbac_world)
{
	static const struct {
		const char *caller, *role, *doors;
	} cases[] = {
		{ "anna", "owner", "lwuktsp" },
		{ "adam", "admin", "lwuktsp" },
		{ "amy", "member", "lwsp" },
		{ "alex", "viewer", "lsp" },
		{ "abel", NULL, "sp" },
		{ "otto", "owner", "lwuktosp" },
		{ "olga", "admin", "lwuktosp" },
		{ "omar", "member", "lwsp" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		EXPECT_STR(str_from_c(world_doors(world, cases[i].caller)), S("p"));
		EXPECT_INT(world_give(world, cases[i].caller, cases[i].role), 0);
		EXPECT_STR(str_from_c(world_doors(world, cases[i].caller)),
			str_from_c(cases[i].doors));
	}
	EXPECT_STR(str_from_c(world_doors(world, "nemo")), S("p"));
	EXPECT_STR(str_from_c(world_doors(world, NULL)), S("p"));
	EXPECT_STR(str_from_c(world_doors(world, "bob")), S("p"));
	EXPECT_INT(world_give(world, "anna", "no-such-role"), -ERR_NOT_FOUND);
}

/* --- the API ------------------------------------------------------------------------- */

#define NEW(name, rights) "{\"name\":\"" name "\",\"rights\":" rights "}"

WORLD_TEST(rbac_api, rbac_world)
{
	static const struct {
		const char *title, *caller, *request, *body;
		int status;
		const char *contains;
	} cases[] = {
		{ "make", "anna", "POST " ROLES,
			"{\"name\":\"clerk\",\"description\":\"d\",\"rights\":[\"jobs:*\"]}", 201,
			"\"description\":\"d\",\"rights\":[\"jobs:*\"],\"builtIn\":false,"
			"\"version\":1,\"createdAt\":" },
		{ "twice", "anna", "POST " ROLES, NEW("clerk", "[\"*\"]"), 409,
			"\"field\":\"name\"" },
		{ "built in", "anna", "POST " ROLES, NEW("viewer", "[\"*\"]"), 409,
			"\"field\":\"name\"" },
		{ "no name", "anna", "POST " ROLES, NEW("Clerk", "[\"*\"]"), 400,
			"invalid_pattern" },
		{ "no end", "anna", "POST " ROLES, NEW("9", "[\"*\"]"), 400, "invalid_pattern" },
		{ "nothing", "anna", "POST " ROLES, NEW("none", "[]"), 400, "too_few" },
		{ "the same twice", "anna", "POST " ROLES, NEW("two", "[\"*\",\"*\"]"), 400,
			"not_unique" },
		{ "no right", "anna", "POST " ROLES, NEW("bad", "[\"jobs:fly\"]"), 400,
			"unknown_right" },
		{ "no pattern", "anna", "POST " ROLES, NEW("bad", "[\"jobs\"]"), 400,
			"unknown_right" },
		{ "not for roles", "anna", "POST " ROLES, NEW("bad", "[\"account:self\"]"), 400,
			"unknown_right" },
		{ "not here", "anna", "POST " ROLES, NEW("bad", "[\"platform:*\"]"), 400,
			"unknown_right" },
		{ "not here, one of them", "anna", "POST " ROLES,
			NEW("bad", "[\"platform:things\"]"), 400, "unknown_right" },
		{ "but there", "otto", "POST " ROLES, NEW("ops", "[\"platform:*\"]"), 201,
			"platform" },
		{ "by a member", "amy", "POST " ROLES, NEW("mine", "[\"jobs:read\"]"), 403, "" },
		{ "list", "alex", "GET " ROLES, NULL, 200, "\"name\":\"clerk\"" },
		{ "list, built in", "alex", "GET " ROLES, NULL, 200,
			"\"items\":[{\"name\":\"owner\"" },
		{ "list by nobody", NULL, "GET " ROLES, NULL, 401, "" },
		{ "show", "amy", "GET " ROLES "/clerk", NULL, 200, "\"jobs:*\"" },
		{ "show a built in one", "amy", "GET " ROLES "/viewer", NULL, 200,
			"\"rights\":[\"jobs:read\",\"roles:read\"],\"builtIn\":true,\"version\":"
			"1}" },
		{ "show none", "amy", "GET " ROLES "/none", NULL, 404, "" },
		{ "of others", "bob", "GET " ROLES "/clerk", NULL, 404, "" },
		{ "others list", "bob", "GET " ROLES, NULL, 200, "\"viewer\"" },
		{ "change", "anna", "PATCH " ROLES "/clerk", "{\"rights\":[\"jobs:read\"]}", 200,
			"\"description\":\"d\",\"rights\":[\"jobs:read\"],\"builtIn\":false,"
			"\"version\":2" },
		{ "change the text", "anna", "PATCH " ROLES "/clerk", "{\"description\":\"e\"}",
			200, "\"e\",\"rights\":[\"jobs:read\"]" },
		{ "change the name", "anna", "PATCH " ROLES "/clerk", "{\"name\":\"e\"}", 400,
			"name" },
		{ "change none", "anna", "PATCH " ROLES "/none", "{}", 404, "" },
		{ "change a built in one", "anna", "PATCH " ROLES "/viewer", "{}", 409, "" },
		{ "others change", "bob", "PATCH " ROLES "/clerk", "{}", 404, "" },
		{ "others delete", "bob", "DELETE " ROLES "/clerk", NULL, 404, "" },
		{ "delete a built in one", "anna", "DELETE " ROLES "/owner", NULL, 409, "" },
		{ "delete", "anna", "DELETE " ROLES "/clerk", NULL, 204, "" },
		{ "gone", "anna", "GET " ROLES "/clerk", NULL, 404, "" },
		{ "members", "amy", "GET " ROLES "/member/members", NULL, 200,
			"\"items\":[{\"userId\":" },
		{ "members of none", "amy", "GET " ROLES "/clerk/members", NULL, 404, "" },
		{ "rights", "amy", "GET /api/v1/rights", NULL, 200,
			"{\"right\":\"jobs:read\",\"roles\":[\"owner\",\"admin\","
			"\"member\",\"viewer\"]},{\"right\":\"jobs:write\"" },
		{ "rights of operators", "otto", "GET /api/v1/rights", NULL, 200,
			"{\"right\":\"platform:things\",\"roles\":[\"owner\",\"admin\"]}" },
		{ "no user", "anna", "GET /api/v1/users/01900000-0000-7000-8000-00000000ffff/roles",
			NULL, 404, "" },
		{ "nobody", "anna", "GET /api/v1/users/x/roles", NULL, 400, "invalid_uuid" },
	};

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", "member"), 0);
	EXPECT_INT(world_give(world, "alex", "viewer"), 0);
	EXPECT_INT(world_give(world, "bob", "owner"), 0);
	EXPECT_INT(world_give(world, "otto", "owner"), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_call(world, cases[i].caller, cases[i].request, "", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status) ||
			!EXPECT(str_find(answer.body, str_from_c(cases[i].contains)) >= 0))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
	EXPECT_INT(world_audits(world, "anna", "role.created"), 1);
	EXPECT_INT(world_audits(world, "anna", "role.changed"), 2);
	EXPECT_INT(world_audits(world, "anna", "role.deleted"), 1);
	EXPECT_INT(world_audits(world, "bob", "role.changed"), 0);
	EXPECT_INT(world_events(world, "anna", "role.created"), 1);
	EXPECT_INT(world_events(world, "anna", "role.changed"), 2);
	EXPECT_INT(world_events(world, "anna", "role.deleted"), 1);
	EXPECT_INT(world_get(world, "amy", "/api/v1/rights").status, 200);
	EXPECT(str_find(world_get(world, "amy", "/api/v1/rights").body, S("platform")) < 0);
}

WORLD_TEST(rbac_versions, rbac_world)
{
	struct answer answer;
	static const char body[] = NEW("clerk", "[\"jobs:read\"]");

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	answer = world_call(world, "anna", "POST " ROLES, "Idempotency-Key: k\r\n", body);
	EXPECT_INT(answer.status, 201);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"1\""));
	answer = world_call(world, "anna", "POST " ROLES, "Idempotency-Key: k\r\n", body);
	EXPECT_INT(answer.status, 201); /* the same answer again */
	EXPECT_INT(world_audits(world, "anna", "role.created"), 1);

	answer = world_call(world, "anna", "PATCH " ROLES "/clerk", "If-Match: \"1\"\r\n", "{}");
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	answer = world_call(world, "anna", "PATCH " ROLES "/clerk", "If-Match: \"1\"\r\n", "{}");
	EXPECT_INT(answer.status, 412);
	answer = world_call(world, "anna", "DELETE " ROLES "/clerk", "If-Match: \"1\"\r\n", NULL);
	EXPECT_INT(answer.status, 412);
	answer = world_call(world, "anna", "GET " ROLES "/clerk", "If-None-Match: \"2\"\r\n", NULL);
	EXPECT_INT(answer.status, 304);

	EXPECT_INT(world_give(world, "amy", "viewer"), 0);
	answer = world_call(world, "anna", world_roles_path("GET", "amy"), "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(str_find(answer.body, S("\"active\":true,\"roles\":[\"viewer\"],\"rights\":["
				       "\"jobs:read\",\"roles:read\"],")) >= 0);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"1\""));
	answer = put(world, "anna", "amy", "If-Match: \"9\"\r\n", "[]");
	EXPECT_INT(answer.status, 412);
	answer = put(world, "anna", "amy", "If-Match: \"1\"\r\n", "[\"member\",\"clerk\"]");
	EXPECT_INT(answer.status, 200);
	EXPECT(str_find(answer.body, S("\"roles\":[\"clerk\",\"member\"]")) >= 0);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	answer = put(world, "anna", "amy", "", "[\"clerk\",\"member\"]"); /* as it is */
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	EXPECT_INT(world_audits(world, "anna", "user.roles_changed"), 1);
	EXPECT_INT(world_events(world, "anna", "user.roles_changed"), 1);

	EXPECT_INT(world_call(world, "anna", "DELETE " ROLES "/clerk", "", NULL).status, 409);
	EXPECT_INT(put(world, "anna", "amy", "", "[]").status, 200);
	EXPECT_STR(str_from_c(world_doors(world, "amy")), S("sp"));
	EXPECT_INT(world_call(world, "anna", "DELETE " ROLES "/clerk", "", NULL).status, 204);
}

WORLD_TEST(rbac_lists_are_bounded, rbac_world)
{
	char body[300];
	struct answer answer;

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	for (int i = 0; i < ROLES_MAX; i++) {
		(void)snprintf(body, sizeof(body), NEW("r%d", "[\"jobs:read\"]"), i);
		REQUIRE(world_call(world, "anna", "POST " ROLES, "", body).status == 201);
	}
	answer = world_call(world, "anna", "POST " ROLES, "", NEW("more", "[\"*\"]"));
	EXPECT_INT(answer.status, 409);
	answer = world_get(world, "anna", ROLES);
	EXPECT_INT(answer_count(&answer, "\"name\":"), ROLES_MAX + BUILT_IN_ROLES);

	for (int i = 0; i < ROLES_OF_USER_MAX; i++) {
		(void)snprintf(body, sizeof(body), "r%d", i);
		EXPECT_INT(world_give(world, "amy", body), 0);
		EXPECT_INT(world_give(world, "amy", body), 0); /* again: nothing */
	}
	EXPECT_INT(world_give(world, "amy", "viewer"), -ERR_FULL);
	EXPECT_STR(str_from_c(world_doors(world, "amy")), S("lsp"));

	(void)world_give(world, "alex", "r1");
	answer = world_get(world, "anna", ROLES "/r1/members?limit=1");
	EXPECT_INT(answer_count(&answer, "\"userId\":"), 1);
	answer = world_get(world, "anna", ROLES "/r1/members?limit=1&cursor=%s",
		answer_text(&answer, "nextCursor"));
	EXPECT_INT(answer_count(&answer, "\"userId\":"), 1);
	EXPECT_INT(answer_count(&answer, "nextCursor"), 0);
}

/* --- nobody gives what they lack ----------------------------------------------------- */

/* Somebody who sees to the roles, and may look at jobs. */
static void make_registrar(struct world *world)
{
	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_call(world, "anna", "POST " ROLES, "",
			   NEW("registrar", "[\"roles:*\",\"jobs:read\"]"))
			   .status,
		201);
	EXPECT_INT(
		world_call(world, "anna", "POST " ROLES, "", NEW("worker", "[\"jobs:*\"]")).status,
		201);
	EXPECT_INT(
		world_call(world, "anna", "POST " ROLES, "", NEW("looker", "[\"*:read\"]")).status,
		201);
	EXPECT_INT(world_give(world, "rita", NULL), 0); /* of another tenant */
	EXPECT_INT(world_give(world, "aron", "registrar"), 0);
	EXPECT_INT(world_give(world, "adam", "admin"), 0);
	EXPECT_INT(world_give(world, "amy", "worker"), 0);
	EXPECT_INT(world_give(world, "abel", NULL), 0);
}

WORLD_TEST(rbac_nobody_gives_what_they_lack, rbac_world)
{
	static const struct {
		const char *title, *caller, *user, *roles;
		int status;
	} cases[] = {
		{ "what one has", "aron", "abel", "[\"registrar\"]", 200 },
		{ "and takes it away", "aron", "abel", "[]", 200 },
		{ "more", "aron", "abel", "[\"worker\"]", 403 },
		{ "more, and less", "aron", "abel", "[\"registrar\",\"worker\"]", 403 },
		{ "more, to oneself", "aron", "aron", "[\"registrar\",\"worker\"]", 403 },
		{ "a built in one", "aron", "abel", "[\"viewer\"]", 200 },
		{ "a strong one", "aron", "abel", "[\"member\"]", 403 },
		{ "takes a stronger one", "aron", "amy", "[]", 403 },
		{ "leaves a stronger one", "aron", "amy", "[\"worker\",\"registrar\"]", 200 },
		{ "no such role", "aron", "abel", "[\"none\"]", 400 },
		{ "owner by admin", "adam", "abel", "[\"owner\"]", 403 },
		{ "owner to oneself", "adam", "adam", "[\"owner\"]", 403 },
		{ "from the owner", "adam", "anna", "[]", 403 },
		{ "admin by admin", "adam", "abel", "[\"admin\"]", 200 },
		{ "the last owner", "anna", "anna", "[\"admin\"]", 409 },
		{ "another owner", "anna", "abel", "[\"owner\"]", 200 },
		{ "an owner less", "anna", "anna", "[]", 200 },
		{ "without the right now", "anna", "anna", "[\"owner\"]", 403 },
		{ "the last owner again", "abel", "abel", "[]", 409 },
		{ "of another tenant", "abel", "rita", "[\"viewer\"]", 404 },
	};

	make_registrar(world);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			put(world, cases[i].caller, cases[i].user, "", cases[i].roles);

		if (!EXPECT_INT(answer.status, cases[i].status))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
	EXPECT_INT(world_audits(world, "anna", "role.refused"), 8);
}

WORLD_TEST(rbac_no_role_grows_beyond_its_maker, rbac_world)
{
	static const struct {
		const char *title, *caller, *request, *body;
		int status;
	} cases[] = {
		{ "as much", "aron", "POST " ROLES, NEW("a", "[\"jobs:read\",\"roles:read\"]"),
			201 },
		{ "by a pattern", "aron", "POST " ROLES, NEW("b", "[\"roles:*\"]"), 201 },
		{ "more", "aron", "POST " ROLES, NEW("c", "[\"jobs:write\"]"), 403 },
		{ "more, by a pattern", "aron", "POST " ROLES, NEW("c", "[\"jobs:*\"]"), 403 },
		{ "all that is read", "aron", "POST " ROLES, NEW("c", "[\"*:read\"]"), 403 },
		{ "all", "adam", "POST " ROLES, NEW("c", "[\"*\"]"), 403 },
		{ "ownership", "adam", "POST " ROLES, NEW("c", "[\"tenant:*\"]"), 403 },
		{ "grows", "aron", "PATCH " ROLES "/a", "{\"rights\":[\"jobs:*\"]}", 403 },
		{ "is changed", "aron", "PATCH " ROLES "/a", "{\"rights\":[\"roles:*\"]}", 200 },
		{ "is stronger", "aron", "PATCH " ROLES "/worker", "{\"rights\":[\"jobs:read\"]}",
			403 },
		{ "its text", "aron", "PATCH " ROLES "/worker", "{\"description\":\"x\"}", 403 },
		{ "is stronger, goes", "aron", "DELETE " ROLES "/looker", NULL, 403 },
		{ "goes", "aron", "DELETE " ROLES "/b", NULL, 204 },
		{ "is stronger, by admin", "adam", "DELETE " ROLES "/looker", NULL, 204 },
	};

	make_registrar(world);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct answer answer =
			world_call(world, cases[i].caller, cases[i].request, "", cases[i].body);

		if (!EXPECT_INT(answer.status, cases[i].status))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
}

/* --- keys ---------------------------------------------------------------------------- */

WORLD_TEST(rbac_keys, rbac_world)
{
	static const struct {
		const char *title, *caller, *scopes, *request, *body;
		int status;
	} cases[] = {
		{ "in its scopes", "anna", "jobs:*", "GET /work", NULL, 204 },
		{ "out of them", "anna", "jobs:*", "GET /users", NULL, 403 },
		{ "public", "anna", "jobs:*", "GET /public", NULL, 204 },
		{ "is nobody's self", "anna", "*", "GET /self", NULL, 403 },
		{ "asks for that", "anna", "account:self", "GET /self", NULL, 403 },
		{ "gives what it has", "anna", "roles:* jobs:read", "POST " ROLES,
			NEW("a", "[\"jobs:read\"]"), 201 },
		{ "not what its owner has", "anna", "roles:* jobs:read", "POST " ROLES,
			NEW("b", "[\"jobs:write\"]"), 403 },
		{ "nor what its owner lacks now", "amy", "*", "POST " ROLES,
			NEW("c", "[\"users:write\"]"), 403 },
		{ "what both have", "amy", "*", "POST " ROLES, NEW("d", "[\"jobs:write\"]"), 201 },
	};

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", "member"), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		char key[100];
		struct answer answer;

		(void)snprintf(key, sizeof(key), "X-Key: %s\r\n", cases[i].scopes);
		answer = world_call(world, cases[i].caller, cases[i].request, key, cases[i].body);
		if (!EXPECT_INT(answer.status, cases[i].status))
			fprintf(stderr, "  %s: %.*s\n", cases[i].title, STR_ARG(answer.body));
	}
}

/* --- from memory, and never stale ---------------------------------------------------- */

WORLD_TEST(rbac_changes_are_seen_at_once, rbac_world)
{
	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "bob", "owner"), 0);
	EXPECT_INT(world_call(world, "anna", "POST " ROLES, "", NEW("clerk", "[\"jobs:read\"]"))
			   .status,
		201);
	EXPECT_INT(
		world_call(world, "bob", "POST " ROLES, "", NEW("clerk", "[\"*\"]")).status, 201);
	EXPECT_INT(world_give(world, "amy", "clerk"), 0);
	EXPECT_INT(world_give(world, "alex", "clerk"), 0);
	EXPECT_INT(world_give(world, "bea", "clerk"), 0);
	for (int i = 0; i < 5; i++) {
		bool more = i % 2;

		EXPECT_STR(str_from_c(world_doors(world, "amy")), more ? S("lwsp") : S("lsp"));
		EXPECT_STR(str_from_c(world_doors(world, "alex")), more ? S("lwsp") : S("lsp"));
		EXPECT_STR(str_from_c(world_doors(world, "bea")), S("lwuktsp"));
		EXPECT_INT(
			world_call(world, "anna", "PATCH " ROLES "/clerk", "",
				more ? "{\"rights\":[\"jobs:read\"]}" : "{\"rights\":[\"jobs:*\"]}")
				.status,
			200);
	}
	EXPECT_INT(put(world, "anna", "alex", "", "[]").status, 200);
	EXPECT_STR(str_from_c(world_doors(world, "alex")), S("sp"));
	EXPECT_STR(str_from_c(world_doors(world, "amy")), S("lwsp"));
}

/* Rows that change without a word are seen only when memory is not asked: when this instance cannot
 * hear of changes. There is no thread that listens on SQLite, so the test says how it is. */
static void ask_with_and_without_notices(struct world *world)
{
	struct notices *notices = world->store->notices;

	EXPECT_INT(world_give(world, "adam", "admin"), 0);
	EXPECT_STR(str_from_c(world_doors(world, "adam")), S("lwuktsp"));
	world_take_silently(world, "adam", "admin");
	EXPECT_STR(str_from_c(world_doors(world, "adam")), S("lwuktsp"));

	notices->polled = true;
	EXPECT_STR(str_from_c(world_doors(world, "adam")), S("sp"));
	atomic_store(&notices->looked_ns, clock_now_ns());
	EXPECT_STR(str_from_c(world_doors(world, "adam")), S("lwuktsp"));
	atomic_store(&notices->looked_ns, clock_now_ns() - 6 * SECOND);
	EXPECT_STR(str_from_c(world_doors(world, "adam")), S("sp"));
	notices->polled = false;
}

TEST(rbac_reads_through_when_it_cannot_hear)
{
	world_run(ENGINE_SQLITE, rbac_world, ask_with_and_without_notices);
}

/* --- users that go ------------------------------------------------------------------- */

struct change {
	struct uuid user;
	int (*fn)(struct tx *tx, const struct uuid *user);
	int result;
};

static int suspend(struct tx *tx, const struct uuid *user)
{
	return rbac_set_active_in_tx(tx, user, false);
}

static int resume(struct tx *tx, const struct uuid *user)
{
	return rbac_set_active_in_tx(tx, user, true);
}

static int change_in_tx(struct tx *tx, void *arg)
{
	struct change *change = arg;

	return change->fn(tx, &change->user);
}

static int change_db(const struct db *db, void *arg)
{
	struct change *change = arg;

	change->result = db_write(db, change_in_tx, change);
	return 0;
}

static int change(
	struct world *world, const char *name, int (*fn)(struct tx *tx, const struct uuid *user))
{
	struct change change = { world_user(str_from_c(name)), fn, 0 };

	world_do(world, name, change_db, &change);
	return change.result;
}

WORLD_TEST(rbac_users_come_and_go, rbac_world)
{
	struct answer answer;

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", "member"), 0);
	EXPECT_INT(change(world, "anna", suspend), -ERR_CONFLICT);
	EXPECT_INT(change(world, "anna", rbac_forget_in_tx), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(world_doors(world, "anna")), S("lwuktsp"));

	EXPECT_INT(change(world, "amy", suspend), 0);
	EXPECT_STR(str_from_c(world_doors(world, "amy")), S("p"));
	answer = world_call(world, "anna", world_roles_path("GET", "amy"), "", NULL);
	EXPECT(str_find(answer.body, S("\"active\":false,\"roles\":[\"member\"],\"rights\":[]")) >=
		0);
	EXPECT_INT(change(world, "amy", resume), 0);
	EXPECT_STR(str_from_c(world_doors(world, "amy")), S("lwsp"));

	EXPECT_INT(put(world, "anna", "amy", "", "[\"owner\"]").status, 200);
	EXPECT_INT(change(world, "amy", suspend), 0); /* an owner who does not count */
	EXPECT_INT(change(world, "anna", suspend), -ERR_CONFLICT);
	EXPECT_INT(put(world, "anna", "anna", "", "[]").status, 409);
	EXPECT_INT(put(world, "anna", "amy", "", "[]").status, 200);
	EXPECT_INT(put(world, "anna", "amy", "", "[\"owner\"]").status, 200);
	EXPECT_INT(change(world, "amy", resume), 0);
	EXPECT_INT(change(world, "anna", rbac_forget_in_tx), 0);
	EXPECT_STR(str_from_c(world_doors(world, "anna")), S("p"));
	EXPECT_INT(world_call(world, "amy", world_roles_path("GET", "anna"), "", NULL).status, 404);
	EXPECT_INT(change(world, "anna", rbac_forget_in_tx), 0); /* again: nothing */
	EXPECT_INT(change(world, "amy", rbac_forget_in_tx), -ERR_CONFLICT);

	EXPECT_INT(change(world, "alex", suspend), 0); /* before it was ever told of */
	EXPECT_INT(world_give(world, "alex", "viewer"), 0);
	EXPECT_STR(str_from_c(world_doors(world, "alex")), S("p"));
}

/* --- no memory ----------------------------------------------------------------------- */

/* Whatever allocation fails: a user has either the old roles or the new ones, and memory says what
 * the rows say. */
WORLD_TEST(rbac_without_memory, rbac_world)
{
	enum { MOST = 90, ENOUGH = 20 };
	size_t failed = 0, changed = 0;
	bool writer = false;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", "viewer"), 0);
	for (int nth = 1, whole = 0; whole < ENOUGH && nth < MOST; nth++) {
		char fault[40];
		struct answer answer;

		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		answer = put(world, "anna", "amy", fault, writer ? "[\"viewer\"]" : "[\"member\"]");
		EXPECT(answer.status == 200 || answer.status >= 500 || answer.status == 0);
		whole = answer.status == 200 ? whole + 1 : 0;
		failed += answer.status != 200;
		changed += answer.status == 200;
		if (answer.status == 0) /* not even an error could be said */
			world->client = client_open(world->net);
		answer = world_call(world, "anna", world_roles_path("GET", "amy"), "", NULL);
		writer = answer_count(&answer, "\"member\"") == 1;
		EXPECT(answer_count(&answer, "\"viewer\"") == !writer);
		EXPECT_STR(str_from_c(world_doors(world, "amy")), writer ? S("lwsp") : S("lsp"));
	}
	EXPECT(failed > 0 && changed > 0);
}

/* The same for who asks: no right is found where there is none, and none is lost for good. */
WORLD_TEST(rbac_asked_without_memory, rbac_world)
{
	size_t failed = 0;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	EXPECT_INT(world_give(world, "alex", "viewer"), 0);
	for (int nth = 1; nth < 25; nth++) {
		char fault[40];
		int may, may_not;

		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		EXPECT_INT(world_give(world, "alex", "viewer"), 0); /* and forgotten */
		EXPECT_INT(world_give(world, "alex", nth % 2 ? "member" : "viewer"), 0);
		may = world_call(world, "alex", "GET /look", fault, NULL).status;
		if (may == 0)
			world->client = client_open(world->net);
		may_not = world_call(world, "alex", "GET /users", fault, NULL).status;
		if (may_not == 0)
			world->client = client_open(world->net);
		EXPECT(may == 204 || may == 503 || may == 500 || may == 0);
		EXPECT(may_not == 403 || may_not == 503 || may_not == 500 || may_not == 0);
		failed += may != 204;
		EXPECT_INT(world_get(world, "alex", "/look").status, 204);
	}
	EXPECT(failed > 0);
}
