/* A TCP (or Unix) socket as a stream. */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "loop/poller.h"
#include "net/stream.h"

struct tcp {
	struct stream stream; /* first */
	struct watch watch;
};

/* Makes a stream of a connected, non-blocking socket, which it owns from now on, also when it fails
 * (-ERR_IO). */
int tcp_open(struct tcp *tcp, struct poller *poller, int fd);

#endif
