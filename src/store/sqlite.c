/*
 * The SQLite engine: one file in the data folder with one owner, one thread that writes
 * (sqlite_writer), reads beside it (sqlite_reader), and the guards of tenancy on every connection
 * (sqlite_guard).
 */
#include "store/sqlite.h"

#include "base/mem.h"
#include "store/folder_lock.h"
#include "store/sqlite_check.h"
#include "store/sqlite_metrics.h"
#include "store/sqlite_reader.h"
#include "store/sqlite_writer.h"
#include "store/store.h"

struct sqlite_engine {
	struct engine engine; /* first: what the front has */
	struct folder_lock lock;
	struct sqlite_database database;
	struct sqlite_writer writer;
	struct sqlite_readers readers;
};

static struct sqlite_engine *mine(struct engine *engine)
{
	return CONTAINER_OF(engine, struct sqlite_engine, engine);
}

static int run(struct engine *engine, struct tx *tx)
{
	return tx->read_only ? sqlite_readers_run(&mine(engine)->readers, tx)
			     : sqlite_writer_run(&mine(engine)->writer, tx);
}

static int step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed)
{
	int r = sqlite_readers_admit(&mine(tx->engine)->readers, tx, statement);

	return r < 0 ? r : sqlite_connection_step(tx, statement, in, rows, changed);
}

static int check(struct engine *engine, const struct statement *statement)
{
	return sqlite_check(&mine(engine)->writer.connection, statement);
}

static int tenant_tables(
	struct engine *engine, struct arena *arena, struct str **ret, size_t *ret_count)
{
	return sqlite_schema_order(&mine(engine)->database.schema, arena, ret, ret_count);
}

static int start(struct engine *engine)
{
	int r = sqlite_readers_start(&mine(engine)->readers);

	return r < 0 ? r : sqlite_writer_start(&mine(engine)->writer);
}

/* Readers first: whoever closes last empties the log, which only the writer can. */
static void close_engine(struct engine *engine)
{
	struct sqlite_engine *sqlite = mine(engine);

	sqlite_readers_close(&sqlite->readers);
	sqlite_writer_close(&sqlite->writer);
	sqlite_schema_done(&sqlite->database.schema);
	folder_lock_release(&sqlite->lock);
	mem_free(sqlite, sizeof(*sqlite));
}

static const struct engine_ops ops = {
	.check = check,
	.run = run,
	.step = step,
	.enter = sqlite_connection_enter,
	.tenant_tables = tenant_tables,
	.start = start,
	.close = close_engine,
};

static int read_schema(struct sqlite_database *database)
{
	sqlite3 *db;
	int r = sqlite_file_open(&database->file, SQLITE_READER, &db);

	if (r < 0)
		return r;
	r = sqlite_schema_read(db, &database->schema);
	(void)sqlite3_close(db);
	return r;
}

static int open_engine(struct sqlite_engine *sqlite, const struct store_options *options)
{
	struct sqlite_database *database = &sqlite->database;
	int r;

	r = sqlite_metrics_init();
	if (r == 0)
		r = folder_lock_take(options->folder, &sqlite->lock);
	if (r == 0)
		r = sqlite_file_init(&database->file, options->folder, options->cache_bytes);
	if (r == 0)
		r = sqlite_file_check(&database->file);
	if (r == 0)
		r = read_schema(database);
	if (r < 0)
		return r;

	sqlite_readers_init(
		&sqlite->readers, database, options->read_threads, options->write_queue);
	return sqlite_writer_open(&sqlite->writer, database, options->write_queue);
}

int sqlite_engine_open(
	const struct store_options *options, struct store *store, struct engine **ret)
{
	struct sqlite_engine *sqlite = mem_zalloc(sizeof(*sqlite));
	int r;

	if (!sqlite)
		return -ERR_NO_MEMORY;
	sqlite->engine = (struct engine){ ENGINE_SQLITE, &ops, store };
	r = open_engine(sqlite, options);
	if (r < 0) {
		close_engine(&sqlite->engine);
		return r;
	}
	*ret = &sqlite->engine;
	return 0;
}
