/*
 * A change of the master key. Entries and links stay as they are, under the key they were written
 * with: exports and logs tell of them. What is changed is what says how far that key counts: its
 * half of the secret is kept, sealed under the key in force, and in the log of each tenant a row,
 * under the key in force, says where the former key ends and what the chain is there. Whoever has
 * the former key, which may be why it was changed, can therefore add nothing and change nothing
 * before.
 *
 * Each tenant is a transaction, done again by whoever comes again: where the former key ends then
 * moves on to the end of the chain, as long as a setting still trusts it.
 */
#include "modules/audit/audit_internal.h"

#include "base/err.h"
#include "http/server.h"
#include "store/store.h"

enum { ORDERS = 100 };

static const struct tx_options resealing = { .name = "audit_reseal" };

/* --- the key itself ---------------------------------------------------------------------- */

/* Keeps the former key, and seals anew those from before. */
static int keep_key_in_tx(struct tx *tx, void *arg)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	struct audit_former *rows = NULL, made;
	struct audit_entry entry = {
		.action = S("master_key.changed"), .type = S("master_key"), .security = true
	};
	struct resealed *found = arg;
	bool kept = false;
	size_t count = 0;
	int r = audit_former_seal(tx_arena(tx), &made);

	*found = (struct resealed){ 0 };
	if (r == 0)
		r = tx_all(tx, &audit_former_list, NULL, &rows, &count);
	for (size_t i = 0; i < count && r >= 0; i++) {
		kept = kept || str_eq(rows[i].key_id, made.key_id);
		r = audit_former_again(&rows[i], tx_arena(tx), &rows[i].sealed);
		found->sealed += r > 0;
		found->lost += r == -ERR_INVALID;
		if (r > 0)
			r = tx_exec(tx, &audit_former_set, &rows[i]);
		else if (r == -ERR_INVALID)
			r = 0;
	}
	if (r < 0 || kept)
		return r;
	if (count + 2 > AUDIT_KEYS_MAX)
		return fail(ERR_FULL, "%zu former keys of the audit log are still needed", count);
	entry.id = made.key_id;
	found->sealed++;
	r = tx_exec(tx, &audit_former_put, &made);
	return r < 0 ? r : tx_audit(tx, &program, &entry);
}

static int keep_key(struct store *store, struct arena *arena, struct resealed *counted)
{
	struct db db = db_of(store, &tenant_system, arena);
	struct resealed found;
	int r = db_write_with(&db, &resealing, keep_key_in_tx, &found);

	if (r < 0)
		return r;
	counted->sealed += found.sealed;
	counted->lost += found.lost;
	return 0;
}

/* --- a tenant ------------------------------------------------------------- */

/* A mark under the former key is put where it was, under the key in force. 1, or 0 when there is
 * none that can be believed. */
static int renew_mark(
	struct tx *tx, enum audit_mark_kind kind, struct audit_mark *mark, struct resealed *found)
{
	int r = audit_mark_read(tx, kind, mark);

	if (r <= 0)
		return r;
	if (!audit_mark_sound(tx_tenant(tx), mark)) {
		found->lost++;
		return 0;
	}
	if (!audit_mark_is_old(tx_tenant(tx), mark))
		return 1;
	found->sealed++;
	r = audit_mark_put(tx, mark, mark->sequence);
	return r < 0 ? r : 1;
}

static int put_era(struct tx *tx, const struct audit_era *era)
{
	struct audit_era sealed = *era;
	char seal[AUDIT_DIGEST_TEXT];

	audit_era_seal(0, tx_tenant(tx), era, seal);
	sealed.seal = str_of(seal, sizeof(seal));
	return tx_exec(tx, &audit_era_put, &sealed);
}

/* Where the former key ends: here. Rows of those before it are sealed anew. */
static int renew_eras(struct tx *tx, const struct audit_mark *head, struct resealed *found)
{
	const struct audit_keys *former = audit_key_at(1);
	struct audit_era here = { str_of(former->id, AUDIT_KEY_ID), head->sequence, head->chain };
	struct audit_era *rows = NULL;
	char seal[AUDIT_DIGEST_TEXT];
	bool any = false;
	size_t count = 0;
	int r = tx_all(tx, &audit_era_list, NULL, &rows, &count);

	for (size_t i = 0; i < count && r == 0; i++) {
		any = any || str_eq(rows[i].key_id, here.key_id);
		audit_era_seal(1, tx_tenant(tx), &rows[i], seal);
		if (!crypto_equal(str_of(seal, sizeof(seal)), rows[i].seal))
			continue;
		found->sealed++;
		r = put_era(tx, &rows[i]);
	}
	found->sealed += !any;
	return r < 0 ? r : put_era(tx, &here);
}

