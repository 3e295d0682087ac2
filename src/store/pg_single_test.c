/* Which changes are sure to touch one row at most. */
#include "store/pg_fixture_test.h"

static struct str two[] = { S_INIT("id"), S_INIT("tenant_id") };
static struct str slug[] = { S_INIT("slug"), S_INIT("tenant_id") };
static struct str other[] = { S_INIT("tenant_id") };

static struct pg_constraint constraints[] = {
	{ PG_UNIQUE_INDEX, S_INIT("note"), S_INIT("note_pkey"), S_INIT("id"), { 0 }, two, 2 },
	{ PG_UNIQUE_INDEX, S_INIT("note"), S_INIT("note_slug"), S_INIT("slug"), { 0 }, slug, 2 },
	{ PG_UNIQUE_INDEX, S_INIT("note"), S_INIT("note_partial"), S_INIT("x"), { 0 }, NULL, 0 },
	{ PG_UNIQUE_INDEX, S_INIT("plan"), S_INIT("plan_pkey"), S_INIT("x"), { 0 }, other, 1 },
};

TEST(pg_single_rows_are_told_from_the_text)
{
	static const struct {
		bool one;
		enum sql_verb verb;
		const char *text, *alias;
	} cases[] = {
#define I SQL_INSERT
#define U SQL_UPDATE
#define D SQL_DELETE
		{ true, I, "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, :id)", "note" },
		{ true, I, "INSERT INTO main.note (a) VALUES ((1), (2)) RETURNING a", "note" },
		{ true, I, "insert into main.note (a) values (1) on conflict (a) do nothing;",
			"note" },
		{ true, I, "WITH x AS (SELECT 1) INSERT INTO main.note (a) VALUES (1)", "note" },
		{ false, I, "INSERT INTO main.note (a) VALUES (1), (2)", "note" },
		{ false, I, "INSERT INTO main.note (a) SELECT 1", "note" },
		{ false, I, "INSERT INTO main.note (a) SELECT a FROM (VALUES (1), (2)) v (a)",
			"note" },
		{ true, U, "UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id = :id",
			"note" },
		{ true, U,
			"UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id = :id AND v > "
			"2 "
			"RETURNING a",
			"note" },
		{ true, U,
			"UPDATE main.note AS n SET a = 1 WHERE n.tenant_id = :tenant AND "
			"n.slug = :slug AND (a OR b)",
			"n" },
		{ true, U,
			"UPDATE main.note AS n SET a = p.a FROM plan p WHERE n.tenant_id = :tenant "
			"AND "
			"n.id = :id",
			"n" },
		{ true, D, "DELETE FROM main.note WHERE id = :id AND tenant_id = :tenant", "note" },
		{ false, U, "UPDATE main.note SET a = 1 WHERE tenant_id = :tenant", "note" },
		{ false, U, "UPDATE main.note SET id = :id WHERE tenant_id = :tenant", "note" },
		{ false, U,
			"UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id = :id OR a = "
			"1",
			"note" },
		{ false, U,
			"UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND a BETWEEN 1 AND "
			"id = :id",
			"note" },
		{ false, U,
			"UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND CASE WHEN a AND "
			"id = :id AND b THEN true END",
			"note" },
		{ false, U, "UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND NOT id = :id",
			"note" },
		{ false, U,
			"UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id = :id IS NULL",
			"note" },
		{ false, U, "UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id <> :id",
			"note" },
		{ false, U, "UPDATE main.note SET a = 1 WHERE tenant_id = :tenant AND id = a",
			"note" },
		{ false, U,
			"UPDATE main.note AS n SET a = p.a FROM plan p WHERE n.tenant_id = :tenant "
			"AND "
			"p.id = :id",
			"n" },
		{ false, U,
			"UPDATE main.note AS n SET a = p.a FROM plan p WHERE tenant_id = :tenant "
			"AND "
			"id = :id",
			"n" },
		{ false, D, "DELETE FROM main.note", "note" },
		{ false, D, "DELETE FROM main.note WHERE (tenant_id = :tenant AND id = :id)",
			"note" },
	};
	const struct pg_catalog catalog = { .constraints = constraints,
		.constraint_count = LEN(constraints) };

	for (size_t i = 0; i < LEN(cases); i++) {
		const struct sql_plan plan = { .verb = cases[i].verb,
			.target = S_INIT("note"),
			.alias = str_from_c(cases[i].alias) };

		test_note(
			pg_touches_one(&catalog, str_from_c(cases[i].text), &plan) == cases[i].one,
			__FILE__, __LINE__, "%s", cases[i].text);
	}
}

TEST(pg_limits_are_seen)
{
	EXPECT(pg_has_limit(S("SELECT a FROM x ORDER BY a LIMIT :room")));
	EXPECT(!pg_has_limit(S("SELECT a FROM (SELECT a FROM x LIMIT 5) AS y, z")));
	EXPECT(!pg_has_limit(S("SELECT a FROM x WHERE b = ' LIMIT 5'")));
}
