/* Workers, mailboxes, readiness and the offload pool, with real threads. */
#include "base/mem.h"
#include "base/test.h"
#include "loop/offload.h"
#include "loop/signals.h"
#include "loop/worker.h"
#include "observe/clock.h"

#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static int start(struct worker *worker, int (*on_start)(struct worker *), void *arg)
{
	*worker = (struct worker){ .fiber_limit = 1000, .on_start = on_start, .arg = arg };
	return worker_start(worker);
}

static void stop(struct worker *worker)
{
	worker_stop(worker);
	worker_join(worker);
}

/* --- mailbox ------------------------------------------------------------ */

enum { SENDERS = 4, EACH = 20000 };

struct numbered {
	struct message message;
	unsigned sender, number;
};

static unsigned next_of[SENDERS];
static _Atomic unsigned delivered;

static void count_message(struct message *message)
{
	struct numbered *numbered = CONTAINER_OF(message, struct numbered, message);

	CHECK(numbered->number == next_of[numbered->sender]++);
	delivered++;
}

static struct worker receiver;

static void *send_many(void *arg)
{
	static struct numbered messages[SENDERS][EACH];
	unsigned sender = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < EACH; i++) {
		messages[sender][i] = (struct numbered){ { .deliver = count_message }, sender, i };
		worker_send(&receiver, &messages[sender][i].message);
	}
	return NULL;
}

TEST(mailbox_keeps_each_senders_order)
{
	pthread_t threads[SENDERS];

	REQUIRE(start(&receiver, NULL, NULL) == 0);
	for (uintptr_t i = 0; i < SENDERS; i++)
		CHECK(pthread_create(&threads[i], NULL, send_many, (void *)i) == 0);
	for (size_t i = 0; i < SENDERS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	stop(&receiver);
	EXPECT_INT(delivered, SENDERS * EACH);
}

/* --- start and stop ----------------------------------------------------- */

static int refuse(struct worker *worker)
{
	(void)worker;
	return fail(ERR_CONFLICT, "no");
}

TEST(worker_start_reports_the_error_of_its_thread)
{
	struct worker worker;

	EXPECT_INT(start(&worker, refuse, NULL), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_text()), S("no"));
}

static int sleep_long(void *arg)
{
	int r = fiber_sleep_until(sched_now() + HOUR);

	*(int *)arg = r;
	return 0;
}

static int spawn_sleeper(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, sleep_long, worker->arg);
}

TEST(worker_stop_cancels_what_lives)
{
	struct worker worker;
	int result = 0;

	REQUIRE(start(&worker, spawn_sleeper, &result) == 0);
	stop(&worker);
	EXPECT_INT(result, -ERR_CANCELLED);
	EXPECT_INT(mem_used(), 0);
}

/* What one worker waits for at its end only another one can do, which waits for it meanwhile. */
struct couple {
	struct worker first, second;
	struct message question;
	_Atomic bool answered;
};

static void answer(struct message *message)
{
	CONTAINER_OF(message, struct couple, question)->answered = true;
}

static int ask_at_the_end(void *arg)
{
	struct couple *couple = arg;
	uint64_t former;

	(void)fiber_sleep_until(TIME_NEVER);
	worker_send(&couple->first, &couple->question);
	former = shield_begin(TIME_NEVER);
	while (!couple->answered)
		(void)fiber_sleep_until(sched_now() + MILLISECOND);
	shield_end(former);
	return 0;
}

static int spawn_asker(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, ask_at_the_end, worker->arg);
}

static int keep_the_other(void *arg)
{
	struct couple *couple = arg;

	couple->question.deliver = answer;
	REQUIRE(start(&couple->second, spawn_asker, couple) == 0);
	stop(&couple->second);
	EXPECT(couple->answered);
	worker_stop(&couple->first);
	return 0;
}

static int spawn_keeper(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, keep_the_other, worker->arg);
}

