/* bulkhead admin create | reset */
#ifndef COMMANDS_ADMIN_H
#define COMMANDS_ADMIN_H

#include "command.h"
#include "control.h"

extern const struct command_family admin_commands;

/* Makes the tables of what they say usable; once, before threads use them. */
int admin_commands_init(void);

/* What a server does for them, on a fiber. The argument is the JSON of an account. */
command_fn admin_command_create, admin_command_reset;

#endif
