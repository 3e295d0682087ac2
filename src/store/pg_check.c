/* What is looked at before the first transaction: the login, the server, each statement. */
#include "store/pg.h"

#include "observe/log.h"

enum { OLDEST_SERVER = 140000, MESSAGE_MAX = 160 };

/* --- rights -------------------------------------------------------------------------- */

/*
 * Each row is a question with the answer "f" when all is well. What is `grave` lets tenants see
 * each other and is always refused; the rest is refused in production.
 */
static const struct {
	bool grave;
	const char *query, *text;
} dangers[] = {
	{ true, "SELECT current_setting('server_encoding') <> 'UTF8'",
		"the database is not encoded in UTF-8" },
	{ true,
		"SELECT EXISTS (SELECT FROM pg_roles r WHERE (r.rolsuper OR r.rolbypassrls)"
		" AND pg_has_role(session_user, r.oid, 'MEMBER'))",
		"the login of the database is a superuser or may bypass row-level security (or is "
		"a member of a role that does): tenants would not be kept apart" },
	{ true,
		"SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = session_user || "
		"'_system')",
		"the database has no role for system work, called like the login with _system "
		"behind it" },
	{ true, "SELECT NOT pg_has_role(session_user, session_user || '_system', 'MEMBER')",
		"the login of the database is no member of its _system role" },
	{ true, "SELECT pg_has_role(session_user, session_user || '_system', 'USAGE')",
		"the login of the database inherits the rights of its _system role (it must be "
		"NOINHERIT): tenants would not be kept apart" },
	{ true,
		"SELECT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'main'::regnamespace"
		" AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
		" AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
		" AND has_any_column_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE'))",
		"the login of the database has rights on a table or view of the schema main "
		"without forced row-level security: tenants would not be kept apart" },
	{ true,
		"SELECT EXISTS (SELECT FROM pg_constraint k"
		" JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attname = 'tenant_id'"
		" JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attname = 'tenant_id'"
		" WHERE k.contype = 'f' AND k.connamespace = 'main'::regnamespace AND NOT EXISTS"
		" (SELECT FROM unnest(k.conkey, k.confkey) AS p (mine, theirs)"
		" WHERE p.mine = a.attnum AND p.theirs = b.attnum))",
		"a foreign key between two tables with a tenant_id does not compare it; PostgreSQL "
		"looks up and cascades past row-level security: tenants would not be kept apart" },
	{ false,
		"SELECT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'main'::regnamespace"
		" AND pg_has_role(session_user, c.relowner, 'MEMBER'))",
		"the login of the database owns tables of the schema main, or is a member of their "
		"owner: it could switch off what keeps tenants apart" },
	{ false, "SELECT current_setting('fsync') = 'off'",
		"the PostgreSQL server runs with fsync=off: a power cut would lose or break data" },
};

static int ask(PGconn *pg, const char *sql, bool *ret)
{
	PGresult *result = PQexec(pg, sql);
	bool answered = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

	if (answered)
		*ret = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return answered ? 0
			: fail(ERR_IO, "cannot ask PostgreSQL about the login's rights: %s",
				  PQerrorMessage(pg));
}

int pg_check_rights(PGconn *pg, const struct store_options *options)
{
	bool schema = false;
	int r;

	if (PQserverVersion(pg) < OLDEST_SERVER)
		return fail(ERR_INVALID, "PostgreSQL %d is too old, it must be 14 or later",
			PQserverVersion(pg) / 10000);
	r = ask(pg, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'main')", &schema);
	if (r == 0 && !schema)
		r = fail(ERR_INVALID, "the database has no schema main: it must be migrated first");

	for (size_t i = 0; i < LEN(dangers) && r == 0; i++) {
		bool danger = false;

		r = ask(pg, dangers[i].query, &danger);
		if (r < 0 || !danger)
			continue;
		if (dangers[i].grave || options->production)
			return fail(ERR_INVALID, "%s", dangers[i].text);
		log_warn("the database is not fit for production",
			LOG_STR("reason", str_from_c(dangers[i].text)));
	}
	return r;
}

/* --- statements ----------------------------------------------------------------------- */

static const char *kind_name(enum row_kind kind)
{
	static const char *const names[] = { "NULL", "a bool", "an integer", "a time", "a real",
		"text", "a UUID", "JSON" };

	return names[kind];
}

static enum row_kind param_kind(const struct statement *statement, const struct sql_param *param)
{
	switch (param->source) {
	case SQL_TENANT: return ROW_UUID;
	case SQL_NOW: return ROW_TIME;
	default: return row_kind(statement->in, param->column);
	}
}

static struct str param_name(const struct statement *statement, const struct sql_param *param)
{
	switch (param->source) {
	case SQL_TENANT: return S("tenant");
	case SQL_NOW: return S("now");
	default: return row_name(statement->in, param->column);
	}
}

static int take_params(
	const struct statement *statement, struct sql_plan *plan, const PGresult *described)
{
	if ((size_t)PQnparams(described) != plan->param_count)
		return fail(ERR_INVALID, "%s: PostgreSQL sees %d parameters, we %zu",
			statement->name, PQnparams(described), plan->param_count);

	for (size_t i = 0; i < plan->param_count; i++) {
		struct sql_param *param = &plan->params[i];
		enum row_kind kind = param_kind(statement, param);

		param->type = PQparamtype(described, (int)i);
		if (!pg_type_takes(param->type, kind))
			return fail(ERR_INVALID,
				"%s: :%.*s is %s, which a parameter of PostgreSQL's type %u does "
				"not take (a cast may help)",
				statement->name, STR_ARG(param_name(statement, param)),
				kind_name(kind), (unsigned)param->type);
	}
	return 0;
}

