/* The hooks for repeated requests: a look at what is kept before, a row after. What is in work is
 * noted before looking, so that no second request can slip in between. */
#include "rest/idempotency.h"

#include "base/embed.h"
#include "crypto/base64.h"
#include "http/module.h"
#include "http/server.h"
#include "rest/db.h"
#include "rest/in_flight.h"
#include "rest/kept.h"
#include "rest/write.h"

EMBED_TEXT(rest_sql, "src/rest/rest.sql");

/* What the hooks themselves may wait for the store; the handler has its own deadline. */
#define HOOK_TIME (5 * SECOND)

enum { SWEEP_BATCH = 1000 };

/* --- statements ------------------------------------------------------------------------- */

/* clang-format off */
struct sweep {
	int64_t before_us, room;
};

static const struct schema sweep_schema = SCHEMA(sweep, "What is to be forgotten.",
	FIELD(sweep, before_us, "Kept before then."),
	FIELD(sweep, room, "At most so many."));
/* clang-format on */

static const struct statement kept_sweep = STATEMENT("idempotency_sweep",
	.sql = "DELETE FROM main.idempotency WHERE (tenant_id, key_hash) IN "
	       "(SELECT tenant_id, key_hash FROM main.idempotency "
	       "WHERE created_us < :before_us ORDER BY created_us LIMIT :room)",
	.in = &sweep_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const statements[] = { &kept_insert, &kept_get, &kept_sweep,
	&kept_boxes, &kept_box_set };

/* --- what a key belongs to ---------------------------------------------------------- */

/* The parts cannot run into each other: a key has no line break, a pattern neither, and the tenant
 * is a UUID. */
static void digest_key(struct req *req, struct str key, uint8_t ret[SHA256_LEN])
{
	const struct str parts[] = { key, S("\n"), req->entry->pattern, S("\n"), req->caller.tenant,
		req->caller.id };

	digest_parts(DIGEST_SHA256, parts, LEN(parts), ret);
}

/* Which row it is, and of which request. Reads the body. */
static int identify(struct req *req, struct str key, struct repeat *repeat)
{
	struct idempotent_request request = {
		.method = req->head.method_text,
		.route = req->entry->pattern,
		.caller = arena_printf(&req->arena, "%.*s/%.*s", STR_ARG(req->caller.tenant),
			STR_ARG(req->caller.id)),
		.params = req->params,
		.param_count = req->entry->param_count,
		.query = req->head.target.query,
	};
	int r = req_read_all(req, &request.body);

	if (r < 0 || !request.caller.at)
		return -(int)err_last()->code;
	idempotency_fingerprint(&request, repeat->fingerprint);
	digest_key(req, key, repeat->key);
	hex_write(repeat->key_text, str_of((const char *)repeat->key, sizeof(repeat->key)));
	return 0;
}

/* --- the hooks ----------------------------------------------------------------------- */

static int look(struct req *req, const struct repeat *repeat)
{
	struct scope scope;
	int r, closed;

	scope_open(&scope, sched_now() + HOOK_TIME);
	r = kept_replay(req, repeat);
	closed = scope_close(&scope);
	return closed < 0 ? closed : r;
}

static int repeat_begin(struct req *req, struct str key)
{
	struct db db = req_db(req);
	struct repeat *repeat;
	int r;

	if (!db.store || req->caller.id.len == 0)
		return 0;
	repeat = arena_new(&req->arena, struct repeat);
	if (!repeat)
		return -(int)err_last()->code;
	repeat->db = db;
	r = identify(req, key, repeat);
	if (r == 0)
		r = in_flight_enter(db.store, repeat->key);
	if (r < 0)
		return r;

	r = look(req, repeat);
	if (r == 0)
		req->repeat = repeat;
	else
		in_flight_leave(db.store, repeat->key);
	return r;
}

/* The answer of a handler that wrote nothing with req_write. That it could not be kept does not
 * change it. */
static void keep_answer(struct req *req, const struct repeat *repeat)
{
	struct scope scope;
	struct kept kept;
	struct str data;
	int r;

	scope_open(&scope, sched_now() + HOOK_TIME);
	r = kept_make(req, repeat, &kept, &data);
	if (r == 0)
		r = db_exec(&repeat->db, &kept_insert, &kept);
	(void)scope_close(&scope);
	if (r < 0 && r != -ERR_CONFLICT) /* another instance was faster */
		log_warn("the answer to a repeatable request was not kept", LOG_ERR);
}

static void repeat_finish(struct req *req, int result)
{
	struct repeat *repeat = req->repeat;

	if (!repeat)
		return;
	req->repeat = NULL;
	if (result == 0 && !repeat->kept)
		keep_answer(req, repeat);
	in_flight_leave(repeat->db.store, repeat->key);
}

/* --- sweeping -------------------------------------------------------------------------- */

struct batch {
	struct sweep sweep;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;

	batch->sweep.before_us = tx_now_us(tx) - (int64_t)(IDEMPOTENCY_KEEP / MICROSECOND);
	return tx_change(tx, &kept_sweep, &batch->sweep, &batch->deleted);
}

int idempotency_sweep(struct store *store, size_t *ret)
{
	static const struct tx_options options = { "idempotency_sweep", .durability = TX_SOFT };
	struct batch batch = { .sweep.room = SWEEP_BATCH };
	struct arena arena;
	struct db db;
	size_t total = 0;
	int r;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	db = db_of_system(store, &arena);
	do {
		r = db_write_with(&db, &options, sweep_in_tx, &batch);
		total += r == 0 ? batch.deleted : 0;
		arena_reset(&arena);
	} while (r == 0 && batch.deleted == SWEEP_BATCH && total < IDEMPOTENCY_SWEEP);
	arena_done(&arena);
	if (ret)
		*ret = total;
	return r;
}

/* --- the module -------------------------------------------------------------------------- */

static int open_hooks(struct server *server)
{
	kept_open(server->master_key, server->former_key);
	server->hooks.repeat_begin = repeat_begin;
	server->hooks.repeat_finish = repeat_finish;
	return 0;
}

static int sweep(struct server *server)
{
	return idempotency_sweep(server->store, NULL);
}

static int reseal(struct server *server, struct resealed *counted)
{
	return kept_reseal(server->store, counted);
}

static const struct chore chores[] = {
	{ "idempotency", 10 * MINUTE, sweep },
};

const struct module rest_module = {
	MODULE_HEAD,
	.name = "rest",
	.migrations = rest_sql,
	.statements = statements,
	.statement_count = LEN(statements),
	.open = open_hooks,
	.chores = chores,
	.chore_count = LEN(chores),
	.reseal = reseal,
};
