/*
 * Cleaning up: what has ended and is old, or more than is kept, goes with all that belongs to it;
 * and so do tallies, rates, keys, groups and leases that nobody needs any more. Small transactions,
 * the oldest first; several instances may do it at once.
 */
#ifndef JOBS_CLEANUP_H
#define JOBS_CLEANUP_H

#include "modules/jobs/jobs_rows.h"

enum { JOBS_CLEAN_BATCH = 500 }; /* jobs of one transaction */

/*
 * Does all of it once; the number of jobs that went goes to `*ret_jobs`, which may be NULL. For the
 * job jobs:cleanup. On a fiber; ends early when its scope does. Errors of the store.
 */
int jobs_cleanup(struct store *store, size_t *ret_jobs);

extern const struct job_statements job_cleanup_statements;

#endif
