/*
 * Keys over HTTP on both engines: who may make which, what they open, and that nothing of it is
 * more than its owner has, or stays when it should be gone.
 */
#include "modules/api_keys/api_keys_world_test.h"

#include "modules/rbac/rbac_world_test.h"
#include "modules/users/users.h"
#include "observe/clock_test.h"
#include "rest/page.h"
#include <stdio.h>

#define KEYS "/api/v1/api-keys"

WORLD_TEST(api_key_is_made_and_used, keys_world())
{
	struct answer answer;
	struct test_key key;
	char header[300];

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:read\",\"users:*\"]", "");
	EXPECT_INT(key.status, 201);
	EXPECT_INT(strlen(key.key), KEY_TEXT_LEN);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lup"));
	EXPECT_INT(world_audits(world, "anna", "api_key.created"), 1);
	EXPECT_INT(world_events(world, "anna", "api_key.created"), 1);

	EXPECT_INT(world_get(world, key.key, "/look").status, 204); /* Bearer */
	(void)snprintf(header, sizeof(header), "Authorization: %s\r\n", key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", header, NULL).status, 204);
	(void)snprintf(header, sizeof(header), "Authorization: bearer %s\r\n", key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", header, NULL).status, 204);

	answer = world_get(world, "anna", KEYS "/%s", key.id);
	EXPECT_INT(answer.status, 200);
	EXPECT_INT(answer_count(&answer, key.key), 0);
	EXPECT_INT(answer_count(&answer, "ash\""), 0); /* neither hash */
	EXPECT_INT(strlen(answer_text(&answer, "prefix")), KEY_PREFIX_LEN);
	EXPECT(strncmp(answer_text(&answer, "prefix"), key.key, KEY_PREFIX_LEN) == 0);
	EXPECT_STR(str_from_c(answer_text(&answer, "ending")),
		str_from_c(key.key + KEY_TEXT_LEN - OPAQUE_CHECK_LEN));
	answer = world_get(world, "anna", KEYS);
	EXPECT_INT(answer_count(&answer, key.id), 1);
	EXPECT_INT(answer_count(&answer, "\"key\""), 0);
}

/* --- what is refused ------------------------------------------------------------------------ */

WORLD_TEST(api_key_requests_are_checked, keys_world())
{
	static const struct {
		const char *scopes, *more;
		int status;
		const char *says;
	} cases[] = {
		{ "[]", "", 400, "scopes" },
		{ "[\"jobs\"]", "", 400, "scopes.0" },
		{ "[\"jobs:read\",\"jobs:fly\"]", "", 400, "unknown_right" },
		{ "[\"jobs:read\",\"jobs:read\"]", "", 400, "not_unique" },
		{ "[\"account:self\"]", "", 400, "unknown_right" },
		{ "[\"platform:things\"]", "", 403, "" },
		{ "[\"*\"]", "", 201, "" },
		{ "[\"*:read\"]", "", 201, "" },
		{ "[\"flags:read\"]", ",\"kind\":\"publishable\"", 201, "bh_pk_" },
		{ "[\"jobs:read\"]", ",\"kind\":\"publishable\"", 400, "not_publishable" },
		{ "[\"jobs:write\"]", ",\"kind\":\"publishable\"", 400, "not_publishable" },
		{ "[\"jobs:*\"]", ",\"kind\":\"publishable\"", 400, "not_publishable" },
		{ "[\"keys:read\"]", ",\"kind\":\"publishable\"", 400, "not_publishable" },
		{ "[\"jobs:read\"]", ",\"kind\":\"other\"", 400, "kind" },
		{ "[\"jobs:read\"]", ",\"expiresAt\":\"2020-01-01T00:00:00Z\"", 400,
			"in_the_past" },
		{ "[\"jobs:read\"]", ",\"expiresAt\":\"2099-01-01T00:00:00Z\"", 201, "2099" },
		{ "[\"jobs:read\"]", ",\"expiresAt\":null", 201, "" },
		{ "[\"jobs:read\"]", ",\"allowedAddresses\":[\"10.0.0.1/8\"]", 400,
			"allowedAddresses.0" },
		{ "[\"jobs:read\"]", ",\"allowedAddresses\":[\"::1\",\"here\"]", 400,
			"allowedAddresses.1" },
		{ "[\"jobs:read\"]", ",\"requestsPerMinute\":0", 400, "requestsPerMinute" },
		{ "[\"jobs:read\"]", ",\"ownerId\":\"" UUID_FIRST "\"", 400, "unknown_member" },
	};

	keys_begin(world);
	for (size_t i = 0; i < LEN(cases); i++) {
		char body[500];
		struct answer answer;

		(void)snprintf(body, sizeof(body), "{\"name\":\"k\",\"scopes\":%s%s}",
			cases[i].scopes, cases[i].more);
		answer = world_call(world, "anna", "POST " KEYS, "", body);
		if (!EXPECT(answer.status == cases[i].status &&
			    str_find(answer.body, str_from_c(cases[i].says)) >= 0))
			(void)fprintf(stderr, "  %s: %d %.*s\n", body, answer.status,
				STR_ARG(answer.body));
	}
}

/* Each is 401, and nothing tells one from the other. */
WORLD_TEST(api_key_forgeries_are_refused, keys_world())
{
	struct test_key key, other;
	struct key_text text;
	char forged[KEY_TEXT_LEN + 1] = "", headers[600];
	struct answer answer;
	int64_t loads;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]", "");
	other = keys_make(world, "bert", "[\"jobs:*\"]", "");
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);

	loads = keys_loads(); /* a mistyped one is not looked for */
	for (size_t i = 6; i < KEY_TEXT_LEN; i += 7) {
		(void)snprintf(forged, sizeof(forged), "%s", key.key);
		forged[i] = forged[i] == 'a' ? 'b' : 'a';
		EXPECT_INT(keys_get(world, forged, "/look"), 401);
	}
	EXPECT_INT(keys_get(world, "bh_sk_", "/look"), 401);
	EXPECT_INT(keys_get(world, "secret", "/look"), 401);
	EXPECT_INT(keys_get(world, "", "/look"), 401);
	EXPECT_INT(keys_loads(), loads);

	for (int i = 0; i < 4; i++) {
		struct key_text theirs;

		REQUIRE(key_text_read(str_from_c(key.key), &text));
		REQUIRE(key_text_read(str_from_c(other.key), &theirs));
		if (i == 0)
			text.secret[31] ^= 1;
		else if (i == 1)
			text.kind = API_KEY_PUBLISHABLE;
		else if (i == 2)
			text.tenant = theirs.tenant;
		else
			text.id = theirs.id;
		key_text_write(forged, &text);
		answer = keys_call(world, forged, "GET /public", NULL);
		EXPECT_INT(answer.status, 401); /* also where nobody must be somebody */
		EXPECT(str_find(answer.body, S("Sign in to do this")) >= 0 ||
			str_find(answer.body, S("this API key is not valid")) >= 0);
	}
	loads = keys_loads() - loads; /* two may be there, the others as well if read through */
	EXPECT(loads >= 2 && loads <= 4);

	(void)snprintf(headers, sizeof(headers), "X-API-Key: %s\r\nAuthorization: Bearer %s\r\n",
		key.key, other.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", headers, NULL).status, 401);
	(void)snprintf(headers, sizeof(headers), "X-API-Key: %s\r\nAuthorization: Bearer anna\r\n",
		key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", headers, NULL).status, 401);
	(void)snprintf(headers, sizeof(headers), "X-API-Key: %s\r\nAuthorization: Bearer %s\r\n",
		key.key, key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", headers, NULL).status, 204);
	(void)snprintf(headers, sizeof(headers), "X-API-Key: %s\r\nCookie: a=b\r\n", key.key);
	EXPECT_INT(world_call(world, NULL, "GET /look", headers, NULL).status, 204);
}

/* Neither seen nor touched from another tenant, or without the right. */
WORLD_TEST(api_keys_stay_with_their_tenant, keys_world())
{
	struct test_key key;
	struct answer answer;

	keys_begin(world);
	EXPECT_INT(world_give(world, "amy", "member"), 0);
	key = keys_make(world, "anna", "[\"jobs:*\"]", "");
	EXPECT_INT(world_call(world, "bert", keys_path("GET", key.id, ""), "", NULL).status, 404);
	EXPECT_INT(world_call(world, "bert", keys_path("PATCH", key.id, ""), "", "{}").status, 404);
	EXPECT_INT(
		world_call(world, "bert", keys_path("DELETE", key.id, ""), "", NULL).status, 404);
	EXPECT_INT(keys_replace(world, "bert", key.id, "0").status, 404);
	answer = world_get(world, "bert", KEYS);
	EXPECT_INT(answer_count(&answer, "\"prefix\""), 0);

	EXPECT_INT(world_get(world, "amy", KEYS).status, 403);
	EXPECT_INT(keys_make(world, "amy", "[\"jobs:read\"]", "").status, 403);
	EXPECT_INT(world_get(world, NULL, KEYS).status, 401);
	EXPECT_INT(keys_get(world, key.key, KEYS), 403);
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
}

/* --- changes ---------------------------------------------------------------------------------- */

WORLD_TEST(api_key_is_changed_and_revoked, keys_world())
{
	struct test_key key;
	struct answer answer;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]", "");
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lwp"));

	answer = world_call(world, "anna", keys_path("PATCH", key.id, ""), "If-Match: \"1\"\r\n",
		"{\"name\":\"other\",\"scopes\":[\"jobs:read\"]}");
	EXPECT_INT(answer.status, 200);
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lp"));
	answer = world_call(world, "anna", keys_path("PATCH", key.id, ""), "If-Match: \"1\"\r\n",
		"{\"name\":\"third\"}");
	EXPECT_INT(answer.status, 412);
	answer = world_call(world, "anna", keys_path("PATCH", key.id, ""), "",
		"{\"name\":\"other\"}"); /* as it is */
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"2\""));
	EXPECT_INT(world_call(world, "anna", keys_path("PATCH", key.id, ""), "",
			   "{\"allowedAddresses\":[]}")
			   .status,
		400);
	EXPECT_INT(world_audits(world, "anna", "api_key.updated"), 1);

	answer = world_call(world, "anna", keys_path("DELETE", key.id, ""), "", NULL);
	EXPECT_INT(answer.status, 200);
	EXPECT(strlen(answer_text(&answer, "revokedAt")) > 10);
	EXPECT_INT(keys_get(world, key.key, "/public"), 401);
	EXPECT_INT(world_call(world, "anna", keys_path("DELETE", key.id, ""), "", NULL).status,
		200); /* again: nothing */
	EXPECT_INT(world_audits(world, "anna", "api_key.revoked"), 1);
	EXPECT_INT(world_events(world, "anna", "api_key.revoked"), 1);
	EXPECT_INT(world_call(world, "anna", keys_path("PATCH", key.id, ""), "", "{}").status, 409);
	EXPECT_INT(keys_replace(world, "anna", key.id, "0").status, 409);
}

