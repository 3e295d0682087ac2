/* bulkhead jobs list | show | retry | cancel | remove | clean | pause | resume | drain | queues |
 * workers | stats | callers | grant | revoke */
#ifndef COMMANDS_JOBS_H
#define COMMANDS_JOBS_H

#include "command.h"
#include "control.h"

extern const struct command_family jobs_commands;

/* What is wanted, as it goes to a server. What is empty or zero was not said. */
struct jobs_command {
	struct str tenant; /* slug */
	struct str id, role, queue, state, cursor;
	int64_t limit, older_ms;
};

/* Makes the table usable; once, before threads use it. */
int jobs_commands_init(void);

extern const struct schema jobs_command_schema;

/* What a server does for them, on a fiber. The argument is the JSON of a struct jobs_command. */
command_fn jobs_command_list, jobs_command_show, jobs_command_retry, jobs_command_cancel,
	jobs_command_remove, jobs_command_clean, jobs_command_pause, jobs_command_resume,
	jobs_command_drain, jobs_command_queues, jobs_command_workers, jobs_command_stats,
	jobs_command_callers, jobs_command_grant, jobs_command_revoke;

enum { JOBS_ALARM = 3 }; /* exit code of stats: a queue is beyond what it may */

/* Rows of a table of control commands. */
/* clang-format off */
#define JOBS_CONTROL_COMMANDS                                                                      \
	{ "jobs list", jobs_command_list, .on_fiber = true },                                      \
	{ "jobs show", jobs_command_show, .on_fiber = true },                                      \
	{ "jobs retry", jobs_command_retry, .on_fiber = true },                                    \
	{ "jobs cancel", jobs_command_cancel, .on_fiber = true },                                  \
	{ "jobs remove", jobs_command_remove, .on_fiber = true },                                  \
	{ "jobs clean", jobs_command_clean, .on_fiber = true },                                    \
	{ "jobs pause", jobs_command_pause, .on_fiber = true },                                    \
	{ "jobs resume", jobs_command_resume, .on_fiber = true },                                  \
	{ "jobs drain", jobs_command_drain, .on_fiber = true },                                    \
	{ "jobs queues", jobs_command_queues, .on_fiber = true },                                  \
	{ "jobs workers", jobs_command_workers, .on_fiber = true },                                \
	{ "jobs stats", jobs_command_stats, .on_fiber = true },                                    \
	{ "jobs callers", jobs_command_callers, .on_fiber = true },                                \
	{ "jobs grant", jobs_command_grant, .on_fiber = true },                                    \
	{ "jobs revoke", jobs_command_revoke, .on_fiber = true }
/* clang-format on */

#endif
