/* Commands that need the store and the modules while no server runs. */
#ifndef OFFLINE_H
#define OFFLINE_H

#include "control.h"

/*
 * Opens the store and the modules without serving, does the work of a command on a fiber, and
 * closes all again. As the data folder's one owner: -ERR_CONFLICT when a server has it. Brings the
 * database up to date as a start does. Returns what the command does.
 */
int offline_run(command_fn *fn, const struct command_job *job, struct buf *out);

#endif