TEST(worker_join_lets_other_fibers_run)
{
	static struct couple couple;

	REQUIRE(start(&couple.first, spawn_keeper, &couple) == 0);
	worker_join(&couple.first);
}

static int sleep_short(void *arg)
{
	uint64_t began = sched_now();

	EXPECT_INT(fiber_sleep_until(began + 20 * MILLISECOND), 0);
	EXPECT(clock_now_ns() - began >= 20 * MILLISECOND);
	(void)sem_post(arg);
	return 0;
}

static int spawn_short(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, sleep_short, worker->arg);
}

TEST(worker_wakes_at_deadlines)
{
	struct worker worker;
	sem_t done;

	CHECK(sem_init(&done, 0, 0) == 0);
	REQUIRE(start(&worker, spawn_short, &done) == 0);
	CHECK(sem_wait(&done) == 0);
	stop(&worker);
}

/* A clock that only the test moves. */
static _Atomic uint64_t moved_ns;

static uint64_t moved_now(void *arg)
{
	(void)arg;
	return moved_ns;
}

static int64_t moved_wall(void *arg)
{
	(void)arg;
	return 0;
}

struct question {
	struct message message;
	uint64_t now_ns;
	sem_t done;
};

static void tell_time(struct message *message)
{
	struct question *question = CONTAINER_OF(message, struct question, message);

	question->now_ns = sched_now();
	CHECK(sem_post(&question->done) == 0);
}

/* Who is told of something right after a long sleep begins deadlines then, not before it. The clock
 * may move in the moment between, so not all must be right. */
TEST(worker_knows_how_long_it_slept)
{
	static const struct clock_source source = { moved_now, moved_wall, NULL };
	struct question question = { .message.deliver = tell_time };
	struct worker worker;
	size_t right = 0;

	moved_ns = HOUR;
	clock_replace(&source);
	CHECK(sem_init(&question.done, 0, 0) == 0);
	REQUIRE(start(&worker, NULL, NULL) == 0);
	for (int i = 0; i < 20; i++) {
		worker_send(&worker, &question.message);
		CHECK(sem_wait(&question.done) == 0);
		right += question.now_ns == moved_ns;
		(void)usleep(1000); /* it goes to sleep again */
		moved_ns += HOUR;
	}
	EXPECT(right >= 15);
	stop(&worker);
	clock_replace(NULL);
}

TEST(worker_date_is_now)
{
	struct worker worker = { 0 };
	char now[TIME_HTTP_LEN];
	int64_t before;

	do {
		before = clock_wall_us() / 1000000;
		time_write_http(now, clock_wall_us());
		(void)worker_http_date(&worker);
	} while (clock_wall_us() / 1000000 != before); /* the second must not turn in between */
	EXPECT_STR(worker_http_date(&worker), str_of(now, TIME_HTTP_LEN));
}

/* --- readiness of descriptors ------------------------------------------- */

static sem_t gate;
static int pair[2];
static unsigned changes;

static void on_change(struct ready *ready)
{
	EXPECT(ready->readable);
	changes++;
}

static int wait_readable(void *arg)
{
	struct watch *watch = arg;
	char byte;

	EXPECT(read(watch->fd, &byte, 1) < 0); /* nothing yet: the sticky bit was wrong */
	watch->ready.readable = false;
	EXPECT_INT(ready_wait(&watch->ready, READY_READ, sched_now() + MILLISECOND), -ERR_TIMEOUT);
	CHECK(write(pair[1], "x", 1) == 1);
	EXPECT_INT(ready_wait(&watch->ready, READY_READ, TIME_NEVER), 0);
	EXPECT_INT(changes, 0); /* a waiting fiber was told instead */
	EXPECT(read(watch->fd, &byte, 1) == 1);

	watch->ready.readable = false;
	CHECK(close(pair[1]) == 0);
	EXPECT_INT(ready_wait(&watch->ready, READY_READ, TIME_NEVER), 0);
	EXPECT(watch->ready.ended);
	watch_remove(watch);
	EXPECT_INT(ready_wait(&watch->ready, READY_READ, TIME_NEVER), -ERR_CLOSED);
	(void)sem_post(&gate);
	return 0;
}

