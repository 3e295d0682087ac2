/* Every rule: a text that breaks it, what is said, and that `-- safe:` helps or does not. */
#include "store/migration_lint.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <stdio.h>

/* Tables that are there already: of tenants, and one of the whole system. */
#define BEFORE                                                                                     \
	"-- up 1: before\n"                                                                        \
	"CREATE TABLE main.note (tenant_id uuid NOT NULL, id uuid NOT NULL, title text, "          \
	"amount numeric, tags text ARRAY, PRIMARY KEY (tenant_id, id));\n"                         \
	"CREATE TABLE main.task (id uuid PRIMARY KEY, name text);\n"                               \
	"-- up 2: now\n"

static const struct rule_case {
	const char *sql;  /* behind BEFORE, from line 5 on */
	const char *said; /* a part of the finding; NULL: there is none */
	bool fixed;       /* `-- safe:` does not help */
} cases[] = {
	/* what is fine */
	{ "CREATE TABLE main.x (a bigint PRIMARY KEY, b text UNIQUE);" },
	{ "CREATE TABLE IF NOT EXISTS main.x (tenant_id uuid NOT NULL, k text, n bigint NOT NULL, "
	  "PRIMARY KEY (tenant_id, k), UNIQUE (tenant_id, n), "
	  "FOREIGN KEY (tenant_id, k) REFERENCES main.note (tenant_id, id)); "
	  "CREATE UNIQUE INDEX x_n ON main.x (tenant_id, n); CREATE INDEX x_k ON main.x (k);" },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, b text);" },
	{ "ALTER TABLE main.note ADD COLUMN body text;" },
	{ "ALTER TABLE main.note ADD body text NOT NULL DEFAULT '', ADD other bigint DEFAULT 0;" },
	{ "ALTER TABLE main.note ADD made timestamptz DEFAULT now();" },
	{ "ALTER TABLE main.note ADD CONSTRAINT c CHECK (title <> '') NOT VALID;" },
	{ "ALTER TABLE main.note VALIDATE CONSTRAINT c;" },
	{ "ALTER TABLE main.note ALTER COLUMN title DROP NOT NULL, ALTER title SET DEFAULT 'x';" },
	{ "ALTER TABLE main.note ADD CONSTRAINT u UNIQUE USING INDEX note_u;" },
	{ "ALTER TABLE main.note SET (fillfactor = 80);" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, title text_pattern_ops);" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note USING btree (tenant_id, title COLLATE \"C\" "
	  "DESC NULLS LAST);" },
	{ "DROP INDEX CONCURRENTLY main.i;" },
	{ "UPDATE main.note SET title = '' WHERE title IS NULL;" },
	{ "DELETE FROM main.note AS n WHERE n.title = (SELECT name FROM main.task LIMIT 1);" },
	{ "INSERT INTO main.task SELECT id, title FROM main.note;" },
	{ "WITH old AS (SELECT id FROM main.note) INSERT INTO main.task (id) SELECT id FROM old;" },
	{ "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	  "UPDATE main.task SET name = '' WHERE id IN (SELECT i FROM n);" },
	{ "UPDATE main.task SET name = substring(name FROM 2) WHERE name IS DISTINCT FROM '';" },
	{ "INSERT INTO main.task SELECT x FROM generate_series(1, 2) AS x;" },
	{ "COMMENT ON TABLE main.note IS 'x';" },
	{ "ANALYZE main.note;" },
	{ "CREATE TABLE main.y (a bigint); ALTER TABLE main.y RENAME TO z; ALTER TABLE main.z "
	  "DROP COLUMN a, ADD COLUMN b text NOT NULL; UPDATE main.z SET b = ''; "
	  "CREATE INDEX zb ON main.z (b); DROP TABLE main.z;" },

	/* names */
	{ "CREATE TABLE x (a bigint);", "5: write main.x", true },
	{ "CREATE TABLE public.x (a bigint);", "5: write main.x", true },
	{ "CREATE TABLE main.migration (a bigint);", "main.migration is the store's own", true },
	{ "ALTER TABLE note ADD a text;", "write main.note", true },
	{ "DROP TABLE note;", "write main.note", true },
	{ "INSERT INTO task VALUES (1);", "write main.task", true },
	{ "UPDATE task SET name = '' WHERE id = 1;", "write main.task", true },
	{ "DELETE FROM\n task WHERE id = 1;", "6: write main.task", true },
	{ "INSERT INTO main.task SELECT id, title FROM note;", "write main.note", true },
	{ "INSERT INTO main.task SELECT 1, '' FROM main.note JOIN task ON true;", "write main.task",
		true },
	{ "CREATE TABLE main.x (a uuid REFERENCES task (id));", "write main.task", true },
	{ "CREATE INDEX CONCURRENTLY i ON note (title);", "write main.note", true },
	{ "CREATE INDEX CONCURRENTLY main.i ON main.note (title);",
		"write the index without a schema", true },
	{ "CREATE INDEX CONCURRENTLY ON main.note (title);", "an index needs a name", true },
	{ "DROP INDEX CONCURRENTLY i;", "write main.i", true },

	/* tables of others */
	{ "INSERT INTO main.account VALUES (1);", "main.account is not a table of this module",
		true },
	{ "UPDATE main.account SET a = 1 WHERE b = 2;", "is not a table of this module", true },
	{ "DELETE FROM main.account WHERE b = 2;", "is not a table of this module", true },
	{ "ALTER TABLE main.account ADD a text;", "is not a table of this module", true },
	{ "DROP TABLE main.account;", "is not a table of this module", true },
	{ "TRUNCATE main.account;", "is not a table of this module", true },
	{ "CREATE INDEX CONCURRENTLY i ON main.account (a);", "is not a table of this module",
		true },

	/* tenants first */
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (id, tenant_id));",
		"the primary key of main.x begins with tenant_id", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);",
		"the primary key of main.x begins with tenant_id", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL, id uuid);", "main.x has no primary key",
		true },
	{ "CREATE TABLE main.x (tenant_id text NOT NULL PRIMARY KEY);",
		"tenant_id is uuid NOT NULL", true },
	{ "CREATE TABLE main.x (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id));",
		"tenant_id is uuid NOT NULL", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, k text UNIQUE);",
		"a unique constraint of main.x begins with tenant_id", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, k text, "
	  "CONSTRAINT u UNIQUE NULLS NOT DISTINCT (k));",
		"a unique constraint of main.x begins with tenant_id", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, k text, "
	  "EXCLUDE USING hash (k WITH =));",
		"an exclusion of main.x begins with tenant_id", true },
	{ "CREATE UNIQUE INDEX CONCURRENTLY i ON main.note (title);",
		"a unique index of main.note begins with tenant_id", true },
	{ "CREATE UNIQUE INDEX CONCURRENTLY i ON main.note (tenant_id(x), title);",
		"a unique index of main.note begins with tenant_id", true },
	{ "ALTER TABLE main.note ADD CONSTRAINT u UNIQUE (title); -- safe: x",
		"a unique constraint of main.note begins with tenant_id", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, n uuid, "
	  "FOREIGN KEY (n, tenant_id) REFERENCES main.note (id, tenant_id));",
		"a reference to main.note begins with tenant_id on both sides", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, n uuid REFERENCES "
	  "main.note);",
		"a reference to main.note begins with tenant_id on both sides", true },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL PRIMARY KEY, n uuid, "
	  "FOREIGN KEY (n, tenant_id) REFERENCES main.other (tenant_id, id));",
		"a reference to main.other begins with tenant_id on both sides", true },
	{ "ALTER TABLE main.task ADD COLUMN tenant_id uuid NOT NULL; -- safe: x",
		"a table belongs to tenants from its first day or never", true },
	{ "CREATE TABLE main.x AS SELECT 1;", "its key and its tenant are not looked at" },

	/* what takes something away, or locks */
	{ "ALTER TABLE main.note RENAME TO memo;", "still uses the old name" },
	{ "ALTER TABLE main.note RENAME COLUMN title TO name;", "still uses the old name" },
	{ "ALTER TABLE main.note RENAME title TO name;", "still uses the old name" },
	{ "ALTER TABLE main.note DROP COLUMN title;", "dropping a column" },
	{ "ALTER TABLE main.note DROP CONSTRAINT c;", "dropping a constraint" },
	{ "DROP TABLE IF EXISTS main.note;", "dropping main.note" },
	{ "DROP TABLE main.task, main.note;", "dropping main.task" },
	{ "ALTER TABLE main.note ADD body text NOT NULL;", "needs a DEFAULT" },
	{ "ALTER TABLE main.note ADD COLUMN IF NOT EXISTS body text NOT NULL;", "needs a DEFAULT" },
	{ "ALTER TABLE main.note ADD made uuid DEFAULT gen_random_uuid();",
		"writes the whole table anew" },
	{ "ALTER TABLE main.note ADD low text GENERATED ALWAYS AS (lower(title)) STORED;",
		"writes the whole table anew" },
	{ "ALTER TABLE main.task ADD n bigint CHECK (n > 0);", "reads the whole table" },
	{ "ALTER TABLE main.task ADD n bigint UNIQUE;", "reads the whole table" },
	{ "ALTER TABLE main.task ADD n uuid REFERENCES main.task (id);", "a new foreign key" },
	{ "ALTER TABLE main.note ALTER COLUMN title TYPE varchar(5);",
		"another type writes the whole table anew" },
	{ "ALTER TABLE main.note ALTER title SET DATA TYPE varchar(5);",
		"another type writes the whole table anew" },
	{ "ALTER TABLE main.note ALTER title SET NOT NULL;", "NOT NULL reads the whole table" },
	{ "ALTER TABLE main.note ADD CONSTRAINT c CHECK (title <> '');",
		"a constraint that is checked at once" },
	{ "ALTER TABLE main.task ADD UNIQUE (name);", "a constraint that is checked at once" },
	{ "ALTER TABLE main.note ADD CONSTRAINT f FOREIGN KEY (tenant_id, id) REFERENCES "
	  "main.note (tenant_id, id) NOT VALID;",
		"a new foreign key" },
	{ "ALTER TABLE main.note ADD CONSTRAINT c CHECK (title <> '') NOT VALID; "
	  "ALTER TABLE main.note VALIDATE CONSTRAINT c;",
		"validating in the section that adds the constraint" },
	{ "ALTER TABLE main.note SET LOGGED;", "this change is not known here" },
	{ "CREATE INDEX i ON main.note (tenant_id, title);", "without CONCURRENTLY" },
	{ "DROP INDEX main.i;", "dropping an index without CONCURRENTLY" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id); UPDATE main.task SET name = 'x' "
	  "WHERE id = 1;",
		"a section with CONCURRENTLY has no other statements", true },
	{ "UPDATE main.note SET title = '';", "changing all rows of main.note" },
	{ "UPDATE main.note SET title = (SELECT name FROM main.task WHERE true);",
		"changing all rows of main.note" },
	{ "DELETE FROM main.note;", "deleting all rows of main.note" },
	{ "WITH x AS (SELECT 1 WHERE true) DELETE FROM main.note;",
		"deleting all rows of main.note" },
	{ "WITH x AS (DELETE FROM main.task WHERE true RETURNING id) SELECT 1;",
		"no change of rows inside of WITH", true },
	{ "TRUNCATE TABLE main.note;", "TRUNCATE throws away all rows" },
	{ "LOCK TABLE main.note;", "LOCK holds up everybody" },
	{ "SELECT 1;", "a query has nothing to do here" },
	{ "CREATE VIEW main.v AS SELECT 1;", "a view shows" },
	{ "CREATE FUNCTION main.f() RETURNS int LANGUAGE sql AS 'SELECT 1';",
		"what a function does" },
	{ "CREATE TRIGGER t AFTER DELETE ON main.note EXECUTE FUNCTION main.f();",
		"what a trigger does" },
	{ "CREATE EXTENSION citext;", "this kind of object is not known" },
	{ "CREATE UNLOGGED TABLE main.x (a bigint);", "empty after a crash" },
	{ "DROP FUNCTION main.f();", "may still use it" },
	{ "ALTER INDEX main.i RENAME TO j;", "this change is not known" },
	{ "DO 'BEGIN END';", "what a DO block does" },

	/* what the store does */
	{ "BEGIN;", "the store begins and ends transactions", true },
	{ "COMMIT;", "the store begins and ends transactions", true },
	{ "ROLLBACK;", "the store begins and ends transactions", true },
	{ "SAVEPOINT x;", "the store begins and ends transactions", true },
	{ "PRAGMA foreign_keys = OFF;", "settings of the connection", true },
	{ "SET search_path = public;", "settings of the connection", true },
	{ "SET ROLE app;", "settings of the connection", true },
	{ "SELECT set_config('app.tenant', '', true);", "settings of the connection", true },
	{ "ATTACH 'x' AS y;", "there is one schema", true },
	{ "CREATE SCHEMA x;", "there is one schema", true },
	{ "ALTER TABLE main.note SET SCHEMA public;", "there is one schema", true },
	{ "GRANT SELECT ON main.note TO app;", "roles, rights and policies", true },
	{ "REVOKE ALL ON main.note FROM app;", "roles, rights and policies", true },
	{ "CREATE ROLE x;", "roles, rights and policies", true },
	{ "CREATE POLICY p ON main.note;", "roles, rights and policies", true },
	{ "ALTER TABLE main.note DISABLE ROW LEVEL SECURITY;", "roles, rights and policies", true },
	{ "ALTER TABLE main.note NO FORCE ROW LEVEL SECURITY;", "roles, rights and policies",
		true },
	{ "ALTER TABLE main.note OWNER TO app;", "roles, rights and policies", true },
	{ "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app;", "roles, rights and policies",
		true },
	{ "CREATE TEMP TABLE note (a text);", "a temporary table takes the place", true },
	{ "CREATE SEQUENCE main.s;", "GENERATED ALWAYS AS IDENTITY", true },
	{ "CREATE TABLE main.x (n bigserial PRIMARY KEY);", "GENERATED ALWAYS AS IDENTITY", true },
	{ "VACUUM;", "not its session", true },
	{ "COPY main.note FROM '/x';", "not its session", true },
	{ "NOTIFY x;", "not its session", true },
	{ "FROBNICATE main.note;", "not known here", true },

	/* what row-level security cannot search */
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, lower(title));",
		"an index on an expression" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, (title || 'x'));",
		"an index on an expression" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note USING gin (tags);",
		"an index of the kind gin" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, amount);", "an index on amount" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, tags);", "an index on tags" },
	{ "CREATE INDEX CONCURRENTLY i ON main.note (tenant_id, title gin_trgm_ops);",
		"an index by gin_trgm_ops" },
	{ "CREATE TABLE main.x (tenant_id uuid NOT NULL, email public.citext, "
	  "PRIMARY KEY (tenant_id, email));",
		"an index on email" },
	{ "CREATE INDEX CONCURRENTLY i ON main.task USING gin (name gin_trgm_ops);" },
	{ "CREATE INDEX CONCURRENTLY i ON main.task (lower(name));" },
};

