/*
 * A listening socket that all workers share: each registers it with EPOLLEXCLUSIVE, so that a
 * connection wakes few of them, and what happens to an accepted socket is the owner's decision.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "loop/poller.h"
#include "net/address.h"

struct listener {
	int fd;
	struct address address; /* with the real port when 0 was asked for */
};

/* Binds and listens. -ERR_INVALID, or -ERR_IO with a sentence for people ("port 8080 is taken"). */
int listener_open(struct listener *listener, const struct address *address);

/* Takes over a socket that another process listens with and owns it from now on, also when it
 * fails. -ERR_INVALID when it is no such socket. */
int listener_adopt(struct listener *listener, int fd);

/* True when whoever asks for `wanted` (port 0: any) may have this one. */
bool listener_suits(const struct listener *listener, const struct address *wanted);
void listener_close(struct listener *listener);

/* A worker's share of a listener. */
struct acceptor {
	struct watch watch; /* first */
	struct listener *listener;

	/* A connection has come. Runs in the scheduler; owns the socket (non-blocking,
	 * close-on-exec, no delay) from now on. */
	void (*on_accept)(struct acceptor *, int fd, const struct address *peer);
	struct timer retry; /* after the process ran out of descriptors */
	struct timers *timers;
	size_t failures; /* of accept, for want of descriptors or memory */
};

/* on_accept and listener are set by the caller. -ERR_IO. */
int acceptor_start(struct acceptor *acceptor, struct poller *poller, struct timers *timers);
/* Accepts what is waiting now. For the end: whoever had connected before is not sent away. */
void acceptor_drain(struct acceptor *acceptor);
void acceptor_stop(struct acceptor *acceptor);
/* Goes on after acceptor_stop, at once or as soon as the kernel lets it. */
void acceptor_restart(struct acceptor *acceptor);

#endif
