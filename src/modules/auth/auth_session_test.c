/* Sessions over HTTP on both engines: refreshing, switching, ending, and what is seen of them. */
#include "modules/auth/auth_fixture_test.h"

#include "modules/auth/auth_keys.h"
#include "observe/clock_test.h"
#include "store/notice.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 8192 };

static struct str refresh_of(const struct session_made *made)
{
	return str_of(made->refresh, sizeof(made->refresh));
}

/* --- what else is in the database ----------------------------------------- */

struct tally {
	struct str action;
	int64_t count;
};

/* clang-format off */
static const struct schema tally_schema = SCHEMA(tally, "How many.",
	FIELD(tally, action, "Of what."), FIELD(tally, count, "So many."));
/* clang-format on */

static const struct statement audited = STATEMENT("auth_test_audited",
	.sql = "SELECT count(*) AS count FROM audit WHERE tenant_id = :tenant "
	       "AND action = :action",
	.in = &tally_schema, .out = &tally_schema);

static const struct statement live = STATEMENT("auth_test_live",
	.sql = "SELECT count(*) AS count FROM session WHERE tenant_id = :tenant "
	       "AND revoked_at IS NULL",
	.out = &tally_schema);

static const struct statement rows = STATEMENT("auth_test_rows",
	.sql = "SELECT count(*) AS count FROM session WHERE tenant_id = :tenant",
	.out = &tally_schema);

static const struct statement *const statements[] = { &audited, &live, &rows };

static const struct module counting_module = {
	MODULE_HEAD,
	.name = "auth-test",
	.statements = statements,
	.statement_count = LEN(statements),
};

static const struct module *modules[16];

__attribute__((constructor)) static void join_modules(void)
{
	size_t count = 0;

	for (; auth_modules[count]; count++)
		modules[count] = auth_modules[count];
	modules[count] = &counting_module;
}

struct counting {
	const struct statement *statement;
	struct tally tally;
};

static int count_in_db(const struct db *db, void *arg)
{
	struct counting *counting = arg;

	return db_one(db, counting->statement, counting->tally.action.len ? &counting->tally : NULL,
		&counting->tally);
}

static int64_t count_of(struct world *world, const char *caller, const struct statement *statement,
	const char *action)
{
	struct counting counting = { statement, { .action = str_from_c(action) } };

	world_do(world, caller, count_in_db, &counting);
	return counting.tally.count;
}

/* --- refresh -------------------------------------------------------------- */

static int sessions_status(struct world *world, const char *access)
{
	return world_call(world, access, "GET /api/v1/auth/sessions", "", NULL).status;
}

WORLD_TEST(session_is_refreshed, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	char access[ROOM], second[ROOM], third[ROOM];
	struct answer answer;

	REQUIRE(refresh_by(world, refresh_of(&made), access, second) == 200);
	answer = world_call(world, access, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"current\":true") == 1);
	EXPECT(answer_count(&answer, "\"userAgent\":\"Test/1.0\"") == 1);
	EXPECT(answer_count(&answer, "\"address\":\"192.0.2.7\"") == 1);
	EXPECT(answer_count(&answer, "token") == 0);

	REQUIRE(refresh_by(world, refresh_of(&made), NULL, third) == 200);
	EXPECT_STR(str_from_c(third), str_from_c(second));
	REQUIRE(refresh_by(world, str_from_c(second), NULL, third) == 200);
	EXPECT(strcmp(third, second) != 0);
	EXPECT_INT(sessions_status(world, access), 200);
}

WORLD_TEST(session_family_ends_by_an_old_token, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	struct session_made other = person_sign_in(world, &ada, NULL);
	char access[ROOM], second[ROOM], third[ROOM];

	REQUIRE(refresh_by(world, refresh_of(&made), access, second) == 200);
	REQUIRE(refresh_by(world, str_from_c(second), NULL, third) == 200);
	EXPECT_INT(count_of(world, "a", &audited, "session.reused"), 0);

	EXPECT_INT(refresh_by(world, refresh_of(&made), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, str_from_c(third), NULL, NULL), 401);
	EXPECT_INT(sessions_status(world, access), 401);
	EXPECT_INT(count_of(world, "a", &audited, "session.reused"), 1);
	EXPECT_INT(refresh_by(world, refresh_of(&made), NULL, NULL), 401);
	EXPECT_INT(count_of(world, "a", &audited, "session.reused"), 1);
	EXPECT_INT(refresh_by(world, refresh_of(&other), NULL, NULL), 200);
}

