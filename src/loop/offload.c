/* A bounded queue, a few threads, and the way back by mailbox. */
#include "loop/offload.h"

#include "base/mem.h"
#include "loop/worker.h"

#include <signal.h>
#include <stdio.h>

static struct offload_task *take(struct offload *pool)
{
	struct link *link;

	(void)pthread_mutex_lock(&pool->lock);
	while (list_empty(&pool->queue) && !pool->closing)
		(void)pthread_cond_wait(&pool->more, &pool->lock);
	link = list_pop(&pool->queue);
	if (link)
		pool->queued--;
	(void)pthread_mutex_unlock(&pool->lock);
	return link ? CONTAINER_OF(link, struct offload_task, link) : NULL;
}

static void *thread_main(void *arg)
{
	struct offload_task *task;

	while ((task = take(arg))) {
		if (atomic_load_explicit(&task->wanted, memory_order_relaxed))
			task->run(task);
		worker_send(task->home, &task->done);
	}
	return NULL;
}

int offload_open(struct offload *pool, const char *name, size_t threads, size_t queue_limit)
{
	sigset_t all, former;

	CHECK(threads > 0 && queue_limit > 0);
	*pool = (struct offload){ .queue_limit = queue_limit, .thread_room = threads };
	pool->threads = mem_alloc(threads * sizeof(*pool->threads));
	if (!pool->threads)
		return -ERR_NO_MEMORY;

	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->more, NULL);
	link_init(&pool->queue);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &former);
	for (size_t i = 0; i < threads; i++) {
		char title[16];

		if (pthread_create(&pool->threads[i], NULL, thread_main, pool) != 0)
			break;
		pool->thread_count++;
		(void)snprintf(title, sizeof(title), "%.11s-%zu", name, i % 1000);
		(void)pthread_setname_np(pool->threads[i], title);
	}
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);

	if (pool->thread_count < threads) {
		offload_close(pool);
		return fail(ERR_IO, "cannot start %zu threads for \"%s\"", threads, name);
	}
	return 0;
}

void offload_close(struct offload *pool)
{
	(void)pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	(void)pthread_cond_broadcast(&pool->more);
	(void)pthread_mutex_unlock(&pool->lock);

	for (size_t i = 0; i < pool->thread_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	(void)pthread_cond_destroy(&pool->more);
	(void)pthread_mutex_destroy(&pool->lock);
	mem_free(pool->threads, pool->thread_room * sizeof(*pool->threads));
	pool->threads = NULL;
}

static int enqueue(struct offload *pool, struct offload_task *task)
{
	bool full;

	(void)pthread_mutex_lock(&pool->lock);
	full = pool->closing || pool->queued >= pool->queue_limit;
	if (!full) {
		list_push(&pool->queue, &task->link);
		pool->queued++;
		(void)pthread_cond_signal(&pool->more);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return full ? fail(ERR_FULL, "%zu tasks are waiting already", pool->queue_limit) : 0;
}

/* Back on the worker: the caller gets its result, or there is none and the task ends here. */
static void done(struct message *message)
{
	struct offload_task *task = CONTAINER_OF(message, struct offload_task, done);

	if (task->wait)
		(void)wake(TAKE(task->wait), 0);
	else
		task->free(task);
}

int offload_start(struct offload *pool, struct offload_task *task)
{
	struct wait wait;
	int r;

	task->done.deliver = done;
	task->home = worker_here();
	task->wait = &wait;
	atomic_init(&task->wanted, true);
	link_init(&task->link);
	CHECK(task->home);

	wait_init(&wait);
	r = enqueue(pool, task);
	if (r < 0) {
		task->free(task);
		return r;
	}

	r = park(&wait, TIME_NEVER);
	if (r < 0) { /* the pool still has the task; `done` will see that nobody waits */
		task->wait = NULL;
		atomic_store_explicit(&task->wanted, false, memory_order_relaxed);
	}
	return r;
}

struct call {
	struct offload_task task;
	void (*fn)(void *arg);
	void *arg;
};

static void run_call(struct offload_task *task)
{
	struct call *call = CONTAINER_OF(task, struct call, task);

	call->fn(call->arg);
}

static void free_call(struct offload_task *task)
{
	(void)task; /* on the caller's stack */
}

int offload_call(struct offload *pool, void (*fn)(void *arg), void *arg)
{
	struct call call = { .task = { .run = run_call, .free = free_call }, .fn = fn, .arg = arg };
	uint64_t former = shield_begin(TIME_NEVER);
	int r = offload_start(pool, &call.task);

	shield_end(former);
	return r;
}
