/* The jobs of one queue on their way to its address. */
#include "base/err.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "http/server.h"
#include "modules/jobs/jobs_push_internal.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <stdio.h>

enum {
	TAKE_MEMORY = 32 * 1024 * 1024, /* of the jobs that are taken at once, */
	SEND_MEMORY = 4 * 1024 * 1024,  /* and of one that is sent */
	BODY_MAX = 1024 * 1024,
};

#define LOOK_EVERY  (500 * MILLISECOND)
#define WAIT_FAILED SECOND /* after the database has failed */
#define SETTLE_TIME (5 * SECOND)
#define FULL_DELAY  ((int64_t)(SECOND / MICROSECOND))

/* Jobs that were taken together. Freed with the last of them. */
struct batch {
	struct arena arena;
	struct worker_take take;
	struct push_secrets secrets;
	struct queue_settings settings;
	size_t left;
};

struct delivery {
	struct push_line *line;
	struct batch *batch;
	const struct taken *job;
};

static struct str queue_of(const struct push_line *line)
{
	return str_of(line->name, line->name_len);
}

static void batch_leave(struct batch *batch)
{
	if (--batch->left > 0)
		return;
	crypto_wipe(&batch->secrets, sizeof(batch->secrets));
	arena_done(&batch->arena);
	mem_free(batch, sizeof(*batch));
}

/* --- one job --------------------------------------------------------------------------------- */

static int write_body(const struct delivery *delivery, struct arena *arena, struct str *ret)
{
	struct push_message message = {
		.job = delivery->job, .queue = queue_of(delivery->line), .now_us = clock_wall_us()
	};
	struct json_writer json;
	struct buf body;
	int r;

	buf_init(&body, BODY_MAX);
	json_writer_init(&json, &body);
	push_write(&message, &json);
	r = json_writer_done(&json);
	if (r == 0)
		*ret = arena_str(arena, buf_str(&body));
	buf_done(&body);
	return r < 0 ? r : ret->at ? 0 : -(int)err_last()->code;
}

static uint64_t timeout_of(const struct delivery *delivery)
{
	const struct taken *job = delivery->job;
	int64_t us = job->timeout_us.set ? job->timeout_us.value
					 : delivery->batch->settings.timeout_ms * 1000;

	return (uint64_t)MAX(us, 1000) * MICROSECOND;
}

/* Sends it; `*ret` is what the answer says. */
static int exchange(const struct delivery *delivery, struct arena *arena, struct http_answer *ret)
{
	const struct batch *batch = delivery->batch;
	char timestamp[24], signatures[PUSH_SIGNATURES_MAX];
	struct str id = delivery->job->id, at, body = { 0 };
	int r = write_body(delivery, arena, &body);

	if (r < 0)
		return r;
	at = str_of(timestamp, (size_t)snprintf(timestamp, sizeof(timestamp), "%lld",
				       (long long)(clock_wall_us() / 1000000)));
	struct http_field fields[] = {
		{ S("content-type"), S("application/json") },
		{ S("webhook-id"), id },
		{ S("webhook-timestamp"), at },
		{ S("webhook-signature"),
			str_of(signatures, push_sign(&batch->secrets, id, at, body, signatures)) },
		{ S("traceparent"), delivery->job->trace },
	};
	struct http_call call = {
		.url = batch->settings.push_url,
		.fields = fields,
		.field_count = LEN(fields) - (delivery->job->trace.len ? 0 : 1),
		.body = body,
		.timeout_ns = timeout_of(delivery),
		.answer_max = PUSH_ANSWER_MAX,
	};
	return http_post(delivery->line->pusher->client, &call, arena, ret);
}

/* What becomes of it, also when nothing was answered. */
static int judge(int r, const struct http_answer *answer, struct arena *arena, struct job_end *end)
{
	if (r == 0)
		return push_judge(answer, clock_wall_us(), arena, end);
	if (r == -ERR_CANCELLED) { /* our own end: nobody's fault */
		end->kind = END_RELEASE;
		return 0;
	}
	if (r == -ERR_FULL || r == -ERR_NO_MEMORY) {
		end->kind = END_SNOOZE;
		end->delay_us = FULL_DELAY;
		return 0;
	}
	end->kind = END_FAIL;
	end->message = arena_str(arena, str_from_c(err_text()));
	return end->message.at ? 0 : -(int)err_last()->code;
}

static int settle_in_tx(struct tx *tx, void *arg)
{
	struct job_end end = *(const struct job_end *)arg;

	return jobs_end_in_tx(tx, &end, 1);
}

