/*
 * Tokens: every attack by name and refused for its own reason, tokens that are good although they
 * look odd, round trips of all algorithms, single characters changed, memory running out.
 */
#include "modules/auth/token_test.h"

#include "base/fault.h"
#include "base/mem.h"
#include "crypto/digest.h"

static struct arena arena;
static struct sign_key *keys[SIGN_KINDS];
static struct token_keys *set;

/* One key of each kind, and the set of them. */
static void set_up(void)
{
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++)
		keys[kind] = test_key(kind);
	set = test_set(keys, SIGN_KINDS);
}

static void tear_down(void)
{
	token_keys_unref(set);
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++)
		sign_key_unref(keys[kind]);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

static int verify(struct str token, struct token_claims *ret)
{
	return token_verify(set, token, &test_rules, TEST_NOW_US, &arena, ret);
}

/* Notes a failure unless the token is refused with a cause that contains `reason`. */
static void expect_refused(const char *attack, struct str token, const char *reason)
{
	struct token_claims claims = { .subject = S_INIT("untouched") };
	size_t level = arena_used(&arena);
	int r = verify(token, &claims);

	test_note(r == -ERR_UNAUTHORIZED, __FILE__, __LINE__, "%s: %d", attack, r);
	test_note(str_find(test_reason(), str_from_c(reason)) >= 0, __FILE__, __LINE__,
		"%s: refused because \"%.*s\", not \"%s\"", attack, STR_ARG(test_reason()), reason);
	EXPECT_STR(str_from_c(err_text()), S("the access token is not valid"));
	EXPECT_STR(claims.subject, S("untouched"));
	EXPECT_INT(arena_used(&arena), level);
}

static void expect_good(const char *what, struct str token)
{
	struct token_claims claims;
	int r = verify(token, &claims);

	test_note(r == 0, __FILE__, __LINE__, "%s: %.*s", what, STR_ARG(test_reason()));
	if (r == 0)
		EXPECT_STR(claims.issuer, test_rules.issuer);
}

/* --- headers --------------------------------------------------------------------- */

#define KID_TYP    "\"kid\":\"$K\",\"typ\":\"at+jwt\""
#define AND(other) "{\"alg\":\"$A\"," KID_TYP "," other "}"

/* All signed by the right key, so that nothing but the header is wrong. */
static const struct {
	const char *attack;
	struct str header;
	const char *reason;
} header_attacks[] = {
	{ "no header members", S_INIT("{}"), "typ is not" },
	{ "alg none", S_INIT("{\"alg\":\"none\"," KID_TYP "}"), "alg is \"none\"" },
	{ "alg None", S_INIT("{\"alg\":\"None\"," KID_TYP "}"), "alg is \"None\"" },
	{ "alg NONE", S_INIT("{\"alg\":\"NONE\"," KID_TYP "}"), "alg is \"NONE\"" },
	{ "alg empty", S_INIT("{\"alg\":\"\"," KID_TYP "}"), "alg is \"\"" },
	{ "alg missing", S_INIT("{" KID_TYP "}"), "alg is \"\"" },
	{ "alg null", S_INIT("{\"alg\":null," KID_TYP "}"),
		"\"alg\" of the header is not a string" },
	{ "alg array", S_INIT("{\"alg\":[\"ES256\"]," KID_TYP "}"), "levels of nesting" },
	{ "alg object", S_INIT("{\"alg\":{}," KID_TYP "}"), "levels of nesting" },
	{ "alg lower case", S_INIT("{\"alg\":\"es256\"," KID_TYP "}"), "alg is \"es256\"" },
	{ "alg of another key", S_INIT("{\"alg\":\"RS256\"," KID_TYP "}"), "alg is \"RS256\"" },
	{ "alg of the same key, other hash", S_INIT("{\"alg\":\"ES384\"," KID_TYP "}"),
		"alg is \"ES384\"" },
	{ "alg with a NUL", S_INIT("{\"alg\":\"ES256\\u0000\"," KID_TYP "}"), "alg is" },
	{ "alg twice", S_INIT("{\"alg\":\"none\",\"alg\":\"$A\"," KID_TYP "}"), "second member" },
	{ "alg twice, escaped", S_INIT("{\"alg\":\"$A\",\"\\u0061lg\":\"none\"," KID_TYP "}"),
		"second member" },
	{ "Alg in another case", S_INIT("{\"Alg\":\"$A\"," KID_TYP "}"), "a member \"Alg\"" },

	{ "kid missing", S_INIT("{\"alg\":\"$A\",\"typ\":\"at+jwt\"}"), "no key with this kid" },
	{ "kid empty", S_INIT("{\"alg\":\"$A\",\"kid\":\"\",\"typ\":\"at+jwt\"}"), "no key" },
	{ "kid unknown",
		S_INIT("{\"alg\":\"$A\",\"kid\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		       "\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid a path", S_INIT("{\"alg\":\"$A\",\"kid\":\"../../../dev/null\",\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid a path to the key", S_INIT("{\"alg\":\"$A\",\"kid\":\"./$K\",\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid SQL",
		S_INIT("{\"alg\":\"$A\",\"kid\":\"x' UNION SELECT 'secret\",\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid an address",
		S_INIT("{\"alg\":\"$A\",\"kid\":\"https://a.example/k\",\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid and more", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K \",\"typ\":\"at+jwt\"}"), "no key" },
	{ "kid behind a NUL", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\\u0000\",\"typ\":\"at+jwt\"}"),
		"no key" },
	{ "kid a number", S_INIT("{\"alg\":\"$A\",\"kid\":1,\"typ\":\"at+jwt\"}"), "not a string" },

	{ "typ missing", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\"}"), "typ is not" },
	{ "typ JWT", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"JWT\"}"), "typ is not" },
	{ "typ in another case", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"AT+JWT\"}"),
		"typ is not" },
	{ "typ of a logout token", S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"logout+jwt\"}"),
		"typ is not" },
	{ "typ with the tree",
		S_INIT("{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"application/at+jwt\"}"),
		"typ is not" },

	{ "crit exp", S_INIT(AND("\"crit\":[\"exp\"]")), "a member \"crit\"" },
	{ "crit empty", S_INIT(AND("\"crit\":[]")), "a member \"crit\"" },
	{ "crit b64", S_INIT(AND("\"crit\":[\"b64\"],\"b64\":false")), "a member \"crit\"" },
	{ "payload not encoded", S_INIT(AND("\"b64\":false")), "a member \"b64\"" },
	{ "key embedded", S_INIT(AND("\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}")),
		"a member \"jwk\"" },
	{ "key by address", S_INIT(AND("\"jku\":\"https://a.example/jwks\"")), "a member \"jku\"" },
	{ "certificate embedded", S_INIT(AND("\"x5c\":[\"AA==\"]")), "a member \"x5c\"" },
	{ "certificate by address", S_INIT(AND("\"x5u\":\"file:///etc/passwd\"")),
		"a member \"x5u\"" },
	{ "certificate by digest", S_INIT(AND("\"x5t#S256\":\"AA\"")), "a member \"x5t#S256\"" },
	{ "nested token", S_INIT(AND("\"cty\":\"JWT\"")), "a member \"cty\"" },
	{ "compressed", S_INIT(AND("\"zip\":\"DEF\"")), "a member \"zip\"" },
	{ "encrypted", S_INIT(AND("\"enc\":\"A256GCM\"")), "a member \"enc\"" },
	{ "unknown member", S_INIT(AND("\"x\":1")), "a member \"x\"" },
	{ "prototype", S_INIT(AND("\"__proto__\":{}")), "a member \"__proto__\"" },

	{ "header an array", S_INIT("[{\"alg\":\"$A\"}]"), "not a JSON object" },
	{ "header a string", S_INIT("\"$A\""), "not a JSON object" },
	{ "header null", S_INIT("null"), "not a JSON object" },
	{ "header cut", S_INIT("{\"alg\":\"$A\"," KID_TYP), "the header: " },
	{ "header and more", S_INIT("{\"alg\":\"$A\"," KID_TYP "}{}"), "the header: " },
	{ "header with a comma behind", S_INIT("{\"alg\":\"$A\"," KID_TYP ",}"), "the header: " },
	{ "header in single quotes", S_INIT("{'alg':'$A'," KID_TYP "}"), "the header: " },
	{ "header with a byte order mark", S_INIT("\xEF\xBB\xBF{\"alg\":\"$A\"," KID_TYP "}"),
		"the header: " },
	{ "header not UTF-8", S_INIT("{\"alg\":\"\xC0\xAF\"," KID_TYP "}"), "the header: " },
};

