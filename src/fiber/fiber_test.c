/* Fibers on a virtual clock: order, deadlines, cancellation, scopes, and every primitive under
 * seeded random interleavings. */
#include "fiber/fiber.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "fiber/sync.h"

#include <signal.h>
#include <stdio.h>

static struct sched sched;
static char trace[256]; /* what the fibers of a test did, a letter each */
static size_t traced;

static void say(char letter)
{
	CHECK(traced + 1 < sizeof(trace));
	trace[traced++] = letter;
	trace[traced] = 0;
}

static void begin(uint64_t order_seed)
{
	sched_init(&sched, 1000);
	sched.order_seed = order_seed;
	traced = 0;
	trace[0] = 0;
}

/* Runs until nothing is left to do, jumping from deadline to deadline. Returns the time at the end.
 */
static uint64_t run_dry(void)
{
	uint64_t now = sched.now_ns;

	for (;;) {
		uint64_t next = sched_run(&sched, now);

		if (next == TIME_NEVER)
			return now;
		now = MAX(now, next);
	}
}

static void end(void)
{
	EXPECT_INT(sched.count, 0);
	EXPECT(list_empty(&sched.root.children));
	sched_done(&sched);
	EXPECT_INT(mem_used(), 0);
}

static void spawn(int (*run)(void *), void *arg)
{
	REQUIRE(scope_spawn(&sched.root, run, arg) == 0);
}

/* --- order and time ----------------------------------------------------- */

static int letters(void *arg)
{
	for (const char *letter = arg; *letter; letter++) {
		say(*letter);
		fiber_yield();
	}
	return 0;
}

TEST(fiber_yield_takes_turns)
{
	begin(0);
	spawn(letters, "abc");
	spawn(letters, "12");
	run_dry();
	EXPECT_STR(str_from_c(trace), S("a1b2c"));
	end();
}

static int sleeper(void *arg)
{
	uint64_t seconds = (uint64_t)(*(char *)arg - '0');

	EXPECT_INT(fiber_sleep_until(seconds * SECOND), 0);
	EXPECT_INT(sched_now(), seconds * SECOND);
	say(*(char *)arg);
	return 0;
}

TEST(fiber_sleeps_end_in_order_of_deadlines)
{
	begin(0);
	for (const char *at = "5391746280"; *at; at++)
		spawn(sleeper, (void *)at);
	EXPECT_INT(run_dry(), 9 * SECOND);
	EXPECT_STR(str_from_c(trace), S("0123456789"));
	end();
}

static bool spinning;

static int spin(void *arg)
{
	for (size_t *turns = arg; spinning; (*turns)++)
		fiber_yield();
	return 0;
}

TEST(fiber_busy_pair_does_not_hold_a_round)
{
	size_t turns = 0;

	begin(0);
	spinning = true;
	spawn(spin, &turns);
	spawn(spin, &turns);
	EXPECT_INT(sched_run(&sched, 1), 0);
	EXPECT_INT(sched_run(&sched, 2), 0);
	EXPECT_INT(turns, 2);
	spinning = false;
	run_dry();
	end();
}

static void forget(struct timer *timer)
{
	(void)timer;
	say('t');
}

TEST(timer_heap_against_a_sorted_list)
{
	enum { COUNT = 2000 };
	static struct timer timers[COUNT];
	static uint64_t at[COUNT];
	struct timers heap = { 0 };
	uint64_t seed = 42, last = 0;

	for (size_t step = 0; step < 20 * COUNT; step++) {
		size_t i = test_random(&seed) % COUNT;

		timers[i].fire = forget;
		if (test_random(&seed) % 3 == 0) {
			timer_disarm(&heap, &timers[i]);
			at[i] = 0;
		} else {
			at[i] = 1 + test_random(&seed) % 10000;
			REQUIRE(timer_arm(&heap, &timers[i], at[i]) == 0);
		}
	}
	while (heap.count) {
		uint64_t next = timers_next(&heap), smallest = TIME_NEVER;

		for (size_t i = 0; i < COUNT; i++)
			if (timers[i].slot)
				smallest = MIN(smallest, at[i]);
		REQUIRE(next == smallest && next >= last);
		last = next;
		timer_disarm(&heap, heap.heap[0].timer);
	}
	timers_done(&heap);
}

/* --- scopes ------------------------------------------------------------- */

static int child_fails(void *arg)
{
	(void)fiber_sleep_until(SECOND);
	return fail(ERR_CONFLICT, "child %s", (const char *)arg);
}

static int child_waits(void *arg)
{
	int r = fiber_sleep_until(HOUR);

	(void)arg;
	EXPECT_INT(r, -ERR_CANCELLED);
	EXPECT_INT(fiber_sleep_until(2 * HOUR), -ERR_CANCELLED); /* and so does every later wait */
	say('w');
	return r;
}

