/* The engine on PostgreSQL: opening with all checks, the commands every session knows, closing. */
#include "store/pg.h"

#include "base/hash.h"
#include "base/mem.h"

enum {
	ENGINE_CHUNK = 4096,
	ENGINE_LIMIT = 256 * 1024,
	OFFLOAD_THREADS = 2,
	SYSTEM_SHARE = 4, /* system sessions are one of so many */
};

/* Defined here, exported where the engine is chosen. */
static const struct engine_ops pg_ops;

/* --- metrics --------------------------------------------------------------------------- */

static const struct metric_def conflicts_def = {
	.name = "store_conflicts_total",
	.help = "Runs of transactions that PostgreSQL ended with a serialization failure or a "
		"deadlock.",
	.kind = METRIC_COUNTER,
};
static const struct metric_def repetitions_def = {
	.name = "store_repetitions_total",
	.help = "Transactions that were run again, for whatever reason.",
	.kind = METRIC_COUNTER,
};
static const struct metric_def unknown_def = {
	.name = "store_unknown_outcomes_total",
	.help = "Transactions of which nobody knows whether they were committed.",
	.kind = METRIC_COUNTER,
};
static const struct metric_def round_trips_def = {
	.name = "store_round_trips_total",
	.help = "Times that PostgreSQL was waited for.",
	.kind = METRIC_COUNTER,
};

static bool read_round_trips(void *arg, int64_t *ret)
{
	(void)arg;
	*ret = (int64_t)pg_round_trips();
	return true;
}

static int find_metrics(struct pg_engine *engine)
{
	static bool registered; /* stores are opened by one thread */

	engine->conflicts = metric_register_one(&conflicts_def);
	engine->repetitions = metric_register_one(&repetitions_def);
	engine->unknown = metric_register_one(&unknown_def);
	if (!engine->conflicts || !engine->repetitions || !engine->unknown)
		return -(int)err_last()->code;
	if (registered)
		return 0;
	registered = true;
	return metric_callback(&round_trips_def, read_round_trips, NULL);
}

/* --- the commands of a session ----------------------------------------------------------- */

/* What a session has by pg_connect, for a transaction that cannot count on it. */
#define POOLED_SETTINGS                                                                            \
	", set_config('search_path', 'main', true), set_config('TimeZone', 'UTC', true)"           \
	", set_config('standard_conforming_strings', 'on', true)"                                  \
	", set_config('statement_timeout', '30s', true), set_config('lock_timeout', '10s', true)"

#define SOFT_SETTING ", set_config('synchronous_commit', 'off', true)"

static const Oid text_types[] = { PG_TEXT, PG_TEXT };

/* `text` must live as long as the engine; NULL means that there was no memory for it. */
static int define(struct pg_engine *engine, bool system, enum pg_command command, const char *text,
	size_t params)
{
	struct hash_key key = { 0, 0 }; /* the same on all instances behind a pooler */
	struct str name;

	if (!text)
		return -(int)err_last()->code;
	name = arena_printf(&engine->arena, "store_%016llx",
		(unsigned long long)hash_keyed(key, str_from_c(text)));
	if (!name.at)
		return -(int)err_last()->code;
	engine->commands[system][command] =
		(struct pg_text){ command, name.at, text, text_types, params };
	return 0;
}

static const char *opening(struct pg_engine *engine, bool system, bool soft)
{
	bool pooled = system ? engine->system.options.target.pooled
			     : engine->tenant.options.target.pooled;

	return arena_printf(&engine->arena, "SELECT set_config('app.tenant', $1, true)%s%s%s",
		soft ? SOFT_SETTING : "", pooled ? POOLED_SETTINGS : "",
		pooled && system ? ", set_config('role', session_user || '_system', true)" : "")
		.at;
}

static int define_commands(struct pg_engine *engine, bool system)
{
	const struct {
		enum pg_command command;
		const char *text;
		size_t params;
	} rows[] = {
		{ PG_BEGIN_SERIALIZABLE, "BEGIN ISOLATION LEVEL SERIALIZABLE", 0 },
		{ PG_BEGIN_READ_COMMITTED, "BEGIN ISOLATION LEVEL READ COMMITTED", 0 },
		{ PG_BEGIN_READ_ONLY, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0 },
		{ PG_COMMIT, "COMMIT", 0 },
		{ PG_ROLLBACK, "ROLLBACK", 0 },
		{ PG_OPENING, opening(engine, system, false), 1 },
		{ PG_OPENING_SOFT, opening(engine, system, true), 1 },
		{ PG_ENTER,
			"SELECT set_config('role', $1, true), set_config('app.tenant', $2, true)",
			2 },
		{ PG_PLAN_ONCE,
			"SELECT set_config('plan_cache_mode', 'force_generic_plan', true), "
			"set_config('enable_seqscan', 'off', true)",
			0 },
	};
	int r = 0;

	for (size_t i = 0; i < LEN(rows) && r == 0; i++)
		r = define(engine, system, rows[i].command, rows[i].text, rows[i].params);
	return r;
}

/* --- opening -------------------------------------------------------------------------------- */

/* A text with a NUL behind it, for libpq. */
static const char *c_text(struct pg_engine *engine, struct str text)
{
	return arena_str(&engine->arena, text).at;
}

static int learn_names(struct pg_engine *engine)
{
	PGresult *result = PQexec(engine->check, "SELECT session_user");
	int r = 0;

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		r = fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
	} else {
		engine->login = c_text(engine, str_from_c(PQgetvalue(result, 0, 0)));
		if (engine->login)
			engine->role = arena_printf(&engine->arena, "%s_system", engine->login).at;
		if (!engine->role)
			r = -(int)err_last()->code;
	}
	PQclear(result);
	return r;
}

