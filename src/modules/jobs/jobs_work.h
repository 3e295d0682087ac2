/*
 * The jobs that this process does itself: threads of their own, on which handlers run as fibers,
 * and a clerk who does what time does to jobs. Nobody else needs them: adding jobs, and workers
 * outside, work without.
 */
#ifndef JOBS_WORK_H
#define JOBS_WORK_H

#include "modules/jobs/jobs.h"

enum { JOBS_THREADS_MAX = 64 };

/* What this instance does (ROLES). */
struct jobs_options {
	bool work;        /* runs handlers of its kinds */
	bool schedule;    /* makes due jobs available, and ends what lost workers had */
	size_t threads;   /* for handlers: 1 to JOBS_THREADS_MAX; 0: 1 */
	uint64_t stop_ns; /* handlers have so long to finish at the end; 0: 10 s */
};

/* Before jobs_start; without it everything is done, by one thread. Copied. */
void jobs_configure(const struct jobs_options *given);

/*
 * Starts what the options say, for all kinds that were declared. Once at a time, after store_start.
 * -ERR_IO, -ERR_NO_MEMORY; then nothing runs. From any thread.
 */
int jobs_start(struct server *server);

/*
 * Ends it: takes no more, lets handlers finish, then cancels what is left and hands it back. The
 * first returns at once; jobs_stopped is true when the second will not wait any more. Any thread.
 */
void jobs_stop_begin(void);
bool jobs_stopped(void);
void jobs_stop(void);

/* jobs:cleanup, by schedule; to be declared by the program. */
extern const struct job_kind jobs_cleanup_kind;

#endif
