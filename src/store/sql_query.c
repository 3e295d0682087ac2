/*
 * Queries and expressions. Clauses, names of tables, aliases and calls are read exactly; between
 * them an expression is a run of tokens of which each is known to be harmless where it stands. What
 * is right beyond that is for the database to say.
 *
 * Recursion is bounded by SQL_LEVELS_MAX: whatever calls itself again goes through parser_enter().
 */
#include "store/sql_parser.h"

static int parse_expressions(struct parser *p);

/* --- expressions ------------------------------------------------------------------ */

/* uuid, double precision, numeric(10, 2), text[] */
static int parse_type(struct parser *p)
{
	if (!sql_type_allowed(peek(p, 0), p->text->engine, p->text->system))
		return REFUSE(p, "%.*s is not on the list of types", STR_ARG(parser_next(p)));
	if (at_word(p, "double") && !sql_is(peek(p, 1), "precision"))
		return REFUSE(p, "the type is called double precision");
	p->at += at_word(p, "double") ? 2 : 1;

	if (accept_sign(p, '(')) {
		do {
			if (peek(p, 0)->kind != SQL_NUMBER)
				return parser_unexpected(p);
			p->at++;
		} while (accept_sign(p, ','));
		if (!accept_sign(p, ')'))
			return parser_unexpected(p);
	}
	if (is_postgres(p) && accept_sign(p, '['))
		return expect_sign(p, ']');
	return 0;
}

/* (a, b); with `types`, each may have one: (a uuid, b text). Behind the bracket. */
static int parse_names(struct parser *p, bool types)
{
	struct str name;
	int r;

	do {
		r = take_name(p, &name);
		if (r == 0 && types && at_alias(p))
			r = parse_type(p);
		if (r < 0)
			return r;
	} while (accept_sign(p, ','));
	return expect_sign(p, ')');
}

/* (query) or (a, b), from the bracket on */
static int parse_brackets(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parser_enter(p);

	if (r < 0)
		return r;
	p->at++;
	if (at_word(p, "SELECT") || at_word(p, "WITH") || at_word(p, "VALUES"))
		r = parse_query(p, ANY_PLACE);
	else
		r = parse_expressions(p);
	p->level--;
	return r < 0 ? r : expect_sign(p, ')');
}

/* a [ASC | DESC] [NULLS FIRST | LAST], ... */
static int parse_order(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r;

	do {
		r = parse_expression(p);
		if (r < 0)
			return r;
		if (!accept_word(p, "ASC"))
			(void)accept_word(p, "DESC");
		if (accept_word(p, "NULLS") && !accept_word(p, "FIRST") && !accept_word(p, "LAST"))
			return parser_unexpected(p);
	} while (accept_sign(p, ','));
	return 0;
}

static int parse_order_by(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r;

	if (!accept_word(p, "ORDER"))
		return 0;
	r = expect_word(p, "BY");
	return r < 0 ? r : parse_order(p);
}

/* The arguments of a call, from the bracket on. */
static int parse_arguments(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parser_enter(p);

	if (r < 0)
		return r;
	p->at++;
	if (!at_sign(p, ')')) {
		(void)accept_word(p, "DISTINCT");
		r = parse_expressions(p);
		if (r == 0)
			r = parse_order_by(p);
	}
	p->level--;
	return r < 0 ? r : expect_sign(p, ')');
}

/* NOLINTNEXTLINE(misc-no-recursion): SQL_LEVELS_MAX */
static int parse_call(struct parser *p, enum sql_call call)
{
	if (!sql_function_allowed(peek(p, 0), p->text->engine, call, p->text->system))
		return REFUSE(p, "%.*s is not on the list of functions that %s may call%s",
			STR_ARG(parser_next(p)),
			p->text->system ? "system statements" : "statements",
			call == CALL_TABLE ? " as a table" : "");
	p->at++;
	return parse_arguments(p);
}

/* n.title, n.*: functions and schemas have no qualified names here, so there is neither a bracket
 * nor another dot behind it. */
