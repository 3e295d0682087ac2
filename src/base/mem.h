/*
 * The heap, counted. Every arena chunk, buffer and stack slab of ours comes through here, so that
 * one number says how much memory requests hold and one limit turns overload into 503 instead of an
 * out-of-memory kill. Injected faults (base/fault.h) strike here.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#pragma GCC visibility push(default)

/*
 * `size` bytes, uninitialised, aligned for any type; NULL with ERR_NO_MEMORY set when the system or
 * the limit refuses. Free with mem_free and the same size.
 */
void *mem_alloc(size_t size);

/* The same, zeroed. */
void *mem_zalloc(size_t size);

/* Grows or shrinks a block from `old_size`; on failure (NULL) the old block stays as it was. */
void *mem_resize(void *at, size_t old_size, size_t size);

/* Gives a block back. NULL is allowed. */
void mem_free(void *at, size_t size);

/* Bytes in use through this file, by all threads. */
size_t mem_used(void);

/* Sets the most bytes that may be in use; 0 (the start value) is no limit beyond the system's. */
void mem_limit(size_t bytes);

#pragma GCC visibility pop

#endif
