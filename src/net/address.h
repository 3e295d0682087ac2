/* IP addresses and ports: text to socket address and back, and membership in networks. Names are
 * resolved elsewhere (net/resolve.h). */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include "base/str.h"

#include <netinet/in.h>
#include <stdint.h>

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

/* From a numeric address ("127.0.0.1", "::1", also "[::1]") and a port. -ERR_INVALID. */
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

#endif
