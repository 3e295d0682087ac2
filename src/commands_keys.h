/* bulkhead keys rotate */
#ifndef COMMANDS_KEYS_H
#define COMMANDS_KEYS_H

#include "command.h"
#include "control.h"

extern const struct command_family keys_commands;

/* What a server does for it, on a fiber. The argument is "now" or empty. */
command_fn keys_command_rotate;

#endif
