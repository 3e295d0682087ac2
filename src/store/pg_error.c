/* SQLSTATEs (appendix A of PostgreSQL's manual) to our errors. Messages of the server go into the
 * text, never their details, which hold values. */
#include "store/pg.h"

#include <stdio.h>

enum { STATE_LEN = 5, MESSAGE_MAX = 160 };

/* How an error is handled. */
enum handling {
	AS_TEXT,   /* our code, with the message of the server */
	AS_UNIQUE, /* constraints */
	AS_FOREIGN_KEY,
	AS_CHECK,
	AS_NOT_NULL,
};

/* The first row whose beginning fits counts. */
static const struct {
	char state[STATE_LEN + 1];
	enum pg_trouble trouble;
	enum err_code code;
	enum handling handling;
} states[] = {
	{ "23505", PG_REFUSED, ERR_CONFLICT, AS_UNIQUE },
	{ "23P01", PG_REFUSED, ERR_CONFLICT, AS_UNIQUE }, /* exclusion */
	{ "23503", PG_REFUSED, ERR_INVALID, AS_FOREIGN_KEY },
	{ "23514", PG_REFUSED, ERR_INVALID, AS_CHECK },
	{ "23502", PG_REFUSED, ERR_INVALID, AS_NOT_NULL },
	{ "40001", PG_CONFLICT, ERR_UNAVAILABLE, AS_TEXT }, /* serialization_failure */
	{ "40P01", PG_CONFLICT, ERR_UNAVAILABLE, AS_TEXT }, /* deadlock_detected */
	{ "26000", PG_STALE, ERR_UNAVAILABLE, AS_TEXT },    /* no such prepared statement */
	{ "42P05", PG_STALE, ERR_UNAVAILABLE, AS_TEXT },    /* there is one already */
	{ "57014", PG_REFUSED, ERR_TIMEOUT, AS_TEXT },      /* cancelled, or statement_timeout */
	{ "55P03", PG_REFUSED, ERR_UNAVAILABLE, AS_TEXT },  /* lock_timeout */
	{ "25P03", PG_GONE, ERR_TIMEOUT, AS_TEXT },         /* idle in transaction */
	{ "25006", PG_GONE, ERR_UNAVAILABLE, AS_TEXT },     /* it has become a standby */
	{ "57P", PG_GONE, ERR_UNAVAILABLE, AS_TEXT },       /* the server ends */
	{ "08", PG_GONE, ERR_UNAVAILABLE, AS_TEXT },
	{ "53", PG_REFUSED, ERR_UNAVAILABLE, AS_TEXT },  /* disk full, memory, connections */
	{ "22003", PG_REFUSED, ERR_INVALID, AS_TEXT },   /* out of range */
	{ "22001", PG_REFUSED, ERR_INVALID, AS_TEXT },   /* text too long */
	{ "22021", PG_REFUSED, ERR_INVALID, AS_TEXT },   /* text with U+0000 */
	{ "22P05", PG_REFUSED, ERR_INVALID, AS_TEXT },   /* jsonb with U+0000 */
	{ "42501", PG_REFUSED, ERR_FORBIDDEN, AS_TEXT }, /* no right; another tenant's row */
	{ "54", PG_REFUSED, ERR_TOO_LARGE, AS_TEXT },    /* limits of the server */
	{ "", PG_REFUSED, ERR_INTERNAL, AS_TEXT },
};

static struct str field(const PGresult *result, int which)
{
	return str_from_c(PQresultErrorField(result, which));
}

static size_t row_of(struct str state)
{
	for (size_t i = 0;; i++)
		if (str_starts(state, str_from_c(states[i].state)))
			return i;
}

/* --- constraints -------------------------------------------------------------------- */

/* Whether a row still refers to what is changed, rather than refers to nothing itself. The server
 * says which only in words, of its own language; so this goes by what the statement does. */
static bool is_referred_to(
	const PGresult *result, const struct pg_constraint *constraint, const struct sql_plan *plan)
{
	if (str_find(field(result, PG_DIAG_MESSAGE_DETAIL), S("is still referenced")) >= 0)
		return true;
	if (plan->verb != SQL_UPDATE || !constraint)
		return plan->verb == SQL_DELETE;
	return str_eq(plan->target, constraint->other) && !str_eq(plan->target, constraint->table);
}

static int fail_by(enum handling handling, const PGresult *result, const struct pg_catalog *catalog,
	const struct statement *statement)
{
	struct str name = field(result, PG_DIAG_CONSTRAINT_NAME);
	const struct sql_plan *plan = statement_plan(statement, ENGINE_POSTGRES);
	const struct pg_constraint *constraint =
		pg_constraint_find(catalog, field(result, PG_DIAG_TABLE_NAME), name);
	struct str column = constraint && constraint->blamed.len ? constraint->blamed : name;

	switch (handling) {
	case AS_UNIQUE: return fail_constraint(CONSTRAINT_UNIQUE, statement, column);
	case AS_CHECK: return fail_constraint(CONSTRAINT_CHECK, statement, column);
	case AS_NOT_NULL:
		return fail_constraint(
			CONSTRAINT_REQUIRED, statement, field(result, PG_DIAG_COLUMN_NAME));
	default:
		return fail_constraint(is_referred_to(result, constraint, plan)
					       ? CONSTRAINT_REFERENCED
					       : CONSTRAINT_REFERENCE,
			statement, column);
	}
}

/* --- all ------------------------------------------------------------------------------ */

static bool is_fatal(const PGresult *result)
{
	struct str severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return str_eq(severity, S("FATAL")) || str_eq(severity, S("PANIC"));
}

enum pg_trouble pg_error(const PGresult *result, const struct pg_catalog *catalog,
	const struct statement *statement, int *ret)
{
	struct str state = field(result, PG_DIAG_SQLSTATE);
	struct str message = str_first(field(result, PG_DIAG_MESSAGE_PRIMARY), MESSAGE_MAX);
	size_t row = row_of(state);
	enum pg_trouble trouble = states[row].trouble;

	if (state.len == 0) { /* libpq's own: the connection has broken */
		*ret = fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
		return PG_GONE;
	}
	if (statement && states[row].handling != AS_TEXT) {
		*ret = fail_by(states[row].handling, result, catalog, statement);
		return trouble;
	}
	/* A migration has changed the columns of a statement that was prepared before. */
	if (str_eq(state, S("0A000")) &&
		str_eq(field(result, PG_DIAG_SOURCE_FUNCTION), S("RevalidateCachedQuery")))
		trouble = PG_GONE;
	if (is_fatal(result))
		trouble = PG_GONE;

	if (statement)
		*ret = fail(states[row].code, "statement %s: %.*s (%.*s)", statement->name,
			STR_ARG(message), STR_ARG(state));
	else
		*ret = fail(states[row].code, "%.*s (%.*s)", STR_ARG(message), STR_ARG(state));
	return trouble;
}
