/* What the tests of the engine share, and the tests of opening, constraints and statements. */
#include "store/sqlite_test.h"

#include "base/mem.h"
#include "observe/clock.h"
#include "store/store_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char tables[] =
	"CREATE TABLE outbox (tenant_id uuid NOT NULL, position INTEGER PRIMARY KEY AUTOINCREMENT, "
	"id uuid NOT NULL, type text NOT NULL, subject text, data text, trace text, "
	"created_us bigint NOT NULL, UNIQUE (tenant_id, id));"
	"CREATE TABLE box (tenant_id uuid NOT NULL, id uuid NOT NULL, "
	"PRIMARY KEY (tenant_id, id)) WITHOUT ROWID;"
	"CREATE TABLE note (tenant_id uuid NOT NULL, id uuid NOT NULL, slug text NOT NULL, "
	"stars bigint NOT NULL CONSTRAINT stars_range CHECK (stars BETWEEN 0 AND 5), box_id uuid, "
	"body text, PRIMARY KEY (tenant_id, id), UNIQUE (tenant_id, slug), "
	"FOREIGN KEY (tenant_id, box_id) REFERENCES box (tenant_id, id)) WITHOUT ROWID;"
	"CREATE INDEX note_by_box ON note (tenant_id, box_id);"
	"CREATE TABLE later (tenant_id uuid NOT NULL, id uuid NOT NULL, box_id uuid, "
	"PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, box_id) REFERENCES box (tenant_id, "
	"id) "
	"DEFERRABLE INITIALLY DEFERRED) WITHOUT ROWID;"
	"CREATE INDEX later_by_box ON later (tenant_id, box_id);"
	"CREATE TABLE tree (tenant_id uuid NOT NULL, id uuid NOT NULL, up uuid, "
	"PRIMARY KEY (tenant_id, id), FOREIGN KEY (tenant_id, up) REFERENCES tree (tenant_id, id) "
	"ON DELETE CASCADE);"
	"CREATE INDEX tree_by_up ON tree (tenant_id, up);"
	"CREATE TABLE installation (name text PRIMARY KEY, value text);";

/* --- statements --------------------------------------------------------------------- */

const struct schema note_schema =
	SCHEMA(note, "A note.", FIELD(note, id, "Which.", .format = FORMAT_UUID),
		FIELD(note, slug, "Its name."), FIELD(note, stars, "How good it is."),
		FIELD(note, box_id, "Where it lies.", .flags = NULLABLE, .format = FORMAT_UUID),
		FIELD(note, body, "What it says.", RANGE(0, 1000000)));

static const struct schema number_schema =
	SCHEMA(number, "A number.", FIELD(number, number, "How many."));

const struct statement note_add = STATEMENT("note_add",
	.sql = "INSERT INTO main.note (tenant_id, id, slug, stars, box_id, body) "
	       "VALUES (:tenant, :id, :slug, :stars, :box_id, :body)",
	.in = &note_schema);
const struct statement note_upsert = STATEMENT("note_upsert",
	.sql = "INSERT INTO main.note (tenant_id, id, slug, stars, box_id, body) "
	       "VALUES (:tenant, :id, :slug, :stars, :box_id, :body) "
	       "ON CONFLICT (tenant_id, id) DO UPDATE SET stars = excluded.stars "
	       "RETURNING id, slug, stars, box_id, body",
	.in = &note_schema, .out = &note_schema);
const struct statement note_get = STATEMENT("note_get",
	.sql = "SELECT id, slug, stars, box_id, body FROM note WHERE tenant_id = :tenant AND id = "
	       ":id",
	.in = &note_schema, .out = &note_schema);
const struct statement note_star = STATEMENT("note_star",
	.sql = "UPDATE main.note SET stars = :stars WHERE tenant_id = :tenant AND id = :id",
	.in = &note_schema, .expect = EXPECT_ONE);
const struct statement note_delete = STATEMENT("note_delete",
	.sql = "DELETE FROM main.note WHERE tenant_id = :tenant", .expect = EXPECT_ONE);
const struct statement note_count = STATEMENT("note_count",
	.sql = "SELECT count(*) AS number FROM note WHERE tenant_id = :tenant",
	.out = &number_schema);
const struct statement note_all = STATEMENT("note_all",
	.sql = "SELECT id, slug, stars, box_id, body FROM note WHERE tenant_id = :tenant "
	       "ORDER BY id",
	.out = &note_schema);
