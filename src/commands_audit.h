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

#endif
