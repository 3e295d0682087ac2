/*
 * A queue on a thread: takes jobs as long as there are hands for them (jobs_ahead.c), and tells the
 * store how they ended. Ends and the next jobs are one transaction, a turn; two turns may
 * be under way, so that the thread works while the store does. Nothing is held back: whatever came
 * together while the lanes were busy is in the next turn.
 */
#include "modules/jobs/jobs_work_internal.h"

#include "observe/clock.h"
#include "observe/log.h"

#include <stdlib.h>

enum {
	ARENA_CHUNK = 64 * 1024,
	SHARED_ENDS = 200, /* more of them are shared by two turns */
	AHEAD_LEAST = 250, /* jobs that are worth a turn while no hand is free */
};

#define TURN_MEMORY ((size_t)64 * MEGABYTE) /* beyond it fewer jobs are taken at once */
#define PAUSE_MIN   (50 * MILLISECOND)      /* after a turn that failed, then twice as long, */
#define PAUSE_MAX   (5 * SECOND)

/* --- waking ------------------------------------------------------------------------------ */

void crew_wake(struct crew *crew)
{
	cond_broadcast(&crew->changed);
}

void crew_look(struct crew *crew)
{
	crew->rung++;
	if (crew->more == MORE_NOTHING)
		crew->more = MORE_MAYBE;
	cond_signal(&crew->changed);
}

/* A crew that knows of nothing, and does nothing for the store, takes the one job that it hears of.
 */
static void hear_offer(struct crew *crew, const struct bell_offer *offer)
{
	if (crew->more != MORE_NOTHING || crew->turns > 0 || crew->offered) {
		crew_look(crew);
		return;
	}
	crew->offered = true;
	crew->offer = *offer;
	cond_signal(&crew->changed);
}

/* A fiber: what rings the bell wakes the crew. */
static int hear(void *arg)
{
	struct crew *crew = arg;
	uint64_t rings = bell_rings(crew->bell);
	struct bell_offer offer; /* if so */
	bool offered = false;
	int r = 0;

	while (r != -ERR_CANCELLED) {
		if (offered)
			hear_offer(crew, &offer);
		else
			crew_look(crew);
		r = bell_wait(crew->bell, rings, TIME_NEVER);
		if (r < 0 && r != -ERR_CANCELLED) /* no memory for it: then it looks by itself */
			r = fiber_sleep_until(clock_now_ns() + SECOND);
		rings = bell_heard(crew->bell, rings, &offered, &offer);
	}
	return 0;
}

/* --- hands ---------------------------------------------------------------------------------- */

/* How many may run on this thread: each thread has its part of the queue's bound. */
static size_t bound_of(const struct crew *crew, const struct queue_settings *settings)
{
	size_t threads = crew->thread->work->thread_count;
	size_t all = settings->concurrency > 0 ? (size_t)settings->concurrency : QUEUE_HANDS;

	if (settings->concurrency_min > 0)
		all = (size_t)crew->pace.hands;
	return all / threads + ((crew->thread->index + crew->number) % threads < all % threads);
}

/* For how many jobs there are hands, and how many are to be taken. */
struct want {
	size_t hands, max;
	bool offered; /* just the one that the crew has heard of */
};

/* Whether nothing is counted when a job of the queue starts. */
static bool unbounded(const struct queue_settings *settings)
{
	return !settings->concurrency && !settings->rate.count && !settings->tenant_concurrency &&
	       !settings->tenant_rate.count;
}

/* Takes hands for as many jobs as it may start now. Without a free one it still takes ahead, so
 * that the store works while handlers do, but not for a few. */
static struct want take_hands(struct crew *crew)
{
	struct hands *hands = &crew->thread->hands;
	size_t free, ahead;
	struct queue_settings settings;
	struct want want = { 0 };

	if (crew->more == MORE_NOTHING || (crew->more == MORE_MAYBE && crew->looking) ||
		crew->thread->stopping || crew->alone)
		return want;
	queue_settings(crew->queue, &settings);
	if (settings.paused || settings.push_url.len)
		return want;
	if (settings.concurrency_min > 0 && crew->pace.hands == 0)
		(void)pace_look(&crew->pace, &settings, 0, clock_now_ns());
	hands_weigh(hands, &crew->share, settings.level);
	crew->bound = bound_of(crew, &settings);
	free = crew->bound > crew->share.held ? crew->bound - crew->share.held : 0;
	if (free > 0)
		want.hands = hands_take(hands, &crew->share, MIN(free, crew->batch));
	ahead = crew_ahead(crew, &settings);
	if (want.hands > 0 ||
		(free == 0 && ahead >= AHEAD_LEAST && crew->more == MORE_LOTS && crew_alone(crew)))
		want.max = MIN(want.hands + ahead, crew->batch);
	return want;
}

