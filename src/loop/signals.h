/*
 * Signals belong to the main thread, which does nothing but wait for them: all threads block them,
 * and nothing of ours runs in a handler.
 */
#ifndef LOOP_SIGNALS_H
#define LOOP_SIGNALS_H

#include <stdint.h>

/* Blocks the signals a server listens to (TERM, INT, HUP, USR1) and ignores SIGPIPE. Call it before
 * the first thread starts. */
void signals_block(void);

/* Waits for one of them until `deadline_ns` (clock_now_ns). Returns its number, 0 at the deadline.
 */
int signals_wait(uint64_t deadline_ns);

#endif
