/* The two tenants, and how an attack is run. */
#include "store/tenancy_test.h"

#include "base/buf.h"
#include "store/pg_server_test.h"
#include "store/store_internal.h"

#include <sqlite3.h>
#include <stdio.h>

/* --- tables -------------------------------------------------------------------------- */

#define COLUMNS                                                                                    \
	"tenant_id uuid NOT NULL, id bigint NOT NULL, body text NOT NULL, amount bigint NOT NULL"

static const char tables[] =
	"-- up 1: tables\n"
	"CREATE TABLE main.note (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.folder (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE INDEX folder_amount ON main.folder (amount); -- safe: as an attack wants it\n"
	"CREATE TABLE main.link (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.badge (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.part (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.spied (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.copied (" COLUMNS ", PRIMARY KEY (tenant_id, id));\n"
	"CREATE TABLE main.shared (id bigint NOT NULL PRIMARY KEY, body text NOT NULL);\n";

/* What migrations refuse, or would be asked about: done behind their back. */

static const char sqlite_faults[] =
	"CREATE UNIQUE INDEX badge_body ON badge (body);"
	"DROP TABLE part;"
	"CREATE TABLE part (tenant_id uuid NOT NULL, id bigint NOT NULL, body text NOT NULL "
	"REFERENCES badge (body) ON DELETE CASCADE ON UPDATE CASCADE, amount bigint NOT NULL, "
	"PRIMARY KEY (tenant_id, id));"
	"CREATE TRIGGER spy AFTER INSERT ON spied BEGIN "
	"UPDATE note SET body = 'spied' WHERE id = NEW.id; END;"
	"CREATE TRIGGER copy AFTER INSERT ON copied BEGIN "
	"INSERT INTO copied SELECT NEW.tenant_id, id + 1000, body, amount FROM note "
	"WHERE tenant_id <> NEW.tenant_id; END;";

/* Without the reference: what its cascade does PostgreSQL does as the owner of the table, past all
 * policies. migration_lint refuses it, and a store that finds it does not open (pg_check.c). */
static const char postgres_faults[] =
	"CREATE UNIQUE INDEX badge_body ON main.badge (body);"
	"CREATE FUNCTION main.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
	"UPDATE main.note SET body = 'spied' WHERE id = NEW.id; RETURN NULL; END $$;"
	"CREATE TRIGGER spy AFTER INSERT ON main.spied FOR EACH ROW EXECUTE FUNCTION main.spy();"
	"CREATE FUNCTION main.copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
	"INSERT INTO main.copied SELECT NEW.tenant_id, id + 1000, body, amount FROM main.note "
	"WHERE tenant_id <> NEW.tenant_id; RETURN NULL; END $$;"
	"CREATE TRIGGER copy AFTER INSERT ON main.copied FOR EACH ROW WHEN (NEW.id < 1000) "
	"EXECUTE FUNCTION main.copy();";

static void make_faults(const struct store_options *options)
{
	char path[300];
	sqlite3 *db;

	if (options->url.len) {
		pg_run(store_test_postgres(true), postgres_faults);
		return;
	}
	(void)snprintf(path, sizeof(path), "%.*s/bulkhead.db", STR_ARG(options->folder));
	REQUIRE(sqlite3_open(path, &db) == SQLITE_OK);
	if (!EXPECT_INT(sqlite3_exec(db, sqlite_faults, NULL, NULL, NULL), SQLITE_OK))
		fprintf(stderr, "  %s\n", sqlite3_errmsg(db));
	(void)sqlite3_close(db);
}

/* --- the store's side of it ------------------------------------------------------------ */

/* Parameters of all attacks. */
struct attack_in {
	int64_t id;
	struct str body;
	struct str other;
};

static const struct schema attack_in_schema = SCHEMA(attack_in, "Parameters of an attack.",
	FIELD(attack_in, id, "A number."), FIELD(attack_in, body, "A text."),
	FIELD(attack_in, other, "The other tenant.", .format = FORMAT_UUID));

struct attack_row {
	struct str a;
	int64_t n;
};

static const struct schema attack_row_schema = SCHEMA(attack_row, "An answer of an attack.",
	FIELD(attack_row, a, "A text."), FIELD(attack_row, n, "A number."));

/* A row as it is put in and looked at from outside of tenants. */
struct owned {
	struct str owner;
	int64_t id;
	struct str body;
	int64_t amount;
};

static const struct schema owned_schema = SCHEMA(owned, "A row of a tenant.",
	FIELD(owned, owner, "Whose.", .format = FORMAT_UUID), FIELD(owned, id, "Which."),
	FIELD(owned, body, "A text."), FIELD(owned, amount, "A number."));

