/*
 * The pool's lock guards lists and states; everything that touches a socket is done by the thread
 * whose poller looks at it. Threads tell each other by a place, one for each worker that has ever
 * asked: lists of what concerns it, and a message that says "look". Places live as long as the
 * pool, so a message never arrives at something that has gone; and a fiber on each worker waits for
 * the worker's end, to leave nothing there.
 */
#include "store/pg_pool.h"

#include "base/mem.h"
#include "crypto/random.h"
#include "observe/clock.h"
#include "observe/log.h"

#define PAUSE_FIRST (100 * MILLISECOND)
#define PAUSE_MOST  (10 * SECOND)

enum { PAUSE_DOUBLINGS = 7 };

/* A worker, seen by the pool. */
struct pg_place {
	struct link link;
	struct pg_pool *pool;
	struct worker *worker;
	struct message bell;
	bool rung;           /* the bell is on its way */
	bool kept;           /* a fiber waits for the worker's end */
	struct wait *keeper; /* its wait */
	bool leaving;        /* the worker ends: no idle connection may stay here */
	/* under the pool's lock, for the worker's thread to deal with: */
	struct link wanted;   /* connections to be sent on */
	struct link arriving; /* connections that were sent */
	struct link failing;  /* waiters whose hope is over */
};

/* A fiber that wants a connection; on its stack. */
struct pg_waiter {
	struct link link; /* of pool->waiters or place->failing */
	struct wait wait;
	struct pg_place *place;
	bool in_line;                 /* of the pool */
	struct pg_connection *coming; /* promised to it, on the way */
	struct pg_connection *got;
};

static void lock(struct pg_pool *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
}

static void unlock(struct pg_pool *pool)
{
	(void)pthread_mutex_unlock(&pool->lock);
}

/* --- metrics ---------------------------------------------------------------------- */

#define DEFINE(variable, name_, help_, kind_, ...)                                                 \
	static const struct metric_def variable = {                                                \
		.name = (name_), .help = (help_), .kind = (kind_), ##__VA_ARGS__                   \
	}

DEFINE(count_def, "store_connections", "Connections to the database by state.", METRIC_GAUGE,
	.labels = { "pool", "state" });
DEFINE(pending_def, "store_connection_waiters",
	"Callers that wait for a connection to the database.", METRIC_GAUGE, .labels = { "pool" });
DEFINE(wait_def, "store_connection_wait_seconds", "How long callers waited for a connection.",
	METRIC_HISTOGRAM, .labels = { "pool" }, .bounds = metric_http_bounds,
	.bound_count = LEN(metric_http_bounds), .scale = SECOND);
DEFINE(timeouts_def, "store_connection_timeouts_total",
	"Callers that waited for a connection in vain.", METRIC_COUNTER, .labels = { "pool" });
DEFINE(refused_def, "store_connection_refusals_total",
	"Callers that could not even wait, since too many did or the server cannot be reached.",
	METRIC_COUNTER, .labels = { "pool" });
DEFINE(connects_def, "store_connects_total", "Attempts to connect, by result.", METRIC_COUNTER,
	.labels = { "pool", "result" });

static int find_metrics(struct pg_pool_metrics *metrics, const char *pool)
{
	const struct {
		const struct metric_def *def;
		const char *second; /* value of the second label */
		const struct metric **place;
	} rows[] = {
		{ &count_def, "used", &metrics->used },
		{ &count_def, "idle", &metrics->idle },
		{ &pending_def, NULL, &metrics->pending },
		{ &wait_def, NULL, &metrics->wait_time },
		{ &timeouts_def, NULL, &metrics->timeouts },
		{ &refused_def, NULL, &metrics->refused },
		{ &connects_def, "ok", &metrics->connects },
		{ &connects_def, "failed", &metrics->connect_failures },
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		const struct str labels[] = { str_from_c(pool), str_from_c(rows[i].second) };
		struct metric_family *family = metric_register(rows[i].def);

		if (!family)
			return -(int)err_last()->code;
		*rows[i].place = metric_series(family, labels);
	}
	return 0;
}

/* --- states, under the lock --------------------------------------------------------- */

static void become_idle(struct pg_pool *pool, struct pg_connection *connection)
{
	connection->state = PG_IDLE;
	list_push_first(&pool->idle, &connection->link);
	metric_gauge_add(pool->metrics.idle, 1);
}

