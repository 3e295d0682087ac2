/*
 * What keeps tenants apart in PostgreSQL: the program's login owns nothing and inherits nothing,
 * and every table of tenants has row-level security, forced, with three policies: `tenant` shows
 * the login the rows of app.tenant, `owner` shows the same rows to the owner, for the functions in
 * the schema bulkhead, which are executed as the owner whoever calls them; `system` shows all to a
 * role that the login may put on.
 *
 * The catalog is asked what is missing, and answers with the statements that would add it, so that
 * nothing is done, and nobody waits, when nothing has changed; and that a dry run, or the one who
 * has to ask an administrator, can show exactly those.
 */
#include "store/migrate_pg.h"

#include "base/err.h"

#include <stdio.h>

/* --- what is wrong, what is missing ------------------------------------------------- */

/* $1: the login, $2: its role for system work, in all of these. */
#define ROLES                                                                                      \
	"role AS (SELECT (SELECT oid FROM pg_roles WHERE rolname = $1::text) AS app, "             \
	"  (SELECT oid FROM pg_roles WHERE rolname = $2::text) AS sys, "                           \
	"  (SELECT oid FROM pg_roles WHERE rolname = current_user) AS own) "

static const char role_problems[] =
	"WITH " ROLES "SELECT format('the login %s is a superuser or has BYPASSRLS, and row-level "
	"security does not bind it', $1::text) FROM role, pg_roles r WHERE r.oid = role.app "
	"  AND (r.rolsuper OR r.rolbypassrls) "
	"UNION ALL SELECT format('the role %s is a superuser, has BYPASSRLS or is a login', "
	"$2::text) "
	"  FROM role, pg_roles r WHERE r.oid = role.sys "
	"  AND (r.rolsuper OR r.rolbypassrls OR r.rolcanlogin) "
	"UNION ALL SELECT format('the login %s is a member of %s, who owns the tables', $1::text, "
	"  current_user) FROM role WHERE app <> own AND pg_has_role(app, own, 'MEMBER')";

static const char role_statements[] =
	"WITH " ROLES "SELECT format('ALTER ROLE %I NOINHERIT', $1::text) FROM role, pg_roles r "
	"  WHERE r.oid = role.app AND r.rolinherit "
	"UNION ALL SELECT format('CREATE ROLE %I NOLOGIN', $2::text) FROM role WHERE sys IS NULL";

/* Since PostgreSQL 16 a membership, not the member, says whether it is inherited. */
static const char membership_statements[] =
	"WITH " ROLES "SELECT format('GRANT %I TO %I%s', $2::text, $1::text, CASE WHEN "
	"  current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT FALSE' "
	"  ELSE '' END) FROM role WHERE NOT pg_has_role(app, sys, 'MEMBER') "
	"  OR pg_has_role(app, sys, 'USAGE')";

/* When it may: as a member the owner sees all rows in migrations; without it pg_open_tables has to
 * lock. */
static const char owner_statements[] =
	"WITH " ROLES "SELECT format('GRANT %I TO %I', $2::text, current_user) FROM role "
	"  WHERE app <> own AND NOT pg_has_role(own, sys, 'USAGE') "
	"  AND (EXISTS (SELECT FROM pg_roles r WHERE r.oid = own AND r.rolcreaterole) "
	"    OR pg_has_role(own, sys, 'MEMBER WITH ADMIN OPTION'))";

/* Tables are in main, functions that others may call in bulkhead. */
static const char schema_statements[] =
	"SELECT format('CREATE SCHEMA %I', name) FROM (VALUES ('main'), ('bulkhead')) AS x(name) "
	"WHERE to_regnamespace(name) IS NULL AND $1::text <> $2::text";

static const char schema_rights[] =
	"WITH " ROLES
	", have AS (SELECT x.grantee AS who, x.privilege_type AS what FROM pg_namespace n, "
	"  aclexplode(n.nspacl) x WHERE n.nspname = 'main' AND x.grantee <> n.nspowner), "
	"want AS (SELECT w.who, 'USAGE' AS what FROM role, pg_namespace n, "
	"  LATERAL (VALUES (role.app), (role.sys)) AS w(who) "
	"  WHERE n.nspname = 'main' AND w.who <> n.nspowner), "
	"surplus AS (SELECT who, what FROM have, role WHERE who IN (0, role.app, role.sys) "
	"  EXCEPT SELECT who, what FROM want), "
	"missing AS (SELECT who, what FROM want EXCEPT SELECT who, what FROM have) "
	"SELECT format('REVOKE %s ON SCHEMA main FROM %s', string_agg(what, ', ' ORDER BY what), "
	"  CASE WHEN who = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(who)) END) "
	"  FROM surplus GROUP BY who "
	"UNION ALL SELECT format('GRANT %s ON SCHEMA main TO %I', what, pg_get_userbyid(who)) "
	"  FROM missing "
	"UNION ALL SELECT 'GRANT USAGE ON SCHEMA bulkhead TO PUBLIC' FROM pg_namespace n "
	"  WHERE n.nspname = 'bulkhead' AND NOT EXISTS (SELECT FROM aclexplode(n.nspacl) x "
	"    WHERE x.grantee = 0 AND x.privilege_type = 'USAGE')";

