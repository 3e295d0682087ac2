/* What is stored: the statements, and the transactions made of them. */
#include "notes.h"

#include "base/embed.h"
#include "http/match.h"
#include "http/request.h"
#include "rest/db.h"
#include "rest/page.h"
#include "rest/write.h"

EMBED_TEXT(notes_sql, "notes.sql");

/* --- statements: constants, checked against the database at the start ------------------ */

#define COLUMNS "id, title, body, tag, pinned, version, created_at, updated_at"

struct note_count {
	int64_t count;
};

/* clang-format off */
static const struct schema note_key_schema = SCHEMA(note_ref, "A note by its id.",
	FIELD(note_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema note_search_schema = SCHEMA(note_query, "Which rows of the list.",
	FIELD(note_query, limit, "How many."),
	FIELD(note_query, title, "What the title begins with."),
	FIELD(note_query, tag, "Only those."),
	FIELD(note_query, pinned, "Only those."),
	FIELD(note_query, after_id, "Where the page begins.", .format = FORMAT_UUID));

static const struct schema note_count_schema = SCHEMA(note_count, "How many notes.",
	FIELD(note_count, count, "So many."));
/* clang-format on */

static const struct statement note_get = STATEMENT("note_get",
	.sql = "SELECT " COLUMNS " FROM note WHERE tenant_id = :tenant AND id = :id",
	.in = &note_key_schema, .out = &note_schema);

const struct statement note_list = STATEMENT("note_list",
	.sql = "SELECT " COLUMNS " FROM note WHERE tenant_id = :tenant AND id < :after_id "
	       "AND substr(title, 1, length(:title)) = :title "
	       "AND (tag = :tag OR :tag IS NULL) AND (pinned = :pinned OR :pinned IS NULL) "
	       "ORDER BY id DESC LIMIT :limit + 1",
	.in = &note_search_schema, .out = &note_schema);

static const struct statement note_pinned = STATEMENT("note_pinned",
	.sql = "SELECT count(*) AS count FROM note WHERE tenant_id = :tenant AND pinned",
	.out = &note_count_schema);

static const struct statement note_insert = STATEMENT("note_insert",
	.sql = "INSERT INTO main.note (tenant_id, " COLUMNS ") VALUES (:tenant, :id, :title, "
	       ":body, :tag, :pinned, :version, :created_at, :updated_at)",
	.in = &note_schema);

static const struct statement note_update = STATEMENT("note_update",
	.sql = "UPDATE main.note SET title = :title, body = :body, tag = :tag, pinned = :pinned, "
	       "version = :version, updated_at = :updated_at "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &note_schema, .expect = EXPECT_ONE);

static const struct statement note_remove = STATEMENT("note_remove",
	.sql = "DELETE FROM main.note WHERE tenant_id = :tenant AND id = :id",
	.in = &note_key_schema, .expect = EXPECT_ONE);

const struct statement *const note_statements[NOTE_STATEMENTS] = { &note_get, &note_list,
	&note_pinned, &note_insert, &note_update, &note_remove };

/* Ids begin with their time, so the newest note has the last id. */
const struct page_order notes_newest_first = {
	.name = S_INIT("notes, newest first"),
	.list = &note_list,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

/* --- parts of transactions -------------------------------------------------------------- */

static int emit(struct tx *tx, struct str type, const struct note *note)
{
	return tx_emit(tx, &(struct event){ type, note->id, &note_schema, note });
}

/* Transactions are serializable: nobody else pins one between this look and the commit. */
static int check_pinned(struct tx *tx)
{
	struct note_count pinned;
	int r;

	r = tx_one(tx, &note_pinned, NULL, &pinned);
	return r < 0 ? r : note_check_pinned(pinned.count);
}

static int new_id(struct tx *tx, struct str *ret)
{
	char *text = arena_alloc(tx_arena(tx), UUID_TEXT_LEN);
	struct uuid id;

	if (!text)
		return -(int)err_last()->code;
	uuid_v7(&id, tx_now_us(tx));
	uuid_write(text, &id);
	*ret = str_of(text, UUID_TEXT_LEN);
	return 0;
}

/* --- create ------------------------------------------------------------------------------- */

struct note_creation {
	const struct note_new *in;
	struct note *ret;
};

static int create_in_tx(struct tx *tx, void *arg)
{
	struct note_creation *creation = arg;
	const struct note_new *in = creation->in;
	struct note note = {
		.title = in->title,
		.body = in->body,
		.tag = in->tag,
		.pinned = in->pinned,
		.version = 1,
		.created_at = tx_now_us(tx),
		.updated_at = tx_now_us(tx),
	};
	int r;

	r = note.pinned ? check_pinned(tx) : 0;
	if (r < 0)
		return r;

	r = new_id(tx, &note.id);
	if (r < 0)
		return r;

	r = tx_exec(tx, &note_insert, &note);
	if (r < 0)
		return r;

	*creation->ret = note;
	return emit(tx, S("note.created"), &note);
}

int note_store_create(struct req *req, const struct note_new *in, struct note *ret)
{
	return req_write(req, create_in_tx, &(struct note_creation){ in, ret });
}

/* --- read ----------------------------------------------------------------------------------- */

int note_store_get(struct req *req, const struct note_ref *ref, struct note *ret)
{
	struct db db = req_db(req);

	return db_one(&db, &note_get, ref, ret);
}

/* --- change ----------------------------------------------------------------------------------- */

struct note_change {
	const struct req *req; /* for If-Match */
	const struct note_patch *patch;
	struct note *ret;
};

/* One transaction: read, check, change, announce. All of it or nothing; here stands what was before
 * beside what is after, for whoever keeps records of changes. */
static int change_in_tx(struct tx *tx, void *arg)
{
	struct note_change *change = arg;
	struct note before, after;
	int r;

	r = tx_one(tx, &note_get, &(struct note_ref){ change->patch->id }, &before);
	if (r < 0)
		return r;

	r = req_if_match(change->req, before.version);
	if (r < 0)
		return r;

	*change->ret = after = before;
	if (!note_merge(&after, change->patch))
		return 0;

	r = after.pinned && !before.pinned ? check_pinned(tx) : 0;
	if (r < 0)
		return r;

	after.version++;
	after.updated_at = tx_now_us(tx);
	r = tx_exec(tx, &note_update, &after);
	if (r < 0)
		return r;

	*change->ret = after;
	return emit(tx, S("note.changed"), &after);
}

int note_store_change(struct req *req, const struct note_patch *patch, struct note *ret)
{
	return req_write(req, change_in_tx, &(struct note_change){ req, patch, ret });
}

/* --- delete --------------------------------------------------------------- */

struct note_deletion {
	const struct req *req; /* for If-Match */
	const struct note_ref *ref;
};

static int delete_in_tx(struct tx *tx, void *arg)
{
	struct note_deletion *deletion = arg;
	struct note note;
	int r;

	r = tx_one(tx, &note_get, deletion->ref, &note);
	if (r < 0)
		return r;

	r = req_if_match(deletion->req, note.version);
	if (r < 0)
		return r;

	r = tx_exec(tx, &note_remove, deletion->ref);
	return r < 0 ? r : emit(tx, S("note.deleted"), &note);
}

int note_store_delete(struct req *req, const struct note_ref *ref)
{
	return req_write(req, delete_in_tx, &(struct note_deletion){ req, ref });
}