static void leave_idle(
	struct pg_pool *pool, struct pg_connection *connection, enum pg_connection_state next)
{
	link_remove(&connection->link);
	connection->state = next;
	metric_gauge_add(pool->metrics.idle, -1);
}

static void join_line(struct pg_pool *pool, struct pg_waiter *waiter)
{
	list_push(&pool->waiters, &waiter->link);
	waiter->in_line = true;
	pool->waiting++;
}

static void leave_line(struct pg_pool *pool, struct pg_waiter *waiter)
{
	link_remove(&waiter->link);
	pool->waiting -= waiter->in_line;
	waiter->in_line = false;
}

static struct pg_waiter *first_waiter(struct pg_pool *pool)
{
	struct pg_waiter *waiter;

	if (list_empty(&pool->waiters))
		return NULL;
	waiter = CONTAINER_OF(pool->waiters.next, struct pg_waiter, link);
	leave_line(pool, waiter);
	return waiter;
}

/* Makes the worker look at its place. */
static void ring(struct pg_place *place)
{
	if (place->rung)
		return;
	place->rung = true;
	worker_send(place->worker, &place->bell);
}

/* Nobody's connection sets out to a waiter. It must not be watched any more. */
static void send_to(struct pg_connection *connection, struct pg_waiter *waiter)
{
	struct pg_place *place = waiter->place;

	connection->state = PG_MOVING;
	connection->promised = waiter;
	connection->home = place;
	waiter->coming = connection;
	list_push(&place->arriving, &connection->link);
	ring(place);
}

/* While nothing is open and the server was not reached a moment ago, waiting is in vain. */
static void fail_waiters(struct pg_pool *pool)
{
	struct pg_waiter *waiter;

	while ((waiter = first_waiter(pool))) {
		list_push(&waiter->place->failing, &waiter->link);
		ring(waiter->place);
	}
}

/* --- a connection that is no more, and new ones ------------------------------------- */

static int connector(void *arg);

/* Starts to connect when somebody waits for it and there is room. Under the lock, on a worker. */
static void connect_if_wanted(struct pg_pool *pool)
{
	if (pool->waiting <= pool->connecting || pool->open >= pool->options.max)
		return;
	if (clock_now_ns() < pool->retry_ns) {
		if (pool->open == 0)
			fail_waiters(pool);
		return;
	}

	pool->open++;
	pool->connecting++;
	if (scope_spawn(&worker_here()->sched.root, connector, pool) < 0) {
		pool->open--;
		pool->connecting--;
	}
}

static void closed(struct pg_pool *pool)
{
	lock(pool);
	pool->open--;
	connect_if_wanted(pool);
	unlock(pool);
}

/* Closes a connection that is in no list, on the thread that watches it. */
static void close_here(struct pg_connection *connection)
{
	struct pg_pool *pool = connection->pool;

	pg_connection_unwatch(connection);
	pg_connection_free(connection);
	closed(pool);
}

/* --- giving -------------------------------------------------------------------------- */

/* Hands a connection that this worker watches to who waits longest, or keeps it. */
static void pass_on(struct pg_pool *pool, struct pg_connection *connection)
{
	struct pg_place *place = connection->home;
	struct pg_waiter *waiter;

	lock(pool);
	while ((waiter = first_waiter(pool))) {
		if (waiter->place != place) {
			pg_connection_unwatch(connection);
			send_to(connection, waiter);
			break;
		}
		if (wake(&waiter->wait, 0)) { /* else it has given up just now */
			connection->state = PG_BUSY;
			waiter->got = connection;
			break;
		}
	}
	if (!waiter) {
		if (place->leaving) {
			pg_connection_unwatch(connection);
			connection->home = NULL;
		}
		become_idle(pool, connection);
	}
	unlock(pool);
}

/* Of an idle connection: the end of the server, mostly. Of another: its fiber sees to it. */
static void idle_changed(struct ready *ready)
{
	struct pg_connection *connection = CONTAINER_OF(ready, struct pg_connection, watch.ready);
	struct pg_pool *pool = connection->pool;
	bool idle;

	lock(pool);
	idle = connection->state == PG_IDLE;
	if (idle)
		leave_idle(pool, connection, PG_BUSY);
	unlock(pool);
	if (!idle)
		return;

	if (!pg_tidy(connection)) {
		log_debug("an idle connection to PostgreSQL has ended");
		close_here(connection);
		return;
	}
	ready->readable = true; /* as always when nobody knows */
	pass_on(pool, connection);
}

