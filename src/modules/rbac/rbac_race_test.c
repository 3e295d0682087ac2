/*
 * Two that meet. Of two owners each takes away the other: one must stay, on both engines, however
 * they go. A role goes while it is given: nobody has a role that there is not.
 */
#include "modules/rbac/rbac_world_test.h"

#include <stdio.h>
#include <unistd.h>

enum { ROUNDS = 30, ROUNDS_LONG = 1000 };

static size_t rounds(void)
{
	return test_long() ? ROUNDS_LONG : ROUNDS;
}

/* --- over HTTP ----------------------------------------------------------------------- */

/* Both requests at once; their statuses. */
static void both(struct world *world, const char *callers[2], const char *requests[2],
	const char *bodies[2], int ret[2])
{
	static struct client *clients[2];

	for (int i = 0; i < 2; i++)
		if (!clients[i])
			clients[i] = client_open(world->net);
	for (int i = 0; i < 2; i++)
		world_send(clients[i], callers[i], requests[i], "", bodies[i]);
	for (int i = 0; i < 2; i++)
		ret[i] = world_answer(clients[i]).status;
}

static const char *path_of(char *text, size_t size, const char *user)
{
	(void)snprintf(text, size, "%s", world_roles_path("PUT", user));
	return text;
}

WORLD_TEST(rbac_an_owner_stays, rbac_world)
{
	char first[200], second[200];
	const char *callers[2] = { "anna", "amy" };
	const char *bodies[2] = { "{\"roles\":[]}", "{\"roles\":[]}" };

	for (size_t i = 0; i < rounds(); i++) {
		bool own = i % 2; /* themselves, or each other */
		const char *requests[2] = { path_of(first, sizeof(first), own ? "anna" : "amy"),
			path_of(second, sizeof(second), own ? "amy" : "anna") };
		struct rights rights[2];
		int statuses[2];

		EXPECT_INT(world_give(world, "anna", "owner"), 0);
		EXPECT_INT(world_give(world, "amy", "owner"), 0);
		both(world, callers, requests, bodies, statuses);
		rights[0] = world_rights(world, "anna");
		rights[1] = world_rights(world, "amy");
		EXPECT_INT(rights_has(&rights[0], S("tenant:transfer")) +
				   rights_has(&rights[1], S("tenant:transfer")),
			1);
		EXPECT_INT((statuses[0] == 200) + (statuses[1] == 200), 1);
		for (int k = 0; k < 2; k++)
			EXPECT(statuses[k] == 200 || statuses[k] == 403 || statuses[k] == 409);
	}
}

WORLD_TEST(rbac_no_role_goes_while_it_is_given, rbac_world)
{
	char path[200];
	const char *callers[2] = { "anna", "anna" };
	const char *bodies[2] = { "{\"roles\":[\"clerk\"]}", NULL };
	const char *requests[2] = { path_of(path, sizeof(path), "amy"),
		"DELETE /api/v1/roles/clerk" };

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", NULL), 0);
	for (size_t i = 0; i < rounds(); i++) {
		struct answer answer;
		int statuses[2];

		(void)world_call(world, "anna", "POST /api/v1/roles", "",
			"{\"name\":\"clerk\",\"rights\":[\"jobs:read\"]}");
		both(world, callers, requests, bodies, statuses);
		EXPECT((statuses[0] == 200 && statuses[1] == 409) ||
			(statuses[0] == 400 && statuses[1] == 204));
		answer = world_call(world, "anna", world_roles_path("GET", "amy"), "", NULL);
		EXPECT_INT(answer_count(&answer, "\"clerk\""), statuses[0] == 200);
		EXPECT_INT(world_call(world, "anna", path, "", "{\"roles\":[]}").status, 200);
	}
}

/* --- another instance ---------------------------------------------------------------- */

struct elsewhere {
	struct store *store;
	struct uuid user;
};

static int demote_in_tx(struct tx *tx, void *arg)
{
	const struct elsewhere *elsewhere = arg;

	return rbac_forget_in_tx(tx, &elsewhere->user);
}

/* As that instance does it. */
static int do_elsewhere(const struct db *db, void *arg)
{
	struct elsewhere *elsewhere = arg;
	struct db there = db_of(elsewhere->store, &db->tenant, db->arena);

	return db_write(&there, demote_in_tx, elsewhere);
}

