/*
 * Changing single jobs as people want it. All of it is decided by the row as the transaction finds
 * it; who takes or ends the job at the same moment comes before or after, never in between.
 */
#include "modules/jobs/jobs_change.h"

#include "base/err.h"
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_run.h"

/* A row as it is found, and as it is put back. */
struct job_held {
	struct str id, queue;
	enum job_state state;
	int64_t attempt, attempts, priority, run_at, turn;
	struct opt_str unique_key, group_key;
	bool seated, blocked;
};

/* clang-format off */
static const struct schema held_schema = SCHEMA(job_held, "A job as it stands.",
	FIELD(job_held, id, "Which.", .format = FORMAT_UUID),
	FIELD(job_held, queue, "Where."),
	FIELD(job_held, state, "How far it is.", .choices = job_state_names),
	FIELD(job_held, attempt, "How often it was started."),
	FIELD(job_held, attempts, "How often it may be."),
	FIELD(job_held, priority, "How urgent it is."),
	FIELD(job_held, run_at, "When it is due."),
	FIELD(job_held, turn, "Where it stands."),
	FIELD(job_held, unique_key, "Its key.", RANGE(0, JOB_KEY_MAX)),
	FIELD(job_held, group_key, "Its group.", RANGE(0, JOB_KEY_MAX)),
	FIELD(job_held, seated, "Whether it has a seat there."),
	FIELD(job_held, blocked, "Or waits for one."));
/* clang-format on */

/* Nobody else changes it from here to the end of the transaction. */
static const struct statement job_hold = STATEMENT("job_hold",
	.sql = "UPDATE main.job AS j SET cancelling = j.cancelling WHERE j.tenant_id = :tenant "
	       "AND j.id = :id RETURNING id, queue, state, attempt - uncounted AS attempt, "
	       "attempts, priority, run_at, "
	       "turn, unique_key, group_key, seated, blocked",
	.in = &held_schema, .out = &held_schema);

static const struct statement job_again = STATEMENT("job_again",
	.sql = "UPDATE main.job SET state = :state, attempts = :attempts, run_at = :run_at, "
	       "turn = :turn, seated = :seated, blocked = :blocked, lease_id = NULL, "
	       "worker = NULL, cancelling = FALSE, progress = NULL, progress_note = NULL, "
	       "result = NULL, timeout_at = NULL, started_at = NULL, ended_at = NULL "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &held_schema, .expect = EXPECT_ONE);

static const struct statement job_due = STATEMENT("job_promoted",
	.sql = "UPDATE main.job SET state = :state, run_at = :run_at, turn = :turn, "
	       "seated = :seated, blocked = :blocked WHERE tenant_id = :tenant AND id = :id",
	.in = &held_schema, .expect = EXPECT_ONE);

const struct job_statements job_change_statements = JOB_STATEMENTS(&job_hold, &job_again, &job_due);

static int refuse(const struct job_held *job, const char *what)
{
	return fail_field(ERR_CONFLICT, "state", "wrong_state", "is %s; it cannot be %s",
		job_state_names[job->state], what);
}

static bool has_ended(const struct job_held *job)
{
	return job->state == JOB_COMPLETED || job->state == JOB_DISCARDED ||
	       job->state == JOB_CANCELLED;
}

/* --- becoming ready ----------------------------------------------------------------------- */

/* Ready now, in its group if it has one; who gets no seat there waits for one. */
static int make_ready(struct tx *tx, struct job_held *job)
{
	const struct group_ref group = { job->queue, job->group_key.value };
	int64_t now = tx_now_us(tx);
	int r = 0;

	job->state = JOB_AVAILABLE;
	job->run_at = now;
	job->turn = job_turn(now, job->priority);
	if (job->group_key.set && !job->seated) {
		int64_t at = now;

		r = group_join_in_tx(tx, &group, &job->blocked, &at);
		job->seated = !job->blocked;
		if (job->seated && at > now) { /* the group's rate */
			job->state = JOB_SCHEDULED;
			job->run_at = at;
		}
	}
	return r;
}