static void clean(void *arg)
{
	say(*(char *)arg);
}

static int parent_of_failing_child(void *arg)
{
	struct scope scope;
	struct cleanup first, second;

	(void)arg;
	scope_open(&scope, TIME_NEVER);
	scope_defer(&scope, &first, clean, "1");
	scope_defer(&scope, &second, clean, "2");
	REQUIRE(scope_spawn(&scope, child_waits, NULL) == 0);
	REQUIRE(scope_spawn(&scope, child_fails, "x") == 0);
	EXPECT_INT(scope_close(&scope), -ERR_CONFLICT);
	EXPECT_STR(str_from_c(err_text()), S("child x"));
	say('p');
	EXPECT_INT(fiber_sleep_until(2 * SECOND), 0); /* the parent's own scope goes on */
	return 0;
}

TEST(scope_first_failure_cancels_the_siblings)
{
	begin(0);
	spawn(parent_of_failing_child, NULL);
	run_dry();
	EXPECT_STR(str_from_c(trace), S("w21p"));
	end();
}

static int inherits(void *arg)
{
	struct scope outer, inner;

	(void)arg;
	scope_open(&outer, 5 * SECOND);
	scope_open(&inner, 9 * SECOND); /* cannot outlive the outer one */
	EXPECT_INT(fiber_sleep_until(7 * SECOND), -ERR_TIMEOUT);
	EXPECT_INT(sched_now(), 5 * SECOND);
	EXPECT_INT(fiber_sleep_until(7 * SECOND), -ERR_TIMEOUT);
	EXPECT(scope_over(&inner));

	uint64_t former = shield_begin(6 * SECOND);

	EXPECT_INT(fiber_sleep_until(5 * SECOND + 1), 0);
	EXPECT_INT(fiber_sleep_until(7 * SECOND), -ERR_TIMEOUT);
	EXPECT_INT(sched_now(), 6 * SECOND);
	shield_end(former);

	EXPECT_INT(scope_close(&inner), 0);
	EXPECT_INT(scope_close(&outer), 0);
	EXPECT_INT(fiber_sleep_until(7 * SECOND), 0);
	return 0;
}

TEST(scope_deadlines_are_inherited_and_shields_hold)
{
	begin(0);
	spawn(inherits, NULL);
	run_dry();
	end();
}

static struct scope *cancel_me;

static int victim(void *arg)
{
	struct scope outer, inner;
	uint64_t former;

	(void)arg;
	scope_open(&outer, TIME_NEVER);
	cancel_me = &outer;
	scope_open(&inner, TIME_NEVER);
	former = shield_begin(TIME_NEVER);
	EXPECT_INT(fiber_sleep_until(2 * SECOND), 0); /* cancelled at 1 s, shielded until 2 s */
	shield_end(former);
	EXPECT_INT(fiber_sleep_until(3 * SECOND), -ERR_CANCELLED);
	EXPECT_INT(sched_now(), 2 * SECOND);
	(void)scope_close(&inner);
	scope_open(&inner, TIME_NEVER); /* a scope opened in a cancelled one is cancelled */
	EXPECT_INT(fiber_sleep_until(3 * SECOND), -ERR_CANCELLED);
	(void)scope_close(&inner);
	(void)scope_close(&outer);
	return 0;
}

static int canceller(void *arg)
{
	(void)arg;
	(void)fiber_sleep_until(SECOND);
	scope_cancel(cancel_me);
	return 0;
}

TEST(scope_cancel_reaches_nested_scopes)
{
	begin(0);
	spawn(victim, NULL);
	spawn(canceller, NULL);
	run_dry();
	end();
}

/* --- primitives under random interleaving ------------------------------- */

static struct mutex mutex;
static struct cond cond;
static struct channel channel;
static size_t inside, entries, produced, consumed;
static uint64_t sum_in, sum_out;

static int lock_user(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < 50; i++) {
		struct scope scope;
		int r;

		scope_open(&scope, sched_now() + test_random(&seed) % 50);
		r = mutex_lock(&mutex);
		if (r == 0) {
			CHECK(inside++ == 0);
			entries++;
			if (test_random(&seed) % 2)
				(void)fiber_sleep_until(sched_now() + test_random(&seed) % 20);
			inside--;
			mutex_unlock(&mutex);
		} else {
			EXPECT_INT(r, -ERR_TIMEOUT);
		}
		(void)scope_close(&scope);
		fiber_yield();
	}
	return 0;
}

TEST(mutex_excludes_under_random_order)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		begin(seed);
		mutex_init(&mutex);
		entries = 0;
		for (uint64_t i = 1; i <= 8; i++)
			spawn(lock_user, (void *)(uintptr_t)(seed * 100 + i));
		run_dry();
		EXPECT(entries > 50 && !mutex.owner && list_empty(&mutex.waits));
		end();
	}
}