void pg_pool_give(struct pg_connection *connection)
{
	struct pg_pool *pool = connection->pool;

	metric_gauge_add(pool->metrics.used, -1);
	connection->in_call = false;
	if (connection->lost || clock_now_ns() >= connection->expires_ns)
		close_here(connection);
	else
		pass_on(pool, connection);
}

/* --- places --------------------------------------------------------------------------- */

/* Takes a connection that was sent here. */
static void arrive(struct pg_pool *pool, struct pg_place *place, struct pg_connection *connection)
{
	struct pg_waiter *waiter;

	if (pg_connection_watch(connection, &place->worker->poller, idle_changed) < 0) {
		lock(pool);
		waiter = TAKE(connection->promised);
		if (waiter) {
			waiter->coming = NULL;
			list_push(&place->failing, &waiter->link);
			ring(place);
		}
		unlock(pool);
		close_here(connection);
		return;
	}

	lock(pool);
	waiter = TAKE(connection->promised);
	if (waiter)
		waiter->coming = NULL;
	connection->state = PG_BUSY;
	unlock(pool);
	if (waiter && wake(&waiter->wait, 0))
		waiter->got = connection;
	else
		pass_on(pool, connection);
}

/* Lets go of a connection that another worker wants. */
static void send_on(struct pg_pool *pool, struct pg_connection *connection)
{
	struct pg_waiter *waiter;

	pg_connection_unwatch(connection);
	lock(pool);
	waiter = connection->promised;
	if (!waiter) /* it has given up */
		waiter = first_waiter(pool);
	if (waiter) {
		send_to(connection, waiter);
	} else {
		connection->home = NULL;
		become_idle(pool, connection);
	}
	unlock(pool);
}

static struct link *pop_locked(struct pg_pool *pool, struct link *list)
{
	struct link *link;

	lock(pool);
	link = list_pop(list);
	unlock(pool);
	return link;
}

/* A place whose pool has gone goes when nothing refers to it any more. */
static void free_place(struct pg_place *place)
{
	if (!place->kept && !place->rung)
		mem_free(place, sizeof(*place));
}

/* On the worker: whatever concerns it. */
static void look(struct message *message)
{
	struct pg_place *place = CONTAINER_OF(message, struct pg_place, bell);
	struct pg_pool *pool = place->pool;
	struct link *link;

	if (!pool) {
		place->rung = false;
		free_place(place);
		return;
	}
	lock(pool);
	place->rung = false;
	unlock(pool);
	while ((link = pop_locked(pool, &place->wanted)))
		send_on(pool, CONTAINER_OF(link, struct pg_connection, link));
	while ((link = pop_locked(pool, &place->arriving)))
		arrive(pool, place, CONTAINER_OF(link, struct pg_connection, link));
	while ((link = pop_locked(pool, &place->failing)))
		(void)wake(&CONTAINER_OF(link, struct pg_waiter, link)->wait, -ERR_UNAVAILABLE);
}

/* The idle connections of a worker that ends belong to nobody; the next one that asks takes them.
 */
static void clear_place(struct pg_place *place)
{
	struct pg_pool *pool = place->pool;
	struct pg_connection *connection;

	lock(pool);
	place->leaving = true;
	LIST_EACH (connection, &pool->idle, struct pg_connection, link)
		if (connection->home == place) {
			pg_connection_unwatch(connection);
			connection->home = NULL;
		}
	unlock(pool);
}

static int keeper(void *arg)
{
	struct pg_place *place = arg;
	struct wait wait;

	wait_init(&wait);
	place->keeper = &wait;
	if (place->pool) /* else it was closed before we could begin */
		(void)park(&wait, TIME_NEVER);
	place->keeper = NULL;
	place->kept = false;
	if (place->pool)
		clear_place(place);
	else
		free_place(place);
	return 0;
}

static struct pg_place *find_place(struct pg_pool *pool, const struct worker *worker)
{
	struct pg_place *place;

