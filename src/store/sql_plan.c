/*
 * From the text of a statement to what an engine runs: chooses the text, cuts it, has it checked,
 * binds its parameters to members, and writes it anew out of the tokens that were checked.
 */
#include "base/buf.h"
#include "base/err.h"
#include "crypto/digest.h"
#include "schema/row.h"
#include "store/sql_parse.h"
#include "store/sql_rules.h"

enum {
	PLAN_CHUNK = 2048,
	NAME_BYTES = 14, /* of the digest that names a prepared statement */
	GROWTH_MAX = 2,  /* of a text by its parameters: ":a" becomes " $64" */
	PLAN_MAX = GROWTH_MAX * SQL_TEXT_MAX + 64 * 1024,
};

#define TOKENS_MAX (SQL_TEXT_MAX * sizeof(struct sql_token) + 64 * KILOBYTE) /* bytes */

static const char *const engine_names[] = { "SQLite", "PostgreSQL" };

/* What a plan is made with. */
struct maker {
	const struct statement *statement;
	enum engine_kind engine;
	struct arena scratch; /* the tokens */
	struct sql_text text;
	struct sql_shape shape;
	struct sql_plan plan;
	struct str param_names[SQL_PARAMS_MAX];
	struct sql_param params[SQL_PARAMS_MAX];
	size_t param_count;
};

/* --- the text --------------------------------------------------------------------- */

static int choose_text(struct maker *maker, struct str *ret)
{
	const struct statement *statement = maker->statement;
	const char *special =
		maker->engine == ENGINE_SQLITE ? statement->sqlite : statement->postgres;
	bool both = statement->sql, either = statement->sqlite || statement->postgres;

	if (!statement->name || !statement->name[0])
		return fail(ERR_INVALID, "a statement without a name");
	if (both == either)
		return fail(ERR_INVALID,
			"%s: a statement has .sql, or .sqlite and .postgres or one of them",
			statement->name);
	if (!both && !special)
		return fail(ERR_INVALID, "%s: there is no text for %s", statement->name,
			engine_names[maker->engine]);
	if (statement->flags & ~(unsigned)(STATEMENT_SYSTEM | STATEMENT_PLAN_ONCE))
		return fail(ERR_INVALID, "%s: an unknown flag", statement->name);

	*ret = str_from_c(both ? statement->sql : special);
	if (ret->len > SQL_TEXT_MAX)
		return fail(ERR_INVALID, "%s: more than %d bytes", statement->name, SQL_TEXT_MAX);
	for (size_t i = 0; i < ret->len; i++)
		if ((unsigned char)ret->at[i] >= 0x7f)
			return fail(ERR_INVALID, "%s: a byte that is not ASCII at position %zu",
				statement->name, i);
	return 0;
}

/* The sentence of the scanner, behind the statement's name. */
static int fail_scan(const struct maker *maker)
{
	char sentence[ERR_TEXT_MAX];

	(void)err_describe(err_last(), sentence, sizeof(sentence));
	return fail(ERR_INVALID, "%s: %s", maker->statement->name, sentence);
}

static int count_tokens(const struct maker *maker, struct str text, size_t *ret)
{
	struct sql_scan scan = { text, maker->engine };
	struct sql_token token;
	size_t count = 0;

	for (;;) {
		if (sql_next(&scan, &token) < 0)
			return fail_scan(maker);
		if (token.kind == SQL_END)
			break;
		count++;
	}
	*ret = count;
	return 0;
}

/* All tokens, and SQL_END behind them. */
static int cut_text(struct maker *maker, struct str text)
{
	struct sql_scan scan = { text, maker->engine };
	struct sql_token *tokens;
	size_t count = 0;
	int r = count_tokens(maker, text, &count);

	if (r < 0)
		return r;
	tokens = arena_alloc(&maker->scratch, (count + 1) * sizeof(*tokens));
	if (!tokens)
		return -(int)err_last()->code;
	for (size_t i = 0; i <= count; i++)
		CHECK(sql_next(&scan, &tokens[i]) == 0);

	maker->text = (struct sql_text){ maker->statement->name, maker->engine,
		maker->statement->flags & STATEMENT_SYSTEM, tokens, count };
	return 0;
}

/* --- parameters ------------------------------------------------------------------- */

static int bind_member(const struct maker *maker, struct str name, struct sql_param *ret)
{
	const struct schema *in = maker->statement->in;
	ptrdiff_t column;

	if (!in)
		return fail(ERR_INVALID, "%s: there is no .in schema for :%.*s",
			maker->statement->name, STR_ARG(str_first(name, SQL_QUOTE_MAX)));
	if (in->tag)
		return fail(ERR_INVALID, "%s: its .in schema %s is a union", maker->statement->name,
			in->type);
	column = row_find(in, name);
	if (column < 0)
		return fail(ERR_INVALID, "%s: :%.*s is not a member of %s", maker->statement->name,
			STR_ARG(str_first(name, SQL_QUOTE_MAX)), in->type);
	*ret = (struct sql_param){ SQL_MEMBER, (size_t)column };
	return 0;
}

