/*
 * What jobs should do, written down a second time and as plainly as can be: a few arrays, no
 * database. The simulation (jobs_sim_test.c) does the same to the model and to the real tables, and
 * compares.
 */
#ifndef JOBS_MODEL_TEST_H
#define JOBS_MODEL_TEST_H

#include "modules/jobs/jobs_internal.h"

enum {
	MODEL_TENANTS = 2,
	MODEL_GROUPS = 2,
	MODEL_KEYS = 2,
	MODEL_JOBS = 400,
	MODEL_LEASES = 200,
	MODEL_STARTS = 1000, /* of a queue with a rate, of which the times are kept */
	MODEL_BACKOFF_US = 2000000,
};

struct model_queue {
	const char *name, *settings; /* as JSON, beside those that all have */
	int64_t concurrency, tenant_concurrency, seats;
	int64_t rate_count, rate_us;
	bool halts, keeps_none;
};

extern const struct model_queue model_queues[];
extern const size_t model_queue_count;

struct model_job {
	struct uuid id;
	size_t tenant, queue;
	ptrdiff_t group, key; /* -1: none */
	enum job_state state;
	int64_t attempt, attempts, priority, turn, run_at, timeout_us;
	bool seated, blocked, cancelling;
	size_t lease;       /* of one that runs */
	int64_t started_at; /* wall clock */
	bool watched;       /* by the reaper, as this start */
	uint64_t since_ns;
};

struct model_group {
	int64_t active, waiting;
	bool halted;
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
	struct model_group groups[MODEL_TENANTS][8][MODEL_GROUPS];
	struct model_lease leases[MODEL_LEASES];
	size_t lease_count;
	int64_t starts[MODEL_STARTS]; /* of the queue with a rate: when, by the wall clock */
	size_t start_count;

	/* the reaper's */
	uint64_t watched_ns, looked_ns, starts_ns;
	bool orphans;
};

bool model_is_final(enum job_state state);

/* The job of that id, or NULL. */
struct model_job *model_find(struct model *model, const struct uuid *id);

/* Adds a job; false when its key is taken. All but the state is the caller's. */
bool model_add(struct model *model, const struct model_job *job, int64_t now);

/* Whether the job may start, as far as it and its group go. */
bool model_is_ready(const struct model_job *job);

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
int model_cancel(struct model *model, struct model_job *job);

/* Makes due jobs available; how many. */
size_t model_promote(struct model *model, int64_t now);

/* What a look of the reaper does. */
void model_look(struct model *model, uint64_t now_ns, int64_t now);

/* The program starts again. */
void model_recover(struct model *model, int64_t now);

void model_resume(struct model *model, size_t tenant, size_t queue, size_t group);

#endif
