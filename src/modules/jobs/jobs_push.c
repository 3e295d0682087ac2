/*
 * Sends jobs of queues with an address, on a thread of its own: a fiber for each such queue takes
 * them under this program's lease, as many as the queue allows at once, and a fiber for each job
 * waits for the answer. At the end what is under way may finish; what is left is handed back.
 */
#include "modules/jobs/jobs_push_internal.h"

#include "base/err.h"
#include "base/mem.h"
#include "http/server.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <stdio.h>
#include <unistd.h>

enum { FIBERS_MAX = 4000, LOOK_MEMORY = 1024 * 1024 };

#define LOOK_EVERY   SECOND       /* at the list of queues; and a beat of the lease */
#define LEASE_TIME   (4 * SECOND) /* without a beat: then others take over */
#define STOP_DEFAULT (10 * SECOND)

static struct push_options options = { .work = true };

void push_configure(const struct push_options *given)
{
	options = *given;
}

const struct push_options *push_options(void)
{
	return &options;
}

/* Rung when the end begins. No queue has that name. */
static struct bell *bell_of_push(void)
{
	return bell_of(S("~push"));
}

/* --- the lease ------------------------------------------------------------------------------- */

static const struct tx_options leasing = {
	.name = "job-push-lease", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
};

static int beat_in_tx(struct tx *tx, void *arg)
{
	struct pusher *pusher = arg;
	int64_t unused;
	int r = -ERR_NOT_FOUND;

	if (pusher->leased)
		r = lease_renew_in_tx(tx, &pusher->lease.id, &unused);
	if (r != -ERR_NOT_FOUND)
		return r;
	uuid_v7(&pusher->lease.id, tx_now_us(tx));
	return lease_open_in_tx(tx, &pusher->lease);
}

static int beat(struct pusher *pusher, struct arena *arena)
{
	struct db db = db_of(pusher->server->store, &tenant_system, arena);
	int r = db_write_with(&db, &leasing, beat_in_tx, pusher);

	if (r == 0)
		pusher->leased = true;
	return r;
}

static int close_in_tx(struct tx *tx, void *arg)
{
	struct pusher *pusher = arg;
	struct lease_closing closing = { .tenant = tenant_system, .kind = END_RELEASE };
	struct str id = uuid_text(tx_arena(tx), &pusher->lease.id);
	int r = id.at ? lease_close_in_tx(tx, &closing, id) : -(int)err_last()->code;

	return MIN(r, 0);
}

static void close_lease(struct pusher *pusher)
{
	struct arena arena;
	struct db db = db_of_system(pusher->server->store, &arena);

	if (!pusher->leased)
		return;
	arena_init(&arena, 16 * KILOBYTE, LOOK_MEMORY);
	if (db_write_with(&db, &leasing, close_in_tx, pusher) < 0)
		log_warn("a lease could not be given up", LOG_ERR);
	arena_done(&arena);
}

/* --- queues ---------------------------------------------------------------------------------- */

static bool has_line(const struct pusher *pusher, struct str queue)
{
	for (size_t i = 0; i < PUSH_QUEUES_MAX; i++)
		if (pusher->lines[i].running &&
			str_eq(queue, str_of(pusher->lines[i].name, pusher->lines[i].name_len)))
			return true;
	return false;
}

static int begin_line(struct pusher *pusher, struct str queue)
{
	struct push_line *line = NULL;
	int r;

	for (size_t i = 0; i < PUSH_QUEUES_MAX && !line; i++)
		if (!pusher->lines[i].running)
			line = &pusher->lines[i];
	if (!line || queue.len > sizeof(line->name))
		return fail(ERR_FULL, "at most %d queues have an address", PUSH_QUEUES_MAX);
	*line = (struct push_line){ .pusher = pusher, .name_len = queue.len, .running = true };
	memcpy(line->name, queue.at, queue.len);
	r = scope_spawn(&pusher->scope, push_line_run, line);
	if (r < 0)
		line->running = false;
	return r;
}

/* A fiber for each queue that has an address by now; those that have none end by themselves. */
static int look_at_queues(struct pusher *pusher, struct arena *arena)
{
	struct str *names = NULL;
	size_t count = 0;
	int r = push_queues(pusher->server->store, arena, &names, &count);

	for (size_t i = 0; i < count && r == 0; i++) {
		struct queue_settings settings;

		queue_settings(names[i], &settings);
		if (settings.push_url.len && !settings.paused && !has_line(pusher, names[i]))
			r = begin_line(pusher, names[i]);
	}
	return r;
}

