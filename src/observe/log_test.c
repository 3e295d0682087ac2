/* The log as a whole, with its writer thread: order, drops, slow and broken sinks, flush, crash. */
#include "observe/log.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/test.h"
#include "observe/clock.h"
#include "observe/log_redact.h"
#include "observe/metric.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t in_s(uint64_t seconds)
{
	return clock_now_ns() + seconds * SECOND;
}

static void sleep_ms(unsigned ms)
{
	const struct timespec time = { .tv_sec = ms / 1000,
		.tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&time, NULL);
}

/* A file without a name. */
static int new_file(void)
{
	char path[] = "/tmp/bulkhead-log-XXXXXX";
	int fd = mkostemp(path, O_APPEND | O_CLOEXEC);

	CHECK(fd >= 0 && unlink(path) == 0);
	return fd;
}

static struct str read_all(int fd)
{
	static char *text;
	off_t len = lseek(fd, 0, SEEK_END);

	free(text);
	text = malloc((size_t)len + 1);
	CHECK(text && pread(fd, text, (size_t)len, 0) == len);
	return str_of(text, (size_t)len);
}

static void open_fd(int fd, enum log_level level)
{
	const struct log_options options = { .level = level, .fd = fd };

	REQUIRE(log_open(&options) == 0);
}

/* The number behind `"key":` in the line; dies when there is none. */
static uint64_t number_in(struct str line, struct str key)
{
	ptrdiff_t at = str_find(line, key);
	struct str digits = str_from(line, (size_t)at + key.len);
	uint64_t value;
	size_t len = 0;

	while (len < digits.len && digits.at[len] >= '0' && digits.at[len] <= '9')
		len++;
	REQUIRE(at >= 0 && num_parse_u64(str_first(digits, len), &value));
	return value;
}

TEST(log_levels_and_macros)
{
	int fd = new_file();
	struct str text;
	enum log_level level = LOG_OFF;

	log_info("before the log is open");
	open_fd(fd, LOG_INFO);
	EXPECT(!log_enabled(LOG_DEBUG) && log_enabled(LOG_INFO));
	log_debug("no");
	log_info("a");
	log_warn("b", LOG_STR("k", S("v")));
	(void)fail(ERR_IO, "no disk");
	log_error("c", LOG_ERR, LOG_BOOL("last", true));
	log_level_set(LOG_TRACE);
	log_trace("d");
	log_level_set(LOG_OFF);
	log_fatal("no");
	EXPECT_INT(log_stats().lines, 4);
	EXPECT_INT(log_close(in_s(5)), 0);
	log_fatal("after it was closed");

	text = read_all(fd);
	EXPECT(str_find(text, S("\"level\":\"info\",\"msg\":\"a\"}\n{")) > 0);
	EXPECT(str_find(text, S("\"level\":\"warn\",\"msg\":\"b\",\"k\":\"v\"}\n{")) > 0);
	EXPECT(str_find(text, S("\"msg\":\"c\",\"error\":{\"code\":\"IO\",\"text\":\"no disk\","
				"\"at\":\"src/observe/log_test.c:")) > 0);
	EXPECT(str_ends(text, S("\"level\":\"trace\",\"msg\":\"d\"}\n")));
	EXPECT(str_find(text, S("no\"")) < 0);
	EXPECT_INT(mem_used(), 0);

	EXPECT(log_level_parse(S("WARN"), &level) && level == LOG_WARN);
	EXPECT(!log_level_parse(S("loud"), &level) && level == LOG_WARN);
	EXPECT_STR(log_level_name(LOG_FATAL), S("fatal"));
}

TEST(log_context_on_the_fiber)
{
	int fd = new_file();
	struct log_context outer = { .request_id = S("r1") };
	struct log_context inner = { .user_id = S("u1") };

	open_fd(fd, LOG_INFO);
	EXPECT(!log_context_now());
	log_context_push(&outer);
	log_context_push(&inner);
	EXPECT(log_context_now() == &inner);
	log_info("both");
	log_context_pop(&inner);
	log_info("one");
	log_context_pop(&outer);
	log_info("none");
	EXPECT_INT(log_close(in_s(5)), 0);

	EXPECT(str_find(read_all(fd), S("\"both\",\"requestId\":\"r1\",\"userId\":\"u1\"}")) > 0);
	EXPECT(str_find(read_all(fd), S("\"one\",\"requestId\":\"r1\"}")) > 0);
	EXPECT(str_find(read_all(fd), S("\"none\"}")) > 0);
}