/* The former secret holds for the overlap, not longer, and never two of them. */
WORLD_TEST(api_key_is_rotated, keys_world())
{
	struct test_key first, second, third, fourth;

	keys_begin(world);
	first = keys_make(world, "anna", "[\"jobs:*\"]", "");
	second = keys_replace(world, "anna", first.id, "1h");
	EXPECT_INT(second.status, 200);
	EXPECT(strcmp(first.id, second.id) == 0 && strcmp(first.key, second.key) != 0);
	EXPECT_INT(keys_get(world, first.key, "/look"), 204);
	EXPECT_INT(keys_get(world, second.key, "/look"), 204);

	third = keys_replace(world, "anna", first.id, "1h");
	EXPECT_INT(keys_get(world, first.key, "/look"), 401);
	EXPECT_INT(keys_get(world, second.key, "/look"), 204);
	clock_ahead(3590 * SECOND);
	EXPECT_INT(keys_get(world, second.key, "/look"), 204);
	clock_ahead(3610 * SECOND);
	EXPECT_INT(keys_get(world, second.key, "/look"), 401);
	EXPECT_INT(keys_get(world, third.key, "/look"), 204);
	clock_back();

	fourth = keys_replace(world, "anna", first.id, "0");
	EXPECT_INT(keys_get(world, third.key, "/look"), 401);
	EXPECT_INT(keys_get(world, fourth.key, "/look"), 204);
	EXPECT_INT(keys_replace(world, "anna", first.id, "8d").status, 400);
	EXPECT_INT(world_audits(world, "anna", "api_key.rotated"), 3);
}

