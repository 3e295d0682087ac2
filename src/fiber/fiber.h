/* What the running fiber carries for others. */
#ifndef FIBER_FIBER_H
#define FIBER_FIBER_H

/* The address of a pointer that belongs to the running fiber (or, outside fibers, to the thread);
 * NULL at start. observe/log.h hangs its context there. */
void **fiber_context(void);

#endif
