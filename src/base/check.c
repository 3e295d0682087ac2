/* The end of a process whose own state is wrong: say where, then leave a core behind. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *condition, const char *file, int line)
{
	(void)fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
	abort();
}
