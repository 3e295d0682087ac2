/* Addresses as text, hostile text, networks, and each special-purpose range. */
#include "net/address.h"

#include "base/err.h"
#include "base/test.h"

static struct address parse(const char *text)
{
	struct address address = { 0 };

	test_note(address_parse(str_from_c(text), 80, &address) == 0, __FILE__, __LINE__,
		"\"%s\" is refused", text);
	return address;
}

TEST(address_text_round_trips)
{
	static const struct {
		const char *text, *host, *full;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1", "127.0.0.1:65535" },
		{ "0.0.0.0", "0.0.0.0", "0.0.0.0:65535" },
		{ "255.255.255.255", "255.255.255.255", "255.255.255.255:65535" },
		{ "::", "::", "[::]:65535" },
		{ "::1", "::1", "[::1]:65535" },
		{ "[::1]", "::1", "[::1]:65535" },
		{ "2001:DB8:0:0:0:0:0:1", "2001:db8::1", "[2001:db8::1]:65535" },
		{ "::ffff:1.2.3.4", "1.2.3.4", "1.2.3.4:65535" },
		{ "[::ffff:102:304]", "1.2.3.4", "1.2.3.4:65535" },
		{ "fe80:1111:2222:3333:4444:5555:6666:7777",
			"fe80:1111:2222:3333:4444:5555:6666:7777",
			"[fe80:1111:2222:3333:4444:5555:6666:7777]:65535" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		char text[ADDRESS_TEXT_MAX];
		struct address address;

		REQUIRE(address_parse(str_from_c(cases[i].text), 65535, &address) == 0);
		EXPECT_STR(str_of(text, address_write_host(&address, text)),
			str_from_c(cases[i].host));
		EXPECT_STR(str_of(text, address_write(&address, text)), str_from_c(cases[i].full));
		EXPECT_INT(address_port(&address), 65535);
	}
}

TEST(address_parse_is_strict)
{
	static const struct str cases[] = { S_INIT(""), S_INIT("1"), S_INIT("127.1"),
		S_INIT("2130706433"), S_INIT("0x7f.0.0.1"), S_INIT("010.0.0.1"),
		S_INIT("1.2.3.4.5"), S_INIT("1.2.3.256"), S_INIT("1.2.3.-4"), S_INIT(" 1.2.3.4"),
		S_INIT("1.2.3.4 "), S_INIT("1.2.3.4\0"), S_INIT("1.2.3\0.4"), S_INIT("1.2.3.4:80"),
		S_INIT("[1.2.3.4]"), S_INIT("[]"), S_INIT("["), S_INIT("[::1"), S_INIT("::1]"),
		S_INIT("[[::1]]"), S_INIT(":::"), S_INIT("1::2::3"), S_INIT("12345::"),
		S_INIT("fe80::1%eth0"), S_INIT("::1/128"), S_INIT("localhost"), S_INIT("%s%n"),
		S_INIT("1111:2222:3333:4444:5555:6666:7777:8888:9999"),
		S_INIT("0000:0000:0000:0000:0000:ffff:255.255.255.2555") };

	for (size_t i = 0; i < LEN(cases); i++) {
		struct address address = { .len = 77 };

		EXPECT_INT(address_parse(cases[i], 0, &address), -ERR_INVALID);
		EXPECT_INT(address.len, 77);
	}
}

TEST(address_key_is_the_same_for_mapped)
{
	struct address plain = parse("1.2.3.4"), wide = parse("2001:db8::1");
	struct address mapped = { .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) } };
	unsigned char a[16], b[16];

	memcpy(mapped.v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
	address_key(&plain, a);
	address_key(&mapped, b);
	EXPECT(memcmp(a, b, 16) == 0);
	address_key(&wide, b);
	EXPECT(memcmp(a, b, 16) != 0);

	address_normalise(&mapped);
	EXPECT_INT(mapped.any.sa_family, AF_INET);
	EXPECT_INT(mapped.len, sizeof(mapped.v4));
	EXPECT_INT(address_port(&mapped), 80);
}

/* --- networks ----------------------------------------------------------- */

TEST(network_membership)
{
	static const struct {
		const char *network, *address;
		bool has;
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0", true },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "9.255.255.255", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "10.0.0.0/8", "a00::", false },
		{ "172.16.0.0/12", "172.31.255.255", true },
		{ "172.16.0.0/12", "172.32.0.0", false },
		{ "1.2.3.4", "1.2.3.4", true },
		{ "1.2.3.4", "1.2.3.5", false },
		{ "1.2.3.4/31", "1.2.3.5", true },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "::1", true },
		{ "::/0", "1.2.3.4", false },
		{ "::1", "::1", true },
		{ "::1", "::2", false },
		{ "[2001:db8::]/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false },
		{ "::ffff:10.0.0.0/104", "10.1.2.3", true },
		{ "::ffff:10.0.0.0/104", "11.1.2.3", false },
		{ "::ffff:10.0.0.1", "10.0.0.1", true },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct network network;
		struct address address = parse(cases[i].address);

		REQUIRE(network_parse(str_from_c(cases[i].network), &network) == 0);
		test_note(network_has(&network, &address) == cases[i].has, __FILE__, __LINE__,
			"%s in %s", cases[i].address, cases[i].network);
	}
}

