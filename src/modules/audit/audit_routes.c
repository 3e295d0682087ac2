/* Handlers, their contract, the chores, and the module. */
#include "modules/audit/audit_internal.h"
#include "modules/jobs/jobs.h"

#include "base/embed.h"
#include "http/server.h"
#include "observe/clock.h"
#include "rest/db.h"

EMBED_TEXT(audit_sql, "src/modules/audit/audit.sql");

/* --- the list -------------------------------------------------------------------------- */

/* Rows of a page, turned into items one by one; no more than what fits into an answer. */
enum { PAGE_BYTES = 1024 * 1024 };

struct listing {
	struct req *req;
	const struct audit_query *query;
	struct audit_item *items;
	size_t count, room, bytes;
};

static size_t size_of(const struct audit_row *row)
{
	return sizeof(*row) + row->state_before.len + row->state_after.len + row->personal.len;
}

static int copy_item(struct arena *arena, const struct audit_item *item, struct audit_item *ret)
{
	struct audit_item copy = *item;
	struct str *const texts[] = { &copy.id, &copy.user_id, &copy.key_id, &copy.session_id,
		&copy.impersonator_id, &copy.address, &copy.action, &copy.target_type,
		&copy.target_id, &copy.before.json, &copy.after.json, &copy.request_id,
		&copy.trace_id };

	for (size_t i = 0; i < LEN(texts); i++) {
		*texts[i] = arena_str(arena, *texts[i]);
		if (!texts[i]->at)
			return -(int)err_last()->code;
	}
	*ret = copy;
	return 0;
}

static int take_row(void *row, void *arg)
{
	struct listing *listing = arg;
	struct arena *arena = &listing->req->arena;
	struct arena scratch;
	struct audit_item item;
	int r;

	listing->bytes += size_of(row);
	if (listing->count > 0 && listing->bytes > PAGE_BYTES) {
		listing->room = listing->count++; /* there is one more, but not on this page */
		return 1;
	}
	arena_init(&scratch, 16 * KILOBYTE, 4 * MEGABYTE);
	r = audit_item_of(row, &scratch, &item);
	if (r == 0)
		r = copy_item(arena, &item, &listing->items[listing->count]);
	arena_done(&scratch);
	if (r == 0)
		listing->count++;
	return r;
}

static int list_in_tx(struct tx *tx, void *arg)
{
	struct listing *listing = arg;
	struct audit_row row;

	listing->count = listing->bytes = 0;
	listing->room = (size_t)listing->query->limit;
	return tx_each(tx, &audit_lists[audit_list_of(listing->query)], listing->query, &row,
		take_row, listing);
}

/* The columns of the order, whatever is filtered: the filters come with each request. */
static const struct statement page_columns = {
	.name = "audit_page", .in = &audit_search_schema, .out = &audit_item_schema
};

static const struct page_order newest_first = {
	.name = S_INIT("audit, newest first"),
	.list = &page_columns,
	.key = { "id" },
	.after = { "after_id" },
	.start = { UUID_LAST },
};

static int audit_list(struct req *req, const struct audit_query *in, struct audit_page *out)
{
	struct audit_query query = *in;
	struct listing listing = { .req = req, .query = &query };
	struct arena arena;
	struct db db = req_db(req);
	int r = audit_query_ready(&req->arena, &query);

	if (r == 0)
		r = page_begin(req, &newest_first, in->cursor, &query);
	if (r < 0)
		return r;
	if (str_cmp(query.last_id, query.after_id) < 0)
		query.after_id = query.last_id;
	listing.items = arena_zalloc(&req->arena, (size_t)(in->limit + 1) * sizeof(*listing.items));
	if (!listing.items)
		return -(int)err_last()->code;
	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	db.arena = &arena;
	r = db_read(&db, list_in_tx, &listing);
	arena_done(&arena);
	if (r < 0)
		return r;
	out->items.at = listing.items;
	out->items.count = listing.count;
	return page_end(
		req, &newest_first, (int64_t)listing.room, out->items.at, &out->items.count);
}
HANDLER(audit_list, audit_query, audit_page, 0)

static int audit_export_get(struct req *req, const struct audit_query *in, struct nothing *out)
{
	(void)out;
	return audit_export(req, in);
}
HANDLER(audit_export_get, audit_query, nothing, 0)

/* clang-format off */
static const struct route routes[] = {
	{ HTTP_GET, "/api/v1/audit", "List what happened", .place = ROUTE_PUBLIC, .need = "audit:read",
		.handler = &audit_list_handler, .in = &audit_query_schema, .out = &audit_page_schema },
	{ HTTP_GET, "/api/v1/audit/export", "Get all that happened as JSON lines or CSV", .place = ROUTE_PUBLIC,
		.need = "audit:read", .handler = &audit_export_get_handler, .in = &audit_export_schema,
		.status = 200, .deadline_ns = HOUR },
};
/* clang-format on */

/* --- chores ------------------------------------------------------------------------------- */

static uint64_t retention_ns = 90 * 24 * HOUR;

void audit_configure(const struct audit_options *options)
{
	retention_ns = options->retention_ns;
}

static int chain(struct server *server)
{
	return audit_sequence(server->store);
}

static int tell(struct server *server)
{
	return audit_tell(server->store);
}

static int erase(struct server *server)
{
	return audit_erase(server->store);
}

static int run_cleanup(struct job *job, const void *payload)
{
	(void)payload;
	return audit_retain(job->server->store, retention_ns);
}

const struct job_kind audit_cleanup = { .name = "audit:cleanup",
	.queue = "maintenance",
	.run = run_cleanup,
	.timeout_ns = HOUR,
	.every_ns = 7 * 24 * HOUR };

static const struct chore chores[] = {
	{ "audit entries to chain", 300 * MILLISECOND, chain },
	{ "audit heads to tell", 10 * SECOND, tell },
	{ "personal data to erase", SECOND, erase },
};

/* --- the module ------------------------------------------------------------------------------ */

static int open_module(struct server *server)
{
	audit_keys_set(server->master_key, server->former_key);
	return schema_compile(&audit_erased_schema);
}

static void close_module(struct server *server)
{
	(void)server;
	schema_release(&audit_erased_schema);
	audit_keys_forget();
}

const struct module audit_module = {
	MODULE_HEAD,
	.name = "audit",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = audit_sql,
	.statements = audit_statements,
	.statement_count = AUDIT_STATEMENTS,
	.open = open_module,
	.close = close_module,
	.chores = chores,
	.chore_count = LEN(chores),
	.reseal = audit_reseal,
};
