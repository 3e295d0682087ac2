/*
 * What is spoken on DATA_DIR/control.sock, and the caller's end of it. A message is one JSON object
 * on one line.
 *
 *     {"command":"backup create","argument":"","json":false}     to the server, once
 *     {"line":"..."}                                             from it, any number
 *     {"done":true,"exit":0}                                     the end; the line was the last one
 *     {"error":"...","exit":1}                                   the end, after a failure
 *
 * and in a hand-over (handover.h) {"step":"..."} in both directions.
 *
 * The socket has mode 0600; the server besides asks the kernel who has connected, and hears only
 * the user it runs as and root. Everything here blocks, up to its deadline (clock_now_ns).
 */
#ifndef CONTROL_WIRE_H
#define CONTROL_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "schema/schema.h"

#include <sys/types.h>

enum {
	CONTROL_REQUEST_MAX = 4096,           /* bytes of a request or step with its line break */
	CONTROL_ARGUMENT_MAX = 2000,          /* characters of what a command is told */
	CONTROL_ANSWER_MAX = 1024 * 1024,     /* of one message from the server */
	CONTROL_OUTPUT_MAX = 4 * 1024 * 1024, /* of all lines of an answer */
	CONTROL_FDS_MAX = 8,                  /* descriptors that come with a message */
};

struct control_request {
	struct str command;
	struct str argument;
	bool json;
};

struct control_answer {
	struct opt_str line;
	struct opt_bool done;
	struct opt_str error;
	struct opt_str step;
	struct opt_i64 exit;
};

extern const struct schema control_request_schema, control_answer_schema;

/* Makes the tables usable; once, before threads use them. */
int control_wire_init(void);

/* Reads a message by its table. -ERR_INVALID. */
int control_decode(const struct schema *schema, struct str line, struct arena *arena, void *ret);

/* Writes a message by its table, with its line break. */
int control_encode(const struct schema *schema, const void *message, struct buf *out);

/* --- the socket ------------------------------------------------------------------------ */

/* Listens at the folder's control.sock; replaces the file of a server that is dead. The caller has
 * the folder's claim. Close with control_unlisten. -ERR_IO. */
int control_listen(struct str folder, int *ret_fd);
void control_unlisten(struct str folder, int fd);

/* Who is on the other side of a socket. False when the kernel does not say. */
bool control_peer(int fd, pid_t *ret_pid, uid_t *ret_uid);

/* --- a claim ---------------------------------------------------------------------------- */

/*
 * One server at a time runs on a data folder, whichever database it has; a claim is what it holds
 * as long as it does, and ends with its process. -ERR_CONFLICT when another one has it: the
 * sentence names its process. -ERR_IO.
 */
int control_claim(struct str folder, int *ret_claim);
void control_unclaim(int claim);

/* --- the caller's end -------------------------------------------------------------------- */

struct control_wire {
	int fd;
	struct buf in;
	size_t used;              /* bytes of `in` that the last line was */
	int fds[CONTROL_FDS_MAX]; /* that have come; the taker's, who sets them to -1 */
	size_t fd_count;
};

/* Connects. -ERR_NOT_FOUND when no server listens; -ERR_FORBIDDEN, -ERR_IO. */
int control_connect(struct str folder, struct control_wire *ret);

/* The same for a socket that is connected already; the wire's from now on. */
void control_wire_open(struct control_wire *wire, int fd);
void control_wire_close(struct control_wire *wire);

/* Writes all of it; descriptors, if there are any, go with the first byte. */
int control_write(int fd, struct str bytes, const int *fds, size_t fd_count, uint64_t deadline_ns);

/* Says a step of a hand-over. */
int control_step(int fd, struct str step, const int *fds, size_t fd_count, uint64_t deadline_ns);

/* Waits for a step, which must be that one. -ERR_INVALID when it is another message; the sentence
 * of the other side when it is an error. */
int control_await_step(struct control_wire *wire, struct str step, uint64_t deadline_ns);

/*
 * Has the server that runs on the folder execute a command; its lines go to `out` as they are.
 * -ERR_NOT_FOUND when none runs. A failure of the command itself is an error with its sentence.
 */
int control_call(struct str folder, const struct control_request *request, uint64_t deadline_ns,
	struct buf *out, int *ret_exit);

#endif
