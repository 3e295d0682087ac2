/* The engine on a real PostgreSQL. */
#include "store/pg.h"
#include "store/pg_server_test.h"
#include "store/store_internal.h"
#include "store/store_test.h"

#include <stdio.h>

/* --- a module ------------------------------------------------------------------------ */

struct thing {
	struct str id;
	struct str name;
	int64_t amount;
};

static const struct schema thing_schema =
	SCHEMA(thing, "A thing.", FIELD(thing, id, "Which.", .format = FORMAT_UUID),
		FIELD(thing, name, "What it is called."), FIELD(thing, amount, "How much."));

static const char migrations[] =
	"-- up 1: things\n"
	"CREATE TABLE main.thing (tenant_id uuid NOT NULL, id uuid NOT NULL, name text NOT NULL,\n"
	"amount bigint NOT NULL CHECK (amount >= 0), PRIMARY KEY (tenant_id, id),\n"
	"UNIQUE (tenant_id, name));\n"
	"-- down 1\nDROP TABLE main.thing; -- safe: going down\n";

static const struct statement add = STATEMENT("thing_add",
	.sql = "INSERT INTO main.thing (tenant_id, id, name, amount) "
	       "VALUES (:tenant, :id, :name, :amount)",
	.in = &thing_schema);
static const struct statement get = STATEMENT("thing_get",
	.sql = "SELECT id, name, amount FROM thing WHERE tenant_id = :tenant AND id = :id",
	.in = &thing_schema, .out = &thing_schema);
static const struct statement set = STATEMENT("thing_set",
	.sql = "UPDATE main.thing SET amount = :amount WHERE tenant_id = :tenant AND id = :id",
	.in = &thing_schema, .expect = EXPECT_ONE);
static const struct statement list = STATEMENT("thing_list",
	.sql = "SELECT id, name, amount FROM thing WHERE tenant_id = :tenant ORDER BY name",
	.out = &thing_schema);

static const struct statement *const statements[] = { &add, &get, &set, &list };

static const struct store_test_module modules[] = {
	{ "things", migrations, statements, LEN(statements) },
	{ NULL },
};

#define ID(last) S("0190a000-0000-7000-8000-00000000000" last)

STORE_TEST_WITH(things_are_kept, modules, NULL)
{
	struct db db = store_test_tenant(test, 1), other = store_test_tenant(test, 2);
	struct thing thing = { ID("1"), S("apple"), 7 }, read = { 0 }, *all;
	size_t count;

	EXPECT_INT(db_exec(&db, &add, &thing), 0);
	EXPECT_INT(db_one(&db, &get, &thing, &read), 0);
	EXPECT_STR(read.name, S("apple"));
	EXPECT_STR(read.id, ID("1"));
	EXPECT_INT(read.amount, 7);
	EXPECT_INT(db_one(&other, &get, &thing, &read), -ERR_NOT_FOUND);
	EXPECT_INT(db_all(&db, &list, NULL, &all, &count), 0);
	EXPECT_INT(count, 1);
	thing.amount = 8;
	EXPECT_INT(db_exec(&db, &set, &thing), 0);
	EXPECT_INT(db_exec(&other, &set, &thing), -ERR_NOT_FOUND);
	EXPECT_INT(db_one(&db, &get, &thing, &read), 0);
	EXPECT_INT(read.amount, 8);
}
