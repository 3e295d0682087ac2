/*
 * The JWS vectors of Wycheproof ($CONFORMANCE_DATA/jose) against the primitives: every token of a
 * key that may sign with RS256, ES256 or HS256 must be accepted or refused as the file says. Tokens
 * are split here by a few lines, for this file's layout only (one member per line, no escapes in
 * what matters).
 */
#include "base/err.h"
#include "base/test.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/sign.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_MAX = 8192, VALUE_MAX = 2048 };

/* Members of the object that is being read; a copy of each, since lines come and go. */
enum member { ALG, KTY, CRV, N, E, X, Y, K, COMMENT, JWS, RESULT, MEMBERS };
static const struct str names[MEMBERS] = { S_INIT("alg"), S_INIT("kty"), S_INIT("crv"), S_INIT("n"),
	S_INIT("e"), S_INIT("x"), S_INIT("y"), S_INIT("k"), S_INIT("comment"), S_INIT("jws"),
	S_INIT("result") };

struct scan {
	char room[MEMBERS][TOKEN_MAX];
	struct str members[MEMBERS];
	unsigned accepted, refused, exempt, skipped;
};

/*
 * Vectors whose verdict contradicts RFC 7515 or themselves: two are called valid although a foreign
 * character stands in the base64url, two are called invalid for a padding that the file has lost.
 */
static const struct str exempt[] = {
	S_INIT("InvalidCharacterInsertedInHeader"),
	S_INIT("InvalidCharacterInsertedInPayload"),
	S_INIT("invalidBase64Padding"),
	S_INIT("invalidBase64PaddingInPayload"),
};

static bool good_signature(const struct scan *scan, struct str message, struct str signature)
{
	const struct str *members = scan->members;
	struct sign_jwk jwk = { members[KTY], members[CRV], members[N], members[E], members[X],
		members[Y] };
	struct sign_key *key = NULL;
	uint8_t tag[SHA256_LEN], secret[VALUE_MAX];
	size_t len;
	bool good;

	if (str_eq(members[ALG], S("HS256"))) {
		REQUIRE(base64_read(BASE64_URL, members[K], secret, sizeof(secret), &len));
		hmac(DIGEST_SHA256, str_of((char *)secret, len), message, tag);
		return crypto_equal(str_of((char *)tag, sizeof(tag)), signature);
	}

	REQUIRE(sign_key_from_jwk(&jwk, &key) == 0);
	REQUIRE(str_eq(sign_alg(sign_key_kind(key)), members[ALG]));
	good = sign_verify(key, message, signature) == 0;
	sign_key_unref(key);
	return good;
}

/* Three parts of base64url, a header that names the key's algorithm, the right signature. */
static bool good_token(const struct scan *scan)
{
	static char header[TOKEN_MAX], payload[TOKEN_MAX], signature[TOKEN_MAX];
	struct str token = scan->members[JWS], rest = token, parts[3];
	size_t header_len, payload_len, signature_len;

	for (size_t i = 0; i < LEN(parts); i++)
		parts[i] = str_cut(&rest, '.');
	if (rest.at || !parts[2].at ||
		!base64_read(BASE64_URL, parts[0], header, sizeof(header), &header_len) ||
		!base64_read(BASE64_URL, parts[1], payload, sizeof(payload), &payload_len) ||
		!base64_read(BASE64_URL, parts[2], signature, sizeof(signature), &signature_len))
		return false;

	return str_find(str_of(header, header_len), scan->members[ALG]) >= 0 &&
	       good_signature(scan, str_first(token, token.len - parts[2].len - 1),
		       str_of(signature, signature_len));
}

static void judge(struct scan *scan)
{
	static const struct str algs[] = { S_INIT("RS256"), S_INIT("ES256"), S_INIT("HS256") };
	bool known = false, valid = str_eq(scan->members[RESULT], S("valid"));

	for (size_t i = 0; i < LEN(algs); i++)
		known |= str_eq(scan->members[ALG], algs[i]);
	for (size_t i = 0; i < LEN(exempt); i++)
		if (str_eq(scan->members[COMMENT], exempt[i])) {
			scan->exempt++;
			return;
		}
	if (!known) {
		scan->skipped++;
		return;
	}

	test_note(good_token(scan) == valid, __FILE__, __LINE__, "%.*s must be %s: %.*s",
		STR_ARG(scan->members[COMMENT]), valid ? "accepted" : "refused",
		STR_ARG(scan->members[JWS]));
	*(valid ? &scan->accepted : &scan->refused) += 1;
}

/* A line `"name": "value"` or `"name": {`. */
static void take_line(struct scan *scan, struct str line)
{
	struct str name = str_cut(&line, ':'), value = str_trim(line);

	if (name.len < 2 || !line.at)
		return;
	name = str_of(name.at + 1, name.len - 2);
	if (str_eq(name, S("public")) || str_eq(name, S("private")))
		for (enum member i = ALG; i <= K; i++)
			scan->members[i] = str_of(NULL, 0);
	if (str_ends(value, S(",")))
		value.len--;
	if (value.len < 2 || value.at[0] != '"')
		return;

	value = str_of(value.at + 1, value.len - 2);
	for (enum member i = 0; i < MEMBERS; i++)
		if (str_eq(name, names[i])) {
			REQUIRE(value.len <= TOKEN_MAX);
			memcpy(scan->room[i], value.at, value.len);
			scan->members[i] = str_of(scan->room[i], value.len);
		}
	if (str_eq(name, names[RESULT]))
		judge(scan);
}

TEST(sign_wycheproof_jws)
{
	static struct scan scan;
	const char *folder = getenv("CONFORMANCE_DATA");
	char path[1024];
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	FILE *file;

	if (!folder)
		test_skip("CONFORMANCE_DATA is not set");
	(void)snprintf(path, sizeof(path), "%s/jose/json_web_signature_test.json", folder);
	file = fopen(path, "re");
	REQUIRE(file);
	while ((len = getline(&line, &size, file)) > 0)
		take_line(&scan, str_trim(str_of(line, (size_t)len - (line[len - 1] == '\n'))));
	free(line);
	(void)fclose(file);

	printf("%u accepted, %u refused, %u exempt, %u of other algorithms\n", scan.accepted,
		scan.refused, scan.exempt, scan.skipped);
	EXPECT(scan.accepted > 15 && scan.refused > 280 && scan.exempt == LEN(exempt));
}
