/* The grammar. Each function writes one kind of phrase; chance decides which. What is mean is what
 * a module has no reason to write. */
#include "store/tenancy_grammar_test.h"

#include "base/test.h"

#include <sqlite3.h>

enum {
	DEPTH_MAX = 3, /* of selects in each other */
	NAMES_MAX = 16,
	MEAN_PERCENT = 3,  /* of the choices at which something mean is possible */
	ODD_PERCENT = 25,  /* of the statements have names in quotes and mixed case */
	BROKEN_PERCENT = 4 /* of the statements get a token that does not belong there */
};

struct grammar {
	uint64_t *random;
	enum engine_kind engine;
	struct buf *sql;
	unsigned depth;
	bool loose, mean;
	size_t odd_percent;             /* of the names are written oddly */
	const char *aliases[NAMES_MAX]; /* whose columns can be named here */
	size_t alias_count;
	size_t own;                    /* from this one on they are of the innermost select */
	const char *tables[NAMES_MAX]; /* common table expressions so far */
	size_t table_count;
	unsigned fresh; /* numbers aliases */
};

static const char *const table_names[] = { "note", "folder", "link" };

static size_t pick(struct grammar *grammar, size_t below)
{
	return (size_t)(test_random(grammar->random) >> 16) % below;
}

static bool percent(struct grammar *grammar, size_t share)
{
	return pick(grammar, 100) < share;
}

static bool mean(struct grammar *grammar)
{
	if (!percent(grammar, MEAN_PERCENT))
		return false;
	grammar->mean = true;
	return true;
}

static void say(struct grammar *grammar, const char *text)
{
	buf_append(grammar->sql, str_from_c(text));
}

#define CHOOSE(grammar, list) ((list)[pick(grammar, LEN(list))])

/* --- names ------------------------------------------------------------------------ */

/* A name as it can be written: bare in some case, or in quotes. */
static void say_name(struct grammar *grammar, const char *name)
{
	static const char *const quotes[] = { "\"\"", "\"\"", "``", "[]", "''" };
	const char *quote = quotes[pick(grammar, grammar->engine == ENGINE_SQLITE ? 5 : 2)];

	if (!percent(grammar, grammar->odd_percent)) {
		say(grammar, name);
	} else if (percent(grammar, 30)) {
		for (; *name; name++)
			buf_byte(grammar->sql, *name >= 'a' && *name <= 'z' && percent(grammar, 50)
						       ? (char)(*name - 32)
						       : *name);
	} else {
		buf_byte(grammar->sql, quote[0]);
		say(grammar, name);
		buf_byte(grammar->sql, quote[1]);
	}
}

static void say_schema(struct grammar *grammar, const char *schema)
{
	static const char *const dots[] = { ".", ".", " . ", "./**/", "--\n.", ".\n" };

	say_name(grammar, schema);
	say(grammar, CHOOSE(grammar, dots));
}

static const char *any_table(struct grammar *grammar)
{
	return CHOOSE(grammar, table_names);
}

static const char *new_alias(struct grammar *grammar)
{
	static const char *const usual[] = { "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9" };
	static const char *const odd[] = { "main", "temp", "note", "link", "pg_temp", "tenant_id" };

	return mean(grammar) ? CHOOSE(grammar, odd) : usual[grammar->fresh++ % LEN(usual)];
}

static void bring(struct grammar *grammar, const char *alias)
{
	if (grammar->alias_count < NAMES_MAX)
		grammar->aliases[grammar->alias_count++] = alias;
}

static void say_column_of(struct grammar *grammar, size_t first_alias, const char *column)
{
	if (grammar->alias_count > first_alias) {
		size_t at = first_alias + pick(grammar, grammar->alias_count - first_alias);

		say_name(grammar, grammar->aliases[at]);
		buf_byte(grammar->sql, '.');
	}
	say_name(grammar, column);
}

static void say_column(struct grammar *grammar, const char *column)
{
	say_column_of(grammar, 0, column);
}

/* Of the innermost select; an aggregate of an outer one's would be the outer one's. */
static void say_own_column(struct grammar *grammar, const char *column)
{
	say_column_of(grammar, grammar->own, column);
}

/* --- expressions --------------------------------------------------------------------- */

