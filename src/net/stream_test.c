/* Streams and pipes on a virtual clock: pace, deadlines, parts of every shape, ends and closings.
 */
#include "net/stream.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "net/pipe.h"

#include <stdio.h>

enum { TEXT_MAX = 5000 };

static struct sched sched;
static struct pipe_end ends[2];
static char sent[TEXT_MAX], received[TEXT_MAX];
static size_t received_len;
static uint64_t ended_ns; /* when the fiber under test ended */
static int result;        /* and how */

static void begin(size_t capacity, size_t chop)
{
	sched_init(&sched, 100);
	pipe_open(ends, capacity, chop);
	received_len = 0;
	result = 1;
}

static void run_until(uint64_t end_ns)
{
	uint64_t now = sched.now_ns, next;

	while ((next = sched_run(&sched, now)) <= end_ns)
		now = MAX(now, next);
}

static void end(void)
{
	scope_cancel(&sched.root);
	(void)sched_run(&sched, sched.now_ns);
	EXPECT_INT(sched.count, 0);
	stream_close(&ends[0].stream);
	stream_close(&ends[1].stream);
	sched_done(&sched);
	EXPECT_INT(mem_used(), 0);
}

static void spawn(int (*run)(void *), void *arg)
{
	REQUIRE(scope_spawn(&sched.root, run, arg) == 0);
}

/* --- pace --------------------------------------------------------------- */

static int write_all(void *arg)
{
	struct str part = str_of(sent, TEXT_MAX);

	result = stream_write(&ends[0].stream, &part, 1, arg);
	ended_ns = sched_now();
	return 0;
}

/* A byte each 100 ms. */
static int read_slowly(void *arg)
{
	char byte;

	(void)arg;
	while (fiber_sleep_until(sched_now() + 100 * MILLISECOND) == 0)
		if (stream_read(&ends[1].stream, &byte, 1, TIME_NEVER) <= 0)
			break;
	return 0;
}

TEST(stream_write_bears_a_reader_for_its_pace)
{
	/* TEXT_MAX bytes into a pipe of 1000, read at 10 bytes a second. */
	static const struct {
		bool read;
		struct stream_pace pace;
		int result;
		uint64_t ended_ns;
	} cases[] = {
		{ false, { .stall_ns = 3 * SECOND }, -ERR_TIMEOUT, 3 * SECOND },
		{ false, { .stall_ns = 3 * SECOND, .bytes_per_s = 100 }, -ERR_TIMEOUT, 3 * SECOND },
		{ true, { .stall_ns = 50 * MILLISECOND }, -ERR_TIMEOUT, 50 * MILLISECOND },
		{ true, { .stall_ns = 150 * MILLISECOND }, 0, 400 * SECOND },
		{ true, { .stall_ns = TIME_NEVER }, 0, 400 * SECOND },
		{ true, { .stall_ns = TIME_NEVER, .bytes_per_s = 1000000 }, 0, 400 * SECOND },
		{ true, { .stall_ns = SECOND, .bytes_per_s = 9 }, 0, 400 * SECOND },
		/* 1000 bytes at once last 20 s, and each second brings 10 where it takes 50: the
		 * budget (20 s + 1 s) is used up at t = 21 + t * 10 / 50. */
		{ true, { .stall_ns = SECOND, .bytes_per_s = 50 }, -ERR_TIMEOUT,
			26200 * MILLISECOND },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		begin(1000, 1000);
		spawn(write_all, (void *)&cases[i].pace);
		if (cases[i].read)
			spawn(read_slowly, NULL);
		run_until(1000 * SECOND);
		EXPECT_INT(result, cases[i].result);
		test_note(ended_ns >= cases[i].ended_ns &&
				  ended_ns <= cases[i].ended_ns + 200 * MILLISECOND,
			__FILE__, __LINE__, "case %zu ended after %llu ms", i,
			(unsigned long long)(ended_ns / MILLISECOND));
		end();
	}
}

/* Takes everything without looking; then nothing until its time. */
struct sink {
	struct stream stream;
	struct ready ready;
	size_t writes;
};

static ssize_t sink_write(struct stream *stream, const struct str *parts, size_t count)
{
	struct sink *sink = CONTAINER_OF(stream, struct sink, stream);

	EXPECT_INT(count, 1);
	sink->ready.writable = false;
	switch (sink->writes++) {
	case 0: return (ssize_t)(parts[0].len - 2);
	case 2: return 1;
	default: return STREAM_WANT_WRITE;
	}
}

static const struct stream_ops sink_ops = { .write = sink_write };

static int write_much(void *arg)
{
	struct sink *sink = arg;
	struct stream_pace pace = { .stall_ns = 100 * SECOND, .bytes_per_s = 1000000000 };
	struct str part = str_of(sent, 20000000000);

	result = stream_write(&sink->stream, &part, 1, &pace);
	ended_ns = sched_now();
	return 0;
}

TEST(stream_pace_of_more_bytes_than_nanoseconds_hold)
{
	struct sink sink = { .stream = { &sink_ops, &sink.ready } };

	begin(10, 10);
	ready_init(&sink.ready);
	spawn(write_much, &sink);
	(void)sched_run(&sched, 0);
	(void)sched_run(&sched, 10 * SECOND);
	ready_changed(&sink.ready, false, true, false);
	run_until(1000 * SECOND);
	EXPECT_INT(result, -ERR_TIMEOUT);
	EXPECT_INT(ended_ns, 110 * SECOND);
	EXPECT_INT(sink.writes, 4);
	end();
}

/* --- parts and pieces --------------------------------------------------- */

static struct str parts[STREAM_PARTS_MAX];
static size_t part_count;

