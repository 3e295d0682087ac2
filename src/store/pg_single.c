/*
 * Whether a change is sure to touch one row at most. If so, nothing that its answer says can be a
 * reason to roll it back, and its COMMIT may travel with it (pg_tx.c). Found in the text, which the
 * grammar of sql_parse.c has let pass:
 *
 *   INSERT with one row of VALUES;
 *   UPDATE and DELETE whose WHERE is a chain of ANDs in which each column of a unique index of the
 *   target is compared with a parameter.
 *
 * Whatever is not plainly so is not sure, which costs a round trip and nothing else.
 */
#include "store/pg.h"

enum { TERM_TOKENS = 5, EQUALS_MAX = 32 };

/* Reads tokens outside of brackets one by one; a bracketed part is one token, its open bracket. */
struct reader {
	struct sql_scan scan;
	struct sql_token token;
};

static bool is_sign(const struct sql_token *token, char sign)
{
	return token->kind == SQL_SIGN && token->text.len == 1 && token->text.at[0] == sign;
}

/* False at the end, and for a text that the scanner does not like. */
static bool advance(struct reader *reader)
{
	struct sql_token inner;
	size_t depth = 1;

	if (sql_next(&reader->scan, &reader->token) < 0 || reader->token.kind == SQL_END)
		return false;
	if (!is_sign(&reader->token, '('))
		return true;
	while (depth > 0) {
		if (sql_next(&reader->scan, &inner) < 0 || inner.kind == SQL_END)
			return false;
		depth += is_sign(&inner, '(');
		depth -= is_sign(&inner, ')');
	}
	return true;
}

/* Goes on behind a word; false when it does not come. */
static bool find(struct reader *reader, const char *word)
{
	while (advance(reader))
		if (sql_is(&reader->token, word))
			return true;
	return false;
}

/* One group of values, and neither a list of them nor a query. */
static bool inserts_one(struct reader *reader)
{
	if (!find(reader, "VALUES") || !advance(reader) || !is_sign(&reader->token, '('))
		return false;
	return !advance(reader) || sql_is(&reader->token, "ON") ||
	       sql_is(&reader->token, "RETURNING") || is_sign(&reader->token, ';');
}

/* --- WHERE ----------------------------------------------------------------------------- */

/* Columns of the target that are compared with parameters. */
struct equals {
	const struct sql_plan *plan;
	bool alone; /* no other table: a bare name is a column of the target */
	struct str columns[EQUALS_MAX];
	size_t count;
};

/* One term of the chain: column = :x, t.column = :x. Others do no harm, they only narrow. */
static void take_term(struct equals *equals, const struct sql_token *term, size_t count)
{
	size_t name = count == 5 ? 2 : 0;

	if ((count != 3 && count != 5) || term[name].kind != SQL_WORD ||
		!is_sign(&term[name + 1], '=') || term[name + 2].kind != SQL_PARAMETER)
		return;
	if (count == 5 && (!is_sign(&term[1], '.') || !str_eq(term[0].body, equals->plan->alias)))
		return;
	if ((count == 3 && !equals->alone) || equals->count == EQUALS_MAX)
		return;
	equals->columns[equals->count++] = term[name].body;
}

/* Words with which an AND is not what it seems, or does not rule alone. */
static bool breaks_chain(const struct sql_token *token)
{
	return sql_is(token, "OR") || sql_is(token, "BETWEEN") || sql_is(token, "CASE");
}

/* Reads all of the WHERE; false when it is no chain. */
static bool read_chain(struct reader *reader, struct equals *equals)
{
	struct sql_token term[TERM_TOKENS];
	size_t count = 0;
	bool more;

	do {
		more = advance(reader) && !sql_is(&reader->token, "RETURNING") &&
		       !is_sign(&reader->token, ';');
		if (!more || sql_is(&reader->token, "AND")) {
			take_term(equals, term, count);
			count = 0;
			continue;
		}
		if (breaks_chain(&reader->token))
			return false;
		if (count < TERM_TOKENS)
			term[count] = reader->token;
		count++;
	} while (more);
	return true;
}

static bool compared(const struct equals *equals, struct str column)
{
	for (size_t i = 0; i < equals->count; i++)
		if (str_eq(equals->columns[i], column))
			return true;
	return false;
}

static bool finds_one(const struct pg_catalog *catalog, const struct equals *equals)
{
	for (size_t i = 0; i < catalog->constraint_count; i++) {
		const struct pg_constraint *index = &catalog->constraints[i];
		bool all = index->kind == PG_UNIQUE_INDEX && index->key_count > 0 &&
			   str_eq(index->table, equals->plan->target);

		for (size_t k = 0; k < index->key_count && all; k++)
			all = compared(equals, index->keys[k]);
		if (all)
			return true;
	}
	return false;
}

bool pg_touches_one(const struct pg_catalog *catalog, struct str text, const struct sql_plan *plan)
{
	static const char *const verbs[] = {
		[SQL_INSERT] = "INSERT", [SQL_UPDATE] = "UPDATE", [SQL_DELETE] = "DELETE"
	};
	struct reader reader = { .scan = { text, ENGINE_POSTGRES } };
	struct equals equals = { .plan = plan, .alone = true };

	if (plan->verb == SQL_READ || !find(&reader, verbs[plan->verb]))
		return false;
	if (plan->verb == SQL_INSERT)
		return inserts_one(&reader);
	while (!sql_is(&reader.token, "WHERE")) {
		if (sql_is(&reader.token, "USING"))
			equals.alone = false;
		if (plan->verb == SQL_UPDATE && sql_is(&reader.token, "FROM"))
			equals.alone = false;
		if (!advance(&reader))
			return false;
	}
	return read_chain(&reader, &equals) && finds_one(catalog, &equals);
}

bool pg_has_limit(struct str text)
{
	struct reader reader = { .scan = { text, ENGINE_POSTGRES } };

	return find(&reader, "LIMIT");
}
