/* Queues as people see and steer them: what is in them, whether they are paused, their groups and
 * who works for them. Settings: jobs_settings.h. */
#ifndef JOBS_QUEUES_H
#define JOBS_QUEUES_H

#include "modules/jobs/jobs_admin.h"

struct jobs_changed;

enum { JOBS_RATE_MINUTES = 5 }; /* over which throughput is told */

/* A queue with what is in it, of a tenant or of all. */
struct queue_shown {
	struct str name;
	enum queue_level level;
	bool paused;        /* by an operator, for all */
	bool paused_tenant; /* by the tenant, for itself */
	int64_t ready, blocked, scheduled, retryable, waiting, running;
	int64_t completed, discarded, cancelled;
	struct opt_i64 oldest_ready_ms, longest_running_ms;
	double per_minute;           /* starts that ended, well or not */
	struct opt_f64 failure_rate; /* of them */
	struct opt_i64 wait_ms, duration_ms;
};

struct queue_page {
	LIST_OF(struct queue_shown) items;
};

/* Which queues: of a tenant (NULL: of all together), behind a name, or just one. */
struct queues_ask {
	const struct uuid *tenant;
	struct str after, only;
	int64_t limit;
};

/* One more than the limit, if there are more; in the order of their names. On a system handle. */
int queues_show(const struct db *system, const struct queues_ask *ask, struct queue_shown **ret,
	size_t *ret_count);

/* The tenant pauses a queue for itself, or goes on; in its transaction. */
int queue_pause_in_tx(struct tx *tx, struct str queue, bool paused);

/* Calls off what waits in a queue, of a tenant (NULL: of all): what is ready, and with `later` also
 * what is scheduled or comes again. At most JOBS_CALL_MAX jobs; `ret->more` says whether to go on.
 */
int queue_drain(struct store *store, struct arena *arena, const struct uuid *tenant,
	struct str queue, bool later, const struct audit_actor *actor, struct jobs_changed *ret);

/* --- groups ------------------------------------------------------------------------------ */

struct group_shown {
	struct str key;
	int64_t active, waiting;
	bool halted;
};

struct group_query {
	struct str name; /* of the queue */
	bool halted;     /* only such */
	int64_t limit;
	struct str cursor;
	struct str after_key;
};

struct group_page {
	LIST_OF(struct group_shown) items;
};

extern const struct statement job_groups_all, job_groups_halted;

/* --- workers ------------------------------------------------------------------------------ */

/* Who takes jobs. */
struct worker_shown {
	struct opt_str tenant_id; /* for operators */
	struct str id;
	enum lease_kind kind;
	struct str worker;
	struct opt_str queue;
	int64_t began_at, seen_at, running;
	struct opt_i64 longest_running_ms;
};

struct worker_page {
	LIST_OF(struct worker_shown) items;
};

/* Behind an id; one more than the limit, if there are more. `tenant` NULL: of all. */
int workers_show(const struct db *system, const struct uuid *tenant, struct str after_id,
	int64_t limit, struct worker_shown **ret, size_t *ret_count);

extern const struct schema queue_shown_schema, queue_page_schema, group_shown_schema,
	group_query_schema, group_page_schema, worker_shown_schema, worker_page_schema;
extern const struct job_statements job_queues_statements;

#endif
