/*
 * The deterministic simulation of jobs. A seed makes a sequence of everything that can happen:
 * jobs are added, taken, ended in every way, cancelled; workers die, come back with what they had,
 * or fall silent; the program starts again; time goes by, clocks are set ahead and back. The same
 * is done to a model (jobs_model_test.h), and after each step every row must be what the model
 * says. Then all is let to come to its end, and nothing may be left.
 *
 * A seed that fails says so; JOBS_SIM_SEED=seed plays it again, alone and step by step.
 */
#include "modules/jobs/jobs_sim_test.h"

#include "base/err.h"
#include "base/num.h"
#include "observe/clock.h"
#include "observe/clock_test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	SEEDS = 60,
	SEEDS_LONG = 100000,
	STEPS = 60,
	DRAIN_ROUNDS = 200,
};

static uint64_t chance(struct sim *sim, uint64_t below)
{
	return test_random(&sim->random) % below;
}

static struct str id_text(struct sim *sim, const struct uuid *id)
{
	struct str text = uuid_text(&sim->arena, id);

	REQUIRE(text.at);
	return text;
}

#define SAY(sim, ...) (void)snprintf((sim)->said, sizeof((sim)->said), __VA_ARGS__)
/* --- adding ---------------------------------------------------------------------------- */

/* Of groups (the first ones) and of unique ones. */
static const struct str keys[] = { S_INIT("a"), S_INIT("b"), S_INIT("c") };

static void add(struct sim *sim)
{
	int64_t now = clock_wall_us();
	struct job_added added = { 0 };
	struct model_job job = {
		.tenant = chance(sim, MODEL_TENANTS),
		.queue = chance(sim, model_queue_count),
		.group = chance(sim, 2) ? (ptrdiff_t)chance(sim, MODEL_GROUPS) : -1,
		.key = chance(sim, 4) ? -1 : (ptrdiff_t)chance(sim, MODEL_KEYS),
		.attempts = 1 + (int64_t)chance(sim, 3),
		.priority = (int64_t)chance(sim, JOB_PRIORITIES),
		.timeout_us = (1 + (int64_t)chance(sim, 20)) * 1000000,
	};
	struct db db = sim_tenant_db(sim, job.tenant);
	struct job_new new = {
		.name = S("sim:job"),
		.queue = str_from_c(model_queues[job.queue].name),
		.priority = { .set = true, .value = job.priority },
		.delay_ns = chance(sim, 4) ? 0 : (1 + chance(sim, 20)) * SECOND,
		.attempts = job.attempts,
		.timeout_ns = (uint64_t)job.timeout_us * MICROSECOND,
		.group_key = job.group < 0 ? S("") : keys[job.group],
		.unique_key = job.key < 0 ? S("") : keys[job.key],
	};
	int r = job_try(&db, &new, &added);

	if (sim->model.job_count == MODEL_JOBS)
		return;
	SAY(sim, "add to %s", model_queues[job.queue].name);
	job.id = added.id;
	job.run_at = now + (int64_t)(new.delay_ns / MICROSECOND);
	if (model_add(&sim->model, &job, now))
		(void)sim_holds(sim, r == 0 && added.outcome == JOB_ADDED, "was not added");
	else
		(void)sim_holds(sim, r == -ERR_CONFLICT, "a second one with that key was added");
}

/* --- taking ---------------------------------------------------------------------------- */

static void new_lease(struct sim *sim, struct worker_sim *worker)
{
	struct model_lease *lease = &sim->model.leases[sim->model.lease_count];

	CHECK(sim->model.lease_count < MODEL_LEASES);
	*lease = (struct model_lease){ .kind = worker->kind,
		.lease_us = worker->kind == LEASE_PROGRAM ? 4000000 : 10000000 };
	uuid_v7(&lease->id, clock_wall_us());
	worker->lease = sim->model.lease_count++;
	worker->has_lease = true;
}

/* How many of the tenant's ready jobs come before this one, and were not taken. */
static bool was_next(struct sim *sim, const struct model_job *taken)
{
	for (size_t i = 0; i < sim->model.job_count; i++) {
		const struct model_job *job = &sim->model.jobs[i];

		if (model_is_ready(job) && job->tenant == taken->tenant &&
			job->queue == taken->queue &&
			(job->turn < taken->turn ||
				(job->turn == taken->turn && uuid_cmp(&job->id, &taken->id) < 0)))
			return false;
	}
	return true;
}

