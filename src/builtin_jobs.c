/* Jobs that the program brings, and the one that makes backups. */
#include "builtin_jobs.h"

#include "base/err.h"
#include "config.h"
#include "modules/audit/audit.h"
#include "modules/auth/auth.h"
#include "modules/jobs/jobs_work.h"
#include "modules/users/users.h"

/* Whose backups are made; set before jobs run. */
static struct housekeeping *keeper;

static int run_backup(struct job *job, const void *payload)
{
	(void)job;
	(void)payload;
	return housekeeping_backup(keeper);
}

/* How often is the configuration's. */
static struct job_kind backup_run = { .name = "backup:run",
	.queue = "maintenance",
	.run = run_backup,
	.attempts = 5,
	.timeout_ns = 6 * HOUR };

int builtin_jobs_declare(struct server *server, struct housekeeping *housekeeping)
{
	static const struct job_kind *const kinds[] = { &sessions_cleanup, &audit_cleanup,
		&jobs_cleanup_kind, &email_send };
	const struct config *config = housekeeping->options.config;
	int r = 0;

	for (size_t i = 0; i < LEN(kinds) && r == 0; i++)
		r = job_kind_declare(server, kinds[i]);
	if (r < 0 || !housekeeping->options.backups || !config->backup_interval)
		return r;
	keeper = housekeeping;
	backup_run.every_ns = config->backup_interval;
	return job_kind_declare(server, &backup_run);
}
