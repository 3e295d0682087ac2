/* Plans: texts, parameters, names, and what is wrong with a statement besides its SQL. */
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "store/sql.h"

#include <stdio.h>

enum { SOUPS = 20000, SOUP_MAX = 25 /* pieces */ };

#define LITE ENGINE_SQLITE
#define PG   ENGINE_POSTGRES

struct row {
	struct str id, title;
	int64_t version;
};

static const struct schema row_schema =
	SCHEMA(row, "A row.", FIELD(row, id, "x", .format = FORMAT_UUID), FIELD(row, title, "x"),
		FIELD(row, version, "x"));

/* --- texts ---------------------------------------------------------------------------- */

struct text_case {
	const char *sql;
	const char *sqlite, *postgres;
	const char *params; /* "t" tenant, "n" now, 0... the column */
};

static const struct text_case text_cases[] = {
	{ "SELECT 1", "SELECT 1", "SELECT 1", "" },
	{ " SELECT\n\t1 ;\n", "SELECT 1", "SELECT 1", "" },
	{ "SELECT 1 -- one\n", "SELECT 1", "SELECT 1", "" },
	{ "SELECT/* x */1/**/+1", "SELECT 1 +1", "SELECT 1 +1", "" },
	{ "SELECT id FROM note WHERE id = :id AND version<=:version",
		"SELECT id FROM note WHERE id = ?1 AND version<= ?2",
		"SELECT id FROM note WHERE id = $1 AND version<= $2", "02" },
	{ "SELECT :version, :tenant, :version, :now, :tenant, :id", "SELECT ?1, ?2, ?1, ?3, ?2, ?4",
		"SELECT $1, $2, $1, $3, $2, $4", "2tn0" },
	{ "SELECT id FROM note LIMIT:version", "SELECT id FROM note LIMIT ?1",
		"SELECT id FROM note LIMIT $1", "2" },
	{ "SELECT(:id)", "SELECT( ?1)", "SELECT( $1)", "0" },
	{ "SELECT ':id', \"a\", '--', a||'/*' FROM note",
		"SELECT ':id', \"a\", '--', a||'/*' FROM note",
		"SELECT ':id', \"a\", '--', a||'/*' FROM note", "" },
	{ "SELECT a - -1, a -- x\n-1 FROM note", "SELECT a - -1, a -1 FROM note",
		"SELECT a - -1, a -1 FROM note", "" },
};

static void describe_params(const struct sql_plan *plan, char *at)
{
	size_t i;

	for (i = 0; i < plan->param_count; i++) {
		const struct sql_param *param = &plan->params[i];

		at[i] = param->source == SQL_TENANT ? 't'
			: param->source == SQL_NOW  ? 'n'
						    : (char)('0' + param->column);
	}
	at[i] = 0;
}

TEST(sql_plan_texts)
{
	for (size_t i = 0; i < LEN(text_cases); i++)
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			const struct text_case *c = &text_cases[i];
			struct statement st = STATEMENT("st", .sql = c->sql, .in = &row_schema);
			const char *wanted = engine == PG ? c->postgres : c->sqlite;
			char params[SQL_PARAMS_MAX + 1];
			struct sql_plan plan;

			REQUIRE(sql_plan_make(&st, (enum engine_kind)engine, &plan) == 0);
			EXPECT_STR(plan.text, str_from_c(wanted));
			EXPECT_INT(plan.text.at[plan.text.len], 0);
			describe_params(&plan, params);
			EXPECT_STR(str_from_c(params), str_from_c(c->params));
			sql_plan_done(&plan);
		}
	EXPECT_INT(mem_used(), 0);
}

/* --- what is known of a statement ------------------------------------------------------- */

