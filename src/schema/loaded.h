/*
 * JSON Schema loaded at run time: a tenant's event types, arguments of tools, answers of models. A
 * part of draft 2020-12, taken exactly or refused; it judges with the same checks as the tables in
 * C.
 *
 * Taken: type, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf,
 * minLength, maxLength, pattern, format (it asserts; the names of schema/format.h), properties,
 * required, additionalProperties, patternProperties, propertyNames, minProperties, maxProperties,
 * dependentRequired, dependentSchemas, items, prefixItems, contains, minContains, maxContains,
 * minItems, maxItems, uniqueItems, allOf, anyOf, oneOf, not, if, then, else, $defs, $ref within the
 * document ("#", "#/..." to a subschema), and without effect $schema (of 2020-12), $id (outermost
 * only), $comment, title, description, default, examples, deprecated, readOnly, writeOnly.
 *
 * Any other keyword, format or reference is refused, since ignoring it would let pass what its
 * author wanted refused.
 */
#ifndef SCHEMA_LOADED_H
#define SCHEMA_LOADED_H

#include "schema/problem.h"

enum {
	LOADED_BYTES_MAX = 256 * 1024, /* of a schema's text */
	LOADED_DEPTH_MAX = 64,         /* of its arrays and objects, and of a value's */
	LOADED_ELEMENTS_MAX = 20000,   /* its members and items */
	LOADED_PATTERNS_MAX = 200,
	LOADED_INPLACE_MAX = 32, /* subschemas that apply to one value, one within the other */
	LOADED_LEVELS_MAX = 128, /* the same over all levels of a value */
	LOADED_STEPS_MAX =
		1000 * 1000, /* subschemas applied and values compared, for one document */
};

struct schema_loaded;

/*
 * Loads a schema; the text is not needed afterwards. Returns 0; ERR_INVALID with the place
 * ("#/items:
 * ...") when it is no JSON, no schema or not in the part above, also when it refers to itself
 * endlessly; ERR_TOO_LARGE; ERR_NO_MEMORY. What is loaded never changes: all threads may use it.
 */
int schema_load(struct str text, struct schema_loaded **ret) WARN_UNUSED;
void schema_loaded_free(struct schema_loaded *loaded);

/*
 * Judges one JSON document, with all problems. Memory comes from the arena. Returns 0; ERR_INVALID
 * with at least one problem; ERR_TOO_LARGE when LOADED_LEVELS_MAX, LOADED_STEPS_MAX or the limits
 * of json/reader.h are exceeded; ERR_NO_MEMORY.
 */
int schema_loaded_check(const struct schema_loaded *loaded, struct str json, struct arena *arena,
	struct problems *problems) WARN_UNUSED;

#endif