static int renew_in_tx(struct tx *tx, void *arg)
{
	struct resealed *found = arg;
	struct audit_mark head, start;
	int r;

	*found = (struct resealed){ 0 };
	r = renew_mark(tx, AUDIT_START, &start, found);
	if (r >= 0)
		r = renew_mark(tx, AUDIT_HEAD, &head, found);
	return r > 0 ? renew_eras(tx, &head, found) : r;
}

/* --- orders to erase ------------------------------------------------------ */

struct orders {
	struct audit_ask ask;
	struct resealed found;
	size_t count;
	char last[UUID_TEXT_LEN];
};

static int renew_orders_in_tx(struct tx *tx, void *arg)
{
	struct audit_erasure *rows = NULL;
	struct orders *orders = arg;
	char seal[AUDIT_DIGEST_TEXT];
	int r = tx_all(tx, &audit_erasures_all, &orders->ask, &rows, &orders->count);

	orders->found = (struct resealed){ 0 };
	for (size_t i = 0; i < orders->count && r == 0; i++) {
		struct audit_ask ask = { .user_id = rows[i].user_id };

		audit_erasure_seal(0, tx_tenant(tx), rows[i].user_id, seal);
		ask.seal = str_of(seal, sizeof(seal));
		if (crypto_equal(ask.seal, rows[i].seal))
			continue;
		if (!audit_erasure_sound(tx_tenant(tx), rows[i].user_id, rows[i].seal)) {
			orders->found.lost++;
			continue;
		}
		orders->found.sealed++;
		r = tx_exec(tx, &audit_erasure_set, &ask);
	}
	if (r == 0 && orders->count > 0)
		memcpy(orders->last, rows[orders->count - 1].user_id.at, UUID_TEXT_LEN);
	return r;
}

static int renew_orders(const struct db *db, struct resealed *counted)
{
	struct orders orders = { .ask = { .after_id = str_from_c(UUID_FIRST), .limit = ORDERS } };
	int r;

	do {
		r = db_write_with(db, &resealing, renew_orders_in_tx, &orders);
		if (r < 0)
			return r;
		counted->sealed += orders.found.sealed;
		counted->lost += orders.found.lost;
		orders.ask.after_id = str_of(orders.last, UUID_TEXT_LEN);
	} while (orders.count == ORDERS);
	return 0;
}

/* --- all tenants ---------------------------------------------------------- */

static int renew(const struct db *db, struct resealed *counted)
{
	struct resealed found;
	int r = db_write_with(db, &resealing, renew_in_tx, &found);

	if (r < 0)
		return r;
	counted->sealed += found.sealed;
	counted->lost += found.lost;
	return renew_orders(db, counted);
}

static int renew_all(struct store *store, struct arena *arena, struct resealed *counted)
{
	struct db system = db_of_system(store, arena);
	char after[UUID_TEXT_LEN];
	struct audit_ask ask = { .tenant_id = str_from_c(UUID_FIRST) };
	int r = 0;

	while (r == 0) {
		struct audit_found found;
		struct uuid tenant;
		struct db db;

		r = db_one(&system, &audit_next_mark, &ask, &found);
		if (r < 0)
			break;
		CHECK(uuid_parse(found.tenant_id, &tenant));
		memcpy(after, found.tenant_id.at, UUID_TEXT_LEN);
		ask.tenant_id = str_of(after, UUID_TEXT_LEN);
		db = db_of(store, &tenant, arena);
		r = renew(&db, counted);
		arena_reset(arena);
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int audit_reseal(struct server *server, struct resealed *counted)
{
	struct store *store = server->store;
	struct arena arena;
	int r;

	if (!server->former_key)
		return 0;
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	r = audit_keys_read(store);
	if (r == 0)
		r = keep_key(store, &arena, counted);
	if (r == 0)
		r = audit_sequence(store); /* what is under the former key gets its place */
	if (r == 0)
		r = renew_all(store, &arena, counted);
	arena_done(&arena);
	return r;
}
