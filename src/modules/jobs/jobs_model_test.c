/* The rules of jobs, without rows. */
#include "modules/jobs/jobs_model_test.h"

#include "base/err.h"

#include <stdlib.h>

const struct model_queue model_queues[MODEL_QUEUES] = {
	{ "plain", "\"attempts\":3", .seats = 1, .attempts = 3 },
	{ "narrow", "\"concurrency\":3,\"tenantConcurrency\":2", 3, 2, 1, .attempts = 3 },
	{ "slow", "\"rate\":{\"count\":3,\"perMs\":10000}", .seats = 1, .attempts = 3,
		.rate_count = 3, .rate_us = 10000000 },
	{ "halting", "\"onDiscard\":\"halt\",\"attempts\":1", .seats = 1, .attempts = 1,
		.halts = true },
	{ "pairs", "\"groupConcurrency\":2", .seats = 2, .attempts = 3 },
	{ "bare",
		"\"completed\":{\"count\":0},\"discarded\":{\"count\":0},\"cancelled\":{\"count\":"
		"0}",
		.seats = 1, .attempts = 3, .keeps_none = true },
	{ "spaced", "\"groupConcurrency\":2,\"groupRate\":{\"count\":2,\"perMs\":6000}", .seats = 2,
		.attempts = 3, .step_us = 3000000, .reach_us = 9000000 },
};

#define LOOK_MAX     (2 * SECOND)
#define STARTS_EVERY SECOND
#define GRACE_US     INT64_C(2000000)
#define STARTS_MOST  300

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

/* --- adding and starting ---------------------------------------------------------------------- */

static int64_t turn_of(const struct model_job *job, int64_t at)
{
	return at + job->priority * MODEL_PRIORITY_US;
}

/* Where it begins: in line, or not before its time. */
static void begin(struct model *model, struct model_job *job, bool behind, int64_t now)
{
	job->turn = turn_of(job, job->run_at);
	job->state = behind || job->run_at > now ? JOB_SCHEDULED : JOB_AVAILABLE;
	if (behind)
		job->run_at = JOB_BEHIND_US;
	if (job->state == JOB_AVAILABLE && job->group >= 0)
		model_join(model, job, now);
}

/* The one that waits takes over all but its name and its starts. */
static void replace(
	struct model *model, struct model_job *there, const struct model_job *job, int64_t now)
{
	bool behind = there->run_at == JOB_BEHIND_US;

	model_stand(model, there, now);
	there->group = job->group;
	there->attempts = there->attempt - there->uncounted + job->attempts;
	there->priority = job->priority;
	there->timeout_us = job->timeout_us;
	there->run_at = job->run_at;
	begin(model, there, behind, now);
}

struct model_added model_add(struct model *model, const struct model_job *job,
	enum job_unique_mode mode, int64_t window_us, int64_t now)
{
	struct model_job *added = &model->jobs[model->job_count];
	int64_t until = mode == JOB_UNIQUE_THROTTLE ? now + window_us : 0;
	enum model_verdict verdict = model_take_key(model, job, mode, until, now);
	struct model_added ret = { 0 };

	CHECK(model->job_count < MODEL_JOBS);
	if (verdict == MODEL_REJECT) {
		ret.result = -ERR_CONFLICT;
	} else if (verdict == MODEL_KEPT || verdict == MODEL_REPLACE) {
		ret.outcome = verdict == MODEL_KEPT ? JOB_KEPT : JOB_REPLACED;
		ret.kept = model_key_of(model, job)->job;
		if (verdict == MODEL_REPLACE)
			replace(model, model_find(model, &ret.kept), job, now);
	} else {
		*added = *job;
		begin(model, added, verdict == MODEL_BEHIND, now);
		model->job_count++;
	}
	return ret;
}

bool model_is_ready(const struct model_job *job)
{
	return job->state == JOB_AVAILABLE && !job->blocked;
}

bool model_is_paused(const struct model *model, const struct model_job *job)
{
	return model->stopped[job->queue] || model->paused[job->tenant][job->queue];
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
	job->turn = turn_of(job, at);
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
		model_leave(model, leaving[i], now);
}

int model_cancel(struct model *model, struct model_job *job, int64_t now)
{
	if (model_is_final(job->state))
		return -ERR_CONFLICT;
	if (job->state == JOB_RUNNING) {
		job->cancelling = true;
		return 0;
	}
	job->state = JOB_CANCELLED;
	model_leave(model, job, now);
	return 0;
}

/* --- what people decide ------------------------------------------------------------------------
 */

static void make_ready(struct model *model, struct model_job *job, int64_t now)
{
	job->state = JOB_AVAILABLE;
	job->run_at = now;
	job->turn = turn_of(job, now);
	if (job->group >= 0 && !job->seated)
		model_join(model, job, now);
}

static int retry(struct model *model, struct model_job *job, int64_t now)
{
	int64_t starts = job->attempt - job->uncounted, more;

	if (!model_is_final(job->state))
		return -ERR_CONFLICT;
	if (model_take_key(model, job, JOB_UNIQUE_REJECT, 0, now) != MODEL_INSERT)
		return -ERR_CONFLICT;
	more = MAX(MIN(model_queues[job->queue].attempts, job->attempts), 1);
	job->attempts = MAX(job->attempts, MIN(starts + more, STARTS_MOST));
	make_ready(model, job, now);
	return 0;
}

int model_change(struct model *model, struct model_job *job, enum job_change change, int64_t now)
{
	bool waits = job->state == JOB_SCHEDULED || job->state == JOB_RETRYABLE;
	int r = 0;

	if (change == JOB_RETRY)
		return retry(model, job, now);
	if (change == JOB_CANCEL)
		return model_cancel(model, job, now);
	if (change == JOB_PROMOTE) {
		if (!waits || job->run_at == JOB_BEHIND_US)
			return -ERR_CONFLICT;
		make_ready(model, job, now);
		return 0;
	}
	if (job->state == JOB_RUNNING)
		return -ERR_CONFLICT;
	if (!model_is_final(job->state))
		r = model_cancel(model, job, now);
	job->gone = true;
	return r;
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
			model_join(model, due[i], now);
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
