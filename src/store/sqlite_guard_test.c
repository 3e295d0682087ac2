/* The guards of the database alone, without the rules for the text in front of them (those are
 * tested with store/sql.h): what the one lets through the other must stop. */
#include "store/sqlite_connection.h"
#include "store/sqlite_test.h"

#include <stdio.h>

enum end {
	ALLOWED,
	DENIED,   /* when it is prepared */
	VIOLATED, /* while it runs, by a row of another tenant */
};

struct attack {
	enum end end;
	enum sql_verb verb;
	const char *target; /* NULL: none */
	const char *sql;
};

/* Tenant 1 does this. Tenant 2 has a note with the id ..22 and the slug theirs; box 2 lies there.
 */
#define T1 "x'01900000000070008000000000000001'"
#define T2 "x'01900000000070008000000000000002'"
#define I1 "x'01900000000070008000000000000011'"
#define I2 "x'01900000000070008000000000000022'"

static const char more_tables[] =
	"CREATE TABLE rowid_note (tenant_id uuid NOT NULL, slug text UNIQUE, n integer PRIMARY "
	"KEY);"
	"CREATE TABLE loose (n integer PRIMARY KEY, tenant_id uuid NOT NULL, "
	"up integer REFERENCES loose (n) ON DELETE CASCADE, "
	"next integer REFERENCES loose (n) ON DELETE SET NULL);"
	"CREATE TABLE slug_note (tenant_id uuid NOT NULL, slug text PRIMARY KEY) WITHOUT ROWID;"
	"CREATE VIRTUAL TABLE words USING fts5 (body);"
	"INSERT INTO note VALUES (" T1 ", " I1 ", 'ours', 1, NULL, NULL), (" T2 ", " I2
	", 'theirs', 1, NULL, NULL);"
	"INSERT INTO rowid_note VALUES (" T1 ", 'ours', 1), (" T2 ", 'theirs', 2);"
	"INSERT INTO slug_note VALUES (" T1 ", 'ours'), (" T2 ", 'theirs');"
	"INSERT INTO loose VALUES (1, " T1 ", NULL, NULL), (2, " T2 ", 1, NULL), "
	"(3, " T1 ", NULL, NULL), (4, " T2 ", NULL, 3), (5, " T1 ", NULL, NULL);"
	"INSERT INTO installation VALUES ('key', 'value');";

