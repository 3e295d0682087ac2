/* bulkhead rbac matrix */
#ifndef COMMANDS_RBAC_H
#define COMMANDS_RBAC_H

#include "command.h"

extern const struct command_family rbac_commands;

#endif
