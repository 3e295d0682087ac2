/* Rows of signing keys: reading, sealing and opening them, and putting a new one in place. */
#include "modules/auth/auth_keys_internal.h"

#include "base/mem.h"
#include "crypto/base64.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth_internal.h"

enum {
	SEALED_MAX = 32 * 1024, /* bytes, of an RSA key of 8192 bits 9 KB */
};

/* clang-format off */
const struct schema signing_key_schema = SCHEMA(signing_key, "A key that access tokens are signed with.",
	FIELD(signing_key, id, "Its RFC 7638 thumbprint, which tokens name."),
	FIELD(signing_key, algorithm, "What it signs with.", CHOICES("RS256", "ES256", "EdDSA")),
	FIELD(signing_key, sealed, "The private key, encrypted.", .flags = SECRET, RANGE(0, SEALED_MAX)),
	FIELD(signing_key, made_at, "When it was made.", .format = FORMAT_DATE_TIME),
	FIELD(signing_key, signs_at, "When it begins to sign.", .format = FORMAT_DATE_TIME),
	FIELD(signing_key, token_us, "Longest lifetime of what it signs."));

static const struct schema key_id_schema = SCHEMA(signing_key, "Which key.",
	FIELD(signing_key, id, "Its thumbprint."));

static const struct schema key_life_schema = SCHEMA(signing_key, "How long tokens live.",
	FIELD(signing_key, token_us, "At most."));
/* clang-format on */

static const struct statement key_list = STATEMENT("signing_key_list",
	.sql = "SELECT id, algorithm, sealed, made_at, signs_at, token_us FROM signing_key "
	       "WHERE tenant_id = :tenant ORDER BY signs_at, made_at, id",
	.out = &signing_key_schema);

static const struct statement key_insert = STATEMENT("signing_key_insert",
	.sql = "INSERT INTO main.signing_key "
	       "(tenant_id, id, algorithm, sealed, made_at, signs_at, token_us) "
	       "VALUES (:tenant, :id, :algorithm, :sealed, :made_at, :signs_at, :token_us)",
	.in = &signing_key_schema);

static const struct statement key_delete = STATEMENT("signing_key_delete",
	.sql = "DELETE FROM main.signing_key WHERE tenant_id = :tenant AND id = :id",
	.in = &key_id_schema);

static const struct statement key_lives = STATEMENT("signing_key_lives",
	.sql = "UPDATE main.signing_key SET token_us = :token_us "
	       "WHERE tenant_id = :tenant AND token_us < :token_us",
	.in = &key_life_schema);

static const struct statement key_seal = STATEMENT("signing_key_seal",
	.sql = "UPDATE main.signing_key SET sealed = :sealed WHERE tenant_id = :tenant "
	       "AND id = :id",
	.in = &signing_key_schema);

const struct statement *const signing_key_statements[SIGNING_KEY_STATEMENTS] = { &key_list,
	&key_insert, &key_delete, &key_lives, &key_seal };

/* --- sealing ------------------------------------------------------------------------------ */

/* A box opens only as the row it belongs to. */
static int seal(struct str pem, struct str id, struct arena *arena, struct str *ret)
{
	size_t len = pem.len + AEAD_OVERHEAD;
	char *box = arena_alloc(arena, len);
	char *text = arena_alloc(arena, base64_len(BASE64_URL, len));
	int r;

	if (!box || !text)
		return -(int)err_last()->code;
	r = aead_seal(&keys_sealing()->key, id, pem, box);
	if (r == 0)
		*ret = str_of(text, base64_write(BASE64_URL, text, str_of(box, len)));
	return r;
}

int signing_key_seal(const struct sign_key *key, struct arena *arena, struct signing_key *ret)
{
	struct buf pem;
	int r;

	buf_init(&pem, SIGN_PEM_MAX);
	r = sign_key_write_private(key, &pem);
	if (r == 0) {
		ret->id = arena_str(arena, sign_key_id(key));
		r = ret->id.at ? seal(buf_str(&pem), ret->id, arena, &ret->sealed)
			       : -(int)err_last()->code;
	}
	ret->algorithm = sign_key_kind(key);
	if (pem.at)
		crypto_wipe(pem.at, pem.cap);
	buf_done(&pem);
	return r;
}

/* The PEM in `room`, which the caller wipes. */
static int unseal(const struct signing_key *row, char *box, char *room, struct str *ret)
{
	size_t len;
	int r;

	if (!base64_read(BASE64_URL, row->sealed, box, SEALED_MAX, &len) || len < AEAD_OVERHEAD)
		return fail(ERR_INTERNAL, "the signing key %.*s is damaged", STR_ARG(row->id));
	r = sealing_open(keys_sealing(), row->id, str_of(box, len), room);
	if (r < 0)
		return fail(ERR_INTERNAL,
			"the signing key %.*s does not open: it was made under another MASTER_KEY, "
			"which MASTER_KEY_PREVIOUS can give. With that one lost, `bulkhead keys "
			"rotate --now` makes a new one",
			STR_ARG(row->id));
	*ret = str_of(room, len - AEAD_OVERHEAD);
	return 0;
}

