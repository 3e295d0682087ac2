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
	WORKER_HOLDING_MAX = 10000, /* jobs that a worker may have at once */
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
	bool lost_answer;
	LIST_OF(struct str) holding; /* ids; with lost_answer */
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

struct push_queue_ref {
	struct str name;
};

struct push_secret {
	struct str secret; /* "whsec_..." */
};

extern const struct schema push_queue_ref_schema, push_secret_schema;
extern const struct schema job_start_request_schema, job_complete_request_schema,
	job_fail_request_schema, job_snooze_request_schema, job_progress_request_schema,
	job_log_request_schema, job_start_refs_schema, job_complete_items_schema,
	job_fail_items_schema, job_lease_request_schema, job_lease_answer_schema,
	job_endings_schema, job_ended_schema, job_logged_schema, job_standing_schema,
	job_standings_schema, worker_ref_schema, worker_session_request_schema,
	worker_released_schema;

/* --- who asks ------------------------------------------------------------------------------- */

/* A worker of one tenant, or of all. */
struct worker_caller {
	struct store *store;
	bool platform;      /* of all tenants */
	struct uuid tenant; /* whose its leases are: tenant_system with `platform` */
};

/* By the right of the route. -ERR_FORBIDDEN for who has no tenant. */
int worker_caller_of(struct req *req, struct worker_caller *ret);

/* The handle for rows of jobs: its tenant's, or the system's. */
struct db worker_db(const struct worker_caller *caller, struct arena *arena);

/* Whether a token can be of a job of this caller; and on its handle, becoming that tenant. */
bool worker_may(const struct worker_caller *caller, const struct job_token *token);
int worker_enter(struct tx *tx, const struct worker_caller *caller, const struct uuid *tenant);
int worker_leave(struct tx *tx, const struct worker_caller *caller);

/* --- how many wait (jobs_worker_seats.c) ---------------------------------------------------- */

/* What a tenant may have only so many of at this instance. Any thread. */
enum worker_seat { SEAT_POLL, SEAT_SESSION, WORKER_SEATS };

/* -ERR_TOO_MANY when all are taken. */
int seat_take(enum worker_seat kind, const struct uuid *tenant);
void seat_give(enum worker_seat kind, const struct uuid *tenant);

/* --- rows (jobs_worker_store.c) ------------------------------------------------------------- */

/* A start, as a token names it. `lease_id` is text in the arena it was made in. */
struct start {
	struct str id;
	struct str lease_id;
	int64_t attempt;
};

/* Where a start stands: 0 while it runs; 1 when this very start has ended (`*ret_state` is what the
 * job is now); -ERR_CONFLICT when another one has begun or it was lost; -ERR_NOT_FOUND without such
 * a job. On a handle of the job's tenant. */
int start_look_in_tx(
	struct tx *tx, const struct start *start, enum job_state *ret_state, bool *ret_cancelling);

/* The newest session of a worker, on a handle of the lease's tenant; -ERR_NOT_FOUND. It cannot go
 * before the transaction ends. */
int session_find_in_tx(struct tx *tx, struct str worker, struct uuid *ret, int64_t *ret_lease_us);

/* The leases of a worker, or only its sessions; on a system handle in no tenant. */
struct worker_found {
	struct str id;
	int64_t lease_us;
};

int worker_leases_in_tx(struct tx *tx, const struct uuid *tenant, struct str worker, bool sessions,
	struct worker_found **ret, size_t *ret_count);

/* Hands back what runs under a session, but not those ids: their worker has never heard of it. On a
 * system handle in no tenant. */
int session_forget_in_tx(struct tx *tx, const struct worker_caller *caller,
	const struct uuid *session, const struct str *holding, size_t holding_count);

/* A lease's row; it beats. -ERR_NOT_FOUND. */
int lease_renew_in_tx(struct tx *tx, const struct uuid *id, int64_t *ret_lease_us);

/* Whether something is ready in a queue for this caller: 1 or 0. Reads only. */
int worker_ready(const struct worker_caller *caller, struct arena *arena, struct str queue);

/* SOFT and READ COMMITTED: heartbeats, progress, lines. */
extern const struct tx_options worker_soft;

enum { JOB_WORKER_STATEMENTS = 16 };
extern const struct statement *const job_worker_statements[JOB_WORKER_STATEMENTS];

/* --- saying what became of jobs (jobs_worker_end.c) ----------------------------------------- */

/* What a worker says of one start: `end` with id, kind and what belongs to that; the token says the
 * rest. */
struct worker_end {
	struct str token;
	struct job_end end;
	struct uuid tenant;   /* from the token */
	int result;           /* out: 0, -ERR_CONFLICT or -ERR_NOT_FOUND */
	enum job_state state; /* out, with 0 */
};

/* Reads the tokens; a bad one has its result at once. At the beginning, once. -ERR_NO_MEMORY. */
int worker_ends_read(const struct worker_caller *caller, struct arena *arena,
	struct worker_end *ends, size_t count);

/* Ends what can be; on a handle of worker_db. A start that ended like that before counts as done:
 * who heard no answer asks again. */
int worker_ends_in_tx(
	struct tx *tx, const struct worker_caller *caller, struct worker_end *ends, size_t count);

/* Both, as a transaction. */
int worker_ends(const struct worker_caller *caller, struct arena *arena, struct worker_end *ends,
	size_t count);

/* The text of a result that is no success, and that with its code. */
struct str worker_refusal(int result);
int worker_refuse(struct arena *arena, int result, struct job_refusal **ret);

/* As much of a text as has room in so many bytes, whole characters. */
struct str worker_cut(struct str text, size_t bytes);

/* --- while it works (jobs_worker_standing.c): handlers ---------------------------------------- */

int worker_heartbeat(struct req *req, const struct job_start_request *in, struct job_standing *out);
int worker_heartbeats(struct req *req, const struct job_start_refs *in, struct job_standings *out);
int worker_progress(
	struct req *req, const struct job_progress_request *in, struct job_standing *out);
int worker_log(struct req *req, const struct job_log_request *in, struct job_logged *out);

/* --- taking (jobs_worker_lease.c) ----------------------------------------------------------- */

/* What is taken by a call, and what was said with it. */
struct worker_take {
	struct worker_caller caller;
	struct str queue, worker;
	size_t max;
	int64_t lease_us; /* of a lease of its own */
	struct worker_end *ends;
	size_t end_count;
	bool lost_answer; /* hands back what its session has beside `ends` and these */
	const struct str *holding;
	size_t holding_count;

	/* out; texts live in the arena of the call */
	struct taken *taken;
	size_t count;
	struct uuid lease;     /* whose the jobs are, */
	int64_t expires_at_us; /* and until when, unless it is renewed */
};

/* Ends what is to be ended, and takes jobs, waiting for the first one until `deadline_ns` or until
 * the server drains. */
int worker_take(
	struct req *req, struct worker_take *take, struct arena *arena, uint64_t deadline_ns);

/* Hands taken jobs back at once, whatever became of the caller. */
void worker_give_back(struct worker_take *take);

#endif
