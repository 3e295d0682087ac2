/*
 * Reads a statement by recursive descent, clause by clause. Clauses, names of tables, aliases and
 * calls are read exactly; between them an expression is a run of tokens of which each is known to
 * be harmless where it stands. What is right beyond that is for the database to say.
 *
 * Recursion is bounded by SQL_LEVELS_MAX: whatever calls itself again goes through enter().
 */
#include "store/sql_parse.h"

#include "base/err.h"
#include "store/sql_rules.h"
#include "store/sql_words.h"

#define ANY_PLACE SIZE_MAX /* the tenant need not stand in a column of this query */

struct parser {
	const struct sql_text *text;
	struct sql_shape *shape;
	size_t at;   /* the next token */
	size_t main; /* the token that may be `main` */
	unsigned level;
	bool locks;      /* FOR UPDATE was there */
	bool beside;     /* in FROM or USING of a change: the target is in the same row of names */
	bool no_queries; /* in RETURNING */
	struct sql_names ctes;       /* common table expressions in sight */
	struct sql_names declared;   /* what may stand in front of a dot: tables, aliases */
	struct sql_names qualifiers; /* what does */
};

static int parse_query(struct parser *p, size_t tenant_at);
static int parse_expression(struct parser *p);
static int parse_expressions(struct parser *p);

/* --- tokens ----------------------------------------------------------------------- */

#define REFUSE(p, format, ...) fail(ERR_INVALID, "%s: " format, (p)->text->name, ##__VA_ARGS__)

static const struct sql_token *peek(const struct parser *p, size_t ahead)
{
	return &p->text->tokens[MIN(p->at + ahead, p->text->count)];
}

static bool is_postgres(const struct parser *p)
{
	return p->text->engine == ENGINE_POSTGRES;
}

static bool at_word(const struct parser *p, const char *word)
{
	return sql_is(peek(p, 0), word);
}

static bool at_sign(const struct parser *p, char sign)
{
	return sql_is_sign(peek(p, 0), sign);
}

static bool accept_word(struct parser *p, const char *word)
{
	bool there = at_word(p, word);

	p->at += there;
	return there;
}

static bool accept_sign(struct parser *p, char sign)
{
	bool there = at_sign(p, sign);

	p->at += there;
	return there;
}

/* What is next, for a sentence. */
static struct str next_text(const struct parser *p)
{
	const struct sql_token *token = peek(p, 0);

	if (token->kind == SQL_END)
		return S("the end");
	return str_first(token->text, SQL_QUOTE_MAX);
}

static int unexpected(const struct parser *p)
{
	const struct sql_token *before = p->at ? &p->text->tokens[p->at - 1] : NULL;

	if (!before && peek(p, 0)->kind == SQL_END)
		return REFUSE(p, "the text is empty");
	if (!before)
		return REFUSE(p, "a statement cannot begin with %.*s", STR_ARG(next_text(p)));
	return REFUSE(p, "%.*s is not allowed behind %.*s", STR_ARG(next_text(p)),
		STR_ARG(str_first(before->text, SQL_QUOTE_MAX)));
}

static int expect_word(struct parser *p, const char *word)
{
	if (!accept_word(p, word))
		return REFUSE(p, "%s is expected, not %.*s", word, STR_ARG(next_text(p)));
	return 0;
}

static int expect_sign(struct parser *p, char sign)
{
	if (!accept_sign(p, sign))
		return REFUSE(p, "%c is expected, not %.*s", sign, STR_ARG(next_text(p)));
	return 0;
}

static int enter(struct parser *p)
{
	if (++p->level > SQL_LEVELS_MAX)
		return REFUSE(p, "more than %d brackets and queries in each other", SQL_LEVELS_MAX);
	return 0;
}

/* --- names ------------------------------------------------------------------------ */

static bool has_name(const struct sql_names *names, struct str name)
{
	for (size_t i = 0; i < names->count; i++)
		if (str_eq_nocase(names->at[i], name))
			return true;
	return false;
}

static int add_name(struct parser *p, struct sql_names *names, struct str name)
{
	if (has_name(names, name))
		return 0;
	if (names->count == SQL_NAMES_MAX)
		return REFUSE(p, "more than %d tables, aliases or the like", SQL_NAMES_MAX);
	names->at[names->count++] = name;
	return 0;
}

static bool is_lower(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (!((c >= 'a' && c <= 'z') || c == '_' || (i && c >= '0' && c <= '9')))
			return false;
	}
	return name.len > 0;
}

/* A name of a column or of anything else: bare, or quoted and plain all the same, so that there is
 * one way to read it. */