TEST(token_header_attacks)
{
	set_up();
	for (size_t i = 0; i < LEN(header_attacks); i++)
		expect_refused(header_attacks[i].attack,
			test_sign(&arena, keys[SIGN_ES256], header_attacks[i].header,
				S(TEST_PAYLOAD)),
			header_attacks[i].reason);
	tear_down();
}

/* --- payloads -------------------------------------------------------------------- */

#define TIMES    "\"iat\":1800000000,\"exp\":1800000900"
#define ISS      "\"iss\":\"" TEST_ISSUER "\""
#define AUD      "\"aud\":\"" TEST_AUDIENCE "\""
#define SUB      "\"sub\":\"u\""
#define EXP(n)   "{" TEST_BODY ",\"exp\":" n "}"
#define WITH(x)  "{" TEST_BODY "," TIMES "," x "}"
#define ROLES(x) "{" ISS "," AUD "," SUB "," TIMES ",\"roles\":" x "}"
#define AUDS(x)  "{" ISS "," SUB "," TIMES ",\"aud\":" x "}"
#define TEN(x)   x x x x x x x x x x

static const struct {
	const char *attack;
	struct str payload;
	const char *reason;
} payload_attacks[] = {
	{ "payload empty", S_INIT(""), "the payload: " },
	{ "payload an array", S_INIT("[]"), "not a JSON object" },
	{ "payload a string", S_INIT("\"sub\""), "not a JSON object" },
	{ "payload a token", S_INIT("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1In0."), "the payload: " },
	{ "payload cut", S_INIT("{" TEST_BODY "," TIMES), "the payload: " },
	{ "payload and more", S_INIT(TEST_PAYLOAD "{}"), "the payload: " },
	{ "payload and a NUL", S_INIT(TEST_PAYLOAD "\0"), "the payload: " },
	{ "payload with a comment", S_INIT("{/**/" TEST_BODY "," TIMES "}"), "the payload: " },
	{ "payload not UTF-8", S_INIT(WITH("\"x\":\"\xFF\"")), "the payload: " },
	{ "lone surrogate", S_INIT(WITH("\"x\":\"\\ud800\"")), "the payload: " },
	{ "exp twice", S_INIT("{" TEST_BODY ",\"exp\":1,\"exp\":1800000900}"), "second member" },
	{ "exp twice, escaped",
		S_INIT("{" TEST_BODY ",\"exp\":1800000900,\"\\u0065xp\":1800000900}"),
		"second member" },
	{ "sub twice", S_INIT(WITH("\"sub\":\"root\"")), "second member" },
	{ "unknown claim twice", S_INIT(WITH("\"x\":1,\"x\":2")), "second member" },
	{ "twice within a claim", S_INIT(WITH("\"x\":{\"y\":1,\"y\":2}")), "second member" },
	{ "deep", S_INIT(WITH("\"x\":[[[[[[[[1]]]]]]]]")), "levels of nesting" },
	{ "many items", S_INIT(WITH("\"x\":[" TEN(TEN("1,")) TEN("1,1,1,1,1,1,1,") "1]")),
		"members and items" },

	{ "exp missing", S_INIT("{" TEST_BODY ",\"iat\":1800000000}"), "there is no \"exp\"" },
	{ "exp past", S_INIT(EXP("1799999000")), "expired" },
	{ "exp at the end of the leeway", S_INIT(EXP("1799999990")), "expired" },
	{ "exp one", S_INIT(EXP("1")), "expired" },
	{ "exp zero", S_INIT(EXP("0")), "\"exp\" is not a time" },
	{ "exp minus zero", S_INIT(EXP("-0")), "\"exp\" is not a time" },
	{ "exp negative", S_INIT(EXP("-1")), "\"exp\" is not a time" },
	{ "exp in milliseconds", S_INIT(EXP("1800000900000")), "\"exp\" is not a time" },
	{ "exp of the year 10000", S_INIT(EXP("253402300800")), "\"exp\" is not a time" },
	{ "exp the largest", S_INIT(EXP("9223372036854775807")), "\"exp\" is not a time" },
	{ "exp wraps 64 bits", S_INIT(EXP("18446744075509552516")), "\"exp\" is not a time" },
	{ "exp wraps microseconds", S_INIT(EXP("9223373836855676")), "\"exp\" is not a time" },
	{ "exp enormous", S_INIT(EXP("1e999")), "\"exp\" is not a time" },
	{ "exp with an exponent", S_INIT(EXP("1.8000009e9")), "\"exp\" is not a time" },
	{ "exp a fraction", S_INIT(EXP("1800000900.5")), "\"exp\" is not a time" },
	{ "exp whole, with a point", S_INIT(EXP("1800000900.0")), "\"exp\" is not a time" },
	{ "exp with a plus", S_INIT(EXP("+1800000900")), "the payload: " },
	{ "exp with a leading zero", S_INIT(EXP("01800000900")), "\"exp\" is not a time" },
	{ "exp in hex", S_INIT(EXP("0x7fffffff")), "\"exp\" is not a time" },
	{ "exp NaN", S_INIT(EXP("NaN")), "the payload: " },
	{ "exp a string", S_INIT(EXP("\"1800000900\"")), "\"exp\" is not a number" },
	{ "exp null", S_INIT(EXP("null")), "\"exp\" is not a number" },
	{ "exp true", S_INIT(EXP("true")), "\"exp\" is not a number" },
	{ "exp an array", S_INIT(EXP("[1800000900]")), "\"exp\" is not a number" },
	{ "Exp in another case", S_INIT("{" TEST_BODY ",\"Exp\":1800000900}"),
		"there is no \"exp\"" },

	{ "nbf in the future", S_INIT(WITH("\"nbf\":1800000011")), "not valid yet" },
	{ "nbf a string", S_INIT(WITH("\"nbf\":\"0\"")), "\"nbf\" is not a number" },
	{ "iat in the future", S_INIT("{" TEST_BODY ",\"iat\":1800000011,\"exp\":1800000900}"),
		"issued in the future" },
	{ "iat a fraction", S_INIT("{" TEST_BODY ",\"iat\":1.5,\"exp\":1800000900}"),
		"\"iat\" is not a time" },

	{ "iss missing", S_INIT("{" AUD "," SUB "," TIMES "}"), "there is no \"iss\"" },
	{ "iss another", S_INIT("{\"iss\":\"https://evil.example\"," AUD "," SUB "," TIMES "}"),
		"the issuer is https://evil.example" },
	{ "iss with a slash", S_INIT("{\"iss\":\"" TEST_ISSUER "/\"," AUD "," SUB "," TIMES "}"),
		"the issuer is" },
	{ "iss an array", S_INIT("{\"iss\":[\"" TEST_ISSUER "\"]," AUD "," SUB "," TIMES "}"),
		"\"iss\" is not a string" },
	{ "iss behind a NUL",
		S_INIT("{\"iss\":\"" TEST_ISSUER "\\u0000\"," AUD "," SUB "," TIMES "}"),
		"the issuer is" },
	{ "sub missing", S_INIT("{" ISS "," AUD "," TIMES "}"), "there is no \"sub\"" },
	{ "sub empty", S_INIT("{" ISS "," AUD "," TIMES ",\"sub\":\"\"}"), "\"sub\" has a text" },
	{ "sub a number", S_INIT("{" ISS "," AUD "," TIMES ",\"sub\":1}"),
		"\"sub\" is not a string" },
	{ "sub an object", S_INIT("{" ISS "," AUD "," TIMES ",\"sub\":{\"$ne\":1}}"),
		"\"sub\" is not a string" },
	{ "sub too long", S_INIT("{" ISS "," AUD "," TIMES ",\"sub\":\"" TEN(TEN("abc")) "\"}"),
		"has a text of 300" },
	{ "tenant null", S_INIT("{" ISS "," AUD "," SUB "," TIMES ",\"tenant\":null}"),
		"\"tenant\" is not a string" },
	{ "tenant empty", S_INIT("{" ISS "," AUD "," SUB "," TIMES ",\"tenant\":\"\"}"),
		"\"tenant\" has a text" },
	{ "tenant an array", S_INIT("{" ISS "," AUD "," SUB "," TIMES ",\"tenant\":[\"a\",\"b\"]}"),
		"\"tenant\" is not a string" },
	{ "sid a number", S_INIT("{" ISS "," AUD "," SUB "," TIMES ",\"sid\":7}"),
		"\"sid\" is not a string" },

	{ "aud missing", S_INIT("{" ISS "," SUB "," TIMES "}"), "there is no \"aud\"" },
	{ "aud another", S_INIT(AUDS("\"https://other.example\"")), "not for the audience" },
	{ "aud a prefix", S_INIT(AUDS("\"https://api\"")), "not for the audience" },
	{ "aud and more", S_INIT(AUDS("\"" TEST_AUDIENCE ".evil.example\"")),
		"not for the audience" },
	{ "aud a list in a string", S_INIT(AUDS("\"a " TEST_AUDIENCE "\"")),
		"not for the audience" },
	{ "aud null", S_INIT(AUDS("null")), "\"aud\" is not a string or an array" },
	{ "aud an object", S_INIT(AUDS("{}")), "\"aud\" is not a string or an array" },
	{ "aud an empty array", S_INIT(AUDS("[]")), "not for the audience" },
	{ "aud nested", S_INIT(AUDS("[[\"" TEST_AUDIENCE "\"]]")),
		"\"aud\" is not an array of strings" },
	{ "aud with a number", S_INIT(AUDS("[\"" TEST_AUDIENCE "\",1]")),
		"\"aud\" is not an array of strings" },
	{ "aud with an empty text", S_INIT(AUDS("[\"" TEST_AUDIENCE "\",\"\"]")),
		"\"aud\" has a text" },
	{ "aud long",
		S_INIT(AUDS("[" TEN("\"a\",") "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"" TEST_AUDIENCE
					      "\"]")),
		"\"aud\" has more than 16" },

	{ "roles a string", S_INIT(ROLES("\"admin\"")), "\"roles\" is not an array" },
	{ "roles null", S_INIT(ROLES("null")), "\"roles\" is not an array" },
	{ "roles an object", S_INIT(ROLES("{\"admin\":true}")), "\"roles\" is not an array" },
	{ "roles with null", S_INIT(ROLES("[\"a\",null]")), "\"roles\" is not an array" },
	{ "roles nested", S_INIT(ROLES("[[\"admin\"]]")), "\"roles\" is not an array" },
	{ "roles with an empty text", S_INIT(ROLES("[\"\"]")), "\"roles\" has a text" },
	{ "roles without end", S_INIT(ROLES("[\"a\"")), "the payload: " },
	{ "roles too many",
		S_INIT(ROLES("[" TEN(
			"\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",") "\"a\",\"a\",\"a\",\"a\",\"a\"]")),
		"\"roles\" has more than 64" },
};

TEST(token_payload_attacks)
{
	set_up();
	for (size_t i = 0; i < LEN(payload_attacks); i++)
		expect_refused(payload_attacks[i].attack,
			test_sign(&arena, keys[SIGN_EDDSA], S(TEST_HEADER),
				payload_attacks[i].payload),
			payload_attacks[i].reason);
	tear_down();
}

/* The claims of a token whose signature is wrong are not looked at. */
TEST(token_signature_before_claims)
{
	static const struct str payloads[] = { S_INIT(EXP("1")), S_INIT("["), S_INIT("") };

	set_up();
	for (size_t i = 0; i < LEN(payloads); i++) {
		struct str header = test_header(&arena, keys[SIGN_ES256], S(TEST_HEADER));
		char zero[SIGN_RAW_LEN] = { 0 };

		expect_refused("signature of zeros",
			test_seal(&arena, test_message(&arena, header, payloads[i]),
				str_of(zero, sizeof(zero))),
			"the signature is not valid");
	}
	tear_down();
}

/* --- shapes ------------------------------------------------------------------------ */

/* Letters H, P and S stand for the parts of a good token. */
static const struct {
	struct str text;
	const char *reason;
} shapes[] = {
	{ S_INIT(""), "three parts" },
	{ S_INIT("."), "three parts" },
	{ S_INIT(".."), "the header is empty" },
	{ S_INIT("..."), "three parts" },
	{ S_INIT("H"), "three parts" },
	{ S_INIT("H.P"), "three parts" },
	{ S_INIT("H.P."), "the signature is empty" },
	{ S_INIT("H..S"), "the signature is not valid" },
	{ S_INIT(".P.S"), "the header is empty" },
	{ S_INIT("H.P.S."), "three parts" },
	{ S_INIT("H.P.S.."), "three parts" },
	{ S_INIT(".H.P.S"), "three parts" },
	{ S_INIT("H..P.S"), "three parts" },
	{ S_INIT("H.P.S.S"), "three parts" },
	{ S_INIT("H.P.S.S.S"), "three parts" }, /* as a JWE has */
	{ S_INIT("H.P.H.P.S"), "three parts" },
	{ S_INIT("P.H.S"), "the header has a member" },
	{ S_INIT("H.H.S"), "the signature is not valid" },
	{ S_INIT("H.P.P"), "the signature is not base64url" },
	{ S_INIT("H=.P.S"), "the header is not base64url" },
	{ S_INIT("H.P=.S"), "the payload is not base64url" },
	{ S_INIT("H.P.S="), "the signature is not base64url" },
	{ S_INIT("H.P.S=="), "the signature is not base64url" },
	{ S_INIT("H.P.S\n"), "the signature is not base64url" },
	{ S_INIT("H.P.S "), "the signature is not base64url" },
	{ S_INIT("H.P.S\0"), "the signature is not base64url" },
	{ S_INIT("H.P.SA"), "the signature is not base64url" },
	{ S_INIT("H.P.SSSS"), "the signature is not base64url" },
	{ S_INIT(" H.P.S"), "the header is not base64url" },
	{ S_INIT("\tH.P.S"), "the header is not base64url" },
	{ S_INIT("H .P.S"), "the header is not base64url" },
	{ S_INIT("H. P.S"), "the payload is not base64url" },
	{ S_INIT("H.P\r\n.S"), "the payload is not base64url" },
	{ S_INIT("H.P. S"), "the signature is not base64url" },
	{ S_INIT("H.P.+S"), "the signature is not base64url" },
	{ S_INIT("H.P./S"), "the signature is not base64url" },
	{ S_INIT("H.P.%S"), "the signature is not base64url" },
	{ S_INIT("\"H.P.S\""), "the header is not base64url" },
	{ S_INIT("bearer H.P.S"), "the header is not base64url" },
	{ S_INIT("H,P,S"), "three parts" },
	{ S_INIT("{\"payload\":\"P\",\"protected\":\"H\",\"signature\":\"S\"}"), "three parts" },
};

/* The shape with its letters replaced; "A" in the middle of a shape stands for itself. */
static struct str shape_of(struct str shape, struct str token)
{
	struct str rest = token, parts[3], made = S("");
	static const struct str letters = S_INIT("HPS");

	for (size_t i = 0; i < LEN(parts); i++)
		parts[i] = str_cut(&rest, '.');
	for (size_t i = 0; i < shape.len; i++) {
		ptrdiff_t part = str_find_byte(letters, shape.at[i]);
		struct str piece = part >= 0 ? parts[part] : str_of(shape.at + i, 1);
		char *at = arena_alloc(&arena, made.len + piece.len);

		REQUIRE(at);
		memcpy(at, made.at, made.len);
		memcpy(at + made.len, piece.at, piece.len);
		made = str_of(at, made.len + piece.len);
	}
	return made;
}

TEST(token_shapes)
{
	struct str token;

	set_up();
	token = test_sign(&arena, keys[SIGN_ES256], S(TEST_HEADER), S(TEST_PAYLOAD));
	expect_good("as it is", shape_of(S("H.P.S"), token));
	for (size_t i = 0; i < LEN(shapes); i++)
		expect_refused(
			shapes[i].text.at, shape_of(shapes[i].text, token), shapes[i].reason);
	expect_refused("no pointer", str_of(NULL, 0), "three parts");
	tear_down();
}

/* Bits behind the last byte of a part would give a token a second text. */
TEST(token_stray_bits)
{
	static const struct {
		const char *attack;
		size_t part;
		const char *reason;
	} cases[] = {
		{ "header", 0, "the header is not base64url" },
		{ "payload", 1, "the payload is not base64url" },
		{ "signature", 2, "the signature is not base64url" },
	};

	set_up();
	for (size_t i = 0; i < LEN(cases); i++) {
		/* lengths that are no multiple of three, so that there are such bits */
		struct str header = S("{\"alg\":\"$A\",\"kid\":\"$K\", \"typ\":\"at+jwt\"}");
		struct str token = test_sign(
			&arena, keys[SIGN_ES256], header, S("{" TEST_BODY ", " TIMES "}"));
		struct str copy = arena_str(&arena, token), rest = copy, part = S("");
		char *last;

		expect_good("before", token);
		for (size_t k = 0; k <= cases[i].part; k++)
			part = str_cut(&rest, '.');
		REQUIRE(part.len % 4 != 0);
		last = (char *)(uintptr_t)(part.at + part.len - 1);
		*last = (char)(*last +
			       1); /* letters that end in zero bits are never the last of a run */
		expect_refused(cases[i].attack, copy, cases[i].reason);
	}
	tear_down();
}

TEST(token_sizes)
{
	static char blanks[TOKEN_MAX];
	struct str header, token = S("");
	struct token_claims claims;
	size_t good = 0;

	set_up();
	memset(blanks, ' ', sizeof(blanks));
	header = arena_printf(&arena, "{\"alg\":\"$A\",%.*s\"kid\":\"$K\",\"typ\":\"at+jwt\"}",
		TOKEN_HEADER_MAX - 85, blanks);
	expect_good("large header", test_sign(&arena, keys[SIGN_EDDSA], header, S(TEST_PAYLOAD)));
	header = arena_printf(&arena, "{\"alg\":\"$A\",%.*s\"kid\":\"$K\",\"typ\":\"at+jwt\"}",
		TOKEN_HEADER_MAX, blanks);
	expect_refused("header too large",
		test_sign(&arena, keys[SIGN_EDDSA], header, S(TEST_PAYLOAD)), "the header is not");

	/* the longest payload whose token is short enough, and one byte more */
	for (size_t pad = 5400; token.len <= TOKEN_MAX; pad++) {
		struct arena_mark mark = arena_mark(&arena);

		token = test_sign(&arena, keys[SIGN_EDDSA], S(TEST_HEADER),
			arena_printf(&arena, "{" TEST_BODY "," TIMES ",\"x\":\"%.*s\"}", (int)pad,
				blanks));
		if (token.len > TOKEN_MAX - 2 && token.len <= TOKEN_MAX)
			good += verify(token, &claims) == 0;
		if (token.len <= TOKEN_MAX)
			arena_back(&arena, mark);
	}
	EXPECT(good >= 1);
	expect_refused("more than 8 KB", token, "is the limit");
	tear_down();
}

/* --- signatures ---------------------------------------------------------------------- */

static struct str good_message(enum sign_kind kind)
{
	return test_message(
		&arena, test_header(&arena, keys[kind], S(TEST_HEADER)), S(TEST_PAYLOAD));
}

/* HS256 with something public as its secret: a verifier that lets the token choose falls for it. */
TEST(token_algorithm_confusion)
{
	set_up();
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		struct str header = test_header(&arena, keys[kind],
			S("{\"alg\":\"HS256\",\"kid\":\"$K\",\"typ\":\"at+jwt\"}"));
		struct str message = test_message(&arena, header, S(TEST_PAYLOAD));
		const struct sign_jwk *jwk = sign_key_jwk(keys[kind]);
		uint8_t tag[SHA256_LEN];
		struct buf pem;

		buf_init(&pem, SIGN_PEM_MAX);
		REQUIRE(sign_key_write_public(keys[kind], &pem) == 0);
		const struct str secrets[] = { buf_str(&pem), sign_key_id(keys[kind]), jwk->n,
			jwk->x, S("") };

		for (size_t i = 0; i < LEN(secrets); i++) {
			hmac(DIGEST_SHA256, secrets[i], message, tag);
			expect_refused("HS256 with the public key",
				test_seal(&arena, message, str_of((char *)tag, sizeof(tag))),
				"alg is \"HS256\"");
		}
		buf_done(&pem);
	}
	tear_down();
}

