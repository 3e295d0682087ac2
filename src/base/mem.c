/* A counted malloc. The count is one shared atomic: blocks are large (arena chunks, buffers) and
 * pooled by their owners, so it is touched rarely. */
#include "base/mem.h"

#include "base/check.h"
#include "base/err.h"
#include "base/fault.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic size_t used;
static _Atomic size_t limit;

/* Counts `more` bytes in, unless that passes the limit. */
static int reserve(size_t more)
{
	size_t before = atomic_fetch_add_explicit(&used, more, memory_order_relaxed);
	size_t most = atomic_load_explicit(&limit, memory_order_relaxed);

	if (most == 0 || before + more <= most)
		return 0;

	atomic_fetch_sub_explicit(&used, more, memory_order_relaxed);
	return fail(ERR_NO_MEMORY, "the memory limit of %zu bytes is reached", most);
}

static void unreserve(size_t size)
{
	atomic_fetch_sub_explicit(&used, size, memory_order_relaxed);
}

void *mem_alloc(size_t size)
{
	return mem_resize(NULL, 0, size);
}

void *mem_zalloc(size_t size)
{
	void *at;

	CHECK(size > 0);
	if (reserve(size) < 0)
		return NULL;
	/* Large blocks come as the system's zero pages, and take memory as they are used. */
	at = fault_point(FAULT_MEMORY) ? NULL : calloc(1, size);
	if (!at) {
		unreserve(size);
		(void)fail(ERR_NO_MEMORY, "no memory for %zu bytes", size);
	}
	return at;
}

void *mem_resize(void *at, size_t old_size, size_t size)
{
	void *next;

	CHECK(size > 0);

	if (size > old_size && reserve(size - old_size) < 0)
		return NULL;

	next = fault_point(FAULT_MEMORY) ? NULL : realloc(at, size);
	if (!next) {
		if (size > old_size)
			unreserve(size - old_size);
		(void)fail(ERR_NO_MEMORY, "no memory for %zu bytes", size);
		return NULL;
	}

	if (size < old_size)
		unreserve(old_size - size);
	return next;
}

void mem_free(void *at, size_t size)
{
	if (!at)
		return;

	unreserve(size);
	free(at);
}

size_t mem_used(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed);
}

void mem_limit(size_t bytes)
{
	atomic_store_explicit(&limit, bytes, memory_order_relaxed);
}
