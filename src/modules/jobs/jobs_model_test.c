/* The rules of jobs, without rows. */
#include "modules/jobs/jobs_model_test.h"

#include "base/err.h"

#include <stdlib.h>

const struct model_queue model_queues[] = {
	{ "plain", "\"attempts\":3", .seats = 1 },
	{ "narrow", "\"concurrency\":3,\"tenantConcurrency\":2", 3, 2, 1 },
	{ "slow", "\"rate\":{\"count\":3,\"perMs\":10000}", .seats = 1, .rate_count = 3,
		.rate_us = 10000000 },
	{ "halting", "\"onDiscard\":\"halt\"", .seats = 1, .halts = true },
	{ "pairs", "\"groupConcurrency\":2", .seats = 2 },
	{ "bare",
		"\"completed\":{\"count\":0},\"discarded\":{\"count\":0},\"cancelled\":{\"count\":"
		"0}",
		.seats = 1, .keeps_none = true },
};
const size_t model_queue_count = LEN(model_queues);

#define LOOK_MAX     (2 * SECOND)
#define STARTS_EVERY SECOND
#define GRACE_US     INT64_C(2000000)
#define PRIORITY_US  INT64_C(10000000)

bool model_is_final(enum job_state state)
{
	return state == JOB_COMPLETED || state == JOB_DISCARDED || state == JOB_CANCELLED;
}

struct model_job *model_find(struct model *model, const struct uuid *id)
{
	for (size_t i = 0; i < model->job_count; i++)
		if (uuid_cmp(&model->jobs[i].id, id) == 0)
			return &model->jobs[i];
	return NULL;
}

/* --- groups ---------------------------------------------------------------------------------- */

static struct model_group *group_of(struct model *model, const struct model_job *job)
{
	return &model->groups[job->tenant][job->queue][job->group];
}

static void join(struct model *model, struct model_job *job)
{
	struct model_group *group = group_of(model, job);

	if (!group->halted && group->waiting == 0 &&
		group->active < model_queues[job->queue].seats) {
		group->active++;
		job->seated = true;
	} else {
		group->waiting++;
		job->blocked = true;
	}
}

static bool is_earlier(const struct model_job *a, const struct model_job *b)
{
	return a->turn != b->turn ? a->turn < b->turn : uuid_cmp(&a->id, &b->id) < 0;
}

/* Free seats go to those who have waited longest. */
static void fill_seats(struct model *model, size_t tenant, size_t queue, ptrdiff_t group_number)
{
	struct model_group *group = &model->groups[tenant][queue][group_number];

	while (!group->halted && group->waiting > 0 && group->active < model_queues[queue].seats) {
		struct model_job *first = NULL;

		for (size_t i = 0; i < model->job_count; i++) {
			struct model_job *job = &model->jobs[i];

			if (job->blocked && job->tenant == tenant && job->queue == queue &&
				job->group == group_number && (!first || is_earlier(job, first)))
				first = job;
		}
		CHECK(first);
		first->blocked = false;
		first->seated = true;
		group->waiting--;
		group->active++;
	}
}

static void leave(struct model *model, struct model_job *job)
{
	struct model_group *group;

	if (job->blocked) {
		group_of(model, job)->waiting--;
		job->blocked = false;
	}
	if (!job->seated)
		return;
	group = group_of(model, job);
	job->seated = false;
	group->active--;
	if (job->state == JOB_DISCARDED && model_queues[job->queue].halts)
		group->halted = true;
	fill_seats(model, job->tenant, job->queue, job->group);
}

void model_resume(struct model *model, size_t tenant, size_t queue, size_t group)
{
	model->groups[tenant][queue][group].halted = false;
	fill_seats(model, tenant, queue, (ptrdiff_t)group);
}

/* --- adding and starting ---------------------------------------------------------------------- */