	LIST_EACH (place, &pool->places, struct pg_place, link)
		if (place->worker == worker)
			return place;
	return NULL;
}

/* Without a keeper nothing idle may stay. */
static void keep(struct pg_place *place)
{
	struct pg_pool *pool = place->pool;

	place->kept = scope_spawn(&place->worker->sched.root, keeper, place) == 0;
	lock(pool);
	place->leaving = !place->kept;
	unlock(pool);
}

/* The place of this worker, made when new; NULL with -ERR_NO_MEMORY. */
static struct pg_place *place_of(struct pg_pool *pool)
{
	struct worker *worker = worker_here();
	struct pg_place *place;

	lock(pool);
	place = find_place(pool, worker);
	unlock(pool);
	if (!place) {
		place = mem_zalloc(sizeof(*place));
		if (!place)
			return NULL;
		place->pool = pool;
		place->worker = worker;
		place->bell.deliver = look;
		link_init(&place->wanted);
		link_init(&place->arriving);
		link_init(&place->failing);
		lock(pool);
		list_push(&pool->places, &place->link);
		unlock(pool);
	}
	if (!place->kept)
		keep(place);
	return place;
}

/* --- connecting ------------------------------------------------------------------------ */

struct connect {
	const struct pg_target *target;
	PGconn *pg;
	struct err err;
};

static void connect_there(void *arg)
{
	struct connect *connect = arg;

	connect->pg = pg_connect(connect->target);
	if (!connect->pg)
		connect->err = *err_last();
}

/* Doubling, and between the half and the whole of it by chance, so that many programs do not come
 * back at the same moment. */
static uint64_t pause_after(unsigned failures)
{
	unsigned doublings = MIN(failures - 1, (unsigned)PAUSE_DOUBLINGS);
	uint64_t pause = MIN(PAUSE_FIRST << doublings, PAUSE_MOST);

	return pause / 2 + random_u64() % (pause / 2);
}

static void not_connected(struct pg_pool *pool, const struct err *err)
{
	uint64_t now = clock_now_ns();
	unsigned failures;

	lock(pool);
	pool->open--;
	pool->connecting--;
	if (now >= pool->retry_ns) /* of several at once only one counts */
		pool->retry_ns = now + pause_after(++pool->failures);
	pool->reason = *err;
	failures = pool->failures;
	if (pool->open == 0)
		fail_waiters(pool);
	unlock(pool);
	metric_count(pool->metrics.connect_failures, 1);
	if (failures == 1)
		log_warn("the database cannot be reached",
			LOG_STR("reason", str_from_c(err->frames[0].text)));
}

/* When to replace it: an age with a tenth of chance on both sides. */
static uint64_t expiry(uint64_t age_ns)
{
	uint64_t tenth = age_ns / 10;

	return clock_now_ns() + age_ns - tenth + (tenth ? random_u64() % (2 * tenth) : 0);
}

static int own(struct pg_pool *pool, PGconn *pg, struct pg_connection **ret)
{
	int r = pg_connection_new(pg, pool->options.target.pooled, pool->options.numbers, ret);

	if (r == 0) {
		(*ret)->pool = pool;
		(*ret)->expires_ns = expiry(pool->options.age_ns);
	}
	return r;
}

/* A fiber that makes one connection, for whoever waits longest by then. */
static int connector(void *arg)
{
	struct pg_pool *pool = arg;
	struct connect connect = { .target = &pool->options.target };
	struct pg_place *place = place_of(pool);
	struct pg_connection *connection = NULL;
	int r;

	if (!place) {
		not_connected(pool, err_last());
		return 0;
	}
	r = offload_call(pool->offload, connect_there, &connect);
	if (r == 0 && !connect.pg)
		r = fail(connect.err.code, "%s", connect.err.frames[0].text);
	if (r == 0)
		r = own(pool, connect.pg, &connection);
	if (r == 0) {
		r = pg_connection_watch(connection, &place->worker->poller, idle_changed);
		if (r < 0)
			pg_connection_free(connection);
	}
	if (r < 0) {
		not_connected(pool, err_last());
		return 0;
	}

	CHECK(connection);
	metric_count(pool->metrics.connects, 1);
	lock(pool);
	if (pool->failures)
		log_info("the database can be reached again");
	pool->connecting--;
	pool->failures = 0;
	pool->retry_ns = 0;
	connection->home = place;
	connection->state = PG_BUSY;
	unlock(pool);
	pass_on(pool, connection);
	return 0;
}