/* The parent is good for 30 s, then it is an old token. */
WORLD_TEST(session_parent_has_its_time, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	char second[ROOM], again[ROOM];

	REQUIRE(refresh_by(world, refresh_of(&made), NULL, second) == 200);
	clock_pass(29 * SECOND);
	REQUIRE(refresh_by(world, refresh_of(&made), NULL, again) == 200);
	EXPECT_STR(str_from_c(again), str_from_c(second));
	clock_pass(2 * SECOND);
	EXPECT_INT(refresh_by(world, refresh_of(&made), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, str_from_c(second), NULL, NULL), 401);
	clock_back();
}

WORLD_TEST(session_ends_by_itself, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made idle = person_sign_in(world, &ada, NULL);
	char refresh[ROOM];

	clock_pass(auth_options()->refresh_ns + SECOND);
	EXPECT_INT(refresh_by(world, refresh_of(&idle), NULL, NULL), 401);

	struct session_made used = person_sign_in(world, &ada, NULL);
	uint64_t left = auth_options()->session_ns, step = auth_options()->refresh_ns - HOUR;

	(void)snprintf(refresh, sizeof(refresh), "%.*s", STR_ARG(refresh_of(&used)));
	for (; left > step; left -= step) {
		clock_pass(step);
		REQUIRE(refresh_by(world, str_from_c(refresh), NULL, refresh) == 200);
	}
	clock_pass(left + SECOND);
	EXPECT_INT(refresh_by(world, str_from_c(refresh), NULL, NULL), 401);
	clock_back();
}

WORLD_TEST(session_refresh_refuses_what_is_none, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	struct answer answer;
	char changed[REFRESH_LEN];

	memcpy(changed, made.refresh, sizeof(changed));
	changed[40] = changed[40] == 'a' ? 'b' : 'a';
	EXPECT_INT(refresh_by(world, str_of(changed, sizeof(changed)), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, S("bh_rt_"), NULL, NULL), 401);
	answer = world_call(world, NULL, "POST /api/v1/auth/refresh", "", "{}");
	EXPECT_INT(answer.status, 401);
	answer = world_call(world, NULL, "POST /api/v1/auth/refresh", "", "{\"token\":\"x\"}");
	EXPECT_INT(answer.status, 400);
	EXPECT_INT(refresh_by(world, refresh_of(&made), NULL, NULL), 200);
}

/* Clients put the access token on everything, also when it is over. */
WORLD_TEST(session_is_refreshed_whatever_else_is_sent, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	struct answer answer = world_call(world, "nonsense", "POST /api/v1/auth/refresh", "",
		refresh_body(refresh_of(&made)));

	EXPECT_INT(answer.status, 200);
	EXPECT(answer_count(&answer, "\"expiresIn\":900") == 1);
	EXPECT(answer_count(&answer, "\"slug\":\"tenant-a\"") == 1);
	EXPECT(answer_count(&answer, "\"email\":\"ada@example.com\"") == 1);
	EXPECT_INT(sessions_status(world, "nonsense"), 401);
}

/* --- many at once --------------------------------------------------------- */

enum { CLIENTS = 100 };

WORLD_TEST(session_refreshed_by_a_hundred_at_once, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	static struct client *clients[CLIENTS];
	char first[ROOM] = "", next[ROOM];
	const char *body = refresh_body(refresh_of(&made));

	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(world->net);
	for (size_t i = 0; i < CLIENTS; i++)
		world_send(clients[i], NULL, "POST /api/v1/auth/refresh", "", body);
	for (size_t i = 0; i < CLIENTS; i++) {
		struct answer answer = world_answer(clients[i]);
		const char *token = answer_text(&answer, "refreshToken");

		EXPECT_INT(answer.status, 200);
		if (i == 0)
			(void)snprintf(first, sizeof(first), "%s", token);
		EXPECT_STR(str_from_c(token), str_from_c(first));
	}
	EXPECT_INT(count_of(world, "a", &audited, "session.reused"), 0);
	EXPECT_INT(count_of(world, "a", &live, ""), 1);
	EXPECT_INT(refresh_by(world, str_from_c(first), NULL, next), 200);
	EXPECT_INT(refresh_by(world, str_from_c(next), NULL, NULL), 200);
}

/* --- any order of uses, by rows ------------------------------------------- */

enum { ROUNDS = 12, USES = 12, TOKENS = USES + 1 };

