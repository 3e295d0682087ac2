/*
 * Threads for handlers: started with a crew for each queue of the kinds of this program, told to
 * stop, and what they share: the lease of this instance, and what was asked to be cancelled.
 */
#include "modules/jobs/jobs_work_internal.h"

#include "base/mem.h"
#include "modules/jobs/jobs_adding.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/span.h"

#include <stdio.h>
#include <unistd.h>

#define STOP_DEFAULT  (10 * SECOND)
#define FORSAKE_AFTER (5 * SECOND)  /* of the end of the time for handlers */
#define CANCEL_LATE   (30 * SECOND) /* a job may start so long after it was cancelled */

enum { FIBERS_BESIDE = 64, OF_A_CREW = 1 + LANES };

static struct jobs_options options = { .work = true, .schedule = true };

/* The one that runs. Made and freed by whoever starts and stops. */
static struct work *_Atomic the_work;

void jobs_configure(const struct jobs_options *given)
{
	options = *given;
}

/* --- the lease ----------------------------------------------------------------------------- */

bool work_lease(struct work *work, struct lease *ret)
{
	bool leased;

	(void)pthread_mutex_lock(&work->lock);
	*ret = work->lease;
	leased = work->leased;
	(void)pthread_mutex_unlock(&work->lock);
	return leased;
}

/* Sends each thread a look at what is new. */
static void tell_threads(struct work *work)
{
	for (size_t i = 0; i < work->thread_count; i++) {
		struct work_thread *thread = &work->threads[i];

		if (thread->running && !atomic_exchange(&thread->news_sent, true))
			worker_send(&thread->worker, &thread->news);
	}
}

void work_set_lease(struct work *work, const struct lease *lease)
{
	(void)pthread_mutex_lock(&work->lock);
	if (work->leased) {
		uuid_write(work->lost, &work->lease.id);
		work->losses++;
	}
	work->leased = lease;
	if (lease)
		work->lease = *lease;
	tell_threads(work);
	(void)pthread_mutex_unlock(&work->lock);
}

/* --- cancellations ---------------------------------------------------------------------------- */

/* On some thread, which must not wait. */
static void heard(struct notice_listener *listener, const struct uuid *tenant, struct str key)
{
	struct work *work = CONTAINER_OF(listener, struct work, listener);
	struct uuid id;

	(void)tenant;
	(void)pthread_mutex_lock(&work->lock);
	if (uuid_parse(key, &id)) {
		size_t at = work->cancel_count++ % CANCELS_KEPT;

		work->cancels[at] = id;
		work->cancelled_ns[at] = clock_now_ns();
	} else {
		work->doubts++;
	}
	tell_threads(work);
	(void)pthread_mutex_unlock(&work->lock);
}

bool work_cancelled(struct work *work, const struct uuid *id)
{
	uint64_t now = clock_now_ns();
	bool found = false;

	(void)pthread_mutex_lock(&work->lock);
	for (uint64_t i = work->cancel_count; i > 0 && i + CANCELS_KEPT > work->cancel_count; i--) {
		size_t at = (i - 1) % CANCELS_KEPT;

		if (now - work->cancelled_ns[at] > CANCEL_LATE)
			break;
		found |= uuid_cmp(&work->cancels[at], id) == 0;
	}
	(void)pthread_mutex_unlock(&work->lock);
	return found;
}

/* What has come since the thread looked last. */
struct news {
	struct uuid cancels[CANCELS_KEPT];
	size_t count;
	bool lost;
	char lease[UUID_TEXT_LEN];
};

static void read_news(struct work_thread *thread, struct news *news)
{
	struct work *work = thread->work;

	(void)pthread_mutex_lock(&work->lock);
	news->count = (size_t)(work->cancel_count - thread->cancels_seen);
	if (news->count > CANCELS_KEPT) {
		news->count = CANCELS_KEPT;
		thread->doubt = true;
	}
	for (size_t i = 0; i < news->count; i++)
		news->cancels[i] = work->cancels[(work->cancel_count - 1 - i) % CANCELS_KEPT];
	thread->cancels_seen = work->cancel_count;
	thread->doubt |= thread->doubts_seen != work->doubts;
	thread->doubts_seen = work->doubts;
	news->lost = thread->losses_seen != work->losses;
	thread->losses_seen = work->losses;
	memcpy(news->lease, work->lost, sizeof(news->lease));
	(void)pthread_mutex_unlock(&work->lock);
}

static void hear_news(struct message *message)
{
	struct work_thread *thread = CONTAINER_OF(message, struct work_thread, news);
	struct news news;

	atomic_store(&thread->news_sent, false);
	read_news(thread, &news);
	for (size_t i = 0; i < thread->crew_count; i++) {
		struct crew *crew = &thread->crews[i];

		for (size_t j = 0; j < news.count; j++)
			crew_cancel(crew, &news.cancels[j], START_CANCELLED);
		if (news.lost)
			crew_lose(crew, news.lease);
		crew_look(crew); /* there may be a lease now */
	}
}