static int parse_qualified(struct parser *p)
{
	struct str name;
	int r = take_table_name(p, &name);

	if (r == 0)
		r = names_add(p, &p->qualifiers, name);
	if (r < 0)
		return r;

	p->at++;
	if (accept_sign(p, '*'))
		return 0;
	r = take_name(p, &name);
	return r == 0 && (at_sign(p, '(') || at_sign(p, '.')) ? parser_unexpected(p) : r;
}

static int parse_name(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	struct str name;

	if (sql_is_sign(peek(p, 1), '.'))
		return parse_qualified(p);
	if (sql_is_sign(peek(p, 1), '('))
		return parse_call(p, CALL_VALUE);
	return take_name(p, &name);
}

/* A name in front of a string makes it a literal of a type: date 'today', regclass 'x'. */
static int parse_string(struct parser *p)
{
	const struct sql_token *before = p->at ? peek(p, 0) - 1 : NULL;

	if (before && (before->kind == SQL_QUOTED || before->kind == SQL_STRING ||
			      (before->kind == SQL_WORD && !sql_word(before))))
		return parser_unexpected(p);
	p->at++;
	return 0;
}

/* CAST(a AS uuid) */
static int parse_cast(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parser_enter(p);

	p->at++;
	if (r == 0)
		r = expect_sign(p, '(');
	if (r == 0)
		r = parse_expression(p);
	if (r == 0)
		r = expect_word(p, "AS");
	if (r == 0)
		r = parse_type(p);
	p->level--;
	return r < 0 ? r : expect_sign(p, ')');
}

/* FILTER (WHERE a) */
static int parse_filter(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parser_enter(p);

	p->at++;
	if (r == 0)
		r = expect_sign(p, '(');
	if (r == 0)
		r = expect_word(p, "WHERE");
	if (r == 0)
		r = parse_expression(p);
	p->level--;
	return r < 0 ? r : expect_sign(p, ')');
}

/* (PARTITION BY a ORDER BY b ROWS ...), from the bracket on. The words of partition and frame are
 * of no harm, and so read as expressions. */
static int parse_window(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parser_enter(p);

	if (r == 0)
		r = expect_sign(p, '(');
	if (r == 0 && !at_word(p, "ORDER") && !at_sign(p, ')'))
		r = parse_expressions(p);
	if (r == 0)
		r = parse_order_by(p);
	if (r == 0 && !at_sign(p, ')'))
		r = parse_expression(p);
	p->level--;
	return r < 0 ? r : expect_sign(p, ')');
}

/* A word of an expression that is no name. */
/* NOLINTNEXTLINE(misc-no-recursion): SQL_LEVELS_MAX */
static int parse_keyword(struct parser *p, unsigned flags)
{
	const struct sql_token *word = peek(p, 0);

	if (flags & WORD_REFUSED)
		return REFUSE(p, "%.*s is not allowed", STR_ARG(parser_next(p)));
	if (sql_is(word, "CAST"))
		return parse_cast(p);
	if (sql_is(word, "FILTER"))
		return parse_filter(p);

	p->at++;
	if (sql_is(word, "OVER"))
		return at_sign(p, '(') ? parse_window(p) : parse_name(p);
	if (sql_is(word, "DISTINCT"))
		return expect_word(p, "FROM"); /* IS DISTINCT FROM */
	if (sql_is(word, "COLLATE")) {
		if (!sql_collation_allowed(peek(p, 0), p->text->engine))
			return REFUSE(p, "%.*s is not on the list of collations",
				STR_ARG(parser_next(p)));
		p->at++;
		return 0;
	}
	if (sql_is(word, "IN") || sql_is(word, "EXISTS"))
		return at_sign(p, '(') ? 0 : parser_unexpected(p); /* SQLite: IN table */
	return at_sign(p, '(') && !(flags & WORD_BRACKET) ? parser_unexpected(p) : 0;
}