TEST(token_foreign_signatures)
{
	set_up();
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		struct sign_key *stranger = test_key(kind);
		struct str message = good_message(kind);
		uint8_t signature[SIGN_SIGNATURE_MAX] = { 0 };
		struct str bytes = str_of((const char *)signature, sign_len(stranger));

		expect_refused("all zero", test_seal(&arena, message, bytes), "not valid");
		REQUIRE(sign_make(stranger, message, signature, sizeof(signature)) > 0);
		expect_refused("of another key", test_seal(&arena, message, bytes), "not valid");
		expect_refused("of an unknown key",
			test_sign(&arena, stranger, S(TEST_HEADER), S(TEST_PAYLOAD)), "no key");
		for (enum sign_kind other = 0; other < SIGN_KINDS; other++) {
			int len = sign_make(keys[other], message, signature, sizeof(signature));

			REQUIRE(len > 0);
			bytes = str_of((const char *)signature, (size_t)len);
			if (other == kind)
				expect_good("of the key", test_seal(&arena, message, bytes));
			else
				expect_refused("of a key of another kind",
					test_seal(&arena, message, bytes), "the signature is not");
		}
		sign_key_unref(stranger);
	}
	tear_down();
}

TEST(token_signature_encodings)
{
	uint8_t raw[SIGN_RAW_LEN], der[SIGN_DER_MAX];
	struct str message;
	size_t len;

	set_up();
	message = good_message(SIGN_ES256);
	REQUIRE(sign_make(keys[SIGN_ES256], message, raw, sizeof(raw)) == SIGN_RAW_LEN);
	len = sign_der_from_raw(raw, der);
	expect_good("r || s", test_seal(&arena, message, str_of((char *)raw, sizeof(raw))));
	expect_refused("DER", test_seal(&arena, message, str_of((char *)der, len)), "64 bytes");
	expect_refused("cut", test_seal(&arena, message, str_of((char *)raw, 63)), "64 bytes");
	memset(raw + 32, 0, 32);
	expect_refused("s is zero", test_seal(&arena, message, str_of((char *)raw, sizeof(raw))),
		"not valid");
	tear_down();
}