static const struct {
	const char *sql;
	unsigned flags;
	enum sql_verb verb;
	const char *target, *alias;
	const char *tables; /* each behind a blank */
} shapes[] = {
	{ "SELECT 1", 0, SQL_READ, "", "", "" },
	{ "VALUES (1)", 0, SQL_READ, "", "", "" },
	{ "SELECT 1 FROM note, tag AS t, (SELECT 1 FROM link JOIN note ON TRUE) AS x", 0, SQL_READ,
		"", "", " note tag link" },
	{ "WITH a AS (SELECT 1 FROM note) SELECT 1 FROM a, b", 0, SQL_READ, "", "", " note b" },
	{ "WITH note AS (SELECT 1 FROM note) SELECT 1 FROM note", 0, SQL_READ, "", "", " note" },
	{ "WITH a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT 1 FROM b", 0, SQL_READ, "", "",
		" b" },
	{ "WITH RECURSIVE a AS (SELECT 1 FROM a) SELECT 1 FROM a", 0, SQL_READ, "", "", "" },
	{ "SELECT (WITH a AS (SELECT 1) SELECT 1 FROM a), (SELECT 1 FROM a)", 0, SQL_READ, "", "",
		" a" },
	{ "INSERT INTO main.note (tenant_id) VALUES (:tenant)", 0, SQL_INSERT, "note", "note",
		" note" },
	{ "WITH a AS (SELECT 1 FROM tag) UPDATE main.note AS n SET x = 1 FROM a "
	  "WHERE tenant_id = :tenant AND 1 IN (SELECT id FROM link)",
		0, SQL_UPDATE, "note", "n", " tag note link" },
	{ "DELETE FROM \"main\".\"note\" AS \"n\" WHERE tenant_id = :tenant", 0, SQL_DELETE, "note",
		"n", " note" },
	{ "SELECT 1 FROM main.a JOIN main.b ON TRUE", STATEMENT_SYSTEM, SQL_READ, "", "", " a b" },
};

TEST(sql_plan_shapes)
{
	for (size_t i = 0; i < LEN(shapes); i++)
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			struct statement st =
				STATEMENT("st", .sql = shapes[i].sql, .flags = shapes[i].flags);
			struct sql_plan plan;
			struct buf tables;

			REQUIRE(sql_plan_make(&st, (enum engine_kind)engine, &plan) == 0);
			EXPECT_INT(plan.verb, shapes[i].verb);
			EXPECT_INT(plan.system, shapes[i].flags == STATEMENT_SYSTEM);
			EXPECT_STR(plan.target, str_from_c(shapes[i].target));
			EXPECT_STR(plan.alias, str_from_c(shapes[i].alias));
			buf_init(&tables, KILOBYTE);
			for (size_t k = 0; k < plan.table_count; k++)
				buf_printf(&tables, " %.*s", STR_ARG(plan.tables[k]));
			EXPECT_STR(buf_str(&tables), str_from_c(shapes[i].tables));
			buf_done(&tables);
			sql_plan_done(&plan);
		}
}

/* Names must be the same in all processes and versions that share a pooler: this one is written
 * down. */
TEST(sql_plan_names)
{
	struct statement one = STATEMENT("one", .sql = "SELECT 1"),
			 same = STATEMENT("one", .sql = " SELECT  1 -- really\n;"),
			 twin = STATEMENT("twin", .sql = "SELECT 1"),
			 other = STATEMENT("one", .sql = "SELECT 2");
	struct sql_plan plans[4];

	REQUIRE(sql_plan_make(&one, PG, &plans[0]) == 0);
	REQUIRE(sql_plan_make(&same, PG, &plans[1]) == 0);
	REQUIRE(sql_plan_make(&twin, PG, &plans[2]) == 0);
	REQUIRE(sql_plan_make(&other, PG, &plans[3]) == 0);
	EXPECT_STR(str_from_c(plans[0].name), S("sa0eb4aeec966c47c032a637e88b7"));
	EXPECT_STR(str_from_c(plans[1].name), str_from_c(plans[0].name));
	EXPECT(strcmp(plans[2].name, plans[0].name) != 0);
	EXPECT(strcmp(plans[3].name, plans[0].name) != 0);
	for (size_t i = 0; i < LEN(plans); i++)
		sql_plan_done(&plans[i]);
	sql_plan_done(NULL);
}