enum shape {
	SHAPE_ANSWER, /* a, n */
	SHAPE_TABLE,  /* tenant_id, id, body, amount */
	SHAPE_INTEGER,
	SHAPE_TEXT,
	SHAPE_IDS, /* id, for IN */
};

static void say_select(struct grammar *grammar, enum shape shape);

static void say_nested(struct grammar *grammar, enum shape shape)
{
	buf_byte(grammar->sql, '(');
	say_select(grammar, shape);
	buf_byte(grammar->sql, ')');
}

/* One that stands for a table, and cannot name what is outside of it. */
static void say_derived(struct grammar *grammar)
{
	struct grammar outer = *grammar;

	grammar->alias_count = 0;
	say_nested(grammar, SHAPE_TABLE);
	memcpy(grammar->aliases, outer.aliases, sizeof(outer.aliases));
	grammar->alias_count = outer.alias_count;
}

static void say_integer(struct grammar *grammar)
{
	bool deep = grammar->depth >= DEPTH_MAX;

	switch (pick(grammar, deep ? 8 : 10)) {
	case 0: say(grammar, ":id"); break;
	case 1: buf_u64(grammar->sql, pick(grammar, 12)); break;
	case 2: say(grammar, "length("), say_column(grammar, "body"), say(grammar, ")"); break;
	case 3:
		say(grammar, "coalesce("), say_column(grammar, "amount"), say(grammar, ", 0)");
		break;
	case 4:
		say_column(grammar, "amount");
		say(grammar, " % 7 + ");
		say_column(grammar, "id");
		break;
	case 5:
		/* fails for the wrong rows, which must not show */
		say(grammar, percent(grammar, 50) ? "abs(" : "10 / (77 - ");
		say_column(grammar, "amount");
		say(grammar, ")");
		break;
	case 8:
	case 9: say_nested(grammar, SHAPE_INTEGER); break;
	default: say_column(grammar, percent(grammar, 50) ? "id" : "amount");
	}
}

static void say_text(struct grammar *grammar)
{
	bool deep = grammar->depth >= DEPTH_MAX;

	switch (pick(grammar, deep ? 6 : 8)) {
	case 0: say(grammar, "'text'"); break;
	case 1: say_column(grammar, "body"), say(grammar, " || '!'"); break;
	case 2: say(grammar, "upper("), say_column(grammar, "body"), say(grammar, ")"); break;
	case 6:
	case 7: say_nested(grammar, SHAPE_TEXT); break;
	default: say_column(grammar, "body");
	}
}

static void say_comparison(struct grammar *grammar)
{
	static const char *const signs[] = { " = ", " < ", " >= ", " <> " };

	say_integer(grammar);
	say(grammar, CHOOSE(grammar, signs));
	say_integer(grammar);
}

static void say_condition(struct grammar *grammar)
{
	bool deep = grammar->depth >= DEPTH_MAX;

	switch (pick(grammar, deep ? 7 : 11)) {
	case 0: say(grammar, "1 = 1"); break;
	case 1: say_column(grammar, "tenant_id"), say(grammar, " = :tenant"); break;
	case 2:
		say_column(grammar, "tenant_id");
		say(grammar, mean(grammar) ? " = :other" : " IS NOT NULL");
		break;
	case 3:
		say_comparison(grammar);
		say(grammar, percent(grammar, 50) ? " OR " : " AND ");
		say_comparison(grammar);
		break;
	case 4: say_column(grammar, "body"), say(grammar, " LIKE '%e%'"); break;
	case 7:
		say(grammar, percent(grammar, 70) ? "EXISTS " : "NOT EXISTS ");
		say_nested(grammar, SHAPE_IDS);
		break;
	case 8:
	case 9:
		say_column(grammar, "id");
		say(grammar, percent(grammar, 70) ? " IN " : " NOT IN ");
		say_nested(grammar, SHAPE_IDS);
		break;
	default: say_comparison(grammar);
	}
}

/* --- FROM ------------------------------------------------------------------------------ */