/* A hand for the one job that was heard of, where nothing else has to be known; else it looks. */
static struct want take_offer(struct crew *crew)
{
	const struct work_thread *thread = crew->thread;
	struct queue_settings settings;

	crew->offered = false;
	queue_settings(crew->queue, &settings);
	if (crew->more == MORE_NOTHING && !thread->stopping && !settings.paused &&
		!settings.push_url.len && unbounded(&settings) && crew->share.held < crew->bound &&
		hands_take(&crew->thread->hands, &crew->share, 1) == 1)
		return (struct want){ 1, 1, true };
	crew_look(crew);
	return take_hands(crew);
}

/* --- a turn ----------------------------------------------------------------------------------- */

struct turn {
	struct crew *crew;
	struct lane *lane;
	struct arena *arena;
	struct start **ended; /* by tenant */
	size_t ended_count;
	struct job_end *ends; /* of those that have one to be told */
	size_t end_count;
	struct want want; /* new ones */
	struct take take;
	struct uuid after;
	struct taken *taken;
	size_t count;
	int64_t next_us;
};

static int by_tenant(const void *a, const void *b)
{
	const struct start *const *left = a, *const *right = b;

	return uuid_cmp(&(*left)->job.tenant, &(*right)->job.tenant);
}

/* Puts what has ended into the turn, by tenant; a half when there are many, and the other lane,
 * which does nothing, may have the rest. */
static int gather_ends(struct turn *turn)
{
	struct crew *crew = turn->crew;
	size_t count = MIN(crew->ended_count, crew->alone ? (size_t)1 : (size_t)JOBS_END_MAX);

	if (count > SHARED_ENDS && crew->turns == 0) {
		count = (count + 1) / 2;
		cond_signal(&crew->changed);
	}
	if (count == 0)
		return 0;
	turn->ended = arena_alloc(turn->arena, count * sizeof(struct start *));
	turn->ends = arena_alloc(turn->arena, count * sizeof(*turn->ends));
	if (!turn->ended || !turn->ends)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++)
		turn->ended[i] = CONTAINER_OF(list_pop(&crew->ended), struct start, link);
	crew->ended_count -= count;
	turn->ended_count = count;
	qsort((void *)turn->ended, count, sizeof(struct start *), by_tenant);
	return 0;
}

/* Tells the ends of the next tenant. */
static int end_of_tenant(struct tx *tx, struct turn *turn, size_t *at)
{
	const struct uuid *tenant = &turn->ended[*at]->job.tenant;
	size_t first = turn->end_count;
	int r = tx_enter(tx, tenant);

	for (; r == 0 && *at < turn->ended_count; (*at)++) {
		const struct start *start = turn->ended[*at];

		if (uuid_cmp(&start->job.tenant, tenant) != 0)
			break;
		if (notes_left(&start->notes))
			r = notes_write_in_tx(tx, start);
		if (!start->completed)
			turn->ends[turn->end_count++] = start->end;
	}
	if (r == 0 && turn->end_count > first)
		r = jobs_end_in_tx(tx, &turn->ends[first], turn->end_count - first);
	return r == 0 ? tx_leave(tx) : r;
}

static int turn_in_tx(struct tx *tx, void *arg)
{
	struct turn *turn = arg;
	int r = 0;

	turn->end_count = turn->count = 0;
	turn->next_us = 0;
	turn->take.after = turn->after;
	for (size_t at = 0; r == 0 && at < turn->ended_count;)
		r = end_of_tenant(tx, turn, &at);
	if (r == 0 && turn->want.max > 0)
		r = jobs_take_in_tx(tx, &turn->take, &turn->taken, &turn->count, &turn->next_us);
	return r;
}

/* --- starting what was taken ---------------------------------------------------------------------
 */

/* Attempts before this one may have killed the process: they count only when it is on the disk that
 * this one began. */
