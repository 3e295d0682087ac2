/*
 * Tokens. The first byte says how the rest becomes one: 'p', the payload under a good header,
 * signed by the key; 'h', a header, a line feed and a payload, signed; anything else, the token as
 * it is. Laws: nothing but ERR_UNAUTHORIZED comes back, with the arena as it was; the cache answers
 * like the verifier, twice; claims that were accepted obey the rules, and a token made of them is
 * accepted with the same claims.
 */
#include "base/err.h"
#include "crypto/base64.h"
#include "modules/auth/token_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A P-256 key made for this. */
#define PRIVATE                                                                                    \
	"-----BEGIN PRIVATE KEY-----\n"                                                            \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgHLcsK3SM1J/1u4HR\n"                       \
	"MsDwV/AnMfP+xcXctqPMbH95jAihRANCAAS6kikkJBu6vjim9sN8e0Ir4ixSu+wI\n"                       \
	"/Q8PVe5yJtCuK+X2odiX7ikHEoODV4fseF7FXjYuiT1PL4ghChJr54jw\n"                               \
	"-----END PRIVATE KEY-----\n"

#define NOW_US ((int64_t)1800000000000000)

static const struct token_rules rules = {
	.issuer = S_INIT("https://id.example"),
	.audience = S_INIT("api"),
	.type = TOKEN_ACCESS,
	.leeway_ns = 10 * SECOND,
};

static struct sign_key *key;
static struct token_keys *keys;
static struct token_cache *cache;

static void set_up(void)
{
	struct token_keyring *ring;

	CHECK(sign_key_from_pem(S(PRIVATE), &key) == 0);
	CHECK(token_keys_new(&key, 1, &keys) == 0);
	CHECK(token_keyring_new(keys, &ring) == 0);
	CHECK(token_cache_new(ring, &rules, TOKEN_CACHE_ENTRIES_MIN, &cache) == 0);
}

static void sign(struct buf *token, struct str header, struct str payload)
{
	uint8_t signature[SIGN_SIGNATURE_MAX];
	int len;

	base64_append(token, BASE64_URL, header);
	buf_byte(token, '.');
	base64_append(token, BASE64_URL, payload);
	len = sign_make(key, buf_str(token), signature, sizeof(signature));
	CHECK(len > 0);
	buf_byte(token, '.');
	base64_append(token, BASE64_URL, str_of((const char *)signature, (size_t)len));
}

static void make_token(struct buf *token, struct str input)
{
	char how = input.len ? input.at[0] : 0;
	struct str rest = str_from(input, 1), header;
	struct buf good;

	if (how == 'h') {
		header = str_cut(&rest, '\n');
		sign(token, header, rest);
	} else if (how == 'p') {
		buf_init(&good, KILOBYTE);
		buf_printf(&good, "{\"alg\":\"ES256\",\"kid\":\"%.*s\",\"typ\":\"at+jwt\"}",
			STR_ARG(sign_key_id(key)));
		sign(token, buf_str(&good), rest);
		buf_done(&good);
	} else {
		buf_append(token, rest);
	}
	CHECK(!token->failed);
}

static void check_same(const struct token_claims *a, const struct token_claims *b)
{
	CHECK(str_eq(a->issuer, b->issuer) && str_eq(a->audience, b->audience));
	CHECK(str_eq(a->subject, b->subject) && str_eq(a->client, b->client));
	CHECK(str_eq(a->tenant, b->tenant) && str_eq(a->session, b->session));
	CHECK(str_eq(a->id, b->id) && a->type == b->type && a->role_count == b->role_count);
	CHECK(a->expires_us == b->expires_us && a->issued_us == b->issued_us &&
		a->not_before_us == b->not_before_us);
	for (size_t i = 0; i < a->role_count; i++)
		CHECK(str_eq(a->roles[i], b->roles[i]));
}

static void check_claims(const struct token_claims *claims)
{
	CHECK(str_eq(claims->issuer, rules.issuer) && str_eq(claims->audience, rules.audience));
	CHECK(claims->subject.len > 0 && claims->subject.len <= TOKEN_TEXT_MAX);
	CHECK(claims->role_count <= TOKEN_ROLES_MAX && claims->type == rules.type);
	CHECK(claims->expires_us > NOW_US - 10 * 1000000 && claims->expires_us % 1000000 == 0);
	CHECK(claims->issued_us <= NOW_US + 10 * 1000000);
	CHECK(claims->not_before_us <= NOW_US + 10 * 1000000);
}

/* A token made of the claims says the same. Its JSON may be longer than what they came from. */
static void make_again(const struct token_claims *claims, struct arena *arena)
{
	struct token_claims again;
	struct buf token;
	int r;

	buf_init(&token, TOKEN_MAX);
	r = token_make(key, claims, &token);
	CHECK(r == 0 || r == -ERR_TOO_LARGE);
	if (r == 0) {
		CHECK(token_verify(keys, buf_str(&token), &rules, NOW_US, arena, &again) == 0);
		check_same(&again, claims);
	}
	buf_done(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct token_claims claims, cached;
	struct arena arena;
	struct buf token;
	int r;

	if (!key)
		set_up();

	buf_init(&token, MEGABYTE);
	arena_init(&arena, 64 * KILOBYTE, MEGABYTE);
	make_token(&token, str_of((const char *)data, size));
	r = token_verify(keys, buf_str(&token), &rules, NOW_US, &arena, &claims);
	CHECK(r == 0 || (r == -ERR_UNAUTHORIZED && arena_used(&arena) == 0));
	CHECK(arena_used(&arena) <= TOKEN_ARENA);
	for (int i = 0; i < 2; i++)
		CHECK(token_check(cache, buf_str(&token), NOW_US, &arena, &cached) == r);
	if (r == 0) {
		check_claims(&claims);
		check_same(&claims, &cached);
		make_again(&claims, &arena);
	}
	arena_done(&arena);
	buf_done(&token);
	return 0;
}
