/* Cancelling: one that does not run ends, one that runs is asked to stop. */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"

struct cancel_ref {
	struct str id;
};

struct cancel_key {
	struct str queue, key;
};

struct cancelled_row {
	struct str id, queue;
	enum job_state state;
	bool seated, blocked;
	struct opt_str group_key, unique_key;
};

/* clang-format off */
static const struct schema cancel_ref_schema = SCHEMA(cancel_ref, "A job to cancel.",
	FIELD(cancel_ref, id, "Which.", .format = FORMAT_UUID));

static const struct schema cancel_key_schema = SCHEMA(cancel_key, "The key of a job to cancel.",
	FIELD(cancel_key, queue, "Of which queue."),
	FIELD(cancel_key, key, "Which.", RANGE(0, JOB_KEY_MAX)));

static const struct schema cancelled_row_schema = SCHEMA(cancelled_row, "A job to cancel.",
	FIELD(cancelled_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(cancelled_row, queue, "Where."),
	FIELD(cancelled_row, state, "What it does.", .choices = job_state_names),
	FIELD(cancelled_row, seated, "Has a seat in its group."),
	FIELD(cancelled_row, blocked, "Waits for one."),
	FIELD(cancelled_row, group_key, "Which group."),
	FIELD(cancelled_row, unique_key, "What it is the only one of."));
/* clang-format on */

#define ROW " RETURNING id, queue, state, seated, blocked, group_key, unique_key"

/* Seat and place stay for a moment, to be told. */
static const struct statement cancel_waiting = STATEMENT("job_cancel_waiting",
	.sql = "UPDATE main.job SET state = 'cancelled', ended_at = :now "
	       "WHERE tenant_id = :tenant AND id = :id "
	       "AND state IN ('scheduled', 'available', 'retryable')" ROW,
	.in = &cancel_ref_schema, .out = &cancelled_row_schema);

static const struct statement cancel_left = STATEMENT("job_cancel_left",
	.sql = "UPDATE main.job SET seated = FALSE, blocked = FALSE "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &cancel_ref_schema);

static const struct statement cancel_running = STATEMENT("job_cancel_running",
	.sql = "UPDATE main.job SET cancelling = TRUE WHERE tenant_id = :tenant AND id = :id "
	       "AND state = 'running'" ROW,
	.in = &cancel_ref_schema, .out = &cancelled_row_schema);

static const struct statement cancel_state = STATEMENT("job_cancel_state",
	.sql = "SELECT id, queue, state, seated, blocked, group_key, unique_key FROM job "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &cancel_ref_schema, .out = &cancelled_row_schema);

/* Changes nothing. */
static const struct statement cancel_hold = STATEMENT("job_cancel_hold",
	.sql = "UPDATE main.job_unique AS u SET job_id = u.job_id WHERE u.tenant_id = :tenant "
	       "AND u.queue = :queue AND u.key = :key",
	.in = &cancel_key_schema);

const struct job_statements job_cancel_statements =
	JOB_STATEMENTS(&cancel_hold, &cancel_waiting, &cancel_left, &cancel_running, &cancel_state);

/* The row is what the job was, but for its state. */
static int clear(struct tx *tx, const struct cancelled_row *row)
{
	struct end_row gone = { .id = row->id,
		.queue = row->queue,
		.group_key = row->group_key,
		.unique_key = row->unique_key };
	struct end_row *leaving = &gone;
	struct group_ref group = { row->queue, row->group_key.value };
	struct queue_settings settings;
	int r;

	queue_settings(row->queue, &settings);
	if (settings.cancelled.count == 0) {
		r = end_drop_in_tx(tx, row->id);
		if (r == 0)
			r = end_forget_in_tx(tx, &gone, 1);
	} else {
		r = tx_exec(tx, &cancel_left, &(struct cancel_ref){ row->id });
	}
	if (r == 0 && row->blocked)
		r = group_unwait_in_tx(tx, &group);
	if (!row->seated)
		gone.group_key.set = false;
	return r < 0 ? r : end_leave_in_tx(tx, &leaving, 1);
}

/* Who replaces the job of a key has its key first, and then the job; so has who cancels it. */
static int hold_key(struct tx *tx, const struct cancel_ref *ref)
{
	struct cancelled_row row;
	int r = tx_one(tx, &cancel_state, ref, &row);

	if (r < 0 || !row.unique_key.set)
		return r;
	return tx_exec(tx, &cancel_hold, &(struct cancel_key){ row.queue, row.unique_key.value });
}

int job_cancel_in_tx(struct tx *tx, struct str id, enum job_state *ret)
{
	struct cancel_ref ref = { id };
	struct cancelled_row row;
	int r = hold_key(tx, &ref);

	if (r < 0)
		return r;
	r = tx_one(tx, &cancel_waiting, &ref, &row);
	if (r == 0) {
		r = clear(tx, &row);
	} else if (r == -ERR_NOT_FOUND) {
		r = tx_one(tx, &cancel_running, &ref, &row);
		if (r == 0)
			r = tx_notice(tx, S(JOBS_CANCEL_TOPIC), row.id);
	}
	if (r == 0)
		*ret = row.state;
	if (r != -ERR_NOT_FOUND)
		return r;

	r = tx_one(tx, &cancel_state, &ref, &row);
	return r < 0 ? r : fail(ERR_CONFLICT, "the job has ended");
}