static void add_synced(struct turn *turn, struct link *repeated)
{
	struct store *store = turn->crew->thread->work->server->store;
	struct link *link;
	int r = 0;

	if (!list_empty(repeated) && turn->ended_count == 0)
		r = jobs_sync(store, turn->arena);
	while ((link = list_pop(repeated))) {
		struct start *start = CONTAINER_OF(link, struct start, link);

		if (r == 0)
			crew_add_ahead(start);
		else
			crew_hand_back(start);
	}
}

static void start_taken(struct turn *turn)
{
	struct link repeated = LIST_INIT(repeated);
	size_t repeated_count = 0;

	for (size_t i = 0; i < turn->count; i++) {
		struct start *start = start_take(turn->lane);

		if (start_fill(start, &turn->taken[i], &turn->take.lease.id) < 0) {
			crew_hand_back(start);
		} else if (start->end.attempt > 1) {
			list_push(&repeated, &start->link);
			repeated_count++;
		} else {
			crew_add_ahead(start);
		}
	}
	repeated_count = MIN(repeated_count, turn->want.hands);
	crew_launch(turn->crew, turn->want.hands - repeated_count);
	if (!list_empty(&repeated)) {
		add_synced(turn, &repeated);
		crew_launch(turn->crew, repeated_count);
	}
}

/* --- after the transaction ------------------------------------------------------------- */

static void say_conflicts(const struct turn *turn)
{
	size_t count = 0;

	for (size_t i = 0; i < turn->end_count; i++)
		count += turn->ends[i].result_code < 0;
	if (count > 0)
		log_info("jobs had gone to somebody else before they ended here",
			LOG_STR("queue", turn->crew->queue), LOG_U64("count", count));
}

/* What the take says of the queue. */
static void learn(struct turn *turn, uint64_t rung)
{
	struct crew *crew = turn->crew;
	int64_t now_us = clock_wall_us();

	crew->after = turn->take.after;
	if (turn->count == turn->want.max)
		crew->more = MORE_LOTS;
	else
		crew->more = crew->rung == rung ? MORE_NOTHING : MORE_MAYBE;
	if (turn->next_us > 0) {
		uint64_t wait_ns = (uint64_t)MAX(turn->next_us - now_us, (int64_t)0) * MICROSECOND;

		crew->look_ns = MIN(crew->look_ns, clock_now_ns() + wait_ns);
	}
	if (crew->batch < JOBS_TAKE_MAX)
		crew->batch++; /* back to what it was before something was too large */
}

static void finish_turn(struct turn *turn, uint64_t rung)
{
	struct crew *crew = turn->crew;

	crew->failures = 0;
	say_conflicts(turn);
	for (size_t i = 0; i < turn->ended_count; i++)
		start_put(crew->thread, turn->ended[i]);
	if (crew->alone)
		crew->alone -= MIN(crew->alone, turn->ended_count);
	if (turn->want.max > 0)
		learn(turn, rung);
	start_taken(turn);
}

static bool will_pass(int r)
{
	return r == -ERR_UNAVAILABLE || r == -ERR_FULL || r == -ERR_TIMEOUT ||
	       r == -ERR_NO_MEMORY || r == -ERR_IO || r == -ERR_CANCELLED;
}

/* Some end cannot be told, whatever is tried: alone it fails, and when not even that can be told it
 * is left to the job's timeout. Returns whether there is something to be tried again. */
static bool try_alone(struct turn *turn, int r)
{
	struct crew *crew = turn->crew;
	struct start *start = turn->ended[0];

	if (turn->ended_count > 1 || turn->want.max > 0) {
		crew->alone = turn->ended_count;
		return true;
	}
	if (start->end.kind != END_FAIL && !start->completed) {
		start->judged = false;
		start_failed(start, r);
		return true;
	}
	log_error("the end of a job cannot be told", LOG_ERR, LOG_STR("queue", crew->queue),
		LOG_STR("jobId", start->end.id));
	return false;
}

