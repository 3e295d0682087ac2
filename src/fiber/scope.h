/*
 * Scopes: a tree of work with a deadline. A fiber opens one for a piece of work, spawns children in
 * it, and scope_close waits for them: nothing outlives the work it belongs to. A deadline is
 * absolute and inherited, and every wait inside ends when it passes. Cancelling a scope makes the
 * current and all later waits inside fail, so that code unwinds by returning.
 */
#ifndef FIBER_SCOPE_H
#define FIBER_SCOPE_H

#include "base/err.h"
#include "base/list.h"

#include <stdint.h>

#pragma GCC visibility push(default)

struct fiber;
struct sched;
struct wait;

enum { SCOPE_DEPTH_MAX = 32 };

/* Something to do when the scope closes. Memory of the caller's, at least as long-lived as the
 * scope. */
struct cleanup {
	void (*run)(void *arg);
	void *arg;
	struct cleanup *next;
};

struct scope {
	struct sched *sched;
	struct scope *parent; /* NULL for the root */
	struct fiber *owner;  /* the fiber that opened it; NULL for the root */
	uint64_t deadline_ns; /* the nearest of its own and its ancestors' */
	int cancelled;        /* 0, or the negative code that waits inside get */
	int failed;           /* the first child's error, negative */
	struct err first;     /* and its text */
	unsigned depth;
	size_t running;       /* children that have not ended */
	struct link fibers;   /* those whose innermost scope this is */
	struct link children; /* scopes opened inside */
	struct link sibling;
	struct cleanup *cleanups;
	struct wait *joiner; /* the owner in scope_close */
};

/* Opens a scope in the running fiber's innermost one; `deadline_ns` may be TIME_NEVER. */
void scope_open(struct scope *scope, uint64_t deadline_ns);

/*
 * Starts run(arg) as a child fiber. When a child returns a negative code, its siblings are
 * cancelled and scope_close returns that error. -ERR_FULL or -ERR_NO_MEMORY when no fiber can be
 * had.
 */
#define scope_spawn(scope, run, arg) scope_spawn_at(scope, run, arg, FIBER_SITE)
int scope_spawn_at(struct scope *scope, int (*run)(void *arg), void *arg, const char *site);

#define FIBER_SITE         FIBER_SITE_(__FILE__, __LINE__)
#define FIBER_SITE_(f, l)  FIBER_SITE__(f, l)
#define FIBER_SITE__(f, l) f ":" #l

/* Runs cleanup->run(arg) when the scope closes; the last one deferred runs first. */
void scope_defer(struct scope *scope, struct cleanup *cleanup, void (*run)(void *arg), void *arg);

/* Makes all waits inside, present and future, fail with -ERR_CANCELLED (those in a shielded
 * section: after it). May be called from anywhere on the thread; the second call does nothing. */
void scope_cancel(struct scope *scope);

/* True when the scope is cancelled or its deadline has passed. */
bool scope_over(const struct scope *scope);

/*
 * Waits for the children, runs the cleanups, and makes the parent the innermost scope again.
 * Returns 0 or the first error of a child (the error slot has its text). The wait is shielded:
 * children end by themselves since they share the deadline and the cancellation. Only the opener
 * may close, innermost first.
 */
int scope_close(struct scope *scope);

/* For the scheduler. */
void scope_init_root(struct scope *scope, struct sched *sched);
void scope_enter(struct scope *scope, struct fiber *fiber);
void scope_child_ended(struct scope *scope, int result);

#pragma GCC visibility pop

#endif