static int producer(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < 100; i++) {
		uint64_t value = test_random(&seed);

		if (value % 4 == 0)
			fiber_yield();
		REQUIRE(channel_send(&channel, &value) == 0);
		sum_in += value;
		produced++;
	}
	return 0;
}

static int consumer(void *arg)
{
	uint64_t value;
	int r;

	(void)arg;
	while ((r = channel_receive(&channel, &value)) == 0) {
		sum_out += value;
		consumed++;
		if (value % 3 == 0)
			fiber_yield();
	}
	EXPECT_INT(r, -ERR_CLOSED);
	return 0;
}

static int produce_all(void *arg)
{
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	for (uint64_t i = 1; i <= 5; i++)
		REQUIRE(scope_spawn(&scope, producer, (char *)arg + i) == 0);
	REQUIRE(scope_close(&scope) == 0);
	channel_close(&channel);
	EXPECT_INT(channel_send(&channel, &sum_in), -ERR_CLOSED);
	return 0;
}

TEST(channel_delivers_each_element_once)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		begin(seed);
		REQUIRE(channel_init(&channel, sizeof(uint64_t), 1 + seed % 7) == 0);
		produced = consumed = 0;
		sum_in = sum_out = 0;
		for (int i = 0; i < 3; i++)
			spawn(consumer, NULL);
		spawn(produce_all, (void *)(uintptr_t)(seed * 1000));
		run_dry();
		EXPECT_INT(produced, 500);
		EXPECT_INT(consumed, 500);
		EXPECT(sum_in == sum_out);
		channel_done(&channel);
		end();
	}
}

static int send_in_order(void *arg)
{
	for (const char *at = arg; *at; at++)
		REQUIRE(channel_send(&channel, at) == 0);
	channel_close(&channel);
	return 0;
}

static int receive_in_order(void *arg)
{
	char letter;

	(void)arg;
	while (channel_receive(&channel, &letter) == 0)
		say(letter);
	return 0;
}

TEST(channel_keeps_order)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		begin(seed);
		REQUIRE(channel_init(&channel, 1, 2) == 0);
		spawn(send_in_order, "abcdefghijklmnopqrstuvwxyz");
		spawn(receive_in_order, NULL);
		run_dry();
		EXPECT_STR(str_from_c(trace), S("abcdefghijklmnopqrstuvwxyz"));
		channel_done(&channel);
		end();
	}
}

static int wait_for_signal(void *arg)
{
	int r = cond_wait(&cond, (uint64_t)(uintptr_t)arg);

	say(r == 0 ? 's' : r == -ERR_TIMEOUT ? 't' : '?');
	return 0;
}

static int signals(void *arg)
{
	(void)arg;
	cond_signal(&cond);
	(void)fiber_sleep_until(3 * SECOND);
	cond_broadcast(&cond);
	cond_broadcast(&cond); /* nobody there: nothing happens */
	return 0;
}

TEST(cond_signal_and_timeout)
{
	begin(0);
	cond_init(&cond);
	spawn(wait_for_signal, (void *)(uintptr_t)(9 * SECOND)); /* signalled at once */
	spawn(wait_for_signal, (void *)(uintptr_t)(2 * SECOND)); /* times out */
	spawn(wait_for_signal, (void *)(uintptr_t)(9 * SECOND)); /* broadcast */
	spawn(wait_for_signal, (void *)TIME_NEVER);
	spawn(signals, NULL);
	EXPECT_INT(run_dry(), 3 * SECOND);
	EXPECT_STR(str_from_c(trace), S("stss"));
	end();
}

/* --- limits, faults, misuse --------------------------------------------- */

TEST(fiber_limit)
{
	sched_init(&sched, STACKS_PER_SLAB); /* a slab is the unit */
	for (int i = 0; i < STACKS_PER_SLAB; i++)
		REQUIRE(scope_spawn(&sched.root, letters, "a") == 0);
	traced = 0;
	EXPECT_INT(scope_spawn(&sched.root, letters, "a"), -ERR_FULL);
	run_dry();
	EXPECT_INT(traced, STACKS_PER_SLAB);
	EXPECT_INT(scope_spawn(&sched.root, letters, "a"), 0); /* there is room again */
	run_dry();
	sched_trim(&sched);
	end();
}

static volatile bool deeper = true; /* so that the compiler does not see where this ends */

static int overflow(void *arg)
{
	volatile char frame[8192];

	for (size_t i = 0; i < sizeof(frame); i += 512)
		frame[i] = (char)(uintptr_t)arg;
	return deeper ? overflow((void *)(frame + 1)) + frame[0] : 0;
}

static void overflow_a_stack(void *arg)
{
	begin(0);
	spawn(overflow, arg);
	run_dry();
}