static void say_table(struct grammar *grammar)
{
	static const char *const schemas[] = { "main", "main", "main", "temp", "pg_temp",
		"public" };

	if (grammar->table_count > 0 && percent(grammar, 50)) {
		say_name(grammar, grammar->tables[pick(grammar, grammar->table_count)]);
		return;
	}
	if (mean(grammar))
		say_schema(grammar, CHOOSE(grammar, schemas));
	say_name(grammar, any_table(grammar));
}

static void say_source(struct grammar *grammar)
{
	const char *alias = new_alias(grammar);

	if (grammar->depth < DEPTH_MAX && percent(grammar, 15))
		say_derived(grammar);
	else
		say_table(grammar);
	say(grammar, percent(grammar, 50) ? " AS " : " ");
	say_name(grammar, alias);
	bring(grammar, alias);
}

static void say_join(struct grammar *grammar)
{
	static const char *const kinds[] = { " JOIN ", " LEFT JOIN ", " INNER JOIN " };

	if (percent(grammar, 25)) {
		say(grammar, percent(grammar, 50) ? ", " : " CROSS JOIN ");
		say_source(grammar);
		return;
	}
	say(grammar, CHOOSE(grammar, kinds));
	say_source(grammar);
	say(grammar, " ON ");
	say_comparison(grammar);
}

static void say_from(struct grammar *grammar)
{
	say(grammar, " FROM ");
	say_source(grammar);
	while (percent(grammar, 25) && grammar->alias_count < NAMES_MAX)
		say_join(grammar);
}

/* --- SELECT ------------------------------------------------------------------------------- */

/* Columns come before FROM in the text but after it in meaning: they are written behind and then
 * moved to the front. */
static void move_front(struct buf *sql, size_t start, size_t middle)
{
	size_t front = middle - start, back = sql->len - middle;
	char held[GRAMMAR_TEXT_MAX];

	if (sql->failed || front + back > sizeof(held))
		return;
	memcpy(held, sql->at + start, front);
	memmove(sql->at + start, sql->at + middle, back);
	memcpy(sql->at + start + back, held, front);
}

static void say_columns(struct grammar *grammar, enum shape shape)
{
	switch (shape) {
	case SHAPE_ANSWER:
		say_text(grammar);
		say(grammar, " AS a, ");
		if (percent(grammar, 10)) {
			say(grammar, "max(");
			say_column(grammar, "amount");
			say(grammar, ") OVER (PARTITION BY ");
			say_column(grammar, "id");
			say(grammar, ")");
		} else {
			say_integer(grammar);
		}
		say(grammar, " AS n");
		break;
	case SHAPE_TABLE:
		say_column(grammar, "tenant_id");
		say(grammar, " AS tenant_id, ");
		say_integer(grammar);
		say(grammar, " AS id, ");
		say_text(grammar);
		say(grammar, " AS body, ");
		say_integer(grammar);
		say(grammar, " AS amount");
		break;
	case SHAPE_INTEGER:
		if (percent(grammar, 40)) {
			say(grammar, "count(*)");
			break;
		}
		say(grammar, percent(grammar, 50) ? "max(" : "min(");
		say_own_column(grammar, percent(grammar, 50) ? "id" : "amount");
		say(grammar, ")");
		break;
	case SHAPE_TEXT:
		say(grammar, percent(grammar, 50) ? "max(" : "min(");
		say_own_column(grammar, "body");
		say(grammar, ")");
		break;
	case SHAPE_IDS: say_column(grammar, "id"); break;
	}
}

static void say_core(struct grammar *grammar, enum shape shape)
{
	size_t start, middle, outer = grammar->alias_count, outer_own = grammar->own;

	say(grammar, percent(grammar, 5) ? "SELECT DISTINCT " : "SELECT ");
	start = grammar->sql->len;
	grammar->own = outer;
	say_from(grammar);
	if (percent(grammar, 70)) {
		say(grammar, " WHERE ");
		say_condition(grammar);
	}
	middle = grammar->sql->len;
	say_columns(grammar, shape);
	move_front(grammar->sql, start, middle);
	grammar->alias_count = outer;
	grammar->own = outer_own;
}