/* --- many threads --------------------------------------------------------- */

enum { THREADS = 4, LINES = 3000 };

static void *hammer(void *arg)
{
	size_t who = (size_t)arg;

	if (who % 2)
		CHECK(log_thread_attach(64 * KILOBYTE) == 0);
	for (uint64_t i = 0; i < LINES; i++) {
		log_info("hit", LOG_U64("who", who), LOG_U64("i", i),
			LOG_STR("pad", str_first(S("................................"), i % 32)));
		if (i % 50 == 0)
			sleep_ms(1);
	}
	log_thread_detach();
	return NULL;
}

TEST(log_many_threads_keep_their_order)
{
	uint64_t next[THREADS] = { 0 }, dropped = 0, lines = 0;
	pthread_t threads[THREADS];
	int fd = new_file();
	struct log_stats stats;
	struct str rest;

	open_fd(fd, LOG_INFO);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, hammer, (void *)i) == 0);
	for (int i = 0; i < 20; i++) {
		(void)log_stats();
		log_reopen();
		sleep_ms(2);
	}
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	EXPECT_INT(log_close(in_s(10)), 0);

	stats = log_stats();
	EXPECT_INT(stats.lines + stats.dropped, THREADS * LINES);
	rest = read_all(fd);
	while (rest.len) {
		struct str line = str_cut(&rest, '\n');
		uint64_t who, i;

		if (str_find(line, S("log lines dropped")) >= 0) {
			dropped += number_in(line, S("\"dropped\":"));
			continue;
		}
		who = number_in(line, S("\"who\":"));
		i = number_in(line, S("\"i\":"));
		REQUIRE(who < THREADS && i >= next[who]);
		next[who] = i + 1;
		lines++;
	}
	EXPECT_INT(lines, stats.lines);
	EXPECT_INT(dropped, stats.dropped);
	EXPECT_INT(mem_used(), 0);
}

/* --- slow and broken sinks ------------------------------------------------ */

