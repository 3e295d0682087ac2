/*
 * What reads a statement: the place in its tokens, and what was found so far. The parts of the
 * grammar share it. Internal to this folder.
 */
#ifndef STORE_SQL_PARSER_H
#define STORE_SQL_PARSER_H

#include "base/err.h"
#include "store/sql_parse.h"
#include "store/sql_rules.h"
#include "store/sql_words.h"

#include <stdint.h>

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

/* --- tokens ----------------------------------------------------------------------- */

/* Fails with the statement's name in front. */
#define REFUSE(p, format, ...) fail(ERR_INVALID, "%s: " format, (p)->text->name, ##__VA_ARGS__)

/* The token that many behind the next one; SQL_END beyond the last. */
static inline const struct sql_token *peek(const struct parser *p, size_t ahead)
{
	return &p->text->tokens[MIN(p->at + ahead, p->text->count)];
}

static inline bool is_postgres(const struct parser *p)
{
	return p->text->engine == ENGINE_POSTGRES;
}

static inline bool at_word(const struct parser *p, const char *word)
{
	return sql_is(peek(p, 0), word);
}

static inline bool at_sign(const struct parser *p, char sign)
{
	return sql_is_sign(peek(p, 0), sign);
}

/* Takes the next token when it is that; whether it was. */
static inline bool accept_word(struct parser *p, const char *word)
{
	bool there = at_word(p, word);

	p->at += there;
	return there;
}

static inline bool accept_sign(struct parser *p, char sign)
{
	bool there = at_sign(p, sign);

	p->at += there;
	return there;
}

/* Takes the next token, which must be that. */
int expect_word(struct parser *p, const char *word);
int expect_sign(struct parser *p, char sign);

/* Fails: the next token is not allowed behind the last one. */
int parser_unexpected(const struct parser *p);

/* What is next, for a sentence. */
struct str parser_next(const struct parser *p);

/* One level deeper in brackets and queries; the caller goes up again by itself. */
int parser_enter(struct parser *p);

/* --- names ------------------------------------------------------------------------ */

bool names_have(const struct sql_names *names, struct str name);
int names_add(struct parser *p, struct sql_names *names, struct str name);

/* A name of a column or of anything else: bare, or quoted and plain all the same, so that there is
 * one way to read it. */
int take_name(struct parser *p, struct str *ret);

/* The name of a table, an alias or a common table expression. */
int take_table_name(struct parser *p, struct str *ret);

/* main.x: only x, which goes to the tables of the statement. */
int take_main_table(struct parser *p, struct str *ret);

/* True when the next token can be an alias without AS in front. */
bool at_alias(const struct parser *p);

/* --- queries (sql_query.c) ----------------------------------------------------------- */

#define ANY_PLACE SIZE_MAX /* the tenant need not stand in a column of this query */

/* A run of tokens up to a comma, a closing bracket or the next clause. */
int parse_expression(struct parser *p);

/* What stands behind FROM. */
int parse_from(struct parser *p);

/* a, b AS c, ... `tenant_at`: the one that must be the tenant, counted from 0. */
int parse_items(struct parser *p, size_t tenant_at);

/* a AS (query), ... behind WITH. */
int parse_ctes(struct parser *p);

/* A query with its WITH, one level deeper; and what is behind the WITH. */
int parse_query(struct parser *p, size_t tenant_at);
int parse_query_body(struct parser *p, size_t tenant_at);

#endif