/* What is done with a table from outside of tenants. */
struct table {
	struct statement clear, put, get;
};

#define TABLE(name)                                                                                \
	{                                                                                          \
		.clear = STATEMENT("clear_" #name, .sql = "DELETE FROM main." #name,               \
			.flags = STATEMENT_SYSTEM),                                                \
		.put = STATEMENT("put_" #name,                                                     \
			.sql = "INSERT INTO main." #name " (tenant_id, id, body, amount) "         \
			       "VALUES (:owner, :id, :body, :amount)",                             \
			.in = &owned_schema, .flags = STATEMENT_SYSTEM),                           \
		.get = STATEMENT("get_" #name,                                                     \
			.sql = "SELECT id, body, amount FROM main." #name                          \
			       " WHERE tenant_id = :owner ORDER BY id",                            \
			.in = &owned_schema, .out = &owned_schema, .flags = STATEMENT_SYSTEM)      \
	}

static const struct table table_note = TABLE(note), table_folder = TABLE(folder),
			  table_link = TABLE(link), table_badge = TABLE(badge),
			  table_part = TABLE(part), table_spied = TABLE(spied),
			  table_copied = TABLE(copied);

static const struct table *const all_tables[] = { &table_note, &table_folder, &table_link,
	&table_badge, &table_part, &table_spied, &table_copied };

#define STATEMENTS(table) &(table).clear, &(table).put, &(table).get

static const struct statement *const statements[] = { STATEMENTS(table_note),
	STATEMENTS(table_folder), STATEMENTS(table_link), STATEMENTS(table_badge),
	STATEMENTS(table_part), STATEMENTS(table_spied), STATEMENTS(table_copied) };

void attack_test(
	enum engine_kind engine, void (*prepare)(struct store *), void (*body)(struct store_test *))
{
	struct store_test_module modules[] = {
		{ "attack", tables, statements, LEN(statements), .migrated = make_faults,
			.registered = prepare },
		{ NULL },
	};

	store_test_run(engine, modules, NULL, body);
}

void attack_register(struct store *store, struct attack *attack, const char *sql, bool rows)
{
	const struct statement *statement = &attack->statement;
	static unsigned number;

	*attack = (struct attack){ 0 };
	(void)snprintf(attack->name, sizeof(attack->name), "attack_%u", ++number);
	attack->statement = (struct statement){ .name = attack->name,
		.sql = sql,
		.in = &attack_in_schema,
		.out = rows ? &attack_row_schema : NULL,
		.slot = &attack->slot };
	if (store_register(store, &statement, 1) == 0)
		return;
	attack->refused = true;
	(void)err_describe(err_last(), attack->why, sizeof(attack->why));
}

/* --- rows ---------------------------------------------------------------------------------- */

/* Ids of store_test_tenant as text. */
static struct str tenant_text(struct store_test *test, unsigned number, char *at)
{
	struct db db = store_test_tenant(test, number);

	uuid_write(at, &db.tenant);
	return str_of(at, UUID_TEXT_LEN);
}

struct fill {
	struct str owner;
	const char *word; /* in all its texts */
	unsigned variant;
	bool other;
};

static int put_rows(struct tx *tx, const struct table *table, const struct fill *fill, size_t at)
{
	static const int64_t mine[] = { 10, 20, 30, 70 };
	static const int64_t theirs[][5] = { { 77, INT64_MIN, 11, 40, 5 }, { 6, 77, INT64_MIN } };
	const int64_t *amounts = fill->other ? theirs[fill->variant] : mine;
	size_t count = !fill->other ? LEN(mine) : fill->variant ? 3 : 5;
	int r = 0;

	if (table == &table_spied || table == &table_copied)
		return 0; /* their triggers are for attacks */
	if (table == &table_part)
		count = fill->other; /* of tenant 2, and refers to a badge of tenant 1 */

	for (size_t i = 0; i < count && r == 0; i++) {
		char body[64];
		struct owned row = { fill->owner, (int64_t)i + 1 + fill->variant * 2, { 0 },
			amounts[i] };

		(void)snprintf(
			body, sizeof(body), "%s %zu.%zu.%u", fill->word, at, i, fill->variant);
		if (table == &table_part)
			(void)snprintf(body, sizeof(body), "referred to");
		else if (table == &table_badge && i == 0)
			(void)snprintf(body, sizeof(body), fill->other ? "taken" : "referred to");
		row.body = str_from_c(body);
		r = tx_exec(tx, &table->put, &row);
	}
	return r;
}

