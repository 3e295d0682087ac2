/* A run of the simulation of jobs (jobs_sim_test.c), and how it is compared with the model. */
#ifndef JOBS_SIM_TEST_H
#define JOBS_SIM_TEST_H

#include "modules/jobs/jobs_model_test.h"
#include "modules/jobs/jobs_run_fixture_test.h"

enum {
	SIM_WORKERS = 4,
	SIM_HELD_MAX = 64,
	SIM_QUEUES = 3, /* of a run, so that jobs meet */
	SIM_KEYS = 2,
	SIM_STATEMENTS = 10,
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
	size_t queues[SIM_QUEUES];
	struct worker_sim workers[SIM_WORKERS];
	char said[200]; /* what the step does */
};

/* True when it holds; the first that does not ends the run, and tells how to play it again. */
bool sim_holds(struct sim *sim, bool ok, const char *what);

#define SAY(sim, ...) (void)snprintf((sim)->said, sizeof((sim)->said), __VA_ARGS__)

/* What the seed says. */
uint64_t sim_chance(struct sim *sim, uint64_t below);
size_t sim_queue(struct sim *sim); /* one of the run's */

/* In the arena of the step. */
struct str sim_id_text(struct sim *sim, const struct uuid *id);

/* The handle of a tenant of the run. */
struct db sim_tenant_db(struct sim *sim, size_t tenant);

extern const struct str sim_keys[SIM_KEYS]; /* of groups, and unique ones */

/* --- steps of jobs (jobs_sim_life_test.c) ------------------------------------------------------
 */

void sim_add(struct sim *sim);
void sim_take(struct sim *sim, struct worker_sim *worker);
void sim_take_from(struct sim *sim, struct worker_sim *worker, size_t queue, size_t max);

/* Ends some of what the worker has of the tenant in any way, or completes all of it. */
void sim_end_some(struct sim *sim, struct worker_sim *worker, size_t tenant, bool all);

/* --- steps from outside (jobs_sim_event_test.c) ------------------------------------------------
 */

void sim_beat(struct sim *sim, struct worker_sim *worker);
void sim_promote(struct sim *sim);
void sim_look(struct sim *sim);
void sim_go_on(struct sim *sim); /* time goes by, with looks as often as the program looks */
void sim_restart(struct sim *sim);
void sim_forget(struct sim *sim); /* keys and groups whose time is over */
void sim_worker_dies_or_lives(struct sim *sim, struct worker_sim *worker);
void sim_clocks(struct sim *sim);

void sim_change(struct sim *sim); /* a job, by an administrator */
void sim_pause(struct sim *sim, size_t tenant, size_t queue, bool paused);
void sim_stop(struct sim *sim, size_t queue, bool stopped); /* for all tenants */
void sim_resume(struct sim *sim, size_t tenant, size_t queue, size_t number);
void sim_resume_all(struct sim *sim);

/* --- comparing (jobs_sim_check_test.c) ---------------------------------------------------------
 */

/* Every row is what the model says. */
void sim_compare(struct sim *sim);

/* No stretch of time had more starts than burst and rate allow. */
void sim_check_rate(struct sim *sim);

/* Takes all rows away. */
void sim_sweep(struct sim *sim);

extern const struct statement *const sim_statements[SIM_STATEMENTS];

#endif
