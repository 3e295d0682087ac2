/* One constant block for each combination of flags, made by the preprocessor. */
#include "http/security.h"

#include "base/check.h"

#define API_POLICY "default-src 'none';frame-ancestors 'none'"

#define PAGE_POLICY                                                                                \
	"default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';"      \
	"frame-ancestors 'self';img-src 'self' data:;object-src 'none';script-src 'self';"         \
	"script-src-attr 'none';style-src 'self' https: 'unsafe-inline'"

#define HEADERS(policy, embedders, more)                                                           \
	S_INIT("content-security-policy: " policy "\r\n"                                           \
	       "cross-origin-opener-policy: same-origin\r\n"                                       \
	       "cross-origin-resource-policy: " embedders "\r\n"                                   \
	       "origin-agent-cluster: ?1\r\n"                                                      \
	       "referrer-policy: no-referrer\r\n"                                                  \
	       "x-content-type-options: nosniff\r\n"                                               \
	       "x-dns-prefetch-control: off\r\n"                                                   \
	       "x-download-options: noopen\r\n"                                                    \
	       "x-frame-options: SAMEORIGIN\r\n"                                                   \
	       "x-permitted-cross-domain-policies: none\r\n"                                       \
	       "x-xss-protection: 0\r\n" more)

#define HSTS     "strict-transport-security: max-age=31536000; includeSubDomains\r\n"
#define NO_STORE "cache-control: no-store\r\n"

/* The four kinds of answer, with the other flags. */
#define KINDS(flags, embedders, more)                                                              \
	[flags] = HEADERS(API_POLICY, embedders, more),                                            \
	[flags | SECURITY_PAGE] = HEADERS(PAGE_POLICY, embedders, more),                           \
	[flags | SECURITY_TLS] = HEADERS(API_POLICY, embedders, more HSTS),                        \
	[flags | SECURITY_PAGE | SECURITY_TLS] =                                                   \
		HEADERS(PAGE_POLICY ";upgrade-insecure-requests", embedders, more HSTS)

static const struct str blocks[SECURITY_BLOCKS] = {
	KINDS(0, "same-origin", ""),
	KINDS(SECURITY_NO_STORE, "same-origin", NO_STORE),
	KINDS(SECURITY_EMBEDDABLE, "cross-origin", ""),
	KINDS(SECURITY_EMBEDDABLE | SECURITY_NO_STORE, "cross-origin", NO_STORE),
};

struct str security_headers(unsigned flags)
{
	struct str block;

	CHECK(flags < SECURITY_VARIANTS);
	block = blocks[flags % SECURITY_BLOCKS];
	if (flags & SECURITY_OWN_POLICY)
		(void)str_cut(&block, '\n'); /* its first line */
	return block;
}
