/*
 * Tokens verified and made. One table says which claims there are; reading, writing, checking for
 * completeness and copying follow it.
 */
#include "modules/auth/token.h"

#include "base/err.h"
#include "base/utf8.h"
#include "crypto/base64.h"
#include "json/reader.h"

enum {
	PAYLOAD_DEPTH = 8,
	PAYLOAD_ELEMENTS = 160, /* members and items, of claims that we ignore, too */
	LEEWAY_MAX_MINUTES = 5,
	SECOND_US = 1000000,
};

static const int64_t last_second = 253402300799; /* of the year 9999 */

static const struct str type_texts[TOKEN_TYPES] = {
	[TOKEN_ACCESS] = S_INIT("at+jwt"),
	[TOKEN_PLAIN] = S_INIT("JWT"),
};

enum shape {
	SHAPE_TEXT,
	SHAPE_TIME,
	SHAPE_AUDIENCE,
	SHAPE_ROLES,
	SHAPE_ACTOR,
};

struct claim {
	struct str name;
	enum shape shape;
	bool required;
	size_t offset; /* in struct token_claims: struct str (text, audience, actor), int64_t (time)
			*/
};

#define CLAIM(name, shape, required, member)                                                       \
	{                                                                                          \
		S_INIT(name), shape, required, offsetof(struct token_claims, member)               \
	}
static const struct claim table[] = {
	CLAIM("iss", SHAPE_TEXT, true, issuer),
	CLAIM("sub", SHAPE_TEXT, true, subject),
	CLAIM("aud", SHAPE_AUDIENCE, true, audience),
	CLAIM("client_id", SHAPE_TEXT, false, client),
	CLAIM("tenant", SHAPE_TEXT, false, tenant),
	CLAIM("sid", SHAPE_TEXT, false, session),
	CLAIM("roles", SHAPE_ROLES, false, roles),
	CLAIM("jti", SHAPE_TEXT, false, id),
	CLAIM("act", SHAPE_ACTOR, false, actor),
	CLAIM("iat", SHAPE_TIME, false, issued_us),
	CLAIM("nbf", SHAPE_TIME, false, not_before_us),
	CLAIM("exp", SHAPE_TIME, true, expires_us),
};
#undef CLAIM

/* The member of a text, an audience or an actor. */
static struct str *text_of(struct token_claims *claims, const struct claim *claim)
{
	return (struct str *)((char *)claims + claim->offset);
}

static int64_t *time_of(struct token_claims *claims, const struct claim *claim)
{
	return (int64_t *)((char *)claims + claim->offset);
}

static bool is_text(const struct claim *claim)
{
	return claim->shape == SHAPE_TEXT || claim->shape == SHAPE_AUDIENCE ||
	       claim->shape == SHAPE_ACTOR;
}

static bool text_fits(struct str text)
{
	return text.len > 0 && text.len <= TOKEN_TEXT_MAX;
}

/* The required claim that is missing, or NULL. */
static const struct claim *missing(struct token_claims *claims)
{
	for (size_t i = 0; i < LEN(table); i++) {
		const struct claim *claim = &table[i];
		bool there = is_text(claim) ? text_of(claims, claim)->len > 0
					    : claim->shape != SHAPE_TIME || *time_of(claims, claim);

		if (claim->required && !there)
			return claim;
	}
	return NULL;
}

/* --- reading the payload --------------------------------------------------------- */

struct payload {
	struct json_reader reader;
	const struct token_rules *rules;
	struct arena *arena;
	struct token_claims *claims;
};

/* The reader gave something else than the claim's type asks for. */
static int wrong(const struct claim *claim, int event, const char *wanted)
{
	if (event < 0)
		return token_jws_bad_json("the payload", event);
	return fail(ERR_UNAUTHORIZED, "\"%.*s\" is not %s", STR_ARG(claim->name), wanted);
}