TEST(stack_overflow_hits_the_guard)
{
	EXPECT(test_dies(overflow_a_stack, NULL, SIGSEGV));
}

static int park_in_foreign_frame(void *arg)
{
	(void)arg;
	nopark_begin();
	(void)fiber_sleep_until(SECOND);
	return 0;
}

static void park_where_forbidden(void *arg)
{
	begin(0);
	spawn(park_in_foreign_frame, arg);
	run_dry();
}

TEST(park_inside_a_foreign_frame_is_caught)
{
	EXPECT(test_dies(park_where_forbidden, NULL, SIGABRT));
}

static int lock_twice(void *arg)
{
	(void)arg;
	mutex_init(&mutex);
	(void)mutex_lock(&mutex);
	return mutex_lock(&mutex);
}

static void self_deadlock(void *arg)
{
	begin(0);
	spawn(lock_twice, arg);
	run_dry();
}

TEST(mutex_self_lock_is_caught)
{
	EXPECT(test_dies(self_deadlock, NULL, SIGABRT));
}

static int forget_to_close(void *arg)
{
	static struct scope scope;

	(void)arg;
	scope_open(&scope, TIME_NEVER);
	return 0;
}

static void leave_scope_open(void *arg)
{
	begin(0);
	spawn(forget_to_close, arg);
	run_dry();
}

TEST(scope_left_open_is_caught)
{
	EXPECT(test_dies(leave_scope_open, NULL, SIGABRT));
}

static int error_of_its_own(void *arg)
{
	(void)fail(ERR_CONFLICT, "%s", (const char *)arg);
	fiber_yield();
	EXPECT_STR(str_from_c(err_text()), str_from_c(arg));
	return 0;
}

TEST(fiber_error_slots_are_apart)
{
	begin(0);
	(void)fail(ERR_NOT_FOUND, "outside");
	spawn(error_of_its_own, "one");
	spawn(error_of_its_own, "two");
	run_dry();
	EXPECT_STR(str_from_c(err_text()), S("outside"));
	end();
}

static int context_of_its_own(void *arg)
{
	EXPECT(*fiber_context() == NULL);
	*fiber_context() = arg;
	fiber_yield();
	EXPECT(*fiber_context() == arg);
	return 0;
}

TEST(fiber_contexts_are_apart)
{
	begin(0);
	spawn(context_of_its_own, "a");
	spawn(context_of_its_own, "b");
	run_dry();
	EXPECT(*fiber_context() == NULL);
	end();
}

#ifdef BULKHEAD_DEBUG
static int touch_100k(void *arg)
{
	volatile char frame[100 * 1024];

	(void)arg;
	for (size_t i = 0; i < sizeof(frame); i += 1024)
		frame[i] = 1;
	return 0;
}

TEST(census_knows_the_depth_by_spawn_site)
{
	struct fiber_census rows[8];
	size_t count;

	begin(0);
	spawn(touch_100k, NULL);
	run_dry();
	count = fiber_census(rows, LEN(rows));
	REQUIRE(count == 1);
	EXPECT_INT(rows[0].ended, 1);
	EXPECT(strstr(rows[0].site, "fiber_test.c:"));
#if !BUILT_WITH_ASAN /* ASan keeps large frames elsewhere */
	EXPECT(rows[0].depth >= 100 * 1024 && rows[0].depth < 140 * 1024);
#endif
	end();
}

static uint64_t fake_clock(void)
{
	static uint64_t now;

	return now += 20 * MILLISECOND;
}

TEST(census_counts_long_slices)
{
	begin(0);
	sched.clock = fake_clock;
	spawn(letters, "ab");
	run_dry();
	EXPECT_INT(fiber_long_slices(), 3);
	end();
}
#endif

#ifdef BULKHEAD_FAULTS
/* The heap of deadlines may not be able to grow; then the wait says so instead of lasting for ever.
 */
static int sleeps_or_says_why(void *arg)
{
	int r = fiber_sleep_until(SECOND);

	EXPECT(r == 0 || (r == -ERR_NO_MEMORY && *(size_t *)arg > 1));
	return 0;
}

TEST(fiber_survives_every_failed_allocation)
{
	for (size_t nth = 1;; nth++) {
		bool struck;

		begin(0);
		fault_arm(FAULT_MEMORY, nth);
		if (scope_spawn(&sched.root, sleeps_or_says_why, &nth) < 0)
			EXPECT_INT(err_last()->code, ERR_NO_MEMORY);
		run_dry();
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		end();
		if (!struck)
			break;
	}
}

TEST(fiber_survives_a_failed_mapping)
{
	begin(0);
	fault_arm(FAULT_SYSCALL, 1);
	EXPECT_INT(scope_spawn(&sched.root, sleeper, "3"), -ERR_NO_MEMORY);
	fault_arm(FAULT_SYSCALL, 0);
	end();
}
#endif