/* As the model of auth_session_token_test.c, without time: all happens within the grace. */
static void use_at_random(struct world *world, const struct person *person, uint64_t *random)
{
	struct session_made made = person_sign_in(world, person, NULL);
	char tokens[TOKENS][REFRESH_LEN + 1] = { 0 }, next[ROOM];
	size_t newest = 0;
	bool over = false;

	memcpy(tokens[0], made.refresh, REFRESH_LEN);
	for (int i = 0; i < USES; i++) {
		size_t roll = test_random(random) % 16, back = roll < 15 ? roll % 2 : 2;
		size_t which = newest - MIN(back, newest);
		bool good = !over && newest - which <= 1;

		EXPECT_INT(
			refresh_by(world, str_from_c(tokens[which]), NULL, next), good ? 200 : 401);
		over = over || !good;
		if (good && which == newest)
			memcpy(tokens[++newest], next, REFRESH_LEN);
		if (good)
			EXPECT_STR(str_from_c(next), str_from_c(tokens[newest]));
	}
}

WORLD_TEST(session_rows_are_as_the_model_says, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	uint64_t random = 0x5eed;

	for (int i = 0; i < ROUNDS; i++)
		use_at_random(world, &ada, &random);
}

/* --- ending --------------------------------------------------------------- */

static const char *id_of(const struct session_made *made)
{
	static char texts[8][UUID_TEXT_LEN + 1];
	static size_t next;
	char *text = texts[next++ % LEN(texts)];

	uuid_write(text, &made->id);
	return text;
}

static int delete_session(struct world *world, const char *access, const char *id)
{
	char request[200];

	(void)snprintf(request, sizeof(request), "DELETE /api/v1/auth/sessions/%s", id);
	return world_call(world, access, request, "", NULL).status;
}

WORLD_TEST(session_is_ended_by_its_user, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct person eve = person_make(world, "a", "eve@example.com", "owner");
	struct person bob = person_make(world, "b", "bob@example.com", "owner");
	struct session_made one = person_sign_in(world, &ada, NULL);
	struct session_made two = person_sign_in(world, &ada, NULL);
	char first[ROOM], second[ROOM];
	const char *eves = person_token(world, &eve), *bobs = person_token(world, &bob);

	REQUIRE(refresh_by(world, refresh_of(&one), first, NULL) == 200);
	REQUIRE(refresh_by(world, refresh_of(&two), second, NULL) == 200);
	EXPECT_INT(delete_session(world, eves, id_of(&one)), 404);
	EXPECT_INT(delete_session(world, bobs, id_of(&one)), 404);
	EXPECT_INT(sessions_status(world, first), 200);

	EXPECT_INT(delete_session(world, second, id_of(&one)), 204);
	EXPECT_INT(sessions_status(world, first), 401);
	EXPECT_INT(sessions_status(world, second), 200);
	EXPECT_INT(delete_session(world, second, id_of(&one)), 404);
	EXPECT_INT(refresh_by(world, refresh_of(&one), NULL, NULL), 401);
	EXPECT_INT(count_of(world, "a", &audited, "session.revoked"), 1);
}

