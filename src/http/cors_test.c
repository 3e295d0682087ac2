/* Decisions as tables, beside what npm cors 2.8.6 does where that is strict enough. */
#include "http/cors.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <stdio.h>

#define LIST(...)                                                                                  \
	{                                                                                          \
		(const struct str[]){ __VA_ARGS__ }, LEN(((const struct str[]){ __VA_ARGS__ }))    \
	}
#define T(literal) S_INIT(literal)

static const struct cors_config nobody = { .credentials = true };
static const struct cors_config anybody = { .origins = LIST(T("*")), .exposed = LIST(T("ETag")) };
static const struct cors_config listed = {
	.origins = LIST(T("https://app.example"), T("http://localhost:5173")),
	.credentials = true,
	.exposed = LIST(T("ETag"), T("X-Request-Id")),
	.max_age_s = 600,
};
static const struct cors_config narrow = {
	.origins = LIST(T("https://app.example")),
	.methods = LIST(T("GET"), T("POST")),
	.headers = LIST(T("Content-Type"), T("Authorization")),
	.exposed = LIST(T("ETag")),
};

static const struct cors_config plain = { .origins = LIST(T("https://app.example")) };

#define ORIGIN  "Origin: https://app.example\r\n"
#define ASKS    "Access-Control-Request-Method: PUT\r\n"
#define METHODS "access-control-allow-methods: GET,HEAD,PUT,PATCH,POST,DELETE\r\n"
#define VARY    "vary: origin\r\n"
#define VARY_H  "vary: access-control-request-headers\r\n"
#define GRANTED                                                                                    \
	"access-control-allow-origin: https://app.example\r\n"                                     \
	"access-control-allow-credentials: true\r\n"                                               \
	"access-control-expose-headers: ETag,X-Request-Id\r\n"
#define GRANTED_ANY "access-control-allow-origin: *\r\naccess-control-expose-headers: ETag\r\n"

static const struct {
	const struct cors_config *config;
	const char *method;
	const char *fields;
	bool preflight;
	const char *lines;
} cases[] = {
	/* no origin may */
	{ &nobody, "GET", "", false, "" },
	{ &nobody, "GET", ORIGIN, false, "" },
	{ &nobody, "OPTIONS", ORIGIN ASKS, false, "" },

	/* all origins may: the same answer for everybody, so it does not vary */
	{ &anybody, "GET", "", false, GRANTED_ANY },
	{ &anybody, "GET", ORIGIN, false, GRANTED_ANY },
	{ &anybody, "GET", "Origin: null\r\n", false, GRANTED_ANY },
	{ &anybody, "OPTIONS", ORIGIN ASKS, true,
		VARY_H GRANTED_ANY METHODS "access-control-max-age: 7200\r\n" },

	/* an allow-list */
	{ &listed, "GET", "", false, VARY },
	{ &listed, "GET", ORIGIN, false, VARY GRANTED },
	{ &listed, "DELETE", "Origin: http://localhost:5173\r\n", false,
		VARY "access-control-allow-origin: http://localhost:5173\r\n"
		     "access-control-allow-credentials: true\r\n"
		     "access-control-expose-headers: ETag,X-Request-Id\r\n" },
	{ &listed, "GET", "Origin: https://evil.example\r\n", false, VARY },
	{ &listed, "GET", "Origin: null\r\n", false, VARY },
	{ &listed, "GET", "Origin: *\r\n", false, VARY },
	{ &listed, "GET", "Origin:\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://app.example.evil.example\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://app.exampl\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://xapp.example\r\n", false, VARY },
	{ &listed, "GET", "Origin: http://app.example\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://app.example:8443\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://app.example/\r\n", false, VARY },
	{ &listed, "GET", "Origin: HTTPS://APP.EXAMPLE\r\n", false, VARY },
	{ &listed, "GET", "Origin: https://app.example http://localhost:5173\r\n", false, VARY },

	/* preflights */
	{ &listed, "OPTIONS", ORIGIN ASKS, true,
		VARY VARY_H GRANTED METHODS "access-control-max-age: 600\r\n" },
	{ &listed, "OPTIONS",
		ORIGIN ASKS "Access-Control-Request-Headers: authorization,content-type , x-a\r\n",
		true,
		VARY VARY_H GRANTED METHODS
		"access-control-max-age: 600\r\n"
		"access-control-allow-headers: authorization,content-type,x-a\r\n" },
	{ &listed, "OPTIONS",
		ORIGIN ASKS "Access-Control-Request-Headers: a\r\n"
			    "Access-Control-Request-Headers: b\r\n",
		true,
		VARY VARY_H GRANTED METHODS "access-control-max-age: 600\r\n"
					    "access-control-allow-headers: a,b\r\n" },
	{ &listed, "OPTIONS", ORIGIN ASKS "Access-Control-Request-Headers: a, b c\r\n", true,
		VARY VARY_H GRANTED METHODS "access-control-max-age: 600\r\n" },
	{ &listed, "OPTIONS", ORIGIN ASKS "Access-Control-Request-Headers: ,\r\n", true,
		VARY VARY_H GRANTED METHODS "access-control-max-age: 600\r\n" },
	{ &listed, "OPTIONS", "Origin: https://evil.example\r\n" ASKS, true, VARY VARY_H },
	{ &listed, "OPTIONS", "Origin: null\r\n" ASKS, true, VARY VARY_H },
	{ &narrow, "OPTIONS", ORIGIN ASKS "Access-Control-Request-Headers: x-a\r\n", true,
		VARY "access-control-allow-origin: https://app.example\r\n"
		     "access-control-expose-headers: ETag\r\n"
		     "access-control-allow-methods: GET,POST\r\n"
		     "access-control-allow-headers: Content-Type,Authorization\r\n"
		     "access-control-max-age: 7200\r\n" },

	/* OPTIONS that is none */
	{ &listed, "OPTIONS", ORIGIN, false, VARY GRANTED },
	{ &listed, "OPTIONS", ASKS, false, VARY },
	{ &listed, "GET", ORIGIN ASKS, false, VARY GRANTED },
};

