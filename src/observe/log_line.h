/*
 * The text of one line, in either format: escaping, redaction, limits. Knows nothing of rings and
 * threads; remembers per thread what it has found out about field names.
 */
#ifndef OBSERVE_LOG_LINE_H
#define OBSERVE_LOG_LINE_H

#include "observe/log.h"

struct log_line_parts {
	int64_t time_us;
	enum log_level level;
	struct str message;
	const struct log_context *context; /* may be NULL */
	const struct log_field *fields;
	size_t count;
};

/* Writes the line with its newline into `at`, which has room for LOG_LINE_MAX bytes; returns its
 * length. */
size_t log_line_json(char *at, const struct log_line_parts *parts);

/* The same for a person at a terminal: "08:15:30.123 INFO  message key=value", with colours. */
size_t log_line_pretty(char *at, const struct log_line_parts *parts);

#endif
