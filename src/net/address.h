/*
 * IP addresses and ports: text to socket address and back, membership in networks, and whether an
 * address belongs to the public Internet. Names are resolved elsewhere (net/resolve.h).
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "base/str.h"

#include <netinet/in.h>
#include <stdint.h>

#pragma GCC visibility push(default)

/* An IPv4 address is kept as such; IPv4-mapped IPv6 addresses are turned into IPv4. */
struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};

enum { ADDRESS_TEXT_MAX = 56 }; /* "[v6 with scope]:65535" */

/* From a numeric address ("127.0.0.1", "::1", "[::1]") and a port. The forms that inet_aton takes
 * besides ("127.1", "0x7f.1", "010.0.0.1") are refused. -ERR_INVALID. */
int address_parse(struct str host, uint16_t port, struct address *ret);

/* From what the kernel filled in. */
void address_normalise(struct address *address);

/* Writes the address without port; returns its length, at most ADDRESS_TEXT_MAX. */
size_t address_write_host(const struct address *address, char *at);

/* Writes "1.2.3.4:80" or "[::1]:80". */
size_t address_write(const struct address *address, char *at);

uint16_t address_port(const struct address *address);

/* The 16 bytes that identify the host (IPv4 mapped), for tables by address. */
void address_key(const struct address *address, unsigned char key[16]);

/* All addresses that share their first `prefix` bits; of one family. */
struct network {
	struct address address; /* the lowest one; port 0 */
	unsigned prefix;        /* bits: at most 32 for IPv4, 128 for IPv6 */
};

/*
 * From "10.0.0.0/8", "2001:db8::/32", or an address alone, which is a network of one. IPv4-mapped
 * networks become IPv4. Bits set behind the prefix are a mistake more often than not and refused.
 * -ERR_INVALID.
 */
int network_parse(struct str text, struct network *ret);

/* True when the address lies in the network; one of the other family never does. */
bool network_has(const struct network *network, const struct address *address);

/*
 * True when the address can only be reached through the public Internet: for requests to places
 * that a customer names (SSRF). Everything of the IANA special-purpose registries (RFC 6890 and its
 * updates) and every multicast and unassigned block is not. Addresses that carry an IPv4 address
 * (mapped, NAT64 64:ff9b::/96, 6to4 2002::/16) are judged by that one, too.
 */
bool address_is_public(const struct address *address);

#pragma GCC visibility pop

#endif
