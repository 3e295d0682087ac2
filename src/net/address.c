/* Socket addresses as text and as keys. */
#include "net/address.h"

#include "base/check.h"
#include "base/err.h"
#include "base/num.h"

#include <arpa/inet.h>

int address_parse(struct str host, uint16_t port, struct address *ret)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct address address = { 0 };

	if (host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
		host = str_of(host.at + 1, host.len - 2);
	if (host.len == 0 || host.len >= sizeof(text) || memchr(host.at, 0, host.len))
		return fail(ERR_INVALID, "\"%.*s\" is no IP address", STR_ARG(str_first(host, 80)));
	memcpy(text, host.at, host.len);
	text[host.len] = 0;

	if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
		address.v4.sin_family = AF_INET;
		address.v4.sin_port = htons(port);
		address.len = sizeof(address.v4);
	} else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_port = htons(port);
		address.len = sizeof(address.v6);
	} else {
		return fail(ERR_INVALID, "\"%s\" is no IP address", text);
	}

	address_normalise(&address);
	*ret = address;
	return 0;
}

void address_normalise(struct address *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
		return;

	v4.sin_port = address->v6.sin6_port;
	memcpy(&v4.sin_addr, address->v6.sin6_addr.s6_addr + 12, 4);
	address->v4 = v4;
	address->len = sizeof(v4);
}

uint16_t address_port(const struct address *address)
{
	return ntohs(
		address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

size_t address_write_host(const struct address *address, char *at)
{
	char text[INET6_ADDRSTRLEN] = "";
	const void *from = address->any.sa_family == AF_INET6 ? (const void *)&address->v6.sin6_addr
							      : (const void *)&address->v4.sin_addr;
	size_t len;

	(void)inet_ntop(address->any.sa_family, from, text, sizeof(text));
	len = strlen(text);
	memcpy(at, text, len);
	return len;
}

size_t address_write(const struct address *address, char *at)
{
	bool v6 = address->any.sa_family == AF_INET6;
	size_t len = 0;

	if (v6)
		at[len++] = '[';
	len += address_write_host(address, at + len);
	if (v6)
		at[len++] = ']';
	at[len++] = ':';
	return len + num_write_u64(at + len, address_port(address));
}

void address_key(const struct address *address, unsigned char key[16])
{
	if (address->any.sa_family == AF_INET6) {
		memcpy(key, address->v6.sin6_addr.s6_addr, 16);
		return;
	}
	memset(key, 0, 10);
	memset(key + 10, 0xff, 2);
	memcpy(key + 12, &address->v4.sin_addr, 4);
}
