/* Threads that do the jobs of a world, for the tests of those who have some. */
#ifndef JOBS_THREADS_TEST_H
#define JOBS_THREADS_TEST_H

#include "rest/world_test.h"

/* Kinds have to be declared before; one at a time. */
void jobs_threads_start(struct world *world);
void jobs_threads_stop(void);

#endif
