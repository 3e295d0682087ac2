/* The thread, its loop, and what it does when it is idle. */
#include "loop/worker.h"

#include "observe/clock.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>

/* Idle this long, a worker gives the pages of free stacks back. */
#define TRIM_AFTER SECOND

static _Thread_local struct worker *here;

struct worker *worker_here(void)
{
	return here;
}

void worker_send(struct worker *worker, struct message *message)
{
	mailbox_send(&worker->mailbox, message);
}

struct str worker_http_date(struct worker *worker)
{
	int64_t now_us = clock_wall_us();

	if (now_us / 1000000 != worker->wall_second) {
		worker->wall_second = now_us / 1000000;
		time_write_http(worker->http_date, now_us);
	}
	return str_of(worker->http_date, TIME_HTTP_LEN);
}

static void trim(struct timer *timer)
{
	struct worker *worker = CONTAINER_OF(timer, struct worker, trim);

	sched_trim(&worker->sched);
}

/* Milliseconds until `at_ns`, rounded up so that a deadline is never early. */
static int timeout_until(uint64_t at_ns, uint64_t now_ns)
{
	uint64_t wait;

	if (at_ns <= now_ns)
		return 0;
	if (at_ns == TIME_NEVER)
		return -1;
	wait = (at_ns - now_ns + MILLISECOND - 1) / MILLISECOND;
	return (int)MIN(wait, (uint64_t)INT_MAX);
}

static void loop(struct worker *worker)
{
	struct sched *sched = &worker->sched;

	while (!worker->stopping || sched->count > 0) {
		uint64_t next = sched_run(sched, clock_now_ns());

		if (worker->stopping && sched->count == 0)
			break;
		if (sched->stacks.used_since_trim && !worker->trim.slot)
			(void)timer_arm(&sched->timers, &worker->trim, sched->now_ns + TRIM_AFTER);
		/* A broken epoll cannot be lived with, and is a bug of ours: EBADF, EFAULT, EINVAL.
		 */
		CHECK(poller_wait(&worker->poller, timeout_until(next, clock_now_ns())) == 0);
		sched->now_ns = clock_now_ns(); /* it may have been hours */
		poller_tell(&worker->poller);
	}
	timer_disarm(&sched->timers, &worker->trim);
}

struct start {
	struct worker *worker;
	sem_t done;
	int result;
	struct err err;
};

static int open_on_thread(struct worker *worker)
{
	int r = poller_init(&worker->poller);

	if (r < 0)
		return r;
	r = mailbox_init(&worker->mailbox, &worker->poller);
	if (r < 0) {
		poller_done(&worker->poller);
		return r;
	}
	r = worker->on_start ? worker->on_start(worker) : 0;
	if (r < 0) {
		mailbox_shut(&worker->mailbox);
		mailbox_done(&worker->mailbox);
		poller_done(&worker->poller);
	}
	return r;
}

static void *thread_main(void *arg)
{
	struct start *start = arg;
	struct worker *worker = start->worker;
	int r;

	here = worker;
	signals_crash_stack(worker->crash_stack);
	sched_init(&worker->sched, worker->fiber_limit);
	worker->sched.clock = clock_now_ns;
	worker->trim = (struct timer){ .fire = trim };
	worker->stopping = false;
	worker->sched.now_ns = clock_now_ns();

	r = open_on_thread(worker);
	start->result = r;
	start->err = *err_last();
	(void)sem_post(&start->done); /* `start` is gone from here on */

	if (r == 0) {
		loop(worker);
		if (worker->on_stop)
			worker->on_stop(worker);
		mailbox_shut(&worker->mailbox);
		poller_done(&worker->poller);
	}
	sched_done(&worker->sched);
	signals_crash_stack(NULL);
	here = NULL;
	atomic_store(&worker->over, true);
	return NULL;
}

int worker_start(struct worker *worker)
{
	struct start start = { .worker = worker };
	sigset_t all, former;
	char name[16];
	int error;

	atomic_store(&worker->over, false);
	(void)sem_init(&start.done, 0, 0);
	(void)sigfillset(&all);
	(void)pthread_sigmask(
		SIG_BLOCK, &all, &former); /* signals are the main thread's business */
	error = pthread_create(&worker->thread, NULL, thread_main, &start);
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (error) {
		(void)sem_destroy(&start.done);
		return fail(ERR_IO, "cannot start a thread: %s", err_errno_text(error));
	}

	(void)snprintf(name, sizeof(name), "worker-%u", worker->index % 1000);
	(void)pthread_setname_np(worker->thread, name);
	while (sem_wait(&start.done) < 0 && errno == EINTR)
		;
	(void)sem_destroy(&start.done);
	if (start.result < 0) {
		(void)pthread_join(worker->thread, NULL);
		return fail(start.err.code, "%s", start.err.frames[0].text);
	}
	return 0;
}

static void stop_here(struct message *message)
{
	struct worker *worker = CONTAINER_OF(message, struct worker, stop);

	worker->stopping = true;
	scope_cancel(&worker->sched.root);
}

void worker_stop(struct worker *worker)
{
	worker->stop.deliver = stop_here;
	worker_send(worker, &worker->stop);
}

static void let_others_run(const struct worker *until_over)
{
	uint64_t former = shield_begin(TIME_NEVER);

	while (!atomic_load(&until_over->over))
		(void)fiber_sleep_until(sched_now() + MILLISECOND);
	shield_end(former);
}

void worker_join(struct worker *worker)
{
	if (fiber_current())
		let_others_run(worker);
	(void)pthread_join(worker->thread, NULL);
	mailbox_done(&worker->mailbox);
}
