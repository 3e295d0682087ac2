/* The way there and back. */
#include "store/sqlite_queue.h"

#include "observe/clock.h"

#include <errno.h>
#include <time.h>

void sqlite_queue_init(struct sqlite_queue *queue, const char *of, size_t limit)
{
	pthread_condattr_t monotonic;

	*queue = (struct sqlite_queue){ .of = of, .limit = limit };
	link_init(&queue->requests);
	(void)pthread_mutex_init(&queue->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&queue->more, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

void sqlite_queue_done(struct sqlite_queue *queue)
{
	(void)pthread_cond_destroy(&queue->more);
	(void)pthread_mutex_destroy(&queue->lock);
}

static void set_open(struct sqlite_queue *queue, bool open)
{
	(void)pthread_mutex_lock(&queue->lock);
	queue->open = open;
	(void)pthread_cond_broadcast(&queue->more);
	(void)pthread_mutex_unlock(&queue->lock);
}

void sqlite_queue_open(struct sqlite_queue *queue)
{
	set_open(queue, true);
}

void sqlite_queue_close(struct sqlite_queue *queue)
{
	set_open(queue, false);
}

static void count_in(struct sqlite_queue *queue)
{
	queue->count++;
	if (queue->depth)
		metric_gauge_add(queue->depth, 1);
}

static void count_out(struct sqlite_queue *queue)
{
	queue->count--;
	if (queue->depth)
		metric_gauge_add(queue->depth, -1);
}

/* --- the caller ------------------------------------------------------------------- */

int sqlite_refuse(void)
{
	const struct fiber *fiber = fiber_current();
	int r = 0;

	if (fiber->shield_ns)
		r = fiber->shield_ns <= sched_now() ? -ERR_TIMEOUT : 0;
	else if (fiber->scope->cancelled)
		r = fiber->scope->cancelled;
	else if (scope_over(fiber->scope))
		r = -ERR_TIMEOUT;
	return r == 0 ? 0 : fail((enum err_code) - r, "%s", err_info(r)->text.at);
}

uint64_t sqlite_deadline(const struct tx *tx)
{
	const struct fiber *fiber = fiber_current();

	return fiber->shield_ns ? fiber->shield_ns : tx->deadline_ns;
}

static int enqueue(struct sqlite_queue *queue, struct sqlite_request *request)
{
	bool open, room;

	(void)pthread_mutex_lock(&queue->lock);
	open = queue->open;
	room = queue->count < queue->limit;
	if (open && room) {
		list_push(&queue->requests, &request->link);
		request->queued = true;
		count_in(queue);
		if (queue->count == 1)
			(void)pthread_cond_signal(&queue->more);
	}
	(void)pthread_mutex_unlock(&queue->lock);
	if (!open)
		return fail(ERR_UNAVAILABLE, "the store is not started, or closed");
	return room ? 0 : fail(ERR_FULL, "%zu %s are waiting already", queue->limit, queue->of);
}

/* True when the request was still waiting and is no more. */
static bool withdraw(struct sqlite_queue *queue, struct sqlite_request *request)
{
	bool queued;

	(void)pthread_mutex_lock(&queue->lock);
	queued = request->queued;
	if (queued) {
		link_remove(&request->link);
		request->queued = false;
		count_out(queue);
	}
	(void)pthread_mutex_unlock(&queue->lock);
	return queued;
}

/* The thread has the request, which is on this stack: nothing may end this wait but the answer, not
 * even the deadline of a section around it. */
static void wait_for_answer(struct sqlite_request *request)
{
	struct fiber *fiber = fiber_current();
	uint64_t former = fiber->shield_ns;

	fiber->shield_ns = TIME_NEVER;
	while (!request->answered) {
		wait_init(&request->wait);
		(void)park(&request->wait, TIME_NEVER);
	}
	fiber->shield_ns = former;
}

static int result_of(const struct sqlite_request *request)
{
	if (request->result < 0)
		fiber_current()->err = request->err;
	return request->result;
}

int sqlite_queue_run(struct sqlite_queue *queue, struct tx *tx)
{
	struct sqlite_request request;
	int r;

	r = sqlite_refuse();
	if (r < 0)
		return r;
	request.tx = tx;
	request.home = worker_here();
	request.context = *fiber_context();
	request.deadline_ns = sqlite_deadline(tx);
	request.err.code = ERR_OK;
	request.err.depth = 0;
	request.result = 0;
	request.answered = false;
	atomic_init(&request.stop, 0);
	CHECK(request.home);

	wait_init(&request.wait);
	r = enqueue(queue, &request);
	if (r < 0)
		return r;
	r = park(&request.wait, TIME_NEVER);
	if (r < 0 && !request.answered) {
		if (withdraw(queue, &request))
			return r;
		atomic_store_explicit(&request.stop, r, memory_order_relaxed);
		wait_for_answer(&request);
	}
	return result_of(&request);
}

/* --- the thread --------------------------------------------------------------------- */

/* False when the time has come. */
static bool wait_for_more(struct sqlite_queue *queue, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / SECOND),
		.tv_nsec = (long)(until_ns % SECOND) };

	if (until_ns == TIME_NEVER)
		return pthread_cond_wait(&queue->more, &queue->lock) == 0;
	return pthread_cond_timedwait(&queue->more, &queue->lock, &until) != ETIMEDOUT;
}

