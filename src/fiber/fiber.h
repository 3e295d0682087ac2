/*
 * Fibers: straight-line code that waits without holding a thread. Each belongs to the scheduler of
 * one thread for life, so thread-local storage and errno are safe as long as nobody keeps them
 * across a wait. This folder knows time and stacks, but no file descriptors and no clock: sched_run
 * is told the time.
 *
 * Waiting. What a fiber waits for is a `struct wait` on its own stack. Exactly one object holds it
 * (a mutex, a channel, a socket's readiness, a mailbox reply), and only that object wakes it, once,
 * with a result. The scheduler may be faster with a deadline or a cancellation. Whoever is first
 * unlinks the wait from all others: there are no spurious wake-ups, so no caller loops, and no lost
 * ones.
 */
#ifndef FIBER_FIBER_H
#define FIBER_FIBER_H

#include "base/err.h"
#include "base/list.h"
#include "fiber/scope.h"
#include "fiber/stack.h"
#include "fiber/timer.h"

#include <stdint.h>

#pragma GCC visibility push(default)

struct fiber {
	unsigned magic;
	void *sp; /* where it goes on, while it does not run */
	struct sched *sched;
	struct stack *stack;
	struct wait *parked;      /* what it waits for; NULL while it runs or is ready */
	struct scope *scope;      /* the innermost open scope */
	struct scope *spawned_in; /* the scope that waits for its end */
	struct link ready;        /* in the scheduler's run queue */
	struct link all;          /* in the scheduler's list of living fibers */
	struct link member;       /* in scope->fibers */
	int (*run)(void *arg);
	void *arg;
	const char *site;   /* "file:line" of the spawn */
	uint64_t shield_ns; /* deadline of the shielded section, 0 outside one */
	void *context;      /* see fiber_context */
	struct err err;     /* its error slot */
#if BUILT_WITH_ASAN
	void *fake_stack;
#endif
#if BUILT_WITH_TSAN
	void *tsan;
#endif
};

/* One parked moment. On the stack of the fiber that waits. */
struct wait {
	struct fiber *fiber;
	int result;
	bool done;
	struct link link;   /* in the list of the object that owns the wait */
	struct timer timer; /* the nearest deadline */
};

struct sched {
	struct link ready;
	struct link fibers;
	struct timers timers;
	struct stack_pool stacks;
	struct scope root;     /* the scope of the worker itself: what lives in it is detached */
	struct fiber *current; /* NULL while the scheduler itself runs */
	struct fiber *ended;   /* its stack is given back at the next turn */
	void *sp;              /* of the scheduler, while a fiber runs */
	uint64_t now_ns;
	size_t count;        /* living fibers */
	unsigned nopark;     /* > 0 inside a foreign library's frame or with a thread lock held */
	uint64_t order_seed; /* tests: not 0 picks ready fibers in a seeded random order */
	uint64_t (*clock)(void); /* debug: measures slices; NULL with a virtual clock */
#if BUILT_WITH_ASAN
	void *fake_stack;
	const void *stack_bottom;
	size_t stack_size;
#endif
#if BUILT_WITH_TSAN
	void *tsan;
#endif
};

/* --- scheduler ---------------------------------------------------------- */

/* Makes this thread's scheduler: at most `limit` fibers at once. One per thread. */
void sched_init(struct sched *sched, size_t limit);

/* Takes it down. Every fiber must have ended. */
void sched_done(struct sched *sched);

/* The scheduler of this thread; NULL when there is none. */
struct sched *sched_here(void);

/*
 * One round: fires the deadlines due at `now_ns`, then runs each fiber that was ready when the
 * round began until it parks, yields or ends. Returns when to come again: 0 (at once: fibers are
 * ready), a deadline, or TIME_NEVER. A pair of fibers that keep each other busy cannot hold a
 * round.
 */
uint64_t sched_run(struct sched *sched, uint64_t now_ns);

/* The time of the running round, or, for who is called between two, of what woke the worker. All
 * deadlines are on this clock. */
uint64_t sched_now(void);

/* Gives memory of free stacks back; call when idle. */
void sched_trim(struct sched *sched);

/* --- the running fiber -------------------------------------------------- */

/* NULL outside fibers. */
struct fiber *fiber_current(void);

/* Lets the others that are ready run first. Not a place where cancellation strikes. */
void fiber_yield(void);

/* Parks until `deadline_ns`. 0 when it passed, -ERR_TIMEOUT when the scope's own came first,
 * -ERR_CANCELLED. */
int fiber_sleep_until(uint64_t deadline_ns);

/* Address of a pointer that belongs to the running fiber (outside fibers: to the thread); NULL at
 * the start. observe hangs its log context there. */
void **fiber_context(void);

/* --- waiting ------------------------------------------------------------ */

/* Prepares a wait of the running fiber. The owner may then put wait->link into its list. */
void wait_init(struct wait *wait);

/*
 * Parks the running fiber until its wait is woken, `deadline_ns` (or the nearer one of its scope)
 * passes, or its scope is cancelled; TIME_NEVER leaves the scope's deadline alone. Returns the
 * waker's result, -ERR_TIMEOUT or -ERR_CANCELLED; with a negative result the error slot is filled.
 * When it returns, the wait is in no list any more.
 */
int park(struct wait *wait, uint64_t deadline_ns);

/* Ends a wait with a result and makes its fiber ready. The first call wins; true when this was it.
 * Only for the object that owns the wait, on the fiber's own thread, and never for the running
 * fiber. */
bool wake(struct wait *wait, int result);

/* Wakes every wait in an owner's list with the same result. */
void wake_all(struct link *waits, int result);

/* --- sections ----------------------------------------------------------- */

/*
 * Work that must finish although the scope was cancelled or is out of time (a commit, giving back a
 * lease): until shield_end only `deadline_ns` counts. Returns what shield_end wants back; sections
 * nest.
 */
uint64_t shield_begin(uint64_t deadline_ns);
void shield_end(uint64_t former);

/* Around callbacks of foreign libraries and thread locks: parking inside is a bug that CHECK
 * catches. */
void nopark_begin(void);
void nopark_end(void);

/* --- looking in --------------------------------------------------------- */

/* Debug builds: how deep the stacks of the fibers spawned at each place went, to the page. */
struct fiber_census {
	const char *site;
	size_t ended; /* fibers that have ended */
	size_t depth; /* deepest stack, bytes */
};

/* Copies the census of the process, at most `capacity` rows; returns their number (0 in release
 * builds). */
size_t fiber_census(struct fiber_census *ret, size_t capacity);

/* Debug builds: slices longer than this are reported on standard error with the fiber's spawn site.
 */
#define SLICE_LIMIT (10 * MILLISECOND)

/* Slices over the limit so far, in the process; 0 in release builds. */
size_t fiber_long_slices(void);

#pragma GCC visibility pop

#endif