static const struct h1_head *parse(const char *method, const char *fields)
{
	static char text[16384];
	static struct h1_head head;
	int len =
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", method, fields);

	REQUIRE(len > 0 && (size_t)len < sizeof(text));
	REQUIRE(h1_head_parse(str_of(text, (size_t)len), &H1_LIMITS_DEFAULT, &head) == 0);
	return &head;
}

TEST(cors_decisions)
{
	struct buf lines;

	buf_init(&lines, 16384);
	for (size_t i = 0; i < LEN(cases); i++) {
		struct cors cors;
		bool preflight;

		REQUIRE(cors_init(&cors, cases[i].config) == 0);
		buf_reset(&lines);
		preflight = cors_apply(&cors, parse(cases[i].method, cases[i].fields), &lines);
		test_note(preflight == cases[i].preflight &&
				  str_eq(buf_str(&lines), str_from_c(cases[i].lines)),
			__FILE__, __LINE__, "case %zu: %spreflight\n%.*s", i,
			preflight ? "" : "no ", STR_ARG(buf_str(&lines)));
		cors_done(&cors);
	}
	buf_done(&lines);
}

TEST(cors_defaults)
{
	struct cors cors;
	struct buf lines;

	REQUIRE(cors_init(&cors, &plain) == 0);
	buf_init(&lines, 16384);
	EXPECT(!cors_apply(&cors, parse("GET", ORIGIN), &lines));
	EXPECT_STR(buf_str(&lines),
		S("vary: origin\r\n"
		  "access-control-allow-origin: https://app.example\r\n"
		  "access-control-expose-headers: ETag,Location,Link,Retry-After,RateLimit,"
		  "RateLimit-Policy,X-RateLimit-Limit,X-RateLimit-Remaining,X-RateLimit-Reset,"
		  "X-Request-Id,Content-Disposition,WWW-Authenticate,Idempotent-Replayed\r\n"));
	buf_done(&lines);
	cors_done(&cors);
	cors_done(&(struct cors){ 0 });
}

