/*
 * A table describes a struct once; decoding, checking, encoding, rows and documentation come from
 * it:
 *
 *     struct flag {
 *             struct str key;
 *             bool enabled;
 *             int64_t rollout;
 *             struct opt_str note;
 *     };
 *
 *     const struct schema flag_schema = SCHEMA(flag, "A feature flag.",
 *             FIELD(flag, key,     "Name used in code.", .flags = REQUIRED, RANGE(1, 64),
 *                     .pattern = "[a-z0-9-]+"),
 *             FIELD(flag, enabled, "Master switch; off wins over everything."),
 *             FIELD(flag, rollout, "Percent of callers that get it.", RANGE(0, 100)),
 *             FIELD(flag, note,    "Why it is there.", .flags = NULLABLE, RANGE(0, 500)));
 *
 * The member's C type decides what it is in JSON:
 *
 *     struct str                text; with .choices one of them; with .format, .pattern checked
 *     int, an enum              one of .choices, the value is its position
 *     bool, int64_t, double     true or false, integer, number
 *     int64_t, DATE_TIME        text in JSON, microseconds since 1970 in C
 *     struct json_value         any JSON value, kept as text
 *     struct opt_x              the same as x, and tells whether it was there; with NULLABLE, null
 *     struct s, struct s *      an object by .nested; a pointer is NULL when it was not there
 *     LIST_OF(x), LIST(...)     an array
 *     MAP_OF(x), MAP(...)       an object whose names are data
 *
 * Names are those of the members in camelCase (created_at: createdAt), of headers with hyphens;
 * .name says otherwise. Nothing is without a bound: see the DEFAULT_ constants.
 *
 * A table is const and knows only itself. schema_compile, once at start and before other threads
 * use it, finds its mistakes and makes what decoding needs; everything after that is read-only.
 */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include "base/check.h"
#include "base/str.h"
#include "schema/format.h"

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	SCHEMA_FIELDS_MAX = 128,
	SCHEMA_CHOICES_MAX = 256,
	SCHEMA_LEVELS_MAX = 32,  /* of schemas in each other, recursive ones included */
	DEFAULT_TEXT_MAX = 1000, /* characters of a text without RANGE */
	DEFAULT_LIST_MAX = 100,  /* items, entries */
	DEFAULT_KEY_MAX = 100,   /* characters of a map's name */
	DEFAULT_RAW_MAX = 65536, /* bytes of a json_value */
};

/* --- C types ------------------------------------------------------------------- */

/* A member that may be missing, told from one that is there. Null only with NULLABLE. */
struct opt_str {
	bool set;  /* there: a value or null */
	bool null; /* there, and null; `value` is zero then */
	struct str value;
};

struct opt_bool {
	bool set, null;
	bool value;
};

struct opt_int { /* of an enum */
	bool set, null;
	int value;
};

struct opt_i64 {
	bool set, null;
	int64_t value;
};

struct opt_f64 {
	bool set, null;
	double value;
};

/* One JSON value as text, well-formed; empty when it was not there. */
struct json_value {
	struct str json;
};

/* `at` is NULL when count is 0. */
#define LIST_OF(type)                                                                              \
	struct {                                                                                   \
		type *at;                                                                          \
		size_t count;                                                                      \
	}

/* Entries in the order of the input. */
#define MAP_OF(type)                                                                               \
	struct {                                                                                   \
		struct {                                                                           \
			struct str key;                                                            \
			type value;                                                                \
		} * at;                                                                            \
		size_t count;                                                                      \
	}

/* --- tables -------------------------------------------------------------------- */

enum field_kind {
	FIELD_STRUCT, /* or a pointer to one */
	FIELD_TEXT,
	FIELD_BOOL,
	FIELD_ENUM,
	FIELD_INTEGER,
	FIELD_NUMBER,
	FIELD_RAW,
	FIELD_OPT_TEXT,
	FIELD_OPT_BOOL,
	FIELD_OPT_ENUM,
	FIELD_OPT_INTEGER,
	FIELD_OPT_NUMBER,
	FIELD_LIST,
	FIELD_MAP,
};

