/*
 * A strict reader of JSON (RFC 8259) over a text that is in memory as a whole. The caller pulls one
 * event after the other, so a decoder is an ordinary function that follows the shape it wants:
 *
 *     json_reader_init(&reader, body, arena, NULL);
 *     if (json_next(&reader) != JSON_OBJECT)
 *             ...
 *     while ((event = json_next(&reader)) == JSON_KEY) {
 *             if (str_eq(reader.text, S("name")))
 *                     event = json_next(&reader); (JSON_STRING: reader.text is its value)
 *             else
 *                     event = json_skip(&reader);
 *             if (event < 0)
 *                     return event;
 *     }
 *
 * Strict means: nothing but RFC 8259's grammar, one value and white space around it; UTF-8 that is
 * well-formed, without a byte order mark; no escaped surrogate without its other half; no second
 * member of the same name in one object, however either is escaped. An event has been checked up to
 * its end when it is returned; what follows has not: trust a document only after JSON_END.
 *
 * No recursion, no heap; time is linear in the length of the text, whatever it contains.
 */
#ifndef JSON_READER_H
#define JSON_READER_H

#include "json/names.h"
#include "json/number.h"

#pragma GCC visibility push(default)

enum { JSON_DEPTH_MAX = 512 }; /* most levels any limit can allow, here and in the writer */

enum json_event {
	JSON_END, /* the document is over; from then on the answer stays the same */
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_KEY,    /* reader.text: a member's name; its value follows */
	JSON_STRING, /* reader.text: the value */
	JSON_NUMBER, /* reader.text: as written, for json_number_x; reader.integer */
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
	JSON_EVENTS,
};

/* What a document may have at most; beyond that is ERR_TOO_LARGE. */
struct json_limits {
	size_t bytes;    /* of the document; at most UINT32_MAX */
	size_t depth;    /* arrays and objects in each other; at most JSON_DEPTH_MAX */
	size_t string;   /* bytes of one string or name, decoded */
	size_t elements; /* members and items, of all objects and arrays together */
};

/* 1 MB, 64 levels, strings as long as the document, 100,000 elements. */
extern const struct json_limits json_limits_default;

struct json_reader {
	/* The last event. Text points into the document, or into the arena when it had escapes. */
	struct str text;
	size_t offset; /* where in the document it begins (after an error: where that is) */
	bool integer;  /* the number has neither fraction nor exponent */

	/* The reader's own. */
	bool skipping; /* nobody wants the strings */
	uint8_t state;
	uint8_t after; /* the state when a value of the innermost container is over */
	int event;     /* last answer; negative: sticks */
	const char *start, *at, *end;
	struct arena *arena;
	struct json_limits limits;
	size_t depth, elements;
	uint64_t objects[JSON_DEPTH_MAX / 64]; /* a bit for each level: object or array */
	struct json_names names;
};

/*
 * Starts reading. The text stays the caller's and must outlive the reader and its strings. The
 * arena takes decoded strings (at most their length in the document) and what json/names.h says.
 * `limits` NULL: the default ones. There is nothing to free; the struct must not be copied.
 */
void json_reader_init(struct json_reader *reader, struct str text, struct arena *arena,
	const struct json_limits *limits);

/*
 * The next event (an `enum json_event`), or a negative code, which stays: ERR_INVALID with line,
 * column, byte and what was expected there; ERR_TOO_LARGE when a limit (also the arena's) is
 * exceeded; ERR_NO_MEMORY.
 */
int json_next(struct json_reader *reader) WARN_UNUSED;

/*
 * Reads past the value that the last event opened: after JSON_KEY the member's value, after
 * JSON_OBJECT or JSON_ARRAY everything to its end, after anything else nothing. What is skipped is
 * checked like everything else. Returns 0 or a negative code.
 */
int json_skip(struct json_reader *reader) WARN_UNUSED;

/* A place in the document for people, from 1; a column is a character. */
struct json_place {
	size_t line, column;
};

/* The place of a byte, such as reader.offset. Takes time linear in `offset`. */
struct json_place json_place(const struct json_reader *reader, size_t offset);

#pragma GCC visibility pop

#endif
