/* Spans: what a reader gets, what is overwritten, and producers against a reader. */
#include "observe/span.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "observe/clock.h"

#include <pthread.h>
#include <stdatomic.h>

static const struct trace root = { 0x11, 0x22, 0x33, TRACE_SAMPLED | TRACE_RANDOM };

static uint64_t fake_now(void *arg)
{
	return *(uint64_t *)arg;
}

static int64_t fake_wall(void *arg)
{
	return (int64_t)(*(uint64_t *)arg / 1000 + 1000000);
}

TEST(clock_replace)
{
	uint64_t time_ns = 5000;
	struct clock_source source = { fake_now, fake_wall, &time_ns };
	uint64_t before_ns = clock_now_ns();

	EXPECT(clock_now_ns() >= before_ns);
	EXPECT(clock_wall_us() > (int64_t)1700000000 * 1000000);
	clock_replace(&source);
	EXPECT_INT(clock_now_ns(), 5000);
	EXPECT_INT(clock_wall_us(), 1000005);
	clock_replace(NULL);
	EXPECT(clock_now_ns() >= before_ns);
}

TEST(span_record)
{
	uint64_t time_ns = 5000;
	struct clock_source source = { fake_now, fake_wall, &time_ns };
	struct span span, child, read[4];

	clock_replace(&source);
	REQUIRE(span_thread_attach(4) == 0);
	span_start(&span, &root, 0x99, S("GET /x"), SPAN_SERVER);
	span_str(&span, "http.route", S("/x"));
	span_int(&span, "http.response.status_code", 200);
	span_start_child(&child, &span, 0x44, S("db"), SPAN_CLIENT);
	time_ns = 7000;
	span_end(&child, SPAN_ERROR);
	time_ns = 9000;
	span_end(&span, SPAN_OK);

	EXPECT_INT(span_read(read, LEN(read)), 2);
	EXPECT(read[0].trace.high == 0x11 && read[0].trace.low == 0x22);
	EXPECT(read[0].trace.span == 0x44 && read[0].parent == 0x33);
	EXPECT_INT(read[0].status, SPAN_ERROR);
	EXPECT_INT(read[0].end_ns - read[0].start_ns, 2000);
	EXPECT_STR(read[0].name, S("db"));

	EXPECT(read[1].trace.span == 0x33 && read[1].parent == 0x99);
	EXPECT_INT(read[1].start_ns, 1000000000 + 5000); /* since 1970 */
	EXPECT_INT(read[1].kind, SPAN_SERVER);
	EXPECT_INT(read[1].attribute_count, 2);
	EXPECT_STR(span_attribute_text(&read[1], &read[1].attributes[0]), S("/x"));
	EXPECT_STR(str_from_c(read[1].attributes[1].key), S("http.response.status_code"));
	EXPECT(!read[1].attributes[1].is_text && read[1].attributes[1].number == 200);
	EXPECT_INT(span_read(read, LEN(read)), 0);
	span_thread_detach();
	clock_replace(NULL);
}

TEST(span_bounds)
{
	static char big[SPAN_TEXT_MAX * 2];
	struct span span, read;
	struct str text;

	memset(big, 'x', sizeof(big));
	span_start(&span, &root, 0, S("big"), SPAN_INTERNAL);
	span_str(&span, "a", str_of(big, SPAN_TEXT_MAX - 2));
	span_str(&span, "b", S("\xE2\x82\xAC")); /* does not fit, and is not cut in two */
	for (int i = 0; i < 10; i++)
		span_str(&span, "c", S("yz"));
	span_end(&span, SPAN_UNSET);

	REQUIRE(span_read(&read, 1) == 1); /* from the shared ring */
	EXPECT_INT(read.attribute_count, SPAN_ATTRIBUTES_MAX);
	EXPECT_INT(read.attributes_lost, 4);
	EXPECT_INT(span_attribute_text(&read, &read.attributes[1]).len, 0);
	text = span_attribute_text(&read, &read.attributes[2]);
	EXPECT_STR(text, S("yz"));
	EXPECT_INT(span_attribute_text(&read, &read.attributes[3]).len, 0);
}

