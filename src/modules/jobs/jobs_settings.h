/* Settings of queues, as operators read and change them. */
#ifndef JOBS_SETTINGS_H
#define JOBS_SETTINGS_H

#include "modules/jobs/jobs_admin.h"

/* How long jobs that have ended stay; what is not said is as before. */
struct queue_keep_new {
	struct opt_i64 ms, count;
};

/* Settings that somebody wants. */
struct queue_settings_new {
	struct opt_int level, on_discard;
	struct opt_i64 concurrency, concurrency_min, tenant_concurrency, group_concurrency;
	const struct queue_rate *rate, *tenant_rate, *group_rate; /* NULL: not said */
	struct opt_i64 attempts, timeout_ms, lease_ms;
	const struct job_backoff *backoff;
	struct opt_i64 backlog, group_backlog, backlog_age_ms;
	const struct queue_keep_new *completed, *discarded, *cancelled;
	struct opt_i64 alarm_depth, alarm_age_ms, alarm_running_ms;
	struct opt_str push_url;
};

/* Puts what is said in the place of what `settings` has. Pure. -ERR_INVALID with the field for what
 * contradicts itself. */
int queue_settings_apply(const struct queue_settings_new *new, struct queue_settings *settings);

/* A queue with its settings. */
struct queue_config {
	struct str name;
	struct queue_settings settings;
	bool is_default; /* without a row */
	int64_t version; /* 0: without a row */
	struct opt_i64 updated_at;
};

struct queue_put {
	struct str name;
	struct queue_settings_new settings;
};

struct queue_by_name {
	struct str name;
};

/* What is wanted of one queue, in a transaction on the system handle. */
struct queue_change {
	const struct req *req; /* whose If-Match counts; NULL: nobody's */
	struct audit_actor actor;
	struct str name;
	enum { QUEUE_PUT, QUEUE_RESET, QUEUE_PAUSE, QUEUE_RESUME } what;
	const struct queue_settings_new *settings; /* QUEUE_PUT: instead of the preset's */
	struct queue_config *ret;
};

/* -ERR_NOT_FOUND for QUEUE_RESET without a row, -ERR_PRECONDITION, -ERR_INVALID, -ERR_CONFLICT when
 * QUEUES_MAX queues have settings. */
int queue_change_in_tx(struct tx *tx, void *arg);

/* The settings as they stand in the table. On a system handle. */
int queue_config_get(const struct db *system, struct str name, struct queue_config *ret);

/* -ERR_INVALID, field "name", for what is no name of a queue. */
int queue_name_check(struct str name);

/* For operators: also one of the installation's own. */
int queue_name_check_any(struct str name);

extern const struct schema queue_config_schema, queue_put_schema, queue_by_name_schema;
extern const struct job_statements job_settings_statements;

#endif