enum field_flags {
	REQUIRED = 1,   /* must be in the input */
	NULLABLE = 2,   /* null is allowed: opt_x and pointers */
	READ_ONLY = 4,  /* in answers only; refused in input */
	WRITE_ONLY = 8, /* in input only; never in answers */
	SECRET = 16,    /* schema_log writes "[secret]" for it */
	UNIQUE = 32,    /* of a list: no two items are equal; texts and numbers */
	MULTILINE = 64, /* text may hold tabs and line breaks */
	ANY_TEXT = 128, /* text may hold all control characters but NUL */
	PERSONAL = 256, /* says who somebody is (e-mail, name, address): can be erased from the
			   audit log (modules/audit) */
};

enum field_from { FROM_BODY, FROM_PATH, FROM_QUERY, FROM_HEADER };

struct schema;

/* One row. Written by FIELD, LIST, MAP, CASE and RULES; what follows `text` there are designated
 * initializers of these members. */
struct field {
	const char *member; /* of the struct; also the name of the column */
	const char *text;   /* a sentence for people */
	enum field_kind kind;
	enum field_kind item_kind; /* of a list's item, a map's value */
	bool pointer, item_pointer;
	uint32_t offset, size;
	uint32_t stride, value_offset, item_size; /* of lists and maps */

	const char *name; /* in JSON, when not derived from `member` */
	unsigned flags;   /* enum field_flags */
	enum field_from from;

	bool ranged;
	int64_t min, max; /* RANGE: characters, value, items, entries, bytes */
	bool bounded;
	double low, high;            /* BOUNDS: of doubles */
	enum format format;          /* .format = FORMAT_EMAIL */
	const char *pattern;         /* the whole text must match (schema/pattern.h) */
	const char *const *choices;  /* CHOICES("draft", "live") */
	const struct schema *nested; /* of structs, also as items and values */
	const struct field *item;    /* RULES(...) of each item or value */
	const struct field *key;     /* RULES(...) of each name of a map */
	const char *if_missing;      /* default, as a parameter's text: "10", "true", "draft" */
	const char *example;         /* the same way */
};

struct schema_plan;

/* Where schema_compile keeps its result. */
struct schema_slot {
	struct schema_plan *plan;
	size_t uses;
};

struct schema {
	const char *type; /* the struct's name; PascalCase of it is the name in OpenAPI */
	const char *text;
	size_t size;
	const struct field *fields;
	size_t count;
	const struct field *tag; /* of a union: which of the rows it is */
	struct schema_slot *slot;
};

#define KIND_OF(expression)                                                                        \
	_Generic((expression), struct str                                                          \
		 : FIELD_TEXT, bool                                                                \
		 : FIELD_BOOL, int                                                                 \
		 : FIELD_ENUM, unsigned                                                            \
		 : FIELD_ENUM, int64_t                                                             \
		 : FIELD_INTEGER, double                                                           \
		 : FIELD_NUMBER, struct json_value                                                 \
		 : FIELD_RAW, struct opt_str                                                       \
		 : FIELD_OPT_TEXT, struct opt_bool                                                 \
		 : FIELD_OPT_BOOL, struct opt_int                                                  \
		 : FIELD_OPT_ENUM, struct opt_i64                                                  \
		 : FIELD_OPT_INTEGER, struct opt_f64                                               \
		 : FIELD_OPT_NUMBER, default                                                       \
		 : FIELD_STRUCT)

/* The builtin's number for pointers (GCC's typeclass.h; clang has the same). */
#define IS_POINTER(expression) (__builtin_classify_type(expression) == 5)

#define MEMBER(type, name) (((struct type *)0)->name)

#define FIELD(type, name_, text_, ...)                                                             \
	{                                                                                          \
		.member = #name_, .text = text_, .kind = KIND_OF(MEMBER(type, name_)),             \
		.pointer = IS_POINTER(MEMBER(type, name_)),                                        \
		.offset = offsetof(struct type, name_), .size = sizeof(MEMBER(type, name_)),       \
		##__VA_ARGS__                                                                      \
	}

