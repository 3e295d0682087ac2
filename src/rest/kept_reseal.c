/* Answers that are kept, sealed under the key in force: some in each transaction, in the order of
 * their rows. */
#include "rest/kept.h"

#include "base/err.h"
#include "http/module.h"
#include "rest/page.h"

enum { BATCH = 20 };

struct kept_place {
	struct str tenant_id, key_hash; /* behind this row */
	int64_t limit;
};

struct kept_box {
	struct str tenant_id, key_hash;
	struct str sealed, former;
};

/* clang-format off */
static const struct schema kept_place_schema = SCHEMA(kept_place, "Where to go on.",
	FIELD(kept_place, tenant_id, "Behind this tenant,", .format = FORMAT_UUID),
	FIELD(kept_place, key_hash, "and this key."),
	FIELD(kept_place, limit, "How many."));

static const struct schema kept_box_schema = SCHEMA(kept_box, "An answer that is kept.",
	FIELD(kept_box, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(kept_box, key_hash, "Digest of caller, route and key."),
	FIELD(kept_box, sealed, "Sealed."),
	FIELD(kept_box, former, "What it was."));
/* clang-format on */

const struct statement kept_boxes = STATEMENT("idempotency_boxes",
	.sql = "SELECT tenant_id, key_hash, sealed FROM main.idempotency WHERE sealed IS NOT NULL "
	       "AND (tenant_id, key_hash) > (:tenant_id, :key_hash) "
	       "ORDER BY tenant_id, key_hash LIMIT :limit",
	.in = &kept_place_schema, .out = &kept_box_schema, .flags = STATEMENT_SYSTEM);

const struct statement kept_box_set = STATEMENT("idempotency_box_set",
	.sql = "UPDATE main.idempotency SET sealed = :sealed WHERE tenant_id = :tenant_id "
	       "AND key_hash = :key_hash AND sealed = :former",
	.in = &kept_box_schema, .flags = STATEMENT_SYSTEM);

struct batch {
	struct kept_place place;
	struct resealed counted; /* of this batch */
	size_t count;
	char tenant[UUID_TEXT_LEN], last[2 * SHA256_LEN]; /* of the last row */
	size_t len;
};

static int reseal_one(struct tx *tx, struct kept_box *row, struct resealed *counted)
{
	int r;

	row->former = row->sealed;
	r = kept_again(row->key_hash, row->former, tx_arena(tx), &row->sealed);
	counted->sealed += r > 0;
	counted->lost += r == -ERR_INVALID;
	if (r == 0 || r == -ERR_INVALID)
		return 0;
	return r < 0 ? r : tx_exec(tx, &kept_box_set, row);
}

static int reseal_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct kept_box *rows = NULL, *last;
	int r = tx_all(tx, &kept_boxes, &batch->place, &rows, &batch->count);

	batch->counted = (struct resealed){ 0 };
	for (size_t i = 0; i < batch->count && r == 0; i++)
		r = reseal_one(tx, &rows[i], &batch->counted);
	if (r < 0 || batch->count == 0)
		return r;
	last = &rows[batch->count - 1];
	batch->len = MIN(last->key_hash.len, sizeof(batch->last));
	memcpy(batch->tenant, last->tenant_id.at, UUID_TEXT_LEN);
	memcpy(batch->last, last->key_hash.at, batch->len);
	return 0;
}

int kept_reseal(struct store *store, struct resealed *counted)
{
	static const struct tx_options options = { .name = "idempotency_reseal" };
	struct batch batch = { .place = { str_from_c(UUID_FIRST), S(""), BATCH } };
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r;

	arena_init(&arena, 64 * KILOBYTE, 256 * MEGABYTE);
	do {
		r = db_write_with(&db, &options, reseal_in_tx, &batch);
		arena_reset(&arena);
		if (r < 0)
			break;
		counted->sealed += batch.counted.sealed;
		counted->lost += batch.counted.lost;
		batch.place.tenant_id = str_of(batch.tenant, UUID_TEXT_LEN);
		batch.place.key_hash = str_of(batch.last, batch.len);
	} while (batch.count == BATCH);
	arena_done(&arena);
	return r;
}
