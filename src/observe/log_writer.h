/*
 * The way of a line from the thread that made it to the sink. The rest of this file's functions are
 * those of log.h under "the machinery".
 */
#ifndef OBSERVE_LOG_WRITER_H
#define OBSERVE_LOG_WRITER_H

#include "base/str.h"

#include <stdbool.h>

/* Hands one whole line (at most LOG_LINE_MAX bytes) to the writer thread, or drops and counts it.
 * Never waits for the sink. `urgent`: the writer is woken at once. */
void log_writer_put(struct str line, bool urgent);

/* True when lines are to be formatted for a person. */
bool log_writer_pretty(void);

#endif