/* Of several who rotate the same version one succeeds, and only that secret holds. */
WORLD_TEST(api_key_is_rotated_once, keys_world())
{
	enum { CLIENTS = 4, ROUNDS = 5 };
	struct client *clients[CLIENTS];
	struct test_key key;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]", "");
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i] = client_open(world->net);
	for (int round = 0; round < ROUNDS; round++) {
		const char *path = keys_path("POST", key.id, "/rotate");
		char match[40], secret[KEY_TEXT_LEN + 1] = "";
		size_t succeeded = 0;

		(void)snprintf(match, sizeof(match), "If-Match: \"%d\"\r\n", round + 1);
		for (size_t i = 0; i < CLIENTS; i++)
			world_send(clients[i], "anna", path, match, "{}");
		for (size_t i = 0; i < CLIENTS; i++) {
			struct answer answer = world_answer(clients[i]);

			EXPECT(answer.status == 200 || answer.status == 412);
			if (answer.status == 200 && ++succeeded)
				(void)snprintf(
					secret, sizeof(secret), "%s", answer_text(&answer, "key"));
		}
		EXPECT_INT(succeeded, 1);
		EXPECT_INT(keys_get(world, secret, "/look"), 204);
		EXPECT_INT(keys_get(world, key.key, "/look"), 401);
	}
	EXPECT_INT(world_audits(world, "anna", "api_key.rotated"), ROUNDS);
}

