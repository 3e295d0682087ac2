/* The commands about backups. */
#ifndef COMMANDS_BACKUP_H
#define COMMANDS_BACKUP_H

#include "control.h"

/* What a server does for a command, or, when none runs, its own process. */
command_fn backup_command_create, backup_command_check;

/* Has the server that runs on the data folder do the work of a command of that name; when none
 * runs, does it here, as the folder's one owner (`here` NULL: -ERR_NOT_FOUND). As a command_fn. */
int command_by_server(
	const char *name, command_fn *here, const struct command_job *job, struct buf *out);

/* These need no server, and restore must not have one. */
command_fn backup_command_list, backup_command_verify, backup_command_restore;

#endif