static const struct statement box_add = STATEMENT("box_add",
	.sql = "INSERT INTO main.box (tenant_id, id) VALUES (:tenant, :id)", .in = &note_schema);
static const struct statement box_delete = STATEMENT("box_delete",
	.sql = "DELETE FROM main.box WHERE tenant_id = :tenant AND id = :id", .in = &note_schema);
const struct statement later_add = STATEMENT("later_add",
	.sql = "INSERT INTO main.later (tenant_id, id, box_id) VALUES (:tenant, :id, :box_id)",
	.in = &note_schema);
static const struct statement tree_add = STATEMENT("tree_add",
	.sql = "INSERT INTO main.tree (tenant_id, id, up) VALUES (:tenant, :id, :box_id)",
	.in = &note_schema);
static const struct statement count_all =
	STATEMENT("count_all", .sql = "SELECT count(*) AS number FROM main.note",
		.out = &number_schema, .flags = STATEMENT_SYSTEM);

/* Statements that take as long as they are told. */
const struct statement spin = STATEMENT("spin",
	.sql = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :number) "
	       "SELECT max(n) AS number FROM c",
	.in = &number_schema, .out = &number_schema);
const struct statement spin_write = STATEMENT("spin_write",
	.sql = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < :number) "
	       "UPDATE main.note SET stars = (SELECT max(n) FROM c) % 5 WHERE tenant_id = :tenant",
	.in = &number_schema);

const struct statement *const sqlite_test_statements[] = { &note_add, &note_get, &note_star,
	&note_delete, &note_count, &note_all, &note_upsert, &box_add, &box_delete, &spin,
	&spin_write, &later_add, &count_all, &tree_add };
const size_t sqlite_test_statement_count = LEN(sqlite_test_statements);

/* --- the folder ------------------------------------------------------------------------ */

static sqlite3 *open_file(struct sqlite_test *test)
{
	char path[100];
	sqlite3 *db = NULL;

	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test->folder);
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 5000);
	return db;
}

void sqlite_test_sql(struct sqlite_test *test, const char *sql)
{
	sqlite3 *db = open_file(test);
	char *text = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		test_note(false, __FILE__, __LINE__, "%s", text);
	sqlite3_free(text);
	(void)sqlite3_close(db);
}

int64_t sqlite_test_number(struct sqlite_test *test, const char *sql)
{
	sqlite3 *db = open_file(test);
	sqlite3_stmt *stmt = NULL;
	int64_t number = -1;

	if (EXPECT_INT(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK) &&
		sqlite3_step(stmt) == SQLITE_ROW)
		number = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(db);
	return number;
}

void sqlite_test_make(struct sqlite_test *test)
{
	*test = (struct sqlite_test){ .folder = "/tmp/bulkhead-sqlite-XXXXXX" };
	REQUIRE(mkdtemp(test->folder) != NULL);
	test->options.folder = str_from_c(test->folder);
	sqlite_test_make_tables(test);
}

void sqlite_test_make_tables(struct sqlite_test *test)
{
	sqlite_test_sql(test, tables);
}

void sqlite_test_remove(struct sqlite_test *test)
{
	DIR *folder = opendir(test->folder);
	struct dirent *entry;
	char path[400];

	while (folder && (entry = readdir(folder))) {
		(void)snprintf(path, sizeof(path), "%s/%s", test->folder, entry->d_name);
		(void)unlink(path);
	}
	if (folder)
		(void)closedir(folder);
	(void)rmdir(test->folder);
}

/* --- the store ---------------------------------------------------------------------------- */

static void require(int r, const char *doing)
{
	char text[ERR_TEXT_MAX * ERR_FRAMES];

	if (r == 0)
		return;
	(void)err_describe(err_last(), text, sizeof(text));
	test_note(false, __FILE__, __LINE__, "%s: %s", doing, text);
	test_end();
}

void sqlite_test_open(struct sqlite_test *test)
{
	require(store_open(&test->options, &test->store), "store_open");
	require(store_register(test->store, sqlite_test_statements, sqlite_test_statement_count),
		"store_register");
	require(store_start(test->store), "store_start");
}

void sqlite_test_close(struct sqlite_test *test)
{
	store_close(TAKE(test->store));
}

static int run_body(void *arg)
{
	struct sqlite_test *test = arg;

	test->body(test);
	worker_stop(&test->worker);
	return 0;
}

