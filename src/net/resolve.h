/*
 * Names to addresses, from fibers. The system's resolver (getaddrinfo: /etc/hosts, DNS, whatever
 * nsswitch.conf says) may take many seconds, so it runs on an offload pool of its own and is left
 * behind when the scope is over.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "loop/offload.h"
#include "net/address.h"

enum { ADDRESSES_MAX = 16 };

/* What a name stands for, the best first (RFC 6724, as the system has ordered them). */
struct addresses {
	struct address at[ADDRESSES_MAX];
	size_t count; /* at least 1 */
};

/*
 * The stream addresses of `host`, a DNS name in ASCII (punycode, at most 253 characters) or an IP
 * address, each with `port`. IP addresses are answered without a thread. Of a family that this
 * machine has no address of none are asked for (AI_ADDRCONFIG). What is beyond ADDRESSES_MAX is
 * left out.
 *
 * -ERR_INVALID: no name; -ERR_NOT_FOUND: nothing of that name; -ERR_UNAVAILABLE: the resolver
 * cannot say now; -ERR_FULL, -ERR_NO_MEMORY, -ERR_TIMEOUT or -ERR_CANCELLED (the scope is over).
 */
int resolve(struct offload *pool, struct str host, uint16_t port, struct addresses *ret);

#endif
