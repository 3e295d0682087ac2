/*
 * Attacks on the tenancy, by name. REFUSED ones must not be registered, with a sentence that says
 * why; LEGAL ones must, or the rules would keep modules from their work; the others may be either.
 * What is registered runs as tenant 1, while tenant 2 has one set of rows and then another: the
 * answer must be the same, no text of tenant 2 may come back, and its rows must stay what they are.
 */
#include "store/tenancy_test.h"

#include <stdio.h>

enum rule { LEGAL, EITHER, REFUSED };
enum on { BOTH, SQLITE, POSTGRES };

struct attack_case {
	enum rule rule;
	const char *sql;
	bool rows;
	enum on on;
	bool loose; /* what another tenant has may show: the schema is at fault */
};

#define READ(what) "SELECT n.body AS a, n.id AS n FROM " what
#define ROWS(rule, sql)                                                                            \
	{                                                                                          \
		rule, sql, true, BOTH, false                                                       \
	}
#define EXEC(rule, sql)                                                                            \
	{                                                                                          \
		rule, sql, false, BOTH, false                                                      \
	}
#define ROWS_ON(rule, on, sql)                                                                     \
	{                                                                                          \
		rule, sql, true, on, false                                                         \
	}
#define EXEC_ON(rule, on, sql)                                                                     \
	{                                                                                          \
		rule, sql, false, on, false                                                        \
	}

/* --- what modules do ------------------------------------------------------------------ */

static const struct attack_case legal[] = {
	ROWS(LEGAL, READ("note n")),
	ROWS(LEGAL, READ("note AS n") " WHERE n.tenant_id = :tenant AND n.id = :id"),
	ROWS(LEGAL, "SELECT body AS a, amount AS n FROM note WHERE tenant_id = :tenant"),
	ROWS(LEGAL, "SELECT 'x' AS a, count(*) AS n FROM note"),
	ROWS(LEGAL, READ("note n JOIN folder f ON f.tenant_id = n.tenant_id AND f.id = n.id")),
	ROWS(LEGAL, READ("note n LEFT JOIN folder f ON f.id = n.id") " WHERE f.id IS NULL"),
	ROWS(LEGAL, READ("note n") " WHERE EXISTS (SELECT 1 FROM folder f WHERE f.id = n.id)"),
	ROWS(LEGAL, READ("note n") " WHERE n.id IN (SELECT f.id FROM folder f)"),
	ROWS(LEGAL, READ("note n") " UNION ALL SELECT f.body, f.id FROM folder f"),
	ROWS(LEGAL, "WITH c AS (SELECT body, id FROM note) SELECT c.body AS a, c.id AS n FROM c"),
	ROWS(LEGAL, "SELECT n.body AS a, CAST(sum(n.id) OVER (ORDER BY n.id) AS bigint) AS n FROM "
		    "note n"),
	ROWS(LEGAL, "SELECT s.b AS a, s.c AS n FROM (SELECT max(body) AS b, count(*) AS c FROM "
		    "note) s"),
	ROWS(LEGAL, READ("note n") " WHERE n.tenant_id = :other"),
	ROWS(LEGAL, READ("note n") " WHERE n.tenant_id <> :tenant"),
	EXEC(LEGAL, "INSERT INTO main.note (tenant_id, id, body, amount) VALUES (:tenant, 50, "
		    ":body, 1)"),
	EXEC(LEGAL, "INSERT INTO main.note (tenant_id, id, body, amount) VALUES (:tenant, :id, "
		    ":body, 1) "
		    "ON CONFLICT (tenant_id, id) DO UPDATE SET body = excluded.body"),
	ROWS(LEGAL, "INSERT INTO main.note (tenant_id, id, body, amount) VALUES (:tenant, 51, "
		    ":body, 1) "
		    "RETURNING body AS a, id AS n"),
	EXEC(LEGAL,
		"INSERT INTO main.note (tenant_id, id, body, amount) SELECT :tenant, f.id + 60, "
		"f.body, f.amount FROM folder f WHERE f.tenant_id = :tenant"),
	EXEC(LEGAL, "UPDATE main.note AS n SET body = :body WHERE n.tenant_id = :tenant AND n.id = "
		    ":id"),
	EXEC(LEGAL, "UPDATE main.note SET body = :body WHERE tenant_id = :tenant"),
	ROWS(LEGAL, "UPDATE main.note SET amount = amount + 1 WHERE tenant_id = :tenant "
		    "RETURNING body AS a, amount AS n"),
	EXEC(LEGAL, "DELETE FROM main.note WHERE tenant_id = :tenant AND id = :id"),
	EXEC(LEGAL, "DELETE FROM main.note WHERE tenant_id = :tenant AND id NOT IN "
		    "(SELECT f.id FROM folder f)"),
};

/* --- names ------------------------------------------------------------------------------ */

