/* The tree of scopes: deadlines inherited on the way down, errors and ends reported on the way up.
 */
#include "fiber/scope.h"

#include "base/check.h"
#include "fiber/fiber.h"

void scope_init_root(struct scope *scope, struct sched *sched)
{
	*scope = (struct scope){ .sched = sched, .deadline_ns = TIME_NEVER };
	link_init(&scope->fibers);
	link_init(&scope->children);
	link_init(&scope->sibling);
}

void scope_enter(struct scope *scope, struct fiber *fiber)
{
	fiber->scope = scope;
	link_remove(&fiber->member);
	list_push(&scope->fibers, &fiber->member);
}

void scope_open(struct scope *scope, uint64_t deadline_ns)
{
	struct fiber *fiber = fiber_current();
	struct scope *parent = fiber->scope;

	CHECK(parent->depth + 1 < SCOPE_DEPTH_MAX);

	scope->sched = fiber->sched;
	scope->parent = parent;
	scope->owner = fiber;
	scope->deadline_ns = MIN(deadline_ns, parent->deadline_ns);
	scope->cancelled = parent->cancelled;
	scope->failed = 0;
	scope->depth = parent->depth + 1;
	scope->running = 0;
	scope->cleanups = NULL;
	scope->joiner = NULL;
	link_init(&scope->fibers);
	link_init(&scope->children);
	list_push(&parent->children, &scope->sibling);
	scope_enter(scope, fiber);
}

void scope_defer(struct scope *scope, struct cleanup *cleanup, void (*run)(void *arg), void *arg)
{
	*cleanup = (struct cleanup){ .run = run, .arg = arg, .next = scope->cleanups };
	scope->cleanups = cleanup;
}

/* Recursion is bounded by SCOPE_DEPTH_MAX. */
void scope_cancel(struct scope *scope) /* NOLINT(misc-no-recursion) */
{
	struct fiber *fiber;
	struct scope *child;

	if (scope->cancelled)
		return;

	scope->cancelled = -ERR_CANCELLED;
	LIST_EACH (fiber, &scope->fibers, struct fiber, member)
		if (fiber->parked && !fiber->shield_ns)
			(void)wake(fiber->parked, -ERR_CANCELLED);
	LIST_EACH (child, &scope->children, struct scope, sibling)
		scope_cancel(child);
}

bool scope_over(const struct scope *scope)
{
	return scope->cancelled || scope->deadline_ns <= scope->sched->now_ns;
}

void scope_child_ended(struct scope *scope, int result)
{
	CHECK(scope->running > 0);

	scope->running--;
	if (result < 0 && scope->parent && !scope->failed) {
		scope->failed = result;
		scope->first = *err_last();
		scope_cancel(scope);
	}
	if (scope->running == 0 && scope->joiner)
		(void)wake(scope->joiner, 0);
}

static void join(struct scope *scope)
{
	uint64_t former = shield_begin(TIME_NEVER);
	struct wait wait;

	wait_init(&wait);
	scope->joiner = &wait;
	(void)park(&wait, TIME_NEVER);
	scope->joiner = NULL;
	shield_end(former);
}

int scope_close(struct scope *scope)
{
	struct fiber *fiber = fiber_current();

	CHECK(fiber == scope->owner && fiber->scope == scope);

	if (scope->running > 0)
		join(scope);
	while (scope->cleanups) {
		struct cleanup *cleanup = scope->cleanups;

		scope->cleanups = cleanup->next;
		cleanup->run(cleanup->arg);
	}

	CHECK(scope->running == 0 && list_empty(&scope->children));
	link_remove(&scope->sibling);
	scope_enter(scope->parent, fiber);

	if (scope->failed)
		fiber->err = scope->first;
	return scope->failed;
}
