/* Statements: those that change rows, with the rules of tenancy, and what they all end with. */
#include "store/sql_parser.h"

/* --- changes ---------------------------------------------------------------------- */

/* main.x [AS y] */
static int parse_target(struct parser *p)
{
	struct sql_shape *shape = p->shape;
	int r;

	if (!sql_is_sign(peek(p, 1), '.') || (!p->text->system && p->at != p->main))
		return REFUSE(p, "the table that is written must be named main.x, not %.*s",
			STR_ARG(parser_next(p)));
	r = take_main_table(p, &shape->target);
	if (r < 0)
		return r;
	shape->alias = shape->target;
	if (accept_word(p, "AS"))
		r = take_table_name(p, &shape->alias);
	return r < 0 ? r : names_add(p, &p->declared, shape->alias);
}

static bool is_tenant_id(struct str name)
{
	return str_eq_nocase(name, S("tenant_id"));
}

/* One side of an assignment: a column, or several in brackets. */
static int parse_assigned(struct parser *p)
{
	bool several = accept_sign(p, '(');
	struct str name;
	int r;

	do {
		r = take_name(p, &name);
		if (r == 0 && !p->text->system && is_tenant_id(name))
			return REFUSE(p, "a row does not change its tenant_id");
	} while (r == 0 && several && accept_sign(p, ','));
	return r == 0 && several ? expect_sign(p, ')') : r;
}

static int parse_assignments(struct parser *p)
{
	int r;

	do {
		r = parse_assigned(p);
		if (r == 0)
			r = expect_sign(p, '=');
		if (r == 0)
			r = parse_expression(p);
	} while (r == 0 && accept_sign(p, ','));
	return r;
}

static int parse_returning(struct parser *p)
{
	int r;

	if (!accept_word(p, "RETURNING"))
		return 0;
	p->no_queries = !p->text->system;
	r = parse_items(p, ANY_PLACE);
	p->no_queries = false;
	return r;
}

/* The end of UPDATE and DELETE. */
static int parse_where_returning(struct parser *p)
{
	struct str table = p->shape->alias;
	struct sql_span condition = { peek(p, 0), 0 };
	int r = 0;

	if (accept_word(p, "WHERE")) {
		condition.at = peek(p, 0);
		r = parse_expression(p);
		condition.count = (size_t)(peek(p, 0) - condition.at);
	} else if (!at_word(p, "RETURNING") && !at_sign(p, ';') && peek(p, 0)->kind != SQL_END) {
		return parser_unexpected(p);
	}
	if (r < 0)
		return r;
	if (!p->text->system && !sql_rule_keeps_tenant(condition, table, p->text->engine))
		return REFUSE(p,
			"its WHERE must be %.*s.tenant_id = :tenant AND ..., with OR and CASE in "
			"brackets only",
			STR_ARG(table));
	return parse_returning(p);
}

/* FROM of UPDATE, USING of DELETE. */
static int parse_beside(struct parser *p)
{
	int r;

	p->beside = true;
	r = parse_from(p);
	p->beside = false;
	return r;
}

static int parse_update(struct parser *p)
{
	int r;

	p->shape->verb = SQL_UPDATE;
	if (at_word(p, "OR"))
		return REFUSE(p, "UPDATE OR ... is not allowed");
	r = parse_target(p);
	if (r == 0)
		r = expect_word(p, "SET");
	if (r == 0)
		r = parse_assignments(p);
	if (r == 0 && accept_word(p, "FROM"))
		r = parse_beside(p);
	return r < 0 ? r : parse_where_returning(p);
}

static int parse_delete(struct parser *p)
{
	int r;

	p->shape->verb = SQL_DELETE;
	r = expect_word(p, "FROM");
	if (r == 0)
		r = parse_target(p);
	if (r == 0 && is_postgres(p) && accept_word(p, "USING"))
		r = parse_beside(p);
	if (r == 0)
		r = parse_where_returning(p);
	if (r == 0 && !is_postgres(p) && accept_word(p, "LIMIT"))
		r = parse_expression(p);
	return r;
}

/* (a, b): where the tenant's place is, ANY_PLACE in a system statement. */
static int parse_columns(struct parser *p, size_t *ret)
{
	size_t place = 0, tenant_at = ANY_PLACE;
	struct str name;
	int r;

	if (!accept_sign(p, '('))
		return REFUSE(p, "INSERT names its columns: (a, b, ...), not %.*s",
			STR_ARG(parser_next(p)));
	do {
		r = take_name(p, &name);
		if (r < 0)
			return r;
		if (is_tenant_id(name) && tenant_at != ANY_PLACE)
			return REFUSE(p, "tenant_id stands twice among the columns");
		if (is_tenant_id(name))
			tenant_at = place;
		place++;
	} while (accept_sign(p, ','));
	if (!p->text->system && tenant_at == ANY_PLACE)
		return REFUSE(p, "tenant_id is not among the columns");
	*ret = p->text->system ? ANY_PLACE : tenant_at;
	return expect_sign(p, ')');
}