TEST(network_parse_is_strict)
{
	static const char *cases[] = { "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.0/ 8", "10.0.0.1/8", "10.0.0.0/4294967304",
		"::1/0", "::/129", "::ffff:10.0.0.0/8", "10/8", "example.com/8",
		"10.0.0.0/255.0.0.0", "2001:db8::1/64" };

	for (size_t i = 0; i < LEN(cases); i++) {
		struct network network = { .prefix = 77 };

		test_note(network_parse(str_from_c(cases[i]), &network) == -ERR_INVALID, __FILE__,
			__LINE__, "\"%s\" is taken", cases[i]);
		EXPECT_INT(network.prefix, 77);
	}
}

/* Law: an address is in the network of its own first bits, and not in it once one of these bits is
 * turned. */
TEST(network_has_what_shares_its_bits)
{
	uint64_t seed = 7;

	for (size_t round = 0; round < 2000; round++) {
		bool wide = round % 2;
		unsigned bits = wide ? 128 : 32;
		struct address address = parse(wide ? "2001:db8::" : "10.0.0.0");
		unsigned char *bytes =
			wide ? address.v6.sin6_addr.s6_addr : (unsigned char *)&address.v4.sin_addr;
		struct network network;
		unsigned turned;

		for (unsigned i = 0; i < bits / 8; i++)
			bytes[i] = (unsigned char)(test_random(&seed) | 1);
		network.address = address;
		network.prefix = (unsigned)(test_random(&seed) % (bits + 1));
		EXPECT(network_has(&network, &address));

		turned = (unsigned)(test_random(&seed) % bits);
		bytes[turned / 8] ^= (unsigned char)(0x80 >> turned % 8);
		EXPECT(network_has(&network, &address) == (turned >= network.prefix));
	}
}

/* --- public or not ------------------------------------------------------ */

TEST(address_special_purpose_ranges_are_not_public)
{
	/* First and last of each range; "" where the neighbour is special, too. */
	static const struct {
		const char *before, *first, *last, *after;
	} ranges[] = {
		{ "", "0.0.0.0", "0.255.255.255", "1.0.0.0" },
		{ "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
		{ "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
		{ "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
		{ "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
		{ "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
		{ "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
		{ "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
		{ "192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0" },
		{ "192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0" },
		{ "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
		{ "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0" },
		{ "192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0" },
		{ "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
		{ "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0" },
		{ "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
		{ "223.255.255.255", "224.0.0.0", "239.255.255.255", "" },
		{ "", "240.0.0.0", "255.255.255.255", "" },

		{ "", "::", "::", "" },
		{ "", "::1", "::1", "" },
		{ "", "::127.0.0.1", "::8.8.8.8", "" },               /* IPv4-compatible */
		{ "", "::ffff:0:8.8.8.8", "::ffff:0:127.0.0.1", "" }, /* IPv4-translated */
		{ "", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "100::", "100::ffff:ffff:ffff:ffff", "" },
		{ "", "100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "" },
		{ "", "1fff:ffff::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::" },
		{ "2000:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::" },
		{ "", "2001::1", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "" }, /* Teredo */
		{ "", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", "" }, /* ORCHID */
		{ "2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
			"2001:db9::" },
		{ "2620:4f:7fff::", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
			"2620:4f:8001::" },
		{ "3ffe:ffff::", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
			"3fff:1000::" },
		{ "", "4000::", "4000::1", "" },
		{ "", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },
		{ "", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "" },

		/* carriers of IPv4 */
		{ "::ffff:9.255.255.255", "::ffff:10.0.0.0", "::ffff:10.255.255.255",
			"::ffff:11.0.0.0" },
		{ "64:ff9b::9.255.255.255", "64:ff9b::10.0.0.0", "64:ff9b::10.255.255.255",
			"64:ff9b::11.0.0.0" },
		{ "64:ff9b::8.8.8.8", "64:ff9b::1:8.8.8.8", "64:ff9b:0:ffff::8.8.8.8", "" },
		{ "2002:9ff:ffff::", "2002:a00::", "2002:aff:ffff:ffff:ffff:ffff:ffff:ffff",
			"2002:b00::" },
		{ "2002:808:808::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "" },
	};

	for (size_t i = 0; i < LEN(ranges); i++) {
		const char *texts[4] = { ranges[i].before, ranges[i].first, ranges[i].last,
			ranges[i].after };

		for (size_t k = 0; k < 4; k++) {
			struct address address;

			if (!*texts[k])
				continue;
			address = parse(texts[k]);
			test_note(address_is_public(&address) == (k == 0 || k == 3), __FILE__,
				__LINE__, "%s is judged wrongly", texts[k]);
		}
	}
}

TEST(address_is_public_without_normalising_first)
{
	struct address mapped = { .v6 = { .sin6_family = AF_INET6 } };

	memcpy(mapped.v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	EXPECT(!address_is_public(&mapped));
	memcpy(mapped.v6.sin6_addr.s6_addr + 12, "\x8\x8\x8\x8", 4);
	EXPECT(address_is_public(&mapped));
}
