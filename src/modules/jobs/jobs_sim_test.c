/*
 * The deterministic simulation of jobs. A seed makes a sequence of everything that can happen: jobs
 * are added, with and without unique keys of every mode and groups with and without a rate; taken,
 * ended in every way, cancelled, changed by people; queues are paused and go on; workers die, come
 * back with what they had, or fall silent; the program starts again; time goes by, clocks are set
 * ahead and back. The same is done to a model (jobs_model_test.h), and after each step every row
 * must be what the model says. Then all is let to come to its end, and nothing may be left.
 *
 * A seed that fails says so; JOBS_SIM_SEED=seed plays it again, alone and step by step.
 */
#include "modules/jobs/jobs_sim_test.h"

#include "base/num.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	SEEDS = 150,
	SEEDS_LONG = 100000,
	STEPS = 60,
	DRAIN_ROUNDS = 200,
};

uint64_t sim_chance(struct sim *sim, uint64_t below)
{
	return test_random(&sim->random) % below;
}

size_t sim_queue(struct sim *sim)
{
	return sim->queues[sim_chance(sim, SIM_QUEUES)];
}

struct str sim_id_text(struct sim *sim, const struct uuid *id)
{
	struct str text = uuid_text(&sim->arena, id);

	REQUIRE(text.at);
	return text;
}

/* --- the whole ------------------------------------------------------------------------- */

static void people(struct sim *sim)
{
	size_t tenant = sim_chance(sim, MODEL_TENANTS), queue = sim_queue(sim);
	uint64_t what = sim_chance(sim, 8);

	if (what < 3)
		sim_change(sim);
	else if (what < 5)
		sim_resume(sim, tenant, queue, sim_chance(sim, MODEL_GROUPS));
	else if (what < 7)
		sim_pause(sim, tenant, queue, !sim->model.paused[tenant][queue]);
	else
		sim_stop(sim, queue, !sim->model.stopped[queue]);
}

static void one_step(struct sim *sim)
{
	struct worker_sim *worker = &sim->workers[sim_chance(sim, SIM_WORKERS)];
	uint64_t what = sim_chance(sim, 100);

	if (what < 28)
		sim_add(sim);
	else if (what < 48)
		sim_take(sim, worker);
	else if (what < 65)
		sim_end_some(sim, worker, sim_chance(sim, MODEL_TENANTS), false);
	else if (what < 70)
		sim_promote(sim);
	else if (what < 77)
		sim_go_on(sim);
	else if (what < 82)
		sim_beat(sim, worker);
	else if (what < 93)
		people(sim);
	else if (what < 94)
		sim_forget(sim);
	else if (what < 97)
		sim_worker_dies_or_lives(sim, worker);
	else if (what < 98)
		sim_restart(sim);
	else
		sim_clocks(sim);
}

static void after_step(struct sim *sim)
{
	if (!sim->failed)
		sim_compare(sim);
	if (sim->tells)
		fprintf(stderr, "%4zu %s\n", sim->step, sim->said);
	sim->step++;
	arena_reset(&sim->arena);
}

static bool all_over(const struct sim *sim)
{
	for (size_t i = 0; i < sim->model.job_count; i++)
		if (!model_is_final(sim->model.jobs[i].state))
			return false;
	return true;
}

/* The clock is set to where the latest job or group is due, from wherever it was set before. */
static void catch_up(struct sim *sim)
{
	int64_t now = clock_wall_us(), latest = now;

	for (size_t i = 0; i < sim->model.job_count; i++) {
		const struct model_job *job = &sim->model.jobs[i];

		if (model_is_final(job->state))
			continue;
		if (job->run_at < JOB_BEHIND_US)
			latest = MAX(latest, job->run_at);
		else /* when it is let go */
			latest = MAX(latest, job->turn - job->priority * MODEL_PRIORITY_US);
	}
	for (size_t i = 0; i < MODEL_TENANTS * MODEL_QUEUES * MODEL_GROUPS; i++)
		latest = MAX(latest, (&sim->model.groups[0][0][0])[i].next_at);
	clock_jump(latest - now);
}

/* Nothing goes wrong any more, and all comes to its end. */
static void drain(struct sim *sim)
{
	struct worker_sim *worker = &sim->workers[0];

	catch_up(sim);
	worker->dead = worker->has_lease = false;
	for (size_t round = 0; round < DRAIN_ROUNDS && !sim->failed && !all_over(sim); round++) {
		clock_go(900 * MILLISECOND);
		if (worker->has_lease)
			sim_beat(sim, worker);
		sim_look(sim);
		sim_compare(sim);
		sim_promote(sim);
		sim_compare(sim);
		sim_resume_all(sim); /* groups that were halted meanwhile */
		for (size_t q = 0; q < MODEL_QUEUES && !sim->failed; q++) {
			if (sim->model.lease_count < MODEL_LEASES || worker->has_lease)
				sim_take_from(sim, worker, q, 5);
		}
		for (size_t t = 0; t < MODEL_TENANTS && !sim->failed; t++)
			sim_end_some(sim, worker, t, true);
		after_step(sim);
	}
	(void)sim_holds(sim, all_over(sim), "something never comes to its end");
}

static void choose_queues(struct sim *sim)
{
	for (size_t i = 0; i < SIM_QUEUES; i++)
		sim->queues[i] = sim_chance(sim, MODEL_QUEUES);
}

static bool play(struct store_test *test, struct sim *sim, uint64_t seed, bool tells)
{
	*sim = (struct sim){ .test = test,
		.seed = seed,
		.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.tells = tells };
	arena_init(&sim->arena, 256 * KILOBYTE, 16 * MEGABYTE);
	choose_queues(sim);
	for (size_t i = 0; i < SIM_WORKERS; i++)
		sim->workers[i].kind = i % 2 ? LEASE_CALL : LEASE_PROGRAM;
	REQUIRE(reaper_open(test->store, &sim->reaper) == 0);
	while (sim->step < STEPS && !sim->failed) {
		one_step(sim);
		after_step(sim);
	}
	if (!sim->failed)
		drain(sim);
	sim_check_rate(sim);
	reaper_close(sim->reaper);
	sim_sweep(sim);
	arena_done(&sim->arena);
	return !sim->failed;
}

static void simulate(struct store_test *test)
{
	static struct sim sim;
	const char *only = getenv("JOBS_SIM_SEED");
	uint64_t seeds = test_long() ? SEEDS_LONG : SEEDS, seed = 0;

	sim.test = test;
	for (size_t i = 0; i < MODEL_QUEUES; i++)
		sim_stop(&sim, i, false);
	test->worker->sched.clock = NULL;
	clock_stop();
	if (only) {
		REQUIRE(num_parse_u64(str_from_c(only), &seed));
		(void)play(test, &sim, seed, true);
	}
	for (seed = 1; seed <= seeds && !only; seed++)
		if (!play(test, &sim, seed, false))
			break;
	clock_back();
}

TEST_SLOW(jobs_simulated_do_what_the_model_says, 7200)
{
	jobs_test_with(sim_statements, SIM_STATEMENTS);
	jobs_test_run(ENGINE_SQLITE, simulate);
}