static int start_body(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, run_body, worker->arg);
}

void sqlite_test_run(struct sqlite_test *test, void (*body)(struct sqlite_test *))
{
	test->body = body;
	test->worker = (struct worker){
		.fiber_limit = SQLITE_TEST_FIBERS, .on_start = start_body, .arg = test
	};
	arena_init(&test->arena, 64 * KILOBYTE, 64 * MEGABYTE);
	REQUIRE(worker_start(&test->worker) == 0);
	worker_join(&test->worker);
	arena_done(&test->arena);
}

struct uuid sqlite_test_id(unsigned number)
{
	struct uuid id = { { 0x01, 0x90, 0, 0, 0, 0, 0x70, 0, 0x80 } };

	id.bytes[14] = (uint8_t)(number >> 8);
	id.bytes[15] = (uint8_t)number;
	return id;
}

struct str sqlite_test_id_text(struct arena *arena, unsigned number)
{
	struct uuid id = sqlite_test_id(number);
	char text[UUID_TEXT_LEN];

	uuid_write(text, &id);
	return arena_str(arena, str_of(text, sizeof(text)));
}

struct db sqlite_test_db(struct sqlite_test *test, unsigned tenant, struct arena *arena)
{
	struct uuid id = sqlite_test_id(tenant);

	return db_of(test->store, &id, arena);
}

/* --- rows there and back --------------------------------------------------------------------- */

static struct note note_of(struct arena *arena, unsigned number, struct str slug)
{
	return (struct note){
		.id = sqlite_test_id_text(arena, number), .slug = slug, .stars = 3, .body = S("b")
	};
}

static void rows_come_back(struct sqlite_test *test)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct db other = sqlite_test_db(test, 2, &test->arena), all;
	struct note note = note_of(&test->arena, 7, S("a")), back = { 0 }, *rows;
	struct number number;
	size_t count;

	EXPECT_INT(db_exec(&db, &note_add, &note), 0);
	EXPECT_INT(db_one(&db, &note_get, &note, &back), 0);
	EXPECT_STR(back.id, note.id);
	EXPECT_STR(back.slug, S("a"));
	EXPECT_INT(back.stars, 3);
	EXPECT(!back.box_id.set || back.box_id.null);

	note.stars = 5;
	EXPECT_INT(db_one(&db, &note_upsert, &note, &back), 0);
	EXPECT_INT(back.stars, 5);
	note = note_of(&test->arena, 8, S(""));
	EXPECT_INT(db_exec(&db, &note_add, &note), 0);
	EXPECT_INT(db_all(&db, &note_all, NULL, &rows, &count), 0);
	REQUIRE(count == 2);
	EXPECT_STR(rows[0].slug, S("a"));
	EXPECT_STR(rows[1].slug, S(""));

	EXPECT_INT(db_one(&other, &note_get, &note, &back), -ERR_NOT_FOUND);
	EXPECT_INT(db_exec(&other, &note_star, &note), -ERR_NOT_FOUND);
	EXPECT_INT(db_one(&other, &note_count, NULL, &number), 0);
	EXPECT_INT(number.number, 0);
	all = db_of_system(test->store, &test->arena);
	EXPECT_INT(db_one(&all, &count_all, NULL, &number), 0);
	EXPECT_INT(number.number, 2);

	/* Several rows where one was expected: nothing has happened. */
	EXPECT_INT(db_exec(&db, &note_delete, NULL), -ERR_INTERNAL);
	EXPECT_INT(db_one(&db, &note_count, NULL, &number), 0);
	EXPECT_INT(number.number, 2);
}

TEST(sqlite_rows_come_back)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, rows_come_back);
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}

/* --- constraints ---------------------------------------------------------- */

static void expect_blame(int r, int wanted, const char *field, const char *rule)
{
	const struct err *err = err_last();

	EXPECT_INT(r, wanted);
	if (r == wanted) {
		EXPECT_STR(str_from_c(err->field), str_from_c(field));
		EXPECT_STR(str_from_c(err->rule), str_from_c(rule));
	}
}

static int add_later(struct tx *tx, void *arg)
{
	return tx_exec(tx, &later_add, arg);
}

