/* The arena: growth, limits, marks, levels, poison, injected faults. */
#include "base/arena.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <signal.h>

TEST(arena_grows_and_keeps_one_chunk)
{
	struct arena arena;
	size_t after_first;

	arena_init(&arena, 4096, MEGABYTE);
	EXPECT_INT(mem_used(), 0);
	REQUIRE(arena_alloc(&arena, 100) != NULL);
	after_first = mem_used();
	for (int i = 0; i < 1000; i++) {
		char *at = arena_alloc(&arena, 100);

		REQUIRE(at && (uintptr_t)at % 16 == 0);
		memset(at, 'x', 100);
	}
	EXPECT(arena_used(&arena) >= 100100);
	REQUIRE(arena_alloc(&arena, 50000) != NULL); /* larger than a chunk */
	arena_reset(&arena);
	EXPECT_INT(arena_used(&arena), 0);
	EXPECT_INT(mem_used(), after_first);
	arena_done(&arena);
	EXPECT_INT(mem_used(), 0);
}

TEST(arena_limit)
{
	struct arena arena;
	volatile size_t absurd = SIZE_MAX; /* hidden from the compiler's own check */

	arena_init(&arena, 4096, 10000);
	EXPECT(arena_alloc(&arena, 10001) == NULL);
	EXPECT_INT(err_last()->code, ERR_TOO_LARGE);
	EXPECT(arena_alloc(&arena, absurd) == NULL);
	EXPECT(arena_alloc(&arena, 9000) != NULL);
	EXPECT(arena_alloc(&arena, 9000) == NULL);
	arena_done(&arena);
}

TEST(arena_text)
{
	struct arena arena;
	struct str text;

	arena_init(&arena, 4096, MEGABYTE);
	text = arena_printf(&arena, "%s-%d", "a", 7);
	EXPECT_STR(text, S("a-7"));
	text = arena_str(&arena, S("a\0b"));
	EXPECT_STR(text, S("a\0b"));
	EXPECT_INT(text.at[3], 0);
	arena_done(&arena);
}

TEST(arena_marks)
{
	struct arena arena;
	struct arena_mark start, middle;
	size_t used;

	arena_init(&arena, 4096, MEGABYTE);
	start = arena_mark(&arena);
	REQUIRE(arena_alloc(&arena, 1000) != NULL);
	middle = arena_mark(&arena);
	used = arena_used(&arena);
	for (int i = 0; i < 100; i++)
		REQUIRE(arena_alloc(&arena, 1000) != NULL);
	arena_back(&arena, middle);
	EXPECT_INT(arena_used(&arena), used);
	REQUIRE(arena_alloc(&arena, 10) != NULL);
	arena_back(&arena, start);
	EXPECT_INT(arena_used(&arena), 0);
	arena_done(&arena);
}

TEST(arena_names_the_first_leak)
{
#ifndef BULKHEAD_DEBUG
	test_skip("places are noted in debug builds only");
#else
	struct arena arena;
	size_t level;
	char text[200];

	arena_init(&arena, 4096, MEGABYTE);
	REQUIRE(arena_alloc(&arena, 16) != NULL);
	level = arena_used(&arena);
	EXPECT(arena_check_level(&arena, level, text, sizeof(text)));
	REQUIRE(arena_alloc(&arena, 16) != NULL);
	int line = __LINE__ - 1;
	REQUIRE(arena_alloc(&arena, 16) != NULL);
	EXPECT(!arena_check_level(&arena, level, text, sizeof(text)));
	struct str where = arena_printf(&arena, "%s:%d", __FILE__, line);
	EXPECT(str_find(str_from_c(text), where) > 0);
	arena_done(&arena);
#endif
}

#if BUILT_WITH_ASAN
static void write_behind(void *arg)
{
	char *volatile at = arg;

	at[100] = 'x';
}

TEST(arena_poison_is_seen)
{
	struct arena arena;
	char *at;

	arena_init(&arena, 4096, MEGABYTE);
	at = arena_alloc(&arena, 100);
	REQUIRE(at != NULL);
	REQUIRE(arena_alloc(&arena, 100) != NULL);
	EXPECT(test_dies(write_behind, at, SIGABRT));
	arena_done(&arena);
}
#endif

#ifdef BULKHEAD_FAULTS
TEST(arena_survives_every_failed_allocation)
{
	for (size_t nth = 1;; nth++) {
		struct arena arena;
		bool struck;

		arena_init(&arena, 4096, MEGABYTE);
		fault_arm(FAULT_MEMORY, nth);
		for (int i = 0; i < 20; i++)
			if (!arena_alloc(&arena, 1000))
				EXPECT_INT(err_last()->code, ERR_NO_MEMORY);
		struck = fault_struck(FAULT_MEMORY);
		fault_arm(FAULT_MEMORY, 0);
		arena_done(&arena);
		EXPECT_INT(mem_used(), 0);
		if (!struck)
			break;
	}
}
#endif
