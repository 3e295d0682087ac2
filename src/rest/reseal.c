/* Sealed texts under another key. A row that changes meanwhile is whoever changes it's: that is
 * under the key in force, too. */
#include "rest/reseal.h"

#include "base/check.h"
#include "rest/page.h"

struct batch {
	const struct reseal_table *table;
	struct reseal_place place;
	struct resealed counted; /* of this batch */
	size_t count;
	char tenant[UUID_TEXT_LEN], key[RESEAL_KEY_MAX]; /* of the last row */
	size_t key_len;
};

static int reseal_one(struct tx *tx, struct batch *batch, struct reseal_row *row)
{
	int r;

	row->former = row->sealed;
	r = batch->table->again(tx_arena(tx), row, &row->sealed);
	batch->counted.sealed += r > 0;
	batch->counted.lost += r == -ERR_INVALID;
	if (r == 0 || r == -ERR_INVALID)
		return 0;
	return r < 0 ? r : tx_exec(tx, batch->table->set, row);
}

static int reseal_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct reseal_row *rows = NULL, *last;
	int r = tx_all(tx, batch->table->list, &batch->place, &rows, &batch->count);

	batch->counted = (struct resealed){ 0 };
	for (size_t i = 0; i < batch->count && r == 0; i++)
		r = reseal_one(tx, batch, &rows[i]);
	if (r < 0 || batch->count == 0)
		return r;
	last = &rows[batch->count - 1];
	CHECK(last->tenant_id.len == UUID_TEXT_LEN && last->key.len <= RESEAL_KEY_MAX);
	batch->key_len = last->key.len;
	memcpy(batch->tenant, last->tenant_id.at, UUID_TEXT_LEN);
	memcpy(batch->key, last->key.at, batch->key_len);
	return 0;
}

int reseal_table(struct store *store, const struct reseal_table *table, struct resealed *counted)
{
	const struct tx_options options = { .name = table->name };
	struct batch batch = { .table = table,
		.place = { str_from_c(UUID_FIRST), table->first, (int64_t)table->batch } };
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r;

	arena_init(&arena, 64 * KILOBYTE, table->memory);
	do {
		r = db_write_with(&db, &options, reseal_in_tx, &batch);
		arena_reset(&arena);
		if (r < 0)
			break;
		counted->sealed += batch.counted.sealed;
		counted->lost += batch.counted.lost;
		batch.place.tenant_id = str_of(batch.tenant, UUID_TEXT_LEN);
		batch.place.key = str_of(batch.key, batch.key_len);
	} while (batch.count == table->batch);
	arena_done(&arena);
	return r;
}
