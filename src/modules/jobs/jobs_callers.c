/*
 * The list of roles of the database that may add and complete jobs in transactions of their own. It
 * is read by the functions themselves, in each call, so that nothing has to be told to anybody.
 */
#include "modules/jobs/jobs_callers.h"

#include "base/err.h"
#include "store/store.h"

struct caller_limit {
	int64_t limit;
};

/* clang-format off */
const struct schema job_caller_schema = SCHEMA(job_caller, "Who may call the functions about jobs.",
	FIELD(job_caller, role, "Role of the database.", .flags = REQUIRED, RANGE(1, JOB_ROLE_MAX)),
	FIELD(job_caller, acts_as, "Id of the tenant as which it calls, or any.", .flags = REQUIRED));

static const struct schema limit_schema = SCHEMA(caller_limit, "How many.",
	FIELD(caller_limit, limit, "At most."));
/* clang-format on */

static const struct statement callers_all = STATEMENT("job_callers_all",
	.sql = "SELECT c.role, c.tenant AS acts_as FROM main.job_caller AS c ORDER BY c.role LIMIT "
	       ":limit",
	.in = &limit_schema, .out = &job_caller_schema, .flags = STATEMENT_SYSTEM);

static const struct statement caller_get = STATEMENT("job_caller_get",
	.sql = "SELECT c.role, c.tenant AS acts_as FROM main.job_caller AS c WHERE c.role = :role",
	.in = &job_caller_schema, .out = &job_caller_schema, .flags = STATEMENT_SYSTEM);

static const struct statement caller_put = STATEMENT("job_caller_put",
	.sql = "INSERT INTO main.job_caller (role, tenant) VALUES (:role, :acts_as) "
	       "ON CONFLICT (role) DO UPDATE SET tenant = excluded.tenant",
	.in = &job_caller_schema, .flags = STATEMENT_SYSTEM);

static const struct statement caller_delete =
	STATEMENT("job_caller_delete", .sql = "DELETE FROM main.job_caller WHERE role = :role",
		.in = &job_caller_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_caller_statements =
	JOB_STATEMENTS(&callers_all, &caller_get, &caller_put, &caller_delete);

/* --- rules -------------------------------------------------------------------------------------
 */

static int need_postgres(const struct db *db)
{
	return store_is_sqlite(db->store)
		       ? fail(ERR_INVALID, "SQLite has no roles: bulkhead.enqueue and "
					   "bulkhead.complete are functions of PostgreSQL")
		       : 0;
}

static int check_role(struct str role)
{
	bool plain = role.len >= 1 && role.len <= JOB_ROLE_MAX;

	for (size_t i = 0; plain && i < role.len; i++)
		plain = (unsigned char)role.at[i] >= ' ' && role.at[i] != 0x7f;
	return plain ? 0
		     : fail_field(ERR_INVALID, "role", "format",
			       "must be the name of a role, 1 to %d bytes without controls",
			       JOB_ROLE_MAX);
}

/* --- reading and changing -----------------------------------------------------------------------
 */

int job_callers_get(const struct db *system, struct job_caller **ret, size_t *ret_count)
{
	static const struct caller_limit all = { JOB_CALLERS_MAX };
	int r = need_postgres(system);

	return r < 0 ? r : db_all(system, &callers_all, &all, ret, ret_count);
}

struct change {
	const struct audit_actor *actor;
	struct job_caller caller; /* without a tenant: it goes */
};

static int audit(struct tx *tx, const struct change *change, const struct job_caller *before)
{
	bool goes = change->caller.acts_as.len == 0;
	int r = tx_enter(tx, &tenant_system);

	if (r == 0)
		r = tx_audit(tx, change->actor,
			&(struct audit_entry){
				.action = goes ? S("job_caller.revoked") : S("job_caller.granted"),
				.type = S("job_caller"),
				.id = change->caller.role,
				.schema = &job_caller_schema,
				.before = before,
				.after = goes ? NULL : &change->caller });
	return r < 0 ? r : tx_leave(tx);
}

static int check_room(struct tx *tx)
{
	static const struct caller_limit all = { JOB_CALLERS_MAX };
	struct job_caller *rows;
	size_t count;
	int r = tx_all(tx, &callers_all, &all, &rows, &count);

	if (r == 0 && count >= JOB_CALLERS_MAX)
		return fail_field(ERR_CONFLICT, "role", "too_many",
			"is one too many: there are %d already", JOB_CALLERS_MAX);
	return r;
}

static int change_in_tx(struct tx *tx, void *arg)
{
	const struct change *change = arg;
	bool goes = change->caller.acts_as.len == 0;
	struct job_caller before;
	int r = tx_one(tx, &caller_get, &change->caller, &before);
	bool found = r == 0;

	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	if (goes && !found)
		return fail(
			ERR_NOT_FOUND, "the role %.*s is not listed", STR_ARG(change->caller.role));
	r = found ? 0 : check_room(tx);
	if (r == 0)
		r = tx_exec(tx, goes ? &caller_delete : &caller_put, &change->caller);
	return r < 0 ? r : audit(tx, change, found ? &before : NULL);
}

static int run(const struct db *system, struct change *change)
{
	int r = need_postgres(system);

	if (r == 0)
		r = check_role(change->caller.role);
	return r < 0 ? r : db_write(system, change_in_tx, change);
}

int job_caller_grant(const struct db *system, const struct audit_actor *actor, struct str role,
	const struct uuid *tenant)
{
	struct change change = { actor,
		{ role, tenant ? uuid_text(system->arena, tenant) : S("any") } };

	return change.caller.acts_as.at ? run(system, &change) : -(int)err_last()->code;
}

int job_caller_revoke(const struct db *system, const struct audit_actor *actor, struct str role)
{
	struct change change = { actor, { .role = role } };

	return run(system, &change);
}
