/*
 * The lists. What is not on the list of functions, types or collations is refused; what is there
 * depends on its arguments only: not on the time, the session, the server's settings, chance, or
 * rows beyond those it is given. Nothing here makes texts much longer than its arguments, either.
 */
#include "store/sql_words.h"

/* --- words ---------------------------------------------------------------------- */

#define R WORD_RESERVED
#define C (WORD_RESERVED | WORD_CLAUSE)
#define B WORD_BRACKET
#define X (WORD_RESERVED | WORD_REFUSED)

/* clang-format off */
static const struct {
	const char *word;
	unsigned flags;
} words[] = {
	/* clauses */
	{ "AS", C }, { "ASC", C }, { "CROSS", C }, { "DELETE", C }, { "DESC", C }, { "DO", C },
	{ "EXCEPT", C }, { "FETCH", C }, { "FOR", C }, { "FROM", C }, { "FULL", C }, { "GROUP", C },
	{ "HAVING", C }, { "INNER", C }, { "INSERT", C }, { "INTERSECT", C }, { "INTO", C },
	{ "JOIN", C }, { "LEFT", C }, { "LIMIT", C }, { "MERGE", C }, { "NATURAL", C }, { "NULLS", C },
	{ "OFFSET", C }, { "ON", C }, { "ORDER", C }, { "OUTER", C }, { "RETURNING", C },
	{ "RIGHT", C }, { "SELECT", C }, { "SET", C }, { "UNION", C }, { "UPDATE", C },
	{ "USING", C }, { "VALUES", C }, { "WHERE", C }, { "WINDOW", C }, { "WITH", C },

	/* of expressions */
	{ "ALL", R | B }, { "AND", R | B }, { "ANY", R | B }, { "ARRAY", R | B },
	{ "BETWEEN", R | B }, { "BY", R | B }, { "CASE", R | B }, { "CAST", R | B }, { "COLLATE", R },
	{ "DEFAULT", R }, { "DISTINCT", R | B }, { "ELSE", R | B }, { "END", R }, { "ESCAPE", R | B },
	{ "EXISTS", R | B }, { "FALSE", R }, { "FILTER", R | B }, { "GLOB", R | B },
	{ "ILIKE", R | B }, { "IN", R | B }, { "IS", R | B }, { "ISNULL", R }, { "LIKE", R | B },
	{ "NOT", R | B }, { "NOTNULL", R }, { "NULL", R }, { "OR", R | B }, { "OVER", R | B },
	{ "ROW", R | B }, { "SOME", R | B }, { "THEN", R | B }, { "TRUE", R }, { "WHEN", R | B },

	/* not names, so that what they begin is seen */
	{ "INDEXED", R }, { "LATERAL", R }, { "ONLY", R }, { "RECURSIVE", R }, { "TABLESAMPLE", R },

	/* that depend on the time or the session, read what is not named, or are not understood here */
	{ "ANALYSE", X }, { "ANALYZE", X }, { "CURRENT_CATALOG", X }, { "CURRENT_DATE", X },
	{ "CURRENT_ROLE", X }, { "CURRENT_SCHEMA", X }, { "CURRENT_TIME", X },
	{ "CURRENT_TIMESTAMP", X }, { "CURRENT_USER", X }, { "LOCALTIME", X },
	{ "LOCALTIMESTAMP", X }, { "MATCH", X }, { "OPERATOR", X }, { "RAISE", X }, { "REGEXP", X },
	{ "SESSION_USER", X }, { "SYSTEM_USER", X }, { "TABLE", X }, { "USER", X },
	{ "VARIADIC", X },
};
/* clang-format on */

unsigned sql_word(const struct sql_token *token)
{
	for (size_t i = 0; i < LEN(words); i++)
		if (sql_is(token, words[i].word))
			return words[i].flags;
	return 0;
}

/* --- functions ------------------------------------------------------------------ */

enum { SQLITE = 1, POSTGRES = 2, TABLES = 4, SYSTEM = 8 };

