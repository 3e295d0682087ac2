/* Tokens and names, as the parts of the grammar take them. */
#include "store/sql_parser.h"

struct str parser_next(const struct parser *p)
{
	const struct sql_token *token = peek(p, 0);

	if (token->kind == SQL_END)
		return S("the end");
	return str_first(token->text, SQL_QUOTE_MAX);
}

int parser_unexpected(const struct parser *p)
{
	const struct sql_token *before = p->at ? &p->text->tokens[p->at - 1] : NULL;

	if (!before && peek(p, 0)->kind == SQL_END)
		return REFUSE(p, "the text is empty");
	if (!before)
		return REFUSE(p, "a statement cannot begin with %.*s", STR_ARG(parser_next(p)));
	return REFUSE(p, "%.*s is not allowed behind %.*s", STR_ARG(parser_next(p)),
		STR_ARG(str_first(before->text, SQL_QUOTE_MAX)));
}

int expect_word(struct parser *p, const char *word)
{
	if (!accept_word(p, word))
		return REFUSE(p, "%s is expected, not %.*s", word, STR_ARG(parser_next(p)));
	return 0;
}

int expect_sign(struct parser *p, char sign)
{
	if (!accept_sign(p, sign))
		return REFUSE(p, "%c is expected, not %.*s", sign, STR_ARG(parser_next(p)));
	return 0;
}

int parser_enter(struct parser *p)
{
	if (++p->level > SQL_LEVELS_MAX)
		return REFUSE(p, "more than %d brackets and queries in each other", SQL_LEVELS_MAX);
	return 0;
}

/* --- names ------------------------------------------------------------------------ */

bool names_have(const struct sql_names *names, struct str name)
{
	for (size_t i = 0; i < names->count; i++)
		if (str_eq_nocase(names->at[i], name))
			return true;
	return false;
}

int names_add(struct parser *p, struct sql_names *names, struct str name)
{
	if (names_have(names, name))
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

int take_name(struct parser *p, struct str *ret)
{
	const struct sql_token *token = peek(p, 0);
	bool quoted = token->kind == SQL_QUOTED;

	if (!quoted && (token->kind != SQL_WORD || sql_word(token) & WORD_RESERVED))
		return REFUSE(p, "a name is expected, not %.*s", STR_ARG(parser_next(p)));
	if ((quoted && !is_lower(token->body)) || token->body.len > SQL_NAME_MAX)
		return REFUSE(p,
			"the name %.*s is not made of at most %d small letters, digits and _",
			STR_ARG(parser_next(p)), SQL_NAME_MAX);
	p->at++;
	*ret = token->body;
	return 0;
}

int take_table_name(struct parser *p, struct str *ret)
{
	struct str name = { 0 };
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

bool at_alias(const struct parser *p)
{
	const struct sql_token *token = peek(p, 0);

	return token->kind == SQL_QUOTED ||
	       (token->kind == SQL_WORD && !(sql_word(token) & WORD_RESERVED));
}

int take_main_table(struct parser *p, struct str *ret)
{
	int r;

	if (!sql_names(peek(p, 0), "main") || peek(p, 0)->kind == SQL_STRING)
		return REFUSE(p, "%.*s is no schema of ours", STR_ARG(parser_next(p)));
	p->at += 2;
	r = take_table_name(p, ret);
	return r < 0 ? r : names_add(p, &p->shape->tables, *ret);
}
