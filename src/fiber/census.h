/* Debug builds watch how long fibers run without parking and how deep their stacks get. Internal to
 * this folder; release builds compile it to nothing. */
#ifndef FIBER_CENSUS_H
#define FIBER_CENSUS_H

#include "fiber/fiber.h"

#ifdef BULKHEAD_DEBUG

/* A fiber spawned at `site` has ended on this stack. */
void census_note(const char *site, struct stack *stack);

uint64_t slice_begin(const struct sched *sched);
void slice_end(const struct sched *sched, uint64_t began_ns, const char *site);

#else

static inline void census_note(const char *site, struct stack *stack)
{
	(void)site, (void)stack;
}

static inline uint64_t slice_begin(const struct sched *sched)
{
	(void)sched;
	return 0;
}

static inline void slice_end(const struct sched *sched, uint64_t began_ns, const char *site)
{
	(void)sched, (void)began_ns, (void)site;
}

#endif
#endif
