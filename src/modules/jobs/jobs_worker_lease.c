/*
 * Taking jobs for a worker. Whose they become is decided in the transaction that takes them: its
 * session's when it has one, whichever instance holds that, else a lease of their own. Who waits,
 * waits at the queue's bell, and looks twice a second besides: another instance's ring may be late.
 */
#include "modules/jobs/jobs_worker_internal.h"

#include "base/err.h"
#include "base/hash.h"
#include "http/request.h"
#include "http/server.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <pthread.h>

#define LOOK_EVERY     (500 * MILLISECOND)
#define GIVE_BACK_TIME (5 * SECOND)

enum { TURNS = 256 };

/* --- whose turn it is ------------------------------------------------------------------------ */

/* Of a queue, the tenant that a worker of all tenants served last. Two queues may share one. */
static struct {
	pthread_mutex_t lock;
	struct uuid after[TURNS];
} turns = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct uuid *turn_of(struct str queue)
{
	return &turns.after[hash_str(queue) % TURNS];
}

static struct uuid turn_get(struct str queue)
{
	struct uuid after;

	(void)pthread_mutex_lock(&turns.lock);
	after = *turn_of(queue);
	(void)pthread_mutex_unlock(&turns.lock);
	return after;
}

static void turn_set(struct str queue, const struct uuid *after)
{
	(void)pthread_mutex_lock(&turns.lock);
	*turn_of(queue) = *after;
	(void)pthread_mutex_unlock(&turns.lock);
}

/* --- one look -------------------------------------------------------------------------------- */

struct look {
	struct worker_take *call;
	struct take take;
	struct uuid new_lease;
	bool ends;  /* what was said with the call is to be written, too */
	bool again; /* more of what the worker does not know of is to be handed back first */
	int64_t next_us;
};

static int choose_lease_in_tx(struct tx *tx, struct look *look)
{
	const struct worker_caller *caller = &look->call->caller;
	struct lease *lease = &look->take.lease;
	struct uuid session;
	int64_t lease_us = 0;
	int r = tx_enter(tx, &caller->tenant);

	if (r == 0)
		r = session_find_in_tx(tx, look->call->worker, &session, &lease_us);
	if (r < 0 && r != -ERR_NOT_FOUND)
		return r;
	*lease = (struct lease){
		.tenant = caller->tenant,
		.id = r == 0 ? session : look->new_lease,
		.kind = r == 0 ? LEASE_SESSION : LEASE_CALL,
		.worker = look->call->worker,
		.queue = look->call->queue,
		.lease_us = r == 0 ? lease_us : look->call->lease_us,
	};
	look->take.lease_opened = r == 0;
	return tx_leave(tx);
}

/* On a system handle. A worker of a tenant ends only what is that tenant's. */
static int ends_in_tx(struct tx *tx, struct worker_take *call)
{
	struct worker_caller as_system = call->caller;

	as_system.platform = true;
	return worker_ends_in_tx(tx, &as_system, call->ends, call->end_count);
}

static int look_in_tx(struct tx *tx, void *arg)
{
	struct look *look = arg;
	struct worker_take *call = look->call;
	int r = look->ends ? ends_in_tx(tx, call) : 0;

	look->take = (struct take){
		.queue = call->queue,
		.tenant = call->caller.platform ? NULL : &call->caller.tenant,
		.after = turn_get(call->queue),
		.max = call->max,
	};
	call->taken = NULL;
	call->count = 0;
	if (r == 0)
		r = choose_lease_in_tx(tx, look);
	if (r == 0 && call->lost_answer && look->take.lease_opened)
		r = session_forget_in_tx(tx, &call->caller, &look->take.lease.id, call->holding,
			call->holding_count);
	look->again = r > 0;
	if (r == 0)
		r = jobs_take_in_tx(tx, &look->take, &call->taken, &call->count, &look->next_us);
	return MIN(r, 0);
}

/* Whether a job may start only when the lease's row is on the disk: it may have been started
 * before, by whom only that row tells. */
static bool must_sync(const struct worker_take *call)
{
	for (size_t i = 0; i < call->count; i++)
		if (call->taken[i].counted > 1)
			return true;
	return false;
}

/* Takes as many as the memory of the request has room for. */
static int take_some(struct look *look, struct arena *arena)
{
	struct worker_take *call = look->call;
	struct db db = db_of_system(call->caller.store, arena);
	struct arena_mark mark = arena_mark(arena);

	for (;;) {
		int r = db_write_with(
			&db, look->ends ? &jobs_ending : &jobs_taking, look_in_tx, look);

		if (r == -ERR_TOO_LARGE && call->max > 1)
			call->max = MAX(call->max / 4, (size_t)1);
		else if (r < 0 || !look->again)
			return r;
		else
			look->ends = false; /* they have been told */
		arena_back(arena, mark);
	}
}