/* One character of a good token replaced, by one of its alphabet or by any. */
TEST(token_one_character)
{
	static const struct str digits =
		S_INIT("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= ");
	uint64_t seed = 20270115;

	set_up();
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++) {
		struct str token = test_sign(&arena, keys[kind], S(TEST_HEADER), S(TEST_PAYLOAD));
		char *at = (char *)(uintptr_t)token.at;
		size_t rounds = test_long() ? 64 : kind == SIGN_RS256 ? 8 : 3;

		expect_good("before", token);
		for (size_t i = 0; i < token.len * rounds; i++) {
			char *place = &at[i / rounds], was = *place;
			uint64_t number = test_random(&seed);
			struct token_claims claims;

			*place = i % 4 ? digits.at[number % digits.len] : (char)number;
			if (*place != was)
				test_note(verify(token, &claims) == -ERR_UNAUTHORIZED, __FILE__,
					__LINE__, "byte %zu as %d", i / rounds, *place);
			*place = was;
		}
		expect_good("after", token);
	}
	tear_down();
}

/* --- good tokens --------------------------------------------------------------------- */

TEST(token_good_ones)
{
	static const struct {
		const char *what;
		struct str header, payload;
	} cases[] = {
		{ "plain", S_INIT(TEST_HEADER), S_INIT(TEST_PAYLOAD) },
		{ "only what is required", S_INIT(TEST_HEADER),
			S_INIT("{" ISS "," AUD "," SUB ",\"exp\":1800000900}") },
		{ "white space", S_INIT(" {\n\"alg\" : \"$A\" ,\t" KID_TYP "\r} "),
			S_INIT(" { " TEST_BODY " , " TIMES " }\n") },
		{ "escapes", S_INIT("{\"\\u0061lg\":\"\\u0045S256\"," KID_TYP "}"),
			S_INIT("{\"\\u0069ss\":\"https:\\/\\/id.example\"," AUD "," SUB "," TIMES
			       "}") },
		{ "header in another order",
			S_INIT("{\"typ\":\"at+jwt\",\"kid\":\"$K\",\"alg\":\"$A\"}"),
			S_INIT(TEST_PAYLOAD) },
		{ "audience in an array", S_INIT(TEST_HEADER),
			S_INIT(AUDS("[\"https://other.example\",\"" TEST_AUDIENCE "\"]")) },
		{ "sixteen audiences", S_INIT(TEST_HEADER),
			S_INIT(AUDS(
				"[" TEN("\"a\",") "\"a\",\"a\",\"a\",\"a\",\"a\",\"" TEST_AUDIENCE
						  "\"]")) },
		{ "no roles", S_INIT(TEST_HEADER), S_INIT(ROLES("[]")) },
		{ "64 roles", S_INIT(TEST_HEADER),
			S_INIT(ROLES(
				"[" TEN("\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",") "\"a\",\"a\",\"a\","
										"\"a\"]")) },
		{ "claims that we ignore", S_INIT(TEST_HEADER),
			S_INIT(WITH("\"scope\":\"a "
				    "b\",\"x\":{\"y\":[1,null,true]},\"Sub\":\"root\"")) },
		{ "expired within the leeway", S_INIT(TEST_HEADER), S_INIT(EXP("1799999991")) },
		{ "exp of the year 9999", S_INIT(TEST_HEADER), S_INIT(EXP("253402300799")) },
		{ "nbf within the leeway", S_INIT(TEST_HEADER),
			S_INIT(WITH("\"nbf\":1800000010")) },
		{ "iat within the leeway", S_INIT(TEST_HEADER),
			S_INIT("{" TEST_BODY ",\"iat\":1800000010,\"exp\":1800000900}") },
	};

	set_up();
	for (size_t i = 0; i < LEN(cases); i++)
		expect_good(cases[i].what,
			test_sign(&arena, keys[SIGN_ES256], cases[i].header, cases[i].payload));
	tear_down();
}

TEST(token_other_type)
{
	struct token_rules rules = test_rules;
	struct token_claims claims;
	struct str token;

	set_up();
	rules.type = TOKEN_PLAIN;
	token = test_sign(&arena, keys[SIGN_ES256],
		S("{\"alg\":\"$A\",\"kid\":\"$K\",\"typ\":\"JWT\"}"), S(TEST_PAYLOAD));
	EXPECT_INT(token_verify(set, token, &rules, TEST_NOW_US, &arena, &claims), 0);
	EXPECT_INT(claims.type, TOKEN_PLAIN);
	token = test_sign(&arena, keys[SIGN_ES256], S(TEST_HEADER), S(TEST_PAYLOAD));
	EXPECT_INT(
		token_verify(set, token, &rules, TEST_NOW_US, &arena, &claims), -ERR_UNAUTHORIZED);
	tear_down();
}

/* --- making --------------------------------------------------------------------------- */

static const struct str some_roles[] = { S_INIT("owner"), S_INIT("quote\"\\"), S_INIT("\xC3\xA4") };
static const struct token_claims full = {
	.issuer = S_INIT(TEST_ISSUER),
	.audience = S_INIT(TEST_AUDIENCE),
	.subject = S_INIT("user"),
	.client = S_INIT("console"),
	.tenant = S_INIT("tenant"),
	.session = S_INIT("session"),
	.id = S_INIT("id"),
	.roles = some_roles,
	.role_count = LEN(some_roles),
	.expires_us = TEST_NOW_US + 900123456,
	.issued_us = TEST_NOW_US + 5000001,
	.not_before_us = TEST_NOW_US - 1,
};
static const struct token_claims least = {
	.issuer = S_INIT(TEST_ISSUER),
	.audience = S_INIT(TEST_AUDIENCE),
	.subject = S_INIT("user"),
	.expires_us = TEST_NOW_US + 1000000,
};

static int64_t whole(int64_t time_us)
{
	return time_us / 1000000 * 1000000;
}

static void expect_same(const struct token_claims *got, const struct token_claims *wanted)
{
	EXPECT_STR(got->issuer, wanted->issuer);
	EXPECT_STR(got->audience, wanted->audience);
	EXPECT_STR(got->subject, wanted->subject);
	EXPECT_STR(got->client, wanted->client);
	EXPECT_STR(got->tenant, wanted->tenant);
	EXPECT_STR(got->session, wanted->session);
	EXPECT_STR(got->id, wanted->id);
	EXPECT_INT(got->expires_us, whole(wanted->expires_us));
	EXPECT_INT(got->issued_us, whole(wanted->issued_us));
	EXPECT_INT(got->not_before_us, whole(wanted->not_before_us));
	EXPECT_INT(got->type, wanted->type);
	REQUIRE(EXPECT_INT(got->role_count, wanted->role_count));
	for (size_t i = 0; i < wanted->role_count; i++)
		EXPECT_STR(got->roles[i], wanted->roles[i]);
}

TEST(token_round_trip)
{
	const struct token_claims *const cases[] = { &full, &least };

	set_up();
	for (enum sign_kind kind = 0; kind < SIGN_KINDS; kind++)
		for (size_t i = 0; i < LEN(cases); i++) {
			struct token_claims got, copy;
			struct buf buf;
			void *at;

			buf_init(&buf, TOKEN_MAX + 2);
			buf_append(&buf, S("->"));
			REQUIRE(token_make(keys[kind], cases[i], &buf) == 0);
			REQUIRE(verify(str_from(buf_str(&buf), 2), &got) == 0);
			buf_done(&buf); /* claims do not depend on the token */
			expect_same(&got, cases[i]);

			at = arena_alloc(&arena, token_claims_size(&got));
			REQUIRE(at);
			token_claims_copy(&got, at, &copy);
			expect_same(&copy, cases[i]);
		}
	tear_down();
}

/* What stands in the token, to the letter. */
TEST(token_text)
{
	struct str rest, wanted = S("{\"iss\":\"https://id.example\",\"sub\":\"user\","
				    "\"aud\":\"https://api.example\",\"client_id\":\"console\","
				    "\"tenant\":\"tenant\",\"sid\":\"session\","
				    "\"roles\":[\"owner\",\"quote\\\"\\\\\",\"\xC3\xA4\"],"
				    "\"jti\":\"id\",\"iat\":1800000005,\"nbf\":1799999999,"
				    "\"exp\":1800000900}");
	char bytes[1024];
	size_t len = 0;
	struct buf buf;

	set_up();
	buf_init(&buf, TOKEN_MAX);
	REQUIRE(token_make(keys[SIGN_EDDSA], &full, &buf) == 0);
	rest = buf_str(&buf);
	EXPECT_STR(str_cut(&rest, '.'),
		test_encode(&arena, test_header(&arena, keys[SIGN_EDDSA], S(TEST_HEADER))));
	REQUIRE(base64_read(BASE64_URL, str_cut(&rest, '.'), bytes, sizeof(bytes), &len));
	EXPECT_STR(str_of(bytes, len), wanted);
	buf_done(&buf);
	tear_down();
}

/* Claims that are not to be signed. */
TEST(token_make_refuses)
{
	static const struct str empty_role[] = { S_INIT("a"), S_INIT("") };
	static char letters[TOKEN_TEXT_MAX + 1];
	static struct str long_roles[TOKEN_ROLES_MAX + 1];
	struct token_claims cases[] = { full, full, full, full, full, full, full, full, full, full,
		full, full, full };
	struct sign_jwk jwk;
	struct sign_key *public = NULL;
	struct buf buf;

	set_up();
	memset(letters, 'a', sizeof(letters));
	for (size_t i = 0; i < LEN(long_roles); i++)
		long_roles[i] = str_of(letters, TOKEN_TEXT_MAX);
	cases[0].issuer = S("");
	cases[1].audience = S("");
	cases[2].subject = S("");
	cases[3].expires_us = 0;
	cases[4].expires_us = -1;
	cases[5].expires_us = INT64_MAX;
	cases[6].issued_us = 1;
	cases[7].subject = str_of(letters, sizeof(letters));
	cases[8].tenant = S("\xFF");
	cases[9].roles = empty_role;
	cases[9].role_count = LEN(empty_role);
	cases[10].roles = long_roles;
	cases[10].role_count = LEN(long_roles);
	cases[11].roles = &(struct str)S_INIT("\xC3");
	cases[11].role_count = 1;
	cases[12].not_before_us = 253402300800 * 1000000;

	buf_init(&buf, MEGABYTE);
	buf_append(&buf, S("before"));
	for (size_t i = 0; i < LEN(cases); i++) {
		test_note(token_make(keys[SIGN_EDDSA], &cases[i], &buf) == -ERR_INVALID, __FILE__,
			__LINE__, "case %zu", i);
		EXPECT_STR(buf_str(&buf), S("before"));
	}

	cases[10].role_count = TOKEN_ROLES_MAX; /* each as long as can be */
	EXPECT_INT(token_make(keys[SIGN_EDDSA], &cases[10], &buf), -ERR_TOO_LARGE);
	EXPECT_STR(buf_str(&buf), S("before"));
	cases[10].role_count = 23; /* fits the scratch buffer, but not with its base64 */
	EXPECT_INT(token_make(keys[SIGN_EDDSA], &cases[10], &buf), -ERR_TOO_LARGE);
	EXPECT_STR(buf_str(&buf), S("before"));

	jwk = *sign_key_jwk(keys[SIGN_EDDSA]);
	REQUIRE(sign_key_from_jwk(&jwk, &public) == 0);
	EXPECT_INT(token_make(public, &full, &buf), -ERR_INVALID);
	EXPECT_STR(buf_str(&buf), S("before"));
	sign_key_unref(public);
	buf_done(&buf);
	tear_down();
}

TEST(token_rules_of_use)
{
	static const struct {
		struct token_rules rules;
		int r;
	} cases[] = {
		{ { S_INIT("i"), S_INIT("a"), TOKEN_ACCESS, 0 }, 0 },
		{ { S_INIT("i"), S_INIT("a"), TOKEN_PLAIN, 5 * MINUTE }, 0 },
		{ { S_INIT(""), S_INIT("a"), TOKEN_ACCESS, 0 }, -ERR_INVALID },
		{ { S_INIT("i"), S_INIT(""), TOKEN_ACCESS, 0 }, -ERR_INVALID },
		{ { S_INIT("i"), S_INIT("a"), TOKEN_ACCESS, 5 * MINUTE + 1 }, -ERR_INVALID },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT_INT(token_rules_check(&cases[i].rules), cases[i].r);
}

/* --- memory ------------------------------------------------------------------------------ */

/* A payload that makes the reader take as much as it can: many members in one object, all names and
 * texts with escapes. */
static struct str greedy_payload(void)
{
	struct buf buf;
	struct str copy;

	buf_init(&buf, TOKEN_MAX);
	buf_append(&buf, S("{" TEST_BODY "," TIMES));
	for (unsigned i = 0; i < 140; i++)
		buf_printf(&buf, ",\"\\n%u\":\"\\n%020u\"", i, i);
	buf_append(&buf, S("}"));
	REQUIRE(!buf.failed);
	copy = arena_str(&arena, buf_str(&buf));
	buf_done(&buf);
	return copy;
}

TEST(token_arena)
{
	struct token_claims claims;
	struct arena tight;
	struct str token;

	set_up();
	token = test_sign(&arena, keys[SIGN_EDDSA], S(TEST_HEADER), greedy_payload());
	arena_init(&tight, 1024, TOKEN_ARENA);
	EXPECT_INT(token_verify(set, token, &test_rules, TEST_NOW_US, &tight, &claims), 0);
	EXPECT(tight.peak > TOKEN_ARENA / 4);
	EXPECT_INT(token_verify(set, token, &test_rules, TEST_NOW_US, &tight, &claims),
		-ERR_NO_MEMORY);
	EXPECT_STR(str_from_c(err_text()), S("verifying an access token"));
	arena_done(&tight);
	tear_down();
}

#ifdef BULKHEAD_FAULTS
TEST(token_without_memory)
{
	struct token_claims claims;
	struct arena tight;
	struct str token;
	struct buf buf;
	bool struck = true;

	set_up();
	token = test_sign(&arena, keys[SIGN_RS256], S(TEST_HEADER),
		S("{" TEST_BODY "," TIMES ",\"\\u0061\":{\"b\":\"\\u0063\"}}"));
	for (size_t nth = 1; struck; nth++) {
		arena_init(&tight, 64, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		int r = token_verify(set, token, &test_rules, TEST_NOW_US, &tight, &claims);

		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		arena_done(&tight);
		REQUIRE(nth < 100);
	}

	struck = true;
	for (size_t nth = 1; struck; nth++) {
		buf_init(&buf, TOKEN_MAX);
		fault_arm(FAULT_MEMORY, nth);
		int r = token_make(keys[SIGN_EDDSA], &full, &buf);

		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		EXPECT((buf.len == 0) == struck);
		buf_done(&buf);
		REQUIRE(nth < 100);
	}
	tear_down();
}
#endif
