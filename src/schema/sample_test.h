/* Tables that the tests of this folder share: together they use every kind of member. */
#ifndef SCHEMA_SAMPLE_TEST_H
#define SCHEMA_SAMPLE_TEST_H

#include "schema/schema.h"

enum flag_state { FLAG_DRAFT, FLAG_LIVE, FLAG_CLOSED };

struct flag {
	struct str key;
	struct str description;
	bool enabled;
	int64_t rollout;
	enum flag_state state;
	double weight;
	int64_t created_at;
	int64_t version;
};

struct flag_patch {
	struct opt_str description;
	struct opt_bool enabled;
	struct opt_i64 rollout;
	struct opt_f64 weight;
	struct opt_int state;
	struct opt_i64 ends_at;
};

struct address {
	struct str street;
	struct str country;
};

struct line {
	struct str sku;
	int64_t quantity;
	struct str email;
};

struct order {
	struct str id;
	struct str password;
	struct str api_key;
	struct address billing;
	struct address *shipping;
	LIST_OF(struct line) lines;
	LIST_OF(struct str) tags;
	LIST_OF(int64_t) numbers;
	MAP_OF(struct str) labels;
	MAP_OF(struct address) places;
	struct json_value extra;
	struct str website;
	struct str note;
};

struct circle {
	double radius;
};

struct square {
	double side;
	struct str colour;
};

struct shape {
	enum { SHAPE_CIRCLE, SHAPE_SQUARE, SHAPE_NOTHING } kind;
	union {
		struct circle circle;
		struct square square;
	};
};

struct drawing {
	struct shape main;
	LIST_OF(struct shape) shapes;
};

struct comment {
	struct str text;
	LIST_OF(struct comment) replies;
};

struct search {
	struct str tenant;
	int64_t page_size;
	struct opt_bool archived;
	LIST_OF(int) states;
	LIST_OF(struct str) tag;
	struct str idempotency_key;
	double least;
	struct str query; /* in the body */
};

extern const struct schema flag_schema, flag_patch_schema, address_schema, line_schema,
	order_schema, circle_schema, square_schema, shape_schema, drawing_schema, comment_schema,
	search_schema;

/* All of them, for loops. */
extern const struct schema *const sample_schemas[];
extern const size_t sample_count;

#endif
