/* Letters that wait, sealed under the key in force: some in each transaction, in the order of their
 * rows. A letter that is sent meanwhile is sent. */
#include "modules/mails/mails_internal.h"

#include "base/err.h"
#include "rest/page.h"

enum { BATCH = 50 };

struct mail_place {
	struct str tenant_id, id; /* behind this row */
	int64_t limit;
};

struct mail_box {
	struct str tenant_id, id;
	struct str box, former;
};

/* clang-format off */
static const struct schema mail_place_schema = SCHEMA(mail_place, "Where to go on.",
	FIELD(mail_place, tenant_id, "Behind this tenant,", .format = FORMAT_UUID),
	FIELD(mail_place, id, "and this mail.", .format = FORMAT_UUID),
	FIELD(mail_place, limit, "How many."));

static const struct schema mail_box_schema = SCHEMA(mail_box, "A letter that waits.",
	FIELD(mail_box, tenant_id, "Whose.", .format = FORMAT_UUID),
	FIELD(mail_box, id, "Which.", .format = FORMAT_UUID),
	FIELD(mail_box, box, "Sealed.", RANGE(0, MAIL_BOX_MAX)),
	FIELD(mail_box, former, "What it was.", RANGE(0, MAIL_BOX_MAX)));
/* clang-format on */

const struct statement mail_boxes = STATEMENT("mail_boxes",
	.sql = "SELECT tenant_id, id, box FROM main.mail WHERE box IS NOT NULL "
	       "AND (tenant_id, id) > (:tenant_id, :id) ORDER BY tenant_id, id LIMIT :limit",
	.in = &mail_place_schema, .out = &mail_box_schema, .flags = STATEMENT_SYSTEM);

const struct statement mail_box_set = STATEMENT("mail_box_set",
	.sql = "UPDATE main.mail SET box = :box WHERE tenant_id = :tenant_id AND id = :id "
	       "AND box = :former",
	.in = &mail_box_schema, .flags = STATEMENT_SYSTEM);

struct batch {
	struct mail_place place;
	struct resealed counted; /* of this batch */
	size_t count;
	char tenant[UUID_TEXT_LEN], id[UUID_TEXT_LEN]; /* of the last row */
};

static int reseal_one(struct tx *tx, struct mail_box *mail, struct resealed *counted)
{
	struct uuid tenant, id;
	int r;

	CHECK(uuid_parse(mail->tenant_id, &tenant) && uuid_parse(mail->id, &id));
	mail->former = mail->box;
	r = letter_reseal(tx_arena(tx), &tenant, &id, mail->former, &mail->box);
	counted->sealed += r > 0;
	counted->lost += r == -ERR_INVALID;
	if (r == 0 || r == -ERR_INVALID)
		return 0;
	return r < 0 ? r : tx_exec(tx, &mail_box_set, mail);
}

static int reseal_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct mail_box *mails = NULL;
	int r = tx_all(tx, &mail_boxes, &batch->place, &mails, &batch->count);

	batch->counted = (struct resealed){ 0 };
	for (size_t i = 0; i < batch->count && r == 0; i++)
		r = reseal_one(tx, &mails[i], &batch->counted);
	if (r == 0 && batch->count > 0) {
		memcpy(batch->tenant, mails[batch->count - 1].tenant_id.at, UUID_TEXT_LEN);
		memcpy(batch->id, mails[batch->count - 1].id.at, UUID_TEXT_LEN);
	}
	return r;
}

int mails_reseal(struct store *store, struct resealed *counted)
{
	static const struct tx_options options = { .name = "mail_reseal" };
	struct batch batch = { .place = { str_from_c(UUID_FIRST), str_from_c(UUID_FIRST), BATCH } };
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r;

	arena_init(&arena, 64 * KILOBYTE, 32 * MEGABYTE);
	do {
		r = db_write_with(&db, &options, reseal_in_tx, &batch);
		arena_reset(&arena);
		if (r < 0)
			break;
		counted->sealed += batch.counted.sealed;
		counted->lost += batch.counted.lost;
		batch.place.tenant_id = str_of(batch.tenant, UUID_TEXT_LEN);
		batch.place.id = str_of(batch.id, UUID_TEXT_LEN);
	} while (batch.count == BATCH);
	arena_done(&arena);
	return r;
}
