/*
 * Tables as JSON Schema 2020-12, in the form that OpenAPI 3.1 takes: structs are referred to as
 * "#/components/schemas/Name", so a document writes each of them once. All functions want compiled
 * tables.
 */
#ifndef SCHEMA_DOCUMENT_H
#define SCHEMA_DOCUMENT_H

#include "schema/schema.h"
#include "json/writer.h"

/* The name under which a schema is referred to: its type in PascalCase. */
struct str schema_name(const struct schema *schema);

/* Writes {"$ref":"#/components/schemas/Name"}. */
void schema_write_ref(const struct schema *schema, struct json_writer *writer);

/*
 * A compiled table as such: a schema that only others refer to is compiled with each of them. Two
 * plans are of the same table when their schemas are the same.
 */
struct schema_plan;
const struct schema_plan *schema_plan(const struct schema *schema);
const struct schema *schema_of(const struct schema_plan *plan);

/* Writes the name, and the schema itself: the members that stand in the body. */
void schema_write_component(const struct schema_plan *plan, struct json_writer *writer);

/* What a schema's members refer to, directly: the one with that index, or NULL behind the last. A
 * document follows them until it has all. */
const struct schema_plan *schema_nested(const struct schema_plan *plan, size_t index);

/* A member that comes from path, query or header. */
struct schema_param {
	struct str name;
	const char *text;
	enum field_from from;
	bool required;
	size_t index; /* for schema_write_param */
};

/* The next one, from the member with index `*at` on (begin with 0); false behind the last. */
bool schema_next_param(const struct schema *schema, size_t *at, struct schema_param *ret);

/* Writes what its value must be. */
void schema_write_param(
	const struct schema *schema, const struct schema_param *param, struct json_writer *writer);

#endif