static void say_select(struct grammar *grammar, enum shape shape)
{
	static const char *const operators[] = { " UNION ALL ", " UNION ", " EXCEPT ",
		" INTERSECT " };
	bool one = shape == SHAPE_INTEGER || shape == SHAPE_TEXT;

	grammar->depth++;
	say_core(grammar, shape);
	if (!one && grammar->depth < DEPTH_MAX && percent(grammar, 12)) {
		say(grammar, CHOOSE(grammar, operators));
		say_core(grammar, shape);
	}
	grammar->depth--;
}

static void say_with(struct grammar *grammar)
{
	static const char *const usual[] = { "c1", "c2", "recent" };
	static const char *const odd[] = { "main", "temp", "note", "folder", "link", "pg_temp" };
	const char *name;

	while (percent(grammar, 25) && grammar->table_count < NAMES_MAX) {
		name = mean(grammar) || mean(grammar) ? CHOOSE(grammar, odd)
						      : usual[grammar->table_count % LEN(usual)];
		if (grammar->table_count > 0)
			say(grammar, ", ");
		else
			say(grammar, percent(grammar, 20) ? "WITH RECURSIVE " : "WITH ");
		say_name(grammar, name);
		if (percent(grammar, 30))
			say(grammar, " (tenant_id, id, body, amount)");
		say(grammar, " AS ");
		say_derived(grammar);
		grammar->tables[grammar->table_count++] = name;
	}
	if (grammar->table_count > 0)
		say(grammar, " ");
}

/* --- changes ---------------------------------------------------------------------------------- */

static void say_target(struct grammar *grammar, const char *alias)
{
	static const char *const odd[] = { "temp", "pg_temp", "public", "" };

	if (!mean(grammar)) {
		say_schema(grammar, "main");
	} else {
		const char *schema = CHOOSE(grammar, odd);

		if (*schema)
			say_schema(grammar, schema);
	}
	say_name(grammar, any_table(grammar));
	if (alias) {
		say(grammar, " AS ");
		say_name(grammar, alias);
		bring(grammar, alias);
	}
}

static void say_or(struct grammar *grammar)
{
	static const char *const ways[] = { "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK ",
		"OR ABORT " };

	if (grammar->engine == ENGINE_SQLITE && percent(grammar, 5))
		say(grammar, CHOOSE(grammar, ways));
}

static void say_tenant(struct grammar *grammar)
{
	if (!mean(grammar)) {
		say(grammar, ":tenant");
	} else if (percent(grammar, 60)) {
		say(grammar, ":other");
	} else {
		say_column(grammar, "tenant_id");
	}
}

static bool say_returning(struct grammar *grammar)
{
	if (!percent(grammar, 50))
		return false;
	say(grammar, " RETURNING ");
	grammar->alias_count = grammar->own = 0; /* SQLite knows no alias here */
	grammar->depth = percent(grammar, 80) ? DEPTH_MAX : 0;
	say_columns(grammar, SHAPE_ANSWER);
	return true;
}

static void say_upsert(struct grammar *grammar)
{
	if (!percent(grammar, 35))
		return;
	say(grammar, " ON CONFLICT (tenant_id, id) DO ");
	if (percent(grammar, 30)) {
		say(grammar, "NOTHING");
		return;
	}
	bring(grammar, "excluded");
	say(grammar, "UPDATE SET body = ");
	say_text(grammar);
	if (mean(grammar))
		say(grammar, ", tenant_id = :other");
	if (percent(grammar, 40)) {
		say(grammar, " WHERE ");
		say_condition(grammar);
	}
	grammar->alias_count--;
}

static bool say_insert(struct grammar *grammar)
{
	say(grammar, "INSERT ");
	say_or(grammar);
	say(grammar, "INTO ");
	say_target(grammar, "t0");
	say(grammar, " (tenant_id, id, body, amount) ");
	grammar->alias_count = 0;
	if (percent(grammar, 60)) {
		say(grammar, "VALUES (");
		say_tenant(grammar);
		say(grammar, percent(grammar, 50) ? ", :id, :body, " : ", 3, 'three', ");
		buf_u64(grammar->sql, pick(grammar, 9));
		say(grammar, ")");
	} else {
		say(grammar, "SELECT ");
		say_tenant(grammar);
		say(grammar, ", t.id + ");
		buf_u64(grammar->sql, pick(grammar, 3) * 100);
		say(grammar, ", t.body, t.amount FROM ");
		say_table(grammar);
		say(grammar, " AS t WHERE ");
		bring(grammar, "t");
		say_condition(grammar);
	}
	grammar->alias_count = 0;
	bring(grammar, "t0");
	say_upsert(grammar);
	return say_returning(grammar);
}

