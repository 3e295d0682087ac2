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

/* What was sent and not acknowledged for so long breaks the connection (RFC 5482); to the
 * millisecond. */
void tcp_give_up_after(struct tcp *tcp, uint64_t after_ns);

#endif
