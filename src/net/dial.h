/* Connecting, from fibers of a worker. */
#ifndef NET_DIAL_H
#define NET_DIAL_H

#include "net/resolve.h"
#include "net/tcp.h"

/* The next address is tried when the one before has failed or this time has passed: RFC 8305 5. */
#define DIAL_STAGGER (250 * MILLISECOND)

/*
 * Connects to one address. The stream is open with 0 only. -ERR_UNAVAILABLE: refused, unreachable;
 * -ERR_TIMEOUT (`deadline_ns`, or the scope's), -ERR_CANCELLED, -ERR_IO.
 */
int dial_address(struct tcp *tcp, const struct address *to, uint64_t deadline_ns);

/* Which addresses may be connected to: see address_is_public. */
typedef bool (*dial_filter)(const struct address *);

/*
 * Connects to the first of several addresses that answers: families take turns, beginning with that
 * of the first address (RFC 8305). `allow` is asked of each, NULL allows all. The errors of the
 * first attempt that failed; -ERR_FORBIDDEN when no address is allowed.
 */
int dial_any(struct tcp *tcp, const struct addresses *to, dial_filter allow, uint64_t deadline_ns);

/*
 * The same for a name, resolved on the pool `resolver`. The filter sees the very addresses that are
 * connected to, so there is no gap in which a name could change. Errors of resolve, too.
 */
int dial_host(struct tcp *tcp, struct offload *resolver, struct str host, uint16_t port,
	dial_filter allow, uint64_t deadline_ns);

#endif