TEST(span_not_sampled)
{
	struct trace trace = root;
	struct span span, child, read;

	trace.flags = TRACE_RANDOM;
	span_start(&span, &trace, 0, S("quiet"), SPAN_SERVER);
	span_str(&span, "a", S("b"));
	span_start_child(&child, &span, 7, S("quiet"), SPAN_CLIENT);
	EXPECT(child.trace.span == 7 && child.trace.flags == TRACE_RANDOM);
	span_end(&child, SPAN_OK);
	span_end(&span, SPAN_OK);
	EXPECT_INT(span.attribute_count, 0);
	EXPECT_INT(span_read(&read, 1), 0);
}

TEST(span_overwrites_the_oldest)
{
	struct span span, read[8];

	REQUIRE(span_thread_attach(4) == 0);
	for (uint64_t i = 1; i <= 11; i++) {
		struct trace trace = root;

		trace.span = i;
		span_start(&span, &trace, 0, S("n"), SPAN_INTERNAL);
		span_end(&span, SPAN_UNSET);
	}
	EXPECT_INT(span_read(read, 2), 2);
	EXPECT(read[0].trace.span == 8 && read[1].trace.span == 9);
	EXPECT_INT(span_dropped(), 7);

	span_thread_detach(); /* what was not read moves on */
	EXPECT_INT(span_read(read, LEN(read)), 2);
	EXPECT(read[0].trace.span == 10 && read[1].trace.span == 11);
	EXPECT_INT(span_dropped(), 7);
}

enum { THREADS = 3, SPANS = 40000 };

static _Atomic int finished;

/* All parts of a record say the same number, so that a torn one is seen. */
static void *produce(void *arg)
{
	size_t who = (size_t)arg;
	struct span span;

	if (who)
		CHECK(span_thread_attach(16) == 0);
	for (uint64_t i = 1; i <= SPANS; i++) {
		struct trace trace = { who + 1, i, i, TRACE_SAMPLED };

		span_start(&span, &trace, i, S("n"), SPAN_INTERNAL);
		span_int(&span, "i", (int64_t)i);
		span_str(&span, "t", str_of((const char *)&i, sizeof(i)));
		span_end(&span, SPAN_OK);
	}
	span_thread_detach();
	atomic_fetch_add(&finished, 1);
	return NULL;
}

TEST(span_reader_against_producers)
{
	static struct span read[64];
	uint64_t last[THREADS] = { 0 }, count = 0;
	pthread_t threads[THREADS];
	bool over = false;

	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, produce, (void *)i) == 0);
	for (;;) {
		size_t got = span_read(read, LEN(read));

		for (size_t i = 0; i < got; i++) {
			const struct span *span = &read[i];
			uint64_t number = span->trace.low, who = span->trace.high - 1, text;

			REQUIRE(who < THREADS && number > last[who]);
			REQUIRE(span->parent == number && span->trace.span == number);
			REQUIRE(span->attribute_count == 2 && span->text_len == sizeof(text));
			memcpy(&text, span->text, sizeof(text));
			REQUIRE(text == number && span->attributes[0].number == (int64_t)number);
			last[who] = number;
		}
		count += got;
		if (got == 0 && over)
			break;
		over = atomic_load(&finished) == THREADS;
	}
	for (size_t i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	EXPECT_INT(count + span_dropped(), THREADS * SPANS);
}

#ifdef BULKHEAD_FAULTS
TEST(span_torture)
{
	struct span span;

	fault_arm(FAULT_MEMORY, 1);
	EXPECT_INT(span_thread_attach(0), -ERR_NO_MEMORY);
	fault_arm(FAULT_MEMORY, 1);
	span_start(&span, &root, 0, S("n"), SPAN_INTERNAL);
	span_end(&span, SPAN_OK); /* forgotten */
	fault_arm(FAULT_MEMORY, 0);
	EXPECT_INT(span_read(&span, 1), 0);
	EXPECT_INT(mem_used(), 0);
}
#endif