static bool say_update(struct grammar *grammar)
{
	say(grammar, "UPDATE ");
	say_or(grammar);
	say_target(grammar, "t0");
	say(grammar, " SET body = ");
	if (percent(grammar, 50))
		say(grammar, ":body");
	else
		say_text(grammar);
	if (percent(grammar, 40)) {
		say(grammar, ", amount = ");
		say_integer(grammar);
	}
	if (mean(grammar))
		say(grammar,
			percent(grammar, 60) ? ", tenant_id = :other" : ", tenant_id = :tenant");
	if (percent(grammar, 15)) {
		say_from(grammar);
		grammar->loose = true; /* which of several matching rows counts is not certain */
	}
	say(grammar, " WHERE ");
	if (!percent(grammar, 20)) /* forgotten now and then */
		say(grammar, "t0.tenant_id = :tenant AND ");
	say_condition(grammar);
	return say_returning(grammar);
}

static bool say_delete(struct grammar *grammar)
{
	say(grammar, "DELETE FROM ");
	say_target(grammar, "t0");
	if (grammar->engine == ENGINE_POSTGRES && percent(grammar, 20)) {
		say(grammar, " USING ");
		say_source(grammar);
		grammar->loose = true;
	}
	say(grammar, " WHERE ");
	if (!percent(grammar, 20)) /* forgotten now and then */
		say(grammar, "t0.tenant_id = :tenant AND ");
	say_condition(grammar);
	return say_returning(grammar);
}

/* Puts something where a blank was. */
static void spoil(struct grammar *grammar)
{
	static const char *const things[] = { " main.", " \"main\".", " temp.", "/*", "*/", "--",
		";", "; DELETE FROM main.note;", "'", "\"", " [", "$1", "?", ":tenant",
		"\xef\xbb\xbf", " UNION ALL SELECT body, id FROM main.note ", " OR 1 = 1 ",
		" :other ", "(", ")" };
	char tail[GRAMMAR_TEXT_MAX];
	size_t at = pick(grammar, MAX(grammar->sql->len, (size_t)1)), len;

	while (at < grammar->sql->len && grammar->sql->at[at] != ' ')
		at++;
	if (at >= grammar->sql->len)
		return;
	len = grammar->sql->len - at;
	memcpy(tail, grammar->sql->at + at, len);
	grammar->sql->len = at;
	say(grammar, CHOOSE(grammar, things));
	buf_append(grammar->sql, str_of(tail, len));
	grammar->mean = true;
	grammar->loose = true;
}

void grammar_next(
	uint64_t *random, enum engine_kind engine, struct buf *buf, struct grammar_statement *ret)
{
	struct grammar grammar = { .random = random, .engine = engine, .sql = buf };
	bool rows = true;

	grammar.odd_percent = percent(&grammar, ODD_PERCENT) ? 15 : 0;

	buf_reset(buf);
	say_with(&grammar);
	switch (pick(&grammar, 5)) {
	case 0: rows = say_insert(&grammar); break;
	case 1: rows = say_update(&grammar); break;
	case 2: rows = say_delete(&grammar); break;
	default: say_select(&grammar, SHAPE_ANSWER);
	}
	if (percent(&grammar, BROKEN_PERCENT))
		spoil(&grammar);
	buf_byte(buf, '\0');
	CHECK(!buf->failed);
	*ret = (struct grammar_statement){ str_of(buf->at, buf->len - 1), rows, grammar.loose,
		grammar.mean };
}

/* --- without a guard ------------------------------------------------------ */

/*
 * The same statements on bare SQLite, where nothing keeps tenants apart: many of them change rows
 * of the other tenant or answer differently when those differ. So what the store is tested with
 * does reach for the others.
 */

enum { BARE_STATEMENTS = 2000 };

