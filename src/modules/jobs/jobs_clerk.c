/*
 * The clerk: says every second that this instance lives, makes due jobs available when their time
 * has come, and ends what lost workers had. On a thread of its own, so that no handler, however
 * long it computes, makes others believe that this program is gone.
 */
#include "modules/jobs/jobs_work_internal.h"

#include "crypto/uuid.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/span.h"
#include "store/store.h"

#define BEAT_EVERY    SECOND
#define LEASE_TIME    (4 * SECOND) /* without a beat: then others take over */
#define REAP_EVERY    (500 * MILLISECOND)
#define PROMOTE_PAUSE MILLISECOND
#define TRY_EVERY     (500 * MILLISECOND) /* what fails */
#define LOOK_SHARED   (500 * MILLISECOND) /* others may write to the database, */
#define LOOK_ALONE    (5 * SECOND)        /* or nobody */
#define WITHIN        (4 * SECOND)        /* at most, of one look at the database */

uint64_t jobs_look_every(const struct store *store)
{
	return store_is_sqlite(store) ? LOOK_ALONE : LOOK_SHARED;
}

/* --- the lease ---------------------------------------------------------------------------------
 */

static const struct tx_options leasing = {
	.name = "jobs_lease", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
};

static int open_in_tx(struct tx *tx, void *arg)
{
	return lease_open_in_tx(tx, arg);
}

static int beat_in_tx(struct tx *tx, void *arg)
{
	const struct lease *lease = arg;

	return lease_beat_in_tx(tx, &lease->id);
}

/* Opens a lease, and tells everybody that jobs may be taken. */
static int open_lease(struct work *work, struct arena *arena)
{
	struct db db = db_of(work->server->store, &tenant_system, arena);
	struct lease lease = { .tenant = tenant_system,
		.kind = LEASE_PROGRAM,
		.worker = str_from_c(work->worker_name),
		.lease_us = (int64_t)(LEASE_TIME / MICROSECOND) };
	int r;

	uuid_v7(&lease.id, clock_wall_us());
	r = db_write_with(&db, &leasing, open_in_tx, &lease);
	if (r == 0)
		work_set_lease(work, &lease);
	return r;
}

/* A lease that is not there any more was lost: others have its jobs by now, and what runs here
 * under it is cancelled; whatever it says would be refused. */
static int beat(struct work *work, struct arena *arena)
{
	struct db db = db_of(work->server->store, &tenant_system, arena);
	struct lease lease;
	int r;

	if (!work_lease(work, &lease))
		return open_lease(work, arena);
	r = db_write_with(&db, &leasing, beat_in_tx, &lease);
	if (r != -ERR_NOT_FOUND)
		return r;
	log_warn("this program was taken for lost: its jobs are done elsewhere");
	work_set_lease(work, NULL);
	return open_lease(work, arena);
}

/* Runs `look` with a deadline and an arena, again and again until the worker ends. */
static int look_within(
	struct work *work, struct arena *arena, int (*look)(struct work *work, struct arena *arena))
{
	struct scope scope;
	int r;

	scope_open(&scope, clock_now_ns() + WITHIN);
	r = look(work, arena);
	(void)scope_close(&scope);
	arena_reset(arena);
	if (r < 0 && r != -ERR_CANCELLED)
		log_warn("a look after jobs failed", LOG_ERR);
	return r;
}

static int keep_lease(void *arg)
{
	struct work *work = arg;
	struct arena arena;
	int r;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	do {
		r = look_within(work, &arena, beat);
	} while (fiber_sleep_until(clock_now_ns() + (r < 0 ? TRY_EVERY : BEAT_EVERY)) == 0);
	arena_done(&arena);
	return 0;
}

/* --- what time does -----------------------------------------------------------------------------
 */

/* Promotes what is due, and waits until something else is. */
static int promote(struct work *work, struct arena *arena)
{
	uint64_t most = jobs_look_every(work->server->store);
	uint64_t rings = bell_rings(bell_of_later()), wait_ns = most;
	int64_t next_us = 0, now_us;
	size_t count;
	int r = jobs_promote(work->server->store, arena, &count, &next_us);

	now_us = clock_wall_us();
	if (r < 0) {
		log_warn("due jobs are not made available", LOG_ERR);
		wait_ns = TRY_EVERY;
	} else if (next_us > 0) {
		wait_ns = MIN((uint64_t)MAX(next_us - now_us, (int64_t)0) * MICROSECOND, most);
	}
	arena_reset(arena);
	/* Rings do not hurry it: others have their turn, and jobs that are due come in lots. */
	if (fiber_sleep_until(clock_now_ns() + PROMOTE_PAUSE) < 0)
		return -ERR_CANCELLED;
	r = wait_ns > PROMOTE_PAUSE
		    ? bell_wait(bell_of_later(), rings, clock_now_ns() + wait_ns - PROMOTE_PAUSE)
		    : 0;
	return r == -ERR_CANCELLED ? r : 0;
}

static int keep_promoting(void *arg)
{
	struct work *work = arg;
	struct arena arena;

	arena_init(&arena, 16 * KILOBYTE, 64 * MEGABYTE);
	while (promote(work, &arena) == 0)
		continue;
	arena_done(&arena);
	return 0;
}

static int reap(struct work *work, struct arena *arena)
{
	(void)arena;
	return reaper_look(work->reaper);
}

static int keep_reaping(void *arg)
{
	struct work *work = arg;
	struct arena arena;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	do
		(void)look_within(work, &arena, reap);
	while (fiber_sleep_until(clock_now_ns() + REAP_EVERY) == 0);
	arena_done(&arena);
	return 0;
}

/* --- the thread
 * ----------------------------------------------------------------------------------- */

static int recover(struct work *work, struct arena *arena)
{
	return jobs_recover(work->server->store, arena);
}

/* On SQLite everything that programs had is released before anything is taken. */
static int begin(void *arg)
{
	struct work *work = arg;
	struct scope *root = &worker_here()->sched.root;
	struct arena arena;
	int r = 0;

	arena_init(&arena, 16 * KILOBYTE, 64 * MEGABYTE);
	while (store_is_sqlite(work->server->store) && look_within(work, &arena, recover) < 0 &&
		r == 0)
		r = fiber_sleep_until(clock_now_ns() + TRY_EVERY);
	arena_done(&arena);

	if (r == 0 && work->thread_count > 0)
		r = scope_spawn(root, keep_lease, work);
	if (r == 0 && work->options.schedule)
		r = scope_spawn(root, keep_promoting, work);
	if (r == 0 && work->options.schedule)
		r = scope_spawn(root, keep_reaping, work);
	if (r == 0 && work->options.schedule)
		r = scope_spawn(root, schedule_keep, work);
	if (r < 0 && r != -ERR_CANCELLED)
		log_error("jobs are not looked after", LOG_ERR);
	return 0;
}

int clerk_begin(struct worker *worker)
{
	struct work *work = worker->arg;
	int r = work->options.schedule ? reaper_open(work->server->store, &work->reaper) : 0;

	if (r == 0)
		r = scope_spawn(&worker->sched.root, begin, work);
	if (r < 0) {
		reaper_close(TAKE(work->reaper));
		return r;
	}
	(void)log_thread_attach(0); /* without it the thread shares a ring */
	return 0;
}

void clerk_end(struct worker *worker)
{
	struct work *work = worker->arg;

	reaper_close(TAKE(work->reaper));
	log_thread_detach();
}
