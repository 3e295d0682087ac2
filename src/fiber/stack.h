/*
 * Stacks for fibers: cut from slabs, a guard page below each, reused last-in-first-out so that the
 * hot one is still in the cache. Tops are coloured (moved by multiples of 128 bytes), or the hot
 * frames of all fibers would fall into the same cache sets. One pool per scheduler; not for use by
 * several threads.
 *
 * The guard is installed with MADV_GUARD_INSTALL (Linux 6.13), which costs no mapping; older
 * kernels get mprotect, which costs two mappings a stack: STACK_LIMIT_MPROTECT keeps below
 * vm.max_map_count then.
 */
#ifndef FIBER_STACK_H
#define FIBER_STACK_H

#include "base/list.h"

#include <stddef.h>

#pragma GCC visibility push(default)

enum {
	STACK_SIZE =
		256 * 1024, /* reserved, guard included; pages are committed as they are touched */
	STACK_GUARD = 4096,
	STACKS_PER_SLAB = 64,
	STACK_LIMIT_MPROTECT = 24000,
};

/* Lies at the top of its stack. */
struct stack {
	struct stack *next_free;
	char *base; /* lowest usable byte, just above the guard */
	char *top;  /* the stack pointer starts here, below this struct; 16-byte aligned */
	unsigned valgrind_id;
};

struct stack_slab;

struct stack_pool {
	struct stack *free;
	struct stack_slab *slabs;
	size_t total; /* stacks in all slabs */
	size_t free_count;
	size_t limit;  /* most stacks */
	size_t header; /* bytes that the owner keeps above the stack, beside struct stack */
	bool used_since_trim;
};

/*
 * A pool of at most `limit` stacks with room for `header` bytes of the owner's at the top of each.
 * Allocates nothing yet.
 */
void stack_pool_init(struct stack_pool *pool, size_t limit, size_t header);

/* Unmaps everything. No stack may be in use. */
void stack_pool_done(struct stack_pool *pool);

/* A stack, or NULL with ERR_FULL (the limit) or ERR_NO_MEMORY. */
struct stack *stack_take(struct stack_pool *pool);

/* Back to the pool. Must not be the stack that is running. */
void stack_give(struct stack_pool *pool, struct stack *stack);

/* The owner's header of a stack. */
void *stack_header(struct stack *stack);

/* Gives the pages of free stacks back to the system, except for the few that will be used next. */
void stack_pool_trim(struct stack_pool *pool);

/* For debug builds. Bytes touched since the last stack_forget, to the page, by mincore; and giving
 * the pages back, so that the next count starts anew. */
size_t stack_depth(const struct stack *stack);
void stack_forget(struct stack *stack);

#pragma GCC visibility pop

#endif
