/* A run of the simulation of jobs (jobs_sim_test.c), and how it is compared with the model. */
#ifndef JOBS_SIM_TEST_H
#define JOBS_SIM_TEST_H

#include "modules/jobs/jobs_model_test.h"
#include "modules/jobs/jobs_run_fixture_test.h"

enum {
	SIM_WORKERS = 4,
	SIM_HELD_MAX = 64,
	SIM_STATEMENTS = 7,
};

/* A start that a worker believes to have. */
struct held {
	struct uuid job;
	size_t lease;
	int64_t attempt;
};

struct worker_sim {
	enum lease_kind kind;
	bool dead;
	bool has_lease;
	size_t lease; /* in the model */
	struct held held[SIM_HELD_MAX];
	size_t held_count;
	struct uuid after;
};

struct sim {
	struct store_test *test;
	uint64_t seed, random;
	size_t step;
	bool tells; /* each step */
	bool failed;
	struct arena arena; /* of a step */
	struct reaper *reaper;
	struct model model;
	struct worker_sim workers[SIM_WORKERS];
	char said[200]; /* what the step does */
};

/* True when it holds; the first that does not ends the run, and tells how to play it again. */
bool sim_holds(struct sim *sim, bool ok, const char *what);

/* The handle of a tenant of the run. */
struct db sim_tenant_db(struct sim *sim, size_t tenant);

/* Every row is what the model says. */
void sim_compare(struct sim *sim);

/* No stretch of time had more starts than burst and rate allow. */
void sim_check_rate(struct sim *sim);

/* Takes all rows away. */
void sim_sweep(struct sim *sim);

extern const struct statement *const sim_statements[SIM_STATEMENTS];

#endif
