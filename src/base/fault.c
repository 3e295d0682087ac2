/* Per-thread countdowns behind fault_point. */
#include "base/fault.h"

#ifdef BULKHEAD_FAULTS

static _Thread_local size_t countdown[FAULT_KINDS];
static _Thread_local bool struck[FAULT_KINDS];

void fault_arm(enum fault_kind kind, size_t nth)
{
	countdown[kind] = nth;
	struck[kind] = false;
}

bool fault_struck(enum fault_kind kind)
{
	return struck[kind];
}

bool fault_point(enum fault_kind kind)
{
	if (countdown[kind] == 0 || --countdown[kind] != 0)
		return false;

	struck[kind] = true;
	return true;
}

#endif