static int ring(struct tx *tx, const struct job_held *job)
{
	if (job->state == JOB_SCHEDULED)
		return bell_ring_after(tx, bell_of_later());
	return job->blocked ? 0 : bell_ring_after(tx, bell_of(job->queue));
}

/* As many starts again as the queue gives, or as the job had if those are fewer. */
static int64_t further_attempts(const struct job_held *job)
{
	struct queue_settings settings;
	int64_t more;

	queue_settings(job->queue, &settings);
	more = MAX(MIN(settings.attempts, job->attempts), 1);
	return MAX(job->attempts, MIN(job->attempt + more, JOB_STARTS_MAX));
}

static int take_key(struct tx *tx, const struct job_held *job)
{
	const struct job_row row = {
		.id = job->id, .queue = job->queue, .unique_key = job->unique_key
	};
	enum unique_verdict verdict;
	struct unique_there there;
	int r;

	if (!job->unique_key.set)
		return 0;
	r = unique_take_in_tx(tx, &row, JOB_UNIQUE_REJECT, 0, &verdict, &there);
	return r == -ERR_CONFLICT ? err_blame("uniqueKey", "unique") : r;
}

static int retry(struct tx *tx, struct job_held *job)
{
	int r;

	if (!has_ended(job))
		return refuse(job, "tried again before it has ended");
	if (job->attempt >= JOB_STARTS_MAX)
		return fail_field(ERR_CONFLICT, "attempts", "too_many",
			"has been started %lld times, which is enough", (long long)job->attempt);
	r = take_key(tx, job);
	if (r < 0)
		return r;
	job->seated = job->blocked = false;
	job->attempts = further_attempts(job);
	r = make_ready(tx, job);
	if (r == 0)
		r = tx_exec(tx, &job_again, job);
	return r < 0 ? r : ring(tx, job);
}

static int promote(struct tx *tx, struct job_held *job)
{
	int r;

	if (job->state != JOB_SCHEDULED && job->state != JOB_RETRYABLE)
		return refuse(job, "made due");
	if (job->run_at >= JOB_BEHIND_US)
		return fail_field(ERR_CONFLICT, "uniqueKey", "behind",
			"belongs to a job that runs; this one starts when that has ended");
	r = make_ready(tx, job);
	if (r == 0)
		r = tx_exec(tx, &job_due, job);
	return r < 0 ? r : ring(tx, job);
}

/* --- ending ------------------------------------------------------------------------------------
 */

static int cancel(struct tx *tx, const struct job_held *job)
{
	enum job_state state;

	if (has_ended(job))
		return refuse(job, "called off");
	return job_cancel_in_tx(tx, job->id, &state);
}

/* One that waits is called off first, so that its group and its key go on without it. */
static int discard(struct tx *tx, const struct job_held *job)
{
	const struct end_row gone = { .id = job->id };
	int r = 0;

	if (job->state == JOB_RUNNING)
		return refuse(job, "removed; cancel it first");
	if (!has_ended(job))
		r = cancel(tx, job);
	if (r == 0)
		r = end_drop_in_tx(tx, job->id);
	return r < 0 ? r : end_forget_in_tx(tx, &gone, 1);
}

int job_hold_in_tx(struct tx *tx, struct str id)
{
	const struct job_held which = { .id = id };
	struct job_held job;

	return tx_one(tx, &job_hold, &which, &job);
}

int job_change_in_tx(struct tx *tx, enum job_change change, struct str id, struct opt_int state)
{
	const struct job_held which = { .id = id };
	struct job_held job;
	int r = tx_one(tx, &job_hold, &which, &job);

	if (r < 0)
		return r;
	if (state.set && job.state != (enum job_state)state.value)
		return refuse(&job, "changed with the others");
	switch (change) {
	case JOB_RETRY: return retry(tx, &job);
	case JOB_CANCEL: return cancel(tx, &job);
	case JOB_PROMOTE: return promote(tx, &job);
	case JOB_REMOVE: return discard(tx, &job);
	case JOB_CHANGES: break;
	}
	CHECK(false);
	return 0;
}
