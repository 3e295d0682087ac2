/*
 * Which log fields must not show their value, decided by name alone: a secret is kept out of the
 * log even when the caller forgot that it is one.
 */
#ifndef OBSERVE_LOG_REDACT_H
#define OBSERVE_LOG_REDACT_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	REDACT_NAME_MAX = 96, /* a longer field name is redacted without looking */
	REDACT_ADDED_MAX = 64,
};

/*
 * True when a field of this name is redacted. Letters are folded and everything but letters and
 * digits is skipped, so "x-api-key", "apiKey" and "API_KEY" are the same. Long words ("token",
 * "secret", ...) count wherever they stand in the name, short ones ("pin", "otp", ...) only as a
 * word of their own. `number`: the value is a number; then "tokens" (promptTokens, max_tokens) is a
 * count and stays.
 */
bool log_redacted(struct str name, bool number);

/*
 * Adds a name (a word of at least three letters or digits, wherever it stands in a field's name).
 * For the start, before log_open: ERR_INVALID for a name without three of them or beyond
 * REDACT_NAME_MAX, ERR_FULL after REDACT_ADDED_MAX names. The text is copied.
 */
int log_redact_add(struct str name);

/* Changes when a name is added: whoever remembers answers of log_redacted must forget them. */
uint32_t log_redact_version(void);

#endif
