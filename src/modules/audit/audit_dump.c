/* Pages of an export until a part is full, each read for itself. */
#include "modules/audit/audit_dump.h"

#include "base/err.h"
#include "modules/audit/audit_internal.h"

/* Beyond so many bytes a part ends; what is in one goes over the control socket as one answer. */
enum { PART_BYTES = 2 * 1024 * 1024 };

static int note_in_tx(struct tx *tx, void *arg)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	const struct audit_entry entry = { .action = S("audit.exported"), .type = S("audit") };

	(void)arg;
	return tx_audit(tx, &program, &entry);
}

static int begin(const struct db *db, struct audit_dump *dump, struct buf *out)
{
	int r = db_write(db, note_in_tx, NULL);

	if (r < 0)
		return r;
	memcpy(dump->after, UUID_FIRST, UUID_TEXT_LEN);
	dump->begun = true;
	if (dump->csv)
		audit_csv_names(out);
	return out->failed;
}

/* Some entries: 1 when there may be more. */
static int write_page(const struct db *db, struct audit_dump *dump, struct buf *out)
{
	struct audit_query query = { .limit = AUDIT_EXPORT_BATCH,
		.after_id = str_of(dump->after, UUID_TEXT_LEN),
		.last_id = str_from_c(UUID_LAST) };
	struct audit_row *rows = NULL;
	size_t count = 0, i = 0;
	int r = db_all(db, &audit_forward[LIST_ALL], &query, &rows, &count);

	for (; i < count && r == 0 && out->len < PART_BYTES; i++) {
		struct audit_item item;

		r = audit_item_of(&rows[i], db->arena, &item);
		if (r == 0)
			r = audit_export_item(dump->csv ? AUDIT_CSV : AUDIT_JSONL, &item, out);
	}
	if (r < 0)
		return r;
	if (i > 0)
		memcpy(dump->after, rows[i - 1].id.at, UUID_TEXT_LEN);
	dump->count += (int64_t)i;
	return i < count || count == AUDIT_EXPORT_BATCH;
}

int audit_dump_part(struct store *store, struct audit_dump *dump, struct buf *out)
{
	struct arena arena;
	struct db db = db_of(store, &dump->tenant, &arena);
	int r;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	r = dump->begun ? 0 : begin(&db, dump, out);
	while (r == 0 && !dump->over && out->len < PART_BYTES) {
		r = write_page(&db, dump, out);
		arena_reset(&arena);
		if (r < 0)
			break;
		dump->over = r == 0;
		r = 0;
	}
	if (r == 0 && dump->over)
		r = audit_export_end(&db, dump->csv ? AUDIT_CSV : AUDIT_JSONL, dump->count, out);
	arena_done(&arena);
	return r;
}