/* --- mistakes ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct field tag = { .member = "kind" };
static const struct schema union_schema = { .type = "either", .tag = &tag };

static const struct {
	struct statement statement;
	const char *sqlite, *postgres; /* the sentence; NULL: taken */
} mistakes[] = {
	{ { .sql = "SELECT 1" }, "a statement without a name", "a statement without a name" },
	{ { .name = "", .sql = "SELECT 1" }, "a statement without a name", "a statement without a name" },
	{ { .name = "st" }, "st: a statement has .sql, or .sqlite", "st: a statement has .sql, or" },
	{ { .name = "st", .sql = "SELECT 1", .sqlite = "SELECT 1" }, "st: a statement has .sql, or",
		"st: a statement has .sql, or" },
	{ { .name = "st", .sql = "SELECT 1", .postgres = "SELECT 1" }, "st: a statement has .sql, or",
		"st: a statement has .sql, or" },
	{ { .name = "st", .sqlite = "SELECT 1", .postgres = "SELECT 2" }, NULL, NULL },
	{ { .name = "st", .sqlite = "SELECT 1" }, NULL, "st: there is no text for PostgreSQL" },
	{ { .name = "st", .postgres = "SELECT 1" }, "st: there is no text for SQLite", NULL },
	{ { .name = "st", .sql = "SELECT 1", .flags = 4 }, "st: an unknown flag", "st: an unknown flag" },
	{ { .name = "st", .sql = "SELECT :id" }, "st: there is no .in schema for :id",
		"st: there is no .in schema for :id" },
	{ { .name = "st", .sql = "SELECT :tenant, :now" }, NULL, NULL },
	{ { .name = "st", .sql = "SELECT :x", .in = &row_schema }, "st: :x is not a member of row",
		"st: :x is not a member of row" },
	{ { .name = "st", .sql = "SELECT :id", .in = &union_schema }, "st: its .in schema either is a",
		"st: its .in schema either is a union" },
};
/* clang-format on */

TEST(sql_plan_mistakes)
{
	for (size_t i = 0; i < LEN(mistakes); i++)
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			const char *wanted =
				engine == PG ? mistakes[i].postgres : mistakes[i].sqlite;
			struct sql_plan plan, before;
			int r;

			memset(&plan, 7, sizeof(plan));
			before = plan;
			r = sql_plan_make(&mistakes[i].statement, (enum engine_kind)engine, &plan);
			EXPECT_INT(r, wanted ? -ERR_INVALID : 0);
			if (r == 0)
				sql_plan_done(&plan);
			else
				EXPECT(memcmp(&plan, &before, sizeof(plan)) == 0);
			test_note(!wanted || strncmp(err_text(), wanted, strlen(wanted)) == 0,
				__FILE__, __LINE__, "case %zu: %s", i, err_text());
			EXPECT_INT(mem_used(), 0);
		}
}

/* 64 parameters are taken, one more is not. */
TEST(sql_plan_parameters_are_bounded)
{
	struct field fields[SQL_PARAMS_MAX + 1];
	struct schema many = { .type = "many", .fields = fields, .count = LEN(fields) };
	char names[LEN(fields)][8];
	struct statement st = STATEMENT("st", .in = &many);
	struct sql_plan plan;
	struct buf sql;

	buf_init(&sql, KILOBYTE);
	buf_append(&sql, S("SELECT 1"));
	for (size_t i = 0; i < LEN(fields); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "p%zu", i);
		fields[i] = (struct field){ .member = names[i] };
		buf_printf(&sql, ", :%s", names[i]);
		if (i == SQL_PARAMS_MAX - 1) {
			buf_byte(&sql, 0);
			st.sql = sql.at;
			REQUIRE(sql_plan_make(&st, PG, &plan) == 0);
			EXPECT_INT(plan.param_count, SQL_PARAMS_MAX);
			EXPECT(str_ends(plan.text, S(", $64")));
			sql_plan_done(&plan);
			sql.len--;
		}
	}
	buf_byte(&sql, 0);
	st.sql = sql.at;
	EXPECT_INT(sql_plan_make(&st, PG, &plan), -ERR_INVALID);
	EXPECT(strstr(err_text(), "st: more than 64 parameters"));
	buf_done(&sql);
}

TEST(sql_plan_out_of_memory)
{
	struct statement st = STATEMENT("st",
		.sql = "INSERT INTO main.note (tenant_id, id, title) VALUES (:tenant, :id, :title)",
		.in = &row_schema);
	bool struck = true;

	for (size_t nth = 1; struck; nth++) {
		struct sql_plan plan;
		int r;

		fault_arm(FAULT_MEMORY, nth);
		r = sql_plan_make(&st, PG, &plan);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		EXPECT_INT(r, struck ? -ERR_NO_MEMORY : 0);
		if (r == 0)
			sql_plan_done(&plan);
		EXPECT_INT(mem_used(), 0);
#ifdef BULKHEAD_FAULTS
		EXPECT(struck || nth > 3);
#endif
	}
}

