/*
 * One hot tenant that writes a row in each transaction, without and with an entry of the audit log,
 * while a sequencer chains them. Prints a line for each figure: NAME VALUE. benchmarks/audit.mjs
 * runs it and makes ratios of them.
 *
 *     audit_native sqlite FOLDER
 *     audit_native postgres FOLDER APP_URL OWNER_URL
 */
#include "crypto/library.h"
#include "crypto/master_key.h"
#include "http/server.h"
#include "modules/audit/audit_internal.h"
#include "observe/clock.h"
#include "store/migration.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FIBERS = 64 };

#define WRITE_TIME  (3 * SECOND)
#define CHAIN_EVERY (300 * MILLISECOND)

/* --- the table --------------------------------------------------------------------------- */

static const char migrations[] =
	"-- up 1: items\n"
	"CREATE TABLE main.item (tenant_id uuid NOT NULL, id uuid NOT NULL, title text NOT NULL,\n"
	"	body text NOT NULL, created_us bigint NOT NULL, PRIMARY KEY (tenant_id, id))\n"
	"	--sqlite: WITHOUT ROWID\n;\n"
	"CREATE INDEX item_by_time ON main.item (tenant_id, created_us, id);\n";

struct item {
	struct str id, title, body;
};

static const struct schema item_schema = SCHEMA(item, "Something.",
	FIELD(item, id, "Which.", .format = FORMAT_UUID),
	FIELD(item, title, "Its name.", .flags = PERSONAL), FIELD(item, body, "What it is."));

static const struct statement insert = STATEMENT("item_insert",
	.sql = "INSERT INTO main.item (tenant_id, id, title, body, created_us) "
	       "VALUES (:tenant, :id, :title, :body, :now)",
	.in = &item_schema);
static const struct statement *const statements[] = { &insert };

/* --- figures ------------------------------------------------------------------------------ */

static void must(int r, const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	if (r >= 0)
		return;
	(void)err_describe(err_last(), text, sizeof(text));
	(void)fprintf(stderr, "audit_native: %s: %s\n", doing, text);
	exit(1);
}

static void tell(const char *name, double value)
{
	(void)printf("%s %.6g\n", name, value);
	(void)fflush(stdout);
}

/* --- the load ------------------------------------------------------------------------------- */

static struct store *store;
static const struct uuid tenant = { { 1, 2, 3, 4, 5, 6, 0x70, 8, 0x80 } };

struct load {
	uint64_t until_ns;
	bool audited, chained;
	size_t writing, done;
};

struct writing {
	struct load *load;
	struct item item;
};

static int write_in_tx(struct tx *tx, void *arg)
{
	static const struct audit_actor actor = { .kind = AUDIT_USER,
		.user = S_INIT("01900000-0000-7000-8000-0000000000aa"),
		.session = S_INIT("01900000-0000-7000-8000-0000000000bb"),
		.address = S_INIT("192.0.2.7"),
		.request = S_INIT("01900000-0000-7000-8000-0000000000cc"),
		.trace = S_INIT("4bf92f3577b34da6a3ce929d0e0e4736") };
	struct writing *writing = arg;
	struct audit_entry entry = { .action = S("item.created"),
		.type = S("item"),
		.id = writing->item.id,
		.schema = &item_schema,
		.after = &writing->item };
	int r = tx_exec(tx, &insert, &writing->item);

	return r < 0 || !writing->load->audited ? r : tx_audit(tx, &actor, &entry);
}

static int write_until(void *arg)
{
	struct load *load = arg;
	char text[UUID_TEXT_LEN];
	struct writing writing = { load,
		{ str_of(text, sizeof(text)), S("A title of an item"),
			S("A body of about a hundred bytes, which is what a small business row has "
			  "besides its name and ids.") } };
	struct arena arena;
	struct db db = db_of(store, &tenant, &arena);

	arena_init(&arena, 4096, 1024 * 1024);
	while (clock_now_ns() < load->until_ns) {
		struct uuid id;

		uuid_v7(&id, clock_wall_us());
		uuid_write(text, &id);
		must(db_write(&db, write_in_tx, &writing), "write");
		load->done++;
		arena_reset(&arena);
	}
	arena_done(&arena);
	load->writing--;
	return 0;
}

