/* The commands about the audit log. */
#ifndef COMMANDS_AUDIT_H
#define COMMANDS_AUDIT_H

#include "command.h"
#include "control.h"

extern const struct command_family audit_commands;

/* On a fiber. The argument has a head, or the path of a file with heads, on each line. The exit
 * code is AUDIT_BROKEN when something was found. */
command_fn audit_command_verify;

enum { AUDIT_BROKEN = 3 };

/* On a fiber: a part of an export (commands_audit_export.c). The argument says where it begins:
 * "jsonl TENANT - 0" or "csv ..."; the first line of the answer is the argument for the next part,
 * or "over". */
command_fn audit_command_export;

/* Runs `bulkhead audit export`. */
int audit_run_export(const struct command_line *line);

#endif
