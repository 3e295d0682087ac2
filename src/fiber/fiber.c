/* The pointer of a thread that runs no fibers. */
#include "fiber/fiber.h"

#include <stddef.h>

void **fiber_context(void)
{
	static _Thread_local void *context;

	return &context;
}