/* --- taking ------------------------------------------------------------------------------ */

/* An idle connection for this place: its own, else one that is at no place, else any (which must be
 * sent first). */
static struct pg_connection *choose(struct pg_pool *pool, const struct pg_place *place)
{
	struct pg_connection *connection, *free = NULL, *other = NULL;

	LIST_EACH (connection, &pool->idle, struct pg_connection, link) {
		if (connection->home == place)
			return connection;
		if (!connection->home)
			free = free ? free : connection;
		else
			other = other ? other : connection;
	}
	return free ? free : other;
}

/* What has been decided about a caller, under the lock. */
enum decision { TAKEN, REFUSED, WAITING };

/* Sends for a connection that another worker watches. */
static void send_for(
	struct pg_pool *pool, struct pg_connection *connection, struct pg_waiter *waiter)
{
	leave_idle(pool, connection, PG_MOVING);
	connection->promised = waiter;
	waiter->coming = connection;
	list_push(&connection->home->wanted, &connection->link);
	ring(connection->home);
}

static enum decision decide(struct pg_pool *pool, struct pg_waiter *waiter)
{
	struct pg_connection *connection =
		list_empty(&pool->waiters) ? choose(pool, waiter->place) : NULL;

	if (connection && (!connection->home || connection->home == waiter->place)) {
		leave_idle(pool, connection, PG_BUSY);
		waiter->got = connection;
		return TAKEN;
	}
	if (connection) {
		send_for(pool, connection, waiter);
		return WAITING;
	}
	if (pool->open == 0 && clock_now_ns() < pool->retry_ns)
		return REFUSED;
	if (pool->waiting >= pool->options.queue_max)
		return REFUSED;
	join_line(pool, waiter);
	connect_if_wanted(pool);
	return WAITING;
}

static int fail_refused(struct pg_pool *pool)
{
	struct err reason;
	bool down;

	lock(pool);
	down = pool->open == 0 && pool->failures;
	reason = pool->reason;
	unlock(pool);
	metric_count(pool->metrics.refused, 1);
	if (down)
		return fail(ERR_UNAVAILABLE, "%s", reason.frames[0].text);
	return fail(ERR_UNAVAILABLE, "%zu callers wait for a connection to the database already",
		pool->options.queue_max);
}

/* Parks until a connection comes, and undoes the promise when none is wanted any more. */
static int wait_for_one(struct pg_pool *pool, struct pg_waiter *waiter)
{
	uint64_t began = clock_now_ns();
	int r;

	metric_gauge_add(pool->metrics.pending, 1);
	r = park(&waiter->wait, sched_now() + pool->options.wait_ns);
	metric_gauge_add(pool->metrics.pending, -1);
	metric_observe(pool->metrics.wait_time, clock_now_ns() - began);
	if (r == 0)
		return 0;

	lock(pool);
	if (waiter->coming)
		waiter->coming->promised = NULL;
	leave_line(pool, waiter);
	unlock(pool);
	if (r == -ERR_UNAVAILABLE)
		return fail_refused(pool);
	if (r == -ERR_TIMEOUT && !scope_over(fiber_current()->scope)) {
		metric_count(pool->metrics.timeouts, 1);
		return fail(ERR_UNAVAILABLE,
			"no connection to the database came free within %llu ms",
			(unsigned long long)(pool->options.wait_ns / MILLISECOND));
	}
	return r;
}

/* A connection of no place becomes this worker's. Nobody has looked at it for a while. */
static int settle(struct pg_pool *pool, struct pg_place *place, struct pg_connection *connection)
{
	int r;

	if (connection->home)
		return 0;
	connection->lost = !pg_tidy(connection);
	r = pg_connection_watch(connection, &place->worker->poller, idle_changed);
	if (r < 0) {
		close_here(connection);
		return r;
	}
	lock(pool);
	connection->home = place;
	unlock(pool);
	return 0;
}

/* `old`: it has lain about, and should be replaced. */
static int take_any(
	struct pg_pool *pool, struct pg_place *place, struct pg_connection **ret, bool *old)
{
	struct pg_waiter waiter = { .place = place };
	enum decision decision;
	int r;