/* The jobs of a tenant come in their order, but among those of others. */
static void note_taken(struct sim *sim, struct worker_sim *worker, const struct taken *taken)
{
	struct model_job *job;
	struct uuid id;

	REQUIRE(uuid_parse(taken->id, &id));
	job = model_find(&sim->model, &id);
	if (!sim_holds(sim, job && model_is_ready(job), "taken although it may not start") ||
		!sim_holds(sim, was_next(sim, job), "taken before others of its tenant"))
		return;
	(void)sim_holds(sim, model_room(&sim->model, job->queue) > 0, "more run than may");
	(void)sim_holds(sim, model_tenant_room(&sim->model, job->queue, job->tenant) > 0,
		"more of a tenant run than may");
	model_start(&sim->model, job, worker->lease, clock_wall_us());
	(void)sim_holds(sim,
		taken->attempt == job->attempt && taken->counted == job->attempt - job->uncounted,
		"taken as another attempt");
	if (worker->held_count < SIM_HELD_MAX)
		worker->held[worker->held_count++] =
			(struct held){ id, worker->lease, taken->attempt };
}

/* What was left behind, could not be taken. */
static void check_none_left(struct sim *sim, size_t queue)
{
	if (model_queues[queue].rate_count || model_room(&sim->model, queue) <= 0)
		return;
	for (size_t i = 0; i < sim->model.job_count; i++) {
		const struct model_job *job = &sim->model.jobs[i];

		if (job->queue == queue && model_is_ready(job) &&
			model_tenant_room(&sim->model, queue, job->tenant) > 0)
			(void)sim_holds(sim, false, "there was more to take");
	}
}

static void take_from(struct sim *sim, struct worker_sim *worker, size_t queue, size_t max)
{
	struct take take = taker(model_queues[queue].name, max);
	struct haul got = { NULL };
	bool fresh = !worker->has_lease;

	if (fresh)
		new_lease(sim, worker);
	SAY(sim, "take %zu from %s", max, model_queues[queue].name);
	take.lease.id = sim->model.leases[worker->lease].id;
	take.lease.kind = worker->kind;
	take.lease.lease_us = sim->model.leases[worker->lease].lease_us;
	take.lease_opened = !fresh;
	take.after = worker->after;
	if (!fresh && worker->kind == LEASE_PROGRAM && !sim->model.leases[worker->lease].there) {
		/* it has not noticed yet */
		(void)sim_holds(sim,
			haul_try(sim->test, &sim->arena, &take, &got) == -ERR_CONFLICT ||
				got.count == 0,
			"something was taken under a lost lease");
		return;
	}
	got = haul_in(sim->test, &sim->arena, &take);
	worker->after = take.after;
	if (got.count == 0 && fresh)
		worker->has_lease = false;
	else if (fresh)
		sim->model.leases[worker->lease].there = true;
	(void)sim_holds(sim, got.count <= max, "more than asked for");
	for (size_t i = 0; i < got.count && !sim->failed; i++)
		note_taken(sim, worker, &got.at[i]);
	if (got.count < max)
		check_none_left(sim, queue);
}

static void take(struct sim *sim, struct worker_sim *worker)
{
	if (worker->dead || sim->model.lease_count == MODEL_LEASES)
		return;
	take_from(sim, worker, chance(sim, model_queue_count), 1 + chance(sim, 5));
}

/* --- ending ---------------------------------------------------------------------------- */

static struct model_end model_end_of(
	struct sim *sim, const struct held *held, enum end_kind kind, int64_t delay_us)
{
	return (struct model_end){ .job = model_find(&sim->model, &held->job),
		.lease = held->lease,
		.attempt = held->attempt,
		.kind = kind,
		.delay_us = delay_us };
}

static int by_job(const void *a, const void *b)
{
	const struct held *left = a, *right = b;

	return uuid_cmp(&left->job, &right->job);
}

/* What an end says of the job's group: the truth, nothing, or something else, which does no harm.
 */
static struct str told_group(struct sim *sim, ptrdiff_t group)
{
	if (group >= 0 && chance(sim, 2))
		return keys[group];
	return chance(sim, 4) ? S("") : keys[chance(sim, MODEL_GROUPS)];
}

