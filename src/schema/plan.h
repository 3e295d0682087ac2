/* What schema_compile makes of a table: what the engine walks. Private to this folder. */
#ifndef SCHEMA_PLAN_H
#define SCHEMA_PLAN_H

#include "base/arena.h"
#include "schema/pattern.h"
#include "schema/rule.h"
#include "schema/schema.h"

enum node_kind {
	NODE_TEXT,
	NODE_BOOL,
	NODE_ENUM,
	NODE_INTEGER,
	NODE_NUMBER,
	NODE_TIME,
	NODE_RAW,
	NODE_STRUCT,
	NODE_POINTER,
	NODE_LIST,
	NODE_MAP,
	NODE_KINDS,
};

struct choices {
	const struct str *at;
	size_t count; /* 0: any text */
};

/* One value: what it must be and how it lies in memory. */
struct node {
	enum node_kind kind;
	unsigned flags;  /* enum field_flags */
	bool optional;   /* an opt_x; its value is `inner` bytes in */
	bool omit_empty; /* an empty text would break its own rules, so it is left out of JSON */
	uint32_t size;   /* of the C value, with its opt_x */
	uint32_t inner;
	union {
		struct text_rule text; /* NODE_TEXT */
		struct integer_rule integer;
		struct number_rule number;
		struct {
			size_t min, max; /* lists, maps: how many; raw: bytes */
			uint32_t stride, value_offset;
		} many;
	};
	struct choices choices;
	const struct schema_plan *nested; /* structs and pointers */
	const struct node *item, *key;    /* lists and maps */
};

/* A row of the table. */
struct member {
	struct str name;
	struct node node;
	uint32_t offset;
	enum field_from from;
	const void *preset; /* the default, node.size bytes; NULL: zero */
	const struct field *field;
};

enum { SEEN_WORDS = SCHEMA_FIELDS_MAX / 64 };

/* Which members have been in the input. */
struct seen {
	uint64_t words[SEEN_WORDS];
};

/* A list of all that one schema_compile made: shared among the plans that refer to each other. */
struct plan_owner;

struct schema_plan {
	const struct schema *schema;
	struct plan_owner *owner;
	struct schema_plan *next; /* of the owner's */
	struct str name;          /* PascalCase */
	struct member *members;
	size_t count;
	uint8_t *table; /* 1 + index of a member, 0 empty; open addressing */
	uint32_t table_mask;
	uint64_t table_seed;
	struct seen required; /* whatever the source */
	bool has_presets, has_params;
	struct member *tag; /* of a union, whose members are the cases then */
};

struct plan_owner {
	struct arena arena;
	struct schema_plan *plans; /* newest first */
	struct pattern **patterns;
	size_t pattern_count;
};

/* The member of that name (of any source), or NULL. */
struct member *plan_find(const struct schema_plan *plan, struct str name);

/* The plan of a compiled table; it is the program's error when it is not. */
const struct schema_plan *plan_of(const struct schema *schema);

static inline size_t member_index(const struct schema_plan *plan, const struct member *member)
{
	return (size_t)(member - plan->members);
}

static inline bool seen_has(const struct seen *seen, size_t index)
{
	return seen->words[index / 64] >> index % 64 & 1;
}

static inline void seen_add(struct seen *seen, size_t index)
{
	seen->words[index / 64] |= (uint64_t)1 << index % 64;
}

#endif