/* Written down also when the program is about to end. What cannot be is started again when the
 * attempt has run out of time. */
static void settle(const struct delivery *delivery, struct arena *arena, struct job_end *end)
{
	uint64_t former = shield_begin(clock_now_ns() + SETTLE_TIME);
	struct uuid tenant;
	struct db db;
	int r;

	CHECK(uuid_parse(delivery->job->tenant_id, &tenant));
	db = db_of(delivery->line->pusher->server->store, &tenant, arena);
	r = db_write_with(&db, &jobs_ending, settle_in_tx, end);
	if (r < 0)
		log_warn("what became of a job that was sent could not be written down",
			LOG_STR("job", delivery->job->id), LOG_ERR);
	shield_end(former);
}

static void deliver(const struct delivery *delivery)
{
	struct http_answer answer = { 0 };
	struct job_end end = { .id = delivery->job->id,
		.queue = queue_of(delivery->line),
		.attempt = delivery->job->attempt };
	struct arena arena;
	int r;

	arena_init(&arena, 16 * KILOBYTE, SEND_MEMORY);
	end.lease_id = uuid_text(&arena, &delivery->batch->take.lease);
	r = end.lease_id.at ? exchange(delivery, &arena, &answer) : -(int)err_last()->code;
	if (judge(r, &answer, &arena, &end) == 0 && end.lease_id.at)
		settle(delivery, &arena, &end);
	arena_done(&arena);
}

static int run_delivery(void *arg)
{
	struct delivery *delivery = arg;
	struct push_line *line = delivery->line;

	deliver(delivery);
	batch_leave(delivery->batch);
	line->under_way--;
	line->pusher->under_way--;
	cond_signal(&line->freed);
	cond_signal(&line->pusher->ended);
	return 0;
}

/* --- taking ---------------------------------------------------------------------------------- */

struct taking {
	struct push_line *line;
	struct batch *batch;
	struct take take;
	int64_t next_us;
};

static int take_in_tx(struct tx *tx, void *arg)
{
	struct taking *taking = arg;
	struct worker_take *ret = &taking->batch->take;

	taking->take.after = taking->line->after;
	return jobs_take_in_tx(tx, &taking->take, &ret->taken, &ret->count, &taking->next_us);
}

static bool must_sync(const struct worker_take *take)
{
	for (size_t i = 0; i < take->count; i++)
		if (take->taken[i].counted > 1)
			return true;
	return false;
}

/* Those that nobody could work on are not sent. */
static int sift(struct taking *taking)
{
	struct worker_take *ret = &taking->batch->take;
	size_t count = ret->count;
	int r = jobs_sift(taking->line->pusher->server->store, &taking->batch->arena, &taking->take,
		ret->taken, &ret->count);

	if (r == 0 && count > 0 && ret->count == 0)
		taking->next_us = clock_wall_us(); /* others may be behind those */
	return r;
}

/* As many as there is room for in memory. */
static int take_rows(struct taking *taking)
{
	struct batch *batch = taking->batch;
	struct store *store = taking->line->pusher->server->store;
	struct db db = db_of_system(store, &batch->arena);
	struct arena_mark mark = arena_mark(&batch->arena);
	int r;

	for (;;) {
		r = db_write_with(&db, &jobs_taking, take_in_tx, taking);
		if (r != -ERR_TOO_LARGE || taking->take.max == 1)
			break;
		arena_back(&batch->arena, mark);
		taking->take.max = MAX(taking->take.max / 4, (size_t)1);
	}
	if (r < 0)
		return r;
	/* also when it gave nothing: others are behind those */
	taking->line->after = taking->take.after;
	r = sift(taking);
	if (r == 0 && batch->take.count == 0)
		return 0;
	if (r == 0 && must_sync(&batch->take))
		r = jobs_sync(store, &batch->arena);
	if (r == 0)
		r = push_secrets_get(store, &batch->arena, queue_of(taking->line), &batch->secrets);
	if (r < 0)
		worker_give_back(&batch->take);
	return r;
}

static struct delivery *deliveries_of(struct taking *taking)
{
	struct batch *batch = taking->batch;
	struct delivery *all = arena_alloc(&batch->arena, batch->take.count * sizeof(*all));

	for (size_t i = 0; all && i < batch->take.count; i++)
		all[i] = (struct delivery){ taking->line, batch, &batch->take.taken[i] };
	return all;
}

