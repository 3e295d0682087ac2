/* Jobs that the program brings: by schedule sessions:cleanup, audit:cleanup, jobs:cleanup and
 * backup:run; and email:send. */
#ifndef BUILTIN_JOBS_H
#define BUILTIN_JOBS_H

#include "housekeeping.h"

/* Declares them; when the modules are open. `housekeeping` makes the backups, and lives as long as
 * jobs run. Errors of job_kind_declare. */
int builtin_jobs_declare(struct server *server, struct housekeeping *housekeeping);

#endif