WORLD_TEST(api_key_expires, keys_world())
{
	struct test_key key;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]", ",\"expiresAt\":\"2090-01-01T00:00:00Z\"");
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
	clock_ahead(80 * 365 * 24 * HOUR);
	EXPECT_INT(keys_get(world, key.key, "/look"), 401);
	EXPECT_INT(keys_replace(world, "anna", key.id, "0").status, 409);
	clock_back();
}

/* --- no more than the owner ----------------------------------------------- */

static int set_active_in_tx(struct tx *tx, void *arg)
{
	struct uuid user = world_user(S("adam"));

	return rbac_set_active_in_tx(tx, &user, *(const bool *)arg);
}

static int set_active(const struct db *db, void *arg)
{
	return db_write(db, set_active_in_tx, arg);
}

static int put_roles(struct world *world, const char *name, const char *roles)
{
	char body[200];

	(void)snprintf(body, sizeof(body), "{\"roles\":%s}", roles);
	return world_call(world, "anna", world_roles_path("PUT", name), "", body).status;
}

WORLD_TEST(api_key_follows_its_owner, keys_world())
{
	bool no = false, yes = true;
	struct test_key key;

	keys_begin(world);
	EXPECT_INT(world_give(world, "adam", "admin"), 0);
	EXPECT_INT(keys_make(world, "adam", "[\"*\"]", "").status, 403); /* that is an owner's */
	EXPECT_INT(world_audits(world, "anna", "api_key.escalation_refused"), 1);
	key = keys_make(world, "adam", "[\"jobs:*\",\"users:*\",\"keys:*\"]", "");
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lwukp"));

	EXPECT_INT(put_roles(world, "adam", "[\"viewer\"]"), 200);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lp"));
	EXPECT_INT(put_roles(world, "adam", "[\"admin\"]"), 200);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lwukp"));
	world_do(world, "adam", set_active, &no);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("p"));
	world_do(world, "adam", set_active, &yes);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("lwukp"));
	EXPECT_INT(put_roles(world, "adam", "[]"), 200);
	EXPECT_STR(str_from_c(keys_doors(world, key.key)), S("p"));
}

/* What operators may is not in "*". */
WORLD_TEST(api_key_of_an_operator, keys_world())
{
	struct test_key all, some;

	keys_begin(world);
	EXPECT_INT(world_give(world, "otto", "owner"), 0);
	all = keys_make(world, "otto", "[\"*\"]", "");
	some = keys_make(world, "otto", "[\"platform:things\"]", "");
	EXPECT_STR(str_from_c(keys_doors(world, all.key)), S("lwuktp"));
	EXPECT_STR(str_from_c(keys_doors(world, some.key)), S("op"));
}

/* Who may write keys cannot get at more than they have by those of others. */
WORLD_TEST(api_key_of_somebody_mightier, keys_world())
{
	struct test_key key;

	keys_begin(world);
	EXPECT_INT(world_give(world, "adam", "admin"), 0);
	key = keys_make(world, "anna", "[\"*\"]", "");
	EXPECT_INT(keys_replace(world, "adam", key.id, "0").status, 403);
	EXPECT_INT(
		world_call(world, "adam", keys_path("PATCH", key.id, ""), "", "{\"name\":\"mine\"}")
			.status,
		403);
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
	EXPECT_INT(world_call(world, "adam", keys_path("PATCH", key.id, ""), "",
			   "{\"scopes\":[\"jobs:read\"]}")
			   .status,
		200); /* less is not more */
	EXPECT_INT(
		world_call(world, "adam", keys_path("DELETE", key.id, ""), "", NULL).status, 200);
}