static int parse_sign(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	const struct sql_token *sign = peek(p, 0);
	int r;

	if (sign->text.len == 2) {
		if (!is_postgres(p))
			return REFUSE(p, ":: is PostgreSQL's; write CAST(... AS ...)");
		p->at++;
		return parse_type(p);
	}
	if (sign->text.at[0] == '(')
		return parse_brackets(p);
	if (is_postgres(p) && sign->text.at[0] == '[') {
		r = parser_enter(p);
		p->at++;
		if (r == 0)
			r = parse_expressions(p);
		p->level--;
		return r < 0 ? r : expect_sign(p, ']');
	}
	if (!strchr(is_postgres(p) ? "+-*/%=<>!|&~^@#" : "+-*/%=<>!|&~", sign->text.at[0]))
		return parser_unexpected(p);
	p->at++;
	return 0;
}

static bool ends_expression(const struct sql_token *token)
{
	if (token->kind == SQL_SIGN)
		return token->text.len == 1 && strchr(")],;", token->text.at[0]);
	return token->kind == SQL_END || sql_word(token) & WORD_CLAUSE;
}

int parse_expression(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	size_t from = p->at;
	int r = 0;

	while (r == 0 && !ends_expression(peek(p, 0))) {
		const struct sql_token *token = peek(p, 0);
		unsigned flags = sql_word(token);

		if (token->kind == SQL_SIGN)
			r = parse_sign(p);
		else if (token->kind == SQL_STRING)
			r = parse_string(p);
		else if (token->kind == SQL_NUMBER || token->kind == SQL_PARAMETER)
			p->at++;
		else
			r = flags ? parse_keyword(p, flags) : parse_name(p);
	}
	return r == 0 && p->at == from ? parser_unexpected(p) : r;
}

static int parse_expressions(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r;

	do
		r = parse_expression(p);
	while (r == 0 && accept_sign(p, ','));
	return r;
}

/* --- FROM ------------------------------------------------------------------------- */

/* The alias of what stands behind FROM, or the name that it has without one. */
static int parse_alias(struct parser *p, struct str name)
{
	int r;

	if (accept_word(p, "AS") || at_alias(p)) {
		r = take_table_name(p, &name);
		if (r < 0)
			return r;
		if (accept_sign(p, '('))
			r = parse_names(p, is_postgres(p));
		if (r < 0)
			return r;
	}
	if (p->beside && str_eq_nocase(name, p->shape->alias))
		return REFUSE(p, "%.*s is the table that is written; the other needs an alias",
			STR_ARG(name));
	return name.len ? names_add(p, &p->declared, name) : 0;
}

static int parse_table_call(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	struct str name = peek(p, 0)->body;
	int r = parse_call(p, CALL_TABLE);

	if (r < 0)
		return r;
	if (is_postgres(p) && accept_word(p, "WITH") && !accept_word(p, "ORDINALITY"))
		return parser_unexpected(p);
	return parse_alias(p, name);
}

static int parse_table(struct parser *p)
{
	struct str name;
	int r;

	if (sql_is_sign(peek(p, 1), '.')) {
		if (!p->text->system)
			return REFUSE(p, "tables are read by their plain name, not as %.*s.x",
				STR_ARG(parser_next(p)));
		r = take_main_table(p, &name);
	} else {
		r = take_table_name(p, &name);
		if (r == 0 && !names_have(&p->ctes, name)) {
			if (p->text->system)
				return REFUSE(p, "a system statement names its tables main.%.*s",
					STR_ARG(name));
			r = names_add(p, &p->shape->tables, name);
		}
	}
	return r < 0 ? r : parse_alias(p, name);
}

static int parse_source(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	bool query;
	int r;

	if (is_postgres(p))
		(void)accept_word(p, "LATERAL");
	if (!at_sign(p, '('))
		return sql_is_sign(peek(p, 1), '(') ? parse_table_call(p) : parse_table(p);

	p->at++;
	query = at_word(p, "SELECT") || at_word(p, "WITH") || at_word(p, "VALUES");
	r = parser_enter(p);
	if (r == 0)
		r = query ? parse_query(p, ANY_PLACE) : parse_from(p);
	p->level--;
	if (r == 0)
		r = expect_sign(p, ')');
	return r < 0 || !query ? r : parse_alias(p, S(""));
}

