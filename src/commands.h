/* The command line: `bulkhead serve | migrate | backup | config | version | help ...`. */
#ifndef COMMANDS_H
#define COMMANDS_H

/* Runs the command that the arguments name. Returns the exit code: 0, 1 (it failed), 2 (used
 * wrongly). */
int commands_run(int argc, char **argv);

#endif
