/* Opening and closing, and what is registered in between. Which engine it is is decided here and
 * nowhere else. */
#include "store/store_internal.h"

#include "base/mem.h"
#include "base/time_text.h"
#include "store/notice_poller.h"
#include <stdatomic.h>

enum { STATEMENTS_MAX = 4096 };

/* The highest number given so far: connections keep prepared statements by number. */
static _Atomic size_t numbers;

size_t statement_numbers(void)
{
	return atomic_load(&numbers);
}

/* --- whether it answers ----------------------------------------------------------- */

struct sign_of_life {
	int64_t up;
};

static const struct schema sign_of_life_schema = SCHEMA(
	sign_of_life, "Whether the store answers.", FIELD(sign_of_life, up, "One.", RANGE(1, 1)));

static const struct statement ping = STATEMENT("store_ping", .sql = "SELECT 1 AS up",
	.out = &sign_of_life_schema, .flags = STATEMENT_SYSTEM);

static const struct statement *const own_statements[] = { &ping };

int store_ping(struct store *store, struct arena *arena)
{
	struct db db = db_of_system(store, arena);
	struct sign_of_life sign;

	return db_one(&db, &ping, NULL, &sign);
}

/* --- open and close -------------------------------------------------------------- */

static size_t or_size(size_t value, size_t preset)
{
	return value ? value : preset;
}

static uint64_t or_time(uint64_t value, uint64_t preset)
{
	return value ? value : preset;
}

static struct store_options with_defaults(const struct store_options *options)
{
	struct store_options full = *options;

	full.read_threads = or_size(full.read_threads, 2);
	full.write_queue = or_size(full.write_queue, 4096);
	full.cache_bytes = or_size(full.cache_bytes, 16 * 1024 * 1024);
	full.pool_max = or_size(full.pool_max, 10);
	full.pool_queue = or_size(full.pool_queue, full.pool_max * 64);
	full.pool_wait_ns = or_time(full.pool_wait_ns, 2 * SECOND);
	full.connection_age_ns = or_time(full.connection_age_ns, 30 * MINUTE);
	full.connect_ns = or_time(full.connect_ns, 5 * SECOND);
	if (full.direct_url.len == 0)
		full.direct_url = full.url;
	return full;
}

int store_open(const struct store_options *options, struct store **ret)
{
	struct store *store = mem_zalloc(sizeof(*store));
	int r;

	if (!store)
		return -ERR_NO_MEMORY;

	store->options = with_defaults(options);
	r = notices_open(options->url.len > 0, &store->notices);
	if (r == 0 && options->url.len)
		r = pg_engine_open(&store->options, store, &store->engine);
	else if (r == 0)
		r = sqlite_engine_open(&store->options, store, &store->engine);
	if (r == 0)
		r = store_register(store, own_statements, LEN(own_statements));
	if (r == 0)
		r = store_register(store, outbox_statements, outbox_statement_count);
	if (r == 0 && !store_is_sqlite(store))
		r = store_register(store, notice_statements, notice_statement_count);
	if (r == 0 && !store_is_sqlite(store))
		r = store_register(store, notice_poller_statements, notice_poller_statement_count);
	if (r < 0) {
		struct err err = *err_last();

		store_close(store);
		return err_restore(&err);
	}
	*ret = store;
	return 0;
}

int store_tenant_tables(
	struct store *store, struct arena *arena, struct str **ret, size_t *ret_count)
{
	CHECK(!store->started);
	return store->engine->ops->tenant_tables(store->engine, arena, ret, ret_count);
}

int store_start(struct store *store)
{
	int r = store->engine->ops->start(store->engine);

	if (r == 0)
		r = notice_poller_start(store);
	store->started = r == 0;
	return r;
}

static void unregister(const struct statement *statement, enum engine_kind kind);

void store_close(struct store *store)
{
	enum engine_kind kind;

	if (!store)
		return;
	notice_poller_stop(store->notices);
	kind = store->engine ? store->engine->kind : ENGINE_SQLITE;
	if (store->engine)
		store->engine->ops->close(store->engine);
	while (store->statement_count > 0)
		unregister(store->statements[--store->statement_count], kind);
	notices_close(store->notices);
	mem_free(store->statements, store->statement_room * sizeof(*store->statements));
	mem_free(store, sizeof(*store));
}

bool store_is_sqlite(const struct store *store)
{
	return store->engine->kind == ENGINE_SQLITE;
}

/* --- registration ---------------------------------------------------------------- */

static int compile(const struct statement *statement)
{
	int r = statement->in ? schema_compile(statement->in) : 0;

	if (r < 0 || !statement->out)
		return r;
	r = schema_compile(statement->out);
	if (r < 0 && statement->in)
		schema_release(statement->in);
	return r;
}

static void release(const struct statement *statement)
{
	if (statement->in)
		schema_release(statement->in);
	if (statement->out)
		schema_release(statement->out);
}

static int make_plan(const struct statement *statement, enum engine_kind kind)
{
	struct sql_plan *plan = mem_zalloc(sizeof(*plan));
	int r;

	if (!plan)
		return -ERR_NO_MEMORY;
	r = sql_plan_make(statement, kind, plan);
	if (r < 0) {
		mem_free(plan, sizeof(*plan));
		return r;
	}
	statement->slot->plan[kind] = plan;
	return 0;
}

static void drop_plan(const struct statement *statement, enum engine_kind kind)
{
	struct sql_plan *plan = statement->slot->plan[kind];

	statement->slot->plan[kind] = NULL;
	sql_plan_done(plan);
	mem_free(plan, sizeof(*plan));
}

/* The plan is shared by all stores of an engine: the first one makes and checks it. */
static int prepare(struct store *store, const struct statement *statement)
{
	struct statement_slot *slot = statement->slot;
	enum engine_kind kind = store->engine->kind;
	int r;

	if (slot->uses[kind] == 0) {
		r = make_plan(statement, kind);
		if (r < 0)
			return r;
		if (slot->number == 0)
			slot->number = atomic_fetch_add(&numbers, 1) + 1;
		r = store->engine->ops->check(store->engine, statement);
		if (r < 0) {
			drop_plan(statement, kind);
			return r;
		}
	}
	slot->uses[kind]++;
	return 0;
}

static void unregister(const struct statement *statement, enum engine_kind kind)
{
	if (--statement->slot->uses[kind] == 0)
		drop_plan(statement, kind);
	release(statement);
}

/* Room for `count` more in the list of what is registered. */
static int make_room(struct store *store, size_t count)
{
	size_t need = store->statement_count + count;
	const struct statement **grown;

	if (need > STATEMENTS_MAX)
		return fail(ERR_FULL, "more than %d statements", STATEMENTS_MAX);
	if (need <= store->statement_room)
		return 0;
	grown = mem_resize(
		store->statements, store->statement_room * sizeof(*grown), need * sizeof(*grown));
	if (!grown)
		return -ERR_NO_MEMORY;
	store->statements = grown;
	store->statement_room = need;
	return 0;
}

int store_register(struct store *store, const struct statement *const *statements, size_t count)
{
	size_t before = store->statement_count;
	int r = make_room(store, count);

	CHECK(!store->started);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = compile(statements[i]);
		if (r < 0)
			break;
		r = prepare(store, statements[i]);
		if (r < 0)
			release(statements[i]);
		else
			store->statements[store->statement_count++] = statements[i];
	}
	if (r < 0) {
		struct err err = *err_last();

		while (store->statement_count > before)
			unregister(
				store->statements[--store->statement_count], store->engine->kind);
		return err_restore(&err);
	}
	return 0;
}
