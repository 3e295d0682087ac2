/* What the commands about jobs share where they are done: in a server, or a process without one. */
#ifndef COMMANDS_JOBS_WORK_H
#define COMMANDS_JOBS_WORK_H

#include "commands_jobs.h"
#include "store/db.h"

/* A command under way. */
struct jobs_work {
	const struct command_job *job;
	struct jobs_command command;
	struct store *store;
	struct arena arena;
	struct db system;
	struct uuid tenant;
	bool has_tenant;
	struct buf *out;
};

/* Reads what is wanted, and finds its tenant; end is called whatever became of it. */
int jobs_work_begin(struct jobs_work *work, const struct command_job *job, struct buf *out);
int jobs_work_end(struct jobs_work *work, int r);

/* One struct as a line of JSON. */
int jobs_work_json(struct jobs_work *work, const struct schema *schema, const void *at);

/* The command `what`, which does `call` with a struct jobs_work `work`. */
#define JOBS_COMMAND(what, call)                                                                   \
	int jobs_command_##what(const struct command_job *job, struct buf *out)                    \
	{                                                                                          \
		struct jobs_work work;                                                             \
		int r = jobs_work_begin(&work, job, out);                                          \
                                                                                                   \
		return jobs_work_end(&work, r < 0 ? r : (call));                                   \
	}

#endif
