/*
 * Writes JSON (RFC 8259) into a buffer, without white space. Commas come by themselves:
 *
 *     json_writer_init(&writer, &buf);
 *     json_write_object(&writer);
 *     json_write_key(&writer, S("count"));
 *     json_write_u64(&writer, 3);
 *     json_write_object_end(&writer);
 *     r = json_writer_done(&writer);
 *
 * A writer never fails in the middle: the buffer keeps its first failure (limit or memory) and
 * json_writer_done returns it. Calls in an order that is not JSON (a value without its key, an end
 * without its beginning, more than JSON_DEPTH_MAX levels) are errors of the program and stop it.
 * That the names of an object differ is the caller's care.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include "base/buf.h"
#include "json/reader.h"

#pragma GCC visibility push(default)

struct json_writer {
	struct buf *buf;
	uint8_t state; /* what may come next */
	uint8_t after; /* the state when a value of the innermost container is written */
	size_t depth;
	uint64_t objects[JSON_DEPTH_MAX / 64]; /* a bit for each level: object or array */
};

/* Starts a document at the end of the buffer. The buffer stays the caller's. */
void json_writer_init(struct json_writer *writer, struct buf *buf);

/* Ends the document, which must be complete. Returns 0 or the buffer's failure. */
int json_writer_done(struct json_writer *writer) WARN_UNUSED;

void json_write_object(struct json_writer *writer);
void json_write_object_end(struct json_writer *writer);
void json_write_array(struct json_writer *writer);
void json_write_array_end(struct json_writer *writer);

/* A member's name, and a string: escaped as json_escape does. */
void json_write_key(struct json_writer *writer, struct str name);
void json_write_string(struct json_writer *writer, struct str text);

void json_write_i64(struct json_writer *writer, int64_t value);
void json_write_u64(struct json_writer *writer, uint64_t value);

/* As json_number_write does it; NaN and infinities, which JSON lacks, become null. */
void json_write_double(struct json_writer *writer, double value);

void json_write_bool(struct json_writer *writer, bool value);
void json_write_null(struct json_writer *writer);

/* One value that is JSON already, as it stands. */
void json_write_raw(struct json_writer *writer, struct str json);

/*
 * Appends what stands between the quotes of a JSON string: quote, backslash and control characters
 * escaped (the short way where there is one, else \u00xx), anything else as it is. Bytes that are
 * not well-formed UTF-8 become U+FFFD, one for each byte, so that the output is valid whatever was
 * logged.
 */
void json_escape(struct buf *buf, struct str text);

#pragma GCC visibility pop

#endif