#define TABLES                                                                                     \
	ROLES ", tab AS (SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl, "               \
	      "  c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, "                   \
	      "  a.attnum AS tenant, a.atttypid, a.attnotnull "                                    \
	      "  FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid "                  \
	      "    AND a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', "     \
	      "'p') "                                                                              \
	      "  WHERE c.relnamespace = to_regnamespace('main') "                                  \
	      "    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) "

static const char table_problems[] =
	"WITH " TABLES "SELECT relname, 1, 'tenant_id is not uuid NOT NULL' FROM tab "
	"  WHERE tenant IS NOT NULL AND (atttypid <> 'uuid'::regtype OR NOT attnotnull) "
	"UNION ALL SELECT relname, 2, 'its primary key does not begin with tenant_id' FROM tab "
	"  WHERE tenant IS NOT NULL AND NOT EXISTS (SELECT FROM pg_index i "
	"    WHERE i.indrelid = tab.oid AND i.indisprimary AND i.indkey[0] = tenant) "
	"UNION ALL SELECT tab.relname, 3, format('its unique index %s does not begin with "
	"tenant_id', "
	"  x.relname) FROM tab JOIN pg_index i ON i.indrelid = tab.oid "
	"  JOIN pg_class x ON x.oid = i.indexrelid WHERE tenant IS NOT NULL "
	"  AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary "
	"  AND i.indkey[0] <> tenant "
	"UNION ALL SELECT tab.relname, 4, format('it has a policy %s that is not the store''s', "
	"  p.polname) FROM role, tab JOIN pg_policy p ON p.polrelid = tab.oid "
	"  WHERE tenant IS NOT NULL AND p.polname NOT IN ('tenant', 'owner', 'system') "
	"  AND p.polpermissive AND p.polroles && ARRAY[0::oid, app, sys] "
	"UNION ALL SELECT relname, 5, format('it belongs to %s, not to %s', $1::text, "
	"current_user) "
	"  FROM tab, role WHERE relowner = app AND app <> own "
	"ORDER BY 2, 1 LIMIT 1";