/* A fiber each; those for whom there is none are handed back. */
static int begin_deliveries(struct taking *taking)
{
	struct push_line *line = taking->line;
	struct batch *batch = taking->batch;
	struct delivery *all = deliveries_of(taking);
	size_t count = batch->take.count, begun = 0;
	int r = all ? 0 : -(int)err_last()->code;

	while (r == 0 && begun < count) {
		batch->left++;
		r = scope_spawn(&line->scope, run_delivery, &all[begun]);
		if (r < 0) {
			batch->left--;
			break;
		}
		line->under_way++;
		line->pusher->under_way++;
		begun++;
	}
	if (begun < count) {
		struct worker_take rest = batch->take;

		rest.taken += begun;
		rest.count -= begun;
		worker_give_back(&rest);
	}
	return r;
}

/* The number of jobs that are on their way now. */
static int take_some(struct push_line *line, size_t hands, const struct queue_settings *settings,
	int64_t *ret_next_us)
{
	struct pusher *pusher = line->pusher;
	struct batch *batch = mem_zalloc(sizeof(*batch));
	struct taking taking = { .line = line, .batch = batch };
	size_t count;
	int r;

	if (!batch)
		return -ERR_NO_MEMORY;
	arena_init(&batch->arena, 64 * KILOBYTE, TAKE_MEMORY);
	batch->left = 1; /* ours */
	batch->settings = *settings;
	batch->take = (struct worker_take){ .caller = { .store = pusher->server->store,
						    .platform = true,
						    .tenant = tenant_system },
		.queue = queue_of(line),
		.lease = pusher->lease.id };
	taking.take = (struct take){
		.queue = queue_of(line), .lease = pusher->lease, .lease_opened = true, .max = hands
	};
	r = take_rows(&taking);
	count = batch->take.count;
	if (r == 0 && count > 0)
		r = begin_deliveries(&taking);
	*ret_next_us = taking.next_us;
	batch_leave(batch);
	return r < 0 ? r : (int)count;
}

/* --- a queue --------------------------------------------------------------------------------- */

static size_t hands_of(const struct push_line *line, const struct queue_settings *settings)
{
	size_t most = settings->concurrency ? MIN((size_t)settings->concurrency, PUSH_AT_ONCE)
					    : PUSH_AT_ONCE;

	return most > line->under_way ? most - line->under_way : 0;
}

static uint64_t until(int64_t next_us)
{
	int64_t wait = next_us - clock_wall_us();

	if (next_us == 0)
		return clock_now_ns() + LOOK_EVERY;
	return clock_now_ns() + MIN(wait > 0 ? (uint64_t)wait * MICROSECOND : 0, LOOK_EVERY);
}

/* One look: takes what there is, or waits a moment for more. */
static int look(struct push_line *line, const struct queue_settings *settings)
{
	struct worker_caller caller = {
		.store = line->pusher->server->store, .platform = true, .tenant = tenant_system
	};
	struct bell *bell = bell_of(queue_of(line));
	uint64_t rings = bell_rings(bell);
	size_t hands = hands_of(line, settings);
	int64_t next_us = 0;
	struct arena arena;
	int r;

	if (hands == 0)
		return cond_wait(&line->freed, clock_now_ns() + LOOK_EVERY);
	arena_init(&arena, 4 * KILOBYTE, 64 * KILOBYTE);
	r = worker_ready(&caller, &arena, queue_of(line));
	arena_done(&arena);
	if (r > 0)
		r = take_some(line, hands, settings, &next_us);
	return r == 0 ? bell_wait(bell, rings, until(next_us)) : MIN(r, 0);
}

/* Says what has failed, and waits before the next look. */
static void rest_after(const struct push_line *line, int r)
{
	if (r >= 0 || r == -ERR_TIMEOUT || r == -ERR_CANCELLED)
		return;
	log_warn("jobs of a queue are not sent", LOG_STR("queue", queue_of(line)), LOG_ERR);
	(void)fiber_sleep_until(clock_now_ns() + WAIT_FAILED);
}

/* Whether the queue still has an address, and jobs may start. */
static bool goes_on(struct push_line *line, struct queue_settings *ret)
{
	if (atomic_load(&line->pusher->stopping) || scope_over(&line->scope))
		return false;
	queue_settings(queue_of(line), ret);
	return ret->push_url.len > 0 && !ret->paused;
}

int push_line_run(void *arg)
{
	struct push_line *line = arg;
	struct queue_settings settings;

	cond_init(&line->freed);
	scope_open(&line->scope, TIME_NEVER);
	while (goes_on(line, &settings))
		rest_after(line, look(line, &settings));
	(void)scope_close(&line->scope);
	line->running = false;
	return 0;
}
