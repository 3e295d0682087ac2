/* Who asks, on both engines: which tokens are believed, which sessions are known to have ended, and
 * what happens when memory runs out on the way. */
#include "modules/auth/auth_fixture_test.h"

#include "modules/auth/auth_keys.h"
#include "modules/auth/token.h"
#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROOM = 8192 };

static int status_of(struct world *world, const char *access)
{
	return world_call(world, access, "GET /api/v1/auth/sessions", "", NULL).status;
}

/* --- tokens --------------------------------------------------------------- */

/* A token that the server's own key signs, with claims as wanted. */
struct forging {
	struct token_claims claims;
	char text[ROOM];
};

static int forge_in_fiber(const struct db *db, void *arg)
{
	struct forging *forging = arg;
	struct sign_key *key;
	struct buf text;
	int r = keys_signer(db->store, &key);

	if (r < 0)
		return r;
	buf_init(&text, ROOM - 1);
	r = token_make(key, &forging->claims, &text);
	if (r == 0)
		(void)snprintf(
			forging->text, sizeof(forging->text), "%.*s", STR_ARG(buf_str(&text)));
	sign_key_unref(key);
	buf_done(&text);
	return r;
}

static const char *forge(struct world *world, struct token_claims claims)
{
	static struct forging forging;

	forging.claims = claims;
	world_do(world, "o", forge_in_fiber, &forging);
	return forging.text;
}

static struct str id_text(char *at, const struct uuid *id)
{
	uuid_write(at, id);
	return str_of(at, UUID_TEXT_LEN);
}

WORLD_TEST(identify_believes_only_what_is_right, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	char user[UUID_TEXT_LEN], tenant[UUID_TEXT_LEN], session[UUID_TEXT_LEN];
	int64_t now_us = clock_wall_us();
	const struct token_claims good = { .issuer = auth_options()->public_url,
		.audience = auth_options()->public_url,
		.subject = id_text(user, &ada.user),
		.tenant = id_text(tenant, &ada.tenant),
		.session = id_text(session, &made.id),
		.issued_us = now_us,
		.expires_us = now_us + 60000000 };
	struct token_claims claims = good;

	EXPECT_INT(status_of(world, forge(world, good)), 200);
	claims.issuer = S("https://other.example");
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.audience = S("https://other.example");
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.type = TOKEN_PLAIN;
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.expires_us = now_us - 60000000;
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.session = str_of(NULL, 0);
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.tenant = S("acme");
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
	claims = good;
	claims.subject = S("ada");
	EXPECT_INT(status_of(world, forge(world, claims)), 401);
}

WORLD_TEST(identify_takes_bearer_only, auth_modules)
{
	static const char *const refused[] = { "Authorization: Basic YTpi\r\n",
		"Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
		"Authorization: nonsense\r\n", "Authorization: Bearer a.b.c\r\n" };
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *token = person_token(world, &ada);
	char header[ROOM];

	(void)snprintf(header, sizeof(header), "Authorization: bearer %s\r\n", token);
	EXPECT_INT(world_call(world, NULL, "GET /api/v1/auth/sessions", header, NULL).status, 200);
	for (size_t i = 0; i < LEN(refused); i++) {
		struct answer answer =
			world_call(world, NULL, "GET /api/v1/auth/sessions", refused[i], NULL);

		test_note(answer.status == 401, __FILE__, __LINE__, "%s: %d", refused[i],
			answer.status);
		answer = world_call(world, NULL, "GET /.well-known/jwks.json", refused[i], NULL);
		EXPECT_INT(answer.status, 200);
	}
}

/* --- who acts as somebody ------------------------------------------------- */

struct acting {
	struct person *person;
	struct session_made made;
};

static int act_in_tx(struct tx *tx, void *arg)
{
	struct acting *acting = arg;
	const struct session_new session = { .user = &acting->person->user,
		.user_agent = S("Console"),
		.address = S("192.0.2.1"),
		.impersonator = S("0190b4f2-0000-7000-8000-000000000001"),
		.lifetime_ns = 5 * MINUTE };

	return session_begin_in_tx(tx, &session, &acting->made);
}

static int act(const struct db *db, void *arg)
{
	return db_write(db, act_in_tx, arg);
}

WORLD_TEST(identify_marks_who_acts_as_somebody, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct acting acting = { .person = &ada };
	char access[ROOM];
	struct answer answer;

	world_do(world, "a", act, &acting);
	answer = world_call(world, NULL, "POST /api/v1/auth/refresh", "",
		refresh_body(str_of(acting.made.refresh, REFRESH_LEN)));
	REQUIRE(answer.status == 200);
	EXPECT(answer_count(&answer, "\"expiresIn\":300") +
			answer_count(&answer, "\"expiresIn\":299") ==
		1);
	REQUIRE(refresh_by(world, str_of(acting.made.refresh, REFRESH_LEN), access, NULL) == 200);
	answer = world_call(world, access, "GET /api/v1/auth/sessions", "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, "\"impersonated\":true"), 1);
}

/* --- what has ended ------------------------------------------------------- */

static int miss_in_tx(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_notice(tx, S(SESSION_TOPIC), S(""));
}

