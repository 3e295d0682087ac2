/*
 * Metrics of jobs. A queue gets series of its own when it is met first, up to JOBS_QUEUES_COUNTED
 * of them in the life of the process; later ones share those of "other", so that names that come
 * from outside cannot fill the memory of whoever collects them.
 */
#include "modules/jobs/jobs_counts.h"

#include "base/err.h"
#include "observe/clock.h"
#include "observe/metric.h"

#include <pthread.h>

/* --- families --------------------------------------------------------------------------- */

#define MS MILLISECOND

static const uint64_t wait_bounds[] = { 1 * MS, 2 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS,
	250 * MS, 500 * MS, SECOND, 5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR };
static const uint64_t run_bounds[] = { 1 * MS, 5 * MS, 10 * MS, 50 * MS, 100 * MS, 500 * MS, SECOND,
	5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR };

enum {
	GAUGE_READY,
	GAUGE_BLOCKED,
	GAUGE_SCHEDULED,
	GAUGE_RETRYABLE,
	GAUGE_RUNNING,
	GAUGE_COMPLETED,
	GAUGE_DISCARDED,
	GAUGE_CANCELLED,
	GAUGES,
};

static const struct str gauge_names[GAUGES] = { S_INIT("ready"), S_INIT("blocked"),
	S_INIT("scheduled"), S_INIT("retryable"), S_INIT("running"), S_INIT("completed"),
	S_INIT("discarded"), S_INIT("cancelled") };

enum outcome {
	OUTCOME_COMPLETED,
	OUTCOME_FAILED, /* and comes again */
	OUTCOME_TIMEOUT,
	OUTCOME_LOST,
	OUTCOME_DISCARDED,
	OUTCOME_CANCELLED,
	OUTCOME_SNOOZED,
	OUTCOME_RELEASED,
	OUTCOMES,
};

static const struct str outcome_names[OUTCOMES] = { S_INIT("completed"), S_INIT("failed"),
	S_INIT("timeout"), S_INIT("lost"), S_INIT("discarded"), S_INIT("cancelled"),
	S_INIT("snoozed"), S_INIT("released") };

enum { QUEUE_SERIES = JOBS_QUEUES_COUNTED + 1 };

/* clang-format off */
static const struct metric_def depth_def = { .name = "jobs_depth",
	.help = "Jobs by queue and state, of all instances, as of the last count.",
	.kind = METRIC_GAUGE, .labels = { "queue", "state" }, .max_series = QUEUE_SERIES * GAUGES };
static const struct metric_def oldest_def = { .name = "jobs_oldest_ready_seconds",
	.help = "How long the ready job whose turn is next has been due, by queue.",
	.kind = METRIC_GAUGE, .labels = { "queue" }, .scale = SECOND, .max_series = QUEUE_SERIES };
static const struct metric_def started_def = { .name = "jobs_started_total",
	.help = "Starts of jobs by queue.",
	.kind = METRIC_COUNTER, .labels = { "queue" }, .max_series = QUEUE_SERIES };
static const struct metric_def ended_def = { .name = "jobs_ended_total",
	.help = "Ends of starts by queue and outcome.",
	.kind = METRIC_COUNTER, .labels = { "queue", "outcome" }, .max_series = QUEUE_SERIES * OUTCOMES };
static const struct metric_def wait_def = { .name = "jobs_wait_seconds",
	.help = "From when a job was due to its start, by queue.",
	.kind = METRIC_HISTOGRAM, .labels = { "queue" }, .scale = SECOND, .max_series = QUEUE_SERIES,
	.bounds = wait_bounds, .bound_count = LEN(wait_bounds) };
static const struct metric_def run_def = { .name = "jobs_duration_seconds",
	.help = "From the start of a job to its end, by queue.",
	.kind = METRIC_HISTOGRAM, .labels = { "queue" }, .scale = SECOND, .max_series = QUEUE_SERIES,
	.bounds = run_bounds, .bound_count = LEN(run_bounds) };
static const struct metric_def lost_def = { .name = "jobs_lost_leases_total",
	.help = "Leases of workers that were given up because nobody renewed them.", .kind = METRIC_COUNTER };
static const struct metric_def workers_def = { .name = "jobs_workers",
	.help = "Leases that are held: instances, sessions, and calls of workers without one.", .kind = METRIC_GAUGE };
/* clang-format on */

static struct metric_family *depth, *oldest, *started, *ended, *wait_time, *run_time;
static const struct metric *lost, *workers;

int job_metrics_open(void)
{
	depth = metric_register(&depth_def);
	oldest = metric_register(&oldest_def);
	started = metric_register(&started_def);
	ended = metric_register(&ended_def);
	wait_time = metric_register(&wait_def);
	run_time = metric_register(&run_def);
	lost = metric_register_one(&lost_def);
	workers = metric_register_one(&workers_def);
	if (!depth || !oldest || !started || !ended || !wait_time || !run_time || !lost || !workers)
		return -(int)err_last()->code;
	return 0;
}

/* --- of a queue ----------------------------------------------------------------------------- */

struct queue_metrics {
	char name[JOB_QUEUE_MAX];
	size_t len;
	const struct metric *started, *wait, *run, *oldest;
	const struct metric *ended[OUTCOMES], *depth[GAUGES];
	struct job_gauges now; /* while gauges are told */
};

