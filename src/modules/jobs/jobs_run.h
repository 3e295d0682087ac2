/* What the files share that take jobs, end them, and watch what time does. */
#ifndef JOBS_RUN_H
#define JOBS_RUN_H

#include "modules/jobs/jobs_internal.h"
#include "modules/jobs/jobs_rows.h"

extern const struct job_statements job_lease_statements, job_take_statements, job_limit_statements,
	job_end_statements, job_end_statements_sqlite, job_end_statements_postgres,
	job_cancel_statements, job_promote_statements, job_reap_statements;

/* --- rates (jobs_rate.c): pure ----------------------------------------------------------------
 *
 * GCRA: a start moves `next_at` on by a count-th of the period, and may happen while that is less
 * than a period ahead. So a queue at rest starts a whole period's jobs at once, and then keeps the
 * rate; never more than twice the count in any period. */

/* How many may start now, of at most `most`. */
int64_t rate_room(const struct queue_rate *rate, int64_t next_at, int64_t now, int64_t most);

/* next_at when so many have started, which rate_room has allowed. */
int64_t rate_spend(const struct queue_rate *rate, int64_t next_at, int64_t now, int64_t count);

/* When one more may start. */
int64_t rate_again(const struct queue_rate *rate, int64_t next_at, int64_t now);

/* --- what a queue allows (jobs_limits.c) --------------------------------------------------------
 */

/* What a transaction may still start. */
struct limits {
	struct str queue;
	struct queue_settings settings;
	bool bounded;      /* there is a lock */
	int64_t room;      /* how many, by concurrency, rate and pause of the queue */
	int64_t spent;     /* have started */
	int64_t next_at;   /* of the queue's rate */
	int64_t tenant_at; /* of that of the tenant who was asked for last */
	int64_t again_us;  /* when a rate allows one more that is held back now; 0: none is */
};

/* Locks the queue where it has a bound, and looks. On a system handle that has entered no tenant.
 */
int limits_open_in_tx(struct tx *tx, struct str queue, int64_t most, struct limits *ret);

/* How many of `most` the rate of the tenant allows; in the tenant. A struct limits is for one
 * tenant at a time. */
int limits_tenant_in_tx(struct tx *tx, struct limits *limits, int64_t most, int64_t *ret);

/* So many of the tenant have started; in the tenant, after the call before. */
int limits_spend_tenant_in_tx(struct tx *tx, struct limits *limits, int64_t count);

/* All have, in no tenant. */
int limits_spend_in_tx(struct tx *tx, struct limits *limits);

/* --- payloads that are not valid (jobs_sift.c) --------------------------------------------------
 */

/* What is wrong with one, in a sentence; without memory a short one. */
struct str job_refusal(struct arena *arena, const struct problems *problems);

/* Whether a job has a name of the installation's own, in a queue that is none of them: one may come
 * so from a database's own transaction, and is discarded. */
#define JOB_STRAY "the name is of jobs that only the program itself adds"
bool job_stray(struct str name, struct str queue);

/* Whether a check has failed without a verdict: the payload may be good. */
bool job_unjudged(int r);

/* --- rows of what ends (jobs_end_rows.c) --------------------------------------------------------
 */

/* A start, by its job, lease and number. */
struct end_ref {
	struct str id, lease_id;
	int64_t attempt;
	struct str result; /* of a completion; may be empty */
	struct str group;  /* its group's key, where it is known; or empty */
};

/* A job whose start was found. */
struct end_row {
	struct str id, queue, name;
	int64_t attempt, uncounted, attempts, priority, turn, run_at;
	const struct job_backoff *backoff; /* NULL: the queue's */
	struct opt_str group_key, unique_key, worker;
	bool cancelling;
	struct job_end *end; /* that it was found for; NULL: none yet */
	bool halts;          /* its group stands still from now on */
};

/* What happens to the starts that are still what the refs say; others are left alone. */
enum end_how {
	END_DROP,  /* the rows go */
	END_KEEP,  /* they are completed and stay */
	END_CLAIM, /* they are locked and read whole */
	END_HOWS,
};

/* All of one queue, which may be empty with END_CLAIM. The rows, sorted by id. */
int end_rows_in_tx(struct tx *tx, enum end_how how, struct str queue, struct end_ref *refs,
	size_t count, struct end_row **ret, size_t *ret_count);

/* What a claimed job, or one that was cancelled, becomes. */
struct end_settle {
	struct str id;
	enum job_state state;
	int64_t uncounted, run_at, turn;
	bool seated;
	struct opt_i64 ended_at;
	struct opt_str result;
};

/* What an end makes of a job: pure. */
struct end_settle end_decide(const struct end_row *row, const struct job_end *end,
	const struct queue_settings *settings, int64_t now, uint64_t chance);

int end_settle_in_tx(struct tx *tx, const struct end_settle *settle);

/* The row goes, whatever is in it. */
int end_drop_in_tx(struct tx *tx, struct str id);

/* Lines and errors of rows that are gone. */
int end_forget_in_tx(struct tx *tx, const struct end_row *rows, size_t count);

/* Why an attempt came to nothing. */
struct end_error {
	struct str job_id;
	int64_t attempt;
	struct str kind, message;
	struct opt_str worker, trace;
};

int end_error_in_tx(struct tx *tx, const struct end_error *error);

/* What jobs that have ended leave behind: their seats, and their unique keys. In the order of
 * queues and groups. */
int end_leave_in_tx(struct tx *tx, struct end_row *const *rows, size_t count);

#endif