static const struct attack_case names[] = {
	ROWS(REFUSED, READ("main.note n")),
	ROWS(REFUSED, READ("\"main\".note n")),
	ROWS(REFUSED, READ("main.\"note\" n")),
	ROWS(REFUSED, READ("MAIN.note n")),
	ROWS(REFUSED, READ("Main . note n")),
	ROWS(REFUSED, READ("main/**/.note n")),
	ROWS(REFUSED, READ("main--\n.\nnote n")),
	ROWS(REFUSED, READ("main\t.\r\nnote n")),
	ROWS(REFUSED, READ("main\f.note n")),
	ROWS(REFUSED, READ("temp.note n")),
	ROWS(REFUSED, READ("\"temp\".note n")),
	ROWS(REFUSED, READ("pg_temp.note n")),
	ROWS(REFUSED, READ("public.note n")),
	ROWS(REFUSED, READ("(main.note) n")),
	ROWS(REFUSED, READ("note n, main.note m")),
	ROWS(REFUSED, "SELECT main.note.body AS a, 1 AS n FROM note"),
	ROWS(REFUSED, "SELECT main.body AS a, main.id AS n FROM note AS main"),
	ROWS(REFUSED, "SELECT main.body AS a, main.id AS n FROM note main"),
	ROWS(REFUSED, "SELECT \"main\".body AS a, 1 AS n FROM note \"main\""),
	ROWS(REFUSED,
		"WITH main AS (SELECT body, id FROM note) SELECT body AS a, id AS n FROM main"),
	ROWS(REFUSED, "WITH \"MAIN\" AS (SELECT body, id FROM note) SELECT body AS a, id AS n "
		      "FROM \"MAIN\""),
	ROWS_ON(REFUSED, SQLITE, READ("`main`.note n")),
	ROWS_ON(REFUSED, SQLITE, READ("[main].note n")),
	ROWS_ON(REFUSED, SQLITE, READ("'main'.note n")),
	ROWS_ON(REFUSED, SQLITE, READ("'main'.'note' n")),
	ROWS_ON(REFUSED, SQLITE, READ("[main].[note] n")),
	ROWS_ON(REFUSED, SQLITE, READ("`temp`.note n")),
	ROWS_ON(REFUSED, SQLITE, READ("'temp'.note n")),
	ROWS_ON(EITHER, SQLITE, READ("'note' n")),
	ROWS_ON(EITHER, SQLITE, READ("[note] n")),
	ROWS_ON(EITHER, SQLITE, READ("`note` n")),
	ROWS(EITHER, READ("\"note\" n")),
	ROWS(EITHER, READ("NOTE n")),
	ROWS_ON(REFUSED, POSTGRES, READ("U&\"m\\0061in\".note n")),
	ROWS_ON(REFUSED, POSTGRES, READ("U&\"m!0061in\" UESCAPE '!' .note n")),
	ROWS_ON(EITHER, POSTGRES, READ("U&\"n\\006fte\" n")),
	ROWS_ON(EITHER, POSTGRES, READ("ONLY note n")),
	ROWS_ON(EITHER, POSTGRES, READ("note * n")),
	ROWS_ON(EITHER, POSTGRES, READ("note n TABLESAMPLE SYSTEM (100)")),
	ROWS_ON(REFUSED, POSTGRES, "TABLE note"),
	ROWS(REFUSED, READ("shared n")),
	ROWS(REFUSED, READ("main.shared n")),
	EXEC(REFUSED, "UPDATE main.shared SET body = :body WHERE id = :id AND :tenant IS NOT NULL"),
	EXEC(REFUSED,
		"INSERT INTO main.shared (id, body) SELECT 5, :body WHERE :tenant IS NOT NULL"),
	ROWS(REFUSED, "SELECT m.module AS a, m.number AS n FROM migration m"),
};

/* --- shadows: names that are taken by something else ---------------------------------------- */

static const struct attack_case shadows[] = {
	ROWS(REFUSED, "WITH note AS (SELECT * FROM main.note) SELECT body AS a, id AS n FROM note"),
	ROWS(REFUSED, "WITH note (tenant_id, id, body, amount) AS (SELECT * FROM main.note) "
		      "SELECT body AS a, id AS n FROM note"),
	ROWS(REFUSED, "WITH RECURSIVE note AS (SELECT * FROM main.note UNION SELECT * FROM note) "
		      "SELECT body AS a, id AS n FROM note"),
	ROWS(EITHER, "WITH note AS (SELECT * FROM note) SELECT body AS a, id AS n FROM note"),
	ROWS(EITHER, "WITH note AS (SELECT * FROM folder) SELECT body AS a, id AS n FROM note"),
	ROWS(EITHER, "WITH folder AS (SELECT * FROM note), note AS (SELECT * FROM folder) "
		     "SELECT body AS a, id AS n FROM note"),
	ROWS(EITHER, "WITH x AS (WITH note AS (SELECT * FROM folder) SELECT * FROM note) "
		     "SELECT body AS a, id AS n FROM x"),
	ROWS(EITHER, "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) "
		     "SELECT 'x' AS a, n AS n FROM c"),
	ROWS(EITHER, "SELECT note.body AS a, note.id AS n FROM (SELECT * FROM folder) AS note"),
	ROWS(REFUSED, "SELECT note.body AS a, note.id AS n FROM (SELECT * FROM main.note) AS note"),
	ROWS(EITHER, "SELECT folder.body AS a, folder.id AS n FROM note AS folder"),
	EXEC(REFUSED, "WITH note AS (SELECT * FROM main.note) UPDATE main.folder AS f SET body = "
		      "(SELECT max(note.body) FROM note) WHERE f.tenant_id = :tenant"),
	EXEC(REFUSED, "WITH note AS (SELECT * FROM main.note) DELETE FROM main.folder AS f "
		      "WHERE f.tenant_id = :tenant AND f.id IN (SELECT id FROM note)"),
	EXEC(EITHER, "WITH note AS (SELECT 1 AS id) UPDATE main.note AS t SET body = 'x' "
		     "WHERE t.tenant_id = :tenant AND t.id IN (SELECT id FROM note)"),
	EXEC(EITHER, "WITH note AS (SELECT 1 AS id) DELETE FROM main.note AS t "
		     "WHERE t.tenant_id = :tenant AND t.id IN (SELECT id FROM note)"),
	EXEC(EITHER, "WITH note AS (SELECT 9 AS id) INSERT INTO main.note (tenant_id, id, body, "
		     "amount) SELECT :tenant, id + 90, 'x', 1 FROM note"),
};

/* --- reads ---------------------------------------------------------------------------------- */