bool model_add(struct model *model, const struct model_job *job, int64_t now)
{
	struct model_job *added = &model->jobs[model->job_count];

	CHECK(model->job_count < MODEL_JOBS);
	for (size_t i = 0; i < model->job_count && job->key >= 0; i++) {
		const struct model_job *other = &model->jobs[i];

		if (other->key == job->key && other->tenant == job->tenant &&
			other->queue == job->queue && !model_is_final(other->state))
			return false;
	}
	*added = *job;
	added->turn = job->run_at + job->priority * PRIORITY_US;
	added->state = job->run_at > now ? JOB_SCHEDULED : JOB_AVAILABLE;
	if (added->state == JOB_AVAILABLE && added->group >= 0)
		join(model, added);
	model->job_count++;
	return true;
}

bool model_is_ready(const struct model_job *job)
{
	return job->state == JOB_AVAILABLE && !job->blocked;
}

static int64_t running(const struct model *model, size_t queue, ptrdiff_t tenant)
{
	int64_t count = 0;

	for (size_t i = 0; i < model->job_count; i++)
		count += model->jobs[i].state == JOB_RUNNING && model->jobs[i].queue == queue &&
			 (tenant < 0 || model->jobs[i].tenant == (size_t)tenant);
	return count;
}

int64_t model_room(const struct model *model, size_t queue)
{
	int64_t most = model_queues[queue].concurrency;

	return most ? most - running(model, queue, -1) : INT64_MAX;
}

int64_t model_tenant_room(const struct model *model, size_t queue, size_t tenant)
{
	int64_t most = model_queues[queue].tenant_concurrency;

	return most ? most - running(model, queue, (ptrdiff_t)tenant) : INT64_MAX;
}

void model_start(struct model *model, struct model_job *job, size_t lease, int64_t now)
{
	CHECK(model_is_ready(job));
	job->state = JOB_RUNNING;
	job->attempt++;
	job->lease = lease;
	job->started_at = now;
	job->watched = false;
	if (model_queues[job->queue].rate_count && model->start_count < MODEL_STARTS)
		model->starts[model->start_count++] = now;
}

/* --- ending ------------------------------------------------------------------------------------
 */

static void wait_until(struct model_job *job, enum job_state state, int64_t at)
{
	job->state = state;
	job->run_at = at;
	job->turn = at + job->priority * PRIORITY_US;
}

static void fail_job(struct model_job *job, int64_t delay_us, int64_t now)
{
	if (job->attempt - job->uncounted >= job->attempts)
		job->state = JOB_DISCARDED;
	else
		wait_until(job, JOB_RETRYABLE, now + (delay_us ? delay_us : MODEL_BACKOFF_US));
}

static void settle(struct model_job *job, enum end_kind kind, int64_t delay_us, int64_t now)
{
	bool cancelling = job->cancelling;

	job->cancelling = false;
	if (kind == END_SNOOZE || kind == END_RELEASE)
		job->uncounted++;
	if (kind == END_COMPLETE)
		job->state = JOB_COMPLETED;
	else if (cancelling)
		job->state = JOB_CANCELLED;
	else if (kind == END_DISCARD || kind == END_INVALID)
		job->state = JOB_DISCARDED;
	else if (kind == END_FAIL || kind == END_TIMEOUT)
		fail_job(job, delay_us, now);
	else if (kind == END_LOST)
		job->state = job->attempt - job->uncounted < job->attempts ? JOB_AVAILABLE
									   : JOB_DISCARDED;
	else if (kind == END_SNOOZE && delay_us)
		wait_until(job, JOB_SCHEDULED, now + delay_us);
	else
		job->state = JOB_AVAILABLE;
}

static int by_group(const void *a, const void *b)
{
	const struct model_job *left = *(struct model_job *const *)a;
	const struct model_job *right = *(struct model_job *const *)b;
	int r = strcmp(model_queues[left->queue].name, model_queues[right->queue].name);

	if (r == 0)
		r = (left->group > right->group) - (left->group < right->group);
	return r ? r : uuid_cmp(&left->id, &right->id);
}

void model_end(struct model *model, struct model_end *ends, size_t count, int64_t now)
{
	struct model_job *leaving[MODEL_JOBS];
	size_t leaving_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct model_job *job = ends[i].job;

		ends[i].counted = job->state == JOB_RUNNING && job->lease == ends[i].lease &&
				  job->attempt == ends[i].attempt;
		if (!ends[i].counted)
			continue;
		settle(job, ends[i].kind, ends[i].delay_us, now);
		if (model_is_final(job->state))
			leaving[leaving_count++] = job;
	}
	if (leaving_count)
		qsort(leaving, leaving_count, sizeof(struct model_job *), by_group);
	for (size_t i = 0; i < leaving_count; i++)
		leave(model, leaving[i]);
}