/* --- a thread ------------------------------------------------------------------------------------
 */

static void be_stopped(struct message *message)
{
	struct work_thread *thread = CONTAINER_OF(message, struct work_thread, stop);

	thread->stopping = true;
	cond_broadcast(&thread->changed);
	for (size_t i = 0; i < thread->crew_count; i++)
		crew_wake(&thread->crews[i]);
}

/* Until all fibers of crews have ended; false when that takes until then. */
static bool await_crews(struct work_thread *thread, uint64_t until_ns)
{
	int r = 0;

	while (thread->fibers > 0 && r == 0)
		r = cond_wait(&thread->changed, until_ns);
	return thread->fibers == 0;
}

/* From here on nobody sends it anything. */
static void leave(struct work_thread *thread)
{
	struct work *work = thread->work;

	(void)pthread_mutex_lock(&work->lock);
	thread->running = false;
	(void)pthread_mutex_unlock(&work->lock);
	worker_stop(&thread->worker);
	(void)atomic_fetch_sub(&work->threads_left, 1);
}

/* What cannot be started is not worth the server. */
static void open_crews(struct work_thread *thread)
{
	struct scope *root = &thread->worker.sched.root;
	int r = scope_spawn(root, notes_keep, thread);

	if (r == 0)
		r = scope_spawn(root, crews_look, thread);
	for (size_t i = 0; i < thread->crew_count && r == 0; i++)
		r = crew_open(&thread->crews[i]);
	if (r < 0)
		log_error("some jobs are not done", LOG_ERR);
}

/* The fiber that sees to the thread's beginning and its end. */
static int keep_thread(void *arg)
{
	struct work_thread *thread = arg;
	uint64_t stop_by;

	open_crews(thread);
	while (!thread->stopping)
		(void)cond_wait(&thread->changed, TIME_NEVER);
	stop_by = atomic_load(&thread->work->stop_by_ns);
	if (!await_crews(thread, stop_by)) {
		log_warn("jobs are cancelled and handed back, since the program ends");
		for (size_t i = 0; i < thread->crew_count; i++)
			crew_cancel(&thread->crews[i], NULL, START_STOPPED);
	}
	if (!await_crews(thread, stop_by + FORSAKE_AFTER)) {
		thread->forsaken = true;
		for (size_t i = 0; i < thread->crew_count; i++)
			crew_wake(&thread->crews[i]);
	}
	(void)await_crews(thread, TIME_NEVER);
	leave(thread);
	return 0;
}

/* Without rings of its own the thread shares one with others. */
static int begin_thread(struct worker *worker)
{
	struct work_thread *thread = CONTAINER_OF(worker, struct work_thread, worker);
	int r = scope_spawn(&worker->sched.root, keep_thread, thread);

	if (r < 0)
		return r;
	(void)log_thread_attach(0);
	(void)span_thread_attach(0);
	return 0;
}

static void end_thread(struct worker *worker)
{
	struct work_thread *thread = CONTAINER_OF(worker, struct work_thread, worker);

	for (size_t i = 0; i < thread->crew_count; i++)
		crew_done(&thread->crews[i]);
	crew_free_starts(thread);
	span_thread_detach();
	log_thread_detach();
}

/* --- up and down ---------------------------------------------------------------------------------
 */

/* The queues of kinds that have a handler. */
static void list_queues(struct work *work)
{
	const struct job_kind *kind;
	size_t at = 0;

	while ((kind = job_kind_next(&at))) {
		struct str queue = kind->queue ? str_from_c(kind->queue) : S("default");
		size_t i = 0;

		while (i < work->queue_count && !str_eq(work->queues[i], queue))
			i++;
		if (kind->run && i == work->queue_count && i < QUEUES_SERVED_MAX)
			work->queues[work->queue_count++] = queue;
	}
}

static int make_thread(struct work *work, size_t index)
{
	struct work_thread *thread = &work->threads[index];
	size_t count = work->queue_count;

	thread->work = work;
	thread->index = index;
	hands_init(&thread->hands, HANDS_MAX);
	link_init(&thread->pool);
	link_init(&thread->noted);
	cond_init(&thread->noted_cond);
	cond_init(&thread->changed);
	thread->stop.deliver = be_stopped;
	thread->news.deliver = hear_news;
	thread->worker = (struct worker){
		.index = (unsigned)index,
		.fiber_limit = HANDS_MAX + FIBERS_BESIDE + count * OF_A_CREW,
		.on_start = begin_thread,
		.on_stop = end_thread,
	};
	thread->crews = mem_zalloc(count * sizeof(*thread->crews));
	if (!thread->crews)
		return -ERR_NO_MEMORY;
	thread->crew_count = count;
	for (size_t i = 0; i < count; i++)
		crew_init(&thread->crews[i], thread, work->queues[i], i);
	return 0;
}

