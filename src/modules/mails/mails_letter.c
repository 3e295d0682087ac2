/* What is in a mail, sealed as long as it waits: it has addresses, names and links that open
 * accounts. */
#include "modules/mails/mails_internal.h"

#include "base/check.h"
#include "base/err.h"
#include "crypto/base64.h"
#include "crypto/digest.h"
#include "crypto/sealing.h"
#include "schema/decode.h"
#include "schema/encode.h"

/* clang-format off */
static const struct schema letter_schema = SCHEMA(letter, "What is in a mail.",
	FIELD(letter, to, "The address.", RANGE(0, MAIL_ADDRESS_MAX), .flags = ANY_TEXT),
	FIELD(letter, name, "Of the person.", RANGE(0, MAIL_NAME_MAX), .flags = ANY_TEXT),
	FIELD(letter, tenant_name, "Of the tenant.", RANGE(0, MAIL_TENANT_MAX), .flags = ANY_TEXT),
	FIELD(letter, link, "Where it leads.", RANGE(0, MAIL_LINK_MAX), .flags = ANY_TEXT),
	FIELD(letter, detail, "A sentence, or lines.", RANGE(0, MAIL_DETAIL_MAX), .flags = ANY_TEXT),
	FIELD(letter, expires_us, "Of the link.", RANGE(0, INT64_MAX)));
/* clang-format on */

/* --- keys ------------------------------------------------------------------------------- */

/* Set before anything is served, and only read from then on. */
static struct sealing sealing;
static uint8_t counting[MASTER_KEY_LEN];

int letters_open(const struct master_key *key, const struct master_key *former)
{
	static const struct master_key none;
	int r = schema_compile(&letter_schema);

	if (r < 0)
		return r;
	sealing_init(&sealing, key ? key : &none, former, S("mails/letters"));
	master_key_derive(key ? key : &none, S("mails/recipients"), counting);
	return 0;
}

void letters_close(void)
{
	schema_release(&letter_schema);
	sealing_done(&sealing);
	crypto_wipe(counting, sizeof(counting));
}

/* --- sealing ------------------------------------------------------------------------------ */

/* What a box belongs to: it does not open in another row. */
struct place {
	char what[8];
	struct uuid tenant, id;
};

static struct place place_of(const struct uuid *tenant, const struct uuid *id)
{
	return (struct place){ "mail.box", *tenant, *id };
}

static struct str place_text(const struct place *place)
{
	return str_of((const char *)place, sizeof(*place));
}

static int seal(struct arena *arena, const struct place *place, struct str plain, struct str *ret)
{
	size_t size = plain.len + AEAD_OVERHEAD;
	char *box = arena_alloc(arena, size);
	char *text = arena_alloc(arena, base64_len(BASE64_URL, size));
	int r;

	if (!box || !text)
		return -(int)err_last()->code;
	r = aead_seal(&sealing.key, place_text(place), plain, box);
	if (r < 0)
		return r;
	*ret = str_of(text, base64_write(BASE64_URL, text, str_of(box, size)));
	return 0;
}

int letter_seal(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	const struct letter *letter, struct str *ret)
{
	struct place place = place_of(tenant, id);
	struct json_writer writer;
	struct buf plain;
	int r;

	buf_init(&plain, MAIL_BOX_MAX / 2);
	json_writer_init(&writer, &plain);
	schema_encode(&letter_schema, SCHEMA_ALL, letter, &writer);
	r = json_writer_done(&writer);
	if (r == 0)
		r = seal(arena, &place, buf_str(&plain), ret);
	if (plain.at)
		crypto_wipe(plain.at, plain.len);
	buf_done(&plain);
	return r;
}

int letter_open(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	struct str box, struct letter *ret)
{
	struct place place = place_of(tenant, id);
	struct problems problems;
	char *bytes = arena_alloc(arena, box.len + 1), *plain = arena_alloc(arena, box.len + 1);
	size_t size;
	int r;

	if (!bytes || !plain)
		return -(int)err_last()->code;
	if (!base64_read(BASE64_URL, box, bytes, box.len, &size) || size < AEAD_OVERHEAD)
		return fail(ERR_INVALID, "this is no letter");
	r = sealing_open(&sealing, place_text(&place), str_of(bytes, size), plain);
	if (r < 0)
		return r;
	problems_init(&problems, arena);
	return schema_decode(&letter_schema, SCHEMA_ALL, str_of(plain, size - AEAD_OVERHEAD), arena,
		&problems, ret);
}

int letter_reseal(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	struct str box, struct str *ret)
{
	struct place place = place_of(tenant, id);

	return sealing_again(&sealing, place_text(&place), box, arena, ret);
}

/* --- recipients ----------------------------------------------------------------------------- */

void letter_recipient(struct str to, const struct uuid *tenant, char ret[RECIPIENT_LEN])
{
	char folded[MAIL_ADDRESS_MAX];
	uint8_t hash[SHA256_LEN];
	size_t len = MIN(to.len, sizeof(folded));
	/* No address begins with the NUL in front of a tenant. */
	const struct str parts[] = { str_of("", tenant ? 1 : 0),
		str_of(tenant ? (const char *)tenant->bytes : "", tenant ? sizeof(*tenant) : 0),
		str_of(folded, len) };

	for (size_t i = 0; i < len; i++)
		folded[i] = to.at[i] >= 'A' && to.at[i] <= 'Z' ? (char)(to.at[i] | 0x20) : to.at[i];
	hmac_parts(DIGEST_SHA256, str_of((const char *)counting, sizeof(counting)), parts,
		LEN(parts), hash);
	hex_write(ret, str_of((const char *)hash, RECIPIENT_LEN / 2));
}