/* Takes the text of the last event. */
static int take_text(const struct payload *payload, const struct claim *claim, struct str *ret)
{
	if (!text_fits(payload->reader.text))
		return fail(ERR_UNAUTHORIZED, "\"%.*s\" has a text of %zu bytes, not 1 to %d",
			STR_ARG(claim->name), payload->reader.text.len, TOKEN_TEXT_MAX);
	*ret = payload->reader.text;
	return 0;
}

/* Items of an array whose beginning the reader has given. */
static int read_items(struct payload *payload, const struct claim *claim, struct str *items,
	size_t max, size_t *ret_count)
{
	size_t count = 0;
	int event, r;

	while ((event = json_next(&payload->reader)) == JSON_STRING) {
		if (count == max)
			return fail(ERR_UNAUTHORIZED, "\"%.*s\" has more than %zu items",
				STR_ARG(claim->name), max);
		r = take_text(payload, claim, &items[count++]);
		if (r < 0)
			return r;
	}
	if (event != JSON_ARRAY_END)
		return wrong(claim, event, "an array of strings");

	*ret_count = count;
	return 0;
}

static int read_text(struct payload *payload, const struct claim *claim)
{
	int event = json_next(&payload->reader);

	if (event != JSON_STRING)
		return wrong(claim, event, "a string");
	return take_text(payload, claim, text_of(payload->claims, claim));
}

static int read_time(struct payload *payload, const struct claim *claim)
{
	int event = json_next(&payload->reader);
	int64_t seconds;

	if (event != JSON_NUMBER)
		return wrong(claim, event, "a number");
	if (json_number_i64(payload->reader.text, &seconds) < 0 || seconds <= 0 ||
		seconds > last_second)
		return wrong(claim, event, "a time in whole seconds before the year 10000");

	*time_of(payload->claims, claim) = seconds * SECOND_US;
	return 0;
}

static int read_audience(struct payload *payload, const struct claim *claim)
{
	struct str items[TOKEN_AUDIENCES_MAX] = { 0 }, wanted = payload->rules->audience;
	int event = json_next(&payload->reader), r;
	size_t count = 0;

	if (event == JSON_ARRAY)
		r = read_items(payload, claim, items, LEN(items), &count);
	else if (event == JSON_STRING)
		r = take_text(payload, claim, &items[count++]);
	else
		r = wrong(claim, event, "a string or an array of strings");
	if (r < 0)
		return r;

	for (size_t i = 0; i < count; i++)
		if (str_eq(items[i], wanted)) {
			*text_of(payload->claims, claim) = items[i];
			return 0;
		}
	return fail(ERR_UNAUTHORIZED, "the token is not for the audience %.*s", STR_ARG(wanted));
}

static int read_roles(struct payload *payload, const struct claim *claim)
{
	struct str items[TOKEN_ROLES_MAX], *roles;
	int event = json_next(&payload->reader), r;
	size_t count = 0;

	if (event != JSON_ARRAY)
		return wrong(claim, event, "an array of strings");
	r = read_items(payload, claim, items, LEN(items), &count);
	if (r < 0 || count == 0)
		return r;

	roles = arena_alloc(payload->arena, count * sizeof(*roles));
	if (!roles)
		return -(int)err_last()->code;
	memcpy(roles, items, count * sizeof(*roles));
	payload->claims->roles = roles;
	payload->claims->role_count = count;
	return 0;
}

/* An actor that has no "sub" would be nobody. */
static int read_actor(struct payload *payload, const struct claim *claim)
{
	struct str *actor = text_of(payload->claims, claim);
	int event = json_next(&payload->reader), r = 0;

	if (event != JSON_OBJECT)
		return wrong(claim, event, "an object");
	while (r == 0 && (event = json_next(&payload->reader)) == JSON_KEY) {
		if (!str_eq(payload->reader.text, S("sub"))) {
			r = json_skip(&payload->reader);
			r = r < 0 ? token_jws_bad_json("the payload", r) : 0;
			continue;
		}
		event = json_next(&payload->reader);
		r = event == JSON_STRING ? take_text(payload, claim, actor)
					 : wrong(claim, event, "an object with a string \"sub\"");
	}
	if (r < 0)
		return r;
	return event == JSON_OBJECT_END && actor->len
		       ? 0
		       : wrong(claim, MIN(event, 0), "an object with a string \"sub\"");
}

