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

/* A job was started so long after it was due. After the commit; any thread. */
void job_count_start(const struct uuid *tenant, struct str queue, int64_t waited_us);

/* A start ended as `how`, and the job is in `state` now. After the commit; any thread. */
void job_count_end(const struct uuid *tenant, struct str queue, enum end_kind how,
	enum job_state state, int64_t ran_us);

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

extern const struct statement job_tally_add;

#endif