static const struct attack attacks[] = {
	/* what is meant */
	{ ALLOWED, SQL_READ, NULL, "SELECT slug FROM note" },
	{ ALLOWED, SQL_READ, NULL,
		"SELECT count(*) FROM note AS a LEFT JOIN box AS b ON b.id = a.box_id" },
	{ ALLOWED, SQL_READ, NULL, "SELECT value FROM json_each('[1,2]')" },
	{ ALLOWED, SQL_READ, NULL, "SELECT slug FROM temp.note" },
	{ ALLOWED, SQL_INSERT, "note",
		"INSERT INTO main.note VALUES (" T1 ", x'ff', 'new', 1, NULL, NULL) "
		"ON CONFLICT (tenant_id, slug) DO UPDATE SET stars = 2 RETURNING slug, stars" },
	{ ALLOWED, SQL_UPDATE, "note",
		"UPDATE main.note AS n SET stars = 2 WHERE n.tenant_id = " T1
		" AND n.id IN (SELECT id FROM note) RETURNING id" },
	{ ALLOWED, SQL_DELETE, "tree", "DELETE FROM main.tree WHERE tenant_id = " T1 },
	{ ALLOWED, SQL_DELETE, "box", "DELETE FROM main.box WHERE tenant_id = " T1 },
	{ ALLOWED, SQL_DELETE, "loose", "DELETE FROM main.loose WHERE n = 5" },
	{ ALLOWED, SQL_INSERT, "note",
		"INSERT INTO main.note SELECT tenant_id, x'fe', 'copy', 1, NULL, NULL FROM note" },

	/* reading past the view */
	{ DENIED, SQL_READ, NULL, "SELECT slug FROM main.note" },
	{ DENIED, SQL_READ, NULL, "SELECT count(*) FROM main.note" },
	{ DENIED, SQL_READ, NULL, "SELECT slug FROM \"main\".\"note\"" },
	{ DENIED, SQL_READ, NULL, "SELECT 1 FROM note WHERE EXISTS (SELECT 1 FROM main.note)" },
	{ DENIED, SQL_READ, NULL, "SELECT slug FROM note UNION ALL SELECT slug FROM main.note" },
	{ DENIED, SQL_READ, NULL, "WITH x AS (SELECT slug FROM main.note) SELECT slug FROM x" },
	{ DENIED, SQL_UPDATE, "note",
		"UPDATE main.note SET body = (SELECT max(tenant_id) FROM main.rowid_note)" },
	{ DENIED, SQL_READ, NULL, "SELECT value FROM installation" },
	{ DENIED, SQL_READ, NULL, "SELECT value FROM main.installation" },
	{ DENIED, SQL_READ, NULL, "SELECT sql FROM sqlite_schema" },
	{ DENIED, SQL_READ, NULL, "SELECT sql FROM main.sqlite_master" },
	{ DENIED, SQL_READ, NULL, "SELECT sql FROM temp.sqlite_schema" },
	{ DENIED, SQL_READ, NULL, "SELECT * FROM pragma_table_info('note')" },
	{ DENIED, SQL_READ, NULL, "SELECT * FROM dbstat" },
	{ DENIED, SQL_READ, NULL, "SELECT * FROM sqlite_stmt" },
	{ DENIED, SQL_READ, NULL, "SELECT body FROM words" },
	{ DENIED, SQL_READ, NULL, "SELECT * FROM words_content" },

	/* doing something else */
	{ DENIED, SQL_READ, NULL, "PRAGMA foreign_keys=OFF" },
	{ DENIED, SQL_READ, NULL, "ATTACH 'other.db' AS other" },
	{ DENIED, SQL_READ, NULL, "DETACH main" },
	{ DENIED, SQL_READ, NULL, "CREATE TABLE x (a)" },
	{ DENIED, SQL_READ, NULL, "CREATE TEMP TABLE note (a)" },
	{ DENIED, SQL_READ, NULL, "CREATE TEMP VIEW x AS SELECT 1" },
	{ DENIED, SQL_READ, NULL,
		"CREATE TEMP TRIGGER t AFTER INSERT ON main.note BEGIN SELECT 1; END" },
	{ DENIED, SQL_READ, NULL, "DROP VIEW temp.note" },
	{ DENIED, SQL_READ, NULL, "DROP TABLE main.note" },
	{ DENIED, SQL_READ, NULL, "ALTER TABLE note RENAME TO other" },
	{ DENIED, SQL_READ, NULL, "BEGIN" },
	{ DENIED, SQL_READ, NULL, "COMMIT" },
	{ DENIED, SQL_READ, NULL, "SAVEPOINT x" },
	{ DENIED, SQL_READ, NULL, "REINDEX" },
	{ DENIED, SQL_READ, NULL, "ANALYZE" },
	{ DENIED, SQL_READ, NULL, "SELECT load_extension('x')" },
	{ DENIED, SQL_READ, NULL, "SELECT last_insert_rowid()" },
	{ DENIED, SQL_READ, NULL, "SELECT total_changes()" },
	{ DENIED, SQL_READ, NULL, "SELECT randomblob(1000000)" },
	{ DENIED, SQL_READ, NULL, "SELECT sqlite_compileoption_get(1)" },
	{ DENIED, SQL_READ, NULL, "SELECT fts3_tokenizer('simple')" },

	/* writing elsewhere */
	{ DENIED, SQL_READ, NULL, "DELETE FROM main.note" },
	{ DENIED, SQL_INSERT, "note", "INSERT INTO main.box VALUES (" T1 ", x'01')" },
	{ DENIED, SQL_INSERT, "note", "INSERT INTO main.installation VALUES ('a', 'b')" },
	{ DENIED, SQL_DELETE, "installation", "DELETE FROM main.installation" },
	{ DENIED, SQL_UPDATE, "note", "UPDATE main.sqlite_schema SET sql = ''" },
	{ DENIED, SQL_INSERT, "words", "INSERT INTO main.words VALUES ('x')" },

	/* rows of others */
	{ VIOLATED, SQL_INSERT, "note",
		"INSERT INTO main.note VALUES (" T2 ", x'fd', 'n', 1, NULL, NULL)" },
	{ VIOLATED, SQL_INSERT, "note",
		"INSERT INTO main.note VALUES ('1', x'fd', 'n', 1, NULL, NULL)" },
	{ VIOLATED, SQL_INSERT, "note",
		"INSERT INTO main.note VALUES (x'0190000000007000800000000000000100', x'fd', 'n', "
		"1, "
		"NULL, NULL)" },
	{ VIOLATED, SQL_UPDATE, "note", "UPDATE main.note SET stars = 3" },
	{ VIOLATED, SQL_UPDATE, "note", "UPDATE main.note SET stars = 3 WHERE slug = 'theirs'" },
	{ VIOLATED, SQL_UPDATE, "note",
		"UPDATE main.note SET tenant_id = " T2 " WHERE slug = 'ours'" },
	{ VIOLATED, SQL_UPDATE, "note",
		"UPDATE main.note SET tenant_id = " T1 " WHERE slug = 'theirs'" },
	{ VIOLATED, SQL_DELETE, "note", "DELETE FROM main.note" },
	{ VIOLATED, SQL_DELETE, "rowid_note", "DELETE FROM main.rowid_note" },
	{ VIOLATED, SQL_DELETE, "note",
		"DELETE FROM main.note WHERE slug = 'theirs' RETURNING id" },
	{ VIOLATED, SQL_INSERT, "rowid_note",
		"REPLACE INTO main.rowid_note VALUES (" T1 ", 'theirs', 9)" },
	{ VIOLATED, SQL_INSERT, "rowid_note",
		"REPLACE INTO main.rowid_note VALUES (" T1 ", 'x', 2)" },
	{ VIOLATED, SQL_INSERT, "slug_note",
		"REPLACE INTO main.slug_note VALUES (" T1 ", 'theirs')" },
	{ VIOLATED, SQL_UPDATE, "rowid_note",
		"UPDATE OR REPLACE main.rowid_note SET slug = 'theirs' WHERE slug = 'ours'" },
	{ VIOLATED, SQL_UPDATE, "rowid_note",
		"UPDATE OR REPLACE main.rowid_note SET n = 2 WHERE n = 1" },
	{ VIOLATED, SQL_INSERT, "rowid_note",
		"INSERT INTO main.rowid_note VALUES (" T1 ", 'theirs', 9) "
		"ON CONFLICT (slug) DO UPDATE SET n = 10" },
	{ VIOLATED, SQL_DELETE, "loose", "DELETE FROM main.loose WHERE n = 1" },
	{ VIOLATED, SQL_DELETE, "loose", "DELETE FROM main.loose WHERE n = 3" },
};

