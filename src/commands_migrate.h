/* bulkhead migrate up | down | status | create | lint */
#ifndef COMMANDS_MIGRATE_H
#define COMMANDS_MIGRATE_H

#include "command.h"

extern const struct command_family migrate_commands;

#endif
