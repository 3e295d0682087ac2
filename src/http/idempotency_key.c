/* Reads a key in either form; hashes a request. Pure. */
#include "http/idempotency_key.h"

#include "base/check.h"
#include "base/err.h"

#include <endian.h>

static int parse_bare(struct str value, struct idempotency_key *key)
{
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] <= 0x20 || value.at[i] >= 0x7f || value.at[i] == '"')
			return fail(ERR_INVALID,
				"Idempotency-Key: byte %zu is no visible ASCII, or a quote", i + 1);
		if (key->len == sizeof(key->text))
			return fail(ERR_INVALID, "Idempotency-Key: longer than %d bytes",
				IDEMPOTENCY_KEY_MAX);
		key->text[key->len++] = value.at[i];
	}
	return 0;
}

/* `value` begins with a quote. */
static int parse_quoted(struct str value, struct idempotency_key *key)
{
	size_t i = 1;

	for (; i < value.len && value.at[i] != '"'; i++) {
		if (value.at[i] == '\\') {
			i++;
			if (i == value.len || (value.at[i] != '"' && value.at[i] != '\\'))
				return fail(ERR_INVALID,
					"Idempotency-Key: a backslash stands before \" or \\ only");
		}
		if (value.at[i] <= 0x20 || value.at[i] >= 0x7f)
			return fail(ERR_INVALID, "Idempotency-Key: byte %zu is no visible ASCII",
				i + 1);
		if (key->len == sizeof(key->text))
			return fail(ERR_INVALID, "Idempotency-Key: longer than %d bytes",
				IDEMPOTENCY_KEY_MAX);
		key->text[key->len++] = value.at[i];
	}
	if (i == value.len)
		return fail(ERR_INVALID, "Idempotency-Key: the quote is not closed");
	if (i + 1 < value.len)
		return fail(ERR_INVALID, "Idempotency-Key: something follows the quoted key");
	return 0;
}

int idempotency_key_parse(struct str value, struct idempotency_key *ret)
{
	struct idempotency_key key = { .len = 0 };
	int r;

	value = str_trim(value);
	r = value.len && value.at[0] == '"' ? parse_quoted(value, &key) : parse_bare(value, &key);
	if (r < 0)
		return r;
	if (key.len == 0)
		return fail(ERR_INVALID, "Idempotency-Key: empty");

	*ret = key;
	return 0;
}

void idempotency_fingerprint(const struct idempotent_request *request, uint8_t ret[SHA256_LEN])
{
	enum { FIXED = 5, MOST = FIXED + IDEMPOTENCY_PARAMS_MAX };
	struct str texts[MOST] = { request->method, request->route, request->caller, request->query,
		request->body };
	uint64_t lengths[MOST];
	struct str parts[2 * MOST];
	size_t count = FIXED + request->param_count;

	CHECK(request->param_count <= IDEMPOTENCY_PARAMS_MAX);
	for (size_t i = FIXED; i < count; i++)
		texts[i] = request->params[i - FIXED];
	for (size_t i = 0; i < count; i++) {
		lengths[i] = htole64(texts[i].len);
		parts[2 * i] = str_of((const char *)&lengths[i], sizeof(lengths[i]));
		parts[2 * i + 1] = texts[i];
	}
	digest_parts(DIGEST_SHA256, parts, 2 * count, ret);
}