static int lint(const char *text, struct buf *out)
{
	struct migration_source source = { "notes", text };

	buf_reset(out);
	return migration_lint(&source, out);
}

static void expect_case(const struct rule_case *rule, struct buf *out)
{
	char text[4096];
	int count;

	(void)snprintf(text, sizeof(text), BEFORE "%s\n", rule->sql);
	count = lint(text, out);
	if (!rule->said) {
		test_note(count == 0, __FILE__, __LINE__, "%s: %.*s", rule->sql,
			STR_ARG(buf_str(out)));
		return;
	}
	test_note(count >= 1 && str_find(buf_str(out), str_from_c(rule->said)) >= 0, __FILE__,
		__LINE__, "%s: %d: %.*s", rule->sql, count, STR_ARG(buf_str(out)));
	test_note(str_starts(buf_str(out), S("notes.sql:")), __FILE__, __LINE__, "%.*s",
		STR_ARG(buf_str(out)));
}

/* The last statement of the case is followed by the comment; in cases with one only that helps. */
static void expect_excuse(const struct rule_case *rule, struct buf *out)
{
	char text[4096];
	bool left;

	(void)snprintf(text, sizeof(text), BEFORE "%s -- safe: nobody uses it\n", rule->sql);
	(void)lint(text, out);
	left = str_find(buf_str(out), str_from_c(rule->said)) >= 0;
	test_note(left == rule->fixed, __FILE__, __LINE__, "%s with a reason: %.*s", rule->sql,
		STR_ARG(buf_str(out)));
}

