/*
 * What strangers send as one word: API keys, refresh tokens, invitations, links of mails. The first
 * byte says what is made of the rest:
 *
 *   's'  the text as it is
 *   'b'  bytes behind a prefix, written as we would: the checksum is right (the second byte names
 * the prefix), what is in them is anything 'c'  the same with one character changed (the third and
 * fourth byte say which, and to what)
 *
 * Laws: a text is of one kind at most, and what was read is written back to the same text; a
 * written text is read, whatever its bytes; with a changed character it is another text or none
 * (the checksum has 20 bits: some are); no refresh token is ours that has not our proof; and
 * nothing is read from a text with anything in front or behind.
 */
#include "crypto/opaque.h"
#include "base/check.h"
#include "modules/api_keys/api_keys_internal.h"
#include "modules/auth/auth_links.h"
#include "modules/auth/auth_session.h"
#include "modules/users/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = OPAQUE_LEN(OPAQUE_PREFIX_MAX, OPAQUE_BYTES_MAX) };

static const struct str prefixes[] = { S_INIT("bh_sk_"), S_INIT("bh_pk_"), S_INIT("bh_rt_"),
	S_INIT("bh_in_"), S_INIT("bh_ml_"), S_INIT("bh_su_"), S_INIT("") };

static const struct refresh_keys former_keys = { .proof = { 1 } };
static const struct refresh_keys keys = { .proof = { 2 }, .former = &former_keys };

/* --- readers ------------------------------------------------------------------------------ */

static bool is_key(struct str text)
{
	char again[KEY_TEXT_LEN];
	struct key_text key;

	if (!key_text_read(text, &key))
		return false;
	CHECK(key_text_is(text));
	key_text_write(again, &key);
	CHECK(str_eq(text, str_of(again, sizeof(again))));
	return true;
}

static bool is_refresh(struct str text)
{
	char again[REFRESH_LEN], before[REFRESH_LEN];
	struct refresh_token token;

	if (!refresh_read(&keys, text, &token))
		return false;
	refresh_write(&keys, &token, again);
	refresh_write(&former_keys, &token, before);
	CHECK(str_eq(text, str_of(again, sizeof(again))) ||
		str_eq(text, str_of(before, sizeof(before))));
	return true;
}

/* How many take it. */
static unsigned readers_of(struct str text)
{
	struct invitation_ref invitation;
	struct link_ref link;

	return is_key(text) + is_refresh(text) + invitation_read(text, &invitation) +
	       link_read(text, &link);
}

static void try_text(struct str text)
{
	char longer[TEXT_MAX + 1];
	unsigned readers = readers_of(text);

	CHECK(readers <= 1);
	if (readers == 0 || text.len >= sizeof(longer))
		return;
	memcpy(longer + 1, text.at, text.len);
	longer[0] = ' ';
	CHECK(readers_of(str_of(longer, text.len + 1)) == 0);
	memcpy(longer, text.at, text.len);
	longer[text.len] = 'a';
	CHECK(readers_of(str_of(longer, text.len + 1)) == 0);
	CHECK(readers_of(str_first(text, text.len - 1)) == 0);
}

/* --- texts of ours -------------------------------------------------------------------------- */

static struct str write_text(char text[TEXT_MAX], struct str prefix, struct str bytes)
{
	uint8_t back[OPAQUE_BYTES_MAX];
	struct str made = str_of(text, OPAQUE_LEN(prefix.len, bytes.len));

	opaque_write(text, prefix, bytes);
	CHECK(opaque_read(made, prefix, back, bytes.len));
	CHECK(memcmp(back, bytes.at, bytes.len) == 0);
	if (bytes.len > 0)
		CHECK(!opaque_read(made, prefix, back, bytes.len - 1));
	return made;
}

/* A refresh token of ours, with what the bytes say in it. */
static void try_refresh(struct str bytes, bool former)
{
	struct refresh_token token = { 0 }, back;
	char text[REFRESH_LEN];

	memcpy(&token, bytes.at, MIN(bytes.len, sizeof(token)));
	refresh_write(former ? &former_keys : &keys, &token, text);
	CHECK(refresh_read(&keys, str_of(text, sizeof(text)), &back));
	CHECK(memcmp(&token, &back, sizeof(token)) == 0);
	CHECK(refresh_read(&former_keys, str_of(text, sizeof(text)), &back) == former);
}

static void change_one(struct str bytes, struct str prefix, uint8_t where, uint8_t to)
{
	uint8_t back[OPAQUE_BYTES_MAX];
	char text[TEXT_MAX];
	struct str made = write_text(text, prefix, bytes);

	if (made.len == 0 || text[where % made.len] == (char)to)
		return;
	text[where % made.len] = (char)to;
	if (opaque_read(made, prefix, back, bytes.len)) {
		char again[TEXT_MAX];

		opaque_write(again, prefix, str_of((const char *)back, bytes.len));
		CHECK(str_eq(made, str_of(again, made.len)));
	}
	try_text(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str prefix, bytes;
	char text[TEXT_MAX];

	if (size < 4 || data[0] == 's') {
		try_text(str_of((const char *)data + (size > 0), size - (size > 0)));
		return 0;
	}
	prefix = prefixes[data[1] % LEN(prefixes)];
	bytes = str_of((const char *)data + 4, MIN(size - 4, (size_t)OPAQUE_BYTES_MAX));
	if (data[0] == 'c') {
		change_one(bytes, prefix, data[2], data[3]);
		return 0;
	}
	try_text(write_text(text, prefix, bytes));
	try_refresh(bytes, data[2] & 1);
	return 0;
}
