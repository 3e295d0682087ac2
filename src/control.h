/*
 * The server's end of the control socket: what commands ask of a server that runs. Served on the
 * worker for housekeeping, a fiber for each caller; the work itself is done on threads of a pool,
 * since it waits for disks. The protocol is in control_wire.h.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include "control_wire.h"
#include "loop/offload.h"
#include "loop/worker.h"
#include "net/listener.h"

#include <stdatomic.h>

enum { CONTROL_CALLERS_MAX = 16 };

struct config;
struct server;

/* What a command is told. */
struct command_job {
	const struct config *config;
	const atomic_bool *stop; /* true: the server wants to end, and so should this */
	struct server *server;   /* on_fiber: its store and modules are open; else NULL */
	struct str argument;
	bool json;
};

/*
 * Does the work of a command and writes what is to be printed. Returns the exit code, or a negative
 * code with a sentence for people. Runs, in the server or in a process of its own, on a thread that
 * may wait, or (on_fiber) on a fiber that may use the store.
 */
typedef int command_fn(const struct command_job *job, struct buf *out);

/* A command of the control socket. */
struct control_command {
	const char *name;
	command_fn *run;
	bool on_fiber;
};

struct control_options {
	const struct config *config; /* DATA_DIR, and what commands are told */
	const atomic_bool *stop;     /* for commands under way */
	struct server *server;       /* for those on fibers */
	struct offload *pool;        /* where they run */
	const struct control_command *commands;
	size_t command_count;

	/* The listening sockets of the server, in the order of its sites: copied to `ret_fds`,
	 * which has room for CONTROL_FDS_MAX. Returns their number. */
	size_t (*sockets)(void *arg, int *ret_fds);

	/* A new server is ready to take over. Owns the connection to it from now on, unless it says
	 * no (negative, with a sentence). */
	int (*hand_over)(void *arg, int fd);
	void *arg;
};

struct control {
	struct control_options options;
	struct listener listener; /* only its descriptor counts */
	struct acceptor acceptor;
	struct worker *worker;
	size_t callers;
};

/* On the worker's thread: makes the socket and serves it. The caller has the folder's claim.
 * -ERR_IO.
 */
int control_open(
	struct control *control, struct worker *worker, const struct control_options *options);

/* On the worker's thread, when no fiber lives any more: removes the socket. */
void control_close(struct control *control);

#endif
