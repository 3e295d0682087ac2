/*
 * What jobs do, counted: as metrics of this process by queue, and as tallies by tenant, queue and
 * minute of all instances together. Nothing here is part of a transaction: who has committed tells
 * it, and a process that dies takes its last seconds' tallies with it.
 */
#ifndef JOBS_COUNTS_H
#define JOBS_COUNTS_H

#include "modules/jobs/jobs_internal.h"

struct store;

enum {
	JOBS_QUEUES_COUNTED = 100, /* queues with metrics of their own; further ones are "other" */
	JOBS_TALLIES = 4096,       /* tenants and queues between two flushes; further ones have
				      metrics only */
	JOBS_TALLY_MINUTES = 60,   /* how long tallies are kept */
};

/* Tells, once the transaction is committed, that jobs of a queue were started. They live in the
 * arena. Errors of tx_after_commit. */
int job_count_starts(struct tx *tx, struct str queue, const struct taken *taken, size_t count);

/* Tells of one that was started by a transaction that is committed. Any thread. */
void job_count_start(struct str queue, const struct taken *taken, int64_t now_us);

/* A start that ended as `how`, and what the job is now. */
struct job_ended {
	struct str id, queue;
	enum end_kind how;
	enum job_state state;
};

/* The same for ends, of jobs of the transaction's tenant. How long they ran is known of those that
 * were started by this process, unless there were very many since. */
int job_count_ends(struct tx *tx, const struct job_ended *ended, size_t count);

/* So many leases were lost. Any thread. */
void job_count_lost(size_t leases);

/* Adds up in main.job_tally what was counted since the last time. */
int job_tallies_write(struct store *store, struct arena *arena);

/* What an instance sees of a queue at the moment; of all tenants and instances. */
struct job_gauges {
	int64_t ready, blocked, scheduled, retryable, running; /* jobs */
	int64_t completed, discarded, cancelled;               /* that are still there */
	int64_t oldest_us; /* age of the one whose turn is next */
};

/* Queues are told one by one between begin and end; those that are not are empty. One thread. */
void job_gauges_begin(void);
void job_gauge(struct str queue, const struct job_gauges *gauges);
void job_gauges_end(int64_t workers);

/* The metrics' part of the above. */
int job_metrics_open(void);
void job_metrics_start(struct str queue, int64_t waited_us);
void job_metrics_end(struct str queue, enum end_kind how, enum job_state state, int64_t ran_us);
enum { JOB_RAN_UNKNOWN = -1 };

extern const struct statement job_tally_add;

#endif
