/*
 * The JWS vectors of Wycheproof ($CONFORMANCE_DATA/jose) against the reader and the check of tokens
 * together: all groups whose key is for RS256 or ES256. Tokens of other keys are only read.
 */
#include "modules/auth/token_jws.h"

#include "base/err.h"
#include "base/test.h"
#include "json/reader.h"

#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 1024 * 1024 };

struct group {
	struct sign_jwk jwk;
	struct str alg, kid;
	struct sign_key *key; /* NULL: for an algorithm that we do not have */
};

struct run {
	struct json_reader reader;
	struct arena arena, token_arena;
	unsigned accepted, refused, skipped;
};

static bool good(struct run *run, const struct group *group, struct str token)
{
	struct token_jws jws;
	bool known = token_jws_read(token, &run->token_arena, &jws) == 0 && group->key &&
		     str_eq(jws.kid, group->kid);

	return known && token_jws_check(&jws, group->key) == 0;
}

static void judge(struct run *run, const struct group *group, struct str comment, struct str token,
	struct str result)
{
	bool valid = str_eq(result, S("valid")), accepted = good(run, group, token);

	arena_reset(&run->token_arena);
	if (!group->key) {
		run->skipped++;
		return;
	}

	test_note(accepted == valid, __FILE__, __LINE__, "%.*s must be %s: %.*s", STR_ARG(comment),
		valid ? "accepted" : "refused", STR_ARG(token));
	*(valid ? &run->accepted : &run->refused) += 1;
}

/* The value of the name just read, if it is a string. */
static struct str text(struct run *run)
{
	int event = json_next(&run->reader);

	if (event == JSON_STRING)
		return run->reader.text;
	REQUIRE(event >= 0 && json_skip(&run->reader) == 0);
	return str_of(NULL, 0);
}

static void read_key(struct run *run, struct group *group)
{
	const struct {
		struct str name;
		struct str *place;
	} members[] = {
		{ S_INIT("kty"), &group->jwk.kty },
		{ S_INIT("crv"), &group->jwk.crv },
		{ S_INIT("n"), &group->jwk.n },
		{ S_INIT("e"), &group->jwk.e },
		{ S_INIT("x"), &group->jwk.x },
		{ S_INIT("y"), &group->jwk.y },
		{ S_INIT("alg"), &group->alg },
		{ S_INIT("kid"), &group->kid },
	};

	REQUIRE(json_next(&run->reader) == JSON_OBJECT);
	while (json_next(&run->reader) == JSON_KEY) {
		struct str name = run->reader.text, value = text(run);

		for (size_t i = 0; i < LEN(members); i++)
			if (str_eq(name, members[i].name))
				*members[i].place = value;
	}

	if (sign_key_from_jwk(&group->jwk, &group->key) == 0 &&
		!str_eq(group->alg, sign_alg(sign_key_kind(group->key))))
		sign_key_unref(TAKE(group->key)); /* for another algorithm or another use */
}

static void read_tests(struct run *run, const struct group *group)
{
	REQUIRE(json_next(&run->reader) == JSON_ARRAY);
	while (json_next(&run->reader) == JSON_OBJECT) {
		struct str comment = S(""), token = S(""), result = S("");

		while (json_next(&run->reader) == JSON_KEY) {
			struct str name = run->reader.text, value = text(run);

			if (str_eq(name, S("comment")))
				comment = value;
			else if (str_eq(name, S("jws")))
				token = value;
			else if (str_eq(name, S("result")))
				result = value;
		}
		judge(run, group, comment, token, result);
	}
}

static void read_group(struct run *run)
{
	struct group group = { 0 };

	while (json_next(&run->reader) == JSON_KEY) {
		if (str_eq(run->reader.text, S("public")))
			read_key(run, &group);
		else if (str_eq(run->reader.text, S("tests")))
			read_tests(run, &group);
		else
			REQUIRE(json_skip(&run->reader) == 0);
	}
	sign_key_unref(group.key);
}

static struct str read_file(struct arena *arena)
{
	const char *folder = getenv("CONFORMANCE_DATA");
	char *at = arena_alloc(arena, FILE_MAX);
	struct str path;
	FILE *file;
	size_t len;

	if (!folder)
		test_skip("CONFORMANCE_DATA is not set");
	path = arena_printf(arena, "%s/jose/json_web_signature_test.json", folder);
	REQUIRE(at && path.at);
	file = fopen(path.at, "re");
	REQUIRE(file);
	len = fread(at, 1, FILE_MAX, file);
	(void)fclose(file);
	return str_of(at, len);
}

TEST(token_jws_wycheproof)
{
	static struct run run;

	arena_init(&run.arena, MEGABYTE, 16 * MEGABYTE);
	arena_init(&run.token_arena, 64 * KILOBYTE, MEGABYTE);
	json_reader_init(&run.reader, read_file(&run.arena), &run.arena, NULL);
	REQUIRE(json_next(&run.reader) == JSON_OBJECT);
	while (json_next(&run.reader) == JSON_KEY) {
		if (!str_eq(run.reader.text, S("testGroups"))) {
			REQUIRE(json_skip(&run.reader) == 0);
			continue;
		}
		REQUIRE(json_next(&run.reader) == JSON_ARRAY);
		while (json_next(&run.reader) == JSON_OBJECT)
			read_group(&run);
	}
	EXPECT_INT(json_next(&run.reader), JSON_END);

	printf("%u accepted, %u refused, %u of other keys\n", run.accepted, run.refused,
		run.skipped);
	EXPECT(run.accepted >= 10 && run.refused >= 260);
	arena_done(&run.token_arena);
	arena_done(&run.arena);
}