#define BOTH (SQLITE | POSTGRES)
#define ROWS (POSTGRES | TABLES) /* a set of rows, which is allowed as a value, too */

/* clang-format off */
static const struct {
	const char *name;
	unsigned where;
} functions[] = {
	/* of values */
	{ "abs", BOTH }, { "ceil", BOTH }, { "coalesce", BOTH }, { "floor", BOTH },
	{ "length", BOTH }, { "lower", BOTH }, { "ltrim", BOTH }, { "mod", BOTH }, { "nullif", BOTH },
	{ "octet_length", BOTH }, { "power", BOTH }, { "replace", BOTH }, { "round", BOTH },
	{ "rtrim", BOTH }, { "sign", BOTH }, { "sqrt", BOTH }, { "substr", BOTH }, { "trim", BOTH },
	{ "trunc", BOTH }, { "upper", BOTH },

	/* of groups and windows */
	{ "avg", BOTH }, { "count", BOTH }, { "cume_dist", BOTH }, { "dense_rank", BOTH },
	{ "first_value", BOTH }, { "lag", BOTH }, { "last_value", BOTH }, { "lead", BOTH },
	{ "max", BOTH }, { "min", BOTH }, { "nth_value", BOTH }, { "ntile", BOTH },
	{ "percent_rank", BOTH }, { "rank", BOTH }, { "row_number", BOTH }, { "sum", BOTH },

	/* SQLite */
	{ "current_tenant", SQLITE }, { "group_concat", SQLITE }, { "hex", SQLITE },
	{ "ifnull", SQLITE }, { "iif", SQLITE }, { "instr", SQLITE }, { "json", SQLITE },
	{ "json_array", SQLITE }, { "json_array_length", SQLITE }, { "json_extract", SQLITE },
	{ "json_group_array", SQLITE }, { "json_group_object", SQLITE }, { "json_insert", SQLITE },
	{ "json_object", SQLITE }, { "json_patch", SQLITE }, { "json_quote", SQLITE },
	{ "json_remove", SQLITE }, { "json_replace", SQLITE }, { "json_set", SQLITE },
	{ "json_type", SQLITE }, { "json_valid", SQLITE }, { "total", SQLITE },
	{ "typeof", SQLITE }, { "unicode", SQLITE },
	{ "json_each", SQLITE | TABLES }, { "json_tree", SQLITE | TABLES },

	/* PostgreSQL */
	{ "array_agg", POSTGRES }, { "array_append", POSTGRES }, { "array_length", POSTGRES },
	{ "array_position", POSTGRES }, { "array_remove", POSTGRES },
	{ "array_to_string", POSTGRES }, { "bit_length", POSTGRES }, { "bool_and", POSTGRES },
	{ "bool_or", POSTGRES }, { "btrim", POSTGRES }, { "cardinality", POSTGRES },
	{ "char_length", POSTGRES }, { "character_length", POSTGRES }, { "decode", POSTGRES },
	{ "div", POSTGRES }, { "encode", POSTGRES }, { "every", POSTGRES }, { "greatest", POSTGRES },
	{ "json_agg", POSTGRES }, { "json_array_length", POSTGRES },
	{ "json_build_array", POSTGRES }, { "json_build_object", POSTGRES },
	{ "json_object_agg", POSTGRES }, { "json_typeof", POSTGRES }, { "jsonb_agg", POSTGRES },
	{ "jsonb_array_length", POSTGRES }, { "jsonb_build_array", POSTGRES },
	{ "jsonb_build_object", POSTGRES }, { "jsonb_exists", POSTGRES },
	{ "jsonb_extract_path", POSTGRES }, { "jsonb_extract_path_text", POSTGRES },
	{ "jsonb_insert", POSTGRES }, { "jsonb_object_agg", POSTGRES }, { "jsonb_set", POSTGRES },
	{ "jsonb_strip_nulls", POSTGRES }, { "jsonb_typeof", POSTGRES }, { "least", POSTGRES },
	{ "sha256", POSTGRES }, { "split_part", POSTGRES }, { "starts_with", POSTGRES }, { "string_agg", POSTGRES },
	{ "string_to_array", POSTGRES }, { "strpos", POSTGRES }, { "to_json", POSTGRES },
	{ "to_jsonb", POSTGRES },
	{ "generate_series", ROWS }, { "json_array_elements", ROWS },
	{ "json_array_elements_text", ROWS }, { "json_each", ROWS }, { "json_each_text", ROWS },
	{ "json_object_keys", ROWS }, { "json_to_recordset", ROWS },
	{ "jsonb_array_elements", ROWS }, { "jsonb_array_elements_text", ROWS },
	{ "jsonb_each", ROWS }, { "jsonb_each_text", ROWS }, { "jsonb_object_keys", ROWS },
	{ "jsonb_to_recordset", ROWS }, { "unnest", ROWS },

	/* of system statements: the outbox relay, hints to other instances, locks of a transaction */
	{ "pg_advisory_xact_lock", POSTGRES | SYSTEM }, { "pg_current_snapshot", POSTGRES | SYSTEM },
	{ "pg_current_xact_id", POSTGRES | SYSTEM }, { "pg_notify", POSTGRES | SYSTEM },
	{ "pg_snapshot_xmin", POSTGRES | SYSTEM }, { "pg_try_advisory_xact_lock", POSTGRES | SYSTEM },
	{ "pg_visible_in_snapshot", POSTGRES | SYSTEM },
};
/* clang-format on */