static int start_threads(struct work *work)
{
	size_t wanted = MIN(MAX(work->options.threads, (size_t)1), (size_t)JOBS_THREADS_MAX);
	int r = 0;

	if (!work->options.work || work->queue_count == 0)
		return 0;
	work->threads = mem_zalloc(wanted * sizeof(*work->threads));
	if (!work->threads)
		return -ERR_NO_MEMORY;
	for (size_t i = 0; i < wanted && r == 0; i++)
		r = make_thread(work, i);
	(void)pthread_mutex_lock(&work->lock); /* notices come already */
	work->thread_count = wanted;
	(void)pthread_mutex_unlock(&work->lock);
	for (size_t i = 0; i < wanted && r == 0; i++) {
		struct work_thread *thread = &work->threads[i];
		char name[16];

		r = worker_start(&thread->worker);
		if (r < 0)
			break;
		(void)snprintf(name, sizeof(name), "jobs-%zu", i % 1000);
		(void)pthread_setname_np(thread->worker.thread, name);
		(void)atomic_fetch_add(&work->threads_left, 1);
		thread->started = true;
		(void)pthread_mutex_lock(&work->lock);
		thread->running = true;
		(void)pthread_mutex_unlock(&work->lock);
	}
	return r;
}

static int start_clerk(struct work *work)
{
	int r;

	if (work->thread_count == 0 && !work->options.schedule)
		return 0;
	work->clerk = (struct worker){
		.fiber_limit = FIBERS_BESIDE,
		.on_start = clerk_begin,
		.on_stop = clerk_end,
		.arg = work,
	};
	r = worker_start(&work->clerk);
	if (r < 0)
		return r;
	(void)pthread_setname_np(work->clerk.thread, "jobs-clerk");
	work->clerk_runs = true;
	return 0;
}

static void free_work(struct work *work)
{
	for (size_t i = 0; i < work->thread_count; i++)
		mem_free(work->threads[i].crews, work->threads[i].crew_count * sizeof(struct crew));
	mem_free(work->threads, work->thread_count * sizeof(*work->threads));
	(void)pthread_mutex_destroy(&work->lock);
	mem_free(work, sizeof(*work));
}

static void stop_clerk(struct work *work)
{
	if (!work->clerk_runs)
		return;
	worker_stop(&work->clerk);
	worker_join(&work->clerk);
	work->clerk_runs = false;
}

static void name_worker(struct work *work)
{
	char host[65] = "";

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = '\0';
	(void)snprintf(work->worker_name, sizeof(work->worker_name), "bulkhead@%s:%d", host,
		(int)getpid());
}

int jobs_start(struct server *server)
{
	struct work *work = mem_zalloc(sizeof(*work));
	int r;

	CHECK(!atomic_load(&the_work));
	if (!work)
		return -ERR_NO_MEMORY;
	work->server = server;
	work->options = options;
	(void)pthread_mutex_init(&work->lock, NULL);
	work->listener = (struct notice_listener){ .topic = JOBS_CANCEL_TOPIC, .heard = heard };
	name_worker(work);
	list_queues(work);
	r = notice_listen(server->store, &work->listener);
	if (r < 0) {
		free_work(work);
		return r;
	}
	atomic_store(&the_work, work);
	r = start_threads(work);
	if (r == 0)
		r = start_clerk(work);
	if (r < 0) {
		struct err err = *err_last();

		jobs_stop();
		return err_restore(&err);
	}
	return 0;
}

void jobs_stop_begin(void)
{
	struct work *work = atomic_load(&the_work);

	if (!work || atomic_exchange(&work->stopping, true))
		return;
	atomic_store(&work->stop_by_ns,
		clock_now_ns() + (work->options.stop_ns ? work->options.stop_ns : STOP_DEFAULT));
	for (size_t i = 0; i < work->thread_count; i++)
		if (work->threads[i].started)
			worker_send(&work->threads[i].worker, &work->threads[i].stop);
}

bool jobs_stopped(void)
{
	const struct work *work = atomic_load(&the_work);

	return !work || atomic_load(&work->threads_left) == 0;
}

void jobs_stop(void)
{
	struct work *work = atomic_load(&the_work);

	if (!work)
		return;
	jobs_stop_begin();
	for (size_t i = 0; i < work->thread_count; i++)
		if (work->threads[i].started)
			worker_join(&work->threads[i].worker);
	stop_clerk(work);
	notice_unlisten(work->server->store, &work->listener);
	atomic_store(&the_work, NULL);
	free_work(work);
}