static int take_column(const struct statement *statement, struct sql_plan *plan,
	const PGresult *described, int column)
{
	const char *name = PQfname(described, column);
	uint32_t type = PQftype(described, column);
	ptrdiff_t member = row_find(statement->out, str_from_c(name));
	enum row_kind kind;

	if (member < 0)
		return fail(ERR_INVALID, "%s: column %s is no member of %s", statement->name, name,
			statement->out->type);
	kind = row_kind(statement->out, (size_t)member);
	if (!pg_type_gives(type, kind))
		return fail(ERR_INVALID,
			"%s: column %s is of PostgreSQL's type %u, which does not fit %s (a cast "
			"may help)",
			statement->name, name, (unsigned)type, kind_name(kind));
	for (int i = 0; i < column; i++)
		if (plan->columns[i] == (size_t)member)
			return fail(
				ERR_INVALID, "%s: column %s is there twice", statement->name, name);
	plan->columns[column] = (size_t)member;
	plan->column_types[column] = type;
	return 0;
}

static int take_columns(
	const struct statement *statement, struct sql_plan *plan, const PGresult *described)
{
	size_t count = (size_t)PQnfields(described);
	int r = 0;

	if (count > SQL_COLUMNS_MAX)
		return fail(
			ERR_INVALID, "%s: more than %d columns", statement->name, SQL_COLUMNS_MAX);
	if (count > 0 && !statement->out)
		return fail(
			ERR_INVALID, "%s: gives rows, but has no schema for them", statement->name);
	if (count == 0 && statement->out)
		return fail(
			ERR_INVALID, "%s: has a schema for rows, but gives none", statement->name);

	plan->columns = arena_zalloc(&plan->arena, (count + 1) * sizeof(*plan->columns));
	plan->column_types = arena_zalloc(&plan->arena, (count + 1) * sizeof(*plan->column_types));
	if (!plan->columns || !plan->column_types)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count && r == 0; i++)
		r = take_column(statement, plan, described, (int)i);
	plan->column_count = count;
	return r;
}

/* Results of one command of the pipeline, the last one kept. */
static PGresult *last_result(PGconn *pg)
{
	PGresult *last = NULL, *next;

	while ((next = PQgetResult(pg))) {
		PQclear(last);
		last = next;
		if (PQresultStatus(next) == PGRES_PIPELINE_SYNC)
			break;
	}
	return last;
}

/* Parse, Describe, Sync in one flush: behind a pooler they must meet the same server. */
static int describe(
	PGconn *pg, const struct statement *statement, const struct sql_plan *plan, PGresult **ret)
{
	PGresult *parsed, *described, *synced;
	int r = 0;

	if (!PQsendPrepare(pg, "", plan->text.at, 0, NULL) || !PQsendDescribePrepared(pg, "") ||
		!PQpipelineSync(pg))
		return fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
	parsed = last_result(pg);
	described = last_result(pg);
	synced = last_result(pg);
	if (PQresultStatus(parsed) != PGRES_COMMAND_OK) {
		const char *message = PQresultErrorField(parsed, PG_DIAG_MESSAGE_PRIMARY);

		r = message ? fail(ERR_INVALID, "%s: PostgreSQL says: %.*s", statement->name,
				      MESSAGE_MAX, message)
			    : fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
	} else if (PQresultStatus(described) != PGRES_COMMAND_OK ||
		   PQresultStatus(synced) != PGRES_PIPELINE_SYNC) {
		r = fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
	}
	PQclear(parsed);
	PQclear(synced);
	if (r < 0)
		PQclear(described);
	else
		*ret = described;
	return r;
}

/* What the text could not tell: tables without a tenant are for system statements. */
static int check_tables(const struct pg_catalog *catalog, const struct statement *statement,
	const struct sql_plan *plan)
{
	for (size_t i = 0; i < plan->table_count && !plan->system; i++) {
		bool known = false;

		for (size_t k = 0; k < catalog->tenant_table_count && !known; k++)
			known = str_eq(plan->tables[i], catalog->tenant_tables[k]);
		if (!known)
			return fail(ERR_INVALID, "%s: %.*s is no table of tenants", statement->name,
				STR_ARG(plan->tables[i]));
	}
	return 0;
}

int pg_check_statement(
	PGconn *pg, const struct pg_catalog *catalog, const struct statement *statement)
{
	struct sql_plan *plan = statement->slot->plan[ENGINE_POSTGRES];
	PGresult *described = NULL;
	struct str text;
	int r;

	r = check_tables(catalog, statement, plan);
	if (r < 0)
		return r;
	if (PQpipelineStatus(pg) == PQ_PIPELINE_OFF && !PQenterPipelineMode(pg))
		return fail(ERR_IO, "libpq refuses pipeline mode");
	r = describe(pg, statement, plan, &described);
	if (r < 0)
		return r;
	r = take_params(statement, plan, described);
	if (r == 0)
		r = take_columns(statement, plan, described);
	PQclear(described);
	text = str_from_c(statement->postgres ? statement->postgres : statement->sql);
	plan->at_most_one = pg_touches_one(catalog, text, plan);
	plan->few_rows = plan->at_most_one || pg_has_limit(text);
	return r;
}
