/* What the files of the worker protocol share. */
#ifndef JOBS_WORKER_INTERNAL_H
#define JOBS_WORKER_INTERNAL_H

#include "modules/jobs/jobs_internal.h"
#include "modules/jobs/jobs_token.h"
#include "modules/jobs/jobs_worker.h"

struct req;

enum {
	WORKER_ID_MAX = 100,        /* characters of a worker's name for itself */
	WORKER_WAIT_MAX_MS = 60000, /* longest poll */
	WORKER_LEASE_MIN_MS = 1000, /* lease without a session */
	WORKER_LEASE_MAX_MS = 3600000,
	WORKER_POLLS_MAX = 1000,    /* polls that wait, of a tenant at this instance, */
	WORKER_SESSIONS_MAX = 1000, /* and sessions */
	WORKER_LINES_MAX = 100,     /* log lines of one call */
	WORKER_MESSAGE_MAX =
		100000, /* characters of an error; what is too long for its row is cut */
};

/* A session whose connection is gone is lost after this. */
#define SESSION_LOST_AFTER (3 * SECOND)

/* --- what goes in and out (jobs_worker_contract.c) ------------------------------------------ */

/* One job and the token of its start. */
struct job_start_ref {
	struct str id;
	struct str lease_token;
};

struct job_complete_item {
	struct str id;
	struct str lease_token;
	struct json_value result;
};

struct job_fail_item {
	struct str id;
	struct str lease_token;
	struct str message;
	struct opt_i64 retry_in_ms;
	bool discard;
};

/* The same for one job, whose id is in the path. */
struct job_start_request {
	struct job_start_ref of;
};

struct job_complete_request {
	struct job_complete_item of;
};

struct job_fail_request {
	struct job_fail_item of;
};

struct job_snooze_request {
	struct str id;
	struct str lease_token;
	int64_t delay_ms;
};

struct job_progress_request {
	struct str id;
	struct str lease_token;
	int64_t percent;
	struct opt_str note;
};

struct job_log_line {
	enum log_level level;
	struct str message;
};

struct job_log_request {
	struct str id;
	struct str lease_token;
	LIST_OF(struct job_log_line) lines;
};

/* Several jobs at once. */
struct job_start_refs {
	LIST_OF(struct job_start_ref) jobs;
};

struct job_completes {
	struct job_complete_item *at;
	size_t count;
};

struct job_complete_items {
	struct job_completes jobs;
};

struct job_fail_items {
	LIST_OF(struct job_fail_item) jobs;
};

struct job_lease_request {
	struct str name; /* of the queue */
	struct str worker_id;
	int64_t max;
	int64_t wait_ms;
	struct opt_i64 lease_ms;
	struct job_completes complete;
};

/* A job that its worker has from now on. */
struct leased_job {
	struct str id;
	struct opt_str tenant_id; /* for workers of all tenants */
	struct str name, queue;
	struct json_value payload;
	int64_t priority;
	int64_t attempt, attempts;
	struct str lease_token;
	int64_t lease_expires_at;
	int64_t timeout_ms;
	struct opt_str traceparent, group_key, unique_key;
	LIST_OF(struct str) tags;
	int64_t created_at;
};

/* Why one of several was not done; code and message are those of a whole answer. */
struct job_refusal {
	struct str code, message;
};

/* What became of one of several: its state, or why nothing did. */
struct job_ending {
	struct str id;
	struct opt_int state; /* enum job_state */
	struct job_refusal *error;
};

struct job_ending_list {
	struct job_ending *at;
	size_t count;
};

struct job_endings {
	struct job_ending_list jobs;
};

struct job_lease_answer {
	LIST_OF(struct leased_job) jobs;
	struct job_ending_list completed; /* those of `complete`, in its order */
};

struct job_ended {
	struct str id;
	enum job_state state;
};

struct job_logged {
	int64_t kept, dropped;
};

/* How a start stands. */
struct job_standing {
	bool cancel;
	int64_t lease_expires_at;
};

struct job_standing_item {
	struct str id;
	struct opt_bool cancel;
	struct opt_i64 lease_expires_at;
	struct job_refusal *error;
};

struct job_standings {
	LIST_OF(struct job_standing_item) jobs;
};

struct worker_ref {
	struct str worker_id;
};

struct worker_session_request {
	struct str worker_id;
	struct opt_str last_event_id; /* the session that is to go on */
};

struct worker_released {
	int64_t released; /* jobs that were handed back */
};

extern const struct schema job_start_request_schema, job_complete_request_schema,
	job_fail_request_schema, job_snooze_request_schema, job_progress_request_schema,
	job_log_request_schema, job_start_refs_schema, job_complete_items_schema,
	job_fail_items_schema, job_lease_request_schema, job_lease_answer_schema,
	job_endings_schema, job_ended_schema, job_logged_schema, job_standing_schema,
	job_standings_schema, worker_ref_schema, worker_session_request_schema,
	worker_released_schema;

#endif