/* Ends what the worker has of a tenant, or some of it; `kinds` of them, END_COMPLETE is the first.
 */
static void end_some(struct sim *sim, struct worker_sim *worker, size_t tenant, bool all)
{
	static const enum end_kind kinds[] = { END_COMPLETE, END_COMPLETE, END_FAIL, END_FAIL,
		END_SNOOZE, END_RELEASE, END_DISCARD };
	struct db db = sim_tenant_db(sim, tenant);
	struct model_end wanted[SIM_HELD_MAX];
	struct job_end ends[SIM_HELD_MAX];
	struct held kept[SIM_HELD_MAX];
	size_t count = 0, kept_count = 0;

	qsort(worker->held, worker->held_count, sizeof(worker->held[0]), by_job);
	for (size_t i = 0; i < worker->held_count; i++) {
		const struct held *held = &worker->held[i];
		enum end_kind kind = all ? END_COMPLETE : kinds[chance(sim, LEN(kinds))];
		int64_t delay_us = kind == END_SNOOZE && chance(sim, 2)
					   ? (int64_t)(1 + chance(sim, 9)) * 1000000
					   : 0;
		bool again = i > 0 && uuid_cmp(&worker->held[i - 1].job, &held->job) == 0;

		wanted[count] = model_end_of(sim, held, kind, delay_us);
		if (wanted[count].job->tenant != tenant || again || (!all && chance(sim, 2))) {
			kept[kept_count++] = *held;
			continue;
		}
		ends[count] = (struct job_end){ .id = id_text(sim, &held->job),
			.queue = chance(sim, 2)
					 ? str_from_c(model_queues[wanted[count].job->queue].name)
					 : S(""),
			.group = told_group(sim, wanted[count].job->group),
			.lease_id = id_text(sim, &sim->model.leases[held->lease].id),
			.attempt = held->attempt,
			.kind = kind,
			.delay_us = delay_us,
			.message = S("because") };
		count++;
	}
	SAY(sim, "end %zu", count);
	memcpy(worker->held, kept, kept_count * sizeof(kept[0]));
	worker->held_count = kept_count;
	REQUIRE(end_all(&db, ends, count) == 0);
	model_end(&sim->model, wanted, count, clock_wall_us());
	for (size_t i = 0; i < count; i++) {
		(void)sim_holds(sim, ends[i].result_code == (wanted[i].counted ? 0 : -ERR_CONFLICT),
			"an end was taken for that of another start, or not for its own");
		if (wanted[i].counted)
			(void)sim_holds(
				sim, ends[i].state == wanted[i].job->state, "told otherwise");
	}
}

static void cancel(struct sim *sim)
{
	struct model_job *job;
	enum job_state state;
	struct db db;
	int r, wanted;

	if (!sim->model.job_count)
		return;
	job = &sim->model.jobs[chance(sim, sim->model.job_count)];
	db = sim_tenant_db(sim, job->tenant);
	SAY(sim, "cancel");
	r = job_cancel(&db, id_text(sim, &job->id), &state);
	if (model_is_final(job->state) && model_queues[job->queue].keeps_none) {
		(void)sim_holds(sim, r == -ERR_NOT_FOUND, "cancelled what is gone");
		return;
	}
	wanted = model_cancel(&sim->model, job);
	(void)sim_holds(sim, r == wanted, "cancelled, or not");
	if (r == 0)
		(void)sim_holds(sim, state == job->state, "told otherwise");
}

/* --- time, and what goes wrong --------------------------------------------------------- */

static int beat_in_tx(struct tx *tx, void *arg)
{
	return lease_beat_in_tx(tx, arg);
}

static void beat(struct sim *sim, struct worker_sim *worker)
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

static void promote_due(struct sim *sim)
{
	size_t count;
	int64_t next_us;

	SAY(sim, "promote");
	REQUIRE(jobs_promote(sim->test->store, &sim->arena, &count, &next_us) == 0);
	(void)sim_holds(sim, count == model_promote(&sim->model, clock_wall_us()),
		"not all that were due are available");
}

static void look(struct sim *sim)
{
	SAY(sim, "look");
	REQUIRE(reaper_look(sim->reaper) == 0);
	model_look(&sim->model, clock_now_ns(), clock_wall_us());
}

