/* Mistakes in a table that can be told from its rows alone. Private to this folder. */
#ifndef SCHEMA_TABLE_CHECK_H
#define SCHEMA_TABLE_CHECK_H

#include "schema/schema.h"

/* 0, or ERR_INVALID with a sentence that begins with the name of the table or row. */
int table_check(const struct schema *schema) WARN_UNUSED;

bool kind_is_optional(enum field_kind kind);

/* The kind without its opt_x. */
enum field_kind kind_base(enum field_kind kind);

/* A table's mistake, in the words of the row that has it. */
#define MISTAKE(schema, field, format, ...)                                                        \
	fail(ERR_INVALID, "%s.%s: " format, (schema)->type, (field)->member, ##__VA_ARGS__)

#endif