static void constraints_blame(struct sqlite_test *test)
{
	struct db db = sqlite_test_db(test, 1, &test->arena);
	struct db other = sqlite_test_db(test, 2, &test->arena);
	struct note note = note_of(&test->arena, 1, S("a")), box = note;

	EXPECT_INT(db_exec(&db, &box_add, &box), 0);
	EXPECT_INT(db_exec(&db, &note_add, &note), 0);
	note.slug = S("other");
	expect_blame(db_exec(&db, &note_add, &note), -ERR_CONFLICT, "id", "unique");
	note.slug = S("a");
	note.id = sqlite_test_id_text(&test->arena, 2);
	expect_blame(db_exec(&db, &note_add, &note), -ERR_CONFLICT, "slug", "unique");
	note.slug = S("b");
	note.stars = 9;
	expect_blame(db_exec(&db, &note_add, &note), -ERR_INVALID, "stars_range", "check");
	note.stars = 1;

	note.box_id = (struct opt_str){ .set = true, .value = note.id };
	expect_blame(db_exec(&db, &note_add, &note), -ERR_INVALID, "boxId", "unknown_reference");
	note.box_id.value = box.id;
	expect_blame(db_exec(&other, &note_add, &note), -ERR_INVALID, "boxId", "unknown_reference");
	EXPECT_INT(db_exec(&db, &note_add, &note), 0);
	expect_blame(db_exec(&db, &box_delete, &box), -ERR_CONFLICT, "", "still_referenced");
	EXPECT_INT(db_exec(&other, &box_delete, &box), 0); /* not theirs: nothing to delete */

	note.box_id.value = note.id;
	expect_blame(db_write(&db, add_later, &note), -ERR_INVALID, "", "unknown_reference");
	expect_blame(db_exec(&db, &later_add, &note), -ERR_INVALID, "", "unknown_reference");
	note.slug.len = 0;
	note.id = str_of("x", 1);
	EXPECT_INT(db_exec(&db, &note_add, &note), -ERR_INTERNAL); /* no UUID: ours to check */
}

TEST(sqlite_constraints_blame_the_member)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, constraints_blame);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM later"), 0);
	sqlite_test_remove(&test);
}

/* --- entering tenants ----------------------------------------------------- */

static int enter_between_rows(void *row, void *arg)
{
	struct tx *tx = arg;
	struct uuid id = sqlite_test_id(2);

	(void)row;
	return tx_enter(tx, &id);
}

static int work_in_two_worlds(struct tx *tx, void *arg)
{
	struct sqlite_test *test = arg;
	struct note note = note_of(&test->arena, 1, S("a"));
	struct number number;

	for (unsigned tenant = 1; tenant <= 2; tenant++) {
		struct uuid id = sqlite_test_id(tenant);

		EXPECT_INT(tx_enter(tx, &id), 0);
		EXPECT_INT(tx_exec(tx, &note_add, &note), 0);
		EXPECT_INT(tx_one(tx, &note_count, NULL, &number), 0);
		EXPECT_INT(number.number, 1);
		EXPECT_INT(tx_leave(tx), 0);
	}
	EXPECT_INT(tx_one(tx, &count_all, NULL, &number), 0);
	EXPECT_INT(number.number, 2);
	return tx_each(tx, &count_all, NULL, &number, enter_between_rows, tx);
}

static void tenants_are_entered(struct sqlite_test *test)
{
	struct db all = db_of_system(test->store, &test->arena);

	EXPECT_INT(db_write(&all, work_in_two_worlds, test), -ERR_INTERNAL);
}

TEST(sqlite_tenants_are_entered_between_statements)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_open(&test);
	sqlite_test_run(&test, tenants_are_entered);
	sqlite_test_close(&test);
	EXPECT_INT(sqlite_test_number(&test, "SELECT count(*) FROM note"), 0);
	sqlite_test_remove(&test);
}

/* --- registration --------------------------------------------------------- */