static enum end attack_with(struct sqlite_connection *connection, const struct attack *attack)
{
	struct sql_plan plan = { .verb = attack->verb, .target = str_from_c(attack->target) };
	sqlite3_stmt *stmt = NULL;
	enum end end = DENIED;
	int code;

	sqlite_guard_enter(&connection->guard, &plan);
	code = sqlite3_prepare_v2(connection->db, attack->sql, -1, &stmt, NULL);
	if (code == SQLITE_OK) {
		do
			code = sqlite3_step(stmt);
		while (code == SQLITE_ROW && !connection->guard.violated);
		end = connection->guard.violated ? VIOLATED : ALLOWED;
		if (end == ALLOWED && code != SQLITE_DONE)
			test_note(false, __FILE__, __LINE__, "%s: %s", attack->sql,
				sqlite3_errmsg(connection->db));
	}
	(void)sqlite3_finalize(stmt);
	sqlite_guard_leave(&connection->guard);
	return end;
}

/* What tenant 2 has must be the same before and after. */
static int64_t theirs(struct sqlite_connection *connection)
{
	sqlite3_stmt *stmt = NULL;
	int64_t sum = -1;

	sqlite_guard_open(&connection->guard);
	EXPECT_INT(sqlite3_prepare_v2(connection->db,
			   "SELECT (SELECT count(*) || group_concat(id || slug || stars) FROM "
			   "main.note WHERE tenant_id = " T2 ") || (SELECT group_concat(slug || n) "
			   "FROM main.rowid_note WHERE tenant_id = " T2 ") || (SELECT "
			   "group_concat(coalesce(next, '-') || n) FROM main.loose WHERE "
			   "tenant_id = " T2 ") || (SELECT group_concat(slug) FROM main.slug_note "
			   "WHERE tenant_id = " T2 ")",
			   -1, &stmt, NULL),
		SQLITE_OK);
	sqlite_guard_close(&connection->guard);
	if (EXPECT(sqlite3_step(stmt) == SQLITE_ROW)) {
		const unsigned char *text = sqlite3_column_text(stmt, 0);

		for (sum = 7; text && *text; text++)
			sum = sum * 31 + *text;
	}
	(void)sqlite3_finalize(stmt);
	return sum;
}

