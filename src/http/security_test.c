/* The blocks against what helmet 8.3.0 was seen to send. */
#include "http/security.h"

#include "base/test.h"
#include "http/chars.h"

/* The value of a header of the block; .at is NULL without one. Each name may come once only. */
static struct str value_of(struct str block, struct str wanted)
{
	struct str found = { NULL, 0 };

	while (block.len) {
		struct str line = str_cut(&block, '\n');
		struct str name = str_cut(&line, ':');

		REQUIRE(chars_token(name) && line.len > 2 && line.at[0] == ' ');
		REQUIRE(line.at[line.len - 1] == '\r');
		for (size_t i = 0; i < name.len; i++)
			REQUIRE(name.at[i] < 'A' || name.at[i] > 'Z');
		line = str_of(line.at + 1, line.len - 2);
		REQUIRE(chars_all(line, CHAR_FIELD));
		if (str_eq(name, wanted)) {
			REQUIRE(!found.at);
			found = line;
		}
	}
	return found;
}

static size_t lines_of(struct str block)
{
	size_t lines = 0;

	for (size_t i = 0; i < block.len; i++)
		lines += block.at[i] == '\n';
	return lines;
}

TEST(security_of_a_page_is_helmets)
{
	static const struct {
		struct str name, value;
	} helmet[] = {
		{ S_INIT("content-security-policy"),
			S_INIT("default-src 'self';base-uri 'self';font-src 'self' https: data:;"
			       "form-action 'self';frame-ancestors 'self';img-src 'self' data:;"
			       "object-src 'none';script-src 'self';script-src-attr 'none';"
			       "style-src 'self' https: 'unsafe-inline';"
			       "upgrade-insecure-requests") },
		{ S_INIT("cross-origin-opener-policy"), S_INIT("same-origin") },
		{ S_INIT("cross-origin-resource-policy"), S_INIT("same-origin") },
		{ S_INIT("origin-agent-cluster"), S_INIT("?1") },
		{ S_INIT("referrer-policy"), S_INIT("no-referrer") },
		{ S_INIT("strict-transport-security"),
			S_INIT("max-age=31536000; includeSubDomains") },
		{ S_INIT("x-content-type-options"), S_INIT("nosniff") },
		{ S_INIT("x-dns-prefetch-control"), S_INIT("off") },
		{ S_INIT("x-download-options"), S_INIT("noopen") },
		{ S_INIT("x-frame-options"), S_INIT("SAMEORIGIN") },
		{ S_INIT("x-permitted-cross-domain-policies"), S_INIT("none") },
		{ S_INIT("x-xss-protection"), S_INIT("0") },
	};
	struct str block = security_headers(SECURITY_PAGE | SECURITY_TLS);

	for (size_t i = 0; i < LEN(helmet); i++)
		EXPECT_STR(value_of(block, helmet[i].name), helmet[i].value);
	EXPECT_INT(lines_of(block), LEN(helmet));
}

TEST(security_of_every_kind)
{
	for (unsigned flags = 0; flags < SECURITY_VARIANTS; flags++) {
		struct str block = security_headers(flags);
		struct str policy = value_of(block, S("content-security-policy"));
		bool page = flags & SECURITY_PAGE, tls = flags & SECURITY_TLS;
		bool no_store = flags & SECURITY_NO_STORE, own = flags & SECURITY_OWN_POLICY;

		if (own)
			EXPECT(policy.at == NULL);
		else if (page)
			EXPECT_STR(str_first(policy, 18), S("default-src 'self'"));
		else
			EXPECT_STR(policy, S("default-src 'none';frame-ancestors 'none'"));
		EXPECT(str_ends(policy, S(";upgrade-insecure-requests")) == (page && tls && !own));
		EXPECT((value_of(block, S("strict-transport-security")).at != NULL) == tls);
		EXPECT_STR(value_of(block, S("cache-control")),
			no_store ? S("no-store") : str_of(NULL, 0));
		EXPECT_STR(value_of(block, S("cross-origin-resource-policy")),
			flags & SECURITY_EMBEDDABLE ? S("cross-origin") : S("same-origin"));
		EXPECT_STR(value_of(block, S("x-content-type-options")), S("nosniff"));
		EXPECT_INT(lines_of(block), 11 + tls + no_store - own);
	}
}
