/* Socket addresses as text and as keys, networks, and what is public. */
#include "net/address.h"

#include "base/check.h"
#include "base/err.h"
#include "base/num.h"

#include <arpa/inet.h>

int address_parse(struct str host, uint16_t port, struct address *ret)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct address address = { 0 };
	bool bracketed = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';

	if (bracketed) /* RFC 3986 3.2.2: around IPv6 only */
		host = str_of(host.at + 1, host.len - 2);
	if (host.len == 0 || host.len >= sizeof(text) || memchr(host.at, 0, host.len))
		return fail(ERR_INVALID, "\"%.*s\" is no IP address", STR_ARG(str_first(host, 80)));
	memcpy(text, host.at, host.len);
	text[host.len] = 0;

	if (!bracketed && inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
		address.any.sa_family = AF_INET;
		address.v4.sin_port = htons(port);
		address.len = sizeof(address.v4);
	} else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
		address.any.sa_family = AF_INET6;
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

/* --- networks ----------------------------------------------------------- */

static const unsigned char *bytes_of(const struct address *address)
{
	return address->any.sa_family == AF_INET6 ? address->v6.sin6_addr.s6_addr
						  : (const unsigned char *)&address->v4.sin_addr;
}

static unsigned bits_of(const struct address *address)
{
	return address->any.sa_family == AF_INET6 ? 128 : 32;
}

/* True when the first `bits` of both are the same. */
static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

/* True when no bit behind the first `bits` is set. */
static bool rest_is_zero(const struct address *address, unsigned bits)
{
	const unsigned char *bytes = bytes_of(address);

	for (unsigned i = bits; i < bits_of(address); i++)
		if (bytes[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

int network_parse(struct str text, struct network *ret)
{
	struct str all = str_first(text, 80);
	struct str host = str_cut(&text, '/');
	bool alone = !text.at;
	bool wide = str_find_byte(host, ':') >= 0;
	struct network network = { 0 };
	uint64_t prefix = 0;
	int r = address_parse(host, 0, &network.address);

	if (r < 0)
		return r;
	if (alone)
		prefix = bits_of(&network.address);
	else if (!num_parse_u64(text, &prefix) || prefix > (wide ? 128 : 32))
		return fail(ERR_INVALID, "\"%.*s\" has no good prefix length", STR_ARG(all));

	if (!alone && wide && network.address.any.sa_family == AF_INET) {
		if (prefix < 96)
			return fail(ERR_INVALID, "\"%.*s\" is more than IPv4", STR_ARG(all));
		prefix -= 96;
	}
	if (!rest_is_zero(&network.address, (unsigned)prefix))
		return fail(ERR_INVALID, "\"%.*s\" has bits set behind its prefix", STR_ARG(all));

	network.prefix = (unsigned)prefix;
	*ret = network;
	return 0;
}

bool network_has(const struct network *network, const struct address *address)
{
	struct address plain = *address;

	address_normalise(&plain);
	return plain.any.sa_family == network->address.any.sa_family &&
	       same_bits(bytes_of(&network->address), bytes_of(&plain), network->prefix);
}

/* --- public or not ------------------------------------------------------ */

struct range {
	unsigned char bytes[16];
	unsigned prefix;
};

/* IANA IPv4 Special-Purpose Address Registry, and the blocks that are not unicast. Those that the
 * registry calls reachable (AS112, AMT, anycast) serve nobody's web hooks and are listed, too. */
static const struct range special_v4[] = {
	{ { 0 }, 8 },             /* "this network" */
	{ { 10 }, 8 },            /* private */
	{ { 100, 64 }, 10 },      /* carrier-grade NAT */
	{ { 127 }, 8 },           /* loopback */
	{ { 169, 254 }, 16 },     /* link-local, and the metadata services of clouds */
	{ { 172, 16 }, 12 },      /* private */
	{ { 192, 0, 0 }, 24 },    /* IETF protocols */
	{ { 192, 0, 2 }, 24 },    /* documentation */
	{ { 192, 31, 196 }, 24 }, /* AS112 */
	{ { 192, 52, 193 }, 24 }, /* AMT */
	{ { 192, 88, 99 }, 24 },  /* 6to4 relays, given up */
	{ { 192, 168 }, 16 },     /* private */
	{ { 192, 175, 48 }, 24 }, /* AS112 */
	{ { 198, 18 }, 15 },      /* benchmarks */
	{ { 198, 51, 100 }, 24 }, /* documentation */
	{ { 203, 0, 113 }, 24 },  /* documentation */
	{ { 224 }, 4 },           /* multicast */
	{ { 240 }, 4 },           /* reserved, and broadcast */
};

/* The same of IPv6 inside 2000::/3; nothing else is global unicast. */
static const struct range special_v6[] = {
	{ { 0x20, 0x01 }, 23 },                         /* IETF protocols, Teredo, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32 },             /* documentation */
	{ { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, /* AS112 */
	{ { 0x3f, 0xff }, 20 },                         /* documentation */
};

static const struct range global_v6 = { { 0x20 }, 3 };
static const struct range nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 };
static const struct range six_to_four = { { 0x20, 0x02 }, 16 };

static bool in_range(const struct range *range, const unsigned char *bytes)
{
	return same_bits(range->bytes, bytes, range->prefix);
}

static bool in_any(const struct range *ranges, size_t count, const unsigned char *bytes)
{
	for (size_t i = 0; i < count; i++)
		if (in_range(&ranges[i], bytes))
			return true;
	return false;
}

static bool public_v4(const unsigned char *bytes)
{
	return !in_any(special_v4, LEN(special_v4), bytes);
}

static bool public_v6(const unsigned char *bytes)
{
	if (in_range(&nat64, bytes))
		return public_v4(bytes + 12);
	if (in_range(&six_to_four, bytes))
		return public_v4(bytes + 2);
	return in_range(&global_v6, bytes) && !in_any(special_v6, LEN(special_v6), bytes);
}

bool address_is_public(const struct address *address)
{
	struct address plain = *address;

	address_normalise(&plain);
	return plain.any.sa_family == AF_INET6 ? public_v6(bytes_of(&plain))
					       : public_v4(bytes_of(&plain));
}
