/*
 * Hands and what they do: a job that was taken is started as soon as there is a hand for it, which
 * is free again when the handler returns. When handlers are quick, jobs are taken ahead of free
 * hands, so that many of them share a transaction; never so many that one is expected to wait
 * longer than AHEAD_TIME, and what has to wait for AHEAD_PATIENCE all the same is handed back.
 */
#include "modules/jobs/jobs_work_internal.h"

#include "observe/clock.h"
#include "observe/log.h"

enum { AHEAD_MAX = 2000 };

#define AHEAD_TIME     (10 * MILLISECOND)
#define AHEAD_PATIENCE SECOND
#define AHEAD_BYTES    ((size_t)32 * MEGABYTE) /* of payloads that wait: then no more */
#define COMPLAIN_EVERY MINUTE
#define UNKNOWN_PAUSE  (10 * SECOND)      /* of a job whose name nobody here knows */
#define RELEASE_PAUSE  (50 * MILLISECOND) /* after one that could not be started */

/* --- hands ------------------------------------------------------------------------------- */

void crew_give_hands(struct crew *crew, size_t count)
{
	struct work_thread *thread = crew->thread;

	hands_give(&thread->hands, &crew->share, count);
	for (size_t i = 0; i < thread->crew_count && thread->hands.hungry > 0 && count > 0; i++)
		if (thread->crews[i].share.hungry)
			crew_wake(&thread->crews[i]);
}

bool crew_alone(const struct crew *crew)
{
	return crew->thread->hands.hungry == (crew->share.hungry ? 1 : 0);
}

/* --- starting ---------------------------------------------------------------------------- */

void crew_add_ended(struct start *start)
{
	list_push(&start->crew->ended, &start->link);
	start->crew->ended_count++;
}

/* Names that nobody here knows are put off, so that somebody else may do them, or this program when
 * it is a newer one. */
static void put_off(struct start *start)
{
	struct crew *crew = start->crew;
	uint64_t now = clock_now_ns();

	start_end(start, END_SNOOZE, "");
	start->end.delay_us = (int64_t)(UNKNOWN_PAUSE / MICROSECOND);
	if (crew->complained_ns && now - crew->complained_ns < COMPLAIN_EVERY)
		return;
	crew->complained_ns = now;
	log_warn("a queue of this program has a job that it has no handler for",
		LOG_STR("queue", crew->queue), LOG_STR("job", start->job.name));
}

void crew_hand_back(struct start *start)
{
	log_warn("a job cannot be started", LOG_ERR, LOG_STR("queue", start->crew->queue));
	start_end(start, END_RELEASE, "");
	start->crew->pause_ns = clock_now_ns() + RELEASE_PAUSE;
	crew_add_ended(start);
}

static struct start *pop_ahead(struct crew *crew)
{
	struct link *link = list_pop(&crew->ahead);
	struct start *start;

	if (!link)
		return NULL;
	start = CONTAINER_OF(link, struct start, link);
	crew->ahead_count--;
	crew->ahead_bytes -= start->job.payload.json.len;
	return start;
}

/* The next one that waits and can be run, which counts as running from now on; NULL: none. */
static struct start *next_ahead(struct crew *crew)
{
	struct start *start;

	while ((start = pop_ahead(crew))) {
		if (!start->kind || !start->kind->run) {
			put_off(start);
			crew_add_ended(start);
			continue;
		}
		if (work_cancelled(crew->thread->work, &start->job.id))
			start->stop = START_CANCELLED;
		list_push(&crew->running, &start->link);
		crew->running_count++;
		return start;
	}
	return NULL;
}

static void forget_running(struct start *start)
{
	link_remove(&start->link);
	start->crew->running_count--;
}

void crew_launch(struct crew *crew, size_t hands)
{
	struct start *start;

	while (hands > 0 && (start = next_ahead(crew))) {
		if (scope_spawn(&crew->thread->worker.sched.root, start_run, start) == 0) {
			hands--;
		} else {
			forget_running(start);
			crew_hand_back(start);
		}
	}
	crew->moved_ns = clock_now_ns();
	if (hands > 0)
		crew_give_hands(crew, hands);
}

/* --- ahead --------------------------------------------------------------------------------- */

size_t crew_ahead(const struct crew *crew, const struct queue_settings *settings)
{
	size_t most, there = crew->ahead_count + crew->coming;

	/* where running jobs are counted, one that waits would be in another one's place */
	if (!crew->usual_ns || settings->concurrency > 0 || settings->tenant_concurrency > 0 ||
		crew->ahead_bytes > AHEAD_BYTES)
		return 0;
	most = (size_t)MIN(AHEAD_TIME * crew->bound / crew->usual_ns, (uint64_t)AHEAD_MAX);
	return most > there ? most - there : 0;
}

void crew_add_ahead(struct start *start)
{
	struct crew *crew = start->crew;

	list_push(&crew->ahead, &start->link);
	crew->ahead_count++;
	crew->ahead_bytes += start->job.payload.json.len;
}

/* Does not count as an attempt. */
static void release_ahead(struct crew *crew)
{
	struct start *start;

	while ((start = pop_ahead(crew))) {
		start_end(start, END_RELEASE, "");
		crew_add_ended(start);
	}
}

uint64_t crew_go_ahead(struct crew *crew, uint64_t now)
{
	size_t free = crew->bound > crew->share.held ? crew->bound - crew->share.held : 0;
	size_t hands;

	if (crew->ahead_count == 0)
		return TIME_NEVER;
	if (crew->thread->stopping) {
		release_ahead(crew);
		return TIME_NEVER;
	}
	hands = hands_take(&crew->thread->hands, &crew->share, MIN(crew->ahead_count, free));
	if (hands > 0) {
		crew_launch(crew, hands);
	} else if (now >= crew->moved_ns + AHEAD_PATIENCE) {
		release_ahead(crew);
		crew->usual_ns = MAX(crew->usual_ns, AHEAD_PATIENCE);
	}
	return crew->ahead_count > 0 ? crew->moved_ns + AHEAD_PATIENCE : TIME_NEVER;
}

struct start *crew_take_back(struct start *start, uint64_t took_ns)
{
	struct crew *crew = start->crew;
	struct start *next = NULL;

	forget_running(start);
	crew_add_ended(start);
	crew->usual_ns =
		crew->usual_ns ? crew->usual_ns - crew->usual_ns / 8 + took_ns / 8 : took_ns;
	if (crew_alone(crew) && !crew->thread->stopping)
		next = next_ahead(crew);
	if (next)
		crew->moved_ns = clock_now_ns();
	else
		crew_give_hands(crew, 1);
	cond_signal(&crew->changed);
	return next;
}
