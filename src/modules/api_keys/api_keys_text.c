/*
 * The text of a key: tenant, id and secret as one word (crypto/opaque.h). It carries its tenant and
 * its id, so that it is looked up by its place and the secret is compared, never searched for.
 */
#include "modules/api_keys/api_keys_internal.h"

static const struct str marks[] = {
	[API_KEY_SECRET] = S_INIT("bh_sk_"),
	[API_KEY_PUBLISHABLE] = S_INIT("bh_pk_"),
};

bool key_text_is(struct str text)
{
	return str_starts(text, marks[API_KEY_SECRET]) ||
	       str_starts(text, marks[API_KEY_PUBLISHABLE]);
}

bool key_text_read(struct str text, struct key_text *ret)
{
	enum api_key_kind kind =
		str_starts(text, marks[API_KEY_PUBLISHABLE]) ? API_KEY_PUBLISHABLE : API_KEY_SECRET;
	uint8_t bytes[KEY_BYTES];
	bool good = opaque_read(text, marks[kind], bytes, sizeof(bytes));

	if (good) {
		ret->kind = kind;
		memcpy(&ret->tenant, bytes, sizeof(ret->tenant));
		memcpy(&ret->id, bytes + sizeof(ret->tenant), sizeof(ret->id));
		memcpy(ret->secret, bytes + KEY_BYTES - KEY_SECRET_LEN, KEY_SECRET_LEN);
	}
	crypto_wipe(bytes, sizeof(bytes));
	return good;
}

void key_text_write(char *at, const struct key_text *key)
{
	uint8_t bytes[KEY_BYTES];

	memcpy(bytes, &key->tenant, sizeof(key->tenant));
	memcpy(bytes + sizeof(key->tenant), &key->id, sizeof(key->id));
	memcpy(bytes + KEY_BYTES - KEY_SECRET_LEN, key->secret, KEY_SECRET_LEN);
	opaque_write(at, marks[key->kind], str_of((const char *)bytes, sizeof(bytes)));
	crypto_wipe(bytes, sizeof(bytes));
}
