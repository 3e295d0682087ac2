/* bulkhead jobs callers | grant | revoke: which roles of PostgreSQL may add and complete jobs in
 * transactions of their own. */
#include "base/err.h"
#include "commands_jobs_work.h"
#include "modules/jobs/jobs_callers.h"

static const struct audit_actor program = { .kind = AUDIT_PROGRAM };

static int callers(struct jobs_work *work)
{
	struct job_caller *rows = NULL;
	size_t count = 0;
	int r = job_callers_get(&work->system, &rows, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		if (work->job->json)
			r = jobs_work_json(work, &job_caller_schema, &rows[i]);
		else
			buf_printf(work->out, "%-24.*s %.*s\n", STR_ARG(rows[i].role),
				STR_ARG(rows[i].acts_as));
	return r;
}

/* What it is from now on. */
static int show(struct jobs_work *work, const char *what)
{
	struct job_caller caller = { work->command.role, S("any") };

	if (work->has_tenant)
		caller.acts_as = uuid_text(&work->arena, &work->tenant);
	if (!caller.acts_as.at)
		return -(int)err_last()->code;
	if (work->job->json)
		return jobs_work_json(work, &job_caller_schema, &caller);
	buf_printf(work->out, "%.*s %s %.*s\n", STR_ARG(caller.role), what,
		STR_ARG(work->has_tenant ? work->command.tenant : caller.acts_as));
	return 0;
}

static int grant(struct jobs_work *work)
{
	int r = job_caller_grant(&work->system, &program, work->command.role,
		work->has_tenant ? &work->tenant : NULL);

	return r < 0 ? r : show(work, "may add and complete jobs of");
}

static int revoke(struct jobs_work *work)
{
	int r = job_caller_revoke(&work->system, &program, work->command.role);

	if (r == 0 && !work->job->json)
		buf_printf(work->out, "%.*s may add and complete no more jobs\n",
			STR_ARG(work->command.role));
	return r;
}

JOBS_COMMAND(callers, callers(&work))
JOBS_COMMAND(grant, grant(&work))
JOBS_COMMAND(revoke, revoke(&work))