TEST(log_slow_sink_never_blocks)
{
	enum { MANY = 20000 };
	struct log_stats stats;
	uint64_t start_ns;
	int ends[2];
	char text[65536];
	ssize_t got;
	bool reported = false;

	REQUIRE(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
	open_fd(ends[1], LOG_INFO);
	REQUIRE(log_thread_attach(32 * KILOBYTE) == 0);

	/* Nobody reads: lines are dropped, the thread runs on. */
	start_ns = clock_now_ns();
	for (uint64_t i = 0; i < MANY; i++)
		log_error("nobody reads this", LOG_U64("i", i));
	EXPECT(clock_now_ns() - start_ns < 5 * SECOND);
	stats = log_stats();
	EXPECT_INT(stats.lines + stats.dropped, MANY);
	EXPECT(stats.dropped > MANY / 2);
	EXPECT_INT(log_flush(clock_now_ns() + 50 * MILLISECOND), -ERR_TIMEOUT);

	/* Somebody reads again: the log says how many are missing. */
	REQUIRE(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
	for (int i = 0; i < 2000 && !reported; i++) {
		got = read(ends[0], text, sizeof(text));
		reported = got > 0 && str_find(str_of(text, (size_t)got),
					      S("\"msg\":\"log lines dropped\"")) >= 0;
		sleep_ms(2);
	}
	EXPECT(reported);
	log_thread_detach();
	EXPECT_INT(log_close(in_s(5)), 0);
	EXPECT_INT(mem_used(), 0);
}

TEST(log_close_keeps_its_deadline)
{
	int ends[2];
	uint64_t start_ns;

	REQUIRE(pipe(ends) == 0 && fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
	open_fd(ends[1], LOG_INFO);
	for (int i = 0; i < 2000; i++)
		log_info("more than a pipe holds, and nobody reads it", LOG_INT("i", i));
	start_ns = clock_now_ns();
	EXPECT_INT(log_close(clock_now_ns() + 100 * MILLISECOND), -ERR_TIMEOUT);
	EXPECT(clock_now_ns() - start_ns < 2 * SECOND);
	EXPECT(log_stats().lost > 0);
	EXPECT_INT(mem_used(), 0);
}

TEST(log_broken_pipe_ends_quietly)
{
	int ends[2];

	(void)signal(SIGPIPE, SIG_DFL); /* the writer must not depend on it being ignored */
	REQUIRE(pipe(ends) == 0);
	(void)close(ends[0]);
	open_fd(ends[1], LOG_INFO);
	for (int i = 0; i < 100; i++)
		log_error("gone");
	EXPECT_INT(log_flush(in_s(5)), 0);
	EXPECT_INT(log_stats().lost, 100);
	EXPECT_INT(log_close(in_s(5)), 0);
}

TEST(log_full_disk)
{
	int fd = open("/dev/full", O_WRONLY), good = new_file();
	struct timespec used;

	REQUIRE(fd >= 0);
	open_fd(fd, LOG_INFO);
	for (int i = 0; i < 100; i++)
		log_info("lost");
	EXPECT_INT(log_flush(in_s(5)), 0);
	EXPECT_INT(log_stats().lost, 100);

	sleep_ms(200); /* no busy loop */
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	EXPECT(used.tv_sec == 0);

	/* There is room again. */
	REQUIRE(dup2(good, fd) == fd);
	log_info("here again");
	EXPECT_INT(log_flush(in_s(5)), 0);
	EXPECT_INT(log_close(in_s(5)), 0);
	EXPECT(str_find(read_all(good), S("\"here again\"")) > 0);
	EXPECT(str_find(read_all(good), S("\"log lines dropped\",\"dropped\":0,\"lost\":100,"
					  "\"cause\":\"No space left on device\"}")) > 0);
}

/* --- sleeping, waking, flushing ------------------------------------------- */

static bool appears(int fd, struct str what, unsigned within_ms)
{
	for (unsigned ms = 0; ms < within_ms; ms++) {
		if (str_find(read_all(fd), what) >= 0)
			return true;
		sleep_ms(1);
	}
	return false;
}

TEST(log_writer_wakes)
{
	int fd = new_file();
	struct str text;

	open_fd(fd, LOG_INFO);
	REQUIRE(log_thread_attach(0) == 0);
	log_info("awake");
	EXPECT(appears(fd, S("\"awake\""), 2000));
	sleep_ms(1800); /* by now it sleeps for good */
	log_info("asleep");
	EXPECT(appears(fd, S("\"asleep\""), 2000));
	for (int i = 0; i < 200; i++) {
		log_info("flushed", LOG_INT("i", i));
		EXPECT_INT(log_flush(in_s(5)), 0);
		REQUIRE(str_find(read_all(fd), S("\"flushed\"")) >= 0);
	}
	text = read_all(fd);
	EXPECT_INT(number_in(str_from(text, text.len - 10), S("\"i\":")), 199);
	log_thread_detach();
	EXPECT_INT(log_close(in_s(5)), 0);
	EXPECT_INT(log_flush(in_s(1)), -ERR_CLOSED);
}

TEST(log_thread_outlives_the_log)
{
	int fd = new_file();

	EXPECT_INT(log_thread_attach(0), -ERR_CLOSED);
	open_fd(fd, LOG_INFO);
	EXPECT_INT(log_thread_attach(0), 0);
	log_info("one");
	EXPECT_INT(log_close(in_s(5)), 0);

	open_fd(fd, LOG_INFO); /* its ring belongs to the former log */
	log_info("two");
	EXPECT_INT(log_thread_attach(0), 0);
	log_info("three");
	EXPECT_INT(log_close(in_s(5)), 0);
	log_thread_detach();
	EXPECT(str_find(read_all(fd), S("\"two\"")) > 0);
	EXPECT(str_find(read_all(fd), S("\"three\"")) > 0);
	EXPECT_INT(mem_used(), 0);
}

/* --- files, by a clock of ours -------------------------------------------- */

static _Atomic int64_t wall_us;

static int64_t fake_wall(void *arg)
{
	(void)arg;
	return atomic_load(&wall_us);
}

static uint64_t real_now(void *arg)
{
	struct timespec now;

	(void)arg;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

TEST(log_files_rotate_by_the_clock)
{
	static const struct clock_source source = { real_now, fake_wall, NULL };
	char folder[] = "/tmp/bulkhead-log-XXXXXX", path[80], command[64];
	int64_t day_us = (int64_t)86400 * 1000000;
	struct log_options options = { .level = LOG_INFO, .name = S("bulkhead"), .keep_days = 1 };

	REQUIRE(mkdtemp(folder) != NULL);
	atomic_store(&wall_us, (int64_t)1795132800 * 1000000);
	clock_replace(&source);
	options.folder = str_from_c(folder);
	REQUIRE(log_open(&options) == 0);
	for (int day = 0; day < 4; day++) {
		log_info("a day");
		EXPECT_INT(log_flush(in_s(5)), 0);
		atomic_fetch_add(&wall_us, day_us);
	}
	EXPECT_INT(log_close(in_s(5)), 0);

	for (int day = 20; day < 24; day++) {
		(void)snprintf(path, sizeof(path), "%s/bulkhead-2026-11-%d.1.log", folder, day);
		EXPECT((access(path, R_OK) == 0) == (day >= 22));
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	EXPECT_INT(system(command), 0);
	clock_replace(NULL);
}

/* --- crash ---------------------------------------------------------------- */

static void on_crash(int number)
{
	log_crash_flush();
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

static void crash(void *arg)
{
	(void)signal(SIGABRT, on_crash);
	open_fd(*(int *)arg, LOG_INFO);
	REQUIRE(log_thread_attach(0) == 0);
	for (int i = 0; i < 500; i++)
		log_info("last words", LOG_INT("i", i));
	abort();
}

TEST(log_crash_flush)
{
	int fd = new_file();
	struct str text;

	EXPECT(test_dies(crash, &fd, SIGABRT));
	text = read_all(fd);
	EXPECT(str_find(text, S("\"i\":0}")) > 0);
	EXPECT(str_ends(text, S("\"last words\",\"i\":499}\n")));
}

static void crash_into_a_full_pipe(void *arg)
{
	(void)signal(SIGABRT, on_crash);
	(void)arg;
	crash(arg);
}

TEST(log_crash_flush_gives_up)
{
	uint64_t start_ns = clock_now_ns();
	int ends[2];
	char zeros[4096] = { 0 };

	REQUIRE(pipe(ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
	while (write(ends[1], zeros, sizeof(zeros)) > 0)
		;
	EXPECT(test_dies(crash_into_a_full_pipe, &ends[1], SIGABRT));
	EXPECT(clock_now_ns() - start_ns < 10 * SECOND);
}

/* --- opening -------------------------------------------------------------- */

TEST(log_open_refuses)
{
	const struct log_options bad_ring = { .fd = 1, .shared_ring_bytes = 100000 };
	const struct log_options no_folder = { .folder = S("/nowhere/at/all"), .name = S("x") };

	EXPECT_INT(log_open(&bad_ring), -ERR_INVALID);
	EXPECT_INT(log_open(&no_folder), -ERR_IO);
	EXPECT_INT(mem_used(), 0);
}

#ifdef BULKHEAD_FAULTS
TEST(log_open_torture)
{
	char folder[] = "/tmp/bulkhead-log-XXXXXX", command[64];
	struct log_options options = { .level = LOG_INFO, .name = S("x"), .keep_files = 1 };

	REQUIRE(mkdtemp(folder) != NULL);
	options.folder = str_from_c(folder);
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
		for (size_t nth = 1;; nth++) {
			bool struck;

			fault_arm(kind, nth);
			if (log_open(&options) == 0) {
				if (log_thread_attach(0) == 0)
					log_info("with a ring");
				log_thread_detach();
				EXPECT_INT(log_close(in_s(5)), 0);
			}
			struck = fault_struck(kind);
			fault_arm(kind, 0);
			EXPECT_INT(mem_used(), 0);
			if (!struck)
				break;
		}
	}
	(void)snprintf(command, sizeof(command), "rm -rf %s", folder);
	EXPECT_INT(system(command), 0);
}
#endif

TEST(log_metrics)
{
	struct buf page;
	int fd = new_file();

	buf_init(&page, MEGABYTE);
	open_fd(fd, LOG_INFO);
	log_info("one");
	EXPECT_INT(log_metrics_register(), 0);
	EXPECT_INT(metric_write(&page, METRIC_TEXT), 0);
	EXPECT(str_find(buf_str(&page), S("\nlog_lines_total 1\n")) > 0);
	EXPECT(str_find(buf_str(&page), S("\nlog_lines_dropped_total 0\n")) > 0);
	buf_done(&page);
	EXPECT_INT(log_close(in_s(5)), 0);
}
