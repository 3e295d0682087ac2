/* What the files share by which people look at jobs and decide about them. */
#ifndef JOBS_ADMIN_H
#define JOBS_ADMIN_H

#include "modules/audit/audit.h"
#include "modules/jobs/jobs_census.h"
#include "modules/jobs/jobs_rows.h"
#include "rest/page.h"

struct health_check;
struct req;

enum {
	JOBS_LOOK_MAX = 5000, /* rows that a page looks at; behind them it ends, with a cursor */
	JOBS_BATCH = 50,      /* jobs of one transaction, */
	JOBS_CALL_MAX = 1000, /* and of one call */
	JOB_STARTS_MAX = 300, /* of a job, however often it is tried again */
};

/* --- finding jobs (jobs_list.c) ------------------------------------------------------------ */

/* Which jobs. What is not set is not asked for. */
struct job_filter {
	struct opt_str queue, name, tag, group_key, unique_key;
	struct opt_int state;
	struct opt_i64 created_after, created_before; /* microseconds */
	struct opt_i64 ended_before;
	bool reserved; /* also those of the installation's own queues: for operators */
};

/* The members of a struct job_filter called `filter` at the front of another struct. */
struct job_query {
	struct job_filter filter;
	int64_t limit;
	struct str cursor;
};

/* A job in a list: all but what may be long. */
struct job_item {
	struct job_shown shown;
	struct opt_i64 running_ms; /* since its start, while it runs */
};

struct job_page {
	LIST_OF(struct job_item) items;
};

/* Part of a list: where it begins and how much of it. */
struct job_window {
	struct str after_id; /* behind this one; UUID_LAST: at the newest */
	size_t limit;        /* items */
};

/* What was found, the newest first. Texts live in the arena. */
struct job_found {
	struct job_item *items;
	size_t count;
	struct str next_id; /* where to go on; empty: that was all */
};

/*
 * Looks for jobs of a tenant: at most window->limit of them, and at no more than JOBS_LOOK_MAX
 * rows, so there may be fewer and still some more. On a system handle, which is that of the tenant
 * afterwards only for the time of the call.
 */
int jobs_find(struct store *store, struct arena *arena, const struct uuid *tenant,
	const struct job_filter *filter, const struct job_window *window, struct job_found *ret);

/* Queues in which something runs, as a JSON array, for statements that look for it by queue. On a
 * system handle without a tenant. */
int jobs_running_queues_in_tx(struct tx *tx, struct str *ret);

/* --- a job ------------------------------------------------------------------------------- */

struct job_error_shown {
	int64_t attempt;
	struct str kind, message;
	struct opt_str worker, trace;
	int64_t at;
};

/* A job with all that is known of it. */
struct job_details {
	struct job_shown shown;
	struct opt_i64 running_ms;
	LIST_OF(struct job_error_shown) errors;
};

struct job_by_id {
	struct str id;
};

struct job_line_shown {
	struct str id;
	struct str level, line;
	int64_t at;
};

struct job_lines_query {
	struct str id;
	int64_t limit;
	struct str cursor;
	struct str after_id;
};

struct job_lines_page {
	LIST_OF(struct job_line_shown) items;
};

/* With its errors. -ERR_NOT_FOUND, also for those of the installation's own queues unless
 * `reserved`. */
int job_details_get(const struct db *db, struct str id, bool reserved, struct job_details *ret);

extern const struct statement job_lines_list;

/* --- health (jobs_health.c) --------------------------------------------------------------------
 */

extern const struct health_check jobs_health;

/* --- schemas (jobs_admin_contract.c) --------------------------------------------------------- */

extern const struct schema job_query_schema, job_item_schema, job_page_schema, job_details_schema,
	job_by_id_schema, job_lines_query_schema, job_line_shown_schema, job_lines_page_schema,
	job_error_shown_schema;

extern const struct job_statements job_list_statements;

#endif
