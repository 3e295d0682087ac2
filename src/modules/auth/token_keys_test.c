/* Sets of keys, their JWKS document, and their exchange while threads verify. */
#include "modules/auth/token_keys.h"

#include "base/fault.h"
#include "base/mem.h"
#include "modules/auth/token_cache.h"
#include "modules/auth/token_test.h"
#include "json/reader.h"

#include <pthread.h>

TEST(token_keys_by_kid)
{
	struct sign_key *keys[TOKEN_KEYS_MAX + 1], *twice[2];
	struct token_keys *set = NULL, *empty;

	for (size_t i = 0; i < LEN(keys); i++)
		keys[i] = test_key(i % 2 ? SIGN_ES256 : SIGN_EDDSA);
	twice[0] = twice[1] = keys[0];
	EXPECT_INT(token_keys_new(keys, LEN(keys), &set), -ERR_INVALID);
	EXPECT_INT(token_keys_new(twice, 2, &set), -ERR_INVALID);
	EXPECT(!set);

	set = test_set(keys, TOKEN_KEYS_MAX);
	for (size_t i = 0; i < LEN(keys); i++) {
		struct str id = sign_key_id(keys[i]);

		EXPECT(token_keys_find(set, id) == (i < TOKEN_KEYS_MAX ? keys[i] : NULL));
		EXPECT(!token_keys_find(set, str_first(id, id.len - 1)));
	}
	EXPECT(!token_keys_find(set, S("")));
	EXPECT(!token_keys_find(set, str_of(NULL, 0)));

	empty = test_set(NULL, 0);
	EXPECT(!token_keys_find(empty, sign_key_id(keys[0])));
	token_keys_unref(empty);

	for (size_t i = 0; i < LEN(keys); i++)
		sign_key_unref(keys[i]); /* the set has references of its own */
	EXPECT(token_keys_find(set, S("")) == NULL);
	EXPECT(token_keys_ref(set) == set);
	token_keys_unref(set);
	token_keys_unref(set);
	token_keys_unref(NULL);
	EXPECT_INT(mem_used(), 0);
}

/* --- JWKS ------------------------------------------------------------------------- */

static struct str jwks_of(const struct token_keys *set, struct buf *buf)
{
	struct json_writer writer;

	buf_reset(buf);
	json_writer_init(&writer, buf);
	token_keys_write(set, &writer);
	REQUIRE(json_writer_done(&writer) == 0);
	return buf_str(buf);
}