static const struct attack_case reads[] = {
	ROWS(REFUSED, READ("note n JOIN main.note m ON m.id = n.id")),
	ROWS(REFUSED, READ("note n LEFT JOIN main.note m ON m.id = n.id")),
	ROWS(REFUSED, READ("note n") " UNION SELECT body, id FROM main.note"),
	ROWS(REFUSED, READ("note n") " UNION ALL SELECT body, id FROM main.note"),
	ROWS(REFUSED, READ("note n") " EXCEPT SELECT body, id FROM main.note"),
	ROWS(REFUSED, READ("note n") " WHERE n.id IN (SELECT id FROM main.note)"),
	ROWS(REFUSED, READ("note n") " WHERE EXISTS (SELECT 1 FROM main.note)"),
	ROWS(REFUSED, "SELECT (SELECT max(body) FROM main.note) AS a, 1 AS n"),
	ROWS(REFUSED, "SELECT max(body) OVER () AS a, id AS n FROM main.note"),
	ROWS(REFUSED, "SELECT 'x' AS a, count(*) AS n FROM main.note"),
	ROWS(REFUSED, READ("note n") " ORDER BY (SELECT max(body) FROM main.note)"),
	ROWS(REFUSED, READ("note n") " LIMIT (SELECT count(*) FROM main.note)"),
	ROWS(REFUSED, READ("note n") " GROUP BY n.body, n.id HAVING n.id < (SELECT max(id) FROM "
				     "main.note)"),
	ROWS(REFUSED, "VALUES ((SELECT max(body) FROM main.note), 1)"),
	ROWS(EITHER, READ("note n") " WHERE 1 = 1 OR n.tenant_id = :other"),
	ROWS(EITHER, READ("note n FULL JOIN folder f ON f.tenant_id = :other")),
	ROWS(EITHER,
		READ("note n RIGHT JOIN folder f ON f.id = n.id + 1") " WHERE n.id IS NOT NULL"),
	ROWS(EITHER, READ("folder n") " WHERE n.amount > 0 AND 10 / (77 - n.amount) > -1000"),
	ROWS(EITHER, READ("folder n") " WHERE abs(n.amount) > 0"),
	ROWS(EITHER, READ("folder n") " WHERE n.amount = 77 AND abs(n.amount) > 0"),
	ROWS(EITHER, READ("note n") " WHERE CAST(n.body AS bigint) = 5"),
	ROWS(EITHER, "SELECT n.body AS a, CAST(n.body AS bigint) AS n FROM note n WHERE n.id = 99"),
	ROWS_ON(REFUSED, SQLITE, READ("note n") " WHERE n.id IN main.note"),
	ROWS_ON(EITHER, SQLITE,
		READ("note n") " WHERE (n.tenant_id, n.id, n.body, n.amount) IN note"),
	ROWS_ON(EITHER, SQLITE, "SELECT n.body AS a, n.rowid AS n FROM note n"),
	ROWS_ON(EITHER, SQLITE, READ("note n NOT INDEXED")),
	ROWS_ON(EITHER, SQLITE, READ("folder n INDEXED BY folder_amount") " WHERE n.amount > 0"),
	ROWS_ON(EITHER, SQLITE, "SELECT hex(current_tenant()) AS a, 1 AS n"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n, LATERAL (SELECT 1 FROM folder f WHERE f.id = n.id) x")),
	ROWS_ON(REFUSED, POSTGRES, READ("note n, LATERAL (SELECT 1 FROM main.folder f) x")),
	ROWS_ON(REFUSED, POSTGRES, READ("note n") " FOR UPDATE"),
	ROWS_ON(REFUSED, POSTGRES, READ("note n") " FOR SHARE OF n"),
	ROWS_ON(EITHER, POSTGRES, "SELECT n::text AS a, 1 AS n FROM note n"),
	ROWS_ON(EITHER, POSTGRES, "SELECT row_to_json(n)::text AS a, 1 AS n FROM note n"),
	ROWS_ON(EITHER, POSTGRES, "SELECT n.body AS a, n.id AS n FROM note n WHERE n.tableoid > 0"),
};

/* --- the insides of the engines --------------------------------------------------------------- */

static const struct attack_case insides[] = {
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM sqlite_master"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM sqlite_schema"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM main.sqlite_schema"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM sqlite_temp_schema"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM temp.sqlite_master"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, rootpage AS n FROM \"sqlite_master\""),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, cid AS n FROM pragma_table_info('note')"),
	ROWS_ON(REFUSED, SQLITE, "SELECT file AS a, seq AS n FROM pragma_database_list"),
	ROWS_ON(REFUSED, SQLITE, "SELECT tbl AS a, 1 AS n FROM sqlite_stat1"),
	ROWS_ON(REFUSED, SQLITE, "SELECT hex(data) AS a, pgno AS n FROM sqlite_dbpage"),
	ROWS_ON(REFUSED, SQLITE, "SELECT name AS a, pageno AS n FROM dbstat"),
	ROWS_ON(REFUSED, SQLITE, "SELECT sql AS a, 1 AS n FROM sqlite_stmt"),
	ROWS_ON(REFUSED, SQLITE, "SELECT load_extension('x') AS a, 1 AS n"),
	ROWS_ON(REFUSED, SQLITE, "SELECT 'x' AS a, last_insert_rowid() AS n"),
	ROWS_ON(REFUSED, SQLITE, "SELECT 'x' AS a, total_changes() AS n"),
	ROWS_ON(REFUSED, SQLITE, "SELECT hex(randomblob(1000000000)) AS a, 1 AS n"),
	ROWS_ON(REFUSED, SQLITE, "SELECT fts3_tokenizer('x') AS a, 1 AS n"),
	ROWS_ON(REFUSED, SQLITE, "PRAGMA recursive_triggers=OFF"),
	EXEC_ON(REFUSED, SQLITE, "PRAGMA writable_schema=ON"),
	EXEC_ON(REFUSED, SQLITE, "ATTACH '/tmp/x.db' AS x"),
	EXEC_ON(REFUSED, SQLITE, "DETACH temp"),
	EXEC_ON(REFUSED, SQLITE, "VACUUM INTO '/tmp/x.db'"),
	EXEC_ON(REFUSED, SQLITE, "REINDEX"),
	ROWS_ON(REFUSED, SQLITE, "EXPLAIN SELECT body FROM note"),
	ROWS_ON(REFUSED, SQLITE, "EXPLAIN QUERY PLAN SELECT body FROM note"),
	EXEC_ON(REFUSED, SQLITE,
		"REPLACE INTO main.note (tenant_id, id, body, amount) VALUES "
		"(:tenant, 1, 'x', 1)"),
	EXEC_ON(REFUSED, SQLITE, "CREATE VIRTUAL TABLE x USING fts5(a)"),
	EXEC_ON(REFUSED, SQLITE, "CREATE TEMP VIEW note AS SELECT * FROM main.note"),
	EXEC_ON(REFUSED, SQLITE, "DROP VIEW temp.note"),

	ROWS_ON(REFUSED, POSTGRES, "SELECT relname::text AS a, 1 AS n FROM pg_class"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT relname::text AS a, 1 AS n FROM pg_catalog.pg_class"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT most_common_vals::text AS a, 1 AS n FROM pg_stats"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT query AS a, 1 AS n FROM pg_stat_activity"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT setting AS a, 1 AS n FROM pg_settings"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT table_name AS a, 1 AS n FROM information_schema.tables"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT current_setting('app.tenant') AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT set_config('app.tenant', :other, true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES,
		"SELECT pg_catalog.set_config('app.tenant', :other, true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT \"set_config\"('app.tenant', 'x', true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT SET_CONFIG('app.tenant', 'x', true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES,
		"SELECT U&\"set\\005fconfig\"('app.tenant', 'x', true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT set_config/**/('app.tenant', 'x', true) AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES,
		"SELECT n.body AS a, 1 AS n FROM note n, set_config('app.tenant', 'x', true)"),
	ROWS_ON(REFUSED, POSTGRES,
		"SELECT query_to_xml('SELECT 1', true, true, '')::text AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES,
		"SELECT table_to_xml('note', true, true, '')::text AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT pg_read_file('/etc/passwd') AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT pg_ls_dir('.') AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT 'x' AS a, pg_sleep(100)::text::bigint AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT 'x' AS a, pg_advisory_lock(1)::text::bigint AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT dblink('x', 'SELECT 1')::text AS a, 1 AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT 'x' AS a, lo_import('/etc/passwd')::bigint AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT 'x' AS a, pg_terminate_backend(1)::int::bigint AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT 'x' AS a, nextval('x') AS n"),
	ROWS_ON(REFUSED, POSTGRES, "SELECT current_user::text AS a, 1 AS n FROM pg_user"),
	EXEC_ON(REFUSED, POSTGRES, "SET ROLE owner"),
	EXEC_ON(REFUSED, POSTGRES, "SET ROLE app_system"),
	EXEC_ON(REFUSED, POSTGRES, "SET LOCAL ROLE app_system"),
	EXEC_ON(REFUSED, POSTGRES, "SET SESSION AUTHORIZATION owner"),
	EXEC_ON(REFUSED, POSTGRES, "RESET ROLE"),
	EXEC_ON(REFUSED, POSTGRES, "RESET ALL"),
	EXEC_ON(REFUSED, POSTGRES, "DISCARD ALL"),
	EXEC_ON(REFUSED, POSTGRES, "SET app.tenant = 'x'"),
	EXEC_ON(REFUSED, POSTGRES, "SET row_security = off"),
	EXEC_ON(REFUSED, POSTGRES, "SHOW app.tenant"),
	EXEC_ON(REFUSED, POSTGRES,
		"DO $$ BEGIN PERFORM set_config('app.tenant', 'x', true); END $$"),
	EXEC_ON(REFUSED, POSTGRES, "COPY note TO STDOUT"),
	EXEC_ON(REFUSED, POSTGRES, "COPY (SELECT * FROM main.note) TO PROGRAM 'cat'"),
	EXEC_ON(REFUSED, POSTGRES, "LISTEN x"),
	EXEC_ON(REFUSED, POSTGRES, "NOTIFY x"),
	EXEC_ON(REFUSED, POSTGRES, "LOCK TABLE note"),
	EXEC_ON(REFUSED, POSTGRES, "PREPARE x AS SELECT 1"),
	EXEC_ON(REFUSED, POSTGRES, "EXECUTE x"),
	EXEC_ON(REFUSED, POSTGRES, "DEALLOCATE ALL"),
	EXEC_ON(REFUSED, POSTGRES, "DECLARE c CURSOR FOR SELECT * FROM note"),
	EXEC_ON(REFUSED, POSTGRES, "CALL x()"),
	EXEC_ON(REFUSED, POSTGRES, "GRANT ALL ON note TO app"),
	EXEC_ON(REFUSED, POSTGRES, "TRUNCATE main.note"),
	EXEC_ON(REFUSED, POSTGRES,
		"MERGE INTO main.note AS n USING folder f ON f.id = n.id "
		"WHEN MATCHED THEN DELETE"),
	EXEC_ON(REFUSED, POSTGRES, "SELECT body INTO stolen FROM note"),
	EXEC_ON(REFUSED, POSTGRES, "SELECT body INTO TEMP stolen FROM note"),
	EXEC_ON(REFUSED, POSTGRES, "EXPLAIN ANALYZE DELETE FROM main.note"),
	EXEC_ON(REFUSED, POSTGRES, "ALTER TABLE main.note DISABLE ROW LEVEL SECURITY"),
	EXEC_ON(REFUSED, POSTGRES, "CREATE POLICY p ON main.note USING (true)"),

	EXEC(REFUSED, "CREATE TABLE main.x (a text)"),
	EXEC(REFUSED, "CREATE TEMP TABLE note (a text)"),
	EXEC(REFUSED, "CREATE VIEW x AS SELECT * FROM main.note"),
	EXEC(REFUSED, "CREATE INDEX x ON note (body)"),
	EXEC(REFUSED, "DROP TABLE main.note"),
	EXEC(REFUSED, "ALTER TABLE main.note RENAME TO x"),
	EXEC(REFUSED, "ANALYZE"),
	EXEC(REFUSED, "VACUUM"),
	EXEC(REFUSED, "BEGIN"),
	EXEC(REFUSED, "COMMIT"),
	EXEC(REFUSED, "ROLLBACK"),
	EXEC(REFUSED, "SAVEPOINT x"),
	EXEC(REFUSED, "RELEASE x"),
	EXEC(REFUSED, "ROLLBACK TO x"),
	EXEC(REFUSED, ""),
	EXEC(REFUSED, ";"),
	EXEC(REFUSED, "-- nothing"),
};