static int look_once(struct look *look, struct arena *arena)
{
	struct worker_take *call = look->call;
	struct arena_mark mark = arena_mark(arena);
	size_t taken;
	int r;

	uuid_v7(&look->new_lease, clock_wall_us());
	r = take_some(look, arena);
	if (r < 0)
		return r;

	call->lease = look->take.lease.id;
	call->expires_at_us = clock_wall_us() + look->take.lease.lease_us;
	if (call->caller.platform) /* also when it gave nothing: others are behind those */
		turn_set(call->queue, &look->take.after);
	taken = call->count;
	r = jobs_sift(call->caller.store, arena, &look->take, call->taken, &call->count);
	if (r == 0 && taken > 0 && call->count == 0)
		look->next_us = clock_wall_us(); /* others may be behind those */
	if (r == 0 && !look->ends && must_sync(call))
		r = jobs_sync(call->caller.store, arena);
	if (r < 0)
		worker_give_back(call);
	look->ends = call->lost_answer = false;
	if (call->count == 0)
		arena_back(arena, mark); /* it may look a thousand times until there is one */
	return r;
}

/* --- waiting --------------------------------------------------------------------------------- */

static bool is_draining(const struct req *req)
{
	return atomic_load_explicit(&req_server(req)->draining, memory_order_relaxed);
}

/* Monotonic time of a moment of the wall clock that is near. */
static uint64_t moment_ns(int64_t at_us)
{
	int64_t wait = at_us - clock_wall_us();

	return clock_now_ns() + (wait > 0 ? (uint64_t)wait * MICROSECOND : 0);
}

/* Waits for a ring, but not for long. */
static int wait_a_moment(struct bell *bell, uint64_t rings, int64_t next_us, uint64_t deadline_ns)
{
	uint64_t until = MIN(deadline_ns, clock_now_ns() + LOOK_EVERY);
	int r;

	if (next_us > 0)
		until = MIN(until, moment_ns(next_us));
	r = bell_wait(bell, rings, until);
	return r == -ERR_TIMEOUT ? 0 : r;
}

static int poll(struct req *req, struct look *look, struct arena *arena, uint64_t deadline_ns)
{
	struct worker_take *call = look->call;
	struct bell *bell = bell_of(call->queue);

	for (;;) {
		uint64_t rings = bell_rings(bell);
		struct arena_mark mark = arena_mark(arena);
		int r = worker_ready(&call->caller, arena, call->queue);

		arena_back(arena, mark);
		if (r > 0)
			r = look_once(look, arena);
		if (r < 0 || call->count > 0)
			return r;
		if (clock_now_ns() >= deadline_ns || is_draining(req))
			return 0;
		r = wait_a_moment(bell, rings, look->next_us, deadline_ns);
		if (r < 0)
			return r;
	}
}

/* Who has gone takes nothing along. */
static int check_caller(struct req *req, struct worker_take *call)
{
	if (call->count == 0 || !scope_over(&req->scope))
		return 0;
	worker_give_back(call);
	return fail(ERR_CANCELLED, "the worker has gone before it could be answered");
}

int worker_take(
	struct req *req, struct worker_take *call, struct arena *arena, uint64_t deadline_ns)
{
	struct look look = { .call = call, .ends = call->end_count > 0 };
	int r = worker_ends_read(&call->caller, arena, call->ends, call->end_count);

	if (r == 0)
		r = look_once(&look, arena);
	if (r < 0 || call->count > 0 || clock_now_ns() >= deadline_ns)
		return r < 0 ? r : check_caller(req, call);

	r = seat_take(SEAT_POLL, &call->caller.tenant);
	if (r < 0)
		return r;
	r = poll(req, &look, arena, deadline_ns);
	seat_give(SEAT_POLL, &call->caller.tenant);
	return r < 0 ? r : check_caller(req, call);
}

/* --- handing back ---------------------------------------------------------------------------- */

static int give_back(struct worker_take *call, struct arena *arena)
{
	struct worker_end *ends = arena_zalloc(arena, call->count * sizeof(*ends));
	struct worker_caller as_system = call->caller;
	struct str lease = uuid_text(arena, &call->lease);

	if (!ends || !lease.at)
		return -(int)err_last()->code;
	as_system.platform = true;
	for (size_t i = 0; i < call->count; i++) {
		char text[JOB_TOKEN_LEN];
		struct job_token token = { .lease = call->lease,
			.attempt = call->taken[i].attempt };

		CHECK(uuid_parse(call->taken[i].tenant_id, &token.tenant));
		job_token_write(text, &token);
		ends[i].end = (struct job_end){ .id = call->taken[i].id, .kind = END_RELEASE };
		ends[i].token = arena_str(arena, str_of(text, sizeof(text)));
		if (!ends[i].token.at)
			return -(int)err_last()->code;
	}
	return worker_ends(&as_system, arena, ends, call->count);
}

void worker_give_back(struct worker_take *call)
{
	uint64_t former = shield_begin(clock_now_ns() + GIVE_BACK_TIME);
	struct err err = *err_last();
	struct arena arena;

	arena_init(&arena, 64 * KILOBYTE, 16 * MEGABYTE);
	/* What cannot be handed back now is lost with the lease, or with the attempt's time. */
	if (give_back(call, &arena) < 0)
		log_warn("jobs that nobody got could not be handed back",
			LOG_STR("queue", call->queue), LOG_U64("count", call->count), LOG_ERR);
	arena_done(&arena);
	shield_end(former);
	call->count = 0;
	(void)err_restore(&err);
}
