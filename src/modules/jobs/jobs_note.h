/* What a job says of itself while it runs: how far it is, and lines of its log. */
#ifndef JOBS_NOTE_H
#define JOBS_NOTE_H

#include "modules/jobs/jobs_internal.h"

struct job_progress {
	struct str id, lease_id;
	int64_t attempt;
	int64_t percent;
	struct str note;
};

struct job_line {
	struct str id; /* of the line */
	struct str job_id, lease_id;
	int64_t attempt;
	enum log_level level;
	struct str line;
	int64_t at;
};

/* In a transaction of the tenant. Nothing happens when the start is not the job's last one. */
int job_progress_in_tx(struct tx *tx, const struct job_progress *progress);

/* The same. -ERR_FULL is for whoever counts: beyond JOB_LINES_MAX of a job nothing is written. */
int job_line_in_tx(struct tx *tx, const struct job_line *line);

extern const struct tx_options jobs_noting;

#endif
