/*
 * Settings of queues: those of the installation's table where there is a row, else those of the
 * named queue, else the defaults. Kept in memory; a change is known everywhere within a second.
 */
#ifndef JOBS_QUEUE_H
#define JOBS_QUEUE_H

#include "modules/jobs/jobs.h"

/* Which queue goes first when the program's workers have more to do than hands. */
enum queue_level { QUEUE_HIGH, QUEUE_MEDIUM, QUEUE_LOW, QUEUE_LEVELS };

/* So many in so much time. 0: no bound. */
struct queue_rate {
	int64_t count, per_ms;
};

/* How long jobs that have ended stay. */
struct queue_keep {
	int64_t ms;
	int64_t count; /* of a tenant and queue; 0: they go with their end */
};

enum queue_discard { QUEUE_CONTINUE, QUEUE_HALT };

/* Zero is no bound where nothing else is said. Texts are static, or as long as the module is open.
 */
struct queue_settings {
	enum queue_level level;
	int64_t concurrency;     /* running at once, of all instances and tenants */
	int64_t concurrency_min; /* where the program begins before a backlog ages; 0: the same */
	int64_t tenant_concurrency; /* of a tenant */
	int64_t group_concurrency;  /* seats of a group: 1 is one at a time */
	struct queue_rate rate, tenant_rate, group_rate;
	int64_t attempts;
	struct job_backoff backoff;
	int64_t timeout_ms;
	int64_t lease_ms;              /* of workers without a session, when they say nothing */
	int64_t backlog;               /* jobs of a tenant that may wait, */
	int64_t group_backlog;         /* and of a group */
	int64_t backlog_age_ms;        /* jobs are refused while the oldest ready one is older */
	enum queue_discard on_discard; /* what a discarded job does to its group */
	struct queue_keep completed, discarded, cancelled;
	int64_t alarm_depth, alarm_age_ms, alarm_running_ms; /* when health says "degraded" */
	struct str push_url; /* jobs are sent there instead of being leased; empty: not */
	bool paused;         /* nothing starts */
};

/* The settings of a queue now. Any thread, also in transactions. */
void queue_settings(struct str queue, struct queue_settings *ret);

/* [a-z][a-z0-9_-]*, at most JOB_QUEUE_MAX. */
bool queue_name_valid(struct str name);

#endif