int signing_key_open(const struct signing_key *row, struct sign_key **ret)
{
	char *box = mem_alloc(SEALED_MAX), *room = mem_alloc(SEALED_MAX);
	struct sign_key *key = NULL;
	struct str pem = { 0 };
	int r = box && room ? unseal(row, box, room, &pem) : -ERR_NO_MEMORY;

	if (r == 0)
		r = sign_key_from_pem(pem, &key);
	if (r == 0 && !str_eq(sign_key_id(key), row->id)) {
		sign_key_unref(key);
		r = fail(ERR_INTERNAL, "the signing key %.*s is another one", STR_ARG(row->id));
	}
	if (r == 0)
		*ret = key;
	if (room)
		crypto_wipe(room, SEALED_MAX);
	mem_free(room, SEALED_MAX);
	mem_free(box, SEALED_MAX);
	return r;
}

/* --- rows ------------------------------------------------------------------------------------ */

int signing_keys_read(const struct db *db, struct signing_key **ret, size_t *ret_count)
{
	return db_all(db, &key_list, NULL, ret, ret_count);
}

static int audit(struct tx *tx, struct str action, const struct signing_key *key)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	const struct audit_entry entry = { .action = action,
		.type = S("signing_key"),
		.id = key->id,
		.security = str_eq(action, S("signing_key.withdrawn")) };

	return tx_audit(tx, &program, &entry);
}

static int forget(struct tx *tx, struct str action, const struct signing_key *key)
{
	int r = tx_exec(tx, &key_delete, key);

	return r < 0 ? r : audit(tx, action, key);
}

/* Whether the new key has a place: everybody decides by the same rows, and one of them is first. */
static bool is_wanted(const struct key_add *add, const struct signing_key *newest)
{
	switch (add->reason) {
	case KEY_FIRST: return !newest;
	case KEY_SCHEDULE:
	case KEY_COMMAND: return newest ? str_eq(newest->id, add->newest) : add->newest.len == 0;
	case KEY_NOW: break;
	}
	return true;
}

int signing_key_add_in_tx(struct tx *tx, void *arg)
{
	struct key_add *add = arg;
	struct signing_key *rows = NULL;
	size_t count = 0;
	int r = tx_all(tx, &key_list, NULL, &rows, &count);

	if (r < 0)
		return r;
	add->added = is_wanted(add, count ? &rows[count - 1] : NULL);
	if (!add->added)
		return 0;
	if (add->reason != KEY_NOW && count >= SIGNING_KEYS_MAX)
		return fail(ERR_FULL, "%zu signing keys are still needed", count);

	add->row.made_at = tx_now_us(tx);
	add->row.signs_at = tx_now_us(tx) + (int64_t)(add->wait_ns / MICROSECOND);
	for (size_t i = 0; i < count && add->reason == KEY_NOW && r == 0; i++)
		r = forget(tx, S("signing_key.withdrawn"), &rows[i]);
	if (r == 0)
		r = tx_exec(tx, &key_insert, &add->row);
	if (r == 0)
		r = audit(tx, S("signing_key.created"), &add->row);
	return r < 0 ? r : tx_notice(tx, S(SIGNING_KEY_TOPIC), add->row.id);
}

/* Nothing that it signed can be good any more: its successor has signed for longer than the longest
 * of them lives. */
int64_t signing_key_until(const struct signing_key *rows, size_t count, size_t which)
{
	int64_t margin_us = (int64_t)(KEY_MARGIN / MICROSECOND);

	return which + 1 == count ? INT64_MAX
				  : rows[which + 1].signs_at + rows[which].token_us + margin_us;
}

int signing_keys_sweep_in_tx(struct tx *tx, void *arg)
{
	const struct signing_key life = { .token_us = *(const int64_t *)arg };
	struct signing_key *rows = NULL;
	size_t count = 0, changed = 0;
	int r = tx_change(tx, &key_lives, &life, &changed);

	if (r == 0)
		r = tx_all(tx, &key_list, NULL, &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (signing_key_until(rows, count, i) > tx_now_us(tx))
			continue;
		r = forget(tx, S("signing_key.retired"), &rows[i]);
		if (r == 0)
			r = tx_notice(tx, S(SIGNING_KEY_TOPIC), rows[i].id);
	}
	return r;
}

int signing_keys_reseal_in_tx(struct tx *tx, void *arg)
{
	struct signing_key *rows = NULL;
	struct resealed *found = arg;
	size_t count = 0;
	int r = tx_all(tx, &key_list, NULL, &rows, &count);

	*found = (struct resealed){ 0 };
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = sealing_again(
			keys_sealing(), rows[i].id, rows[i].sealed, tx_arena(tx), &rows[i].sealed);
		found->sealed += r > 0;
		found->lost += r == -ERR_INVALID;
		if (r > 0)
			r = tx_exec(tx, &key_seal, &rows[i]);
		else if (r == -ERR_INVALID)
			r = 0;
	}
	return r;
}
