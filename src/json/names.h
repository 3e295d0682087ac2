/*
 * The member names of the objects that are open, to refuse a second member of the same name.
 * Private to the reader.
 *
 * Up to 16 names of an object are compared one by one, by length and a tag of 32 bits; from the
 * 17th on they stand in a hash table under the process' secret (base/hash.h). So a member costs
 * constant time in either case, whatever names somebody chooses. Nothing is allocated before 48
 * names and objects are open at once or an object has 17 members; beyond, the arena gives up to
 * some 50 bytes a member.
 */
#ifndef JSON_NAMES_H
#define JSON_NAMES_H

#include "base/arena.h"

#include <stdint.h>

#pragma GCC visibility push(default)

struct json_name_table;

union json_name_slot {
	struct {
		const char *at;
		uint32_t len;
		uint32_t tag; /* of few names: see tag_of; of many: their hash */
	} name;
	struct { /* stands below the names of an object: what its parent had */
		struct json_name_table *table;
		uint32_t first;
	} outer;
};

struct json_names {
	union json_name_slot *slots; /* a stack: objects from the outermost, each with its names */
	uint32_t count, cap;         /* slots */
	uint32_t first;              /* the first name of the innermost object */
	struct json_name_table *table;  /* of the innermost object; NULL while it has few names */
	struct json_name_table *unused; /* the largest table of those no longer needed */
	union json_name_slot
		start[32]; /* slots until they do not suffice; hence never copy the struct */
};

void json_names_init(struct json_names *names);

/* An object begins, the innermost one ends. Returns 0, or a negative code without memory. */
int json_names_open(struct json_names *names, struct arena *arena);
void json_names_close(struct json_names *names);

/*
 * Adds a name to the innermost object; the text is kept by reference. Returns 0, 1 when the object
 * has it already, or a negative code without memory.
 */
int json_names_add(struct json_names *names, struct arena *arena, struct str name);

#pragma GCC visibility pop

#endif
