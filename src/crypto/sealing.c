/* Two keys of one purpose. Clear bytes are only in memory that is wiped. */
#include "crypto/sealing.h"

#include "base/err.h"
#include "base/mem.h"
#include "crypto/base64.h"
#include "crypto/digest.h"

/* Both keys have it: which one a box is under is found by opening it, as boxes from before there
 * were two of them. */
enum { KEY_ID = 1 };

static void make_key(struct aead_key *ret, const struct master_key *master, struct str purpose)
{
	uint8_t secret[AEAD_KEY_LEN];

	_Static_assert(sizeof(secret) == MASTER_KEY_LEN, "a derived key is a key");
	master_key_derive(master, purpose, secret);
	CHECK(aead_key_init(ret, AEAD_AES_256_GCM, KEY_ID,
		      str_of((const char *)secret, sizeof(secret))) == 0);
	crypto_wipe(secret, sizeof(secret));
}

void sealing_init(struct sealing *ret, const struct master_key *key,
	const struct master_key *former, struct str purpose)
{
	*ret = (struct sealing){ .has_former = former };
	make_key(&ret->key, key, purpose);
	if (former)
		make_key(&ret->former, former, purpose);
}

void sealing_derive(const struct sealing *from, struct str purpose, struct sealing *ret)
{
	*ret = (struct sealing){ .has_former = from->has_former };
	aead_key_derive(&from->key, purpose, &ret->key);
	if (from->has_former)
		aead_key_derive(&from->former, purpose, &ret->former);
}

void sealing_done(struct sealing *sealing)
{
	crypto_wipe(sealing, sizeof(*sealing));
}

int sealing_open(const struct sealing *sealing, struct str associated, struct str box, void *at)
{
	int r = aead_open(&sealing->key, associated, box, at);

	if (r != -ERR_INVALID || !sealing->has_former)
		return r;
	r = aead_open(&sealing->former, associated, box, at);
	return r < 0 ? r : 1;
}

/* --- sealing anew ------------------------------------------------------------------------- */

/* `box` and `plain` have room for the bytes of the text. */
static int again(const struct sealing *sealing, struct str associated, struct str text, char *box,
	char *plain, size_t *ret_len)
{
	size_t len;
	int r;

	if (!base64_read(BASE64_URL, text, box, text.len, &len) || len < AEAD_OVERHEAD)
		return fail(ERR_INVALID, "this is no sealed box");
	r = sealing_open(sealing, associated, str_of(box, len), plain);
	if (r <= 0)
		return r;
	*ret_len = len;
	r = aead_seal(&sealing->key, associated, str_of(plain, len - AEAD_OVERHEAD), box);
	return r < 0 ? r : 1;
}

int sealing_again(const struct sealing *sealing, struct str associated, struct str text,
	struct arena *arena, struct str *ret)
{
	char *box = arena_alloc(arena, text.len + 1), *plain = mem_alloc(text.len + 1), *made;
	size_t len = 0;
	int r;

	if (!box || !plain) {
		mem_free(plain, plain ? text.len + 1 : 0);
		return -(int)err_last()->code;
	}
	r = again(sealing, associated, text, box, plain, &len);
	crypto_wipe(plain, text.len + 1);
	mem_free(plain, text.len + 1);
	if (r <= 0)
		return r;
	made = arena_alloc(arena, base64_len(BASE64_URL, len));
	if (!made)
		return -(int)err_last()->code;
	*ret = str_of(made, base64_write(BASE64_URL, made, str_of(box, len)));
	return 1;
}
