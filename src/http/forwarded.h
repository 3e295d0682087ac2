/*
 * Who the client is when proxies stand in front of us: the address, scheme and host that trusted
 * proxies report in X-Forwarded-For, -Proto and -Host, or in Forwarded (RFC 7239).
 *
 * Only what a trusted proxy has added is believed. The walk starts at the connection's peer: if
 * that is a trusted proxy, the last member of the list is the one it added and names who it was
 * talking to; if that is a trusted proxy, too, the member before it is read, and so on. The first
 * address that is not trusted is the client. What stands further left came from the client and is
 * not even parsed. A member that cannot be read ends the walk, and the client is then the last
 * proxy that could be named: never an address that somebody made up.
 *
 * One family of fields is read and the other is ignored: a proxy that maintains one passes the
 * other on as the client sent it. For the same reason a proxy must set X-Forwarded-Proto and -Host,
 * or remove them, if it is to be trusted.
 */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include "http/h1_parse.h"
#include "net/address.h"

enum { FORWARDED_HOPS_MAX = 32 }; /* members that are looked at; then the walk ends */

enum forwarded_family {
	FORWARDED_X,       /* X-Forwarded-*: what nearly every proxy sends */
	FORWARDED_RFC7239, /* Forwarded */
};

/* Which proxies are believed. */
struct forwarded_trust {
	enum forwarded_family family;
	bool (*trusted)(const struct address *address, void *arg); /* NULL: nobody is */
	void *arg;
};

enum forwarded_scheme { FORWARDED_UNKNOWN, FORWARDED_HTTP, FORWARDED_HTTPS };

struct forwarded {
	struct address client; /* port 0 when it was not told */
	size_t hops; /* members of the list that were believed; 0: the client is the peer */
	enum forwarded_scheme scheme; /* that the client used; UNKNOWN: not told, or nonsense */
	struct authority host;        /* that it asked for, in the head's memory; empty: not told */
};

/*
 * Reads the fields of a head. Cannot fail: what makes no sense is as if it were not there. Members
 * of X-Forwarded-For are an IPv4 or IPv6 address with or without brackets, and a port (after
 * brackets or IPv4); "unknown" and names end the walk. In Forwarded, for= takes the forms of RFC
 * 7239 6, of which "unknown" and obfuscated identifiers end the walk but leave the proto and host
 * of their element readable.
 *
 * Scheme and host are taken from the element that named the client. The X family has lists of its
 * own for them: if those are as long as the walk, the same position from the right counts, else
 * their leftmost member, as when one proxy sets them and others do not add to them. "ws" and "wss"
 * mean http and https.
 */
void forwarded_read(const struct h1_head *head, const struct address *peer,
	const struct forwarded_trust *trust, struct forwarded *ret);

#endif