/* The member whose name the reader has just given. */
static int read_claim(struct payload *payload)
{
	static int (*const readers[])(struct payload *, const struct claim *) = {
		[SHAPE_TEXT] = read_text,
		[SHAPE_TIME] = read_time,
		[SHAPE_AUDIENCE] = read_audience,
		[SHAPE_ROLES] = read_roles,
		[SHAPE_ACTOR] = read_actor,
	};
	int r;

	for (size_t i = 0; i < LEN(table); i++)
		if (str_eq(payload->reader.text, table[i].name))
			return readers[table[i].shape](payload, &table[i]);

	r = json_skip(&payload->reader);
	return r < 0 ? token_jws_bad_json("the payload", r) : 0;
}

static int read_payload(struct str text, const struct token_rules *rules, struct arena *arena,
	struct token_claims *claims)
{
	static const struct json_limits limits = { .bytes = TOKEN_MAX,
		.depth = PAYLOAD_DEPTH,
		.string = TOKEN_MAX,
		.elements = PAYLOAD_ELEMENTS };
	struct payload payload = { .rules = rules, .arena = arena, .claims = claims };
	int event, r;

	json_reader_init(&payload.reader, text, arena, &limits);
	event = json_next(&payload.reader);
	if (event >= 0 && event != JSON_OBJECT)
		return fail(ERR_UNAUTHORIZED, "the payload is not a JSON object");

	while (event > 0 && (event = json_next(&payload.reader)) == JSON_KEY) {
		r = read_claim(&payload);
		if (r < 0)
			return r;
	}
	if (event == JSON_OBJECT_END)
		event = json_next(&payload.reader);
	return event < 0 ? token_jws_bad_json("the payload", event) : 0;
}

/* --- verifying --------------------------------------------------------------------- */

static int check_claims(
	struct token_claims *claims, const struct token_rules *rules, int64_t now_us)
{
	int64_t leeway_us = (int64_t)(rules->leeway_ns / MICROSECOND);
	const struct claim *absent = missing(claims);

	if (absent)
		return fail(ERR_UNAUTHORIZED, "there is no \"%.*s\"", STR_ARG(absent->name));
	if (!str_eq(claims->issuer, rules->issuer))
		return fail(ERR_UNAUTHORIZED, "the issuer is %.*s", STR_ARG(claims->issuer));
	if (claims->expires_us + leeway_us <= now_us)
		return fail(ERR_UNAUTHORIZED, "the token has expired");
	if (claims->not_before_us - leeway_us > now_us)
		return fail(ERR_UNAUTHORIZED, "the token is not valid yet (nbf)");
	if (claims->issued_us - leeway_us > now_us)
		return fail(ERR_UNAUTHORIZED, "the token was issued in the future (iat)");
	return 0;
}

static int verify(const struct token_keys *keys, struct str token, const struct token_rules *rules,
	int64_t now_us, struct arena *arena, struct token_claims *claims)
{
	const struct sign_key *key;
	struct token_jws jws;
	int r;

	if (arena->limit < TOKEN_ARENA || arena_used(arena) > arena->limit - TOKEN_ARENA)
		return fail(ERR_NO_MEMORY, "the arena has less than %d bytes left", TOKEN_ARENA);

	r = token_jws_read(token, arena, &jws);
	if (r < 0)
		return r;
	if (!str_eq(jws.typ, type_texts[rules->type]))
		return fail(
			ERR_UNAUTHORIZED, "typ is not \"%.*s\"", STR_ARG(type_texts[rules->type]));
	key = token_keys_find(keys, jws.kid);
	if (!key)
		return fail(ERR_UNAUTHORIZED, "there is no key with this kid");

	r = token_jws_check(&jws, key);
	if (r < 0)
		return r;
	r = read_payload(jws.payload, rules, arena, claims);
	return r < 0 ? r : check_claims(claims, rules, now_us);
}

