/* The ring: wrapping, whole lines, refusing; and two real threads. */
#include "observe/log_ring.h"

#include "base/mem.h"
#include "base/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>

TEST(log_ring_wraps_and_refuses)
{
	struct log_ring *ring = log_ring_new(16);
	char out[16];

	REQUIRE(ring);
	for (int round = 0; round < 50; round++) {
		EXPECT(log_ring_put(ring, S("abcde\n")));
		EXPECT(log_ring_put(ring, S("12\n")));
		EXPECT(log_ring_put(ring, S("0123456\n")) == false); /* 7 bytes are left */
		EXPECT_INT(log_ring_used(ring), 9);
		EXPECT_INT(log_ring_take(ring, out, 5), 0); /* no whole line fits */
		EXPECT_INT(log_ring_take(ring, out, 8), 6);
		EXPECT_STR(str_of(out, 6), S("abcde\n"));
		EXPECT_INT(log_ring_take(ring, out, 16), 3);
		EXPECT_STR(str_of(out, 3), S("12\n"));
		EXPECT_INT(log_ring_take(ring, out, 16), 0);
	}
	EXPECT_INT(ring->lines, 100);
	EXPECT_INT(ring->dropped, 50);
	EXPECT(log_ring_put(ring, S("0123456789abcde\n"))); /* exactly its size */
	EXPECT(!log_ring_put(ring, S("\n")));
	EXPECT_INT(log_ring_take(ring, out, 16), 16);
	log_ring_free(ring);
	EXPECT_INT(mem_used(), 0);
}

enum { LINES = 200000 };

static void *produce(void *arg)
{
	struct log_ring *ring = arg;
	char line[32];

	for (unsigned i = 0; i < LINES;) {
		int len = snprintf(line, sizeof(line), "%0*u\n", (int)(i % 20) + 1, i);

		if (log_ring_put(ring, str_of(line, (size_t)len)))
			i++;
		else
			(void)sched_yield();
	}
	return NULL;
}

TEST(log_ring_two_threads)
{
	struct log_ring *ring = log_ring_new(1024);
	pthread_t thread;
	unsigned next = 0;
	char out[700];

	REQUIRE(ring && pthread_create(&thread, NULL, produce, ring) == 0);
	while (next < LINES) {
		size_t len = log_ring_take(ring, out, sizeof(out) - next % 300);
		struct str rest = str_of(out, len);

		if (!len)
			(void)sched_yield();
		while (rest.len) {
			struct str line = str_cut(&rest, '\n');
			unsigned value = 0;

			for (size_t i = 0; i < line.len; i++)
				value = value * 10 + (unsigned)(line.at[i] - '0');
			REQUIRE(value == next && line.len >= next % 20 + 1);
			next++;
		}
	}
	(void)pthread_join(thread, NULL);
	EXPECT_INT(ring->lines, LINES);
	log_ring_free(ring);
}
