/*
 * Tokens of SQL, as the two engines cut them, or stricter: where they differ (nested comments,
 * kinds of quotes) the scan is told which one will read the text, and what one of them would read
 * in a way of its own (U&"", a parameter of another kind, a number that runs into a word) is
 * refused. No grammar here.
 */
#include "store/sql.h"

#include "base/err.h"

enum {
	CREATE_WORDS = 6, /* the kind of thing made is among them: CREATE OR REPLACE ... TRIGGER */
	COMMENT_LEVELS_MAX = 100,
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word_byte(char c)
{
	return is_letter(c) || is_digit(c);
}

/* The byte at a position, 0 behind the end (a NUL in the text is refused where it stands). */
static char byte_at(struct str text, size_t at)
{
	return at < text.len ? text.at[at] : 0;
}

static size_t word_len(struct str text)
{
	size_t len = 0;

	while (len < text.len && is_word_byte(text.at[len]))
		len++;
	return len;
}

/* --- gaps ----------------------------------------------------------------------- */

/* Both take a carriage return in front of a line feed; alone it ends a comment for PostgreSQL and
 * does not for SQLite. */
static int line_comment_len(struct str rest, size_t *ret)
{
	size_t len;

	for (len = 2; len < rest.len && rest.at[len] != '\n'; len++)
		if (rest.at[len] == '\r' && byte_at(rest, len + 1) != '\n')
			return fail(ERR_INVALID, "a comment holds a lone carriage return");
	*ret = len;
	return 0;
}

/* Comments inside of comments are PostgreSQL's. */
static int block_comment_len(struct str rest, enum engine_kind engine, size_t *ret)
{
	size_t len = 2;
	unsigned level = 1;

	while (level) {
		if (len + 1 >= rest.len)
			return fail(ERR_INVALID, "a comment is not closed");
		if (rest.at[len] == '*' && rest.at[len + 1] == '/') {
			level--;
			len += 2;
		} else if (engine == ENGINE_POSTGRES && rest.at[len] == '/' &&
			   rest.at[len + 1] == '*') {
			if (++level > COMMENT_LEVELS_MAX)
				return fail(ERR_INVALID, "comments are nested too deeply");
			len += 2;
		} else {
			len++;
		}
	}
	*ret = len;
	return 0;
}

/* What stands in front of the next token: white space and comments. */
static int skip_gap(struct str *rest, enum engine_kind engine)
{
	for (;;) {
		char c = byte_at(*rest, 0), next = byte_at(*rest, 1);
		size_t len = 1;
		int r = 0;

		if (c == '-' && next == '-')
			r = line_comment_len(*rest, &len);
		else if (c == '/' && next == '*')
			r = block_comment_len(*rest, engine, &len);
		else if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
			return 0;
		if (r == 0 && memchr(rest->at, 0, len))
			r = fail(ERR_INVALID, "a comment holds a NUL");
		if (r < 0)
			return r;
		*rest = str_of(rest->at + len, rest->len - len);
	}
}

/* --- tokens --------------------------------------------------------------------- */

/* Each gets the text from the token on, and says how long it is and what is inside of it. */
struct found {
	enum sql_token_kind kind;
	size_t len;
	size_t body_at, body_len;
};

/* Of a quote that is written twice inside; `at` is the place of the opening one. */
static int find_quoted(struct str rest, size_t at, char close, size_t *ret_len)
{
	for (size_t i = at + 1; i < rest.len; i++) {
		if (rest.at[i] != close)
			continue;
		if (close == ']' || byte_at(rest, i + 1) != close) {
			*ret_len = i + 1;
			return 0;
		}
		i++;
	}
	return fail(ERR_INVALID, "a quote (%c) is not closed", rest.at[at]);
}

static int take_quoted(struct str rest, enum sql_token_kind kind, size_t at, struct found *ret)
{
	char close = rest.at[at] == '[' ? ']' : rest.at[at];
	size_t len = 0;
	int r = find_quoted(rest, at, close, &len);

	if (r < 0)
		return r;
	*ret = (struct found){ kind, len, at + 1, len - at - 2 };
	return 0;
}

/*
 * 'x'. Whether a backslash in front of a quote says that the quote belongs to the text is a setting
 * of a PostgreSQL server (standard_conforming_strings), and so in the line behind an E'' string: it
 * is refused there.
 */
static int take_string(struct str rest, enum engine_kind engine, struct found *ret)
{
	int r = take_quoted(rest, SQL_STRING, 0, ret);

	if (r < 0 || engine != ENGINE_POSTGRES)
		return r;
	if (str_find(str_first(rest, ret->len), S("\\'")) >= 0)
		return fail(ERR_INVALID,
			"a backslash stands in front of a quote; PostgreSQL may be set to read "
			"that in two ways");
	return 0;
}

static int take_escape_string(struct str rest, struct found *ret)
{
	for (size_t i = 2; i < rest.len; i++) {
		if (rest.at[i] == '\\' || (rest.at[i] == '\'' && byte_at(rest, i + 1) == '\'')) {
			i++;
		} else if (rest.at[i] == '\'') {
			*ret = (struct found){ SQL_STRING, i + 1, 2, i - 2 };
			return 0;
		}
	}
	return fail(ERR_INVALID, "a quote (E') is not closed");
}

/* $tag$ ... $tag$ */
static int take_dollar(struct str rest, enum engine_kind engine, struct found *ret)
{
	size_t tag = 1;
	ptrdiff_t end;

	if (engine == ENGINE_POSTGRES && !is_digit(byte_at(rest, 1)))
		tag = 1 + word_len(str_from(rest, 1));
	if (engine != ENGINE_POSTGRES || byte_at(rest, tag) != '$')
		return fail(ERR_INVALID, "parameters are written :name, not with a $");

	tag++;
	end = str_find(str_from(rest, tag), str_first(rest, tag));
	if (end < 0)
		return fail(ERR_INVALID, "a quote (%.*s) is not closed",
			STR_ARG(str_first(rest, MIN(tag, (size_t)40))));
	*ret = (struct found){ SQL_STRING, (size_t)end + 2 * tag, tag, (size_t)end };
	return 0;
}

static int take_word(struct str rest, enum engine_kind engine, struct found *ret)
{
	size_t len = word_len(rest);
	char first = (char)(rest.at[0] | 0x20), next = byte_at(rest, 1);
	bool postgres = engine == ENGINE_POSTGRES;

	if (postgres && first == 'e' && next == '\'')
		return take_escape_string(rest, ret);
	if (!postgres && first == 'x' && next == '\'')
		return take_quoted(rest, SQL_STRING, 1, ret);
	if (next == '\'' && (first == 'b' || first == 'x' || first == 'n'))
		return fail(ERR_INVALID, "%c'...' is not understood here", rest.at[0]);
	if (first == 'u' && next == '&' && (byte_at(rest, 2) == '\'' || byte_at(rest, 2) == '"'))
		return fail(ERR_INVALID, "U&'...' and U&\"...\" are not allowed");
	if (byte_at(rest, len) == '$')
		return fail(ERR_INVALID, "a name with a $ in it");

	*ret = (struct found){ SQL_WORD, len, 0, len };
	return 0;
}

static size_t digits(struct str rest, size_t at)
{
	while (is_digit(byte_at(rest, at)))
		at++;
	return at;
}

/* 1, 1.5, .5, 1e9; 0x1f on SQLite. */
static int take_number(struct str rest, enum engine_kind engine, struct found *ret)
{
	size_t len = digits(rest, 0), exponent;

	if (engine == ENGINE_SQLITE && rest.at[0] == '0' && (byte_at(rest, 1) | 0x20) == 'x') {
		len = word_len(rest);
	} else {
		if (byte_at(rest, len) == '.')
			len = digits(rest, len + 1);
		exponent = len + 1;
		if (byte_at(rest, exponent) == '+' || byte_at(rest, exponent) == '-')
			exponent++;
		if ((byte_at(rest, len) | 0x20) == 'e' && is_digit(byte_at(rest, exponent)))
			len = digits(rest, exponent);
	}
	if (is_word_byte(byte_at(rest, len)) || byte_at(rest, len) == '.' ||
		byte_at(rest, len) == '$')
		return fail(ERR_INVALID, "a number runs into what stands behind it: \"%.*s\"",
			STR_ARG(str_first(rest, len + 1)));
	*ret = (struct found){ SQL_NUMBER, len, 0, len };
	return 0;
}

static int take_colon(struct str rest, struct found *ret)
{
	if (byte_at(rest, 1) == ':') {
		*ret = (struct found){ SQL_SIGN, 2, 0, 2 };
		return 0;
	}
	if (is_letter(byte_at(rest, 1))) {
		size_t len = word_len(str_from(rest, 1));

		if (byte_at(rest, 1 + len) == '$')
			return fail(ERR_INVALID, "a name with a $ in it");
		*ret = (struct found){ SQL_PARAMETER, 1 + len, 1, len };
		return 0;
	}
	return fail(ERR_INVALID, "a colon is not followed by the name of a parameter");
}

/* @ and # are letters of operators on PostgreSQL, and begin parameters elsewhere. */
static int take_sign(struct str rest, enum engine_kind engine, struct found *ret)
{
	char c = rest.at[0], next = byte_at(rest, 1);

	if (c == '?' || ((c == '@' || c == '#') && (engine == ENGINE_SQLITE || is_word_byte(next))))
		return fail(ERR_INVALID, "parameters are written :name, not with a %c", c);
	if (c == '`' || c == '\\')
		return fail(ERR_INVALID, "there is a %c outside of quotes", c);
	if ((unsigned char)c >= 0x7f || (unsigned char)c < ' ')
		return fail(ERR_INVALID,
			"there is a byte 0x%02x, which is not printable ASCII, outside of quotes",
			(unsigned char)c);
	*ret = (struct found){ SQL_SIGN, 1, 0, 1 };
	return 0;
}

static int take_token(struct str rest, enum engine_kind engine, struct found *ret)
{
	char c = rest.at[0];

	if (is_letter(c))
		return take_word(rest, engine, ret);
	if (is_digit(c) || (c == '.' && is_digit(byte_at(rest, 1))))
		return take_number(rest, engine, ret);

	switch (c) {
	case '\'': return take_string(rest, engine, ret);
	case '"': return take_quoted(rest, SQL_QUOTED, 0, ret);
	case '$': return take_dollar(rest, engine, ret);
	case ':': return take_colon(rest, ret);
	case '`':
	case '[':
		if (engine == ENGINE_SQLITE)
			return take_quoted(rest, SQL_QUOTED, 0, ret);
		return take_sign(rest, engine, ret);
	default: return take_sign(rest, engine, ret);
	}
}

int sql_next(struct sql_scan *scan, struct sql_token *ret)
{
	struct str rest = scan->rest;
	struct found found = { SQL_END };
	int r;

	r = skip_gap(&rest, scan->engine);
	if (r < 0)
		return r;
	if (rest.len) {
		r = take_token(rest, scan->engine, &found);
		if (r == 0 && memchr(rest.at, 0, found.len))
			r = fail(ERR_INVALID, "a quoted text holds a NUL");
		if (r < 0)
			return r;
	}

	*ret = (struct sql_token){ found.kind, str_of(rest.at, found.len),
		str_of(rest.len ? rest.at + found.body_at : rest.at, found.body_len) };
	scan->rest = rest.len ? str_of(rest.at + found.len, rest.len - found.len) : rest;
	return 0;
}

bool sql_is(const struct sql_token *token, const char *word)
{
	return token->kind == SQL_WORD && str_eq_nocase(token->text, str_from_c(word));
}

bool sql_names(const struct sql_token *token, const char *name)
{
	return (token->kind == SQL_WORD || token->kind == SQL_QUOTED ||
		       token->kind == SQL_STRING) &&
	       str_eq_nocase(token->body, str_from_c(name));
}

/* --- cutting -------------------------------------------------------------------- */

/* Where a text of several statements is: of the statement under way. */
struct cut {
	size_t words;    /* so far, up to CREATE_WORDS */
	bool create;     /* it begins with CREATE */
	bool routine;    /* and makes a trigger, function or procedure */
	bool behind_dot; /* the next word is a column */
	unsigned blocks; /* BEGIN and CASE that wait for their END */
};

static void cut_word(struct cut *cut, const struct sql_token *token)
{
	if (cut->words < CREATE_WORDS) {
		cut->words++;
		if (cut->words == 1)
			cut->create = sql_is(token, "CREATE");
		else if (cut->create && (sql_is(token, "TRIGGER") || sql_is(token, "FUNCTION") ||
						sql_is(token, "PROCEDURE")))
			cut->routine = true;
	}
	if (!cut->routine || cut->behind_dot)
		return;
	if (sql_is(token, "BEGIN") || (cut->blocks && sql_is(token, "CASE")))
		cut->blocks++;
	else if (cut->blocks && sql_is(token, "END"))
		cut->blocks--;
}

int sql_cut(struct str *rest, enum engine_kind engine, struct str *ret)
{
	struct sql_scan scan = { *rest, engine };
	struct cut cut = { 0 };
	const char *first = NULL, *end = NULL;
	struct sql_token token;
	int r;

	for (;;) {
		bool semicolon;

		r = sql_next(&scan, &token);
		if (r < 0)
			return r;
		if (token.kind == SQL_END)
			break;
		semicolon = token.kind == SQL_SIGN && token.text.at[0] == ';';
		if (semicolon && !cut.blocks) {
			end = token.text.at;
			if (first)
				break;
			continue;
		}
		if (!first)
			first = token.text.at;
		if (token.kind == SQL_WORD)
			cut_word(&cut, &token);
		cut.behind_dot = token.kind == SQL_SIGN && token.text.at[0] == '.';
		end = token.text.at + token.text.len;
	}
	if (cut.blocks)
		return fail(ERR_INVALID, "a BEGIN or a CASE is without its END");

	*rest = scan.rest;
	if (!first)
		return 0;
	*ret = str_of(first, (size_t)(end - first));
	return 1;
}
