/*
 * What may be written and what not, text by text, on both engines; and the sentence that says why
 * not.
 */
#include "base/err.h"
#include "base/mem.h"
#include "base/test.h"
#include "store/sql.h"

#include <stdio.h>

struct attempt {
	struct str id, title, body, other;
	int64_t version, at_us, room;
};

/* clang-format off */
static const struct schema attempt_schema = SCHEMA(attempt, "Parameters.",
	FIELD(attempt, id, "x", .format = FORMAT_UUID), FIELD(attempt, title, "x"),
	FIELD(attempt, body, "x"), FIELD(attempt, other, "x", .format = FORMAT_UUID),
	FIELD(attempt, version, "x"), FIELD(attempt, at_us, "x"), FIELD(attempt, room, "x"));

#define LITE 1
#define PG   2
#define BOTH (LITE | PG)

struct rule_case {
	unsigned engines;
	const char *sql;
	const char *error; /* part of the sentence; NULL: it is taken */
};

/* --- tenant statements --------------------------------------------------------------- */

static const struct rule_case tenant_cases[] = {
	/* reads */
	{ BOTH, "SELECT 1", NULL },
	{ BOTH, "SELECT id, title FROM note WHERE tenant_id = :tenant AND id = :id", NULL },
	{ BOTH, "select n.id from note n where n.tenant_id=:tenant;", NULL },
	{ BOTH, "SELECT id FROM note AS n WHERE n.id = :id -- by key\n ; -- end", NULL },
	{ BOTH, "SELECT n.*, t.name AS tag FROM note AS n LEFT JOIN tag AS t ON t.note_id = n.id AND "
		"t.tenant_id = n.tenant_id", NULL },
	{ BOTH, "SELECT a.id FROM note a, tag b CROSS JOIN link c INNER JOIN folder USING (id) "
		"RIGHT OUTER JOIN x ON 1 = 1", NULL },
	{ BOTH, "SELECT id FROM (SELECT id FROM note) AS n", NULL },
	{ BOTH, "SELECT n.id FROM (note AS n JOIN tag AS t ON t.id = n.id)", NULL },
	{ BOTH, "WITH recent AS (SELECT id FROM note), two (a, b) AS (SELECT 1, 2) "
		"SELECT recent.id FROM recent JOIN two ON two.a = recent.id", NULL },
	{ BOTH, "WITH RECURSIVE up (id, level) AS (SELECT id, 0 FROM folder WHERE id = :id UNION ALL "
		"SELECT f.parent_id, up.level + 1 FROM folder AS f JOIN up ON up.id = f.id) "
		"SELECT id FROM up", NULL },
	{ BOTH, "WITH a AS MATERIALIZED (SELECT 1 AS x), b AS NOT MATERIALIZED (SELECT 2 AS y) "
		"SELECT x, y FROM a, b", NULL },
	{ BOTH, "SELECT id FROM note WHERE (created_us, id) < (:at_us, :id) "
		"ORDER BY created_us DESC NULLS LAST, id ASC LIMIT :room OFFSET 5", NULL },
	{ BOTH, "SELECT count(*) AS count, max(version), coalesce(sum(version), 0) FROM note "
		"GROUP BY folder_id, lower(title) HAVING count(*) > 1", NULL },
	{ BOTH, "SELECT count(DISTINCT title), count(*) FILTER (WHERE version > 1) FROM note", NULL },
	{ BOTH, "SELECT row_number() OVER (PARTITION BY folder_id ORDER BY version DESC ROWS BETWEEN "
		"UNBOUNDED PRECEDING AND CURRENT ROW), lag(id, 1) OVER w FROM note "
		"WINDOW w AS (ORDER BY id), v AS ()", NULL },
	{ BOTH, "SELECT CASE WHEN version > 1 THEN 'new' WHEN 1 = 2 THEN 'x' ELSE 'old' END FROM note",
		NULL },
	{ BOTH, "SELECT id FROM note WHERE title LIKE 'a%' ESCAPE '!' AND version BETWEEN 1 AND 2 "
		"AND NOT (id IN (:id, :other) OR title IS NULL) AND body IS NOT DISTINCT FROM :body", NULL },
	{ BOTH, "SELECT id FROM note WHERE EXISTS (SELECT 1 FROM tag WHERE tag.note_id = note.id) "
		"AND id IN (SELECT note_id FROM tag) AND version = (SELECT max(version) FROM note)", NULL },
	{ BOTH, "SELECT id FROM note UNION ALL SELECT id FROM tag UNION VALUES (1), (2) EXCEPT "
		"SELECT id FROM a INTERSECT SELECT id FROM b ORDER BY 1 LIMIT 3", NULL },
	{ BOTH, "VALUES (1, :title), (2, 'x')", NULL },
	{ BOTH, "SELECT CAST(:version AS bigint), CAST(id AS text) FROM note", NULL },
	{ BOTH, "SELECT \"id\", \"order\" AS \"limit\", n.\"group\" FROM \"note\" AS n", NULL },
	{ BOTH, "SELECT ((((1))))", NULL },
	{ BOTH, "SELECT id FROM note WHERE tenant_id = :tenant AND created_us<:now", NULL },
	{ LITE, "SELECT id FROM note WHERE tenant_id = current_tenant() AND title = :title COLLATE "
		"nocase", NULL },
	{ LITE, "SELECT t.value, json_extract(body, '$.a'), body ->> 'b' FROM note, json_each(note.tags) "
		"AS t", NULL },
	{ LITE, "SELECT hex(id), x'00ff', group_concat(title, ', '), [title], `id` FROM note", NULL },
	{ PG, "SELECT id::text, :version::bigint, title::varchar(20), '{}'::jsonb, 1::double precision, "
		"ARRAY[1, 2]::bigint[] FROM note WHERE id = ANY(:other::uuid[])", NULL },
	{ PG, "SELECT body->'a', body->>'b', body #>> '{a,b}', body @> '{}', tags[1] FROM note", NULL },
	{ PG, "SELECT DISTINCT ON (folder_id) id FROM note ORDER BY folder_id", NULL },
	{ PG, "SELECT t.id, o.n FROM unnest(:other::uuid[]) WITH ORDINALITY AS t (id, n), LATERAL "
		"(SELECT count(*) AS n FROM note WHERE note.id = t.id) AS o", NULL },
	{ PG, "SELECT r.id FROM jsonb_to_recordset(:body) AS r (id uuid, title text)", NULL },
	{ PG, "SELECT string_agg(title, ',' ORDER BY title DESC), array_agg(id) FROM note", NULL },
	{ PG, "SELECT title COLLATE \"C\", E'a\\nb', $$x$$ FROM note", NULL },

	/* changes */
	{ BOTH, "INSERT INTO main.note (tenant_id, id, title) VALUES (:tenant, :id, :title)", NULL },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) VALUES (1, :tenant), (2, :tenant) RETURNING id, "
		"version AS v", NULL },
	{ BOTH, "INSERT INTO main.note AS n (tenant_id, id, version) VALUES (:tenant, :id, 1) "
		"ON CONFLICT (tenant_id, id) WHERE id IS NOT NULL DO UPDATE SET title = excluded.title, "
		"version = n.version + 1, (a, b) = (1, 2) WHERE n.version < 9 RETURNING n.version", NULL },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, :id) ON CONFLICT DO NOTHING",
		NULL },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, :id) ON CONFLICT (id) DO NOTHING",
		NULL },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) SELECT :tenant, id FROM tag WHERE TRUE "
		"ON CONFLICT (tenant_id, id) DO NOTHING", NULL },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) SELECT t.id, :tenant FROM tag AS t UNION "
		"SELECT u.id, :tenant AS tenant FROM link AS u", NULL },
	{ BOTH, "WITH a AS (SELECT id FROM tag) INSERT INTO main.note (tenant_id, id) "
		"SELECT :tenant, id FROM a", NULL },
	{ PG, "INSERT INTO main.note (tenant_id, id) SELECT :tenant::uuid, t.id FROM "
		"unnest(:other::uuid[]) AS t(id)", NULL },
	{ PG, "INSERT INTO main.note (tenant_id, id) SELECT CAST(:tenant AS uuid), :id::uuid", NULL },
	{ LITE, "INSERT INTO main.note (tenant_id, id) VALUES (current_tenant(), :id)", NULL },
	{ BOTH, "UPDATE main.note AS n SET title = :title, version = n.version + 1 "
		"WHERE n.tenant_id = :tenant AND n.id = :id AND n.version = :version RETURNING n.id", NULL },
	{ BOTH, "UPDATE main.note SET title = (SELECT max(name) FROM tag WHERE tag.id = note.id) "
		"WHERE id = :id AND (version = 1 OR version = 2) AND note.tenant_id = :tenant", NULL },
	{ BOTH, "UPDATE main.note AS n SET title = t.name FROM tag AS t, link "
		"WHERE version BETWEEN 1 AND 3 AND n.tenant_id = :tenant AND t.id = n.id", NULL },
	{ BOTH, "UPDATE main.note SET title = m.title FROM (SELECT note.id, title FROM note) AS m "
		"WHERE m.id = note.id AND note.tenant_id = :tenant", NULL },
	{ BOTH, "DELETE FROM main.note WHERE tenant_id = :tenant", NULL },
	{ BOTH, "DELETE FROM main.note AS n WHERE tenant_id = :tenant AND n.id IN "
		"(SELECT id FROM note ORDER BY id LIMIT 5) RETURNING id", NULL },
	{ BOTH, "WITH old AS (SELECT id FROM note) DELETE FROM main.note WHERE id IN (SELECT id FROM old) "
		"AND tenant_id = :tenant", NULL },
	{ LITE, "DELETE FROM main.note WHERE tenant_id = :tenant LIMIT :room", NULL },
	{ PG, "DELETE FROM main.note AS n USING tag AS t WHERE t.note_id = n.id AND n.tenant_id = :tenant",
		NULL },
	{ PG, "DELETE FROM main.note AS n WHERE n.tenant_id = :tenant AND n.id IN (SELECT id FROM note "
		"ORDER BY id FOR UPDATE OF note SKIP LOCKED)", NULL },
	{ PG, "UPDATE main.note SET title = '' WHERE tenant_id = :tenant AND id = (SELECT id FROM note "
		"FOR NO KEY UPDATE NOWAIT)", NULL },

	/* `main`, as whatever it is written */
	{ BOTH, "SELECT * FROM main.note", "tables are read by their plain name, not as main.x" },
	{ BOTH, "SELECT * FROM MAIN.note", "plain name" },
	{ BOTH, "SELECT * FROM Main . note", "plain name" },
	{ BOTH, "SELECT * FROM main/**/./**/note", "plain name" },
	{ BOTH, "SELECT * FROM main--\n.note", "plain name" },
	{ BOTH, "SELECT * FROM \"main\".note", "plain name" },
	{ BOTH, "SELECT * FROM \"MAIN\".\"note\"", "plain name" },
	{ BOTH, "SELECT * FROM 'main'.note", "plain name" },
	{ LITE, "SELECT * FROM `main`.note", "plain name" },
	{ LITE, "SELECT * FROM [main].note", "plain name" },
	{ LITE, "SELECT * FROM/* /* */main.note -- */", "plain name" },
	{ PG, "SELECT * FROM U&\"m\\0061in\".note", "U&" },
	{ BOTH, "SELECT * FROM note, main.note", "plain name" },
	{ BOTH, "SELECT * FROM note JOIN main.note ON 1 = 1", "plain name" },
	{ BOTH, "SELECT * FROM (main.note)", "plain name" },
	{ BOTH, "SELECT * FROM (SELECT * FROM main.note)", "plain name" },
	{ BOTH, "SELECT (SELECT max(title) FROM main.note)", "plain name" },
	{ BOTH, "SELECT 1 UNION SELECT 1 FROM main.note", "plain name" },
	{ BOTH, "SELECT 1 WHERE EXISTS (SELECT 1 FROM main.note)", "plain name" },
	{ BOTH, "SELECT 1 WHERE 1 IN (SELECT 1 FROM main.note)", "plain name" },
	{ BOTH, "SELECT id FROM note ORDER BY (SELECT max(id) FROM main.note)", "plain name" },
	{ BOTH, "SELECT id FROM note LIMIT (SELECT count(*) FROM main.note)", "plain name" },
	{ BOTH, "SELECT count(*) FILTER (WHERE 1 IN (SELECT id FROM main.note)) FROM note", "plain name" },
	{ BOTH, "SELECT sum(1) OVER (ORDER BY (SELECT max(id) FROM main.note)) FROM note", "plain name" },
	{ BOTH, "WITH a AS (SELECT * FROM main.note) SELECT * FROM a", "plain name" },
	{ BOTH, "VALUES ((SELECT max(title) FROM main.note))", "plain name" },
	{ BOTH, "SELECT main.note.title FROM note", "no table or alias may be called main" },
	{ BOTH, "SELECT 1 IN main.note", "main is not allowed behind IN" },
	{ BOTH, "SELECT 1 IN note", "note is not allowed behind IN" },
	{ LITE, "SELECT 1 IN json_each('[1]')", "json_each is not allowed behind IN" },
	{ BOTH, "SELECT * FROM note AS main", "no table or alias may be called main" },
	{ BOTH, "SELECT * FROM note main", "no table or alias may be called main" },
	{ BOTH, "SELECT * FROM note AS \"main\"", "no table or alias may be called main" },
	{ BOTH, "WITH main AS (SELECT 1) SELECT * FROM main", "no table or alias may be called main" },
	{ BOTH, "WITH \"main\" AS (SELECT 1) SELECT 1", "no table or alias may be called main" },
	{ BOTH, "SELECT * FROM main", "no table or alias may be called main" },
	{ BOTH, "UPDATE main.note AS main SET title = '' WHERE tenant_id = :tenant", "called main" },
	{ BOTH, "UPDATE main.note SET title = main.note.title WHERE tenant_id = :tenant",
		"main.x stands once" },
	{ BOTH, "UPDATE main.note SET title = (SELECT max(title) FROM main.note) WHERE tenant_id = :tenant",
		"main.x stands once" },
	{ BOTH, "UPDATE main.note SET title = (SELECT max(title) FROM 'main'.note) "
		"WHERE tenant_id = :tenant", "main.x stands once" },
	{ BOTH, "UPDATE main.note SET title = '' FROM main.tag WHERE tenant_id = :tenant",
		"main.x stands once" },
	{ BOTH, "DELETE FROM main.note WHERE tenant_id = :tenant AND id IN (SELECT id FROM \"main\".tag)",
		"main.x stands once" },
	{ BOTH, "INSERT INTO main.note (tenant_id, title) SELECT :tenant, title FROM main.note",
		"main.x stands once" },
	{ BOTH, "INSERT INTO main.note (tenant_id) VALUES (:tenant) RETURNING main.note.id",
		"main.x stands once" },
	{ BOTH, "INSERT INTO note (tenant_id) SELECT :tenant FROM main.note",
		"must be named main.x, not note" },
	{ BOTH, "UPDATE note SET title = '' FROM main.note WHERE tenant_id = :tenant",
		"must be named main.x" },
	{ BOTH, "DELETE FROM note WHERE tenant_id = :tenant", "must be named main.x, not note" },
	{ BOTH, "INSERT INTO 'main'.note (tenant_id) VALUES (:tenant)", "'main' is no schema of ours" },
	{ PG, "DELETE FROM main.note USING main.tag WHERE tenant_id = :tenant", "main.x stands once" },

	/* other schemas, and what engines keep for themselves */
	{ BOTH, "SELECT * FROM temp.note", "nothing may be named temp.x" },
	{ BOTH, "SELECT * FROM 'temp' . note", "nothing may be named 'temp'.x" },
	{ BOTH, "SELECT * FROM other.note", "plain name, not as other.x" },
	{ BOTH, "SELECT * FROM pg_catalog.pg_class", "nothing may be named pg_catalog.x" },
	{ BOTH, "SELECT * FROM PG_temp_3.note", "nothing may be named PG_temp_3.x" },
	{ BOTH, "SELECT * FROM information_schema.tables", "nothing may be named information_schema.x" },
	{ BOTH, "SELECT * FROM public.note", "nothing may be named public.x" },
	{ BOTH, "SELECT * FROM db.main.note", "plain name, not as db.x" },
	{ BOTH, "SELECT * FROM sqlite_schema", "no table or alias may be called sqlite_schema" },
	{ BOTH, "SELECT * FROM sqlite_master", "no table or alias may be called" },
	{ BOTH, "SELECT * FROM \"sqlite_master\"", "no table or alias may be called" },
	{ BOTH, "SELECT * FROM 'sqlite_master'", "a name is expected, not 'sqlite_master'" },
	{ BOTH, "SELECT * FROM SQLITE_MASTER", "small letters" },
	{ BOTH, "SELECT * FROM pg_class", "no table or alias may be called pg_class" },
	{ BOTH, "SELECT * FROM pragma_table_info('note')", "pragma_table_info is not on the list" },
	{ BOTH, "SELECT * FROM pragma_table_list", "no table or alias may be called" },
	{ BOTH, "UPDATE temp.note SET title = '' WHERE tenant_id = :tenant", "nothing may be named temp.x" },
	{ BOTH, "INSERT INTO other.note (tenant_id) VALUES (:tenant)", "must be named main.x, not other" },
	{ BOTH, "DELETE FROM main.sqlite_schema WHERE tenant_id = :tenant", "called sqlite_schema" },
	{ BOTH, "SELECT x.title FROM note", "x is neither a table nor an alias" },
	{ BOTH, "SELECT n.title FROM note WHERE 1 IN (SELECT m.id FROM tag AS n)", "m is neither" },
	{ BOTH, "SELECT a.b.c FROM a", ". is not allowed behind b" },
	{ BOTH, "SELECT excluded.id FROM note", "excluded is neither" },

	/* names that can be read in two ways */
	{ BOTH, "SELECT * FROM Note", "not in small letters" },
	{ BOTH, "SELECT * FROM \"Note\"", "not made of at most 63 small letters" },
	{ BOTH, "SELECT * FROM \"no\"\"te\"", "not made of at most 63 small letters" },
	{ BOTH, "SELECT \"\" FROM note", "not made of at most 63 small letters" },
	{ BOTH, "SELECT * FROM note2345678901234567890123456789012345678901234567890123456789012345",
		"at most 63" },
	{ BOTH, "SELECT * FROM note AS select", "a name is expected, not select" },
	{ BOTH, "SELECT n.from FROM note AS n", "a name is expected, not from" },
	{ BOTH, "SELECT * FROM note AS 'n'", "a name is expected, not 'n'" },
	{ BOTH, "SELECT * FROM left JOIN note ON 1 = 1", "a name is expected, not left" },

	/* what does not begin well, or does not end */
	{ BOTH, "", "the text is empty" },
	{ BOTH, " -- nothing\n", "the text is empty" },
	{ BOTH, ";", "cannot begin with ;" },
	{ BOTH, "SELECT 1; SELECT 2", "more than one statement" },
	{ BOTH, "SELECT 1;;", "more than one statement" },
	{ BOTH, "SELECT 1; DELETE FROM main.note", "more than one statement" },
	{ BOTH, "SELECT (1; SELECT 2)", ") is expected, not ;" },
	{ BOTH, "(SELECT 1)", "cannot begin with (" },
	{ BOTH, "\xef\xbb\xbfSELECT 1", "a byte that is not ASCII at position 0" },
	{ BOTH, "SELECT '\xc3\xa4'", "a byte that is not ASCII at position 8" },
	{ BOTH, "SELECT 1 -- \xc3\xa4", "a byte that is not ASCII" },
	{ BOTH, "PRAGMA table_info(note)", "cannot begin with PRAGMA" },
	{ BOTH, "ATTACH 'x' AS y", "cannot begin with ATTACH" },
	{ BOTH, "EXPLAIN SELECT 1", "cannot begin with EXPLAIN" },
	{ BOTH, "CREATE TABLE x (y int)", "cannot begin with CREATE" },
	{ BOTH, "DROP TABLE main.note", "cannot begin with DROP" },
	{ BOTH, "ALTER TABLE main.note ADD x int", "cannot begin with ALTER" },
	{ BOTH, "VACUUM INTO 'x'", "cannot begin with VACUUM" },
	{ BOTH, "BEGIN", "cannot begin with BEGIN" },
	{ BOTH, "COMMIT", "cannot begin with COMMIT" },
	{ BOTH, "SAVEPOINT x", "cannot begin with SAVEPOINT" },
	{ BOTH, "SET app.tenant = 'x'", "cannot begin with SET" },
	{ BOTH, "RESET ALL", "cannot begin with RESET" },
	{ BOTH, "DO $x$ BEGIN END $x$", "st: " },
	{ BOTH, "COPY main.note TO PROGRAM 'x'", "cannot begin with COPY" },
	{ BOTH, "LISTEN x", "cannot begin with LISTEN" },
	{ BOTH, "LOCK main.note", "cannot begin with LOCK" },
	{ BOTH, "CALL x()", "cannot begin with CALL" },
	{ BOTH, "TRUNCATE main.note", "cannot begin with TRUNCATE" },
	{ BOTH, "TABLE note", "cannot begin with TABLE" },
	{ BOTH, "EXECUTE x", "cannot begin with EXECUTE" },
	{ BOTH, "MERGE INTO main.note USING tag ON 1 = 1 WHEN MATCHED THEN DELETE", "begin with MERGE" },
	{ BOTH, "WITH a AS (SELECT 1) PRAGMA x", "PRAGMA is not allowed behind )" },
	{ BOTH, "SELECT", "the end is not allowed behind SELECT" },
	{ BOTH, "SELECT FROM note", "FROM is not allowed behind SELECT" },
	{ BOTH, "SELECT 1,", "the end is not allowed behind ," },
	{ BOTH, "SELECT 1)", ") is not allowed behind 1" },
	{ BOTH, "SELECT (1", ") is expected, not the end" },
	{ BOTH, "SELECT ()", ") is not allowed behind (" },
	{ BOTH, "SELECT 1 FROM", "a name is expected, not the end" },
	{ BOTH, "SELECT 1 FROM note WHERE", "the end is not allowed behind WHERE" },
	{ BOTH, "SELECT 1 {x}", "{ is not allowed" },
	{ BOTH, "SELECT 'x", "a quote (') is not closed" },
	{ BOTH, "SELECT /* 1", "a comment is not closed" },

	/* parameters */
	{ BOTH, "SELECT ?", "parameters are written :name" },
	{ BOTH, "SELECT $1", "parameters are written :name" },
	{ BOTH, "SELECT @x", "parameters are written :name" },
	{ BOTH, "SELECT :nothing", ":nothing is not a member of attempt" },
	{ BOTH, "SELECT :Title", ":Title is not a member of attempt" },
	{ LITE, "SELECT 1::text", ":: is PostgreSQL's; write CAST" },

	/* writing where only reading is expected */
	{ BOTH, "WITH a AS (DELETE FROM main.note RETURNING id) SELECT * FROM a",
		"SELECT is expected, not DELETE" },
	{ BOTH, "WITH a AS (INSERT INTO main.note (id) VALUES (1)) SELECT 1",
		"SELECT is expected, not INSERT" },
	{ BOTH, "WITH a AS (UPDATE main.note SET id = 1) SELECT 1", "SELECT is expected, not UPDATE" },
	{ BOTH, "SELECT (DELETE FROM main.note)", "DELETE is not allowed behind (" },
	{ BOTH, "SELECT 1 INTO x FROM note", "INTO is not allowed behind 1" },
	{ BOTH, "SELECT id INTO TEMP x FROM note", "INTO is not allowed behind id" },
	{ PG, "SELECT id FROM note FOR UPDATE", "only reads takes no locks" },
	{ PG, "SELECT id FROM (SELECT id FROM note FOR SHARE) AS n", "only reads takes no locks" },
	{ LITE, "SELECT id FROM note FOR UPDATE", "FOR is not allowed behind note" },
	{ BOTH, "SELECT id FROM note FETCH FIRST 1 ROW ONLY", "FETCH is not allowed behind note" },

	/* REPLACE */
	{ BOTH, "REPLACE INTO main.note (tenant_id) VALUES (:tenant)", "write INSERT ... ON CONFLICT" },
	{ BOTH, "INSERT OR REPLACE INTO main.note (tenant_id) VALUES (:tenant)", "write INSERT ... ON" },
	{ BOTH, "INSERT OR IGNORE INTO main.note (tenant_id) VALUES (:tenant)", "write INSERT ... ON" },
	{ BOTH, "INSERT OR ROLLBACK INTO main.note (tenant_id) VALUES (:tenant)", "write INSERT ... ON" },
	{ BOTH, "UPDATE OR REPLACE main.note SET title = '' WHERE tenant_id = :tenant",
		"UPDATE OR ... is not allowed" },

	/* rows of whom */
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:other, :id)",
		"the value of tenant_id must be :tenant, not :other" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1), (:other, 2)", "not :other" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES ('x', 1)", "not 'x'" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES ((SELECT :tenant), 1)", "not (" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (coalesce(:other, :tenant), 1)",
		"not coalesce" },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) VALUES (:tenant, :id)", "not :id" },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) VALUES (:tenant)", "no value for tenant_id" },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) SELECT n.*, :tenant FROM note AS n",
		"a * stands in front" },
	{ BOTH, "INSERT INTO main.note (id, tenant_id) SELECT *, :tenant FROM note",
		"a * stands in front" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) SELECT * FROM note", "not *" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) SELECT tenant_id, id FROM note", "not tenant_id" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) SELECT :tenant, 1 UNION SELECT :other, 2",
		"not :other" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) WITH a AS (SELECT 1 AS id) "
		"SELECT id, :tenant FROM a", "not id" },
	{ LITE, "INSERT INTO main.note (tenant_id) VALUES (:tenant || '')", "not :tenant" },
	{ LITE, "INSERT INTO main.note (tenant_id) VALUES (current_tenant() + 1)", "not current_tenant" },
	{ PG, "INSERT INTO main.note (tenant_id) VALUES (current_tenant())",
		"current_tenant is not on the list" },
	{ PG, "INSERT INTO main.note (tenant_id) VALUES (:tenant::text)", "not :tenant" },
	{ BOTH, "INSERT INTO main.note (id) VALUES (1)", "tenant_id is not among the columns" },
	{ BOTH, "INSERT INTO main.note (tenant_id, tenant_id) VALUES (:tenant, :other)", "stands twice" },
	{ BOTH, "INSERT INTO main.note (tenant_id, \"tenant_id\") VALUES (:tenant, :other)",
		"stands twice" },
	{ BOTH, "INSERT INTO main.note VALUES (:tenant)", "INSERT names its columns" },
	{ BOTH, "INSERT INTO main.note DEFAULT VALUES", "INSERT names its columns" },
	{ BOTH, "INSERT INTO main.note SELECT :tenant", "INSERT names its columns" },
	{ PG, "INSERT INTO main.note (tenant_id) OVERRIDING SYSTEM VALUE VALUES (:tenant)",
		"SELECT is expected, not OVERRIDING" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT (id) DO UPDATE "
		"SET title = 'x'", "must name tenant_id" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT DO UPDATE "
		"SET title = 'x'", "must name tenant_id" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT (tenant_id) "
		"DO NOTHING ON CONFLICT (id) DO UPDATE SET title = 'x'", "must name tenant_id" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT (tenant_id, id) "
		"DO UPDATE SET tenant_id = :other", "does not change its tenant_id" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT ON CONSTRAINT x "
		"DO NOTHING", "DO is expected, not ON" },
	{ BOTH, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ON CONFLICT (lower(id)) "
		"DO NOTHING", ") is expected, not (" },
	{ BOTH, "INSERT INTO main.note (tenant_id) SELECT :tenant FROM tag ON CONFLICT DO REPLACE",
		"UPDATE is expected, not REPLACE" },

	{ BOTH, "UPDATE main.note SET title = ''", "note.tenant_id = :tenant AND ..." },
	{ BOTH, "UPDATE main.note AS n SET title = '' WHERE id = :id", "n.tenant_id = :tenant AND ..." },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id = :tenant OR 1 = 1", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE 1 = 1 or tenant_id = :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE id = 1 OR id = 2 AND tenant_id = :tenant",
		"WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE NOT tenant_id = :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id <> :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id = :tenant IS NOT NULL", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id = tenant_id", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id = :other", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE (tenant_id = :tenant OR 1 = 1)", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE 'tenant_id' = :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE id BETWEEN 1 AND tenant_id = :tenant",
		"WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE id BETWEEN 1 AND 2 AND id BETWEEN 2 AND "
		"tenant_id = :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE CASE WHEN 1 = 1 THEN 1 = 1 AND "
		"tenant_id = :tenant AND 1 = 1 ELSE 1 = 1 END", "WHERE must be" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE id IN (SELECT id FROM note WHERE "
		"tenant_id = :tenant)", "WHERE must be" },
	{ BOTH, "UPDATE main.note AS n SET title = '' WHERE note.tenant_id = :tenant", "WHERE must be" },
	{ BOTH, "UPDATE main.note AS n SET title = '' FROM tag AS t WHERE t.tenant_id = :tenant",
		"WHERE must be" },
	{ BOTH, "UPDATE main.note AS n SET title = '' FROM tag AS n WHERE n.tenant_id = :tenant",
		"n is the table that is written" },
	{ BOTH, "UPDATE main.note SET title = '' FROM (tag AS t JOIN note ON 1 = 1) "
		"WHERE note.tenant_id = :tenant", "note is the table that is written" },
	{ BOTH, "UPDATE main.note SET title = '' FROM (SELECT 1 AS x) AS note WHERE note.tenant_id = "
		":tenant", "note is the table that is written" },
	{ PG, "UPDATE main.note AS unnest SET title = '' FROM UNNEST(:other::uuid[]) "
		"WHERE unnest.tenant_id = :tenant", "UNNEST is the table that is written" },
	{ BOTH, "UPDATE main.note SET tenant_id = :other WHERE tenant_id = :tenant", "does not change" },
	{ BOTH, "UPDATE main.note SET title = '', \"tenant_id\" = :other WHERE tenant_id = :tenant",
		"does not change" },
	{ BOTH, "UPDATE main.note SET (title, TENANT_ID) = ('', :other) WHERE tenant_id = :tenant",
		"does not change" },
	{ BOTH, "DELETE FROM main.note", "WHERE must be" },
	{ BOTH, "DELETE FROM main.note WHERE 1 = 1", "WHERE must be" },
	{ BOTH, "DELETE FROM main.note RETURNING id", "WHERE must be" },
	{ BOTH, "DELETE FROM main.note WHERE tenant_id = :tenant OR tenant_id = :other", "WHERE must be" },
	{ LITE, "DELETE FROM main.note WHERE tenant_id = :tenant ORDER BY id LIMIT 1", "ORDER is not" },
	{ PG, "DELETE FROM main.note WHERE tenant_id = :tenant LIMIT 1", "LIMIT is not allowed" },
	{ LITE, "DELETE FROM main.note USING tag WHERE tenant_id = :tenant", "USING is not allowed" },
	{ PG, "DELETE FROM main.note USING note WHERE note.tenant_id = :tenant",
		"note is the table that is written" },
	{ PG, "DELETE FROM ONLY main.note WHERE tenant_id = :tenant", "must be named main.x, not ONLY" },
	{ PG, "UPDATE ONLY main.note SET title = '' WHERE tenant_id = :tenant", "not ONLY" },
	{ PG, "DELETE FROM main.note * WHERE tenant_id = :tenant", "* is not allowed behind note" },
	{ BOTH, "UPDATE main.note SET title = '' WHERE tenant_id = :tenant RETURNING (SELECT max(title) "
		"FROM note)", "no query in RETURNING" },
	{ BOTH, "INSERT INTO main.note (tenant_id) VALUES (:tenant) RETURNING EXISTS (SELECT 1 FROM note)",
		"no query in RETURNING" },

	/* functions and what is like them */
	{ BOTH, "SELECT now()", "now is not on the list of functions" },
	{ BOTH, "SELECT random()", "random is not on the list" },
	{ BOTH, "SELECT CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP is not allowed" },
	{ BOTH, "SELECT current_date", "current_date is not allowed" },
	{ BOTH, "SELECT current_user", "current_user is not allowed" },
	{ BOTH, "SELECT session_user", "session_user is not allowed" },
	{ BOTH, "SELECT user", "user is not allowed" },
	{ BOTH, "SELECT localtime", "localtime is not allowed" },
	{ BOTH, "SELECT set_config('app.tenant', :other, true)", "set_config is not on the list" },
	{ BOTH, "SELECT current_setting('app.tenant')", "current_setting is not on the list" },
	{ BOTH, "SELECT pg_sleep(1)", "pg_sleep is not on the list" },
	{ BOTH, "SELECT pg_notify('a', 'b')", "pg_notify is not on the list" },
	{ BOTH, "SELECT pg_current_xact_id()", "pg_current_xact_id is not on the list" },
	{ BOTH, "SELECT pg_read_file('x')", "pg_read_file is not on the list" },
	{ BOTH, "SELECT lo_import('x')", "lo_import is not on the list" },
	{ BOTH, "SELECT dblink('x')", "dblink is not on the list" },
	{ BOTH, "SELECT query_to_xml('select 1', true, true, '')", "query_to_xml is not on the list" },
	{ BOTH, "SELECT load_extension('x')", "load_extension is not on the list" },
	{ BOTH, "SELECT last_insert_rowid()", "last_insert_rowid is not on the list" },
	{ BOTH, "SELECT changes()", "changes is not on the list" },
	{ BOTH, "SELECT date('now')", "date is not on the list" },
	{ BOTH, "SELECT strftime('%s', 'now')", "strftime is not on the list" },
	{ BOTH, "SELECT zeroblob(1000000000)", "zeroblob is not on the list" },
	{ BOTH, "SELECT repeat('x', 1000000000)", "repeat is not on the list" },
	{ BOTH, "SELECT nextval('x')", "nextval is not on the list" },
	{ BOTH, "SELECT my_function(1)", "my_function is not on the list" },
	{ BOTH, "SELECT \"count\"(*) FROM note", "\"count\" is not on the list" },
	{ BOTH, "SELECT n.count(*) FROM note AS n", "( is not allowed behind count" },
	{ BOTH, "SELECT pg_catalog.now()", "nothing may be named pg_catalog.x" },
	{ BOTH, "SELECT main.f(1)", "called main" },
	{ BOTH, "SELECT count ( now ( ) ) FROM note", "now is not on the list" },
	{ BOTH, "SELECT 1 FROM note WHERE title MATCH 'x'", "MATCH is not allowed" },
	{ BOTH, "SELECT RAISE(ABORT, 'x')", "RAISE is not allowed" },
	{ BOTH, "SELECT 1 OPERATOR(pg_catalog.+) 2", "nothing may be named pg_catalog.x" },
	{ BOTH, "SELECT 1 OPERATOR(+) 2", "OPERATOR is not allowed" },
	{ BOTH, "SELECT (TABLE note)", "TABLE is not allowed" },
	{ BOTH, "SELECT (note).title FROM note", ". is not allowed behind )" },
	{ BOTH, "SELECT extract(epoch FROM created) FROM note", "extract is not on the list" },
	{ BOTH, "SELECT trim(BOTH 'x' FROM title) FROM note", "'x' is not allowed behind BOTH" },
	{ BOTH, "SELECT NULL(1)", "( is not allowed behind NULL" },
	{ PG, "SELECT 'note'::regclass", "regclass is not on the list of types" },
	{ PG, "SELECT 'now'::timestamptz", "timestamptz is not on the list of types" },
	{ PG, "SELECT 'x'::pg_catalog.text", "nothing may be named pg_catalog.x" },
	{ PG, "SELECT 'x'::double", "the type is called double precision" },
	{ PG, "SELECT 'x'::varchar(a)", "a is not allowed behind (" },
	{ BOTH, "SELECT CAST('note' AS regclass)", "regclass is not on the list of types" },
	{ LITE, "SELECT CAST(:id AS uuid)", "uuid is not on the list of types" },
	{ BOTH, "SELECT regclass 'note'", "'note' is not allowed behind regclass" },
	{ BOTH, "SELECT timestamp 'now'", "'now' is not allowed behind timestamp" },
	{ BOTH, "SELECT \"date\" 'today'", "'today' is not allowed behind \"date\"" },
	{ BOTH, "SELECT 'a' 'b'", "'b' is not allowed behind 'a'" },
	{ BOTH, "SELECT a COLLATE 'x' FROM note", "'x' is not on the list of collations" },
	{ PG, "SELECT a COLLATE \"de-x-icu\" FROM note", "is not on the list of collations" },
	{ BOTH, "SELECT * FROM generate_series_x(1, 2)", "generate_series_x is not on the list" },
	{ LITE, "SELECT * FROM generate_series(1, 2)", "is not on the list of functions that statements "
		"may call as a table" },
	{ LITE, "SELECT * FROM note(1)", "note is not on the list" },
	{ LITE, "SELECT json_each('[]')", "json_each is not on the list" },
	{ PG, "SELECT * FROM count(*)", "count is not on the list of functions that statements may call "
		"as a table" },
	{ PG, "SELECT * FROM ROWS FROM (unnest(:other))", "small letters" },
	{ PG, "SELECT * FROM rows FROM (unnest(:other))", "FROM is not allowed behind rows" },
	{ PG, "SELECT * FROM note TABLESAMPLE system (1)", "TABLESAMPLE is not allowed" },
	{ LITE, "SELECT * FROM note INDEXED BY x", "INDEXED is not allowed behind note" },
	{ LITE, "SELECT * FROM note NOT INDEXED", "NOT is not allowed behind note" },
	{ BOTH, "SELECT * FROM note NATURAL JOIN tag", "NATURAL is not allowed behind note" },
	{ BOTH, "SELECT * FROM note LEFT tag", "tag is not allowed behind LEFT" },
	{ LITE, "SELECT * FROM LATERAL (SELECT 1)", "LATERAL is not on the list" },
};