TEST(migration_rules)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	for (size_t i = 0; i < LEN(cases); i++) {
		expect_case(&cases[i], &out);
		if (cases[i].said)
			expect_excuse(&cases[i], &out);
	}
	buf_done(&out);
	EXPECT_INT(mem_used(), 0);
}

/* A finding of both engines is told once; one of an engine only there. */
TEST(migration_rules_of_both_engines)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	EXPECT_INT(lint("-- up 1: x\nBEGIN;\nBEGIN;", &out), 2);
	EXPECT_INT(lint("-- up 1: x\n--sqlite: BEGIN;\n--postgres: COMMIT;\n", &out), 2);
	EXPECT_INT(lint("-- up 1 sqlite: x\nPRAGMA x;", &out), 1);
	EXPECT_INT(lint("-- up 2: x\n", &out), 1);
	EXPECT_INT(lint("-- up 1: x\n'", &out), 1);
	EXPECT_INT(lint("", &out), 0);
	buf_done(&out);
}

/* A down section sees the tables of its own up, and changes nothing for what follows. */
TEST(migration_rules_going_down)
{
	struct buf out;

	buf_init(&out, MEGABYTE);
	EXPECT_INT(lint("-- up 1: x\nCREATE TABLE main.a (b text);\n"
			"-- down 1\nDROP TABLE main.a; -- safe: going down\n"
			"-- up 2: y\nALTER TABLE main.a ADD c text;\n"
			"-- down 2\nALTER TABLE main.a DROP COLUMN c; -- safe: going down\n"
			"CREATE TABLE main.z (b text);\n"
			"-- up 3: z\nALTER TABLE main.z ADD c text;\n",
			   &out),
		1);
	EXPECT(str_find(buf_str(&out), S("main.z is not a table of this module")) >= 0);
	buf_done(&out);
}

TEST(migration_rules_of_the_store)
{
	struct migration_source source = { "store", store_migrations };
	struct buf out;

	buf_init(&out, MEGABYTE);
	EXPECT_INT(migration_lint(&source, &out), 0);
	EXPECT_STR(buf_str(&out), S(""));
	buf_done(&out);
}

TEST(migration_rules_survive_every_failure)
{
	static const char text[] = BEFORE "CREATE INDEX i ON main.note (lower(title));\n"
					  "ALTER TABLE main.note ADD a text NOT NULL;\n"
					  "-- down 2\nDROP TABLE main.note;";
	struct buf out;

	for (size_t nth = 1;; nth++) {
		bool struck;
		int r;

		buf_init(&out, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		r = lint(text, &out);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		buf_done(&out);
		EXPECT_INT(mem_used(), 0);
		if (!struck) {
			EXPECT(r > 0);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
		REQUIRE(nth < 1000);
	}
}

TEST(migration_rules_into_too_little)
{
	struct buf out;

	buf_init(&out, 20);
	EXPECT_INT(lint("-- up 1: x\nBEGIN;", &out), -ERR_TOO_LARGE);
	buf_done(&out);
}
