/*
 * From JSON text and request parameters straight into a struct, by its table. Everything that is
 * wrong is found in one go. Strings stay where they are in the input (with escapes: in the arena),
 * so both must live as long as the struct. No heap, no lock, no global state.
 */
#ifndef SCHEMA_DECODE_H
#define SCHEMA_DECODE_H

#include "schema/problem.h"
#include "schema/schema.h"
#include "json/reader.h"

/*
 * Decodes one JSON object into the struct at `ret`, which is zeroed first. `mode` is SCHEMA_INPUT
 * for what comes from outside, SCHEMA_ALL for what we have written ourselves.
 *
 * Returns 0; ERR_INVALID with at least one problem (also when the text is no JSON: code
 * invalid_json, with the place); ERR_TOO_LARGE beyond the limits of json/reader.h, the arena or
 * SCHEMA_LEVELS_MAX; ERR_NO_MEMORY. After a failure what is in `ret` means nothing.
 */
int schema_decode(const struct schema *schema, enum schema_mode mode, struct str json,
	struct arena *arena, struct problems *problems, void *ret) WARN_UNUSED;

/*
 * The same in steps, for a struct that comes from several places: parameters one by one in any
 * order, at most one body, then the end.
 */
struct schema_input;

/* Starts; lives in the arena. NULL without memory (the error slot says which). */
struct schema_input *schema_input_start(const struct schema *schema, enum schema_mode mode,
	struct arena *arena, struct problems *problems, void *ret);

/*
 * One parameter, decoded (no percent signs). Names of headers in any case. A name that the table
 * does not have is a problem, but not for a header; so is a second value where there is no list.
 * Numbers and bools are written as in JSON.
 */
int schema_input_text(struct schema_input *input, enum field_from from, struct str name,
	struct str value) WARN_UNUSED;

/* The body. `limits` NULL: the reader's default. */
int schema_input_json(
	struct schema_input *input, struct str json, const struct json_limits *limits) WARN_UNUSED;

/* What is missing, and defaults. Returns as schema_decode does, for all steps together. */
int schema_input_end(struct schema_input *input) WARN_UNUSED;

/* True when some member comes from there: does a route want a body, does it have parameters? */
bool schema_has(const struct schema *schema, enum field_from from);

/* True when some member must come from there. Of a union it is the body: nothing says which case
 * it is when there is none. */
bool schema_requires(const struct schema *schema, enum field_from from);

#endif
