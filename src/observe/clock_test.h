/* For tests: the wall clock ahead of what it is, so that nobody waits for an hour to pass,
 * or both under the test's control. */
#ifndef OBSERVE_CLOCK_TEST_H
#define OBSERVE_CLOCK_TEST_H

#include <stdint.h>

/* The wall clock is so far ahead from now on; the monotonic one goes on as ever. Any thread may ask
 * for the time meanwhile. */
void clock_ahead(uint64_t ns);

/* The same, added to what it is ahead already. */
void clock_pass(uint64_t ns);

/* Both clocks stand still from now on, and go on only when they are told to. */
void clock_stop(void);

/* So much time goes by; after clock_stop. */
void clock_go(uint64_t ns);

/* Somebody sets the wall clock, ahead or back; after clock_stop. */
void clock_jump(int64_t us);

/* Both clocks are as they are again. */
void clock_back(void);

#endif
