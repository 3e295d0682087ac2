/*
 * Bump memory: allocate often, free all at once. One per request, one per connection. Nothing in it
 * has a destructor. Free parts are poisoned in ASan and valgrind builds, and debug builds remember
 * where each allocation came from, so that arena_check_level can name the first one that was left
 * behind.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/check.h"
#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

struct arena_chunk;

struct arena {
	char *at, *end;             /* free part of the newest chunk */
	struct arena_chunk *newest; /* chunks, newest first; NULL until the first allocation */
	size_t before;              /* bytes handed out from older chunks */
	size_t limit;               /* most bytes handed out at once */
	size_t chunk_size;          /* size of an ordinary chunk */
	size_t peak;                /* most bytes ever handed out since arena_init */
#ifdef BULKHEAD_DEBUG
	struct arena_note *notes; /* newest first: where each live allocation was made */
#endif
};

/* A moment of an arena, to go back to. */
struct arena_mark {
	struct arena_chunk *chunk;
	char *at;
	size_t before;
#ifdef BULKHEAD_DEBUG
	struct arena_note *notes;
#endif
};

/*
 * An empty arena that hands out at most `limit` bytes, taken in chunks of `chunk_size` (larger ones
 * for larger requests). Allocates nothing yet.
 */
void arena_init(struct arena *arena, size_t chunk_size, size_t limit);

/* Gives every chunk back. The arena can be used again. */
void arena_done(struct arena *arena);

/* Forgets all allocations but keeps the first chunk, so that the next round costs no malloc; not
 * when it was made for a large request. */
void arena_reset(struct arena *arena);

/*
 * `size` bytes, uninitialised, 16-byte aligned. NULL when the limit (ERR_TOO_LARGE) or the memory
 * (ERR_NO_MEMORY) is at its end; the error slot says which.
 */
#define arena_alloc(arena, size) arena_alloc_at(arena, size, __FILE__, __LINE__)
void *arena_alloc_at(struct arena *arena, size_t size, const char *file, int line) WARN_UNUSED
	__attribute__((malloc, alloc_size(2), assume_aligned(16)));

/* The same, zeroed. */
#define arena_zalloc(arena, size) arena_zalloc_at(arena, size, __FILE__, __LINE__)
void *arena_zalloc_at(struct arena *arena, size_t size, const char *file, int line) WARN_UNUSED;

/* One zeroed `type`, or NULL. */
#define arena_new(arena, type) ((type *)arena_zalloc(arena, sizeof(type)))

/* A copy of the text in the arena (with a NUL behind it that does not count); `.at` is NULL on
 * failure. */
struct str arena_str(struct arena *arena, struct str text);

/* Text made by printf; `.at` is NULL on failure. */
struct str arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Bytes handed out now. */
size_t arena_used(const struct arena *arena);

/* For loops: everything allocated since the mark is forgotten by arena_back. */
struct arena_mark arena_mark(const struct arena *arena);
void arena_back(struct arena *arena, struct arena_mark mark);

/*
 * True when exactly `level` bytes are handed out. Otherwise (debug builds) writes to `at` where the
 * first allocation beyond that level was made. For "this request must leave the connection's arena
 * as it was".
 */
bool arena_check_level(const struct arena *arena, size_t level, char *at, size_t size);

#pragma GCC visibility pop

#endif