/* A key that makes keys. */
WORLD_TEST(api_key_makes_keys, keys_world())
{
	struct test_key parent, child;
	struct answer answer;

	keys_begin(world);
	parent = keys_make(world, "anna", "[\"keys:*\",\"jobs:read\"]",
		",\"expiresAt\":\"2090-01-01T00:00:00Z\",\"allowedAddresses\":[\"127.0.0.0/8\"]");
	EXPECT_INT(keys_make(world, parent.key, "[\"jobs:read\"]", "").status, 403);
	EXPECT_INT(keys_make(world, parent.key, "[\"jobs:read\"]",
			   ",\"expiresAt\":\"2089-01-01T00:00:00Z\"")
			   .status,
		403);
#define WITHIN ",\"expiresAt\":\"2089-01-01T00:00:00Z\",\"allowedAddresses\":[\"127.0.0.1\"]"
	EXPECT_INT(keys_make(world, parent.key, "[\"jobs:write\"]", WITHIN).status, 403);
	EXPECT_INT(keys_make(world, parent.key, "[\"*\"]", WITHIN).status, 403);
	child = keys_make(world, parent.key, "[\"jobs:read\"]", WITHIN);
	EXPECT_INT(child.status, 201);
	EXPECT_STR(str_from_c(keys_doors(world, child.key)), S("lp"));
	EXPECT_INT(keys_make(world, child.key, "[\"jobs:read\"]", WITHIN).status, 403);

	answer = world_get(world, "anna", KEYS "/%s", child.id);
	EXPECT_STR(str_from_c(answer_text(&answer, "createdWith")), str_from_c(parent.id));
	answer = world_get(world, "anna", KEYS "/%s", parent.id);
	EXPECT_STR(str_from_c(answer_text(&answer, "createdWith")), S("null"));
	EXPECT_INT(keys_call(world, parent.key, keys_path("PATCH", child.id, ""),
			   "{\"expiresAt\":null}")
			   .status,
		403);
	EXPECT_INT(keys_replace(world, parent.key, child.id, "0").status, 200);
}

/* Whatever is done to roles and keys: no door is open to a key that is not open to its owner. */
WORLD_TEST(api_key_is_never_more_than_its_owner, keys_world())
{
	static const char *const roles[] = { "[]", "[\"viewer\"]", "[\"member\"]", "[\"admin\"]",
		"[\"owner\"]" };
	static const char *const scopes[] = { "[\"*\"]", "[\"*:read\"]", "[\"jobs:*\",\"users:*\"]",
		"[\"keys:*\"]", "[\"tenant:write\",\"jobs:read\"]" };
	struct test_key keys[5] = { 0 };
	char owner[20], body[100];
	uint64_t seed = 7;

	keys_begin(world);
	EXPECT_INT(world_give(world, "adam", "owner"), 0);
	for (int step = 0; step < 60; step++) {
		size_t which;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		which = seed >> 40 & 0xff;
		switch (seed >> 60 & 3) {
		case 0:
			keys[which % 5] = keys_make(world, "adam", scopes[which / 5 % 5], "");
			break;
		case 1:
			(void)snprintf(
				body, sizeof(body), "{\"scopes\":%s}", scopes[which / 5 % 5]);
			(void)world_call(world, "adam", keys_path("PATCH", keys[which % 5].id, ""),
				"", body);
			break;
		default: EXPECT_INT(put_roles(world, "adam", roles[which % 5]), 200);
		}
		(void)snprintf(owner, sizeof(owner), "%s", world_doors(world, "adam"));
		for (size_t i = 0; i < LEN(keys); i++)
			for (const char *door =
					keys[i].status == 201 ? keys_doors(world, keys[i].key) : "";
				*door; door++)
				EXPECT(strchr(owner, *door));
	}
}

/* --- from where ----------------------------------------------------------- */

WORLD_TEST(api_key_knows_its_places, keys_world())
{
	struct test_key key;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]",
		",\"allowedAddresses\":[\"::ffff:127.0.0.0/104\",\"2001:db8::/32\"]");
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
	EXPECT_INT(world_call(world, "anna", keys_path("PATCH", key.id, ""), "",
			   "{\"allowedAddresses\":[\"10.0.0.0/8\"]}")
			   .status,
		200);
	for (int i = 0; i < 3; i++)
		EXPECT_INT(keys_get(world, key.key, "/look"), 403);
	EXPECT_INT(keys_get(world, key.key, "/public"), 403);
	EXPECT_INT(world_audits(world, "anna", "api_key.address_refused"), 1); /* a minute */
	EXPECT_INT(world_call(world, "anna", keys_path("PATCH", key.id, ""), "",
			   "{\"allowedAddresses\":[\"0.0.0.0/0\",\"::/0\"]}")
			   .status,
		200);
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
}

/* --- what is remembered --------------------------------------------------- */

static int write_uses(const struct db *db, void *arg)
{
	(void)arg;
	return uses_write(db->store);
}

static int sweep(const struct db *db, void *arg)
{
	(void)arg;
	return keys_sweep(db->store);
}