static int take_name(struct parser *p, struct str *ret)
{
	const struct sql_token *token = peek(p, 0);
	bool quoted = token->kind == SQL_QUOTED;

	if (!quoted && (token->kind != SQL_WORD || sql_word(token) & WORD_RESERVED))
		return REFUSE(p, "a name is expected, not %.*s", STR_ARG(next_text(p)));
	if ((quoted && !is_lower(token->body)) || token->body.len > SQL_NAME_MAX)
		return REFUSE(p,
			"the name %.*s is not made of at most %d small letters, digits and _",
			STR_ARG(next_text(p)), SQL_NAME_MAX);
	p->at++;
	*ret = token->body;
	return 0;
}

/* The name of a table, an alias or a common table expression. */
static int take_table_name(struct parser *p, struct str *ret)
{
	struct str name;
	int r = take_name(p, &name);

	if (r < 0)
		return r;
	if (!is_lower(name))
		return REFUSE(p, "the name %.*s is not in small letters", STR_ARG(name));
	if (sql_rule_taken(name))
		return REFUSE(p, "no table or alias may be called %.*s", STR_ARG(name));
	*ret = name;
	return 0;
}

/* True when the next token can be an alias without AS in front. */
static bool at_alias(const struct parser *p)
{
	const struct sql_token *token = peek(p, 0);

	return token->kind == SQL_QUOTED ||
	       (token->kind == SQL_WORD && !(sql_word(token) & WORD_RESERVED));
}

/* (a, b); with `types`, each may have one: (a uuid, b text). Behind the bracket. */
static int parse_type(struct parser *p);

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

/* --- expressions ------------------------------------------------------------------ */

/* uuid, double precision, numeric(10, 2), text[] */
static int parse_type(struct parser *p)
{
	if (!sql_type_allowed(peek(p, 0), p->text->engine, p->text->system))
		return REFUSE(p, "%.*s is not on the list of types", STR_ARG(next_text(p)));
	if (at_word(p, "double") && !sql_is(peek(p, 1), "precision"))
		return REFUSE(p, "the type is called double precision");
	p->at += at_word(p, "double") ? 2 : 1;

	if (accept_sign(p, '(')) {
		do {
			if (peek(p, 0)->kind != SQL_NUMBER)
				return unexpected(p);
			p->at++;
		} while (accept_sign(p, ','));
		if (!accept_sign(p, ')'))
			return unexpected(p);
	}
	if (is_postgres(p) && accept_sign(p, '['))
		return expect_sign(p, ']');
	return 0;
}

/* (query) or (a, b), from the bracket on */
static int parse_brackets(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = enter(p);

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
			return unexpected(p);
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
	int r = enter(p);

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

static int parse_call(
	struct parser *p, enum sql_call call) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	if (!sql_function_allowed(peek(p, 0), p->text->engine, call, p->text->system))
		return REFUSE(p, "%.*s is not on the list of functions that %s may call%s",
			STR_ARG(next_text(p)), p->text->system ? "system statements" : "statements",
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
		r = add_name(p, &p->qualifiers, name);
	if (r < 0)
		return r;

	p->at++;
	if (accept_sign(p, '*'))
		return 0;
	r = take_name(p, &name);
	return r == 0 && (at_sign(p, '(') || at_sign(p, '.')) ? unexpected(p) : r;
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
		return unexpected(p);
	p->at++;
	return 0;
}

/* CAST(a AS uuid) */
static int parse_cast(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	int r = enter(p);

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
	int r = enter(p);

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
	int r = enter(p);

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
static int parse_keyword(
	struct parser *p, unsigned flags) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	const struct sql_token *word = peek(p, 0);

	if (flags & WORD_REFUSED)
		return REFUSE(p, "%.*s is not allowed", STR_ARG(next_text(p)));
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
			return REFUSE(
				p, "%.*s is not on the list of collations", STR_ARG(next_text(p)));
		p->at++;
		return 0;
	}
	if (sql_is(word, "IN") || sql_is(word, "EXISTS"))
		return at_sign(p, '(') ? 0 : unexpected(p); /* IN x reads a table on SQLite */
	return at_sign(p, '(') && !(flags & WORD_BRACKET) ? unexpected(p) : 0;
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
		r = enter(p);
		p->at++;
		if (r == 0)
			r = parse_expressions(p);
		p->level--;
		return r < 0 ? r : expect_sign(p, ']');
	}
	if (!strchr(is_postgres(p) ? "+-*/%=<>!|&~^@#" : "+-*/%=<>!|&~", sign->text.at[0]))
		return unexpected(p);
	p->at++;
	return 0;
}

static bool ends_expression(const struct sql_token *token)
{
	if (token->kind == SQL_SIGN)
		return token->text.len == 1 && strchr(")],;", token->text.at[0]);
	return token->kind == SQL_END || sql_word(token) & WORD_CLAUSE;
}

static int parse_expression(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
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
	return r == 0 && p->at == from ? unexpected(p) : r;
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
	if (p->beside && str_eq(name, p->shape->alias))
		return REFUSE(p, "%.*s is the table that is written; the other needs an alias",
			STR_ARG(name));
	return name.len ? add_name(p, &p->declared, name) : 0;
}