static int watch_pair(struct worker *worker)
{
	struct watch *watch = worker->arg;
	int r = watch_add(&worker->poller, watch, pair[0]);

	watch->ready.on_change = on_change;
	return r < 0 ? r : scope_spawn(&worker->sched.root, wait_readable, watch);
}

TEST(watch_tells_the_waiting_fiber)
{
	struct worker worker;
	struct watch watch;

	CHECK(sem_init(&gate, 0, 0) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	REQUIRE(start(&worker, watch_pair, &watch) == 0);
	CHECK(sem_wait(&gate) == 0);
	stop(&worker);
	EXPECT_INT(changes, 1); /* the end is told in any case */
	CHECK(close(pair[0]) == 0);
}

/* --- offload ------------------------------------------------------------ */

static struct offload pool;
static _Atomic unsigned freed, ran;

static void block(void *arg)
{
	(void)sem_wait(&gate);
	*(int *)arg = 42;
}

static void run_task(struct offload_task *task)
{
	(void)task;
	(void)sem_wait(&gate);
	ran++;
}

static void free_task(struct offload_task *task)
{
	(void)task;
	freed++;
}

static struct offload_task tasks[3];

static int call_blocking(void *arg)
{
	int value = 0;

	(void)arg;
	(void)sem_post(&gate);
	EXPECT_INT(offload_call(&pool, block, &value), 0);
	EXPECT_INT(value, 42);
	return 0;
}

static int abandon(void *arg)
{
	struct scope scope;

	scope_open(&scope, sched_now() + 20 * MILLISECOND);
	EXPECT_INT(offload_start(&pool, arg), -ERR_TIMEOUT);
	(void)scope_close(&scope);
	return 0;
}

static int overfill(void *arg)
{
	EXPECT_INT(offload_start(&pool, arg), -ERR_FULL);
	return 0;
}

static int offload_story(void *arg)
{
	struct scope scope;

	for (size_t i = 0; i < LEN(tasks); i++)
		tasks[i] = (struct offload_task){ .run = run_task, .free = free_task };

	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, call_blocking, NULL) == 0);
	REQUIRE(scope_close(&scope) == 0);

	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, abandon, &tasks[0]) == 0); /* begins, and is left behind */
	(void)fiber_sleep_until(sched_now() + 5 * MILLISECOND);
	REQUIRE(scope_spawn(&scope, abandon, &tasks[1]) == 0); /* waits in the queue of one */
	fiber_yield();
	REQUIRE(scope_spawn(&scope, overfill, &tasks[2]) == 0);
	REQUIRE(scope_close(&scope) == 0);
	EXPECT_INT(freed, 1); /* the refused one */

	(void)sem_post(&gate);
	while (freed < 3)
		(void)fiber_sleep_until(sched_now() + MILLISECOND);
	EXPECT_INT(ran, 1); /* the queued one was not wanted any more and never began */
	(void)sem_post(arg);
	return 0;
}

static int start_story(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, offload_story, worker->arg);
}

TEST(offload_calls_abandons_and_refuses)
{
	struct worker worker;
	sem_t done;

	CHECK(sem_init(&gate, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
	REQUIRE(offload_open(&pool, "test", 1, 1) == 0);
	REQUIRE(start(&worker, start_story, &done) == 0);
	CHECK(sem_wait(&done) == 0);
	stop(&worker);
	offload_close(&pool);
	EXPECT_INT(mem_used(), 0);
}

/* --- signals ------------------------------------------------------------ */

TEST(signals_are_waited_for)
{
	signals_block();
	EXPECT_INT(signals_wait(clock_now_ns() + 10 * MILLISECOND), 0);
	CHECK(raise(SIGTERM) == 0);
	EXPECT_INT(signals_wait(clock_now_ns() + SECOND), SIGTERM);
}
