/* Encoding single values. Private to this folder. */
#ifndef SCHEMA_ENCODE_VALUE_H
#define SCHEMA_ENCODE_VALUE_H

#include "schema/encode.h"
#include "schema/plan.h"
#include "json/writer.h"

struct encoder {
	struct json_writer *writer;
	enum schema_mode mode;
	bool log;
	struct schema_redactor *redactor; /* NULL: nothing is redacted */
	bool personal;                    /* inside of a PERSONAL member */
};

void encode_value(struct encoder *encoder, const struct node *node, const char *from);

/* True when there is nothing to write of it. */
bool value_missing(const struct node *node, const char *from);

#endif
