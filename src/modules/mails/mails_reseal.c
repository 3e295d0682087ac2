/* Letters that wait, sealed under the key in force. A letter that is sent meanwhile is sent. */
#include "modules/mails/mails_internal.h"

#include "base/check.h"
#include "rest/page.h"
#include "rest/reseal.h"

/* clang-format off */
static const struct schema place_schema = SCHEMA(reseal_place, "Where to go on.",
	FIELD(reseal_place, tenant_id, "Behind this tenant,", .format = FORMAT_UUID),
	FIELD(reseal_place, key, "and this mail.", .format = FORMAT_UUID),
	FIELD(reseal_place, limit, "How many."));

static const struct schema box_schema = SCHEMA(reseal_row, "A letter that waits.",
	FIELD(reseal_row, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(reseal_row, key, "Which.", .format = FORMAT_UUID),
	FIELD(reseal_row, sealed, "Sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(reseal_row, former, "What it was.", RANGE(0, MAIL_BOX_MAX)));
/* clang-format on */

const struct statement mail_boxes = STATEMENT("mail_boxes",
	.sql = "SELECT tenant_id, id AS key, box AS sealed FROM main.mail WHERE box IS NOT NULL "
	       "AND (tenant_id, id) > (:tenant_id, :key) ORDER BY tenant_id, id LIMIT :limit",
	.in = &place_schema, .out = &box_schema, .flags = STATEMENT_SYSTEM);

const struct statement mail_box_set = STATEMENT("mail_box_set",
	.sql = "UPDATE main.mail SET box = :sealed WHERE tenant_id = :tenant_id AND id = :key "
	       "AND box = :former",
	.in = &box_schema, .flags = STATEMENT_SYSTEM);

static int again(struct arena *arena, const struct reseal_row *row, struct str *ret)
{
	struct uuid tenant, id;

	CHECK(uuid_parse(row->tenant_id, &tenant) && uuid_parse(row->key, &id));
	return letter_reseal(arena, &tenant, &id, row->sealed, ret);
}

int mails_reseal(struct store *store, struct resealed *counted)
{
	static const struct reseal_table table = {
		.name = "mail_reseal",
		.list = &mail_boxes,
		.set = &mail_box_set,
		.again = again,
		.first = S_INIT(UUID_FIRST),
		.batch = 50,
		.memory = 32 * MEGABYTE,
	};

	return reseal_table(store, &table, counted);
}
