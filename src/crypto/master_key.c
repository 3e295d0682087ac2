/* Reading, making and deriving. */
#include "crypto/master_key.h"

#include "base/err.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/random.h"

static bool read_text(struct str text, uint8_t *at)
{
	if (hex_read(text, at, MASTER_KEY_LEN))
		return true;
	for (int kind = 0; kind < BASE64_KINDS; kind++)
		if (base64_read_exact((enum base64_kind)kind, text, at, MASTER_KEY_LEN))
			return true;
	return false;
}

int master_key_parse(struct str text, struct master_key *ret)
{
	if (read_text(text, ret->bytes))
		return 0;
	master_key_done(ret);
	return fail(ERR_INVALID,
		"not 32 bytes as 64 hexadecimal digits or base64; `openssl rand -hex 32` makes "
		"some");
}

void master_key_make(struct master_key *ret, char text[MASTER_KEY_TEXT_LEN])
{
	random_bytes(ret->bytes, sizeof(ret->bytes));
	hex_write(text, str_of((const char *)ret->bytes, sizeof(ret->bytes)));
}

void master_key_derive(
	const struct master_key *key, struct str purpose, uint8_t ret[MASTER_KEY_LEN])
{
	hkdf_sha256(str_of((const char *)key->bytes, sizeof(key->bytes)), S("bulkhead"), purpose,
		ret, MASTER_KEY_LEN);
}

void master_key_done(struct master_key *key)
{
	crypto_wipe(key, sizeof(*key));
}