static sqlite3 *bare_database(const char *others)
{
	static const char tables[] =
		"CREATE TABLE %s (tenant_id, id INTEGER, body, amount, PRIMARY KEY "
		"(tenant_id, id)) WITHOUT ROWID;"
		"INSERT INTO %s VALUES (1,1,'one',10), (1,2,'two',20), (2,1,'%s',77), "
		"(2,2,'theirs',5);";
	sqlite3 *db;

	CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
	for (size_t i = 0; i < LEN(table_names); i++) {
		char *sql = sqlite3_mprintf(tables, table_names[i], table_names[i], others);

		CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
		sqlite3_free(sql);
	}
	return db;
}

static int64_t ask_bare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	int64_t answer;

	CHECK(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(statement) == SQLITE_ROW);
	answer = sqlite3_column_int64(statement, 0);
	CHECK(sqlite3_finalize(statement) == SQLITE_OK);
	return answer;
}

static void bind_bare(sqlite3_stmt *statement)
{
	static const struct {
		const char *name;
		int value;
	} values[] = { { ":tenant", 1 }, { ":other", 2 }, { ":id", 1 }, { ":body", 5 } };

	for (size_t i = 0; i < LEN(values); i++) {
		int at = sqlite3_bind_parameter_index(statement, values[i].name);

		if (at > 0)
			(void)sqlite3_bind_int(statement, at, values[i].value);
	}
}

/* Runs it in a transaction that is rolled back; a number for what it has answered, 0 when it is not
 * SQL. `ret_touched`: whether rows of the other tenant are not what they were. */
static uint64_t run_bare(sqlite3 *db, const char *sql, bool *ret_touched)
{
	static const char others[] =
		"SELECT (SELECT count(*) * 1000003 + total(length(body)) + total(amount) FROM note "
		"WHERE tenant_id = 2) + 31 * (SELECT count(*) * 1000003 + total(length(body)) + "
		"total(amount) FROM folder WHERE tenant_id = 2) + 57 * (SELECT count(*) * 1000003 "
		"+ "
		"total(length(body)) + total(amount) FROM link WHERE tenant_id = 2)";
	sqlite3_stmt *statement;
	uint64_t answer = 1;
	int64_t before = ask_bare(db, others);
	int r;

	*ret_touched = false;
	if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
		return 0;
	CHECK(sqlite3_exec(db, "SAVEPOINT s", NULL, NULL, NULL) == SQLITE_OK);
	bind_bare(statement);
	while ((r = sqlite3_step(statement)) == SQLITE_ROW)
		answer += (uint64_t)sqlite3_column_int64(statement, 1) * 31 +
			  (uint64_t)sqlite3_column_bytes(statement, 0) + 1;
	(void)sqlite3_finalize(statement);
	if (!sqlite3_get_autocommit(db)) {
		*ret_touched = ask_bare(db, others) != before;
		(void)sqlite3_exec(db, "ROLLBACK TO s; RELEASE s", NULL, NULL, NULL);
	}
	return answer + (uint64_t)r * 1000003;
}

TEST(tenancy_grammar_reaches_others_without_a_guard)
{
	sqlite3 *one = bare_database("a secret"), *other = bare_database("another one");
	size_t valid = 0, touching = 0, telling = 0, harmless = 0;
	struct grammar_statement statement;
	uint64_t random = 20260101;
	struct buf buf;

	CHECK(sqlite3_exec(other, "DELETE FROM note WHERE tenant_id = 2 AND id = 2", NULL, NULL,
		      NULL) == SQLITE_OK);
	buf_init(&buf, GRAMMAR_TEXT_MAX);
	for (size_t i = 0; i < BARE_STATEMENTS; i++) {
		uint64_t first, second;
		bool touched;

		grammar_next(&random, ENGINE_SQLITE, &buf, &statement);
		first = run_bare(one, statement.sql.at, &touched);
		second = run_bare(other, statement.sql.at, &touched);
		valid += first != 0;
		touching += touched;
		telling += first != second;
		harmless += first != 0 && first == second && !touched;
	}
	EXPECT(valid > BARE_STATEMENTS / 2);
	EXPECT(touching > BARE_STATEMENTS / 100);
	EXPECT(telling > BARE_STATEMENTS / 10);
	EXPECT(harmless > BARE_STATEMENTS / 10);
	buf_done(&buf);
	(void)sqlite3_close(one);
	(void)sqlite3_close(other);
}