/* --- system statements ------------------------------------------------------------------ */

static const struct rule_case system_cases[] = {
	{ BOTH, "SELECT id FROM main.note", NULL },
	{ BOTH, "SELECT n.id FROM main.note AS n, main.tag t JOIN main.link ON link.id = n.id "
		"WHERE n.tenant_id = :tenant", NULL },
	{ BOTH, "WITH a AS (SELECT id FROM main.note) SELECT a.id FROM a", NULL },
	{ BOTH, "DELETE FROM main.note", NULL },
	{ BOTH, "DELETE FROM main.note WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM main.note "
		"WHERE created_us < :at_us ORDER BY created_us LIMIT :room) RETURNING id", NULL },
	{ BOTH, "UPDATE main.note SET tenant_id = :other WHERE id = :id OR CASE WHEN 1 = 1 THEN 1 = 1 END "
		"RETURNING (SELECT max(id) FROM main.note)", NULL },
	{ BOTH, "INSERT INTO main.setting (name, value) VALUES (:id, :title) ON CONFLICT (name) DO UPDATE "
		"SET value = excluded.value", NULL },
	{ PG, "UPDATE main.job AS j SET state = 1 FROM (SELECT id FROM main.job WHERE state = 0 ORDER BY "
		"id LIMIT :room FOR UPDATE SKIP LOCKED) AS k WHERE j.id = k.id RETURNING j.id", NULL },
	{ PG, "WITH k AS (SELECT id FROM main.job FOR UPDATE) DELETE FROM main.job USING k "
		"WHERE job.id = k.id", NULL },
	{ PG, "SELECT pg_notify('notice', :id), pg_snapshot_xmin(pg_current_snapshot())::text::bigint, "
		"pg_current_xact_id()::xid8 FROM main.outbox", NULL },

	{ BOTH, "SELECT id FROM note", "a system statement names its tables main.note" },
	{ BOTH, "SELECT id FROM main.note JOIN tag ON 1 = 1", "names its tables main.tag" },
	{ BOTH, "SELECT id FROM main.note, tag", "names its tables main.tag" },
	{ BOTH, "SELECT 1 IN (SELECT id FROM tag)", "names its tables main.tag" },
	{ BOTH, "WITH a AS (SELECT 1 AS x) SELECT (SELECT max(x) FROM a), (SELECT max(x) FROM b)",
		"names its tables main.b" },
	{ BOTH, "WITH a AS (SELECT x FROM b), b AS (SELECT 1 AS x) SELECT x FROM a",
		"names its tables main.b" },
	{ BOTH, "WITH a AS (SELECT x FROM a) SELECT x FROM a", "names its tables main.a" },
	{ BOTH, "SELECT (WITH a AS (SELECT 1) SELECT 1 FROM a) FROM a", "names its tables main.a" },
	{ BOTH, "DELETE FROM note", "must be named main.x" },
	{ BOTH, "DELETE FROM temp.note", "nothing may be named temp.x" },
	{ BOTH, "SELECT id FROM other.note", "other is no schema of ours" },
	{ BOTH, "SELECT id FROM 'main'.note", "'main' is no schema of ours" },
	{ BOTH, "SELECT main.note.id FROM main.note", "no table or alias may be called main" },
	{ BOTH, "SELECT name FROM main.sqlite_schema", "called sqlite_schema" },
	{ BOTH, "SELECT name FROM pg_catalog.pg_class", "nothing may be named pg_catalog.x" },
	{ BOTH, "SELECT pg_sleep(1)", "not on the list of functions that system statements may call" },
	{ BOTH, "SELECT set_config('a', 'b', true)", "set_config is not on the list" },
	{ BOTH, "SELECT now()", "now is not on the list" },
	{ LITE, "SELECT pg_notify('a', 'b')", "pg_notify is not on the list" },
	{ BOTH, "INSERT OR REPLACE INTO main.note (id) VALUES (1)", "write INSERT ... ON CONFLICT" },
	{ BOTH, "INSERT INTO main.note VALUES (1)", "INSERT names its columns" },
	{ BOTH, "WITH a AS (DELETE FROM main.note RETURNING id) SELECT id FROM a",
		"SELECT is expected, not DELETE" },
	{ PG, "SELECT id FROM main.note FOR UPDATE", "only reads takes no locks" },
	{ BOTH, "SELECT 1; SELECT 2", "more than one statement" },
	{ BOTH, "TRUNCATE main.note", "cannot begin with TRUNCATE" },
};
/* clang-format on */

