/* Statements and rows of the worker protocol. */
#ifndef JOBS_WORKER_STORE_H
#define JOBS_WORKER_STORE_H

#include "modules/jobs/jobs_worker_internal.h"

struct lease_jobs_key {
	struct str lease_id;
	int64_t limit;
};

struct lease_job {
	struct str tenant_id, id;
	int64_t attempt;
};

struct lease_key {
	struct str tenant_id, id;
};

struct lease_found {
	struct str id;
};

struct job_progress_row {
	struct str id;
	struct str lease_id;
	int64_t attempt;
	int64_t percent;
	struct opt_str note;
};

struct job_line_row {
	struct str job_id, id;
	struct str level, line;
};

struct job_line_count {
	int64_t count;
};

extern const struct schema lease_jobs_key_schema, lease_job_schema, lease_key_schema,
	lease_found_schema, job_progress_row_schema, job_line_row_schema, job_line_count_schema;

extern const struct statement lease_close, lease_jobs, lease_cancelled, cancelled_lease,
	session_beat, sessions_beaten, job_progress_set, job_line_insert, job_lines_count;

#endif