static void fail_turn(struct turn *turn, int r)
{
	struct crew *crew = turn->crew;
	bool again = true;

	log_warn("the ends of jobs cannot be told, or none be taken", LOG_ERR,
		LOG_STR("queue", crew->queue), LOG_U64("ended", turn->ended_count));
	if (r == -ERR_TOO_LARGE && turn->want.max > 1)
		crew->batch = turn->want.max / 2;
	else if (!will_pass(r) && turn->ended_count > 0)
		again = try_alone(turn, r);

	for (size_t i = turn->ended_count; i > 0 && again; i--) {
		list_push_first(&crew->ended, &turn->ended[i - 1]->link);
		crew->ended_count++;
	}
	if (!again) {
		start_put(crew->thread, turn->ended[0]);
	}
	crew_give_hands(crew, turn->want.hands);
	crew->pause_ns = clock_now_ns() + MIN(PAUSE_MIN << MIN(crew->failures, 10U), PAUSE_MAX);
	crew->failures++;
}

static void do_turn(struct lane *lane, struct want want, const struct lease *lease)
{
	static const struct tx_options ending_too = {
		.name = "jobs_turn", .durability = TX_DURABLE, .isolation = TX_READ_COMMITTED
	};
	struct crew *crew = lane->crew;
	struct db db = db_of_system(crew->thread->work->server->store, &lane->arena);
	struct turn turn = { .crew = crew,
		.lane = lane,
		.arena = &lane->arena,
		.want = want,
		.after = crew->after };
	uint64_t rung = crew->rung;
	int r;

	turn.take = (struct take){
		.queue = crew->queue, .lease = *lease, .lease_opened = true, .max = want.max
	};
	r = gather_ends(&turn);
	crew->turns++;
	crew->looking += want.max > 0;
	crew->coming += want.max - want.hands;
	if (r == 0)
		r = db_write_with(
			&db, turn.ended_count ? &ending_too : &jobs_taking, turn_in_tx, &turn);
	crew->turns--;
	crew->looking -= want.max > 0;
	crew->coming -= want.max - want.hands;
	if (r == 0)
		finish_turn(&turn, rung);
	else
		fail_turn(&turn, r);
	starts_unprepare(lane);
	arena_reset(&lane->arena);
}

/* What may have been taken, though nobody was told. */
static void give_back_offer(struct turn *turn, const struct bell_offer *offer)
{
	char texts[2][UUID_TEXT_LEN];
	const struct taken taken = { .tenant_id = str_of(texts[0], UUID_TEXT_LEN),
		.id = str_of(texts[1], UUID_TEXT_LEN),
		.attempt = 1 };
	struct start *start = start_take(turn->lane);

	uuid_write(texts[0], &offer->tenant);
	uuid_write(texts[1], &offer->job);
	(void)start_fill(start, &taken, &turn->take.lease.id);
	crew_hand_back(start);
}

/* Takes the one that was heard of; somebody else may have been faster. */
static void do_offer(struct lane *lane, const struct lease *lease)
{
	struct crew *crew = lane->crew;
	const struct bell_offer offer = crew->offer;
	struct db db = db_of_system(crew->thread->work->server->store, &lane->arena);
	struct taken taken;
	struct turn turn = { .crew = crew,
		.lane = lane,
		.arena = &lane->arena,
		.want = { 1, 1, true },
		.taken = &taken };
	int r;

	turn.take = (struct take){
		.queue = crew->queue, .tenant = &offer.tenant, .lease = *lease, .max = 1
	};
	crew->turns++;
	r = jobs_take_named(&db, &turn.take, &offer.job, &taken);
	crew->turns--;
	if (r > 0) {
		turn.count = 1;
		start_taken(&turn);
	} else {
		if (r < 0)
			give_back_offer(&turn, &offer);
		crew_give_hands(crew, 1);
		crew_look(crew);
	}
	starts_unprepare(lane);
	arena_reset(&lane->arena);
}

/* --- the fibers --------------------------------------------------------------------------------
 */

/* Whether nothing is left to be done, now or later. */
static bool crew_over(const struct crew *crew)
{
	const struct work_thread *thread = crew->thread;

	if (!thread->stopping || crew->running_count > 0 || crew->ahead_count > 0)
		return false;
	return crew->ended_count == 0 || thread->forsaken;
}