/* --- trying ------------------------------------------------------------------------------- */

/* Whether it is taken; the sentence must begin with the statement's name and say what it should. */
static bool try_text(enum engine_kind engine, unsigned flags, const char *sql, const char *error)
{
	struct statement statement =
		STATEMENT("st", .sql = sql, .in = &attempt_schema, .flags = flags);
	struct sql_plan plan;
	int r = sql_plan_make(&statement, engine, &plan);

	if (r == 0)
		sql_plan_done(&plan);
	if (error)
		return test_note(r == -ERR_INVALID && strncmp(err_text(), "st: ", 4) == 0 &&
					 strstr(err_text(), error),
			__FILE__, __LINE__, "engine %d, \"%.200s\": %s, wanted \"%s\"", engine, sql,
			r < 0 ? err_text() : "taken", error);
	return test_note(
		r == 0, __FILE__, __LINE__, "engine %d, \"%.200s\": %s", engine, sql, err_text());
}

static void try_cases(const struct rule_case *cases, size_t count, unsigned flags)
{
	for (size_t i = 0; i < count; i++)
		for (unsigned engine = 0; engine < STATEMENT_ENGINES; engine++)
			if (cases[i].engines & 1U << engine)
				(void)try_text((enum engine_kind)engine, flags, cases[i].sql,
					cases[i].error);
	EXPECT_INT(mem_used(), 0);
}

