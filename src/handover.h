/*
 * A new server takes over from one that runs, and no connection is refused or lost: both have the
 * listening sockets for a while, and whoever comes while neither accepts waits in their backlog.
 *
 *     new                                     old
 *     asks                                    goes on serving
 *       <- "sockets", and the sockets
 *     opens all but the store
 *       -> "ready"                            stops accepting, ends what runs, closes the store
 *       <- "released"                         waits
 *     opens the store, migrates, serves
 *       -> "serving"                          exits
 *
 * When the new one goes away before "serving", for whatever reason, the old one goes on: at once,
 * or, after "released", with the store opened again. When the old one goes away, the new one finds
 * the data folder free and goes on as well.
 *
 * This is the new server's part, and what the old one does once the new one is ready; both block.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include "control_wire.h"
#include "net/listener.h"

/* The new server's. Zeroed, or after handover_close: there is none. */
struct handover {
	struct control_wire wire;
	bool open;
	pid_t pid; /* of the old server */
};

/* Asks the server that runs on the folder for its sockets. -ERR_NOT_FOUND when none runs;
 * -ERR_UNAVAILABLE with the reason why it does not want to; -ERR_TIMEOUT and so on. */
int handover_ask(struct str folder, struct handover *ret);

/* The socket for the `index`th port of this server: the old one's of the same place, if it listens
 * at that address (port 0: at any port of it), or any other that does at just that address and
 * port. It is the caller's. -1: there is none. */
int handover_take(struct handover *handover, size_t index, const struct address *wanted);

/* Tells the old server that all is ready, and waits until it has let go of the data folder; also
 * when it has died. Gives the claim to the folder. -ERR_TIMEOUT; -ERR_CANCELLED after a signal to
 * stop. */
int handover_claim(struct handover *handover, struct str folder, int *ret_claim);

/* Tells the old server to exit, if this one serves; else lets it go on. Closes sockets that nobody
 * took. Nothing happens when there is no hand-over. */
void handover_close(struct handover *handover, bool serving);

/* --- the old server's ------------------------------------------------------------------- */

/* What the new server has said meanwhile. */
enum successor {
	SUCCESSOR_WAITS,
	SUCCESSOR_SERVES,
	SUCCESSOR_GONE, /* or confused */
};

/* Looks without waiting. */
enum successor handover_look(struct control_wire *successor);

/* Tells the new server that store and folder are free. */
int handover_release(struct control_wire *successor);

/* The folder's claim, after the new server has gone: what it held may take a moment to be free. */
int handover_reclaim(struct str folder, int *ret_claim);

#endif