static int write_parts(void *arg)
{
	static const struct stream_pace any = { .stall_ns = TIME_NEVER };

	(void)arg;
	EXPECT_INT(stream_write(&ends[0].stream, parts, part_count, &any), 0);
	EXPECT_INT(stream_end(&ends[0].stream, TIME_NEVER), 0);
	return 0;
}

static int read_pieces(void *arg)
{
	uint64_t *seed = arg;
	ssize_t got;

	do {
		size_t size = test_random(seed) % 50 + 1;

		REQUIRE(received_len + size <= sizeof(received));
		got = stream_read(&ends[1].stream, received + received_len, size, TIME_NEVER);
		received_len += (size_t)MAX(got, 0);
	} while (got > 0);
	EXPECT_INT(got, 0);
	return 0;
}

/* Law: however a text is cut into parts, chopped and buffered, it arrives as it was. */
TEST(stream_parts_arrive_as_one_text)
{
	uint64_t seed = 11;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)test_random(&seed);
	for (size_t round = 0; round < 400; round++) {
		size_t total = 0;

		begin(test_random(&seed) % 100 + 1, round % 2 ? 1 : test_random(&seed) % 100 + 1);
		part_count = test_random(&seed) % (STREAM_PARTS_MAX + 1);
		for (size_t i = 0; i < part_count; i++) { /* one in three is empty */
			size_t len = test_random(&seed) % 3 ? test_random(&seed) % 300 : 0;

			parts[i] = str_of(len ? sent + total : NULL, len);
			total += len;
		}
		spawn(write_parts, NULL);
		spawn(read_pieces, &seed);
		run_until(SECOND);
		EXPECT_INT(received_len, total);
		EXPECT(memcmp(sent, received, total) == 0);
		end();
	}
}

/* --- waiting and closing ------------------------------------------------ */

static int read_until_5s(void *arg)
{
	char byte;

	(void)arg;
	result = (int)stream_read(&ends[1].stream, &byte, 1, 5 * SECOND);
	ended_ns = sched_now();
	return 0;
}

TEST(stream_read_ends_at_its_deadline)
{
	begin(10, 10);
	spawn(read_until_5s, NULL);
	run_until(100 * SECOND);
	EXPECT_INT(result, -ERR_TIMEOUT);
	EXPECT_INT(ended_ns, 5 * SECOND);
	end();
}

TEST(stream_wait_ends_when_its_stream_is_closed)
{
	begin(10, 10);
	spawn(read_until_5s, NULL);
	(void)sched_run(&sched, 1);
	stream_close(&ends[1].stream);
	(void)sched_run(&sched, 2);
	EXPECT_INT(result, -ERR_CLOSED);
	end();
}

TEST(stream_wait_ends_when_the_other_end_closes)
{
	static const struct stream_pace any = { .stall_ns = TIME_NEVER };

	begin(10, 10);
	spawn(read_until_5s, NULL);
	(void)sched_run(&sched, 1);
	stream_close(&ends[0].stream);
	(void)sched_run(&sched, 2);
	EXPECT_INT(result, 0);
	end();

	begin(10, 10);
	spawn(write_all, (void *)&any);
	(void)sched_run(&sched, 1);
	EXPECT_INT(result, 1);
	stream_close(&ends[1].stream);
	(void)sched_run(&sched, 2);
	EXPECT_INT(result, -ERR_CLOSED);
	end();
}

TEST(stream_wait_ends_when_it_is_cancelled)
{
	begin(10, 10);
	spawn(read_until_5s, NULL);
	(void)sched_run(&sched, 1);
	scope_cancel(&sched.root);
	(void)sched_run(&sched, 2);
	EXPECT_INT(result, -ERR_CANCELLED);
	end();
}

TEST(stream_close_of_nothing)
{
	stream_close(NULL);
}

TEST(pipe_keeps_what_was_written_before_the_end)
{
	struct str part = S("last words");
	char at[20];

	begin(100, 100);
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), part.len);
	stream_close(&ends[0].stream);
	EXPECT_INT(stream_try_read(&ends[1].stream, at, sizeof(at)), part.len);
	EXPECT_INT(stream_try_read(&ends[1].stream, at, sizeof(at)), 0);
	EXPECT_INT(stream_try_write(&ends[1].stream, &part, 1), -ERR_CLOSED);
	end();
}

static unsigned changes;

static void count_changes(struct ready *ready)
{
	(void)ready;
	changes++;
}

TEST(pipe_tells_changes_when_nobody_waits)
{
	struct str part = S("x");
	char byte;

	begin(1, 1);
	changes = 0;
	ends[1].ready.on_change = count_changes;
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), 1);
	EXPECT_INT(changes, 1);
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), STREAM_WANT_WRITE);
	EXPECT(!ends[0].ready.writable);
	EXPECT_INT(stream_try_read(&ends[1].stream, &byte, 1), 1);
	EXPECT(ends[0].ready.writable);

	spawn(read_until_5s, NULL); /* now somebody does */
	(void)sched_run(&sched, 1);
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), 1);
	EXPECT_INT(changes, 1);
	(void)sched_run(&sched, 2);
	EXPECT_INT(result, 1);
	(void)ends[0].stream.ops->end(&ends[0].stream); /* the end is told in any case */
	EXPECT_INT(changes, 2);
	end();
}

#ifdef BULKHEAD_FAULTS
TEST(pipe_without_memory_is_an_error)
{
	struct str part = S("x");

	begin(10, 10);
	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), -ERR_NO_MEMORY);
	EXPECT_INT(stream_try_write(&ends[0].stream, &part, 1), -ERR_NO_MEMORY);
	end();
}
#endif
