/*
 * The census: how many jobs there are by tenant, queue and state, counted beside all else and kept
 * in main.job_depth for all instances. One instance counts, all read the sum of it for metrics,
 * health and backlogs; a count is a second or two old, longer when counting takes long.
 */
#ifndef JOBS_CENSUS_H
#define JOBS_CENSUS_H

#include "modules/jobs/jobs_rows.h"

struct server;

enum {
	CENSUS_ENTRIES = 100000, /* tenants and queues in one count; further ones are not counted */
	CENSUS_QUEUES = 1000,    /* queues in memory, */
};

/* A row of main.job_depth. */
struct job_depth {
	struct str tenant_id, queue;
	int64_t ready, blocked, scheduled, retryable;
	int64_t waiting; /* all of these */
	int64_t running;
	int64_t completed, discarded, cancelled;
	struct opt_i64 oldest_at;  /* since when the ready one waits whose turn is next */
	struct opt_i64 running_at; /* when the oldest of those that run began */
};

/* What is counted together, each as often as it costs. */
enum census_part {
	CENSUS_LIVE,  /* ready, blocked, running: every second */
	CENSUS_LATER, /* scheduled, retryable: every few seconds */
	CENSUS_ENDED, /* what is still there of those that have ended: every minute */
	CENSUS_PARTS,
};

/*
 * Counts these parts (bits 1 << enum census_part) and writes what is different now. Rows with
 * nothing in them go. On a fiber; errors of the store, -ERR_FULL beyond CENSUS_ENTRIES.
 */
int census_count(struct store *store, unsigned parts);

/* Reads the sums by queue: for metrics and health. */
int census_read(struct store *store);

/* What is due of the above, unless another instance has done it; to be called every second. */
int census_turn(struct store *store);

/* Calls fn with the sums of each queue as they were read last. Any thread; fn must not wait. */
void census_each(void (*fn)(const struct job_depth *sums, void *arg), void *arg);

/* When what waits was counted last, by whichever instance; microseconds, 0: not yet. Any thread. */
int64_t census_counted_us(void);

/* Forgets what was read. */
void census_forget(void);

extern const struct job_statements job_census_statements, job_census_read_statements;

/* Takes a round of work that one instance does for all, unless it was begun less than `every_us`
 * ago: 1, or 0. On SQLite always 1. */
int round_take(const struct db *system, struct str name, int64_t every_us);

#endif