/* [INNER | LEFT [OUTER] | ...] JOIN; false when there is none. */
static int parse_join(struct parser *p)
{
	bool begun = true;

	if (accept_word(p, "LEFT") || accept_word(p, "RIGHT") || accept_word(p, "FULL"))
		(void)accept_word(p, "OUTER");
	else if (!accept_word(p, "INNER") && !accept_word(p, "CROSS"))
		begun = false;

	if (accept_word(p, "JOIN"))
		return 1;
	return begun ? parser_unexpected(p) : 0;
}

int parse_from(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = parse_source(p), joined;

	while (r == 0) {
		if (accept_sign(p, ',')) {
			r = parse_source(p);
			continue;
		}
		joined = parse_join(p);
		if (joined <= 0)
			return joined;
		r = parse_source(p);
		if (r == 0 && accept_word(p, "ON")) {
			r = parse_expression(p);
		} else if (r == 0 && accept_word(p, "USING")) {
			r = expect_sign(p, '(');
			if (r == 0)
				r = parse_names(p, false);
		}
	}
	return r;
}

/* --- queries ---------------------------------------------------------------------- */

/* Of a row that is inserted: the value at the tenant's place is the tenant, and no star in front of
 * it moves the places. */
static int check_place(struct parser *p, size_t from, size_t place, size_t tenant_at)
{
	struct sql_span item = { &p->text->tokens[from], p->at - from };

	if (tenant_at == ANY_PLACE || place > tenant_at)
		return 0;
	if (place == tenant_at && !sql_rule_is_tenant(item, p->text->engine))
		return REFUSE(p, "the value of tenant_id must be :tenant, not %.*s",
			STR_ARG(str_first(item.at->text, SQL_QUOTE_MAX)));
	if (sql_is_sign(&item.at[item.count - 1], '*'))
		return REFUSE(p, "a * stands in front of the value of tenant_id");
	return 0;
}

/* What is selected, returned or in a row: a, b AS c, ... */
int parse_items(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	size_t place = 0;
	struct str name;
	int r;

	do {
		size_t from = p->at;

		r = parse_expression(p);
		if (r == 0)
			r = check_place(p, from, place++, tenant_at);
		if (r == 0 && accept_word(p, "AS"))
			r = take_name(p, &name);
	} while (r == 0 && accept_sign(p, ','));
	if (r == 0 && tenant_at != ANY_PLACE && place <= tenant_at)
		return REFUSE(p, "there is no value for tenant_id");
	return r;
}

/* VALUES (a, b), ... behind the word. */
static int parse_values(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	int r;

	do {
		r = expect_sign(p, '(');
		if (r == 0)
			r = parse_items(p, tenant_at);
		if (r == 0)
			r = expect_sign(p, ')');
	} while (r == 0 && accept_sign(p, ','));
	return r;
}

/* WINDOW a AS (...), ... */
static int parse_windows(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	struct str name;
	int r;

	do {
		r = take_name(p, &name);
		if (r == 0)
			r = expect_word(p, "AS");
		if (r == 0)
			r = parse_window(p);
	} while (r == 0 && accept_sign(p, ','));
	return r;
}

/* SELECT's part in front of the list. */
static int parse_distinct(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	if (!accept_word(p, "DISTINCT")) {
		(void)accept_word(p, "ALL");
		return 0;
	}
	if (!accept_word(p, "ON"))
		return 0;
	return is_postgres(p) && at_sign(p, '(') ? parse_brackets(p) : parser_unexpected(p);
}