/* Time goes by, with looks as often as the program looks. */
static void go_on(struct sim *sim)
{
	for (uint64_t i = chance(sim, 12); i > 0 && !sim->failed; i--) {
		clock_go(500 * MILLISECOND);
		look(sim);
	}
}

static void restart(struct sim *sim)
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

static int resume_in_tx(struct tx *tx, void *arg)
{
	return group_resume_in_tx(tx, arg);
}

static void resume(struct sim *sim, size_t tenant, size_t queue, size_t number)
{
	struct group_ref group = { str_from_c(model_queues[queue].name), keys[number] };
	struct db db = sim_tenant_db(sim, tenant);
	int r;

	if (!sim->model.groups[tenant][queue][number].halted)
		return;
	SAY(sim, "resume");
	r = db_write(&db, resume_in_tx, &group);
	(void)sim_holds(sim, r == 0, "a halted group is not there");
	model_resume(&sim->model, tenant, queue, number);
}

static void worker_dies_or_lives(struct sim *sim, struct worker_sim *worker)
{
	SAY(sim, worker->dead ? "a worker is back" : "a worker is gone");
	worker->dead = !worker->dead;
	/* a new process knows nothing, one that only stood still has what it had */
	if (!worker->dead && chance(sim, 2)) {
		worker->held_count = 0;
		worker->has_lease = false;
	}
}

static void clocks(struct sim *sim)
{
	SAY(sim, "the clock is set");
	clock_jump((int64_t)(chance(sim, 7200) * 1000000) - 3600000000);
}

/* --- the whole ------------------------------------------------------------------------- */

static void one_step(struct sim *sim)
{
	struct worker_sim *worker = &sim->workers[chance(sim, SIM_WORKERS)];
	uint64_t what = chance(sim, 100);

	if (what < 28)
		add(sim);
	else if (what < 50)
		take(sim, worker);
	else if (what < 68)
		end_some(sim, worker, chance(sim, MODEL_TENANTS), false);
	else if (what < 74)
		promote_due(sim);
	else if (what < 82)
		go_on(sim);
	else if (what < 88)
		beat(sim, worker);
	else if (what < 92)
		cancel(sim);
	else if (what < 94)
		resume(sim, chance(sim, MODEL_TENANTS), 3, chance(sim, MODEL_GROUPS));
	else if (what < 97)
		worker_dies_or_lives(sim, worker);
	else if (what < 98)
		restart(sim);
	else
		clocks(sim);
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

/* The clock is set to where the latest job is due, from wherever it was set before. */
static void catch_up(struct sim *sim)
{
	int64_t now = clock_wall_us(), latest = now;

	for (size_t i = 0; i < sim->model.job_count; i++)
		if (!model_is_final(sim->model.jobs[i].state))
			latest = MAX(latest, sim->model.jobs[i].run_at);
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
			beat(sim, worker);
		look(sim);
		sim_compare(sim);
		promote_due(sim);
		sim_compare(sim);
		for (size_t t = 0; t < MODEL_TENANTS; t++)
			for (size_t g = 0; g < MODEL_GROUPS; g++)
				resume(sim, t, 3, g);
		for (size_t q = 0; q < model_queue_count && !sim->failed; q++) {
			if (sim->model.lease_count < MODEL_LEASES || worker->has_lease)
				take_from(sim, worker, q, 5);
		}
		for (size_t t = 0; t < MODEL_TENANTS && !sim->failed; t++)
			end_some(sim, worker, t, true);
		after_step(sim);
	}
	(void)sim_holds(sim, all_over(sim), "something never comes to its end");
}

static bool play(struct store_test *test, struct sim *sim, uint64_t seed, bool tells)
{
	*sim = (struct sim){ .test = test,
		.seed = seed,
		.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1,
		.tells = tells };
	arena_init(&sim->arena, 256 * KILOBYTE, 16 * MEGABYTE);
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

	for (size_t i = 0; i < model_queue_count; i++) {
		char settings[300];

		(void)snprintf(settings, sizeof(settings),
			"\"backoff\":{\"kind\":\"fixed\",\"delayMs\":%d,\"jitter\":0},%s",
			MODEL_BACKOFF_US / 1000, model_queues[i].settings);
		queue_give(test, model_queues[i].name, settings);
	}
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