WORLD_TEST(session_all_are_ended, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct person eve = person_make(world, "a", "eve@example.com", "member");
	const char *one = person_token(world, &ada), *two = person_token(world, &ada);
	const char *eves = person_token(world, &eve);
	struct answer answer;

	answer = world_call(world, one, "DELETE /api/v1/auth/sessions?except=current", "", NULL);
	EXPECT_INT(answer.status, 204);
	EXPECT_INT(sessions_status(world, one), 200);
	EXPECT_INT(sessions_status(world, two), 401);
	answer = world_call(world, one, "DELETE /api/v1/auth/sessions?except=other", "", NULL);
	EXPECT_INT(answer.status, 400);
	answer = world_call(world, one, "DELETE /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 204);
	EXPECT_INT(sessions_status(world, one), 401);
	EXPECT_INT(sessions_status(world, eves), 200);
}

static int dismiss(struct world *world, const char *access, const struct uuid *user)
{
	char request[100], id[UUID_TEXT_LEN];

	uuid_write(id, user);
	(void)snprintf(
		request, sizeof(request), "DELETE /api/v1/users/%.*s/sessions", UUID_TEXT_LEN, id);
	return world_call(world, access, request, "", NULL).status;
}

WORLD_TEST(session_ends_by_an_admin, modules)
{
	struct person owner = person_make(world, "a", "owner@example.com", "owner");
	struct person admin = person_make(world, "a", "admin@example.com", "admin");
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct person bob = person_make(world, "b", "bob@example.com", "owner");
	const char *owners = person_token(world, &owner), *admins = person_token(world, &admin);
	const char *one = person_token(world, &ada), *two = person_token(world, &ada);
	const char *bobs = person_token(world, &bob);

	EXPECT_INT(dismiss(world, one, &ada.user), 403); /* a member has DELETE auth/sessions */
	EXPECT_INT(dismiss(world, bobs, &ada.user), 404);
	EXPECT_INT(dismiss(world, admins, &bob.user), 404);
	EXPECT_INT(dismiss(world, admins, &owner.user), 403); /* who may do more */
	EXPECT_INT(count_of(world, "a", &audited, "access.denied"), 1);
	EXPECT_INT(sessions_status(world, one), 200);
	EXPECT_INT(sessions_status(world, owners), 200);
	EXPECT_INT(count_of(world, "a", &audited, "session.revoked_all"), 0);

	EXPECT_INT(dismiss(world, admins, &ada.user), 204);
	EXPECT_INT(sessions_status(world, one), 401);
	EXPECT_INT(sessions_status(world, two), 401);
	EXPECT_INT(sessions_status(world, admins), 200);
	EXPECT_INT(dismiss(world, admins, &ada.user), 204); /* none are left */
	EXPECT_INT(count_of(world, "a", &audited, "session.revoked_all"), 2);
	EXPECT_INT(dismiss(world, owners, &admin.user), 204);
	EXPECT_INT(sessions_status(world, admins), 401);
}

WORLD_TEST(session_logout_always_answers_204, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	const char *body = refresh_body(refresh_of(&made)), *access = person_token(world, &ada);
	char mine[ROOM];
	struct answer answer;

	REQUIRE(refresh_by(world, refresh_of(&made), mine, NULL) == 200);
	for (int i = 0; i < 2; i++) {
		answer = world_call(world, NULL, "POST /api/v1/auth/logout", "", body);
		EXPECT_INT(answer.status, 204);
		EXPECT_INT(sessions_status(world, mine), 401);
	}
	EXPECT_INT(sessions_status(world, access), 200);
	for (int i = 0; i < 2; i++) {
		answer = world_call(world, access, "POST /api/v1/auth/logout", "", "{}");
		EXPECT_INT(answer.status, 204);
		EXPECT_INT(sessions_status(world, access), 401);
	}
	for (int i = 0; i < 2; i++) { /* also without any body */
		answer = world_call(world, NULL, "POST /api/v1/auth/logout", "", i ? "{}" : NULL);
		EXPECT_INT(answer.status, 204);
	}
	EXPECT_INT(count_of(world, "a", &audited, "session.ended"), 2);
}

WORLD_TEST(session_too_many_end_the_oldest, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made first = person_sign_in(world, &ada, NULL), last;

	for (int i = 0; i < SESSIONS_OF_USER_MAX; i++)
		last = person_sign_in(world, &ada, NULL);
	EXPECT_INT(count_of(world, "a", &live, ""), SESSIONS_OF_USER_MAX);
	EXPECT_INT(refresh_by(world, refresh_of(&first), NULL, NULL), 401);
	EXPECT_INT(refresh_by(world, refresh_of(&last), NULL, NULL), 200);
}

/* --- users who go --------------------------------------------------------- */

static int suspend_in_tx(struct tx *tx, void *arg)
{
	return session_watcher.suspended(tx, arg);
}

static int delete_in_tx(struct tx *tx, void *arg)
{
	return session_watcher.deleted(tx, arg);
}

static int suspend(const struct db *db, void *arg)
{
	return db_write(db, suspend_in_tx, arg);
}

static int delete (const struct db *db, void *arg)
{
	return db_write(db, delete_in_tx, arg);
}

WORLD_TEST(session_ends_with_the_user, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct person eve = person_make(world, "a", "eve@example.com", "member");
	const char *adas = person_token(world, &ada), *eves = person_token(world, &eve);

	world_do(world, "a", suspend, &ada.user);
	EXPECT_INT(sessions_status(world, adas), 401);
	EXPECT_INT(sessions_status(world, eves), 200);
	EXPECT_INT(count_of(world, "a", &rows, ""), 2);
	world_do(world, "a", delete, &eve.user);
	EXPECT_INT(sessions_status(world, eves), 401);
	EXPECT_INT(count_of(world, "a", &rows, ""), 1);
}

static int sweep(const struct db *db, void *arg)
{
	(void)arg;
	return sessions_sweep(db->store);
}

WORLD_TEST(session_rows_go_in_the_end, modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *one = person_token(world, &ada);

	(void)person_token(world, &ada);
	EXPECT_INT(world_call(world, one, "POST /api/v1/auth/logout", "", "{}").status, 204);
	world_do(world, "a", sweep, NULL);
	EXPECT_INT(count_of(world, "a", &rows, ""), 2);
	clock_pass(26 * HOUR);
	world_do(world, "a", sweep, NULL);
	EXPECT_INT(count_of(world, "a", &rows, ""), 1);
	clock_pass(auth_options()->session_ns);
	world_do(world, "a", sweep, NULL);
	EXPECT_INT(count_of(world, "a", &rows, ""), 0);
	clock_back();
}