int model_cancel(struct model *model, struct model_job *job)
{
	if (model_is_final(job->state))
		return -ERR_CONFLICT;
	if (job->state == JOB_RUNNING) {
		job->cancelling = true;
		return 0;
	}
	job->state = JOB_CANCELLED;
	leave(model, job);
	return 0;
}

/* --- time ------------------------------------------------------------------------------ */

static int by_tenant(const void *a, const void *b)
{
	const struct model_job *left = *(struct model_job *const *)a;
	const struct model_job *right = *(struct model_job *const *)b;

	return left->tenant != right->tenant ? (left->tenant < right->tenant ? -1 : 1)
					     : uuid_cmp(&left->id, &right->id);
}

size_t model_promote(struct model *model, int64_t now)
{
	struct model_job *due[MODEL_JOBS];
	size_t count = 0;

	for (size_t i = 0; i < model->job_count; i++) {
		struct model_job *job = &model->jobs[i];

		if ((job->state == JOB_SCHEDULED || job->state == JOB_RETRYABLE) &&
			job->run_at <= now)
			due[count++] = job;
	}
	if (count)
		qsort(due, count, sizeof(struct model_job *), by_tenant);
	for (size_t i = 0; i < count; i++) {
		due[i]->state = JOB_AVAILABLE;
		if (due[i]->group >= 0 && !due[i]->seated)
			join(model, due[i]);
	}
	return count;
}

static void lose_leases(struct model *model)
{
	for (size_t i = 0; i < model->lease_count; i++) {
		struct model_lease *lease = &model->leases[i];

		if (!lease->there)
			continue;
		if (!lease->watched || lease->seen_beats != lease->beats) {
			lease->watched = true;
			lease->seen_beats = lease->beats;
			lease->since_ns = model->watched_ns;
		}
		if (model->watched_ns - lease->since_ns >=
			(uint64_t)lease->lease_us * MICROSECOND) {
			lease->there = false;
			model->orphans = true;
		}
	}
}

static void watch_start(struct model *model, struct model_job *job)
{
	if (!job->watched)
		job->since_ns = model->watched_ns;
	job->watched = true;
}

/* Those whose worker is gone, and, with `timeouts`, those who took too long; tenant by tenant. */
static void end_starts(struct model *model, bool timeouts, int64_t now)
{
	for (size_t tenant = 0; tenant < MODEL_TENANTS; tenant++) {
		struct model_end ends[MODEL_JOBS];
		size_t count = 0;

		for (size_t i = 0; i < model->job_count; i++) {
			struct model_job *job = &model->jobs[i];
			struct model_end end = { job, job->lease, job->attempt, END_LOST, 0,
				false };
			uint64_t limit_ns = (uint64_t)(job->timeout_us + GRACE_US) * MICROSECOND;

			if (job->state != JOB_RUNNING || job->tenant != tenant)
				continue;
			if (model->leases[job->lease].there) {
				if (!timeouts)
					continue;
				watch_start(model, job);
				if (model->watched_ns - job->since_ns < limit_ns)
					continue;
				end.kind = END_TIMEOUT;
			}
			ends[count++] = end;
		}
		model_end(model, ends, count, now);
	}
}

void model_look(struct model *model, uint64_t now_ns, int64_t now)
{
	if (model->looked_ns)
		model->watched_ns += MIN(now_ns - model->looked_ns, LOOK_MAX);
	model->looked_ns = now_ns;
	lose_leases(model);
	if (!model->orphans && model->watched_ns < model->starts_ns)
		return;
	end_starts(model, true, now);
	model->orphans = false;
	model->starts_ns = model->watched_ns + STARTS_EVERY;
}

void model_recover(struct model *model, int64_t now)
{
	for (size_t i = 0; i < model->lease_count; i++)
		if (model->leases[i].kind == LEASE_PROGRAM)
			model->leases[i].there = false;
	end_starts(model, false, now);
}
