/*
 * What jobs should do, written down a second time and as plainly as can be: a few arrays, no
 * database. The simulation (jobs_sim_test.c) does the same to the model and to the real tables, and
 * compares.
 */
#ifndef JOBS_MODEL_TEST_H
#define JOBS_MODEL_TEST_H

#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_internal.h"

enum {
	MODEL_TENANTS = 2,
	MODEL_GROUPS = 2,
	MODEL_KEYS = 2,
	MODEL_JOBS = 400,
	MODEL_LEASES = 200,
	MODEL_STARTS = 1000, /* of a queue with a rate, of which the times are kept */
	MODEL_QUEUES = 7,
	MODEL_BACKOFF_US = 2000000,
};

struct model_queue {
	const char *name, *settings; /* as JSON, beside those that all have */
	int64_t concurrency, tenant_concurrency, seats;
	int64_t rate_count, rate_us;
	int64_t step_us;  /* between two starts of a group; 0: no rate */
	int64_t reach_us; /* further ahead is no start, unless the clock was set back */
	int64_t attempts;
	bool halts, keeps_none;
};

extern const struct model_queue model_queues[MODEL_QUEUES];

struct model_job {
	struct uuid id;
	size_t tenant, queue;
	ptrdiff_t group, key; /* -1: none */
	enum job_state state;
	int64_t attempt, uncounted, attempts, priority, turn, run_at, timeout_us;
	bool seated, blocked, cancelling;
	bool gone;          /* its row is */
	size_t lease;       /* of one that runs */
	int64_t started_at; /* wall clock */
	bool watched;       /* by the reaper, as this start */
	uint64_t since_ns;
};

struct model_group {
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
};

/* Which job a unique key stands for. */
struct model_key {
	bool there;
	struct uuid job;
	bool behind;        /* that one waits for the end of */
	struct uuid before; /* this one */
	int64_t until;      /* of a throttle, else 0 */
};

/* Someone who takes jobs, once. */
struct model_lease {
	struct uuid id;
	enum lease_kind kind;
	bool there; /* its row */
	int64_t beats, lease_us;
	bool watched;
	int64_t seen_beats;
	uint64_t since_ns;
};

struct model {
	struct model_job jobs[MODEL_JOBS];
	size_t job_count;
	struct model_group groups[MODEL_TENANTS][MODEL_QUEUES][MODEL_GROUPS];
	struct model_key keys[MODEL_TENANTS][MODEL_QUEUES][MODEL_KEYS];
	bool paused[MODEL_TENANTS][MODEL_QUEUES]; /* by the tenant, */
	bool stopped[MODEL_QUEUES];               /* by an operator */
	struct model_lease leases[MODEL_LEASES];
	size_t lease_count;
	int64_t starts[MODEL_STARTS]; /* of the queue with a rate: when, by the wall clock */
	size_t start_count;

	/* the reaper's */
	uint64_t watched_ns, looked_ns, starts_ns;
	bool orphans;
};

#define MODEL_PRIORITY_US INT64_C(10000000)

bool model_is_final(enum job_state state);

/* The job of that id, or NULL. */
struct model_job *model_find(struct model *model, const struct uuid *id);

/* What adding a job does. */
struct model_added {
	int result; /* 0, -ERR_CONFLICT */
	enum job_outcome outcome;
	struct uuid kept; /* of JOB_KEPT and JOB_REPLACED: the job there is */
};

/* Adds a job; its state is left to the model, and run_at is when it wants to start. `window_us` is
 * of a throttle. */
struct model_added model_add(struct model *model, const struct model_job *job,
	enum job_unique_mode mode, int64_t window_us, int64_t now);

/* What people decide; 0, -ERR_CONFLICT. */
int model_change(struct model *model, struct model_job *job, enum job_change change, int64_t now);

/* Forgets keys and groups whose time is over. */
void model_sweep(struct model *model, int64_t now);

/* Whether the job may start, as far as it and its group go; and whether nothing of its tenant and
 * queue may. */
bool model_is_ready(const struct model_job *job);
bool model_is_paused(const struct model *model, const struct model_job *job);

/* How many more may run of the queue, and of a tenant. */
int64_t model_room(const struct model *model, size_t queue);
int64_t model_tenant_room(const struct model *model, size_t queue, size_t tenant);

void model_start(struct model *model, struct model_job *job, size_t lease, int64_t now);

/* An end of a start. `counted` is set when it was the one that runs. */
struct model_end {
	struct model_job *job;
	size_t lease;
	int64_t attempt;
	enum end_kind kind;
	int64_t delay_us;
	bool counted;
};

/* Ends of one tenant, together. */
void model_end(struct model *model, struct model_end *ends, size_t count, int64_t now);

/* 0, -ERR_CONFLICT. */
int model_cancel(struct model *model, struct model_job *job, int64_t now);

/* Makes due jobs available; how many. */
size_t model_promote(struct model *model, int64_t now);

/* What a look of the reaper does. */
void model_look(struct model *model, uint64_t now_ns, int64_t now);

/* The program starts again. */
void model_recover(struct model *model, int64_t now);

void model_resume(struct model *model, size_t tenant, size_t queue, size_t group, int64_t now);

/* --- groups and keys (jobs_model_line_test.c) ------------------------------------------------ */

/* A ready job takes a seat in its group, or a place behind those who wait. */
void model_join(struct model *model, struct model_job *job, int64_t now);

/* It gives up either. */
void model_stand(struct model *model, struct model_job *job, int64_t now);

/* It has ended: seat and key are free. */
void model_leave(struct model *model, struct model_job *job, int64_t now);

/* What becomes of a job that wants a key, and, but for what is kept or replaced, has it then. */
enum model_verdict { MODEL_INSERT, MODEL_BEHIND, MODEL_REPLACE, MODEL_KEPT, MODEL_REJECT };
enum model_verdict model_take_key(struct model *model, const struct model_job *job,
	enum job_unique_mode mode, int64_t until, int64_t now);

/* Of the job's key; NULL when it has none. */
struct model_key *model_key_of(struct model *model, const struct model_job *job);

#endif