/* --- texts ---------------------------------------------------------------------------------- */

static const struct attack_case texts[] = {
	ROWS(REFUSED, READ("note n") "; DELETE FROM main.note"),
	ROWS(REFUSED, READ("note n") ";;SELECT 1"),
	ROWS(REFUSED, READ("note n") "; --\n COMMIT"),
	EXEC(REFUSED, "DELETE FROM main.note WHERE tenant_id = :tenant; DELETE FROM main.folder"),
	ROWS(REFUSED, "\xef\xbb\xbf" READ("note n")),
	ROWS(REFUSED, READ("\xef\xbb\xbfmain.note n")),
	ROWS(REFUSED, READ("main\xef\xbb\xbf.note n")),
	ROWS(REFUSED, READ("main\xc2\xa0.note n")),
	ROWS(REFUSED, READ("\xd0\xbc\x61in.note n")),
	ROWS(REFUSED, READ("note n") " /* open"),
	ROWS(REFUSED, READ("note n") " WHERE n.body = 'open"),
	ROWS(REFUSED, READ("note n") " WHERE \"open"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = ?"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = ?1"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = $1"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = @id"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = :nothing"),
	ROWS(REFUSED, READ("note n") " WHERE n.id = :id\x01"),
	/* comments nest in PostgreSQL, and do not in SQLite */
	ROWS(EITHER, READ("note n") " /* /* */ UNION ALL SELECT body, id FROM main.note -- */"),
	ROWS(EITHER, READ("note n") " /* /* */ */ UNION ALL SELECT body, id FROM main.note"),
	ROWS(EITHER, READ("note n") " -- \r UNION ALL SELECT body, id FROM main.note"),
	ROWS(EITHER, READ("note n") " --\\\n UNION ALL SELECT body, id FROM main.note"),
	/* a backslash ends nothing, except in E'' */
	ROWS(EITHER,
		READ("note n") " WHERE n.body <> '\\' UNION ALL SELECT body, id FROM main.note"),
	ROWS(EITHER,
		READ("note n") " WHERE n.body <> '\\' UNION ALL SELECT body, id FROM main.note "
			       "WHERE body <> ''"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> E'\\' UNION ALL SELECT body, id "
			       "FROM main.note WHERE body <> '"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> E'\\\\' UNION ALL SELECT body, id "
			       "FROM main.note WHERE body <> ''"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> $$'$$ UNION ALL SELECT body, id "
			       "FROM main.note WHERE body <> $$'$$"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> $a$ $b$ $a$ UNION ALL SELECT body, "
			       "id FROM main.note WHERE body <> $b$ $b$"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> 'a'\n'b' UNION ALL SELECT body, id "
			       "FROM main.note"),
	ROWS_ON(EITHER, POSTGRES,
		READ("note n") " WHERE n.body <> U&'\\0027' UNION ALL SELECT body, "
			       "id FROM main.note WHERE body <> ''"),
	ROWS_ON(EITHER, SQLITE,
		READ("note n") " WHERE n.body <> \"'\" UNION ALL SELECT body, id FROM "
			       "main.note WHERE body <> \"'\""),
	ROWS_ON(EITHER, SQLITE,
		READ("note n") " WHERE n.id <> [x'] UNION ALL SELECT body, id FROM "
			       "main.note WHERE body <> '"),
};

/* --- changes -------------------------------------------------------------- */

#define INSERT(values) "INSERT INTO main.note (tenant_id, id, body, amount) " values

static const struct attack_case changes[] = {
	/* moving, stealing, and forgetting the tenant */
	EXEC(EITHER, "UPDATE main.note SET body = 'x'"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE id = :id"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE :tenant IS NOT NULL"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE tenant_id = :tenant OR 1 = 1"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE tenant_id <> :tenant"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE NOT tenant_id = :tenant"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE (tenant_id = :tenant) = (1 = 0)"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE tenant_id = :tenant IS NULL"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE tenant_id = :tenant = (id < 0)"),
	EXEC(EITHER, "UPDATE main.note SET body = 'x' WHERE id BETWEEN 0 AND tenant_id = :tenant"),
	EXEC(EITHER,
		"UPDATE main.note SET body = 'x' WHERE id > 0 AND tenant_id = :tenant IS NOT NULL"),
	EXEC(EITHER,
		"UPDATE main.note SET body = 'x' WHERE tenant_id = :other AND :tenant IS NOT NULL"),
	EXEC(EITHER, "UPDATE main.note SET tenant_id = :other WHERE tenant_id = :tenant"),
	EXEC(EITHER, "UPDATE main.note SET tenant_id = :tenant WHERE tenant_id = :other"),
	EXEC(EITHER, "UPDATE main.note SET tenant_id = :tenant, id = id + 100"),
	EXEC(EITHER,
		"UPDATE main.note SET (tenant_id, body) = (:other, 'x') WHERE tenant_id = :tenant"),
	EXEC(EITHER,
		"UPDATE main.note SET (body, tenant_id) = (SELECT f.body, f.tenant_id FROM folder "
		"f WHERE f.id = 1) WHERE tenant_id = :tenant"),
	EXEC(EITHER, "UPDATE note SET body = 'x' WHERE tenant_id = :tenant"),
	EXEC(REFUSED, "UPDATE temp.note SET body = 'x' WHERE tenant_id = :tenant"),
	EXEC(EITHER, "DELETE FROM note WHERE tenant_id = :tenant"),
	EXEC(EITHER, "DELETE FROM main.note"),
	EXEC(EITHER, "DELETE FROM main.note WHERE :tenant IS NOT NULL"),
	EXEC(EITHER, "DELETE FROM main.note WHERE tenant_id = :other AND :tenant IS NOT NULL"),
	ROWS(EITHER, "DELETE FROM main.note RETURNING body AS a, id AS n"),
	ROWS(EITHER,
		"DELETE FROM main.note WHERE :tenant IS NOT NULL RETURNING body AS a, id AS n"),
	ROWS(EITHER, "UPDATE main.note SET amount = 1 RETURNING body AS a, id AS n"),
	ROWS(EITHER, "UPDATE main.note SET amount = 1 WHERE :tenant IS NOT NULL "
		     "RETURNING body AS a, id AS n"),
	EXEC(EITHER, INSERT("VALUES (:other, 9, 'x', 1)")),
	EXEC(EITHER, INSERT("SELECT :other, 9, 'x', 1 WHERE :tenant IS NOT NULL")),
	EXEC(EITHER, INSERT("VALUES (:tenant, 70, 'x', 1), (:other, 70, 'x', 1)")),
	EXEC(EITHER, INSERT("SELECT n.tenant_id, n.id + 300, n.body, n.amount FROM note n")),
	EXEC(EITHER, "INSERT INTO main.note VALUES (:other, 9, 'x', 1)"),
	EXEC(EITHER, "INSERT INTO main.note (id, body, amount) VALUES (9, 'x', 1)"),
	EXEC(EITHER,
		"INSERT INTO main.note (id, tenant_id, body, amount) VALUES (9, :other, 'x', 1)"),
	EXEC(EITHER, "INSERT INTO note (tenant_id, id, body, amount) VALUES (:tenant, 9, 'x', 1)"),
	EXEC_ON(EITHER, SQLITE, INSERT("VALUES (NULL, 9, 'x', 1)")),
	EXEC_ON(EITHER, SQLITE, INSERT("VALUES (hex(:tenant), 9, 'x', 1)")),

	/* reading elsewhere in a change */
	EXEC(REFUSED, "UPDATE main.note SET body = (SELECT max(body) FROM main.folder) "
		      "WHERE tenant_id = :tenant"),
	EXEC(REFUSED, "UPDATE main.note AS n SET body = (SELECT max(m.body) FROM main.note m) "
		      "WHERE n.tenant_id = :tenant"),
	EXEC(EITHER, "UPDATE main.note AS n SET body = (SELECT max(m.body) FROM note m) "
		     "WHERE n.tenant_id = :tenant"),
	EXEC(REFUSED, "UPDATE main.note SET body = 'x' WHERE tenant_id = :tenant AND id IN "
		      "(SELECT id FROM main.folder)"),
	EXEC(REFUSED, "UPDATE main.note SET body = f.body FROM main.folder f "
		      "WHERE tenant_id = :tenant AND f.id = note.id"),
	EXEC(REFUSED, "UPDATE main.note AS n SET body = f.body FROM main.folder AS f "
		      "WHERE n.tenant_id = :tenant AND f.id = n.id"),
	EXEC(EITHER, "UPDATE main.note AS n SET body = f.body FROM folder AS f "
		     "WHERE n.tenant_id = :tenant AND f.id = n.id"),
	EXEC(EITHER, "UPDATE main.note AS n SET body = m.body FROM note AS m "
		     "WHERE n.tenant_id = :tenant AND m.id = n.id"),
	EXEC(REFUSED, "DELETE FROM main.note WHERE tenant_id = :tenant AND id IN "
		      "(SELECT id FROM main.folder)"),
	EXEC_ON(REFUSED, POSTGRES,
		"DELETE FROM main.note AS n USING main.folder f "
		"WHERE n.tenant_id = :tenant AND f.id = n.id"),
	EXEC_ON(EITHER, POSTGRES,
		"DELETE FROM main.note AS n USING folder f "
		"WHERE n.tenant_id = :tenant AND f.id = n.id"),
	EXEC(REFUSED, INSERT("SELECT :tenant, id + 300, body, amount FROM main.folder")),
	EXEC(REFUSED, INSERT("SELECT :tenant, id + 300, body, amount FROM main.note")),
	EXEC(REFUSED, INSERT("VALUES (:tenant, 301, (SELECT max(body) FROM main.note), 1)")),
	ROWS(REFUSED, "UPDATE main.note SET amount = 1 WHERE tenant_id = :tenant "
		      "RETURNING (SELECT max(body) FROM main.folder) AS a, id AS n"),
	ROWS(EITHER, "UPDATE main.note SET amount = 1 WHERE tenant_id = :tenant "
		     "RETURNING (SELECT max(f.body) FROM folder f) AS a, id AS n"),
	ROWS(EITHER, "UPDATE main.note SET amount = 1 WHERE tenant_id = :tenant "
		     "RETURNING (SELECT max(m.body) FROM note m) AS a, id AS n"),
	ROWS(EITHER, "DELETE FROM main.note WHERE tenant_id = :tenant "
		     "RETURNING (SELECT max(m.body) FROM note m) AS a, id AS n"),
	ROWS(EITHER, INSERT("VALUES (:tenant, 302, 'x', 1)") " RETURNING (SELECT max(m.body) FROM "
							     "note m) AS a, id AS n"),
	ROWS(EITHER, INSERT("VALUES (:tenant, 302, 'x', 1)") " RETURNING (SELECT max(body) FROM "
							     "folder) AS a, id AS n"),
	EXEC_ON(REFUSED, POSTGRES,
		"WITH x AS (DELETE FROM main.note RETURNING *) INSERT INTO "
		"main.folder SELECT * FROM x"),
	ROWS_ON(REFUSED, POSTGRES,
		"WITH x AS (UPDATE main.note SET body = 'x' WHERE tenant_id = :tenant "
		"RETURNING body, id) SELECT body AS a, id AS n FROM x"),

	/* upserts and replacing */
	EXEC(EITHER, INSERT("VALUES (:tenant, 1, 'x', 1)") " ON CONFLICT (tenant_id, id) DO UPDATE "
							   "SET tenant_id = :other"),
	EXEC(EITHER,
		INSERT("VALUES (:tenant, 1, 'x', 1)") " ON CONFLICT (tenant_id, id) DO UPDATE SET "
						      "body = (SELECT max(f.body) FROM folder f)"),
	EXEC(REFUSED,
		INSERT("VALUES (:tenant, 1, 'x', 1)") " ON CONFLICT (tenant_id, id) DO UPDATE SET "
						      "body = (SELECT max(body) FROM "
						      "main.folder)"),
	EXEC(REFUSED,
		INSERT("VALUES (:tenant, 1, 'x', 1)") " ON CONFLICT (tenant_id, id) DO UPDATE SET "
						      "body = excluded.body WHERE EXISTS "
						      "(SELECT 1 FROM main.folder)"),
	EXEC_ON(EITHER, SQLITE,
		"INSERT OR REPLACE INTO main.note (tenant_id, id, body, amount) VALUES "
		"(:tenant, 1, 'x', 1)"),
	EXEC_ON(EITHER, SQLITE,
		"INSERT OR REPLACE INTO main.note (tenant_id, id, body, amount) VALUES "
		"(:other, 1, 'x', 1)"),
	EXEC_ON(EITHER, SQLITE, "UPDATE OR REPLACE main.note SET id = 1 WHERE tenant_id = :tenant"),
	EXEC_ON(EITHER, SQLITE, "UPDATE OR REPLACE main.note SET tenant_id = :tenant, id = 1"),
	EXEC_ON(EITHER, SQLITE,
		"UPDATE OR IGNORE main.note SET tenant_id = :other "
		"WHERE tenant_id = :tenant"),
	EXEC_ON(EITHER, SQLITE,
		"UPDATE OR ROLLBACK main.note SET id = 1 WHERE tenant_id = :tenant"),
};

/* --- schemas that are at fault -------------------------------------------- */

#define BADGE(tail) "INSERT INTO main.badge (tenant_id, id, body, amount) " tail

/* What is unique over all tenants shows that another one has it; it must not get at it. */
static const struct attack_case badges[] = {
	{ EITHER, BADGE("VALUES (:tenant, 90, 'taken', 1)"), false, BOTH, true },
	{ EITHER, BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT DO NOTHING"), false, BOTH,
		true },
	{ EITHER, BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT (body) DO NOTHING"), false,
		BOTH, true },
	{ EITHER,
		BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT (body) DO UPDATE SET amount = "
		      "0"),
		false, BOTH, true },
	{ EITHER,
		BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT (body) DO UPDATE SET tenant_id "
		      "= "
		      ":tenant"),
		false, BOTH, true },
	{ EITHER,
		BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT (body) DO UPDATE SET amount = "
		      "0 "
		      "WHERE badge.tenant_id = :tenant"),
		false, BOTH, true },
	{ EITHER,
		BADGE("VALUES (:tenant, 90, 'taken', 1) ON CONFLICT (body) DO UPDATE SET amount = "
		      "0 "
		      "RETURNING body AS a, amount AS n"),
		true, BOTH, true },
	{ EITHER, "UPDATE main.badge SET body = 'taken' WHERE tenant_id = :tenant AND id = 1",
		false, BOTH, true },
	{ EITHER,
		"INSERT OR REPLACE INTO main.badge (tenant_id, id, body, amount) VALUES (:tenant, "
		"90, "
		"'taken', 1)",
		false, SQLITE, true },
	{ EITHER,
		"INSERT OR IGNORE INTO main.badge (tenant_id, id, body, amount) VALUES (:tenant, "
		"90, "
		"'taken', 1)",
		false, SQLITE, true },
	{ EITHER,
		"REPLACE INTO main.badge (tenant_id, id, body, amount) VALUES (:tenant, 90, "
		"'taken', 1)",
		false, SQLITE, true },
	{ EITHER,
		"UPDATE OR REPLACE main.badge SET body = 'taken' WHERE tenant_id = :tenant AND id "
		"= 1",
		false, SQLITE, true },
	{ EITHER,
		"INSERT OR FAIL INTO main.badge (tenant_id, id, body, amount) VALUES (:tenant, 90, "
		"'x', 1), (:tenant, 91, 'taken', 1)",
		false, SQLITE, true },
};

