/*
 * The switch between two stacks of one thread: saves the callee-saved registers on the running
 * stack, its stack pointer in *save_sp, and continues where load_sp was saved. Floating-point
 * control words are not saved (it would cost more than all the rest): nobody changes the rounding
 * mode on a fiber.
 */
#ifndef FIBER_SWITCH_H
#define FIBER_SWITCH_H

void fiber_switch(void **save_sp, void *load_sp);

/* Where a new stack begins to run; it calls fiber_main, which does not return. */
void fiber_boot(void);

/* Writes onto a fresh stack what fiber_switch expects, so that the first switch to it lands in
 * fiber_boot. Returns the stack pointer to load. */
void *switch_prepare(char *top);

#endif