/* The last one is "other". Filled from the front and never changed again, so that readers need no
 * lock. */
static struct queue_metrics queues[QUEUE_SERIES];
static _Atomic size_t queue_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void make_series(struct queue_metrics *of, struct str name)
{
	memcpy(of->name, name.at, name.len);
	of->len = name.len;
	of->started = metric_series(started, &name);
	of->wait = metric_series(wait_time, &name);
	of->run = metric_series(run_time, &name);
	of->oldest = metric_series(oldest, &name);
	for (size_t i = 0; i < OUTCOMES; i++)
		of->ended[i] = metric_series(ended, (struct str[]){ name, outcome_names[i] });
	for (size_t i = 0; i < GAUGES; i++)
		of->depth[i] = metric_series(depth, (struct str[]){ name, gauge_names[i] });
}

static struct queue_metrics *find(struct str queue, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq(str_of(queues[i].name, queues[i].len), queue))
			return &queues[i];
	return NULL;
}

static struct queue_metrics *of_queue(struct str queue)
{
	size_t count = atomic_load_explicit(&queue_count, memory_order_acquire);
	struct queue_metrics *found = find(queue, count);

	if (found)
		return found;
	CHECK(pthread_mutex_lock(&lock) == 0);
	count = atomic_load_explicit(&queue_count, memory_order_relaxed);
	found = find(queue, count);
	if (!found && count < JOBS_QUEUES_COUNTED && queue.len <= JOB_QUEUE_MAX) {
		found = &queues[count];
		make_series(found, queue);
		atomic_store_explicit(&queue_count, count + 1, memory_order_release);
	} else if (!found) {
		found = &queues[JOBS_QUEUES_COUNTED];
		if (found->len == 0)
			make_series(found, S("other"));
	}
	CHECK(pthread_mutex_unlock(&lock) == 0);
	return found;
}

/* --- what happens ----------------------------------------------------------------------- */

static enum outcome outcome_of(enum end_kind how, enum job_state state)
{
	if (state == JOB_CANCELLED)
		return OUTCOME_CANCELLED;
	switch (how) {
	case END_COMPLETE: return OUTCOME_COMPLETED;
	case END_SNOOZE: return OUTCOME_SNOOZED;
	case END_RELEASE: return OUTCOME_RELEASED;
	case END_INVALID:
	case END_DISCARD: return OUTCOME_DISCARDED;
	case END_LOST: return OUTCOME_LOST;
	case END_TIMEOUT: return OUTCOME_TIMEOUT;
	case END_FAIL: break;
	}
	return state == JOB_DISCARDED ? OUTCOME_DISCARDED : OUTCOME_FAILED;
}

static uint64_t nanoseconds(int64_t us)
{
	return us > 0 ? (uint64_t)us * MICROSECOND : 0;
}

void job_metrics_start(struct str queue, int64_t waited_us)
{
	const struct queue_metrics *of = of_queue(queue);

	metric_count(of->started, 1);
	metric_observe(of->wait, nanoseconds(waited_us));
}

void job_metrics_end(struct str queue, enum end_kind how, enum job_state state, int64_t ran_us)
{
	const struct queue_metrics *of = of_queue(queue);

	metric_count(of->ended[outcome_of(how, state)], 1);
	if (ran_us != JOB_RAN_UNKNOWN)
		metric_observe(of->run, nanoseconds(ran_us));
}

void job_count_lost(size_t leases)
{
	metric_count(lost, leases);
}

/* --- what there is ------------------------------------------------------------------------ */

void job_gauges_begin(void)
{
	for (size_t i = 0; i < QUEUE_SERIES; i++)
		queues[i].now = (struct job_gauges){ 0 };
}

/* Those of "other" are added up; it is as old as its oldest. */
void job_gauge(struct str queue, const struct job_gauges *gauges)
{
	struct job_gauges *now = &of_queue(queue)->now;

	now->ready += gauges->ready;
	now->blocked += gauges->blocked;
	now->scheduled += gauges->scheduled;
	now->retryable += gauges->retryable;
	now->running += gauges->running;
	now->completed += gauges->completed;
	now->discarded += gauges->discarded;
	now->cancelled += gauges->cancelled;
	now->oldest_us = MAX(now->oldest_us, gauges->oldest_us);
}

static void set_gauges(const struct queue_metrics *of)
{
	const int64_t values[GAUGES] = { of->now.ready, of->now.blocked, of->now.scheduled,
		of->now.retryable, of->now.running, of->now.completed, of->now.discarded,
		of->now.cancelled };

	for (size_t i = 0; i < GAUGES; i++)
		metric_gauge_set(of->depth[i], values[i]);
	metric_gauge_set(of->oldest, (int64_t)nanoseconds(of->now.oldest_us));
}

void job_gauges_end(int64_t workers_now)
{
	size_t count = atomic_load_explicit(&queue_count, memory_order_acquire);

	for (size_t i = 0; i < count; i++)
		set_gauges(&queues[i]);
	if (queues[JOBS_QUEUES_COUNTED].len)
		set_gauges(&queues[JOBS_QUEUES_COUNTED]);
	metric_gauge_set(workers, workers_now);
}