static const struct attack_case parts[] = {
	EXEC(EITHER, "DELETE FROM main.badge WHERE tenant_id = :tenant"),
	EXEC(EITHER, "DELETE FROM main.badge WHERE tenant_id = :tenant AND id = 1"),
	EXEC(EITHER, "UPDATE main.badge SET body = 'y' WHERE tenant_id = :tenant AND id = 1"),
	EXEC(EITHER,
		"INSERT INTO main.badge (tenant_id, id, body, amount) VALUES (:tenant, 1, 'y', 1) "
		"ON CONFLICT (tenant_id, id) DO UPDATE SET body = excluded.body"),
	EXEC(EITHER, "INSERT INTO main.part (tenant_id, id, body, amount) VALUES (:tenant, 9, "
		     "'taken', 1)"),
};

static const struct attack_case triggers[] = {
	EXEC(EITHER,
		"INSERT INTO main.spied (tenant_id, id, body, amount) VALUES (:tenant, 1, 'x', 1)"),
	EXEC(EITHER,
		"INSERT INTO main.spied (tenant_id, id, body, amount) VALUES (:tenant, 2, 'x', 1) "
		"ON CONFLICT (tenant_id, id) DO NOTHING"),
	EXEC(EITHER, "INSERT INTO main.copied (tenant_id, id, body, amount) VALUES (:tenant, 1, "
		     "'x', 1)"),
	ROWS(EITHER,
		"INSERT INTO main.copied (tenant_id, id, body, amount) VALUES (:tenant, 1, 'x', 1) "
		"RETURNING body AS a, id AS n"),
	ROWS(EITHER, "SELECT c.body AS a, c.id AS n FROM copied c"),
};

