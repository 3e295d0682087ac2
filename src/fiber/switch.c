/* The first frame of a new stack, per architecture: what fiber_switch will pop, ending in
 * fiber_boot. */
#include "fiber/switch.h"

#include "base/check.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
enum { SAVED_WORDS = 6, BOOT_WORD = 6, FRAME_WORDS = 7 }; /* r15 r14 r13 r12 rbx rbp, rip */
#elif defined(__aarch64__)
enum { SAVED_WORDS = 20, BOOT_WORD = 1, FRAME_WORDS = 20 }; /* x29 x30 x19..x28 d8..d15 */
#else
#error "no fiber switch for this architecture"
#endif

void *switch_prepare(char *top)
{
	void **frame = (void **)(void *)top - FRAME_WORDS;

	CHECK(((uintptr_t)top & 15) == 0);

	memset(frame, 0, FRAME_WORDS * sizeof(*frame));
	frame[BOOT_WORD] = (void *)fiber_boot;
	return frame;
}