static const struct {
	struct statement statement;
	const char *wanted; /* part of the sentence; NULL: it is fine */
} registrations[] = {
	{ STATEMENT("s1",
		  .sql = "SELECT count(*) AS number FROM note WHERE tenant_id = "
			 ":tenant",
		  .out = &number_schema),
		NULL },
	{ STATEMENT("s2",
		  .sql = "SELECT count(*) AS other FROM note WHERE tenant_id = "
			 ":tenant",
		  .out = &number_schema),
		"s2: column other is no member of number" },
	{ STATEMENT("s3", .sql = "SELECT 1 AS number, 2 AS number", .out = &number_schema),
		"s3: column number is there twice" },
	{ STATEMENT("s4", .sql = "SELECT 1 AS number"), "answers with rows" },
	{ STATEMENT("s5", .sql = "DELETE FROM main.note WHERE tenant_id = :tenant",
		  .out = &number_schema),
		"answers with no rows" },
	{ STATEMENT("s6", .sql = "SELECT missing AS number FROM note", .out = &number_schema),
		"s6: no such column: missing" },
	{ STATEMENT("s7", .sql = "SELECT 1 AS number FROM nothing", .out = &number_schema),
		"nothing" },
	{ STATEMENT("s8", .sql = "SELECT 1 AS number FROM installation", .out = &number_schema),
		"installation" },
	{ STATEMENT("s9", .sql = "SELECT 1 AS number FROM main.installation", .out = &number_schema,
		  .flags = STATEMENT_SYSTEM),
		NULL },
	{ STATEMENT("s10", .sql = "UPDATE main.tree AS t SET up = NULL WHERE t.tenant_id = :tenant "
				  "AND t.up IS NOT NULL"),
		NULL },
	{ STATEMENT(
		  "s11", .sql = "UPDATE main.rowid SET n = 1 WHERE tenant_id = :tenant AND n = 2"),
		"s11: it reads more than one tenant's rows: SEARCH main.rowid USING "
		"INTEGER" },
	{ STATEMENT("s12", .sql = "UPDATE main.rowid AS r SET n = 1 WHERE r.tenant_id = :tenant"),
		"s12: it reads more than one tenant's rows: SCAN r" },
	{ STATEMENT("s13", .sql = "SELECT n AS number FROM rowid WHERE tenant_id = :tenant",
		  .out = &number_schema),
		"s13: it reads more than one tenant's rows: SCAN main.rowid" },
	/* A foreign key that forgets the tenant would delete what others have. */
	{ STATEMENT("s14", .sql = "DELETE FROM main.knot WHERE tenant_id = :tenant"),
		"s14: it reads more than one tenant's rows: SEARCH loop USING" },
};

TEST(sqlite_registration_refuses)
{
	struct sqlite_test test;

	sqlite_test_make(&test);
	sqlite_test_sql(&test,
		"CREATE TABLE rowid (tenant_id uuid NOT NULL, n integer PRIMARY KEY);"
		"CREATE TABLE knot (tenant_id uuid NOT NULL, n integer UNIQUE, "
		"PRIMARY KEY (tenant_id, n));"
		"CREATE TABLE loop (tenant_id uuid NOT NULL, n integer REFERENCES knot (n) ON "
		"DELETE "
		"CASCADE);"
		"CREATE INDEX loop_by_knot ON loop (n);");
	REQUIRE(store_open(&test.options, &test.store) == 0);
	for (size_t i = 0; i < LEN(registrations); i++) {
		const struct statement *statement = &registrations[i].statement;
		int r = store_register(test.store, &statement, 1);

		EXPECT_INT(r, registrations[i].wanted ? -ERR_INVALID : 0);
		if (r < 0 && registrations[i].wanted &&
			str_find(str_from_c(err_text()), str_from_c(registrations[i].wanted)) < 0)
			test_note(false, __FILE__, __LINE__, "\"%s\", wanted \"%s\"", err_text(),
				registrations[i].wanted);
	}
	sqlite_test_close(&test);
	sqlite_test_remove(&test);
}

TEST(sqlite_tenant_tables_can_be_emptied_in_order)
{
	struct sqlite_test test;
	struct arena arena;
	struct engine *engine;
	struct str *names;
	size_t count, box = 0, note = 0, later = 0;

	sqlite_test_make(&test);
	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(store_open(&test.options, &test.store) == 0);
	engine = test.store->engine;
	REQUIRE(engine->ops->tenant_tables(engine, &arena, &names, &count) == 0);
	EXPECT_INT(count, 5);
	for (size_t i = 0; i < count; i++) {
		box = str_eq(names[i], S("box")) ? i + 1 : box;
		note = str_eq(names[i], S("note")) ? i + 1 : note;
		later = str_eq(names[i], S("later")) ? i + 1 : later;
	}
	EXPECT(note && later && box > note && box > later);
	sqlite_test_close(&test);
	arena_done(&arena);
	sqlite_test_remove(&test);
}
