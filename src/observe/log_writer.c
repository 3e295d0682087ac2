/*
 * Rings, the thread that empties them, and how it sleeps.
 *
 * The writer makes a pass over all rings, copies what they hold into one batch, writes the batch,
 * and naps for a few milliseconds, so that lines gather and nobody has to wake it. After a second
 * without a line it sleeps until a producer wakes it. A producer looks at `state` after publishing:
 * it wakes a sleeping writer always, a napping one when its ring is half full or the line is
 * urgent; of many producers one makes the system call. Publishing and `state` are sequentially
 * consistent: either the producer sees SLEEPING, or the writer's last look at the rings sees the
 * line.
 *
 * Locks: `registry` guards the list of rings and is never held during a write; `shared_mutex`
 * guards the producer's side of the ring of threads that have none. Producers with a ring take
 * neither.
 */
#include "observe/log_writer.h"

#include "base/err.h"
#include "base/fault.h"
#include "observe/clock.h"
#include "observe/log.h"
#include "observe/log_line.h"
#include "observe/log_ring.h"
#include "observe/log_sink.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	RINGS_MAX = 256,
	RING_BYTES = 256 * 1024,
	BATCH_BYTES = 64 * 1024,
	IDLE_NAPS = 200, /* naps without a line before the writer sleeps */
};

#define NAP            (5 * MILLISECOND)
#define REPORT_EVERY   SECOND
#define CRASH_PATIENCE (200 * MILLISECOND)
#define CLOSE_GRACE    (250 * MILLISECOND) /* for the writer to notice the deadline */

enum writer_state { AWAKE, NAPPING, SLEEPING };

static struct {
	_Atomic uint32_t state; /* enum writer_state; the futex */
	char apart[60];

	_Atomic bool asked;          /* flush, reopen, stop: no nap before the next pass */
	_Atomic bool reopen;         /* asked by log_reopen */
	_Atomic uint64_t stop_at_ns; /* 0, or the deadline of log_close */
	_Atomic bool pretty;
	_Atomic bool crashing;      /* log_crash_flush has taken over */
	_Atomic bool crash_stopped; /* ... and the writer stands still */
	_Atomic bool crash_done;
	_Atomic pid_t thread_id;

	bool open;    /* under `registry`, like all until `thread` */
	bool running; /* the thread has not ended */
	bool stuck;   /* it was left behind: never open again */
	bool gave_up; /* lines were lost by the deadline */
	uint64_t passes_begun, passes_done;
	uint64_t retired_lines, retired_dropped; /* of rings that are gone */
	struct log_ring *_Atomic rings[RINGS_MAX];
	pthread_t thread;

	struct log_ring *shared; /* also in `rings`; changed under `registry` and `shared_mutex` */

	/* The thread's own. */
	struct log_sink sink;
	size_t turn;      /* ring to begin the next batch with */
	uint64_t dropped; /* total as of the last pass */
	uint64_t reported_dropped, reported_lost;
	uint64_t reported_at_ns;
	_Atomic size_t batch_len;
	char batch[BATCH_BYTES];
} writer;

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t shared_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress; /* a pass is done or the thread has ended; on CLOCK_MONOTONIC */
static pthread_once_t progress_once = PTHREAD_ONCE_INIT;

static _Thread_local struct log_ring *own_ring;

/* --- sleeping and waking -------------------------------------------------- */

