/*
 * Fault injection: the torture tests fail the Nth allocation or system call of a scenario, for N =
 * 1, 2,
 * ... until the scenario ends without meeting one. Compiled to nothing when BULKHEAD_FAULTS is not
 * defined. Counting is per thread, so a scenario and its checks stay on one thread.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
	FAULT_MEMORY,  /* an allocation answers NULL */
	FAULT_SYSCALL, /* a system call answers -1 with an errno of the caller's choice */
	FAULT_KINDS,
};

#ifdef BULKHEAD_FAULTS

/* Makes the Nth (1 = next) passage of `kind` on this thread fail, once. 0 switches it off. */
void fault_arm(enum fault_kind kind, size_t nth);

/* True when the armed fault has struck since fault_arm. */
bool fault_struck(enum fault_kind kind);

/* Called at an injection point: true when this passage must fail. */
bool fault_point(enum fault_kind kind);

#else

/* Nothing strikes: a torture test runs its scenario once. */
static inline void fault_arm(enum fault_kind kind, size_t nth)
{
	(void)kind;
	(void)nth;
}

static inline bool fault_struck(enum fault_kind kind)
{
	(void)kind;
	return false;
}

static inline bool fault_point(enum fault_kind kind)
{
	(void)kind;
	return false;
}

#endif
#endif
