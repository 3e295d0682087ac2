/* What people decide about jobs: that one is tried again, called off, due now, or gone; one by one
 * or all that fit a filter. */
#ifndef JOBS_CHANGE_H
#define JOBS_CHANGE_H

#include "modules/jobs/jobs_admin.h"

enum job_change {
	JOB_RETRY,   /* one that has ended becomes ready, with room for a further round of starts */
	JOB_CANCEL,  /* one that waits ends, one that runs is asked to */
	JOB_PROMOTE, /* one whose time has not come becomes ready */
	JOB_REMOVE,  /* one that does not run is gone, with all that belongs to it */
	JOB_CHANGES,
};

/*
 * Does it to one job, in a transaction of its tenant; may be TX_READ_COMMITTED, since the row is
 * locked first. `state`: only if it is in that one. -ERR_NOT_FOUND; -ERR_CONFLICT with field
 * "state" when its state does not allow that, "uniqueKey" when another one has its key by now;
 * nothing has changed then, and the transaction may go on.
 */
int job_change_in_tx(struct tx *tx, enum job_change change, struct str id, struct opt_int state);

/* Locks a job up to the end of the transaction. -ERR_NOT_FOUND. */
int job_hold_in_tx(struct tx *tx, struct str id);

/* Several. */
struct jobs_change_all {
	enum job_change change;
	struct job_filter filter; /* with a state */
	struct str after_id;      /* where a former call has ended; empty: at the newest */
	size_t most;              /* 1 to JOBS_CALL_MAX */
};

/* What came of them. */
struct jobs_changed {
	int64_t count;   /* changed */
	int64_t skipped; /* that did not allow it, or were gone */
	bool more;       /* there may be further ones: go on behind next_id */
	struct opt_str next_id;
};

/*
 * Does it to all jobs of a tenant that fit the filter, in small transactions, until `most` have
 * been tried or JOBS_LOOKS windows of them were looked at. What was done stays done when a later
 * one fails. Each transaction has an audit entry with the filter and how many there were.
 */
int jobs_change_all(struct store *store, struct arena *arena, const struct uuid *tenant,
	const struct audit_actor *actor, const struct jobs_change_all *all,
	struct jobs_changed *ret);

enum { JOBS_LOOKS = 20 };

/* Writes what a person did with one job. */
int job_change_audit(
	struct tx *tx, const struct audit_actor *actor, enum job_change change, struct str id);

extern const struct schema jobs_changed_schema;

/* Makes the tables of the audit entries usable. */
int jobs_change_compile(void);
void jobs_change_release(void);
extern const struct job_statements job_change_statements;

#endif