/* --- running them --------------------------------------------------------- */

/* What the sentence of a refusal may say. */
#define WHYS(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct {
	const struct attack_case *at;
	size_t count;
	const char *const *whys; /* one of them is in each refusal of what must be refused */
} groups[] = {
	{ legal, LEN(legal), WHYS("?") },
	{ names, LEN(names),
		WHYS("tables are read by their plain name", "main.x stands once",
			"nothing may be named ", "may be called ", "is not made of",
			"is not allowed", "cannot begin with", "is no table of tenants",
			"it may not read ", "its WHERE must be", "is not among the columns",
			"not printable ASCII", "U&'...' and U&\"...\" are not allowed") },
	{ shadows, LEN(shadows),
		WHYS("tables are read by their plain name", "main.x stands once") },
	{ reads, LEN(reads),
		WHYS("tables are read by their plain name", "main.x stands once",
			"main is not allowed behind IN", "takes no locks") },
	{ insides, LEN(insides),
		WHYS("cannot begin with", "is not on the list of functions", "may be called ",
			"nothing may be named ", "is not allowed", "the text is empty",
			"it may not ", "tables are read by their plain name",
			"U&'...' and U&\"...\" are not allowed") },
	{ texts, LEN(texts),
		WHYS("more than one statement", "main.x stands once", "not ASCII",
			"not printable ASCII", "is not closed", "parameters are written :name",
			"is not a member of") },
	{ changes, LEN(changes),
		WHYS("main.x stands once", "tables are read by their plain name",
			"nothing may be named ", "SELECT is expected") },
	{ badges, LEN(badges), WHYS("?") },
	{ parts, LEN(parts), WHYS("?") },
	{ triggers, LEN(triggers), WHYS("?") },
};

