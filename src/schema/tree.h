/* A JSON document as a tree in an arena, for what must be looked at more than once: schemas loaded
 * at run time and the values they judge. Private to this folder. */
#ifndef SCHEMA_TREE_H
#define SCHEMA_TREE_H

#include "schema/decimal.h"
#include "json/reader.h"

enum tree_kind { TREE_NULL, TREE_BOOL, TREE_NUMBER, TREE_STRING, TREE_ARRAY, TREE_OBJECT };

struct tree_index;
struct rule;
struct pattern;

struct tree {
	enum tree_kind kind;
	bool boolean;
	struct decimal number;
	struct str text; /* of a string */
	struct str name; /* of a member; NULL pointer: an item, or the whole */
	size_t position; /* of an item */
	size_t count;    /* of items or members */
	struct tree *parent, *first, *last, *next;
	struct tree_index *index; /* of an object with many members */

	/* Of schemas. */
	struct rule *rule;
	struct pattern *pattern; /* of a member of patternProperties: its name */
};

/* The least number of members for which an object gets an index. */
enum { TREE_INDEX_MIN = 8 };

/* Reads a document whole. Strings stay in the text where they can. Returns 0, or as json_next. */
int tree_read(struct str json, const struct json_limits *limits, struct arena *arena,
	struct tree **ret) WARN_UNUSED;

/* The member of that name, or NULL. */
struct tree *tree_find(const struct tree *object, struct str name);

/*
 * Equality as JSON Schema defines it: numbers by value, members in any order. Takes what it costs
 * off
 * `*steps` and answers false when they are used up.
 */
bool tree_equal(const struct tree *a, const struct tree *b, size_t *steps);

/* Equal for equal values, under the process' secret. */
uint64_t tree_hash(const struct tree *tree);

/* Where it stands in its document, as a JSON pointer behind '#'; "#" alone without memory. */
struct str tree_pointer(const struct tree *tree, struct arena *arena);

#endif