/* Waits until there is something to do, and for how many jobs there are hands. False: never. */
static bool wait_for_turn(struct crew *crew, struct want *ret)
{
	uint64_t every = jobs_look_every(crew->thread->work->server->store);

	while (!crew_over(crew)) {
		uint64_t now = clock_now_ns(), until = crew_go_ahead(crew, now);

		if (now >= crew->look_ns) {
			crew->look_ns = now + every;
			if (crew->more == MORE_NOTHING)
				crew->more = MORE_MAYBE;
		}
		*ret = (struct want){ 0 };
		if (now >= crew->pause_ns) {
			*ret = crew->offered ? take_offer(crew) : take_hands(crew);
			if (ret->max > 0 || crew->ended_count > 0)
				return true;
		}
		until = MIN(until, crew->pause_ns > now ? crew->pause_ns : crew->look_ns);
		if (cond_wait(&crew->changed, until) == -ERR_CANCELLED)
			return false;
	}
	return false;
}

/* Memory for what it wants, and a lease to take it under; else it gives hands back. */
static struct want can_take(struct lane *lane, struct want want, struct lease *ret)
{
	struct crew *crew = lane->crew;
	struct want can = { .offered = want.offered };

	if (want.max > 0 && work_lease(crew->thread->work, ret))
		can.max = starts_prepare(lane, want.max);
	can.hands = MIN(want.hands, can.max);
	if (can.hands < want.hands)
		crew_give_hands(crew, want.hands - can.hands);
	if (can.max == 0 && want.max > 0)
		crew->more = MORE_NOTHING; /* until it is rung, or looks by itself */
	return can;
}

static int run_lane(void *arg)
{
	struct lane *lane = arg;
	struct crew *crew = lane->crew;
	struct want want;

	while (wait_for_turn(crew, &want)) {
		struct lease lease = { 0 };

		want = can_take(lane, want, &lease);
		if (want.offered && want.max > 0)
			do_offer(lane, &lease);
		else if (want.max > 0 || crew->ended_count > 0)
			do_turn(lane, want, &lease);
		fiber_yield(); /* to those that it started: quick ones end with the next turn */
	}
	arena_done(&lane->arena);
	crew->thread->fibers--;
	crew_wake(crew); /* the other lane may be over, too */
	cond_broadcast(&crew->thread->changed);
	return 0;
}

int crew_open(struct crew *crew)
{
	struct work_thread *thread = crew->thread;
	struct scope *root = &thread->worker.sched.root;
	int r = scope_spawn(root, hear, crew);

	for (size_t i = 0; i < LANES && r == 0; i++) {
		struct lane *lane = &crew->lanes[i];

		lane->crew = crew;
		link_init(&lane->prepared);
		arena_init(&lane->arena, ARENA_CHUNK, TURN_MEMORY);
		r = scope_spawn(root, run_lane, lane);
		thread->fibers += r == 0;
	}
	return r;
}

void crew_init(struct crew *crew, struct work_thread *thread, struct str queue, size_t number)
{
	struct queue_settings settings;

	crew->thread = thread;
	crew->queue = queue;
	crew->number = number;
	crew->bell = bell_of(queue);
	crew->batch = JOBS_TAKE_MAX;
	queue_settings(queue, &settings);
	hands_join(&thread->hands, &crew->share, settings.level);
	cond_init(&crew->changed);
	link_init(&crew->running);
	link_init(&crew->ahead);
	link_init(&crew->ended);
}

void crew_done(struct crew *crew)
{
	struct link *const lists[] = { &crew->ahead, &crew->ended };
	struct link *link;

	for (size_t i = 0; i < LEN(lists); i++)
		while ((link = list_pop(lists[i])))
			start_free(CONTAINER_OF(link, struct start, link));
}

void crew_cancel(struct crew *crew, const struct uuid *id, enum start_stop why)
{
	struct link *const lists[] = { &crew->running, &crew->ahead };
	struct start *start;

	for (size_t i = 0; i < LEN(lists); i++)
		LIST_EACH (start, lists[i], struct start, link)
			if (!id || uuid_cmp(&start->job.id, id) == 0)
				start_cancel(start, why);
}

void crew_lose(struct crew *crew, const char lease_id[UUID_TEXT_LEN])
{
	struct link *const lists[] = { &crew->running, &crew->ahead };
	struct start *start;

	for (size_t i = 0; i < LEN(lists); i++)
		LIST_EACH (start, lists[i], struct start, link)
			if (memcmp(start->lease_id, lease_id, UUID_TEXT_LEN) == 0)
				start_cancel(start, START_LOST);
}