size_t sqlite_queue_take(struct sqlite_queue *queue, size_t max, uint64_t until_ns, struct link *to)
{
	size_t taken = 0;

	(void)pthread_mutex_lock(&queue->lock);
	while (queue->count == 0 && queue->open && wait_for_more(queue, until_ns))
		;
	while (taken < max && queue->count > 0) {
		struct link *link = list_pop(&queue->requests);

		CONTAINER_OF(link, struct sqlite_request, link)->queued = false;
		list_push(to, link);
		count_out(queue);
		taken++;
	}
	if (queue->count > 0) /* for the next thread */
		(void)pthread_cond_signal(&queue->more);
	(void)pthread_mutex_unlock(&queue->lock);
	return taken;
}

bool sqlite_queue_over(struct sqlite_queue *queue)
{
	bool over;

	(void)pthread_mutex_lock(&queue->lock);
	over = !queue->open && queue->count == 0;
	(void)pthread_mutex_unlock(&queue->lock);
	return over;
}

void sqlite_queue_give_back(struct sqlite_queue *queue, struct link *requests)
{
	(void)pthread_mutex_lock(&queue->lock);
	while (!list_empty(requests)) {
		struct link *last = requests->prev;

		link_remove(last);
		CONTAINER_OF(last, struct sqlite_request, link)->queued = true;
		list_push_first(&queue->requests, last);
		count_in(queue);
	}
	(void)pthread_mutex_unlock(&queue->lock);
}

int sqlite_request_call(
	struct sqlite_request *request, struct sqlite_connection *connection, uint64_t longest_ns)
{
	uint64_t now = clock_now_ns();
	struct sqlite_limits limits = { .stop = &request->stop,
		.deadline_ns = MIN(request->deadline_ns, now + longest_ns),
		.budget_until_ns = TIME_NEVER };
	struct err *former = err_slot_swap(&request->err);
	void **context = fiber_context(), *own = *context;
	int r;

	*context = request->context;
	if (now >= request->deadline_ns) {
		r = fail(ERR_TIMEOUT, "%s", err_info(ERR_TIMEOUT)->text.at);
	} else {
		sqlite_connection_attach(connection, request->tx, &limits);
		r = tx_call(request->tx);
		sqlite_connection_detach(connection);
	}
	*context = own;
	(void)err_slot_swap(former);
	return r;
}

/* On the worker, in the scheduler. */
static void deliver(struct message *message)
{
	struct sqlite_request *request = CONTAINER_OF(message, struct sqlite_request, answer);

	while (request) {
		struct sqlite_request *next = request->also;

		request->answered = true;
		(void)wake(&request->wait, 0);
		request = next;
	}
}

void sqlite_answer(struct link *requests)
{
	while (!list_empty(requests)) {
		struct sqlite_request *first =
			CONTAINER_OF(list_pop(requests), struct sqlite_request, link);
		struct sqlite_request *last = first, *other;
		struct worker *home = first->home;

		LIST_EACH (other, requests, struct sqlite_request, link)
			if (other->home == home) {
				link_remove(&other->link);
				last = last->also = other;
			}
		last->also = NULL;
		first->answer.deliver = deliver;
		worker_send(home, &first->answer);
	}
}