WORLD_TEST(api_key_use_is_told, keys_world())
{
	struct test_key key, idle;
	struct answer answer;

	keys_begin(world);
	key = keys_make(world, "anna", "[\"jobs:*\"]", "");
	idle = keys_make(world, "anna", "[\"jobs:*\"]", "");
	EXPECT_INT(keys_get(world, key.key, "/look"), 204);
	world_do(world, "otto", write_uses, NULL);
	answer = world_get(world, "anna", KEYS "/%s", key.id);
	EXPECT(strlen(answer_text(&answer, "lastUsedAt")) > 10);
	EXPECT_STR(str_from_c(answer_text(&answer, "lastUsedAddress")), S("127.0.0.1"));
	EXPECT_STR(response_header(&answer.response, S("etag")), S("\"1\""));
	answer = world_get(world, "anna", KEYS "/%s", idle.id);
	EXPECT_STR(str_from_c(answer_text(&answer, "lastUsedAt")), S("null"));
}

WORLD_TEST(api_keys_are_swept, keys_world())
{
	struct test_key stays, goes, expires;

	keys_begin(world);
	stays = keys_make(world, "anna", "[\"jobs:*\"]", "");
	goes = keys_make(world, "anna", "[\"jobs:*\"]", "");
	expires =
		keys_make(world, "anna", "[\"jobs:*\"]", ",\"expiresAt\":\"2090-01-01T00:00:00Z\"");
	EXPECT_INT(
		world_call(world, "anna", keys_path("DELETE", goes.id, ""), "", NULL).status, 200);
	clock_ahead(29 * 24 * HOUR);
	world_do(world, "otto", sweep, NULL);
	EXPECT_INT(world_get(world, "anna", KEYS "/%s", goes.id).status, 200);
	clock_ahead(31 * 24 * HOUR);
	world_do(world, "otto", sweep, NULL);
	EXPECT_INT(world_get(world, "anna", KEYS "/%s", goes.id).status, 404);
	EXPECT_INT(world_get(world, "anna", KEYS "/%s", stays.id).status, 200);
	EXPECT_INT(world_get(world, "anna", KEYS "/%s", expires.id).status, 200);
	clock_ahead(80 * 365 * 24 * HOUR);
	world_do(world, "otto", sweep, NULL);
	EXPECT_INT(world_get(world, "anna", KEYS "/%s", expires.id).status, 404);
	clock_back();
}

/* --- the owner goes ------------------------------------------------------- */

struct leaver {
	struct uuid id;
	struct key_text text;
	struct api_key key;
	char key_text[KEY_TEXT_LEN + 1];
};

/* A user with a key, as other modules and a request would make them. */
static int hire_in_tx(struct tx *tx, void *arg)
{
	struct leaver *leaver = arg;
	struct str scopes[] = { S_INIT("jobs:read") };
	struct api_key_new in = { .name = S("k"), .scopes = { scopes, 1 } };
	struct key_creation creation = { .in = &in, .ret = &leaver->key };
	struct user user = { 0 };
	int r = user_create_in_tx(
		tx, &(struct user_new){ .email = S("l@example.com"), .name = S("L") }, &user);

	CHECK(r < 0 || uuid_parse(user.id, &leaver->id));
	if (r == 0)
		r = rbac_grant_in_tx(tx, &leaver->id, S("member"));
	leaver->text.tenant = *tx_tenant(tx);
	uuid_v7(&leaver->text.id, tx_now_us(tx));
	creation.text = leaver->text;
	creation.owner_id = user.id;
	CHECK(rights_add(&creation.asker.rights, S("jobs:read")) == 0);
	if (r == 0)
		r = key_create_in_tx(tx, &creation);
	return r;
}

static int dismiss_in_tx(struct tx *tx, void *arg)
{
	const struct leaver *leaver = arg;

	return user_delete_in_tx(tx, &leaver->id, NULL);
}

static int hire(const struct db *db, void *arg)
{
	return db_write(db, hire_in_tx, arg);
}

static int dismiss(const struct db *db, void *arg)
{
	return db_write(db, dismiss_in_tx, arg);
}

WORLD_TEST(api_key_goes_with_its_owner, keys_world())
{
	struct leaver leaver = { 0 };
	struct test_key other;
	struct answer answer;
	char id[UUID_TEXT_LEN];

	keys_begin(world);
	other = keys_make(world, "anna", "[\"jobs:*\"]", "");
	world_do(world, "anna", hire, &leaver);
	key_text_write(leaver.key_text, &leaver.text);
	EXPECT_INT(keys_get(world, leaver.key_text, "/look"), 204);
	world_do(world, "anna", dismiss, &leaver);
	EXPECT_INT(keys_get(world, leaver.key_text, "/public"), 401);
	EXPECT_INT(keys_get(world, other.key, "/look"), 204);

	uuid_write(id, &leaver.id);
	answer = world_get(world, "anna", KEYS "?ownerId=%.*s", UUID_TEXT_LEN, id);
	EXPECT_INT(answer_count(&answer, "\"prefix\""), 1);
	EXPECT_INT(answer_count(&answer, "\"revokedAt\":null"), 0);
	answer = world_get(world, "anna", KEYS);
	EXPECT_INT(answer_count(&answer, "\"prefix\""), 2);
}

