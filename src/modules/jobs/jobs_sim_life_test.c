/* Steps of the simulation that jobs take: added, taken, ended. */
#include "modules/jobs/jobs_sim_test.h"

#include "base/err.h"
#include "observe/clock.h"

#include <stdio.h>
#include <stdlib.h>

const struct str sim_keys[SIM_KEYS] = { S_INIT("a"), S_INIT("b") };

/* --- adding ---------------------------------------------------------------------------- */

static struct model_job new_job(struct sim *sim)
{
	return (struct model_job){
		.tenant = sim_chance(sim, MODEL_TENANTS),
		.queue = sim_queue(sim),
		.group = sim_chance(sim, 2) ? (ptrdiff_t)sim_chance(sim, MODEL_GROUPS) : -1,
		.key = sim_chance(sim, 2) ? -1 : (ptrdiff_t)sim_chance(sim, MODEL_KEYS),
		.attempts = 1 + (int64_t)sim_chance(sim, 3),
		.priority = (int64_t)sim_chance(sim, JOB_PRIORITIES),
		.timeout_us = (1 + (int64_t)sim_chance(sim, 6)) * 1000000,
	};
}

static void check_added(
	struct sim *sim, const struct model_added *wanted, int r, const struct job_added *added)
{
	(void)sim_holds(sim, r == wanted->result,
		wanted->result ? "a second one with that key was added" : "was not added");
	if (r < 0 || wanted->result < 0)
		return;
	(void)sim_holds(
		sim, added->outcome == wanted->outcome, "added, replaced or kept otherwise");
	if (wanted->outcome != JOB_ADDED)
		(void)sim_holds(
			sim, uuid_cmp(&added->id, &wanted->kept) == 0, "another job has the key");
}

/* What is asked for of the job. */
static struct job_new request_of(const struct model_job *job, enum job_unique_mode mode,
	uint64_t delay_ns, uint64_t window_ns)
{
	struct job_new new = {
		.name = S("sim:job"),
		.queue = str_from_c(model_queues[job->queue].name),
		.priority = { .set = true, .value = job->priority },
		.delay_ns = delay_ns,
		.attempts = job->attempts,
		.timeout_ns = (uint64_t)job->timeout_us * MICROSECOND,
		.group_key = job->group < 0 ? S("") : sim_keys[job->group],
	};

	if (job->key < 0)
		return new;
	new.unique_key = sim_keys[job->key];
	new.unique_mode = mode;
	if (mode == JOB_UNIQUE_THROTTLE || mode == JOB_UNIQUE_DEBOUNCE)
		new.unique_ns = window_ns;
	return new;
}

void sim_add(struct sim *sim)
{
	static const char *const modes[] = { "reject", "replace", "throttle", "debounce" };
	int64_t now = clock_wall_us();
	uint64_t delay_ns = sim_chance(sim, 4) ? 0 : (1 + sim_chance(sim, 20)) * SECOND;
	uint64_t window_ns = (1 + sim_chance(sim, 4)) * SECOND;
	enum job_unique_mode mode = (enum job_unique_mode)sim_chance(sim, LEN(modes));
	struct model_job job = new_job(sim);
	struct job_new new = request_of(&job, mode, delay_ns, window_ns);
	struct db db = sim_tenant_db(sim, job.tenant);
	struct job_added added = { 0 };
	struct model_added wanted;
	int r;

	if (sim->model.job_count == MODEL_JOBS)
		return;
	SAY(sim, "add to %s, group %td, key %td %s", model_queues[job.queue].name, job.group,
		job.key, job.key < 0 ? "" : modes[mode]);
	r = job_try(&db, &new, &added);
	uuid_v7(&job.id, now); /* of one that is not added, too */
	if (r == 0 && added.outcome == JOB_ADDED)
		job.id = added.id;
	if (mode == JOB_UNIQUE_DEBOUNCE && job.key >= 0)
		delay_ns = MAX(delay_ns, window_ns);
	job.run_at = now + (int64_t)(delay_ns / MICROSECOND);
	wanted = model_add(&sim->model, &job, mode, (int64_t)(window_ns / MICROSECOND), now);
	check_added(sim, &wanted, r, &added);
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
	(void)sim_holds(
		sim, !model_is_paused(&sim->model, job), "taken although nothing may start");
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
			!model_is_paused(&sim->model, job) &&
			model_tenant_room(&sim->model, queue, job->tenant) > 0)
			(void)sim_holds(sim, false, "there was more to take");
	}
}

void sim_take_from(struct sim *sim, struct worker_sim *worker, size_t queue, size_t max)
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

void sim_take(struct sim *sim, struct worker_sim *worker)
{
	if (worker->dead || sim->model.lease_count == MODEL_LEASES)
		return;
	sim_take_from(sim, worker, sim_queue(sim), 1 + sim_chance(sim, 5));
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
	if (group >= 0 && sim_chance(sim, 2))
		return sim_keys[group];
	return sim_chance(sim, 4) ? S("") : sim_keys[sim_chance(sim, MODEL_GROUPS)];
}

/* Ends what the worker has of a tenant, or some of it; `kinds` of them, END_COMPLETE is the first.
 */
void sim_end_some(struct sim *sim, struct worker_sim *worker, size_t tenant, bool all)
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
		enum end_kind kind = all ? END_COMPLETE : kinds[sim_chance(sim, LEN(kinds))];
		int64_t delay_us = kind == END_SNOOZE && sim_chance(sim, 2)
					   ? (int64_t)(1 + sim_chance(sim, 9)) * 1000000
					   : 0;
		bool again = i > 0 && uuid_cmp(&worker->held[i - 1].job, &held->job) == 0;

		wanted[count] = model_end_of(sim, held, kind, delay_us);
		if (wanted[count].job->tenant != tenant || again || (!all && sim_chance(sim, 2))) {
			kept[kept_count++] = *held;
			continue;
		}
		ends[count] = (struct job_end){ .id = sim_id_text(sim, &held->job),
			.queue = sim_chance(sim, 2)
					 ? str_from_c(model_queues[wanted[count].job->queue].name)
					 : S(""),
			.group = told_group(sim, wanted[count].job->group),
			.lease_id = sim_id_text(sim, &sim->model.leases[held->lease].id),
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