/* The number of a parameter from 0 on; the first time it is met it is bound. */
static int param_number(struct maker *maker, struct str name, size_t *ret)
{
	struct sql_param param = { SQL_MEMBER };
	int r = 0;

	for (size_t i = 0; i < maker->param_count; i++)
		if (str_eq(maker->param_names[i], name)) {
			*ret = i;
			return 0;
		}
	if (maker->param_count == SQL_PARAMS_MAX)
		return fail(ERR_INVALID, "%s: more than %d parameters", maker->statement->name,
			SQL_PARAMS_MAX);

	if (str_eq(name, S("tenant")))
		param.source = SQL_TENANT;
	else if (str_eq(name, S("now")))
		param.source = SQL_NOW;
	else
		r = bind_member(maker, name, &param);
	if (r < 0)
		return r;
	*ret = maker->param_count++;
	maker->param_names[*ret] = name;
	maker->params[*ret] = param;
	return 0;
}

/* --- writing ---------------------------------------------------------------------- */

/*
 * Writes the tokens: a space where there was a gap, so that operators of several signs stay
 * together, and in front of each parameter, which would run into a word ("id=:id", but "LIMIT:n").
 */
static int write_tokens(struct maker *maker, struct buf *out)
{
	const char *behind = NULL;

	for (size_t i = 0; i < maker->text.count; i++) {
		const struct sql_token *token = &maker->text.tokens[i];
		size_t number = 0;
		int r;

		if (sql_is_sign(token, ';'))
			break;
		if (behind && (behind != token->text.at || token->kind == SQL_PARAMETER))
			buf_byte(out, ' ');
		behind = token->text.at + token->text.len;
		if (token->kind != SQL_PARAMETER) {
			buf_append(out, token->text);
			continue;
		}
		r = param_number(maker, token->body, &number);
		if (r < 0)
			return r;
		buf_byte(out, maker->engine == ENGINE_SQLITE ? '?' : '$');
		buf_u64(out, number + 1);
	}
	return out->failed;
}

static int write_text(struct maker *maker)
{
	struct buf out;
	int r;

	buf_init(&out, GROWTH_MAX * SQL_TEXT_MAX);
	r = write_tokens(maker, &out);
	if (r == 0) {
		maker->plan.text = arena_str(&maker->plan.arena, buf_str(&out));
		if (!maker->plan.text.at)
			r = -(int)err_last()->code;
	}
	buf_done(&out);
	return r;
}

/* The same statement has the same name in all processes, and no other text or statement has it: two
 * of one text may meet on one connection, where each is prepared. */
static void name_plan(const struct statement *statement, struct sql_plan *plan)
{
	const struct str parts[] = { str_from_c(statement->name), S(":"), plan->text };
	static const char hex[] = "0123456789abcdef";
	uint8_t sum[SHA256_LEN];
	size_t at = 0;

	digest_parts(DIGEST_SHA256, parts, LEN(parts), sum);
	plan->name[at++] = 's';
	for (size_t i = 0; i < NAME_BYTES; i++) {
		plan->name[at++] = hex[sum[i] >> 4];
		plan->name[at++] = hex[sum[i] & 15];
	}
	plan->name[at] = '\0';
}

static int fill_plan(struct maker *maker)
{
	struct sql_plan *plan = &maker->plan;
	size_t tables = maker->shape.tables.count * sizeof(*plan->tables);
	size_t params = maker->param_count * sizeof(*plan->params);

	plan->verb = maker->shape.verb;
	plan->system = maker->text.system;
	plan->table_count = maker->shape.tables.count;
	plan->param_count = maker->param_count;
	plan->target = arena_str(&plan->arena, maker->shape.target);
	plan->alias = arena_str(&plan->arena, maker->shape.alias);
	plan->tables = arena_alloc(&plan->arena, tables);
	plan->params = arena_alloc(&plan->arena, params);
	if (!plan->target.at || !plan->alias.at || !plan->tables || !plan->params)
		return -(int)err_last()->code;

	memcpy(plan->params, maker->params, params);
	for (size_t i = 0; i < plan->table_count; i++) {
		plan->tables[i] = arena_str(&plan->arena, maker->shape.tables.at[i]);
		if (!plan->tables[i].at)
			return -(int)err_last()->code;
	}
	name_plan(maker->statement, plan);
	return 0;
}

static int make(struct maker *maker)
{
	struct str text = { 0 };
	int r = choose_text(maker, &text);

	if (r == 0)
		r = cut_text(maker, text);
	if (r == 0)
		r = sql_parse(&maker->text, &maker->shape);
	if (r == 0)
		r = write_text(maker);
	return r < 0 ? r : fill_plan(maker);
}

int sql_plan_make(const struct statement *statement, enum engine_kind engine, struct sql_plan *ret)
{
	struct maker maker = { .statement = statement, .engine = engine };
	int r;

	arena_init(&maker.scratch, PLAN_CHUNK, TOKENS_MAX);
	arena_init(&maker.plan.arena, PLAN_CHUNK, PLAN_MAX);
	r = make(&maker);
	arena_done(&maker.scratch);
	if (r < 0)
		arena_done(&maker.plan.arena);
	else
		*ret = maker.plan;
	return r;
}

void sql_plan_done(struct sql_plan *plan)
{
	if (plan)
		arena_done(&plan->arena);
}