/* --- laws ------------------------------------------------------------------------------------ */

static const char *const pieces[] = { "SELECT ", "1", ", ", "id ", ":id", ":tenant", " FROM ",
	"note ", "main.", "main.note ", "AS n ", "n.", "tenant_id ", "= ", " WHERE ", " AND ",
	" OR ", "(", ")", "UPDATE ", "SET ", "title ", "INSERT INTO ", "VALUES ", "DELETE FROM ",
	"RETURNING ", "WITH a AS (SELECT 1) ", "a ", "JOIN ", "ON ", "/**/", "-- x\n", "'x'",
	"\"id\" ", "count(*) ", "::text ", ";", "[1]", "CASE ", "END ", "BETWEEN ",
	"tenant_id = :tenant ", "INSERT INTO main.note (tenant_id, id) VALUES (:tenant, 1) ",
	"UPDATE main.note SET title = 'x' WHERE tenant_id = :tenant ",
	"DELETE FROM main.note WHERE tenant_id = :tenant ", "ON CONFLICT (tenant_id) DO NOTHING " };

/* No parameter by name, no comment, no second gap is left, and the numbers of the parameters are
 * those of the plan; a tenant statement has one `main` when it writes, and none when it reads. */
static void check_text(const struct sql_plan *plan, enum engine_kind engine)
{
	size_t mains = 0, highest = 0;
	struct str rest = plan->text;
	char sign = engine == LITE ? '?' : '$';

	CHECK(plan->text.at[plan->text.len] == 0 &&
		memchr(plan->text.at, 0, plan->text.len) == NULL);
	while (rest.len) {
		struct sql_scan scan = { rest, engine };
		struct sql_token token;

		if (rest.at[0] == ' ')
			rest = str_from(rest, 1);
		if (rest.at[0] == sign) {
			size_t number = 0;

			for (rest = str_from(rest, 1);
				rest.len && rest.at[0] >= '0' && rest.at[0] <= '9';
				rest = str_from(rest, 1))
				number = 10 * number + (size_t)(rest.at[0] - '0');
			CHECK(number >= 1 && number <= plan->param_count);
			highest = MAX(highest, number);
			continue;
		}
		scan.rest = rest;
		CHECK(sql_next(&scan, &token) == 0 && token.kind != SQL_END);
		CHECK(token.kind != SQL_PARAMETER && token.text.at == rest.at);
		mains += sql_names(&token, "main") && scan.rest.len && scan.rest.at[0] == '.';
		rest = scan.rest;
	}
	CHECK(highest == plan->param_count);
	CHECK(mains == (plan->verb == SQL_READ ? 0 : 1));
	CHECK((plan->verb == SQL_READ) == (plan->target.len == 0));
}

TEST(sql_plan_laws)
{
	uint64_t random = 815;
	size_t taken[STATEMENT_ENGINES] = { 0 };
	struct buf buf;

	buf_init(&buf, MEGABYTE);
	for (size_t i = 0; i < SOUPS; i++) {
		size_t count = 1 + test_random(&random) % SOUP_MAX;
		struct statement st = STATEMENT("st", .in = &row_schema);

		buf_reset(&buf);
		buf_append(&buf, test_random(&random) & 256 ? S("SELECT 1 ") : S(""));
		for (size_t k = 0; k < count; k++)
			buf_append(&buf,
				str_from_c(pieces[(test_random(&random) >> 8) % LEN(pieces)]));
		buf_byte(&buf, 0);
		st.sql = buf.at;
		for (int engine = 0; engine < STATEMENT_ENGINES; engine++) {
			struct sql_plan plan;
			int r = sql_plan_make(&st, (enum engine_kind)engine, &plan);

			CHECK(r == 0 || r == -ERR_INVALID);
			CHECK(r == 0 || strncmp(err_text(), "st: ", 4) == 0);
			if (r < 0)
				continue;
			taken[engine]++;
			check_text(&plan, (enum engine_kind)engine);
			sql_plan_done(&plan);
		}
	}
	buf_done(&buf);
	EXPECT_INT(mem_used(), 0);
	EXPECT(taken[LITE] > SOUPS / 100 && taken[PG] > SOUPS / 100);
}
