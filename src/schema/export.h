/*
 * Tables as JSON Schema 2020-12, which is also the schema language of OpenAPI 3.1. What is written
 * is what decoding checks, with two exceptions that JSON Schema has no short words for: control
 * characters are refused, and a double must fit.
 */
#ifndef SCHEMA_EXPORT_H
#define SCHEMA_EXPORT_H

#include "schema/schema.h"
#include "json/writer.h"

/* The name in "components": PascalCase of the struct's. In memory of the compiled table. */
struct str schema_name(const struct schema *schema);

/* Calls `visit` for the table and for each that it refers to, directly or not; each once. */
void schema_each(const struct schema *schema, void (*visit)(const struct schema *schema, void *arg),
	void *arg);

/*
 * Writes one schema object as it stands under "components": nested structs are references
 * ("#/components/schemas/Name"), unions have a discriminator. `mode`: SCHEMA_INPUT leaves READ_ONLY
 * members and parameters out, SCHEMA_OUTPUT leaves WRITE_ONLY members out and requires what is
 * always there, SCHEMA_ALL has all members but parameters, marked readOnly and writeOnly.
 */
void schema_write_component(
	const struct schema *schema, enum schema_mode mode, struct json_writer *writer);

/* Writes a document of its own, with what it refers to under "$defs". */
void schema_write_document(
	const struct schema *schema, enum schema_mode mode, struct json_writer *writer);

/* Writes the members that are parameters as the items of OpenAPI's "parameters" array. */
void schema_write_parameters(const struct schema *schema, struct json_writer *writer);

#endif