static int close_elsewhere(const struct db *db, void *arg)
{
	struct elsewhere *elsewhere = arg;

	(void)db;
	store_close(elsewhere->store);
	return 0;
}

static void change_elsewhere(struct world *world)
{
	struct elsewhere elsewhere = { .user = world_user(S("amy")) };
	int waits = 0;

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "amy", "admin"), 0);
	EXPECT_INT(world_get(world, "amy", "/users").status, 204);

	REQUIRE(store_open(&world->options, &elsewhere.store) == 0);
	REQUIRE(store_register(
			elsewhere.store, rbac_module.statements, rbac_module.statement_count) == 0);
	REQUIRE(store_start(elsewhere.store) == 0);
	world_do(world, "amy", do_elsewhere, &elsewhere);
	while (world_get(world, "amy", "/users").status == 204 && waits++ < 100)
		(void)usleep(20000);
	EXPECT_INT(world_get(world, "amy", "/users").status, 403);
	EXPECT_INT(world_get(world, "amy", "/self").status, 403);
	world_do(world, "anna", close_elsewhere, &elsewhere);
}

/* On SQLite there is one instance. */
TEST(rbac_changes_elsewhere_are_heard)
{
	world_run(ENGINE_POSTGRES, rbac_world, change_elsewhere);
}

/* --- in one process, with fibers ----------------------------------------------------- */

static const struct store_test_module *tables(void)
{
	static struct store_test_module modules[2];

	modules[0] = (struct store_test_module){ "rbac", rbac_module.migrations,
		rbac_module.statements, rbac_module.statement_count };
	return modules;
}

/* How an owner goes. */
static int demote(struct tx *tx, const struct uuid *user)
{
	struct holding holding;
	int r = holding_get_in_tx(tx, user, &holding);

	return r < 0 ? r : member_remove_in_tx(tx, user, &holding, S("owner"));
}

static int suspend(struct tx *tx, const struct uuid *user)
{
	return rbac_set_active_in_tx(tx, user, false);
}

static int (*const ways[])(
	struct tx *tx, const struct uuid *user) = { demote, suspend, rbac_forget_in_tx };

struct going {
	struct db db;
	struct arena arena;
	struct uuid user;
	int (*way)(struct tx *tx, const struct uuid *user);
	enum tx_isolation isolation;
	unsigned delay; /* yields before it begins */
	int result;
};

static int go_in_tx(struct tx *tx, void *arg)
{
	const struct going *going = arg;

	return going->way(tx, &going->user);
}

static int go(void *arg)
{
	struct going *going = arg;
	struct tx_options options = { .isolation = going->isolation };

	for (unsigned i = 0; i < going->delay; i++)
		fiber_yield();
	going->result = db_write_with(&going->db, &options, go_in_tx, going);
	return 0;
}

static int make_owner_in_tx(struct tx *tx, void *arg)
{
	const struct uuid *user = arg;
	int r = rbac_set_active_in_tx(tx, user, true);

	return r < 0 ? r : rbac_grant_in_tx(tx, user, S("owner"));
}

/* Both go at once; whether one owner stayed. */
static bool meet(struct store_test *test, struct going pair[2], uint64_t *random)
{
	struct db db = store_test_tenant(test, 1);
	struct scope scope;
	size_t left = 0;

	for (int i = 0; i < 2; i++) {
		pair[i].user = world_user(i ? S("first") : S("second"));
		pair[i].delay = (unsigned)(test_random(random) % 3);
		REQUIRE(db_write(&db, make_owner_in_tx, &pair[i].user) == 0);
	}
	scope_open(&scope, TIME_NEVER);
	for (int i = 0; i < 2; i++) {
		arena_init(&pair[i].arena, 4096, MEGABYTE);
		pair[i].db = store_test_tenant(test, 1);
		pair[i].db.arena = &pair[i].arena;
		REQUIRE(scope_spawn(&scope, go, &pair[i]) == 0);
	}
	REQUIRE(scope_close(&scope) == 0);
	for (int i = 0; i < 2; i++) {
		struct holding holding;

		REQUIRE(holding_get_db(&db, &pair[i].user, &holding) == 0);
		left += holding.active && texts_have(&holding.roles, S("owner"));
		arena_done(&pair[i].arena);
	}
	return left > 0;
}

