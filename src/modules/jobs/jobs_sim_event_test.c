/* Steps of the simulation that come from outside: time, crashes, clocks, and what people decide. */
#include "modules/jobs/jobs_sim_test.h"

#include "base/err.h"
#include "modules/jobs/jobs_adding.h"
#include "modules/jobs/jobs_change.h"
#include "modules/jobs/jobs_queues.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

#include <stdio.h>

/* --- time, and what goes wrong --------------------------------------------------------- */

static int beat_in_tx(struct tx *tx, void *arg)
{
	return lease_beat_in_tx(tx, arg);
}

void sim_beat(struct sim *sim, struct worker_sim *worker)
{
	struct db db = db_of(sim->test->store, &tenant_system, &sim->arena);
	struct model_lease *lease = &sim->model.leases[worker->lease];
	int r;

	if (worker->dead || !worker->has_lease)
		return;
	SAY(sim, "beat");
	r = db_write(&db, beat_in_tx, &lease->id);
	if (lease->there) {
		lease->beats++;
		(void)sim_holds(sim, r == 0, "the lease is gone");
	} else {
		(void)sim_holds(sim, r == -ERR_NOT_FOUND, "beats without a lease");
		worker->has_lease = false;
	}
}

void sim_promote(struct sim *sim)
{
	size_t count;
	int64_t next_us;

	SAY(sim, "promote");
	REQUIRE(jobs_promote(sim->test->store, &sim->arena, &count, &next_us) == 0);
	(void)sim_holds(sim, count == model_promote(&sim->model, clock_wall_us()),
		"not all that were due are available");
}

void sim_look(struct sim *sim)
{
	SAY(sim, "look");
	REQUIRE(reaper_look(sim->reaper) == 0);
	model_look(&sim->model, clock_now_ns(), clock_wall_us());
}

/* Time goes by, with looks as often as the program looks. */
void sim_go_on(struct sim *sim)
{
	for (uint64_t i = sim_chance(sim, 12); i > 0 && !sim->failed; i--) {
		clock_go(500 * MILLISECOND);
		sim_look(sim);
	}
}

void sim_restart(struct sim *sim)
{
	SAY(sim, "restart");
	reaper_close(sim->reaper);
	REQUIRE(jobs_recover(sim->test->store, &sim->arena) == 0);
	REQUIRE(reaper_open(sim->test->store, &sim->reaper) == 0);
	model_recover(&sim->model, clock_wall_us());
	sim->model.watched_ns = sim->model.looked_ns = sim->model.starts_ns = 0;
	sim->model.orphans = false;
	for (size_t i = 0; i < sim->model.lease_count; i++)
		sim->model.leases[i].watched = false;
	for (size_t i = 0; i < sim->model.job_count; i++)
		sim->model.jobs[i].watched = false;
	for (size_t i = 0; i < SIM_WORKERS; i++)
		if (sim->workers[i].kind == LEASE_PROGRAM)
			sim->workers[i].has_lease = false;
}

void sim_forget(struct sim *sim)
{
	SAY(sim, "sweep");
	REQUIRE(unique_sweep(sim->test->store) == 0 && groups_sweep(sim->test->store) == 0);
	model_sweep(&sim->model, clock_wall_us());
}

void sim_worker_dies_or_lives(struct sim *sim, struct worker_sim *worker)
{
	SAY(sim, worker->dead ? "a worker is back" : "a worker is gone");
	worker->dead = !worker->dead;
	/* a new process knows nothing, one that only stood still has what it had */
	if (!worker->dead && sim_chance(sim, 2)) {
		worker->held_count = 0;
		worker->has_lease = false;
	}
}

void sim_clocks(struct sim *sim)
{
	SAY(sim, "the clock is set");
	clock_jump((int64_t)(sim_chance(sim, 7200) * 1000000) - 3600000000);
}

/* --- what people decide ---------------------------------------------------------------- */

struct changing {
	enum job_change change;
	struct str id;
};

