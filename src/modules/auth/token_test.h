/* For the tests of tokens: keys, rules, and tokens signed over any header and payload. */
#ifndef MODULES_AUTH_TOKEN_TEST_H
#define MODULES_AUTH_TOKEN_TEST_H

#include "base/err.h"
#include "base/test.h"
#include "crypto/base64.h"
#include "modules/auth/token.h"

#define TEST_ISSUER   "https://id.example"
#define TEST_AUDIENCE "https://api.example"
#define TEST_HEADER   "{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"at+jwt\"}"
#define TEST_BODY                                                                                  \
	"\"iss\":\"" TEST_ISSUER "\",\"aud\":\"" TEST_AUDIENCE                                     \
	"\",\"sub\":\"0190b4f2-user\",\"tenant\":\"0190b4f2-tenant\",\"sid\":\"0190b4f2-"          \
	"session\","                                                                               \
	"\"roles\":[\"admin\",\"auditor\"]"
#define TEST_PAYLOAD "{" TEST_BODY ",\"iat\":1800000000,\"exp\":1800000900}"

#define TEST_NOW_US 1800000000000000

static const struct token_rules test_rules = {
	.issuer = S_INIT(TEST_ISSUER),
	.audience = S_INIT(TEST_AUDIENCE),
	.type = TOKEN_ACCESS,
	.leeway_ns = 10 * SECOND,
};

static inline struct sign_key *test_key(enum sign_kind kind)
{
	struct sign_key *key = NULL;

	REQUIRE(sign_key_generate(kind, kind == SIGN_RS256 ? SIGN_RSA_BITS_MIN : 0, &key) == 0);
	return key;
}

static inline struct token_keys *test_set(struct sign_key *const *keys, size_t count)
{
	struct token_keys *set = NULL;

	REQUIRE(token_keys_new(keys, count, &set) == 0);
	return set;
}

/* The header with $K and $A replaced by the key's id and algorithm. */
static inline struct str test_header(
	struct arena *arena, const struct sign_key *key, struct str text)
{
	struct str made = S("");

	while (text.len) {
		bool id = str_starts(text, S("$K")), alg = str_starts(text, S("$A"));
		struct str piece = id    ? sign_key_id(key)
				   : alg ? sign_alg(sign_key_kind(key))
					 : str_first(text, 1);

		made = arena_printf(arena, "%.*s%.*s", STR_ARG(made), STR_ARG(piece));
		REQUIRE(made.at);
		text = str_from(text, id || alg ? 2 : 1);
	}
	return made;
}

static inline struct str test_encode(struct arena *arena, struct str bytes)
{
	char *at = arena_alloc(arena, base64_len(BASE64_URL, bytes.len) + 1);

	REQUIRE(at);
	return str_of(at, base64_write(BASE64_URL, at, bytes));
}

/* Header and payload as they are signed. */
static inline struct str test_message(struct arena *arena, struct str header, struct str payload)
{
	struct str left = test_encode(arena, header), right = test_encode(arena, payload);

	return arena_printf(arena, "%.*s.%.*s", STR_ARG(left), STR_ARG(right));
}

/* The message with a signature of these bytes. */
static inline struct str test_seal(struct arena *arena, struct str message, struct str signature)
{
	struct str text = test_encode(arena, signature);

	return arena_printf(arena, "%.*s.%.*s", STR_ARG(message), STR_ARG(text));
}

/* A token over any header and payload, with a good signature. */
static inline struct str test_sign(
	struct arena *arena, const struct sign_key *key, struct str header, struct str payload)
{
	struct str message = test_message(arena, test_header(arena, key, header), payload);
	uint8_t signature[SIGN_SIGNATURE_MAX];
	int len = sign_make(key, message, signature, sizeof(signature));

	REQUIRE(len > 0);
	return test_seal(arena, message, str_of((const char *)signature, (size_t)len));
}

/* The cause in the error slot. */
static inline struct str test_reason(void)
{
	return str_from_c(err_last()->frames[0].text);
}

#endif
