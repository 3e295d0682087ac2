/* Counting by address: limits, growth, a model to compare with, threads, and memory that runs out.
 */
#include "http/peers.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <signal.h>
#include <stdio.h>

static struct peers peers;

static struct address number(unsigned n)
{
	char text[32];
	struct address address;
	int len = snprintf(text, sizeof(text), "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);

	CHECK(address_parse(str_of(text, (size_t)len), (uint16_t)(n + 1), &address) == 0);
	return address;
}

static struct address parsed(struct str host, uint16_t port)
{
	struct address address;

	CHECK(address_parse(host, port, &address) == 0);
	return address;
}

TEST(peers_count_each_address_alone)
{
	struct address a = parsed(S("192.0.2.1"), 1000), b = parsed(S("192.0.2.2"), 1000);

	peers_init(&peers);
	EXPECT_INT(peers_enter(&peers, &a, 2), 0);
	EXPECT_INT(peers_enter(&peers, &a, 2), 0);
	EXPECT_INT(peers_enter(&peers, &a, 2), -ERR_TOO_MANY);
	EXPECT_INT(peers_enter(&peers, &b, 2), 0);
	peers_leave(&peers, &a);
	EXPECT_INT(peers_enter(&peers, &a, 2), 0);
	EXPECT_INT(peers_enter(&peers, &a, 3), 0); /* the limit is the caller's, each time */
	for (int i = 0; i < 3; i++)
		peers_leave(&peers, &a);
	peers_leave(&peers, &b);
	peers_done(&peers);
	EXPECT_INT(mem_used(), 0);
}

TEST(peers_know_an_address_by_its_host_alone)
{
	struct address v4 = parsed(S("192.0.2.1"), 1), other_port = parsed(S("192.0.2.1"), 2);
	struct address mapped = parsed(S("::ffff:192.0.2.1"), 3), v6 = parsed(S("::1"), 1);

	peers_init(&peers);
	EXPECT_INT(peers_enter(&peers, &v4, 1), 0);
	EXPECT_INT(peers_enter(&peers, &other_port, 1), -ERR_TOO_MANY);
	EXPECT_INT(peers_enter(&peers, &mapped, 1), -ERR_TOO_MANY);
	EXPECT_INT(peers_enter(&peers, &v6, 1), 0);
	peers_leave(&peers, &mapped);
	peers_leave(&peers, &v6);
	peers_done(&peers);
}

TEST(peers_against_an_array_of_counts)
{
	enum { HOSTS = 3000, STEPS = 60000, LIMIT = 4 };
	static unsigned counts[HOSTS];
	uint64_t seed = 7;

	peers_init(&peers);
	for (size_t step = 0; step < STEPS; step++) {
		unsigned n = test_random(&seed) % HOSTS;
		struct address address = number(n);

		if (test_random(&seed) % 5 < 2 && counts[n] > 0) {
			peers_leave(&peers, &address);
			counts[n]--;
		} else {
			int r = peers_enter(&peers, &address, LIMIT);

			REQUIRE(r == (counts[n] < LIMIT ? 0 : -ERR_TOO_MANY));
			counts[n] += r == 0;
		}
	}
	for (unsigned n = 0; n < HOSTS; n++)
		for (struct address address = number(n); counts[n] > 0; counts[n]--)
			peers_leave(&peers, &address);
	peers_done(&peers);
	EXPECT_INT(mem_used(), 0);
}

/* --- threads ------------------------------------------------------------ */

enum { THREADS = 4, ROUNDS = 5000, SHARED_HOSTS = 40, SHARED_LIMIT = 3 };

static _Atomic unsigned inside[SHARED_HOSTS];

static void *come_and_go(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (size_t i = 0; i < ROUNDS; i++) {
		unsigned n = test_random(&seed) % SHARED_HOSTS;
		struct address address = number(n);

		if (peers_enter(&peers, &address, SHARED_LIMIT) < 0)
			continue;
		CHECK(inside[n]++ < SHARED_LIMIT);
		if (i % 16 == 0)
			(void)sched_yield();
		inside[n]--;
		peers_leave(&peers, &address);
	}
	return NULL;
}

TEST(peers_limit_holds_between_threads)
{
	pthread_t threads[THREADS];

	peers_init(&peers);
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, come_and_go, (void *)(i + 1)) == 0);
	for (size_t i = 0; i < THREADS; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	peers_done(&peers); /* checks that all are empty */
	EXPECT_INT(mem_used(), 0);
}

/* --- misuse and want ---------------------------------------------------- */

static void leave_twice(void *arg)
{
	struct address address = number(1);

	(void)arg;
	peers_init(&peers);
	(void)peers_enter(&peers, &address, 1);
	peers_leave(&peers, &address);
	peers_leave(&peers, &address);
}

TEST(peers_leaving_twice_stops_the_program)
{
	EXPECT(test_dies(leave_twice, NULL, SIGABRT));
}

#ifdef BULKHEAD_FAULTS
TEST(peers_torture)
{
	enum { HOSTS = 2500 }; /* shards must grow */

	for (size_t nth = 1;; nth += 1 + nth / 50) {
		bool entered[HOSTS];
		bool struck;

		peers_init(&peers);
		fault_arm(FAULT_MEMORY, nth);
		for (unsigned n = 0; n < HOSTS; n++) {
			struct address address = number(n);
			int r = peers_enter(&peers, &address, 1);

			EXPECT(r == 0 || r == -ERR_NO_MEMORY);
			entered[n] = r == 0;
		}
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		for (unsigned n = 0; n < HOSTS; n++) {
			struct address address = number(n);

			if (entered[n])
				peers_leave(&peers, &address);
		}
		peers_done(&peers);
		REQUIRE(mem_used() == 0);
		if (!struck)
			break;
	}
}
#endif
