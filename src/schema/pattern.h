/*
 * Regular expressions, in the part of ECMA-262's syntax (as with its flag "u") that means the same
 * here, in JSON Schema and in OpenAPI; anything else is refused when it is compiled. Matched by
 * PCRE2 (compiled to machine code where the system allows it) within limits on steps, depth and
 * memory, so that no pattern and no text can hold a thread.
 *
 * Differences that remain: \s and \w are ASCII, and the dot matches U+2028 and U+2029.
 */
#ifndef SCHEMA_PATTERN_H
#define SCHEMA_PATTERN_H

#include "base/arena.h"

enum {
	PATTERN_MAX = 1000,              /* bytes of a pattern */
	PATTERN_TEXT_MAX = 32 * 1024,    /* bytes of a text; a longer one is too complex */
	PATTERN_STEPS_MAX = 1000 * 1000, /* of one match, in PCRE2's unit (a point to go back to) */
	PATTERN_STEPS_ALL =
		20 * 1000 * 1000, /* the nth match of a document gets at most 1/n of it */
	PATTERN_STEPS_MIN = 1000,
	PATTERN_HEAP_KB = 1024, /* some 4,000 rounds of a repeated group */
};

struct pattern;

/*
 * Compiles a pattern that must match `whole` texts, or somewhere in them. ERR_INVALID with the
 * place and what is wrong there; ERR_NO_MEMORY. Free with pattern_free.
 */
int pattern_compile(struct str source, bool whole, struct pattern **ret) WARN_UNUSED;
void pattern_free(struct pattern *pattern);

/* The source, as it was given. */
struct str pattern_source(const struct pattern *pattern);

/* What matching needs, for the texts of one document. Nothing to free: it lives in the arena. */
struct matcher {
	struct arena *arena;
	void *data, *context; /* PCRE2's; NULL before the first match */
	size_t matches;       /* so far */
	bool exhausted;       /* a match met its limit: no other is tried */
	bool gave_up;         /* some answer was PATTERN_TOO_COMPLEX */
};

void matcher_init(struct matcher *matcher, struct arena *arena);

enum pattern_verdict { PATTERN_NO, PATTERN_YES, PATTERN_TOO_COMPLEX };

/* Matches well-formed UTF-8. Returns a pattern_verdict, or a negative code without memory. */
int pattern_match(const struct pattern *pattern, struct str text, struct matcher *matcher);

#endif
