/* Decoding single values into memory. Private to this folder. */
#ifndef SCHEMA_DECODE_VALUE_H
#define SCHEMA_DECODE_VALUE_H

#include "schema/plan.h"
#include "schema/report.h"
#include "json/reader.h"

/* One decoding: where it reads, what it has found. */
struct decoder {
	struct arena *arena; /* takes what is decoded */
	struct report report;
	struct matcher matcher;
	enum schema_mode mode;
	size_t levels;              /* of schemas that are open */
	struct json_reader *reader; /* NULL while decoding parameters */
	struct str document;
	const struct json_limits *limits;
};

/* LIST_OF and MAP_OF in memory, whatever their items are. Copied in and out, never pointed at. */
struct many {
	char *at;
	size_t count;
};

/* Decodes the value whose first event has been read; objects and arrays by recursion. */
int decode_value(struct decoder *decoder, const struct node *node, const struct path *path,
	int event, void *to);

/*
 * Decodes scalars. `to` is the zeroed member. What is wrong is reported at the path; a negative
 * code ends the decoding.
 */
int decode_scalar(struct decoder *decoder, const struct node *node, const struct path *path,
	int event, void *to);

/* The same from a parameter's text: numbers and bools as JSON writes them, texts as they are. */
int decode_text(struct decoder *decoder, const struct node *node, const struct path *path,
	struct str text, void *to);

/* Room for one more item behind `many->count`, zeroed; NULL without memory. Capacity doubles. */
void *many_grow(struct arena *arena, struct many *many, size_t stride);

/* Checks how many there are, and whether they are all different. */
int check_many(struct decoder *decoder, const struct node *node, const struct path *path,
	struct many many, size_t count);

/* Reports that something of another kind stands where `node` is wanted. */
int report_type(struct decoder *decoder, const struct node *node, const struct path *path);

/* The position of a text among the choices, or -1. */
int choice_find(struct choices choices, struct str text);

#endif