static void wake(void)
{
	if (atomic_exchange(&writer.state, AWAKE) != AWAKE)
		(void)syscall(SYS_futex, &writer.state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Makes the writer begin a new pass at once, even if it is in the middle of one. */
static void ask(void)
{
	atomic_store(&writer.asked, true);
	wake();
}

static bool rings_empty(void)
{
	for (size_t i = 0; i < RINGS_MAX; i++) {
		struct log_ring *ring = atomic_load(&writer.rings[i]);

		if (ring && log_ring_used(ring))
			return false;
	}
	return true;
}

/* Rests until there may be something to do. Rings are only freed by this thread while it runs, so
 * looking at them needs no lock. */
static void rest(bool deep)
{
	static const struct timespec nap = { .tv_nsec = (long)NAP };
	uint32_t state = deep ? SLEEPING : NAPPING;

	atomic_store(&writer.state, state);
	if (!atomic_exchange(&writer.asked, false) && (!deep || rings_empty()))
		(void)syscall(SYS_futex, &writer.state, FUTEX_WAIT_PRIVATE, state,
			deep ? NULL : &nap, NULL, 0);
	atomic_store(&writer.state, AWAKE);
}

/* --- the producers' side -------------------------------------------------- */

bool log_writer_pretty(void)
{
	return atomic_load_explicit(&writer.pretty, memory_order_relaxed);
}

static inline void wake_if_needed(const struct log_ring *ring, bool urgent)
{
	uint32_t state = atomic_load(&writer.state);

	if (LIKELY(state == AWAKE))
		return;
	if (state == SLEEPING || urgent || log_ring_used(ring) > ring->size / 2)
		wake();
}

static void put_shared(struct str line, bool urgent)
{
	(void)pthread_mutex_lock(&shared_mutex);
	if (writer.shared) {
		(void)log_ring_put(writer.shared, line);
		wake_if_needed(writer.shared, urgent);
	}
	(void)pthread_mutex_unlock(&shared_mutex);
}

void log_writer_put(struct str line, bool urgent)
{
	if (own_ring && UNLIKELY(atomic_load_explicit(&own_ring->cut_off, memory_order_acquire)))
		log_thread_detach();
	if (!own_ring) {
		put_shared(line, urgent);
		return;
	}

	(void)log_ring_put(own_ring, line);
	wake_if_needed(own_ring, urgent);
}

/* Puts a ring into the list. Under `registry`. */
static int enlist(struct log_ring *ring)
{
	for (size_t i = 0; i < RINGS_MAX; i++) {
		if (atomic_load_explicit(&writer.rings[i], memory_order_relaxed))
			continue;
		atomic_store(&writer.rings[i], ring);
		return 0;
	}
	return fail(ERR_FULL, "more than %d threads with a log ring", RINGS_MAX);
}

static bool good_ring_size(size_t bytes)
{
	return bytes >= LOG_LINE_MAX && (bytes & (bytes - 1)) == 0;
}

int log_thread_attach(size_t ring_bytes)
{
	struct log_ring *ring;
	int error;

	if (own_ring && atomic_load(&own_ring->cut_off))
		log_thread_detach();
	CHECK(!own_ring);
	ring_bytes = ring_bytes ? ring_bytes : RING_BYTES;
	CHECK(good_ring_size(ring_bytes));

	ring = log_ring_new(ring_bytes);
	if (!ring)
		return err_wrap("while making a log ring");

	(void)pthread_mutex_lock(&registry);
	error = writer.open ? enlist(ring) : fail(ERR_CLOSED, "the log is not open");
	(void)pthread_mutex_unlock(&registry);
	if (error < 0) {
		log_ring_free(ring);
		return error;
	}

	own_ring = ring;
	return 0;
}

void log_thread_detach(void)
{
	struct log_ring *ring = TAKE(own_ring);
	bool cut_off;

	if (!ring)
		return;

	(void)pthread_mutex_lock(&registry);
	cut_off = atomic_load_explicit(&ring->cut_off, memory_order_relaxed);
	if (!cut_off)
		atomic_store(&ring->orphan, true);
	(void)pthread_mutex_unlock(&registry);
	if (cut_off)
		log_ring_free(ring);
}

/* --- the writer's side ---------------------------------------------------- */

/* Forgets a ring but keeps its numbers. Under `registry`. */
static void retire(size_t index)
{
	struct log_ring *ring = atomic_load_explicit(&writer.rings[index], memory_order_relaxed);

	writer.retired_lines += atomic_load_explicit(&ring->lines, memory_order_relaxed);
	writer.retired_dropped += atomic_load_explicit(&ring->dropped, memory_order_relaxed);
	atomic_store(&writer.rings[index], NULL);
}

/* Lines and drops of all rings that are or were. Under `registry`. */
static void count_all(uint64_t *ret_lines, uint64_t *ret_dropped)
{
	*ret_lines = writer.retired_lines;
	*ret_dropped = writer.retired_dropped;
	for (size_t i = 0; i < RINGS_MAX; i++) {
		const struct log_ring *ring =
			atomic_load_explicit(&writer.rings[i], memory_order_relaxed);

		if (!ring)
			continue;
		*ret_lines += atomic_load_explicit(&ring->lines, memory_order_relaxed);
		*ret_dropped += atomic_load_explicit(&ring->dropped, memory_order_relaxed);
	}
}

/* Takes what one ring holds into the batch. False when the batch has no room for all of it. */
static bool take(size_t index, size_t *len)
{
	struct log_ring *ring = atomic_load_explicit(&writer.rings[index], memory_order_relaxed);
	bool orphan;

	if (!ring)
		return true;

	orphan = atomic_load(&ring->orphan); /* before the take: nothing comes after it */
	*len += log_ring_take(ring, writer.batch + *len, BATCH_BYTES - *len);
	if (BATCH_BYTES - *len < LOG_LINE_MAX)
		return false;

	if (orphan) {
		retire(index);
		log_ring_free(ring);
	}
	return true;
}

/* Fills the batch from all rings in turn. True when they have been emptied. */
static bool fill(size_t *ret_len)
{
	uint64_t lines;
	size_t len = 0, i;
	bool complete = true;

	(void)pthread_mutex_lock(&registry);
	for (i = 0; i < RINGS_MAX && complete; i++)
		complete = take((writer.turn + i) % RINGS_MAX, &len);
	if (!complete)
		writer.turn = (writer.turn + i) % RINGS_MAX;
	count_all(&lines, &writer.dropped);
	(void)pthread_mutex_unlock(&registry);

	*ret_len = len;
	return complete;
}

static bool stopping(void)
{
	return atomic_load(&writer.stop_at_ns) != 0;
}

/* True when log_close has no more patience, or a crash leaves no time. For the sink, too. */
static bool out_of_time(void *arg)
{
	uint64_t stop_at_ns = atomic_load(&writer.stop_at_ns);

	(void)arg;
	return (stop_at_ns && clock_now_ns() >= stop_at_ns) || atomic_load(&writer.crashing);
}

/* A crash handler writes what is left; this thread must not disturb it any more. */
static void stand_still_in_crash(void)
{
	if (LIKELY(!atomic_load(&writer.crashing)))
		return;

	atomic_store(&writer.crash_stopped, true);
	for (;;)
		(void)pause();
}

static bool write_batch(size_t len)
{
	bool written = false;

	atomic_store(&writer.batch_len, len);
	stand_still_in_crash();
	if (stopping() && out_of_time(NULL)) {
		log_sink_lose(&writer.sink, str_of(writer.batch, len));
		writer.gave_up = true;
	} else {
		written = log_sink_write(&writer.sink, str_of(writer.batch, len), clock_wall_us());
	}
	stand_still_in_crash();
	atomic_store(&writer.batch_len, 0);
	return written;
}

/* Says how many lines are missing, once a second at most, when it can be written again. */
static void report(void)
{
	uint64_t lost = atomic_load_explicit(&writer.sink.lost, memory_order_relaxed);
	uint64_t now_ns = clock_now_ns();
	const struct log_field fields[] = {
		LOG_U64("dropped", writer.dropped - writer.reported_dropped),
		LOG_U64("lost", lost - writer.reported_lost),
		LOG_STR("cause", str_from_c(writer.sink.error ? err_errno_text(writer.sink.error)
							      : "a ring was full")),
	};
	const struct log_line_parts parts = { .time_us = clock_wall_us(),
		.level = LOG_WARN,
		.message = S("log lines dropped"),
		.fields = fields,
		.count = LEN(fields) };
	size_t len;

	if (writer.dropped == writer.reported_dropped && lost == writer.reported_lost)
		return;
	if (writer.sink.dead || (stopping() && out_of_time(NULL)) ||
		(!stopping() && now_ns - writer.reported_at_ns < REPORT_EVERY))
		return;

	writer.reported_at_ns = now_ns;
	len = log_writer_pretty() ? log_line_pretty(writer.batch, &parts)
				  : log_line_json(writer.batch, &parts);
	if (log_sink_write(&writer.sink, str_of(writer.batch, len), parts.time_us)) {
		writer.reported_dropped = writer.dropped;
		writer.reported_lost = lost;
		writer.sink.error = 0;
	} else {
		atomic_fetch_sub_explicit(&writer.sink.lost, 1, memory_order_relaxed);
	}
}

/* Empties all rings once. True when there was anything. */
static bool make_pass(void)
{
	bool complete, any = false, written = true;
	uint64_t number;
	size_t len;

	(void)pthread_mutex_lock(&registry);
	number = ++writer.passes_begun;
	(void)pthread_mutex_unlock(&registry);

	if (atomic_exchange(&writer.reopen, false))
		log_sink_reopen(&writer.sink);

	do {
		stand_still_in_crash();
		complete = fill(&len);
		if (len) {
			any = true;
			written = write_batch(len);
		}
	} while (!complete);
	if (written)
		report();

	(void)pthread_mutex_lock(&registry);
	writer.passes_done = number;
	(void)pthread_cond_broadcast(&progress);
	(void)pthread_mutex_unlock(&registry);
	return any;
}

static void *run(void *arg)
{
	unsigned idle = 0;

	(void)arg;
	(void)prctl(PR_SET_NAME, "log");
	atomic_store(&writer.thread_id, gettid());

	for (;;) {
		bool last =
			stopping(); /* before the pass: it sees all lines from before the stop */

		idle = make_pass() ? 0 : idle + 1;
		if (last)
			break;
		rest(idle > IDLE_NAPS);
	}

	atomic_store(&writer.thread_id, 0);
	(void)pthread_mutex_lock(&registry);
	writer.running = false;
	(void)pthread_cond_broadcast(&progress);
	(void)pthread_mutex_unlock(&registry);
	return NULL;
}

/* --- opening and closing -------------------------------------------------- */

static void make_progress(void)
{
	pthread_condattr_t attributes;

	CHECK(pthread_condattr_init(&attributes) == 0);
	CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	CHECK(pthread_cond_init(&progress, &attributes) == 0);
	(void)pthread_condattr_destroy(&attributes);
}

/* Waits for `progress` until the deadline of clock_now_ns. Under `registry`; false when it is over.
 */
static bool wait_progress(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();
	struct timespec until;
	uint64_t at_ns;

	if (now_ns >= deadline_ns)
		return false;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	at_ns = (uint64_t)until.tv_sec * SECOND + (uint64_t)until.tv_nsec +
		MIN(deadline_ns - now_ns, 24 * HOUR);
	until = (struct timespec){ .tv_sec = (time_t)(at_ns / SECOND),
		.tv_nsec = (long)(at_ns % SECOND) };
	(void)pthread_cond_timedwait(&progress, &registry, &until);
	return true;
}

static int open_sink(const struct log_options *options)
{
	int error;

	if (options->folder.len == 0) {
		log_sink_init_fd(&writer.sink, options->fd);
	} else {
		writer.sink = (struct log_sink){ .rotate_bytes = options->rotate_bytes,
			.keep_files = options->keep_files,
			.keep_days = options->keep_days };
		error = log_sink_init_files(
			&writer.sink, options->folder, options->name, clock_wall_us());
		if (error < 0)
			return error;
	}

	writer.sink.give_up = out_of_time;
	return 0;
}

/* The thread gets no signals: they belong to whoever handles them. */
static int start_thread(void)
{
	sigset_t all, former;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &former);
	error = fault_point(FAULT_SYSCALL) ? EAGAIN
					   : pthread_create(&writer.thread, NULL, run, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (error)
		return fail(ERR_IO, "cannot start the log thread: %s", err_errno_text(error));
	return 0;
}

static void set_shared(struct log_ring *ring)
{
	(void)pthread_mutex_lock(&shared_mutex);
	writer.shared = ring;
	(void)pthread_mutex_unlock(&shared_mutex);
}

/* Back to the start, but for what must outlive the log. */
static void forget(void)
{
	atomic_store(&writer.state, AWAKE);
	atomic_store(&writer.asked, false);
	atomic_store(&writer.reopen, false);
	atomic_store(&writer.stop_at_ns, 0);
	writer.gave_up = false;
	writer.passes_begun = writer.passes_done = 0;
	writer.retired_lines = writer.retired_dropped = 0;
	writer.dropped = writer.reported_dropped = writer.reported_lost = 0;
	writer.reported_at_ns = 0;
	writer.turn = 0;
}

/* With the sink open: ring, thread. Under `registry`. */
static int open_rest(const struct log_options *options)
{
	size_t bytes = options->shared_ring_bytes ? options->shared_ring_bytes : RING_BYTES;
	struct log_ring *ring = log_ring_new(bytes);
	int error;

	if (!ring)
		return err_wrap("while making the shared log ring");

	forget();
	CHECK(enlist(ring) == 0);
	error = start_thread();
	if (error < 0) {
		atomic_store(&writer.rings[0], NULL);
		log_ring_free(ring);
		return error;
	}

	set_shared(ring);
	writer.open = writer.running = true;
	return 0;
}

int log_open(const struct log_options *options)
{
	bool terminal = options->folder.len == 0 && isatty(options->fd);
	int error;

	if (options->shared_ring_bytes && !good_ring_size(options->shared_ring_bytes))
		return fail(ERR_INVALID, "a log ring of %zu bytes: not a power of two from %d on",
			options->shared_ring_bytes, LOG_LINE_MAX);

	(void)pthread_once(&progress_once, make_progress);
	(void)pthread_mutex_lock(&registry);
	CHECK(!writer.open);
	if (writer.stuck)
		error = fail(ERR_CLOSED, "the former log thread still hangs in a write");
	else
		error = open_sink(options);
	if (error == 0) {
		error = open_rest(options);
		if (error < 0)
			log_sink_done(&writer.sink);
	}
	(void)pthread_mutex_unlock(&registry);
	if (error < 0)
		return error;

	atomic_store(&writer.pretty,
		options->format == LOG_PRETTY || (options->format == LOG_AUTO && terminal));
	log_level_set(options->level);
	return 0;
}

/* Frees the rings nobody has; the others are left to their threads. Under `registry`. */
static void close_rings(void)
{
	for (size_t i = 0; i < RINGS_MAX; i++) {
		struct log_ring *ring = atomic_load(&writer.rings[i]);

		if (!ring)
			continue;
		retire(i);
		if (ring == writer.shared || atomic_load(&ring->orphan))
			log_ring_free(ring);
		else
			atomic_store_explicit(&ring->cut_off, true, memory_order_release);
	}
}

int log_close(uint64_t deadline_ns)
{
	bool gave_up;

	log_level_set(LOG_OFF);
	atomic_store(&writer.stop_at_ns, MAX(deadline_ns, 1));
	ask();

	(void)pthread_mutex_lock(&registry);
	CHECK(writer.open);
	while (writer.running && wait_progress(deadline_ns + CLOSE_GRACE))
		;
	writer.open = false;
	if (writer.running) {
		writer.stuck = true;
		set_shared(NULL);
		(void)pthread_mutex_unlock(&registry);
		return fail(ERR_TIMEOUT, "the log thread hangs in a write");
	}
	(void)pthread_mutex_unlock(&registry);

	CHECK(pthread_join(writer.thread, NULL) == 0);
	(void)pthread_mutex_lock(&registry);
	(void)pthread_mutex_lock(&shared_mutex);
	close_rings();
	writer.shared = NULL;
	(void)pthread_mutex_unlock(&shared_mutex);
	gave_up = writer.gave_up;
	log_sink_done(&writer.sink);
	(void)pthread_mutex_unlock(&registry);
	return gave_up ? fail(ERR_TIMEOUT, "the log could not be written in time") : 0;
}

int log_flush(uint64_t deadline_ns)
{
	uint64_t pass;
	bool in_time = true;
	int error = 0;

	(void)pthread_mutex_lock(&registry);
	pass = writer.passes_begun + 1;
	ask();
	while (in_time && writer.open && writer.passes_done < pass)
		in_time = wait_progress(deadline_ns);
	if (!writer.open)
		error = fail(ERR_CLOSED, "the log is not open");
	else if (writer.passes_done < pass)
		error = fail(ERR_TIMEOUT, "the log could not be written in time");
	(void)pthread_mutex_unlock(&registry);
	return error;
}

void log_reopen(void)
{
	atomic_store(&writer.reopen, true);
	ask();
}

struct log_stats log_stats(void)
{
	struct log_stats stats;

	(void)pthread_mutex_lock(&registry);
	count_all(&stats.lines, &stats.dropped);
	stats.lost = atomic_load_explicit(&writer.sink.lost, memory_order_relaxed);
	stats.bytes = atomic_load_explicit(&writer.sink.bytes, memory_order_relaxed);
	(void)pthread_mutex_unlock(&registry);
	return stats;
}

/* --- crash ---------------------------------------------------------------- */

static uint64_t real_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* Waits until the flag is set or the time is over. */
static void await_flag(_Atomic bool *flag, uint64_t deadline_ns)
{
	static const struct timespec moment = { .tv_nsec = (long)MILLISECOND };

	while (!atomic_load(flag) && real_now_ns() < deadline_ns)
		(void)nanosleep(&moment, NULL);
}

/* False when the sink takes no more. */
static bool crash_write(struct str rest, uint64_t deadline_ns)
{
	int fd = atomic_load(&writer.sink.fd);

	while (rest.len) {
		struct pollfd entry = { .fd = fd, .events = POLLOUT };
		ssize_t wrote;

		if (poll(&entry, 1, 10) <= 0) {
			if (real_now_ns() >= deadline_ns)
				return false;
			continue;
		}
		wrote = write(fd, rest.at, MIN(rest.len, (size_t)4096));
		if (wrote > 0)
			rest = str_from(rest, (size_t)wrote);
		else if (wrote == 0 || (errno != EINTR && errno != EAGAIN) ||
			 real_now_ns() >= deadline_ns)
			return false;
	}
	return true;
}

/* What a ring holds, straight to the sink; the reader's position is left as it is. */
static bool crash_ring(const struct log_ring *ring, uint64_t deadline_ns)
{
	size_t tail = atomic_load(&ring->tail), len = atomic_load(&ring->head) - tail;
	size_t from = tail & (ring->size - 1);
	size_t first = MIN(len, ring->size - from);

	if (len > ring->size) /* the crash may have come from a wild write */
		return true;
	return crash_write(str_of(ring->bytes + from, first), deadline_ns) &&
	       crash_write(str_of(ring->bytes, len - first), deadline_ns);
}

void log_crash_flush(void)
{
	uint64_t deadline_ns = real_now_ns() + CRASH_PATIENCE;
	int saved = errno;
	bool going = true;

	if (atomic_exchange(&writer.crashing, true)) {
		await_flag(&writer.crash_done, deadline_ns);
		return;
	}

	if (atomic_load(&writer.thread_id) && atomic_load(&writer.thread_id) != gettid()) {
		wake();
		await_flag(&writer.crash_stopped, deadline_ns - CRASH_PATIENCE / 2);
	}

	going = crash_write(str_of(writer.batch, atomic_load(&writer.batch_len)), deadline_ns);
	for (size_t i = 0; i < RINGS_MAX && going; i++) {
		const struct log_ring *ring = atomic_load(&writer.rings[i]);

		going = !ring || crash_ring(ring, deadline_ns);
	}
	atomic_store(&writer.crash_done, true);
	errno = saved;
}