static const char table_statements[] =
	"WITH " TABLES
	", policy AS (SELECT tab.oid, tab.relname, w.* FROM tab, role, LATERAL (VALUES "
	"  ('tenant', app, 'tenant_id = current_setting(''app.tenant'')::uuid', "
	"    '(tenant_id = (current_setting(''app.tenant''::text))::uuid)'), "
	"  ('owner', CASE WHEN app <> own THEN own END, "
	"    'tenant_id = nullif(current_setting(''app.tenant'', true), '''')::uuid', "
	"    '(tenant_id = (NULLIF(current_setting(''app.tenant''::text, true), "
	"''''::text))::uuid)'), "
	"  ('system', sys, 'true', 'true')) AS w(name, who, text, shown) "
	"  WHERE tenant IS NOT NULL AND who IS NOT NULL), "
	"unlike AS (SELECT policy.*, p.polname FROM policy LEFT JOIN pg_policy p "
	"  ON p.polrelid = policy.oid AND p.polname = name "
	"  WHERE p.polname IS NULL OR NOT (p.polpermissive AND p.polcmd = '*' "
	"    AND p.polroles = ARRAY[who] "
	"    AND pg_get_expr(p.polqual, p.polrelid) = shown "
	"    AND pg_get_expr(p.polwithcheck, p.polrelid) = shown)), "
	"have AS (SELECT tab.oid, x.grantee AS who, x.privilege_type AS what FROM tab, role, "
	"  aclexplode(tab.relacl) x WHERE x.grantee IN (0, app, sys) AND x.grantee <> relowner), "
	"want AS (SELECT tab.oid, w.who, p.what FROM tab CROSS JOIN role "
	"  CROSS JOIN LATERAL (VALUES (app), (sys)) AS w(who) CROSS JOIN "
	"  (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) AS p(what) "
	"  WHERE relkind IN ('r', 'p') AND w.who <> relowner AND (tenant IS NOT NULL OR w.who = "
	"sys) "
	"  AND (relname <> 'migration' OR p.what = 'SELECT')), "
	"surplus AS (SELECT oid, who, what FROM have EXCEPT SELECT oid, who, what FROM want), "
	"missing AS (SELECT oid, who, what FROM want EXCEPT SELECT oid, who, what FROM have) "

	"SELECT 1, relname, format('ALTER TABLE main.%I ENABLE ROW LEVEL SECURITY', relname) "
	"  FROM tab WHERE tenant IS NOT NULL AND NOT enabled "
	"UNION ALL SELECT 2, relname, format('ALTER TABLE main.%I FORCE ROW LEVEL SECURITY', "
	"  relname) FROM tab WHERE tenant IS NOT NULL AND NOT forced "
	"UNION ALL SELECT 3, relname, format('DROP POLICY %I ON main.%I', name, relname) "
	"  FROM unlike WHERE polname IS NOT NULL "
	"UNION ALL SELECT 4, relname, format('CREATE POLICY %I ON main.%I FOR ALL TO %I "
	"USING (%s) WITH CHECK (%4$s)', name, relname, pg_get_userbyid(who), text) FROM unlike "
	"UNION ALL SELECT 5, relname, format('REVOKE %s ON main.%I FROM %s', "
	"  string_agg(what, ', ' ORDER BY what), relname, CASE WHEN who = 0 THEN 'PUBLIC' "
	"  ELSE quote_ident(pg_get_userbyid(who)) END) FROM surplus JOIN tab USING (oid) "
	"  GROUP BY relname, who "
	"UNION ALL SELECT 6, relname, format('GRANT %s ON main.%I TO %I', "
	"  string_agg(what, ', ' ORDER BY what), relname, pg_get_userbyid(who)) "
	"  FROM missing JOIN tab USING (oid) GROUP BY relname, who "
	"UNION ALL SELECT 7, p.proname, format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', "
	"  p.oid::regprocedure) FROM pg_proc p WHERE p.pronamespace = to_regnamespace('main') "
	"  AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x "
	"    WHERE x.grantee = 0) "
	"ORDER BY 1, 2";

static const char open_statements[] =
	"WITH " TABLES "SELECT format('ALTER TABLE main.%I NO FORCE ROW LEVEL SECURITY', relname) "
	"FROM tab, role WHERE forced AND NOT pg_has_role(own, sys, 'USAGE') ORDER BY relname";

/* --- running them -------------------------------------------------------------------------- */

static int ask(struct pg_migrator *pg, const char *sql, PGresult **ret)
{
	return pg_migrator_run(pg, sql, 2, (const char *const[]){ pg->app, pg->system }, ret);
}

/* What was not allowed. */
struct refusals {
	size_t count;
};

/* One statement, of which `shown` is what people may see. A right that is missing is told, and does
 * not end the transaction. */
static int run_one(
	struct migrate_run *run, const char *sql, const char *shown, struct refusals *refusals)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	int r;

	if (run->options->dry_run) {
		migrate_say(run, "would run: %s", shown);
		return 0;
	}
	r = pg_migrator_do(pg, "SAVEPOINT one");
	if (r == 0)
		r = pg_migrator_do(pg, sql);
	if (r == 0)
		return pg_migrator_do(pg, "RELEASE one");
	if (strcmp(pg->state, "42501") != 0)
		return err_wrap("%s", shown);

	r = pg_migrator_do(pg, "ROLLBACK TO one");
	if (r == 0 && refusals) {
		if (refusals->count++ == 0)
			migrate_say(run,
				"%s may not set up what keeps tenants apart; an "
				"administrator has to run:",
				pg->owner);
		migrate_say(run, "    %s;", shown);
	}
	return r;
}

/* Runs what a query gives, the text in its last column; the number of statements. */
static int run_all(struct migrate_run *run, const char *query, struct refusals *refusals)
{
	PGresult *result;
	int count, r = ask(pg_migrator_of(run), query, &result);

	if (r < 0)
		return r;
	count = PQntuples(result);
	for (int i = 0; i < count && r >= 0; i++) {
		const char *sql = PQgetvalue(result, i, PQnfields(result) - 1);

		r = run_one(run, sql, sql, refusals);
	}
	PQclear(result);
	return r < 0 ? r : count;
}

static int refuse(const struct refusals *refusals)
{
	if (refusals->count == 0)
		return 0;
	return fail(ERR_FORBIDDEN,
		"an administrator of the database has to run %zu statements first; "
		"bulkhead migrate up shows them",
		refusals->count);
}

