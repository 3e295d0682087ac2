/* bulkhead keys rotate | reseal */
#ifndef COMMANDS_KEYS_H
#define COMMANDS_KEYS_H

#include "command.h"
#include "control.h"

extern const struct command_family keys_commands;

/* What a server does for them, on a fiber. The argument of the first is "now" or empty. */
command_fn keys_command_rotate, keys_command_reseal;

enum { KEYS_LOST = 3 }; /* exit code: something opens under neither key */

#endif
