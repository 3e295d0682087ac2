/*
 * The rules of single values, which the tables in C and the schemas loaded at run time share.
 * Private to this folder.
 */
#ifndef SCHEMA_RULE_H
#define SCHEMA_RULE_H

#include "schema/decimal.h"
#include "schema/format.h"
#include "schema/pattern.h"
#include "schema/report.h"

/* Which control characters (Unicode category Cc) a text may hold. */
enum text_controls { CONTROLS_NONE, CONTROLS_LINES, CONTROLS_ALL_BUT_NUL, CONTROLS_ALL };

struct text_rule {
	size_t min, max; /* characters */
	const struct pattern *pattern;
	enum format format;
	enum text_controls controls;
};

struct integer_rule {
	int64_t min, max;
};

struct number_rule {
	double min, max;
};

/*
 * Each checks a value and reports what is wrong with it. 0, or a negative code when that could not
 * be done. The text is well-formed UTF-8.
 */
int rule_text(const struct text_rule *rule, struct str text, struct matcher *matcher,
	struct report *report, const struct path *path);
int rule_integer(const struct integer_rule *rule, int64_t value, struct report *report,
	const struct path *path);
int rule_number(const struct number_rule *rule, double value, struct report *report,
	const struct path *path);

/* "must have between 1 and 5 items": a number of things against its bounds. */
int rule_count(size_t count, size_t min, size_t max, const char *things, struct report *report,
	const struct path *path);

#endif
