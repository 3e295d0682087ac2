/* What a caller may do. Decoding, bounds, rights, limits, statuses, repeated requests, entity tags
 * and the document are not here, since the tables say them. */
#include "notes.h"

#include "rest/db.h"
#include "rest/page.h"

static int note_create(struct req *req, const struct note_new *in, struct note *out)
{
	return note_store_create(req, in, out);
}
HANDLER(note_create, note_new, note, ROUTE_FAILS(CONFLICT))

static int note_get(struct req *req, const struct note_ref *in, struct note *out)
{
	return note_store_get(req, in, out);
}
HANDLER(note_get, note_ref, note, ROUTE_FAILS(NOT_FOUND))

/* A page of the newest notes that fit the filter. */
static int notes_get(struct req *req, const struct note_query *in, struct note_page *out)
{
	struct note_query query = *in;
	struct db db = req_db(req);
	int r;

	r = page_begin(req, &notes_newest_first, in->cursor, &query);
	if (r < 0)
		return r;

	r = db_all(&db, &note_list, &query, &out->items.at, &out->items.count);
	if (r < 0)
		return r;

	return page_end(req, &notes_newest_first, in->limit, out->items.at, &out->items.count);
}
HANDLER(notes_get, note_query, note_page, 0)

/* Change the members that are there and keep the rest. With If-Match the change is refused when
 * somebody else was faster; without, the last one wins. */
static int note_change(struct req *req, const struct note_patch *in, struct note *out)
{
	return note_store_change(req, in, out);
}
HANDLER(note_change, note_patch, note, ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT))

static int note_delete(struct req *req, const struct note_ref *in, struct nothing *out)
{
	(void)out;
	return note_store_delete(req, in);
}
HANDLER(note_delete, note_ref, nothing, ROUTE_FAILS(NOT_FOUND))

#define NOTES(text, handler_, right)                                                               \
	text, .place = ROUTE_PUBLIC, .handler = &(handler_), .need = right

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_POST, "/api/v1/notes", NOTES("Write a note", note_create_handler, "notes:write"),
		.in = &note_new_schema, .out = &note_schema, .status = 201, .idempotent = true, .versioned = true,
		.may_fail = ROUTE_FAILS(CONFLICT) },
	{ HTTP_GET, "/api/v1/notes", NOTES("List notes", notes_get_handler, "notes:read"),
		.in = &note_query_schema, .out = &note_page_schema },
	{ HTTP_GET, "/api/v1/notes/{id}", NOTES("Show a note", note_get_handler, "notes:read"),
		.in = &note_ref_schema, .out = &note_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(NOT_FOUND) },
	{ HTTP_PATCH, "/api/v1/notes/{id}", NOTES("Change a note", note_change_handler, "notes:write"),
		.in = &note_patch_schema, .out = &note_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(NOT_FOUND) | ROUTE_FAILS(CONFLICT) },
	{ HTTP_DELETE, "/api/v1/notes/{id}", NOTES("Delete a note", note_delete_handler, "notes:write"),
		.in = &note_ref_schema, .versioned = true,
		.may_fail = ROUTE_FAILS(NOT_FOUND) },
};
/* clang-format on */

const struct module notes_module = {
	MODULE_HEAD,
	.name = "notes",
	.version = "1.0.0",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = notes_sql,
	.statements = note_statements,
	.statement_count = NOTE_STATEMENTS,
};

BULKHEAD_MODULE(notes_module);
