/*
 * Text by value: a pointer and a length. Never depends on a NUL, never owns its bytes; whoever
 * returns one says whose they are. Comparison and search only; making new text is the arena's and
 * buf's work.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#pragma GCC visibility push(default)

struct str {
	const char *at; /* may be NULL when len is 0 */
	size_t len;
};

/* A str from a string literal (also usable in static initializers as S_INIT). */
#define S(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define S_INIT(literal)                                                                            \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}

/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).len, (s).at

static inline struct str str_of(const char *at, size_t len)
{
	return (struct str){ at, len };
}

/* From a NUL-terminated string of ours (argv, environ, a library); NULL gives the empty str. */
static inline struct str str_from_c(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_of(s.at, prefix.len), prefix);
}

static inline bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_of(s.at + s.len - suffix.len, suffix.len), suffix);
}

/* The part from `from` on; empty when `from` is past the end. */
static inline struct str str_from(struct str s, size_t from)
{
	return from < s.len ? str_of(s.at + from, s.len - from) : str_of(NULL, 0);
}

/* The first `len` bytes, or all when there are fewer. */
static inline struct str str_first(struct str s, size_t len)
{
	return str_of(s.at, len < s.len ? len : s.len);
}

/* Bytewise order: negative, 0, positive. A prefix sorts first. */
int str_cmp(struct str a, struct str b);

/* Equal when ASCII letters are folded. Other bytes are compared as they are. */
bool str_eq_nocase(struct str a, struct str b);

/* Position of the first `byte`, or -1. */
ptrdiff_t str_find_byte(struct str s, char byte);

/* Position of the first `needle`, or -1. The empty needle is found at 0. */
ptrdiff_t str_find(struct str s, struct str needle);

/* Without spaces and tabs at both ends (the optional white space of RFC 9110 5.6.3). */
struct str str_trim(struct str s);

/*
 * Cuts `*rest` at the first `separator`: returns what stands before it and leaves in `*rest` what
 * stands after. Without a separator returns all and leaves `*rest` empty with a NULL pointer, so
 * that `while (rest.at)` visits every part, empty ones included.
 */
struct str str_cut(struct str *rest, char separator);

#pragma GCC visibility pop

#endif