static int change_in_tx(struct tx *tx, void *arg)
{
	const struct changing *changing = arg;
	enum job_state state;

	/* as POST .../cancel has it, and as an administrator has it */
	if (changing->change == JOB_CHANGES)
		return job_cancel_in_tx(tx, changing->id, &state);
	return job_change_in_tx(tx, changing->change, changing->id, (struct opt_int){ 0 });
}

void sim_change(struct sim *sim)
{
	static const char *const names[] = { [JOB_RETRY] = "retry",
		[JOB_CANCEL] = "cancel",
		[JOB_PROMOTE] = "make due",
		[JOB_REMOVE] = "remove",
		[JOB_CHANGES] = "cancel" };
	struct changing changing = { .change = (enum job_change)sim_chance(sim, LEN(names)) };
	struct model_job *job;
	struct db db;
	int r, wanted;

	if (!sim->model.job_count)
		return;
	job = &sim->model.jobs[sim_chance(sim, sim->model.job_count)];
	db = sim_tenant_db(sim, job->tenant);
	SAY(sim, "%s", names[changing.change]);
	changing.id = sim_id_text(sim, &job->id);
	r = db_write(&db, change_in_tx, &changing);
	if (job->gone) {
		(void)sim_holds(sim, r == -ERR_NOT_FOUND, "changed what is gone");
		return;
	}
	wanted = model_change(&sim->model, job,
		changing.change == JOB_CHANGES ? JOB_CANCEL : changing.change, clock_wall_us());
	(void)sim_holds(sim, r == wanted, "changed, or not");
}

struct pausing {
	struct str queue;
	bool paused;
};

static int pause_in_tx(struct tx *tx, void *arg)
{
	const struct pausing *pausing = arg;

	return queue_pause_in_tx(tx, pausing->queue, pausing->paused);
}

void sim_pause(struct sim *sim, size_t tenant, size_t queue, bool paused)
{
	const struct pausing pausing = { str_from_c(model_queues[queue].name), paused };
	struct db db = sim_tenant_db(sim, tenant);

	SAY(sim, "%s %s of %zu", paused ? "pause" : "resume", model_queues[queue].name, tenant);
	REQUIRE(db_write(&db, pause_in_tx, (void *)&pausing) == 0);
	sim->model.paused[tenant][queue] = paused;
}

void sim_stop(struct sim *sim, size_t queue, bool stopped)
{
	struct arena_mark mark = arena_mark(&sim->test->arena);
	char settings[300];

	SAY(sim, "%s %s for all", stopped ? "pause" : "resume", model_queues[queue].name);
	(void)snprintf(settings, sizeof(settings),
		"\"backoff\":{\"kind\":\"fixed\",\"delayMs\":%d,\"jitter\":0},%s%s",
		MODEL_BACKOFF_US / 1000, model_queues[queue].settings,
		stopped ? ",\"paused\":true" : "");
	queue_give(sim->test, model_queues[queue].name, settings);
	sim->model.stopped[queue] = stopped;
	arena_back(&sim->test->arena, mark);
}

static int resume_in_tx(struct tx *tx, void *arg)
{
	return group_resume_in_tx(tx, arg);
}

void sim_resume(struct sim *sim, size_t tenant, size_t queue, size_t number)
{
	struct group_ref group = { str_from_c(model_queues[queue].name), sim_keys[number] };
	struct db db = sim_tenant_db(sim, tenant);
	int r;

	if (!sim->model.groups[tenant][queue][number].halted)
		return;
	SAY(sim, "resume");
	r = db_write(&db, resume_in_tx, &group);
	(void)sim_holds(sim, r == 0, "a halted group is not there");
	model_resume(&sim->model, tenant, queue, number, clock_wall_us());
}

void sim_resume_all(struct sim *sim)
{
	for (size_t queue = 0; queue < MODEL_QUEUES; queue++) {
		if (sim->model.stopped[queue])
			sim_stop(sim, queue, false);
		for (size_t tenant = 0; tenant < MODEL_TENANTS; tenant++) {
			if (sim->model.paused[tenant][queue])
				sim_pause(sim, tenant, queue, false);
			for (size_t group = 0; group < MODEL_GROUPS; group++)
				sim_resume(sim, tenant, queue, group);
		}
	}
}
