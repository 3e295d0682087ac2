/*
 * What a server does beside requests, on a worker of its own: it makes backups, does the
 * modules' chores, and serves the control socket. Work that waits for the disk runs on threads
 * of a small pool.
 */
#ifndef HOUSEKEEPING_H
#define HOUSEKEEPING_H

#include "control.h"
#include "module_list.h"

struct housekeeping_options {
	const struct config *config;
	bool backups;                      /* whether there is a SQLite file to back up */
	const struct module_list *modules; /* whose chores are done, */
	struct server *server;             /* for this server */

	/* Of control_options, for hand-overs. */
	size_t (*sockets)(void *arg, int *ret_fds);
	int (*hand_over)(void *arg, int fd);
	void *arg;
};

struct housekeeping {
	struct worker worker;
	struct offload pool;
	struct control control;
	struct housekeeping_options options;
	atomic_bool stop; /* work under way shall end early */
	atomic_bool done; /* nothing is under way any more */
	bool running, stopping;
};

/* Starts the worker; the caller has the folder's claim, and the database is open. -ERR_IO,
 * -ERR_NO_MEMORY; then nothing runs. */
int housekeeping_start(
	struct housekeeping *housekeeping, const struct housekeeping_options *options);

/* Begins to end what is under way, which may take as long as handlers of jobs may;
 * housekeeping_done is true when housekeeping_stop will not wait for it any more. */
void housekeeping_stop_begin(struct housekeeping *housekeeping);
bool housekeeping_done(const struct housekeeping *housekeeping);

/* Ends what is under way and takes the control socket away. Nothing happens when it does not run.
 */
void housekeeping_stop(struct housekeeping *housekeeping);

/* Makes a backup on a thread of the pool and removes old ones; by jobs, on a fiber of any worker.
 * What backup_create says; -ERR_FULL. */
int housekeeping_backup(struct housekeeping *housekeeping);

/* The metrics of backups; once, at the start of the process. */
int housekeeping_metrics(void);

#endif