	link_init(&waiter.link);
	wait_init(&waiter.wait);
	lock(pool);
	decision = decide(pool, &waiter);
	unlock(pool);

	if (decision == REFUSED)
		return fail_refused(pool);
	if (decision == TAKEN)
		r = settle(pool, place, waiter.got);
	else
		r = wait_for_one(pool, &waiter);
	if (r < 0)
		return r;
	*ret = waiter.got;
	*old = decision == TAKEN && clock_now_ns() >= waiter.got->expires_ns;
	return 0;
}

int pg_pool_take(struct pg_pool *pool, struct pg_connection **ret)
{
	struct pg_place *place = place_of(pool);
	struct pg_connection *connection = NULL;
	bool old = false;

	if (!place)
		return -ERR_NO_MEMORY;
	for (;;) { /* each turn but the last closes one */
		int r = take_any(pool, place, &connection, &old);

		if (r < 0)
			return r;
		CHECK(connection);
		if (!old && !connection->lost && !connection->watch.ready.ended)
			break;
		close_here(connection);
	}
	metric_gauge_add(pool->metrics.used, 1);
	*ret = connection;
	return 0;
}

/* --- cancelling ---------------------------------------------------------------------------- */

static void cancel_there(void *arg)
{
	char reason[256];

	(void)PQcancel(arg, reason, sizeof(reason)); /* best effort: the server has limits, too */
}

void pg_pool_interrupt(struct pg_connection *connection)
{
	PGcancel *cancel = PQgetCancel(connection->pg);

	if (cancel)
		(void)offload_call(connection->pool->offload, cancel_there, cancel);
	PQfreeCancel(cancel);
}

static int canceller(void *arg)
{
	pg_pool_interrupt(arg);
	close_here(arg);
	return 0;
}

void pg_pool_cancel(struct pg_connection *connection)
{
	metric_gauge_add(connection->pool->metrics.used, -1);
	connection->in_call = false;
	if (connection->lost || scope_spawn(&worker_here()->sched.root, canceller, connection) < 0)
		close_here(connection);
}

/* --- open and close ------------------------------------------------------------------------ */

int pg_pool_init(
	struct pg_pool *pool, const struct pg_pool_options *options, struct offload *offload)
{
	*pool = (struct pg_pool){ .options = *options, .offload = offload };
	link_init(&pool->idle);
	link_init(&pool->waiters);
	link_init(&pool->places);
	(void)pthread_mutex_init(&pool->lock, NULL);
	return find_metrics(&pool->metrics, options->name);
}

int pg_pool_adopt(struct pg_pool *pool, PGconn *pg)
{
	struct pg_connection *connection;
	int r = own(pool, pg, &connection);

	if (r < 0)
		return r;
	lock(pool);
	pool->open++;
	become_idle(pool, connection);
	unlock(pool);
	return 0;
}

static void drop_place(struct pg_place *place)
{
	if (place->worker == worker_here())
		clear_place(place);
	link_remove(&place->link);
	place->pool = NULL;
	if (place->keeper)
		(void)wake(place->keeper, 0);
	free_place(place);
}

/* Those that are cancelled just now are closed soon. */
static void wait_for_cancellers(struct pg_pool *pool)
{
	uint64_t former = shield_begin(TIME_NEVER);
	size_t idle;

	do {
		struct link *each;

		(void)fiber_sleep_until(sched_now() + MILLISECOND);
		idle = 0;
		lock(pool);
		for (each = pool->idle.next; each != &pool->idle; each = each->next)
			idle++;
		unlock(pool);
	} while (idle < pool->open);
	shield_end(former);
}

void pg_pool_done(struct pg_pool *pool)
{
	struct pg_connection *connection;
	struct pg_place *place;

	if (!pool->offload) /* never opened */
		return;
	CHECK(pool->waiting == 0);
	if (fiber_current())
		wait_for_cancellers(pool);
	LIST_EACH (place, &pool->places, struct pg_place, link)
		drop_place(place);
	LIST_EACH (connection, &pool->idle, struct pg_connection, link) {
		leave_idle(pool, connection, PG_BUSY);
		pg_connection_free(connection);
		pool->open--;
	}
	CHECK(pool->open == 0);
	(void)pthread_mutex_destroy(&pool->lock);
}