/* (a, b) [WHERE c] behind ON CONFLICT; whether the tenant is among them. */
static int parse_conflict_target(struct parser *p, bool *ret_tenant)
{
	struct str name;
	int r;

	if (!accept_sign(p, '('))
		return 0;
	do {
		r = take_name(p, &name);
		if (r == 0 && is_tenant_id(name))
			*ret_tenant = true;
	} while (r == 0 && accept_sign(p, ','));
	if (r == 0)
		r = expect_sign(p, ')');
	if (r == 0 && accept_word(p, "WHERE"))
		r = parse_expression(p);
	return r;
}

/* CONFLICT ... DO ..., behind ON. */
static int parse_conflict(struct parser *p)
{
	bool tenant = false;
	int r;

	r = expect_word(p, "CONFLICT");
	if (r == 0)
		r = parse_conflict_target(p, &tenant);
	if (r == 0)
		r = expect_word(p, "DO");
	if (r < 0 || accept_word(p, "NOTHING"))
		return r;

	r = expect_word(p, "UPDATE");
	if (r == 0)
		r = expect_word(p, "SET");
	if (r == 0 && !tenant && !p->text->system)
		return REFUSE(p, "ON CONFLICT (...) DO UPDATE must name tenant_id, or it could "
				 "change a row of somebody else");
	if (r == 0)
		r = names_add(p, &p->declared, S("excluded"));
	if (r == 0)
		r = parse_assignments(p);
	if (r == 0 && accept_word(p, "WHERE"))
		r = parse_expression(p);
	return r;
}

static int parse_insert(struct parser *p)
{
	size_t tenant_at = ANY_PLACE;
	int r;

	p->shape->verb = SQL_INSERT;
	if (at_word(p, "OR"))
		return REFUSE(p, "INSERT OR ... is not allowed; write INSERT ... ON CONFLICT");
	r = expect_word(p, "INTO");
	if (r == 0)
		r = parse_target(p);
	if (r == 0)
		r = parse_columns(p, &tenant_at);
	if (r == 0)
		r = parse_query(p, tenant_at);
	while (r == 0 && accept_word(p, "ON"))
		r = parse_conflict(p);
	return r < 0 ? r : parse_returning(p);
}

/* --- statements ------------------------------------------------------------------- */

static int parse_statement(struct parser *p)
{
	int r;

	if (at_word(p, "REPLACE"))
		return REFUSE(p, "REPLACE is not allowed; write INSERT ... ON CONFLICT");
	if (accept_word(p, "WITH")) {
		r = parse_ctes(p);
		if (r < 0)
			return r;
	}
	if (accept_word(p, "INSERT"))
		return parse_insert(p);
	if (accept_word(p, "UPDATE"))
		return parse_update(p);
	if (accept_word(p, "DELETE"))
		return parse_delete(p);
	if (!at_word(p, "SELECT") && !at_word(p, "VALUES"))
		return parser_unexpected(p);
	return parse_query_body(p, ANY_PLACE);
}

static int check_end(struct parser *p)
{
	if (accept_sign(p, ';') && peek(p, 0)->kind != SQL_END)
		return REFUSE(p, "there is more than one statement");
	if (peek(p, 0)->kind != SQL_END)
		return parser_unexpected(p);
	if (p->locks && p->shape->verb == SQL_READ)
		return REFUSE(p, "a statement that only reads takes no locks (FOR ...)");
	for (size_t i = 0; i < p->qualifiers.count; i++)
		if (!names_have(&p->declared, p->qualifiers.at[i]))
			return REFUSE(p, "%.*s is neither a table nor an alias of this statement",
				STR_ARG(p->qualifiers.at[i]));
	return 0;
}

int sql_parse(const struct sql_text *text, struct sql_shape *ret)
{
	struct sql_shape shape = { .verb = SQL_READ };
	struct parser parser = { .text = text, .shape = &shape };
	int r;

	r = sql_rule_schemas(text->name, (struct sql_span){ text->tokens, text->count },
		text->system, &parser.main);
	if (r == 0)
		r = parse_statement(&parser);
	if (r == 0)
		r = check_end(&parser);
	if (r == 0 && !text->system && shape.verb == SQL_READ && parser.main != text->count)
		r = REFUSE(&parser, "a statement that only reads does not name main.x");
	if (r == 0)
		*ret = shape;
	return r;
}
