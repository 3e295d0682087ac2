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

/* What a queue without a row has: the settings of its name, or the defaults. */
void queue_preset(struct str queue, struct queue_settings *ret);

/* The names that have settings of their own without a row; returns how many it has stored. */
size_t queues_named(struct str *ret, size_t room);

/* [a-z][a-z0-9_-]*, at most JOB_QUEUE_MAX. */
bool queue_name_valid(struct str name);

/*
 * Queues of the installation itself, which no other queue can have the name of: "system." and a
 * name. Jobs get there by their kind alone, from modules, and are done by the program alone. They
 * are rows of tenants like all jobs, but tenants neither see nor change them, cannot pause the
 * queue, and no backlog refuses them; operators can do all of that.
 */
#define QUEUE_RESERVED "system."
bool queue_name_reserved(struct str name);

/* --- the table ----------------------------------------------------------------------------- */

enum {
	QUEUES_MAX = 1000, /* queues with a row */
	QUEUE_SETTINGS_BYTES = 16 * 1024,
};

/* Who changes main.job_queue tells it: tx_notice(tx, S(QUEUES_TOPIC), name). */
#define QUEUES_TOPIC "jobs.queue"

/* A row. `settings` is all of queue_settings_schema; `paused` here is what counts. */
struct queue_row {
	struct str name;
	struct json_value settings;
	bool paused;
	int64_t version, updated_at;
};

/* The columns of struct queue_row, for statements. */
#define QUEUE_ROW_COLUMNS "name, settings, paused, version, updated_at"

extern const struct schema queue_row_schema, queue_settings_schema;

/* Settings out of their text; what it refers to is in the arena. -ERR_INVALID, -ERR_NO_MEMORY. */
int queue_settings_read(
	struct str name, struct str text, struct arena *arena, struct queue_settings *ret);

/* Reads the table. Until the first time all queues have their presets, so those who start jobs do
 * this first. On a fiber. Errors of db_all. */
int queues_load(struct store *store, struct arena *arena);

/* The same when a notice was heard since; to be called often. */
int queues_refresh(struct store *store, struct arena *arena);

int queues_open(struct store *store);
void queues_close(struct store *store);

#endif