enum { CASES_MAX = 512 };

/* The cases of the engine under test, with what came of them. */
static struct trial {
	const struct attack_case *of;
	struct attack attack;
	struct attack_result first;
} trials[CASES_MAX];
static size_t trial_count;

static bool is_for(const struct attack_case *attack, const struct store *store)
{
	return attack->on == BOTH || (attack->on == SQLITE) == store_is_sqlite(store);
}

static void complain(const struct trial *trial, const char *what)
{
	test_note(false, __FILE__, __LINE__, "%s:\n    %s\n    %s%s", what, trial->of->sql,
		trial->attack.why, trial->first.text);
}

/* Whether it says who is refused, and why. */
static bool is_clear(const struct attack *attack, const char *const *whys)
{
	if (!str_starts(str_from_c(attack->why), str_from_c(attack->name)))
		return false;
	while (*whys && !strstr(attack->why, *whys))
		whys++;
	return *whys != NULL;
}

static void register_one(
	struct store *store, const struct attack_case *attack, const char *const *whys)
{
	struct trial *trial = &trials[trial_count];

	REQUIRE(++trial_count <= CASES_MAX);
	trial->of = attack;
	attack_register(store, &trial->attack, attack->sql, attack->rows);
	if (attack->rule == LEGAL && trial->attack.refused)
		complain(trial, "must be registered");
	if (attack->rule == REFUSED && !trial->attack.refused)
		complain(trial, "must be refused");
	if (attack->rule == REFUSED && trial->attack.refused && !is_clear(&trial->attack, whys))
		complain(trial, "is refused with a sentence that does not tell why");
}