static int parse_core(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	int r;

	if (accept_word(p, "VALUES"))
		return parse_values(p, tenant_at);
	r = expect_word(p, "SELECT");
	if (r == 0)
		r = parse_distinct(p);
	if (r == 0)
		r = parse_items(p, tenant_at);
	if (r == 0 && accept_word(p, "FROM"))
		r = parse_from(p);
	if (r == 0 && accept_word(p, "WHERE"))
		r = parse_expression(p);
	if (r == 0 && accept_word(p, "GROUP")) {
		r = expect_word(p, "BY");
		if (r == 0)
			r = parse_expressions(p);
	}
	if (r == 0 && accept_word(p, "HAVING"))
		r = parse_expression(p);
	if (r == 0 && accept_word(p, "WINDOW"))
		r = parse_windows(p);
	return r;
}

/* LIMIT a [OFFSET b] */
static int parse_limit(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = 0;

	if (accept_word(p, "LIMIT"))
		r = parse_expression(p);
	if (r == 0 && accept_word(p, "OFFSET"))
		r = parse_expression(p);
	return r;
}

/* FOR UPDATE and its like, behind FOR. */
static int parse_lock(struct parser *p)
{
	struct str name;
	int r;

	p->locks = true;
	if (accept_word(p, "NO")) {
		r = expect_word(p, "KEY");
		if (r == 0)
			r = expect_word(p, "UPDATE");
	} else if (accept_word(p, "KEY")) {
		r = expect_word(p, "SHARE");
	} else {
		r = accept_word(p, "UPDATE") ? 0 : expect_word(p, "SHARE");
	}
	if (r == 0 && accept_word(p, "OF")) {
		do
			r = take_table_name(p, &name);
		while (r == 0 && accept_sign(p, ','));
	}
	if (r == 0 && accept_word(p, "SKIP"))
		r = expect_word(p, "LOCKED");
	else
		(void)accept_word(p, "NOWAIT");
	return r;
}

/* a [(b, c)] AS [[NOT] MATERIALIZED] (query), ... behind WITH. */
int parse_ctes(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	bool recursive = accept_word(p, "RECURSIVE");
	struct str name;
	int r;

	do {
		r = take_table_name(p, &name);
		if (r == 0 && recursive)
			r = names_add(p, &p->ctes, name);
		if (r == 0 && accept_sign(p, '('))
			r = parse_names(p, false);
		if (r == 0)
			r = expect_word(p, "AS");
		if (r < 0)
			return r;
		if (accept_word(p, "NOT") && !at_word(p, "MATERIALIZED"))
			return parser_unexpected(p);
		(void)accept_word(p, "MATERIALIZED");
		r = expect_sign(p, '(');
		if (r == 0)
			r = parse_query(p, ANY_PLACE);
		if (r == 0)
			r = expect_sign(p, ')');
		if (r == 0)
			r = names_add(p, &p->ctes, name);
	} while (r == 0 && accept_sign(p, ','));
	return r;
}

/* A query behind its WITH. */
int parse_query_body(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	int r = parse_core(p, tenant_at);

	while (r == 0 && (accept_word(p, "UNION") || accept_word(p, "INTERSECT") ||
				 accept_word(p, "EXCEPT"))) {
		(void)accept_word(p, "ALL");
		r = parse_core(p, tenant_at);
	}
	if (r == 0)
		r = parse_order_by(p);
	if (r == 0)
		r = parse_limit(p);
	if (r == 0 && is_postgres(p) && accept_word(p, "FOR"))
		r = parse_lock(p);
	return r;
}

/* `tenant_at`: the column that must be the tenant, counted from 0. */
int parse_query(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	size_t outer = p->ctes.count;
	bool beside = p->beside;
	int r = parser_enter(p);

	p->beside = false;
	if (r == 0 && p->no_queries)
		r = REFUSE(p, "there is no query in RETURNING");
	if (r == 0 && accept_word(p, "WITH"))
		r = parse_ctes(p);
	if (r == 0)
		r = parse_query_body(p, tenant_at);
	p->level--;
	p->beside = beside;
	p->ctes.count = outer;
	return r;
}