static const struct {
	struct cors_config config;
	bool good;
} configs[] = {
	{ { .origins = LIST(T("https://app.example")) }, true },
	{ { .origins = LIST(T("https://app.example:8443")) }, true },
	{ { .origins = LIST(T("http://127.0.0.1:3000"), T("http://[::1]:3000")) }, true },
	{ { .origins = LIST(T("http://app.example:443")) }, true },
	{ { .origins = LIST(T("capacitor://localhost")) }, true },
	{ { .origins = LIST(T("chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb")) }, true },
	{ { .origins = LIST(T("*")) }, true },
	{ { .origins = LIST(T("*")), .credentials = true } },
	{ { .origins = LIST(T("*"), T("https://app.example")) } },
	{ { .origins = LIST(T("null")) } },
	{ { .origins = LIST(T("")) } },
	{ { .origins = LIST(T("app.example")) } },
	{ { .origins = LIST(T("://app.example")) } },
	{ { .origins = LIST(T("https://")) } },
	{ { .origins = LIST(T("https://app.example/")) } },
	{ { .origins = LIST(T("https://app.example/path")) } },
	{ { .origins = LIST(T("https://App.example")) } },
	{ { .origins = LIST(T("HTTPS://app.example")) } },
	{ { .origins = LIST(T("https://*.example")) } },
	{ { .origins = LIST(T("https://user@app.example")) } },
	{ { .origins = LIST(T("https://app.example:443")) } },
	{ { .origins = LIST(T("http://app.example:80")) } },
	{ { .origins = LIST(T("https://app.example:0")) } },
	{ { .origins = LIST(T("https://a.example,https://b.example")) } },
	{ { .origins = LIST(T("https://a.example\r\nx: y")) } },
	{ { .origins = LIST(T("ht tp://a.example")) } },
	{ { .methods = LIST(T("GET,POST")) } },
	{ { .headers = LIST(T("x-a: b")) } },
	{ { .exposed = LIST(T("")) } },
	{ { .exposed = { (const struct str[CORS_NAMES_MAX + 1]){ T("a") }, CORS_NAMES_MAX + 1 } } },
	{ { .origins = { (const struct str[CORS_ORIGINS_MAX + 1]){ T("a") },
		    CORS_ORIGINS_MAX + 1 } } },
};

TEST(cors_configurations)
{
	for (size_t i = 0; i < LEN(configs); i++) {
		struct cors cors;
		int r = cors_init(&cors, &configs[i].config);

		test_note(r == (configs[i].good ? 0 : -ERR_INVALID), __FILE__, __LINE__,
			"config %zu: %d", i, r);
		if (r == 0)
			cors_done(&cors);
	}
	EXPECT_INT(mem_used(), 0);
}

/* More names, or longer ones, than anybody has: none is granted. */
TEST(cors_bounds_what_it_repeats)
{
	static char fields[9000];
	struct buf lines;
	struct cors cors;

	REQUIRE(cors_init(&cors, &listed) == 0);
	buf_init(&lines, 16384);
	for (size_t names = CORS_NAMES_MAX; names <= CORS_NAMES_MAX + 1; names++) {
		int len = snprintf(
			fields, sizeof(fields), ORIGIN ASKS "Access-Control-Request-Headers: a");

		for (size_t i = 1; i < names; i++)
			len += snprintf(fields + len, sizeof(fields) - (size_t)len, ",a");
		snprintf(fields + len, sizeof(fields) - (size_t)len, "\r\n");
		buf_reset(&lines);
		EXPECT(cors_apply(&cors, parse("OPTIONS", fields), &lines));
		EXPECT((str_find(buf_str(&lines), S("access-control-allow-headers: a,a")) >= 0) ==
			(names == CORS_NAMES_MAX));
	}

	snprintf(fields, sizeof(fields), ORIGIN ASKS "Access-Control-Request-Headers: %0*d\r\n",
		CORS_NAMES_BYTES + 1, 0);
	buf_reset(&lines);
	EXPECT(cors_apply(&cors, parse("OPTIONS", fields), &lines));
	EXPECT(str_find(buf_str(&lines), S("access-control-allow-headers")) < 0);

	buf_done(&lines);
	buf_init(&lines, 200); /* too small */
	EXPECT(cors_apply(&cors, parse("OPTIONS", fields), &lines));
	EXPECT_INT(lines.failed, -ERR_TOO_LARGE);
	buf_done(&lines);
	cors_done(&cors);
}

#ifdef BULKHEAD_FAULTS
TEST(cors_without_memory)
{
	for (size_t nth = 1;; nth++) {
		struct cors cors;
		int r;

		fault_arm(FAULT_MEMORY, nth);
		r = cors_init(&cors, &listed);
		if (!fault_struck(FAULT_MEMORY)) {
			EXPECT_INT(r, 0);
			EXPECT(nth > 2);
			cors_done(&cors);
			break;
		}
		EXPECT_INT(r, -ERR_NO_MEMORY);
		EXPECT_INT(mem_used(), 0);
	}
	fault_arm(FAULT_MEMORY, 0);
}
#endif
