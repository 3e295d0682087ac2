/* What a loaded schema is made of. Private to this folder. */
#ifndef SCHEMA_LOADED_RULE_H
#define SCHEMA_LOADED_RULE_H

#include "schema/loaded.h"
#include "schema/rule.h"
#include "schema/tree.h"

enum {
	TYPE_NULL = 1 << TREE_NULL,
	TYPE_BOOLEAN = 1 << TREE_BOOL,
	TYPE_NUMBER = 1 << TREE_NUMBER,
	TYPE_STRING = 1 << TREE_STRING,
	TYPE_ARRAY = 1 << TREE_ARRAY,
	TYPE_OBJECT = 1 << TREE_OBJECT,
	TYPE_INTEGER = 1 << (TREE_OBJECT + 1),
	TYPE_ALL = TYPE_INTEGER - 1,
};

/* A decimal that may be absent. */
struct bound {
	bool set;
	struct decimal value;
};

struct counts {
	size_t min, max;
};

/* One subschema. Trees are those of the schema's document; the subschemas in them have ->rule. */
struct rule {
	bool never; /* the schema "false" */
	unsigned types;
	const struct tree *choices, *constant;
	struct bound min, max, above, below, step;
	bool texts; /* `text` says something */
	struct text_rule text;

	struct counts members, items, contained;
	const struct tree *properties, *patterns, *required, *needs, *dependents;
	const struct rule *additional, *names;

	const struct tree *prefix;
	const struct rule *rest, *contains;
	bool unique;

	const struct tree *all, *any, *one;
	const struct rule * not, *condition, *consequence, *alternative;
	const struct tree *ref_source; /* where the reference stands */
	const struct rule *ref;

	struct rule *next; /* of all rules of the schema */
	unsigned height;   /* rules in place from this one on, once measured */
	bool measured;
};

struct schema_loaded {
	struct arena arena;
	struct tree *root;
	struct rule *rules; /* newest first */
	struct pattern *patterns[LOADED_PATTERNS_MAX];
	size_t pattern_count;
};

#endif