/* --- bounds --------------------------------------------------------------- */

static int make_many_in_tx(struct tx *tx, void *arg)
{
	struct str scopes[] = { S_INIT("jobs:read") };
	struct api_key_new in = { .name = S("k"), .scopes = { scopes, 1 } };
	struct api_key key;
	int r = 0;

	for (int i = 0; i < *(const int *)arg && r == 0; i++) {
		struct key_creation creation = { .in = &in, .owner_id = S(UUID_LAST), .ret = &key };

		CHECK(rights_add(&creation.asker.rights, S("jobs:read")) == 0);
		uuid_v7(&creation.text.id, tx_now_us(tx));
		r = key_create_in_tx(tx, &creation);
	}
	return r;
}

static int make_many(const struct db *db, void *arg)
{
	return db_write(db, make_many_in_tx, arg);
}

/* Several who make keys where there is room for one: one does. */
static size_t make_at_once(struct world *world)
{
	struct client *clients[4];
	size_t made = 0;

	for (size_t i = 0; i < LEN(clients); i++) {
		clients[i] = client_open(world->net);
		world_send(clients[i], "anna", "POST " KEYS, "",
			"{\"name\":\"k\",\"scopes\":[\"jobs:read\"]}");
	}
	for (size_t i = 0; i < LEN(clients); i++) {
		int status = world_answer(clients[i]).status;

		EXPECT(status == 201 || status == 409 || status == 503);
		made += status == 201;
		client_close(clients[i]);
	}
	return made;
}

WORLD_TEST(api_keys_of_a_tenant_are_bounded, keys_world())
{
	int many = 100;
	struct test_key last;

	keys_begin(world);
	last = keys_make(world, "anna", "[\"jobs:*\"]", "");
	for (int i = 0; i < API_KEYS_MAX / many - 1; i++)
		world_do(world, "anna", make_many, &many);
	many -= 2;
	world_do(world, "anna", make_many, &many);
	EXPECT_INT(make_at_once(world), 1);
	EXPECT_INT(keys_make(world, "anna", "[\"jobs:read\"]", "").status, 409);
	EXPECT_INT(keys_make(world, "bert", "[\"jobs:read\"]", "").status, 201);
	EXPECT_INT(
		world_call(world, "anna", keys_path("DELETE", last.id, ""), "", NULL).status, 200);
	EXPECT_INT(keys_make(world, "anna", "[\"jobs:read\"]", "").status, 201);
}

/* --- how much ------------------------------------------------------------- */

/* How many of up to 30 requests are answered. */
static int answered(struct world *world, const char *key)
{
	int count = 0;

	while (count < 30 && keys_get(world, key, "/flags") == 204)
		count++;
	return count;
}

static int set_tenant(struct world *world, const char *body)
{
	char request[200];
	char id[UUID_TEXT_LEN];
	struct uuid tenant = world_tenant("anna");

	uuid_write(id, &tenant);
	(void)snprintf(request, sizeof(request), "PATCH /api/v1/tenants/%.*s", UUID_TEXT_LEN, id);
	return world_call(world, "otto", request, "", body).status;
}

/* Makers are users, who are limited as well: each makes one key. */
static struct test_key limited_key(struct world *world, const char *maker, const char *more)
{
	struct test_key key;

	EXPECT_INT(world_give(world, maker, "owner"), 0);
	key = keys_make(world, maker, "[\"flags:read\"]", more);
	EXPECT_INT(key.status, 201);
	return key;
}

