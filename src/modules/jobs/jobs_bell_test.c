/* Bells: who waits is woken, on whatever thread, and no ring is lost. */
#include "modules/jobs/jobs_bell.h"

#include "base/mem.h"
#include "base/test.h"
#include "loop/worker.h"
#include "observe/clock.h"

#include <stdio.h>

#define PATIENCE (20 * SECOND) /* of tests on busy machines */

struct thread {
	struct worker worker;
	int (*run)(void *arg);
	void *arg;
};

static int begin(struct worker *worker)
{
	struct thread *thread = CONTAINER_OF(worker, struct thread, worker);

	return scope_spawn(&worker->sched.root, thread->run, thread->arg);
}

static void start(struct thread *thread, int (*run)(void *arg), void *arg)
{
	*thread = (struct thread){ { .fiber_limit = 1000, .on_start = begin }, run, arg };
	REQUIRE(worker_start(&thread->worker) == 0);
}

static void await(struct thread *thread)
{
	worker_join(&thread->worker);
}

static void finish(void)
{
	worker_stop(worker_here());
}

TEST(bell_of_a_name_is_one)
{
	struct bell *email = bell_of(S("email"));

	REQUIRE(bells_open(NULL) == 0);
	EXPECT(bell_of(S("email")) == email);
	EXPECT(bell_of(S("emails")) != email && bell_of(S("emai")) != email);
	EXPECT(bell_of_later() != email);
	EXPECT_INT(bell_rings(email), 0);
	bell_ring(email);
	EXPECT_INT(bell_rings(email), 1);
	EXPECT_INT(bell_rings(bell_of_later()), 0);
	bells_close();
	EXPECT_INT(mem_used(), 0);
}

TEST(a_bell_says_for_what_it_was_rung_once)
{
	struct bell *bell = bell_of(S("email"));
	struct bell_offer offer = { .tenant.bytes = { 1 }, .job.bytes = { 2 } }, heard = { 0 };
	bool offered = true;

	EXPECT_INT(bell_heard(bell, 0, &offered, &heard), 0);
	EXPECT(!offered);
	bell_ring_for(bell, &offer);
	EXPECT_INT(bell_rings(bell), 1);
	EXPECT_INT(bell_heard(bell, 0, &offered, &heard), 1);
	EXPECT(offered && memcmp(&heard, &offer, sizeof(offer)) == 0);
	EXPECT_INT(bell_heard(bell, 1, &offered, &heard), 1); /* nothing new */
	EXPECT(!offered);
	bell_ring(bell);
	EXPECT_INT(bell_heard(bell, 1, &offered, &heard), 2); /* for who knows what */
	EXPECT(!offered);
	bell_ring_for(bell, &offer);
	EXPECT_INT(bell_heard(bell, 1, &offered, &heard), 3); /* and something before it */
	EXPECT(!offered);
	EXPECT_INT(bell_heard(bell, 2, &offered, &heard), 3);
	EXPECT(offered);
	bells_close();
	EXPECT_INT(mem_used(), 0);
}

TEST(bells_are_bounded)
{
	struct bell *last = NULL;
	char name[20];

	for (int i = 0; i < BELLS_MAX + 2; i++) {
		struct bell *bell;

		(void)snprintf(name, sizeof(name), "q%d", i);
		bell = bell_of(str_from_c(name));
		EXPECT((bell == last) == (i == BELLS_MAX + 1));
		last = bell;
	}
	bells_close();
	EXPECT_INT(mem_used(), 0);
}

/* --- two threads ------------------------------------------------------------------------- */

enum { ROUNDS = 20000, WAITERS = 7 };

/* Things that are put on a table by one thread and taken by fibers of others. */
struct table {
	struct bell *bell, *done;
	atomic_int things, taken;
	atomic_int late; /* waits that ended without a ring */
	atomic_int waiters;
};

static int take_things(void *arg)
{
	struct table *table = arg;

	while (atomic_load(&table->taken) < ROUNDS) {
		uint64_t rings = bell_rings(table->bell);
		int things = atomic_load(&table->things);

		if (things > 0 &&
			atomic_compare_exchange_strong(&table->things, &things, things - 1)) {
			if (atomic_fetch_add(&table->taken, 1) + 1 == ROUNDS)
				bell_ring(table->bell); /* the others may go */
			continue;
		}
		if (things == 0 && bell_wait(table->bell, rings, clock_now_ns() + PATIENCE) < 0)
			(void)atomic_fetch_add(&table->late, 1);
	}
	if (atomic_fetch_sub(&table->waiters, 1) == 1)
		bell_ring(table->done);
	return 0;
}

static int takers(void *arg)
{
	struct table *table = arg;

	for (int i = 0; i < WAITERS; i++)
		CHECK(scope_spawn(&worker_here()->sched.root, take_things, table) == 0);
	return 0;
}

static int put_things(void *arg)
{
	struct table *table = arg;
	uint64_t seed = 7;

	for (int i = 0; i < ROUNDS; i++) {
		(void)atomic_fetch_add(&table->things, 1);
		bell_ring(table->bell);
		while (test_random(&seed) % 4 && atomic_load(&table->things) > 0)
			continue; /* so that they fall asleep now and then */
	}
	while (atomic_load(&table->waiters) > 0)
		(void)bell_wait(table->done, 0, clock_now_ns() + PATIENCE);
	finish();
	return 0;
}

TEST(no_ring_is_lost)
{
	struct table table = {
		.bell = bell_of(S("things")), .done = bell_of(S("done")), .waiters = 2 * WAITERS
	};
	struct thread putter, one, two;

	start(&one, takers, &table);
	start(&two, takers, &table);
	start(&putter, put_things, &table);
	await(&putter);
	worker_stop(&one.worker);
	worker_stop(&two.worker);
	await(&one);
	await(&two);
	EXPECT_INT(atomic_load(&table.taken), ROUNDS);
	EXPECT_INT(atomic_load(&table.late), 0);
	bells_close();
	EXPECT_INT(mem_used(), 0);
}

/* --- how a wait ends ------------------------------------------------------------------------ */

static int wait_in_vain(void *arg)
{
	struct bell *bell = bell_of(S("quiet"));
	uint64_t rings = bell_rings(bell);
	struct scope scope;

	(void)arg;
	EXPECT_INT(bell_wait(bell, rings, clock_now_ns() + MILLISECOND), -ERR_TIMEOUT);
	bell_ring(bell_of(S("loud")));
	EXPECT_INT(bell_wait(bell, rings, clock_now_ns() + MILLISECOND), -ERR_TIMEOUT);
	bell_ring(bell);
	EXPECT_INT(bell_wait(bell, rings, TIME_NEVER), 0);

	scope_open(&scope, TIME_NEVER);
	scope_cancel(&scope);
	EXPECT_INT(bell_wait(bell, rings + 1, TIME_NEVER), -ERR_CANCELLED);
	(void)scope_close(&scope);
	finish();
	return 0;
}

TEST(a_wait_at_a_bell_ends)
{
	struct thread thread;

	start(&thread, wait_in_vain, NULL);
	await(&thread);
	bells_close();
	EXPECT_INT(mem_used(), 0);
}

/* A thread that has gone is not sent anything, and another one gets its desk. */
TEST(threads_come_and_go)
{
	for (int i = 0; i < 2 * BELL_THREADS_MAX && i < 600; i++) {
		struct thread thread;

		start(&thread, wait_in_vain, NULL);
		await(&thread);
		bell_ring(bell_of(S("quiet")));
	}
	bells_close();
	EXPECT_INT(mem_used(), 0);
}