int token_verify(const struct token_keys *keys, struct str token, const struct token_rules *rules,
	int64_t now_us, struct arena *arena, struct token_claims *ret)
{
	struct arena_mark mark = arena_mark(arena);
	struct token_claims claims = { .type = rules->type };

	int r = verify(keys, token, rules, now_us, arena, &claims);

	if (r < 0) {
		arena_back(arena, mark);
		return r == -ERR_UNAUTHORIZED ? err_wrap("the access token is not valid")
					      : err_wrap("verifying an access token");
	}

	*ret = claims;
	return 0;
}

int token_rules_check(const struct token_rules *rules)
{
	if (!text_fits(rules->issuer) || !text_fits(rules->audience))
		return fail(ERR_INVALID, "issuer and audience of tokens have 1 to %d bytes",
			TOKEN_TEXT_MAX);
	if (rules->leeway_ns > LEEWAY_MAX_MINUTES * MINUTE)
		return fail(ERR_INVALID, "the leeway of tokens is at most %d minutes",
			LEEWAY_MAX_MINUTES);
	return 0;
}

/* --- making -------------------------------------------------------------------------- */

static int check_text(const struct claim *claim, struct str text)
{
	if (text.len > TOKEN_TEXT_MAX || !utf8_valid(text))
		return fail(ERR_INVALID, "\"%.*s\" takes at most %d bytes of UTF-8",
			STR_ARG(claim->name), TOKEN_TEXT_MAX);
	return 0;
}

static int check_roles(const struct claim *claim, const struct token_claims *claims)
{
	int r = 0;

	if (claims->role_count > TOKEN_ROLES_MAX)
		return fail(ERR_INVALID, "a token takes at most %d roles", TOKEN_ROLES_MAX);

	for (size_t i = 0; r == 0 && i < claims->role_count; i++)
		r = claims->roles[i].len ? check_text(claim, claims->roles[i])
					 : fail(ERR_INVALID, "a role is empty");
	return r;
}

static int check_time(const struct claim *claim, int64_t time_us)
{
	if (time_us != 0 && (time_us < SECOND_US || time_us / SECOND_US > last_second))
		return fail(ERR_INVALID, "\"%.*s\" is no time", STR_ARG(claim->name));
	return 0;
}

static int check_new(struct token_claims *claims)
{
	const struct claim *absent = missing(claims);
	int r = 0;

	CHECK(claims->type < TOKEN_TYPES);
	if (absent)
		return fail(ERR_INVALID, "a token needs \"%.*s\"", STR_ARG(absent->name));

	for (size_t i = 0; r == 0 && i < LEN(table); i++) {
		if (is_text(&table[i]))
			r = check_text(&table[i], *text_of(claims, &table[i]));
		else if (table[i].shape == SHAPE_TIME)
			r = check_time(&table[i], *time_of(claims, &table[i]));
		else
			r = check_roles(&table[i], claims);
	}
	return r;
}

/* Writes a JSON object made by `write` as one part of the token. */
static int write_part(struct buf *buf, struct buf *scratch, const struct sign_key *key,
	struct token_claims *claims,
	void (*write)(struct json_writer *, const struct sign_key *, struct token_claims *))
{
	struct json_writer writer;
	int r;

	buf_reset(scratch);
	json_writer_init(&writer, scratch);
	json_write_object(&writer);
	write(&writer, key, claims);
	json_write_object_end(&writer);
	r = json_writer_done(&writer);
	if (r < 0)
		return r;

	base64_append(buf, BASE64_URL, buf_str(scratch));
	return buf->failed;
}

static void write_header(
	struct json_writer *writer, const struct sign_key *key, struct token_claims *claims)
{
	json_write_key(writer, S("alg"));
	json_write_string(writer, sign_alg(sign_key_kind(key)));
	json_write_key(writer, S("kid"));
	json_write_string(writer, sign_key_id(key));
	json_write_key(writer, S("typ"));
	json_write_string(writer, type_texts[claims->type]);
}

static void write_actor(struct json_writer *writer, struct str subject)
{
	json_write_object(writer);
	json_write_key(writer, S("sub"));
	json_write_string(writer, subject);
	json_write_object_end(writer);
}

