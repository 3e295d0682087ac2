/*
 * All entries of a query in one answer, page after page, so that the memory needed does not grow
 * with them. The last line is the signed head of the chain: what it covers cannot be taken out
 * unseen. That somebody took a copy is an entry, too.
 */
#include "modules/audit/audit_internal.h"

#include "http/server.h"
#include "rest/db.h"
#include "schema/encode.h"

struct export
{
	struct req *req;
	struct db db;             /* with an arena of its own */
	struct audit_query query; /* of the next page */
	enum audit_format format;
	char after[UUID_TEXT_LEN];
	struct buf text;
	int64_t count;
};

/* --- before --------------------------------------------------------------------------------- */

struct notation {
	struct audit_actor actor;
	const struct audit_query *query;
};

static int note_in_tx(struct tx *tx, void *arg)
{
	const struct notation *notation = arg;
	struct audit_entry entry = { .action = S("audit.exported"),
		.type = S("audit"),
		.schema = &audit_export_schema,
		.after = notation->query };

	return tx_audit(tx, &notation->actor, &entry);
}

/* --- pages ---------------------------------------------------------------- */

int audit_export_item(enum audit_format format, const struct audit_item *item, struct buf *out)
{
	struct json_writer json;
	int r = 0;

	if (format == AUDIT_CSV) {
		audit_csv_row(item, out);
		return out->failed;
	}
	json_writer_init(&json, out);
	schema_encode(&audit_item_schema, SCHEMA_OUTPUT, item, &json);
	r = json_writer_done(&json);
	buf_byte(out, '\n');
	return r;
}

/* 1 when there is more. */
static int write_page(struct export *export)
{
	enum audit_list list = audit_list_of(&export->query);
	struct audit_row *rows;
	size_t count;
	int r = db_all(&export->db, &audit_forward[list], &export->query, &rows, &count);

	buf_reset(&export->text);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct audit_item item;

		r = audit_item_of(&rows[i], export->db.arena, &item);
		if (r == 0)
			r = audit_export_item(export->format, &item, &export->text);
	}
	if (r < 0)
		return r;
	export->count += (int64_t)count;
	if (count > 0) {
		memcpy(export->after, rows[count - 1].id.at, UUID_TEXT_LEN);
		export->query.after_id = str_of(export->after, UUID_TEXT_LEN);
		r = reply_write(export->req, buf_str(&export->text));
	}
	return r < 0 ? r : (int64_t)count == export->query.limit;
}

/* --- the end -------------------------------------------------------------- */

struct ending {
	struct audit_mark head;
	bool any;
};

static int head_in_tx(struct tx *tx, void *arg)
{
	struct ending *ending = arg;
	int r = audit_mark_read(tx, AUDIT_HEAD, &ending->head);

	ending->any = r > 0 && audit_mark_sound(tx_tenant(tx), &ending->head);
	return r < 0 ? r : 0;
}

static void write_end(enum audit_format format, int64_t count, struct str head, struct buf *out)
{
	if (format == AUDIT_CSV)
		buf_printf(out, "\"# %.*s\"\r\n", STR_ARG(head.len ? head : S("no head yet")));
	else if (head.len)
		buf_printf(out, "{\"entries\":%lld,\"head\":\"%.*s\"}\n", (long long)count,
			STR_ARG(head));
	else
		buf_printf(out, "{\"entries\":%lld,\"head\":null}\n", (long long)count);
}

int audit_export_end(const struct db *db, enum audit_format format, int64_t count, struct buf *out)
{
	struct ending ending = { .any = false };
	char text[AUDIT_HEAD_TEXT];
	struct str head = { 0 };
	int r = db_read(db, head_in_tx, &ending);

	if (r < 0)
		return r;
	if (ending.any)
		head = audit_head_write(text, &db->tenant, &ending.head);
	write_end(format, count, head, out);
	return out->failed;
}

static int finish(struct export *export)
{
	int r;

	buf_reset(&export->text);
	r = audit_export_end(&export->db, export->format, export->count, &export->text);
	return r < 0 ? r : reply_write(export->req, buf_str(&export->text));
}

/* --- all of it ------------------------------------------------------------ */

static int begin(struct export *export)
{
	static const struct str types[] = { S_INIT("application/jsonl"),
		S_INIT("text/csv; charset=utf-8; header=present") };
	static const struct str names[] = { S_INIT("attachment; filename=\"audit.jsonl\""),
		S_INIT("attachment; filename=\"audit.csv\"") };
	int r = reply_header(export->req, S("content-disposition"), names[export->format]);

	if (r == 0)
		r = reply_begin(export->req, 200, types[export->format], UINT64_MAX);
	if (r < 0 || export->format != AUDIT_CSV)
		return r;
	audit_csv_names(&export->text);
	return export->text.failed ? export->text.failed
				   : reply_write(export->req, buf_str(&export->text));
}

static int run(struct export *export)
{
	int r = begin(export);

	if (r < 0)
		return r;
	do {
		r = write_page(export);
		arena_reset(export->db.arena);
	} while (r > 0);
	return r < 0 ? r : finish(export);
}

int audit_export(struct req *req, const struct audit_query *query)
{
	struct notation notation = { audit_actor_of(req), query };
	struct export export = { .req = req, .query = *query, .format = query->format };
	struct db db = req_db(req);
	struct arena arena;
	int r = audit_query_ready(&req->arena, &export.query);

	if (r == 0)
		r = db_write(&db, note_in_tx, &notation);
	if (r < 0)
		return r;
	export.query.limit = AUDIT_EXPORT_BATCH;
	export.query.after_id = export.query.first_id;
	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	buf_init(&export.text, 16 * MEGABYTE);
	export.db = db;
	export.db.arena = &arena;
	r = run(&export);
	buf_done(&export.text);
	arena_done(&arena);
	return r;
}