/* --- the thread ------------------------------------------------------------------------------ */

static void work(struct pusher *pusher)
{
	struct arena arena;

	arena_init(&arena, 16 * KILOBYTE, LOOK_MEMORY);
	while (!atomic_load(&pusher->stopping)) {
		uint64_t rings = bell_rings(bell_of_push());
		int r = beat(pusher, &arena);

		if (r == 0)
			r = look_at_queues(pusher, &arena);
		if (r < 0)
			log_warn("jobs are not sent to addresses", LOG_ERR);
		arena_reset(&arena);
		(void)bell_wait(bell_of_push(), rings, clock_now_ns() + LOOK_EVERY);
	}
	arena_done(&arena);
}

/* What is under way may finish, for a while. The lease goes on beating. */
static void finish(struct pusher *pusher)
{
	uint64_t deadline = clock_now_ns() + (options.stop_ns ? options.stop_ns : STOP_DEFAULT);
	struct arena arena;

	arena_init(&arena, 16 * KILOBYTE, LOOK_MEMORY);
	for (uint64_t next = 0; pusher->under_way > 0 && clock_now_ns() < deadline;) {
		if (clock_now_ns() >= next) {
			(void)beat(pusher, &arena);
			arena_reset(&arena);
			next = clock_now_ns() + LOOK_EVERY;
		}
		(void)cond_wait(&pusher->ended, MIN(deadline, next));
	}
	arena_done(&arena);
}

static int run(void *arg)
{
	struct pusher *pusher = arg;

	cond_init(&pusher->ended);
	scope_open(&pusher->scope, TIME_NEVER);
	work(pusher);
	finish(pusher);
	scope_cancel(&pusher->scope);
	(void)scope_close(&pusher->scope);
	close_lease(pusher);
	atomic_store(&pusher->done, true);
	worker_stop(&pusher->worker);
	return 0;
}

static int start_on_thread(struct worker *worker)
{
	int r = log_thread_attach(0);

	if (r < 0)
		return r;
	r = scope_spawn(&worker->sched.root, run, worker->arg);
	if (r < 0)
		log_thread_detach();
	return r;
}

static void stop_on_thread(struct worker *worker)
{
	(void)worker;
	log_thread_detach();
}

static int start(struct pusher *pusher)
{
	struct http_client_options client = { options.allow_private, options.ca_file };
	int r = http_client_open(&client, &pusher->client);

	if (r < 0)
		return r;
	(void)snprintf(pusher->name, sizeof(pusher->name), "push@%ld", (long)getpid());
	pusher->lease = (struct lease){ .tenant = tenant_system,
		.kind = LEASE_PROGRAM,
		.worker = str_from_c(pusher->name),
		.lease_us = (int64_t)(LEASE_TIME / MICROSECOND) };
	pusher->worker = (struct worker){ .fiber_limit = FIBERS_MAX,
		.on_start = start_on_thread,
		.on_stop = stop_on_thread,
		.arg = pusher };
	r = worker_start(&pusher->worker);
	if (r < 0)
		http_client_close(pusher->client);
	return r;
}

int push_jobs(struct server *server)
{
	struct pusher *pusher;
	uint64_t former;
	int r;

	if (!options.work) {
		(void)fiber_sleep_until(TIME_NEVER);
		return 0;
	}
	pusher = mem_zalloc(sizeof(*pusher));
	if (!pusher)
		return -ERR_NO_MEMORY;
	pusher->server = server;
	r = start(pusher);
	if (r == 0) {
		(void)fiber_sleep_until(TIME_NEVER);
		atomic_store(&pusher->stopping, true);
		bell_ring(bell_of_push());
		former = shield_begin(TIME_NEVER);
		while (!atomic_load(&pusher->done))
			(void)fiber_sleep_until(clock_now_ns() + 10 * MILLISECOND);
		shield_end(former);
		worker_join(&pusher->worker);
		http_client_close(pusher->client);
	}
	mem_free(pusher, sizeof(*pusher));
	return r;
}