static void write_claim(
	struct json_writer *writer, const struct claim *claim, struct token_claims *claims)
{
	if (is_text(claim) && text_of(claims, claim)->len) {
		json_write_key(writer, claim->name);
		if (claim->shape == SHAPE_ACTOR)
			write_actor(writer, *text_of(claims, claim));
		else
			json_write_string(writer, *text_of(claims, claim));
	} else if (claim->shape == SHAPE_TIME && *time_of(claims, claim)) {
		json_write_key(writer, claim->name);
		json_write_i64(writer, *time_of(claims, claim) / SECOND_US);
	} else if (claim->shape == SHAPE_ROLES && claims->role_count) {
		json_write_key(writer, claim->name);
		json_write_array(writer);
		for (size_t i = 0; i < claims->role_count; i++)
			json_write_string(writer, claims->roles[i]);
		json_write_array_end(writer);
	}
}

static void write_claims(
	struct json_writer *writer, const struct sign_key *key, struct token_claims *claims)
{
	(void)key;
	for (size_t i = 0; i < LEN(table); i++)
		write_claim(writer, &table[i], claims);
}

/* Signs what stands in the buffer from `start` on and appends the signature. */
static int write_signature(struct buf *buf, size_t start, const struct sign_key *key)
{
	uint8_t signature[SIGN_SIGNATURE_MAX];
	struct str message = str_from(buf_str(buf), start);
	int len = sign_make(key, message, signature, sizeof(signature));

	if (len < 0)
		return len;
	if (message.len + 1 + base64_len(BASE64_URL, (size_t)len) > TOKEN_MAX)
		return fail(ERR_TOO_LARGE, "the token has more than %d bytes", TOKEN_MAX);

	buf_byte(buf, '.');
	base64_append(buf, BASE64_URL, str_of((const char *)signature, (size_t)len));
	return buf->failed;
}

static int make(const struct sign_key *key, struct token_claims *claims, struct buf *buf,
	struct buf *scratch)
{
	size_t start = buf->len;
	int r = write_part(buf, scratch, key, claims, write_header);

	if (r < 0)
		return r;
	buf_byte(buf, '.');
	r = write_part(buf, scratch, key, claims, write_claims);
	return r < 0 ? r : write_signature(buf, start, key);
}

int token_make(const struct sign_key *key, const struct token_claims *claims, struct buf *buf)
{
	struct token_claims copy = *claims;
	size_t start = buf->len;
	struct buf scratch;
	int r = check_new(&copy);

	if (r < 0)
		return r;

	buf_init(&scratch, TOKEN_MAX);
	r = make(key, &copy, buf, &scratch);
	buf_done(&scratch);
	if (r < 0)
		buf->len = start;
	return r;
}

/* --- copies ---------------------------------------------------------------------------- */

size_t token_claims_size(const struct token_claims *claims)
{
	struct token_claims copy = *claims;
	size_t size = claims->role_count * sizeof(struct str);

	for (size_t i = 0; i < LEN(table); i++)
		if (is_text(&table[i]))
			size += text_of(&copy, &table[i])->len;
	for (size_t i = 0; i < claims->role_count; i++)
		size += claims->roles[i].len;
	return size;
}

/* Moves a text to `*to`, and that behind it. */
static void move_text(struct str *text, char **to)
{
	if (text->len)
		memcpy(*to, text->at, text->len);
	text->at = *to;
	*to += text->len;
}

void token_claims_copy(const struct token_claims *claims, void *at, struct token_claims *ret)
{
	struct token_claims copy = *claims;
	struct str *roles = at;
	char *to = (char *)(roles + claims->role_count);

	for (size_t i = 0; i < LEN(table); i++)
		if (is_text(&table[i]))
			move_text(text_of(&copy, &table[i]), &to);
	for (size_t i = 0; i < claims->role_count; i++) {
		roles[i] = claims->roles[i];
		move_text(&roles[i], &to);
	}

	copy.roles = claims->role_count ? roles : NULL;
	*ret = copy;
}
