/*
 * Digests and seals. Each value is preceded by its length, so that no two entries are the same
 * bytes.
 */
#include "modules/audit/audit_internal.h"

#include "base/num.h"
#include "crypto/base64.h"

#include <stdio.h>

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

/* Ids as bytes: in rows they come back in small letters. */
static void add_id(struct parts *parts, struct str text, struct uuid *room)
{
	bool known = uuid_parse(text, room);

	add(parts, known ? str_of((const char *)room->bytes, sizeof(room->bytes)) : text);
}

void audit_seal(size_t key, const struct uuid *tenant, const struct audit_row *row,
	char ret[AUDIT_DIGEST_TEXT])
{
	const struct str ids[] = { row->id, row->user_id, row->key_id, row->session_id,
		row->impersonator_id, row->person_id };
	const struct str texts[] = { row->address_digest, row->action, row->target_type,
		row->target_id, row->state_before, row->state_after, row->request_id,
		row->trace_id };
	struct parts parts = { .count = 0 };
	struct uuid rooms[LEN(ids)];
	uint8_t numbers[2][8], bits[2] = { (uint8_t)row->kind, row->security };

	put_u64(numbers[0], (uint64_t)row->personal_count);
	put_u64(numbers[1], (uint64_t)row->created_at);
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	add(&parts, str_of((const char *)bits, sizeof(bits)));
	add(&parts, str_of((const char *)numbers, sizeof(numbers)));
	for (size_t i = 0; i < LEN(ids); i++)
		add_id(&parts, ids[i], &rooms[i]);
	for (size_t i = 0; i < LEN(texts); i++)
		add(&parts, texts[i]);
	seal(&parts, audit_key_at(key)->entry, ret);
}

/* The first value of a chain is a mere name of its tenant: that nothing came before it. */
void audit_chain_begin(size_t key, const struct uuid *tenant, char ret[AUDIT_DIGEST_TEXT])
{
	struct parts parts = { .count = 0 };

	add(&parts, S("begin"));
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	seal(&parts, audit_key_at(key)->chain, ret);
}

void audit_chain_next(size_t key, struct str former, int64_t sequence, struct str entry_seal,
	char ret[AUDIT_DIGEST_TEXT])
{
	struct parts parts = { .count = 0 };
	uint8_t number[8];

	put_u64(number, (uint64_t)sequence);
	add(&parts, S("entry"));
	add(&parts, former);
	add(&parts, str_of((const char *)number, sizeof(number)));
	add(&parts, entry_seal);
	seal(&parts, audit_key_at(key)->chain, ret);
}

void audit_mark_seal(size_t key, const struct uuid *tenant, const struct audit_mark *mark,
	char ret[AUDIT_DIGEST_TEXT])
{
	struct parts parts = { .count = 0 };
	uint8_t numbers[3][8];

	put_u64(numbers[0], (uint64_t)mark->sequence);
	put_u64(numbers[1], (uint64_t)mark->broken_at);
	put_u64(numbers[2], (uint64_t)mark->marked_at);
	add(&parts, mark->kind == AUDIT_HEAD ? S("head") : S("start"));
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	add(&parts, str_of((const char *)numbers, sizeof(numbers)));
	add(&parts, mark->chain);
	seal(&parts, audit_key_at(key)->mark, ret);
}

static bool mark_is_under(size_t key, const struct uuid *tenant, const struct audit_mark *mark)
{
	char made[AUDIT_DIGEST_TEXT];

	audit_mark_seal(key, tenant, mark, made);
	return crypto_equal(str_of(made, sizeof(made)), mark->seal);
}

bool audit_mark_is_old(const struct uuid *tenant, const struct audit_mark *mark)
{
	for (size_t key = 1; key < audit_key_count() && audit_key_at(key)->trusted; key++)
		if (mark_is_under(key, tenant, mark))
			return true;
	return false;
}

bool audit_mark_sound(const struct uuid *tenant, const struct audit_mark *mark)
{
	return mark_is_under(0, tenant, mark) || audit_mark_is_old(tenant, mark);
}

bool audit_head_sound(const struct uuid *tenant, const struct audit_mark *head)
{
	for (size_t key = 0; key < audit_key_count(); key++)
		if (mark_is_under(key, tenant, head))
			return true;
	return false;
}

void audit_era_seal(size_t key, const struct uuid *tenant, const struct audit_era *era,
	char ret[AUDIT_DIGEST_TEXT])
{
	struct parts parts = { .count = 0 };
	uint8_t number[8];

	put_u64(number, (uint64_t)era->sequence);
	add(&parts, S("era"));
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	add(&parts, era->key_id);
	add(&parts, str_of((const char *)number, sizeof(number)));
	add(&parts, era->chain);
	seal(&parts, audit_key_at(key)->mark, ret);
}

bool audit_erasure_sound(const struct uuid *tenant, struct str user, struct str seal)
{
	char made[AUDIT_DIGEST_TEXT];

	for (size_t key = 0; key < audit_key_count() && audit_key_at(key)->trusted; key++) {
		audit_erasure_seal(key, tenant, user, made);
		if (crypto_equal(str_of(made, sizeof(made)), seal))
			return true;
	}
	return false;
}

void audit_erasure_seal(
	size_t key, const struct uuid *tenant, struct str user, char ret[AUDIT_DIGEST_TEXT])
{
	struct parts parts = { .count = 0 };

	add(&parts, S("erase"));
	add(&parts, str_of((const char *)tenant->bytes, sizeof(tenant->bytes)));
	add(&parts, user);
	seal(&parts, audit_key_at(key)->mark, ret);
}

/* --- heads as text --------------------------------------------------------------------------- */

struct str audit_head_write(
	char at[AUDIT_HEAD_TEXT], const struct uuid *tenant, const struct audit_mark *head)
{
	char id[UUID_TEXT_LEN], text[AUDIT_HEAD_TEXT + 1];
	int len;

	CHECK(head->chain.len == AUDIT_DIGEST_TEXT && head->seal.len == AUDIT_DIGEST_TEXT);
	uuid_write(id, tenant);
	len = snprintf(text, sizeof(text), AUDIT_HEAD_PREFIX "%.*s:%lld:%lld:%.*s:%.*s",
		UUID_TEXT_LEN, id, (long long)head->sequence, (long long)head->marked_at,
		STR_ARG(head->chain), STR_ARG(head->seal));
	CHECK(len > 0 && len <= AUDIT_HEAD_TEXT);
	memcpy(at, text, (size_t)len);
	return str_of(at, (size_t)len);
}

bool audit_head_read(struct str text, struct uuid *ret_tenant, struct audit_mark *ret)
{
	struct str rest = str_from(text, sizeof(AUDIT_HEAD_PREFIX) - 1), tenant, sequence, time;
	struct audit_mark head = { .kind = AUDIT_HEAD };

	if (!str_starts(text, S(AUDIT_HEAD_PREFIX)))
		return false;
	tenant = str_cut(&rest, ':');
	sequence = str_cut(&rest, ':');
	time = str_cut(&rest, ':');
	head.chain = str_cut(&rest, ':');
	head.seal = rest;
	if (!uuid_parse(tenant, ret_tenant) || !num_parse_i64(sequence, &head.sequence) ||
		!num_parse_i64(time, &head.marked_at) || head.sequence < 1 || head.marked_at < 0 ||
		head.chain.len != AUDIT_DIGEST_TEXT || head.seal.len != AUDIT_DIGEST_TEXT)
		return false;
	*ret = head;
	return true;
}
