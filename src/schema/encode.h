/*
 * From a struct to JSON, by its table. Members come in the table's order. Left out are members that
 * are not there: an opt_x that is not set, a pointer that is NULL (null with NULLABLE), raw JSON
 * that is empty, and an empty text that its own rules would refuse.
 */
#ifndef SCHEMA_ENCODE_H
#define SCHEMA_ENCODE_H

#include "schema/schema.h"
#include "json/writer.h"

/*
 * Writes the struct as one JSON object. `mode` is SCHEMA_OUTPUT for an answer (secrets go out as
 * they are, to their owner; WRITE_ONLY members do not), SCHEMA_ALL for our own store. The struct is
 * ours: a position that is no choice, or a time outside of the years 0000 to 9999, stops the
 * program. Failures are the buffer's, which json_writer_done tells.
 */
void schema_encode(const struct schema *schema, enum schema_mode mode, const void *in,
	struct json_writer *writer);

/*
 * The same for logs: everything, but SECRET members as "[secret]", and texts, lists and maps cut
 * after SCHEMA_LOG_TEXT bytes and SCHEMA_LOG_ITEMS items. Raw JSON is only told by its length.
 */
enum { SCHEMA_LOG_TEXT = 200, SCHEMA_LOG_ITEMS = 10 };
void schema_log(const struct schema *schema, const void *in, struct json_writer *writer);

/*
 * The same for the audit log: SECRET and WRITE_ONLY members are left out, and somebody else decides
 * what stands for PERSONAL ones. What is inside of a PERSONAL member is a part of its value.
 */
struct schema_redactor {
	/* Writes one value that stands for the member whose value is `json`. */
	void (*personal)(struct schema_redactor *, struct str json, struct json_writer *writer);
	struct buf value; /* the caller's: where such values are made; with a limit */
};

void schema_redact(const struct schema *schema, const void *in, struct schema_redactor *redactor,
	struct json_writer *writer);

#endif