static void count_requests(struct world *world)
{
	static const struct {
		const char *tenant; /* a patch of it */
		const char *maker, *key;
		int answered;
	} cases[] = {
		{ "{\"limits\":{\"totalRequestsPerMinute\":1000}}", "a1", "", KEYS_SERVER },
		{ NULL, "a2", ",\"kind\":\"publishable\"", KEYS_API },
		{ NULL, "a3", ",\"requestsPerMinute\":3", 3 },
		{ NULL, "a4", ",\"requestsPerMinute\":999", KEYS_SERVER },
		{ "{\"tier\":\"starter\"}", "a5", "", 2 * KEYS_SERVER },
		{ NULL, "a6", ",\"kind\":\"publishable\"", 2 * KEYS_API },
		{ NULL, "a7", ",\"requestsPerMinute\":10", 10 },
		{ "{\"limits\":{\"serverRequestsPerMinute\":5,\"requestsPerMinute\":6}}", "a8", "",
			5 },
		{ NULL, "a9", ",\"kind\":\"publishable\"", 6 },
	};

	keys_begin(world);
	EXPECT_INT(world_give(world, "otto", "owner"), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct test_key key;

		if (cases[i].tenant)
			EXPECT_INT(set_tenant(world, cases[i].tenant), 200);
		key = limited_key(world, cases[i].maker, cases[i].key);
		if (!EXPECT_INT(answered(world, key.key), cases[i].answered))
			(void)fprintf(stderr, "  case %zu\n", i);
	}
}

/* All of a tenant together: one request made the key. */
static void count_of_tenants(struct world *world)
{
	keys_begin(world);
	for (int i = 0, left = KEYS_TENANT; i < 3; i++) {
		const char *maker = (const char *const[]){ "a1", "a2", "a3" }[i];
		struct test_key key;

		EXPECT_INT(world_give(world, maker, "owner"), 0);
		key = keys_make(world, maker, "[\"flags:read\"]", "");
		if (key.status != 201) {
			EXPECT_INT(key.status, 429);
			EXPECT_INT(left, 0);
			continue;
		}
		left -= 1 + answered(world, key.key);
	}
	EXPECT_INT(answered(world, limited_key(world, "b1", "").key), KEYS_SERVER);
}

static void limited(enum engine_kind engine, void (*body)(struct world *))
{
	keys_limited = true;
	world_run(engine, keys_world(), body);
	keys_limited = false;
}

TEST(api_key_limits_sqlite)
{
	limited(ENGINE_SQLITE, count_requests);
}

TEST(api_key_limits_postgres)
{
	limited(ENGINE_POSTGRES, count_requests);
}

TEST(api_key_limits_of_tenants_sqlite)
{
	limited(ENGINE_SQLITE, count_of_tenants);
}

TEST(api_key_limits_of_tenants_postgres)
{
	limited(ENGINE_POSTGRES, count_of_tenants);
}

/* --- no memory ----------------------------------------------------------------------- */

/* A request whose nth allocation fails. Status 0: not even that could be said. */
static struct answer with_fault(
	struct world *world, const char *key, int nth, const char *request, const char *body)
{
	char headers[300];
	struct answer answer;

	(void)snprintf(headers, sizeof(headers), "X-API-Key: %s\r\nX-Fault: %d\r\n", key, nth);
	answer = world_call(world, NULL, request, headers, body);
	if (answer.status == 0)
		world->client = client_open(world->net);
	return answer;
}

static bool is_honest(int status, int wanted)
{
	return status == wanted || status == 500 || status == 503 || status == 0;
}

/* Whatever allocation fails: a key is known, or it cannot be said just now, but it is never
 * refused; and a secret that was answered holds. */
WORLD_TEST(api_keys_without_memory, keys_world())
{
	enum { MOST = 80, ENOUGH = 10 };
	char patch[60], made[KEY_TEXT_LEN + 1];
	struct test_key key;
	size_t failed = 0;

#ifndef BULKHEAD_FAULTS
	test_skip("without faults");
#endif
	keys_begin(world);
	key = keys_make(world, "anna", "[\"*\"]", "");
	for (int nth = 1, whole = 0; whole < ENOUGH && nth < MOST; nth++) {
		struct answer answer;
		int look;

		/* so that it is not in memory */
		(void)snprintf(patch, sizeof(patch), "{\"requestsPerMinute\":%d}", 1000000 - nth);
		EXPECT_INT(
			world_call(world, "anna", keys_path("PATCH", key.id, ""), "", patch).status,
			200);
		look = with_fault(world, key.key, nth, "GET /look", NULL).status;
		EXPECT(is_honest(look, 204));
		answer = with_fault(world, key.key, nth, "POST " KEYS,
			"{\"name\":\"n\",\"scopes\":[\"jobs:read\"],\"requestsPerMinute\":1}");
		EXPECT(is_honest(answer.status, 201));
		whole = look == 204 && answer.status == 201 ? whole + 1 : 0;
		failed += whole == 0;
		(void)snprintf(made, sizeof(made), "%s", answer_text(&answer, "key"));
		if (answer.status == 201)
			EXPECT_INT(keys_get(world, made, "/look"), 204);
	}
	/* with SQLite all that can fail on the way is what is kept for the next time */
	EXPECT(failed > 0 || world->options.url.len == 0);
}
