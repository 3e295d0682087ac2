/* Compact JWS, read and checked. Cheap things first: lengths, alphabet, header; the signature comes
 * last and only when all else is right. */
#include "modules/auth/token_jws.h"

#include "base/err.h"
#include "crypto/base64.h"
#include "json/reader.h"

enum { SHOWN = 48 }; /* bytes of a foreign text in a reason */

/* The header's only members. */
static const struct {
	struct str name;
	size_t offset; /* of the text in struct token_jws */
} members[] = {
	{ S_INIT("alg"), offsetof(struct token_jws, alg) },
	{ S_INIT("kid"), offsetof(struct token_jws, kid) },
	{ S_INIT("typ"), offsetof(struct token_jws, typ) },
};

int token_jws_bad_json(const char *part, int error)
{
	if (error == -ERR_NO_MEMORY)
		return error;
	return fail(ERR_UNAUTHORIZED, "%s: %s", part, err_text());
}

static struct str *member_of(struct token_jws *jws, struct str name)
{
	for (size_t i = 0; i < LEN(members); i++)
		if (str_eq(name, members[i].name))
			return (struct str *)((char *)jws + members[i].offset);
	return NULL;
}

/* One member, whose name the reader has just given. */
static int read_member(struct json_reader *reader, struct token_jws *jws)
{
	struct str name = reader->text, *member = member_of(jws, name);
	int event;

	if (!member)
		return fail(ERR_UNAUTHORIZED, "the header has a member \"%.*s\"",
			STR_ARG(str_first(name, SHOWN)));

	event = json_next(reader);
	if (event < 0)
		return token_jws_bad_json("the header", event);
	if (event != JSON_STRING)
		return fail(
			ERR_UNAUTHORIZED, "\"%.*s\" of the header is not a string", STR_ARG(name));
	*member = reader->text;
	return 0;
}

static int read_header(struct str text, struct arena *arena, struct token_jws *jws)
{
	static const struct json_limits limits = { .bytes = TOKEN_HEADER_MAX,
		.depth = 1,
		.string = TOKEN_HEADER_MAX,
		.elements = LEN(members) + 1 };
	struct json_reader reader;
	int event, r;

	json_reader_init(&reader, text, arena, &limits);
	event = json_next(&reader);
	if (event >= 0 && event != JSON_OBJECT)
		return fail(ERR_UNAUTHORIZED, "the header is not a JSON object");

	while (event > 0 && (event = json_next(&reader)) == JSON_KEY) {
		r = read_member(&reader, jws);
		if (r < 0)
			return r;
	}
	if (event == JSON_OBJECT_END)
		event = json_next(&reader);
	return event < 0 ? token_jws_bad_json("the header", event) : 0;
}

/* Cuts the token at its two dots. */
static int split(
	struct str token, struct token_jws *jws, struct str *ret_header, struct str *ret_payload)
{
	struct str rest = token;
	struct str header = str_cut(&rest, '.');
	struct str payload = str_cut(&rest, '.');

	if (!rest.at || str_find_byte(rest, '.') >= 0)
		return fail(ERR_UNAUTHORIZED, "the token does not have three parts");
	if (header.len == 0 || rest.len == 0)
		return fail(
			ERR_UNAUTHORIZED, "the %s is empty", header.len ? "signature" : "header");

	jws->message = str_first(token, token.len - rest.len - 1);
	jws->signature = rest;
	*ret_header = header;
	*ret_payload = payload;
	return 0;
}

static int decode_payload(struct str text, struct arena *arena, struct str *ret)
{
	size_t len = base64_read_len(BASE64_URL, text);
	char *at = arena_alloc(arena, MAX(len, (size_t)1));

	if (!at)
		return -(int)err_last()->code;
	if (!base64_read(BASE64_URL, text, at, len, &len))
		return fail(ERR_UNAUTHORIZED, "the payload is not base64url");

	*ret = str_of(at, len);
	return 0;
}

int token_jws_read(struct str token, struct arena *arena, struct token_jws *ret)
{
	struct str header = { NULL, 0 }, payload = { NULL, 0 };
	size_t len;
	int r;

	ret->alg = ret->kid = ret->typ = str_of(NULL, 0);
	if (token.len > TOKEN_MAX)
		return fail(ERR_UNAUTHORIZED, "the token has %zu bytes; %d is the limit", token.len,
			TOKEN_MAX);

	r = split(token, ret, &header, &payload);
	if (r < 0)
		return r;
	if (!base64_read(BASE64_URL, header, ret->header, sizeof(ret->header), &len))
		return fail(ERR_UNAUTHORIZED, "the header is not base64url of at most %d bytes",
			TOKEN_HEADER_MAX);

	r = read_header(str_of(ret->header, len), arena, ret);
	return r < 0 ? r : decode_payload(payload, arena, &ret->payload);
}

int token_jws_check(const struct token_jws *jws, const struct sign_key *key)
{
	struct str alg = sign_alg(sign_key_kind(key));
	uint8_t signature[SIGN_SIGNATURE_MAX];
	size_t len = sign_len(key);

	if (!str_eq(jws->alg, alg))
		return fail(ERR_UNAUTHORIZED, "alg is \"%.*s\", the key's is %.*s",
			STR_ARG(str_first(jws->alg, SHOWN)), STR_ARG(alg));
	if (!base64_read_exact(BASE64_URL, jws->signature, signature, len))
		return fail(ERR_UNAUTHORIZED, "the signature is not base64url of %zu bytes", len);
	return sign_verify(key, jws->message, str_of((const char *)signature, len));
}
