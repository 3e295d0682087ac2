/*
 * X-Forwarded-* and Forwarded. Whatever a client writes, what a trusted proxy appends to it
 * decides: the same client is found, and scheme and host are the ones the proxy added.
 */
#include "http/forwarded.h"

#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Of ours: 10.0.0.0/8. */
static bool trusted(const struct address *address, void *arg)
{
	unsigned char key[16];

	(void)arg;
	address_key(address, key);
	return address->any.sa_family == AF_INET && key[12] == 10;
}

static void add(struct h1_head *head, enum h1_known known, struct str value)
{
	if (!h1_has(head, known))
		head->first[known] = (uint8_t)head->count;
	head->seen |= UINT64_C(1) << known;
	head->fields[head->count++] = (struct h1_field){ h1_known_name(known), value, known };
}

static void check_plain(const struct h1_head *head, struct str text, enum forwarded_family family)
{
	struct forwarded_trust trust = { family, trusted, NULL };
	struct address peer;
	struct forwarded got;

	CHECK(address_parse(S("10.0.0.1"), 0, &peer) == 0);
	forwarded_read(head, &peer, &trust, &got);
	CHECK(got.hops <= FORWARDED_HOPS_MAX);
	CHECK((got.hops == 0) == (memcmp(&got.client, &peer, sizeof(peer)) == 0) ||
		trusted(&got.client, NULL));
	CHECK(got.host.host.len == 0 ||
		(got.host.host.at >= text.at && got.host.host.at < text.at + text.len));

	CHECK(address_parse(S("9.0.0.1"), 0, &peer) == 0);
	forwarded_read(head, &peer, &trust, &got);
	CHECK(got.hops == 0 && memcmp(&got.client, &peer, sizeof(peer)) == 0);
	CHECK(got.scheme == FORWARDED_UNKNOWN && got.host.host.len == 0);
}

/* What the proxy appends: in the same line, or in one of its own. */
static void check_appended(struct h1_head *head, struct str text, bool own_line)
{
	static const struct str tails[] = { S_INIT(", 1.2.3.4"), S_INIT(", https"),
		S_INIT(", a.example"), S_INIT(", for=1.2.3.4;proto=https;host=a.example") };
	static const enum h1_known fields[] = { H1_X_FORWARDED_FOR, H1_X_FORWARDED_PROTO,
		H1_X_FORWARDED_HOST, H1_FORWARDED };
	static char lines[LEN(tails)][4096];
	struct address peer, client;
	struct forwarded got;

	for (size_t i = 0; i < LEN(tails); i++) {
		struct str tail = tails[i];
		size_t len = MIN(text.len, sizeof(lines[i]) - tail.len);

		if (own_line) {
			add(head, fields[i], text);
			add(head, fields[i], str_from(tail, 2));
		} else {
			memcpy(lines[i], text.at, len);
			memcpy(lines[i] + len, tail.at, tail.len);
			add(head, fields[i], str_of(lines[i], len + tail.len));
		}
	}

	CHECK(address_parse(S("10.0.0.1"), 0, &peer) == 0);
	CHECK(address_parse(S("1.2.3.4"), 0, &client) == 0);
	for (enum forwarded_family family = FORWARDED_X; family <= FORWARDED_RFC7239; family++) {
		struct forwarded_trust trust = { family, trusted, NULL };

		forwarded_read(head, &peer, &trust, &got);
		CHECK(memcmp(&got.client, &client, sizeof(client)) == 0 && got.hops == 1);
		CHECK(got.scheme == FORWARDED_HTTPS && str_eq(got.host.host, S("a.example")));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct h1_head head;
	struct str text = str_trim(str_of((const char *)bytes, size));

	head.seen = head.count = 0;
	add(&head, H1_X_FORWARDED_FOR, text);
	add(&head, H1_X_FORWARDED_PROTO, text);
	add(&head, H1_X_FORWARDED_HOST, text);
	add(&head, H1_FORWARDED, text);
	check_plain(&head, text, FORWARDED_X);
	check_plain(&head, text, FORWARDED_RFC7239);

	for (int own_line = 0; own_line <= 1; own_line++) {
		head.seen = head.count = 0;
		check_appended(&head, text, own_line);
	}
	return 0;
}