static int parse_table_call(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	struct str name = peek(p, 0)->body;
	int r = parse_call(p, CALL_TABLE);

	if (r < 0)
		return r;
	if (is_postgres(p) && accept_word(p, "WITH") && !accept_word(p, "ORDINALITY"))
		return unexpected(p);
	return parse_alias(p, name);
}

/* main.x, for system statements. */
static int parse_main_table(struct parser *p, struct str *ret)
{
	int r;

	if (!sql_names(peek(p, 0), "main") || peek(p, 0)->kind == SQL_STRING)
		return REFUSE(p, "%.*s is no schema of ours", STR_ARG(next_text(p)));
	p->at += 2;
	r = take_table_name(p, ret);
	return r < 0 ? r : add_name(p, &p->shape->tables, *ret);
}

static int parse_table(struct parser *p)
{
	struct str name;
	int r;

	if (sql_is_sign(peek(p, 1), '.')) {
		if (!p->text->system)
			return REFUSE(p, "tables are read by their plain name, not as %.*s.x",
				STR_ARG(next_text(p)));
		r = parse_main_table(p, &name);
	} else {
		r = take_table_name(p, &name);
		if (r == 0 && !has_name(&p->ctes, name)) {
			if (p->text->system)
				return REFUSE(p, "a system statement names its tables main.%.*s",
					STR_ARG(name));
			r = add_name(p, &p->shape->tables, name);
		}
	}
	return r < 0 ? r : parse_alias(p, name);
}

static int parse_from(struct parser *p);

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
	r = enter(p);
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
	return begun ? unexpected(p) : 0;
}

static int parse_from(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
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
static int parse_items(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
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
	return is_postgres(p) && at_sign(p, '(') ? parse_brackets(p) : unexpected(p);
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
static int parse_ctes(struct parser *p) /* NOLINT(misc-no-recursion): SQL_LEVELS_MAX */
{
	bool recursive = accept_word(p, "RECURSIVE");
	struct str name;
	int r;

	do {
		r = take_table_name(p, &name);
		if (r == 0 && recursive)
			r = add_name(p, &p->ctes, name);
		if (r == 0 && accept_sign(p, '('))
			r = parse_names(p, false);
		if (r == 0)
			r = expect_word(p, "AS");
		if (r < 0)
			return r;
		if (accept_word(p, "NOT") && !at_word(p, "MATERIALIZED"))
			return unexpected(p);
		(void)accept_word(p, "MATERIALIZED");
		r = expect_sign(p, '(');
		if (r == 0)
			r = parse_query(p, ANY_PLACE);
		if (r == 0)
			r = expect_sign(p, ')');
		if (r == 0)
			r = add_name(p, &p->ctes, name);
	} while (r == 0 && accept_sign(p, ','));
	return r;
}

/* A query behind its WITH. */
static int parse_body(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
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
static int parse_query(struct parser *p, size_t tenant_at) /* NOLINT(misc-no-recursion): LEVELS */
{
	size_t outer = p->ctes.count;
	bool beside = p->beside;
	int r = enter(p);

	p->beside = false;
	if (r == 0 && p->no_queries)
		r = REFUSE(p, "there is no query in RETURNING");
	if (r == 0 && accept_word(p, "WITH"))
		r = parse_ctes(p);
	if (r == 0)
		r = parse_body(p, tenant_at);
	p->level--;
	p->beside = beside;
	p->ctes.count = outer;
	return r;
}

/* --- changes ---------------------------------------------------------------------- */

/* main.x [AS y] */
static int parse_target(struct parser *p)
{
	struct sql_shape *shape = p->shape;
	int r;

	if (!sql_is_sign(peek(p, 1), '.') || (!p->text->system && p->at != p->main))
		return REFUSE(p, "the table that is written must be named main.x, not %.*s",
			STR_ARG(next_text(p)));
	r = parse_main_table(p, &shape->target);
	if (r < 0)
		return r;
	shape->alias = shape->target;
	if (accept_word(p, "AS"))
		r = take_table_name(p, &shape->alias);
	return r < 0 ? r : add_name(p, &p->declared, shape->alias);
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
		return unexpected(p);
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
			STR_ARG(next_text(p)));
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
		r = add_name(p, &p->declared, S("excluded"));
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
		return unexpected(p);
	return parse_body(p, ANY_PLACE);
}

static int check_end(struct parser *p)
{
	if (accept_sign(p, ';') && peek(p, 0)->kind != SQL_END)
		return REFUSE(p, "there is more than one statement");
	if (peek(p, 0)->kind != SQL_END)
		return unexpected(p);
	if (p->locks && p->shape->verb == SQL_READ)
		return REFUSE(p, "a statement that only reads takes no locks (FOR ...)");
	for (size_t i = 0; i < p->qualifiers.count; i++)
		if (!has_name(&p->declared, p->qualifiers.at[i]))
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
