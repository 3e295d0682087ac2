/*
 * Signals belong to the main thread, which does nothing but wait for them: all threads block them,
 * and nothing of ours runs in a handler.
 */
#ifndef LOOP_SIGNALS_H
#define LOOP_SIGNALS_H

#include <stddef.h>
#include <stdint.h>

enum { SIGNAL_STACK = 32 * 1024 };

/* Blocks the signals a server listens to (TERM, INT, HUP, USR1, USR2) and ignores SIGPIPE. Call it
 * before the first thread starts. */
void signals_block(void);

/* Waits for one of them, or for signals_wake, until `deadline_ns` (clock_now_ns). Returns its
 * number, SIGUSR2 when it was woken, 0 at the deadline. */
int signals_wait(uint64_t deadline_ns);

/* Ends a signals_wait, the present or the next one. From any thread. */
void signals_wake(void);

/*
 * When the process is about to die of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT, calls
 * `last_words`, which may make async-signal-safe calls only, and then lets it die as it would have.
 */
void signals_on_crash(void (*last_words)(void));

/* Gives the calling thread SIGNAL_STACK bytes to crash on, since a fiber's stack may be what is
 * used up; NULL takes them away again. */
void signals_crash_stack(void *memory);

#endif