/* A member made by LIST_OF. What an item must be: .item = RULES(RANGE(1, 40)). */
#define LIST(type, name_, text_, ...)                                                              \
	{                                                                                          \
		.member = #name_, .text = text_, .kind = FIELD_LIST,                               \
		.item_kind = KIND_OF(*MEMBER(type, name_).at),                                     \
		.item_pointer = IS_POINTER(*MEMBER(type, name_).at),                               \
		.offset = offsetof(struct type, name_), .size = sizeof(MEMBER(type, name_)),       \
		.stride = sizeof(*MEMBER(type, name_).at),                                         \
		.item_size = sizeof(*MEMBER(type, name_).at), ##__VA_ARGS__                        \
	}

/* A member made by MAP_OF. Of the values .item = RULES(...), of the names .key = RULES(...). */
#define MAP(type, name_, text_, ...)                                                               \
	{                                                                                          \
		.member = #name_, .text = text_, .kind = FIELD_MAP,                                \
		.item_kind = KIND_OF(MEMBER(type, name_).at->value),                               \
		.item_pointer = IS_POINTER(MEMBER(type, name_).at->value),                         \
		.offset = offsetof(struct type, name_), .size = sizeof(MEMBER(type, name_)),       \
		.stride = sizeof(*MEMBER(type, name_).at),                                         \
		.value_offset = offsetof(__typeof__(*MEMBER(type, name_).at), value),              \
		.item_size = sizeof(MEMBER(type, name_).at->value), ##__VA_ARGS__                  \
	}

#define RANGE(least, most)   .ranged = true, .min = (least), .max = (most)
#define BOUNDS(lowest, most) .bounded = true, .low = (lowest), .high = (most)
#define CHOICES(...)                                                                               \
	.choices = (const char *const[])                                                           \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define RULES(...) (&(const struct field){ __VA_ARGS__ })

/* A struct. */
#define SCHEMA(type_, text_, ...)                                                                  \
	{                                                                                          \
		.type = #type_, .text = text_, .size = sizeof(struct type_),                       \
		.fields = (const struct field[]){ __VA_ARGS__ },                                   \
		.count = sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field),     \
		.slot = &(struct schema_slot)                                                      \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}

/*
 * A struct that is one of several, told apart by a member in front of the others:
 *
 *     struct shape {
 *             enum { CIRCLE, SQUARE, NOTHING } kind;
 *             union {
 *                     struct circle circle;
 *                     struct square square;
 *             };
 *     };
 *
 *     const struct schema shape_schema = UNION(shape, kind, "A shape.",
 *             CASE(shape, circle, &circle_schema),
 *             CASE(shape, square, &square_schema),
 *             BARE_CASE(nothing));
 *
 * is {"kind":"circle","radius":1}. The tag is an int or an enum, its values are the positions of
 * the cases, its texts their names.
 */
#define UNION(type_, tag_, text_, ...)                                                             \
	{                                                                                          \
		.type = #type_, .text = text_, .size = sizeof(struct type_),                       \
		.fields = (const struct field[]){ __VA_ARGS__ },                                   \
		.count = sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field),     \
		.tag = &(const struct field)FIELD(type_, tag_, "Which of the cases it is."),       \
		.slot = &(struct schema_slot)                                                      \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define CASE(type, member_, schema_) FIELD(type, member_, "", .nested = (schema_))
#define BARE_CASE(name_)                                                                           \
	{                                                                                          \
		.member = #name_, .text = ""                                                       \
	}

/* Which members take part. */
enum schema_mode {
	SCHEMA_INPUT,  /* what a caller may send: all but READ_ONLY */
	SCHEMA_OUTPUT, /* what a caller gets: all but WRITE_ONLY */
	SCHEMA_ALL,    /* every member: what we store, and OpenAPI's components */
};

/* --- start and end ------------------------------------------------------------- */

/*
 * Checks the table and all it refers to, compiles its patterns, and makes it usable. ERR_INVALID
 * with a sentence that names the first mistake ("flag.key: ..."). May be called for the same table
 * again; each call wants its schema_release. Not while other threads use the table.
 */
int schema_compile(const struct schema *schema) WARN_UNUSED;
void schema_release(const struct schema *schema);

/* Compiles all; after a failure none is left compiled. */
int schema_compile_all(const struct schema *const *schemas, size_t count) WARN_UNUSED;

#pragma GCC visibility pop

#endif
