/*
 * What the SQLite engine counts. Internal to this folder.
 */
#ifndef STORE_SQLITE_METRICS_H
#define STORE_SQLITE_METRICS_H

#include "observe/metric.h"

struct sqlite_metrics {
	const struct metric *group_size; /* histogram of transactions */
	const struct metric *commit;     /* histogram of nanoseconds */
	const struct metric *checkpoint; /* the same */
	const struct metric *queue;      /* gauge: transactions that wait for the writer */
	const struct metric *log_pages;  /* gauge */
	const struct metric *reruns;     /* groups that ran again because of one member */
	const struct metric *moved;      /* reads that took too long for their worker */
};

/* Of all engines of the process; to be used after sqlite_metrics_init. */
extern struct sqlite_metrics sqlite_metrics;

/* Registers them; the second call does nothing. -ERR_NO_MEMORY, -ERR_CONFLICT. */
int sqlite_metrics_init(void);

#endif