/* Rounds of all ways; in how many no owner was left. */
static size_t meet_all(struct store_test *test, enum tx_isolation isolation)
{
	uint64_t random = 20261121;
	size_t gone = 0, done = 0;

	REQUIRE(rights_begin() == 0);
	for (size_t i = 0; i < rounds(); i++) {
		struct going pair[2] = {
			{ .way = ways[i % LEN(ways)], .isolation = isolation },
			{ .way = ways[i / LEN(ways) % LEN(ways)], .isolation = isolation },
		};

		test->worker->sched.order_seed = test_random(&random) | 1;
		gone += !meet(test, pair, &random);
		for (int k = 0; k < 2; k++) {
			EXPECT(pair[k].result == 0 || pair[k].result == -ERR_CONFLICT ||
				pair[k].result == -ERR_UNAVAILABLE);
			done += pair[k].result == 0;
		}
	}
	test->worker->sched.order_seed = 0;
	EXPECT(done > rounds() / 2);
	return gone;
}

STORE_TEST_WITH(rbac_owners_that_meet, tables(), NULL)
{
	EXPECT_INT(meet_all(test, TX_SERIALIZABLE), 0);
}

/* The same is able to fail. On SQLite there is one writer and no such difference. On a machine that
 * is busy with other things the two often come one after the other, so there are more rounds. */
STORE_TEST_WITH(rbac_owners_that_meet_unseen, tables(), NULL)
{
	size_t gone = meet_all(test, TX_READ_COMMITTED);

	for (int i = 0; i < 20 && gone == 0 && !store_is_sqlite(test->store); i++)
		gone = meet_all(test, TX_READ_COMMITTED);
	if (store_is_sqlite(test->store))
		EXPECT_INT(gone, 0);
	else
		EXPECT(gone > 0);
}

/* --- rights that are taken away meanwhile -------------------------------------------- */

static int make_role_in_tx(struct tx *tx, void *arg)
{
	return role_create_in_tx(tx, arg);
}

/* Who has everything by what the request knew, but nothing by the rows any more. */
STORE_TEST_WITH(rbac_rights_are_read_again, tables(), NULL)
{
	static const struct str patterns[] = { S_INIT("tenant:delete") };
	struct db db = store_test_tenant(test, 1);
	struct role_new in = { S("mighty"), S(""), { (struct str *)patterns, 1 } };
	struct role out;
	struct role_create create = { .asker.user = world_user(S("anna")), .in = &in, .ret = &out };

	REQUIRE(rights_begin() == 0);
	EXPECT_INT(rights_add(&create.asker.rights, S("*")), 0);
	EXPECT_INT(db_write(&db, make_role_in_tx, &create), -ERR_FORBIDDEN);
}

/* --- many at once -------------------------------------------------------------------- */

enum { CROWD = 24 };

struct newcomer {
	struct db db;
	struct arena arena;
	struct uuid user;
	int result;
};

static int come_in_tx(struct tx *tx, void *arg)
{
	const struct newcomer *newcomer = arg;

	return rbac_grant_in_tx(tx, &newcomer->user, S("owner"));
}

static int come(void *arg)
{
	struct newcomer *newcomer = arg;

	newcomer->result = db_write(&newcomer->db, come_in_tx, newcomer);
	return 0;
}

/* Owners of other tenants are no reason to try again until one gives up. */
STORE_TEST_WITH(rbac_many_sign_up_at_once, tables(), NULL)
{
	struct newcomer crowd[CROWD];
	struct scope scope;

	REQUIRE(rights_begin() == 0);
	for (int round = 0; round < 4; round++) {
		scope_open(&scope, TIME_NEVER);
		for (unsigned i = 0; i < CROWD; i++) {
			struct newcomer *newcomer = &crowd[i];

			arena_init(&newcomer->arena, 4096, MEGABYTE);
			newcomer->db = store_test_tenant(test, 1 + i);
			newcomer->db.arena = &newcomer->arena;
			uuid_v7(&newcomer->user, 1000000);
			REQUIRE(scope_spawn(&scope, come, newcomer) == 0);
		}
		REQUIRE(scope_close(&scope) == 0);
		for (unsigned i = 0; i < CROWD; i++) {
			EXPECT_INT(crowd[i].result, 0);
			arena_done(&crowd[i].arena);
		}
	}
}
