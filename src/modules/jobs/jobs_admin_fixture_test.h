/* A server with jobs and their administration, and workers that do as they are told, for tests. */
#ifndef JOBS_ADMIN_FIXTURE_TEST_H
#define JOBS_ADMIN_FIXTURE_TEST_H

#include "modules/jobs/jobs_census.h"
#include "rest/world_test.h"

extern const struct module *const jobs_world[];

/* Adds a job of a caller's tenant; its id is good for a while. */
const char *job_add(struct world *world, const char *caller, struct job_new job);

/* Takes up to `max` jobs of a queue, of all tenants, and ends each as `how`; END_RELEASE + 1 leaves
 * them running. Returns how many there were. */
enum { LEFT_RUNNING = END_TIMEOUT + 1 };
size_t jobs_work(struct world *world, const char *queue, size_t max, int how);

/* The state of a job, as the API says. */
const char *job_state_of(struct world *world, const char *caller, const char *id);

/* Counts all parts of the census, and reads it. */
void jobs_recount(struct world *world);

#endif
