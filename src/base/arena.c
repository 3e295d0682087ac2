/* Chunks in a list, the newest one bumped. Large requests get a chunk of their own size. */
#include "base/arena.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#if BUILT_WITH_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(at, size)   ASAN_POISON_MEMORY_REGION(at, size)
#define UNPOISON(at, size) ASAN_UNPOISON_MEMORY_REGION(at, size)
#define RED_ZONE           16 /* so that ASan sees an overrun into the next allocation */
#elif defined(BULKHEAD_DEBUG)
#include <valgrind/memcheck.h>
#define POISON(at, size)   ((void)VALGRIND_MAKE_MEM_NOACCESS(at, size))
#define UNPOISON(at, size) ((void)VALGRIND_MAKE_MEM_UNDEFINED(at, size))
#define RED_ZONE           16
#else
#define POISON(at, size)   ((void)0)
#define UNPOISON(at, size) ((void)0)
#define RED_ZONE           0
#endif

enum { ALIGNMENT = 16 };

struct arena_chunk {
	struct arena_chunk *older;
	size_t size; /* of the whole block, this header included */
	_Alignas(ALIGNMENT) char bytes[];
};

#ifdef BULKHEAD_DEBUG
/* Precedes each allocation in debug builds. */
struct arena_note {
	struct arena_note *older;
	const char *file;
	size_t level; /* bytes handed out before this allocation */
	int line;
};
#endif

static size_t align_up(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

void arena_init(struct arena *arena, size_t chunk_size, size_t limit)
{
	CHECK(chunk_size >= sizeof(struct arena_chunk) + ALIGNMENT);
	*arena = (struct arena){ .chunk_size = chunk_size, .limit = limit };
}

static void drop_newest(struct arena *arena)
{
	struct arena_chunk *chunk = arena->newest;
	size_t size = chunk->size; /* read before valgrind is told to forget the content */

	arena->newest = chunk->older;
	UNPOISON(chunk, size);
	mem_free(chunk, size);
}

void arena_done(struct arena *arena)
{
	while (arena->newest)
		drop_newest(arena);
	arena_init(arena, arena->chunk_size, arena->limit);
}

static void open_chunk(struct arena *arena, char *at)
{
	struct arena_chunk *chunk = arena->newest;

	arena->at = at;
	arena->end = (char *)chunk + chunk->size;
	POISON(arena->at, (size_t)(arena->end - arena->at));
}

void arena_reset(struct arena *arena)
{
	arena->before = 0;
#ifdef BULKHEAD_DEBUG
	arena->notes = NULL;
#endif
	if (!arena->newest)
		return;

	while (arena->newest->older)
		drop_newest(arena);
	if (arena->newest->size > arena->chunk_size) {
		drop_newest(arena);
		arena->at = arena->end = NULL;
	} else {
		open_chunk(arena, arena->newest->bytes);
	}
}

size_t arena_used(const struct arena *arena)
{
	return arena->newest ? arena->before + (size_t)(arena->at - arena->newest->bytes) : 0;
}

/* Adds a chunk with room for `size` bytes. */
static int grow(struct arena *arena, size_t size)
{
	size_t whole = MAX(arena->chunk_size, sizeof(struct arena_chunk) + size);
	struct arena_chunk *chunk = mem_alloc(whole);
	size_t used = arena_used(arena);

	if (!chunk)
		return -ERR_NO_MEMORY;

	chunk->older = arena->newest;
	chunk->size = whole;
	arena->before = used;
	arena->newest = chunk;
	open_chunk(arena, chunk->bytes);
	return 0;
}

/* Takes `size` (aligned) bytes from the newest chunk, or from a new one. */
static char *bump(struct arena *arena, size_t size)
{
	size_t used = arena_used(arena);
	char *at;

	if (size > arena->limit || used > arena->limit - size) {
		(void)fail(ERR_TOO_LARGE, "more than %zu bytes of working memory", arena->limit);
		return NULL;
	}
	if (size > (size_t)(arena->end - arena->at) && grow(arena, size) < 0)
		return NULL;

	at = arena->at;
	arena->at += size;
	arena->peak = MAX(arena->peak, used + size);
	return at;
}

void *arena_alloc_at(struct arena *arena, size_t size, const char *file, int line)
{
	size_t note_size = 0;
	char *at;

	if (UNLIKELY(size > SIZE_MAX / 2)) {
		(void)fail(ERR_TOO_LARGE, "an allocation of %zu bytes", size);
		return NULL;
	}
#ifdef BULKHEAD_DEBUG
	size_t level = arena_used(arena);

	note_size = align_up(sizeof(struct arena_note));
#endif
	at = bump(arena, note_size + align_up(size) + RED_ZONE);
	if (UNLIKELY(!at))
		return NULL;

#ifdef BULKHEAD_DEBUG
	struct arena_note *note = (struct arena_note *)at;

	UNPOISON(note, sizeof(*note));
	*note = (struct arena_note){ arena->notes, file, level, line };
	arena->notes = note;
#else
	(void)file;
	(void)line;
#endif
	UNPOISON(at + note_size, size);
	return at + note_size;
}

void *arena_zalloc_at(struct arena *arena, size_t size, const char *file, int line)
{
	void *at = arena_alloc_at(arena, size, file, line);

	return at ? memset(at, 0, size) : NULL;
}

struct str arena_str(struct arena *arena, struct str text)
{
	char *copy = arena_alloc(arena, text.len + 1);

	if (!copy)
		return str_of(NULL, 0);

	if (text.len)
		memcpy(copy, text.at, text.len);
	copy[text.len] = 0;
	return str_of(copy, text.len);
}

struct str arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *at;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(len >= 0);

	at = arena_alloc(arena, (size_t)len + 1);
	if (!at)
		return str_of(NULL, 0);

	va_start(args, format);
	(void)vsnprintf(at, (size_t)len + 1, format, args);
	va_end(args);
	return str_of(at, (size_t)len);
}

struct arena_mark arena_mark(const struct arena *arena)
{
	return (struct arena_mark){
		.chunk = arena->newest,
		.at = arena->at,
		.before = arena->before,
#ifdef BULKHEAD_DEBUG
		.notes = arena->notes,
#endif
	};
}

void arena_back(struct arena *arena, struct arena_mark mark)
{
	if (!mark.chunk) { /* marked before the first allocation */
		arena_reset(arena);
		return;
	}

	while (arena->newest != mark.chunk)
		drop_newest(arena);
	arena->before = mark.before;
	open_chunk(arena, mark.at);

#ifdef BULKHEAD_DEBUG
	arena->notes = mark.notes;
#endif
}

bool arena_check_level(const struct arena *arena, size_t level, char *at, size_t size)
{
	if (arena_used(arena) == level)
		return true;

	(void)snprintf(at, size, "%zu bytes instead of %zu", arena_used(arena), level);
#ifdef BULKHEAD_DEBUG
	for (const struct arena_note *note = arena->notes; note; note = note->older)
		if (note->level <= level) {
			(void)snprintf(at, size,
				"%zu bytes instead of %zu; the first too many from %s:%d",
				arena_used(arena), level, note->file, note->line);
			break;
		}
#endif
	return false;
}