TEST(sqlite_guard_stops_attacks)
{
	static const char *const ends[] = { "allowed", "denied", "violated" };
	struct sqlite_connection connection;
	struct sqlite_database database = { 0 };
	struct sqlite_test test;
	int64_t before;
	sqlite3 *db;

	sqlite_test_make(&test);
	sqlite_test_sql(&test, more_tables);
	REQUIRE(sqlite_file_init(&database.file, test.options.folder, MEGABYTE) == 0);
	REQUIRE(sqlite_file_check(&database.file) == 0);
	REQUIRE(sqlite_file_open(&database.file, SQLITE_READER, &db) == 0);
	REQUIRE(sqlite_schema_read(db, &database.schema) == 0);
	(void)sqlite3_close(db);
	REQUIRE(sqlite_connection_open(&connection, &database, SQLITE_WRITER) == 0);

	before = theirs(&connection);
	for (size_t i = 0; i < LEN(attacks); i++) {
		enum end end;

		connection.guard.tenant = sqlite_test_id(1);
		EXPECT_INT(sqlite_connection_do(&connection, SQLITE_OWN_BEGIN_IMMEDIATE), 0);
		end = attack_with(&connection, &attacks[i]);
		if (end != attacks[i].end)
			test_note(false, __FILE__, __LINE__, "%s: %s, wanted %s (%s)",
				attacks[i].sql, ends[end], ends[attacks[i].end],
				connection.guard.denied[0] ? connection.guard.denied
							   : sqlite3_errmsg(connection.db));
		if (end == ALLOWED)
			EXPECT_INT(theirs(&connection), before);
		EXPECT_INT(sqlite_connection_do(&connection, SQLITE_OWN_ROLLBACK), 0);
		EXPECT_INT(theirs(&connection), before);
	}

	/* Without a statement of ours under way, nothing at all can be prepared. */
	EXPECT_INT(
		sqlite3_prepare_v2(connection.db, "SELECT 1", -1, &(sqlite3_stmt *){ NULL }, NULL),
		SQLITE_AUTH);

	/* Without a tenant nothing is seen. */
	connection.guard.tenant = (struct uuid){ 0 };
	{
		struct sql_plan plan = { .verb = SQL_READ };
		sqlite3_stmt *stmt = NULL;

		sqlite_guard_enter(&connection.guard, &plan);
		EXPECT_INT(
			sqlite3_prepare_v2(connection.db, "SELECT slug FROM note", -1, &stmt, NULL),
			SQLITE_OK);
		EXPECT_INT(sqlite3_step(stmt), SQLITE_DONE);
		(void)sqlite3_finalize(stmt);
		sqlite_guard_leave(&connection.guard);
	}
	sqlite_connection_close(&connection);
	sqlite_schema_done(&database.schema);
	sqlite_test_remove(&test);
}