TEST(sql_rules_of_tenants)
{
	try_cases(tenant_cases, LEN(tenant_cases), 0);
}

TEST(sql_rules_of_the_system)
{
	try_cases(system_cases, LEN(system_cases), STATEMENT_SYSTEM);
}

/* --- bounds ---------------------------------------------------------------------------------- */

/* front, then the part so often, then back. */
static void try_repeated(
	const char *front, const char *part, size_t times, const char *back, const char *error)
{
	size_t part_len = strlen(part), at = strlen(front);
	char text[SQL_TEXT_MAX + 1000];

	CHECK(at + times * part_len + strlen(back) < sizeof(text));
	memcpy(text, front, at);
	for (size_t i = 0; i < times; i++, at += part_len)
		memcpy(text + at, part, part_len);
	memcpy(text + at, back, strlen(back) + 1);
	for (unsigned engine = 0; engine < STATEMENT_ENGINES; engine++)
		(void)try_text((enum engine_kind)engine, 0, text, error);
}

TEST(sql_rules_bounds)
{
	char text[4000];
	size_t len;

	try_repeated("SELECT ", "-", SQL_TEXT_MAX - 8, "1", "the end is not allowed behind SELECT");
	try_repeated("SELECT ", "+", SQL_TEXT_MAX - 8, "1", NULL);
	try_repeated("SELECT ", "+", SQL_TEXT_MAX - 7, "1", "more than 65536 bytes");
	try_repeated("SELECT ", "(", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "(SELECT ", 2000, "", "more than 40 brackets");
	try_repeated("SELECT 1 FROM ", "(", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "count(", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "CAST(", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "count(*) FILTER (WHERE ", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "count(*) OVER (PARTITION BY ", 2000, "", "more than 40 brackets");
	try_repeated("SELECT ", "WITH a AS (", 2000, "", "WITH is not allowed");
	try_repeated("", "WITH a AS (", 2000, "", "more than 40 brackets");
	try_repeated("SELECT 1 FROM note", " JOIN tag ON TRUE", 2000, "", NULL);
	try_repeated("SELECT 1", " UNION SELECT 1", 2000, "", NULL);

	len = (size_t)snprintf(text, sizeof(text), "SELECT 1 FROM t");
	for (int i = 0; i < 70; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, ", t%d", i);
	(void)try_text(ENGINE_SQLITE, 0, text, "more than 64 tables");
}
