/* The scheduler of one thread: the run queue, the switch, parking and waking. */
#include "fiber/fiber.h"

#include "base/mem.h"
#include "fiber/annotate.h"
#include "fiber/census.h"
#include "fiber/switch.h"

#if defined(BULKHEAD_DEBUG) && defined(__x86_64__)
#include <immintrin.h>
#endif

enum { FIBER_MAGIC = 0x66696265 };

static _Thread_local struct sched *here;
static _Thread_local void *thread_context;

void fiber_main(void); /* called by fiber_boot */

/* --- scheduler ---------------------------------------------------------- */

void sched_init(struct sched *sched, size_t limit)
{
	CHECK(!here);

	*sched = (struct sched){ 0 };
	link_init(&sched->ready);
	link_init(&sched->fibers);
	stack_pool_init(&sched->stacks, limit, sizeof(struct fiber));
	scope_init_root(&sched->root, sched);
	here = sched;
}

static void bury(struct sched *sched)
{
	struct fiber *fiber = TAKE(sched->ended);

	if (!fiber)
		return;

	annotate_end(fiber);
	census_note(fiber->site, fiber->stack);
	stack_give(&sched->stacks, fiber->stack);
}

void sched_done(struct sched *sched)
{
	CHECK(here == sched && !sched->current && sched->count == 0);

	stack_pool_done(&sched->stacks);
	timers_done(&sched->timers);
	here = NULL;
}

struct sched *sched_here(void)
{
	return here;
}

uint64_t sched_now(void)
{
	return here->now_ns;
}

void sched_trim(struct sched *sched)
{
	stack_pool_trim(&sched->stacks);
}

/* The rule that lets the switch leave the floating-point control words alone. */
static inline void check_float_mode(void)
{
#if defined(BULKHEAD_DEBUG) && defined(__x86_64__)
	CHECK((_mm_getcsr() & 0xFFC0) == 0x1F80);
#endif
}

/* From the scheduler into a fiber; returns when the fiber parks, yields or ends. */
NOT_INSTRUMENTED static void enter(struct sched *sched, struct fiber *fiber)
{
	annotate_leave_sched(sched, fiber);
	fiber_switch(&sched->sp, fiber->sp);
	annotate_enter_sched(sched);
}

/* From a fiber back into the scheduler; returns when the fiber is run again. */
NOT_INSTRUMENTED static void leave(struct fiber *fiber, bool last)
{
	annotate_leave_fiber(fiber, last);
	fiber_switch(&fiber->sp, fiber->sched->sp);
	annotate_enter_fiber(fiber);
}

static void run_slice(struct sched *sched, struct fiber *fiber)
{
	struct err *former = err_slot_swap(&fiber->err);
	uint64_t began = slice_begin(sched);

	CHECK(fiber->magic == FIBER_MAGIC);
	sched->current = fiber;
	enter(sched, fiber);
	check_float_mode();
	sched->current = NULL;
	(void)err_slot_swap(former);

	slice_end(sched, began, fiber->site);
	bury(sched);
}

/* The next fiber to run: the first, or in tests a random one. */
static struct fiber *pick(struct sched *sched, struct link *round)
{
	struct link *link = round->next;

	if (UNLIKELY(sched->order_seed)) {
		uint64_t *seed = &sched->order_seed;
		size_t count = 0;

		*seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
		for (struct link *each = round->next; each != round; each = each->next)
			count++;
		for (size_t skip = *seed % count; skip > 0; skip--)
			link = link->next;
	}

	link_remove(link);
	return CONTAINER_OF(link, struct fiber, ready);
}

uint64_t sched_run(struct sched *sched, uint64_t now_ns)
{
	struct link round = LIST_INIT(round);

	CHECK(here == sched && !sched->current);
	sched->now_ns = now_ns;
	timers_fire(&sched->timers, now_ns);

	list_take(&round, &sched->ready);
	while (!list_empty(&round))
		run_slice(sched, pick(sched, &round));

	return list_empty(&sched->ready) ? timers_next(&sched->timers) : 0;
}

/* --- birth and end ------------------------------------------------------ */

int scope_spawn_at(struct scope *scope, int (*run)(void *arg), void *arg, const char *site)
{
	struct sched *sched = scope->sched;
	struct stack *stack = stack_take(&sched->stacks);
	struct fiber *fiber;

	if (!stack)
		return err_wrap("cannot start a fiber");

	fiber = stack_header(stack);
	fiber->magic = FIBER_MAGIC;
	fiber->sched = sched;
	fiber->stack = stack;
	fiber->sp = switch_prepare(stack->top);
	fiber->parked = NULL;
	fiber->run = run;
	fiber->arg = arg;
	fiber->site = site;
	fiber->shield_ns = 0;
	fiber->context = NULL;
	fiber->err.code = ERR_OK;
	fiber->err.depth = 0;
	fiber->spawned_in = scope;
#if BUILT_WITH_ASAN
	fiber->fake_stack = NULL;
#endif
	link_init(&fiber->member);
	scope_enter(scope, fiber);
	scope->running++;
	annotate_spawn(fiber);

	list_push(&sched->fibers, &fiber->all);
	list_push(&sched->ready, &fiber->ready);
	sched->count++;
	return 0;
}