static int open_pools(struct pg_engine *engine)
{
	const struct store_options *options = engine->options;
	const char *url = c_text(engine, options->url);
	const char *direct = c_text(engine, options->direct_url);
	struct pg_pool_options both = { .queue_max = options->pool_queue,
		.wait_ns = options->pool_wait_ns,
		.age_ns = options->connection_age_ns };
	size_t system = MAX(options->pool_max / SYSTEM_SHARE, (size_t)1);
	int r;

	if (!url || !direct)
		return -(int)err_last()->code;
	both.name = "tenant";
	both.max = MAX(options->pool_max - system, (size_t)1);
	both.target = (struct pg_target){ url, NULL, options->connect_ns, false };
	r = pg_ask_pooled(engine->check, &both.target.pooled);
	if (r == 0)
		r = pg_pool_init(&engine->tenant, &both, &engine->offload);
	if (r < 0)
		return r;

	both.name = "system";
	both.max = system;
	both.target.url = direct;
	engine->check_system = pg_connect(&both.target);
	if (!engine->check_system)
		return -(int)err_last()->code;
	r = pg_ask_pooled(engine->check_system, &both.target.pooled);
	if (r == 0 && !both.target.pooled) { /* the session keeps it */
		both.target.role = engine->role;
		r = pg_put_on_role(engine->check_system, engine->role);
	}
	return r < 0 ? r : pg_pool_init(&engine->system, &both, &engine->offload);
}

/* One connection of each kind, for the checks; the pools begin with them. */
static int connect_first(struct pg_engine *engine)
{
	struct pg_target target = { c_text(engine, engine->options->url), NULL,
		engine->options->connect_ns, false };
	int r;

	if (!target.url)
		return -(int)err_last()->code;
	engine->check = pg_connect(&target);
	if (!engine->check)
		return -(int)err_last()->code;
	r = pg_check_rights(engine->check, engine->options);
	if (r == 0)
		r = learn_names(engine);
	if (r == 0)
		r = pg_catalog_read(engine->check, &engine->catalog);
	return r < 0 ? r : open_pools(engine);
}

int pg_engine_open(const struct store_options *options, struct store *store, struct engine **ret)
{
	struct pg_engine *engine = mem_zalloc(sizeof(*engine));
	int r;

	if (!engine)
		return -ERR_NO_MEMORY;
	engine->engine = (struct engine){ ENGINE_POSTGRES, &pg_ops, store };
	engine->options = options;
	atomic_init(&engine->unprepared, options->unprepared);
	arena_init(&engine->arena, ENGINE_CHUNK, ENGINE_LIMIT);

	r = find_metrics(engine);
	if (r == 0)
		r = offload_open(&engine->offload, "pg", OFFLOAD_THREADS,
			2 * options->pool_max + OFFLOAD_THREADS);
	engine->offloading = r == 0;
	if (r == 0)
		r = connect_first(engine);
	for (int system = 0; system < 2 && r == 0; system++)
		r = define_commands(engine, system);
	if (r < 0) {
		engine->engine.ops->close(&engine->engine);
		return r;
	}
	*ret = &engine->engine;
	return 0;
}

/* --- operations ------------------------------------------------------------------------------ */

static struct pg_engine *engine_of(struct engine *engine)
{
	return CONTAINER_OF(engine, struct pg_engine, engine);
}

static int check(struct engine *engine, const struct statement *statement)
{
	struct pg_engine *pg = engine_of(engine);
	bool system = statement_plan(statement, ENGINE_POSTGRES)->system;

	CHECK(!pg->started);
	return pg_check_statement(system ? pg->check_system : pg->check, &pg->catalog, statement);
}

static int start(struct engine *engine)
{
	struct pg_engine *pg = engine_of(engine);
	size_t numbers = PG_COMMANDS + statement_numbers() + 1;
	int r;

	CHECK(!pg->started);
	pg->tenant.options.numbers = pg->system.options.numbers = numbers;
	r = pg_pool_adopt(&pg->tenant, TAKE(pg->check));
	if (r == 0)
		r = pg_pool_adopt(&pg->system, TAKE(pg->check_system));
	pg->started = r == 0;
	return r;
}

static int tenant_tables(
	struct engine *engine, struct arena *arena, struct str **ret, size_t *ret_count)
{
	const struct pg_catalog *catalog = &engine_of(engine)->catalog;
	struct str *names;

	if (catalog->circle.len)
		return fail(ERR_INTERNAL, "table %.*s and others refer to each other in a circle",
			STR_ARG(catalog->circle));
	names = arena_alloc(arena, (catalog->tenant_table_count + 1) * sizeof(*names));
	if (!names)
		return -(int)err_last()->code;
	for (size_t i = 0; i < catalog->tenant_table_count; i++) {
		names[i] = arena_str(arena, catalog->tenant_tables[i]);
		if (!names[i].at)
			return -(int)err_last()->code;
	}
	*ret = names;
	*ret_count = catalog->tenant_table_count;
	return 0;
}

static void close_engine(struct engine *engine)
{
	struct pg_engine *pg = engine_of(engine);

	PQfinish(pg->check);
	PQfinish(pg->check_system);
	pg_pool_done(&pg->tenant);
	pg_pool_done(&pg->system);
	if (pg->offloading)
		offload_close(&pg->offload);
	pg_catalog_done(&pg->catalog);
	arena_done(&pg->arena);
	mem_free(pg, sizeof(*pg));
}

static const struct engine_ops pg_ops = {
	.check = check,
	.run = pg_tx_run,
	.step = pg_tx_step,
	.enter = pg_tx_enter,
	.tenant_tables = tenant_tables,
	.start = start,
	.close = close_engine,
};
