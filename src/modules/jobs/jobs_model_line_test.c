/* The rules of groups and unique keys, without rows. */
#include "modules/jobs/jobs_model_test.h"

#include "base/err.h"
#include "modules/jobs/jobs_rows.h"

/* --- groups ---------------------------------------------------------------------------------- */

static struct model_group *group_of(struct model *model, const struct model_job *job)
{
	return &model->groups[job->tenant][job->queue][job->group];
}

/* Has a seat, but may have to wait for the group's rate. */
static void sit(struct model_group *group, struct model_job *job, int64_t now)
{
	const struct model_queue *queue = &model_queues[job->queue];
	bool ahead = group->next_at > now && group->next_at <= now + queue->reach_us;
	int64_t step = queue->step_us, at = ahead ? group->next_at : now;

	group->active++;
	job->seated = true;
	group->next_at = at + step;
	if (step && at > now) {
		job->state = JOB_SCHEDULED;
		job->run_at = at;
	}
}

void model_join(struct model *model, struct model_job *job, int64_t now)
{
	struct model_group *group = group_of(model, job);

	job->blocked = group->halted || group->waiting > 0 ||
		       group->active >= model_queues[job->queue].seats;
	if (job->blocked)
		group->waiting++;
	else
		sit(group, job, now);
}

static bool is_earlier(const struct model_job *a, const struct model_job *b)
{
	return a->turn != b->turn ? a->turn < b->turn : uuid_cmp(&a->id, &b->id) < 0;
}

static bool is_in(const struct model_job *job, size_t tenant, size_t queue, ptrdiff_t group)
{
	return job->tenant == tenant && job->queue == queue && job->group == group;
}

/* Free seats go to those who have waited longest. */
static void fill_seats(
	struct model *model, size_t tenant, size_t queue, ptrdiff_t number, int64_t now)
{
	struct model_group *group = &model->groups[tenant][queue][number];

	while (!group->halted && group->waiting > 0 && group->active < model_queues[queue].seats) {
		struct model_job *first = NULL;

		for (size_t i = 0; i < model->job_count; i++) {
			struct model_job *job = &model->jobs[i];

			if (job->blocked && is_in(job, tenant, queue, number) &&
				(!first || is_earlier(job, first)))
				first = job;
		}
		CHECK(first);
		first->blocked = false;
		group->waiting--;
		sit(group, first, now);
	}
}

void model_stand(struct model *model, struct model_job *job, int64_t now)
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
	fill_seats(model, job->tenant, job->queue, job->group, now);
	/* an empty group is forgotten when its rate is over */
	if (group->active == 0 && !group->halted && group->next_at <= now)
		group->next_at = 0;
}

void model_resume(struct model *model, size_t tenant, size_t queue, size_t group, int64_t now)
{
	model->groups[tenant][queue][group].halted = false;
	fill_seats(model, tenant, queue, (ptrdiff_t)group, now);
}

/* --- unique keys -------------------------------------------------------------------------------
 */

struct model_key *model_key_of(struct model *model, const struct model_job *job)
{
	return job->key < 0 ? NULL : &model->keys[job->tenant][job->queue][job->key];
}

enum model_verdict model_take_key(struct model *model, const struct model_job *job,
	enum job_unique_mode mode, int64_t until, int64_t now)
{
	struct model_key *key = model_key_of(model, job);
	const struct model_job *there;
	struct uuid before;
	bool lives, runs;

	if (!key || (key->there && uuid_cmp(&key->job, &job->id) == 0))
		return MODEL_INSERT;
	there = key->there ? model_find(model, &key->job) : NULL;
	lives = there && !model_is_final(there->state);
	runs = lives && there->state == JOB_RUNNING;
	if (lives && mode == JOB_UNIQUE_REJECT)
		return MODEL_REJECT;
	if (mode == JOB_UNIQUE_THROTTLE && (lives || (key->there && key->until > now)))
		return MODEL_KEPT;
	if (lives && !runs)
		return MODEL_REPLACE;
	before = key->job;
	*key = (struct model_key){ .there = true, .job = job->id, .behind = runs, .until = until };
	if (runs)
		key->before = before;
	return runs ? MODEL_BEHIND : MODEL_INSERT;
}

static void free_key(struct model *model, const struct model_job *job, int64_t now)
{
	struct model_key *key = model_key_of(model, job);
	struct model_job *next;

	if (!key || !key->there)
		return;
	if (uuid_cmp(&key->job, &job->id) == 0) {
		if (key->behind)
			key->job = key->before;
		else if (key->until <= now)
			key->there = false;
		key->behind = false;
	} else if (key->behind && uuid_cmp(&key->before, &job->id) == 0) {
		next = model_find(model, &key->job);
		key->behind = false;
		if (next && next->state == JOB_SCHEDULED && next->run_at == JOB_BEHIND_US)
			next->run_at = next->turn - next->priority * MODEL_PRIORITY_US;
	}
}

static void sweep_queue(struct model *model, size_t tenant, size_t queue, int64_t now)
{
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		struct model_key *key = &model->keys[tenant][queue][i];
		const struct model_job *job = key->there ? model_find(model, &key->job) : NULL;

		if (job && key->until > 0 && key->until <= now && model_is_final(job->state))
			key->there = false;
	}
	for (size_t i = 0; i < MODEL_GROUPS; i++) {
		struct model_group *group = &model->groups[tenant][queue][i];

		if (!group->active && !group->waiting && !group->halted && group->next_at <= now)
			group->next_at = 0;
	}
}

void model_sweep(struct model *model, int64_t now)
{
	for (size_t tenant = 0; tenant < MODEL_TENANTS; tenant++)
		for (size_t queue = 0; queue < MODEL_QUEUES; queue++)
			sweep_queue(model, tenant, queue, now);
}

void model_leave(struct model *model, struct model_job *job, int64_t now)
{
	model_stand(model, job, now);
	free_key(model, job, now);
	job->gone |= model_queues[job->queue].keeps_none;
}