static int miss(const struct db *db, void *arg)
{
	return db_write(db, miss_in_tx, arg);
}

static int logout(struct world *world, const char *access)
{
	return world_call(world, access, "POST /api/v1/auth/logout", "", "{}").status;
}

/* When something may have been missed, the rows are read again. */
WORLD_TEST(identify_reads_what_it_may_have_missed, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	const char *one = person_token(world, &ada), *two = person_token(world, &ada);

	EXPECT_INT(logout(world, one), 204);
	for (int i = 0; i < 3; i++) {
		world_do(world, "a", miss, NULL);
		EXPECT_INT(status_of(world, one), 401);
		EXPECT_INT(status_of(world, two), 200);
	}
}

enum { FLOOD = 4000, FLOOD_BATCH = 500 };

/* Ids that all lie where this one does. */
struct flood {
	struct uuid like;
	uint32_t next;
};

static int flood_in_tx(struct tx *tx, void *arg)
{
	struct flood *flood = arg;

	for (int i = 0; i < FLOOD_BATCH; i++) {
		struct uuid id = flood->like;
		char text[UUID_TEXT_LEN];
		uint32_t number = flood->next++;
		int r;

		memcpy(id.bytes, &number, sizeof(number));
		id.bytes[13] = (uint8_t)number;
		id.bytes[14] = (uint8_t)(number >> 8);
		r = tx_notice(tx, S(SESSION_TOPIC), id_text(text, &id));
		if (r < 0)
			return r;
	}
	return 0;
}

static int flood_db(const struct db *db, void *arg)
{
	return db_write(db, flood_in_tx, arg);
}

/* More than can be remembered: then the row is asked, and nobody is let in or shut out wrongly. */
WORLD_TEST(identify_asks_the_row_when_memory_is_full, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	struct session_made made = person_sign_in(world, &ada, NULL);
	struct flood flood = { .like = made.id };
	char access[ROOM];

	REQUIRE(refresh_by(world, str_of(made.refresh, REFRESH_LEN), access, NULL) == 200);
	EXPECT_INT(status_of(world, access), 200);
	for (int i = 0; i < FLOOD / FLOOD_BATCH; i++)
		world_do(world, "a", flood_db, &flood);
	EXPECT_INT(status_of(world, access), 200);
	EXPECT_INT(logout(world, access), 204);
	EXPECT_INT(status_of(world, access), 401);
}

/* --- without memory ------------------------------------------------------- */

enum { FAULTS_MOST = 400, FAULTS_ENOUGH = 3, FAULTS_END = 25 };

/* Whatever fails while a session is refreshed: the same token gets through afterwards. */
WORLD_TEST(identify_refresh_without_memory, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
	size_t failed = 0;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	(void)person_token(world, &ada);
	for (int nth = 1, whole = 0; nth < FAULTS_MOST && whole < FAULTS_ENOUGH; nth++) {
		struct session_made made = person_sign_in(world, &ada, NULL);
		const char *body = refresh_body(str_of(made.refresh, REFRESH_LEN));
		char fault[40], access[ROOM];
		struct answer answer;

		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		answer = world_call(world, NULL, "POST /api/v1/auth/refresh", fault, body);
		EXPECT(answer.status == 200 || answer.status >= 500 || answer.status == 0);
		whole = answer.status == 200 ? whole + 1 : 0;
		failed += answer.status != 200;
		if (answer.status == 0) /* not even an error could be said */
			world->client = client_open(world->net);
		REQUIRE(refresh_by(world, str_of(made.refresh, REFRESH_LEN), access, NULL) == 200);
		answer = world_call(world, access, "GET /api/v1/auth/sessions", fault, NULL);
		EXPECT(answer.status == 200 || answer.status >= 500 || answer.status == 0);
		if (answer.status == 0)
			world->client = client_open(world->net);
		EXPECT_INT(status_of(world, access), 200);
	}
	EXPECT(failed > 0);
}

/* Whatever fails while one is ended: it is known to have ended, or it lives. */
WORLD_TEST(identify_end_without_memory, auth_modules)
{
	struct person ada = person_make(world, "a", "ada@example.com", "member");
#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	(void)person_token(world, &ada);
	for (int nth = 1; nth < FAULTS_END; nth++) {
		struct session_made made = person_sign_in(world, &ada, NULL);
		char fault[40], access[ROOM], refresh[ROOM];
		struct answer answer;
		int after;

		REQUIRE(refresh_by(world, str_of(made.refresh, REFRESH_LEN), access, refresh) ==
			200);
		(void)snprintf(fault, sizeof(fault), "X-Fault: %d\r\n", nth);
		answer = world_call(world, NULL, "POST /api/v1/auth/logout", fault,
			refresh_body(str_from_c(refresh)));
		EXPECT(answer.status == 204 || answer.status >= 500 || answer.status == 0);
		if (answer.status == 0)
			world->client = client_open(world->net);
		after = status_of(world, access);
		EXPECT(after == 401 || (answer.status != 204 && after == 200));
		EXPECT_INT(refresh_by(world, str_from_c(refresh), NULL, NULL), after);
	}
}