/* The keys of RFC 7517 A.1 and RFC 8037 A.2, to the letter. */
TEST(token_keys_jwks_text)
{
	static const struct sign_jwk jwks[] = {
		{ .kty = S_INIT("EC"),
			.crv = S_INIT("P-256"),
			.x = S_INIT("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"),
			.y = S_INIT("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM") },
		{ .kty = S_INIT("OKP"),
			.crv = S_INIT("Ed25519"),
			.x = S_INIT("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") },
	};
	struct sign_key *keys[LEN(jwks)] = { 0 };
	struct token_keys *set;
	struct buf buf;

	for (size_t i = 0; i < LEN(jwks); i++)
		REQUIRE(sign_key_from_jwk(&jwks[i], &keys[i]) == 0);
	set = test_set(keys, LEN(keys));
	buf_init(&buf, MEGABYTE);
	EXPECT_STR(jwks_of(set, &buf),
		S("{\"keys\":["
		  "{\"kty\":\"EC\",\"use\":\"sig\",\"alg\":\"ES256\","
		  "\"kid\":\"cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s\",\"crv\":\"P-256\","
		  "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
		  "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},"
		  "{\"kty\":\"OKP\",\"use\":\"sig\",\"alg\":\"EdDSA\","
		  "\"kid\":\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\",\"crv\":\"Ed25519\","
		  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"));
	token_keys_unref(set);
	for (size_t i = 0; i < LEN(keys); i++)
		sign_key_unref(keys[i]);

	set = test_set(NULL, 0);
	EXPECT_STR(jwks_of(set, &buf), S("{\"keys\":[]}"));
	token_keys_unref(set);
	buf_done(&buf);
}

static void put(struct sign_jwk *jwk, struct str *kid, struct str name, struct str value)
{
	const struct {
		struct str name;
		struct str *place;
	} members[] = { { S_INIT("kty"), &jwk->kty }, { S_INIT("crv"), &jwk->crv },
		{ S_INIT("n"), &jwk->n }, { S_INIT("e"), &jwk->e }, { S_INIT("x"), &jwk->x },
		{ S_INIT("y"), &jwk->y }, { S_INIT("kid"), kid } };

	for (size_t i = 0; i < LEN(members); i++)
		if (str_eq(name, members[i].name))
			*members[i].place = value;
	EXPECT(!str_eq(name, S("d")) && !str_eq(name, S("p")) && !str_eq(name, S("q")));
}

/* Somebody who reads our document gets the same keys under the same ids, and nothing private. */
TEST(token_keys_jwks_read_back)
{
	struct sign_key *keys[SIGN_KINDS], *again = NULL;
	struct json_reader reader;
	struct token_keys *set;
	struct arena arena;
	struct buf buf;
	size_t count = 0;

	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++)
		keys[kind] = test_key(kind);
	set = test_set(keys, LEN(keys));
	buf_init(&buf, MEGABYTE);
	arena_init(&arena, KILOBYTE, MEGABYTE);
	json_reader_init(&reader, jwks_of(set, &buf), &arena, NULL);
	REQUIRE(json_next(&reader) == JSON_OBJECT);
	REQUIRE(json_next(&reader) == JSON_KEY);
	REQUIRE(json_next(&reader) == JSON_ARRAY);
	for (; json_next(&reader) == JSON_OBJECT; count++) {
		struct sign_jwk jwk = { 0 };
		struct str kid = S("");

		while (json_next(&reader) == JSON_KEY) {
			struct str name = reader.text;

			REQUIRE(json_next(&reader) == JSON_STRING);
			put(&jwk, &kid, name, reader.text);
		}
		REQUIRE(sign_key_from_jwk(&jwk, &again) == 0);
		EXPECT_STR(sign_key_id(again), kid);
		EXPECT_STR(kid, sign_key_id(keys[count]));
		sign_key_unref(again);
	}
	EXPECT_INT(count, SIGN_KINDS);
	EXPECT_INT(json_next(&reader), JSON_OBJECT_END);
	EXPECT_INT(json_next(&reader), JSON_END);

	arena_done(&arena);
	buf_done(&buf);
	token_keys_unref(set);
	for (size_t i = 0; i < LEN(keys); i++)
		sign_key_unref(keys[i]);
}

/* --- exchange ------------------------------------------------------------------------ */

TEST(token_keyring_generations)
{
	struct sign_key *key = test_key(SIGN_EDDSA);
	struct token_keys *one = test_set(&key, 1), *other = test_set(NULL, 0);
	struct token_keyring *ring = NULL;
	struct token_view view, late, none = { 0 };

	REQUIRE(token_keyring_new(one, &ring) == 0);
	token_view_init(&view, ring);
	EXPECT(token_view_keys(&view) == one);
	EXPECT_INT(view.generation, 1);

	token_keyring_publish(ring, other);
	token_keyring_publish(ring, other);
	EXPECT(view.keys == one); /* still alive */
	EXPECT(token_keys_find(view.keys, sign_key_id(key)) == key);
	EXPECT(token_view_keys(&view) == other);
	EXPECT_INT(view.generation, 3);

	token_keyring_revoke(ring);
	EXPECT(token_view_keys(&view) == other);
	EXPECT_INT(view.generation, 4);
	token_view_init(&late, ring);
	EXPECT(late.keys == other && late.generation == 4);

	token_view_done(&late);
	token_view_done(&view);
	token_view_done(&none);
	token_keyring_free(ring);
	token_keyring_free(NULL);
	token_keys_unref(one);
	token_keys_unref(other);
	sign_key_unref(key);
	EXPECT_INT(mem_used(), 0);
}

enum { WORKERS = 3, CHECKS = 300 };

struct rotation {
	struct token_keyring *ring;
	struct sign_key *keys[2]; /* the first is always in force, the second comes and goes */
	struct str tokens[2];
	_Atomic unsigned running;
};

static void *verify_while_rotating(void *arg)
{
	struct rotation *rotation = arg;
	struct token_cache *cache = NULL;
	struct token_claims claims;
	struct token_view view;
	struct arena arena;

	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	token_view_init(&view, rotation->ring);
	REQUIRE(token_cache_new(rotation->ring, &test_rules, 4, &cache) == 0);
	for (unsigned i = 0; i < CHECKS; i++) {
		struct str token = rotation->tokens[i % 2];
		const struct token_keys *keys = token_view_keys(&view);
		bool known = token_keys_find(keys, sign_key_id(rotation->keys[i % 2]));
		int r = token_verify(keys, token, &test_rules, TEST_NOW_US, &arena, &claims);

		EXPECT(known || i % 2);
		EXPECT_INT(r, known ? 0 : -ERR_UNAUTHORIZED);
		r = token_check(cache, token, TEST_NOW_US, &arena, &claims);
		EXPECT(r == 0 || (i % 2 && r == -ERR_UNAUTHORIZED));
		arena_reset(&arena);
	}
	atomic_fetch_sub(&rotation->running, 1);

	token_cache_free(cache);
	token_view_done(&view);
	arena_done(&arena);
	return NULL;
}

/* Sets are made, published and dropped as fast as can be while workers verify. */
TEST(token_keyring_rotation)
{
	struct rotation rotation = { .keys = { test_key(SIGN_RS256), test_key(SIGN_RS256) } };
	struct token_keys *set = test_set(rotation.keys, 2);
	pthread_t workers[WORKERS];
	struct arena arena;

	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	for (size_t i = 0; i < LEN(rotation.tokens); i++)
		rotation.tokens[i] =
			test_sign(&arena, rotation.keys[i], S(TEST_HEADER), S(TEST_PAYLOAD));
	REQUIRE(token_keyring_new(set, &rotation.ring) == 0);
	token_keys_unref(set);

	atomic_store(&rotation.running, WORKERS);
	for (size_t i = 0; i < WORKERS; i++)
		REQUIRE(pthread_create(&workers[i], NULL, verify_while_rotating, &rotation) == 0);
	for (size_t round = 0; atomic_load(&rotation.running); round++) {
		set = test_set(rotation.keys, 1 + round % 2);
		token_keyring_publish(rotation.ring, set);
		token_keys_unref(set);
		token_keyring_revoke(rotation.ring);
	}
	for (size_t i = 0; i < WORKERS; i++)
		REQUIRE(pthread_join(workers[i], NULL) == 0);

	token_keyring_free(rotation.ring);
	sign_key_unref(rotation.keys[0]);
	sign_key_unref(rotation.keys[1]);
	arena_done(&arena);
}

#ifdef BULKHEAD_FAULTS
TEST(token_keys_without_memory)
{
	struct sign_key *key = test_key(SIGN_EDDSA);
	struct token_keys *set = NULL;
	struct token_keyring *ring = NULL;

	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(token_keys_new(&key, 1, &set), -ERR_NO_MEMORY);
	REQUIRE(token_keys_new(&key, 1, &set) == 0);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(token_keyring_new(set, &ring), -ERR_NO_MEMORY);
	EXPECT(!ring);
	fault_arm(FAULT_MEMORY, 0);
	token_keys_unref(set);
	sign_key_unref(key);
	EXPECT_INT(mem_used(), 0);
}
#endif
