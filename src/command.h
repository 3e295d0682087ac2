/* What a command of the command line is, and what all of them need. The table of commands is in
 * commands.c; families of their own (commands_x.c) bring theirs. */
#ifndef COMMAND_H
#define COMMAND_H

#include "base/buf.h"
#include "config.h"

/* Exit codes; families may add some of their own and say so in their help. */
enum { COMMAND_DONE = 0, COMMAND_FAILED = 1, COMMAND_USAGE = 2 };

enum { COMMAND_OUTPUT_MAX = 4 * 1024 * 1024 }; /* bytes of what a command prints */

/* Bits: what may stand anywhere behind the words of a command. */
enum command_option {
	COMMAND_JSON = 1,
	COMMAND_DRY_RUN = 2,
	COMMAND_REPLACE = 4,
	COMMAND_PASSWORD = 8,
	COMMAND_NAME = 16, /* with a value, the word behind it */
	COMMAND_NOW = 32,
	COMMAND_CSV = 64,
	/* with a value each, too */
	COMMAND_TENANT = 128,
	COMMAND_QUEUE = 256,
	COMMAND_STATE = 512,
	COMMAND_LIMIT = 1024,
	COMMAND_OLDER = 2048,
	COMMAND_CURSOR = 4096,
};

/* A command as it was called. */
struct command_line {
	unsigned options;
	const char *const *operands;
	size_t count; /* of operands; within the command's bounds */
	/* Values of options; NULL: not given. */
	const char *name, *tenant, *queue, *state, *limit, *older, *cursor;
};

struct command {
	const char *name;     /* the first word, */
	const char *action;   /* and the second; NULL: there is none */
	const char *operands; /* what stands behind them, for help: "MODULE [STEPS]" */
	size_t least, most;   /* number of operands */
	unsigned options;     /* that it takes */
	const char *text;     /* what it does, in a line */
	const char *more;     /* what its own help says besides; NULL: nothing */
	int (*run)(const struct command_line *line); /* returns the exit code */
};

/* Several commands, for the table. */
struct command_family {
	const struct command *at;
	size_t count;
};

/* Loads the configuration; what is wrong or suspicious goes to standard error. */
int command_load(const struct config **ret);

/* Says on standard error what the error slot holds. Returns COMMAND_FAILED. */
int command_fail(const char *while_doing);

/* Writes to standard output what was gathered and frees it; returns `exit_code`, or COMMAND_FAILED
 * when the buffer or the output did not take it. */
int command_print(struct buf *out, int exit_code);

#endif
