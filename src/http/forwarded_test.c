/* Who the client is: honest chains, odd ones, and attempts to be somebody else. */
#include "http/forwarded.h"

#include "base/test.h"

#include <stdio.h>

/* 10.0.0.0/8 and fd00::/8 are proxies of ours. */
static bool trusted(const struct address *address, void *arg)
{
	unsigned char key[16];

	(void)arg;
	address_key(address, key);
	return address->any.sa_family == AF_INET6 ? key[0] == 0xfd : key[12] == 10;
}

struct example {
	const char *peer;
	const char *fields; /* lines with their CRLF */
	const char *client; /* with port */
	size_t hops;
	enum forwarded_scheme scheme;
	const char *host; /* host:port; NULL: not told */
};

#define FOR "X-Forwarded-For: "

static const struct example with_x[] = {
	/* nobody trusted stands before us */
	{ "1.1.1.1", "", "1.1.1.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "1.1.1.1", FOR "2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n",
		"1.1.1.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "1.1.1.1", FOR "10.0.0.1\r\n", "1.1.1.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "2001:db8::1", FOR "10.0.0.1\r\n", "[2001:db8::1]:0", 0, FORWARDED_UNKNOWN, NULL },

	/* one proxy */
	{ "10.0.0.1", "", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "::ffff:10.0.0.1", FOR "1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "fd00::1", FOR "2001:db8::7\r\n", "[2001:db8::7]:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", "x-forwarded-for:1.1.1.1 \r\nX-FORWARDED-PROTO: HTTPS\r\n", "1.1.1.1:0", 1,
		FORWARDED_HTTPS, NULL },
	{ "10.0.0.1",
		FOR "1.1.1.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example:8080\r\n",
		"1.1.1.1:0", 1, FORWARDED_HTTP, "a.example:8080" },
	{ "10.0.0.1", "X-Forwarded-Proto: wss\r\n", "10.0.0.1:0", 0, FORWARDED_HTTPS, NULL },
	{ "10.0.0.1", "X-Forwarded-Proto: ws\r\n", "10.0.0.1:0", 0, FORWARDED_HTTP, NULL },

	/* forms of an address */
	{ "10.0.0.1", FOR "1.1.1.1:4711\r\n", "1.1.1.1:4711", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[2001:db8::7]\r\n", "[2001:db8::7]:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[2001:db8::7]:65535\r\n", "[2001:db8::7]:65535", 1, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "2001:DB8:0::7\r\n", "[2001:db8::7]:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "::ffff:1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },

	/* several proxies, several lines */
	{ "10.0.0.1", FOR "1.1.1.1, 10.0.0.2,10.0.0.3\r\n", "1.1.1.1:0", 3, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "1.1.1.1\r\nAccept: */*\r\n" FOR "10.0.0.2\r\n", "1.1.1.1:0", 2,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "10.0.0.2, fd00::2, ::ffff:10.0.0.3\r\n", "10.0.0.2:0", 3,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR ", 1.1.1.1,, ,10.0.0.2, \r\n" FOR "\r\n", "1.1.1.1:0", 2,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1",
		FOR "1.1.1.1, 10.0.0.2\r\nX-Forwarded-Proto: https, http\r\n"
		    "X-Forwarded-Host: a.example, b.example\r\n",
		"1.1.1.1:0", 2, FORWARDED_HTTPS, "a.example:0" },
	{ "10.0.0.1", FOR "1.1.1.1, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n", "1.1.1.1:0", 2,
		FORWARDED_HTTPS, NULL },

	/* a client that writes the fields itself, before the proxy appends to them */
	{ "10.0.0.1", FOR "9.9.9.9, 1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "10.0.0.9, 1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "9.9.9.9\r\n" FOR "1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "9.9.9.9, 1.1.1.1, 10.0.0.2\r\n", "1.1.1.1:0", 2, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "\"9.9.9.9, 1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "9.9.9.9;,[,1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1\r\nX-Forwarded-Proto: http, https\r\n", "1.1.1.1:0", 1,
		FORWARDED_HTTPS, NULL },
	{ "10.0.0.1",
		FOR "1.1.1.1, 10.0.0.2\r\nX-Forwarded-Proto: https, http, http\r\n"
		    "X-Forwarded-Host: evil, a.example, b.example\r\n",
		"1.1.1.1:0", 2, FORWARDED_HTTP, "a.example:0" },
	{ "10.0.0.1", "Forwarded: for=9.9.9.9;proto=https\r\n" FOR "1.1.1.1\r\n", "1.1.1.1:0", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", "Forwarded: for=9.9.9.9;host=evil\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN,
		NULL },

	/* what cannot be read ends the walk at the last proxy that was named */
	{ "10.0.0.1", FOR "1.1.1.1, unknown\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1, unknown, 10.0.0.2\r\n", "10.0.0.2:0", 1, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "1.1.1.1, _hidden, 10.0.0.2\r\n", "10.0.0.2:0", 1, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FOR "1.1.1.1, client.example, 10.0.0.2\r\n", "10.0.0.2:0", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.256\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "01.1.1.1\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1 2.2.2.2\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1:\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1:65536\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1:_x\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[1.1.1.1]\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[2001:db8::7\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[2001:db8::7]80\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[]\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "[[::1]]\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "fe80::1%eth0\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "\"1.1.1.1\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a b\r\n",
		"1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FOR "1.1.1.1\r\nX-Forwarded-Host: a@b\r\nX-Forwarded-Proto: https;\r\n",
		"1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
};

#define FWD "Forwarded: "

static const struct example with_rfc7239[] = {
	{ "1.1.1.1", FWD "for=2.2.2.2;proto=https;host=evil\r\n", "1.1.1.1:0", 0, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", "", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1",
		FWD "For=\"1.1.1.1\" ; PROTO=\"HTTPS\";by=10.0.0.1;Host=\"a.example:443\"\r\n",
		"1.1.1.1:0", 1, FORWARDED_HTTPS, "a.example:443" },
	{ "10.0.0.1", FWD "for=\"1.1.1.1:80\"\r\n", "1.1.1.1:80", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"[2001:db8:cafe::17]\"\r\n", "[2001:db8:cafe::17]:0", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"[2001:db8:cafe::17]:4711\"\r\n", "[2001:db8:cafe::17]:4711", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"1.1.1.1:_a.B-7_\"\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1;proto=https, for=10.0.0.2;proto=http\r\n", "1.1.1.1:0", 2,
		FORWARDED_HTTPS, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1;proto=https\r\n" FWD "for=10.0.0.2\r\n", "1.1.1.1:0", 2,
		FORWARDED_HTTPS, NULL },
	{ "10.0.0.1", FWD "for=10.0.0.2, for=10.0.0.3\r\n", "10.0.0.2:0", 2, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1;ext=\"a,\\\"b\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN,
		NULL }, /* an escape */
	{ "10.0.0.1", FWD "for=1.1.1.1;ext=\"a,b;c\"\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN,
		NULL },

	/* hidden nodes */
	{ "10.0.0.1", FWD "for=unknown;proto=https\r\n", "10.0.0.1:0", 0, FORWARDED_HTTPS, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1, for=_SEVKISEK;host=a, for=10.0.0.2;host=b\r\n",
		"10.0.0.2:0", 1, FORWARDED_UNKNOWN, "a:0" },
	{ "10.0.0.1", FWD "for=\"unknown:80\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1, proto=https\r\n", "10.0.0.1:0", 0, FORWARDED_HTTPS, NULL },

	/* made up by the client */
	{ "10.0.0.1", FWD "for=9.9.9.9;proto=https, for=1.1.1.1\r\n", "1.1.1.1:0", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"9.9.9.9, for=1.1.1.1\r\n", "1.1.1.1:0", 1, FORWARDED_UNKNOWN,
		NULL },
	{ "10.0.0.1", FWD "for=\"9.9.9.9\\, for=\"[2001:db8::7]\"\r\n", "[2001:db8::7]:0", 1,
		FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "host=\"\r\n" FWD "for=1.1.1.1;host=a\r\n", "1.1.1.1:0", 1,
		FORWARDED_UNKNOWN, "a:0" },
	{ "10.0.0.1", FOR "9.9.9.9\r\n" FWD "for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n",
		"1.1.1.1:0", 1, FORWARDED_UNKNOWN, NULL },

	/* malformed */
	{ "10.0.0.1", FWD "for=1.1.1.1;for=2.2.2.2\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=2001:db8::7\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"2001:db8::7\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"[1.1.1.1]\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1;\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for = 1.1.1.1\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"1.1.1.1\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=\"\"\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1 for=2.2.2.2\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=_\r\n", "10.0.0.1:0", 0, FORWARDED_UNKNOWN, NULL },
	{ "10.0.0.1", FWD "for=1.1.1.1, ;, for=10.0.0.2;proto=http\r\n", "10.0.0.2:0", 1,
		FORWARDED_HTTP, NULL },
};

static const struct h1_head *parse(const char *fields)
{
	static char text[8192];
	static struct h1_head head;
	int len = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);

	REQUIRE(len > 0 && (size_t)len < sizeof(text));
	REQUIRE(h1_head_parse(str_of(text, (size_t)len), &H1_LIMITS_DEFAULT, &head) == 0);
	return &head;
}

static void run(const struct example *example, enum forwarded_family family)
{
	struct forwarded_trust trust = { family, trusted, NULL };
	char client[ADDRESS_TEXT_MAX], host[300] = "";
	struct forwarded got;
	struct address peer;
	bool good;

	REQUIRE(address_parse(str_from_c(example->peer), 0, &peer) == 0);
	forwarded_read(parse(example->fields), &peer, &trust, &got);
	if (got.host.host.len)
		snprintf(host, sizeof(host), "%.*s:%u", STR_ARG(got.host.host), got.host.port);
	good = str_eq(str_of(client, address_write(&got.client, client)),
		       str_from_c(example->client)) &&
	       got.hops == example->hops && got.scheme == example->scheme &&
	       strcmp(host, example->host ? example->host : "") == 0;
	test_note(good, __FILE__, __LINE__, "%s %s is %.*s, %zu hops, scheme %d, host \"%s\"",
		example->peer, example->fields, (int)address_write(&got.client, client), client,
		got.hops, (int)got.scheme, host);
}

TEST(forwarded_by_x)
{
	for (size_t i = 0; i < LEN(with_x); i++)
		run(&with_x[i], FORWARDED_X);
}

TEST(forwarded_by_rfc7239)
{
	for (size_t i = 0; i < LEN(with_rfc7239); i++)
		run(&with_rfc7239[i], FORWARDED_RFC7239);
}

TEST(forwarded_trusts_nobody_by_default)
{
	struct forwarded_trust trust = { 0 };
	struct forwarded got;
	struct address peer;

	REQUIRE(address_parse(S("127.0.0.1"), 77, &peer) == 0);
	forwarded_read(parse(FOR "1.1.1.1\r\n"), &peer, &trust, &got);
	EXPECT_INT(got.hops, 0);
	EXPECT_INT(address_port(&got.client), 77);
}

TEST(forwarded_walks_so_far)
{
	static char fields[2][4096];
	struct forwarded_trust trust = { .trusted = trusted };
	size_t len[2] = { 0 };

	for (int i = FORWARDED_HOPS_MAX + 5; i > 0; i--) {
		const char *end = i == 1 ? "\r\n" : ", ";

		len[0] += (size_t)snprintf(fields[0] + len[0], sizeof(fields[0]) - len[0],
			"%s10.1.0.%d%s", len[0] ? "" : FOR, i, end);
		len[1] += (size_t)snprintf(fields[1] + len[1], sizeof(fields[1]) - len[1],
			"%sfor=10.1.0.%d%s", len[1] ? "" : FWD, i, end);
	}
	for (size_t i = 0; i < 2; i++) {
		struct forwarded got;
		struct address peer;
		char text[ADDRESS_TEXT_MAX];

		trust.family = (enum forwarded_family)i;
		REQUIRE(address_parse(S("10.0.0.1"), 0, &peer) == 0);
		forwarded_read(parse(fields[i]), &peer, &trust, &got);
		EXPECT_INT(got.hops, FORWARDED_HOPS_MAX);
		EXPECT_STR(str_of(text, address_write_host(&got.client, text)), S("10.1.0.32"));
	}
}
