/* Which roles of the database may call bulkhead.enqueue and bulkhead.complete (jobs.sql);
 * PostgreSQL only: SQLite has no roles, and every call here is -ERR_INVALID there. */
#ifndef JOBS_CALLERS_H
#define JOBS_CALLERS_H

#include "modules/audit/audit.h"
#include "modules/jobs/jobs_rows.h"

enum {
	JOB_ROLE_MAX = 63, /* bytes of a role's name, as PostgreSQL has it */
	JOB_CALLERS_MAX = 1000,
};

struct job_caller {
	struct str role;
	struct str acts_as; /* id of a tenant, or "any": which the role names in each call */
};

extern const struct schema job_caller_schema;
extern const struct job_statements job_caller_statements; /* PostgreSQL's */

/* All of them by role, at most JOB_CALLERS_MAX. Texts live in the handle's arena; a system handle.
 */
int job_callers_get(const struct db *system, struct job_caller **ret, size_t *ret_count);

/*
 * Lists a role, or changes as whom it calls; `tenant` NULL: any. Revoked, it is refused from its
 * next call on. On a system handle; audited in the installation's log. -ERR_INVALID with field
 * "role" for what is no name of a role, -ERR_CONFLICT beyond JOB_CALLERS_MAX; revoking
 * -ERR_NOT_FOUND when it is not listed.
 */
int job_caller_grant(const struct db *system, const struct audit_actor *actor, struct str role,
	const struct uuid *tenant);
int job_caller_revoke(const struct db *system, const struct audit_actor *actor, struct str role);

#endif