/* The whole life of a fiber. */
void fiber_main(void)
{
	struct fiber *fiber = here->current;
	struct sched *sched = fiber->sched;
	struct scope *scope = fiber->spawned_in;
	int result;

	annotate_enter_fiber(fiber);
	result = fiber->run(fiber->arg);

	CHECK(fiber->scope == scope && !fiber->shield_ns); /* whatever it opened, it has closed */
	link_remove(&fiber->member);
	link_remove(&fiber->all);
	sched->count--;
	fiber->magic = 0;
	sched->ended = fiber;
	scope_child_ended(scope, result);
	leave(fiber, true);
	CHECK(!"a fiber that has ended runs again");
}

/* --- the running fiber -------------------------------------------------- */

struct fiber *fiber_current(void)
{
	return here ? here->current : NULL;
}

void **fiber_context(void)
{
	struct fiber *fiber = fiber_current();

	return fiber ? &fiber->context : &thread_context;
}

void fiber_yield(void)
{
	struct fiber *fiber = fiber_current();

	CHECK(fiber && fiber->sched->nopark == 0);
	list_push(&fiber->sched->ready, &fiber->ready);
	leave(fiber, false);
}

int fiber_sleep_until(uint64_t deadline_ns)
{
	struct fiber *fiber = fiber_current();
	struct wait wait;
	int r;

	wait_init(&wait);
	r = park(&wait, deadline_ns);
	if (r == -ERR_TIMEOUT && fiber->sched->now_ns >= deadline_ns)
		return 0;
	return r;
}

/* --- waiting ------------------------------------------------------------ */

static void wait_expired(struct timer *timer)
{
	(void)wake(CONTAINER_OF(timer, struct wait, timer), -ERR_TIMEOUT);
}

void wait_init(struct wait *wait)
{
	CHECK(fiber_current());

	wait->fiber = here->current;
	wait->result = 0;
	wait->done = false;
	wait->timer = (struct timer){ .fire = wait_expired };
	link_init(&wait->link);
}

/* What ends the wait before it begins, or 0. */
static int refuse_to_park(const struct fiber *fiber, uint64_t deadline_ns)
{
	if (!fiber->shield_ns && fiber->scope->cancelled)
		return fiber->scope->cancelled;
	return deadline_ns <= fiber->sched->now_ns ? -ERR_TIMEOUT : 0;
}

/* Leaves the thread to others until somebody has woken the wait. */
static void park_here(struct fiber *fiber, struct wait *wait, uint64_t deadline_ns)
{
	int r = refuse_to_park(fiber, deadline_ns);

	if (r == 0 && deadline_ns != TIME_NEVER)
		r = timer_arm(&fiber->sched->timers, &wait->timer, deadline_ns);
	if (r < 0) {
		wait->result = r;
		wait->done = true;
		link_remove(&wait->link);
		return;
	}

	fiber->parked = wait;
	leave(fiber, false);
	CHECK(wait->done && !fiber->parked);
}

int park(struct wait *wait, uint64_t deadline_ns)
{
	struct fiber *fiber = wait->fiber;

	CHECK(fiber == fiber_current() && fiber->sched->nopark == 0);

	if (!wait->done) {
		uint64_t own = fiber->shield_ns ? fiber->shield_ns : fiber->scope->deadline_ns;

		park_here(fiber, wait, MIN(own, deadline_ns));
	}
	if (wait->result < 0)
		return fail((enum err_code) - wait->result, "%s", err_info(wait->result)->text.at);
	return wait->result;
}

bool wake(struct wait *wait, int result)
{
	struct fiber *fiber = wait->fiber;

	CHECK(fiber->magic == FIBER_MAGIC && fiber->sched == here);
	if (wait->done)
		return false;

	wait->result = result;
	wait->done = true;
	link_remove(&wait->link);
	timer_disarm(&fiber->sched->timers, &wait->timer);
	if (fiber->parked == wait) {
		fiber->parked = NULL;
		list_push(&fiber->sched->ready, &fiber->ready);
	}
	return true;
}

void wake_all(struct link *waits, int result)
{
	while (!list_empty(waits))
		(void)wake(CONTAINER_OF(waits->next, struct wait, link), result);
}

/* --- sections ----------------------------------------------------------- */

uint64_t shield_begin(uint64_t deadline_ns)
{
	struct fiber *fiber = fiber_current();
	uint64_t former = fiber->shield_ns;

	CHECK(deadline_ns > 0);
	fiber->shield_ns = former ? MIN(former, deadline_ns) : deadline_ns;
	return former;
}

void shield_end(uint64_t former)
{
	fiber_current()->shield_ns = former;
}

void nopark_begin(void)
{
	if (here)
		here->nopark++;
}

void nopark_end(void)
{
	if (here) {
		CHECK(here->nopark > 0);
		here->nopark--;
	}
}