static int chain_until(void *arg)
{
	struct load *load = arg;

	while (load->chained && load->writing > 0) {
		must(audit_sequence(store), "chain");
		(void)fiber_sleep_until(clock_now_ns() + CHAIN_EVERY);
	}
	return 0;
}

/* Processor time of this program: all that SQLite takes; of PostgreSQL only our own side. */
static uint64_t cpu_ns(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

struct figure {
	size_t done;
	double rate, cpu_us; /* transactions each second, and what each costs */
};

static struct figure write_with(bool audited, bool chained)
{
	struct load load = { .until_ns = clock_now_ns() + WRITE_TIME,
		.audited = audited,
		.chained = chained,
		.writing = FIBERS };
	uint64_t began = cpu_ns();
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (size_t i = 0; i < FIBERS; i++)
		must(scope_spawn(&scope, write_until, &load), "fiber");
	must(scope_spawn(&scope, chain_until, &load), "fiber");
	must(scope_close(&scope), "writers");
	return (struct figure){ load.done, (double)load.done * (double)SECOND / (double)WRITE_TIME,
		(double)(cpu_ns() - began) / (double)MICROSECOND / (double)load.done };
}

static int measure(void)
{
	struct figure plain = write_with(false, true), audited = write_with(true, true), loose;
	uint64_t began, took;

	began = clock_now_ns();
	must(audit_sequence(store), "chain");
	tell("behind_ms", (double)(clock_now_ns() - began) / (double)MILLISECOND);

	loose = write_with(true, false);
	began = clock_now_ns();
	must(audit_sequence(store), "chain");
	took = clock_now_ns() - began;
	tell("plain_per_s", plain.rate);
	tell("audited_per_s", audited.rate);
	tell("plain_cpu_us", plain.cpu_us);
	tell("audited_cpu_us", audited.cpu_us);
	tell("chain_us", (double)took / (double)MICROSECOND / (double)MAX(loose.done, 1));
	return 0;
}

/* --- all of it -------------------------------------------------------------------------------- */

static struct worker worker;

static int run_measure(void *arg)
{
	(void)arg;
	(void)measure();
	worker_stop(&worker);
	return 0;
}

static int start_measure(struct worker *started)
{
	return scope_spawn(&started->sched.root, run_measure, NULL);
}

int main(int argc, char **argv)
{
	static const struct master_key key = { { 1 } };
	struct store_options options = { 0 };
	struct migration_source sources[] = { { "store", store_migrations },
		{ "items", migrations }, { "audit", audit_module.migrations } };
	struct migration_options how = { 0 };
	struct server server = { .master_key = &key };

	if (argc != 3 && argc != 5)
		return (void)fprintf(
			       stderr, "audit_native sqlite FOLDER | postgres FOLDER URL OWNER\n"),
		       2;
	crypto_start();
	options.folder = str_from_c(argv[2]);
	options.url = str_from_c(argc == 5 ? argv[3] : NULL);
	how = (struct migration_options){ .store = options,
		.owner_url = str_from_c(argc == 5 ? argv[4] : NULL) };
	must(migrate_up(&how, sources, LEN(sources)), "migrate");
	must(store_open(&options, &store), "open");
	server.store = store;
	must(store_register(store, statements, LEN(statements)), "register");
	must(store_register(store, audit_module.statements, audit_module.statement_count),
		"register");
	must(audit_module.open(&server), "audit");
	must(store_start(store), "start");
	worker = (struct worker){ .fiber_limit = 1000, .on_start = start_measure };
	must(worker_start(&worker), "worker");
	worker_join(&worker);
	store_close(store);
	return 0;
}