static int fill_in_tx(struct tx *tx, void *arg)
{
	const struct fill *fills = arg;
	int r = 0;

	for (size_t i = LEN(all_tables); i-- > 0 && r == 0;)
		r = tx_exec(tx, &all_tables[i]->clear, NULL);
	for (size_t i = 0; i < LEN(all_tables) && r == 0; i++) {
		r = put_rows(tx, all_tables[i], &fills[0], i);
		if (r == 0)
			r = put_rows(tx, all_tables[i], &fills[1], i);
	}
	return r;
}

void attack_set_up(struct store_test *test, unsigned variant)
{
	struct db db = db_of_system(test->store, &test->arena);
	struct arena_mark mark = arena_mark(&test->arena);
	char ids[2][UUID_TEXT_LEN];
	struct fill fills[] = {
		{ tenant_text(test, 1, ids[0]), "mine", 0, false },
		{ tenant_text(test, 2, ids[1]), variant ? "new " ATTACK_SECRET : ATTACK_SECRET,
			variant, true },
	};

	if (!EXPECT_INT(db_write_with(&db, &(struct tx_options){ .durability = TX_SOFT },
				fill_in_tx, fills),
		    0)) {
		fprintf(stderr, "  %s\n", err_text());
		test_end();
	}
	arena_back(&test->arena, mark);
}

struct str attack_snapshot(struct store_test *test)
{
	struct db db = db_of_system(test->store, &test->arena);
	struct arena_mark mark = arena_mark(&test->arena);
	char id[UUID_TEXT_LEN];
	struct owned key = { .owner = tenant_text(test, 2, id) };
	struct str text;
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	for (size_t i = 0; i < LEN(all_tables); i++) {
		struct owned *rows;
		size_t count;

		REQUIRE(db_all(&db, &all_tables[i]->get, &key, &rows, &count) == 0);
		for (size_t k = 0; k < count; k++)
			buf_printf(&buf, "%zu: %lld, %.*s, %lld\n", i, (long long)rows[k].id,
				STR_ARG(rows[k].body), (long long)rows[k].amount);
	}
	arena_back(&test->arena, mark);
	text = arena_str(&test->arena, buf_str(&buf));
	buf_done(&buf);
	return text;
}

/* --- running ---------------------------------------------------------------------------------- */

struct call {
	const struct statement *statement;
	struct attack_in in;
	bool keep;
	bool ran; /* the function has done its work */
	struct attack_row row;
	struct attack_result *ret;
};

static bool tells(struct str text)
{
	struct str secret = S(ATTACK_SECRET);

	for (size_t i = 0; i + secret.len <= text.len; i++)
		if (str_eq_nocase(str_of(text.at + i, secret.len), secret))
			return true;
	return false;
}

static int look_at_row(void *row, void *arg)
{
	const struct attack_row *answer = row;
	struct attack_result *result = arg;
	uint64_t hash = 14695981039346656037u ^ (uint64_t)answer->n;

	for (size_t i = 0; i < answer->a.len; i++)
		hash = (hash ^ (uint8_t)answer->a.at[i]) * 1099511628211u;
	result->rows += hash * 0x9E3779B97F4A7C15u;
	result->count++;
	if (tells(answer->a))
		result->told = true;
	return 0;
}

static int run_in_tx(struct tx *tx, void *arg)
{
	struct call *call = arg;
	int r;

	*call->ret = (struct attack_result){ .told = call->ret->told };
	call->ran = false;
	if (call->statement->out)
		r = tx_each(tx, call->statement, &call->in, &call->row, look_at_row, call->ret);
	else
		r = tx_change(tx, call->statement, &call->in, &call->ret->count);
	if (r < 0 || call->keep)
		return r;
	call->ran = true;
	return fail(ERR_PRECONDITION, "only a trial");
}

void attack_run(
	struct store_test *test, const struct attack *attack, bool keep, struct attack_result *ret)
{
	struct db db = store_test_tenant(test, 1);
	struct arena_mark mark = arena_mark(&test->arena);
	bool reads =
		statement_plan(&attack->statement, test->store->engine->kind)->verb == SQL_READ;
	char id[UUID_TEXT_LEN];
	struct call call = { .statement = &attack->statement,
		.in = { 1, S("x"), tenant_text(test, 2, id) },
		.keep = keep,
		.ret = ret };

	*ret = (struct attack_result){ 0 };
	if (reads && !keep)
		ret->code = db_read(&db, run_in_tx, &call);
	else
		ret->code = db_write_with(
			&db, &(struct tx_options){ .durability = TX_SOFT }, run_in_tx, &call);
	if (ret->code == -ERR_PRECONDITION && call.ran)
		ret->code = 0;
	if (ret->code < 0) {
		ret->count = ret->rows = 0;
		(void)err_describe(err_last(), ret->text, sizeof(ret->text));
		ret->told = ret->told || tells(str_from_c(ret->text));
	}
	arena_back(&test->arena, mark);
}
