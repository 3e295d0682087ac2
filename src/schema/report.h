/* Where the engine is and what it has found. Private to this folder. */
#ifndef SCHEMA_REPORT_H
#define SCHEMA_REPORT_H

#include "schema/problem.h"

/* The way from the whole to a value: links on the stack, the innermost first. */
struct path {
	const struct path *up; /* NULL: the whole */
	struct str name;       /* of a member; NULL pointer: an item */
	size_t index;
};

struct report {
	struct arena *arena;
	struct problems *problems; /* NULL: nobody wants to know, only whether */
	size_t found;              /* problems, noted or not */
};

/*
 * Notes a problem at the path. Returns 0, or a negative code when the arena is at its end, which
 * ends everything.
 */
int report_at(struct report *report, const struct path *path, const char *code, const char *format,
	...) PRINTF_LIKE(4, 5);

#endif