static void register_all(struct store *store)
{
	for (size_t i = 0; i < LEN(groups); i++)
		for (size_t k = 0; k < groups[i].count; k++)
			if (is_for(&groups[i].at[k], store))
				register_one(store, &groups[i].at[k], groups[i].whys);
}

static void compare(struct trial *trial, const struct attack_result *again)
{
	if (trial->first.told || again->told)
		complain(trial, "a text of the other tenant came back");
	if (!trial->of->loose &&
		(trial->first.code != again->code || trial->first.count != again->count ||
			trial->first.rows != again->rows))
		complain(trial, "the rows of the other tenant show");
	if (trial->of->rule == LEGAL && trial->first.code < 0 &&
		trial->first.code != -ERR_NOT_FOUND)
		complain(trial, "must work");
}

/* One after the other, each from the same start. */
static void run_all(struct store_test *test)
{
	struct attack_result again;
	struct str before;

	attack_set_up(test, 0);
	for (size_t i = 0; i < trial_count; i++)
		if (!trials[i].attack.refused)
			attack_run(test, &trials[i].attack, false, &trials[i].first);
	attack_set_up(test, 1);
	for (size_t i = 0; i < trial_count; i++)
		if (!trials[i].attack.refused) {
			attack_run(test, &trials[i].attack, false, &again);
			compare(&trials[i], &again);
		}

	attack_set_up(test, 0);
	before = attack_snapshot(test);
	for (size_t i = 0; i < trial_count; i++) {
		struct arena_mark mark = arena_mark(&test->arena);

		if (trials[i].attack.refused)
			continue;
		attack_run(test, &trials[i].attack, true, &again);
		if (again.told)
			complain(&trials[i], "a text of the other tenant came back");
		if (!str_eq(attack_snapshot(test), before))
			complain(&trials[i], "rows of the other tenant have changed");
		attack_set_up(test, 0);
		arena_back(&test->arena, mark);
	}
}

TEST(tenancy_attacks_sqlite)
{
	attack_test(ENGINE_SQLITE, register_all, run_all);
}

TEST(tenancy_attacks_postgres)
{
	attack_test(ENGINE_POSTGRES, register_all, run_all);
}
