/*
 * Assertions about our own state, and the small macros every file needs.
 *
 * CHECK stays on in release builds: it is cheap, and a process whose own state is wrong must not go
 * on answering for its tenants. Never use it on anything that came from outside.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

#pragma GCC visibility push(default)

/* Prints the broken condition with its place to standard error and aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line);

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* For checks that cost more than a comparison; gone when BULKHEAD_DEBUG is not defined. */
#ifdef BULKHEAD_DEBUG
#define DEBUG_CHECK(condition) CHECK(condition)
#else
#define DEBUG_CHECK(condition) ((void)sizeof(!(condition)))
#endif

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct of `type` whose `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Takes the pointer out of the variable, which becomes NULL: ownership moves to the caller. */
#define TAKE(variable)                                                                             \
	({                                                                                         \
		__typeof__(variable) took = variable;                                              \
		variable = NULL;                                                                   \
		took;                                                                              \
	})

/* Runs `destructor(&variable)` when the variable goes out of scope. */
#define CLEANUP(destructor) __attribute__((cleanup(destructor)))

#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define WARN_UNUSED            __attribute__((warn_unused_result))
#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)

#define KILOBYTE ((size_t)1024)
#define MEGABYTE (1024 * KILOBYTE)

#define MICROSECOND ((uint64_t)1000)
#define MILLISECOND (1000 * MICROSECOND)
#define SECOND      (1000 * MILLISECOND)
#define MINUTE      (60 * SECOND)
#define HOUR        (60 * MINUTE)

/* 1 in builds with that sanitizer, else 0; gcc and clang announce them differently. */
#ifdef __has_feature
#define BUILT_WITH_ASAN __has_feature(address_sanitizer)
#define BUILT_WITH_TSAN __has_feature(thread_sanitizer)
#else
#ifdef __SANITIZE_ADDRESS__
#define BUILT_WITH_ASAN 1
#else
#define BUILT_WITH_ASAN 0
#endif
#ifdef __SANITIZE_THREAD__
#define BUILT_WITH_TSAN 1
#else
#define BUILT_WITH_TSAN 0
#endif
#endif

#pragma GCC visibility pop

#endif
