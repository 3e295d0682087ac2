/*
 * What the sanitizers must be told about a switch of stacks. Internal to this folder.
 *
 * ASan: announced before, finished first thing after; a dying fiber passes no place for its fake
 * stack, or that would leak. TSan: its own fiber objects; the announcing function must not be
 * instrumented, since it is entered on one stack and left on another.
 */
#ifndef FIBER_ANNOTATE_H
#define FIBER_ANNOTATE_H

#include "fiber/fiber.h"

#if BUILT_WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if BUILT_WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#if BUILT_WITH_TSAN
#define NOT_INSTRUMENTED __attribute__((no_sanitize("thread"), noinline))
#define ANNOTATION       __attribute__((no_sanitize("thread"), always_inline)) static inline
#else
#define NOT_INSTRUMENTED __attribute__((noinline))
#define ANNOTATION       static inline
#endif

ANNOTATION void annotate_spawn(struct fiber *fiber)
{
	(void)fiber;
#if BUILT_WITH_TSAN
	fiber->tsan = __tsan_create_fiber(0);
#endif
}

/* In the scheduler, about to run the fiber. */
ANNOTATION void annotate_leave_sched(struct sched *sched, struct fiber *fiber)
{
	(void)sched, (void)fiber;
#if BUILT_WITH_ASAN
	__sanitizer_start_switch_fiber(&sched->fake_stack, fiber->stack->base,
		(size_t)(fiber->stack->top - fiber->stack->base));
#endif
#if BUILT_WITH_TSAN
	sched->tsan = __tsan_get_current_fiber();
	__tsan_switch_to_fiber(fiber->tsan, 0);
#endif
}

/* Back in the scheduler. */
ANNOTATION void annotate_enter_sched(struct sched *sched)
{
	(void)sched;
#if BUILT_WITH_ASAN
	__sanitizer_finish_switch_fiber(sched->fake_stack, NULL, NULL);
#endif
}

/* In a fiber, about to go back to the scheduler; `last` when it ends. */
ANNOTATION void annotate_leave_fiber(struct fiber *fiber, bool last)
{
	(void)fiber, (void)last;
#if BUILT_WITH_ASAN
	__sanitizer_start_switch_fiber(last ? NULL : &fiber->fake_stack, fiber->sched->stack_bottom,
		fiber->sched->stack_size);
#endif
#if BUILT_WITH_TSAN
	__tsan_switch_to_fiber(fiber->sched->tsan, 0);
#endif
}

/* In a fiber that goes on (or begins, when it has no fake stack yet). */
ANNOTATION void annotate_enter_fiber(struct fiber *fiber)
{
	(void)fiber;
#if BUILT_WITH_ASAN
	__sanitizer_finish_switch_fiber(
		fiber->fake_stack, &fiber->sched->stack_bottom, &fiber->sched->stack_size);
#endif
}

/* In the scheduler, after the fiber's last moment. */
ANNOTATION void annotate_end(struct fiber *fiber)
{
	(void)fiber;
#if BUILT_WITH_TSAN
	__tsan_destroy_fiber(fiber->tsan);
#endif
}

#endif