static unsigned engine_bit(enum engine_kind engine)
{
	return engine == ENGINE_SQLITE ? SQLITE : POSTGRES;
}

bool sql_function_allowed(
	const struct sql_token *name, enum engine_kind engine, enum sql_call call, bool system)
{
	for (size_t i = 0; i < LEN(functions); i++) {
		unsigned where = functions[i].where;

		if (!(where & engine_bit(engine)) || !sql_is(name, functions[i].name))
			continue;
		if (call == CALL_TABLE ? !(where & TABLES)
				       : (where & TABLES && engine == ENGINE_SQLITE))
			return false;
		return !(where & SYSTEM) || system;
	}
	return false;
}

/* --- types and collations ------------------------------------------------------- */

static const struct {
	const char *name;
	unsigned where;
} types[] = {
	{ "bigint", BOTH },
	{ "int", BOTH },
	{ "integer", BOTH },
	{ "double", BOTH }, /* precision */
	{ "numeric", BOTH },
	{ "real", BOTH },
	{ "text", BOTH },
	{ "blob", SQLITE },
	{ "bool", POSTGRES },
	{ "boolean", POSTGRES },
	{ "bytea", POSTGRES },
	{ "float8", POSTGRES },
	{ "int4", POSTGRES },
	{ "int8", POSTGRES },
	{ "json", POSTGRES },
	{ "jsonb", POSTGRES },
	{ "smallint", POSTGRES },
	{ "uuid", POSTGRES },
	{ "varchar", POSTGRES },
	{ "pg_snapshot", POSTGRES | SYSTEM },
	{ "xid8", POSTGRES | SYSTEM },
};

bool sql_type_allowed(const struct sql_token *name, enum engine_kind engine, bool system)
{
	for (size_t i = 0; i < LEN(types); i++)
		if (types[i].where & engine_bit(engine) && sql_is(name, types[i].name))
			return !(types[i].where & SYSTEM) || system;
	return false;
}

bool sql_collation_allowed(const struct sql_token *name, enum engine_kind engine)
{
	if (engine == ENGINE_SQLITE)
		return sql_is(name, "BINARY") || sql_is(name, "NOCASE") || sql_is(name, "RTRIM");
	return name->kind == SQL_QUOTED &&
	       (str_eq(name->body, S("C")) || str_eq(name->body, S("POSIX")));
}
