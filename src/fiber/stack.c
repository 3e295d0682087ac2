/* Slabs of guarded stacks. Layout of one, from low to high: guard page, stack, colour gap, struct
 * stack, the owner's header. */
#include "fiber/stack.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#ifdef BULKHEAD_DEBUG
#include <valgrind/valgrind.h>
#endif
#if BUILT_WITH_ASAN
#include <sanitizer/asan_interface.h>
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
	COLOURS = 16,
	COLOUR_STEP = 128,
	KEEP_WARM = 8,   /* free stacks that a trim leaves alone */
	KEEP_TOP = 8192, /* bytes at the top of a stack that a trim leaves: its structs are there */
	PAGE = 4096,
};

struct stack_slab {
	struct stack_slab *next;
	char *map;
};

void stack_pool_init(struct stack_pool *pool, size_t limit, size_t header)
{
	*pool = (struct stack_pool){ .limit = limit, .header = (header + 63) & ~(size_t)63 };
}

static int guard(char *at)
{
	static bool by_mprotect; /* monotonic, so a race only repeats the question */

	if (!__atomic_load_n(&by_mprotect, __ATOMIC_RELAXED)) {
		if (madvise(at, STACK_GUARD, MADV_GUARD_INSTALL) == 0)
			return 0;
		__atomic_store_n(&by_mprotect, true, __ATOMIC_RELAXED);
	}
	return mprotect(at, STACK_GUARD, PROT_NONE);
}

/* Builds one stack in its place in the slab and puts it on the free list. */
static int add_stack(struct stack_pool *pool, char *low)
{
	size_t colour = pool->total % COLOURS * COLOUR_STEP;
	char *header = low + STACK_SIZE - pool->header - colour;
	struct stack *stack = (struct stack *)(void *)(header - 64);

	_Static_assert(sizeof(struct stack) <= 64, "the header is found 64 bytes above");
	if (guard(low) < 0)
		return fail(ERR_NO_MEMORY, "no guard page for a fiber stack: %s",
			err_errno_text(errno));

	*stack = (struct stack){
		.next_free = pool->free,
		.base = low + STACK_GUARD,
		.top = (char *)stack,
	};
#ifdef BULKHEAD_DEBUG
	stack->valgrind_id = VALGRIND_STACK_REGISTER(stack->base, stack->top);
#endif
	pool->free = stack;
	pool->free_count++;
	pool->total++;
	return 0;
}

void *stack_header(struct stack *stack)
{
	return (char *)stack + 64;
}

static int add_slab(struct stack_pool *pool)
{
	size_t size = (size_t)STACK_SIZE * STACKS_PER_SLAB;
	struct stack_slab *slab = mem_alloc(sizeof(*slab));
	char *map;

	if (!slab)
		return -ERR_NO_MEMORY;

	map = fault_point(FAULT_SYSCALL)
		      ? MAP_FAILED
		      : mmap(NULL, size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (map == MAP_FAILED) {
		mem_free(slab, sizeof(*slab));
		return fail(ERR_NO_MEMORY, "no memory for fiber stacks: %s", err_errno_text(errno));
	}

	slab->map = map;
	slab->next = pool->slabs;
	pool->slabs = slab;
	for (size_t i = 0; i < STACKS_PER_SLAB; i++)
		if (add_stack(pool, map + i * STACK_SIZE) < 0)
			return pool->free ? 0 : -ERR_NO_MEMORY;
	return 0;
}

void stack_pool_done(struct stack_pool *pool)
{
	CHECK(pool->free_count == pool->total);

#ifdef BULKHEAD_DEBUG
	for (struct stack *stack = pool->free; stack; stack = stack->next_free)
		VALGRIND_STACK_DEREGISTER(stack->valgrind_id);
#endif
	while (pool->slabs) {
		struct stack_slab *slab = pool->slabs;

		pool->slabs = slab->next;
		(void)munmap(slab->map, (size_t)STACK_SIZE * STACKS_PER_SLAB);
		mem_free(slab, sizeof(*slab));
	}
	stack_pool_init(pool, pool->limit, pool->header);
}

struct stack *stack_take(struct stack_pool *pool)
{
	struct stack *stack = pool->free;

	if (UNLIKELY(!stack)) {
		if (pool->total >= pool->limit) {
			(void)fail(ERR_FULL, "all %zu fibers are busy", pool->limit);
			return NULL;
		}
		if (add_slab(pool) < 0)
			return NULL;
		stack = pool->free;
		CHECK(stack);
	}

	pool->free = stack->next_free;
	pool->free_count--;
	return stack;
}

void stack_give(struct stack_pool *pool, struct stack *stack)
{
#if BUILT_WITH_ASAN
	/* What the dead frames left poisoned must not trip the next owner. */
	ASAN_UNPOISON_MEMORY_REGION(stack->base, (size_t)(stack->top - stack->base));
#endif
	stack->next_free = pool->free;
	pool->free = stack;
	pool->free_count++;
	pool->used_since_trim = true;
}

static char *page_floor(const char *at)
{
	return (char *)((uintptr_t)at & ~(uintptr_t)(PAGE - 1));
}

void stack_forget(struct stack *stack)
{
	char *high = page_floor(stack->top - KEEP_TOP);

	(void)madvise(stack->base, (size_t)(high - stack->base), MADV_DONTNEED);
}

void stack_pool_trim(struct stack_pool *pool)
{
	size_t position = 0;

	if (!pool->used_since_trim)
		return;

	pool->used_since_trim = false;
	for (struct stack *stack = pool->free; stack; stack = stack->next_free)
		if (position++ >= KEEP_WARM)
			stack_forget(stack);
}

size_t stack_depth(const struct stack *stack)
{
	unsigned char resident[STACK_SIZE / PAGE];
	char *high = page_floor(stack->top + PAGE - 1);
	size_t pages = (size_t)(high - stack->base) / PAGE;
	size_t lowest = 0;

	if (mincore(stack->base, (size_t)(high - stack->base), resident) < 0)
		return 0;
	while (lowest < pages && !(resident[lowest] & 1))
		lowest++;
	return (size_t)(stack->top - (stack->base + lowest * PAGE));
}
