/* Answers that are kept, sealed under the key in force. */
#include "rest/kept.h"

#include "rest/page.h"
#include "rest/reseal.h"

/* clang-format off */
static const struct schema place_schema = SCHEMA(reseal_place, "Where to go on.",
	FIELD(reseal_place, tenant_id, "Behind this tenant,", .format = FORMAT_UUID),
	FIELD(reseal_place, key, "and this key."),
	FIELD(reseal_place, limit, "How many."));

static const struct schema box_schema = SCHEMA(reseal_row, "An answer that is kept.",
	FIELD(reseal_row, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(reseal_row, key, "Digest of caller, route and key."),
	FIELD(reseal_row, sealed, "Sealed."),
	FIELD(reseal_row, former, "What it was."));
/* clang-format on */

const struct statement kept_boxes = STATEMENT("idempotency_boxes",
	.sql = "SELECT tenant_id, key_hash AS key, sealed FROM main.idempotency "
	       "WHERE sealed IS NOT NULL AND (tenant_id, key_hash) > (:tenant_id, :key) "
	       "ORDER BY tenant_id, key_hash LIMIT :limit",
	.in = &place_schema, .out = &box_schema, .flags = STATEMENT_SYSTEM);

const struct statement kept_box_set = STATEMENT("idempotency_box_set",
	.sql = "UPDATE main.idempotency SET sealed = :sealed WHERE tenant_id = :tenant_id "
	       "AND key_hash = :key AND sealed = :former",
	.in = &box_schema, .flags = STATEMENT_SYSTEM);

static int again(struct arena *arena, const struct reseal_row *row, struct str *ret)
{
	return kept_again(row->key, row->sealed, arena, ret);
}

int kept_reseal(struct store *store, struct resealed *counted)
{
	static const struct reseal_table table = {
		.name = "idempotency_reseal",
		.list = &kept_boxes,
		.set = &kept_box_set,
		.again = again,
		.first = S_INIT(""),
		.batch = 20,
		.memory = 256 * MEGABYTE,
	};

	return reseal_table(store, &table, counted);
}
