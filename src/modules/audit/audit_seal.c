/*
 * Keys, digests and seals. Each value is preceded by its length, so that no two entries are the
 * same bytes, and each kind of seal has a key of its own, so that none can be taken for another.
 */
#include "modules/audit/audit_internal.h"

#include "crypto/base64.h"

/* Of the installation that is open. */
static struct {
	uint8_t entry[MASTER_KEY_LEN], chain[MASTER_KEY_LEN], mark[MASTER_KEY_LEN];
} keys;

void audit_keys_set(const struct master_key *master_key)
{
	static const struct master_key zero;

	if (!master_key)
		master_key = &zero;
	master_key_derive(master_key, S("audit/entry"), keys.entry);
	master_key_derive(master_key, S("audit/chain"), keys.chain);
	master_key_derive(master_key, S("audit/mark"), keys.mark);
}

void audit_keys_forget(void)
{
	crypto_wipe(&keys, sizeof(keys));
}

static struct str key_str(const uint8_t key[MASTER_KEY_LEN])
{
	return str_of((const char *)key, MASTER_KEY_LEN);
}

static void write_digest(const uint8_t digest[SHA256_LEN], char ret[AUDIT_DIGEST_TEXT])
{
	(void)base64_write(BASE64_URL, ret, str_of((const char *)digest, SHA256_LEN));
}

void audit_digest(struct str salt, struct str value, char ret[AUDIT_DIGEST_TEXT])
{
	uint8_t made[SHA256_LEN];

	hmac(DIGEST_SHA256, salt, value, made);
	write_digest(made, ret);
}

/* --- parts ------------------------------------------------------------------------------- */

enum { PARTS_MAX = 20 };

/* Values to be sealed, each with its length in front. */
struct parts {
	struct str at[2 * PARTS_MAX];
	uint8_t lengths[PARTS_MAX][8];
	size_t count;
};

static void put_u64(uint8_t at[8], uint64_t value)
{
	for (size_t i = 0; i < 8; i++)
		at[i] = (uint8_t)(value >> (56 - 8 * i));
}

static void add(struct parts *parts, struct str value)
{
	uint8_t *length = parts->lengths[parts->count];

	CHECK(parts->count < PARTS_MAX);
	put_u64(length, value.len);
	parts->at[2 * parts->count] = str_of((const char *)length, 8);
	parts->at[2 * parts->count + 1] = value;
	parts->count++;
}

static void seal(
	const struct parts *parts, const uint8_t key[MASTER_KEY_LEN], char ret[AUDIT_DIGEST_TEXT])
{
	uint8_t made[SHA256_LEN];

	hmac_parts(DIGEST_SHA256, key_str(key), parts->at, 2 * parts->count, made);
	write_digest(made, ret);
}

/* --- what is sealed ------------------------------------------------------------------------ */

void audit_seal(const struct uuid *tenant, const struct audit_row *row, char ret[AUDIT_DIGEST_TEXT])
{
	const struct str texts[] = { row->id, row->user_id, row->key_id, row->session_id,
		row->impersonator_id, row->address_digest, row->action, row->target_type,
		row->target_id, row->state_before, row->state_after, row->request_id,
		row->trace_id };
	struct parts parts = { .count = 0 };
	uint8_t numbers[2][8], bits[2] = { (uint8_t)row->kind, row->security };

	put_u64(numbers[0], (uint64_t)row->personal_count);
	put_u64(numbers[1], (uint64_t)row->created_at);
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	add(&parts, str_of((const char *)bits, sizeof(bits)));
	add(&parts, str_of((const char *)numbers, sizeof(numbers)));
	for (size_t i = 0; i < LEN(texts); i++)
		add(&parts, texts[i]);
	seal(&parts, keys.entry, ret);
}
