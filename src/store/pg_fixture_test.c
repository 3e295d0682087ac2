/* The module `things`, and workers for stores on PostgreSQL. */
#include "store/pg_fixture_test.h"

#include "observe/clock.h"
#include "store/migration.h"

static const struct schema thing_schema = SCHEMA(thing, "A thing.",
	FIELD(thing, id, "Which.", .format = FORMAT_UUID), FIELD(thing, name, "What it is called."),
	FIELD(thing, amount, "How much."),
	FIELD(thing, parent, "What it is part of.", .format = FORMAT_UUID, .flags = NULLABLE));

static const struct schema total_schema = SCHEMA(
	total, "All things.", FIELD(total, count, "How many."), FIELD(total, sum, "How much."));

static const char migrations[] =
	"-- up 1: things\n"
	"CREATE TABLE main.thing (tenant_id uuid NOT NULL, id uuid NOT NULL, name text NOT NULL,\n"
	"amount bigint NOT NULL CHECK (amount >= 0), parent uuid,\n"
	"PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, name),\n"
	"FOREIGN KEY (tenant_id, parent) REFERENCES main.thing (tenant_id, id));\n"
	"-- down 1\nDROP TABLE main.thing; -- safe: going down\n";

#define INSERT                                                                                     \
	"INSERT INTO main.thing (tenant_id, id, name, amount, parent) "                            \
	"VALUES (:tenant, :id, :name, :amount, :parent)"
#define THIS "WHERE tenant_id = :tenant AND id = :id"

const struct statement thing_add = STATEMENT("thing_add", .sql = INSERT, .in = &thing_schema);
const struct statement thing_get =
	STATEMENT("thing_get", .sql = "SELECT id, name, amount, parent FROM thing " THIS,
		.in = &thing_schema, .out = &thing_schema);
const struct statement thing_set =
	STATEMENT("thing_set", .sql = "UPDATE main.thing SET amount = :amount " THIS,
		.in = &thing_schema, .expect = EXPECT_ONE);
const struct statement thing_rename = STATEMENT("thing_rename",
	.sql = "UPDATE main.thing SET amount = amount + 1 WHERE tenant_id = :tenant "
	       "AND (name = :name OR amount = :amount)",
	.in = &thing_schema, .expect = EXPECT_ONE);
const struct statement thing_list = STATEMENT("thing_list",
	.sql = "SELECT id, name, amount FROM thing WHERE tenant_id = :tenant ORDER BY name",
	.out = &thing_schema);
const struct statement thing_total = STATEMENT("thing_total",
	.sql = "SELECT count(*) AS count, coalesce(cast(sum(amount) AS bigint), 0) AS sum "
	       "FROM thing WHERE tenant_id = :tenant",
	.out = &total_schema);
const struct statement thing_total_of_all = STATEMENT("thing_total_of_all",
	.sql = "SELECT count(*) AS count, coalesce(cast(sum(amount) AS bigint), 0) AS sum "
	       "FROM main.thing",
	.out = &total_schema, .flags = STATEMENT_SYSTEM);
const struct statement thing_drop =
	STATEMENT("thing_drop", .sql = "DELETE FROM main.thing " THIS, .in = &thing_schema);

#define INSERT_BARE "INSERT INTO main.thing (tenant_id, id, amount) VALUES (:tenant, :id, :amount)"
const struct statement thing_add_bare =
	STATEMENT("thing_add_bare", .sql = INSERT_BARE, .in = &thing_schema);
const struct statement thing_add_planned = STATEMENT(
	"thing_add_planned", .sql = INSERT_BARE, .in = &thing_schema, .flags = STATEMENT_PLAN_ONCE);

static const struct statement *const statements[] = { &thing_add, &thing_get, &thing_set,
	&thing_rename, &thing_list, &thing_total, &thing_total_of_all, &thing_drop, &thing_add_bare,
	&thing_add_planned };

const struct store_test_module thing_modules[] = {
	{ "things", migrations, statements, LEN(statements) },
	{ NULL },
};

struct str thing_id(struct arena *arena)
{
	char text[UUID_TEXT_LEN];
	struct uuid id;

	uuid_v7(&id, clock_wall_us());
	uuid_write(text, &id);
	return arena_str(arena, str_of(text, sizeof(text)));
}

static void must(int r, const char *doing)
{
	if (!test_note(r == 0, __FILE__, __LINE__, "%s: %s", doing, err_text()))
		test_end();
}

void pg_bench_open(
	struct pg_bench *bench, const struct store_options *options, struct str owner_url)
{
	const struct migration_source sources[] = { { "store", store_migrations },
		{ "things", migrations } };
	const struct migration_options how = { .store = *options, .owner_url = owner_url };

	*bench = (struct pg_bench){ 0 };
	must(migrate_up(&how, sources, LEN(sources)), "migrate_up");
	must(store_open(options, &bench->store), "store_open");
	must(store_register(bench->store, statements, LEN(statements)), "store_register");
	must(store_start(bench->store), "store_start");
}

static int run_body(void *arg)
{
	struct worker *worker = worker_here();
	struct pg_bench *bench = arg;
	int r = bench->body(bench, worker->index);

	worker_stop(worker);
	return r;
}

static int start_body(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, run_body, worker->arg);
}

void pg_bench_run(
	struct pg_bench *bench, size_t workers, int (*body)(struct pg_bench *, unsigned worker))
{
	CHECK(workers <= LEN(bench->workers));
	bench->body = body;
	for (unsigned i = 0; i < workers; i++) {
		bench->workers[i] = (struct worker){
			.index = i, .fiber_limit = 10000, .on_start = start_body, .arg = bench
		};
		must(worker_start(&bench->workers[i]), "worker_start");
	}
	for (size_t i = 0; i < workers; i++)
		worker_join(&bench->workers[i]);
}

void pg_bench_close(struct pg_bench *bench)
{
	store_close(bench->store);
}