/* --- roles ----------------------------------------------------------------------------------- */

static int check_roles(struct migrate_run *run)
{
	PGresult *result;
	int r = ask(pg_migrator_of(run), role_problems, &result);

	if (r < 0)
		return r;
	if (PQntuples(result) > 0)
		r = fail(ERR_INVALID, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return r;
}

/* What PostgreSQL keeps of the password in the URL, so that it is in no log; NULL (and 0) without
 * one. */
static int encrypt_password(struct migrate_run *run, char **ret)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	struct str url = arena_str(&run->arena, run->options->store.url);
	PQconninfoOption *options = url.at ? PQconninfoParse(url.at, NULL) : NULL;
	const char *password = NULL;

	*ret = NULL;
	if (!options)
		return fail(ERR_NO_MEMORY, "no memory");
	for (PQconninfoOption *option = options; option->keyword; option++)
		if (strcmp(option->keyword, "password") == 0)
			password = option->val;
	if (password && password[0])
		*ret = PQencryptPasswordConn(pg->connection, password, pg->app, "scram-sha-256");
	if (password && password[0] && !*ret) {
		PQconninfoFree(options);
		return fail(ERR_INVALID, "the password of %s cannot be encrypted: %s", pg->app,
			PQerrorMessage(pg->connection));
	}
	PQconninfoFree(options);
	return 0;
}

/* Makes the login of the program; 1 when it was missing. */
static int make_login(struct migrate_run *run, struct refusals *refusals)
{
	struct pg_migrator *pg = pg_migrator_of(run);
	char *name = NULL, *secret = NULL, *quoted = NULL;
	struct str sql, shown;
	PGresult *result;
	int r = ask(pg, "SELECT 1 FROM pg_roles WHERE rolname = $1::text AND $2::text IS NOT NULL",
		&result);

	if (r < 0)
		return r;
	r = PQntuples(result);
	PQclear(result);
	if (r > 0)
		return 0;

	r = encrypt_password(run, &secret);
	if (r < 0)
		return r;
	name = PQescapeIdentifier(pg->connection, pg->app, strlen(pg->app));
	quoted = PQescapeLiteral(pg->connection, secret ? secret : "", secret ? strlen(secret) : 0);
	sql = arena_printf(&run->arena, "CREATE ROLE %s LOGIN NOINHERIT%s%s", name ? name : "",
		secret ? " PASSWORD " : "", secret && quoted ? quoted : "");
	shown = arena_printf(&run->arena, "CREATE ROLE %s LOGIN NOINHERIT%s", name ? name : "",
		secret ? " PASSWORD '...'" : "");
	if (!name || !quoted || !sql.at || !shown.at)
		r = fail(ERR_NO_MEMORY, "no memory");
	else
		r = run_one(run, sql.at, shown.at, refusals);
	PQfreemem(name);
	PQfreemem(quoted);
	PQfreemem(secret);
	return r < 0 ? r : 1;
}

int pg_secure_roles(struct migrate_run *run)
{
	static const char *const queries[] = { membership_statements, schema_statements,
		schema_rights };
	struct refusals refusals = { 0 };
	int made = make_login(run, &refusals), r;

	if (made < 0)
		return made;
	r = check_roles(run);
	if (r == 0)
		r = run_all(run, role_statements, &refusals);
	if (r >= 0 && refusals.count > 0)
		return refuse(&refusals);
	if (r >= 0 && made + r > 0 && run->options->dry_run)
		return 1;
	for (size_t i = 0; i < LEN(queries) && r >= 0; i++)
		r = run_all(run, queries[i], &refusals);
	if (r >= 0 && refusals.count == 0)
		r = run_all(run, owner_statements, NULL);
	return r < 0 ? r : refuse(&refusals);
}

/* --- tables --------------------------------------------------------------- */

int pg_secure_tables(struct migrate_run *run)
{
	struct refusals refusals = { 0 };
	PGresult *result;
	int r = ask(pg_migrator_of(run), table_problems, &result);

	if (r < 0)
		return r;
	if (PQntuples(result) > 0)
		r = fail(ERR_INVALID, "tenants are not safe in main.%s: %s",
			PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 2));
	PQclear(result);
	if (r == 0)
		r = run_all(run, table_statements, &refusals);
	return r < 0 ? r : refuse(&refusals);
}

int pg_open_tables(struct migrate_run *run)
{
	int r = run_all(run, open_statements, NULL);

	return r < 0 ? r : 0;
}
