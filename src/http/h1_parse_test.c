/*
 * Request heads, valid and hostile. Each case goes through the scanner whole, at every split and
 * byte by byte, and through the parser; the verdict must be the same each time.
 */
#include "http/h1_parse.h"

#include "base/err.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

/* A GET with a Host and these lines; the same for POST and for HTTP/1.0. */
#define GET(lines)     S_INIT("GET / HTTP/1.1\r\nHost: a\r\n" lines "\r\n")
#define POST(lines)    S_INIT("POST / HTTP/1.1\r\nHost: a\r\n" lines "\r\n")
#define GET10(lines)   S_INIT("GET / HTTP/1.0\r\n" lines "\r\n")
#define LINE(line)     S_INIT(line "\r\nHost: a\r\n\r\n")
#define HOST(host)     S_INIT("GET / HTTP/1.1\r\nHost: " host "\r\n\r\n")
#define ASK(uri)       S_INIT("GET " uri " HTTP/1.1\r\nHost: a\r\n\r\n")
#define ASK_OF(uri, h) S_INIT("GET " uri " HTTP/1.1\r\nHost: " h "\r\n\r\n")

struct head_case {
	const char *name;
	struct str text;
	int code; /* 0 or positive ERR_ code */
};

static const struct head_case request_lines[] = {
	{ "plain", LINE("GET / HTTP/1.1"), 0 },
	{ "one empty line before", S_INIT("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0 },
	{ "two empty lines before", S_INIT("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		ERR_INVALID },
	{ "bare LF before", S_INIT("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "bare CR before", S_INIT("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "space before", LINE(" GET / HTTP/1.1"), ERR_INVALID },
	{ "space after empty line", S_INIT("\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "two spaces after method", LINE("GET  / HTTP/1.1"), ERR_INVALID },
	{ "two spaces after target", LINE("GET /  HTTP/1.1"), ERR_INVALID },
	{ "space after version", LINE("GET / HTTP/1.1 "), ERR_INVALID },
	{ "tab after method", LINE("GET\t/ HTTP/1.1"), ERR_INVALID },
	{ "tab after target", LINE("GET /\tHTTP/1.1"), ERR_INVALID },
	{ "vertical tab after method", LINE("GET\v/ HTTP/1.1"), ERR_INVALID },
	{ "space in target", LINE("GET /a b HTTP/1.1"), ERR_INVALID },
	{ "method only", LINE("GET"), ERR_INVALID },
	{ "no target", LINE("GET HTTP/1.1"), ERR_INVALID },
	{ "http 0.9 request", LINE("GET /"), ERR_INVALID },
	{ "http 0.9 with space", LINE("GET / "), ERR_INVALID },
	{ "bare LF line ends", S_INIT("GET / HTTP/1.1\nHost: a\n\n"), ERR_INVALID },
	{ "bare LF after request line", S_INIT("GET / HTTP/1.1\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "bare CR after request line", S_INIT("GET / HTTP/1.1\rHost: a\r\n\r\n"), ERR_INVALID },
	{ "CR CR LF", S_INIT("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "bare LF ends the head", S_INIT("GET / HTTP/1.1\r\nHost: a\r\n\n"), ERR_INVALID },
	{ "NUL in method", S_INIT("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "NUL in target", S_INIT("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "NUL in version", S_INIT("GET / HTTP/1.\0\r\nHost: a\r\n\r\n"), ERR_INVALID },
	{ "TLS client hello", S_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		ERR_INVALID },
	{ "high byte first",
		LINE("\xff"
		     "ET / HTTP/1.1"),
		ERR_INVALID },
	{ "parenthesis in method", LINE("G(T / HTTP/1.1"), ERR_INVALID },
	{ "colon in method", LINE("GET: / HTTP/1.1"), ERR_INVALID },
	{ "lower-case method", LINE("get / HTTP/1.1"), ERR_UNKNOWN_METHOD },
	{ "unknown method", LINE("BREW / HTTP/1.1"), ERR_UNKNOWN_METHOD },
	{ "method prefix", LINE("GE / HTTP/1.1"), ERR_UNKNOWN_METHOD },
	{ "method and more", LINE("GETS / HTTP/1.1"), ERR_UNKNOWN_METHOD },
	{ "HEAD", LINE("HEAD / HTTP/1.1"), 0 },
	{ "POST", LINE("POST / HTTP/1.1"), 0 },
	{ "PUT", LINE("PUT / HTTP/1.1"), 0 },
	{ "PATCH", LINE("PATCH / HTTP/1.1"), 0 },
	{ "DELETE", LINE("DELETE / HTTP/1.1"), 0 },
	{ "OPTIONS", LINE("OPTIONS / HTTP/1.1"), 0 },
	{ "OPTIONS asterisk", LINE("OPTIONS * HTTP/1.1"), 0 },
	{ "GET asterisk", LINE("GET * HTTP/1.1"), ERR_INVALID },
	{ "asterisk and more", LINE("OPTIONS *a HTTP/1.1"), ERR_INVALID },
	{ "CONNECT", LINE("CONNECT a:80 HTTP/1.1"), ERR_METHOD },
	{ "TRACE", LINE("TRACE / HTTP/1.1"), ERR_METHOD },
	{ "http2 preface", S_INIT("PRI * HTTP/2.0\r\n\r\n"), ERR_VERSION },
	{ "HTTP/1.0", LINE("GET / HTTP/1.0"), 0 },
	{ "HTTP/1.2", LINE("GET / HTTP/1.2"), 0 },
	{ "HTTP/1.9", LINE("GET / HTTP/1.9"), 0 },
	{ "HTTP/2.0", LINE("GET / HTTP/2.0"), ERR_VERSION },
	{ "HTTP/3.0", LINE("GET / HTTP/3.0"), ERR_VERSION },
	{ "HTTP/0.9", LINE("GET / HTTP/0.9"), ERR_VERSION },
	{ "HTTP/1", LINE("GET / HTTP/1"), ERR_INVALID },
	{ "HTTP/1.", LINE("GET / HTTP/1."), ERR_INVALID },
	{ "HTTP/01.1", LINE("GET / HTTP/01.1"), ERR_INVALID },
	{ "HTTP/1.01", LINE("GET / HTTP/1.01"), ERR_INVALID },
	{ "HTTP/1.10", LINE("GET / HTTP/1.10"), ERR_INVALID },
	{ "HTTP/+1.1", LINE("GET / HTTP/+1.1"), ERR_INVALID },
	{ "HTTP /1.1", LINE("GET / HTTP /1.1"), ERR_INVALID },
	{ "HTTP/1 .1", LINE("GET / HTTP/1 .1"), ERR_INVALID },
	{ "http/1.1", LINE("GET / http/1.1"), ERR_INVALID },
	{ "Http/1.1", LINE("GET / Http/1.1"), ERR_INVALID },
	{ "HTTPS/1.1", LINE("GET / HTTPS/1.1"), ERR_INVALID },
	{ "HTTP/1,1", LINE("GET / HTTP/1,1"), ERR_INVALID },
	{ "HTTP/A.B", LINE("GET / HTTP/A.B"), ERR_INVALID },
	{ "RTSP/1.0", LINE("GET / RTSP/1.0"), ERR_INVALID },
	{ "head is one empty line", S_INIT("GET / HTTP/1.1\r\n\r\n"), ERR_INVALID },
};

static const struct head_case targets[] = {
	{ "path", ASK("/a/b.c"), 0 },
	{ "query", ASK("/a?b=c&d"), 0 },
	{ "question marks", ASK("/a?b?c"), 0 },
	{ "percent", ASK("/%41%2f"), 0 },
	{ "characters of browsers", ASK("/a|b[c]?{d}^`"), 0 },
	{ "double slash", ASK("//a"), 0 },
	{ "no leading slash", ASK("a"), ERR_INVALID },
	{ "question mark first", ASK("?a"), ERR_INVALID },
	{ "authority form with GET", ASK("a:80"), ERR_INVALID },
	{ "fragment", ASK("/a#b"), ERR_INVALID },
	{ "backslash", ASK("/a\\b"), ERR_INVALID },
	{ "backslash path traversal", ASK("/..\\..\\a"), ERR_INVALID },
	{ "quote", ASK("/\"a"), ERR_INVALID },
	{ "angle bracket", ASK("/<script>"), ERR_INVALID },
	{ "raw UTF-8", ASK("/\xc3\xa4"), ERR_INVALID },
	{ "overlong slash", ASK("/\xc0\xaf"), ERR_INVALID },
	{ "delete byte", ASK("/a\x7f"), ERR_INVALID },
	{ "escape byte", ASK("/a\x1b[2J"), ERR_INVALID },
	{ "absolute", ASK("http://a/b?c"), 0 },
	{ "absolute upper case", ASK("HTTP://A/b"), 0 },
	{ "absolute https", ASK("https://a/"), 0 },
	{ "absolute without path", ASK("http://a"), 0 },
	{ "absolute with query only", ASK("http://a?b"), 0 },
	{ "absolute with default port", ASK("http://a:80/"), 0 },
	{ "absolute https default port", ASK("https://a:443/"), 0 },
	{ "absolute other port", ASK("http://a:81/"), ERR_INVALID },
	{ "absolute https on 80", ASK("https://a:80/"), ERR_INVALID },
	{ "absolute other host", ASK("http://b/"), ERR_INVALID },
	{ "absolute agrees with port", ASK_OF("http://a:8080/", "a:8080"), 0 },
	{ "absolute against port", ASK_OF("http://a/", "a:8080"), ERR_INVALID },
	{ "absolute without host", ASK("http:///b"), ERR_INVALID },
	{ "absolute nothing", ASK("http://"), ERR_INVALID },
	{ "absolute userinfo", ASK_OF("http://a@b/", "b"), ERR_INVALID },
	{ "absolute one slash", ASK("http:/a"), ERR_INVALID },
	{ "absolute ftp", ASK("ftp://a/"), ERR_INVALID },
	{ "absolute scheme prefix", ASK("httpx://a/"), ERR_INVALID },
	{ "absolute without Host field", S_INIT("GET http://a/ HTTP/1.1\r\n\r\n"), ERR_INVALID },
	{ "absolute in 1.0", S_INIT("GET http://a/ HTTP/1.0\r\n\r\n"), 0 },
	{ "javascript scheme", ASK("javascript:alert(1)"), ERR_INVALID },
};

static const struct head_case hosts[] = {
	{ "name", HOST("example.com"), 0 },
	{ "name and port", HOST("example.com:8080"), 0 },
	{ "upper case", HOST("EXAMPLE.com"), 0 },
	{ "trailing dot", HOST("example.com."), 0 },
	{ "underscore", HOST("my_service:80"), 0 },
	{ "IPv4", HOST("127.0.0.1:8080"), 0 },
	{ "IPv6", HOST("[::1]"), 0 },
	{ "IPv6 and port", HOST("[2001:db8::1]:443"), 0 },
	{ "IPv4 in IPv6", HOST("[::ffff:1.2.3.4]"), 0 },
	{ "no white space", S_INIT("GET / HTTP/1.1\r\nHost:a\r\n\r\n"), 0 },
	{ "much white space", HOST("  \t a \t "), 0 },
	{ "missing in 1.1", S_INIT("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"), ERR_INVALID },
	{ "missing in 1.0", S_INIT("GET / HTTP/1.0\r\n\r\n"), 0 },
	{ "empty", HOST(""), ERR_INVALID },
	{ "two hosts", HOST("a\r\nHost: b"), ERR_INVALID },
	{ "two identical hosts", HOST("a\r\nHost: a"), ERR_INVALID },
	{ "two hosts in two cases", HOST("a\r\nhOsT: a"), ERR_INVALID },
	{ "two hosts in 1.0", GET10("Host: a\r\nHost: b\r\n"), ERR_INVALID },
	{ "bad host in 1.0", GET10("Host: a/b\r\n"), ERR_INVALID },
	{ "comma list", HOST("a,b"), ERR_INVALID },
	{ "comma and space", HOST("a, b"), ERR_INVALID },
	{ "userinfo", HOST("user@a"), ERR_INVALID },
	{ "userinfo and password", HOST("user:pass@a"), ERR_INVALID },
	{ "path", HOST("a/b"), ERR_INVALID },
	{ "query", HOST("a?b"), ERR_INVALID },
	{ "fragment", HOST("a#b"), ERR_INVALID },
	{ "scheme", HOST("http://a"), ERR_INVALID },
	{ "backslash", HOST("a\\b"), ERR_INVALID },
	{ "percent", HOST("a%2eb"), ERR_INVALID },
	{ "inner space", HOST("a b"), ERR_INVALID },
	{ "inner tab", HOST("a\tb"), ERR_INVALID },
	{ "colon space colon", HOST(": :"), ERR_INVALID },
	{ "colon only", HOST(":"), ERR_INVALID },
	{ "port only", HOST(":80"), ERR_INVALID },
	{ "empty port", HOST("a:"), ERR_INVALID },
	{ "port of letters", HOST("a:b"), ERR_INVALID },
	{ "port with sign", HOST("a:+80"), ERR_INVALID },
	{ "port with leading zero", HOST("a:080"), ERR_INVALID },
	{ "port zero", HOST("a:0"), ERR_INVALID },
	{ "port 65535", HOST("a:65535"), 0 },
	{ "port 65536", HOST("a:65536"), ERR_INVALID },
	{ "port of 20 digits", HOST("a:18446744073709551696"), ERR_INVALID },
	{ "two ports", HOST("a:80:80"), ERR_INVALID },
	{ "dots", HOST(".."), ERR_INVALID },
	{ "leading dot", HOST(".a"), ERR_INVALID },
	{ "double dot", HOST("a..b"), ERR_INVALID },
	{ "IPv6 without brackets", HOST("::1"), ERR_INVALID },
	{ "IPv6 not closed", HOST("[::1"), ERR_INVALID },
	{ "IPv6 empty", HOST("[]"), ERR_INVALID },
	{ "IPv6 zone", HOST("[fe80::1%25eth0]"), ERR_INVALID },
	{ "IPv6 with a name", HOST("[::1]a"), ERR_INVALID },
	{ "IPv6 too long", HOST("[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]"),
		ERR_INVALID },
	{ "IPvFuture", HOST("[v1.a]"), ERR_INVALID },
	{ "raw UTF-8",
		HOST("b\xc3\xbc"
		     "cher.example"),
		ERR_INVALID },
	{ "quoted", HOST("\"a\""), ERR_INVALID },
};

static const struct head_case fields[] = {
	{ "empty value", GET("X-Empty:\r\n"), 0 },
	{ "white space value", GET("X-Empty: \t \r\n"), 0 },
	{ "inner tab", GET("X-A: a\tb\r\n"), 0 },
	{ "only tabs", GET("X-A:\t\t\t\t\t\t\t\t\t\t\r\n"), 0 },
	{ "high bytes in value", GET("X-A: \xe4\xff\x80\r\n"), 0 },
	{ "all token characters", GET("!#$%&'*+-.^_`|~09azAZ: a\r\n"), 0 },
	{ "underscore name", GET("X_Custom: a\r\n"), 0 },
	{ "one letter", GET("a:b\r\n"), 0 },
	{ "colons in value", GET("X-A: ::a:\r\n"), 0 },
	{ "empty name", GET(": a\r\n"), ERR_INVALID },
	{ "colon only", GET(":\r\n"), ERR_INVALID },
	{ "no colon", GET("X-A\r\n"), ERR_INVALID },
	{ "space before colon", GET("X-A : a\r\n"), ERR_INVALID },
	{ "tab before colon", GET("X-A\t: a\r\n"), ERR_INVALID },
	{ "space in name", GET("X A: a\r\n"), ERR_INVALID },
	{ "obs-fold with space", GET("X-A: a\r\n b\r\n"), ERR_INVALID },
	{ "obs-fold with tab", GET("X-A: a\r\n\tb\r\n"), ERR_INVALID },
	{ "obs-fold of white space", GET("X-A: a\r\n \r\n"), ERR_INVALID },
	{ "white space before first field", S_INIT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
		ERR_INVALID },
	{ "NUL in name", S_INIT("GET / HTTP/1.1\r\nHost: a\r\nX\0A: a\r\n\r\n"), ERR_INVALID },
	{ "NUL in value", S_INIT("GET / HTTP/1.1\r\nHost: a\r\nX-A: a\0b\r\n\r\n"), ERR_INVALID },
	{ "bare CR in value", GET("X-A: a\rb\r\n"), ERR_INVALID },
	{ "bare LF in value", GET("X-A: a\nX-B: b\r\n"), ERR_INVALID },
	{ "CR before CRLF", GET("X-A: a\r\r\n"), ERR_INVALID },
	{ "response splitting", GET("X-A: a\r\n\nSet-Cookie: b\r\n"), ERR_INVALID },
	{ "bell in value", GET("X-A: \a\r\n"), ERR_INVALID },
	{ "escape in value", GET("X-A: \x1b\r\n"), ERR_INVALID },
	{ "delete in value", GET("X-A: \x7f\r\n"), ERR_INVALID },
	{ "vertical tab in value", GET("X-A: a\vb\r\n"), ERR_INVALID },
	{ "form feed in value", GET("X-A: a\fb\r\n"), ERR_INVALID },
	{ "high byte in name", GET("X-\xe4: a\r\n"), ERR_INVALID },
	{ "parentheses in name", GET("X(A): a\r\n"), ERR_INVALID },
	{ "slash in name", GET("X/A: a\r\n"), ERR_INVALID },
	{ "quote in name", GET("\"X\": a\r\n"), ERR_INVALID },
	{ "at in name", GET("X@A: a\r\n"), ERR_INVALID },
	{ "bracket in name", GET("X[A]: a\r\n"), ERR_INVALID },
	{ "two Authorization", GET("Authorization: a\r\nAuthorization: a\r\n"), ERR_INVALID },
	{ "two Content-Type", POST("Content-Type: a/b\r\nContent-Type: a/b\r\n"), ERR_INVALID },
	{ "two X-Api-Key", GET("X-Api-Key: a\r\nX-API-KEY: b\r\n"), ERR_INVALID },
	{ "two Idempotency-Key", POST("Idempotency-Key: a\r\nIdempotency-Key: b\r\n"),
		ERR_INVALID },
	{ "two Origin", GET("Origin: http://a\r\nOrigin: http://b\r\n"), ERR_INVALID },
	{ "two Cookie", GET("Cookie: a=b\r\nCookie: c=d\r\n"), 0 },
	{ "two Accept", GET("Accept: a/b\r\nAccept: c/d\r\n"), 0 },
	{ "two X-Forwarded-For", GET("X-Forwarded-For: a\r\nX-Forwarded-For: b\r\n"), 0 },
	{ "two unknown", GET("X-A: a\r\nX-A: b\r\n"), 0 },
};

static const struct head_case framing[] = {
	{ "length 0", POST("Content-Length: 0\r\n"), 0 },
	{ "length 5", POST("Content-Length: 5\r\n"), 0 },
	{ "length with GET", GET("Content-Length: 5\r\n"), 0 },
	{ "length in odd case", POST("cOnTeNt-LeNgTh: 5\r\n"), 0 },
	{ "length with space around", POST("Content-Length:  5 \t\r\n"), 0 },
	{ "length empty", POST("Content-Length:\r\n"), ERR_INVALID },
	{ "length plus", POST("Content-Length: +5\r\n"), ERR_INVALID },
	{ "length minus", POST("Content-Length: -5\r\n"), ERR_INVALID },
	{ "length minus zero", POST("Content-Length: -0\r\n"), ERR_INVALID },
	{ "length hex", POST("Content-Length: 0x5\r\n"), ERR_INVALID },
	{ "length hex digits", POST("Content-Length: a\r\n"), ERR_INVALID },
	{ "length underscore", POST("Content-Length: 1_0\r\n"), ERR_INVALID },
	{ "length inner space", POST("Content-Length: 1 0\r\n"), ERR_INVALID },
	{ "length leading zero", POST("Content-Length: 05\r\n"), ERR_INVALID },
	{ "length double zero", POST("Content-Length: 00\r\n"), ERR_INVALID },
	{ "length decimals", POST("Content-Length: 5.0\r\n"), ERR_INVALID },
	{ "length exponent", POST("Content-Length: 1e1\r\n"), ERR_INVALID },
	{ "length list of equals", POST("Content-Length: 5, 5\r\n"), ERR_INVALID },
	{ "length trailing comma", POST("Content-Length: 5,\r\n"), ERR_INVALID },
	{ "length semicolon", POST("Content-Length: 5;a=b\r\n"), ERR_INVALID },
	{ "length quoted", POST("Content-Length: \"5\"\r\n"), ERR_INVALID },
	{ "length non-ASCII digit", POST("Content-Length: \xd9\xa5\r\n"), ERR_INVALID },
	{ "length twice equal", POST("Content-Length: 5\r\nContent-Length: 5\r\n"), ERR_INVALID },
	{ "length twice different", POST("Content-Length: 5\r\nContent-Length: 6\r\n"),
		ERR_INVALID },
	{ "length 2^64", POST("Content-Length: 18446744073709551616\r\n"), ERR_INVALID },
	{ "length 2^64 - 1", POST("Content-Length: 18446744073709551615\r\n"), ERR_TOO_LARGE },
	{ "length 2^63", POST("Content-Length: 9223372036854775808\r\n"), ERR_TOO_LARGE },
	{ "length of 400 bytes wraps 32 bits", POST("Content-Length: 4294967296\r\n"),
		ERR_TOO_LARGE },
	{ "length at the limit", POST("Content-Length: 1073741824\r\n"), 0 },
	{ "length over the limit", POST("Content-Length: 1073741825\r\n"), ERR_TOO_LARGE },
	{ "length underscore twin", POST("Content_Length: 5\r\n"), ERR_INVALID },
	{ "length underscore twin beside", POST("Content-Length: 5\r\ncontent_length: 6\r\n"),
		ERR_INVALID },
	{ "length space before colon", POST("Content-Length : 5\r\n"), ERR_INVALID },
	{ "length prefix of a name", POST("Content-Length-X: a\r\n"), 0 },
	{ "length name cut", POST("Content-Lengt: a\r\n"), 0 },
	{ "chunked", POST("Transfer-Encoding: chunked\r\n"), 0 },
	{ "chunked odd case", POST("transfer-encoding: cHuNkEd\r\n"), 0 },
	{ "chunked outer space", POST("Transfer-Encoding: \t chunked \r\n"), 0 },
	{ "chunked with GET", GET("Transfer-Encoding: chunked\r\n"), 0 },
	{ "chunked in 1.0", GET10("Transfer-Encoding: chunked\r\n"), ERR_INVALID },
	{ "chunked and length", POST("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
		ERR_INVALID },
	{ "length and chunked", POST("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
		ERR_INVALID },
	{ "length 0 and chunked", POST("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
		ERR_INVALID },
	{ "chunked twice", POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
		ERR_INVALID },
	{ "chunked and identity lines",
		POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
		ERR_INVALID },
	{ "chunked chunked", POST("Transfer-Encoding: chunked, chunked\r\n"), ERR_INVALID },
	{ "chunked identity", POST("Transfer-Encoding: chunked, identity\r\n"), ERR_INVALID },
	{ "chunked gzip", POST("Transfer-Encoding: chunked, gzip\r\n"), ERR_INVALID },
	{ "gzip chunked", POST("Transfer-Encoding: gzip, chunked\r\n"), ERR_UNKNOWN_METHOD },
	{ "identity chunked", POST("Transfer-Encoding: identity, chunked\r\n"),
		ERR_UNKNOWN_METHOD },
	{ "gzip", POST("Transfer-Encoding: gzip\r\n"), ERR_INVALID },
	{ "identity", POST("Transfer-Encoding: identity\r\n"), ERR_INVALID },
	{ "xchunked", POST("Transfer-Encoding: xchunked\r\n"), ERR_INVALID },
	{ "chunkedx", POST("Transfer-Encoding: chunkedx\r\n"), ERR_INVALID },
	{ "chunked quoted", POST("Transfer-Encoding: \"chunked\"\r\n"), ERR_INVALID },
	{ "chunked in apostrophes", POST("Transfer-Encoding: 'chunked'\r\n"), ERR_INVALID },
	{ "chunked parameter", POST("Transfer-Encoding: chunked;a=b\r\n"), ERR_INVALID },
	{ "chunked semicolon", POST("Transfer-Encoding: chunked;\r\n"), ERR_INVALID },
	{ "chunked leading comma", POST("Transfer-Encoding: ,chunked\r\n"), ERR_INVALID },
	{ "chunked trailing comma", POST("Transfer-Encoding: chunked,\r\n"), ERR_INVALID },
	{ "chunked inner space", POST("Transfer-Encoding: chun ked\r\n"), ERR_INVALID },
	{ "chunked vertical tab", POST("Transfer-Encoding: \vchunked\r\n"), ERR_INVALID },
	{ "chunked no-break space",
		POST("Transfer-Encoding: \xa0"
		     "chunked\r\n"),
		ERR_INVALID },
	{ "chunked folded", POST("Transfer-Encoding:\r\n chunked\r\n"), ERR_INVALID },
	{ "coding empty", POST("Transfer-Encoding:\r\n"), ERR_INVALID },
	{ "coding comma", POST("Transfer-Encoding: ,\r\n"), ERR_INVALID },
	{ "coding underscore twin", POST("Transfer_Encoding: chunked\r\n"), ERR_INVALID },
	{ "coding half underscore twin of length", POST("content_lengtH: 0\r\n"), ERR_INVALID },
	{ "coding space before colon", POST("Transfer-Encoding : chunked\r\n"), ERR_INVALID },
	{ "coding behind an empty name", POST(": a\r\nTransfer-Encoding: chunked\r\n"),
		ERR_INVALID },
	{ "te is not transfer-encoding", POST("TE: chunked\r\n"), 0 },
};

static const struct head_case exchange[] = {
	{ "close", GET("Connection: close\r\n"), 0 },
	{ "keep-alive and close", GET("Connection: keep-alive, close\r\n"), 0 },
	{ "empty members", GET("Connection: ,, close ,,\r\n"), 0 },
	{ "empty", GET("Connection:\r\n"), 0 },
	{ "names an unknown field", GET("Connection: X-A\r\nX-A: b\r\n"), 0 },
	{ "names te", GET("Connection: TE\r\nTE: trailers\r\n"), 0 },
	{ "names host", GET("Connection: Host\r\n"), ERR_INVALID },
	{ "names content-length", POST("Connection: Content-Length\r\nContent-Length: 5\r\n"),
		ERR_INVALID },
	{ "names transfer-encoding",
		POST("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n"),
		ERR_INVALID },
	{ "names authorization", GET("Connection: close, Authorization\r\n"), ERR_INVALID },
	{ "names x-forwarded-for", GET("Connection: X-Forwarded-For\r\n"), ERR_INVALID },
	{ "names cookie", GET("Connection: Cookie\r\n"), ERR_INVALID },
	{ "names connection", GET("Connection: Connection\r\n"), ERR_INVALID },
	{ "quoted option", GET("Connection: \"close\"\r\n"), ERR_INVALID },
	{ "semicolon list", GET("Connection: close; a\r\n"), ERR_INVALID },
	{ "two words", GET("Connection: keep alive\r\n"), ERR_INVALID },
	{ "16 options", GET("Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"), 0 },
	{ "17 options", GET("Connection: a,a,a,a,a,a,a,a\r\nConnection: a,a,a,a,a,a,a,a,a\r\n"),
		ERR_INVALID },
	{ "expect", POST("Expect: 100-continue\r\nContent-Length: 5\r\n"), 0 },
	{ "expect odd case", POST("Expect: 100-Continue\r\nContent-Length: 5\r\n"), 0 },
	{ "expect without body", GET("Expect: 100-continue\r\n"), 0 },
	{ "expect other", POST("Expect: 200-ok\r\n"), ERR_EXPECTATION },
	{ "expect empty", POST("Expect:\r\n"), ERR_EXPECTATION },
	{ "expect list", POST("Expect: 100-continue, a=b\r\n"), ERR_EXPECTATION },
	{ "expect other in 1.0", GET10("Expect: 200-ok\r\n"), 0 },
	{ "websocket",
		GET("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"),
		0 },
	{ "two websocket keys", GET("Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: b\r\n"),
		ERR_INVALID },
};

/* Feeds the scanner `step` more bytes at a time (0: all at once), the first call `first` bytes. */
static ptrdiff_t scan_in_pieces(struct str text, size_t first, size_t step)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_scan scan = { 0 };
	ptrdiff_t r = 0;

	for (size_t len = first; r == 0; len = MIN(len + step, text.len)) {
		char *copy =
			malloc(len + 1); /* of that size and at another place, for the sanitizer */

		CHECK(copy);
		memcpy(copy, text.at, len);
		r = h1_head_scan(&scan, str_of(copy, len), &limits);
		free(copy);
		if (len == text.len)
			break;
	}
	return r;
}

/* Scan and parse together: 0 or an error. */
static int verdict(struct str text, ptrdiff_t scanned, struct h1_head *head)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;

	if (scanned == 0)
		return -ERR_CODES; /* nothing here is incomplete */
	return scanned < 0 ? (int)scanned
			   : h1_head_parse(str_first(text, (size_t)scanned), &limits, head);
}

static void check_case(const struct head_case *c)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_head head;
	int r = verdict(c->text, scan_in_pieces(c->text, c->text.len, 0), &head);

	test_note(r == -c->code, __FILE__, __LINE__, "%s: %s, wanted %s (%s)", c->name,
		err_info(r)->name, err_info(c->code)->name, r ? err_text() : "");
	if (r == 0)
		test_note(h1_head_parse(c->text, &limits, &head) == 0, __FILE__, __LINE__,
			"%s: the scan ended early", c->name);
	else
		test_note(h1_head_parse(c->text, &limits, &head) < 0, __FILE__, __LINE__,
			"%s: the parser alone takes it", c->name);

	for (size_t first = 0; first <= c->text.len; first++) {
		int split = verdict(
			c->text, scan_in_pieces(c->text, first, c->text.len - first), &head);

		test_note(split == r, __FILE__, __LINE__, "%s: split at %zu: %s", c->name, first,
			err_info(split)->name);
	}
	test_note(verdict(c->text, scan_in_pieces(c->text, 1, 1), &head) == r, __FILE__, __LINE__,
		"%s: byte by byte", c->name);
}

static void check_cases(const struct head_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_case(&cases[i]);
}

TEST(h1_request_lines)
{
	check_cases(request_lines, LEN(request_lines));
}

TEST(h1_targets)
{
	check_cases(targets, LEN(targets));
}

TEST(h1_hosts)
{
	check_cases(hosts, LEN(hosts));
}

TEST(h1_fields)
{
	check_cases(fields, LEN(fields));
}

TEST(h1_framing)
{
	check_cases(framing, LEN(framing));
}

TEST(h1_exchange)
{
	check_cases(exchange, LEN(exchange));
}

/* Parses text that must be good. */
static void parse_good(struct str text, struct h1_head *head)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	int r = h1_head_parse(text, &limits, head);

	if (!test_note(r == 0, __FILE__, __LINE__, "%.*s: %s", STR_ARG(text), err_text()))
		test_end();
}

TEST(h1_head_says_everything)
{
	struct h1_head head;
	struct str value;
	size_t at = 0;

	parse_good(S("\r\nPOST /a/b?c=d HTTP/1.1\r\nhost: Example.com:8080\r\n"
		     "Accept: a/b\r\nX-Custom:  some value \t\r\nACCEPT: c/d\r\n"
		     "Content-Length: 42\r\nExpect: 100-continue\r\n\r\n"),
		&head);
	EXPECT_INT(head.method, HTTP_POST);
	EXPECT_STR(head.method_text, S("POST"));
	EXPECT_STR(head.target_text, S("/a/b?c=d"));
	EXPECT_INT(head.target.form, TARGET_ORIGIN);
	EXPECT_STR(head.target.path, S("/a/b"));
	EXPECT_STR(head.target.query, S("c=d"));
	EXPECT_STR(head.authority.host, S("Example.com"));
	EXPECT_INT(head.authority.port, 8080);
	EXPECT_INT(head.minor, 1);
	EXPECT_INT(head.framing, H1_BODY_LENGTH);
	EXPECT_INT(head.length, 42);
	EXPECT(head.keep_alive && head.expect_continue && !head.upgrade && !head.close);

	EXPECT_INT(head.count, 6);
	EXPECT_STR(h1_value(&head, H1_ACCEPT), S("a/b"));
	EXPECT_STR(h1_find(&head, S("x-CUSTOM")), S("some value"));
	EXPECT_STR(h1_find(&head, S("HOST")), S("Example.com:8080"));
	EXPECT(!h1_find(&head, S("x-custo")).at && !h1_has(&head, H1_COOKIE));
	EXPECT(!h1_value(&head, H1_COOKIE).at);
	EXPECT(h1_each(&head, H1_ACCEPT, &at, &value) && str_eq(value, S("a/b")));
	EXPECT(h1_each(&head, H1_ACCEPT, &at, &value) && str_eq(value, S("c/d")));
	EXPECT(!h1_each(&head, H1_ACCEPT, &at, &value));
}

TEST(h1_head_absolute_target)
{
	struct h1_head head;

	parse_good(S("GET https://A.example/b?c HTTP/1.1\r\nHost: a.example:443\r\n\r\n"), &head);
	EXPECT_INT(head.target.form, TARGET_ABSOLUTE);
	EXPECT_STR(head.target.scheme, S("https"));
	EXPECT_STR(head.target.path, S("/b"));
	EXPECT_STR(head.target.query, S("c"));
	EXPECT_STR(head.authority.host, S("a.example"));

	parse_good(S("GET http://a?c HTTP/1.0\r\n\r\n"), &head);
	EXPECT_STR(head.target.path, S("/"));
	EXPECT_STR(head.target.query, S("c"));
	EXPECT_STR(head.authority.host, S("a"));
}

TEST(h1_keep_alive)
{
	static const struct {
		struct str text;
		bool keep_alive, close;
	} cases[] = {
		{ GET(""), true, false },
		{ GET("Connection: close\r\n"), false, true },
		{ GET("Connection: CLOSE\r\n"), false, true },
		{ GET("Connection: keep-alive, close\r\n"), false, true },
		{ GET("Connection: keep-alive\r\nConnection: close\r\n"), false, true },
		{ GET("Connection: closed\r\n"), true, false },
		{ GET10(""), false, false },
		{ GET10("Connection: Keep-Alive\r\n"), true, false },
		{ GET10("Connection: keep-alive, close\r\n"), false, true },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct h1_head head;

		parse_good(cases[i].text, &head);
		test_note(head.keep_alive == cases[i].keep_alive && head.close == cases[i].close,
			__FILE__, __LINE__, "case %zu", i);
	}
}

TEST(h1_expect_and_upgrade)
{
	struct h1_head head;

	parse_good((struct str)GET("Expect: 100-continue\r\n"), &head);
	EXPECT(!head.expect_continue); /* nothing to wait for */
	parse_good((struct str)GET("Expect: 100-continue\r\nContent-Length: 0\r\n"), &head);
	EXPECT(!head.expect_continue);
	parse_good(
		(struct str)POST("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), &head);
	EXPECT(head.expect_continue);
	parse_good((struct str)GET10("Expect: 100-continue\r\nContent-Length: 1\r\n"), &head);
	EXPECT(!head.expect_continue);

	parse_good((struct str)GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), &head);
	EXPECT(head.upgrade);
	parse_good((struct str)GET("Upgrade: websocket\r\n"), &head);
	EXPECT(!head.upgrade);
	parse_good((struct str)GET("Connection: upgrade\r\n"), &head);
	EXPECT(!head.upgrade);
	parse_good((struct str)GET10("Connection: upgrade\r\nUpgrade: websocket\r\n"), &head);
	EXPECT(!head.upgrade);
}

TEST(h1_fields_named_by_connection_are_dropped)
{
	struct h1_head head;

	parse_good(
		(struct str)GET("X-A: 1\r\nAccept: a/b\r\nConnection: x-a, keep-alive\r\nX-B: 2\r\n"
				"X-a: 3\r\nCookie: c\r\n"),
		&head);
	EXPECT_INT(head.count, 5);
	EXPECT(!h1_find(&head, S("x-a")).at);
	EXPECT_STR(h1_find(&head, S("x-b")), S("2"));
	EXPECT_STR(h1_value(&head, H1_ACCEPT), S("a/b"));
	EXPECT_STR(h1_value(&head, H1_COOKIE), S("c"));
	EXPECT_STR(h1_value(&head, H1_HOST), S("a"));
}

TEST(h1_known_names)
{
	for (enum h1_known known = H1_OTHER + 1; known < H1_KNOWN_COUNT; known++) {
		struct str name = h1_known_name(known);
		char upper[64];

		REQUIRE(name.len >= 2 && name.len < sizeof(upper));
		for (size_t i = 0; i < name.len; i++)
			upper[i] = name.at[i] >= 'a' && name.at[i] <= 'z' ? name.at[i] - 32
									  : name.at[i];
		EXPECT_INT(h1_known_of(name), known);
		EXPECT_INT(h1_known_of(str_of(upper, name.len)), known);
		EXPECT_INT(h1_known_of(str_first(name, name.len - 1)), H1_OTHER);

		for (size_t i = 0; i < name.len;
			i++) { /* no other token byte folds to one of these */
			char kept = upper[i];

			for (unsigned byte = 0; byte < 256; byte++) {
				upper[i] = (char)byte;
				EXPECT((h1_known_of(str_of(upper, name.len)) == known) ==
					str_eq_nocase(str_of(upper, name.len), name));
			}
			upper[i] = kept;
		}
	}
	EXPECT_INT(h1_known_of(S("")), H1_OTHER);
	EXPECT_INT(h1_known_of(S("x")), H1_OTHER);
	EXPECT_STR(h1_known_name(H1_OTHER), S(""));
	EXPECT_STR(http_method_text(HTTP_PATCH), S("PATCH"));
}

/* A head of `text`, then `count` times `filler`, then `end`. */
static struct str fill(const char *text, const char *filler, size_t count, const char *end)
{
	static char at[64 * 1024];
	size_t len = (size_t)snprintf(at, sizeof(at), "%s", text);

	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(at + len, sizeof(at) - len, "%s", filler);
	len += (size_t)snprintf(at + len, sizeof(at) - len, "%s", end);
	CHECK(len < sizeof(at));
	return str_of(at, len);
}

TEST(h1_limits)
{
	static const struct {
		const char *name, *text, *filler;
		size_t count;
		const char *end;
		int code;
	} cases[] = {
		{ "line at the limit", "GET /", "a", 8192 - 14, " HTTP/1.1\r\nHost: a\r\n\r\n", 0 },
		{ "line over the limit", "GET /", "a", 8192 - 13, " HTTP/1.1\r\nHost: a\r\n\r\n",
			ERR_TARGET_TOO_LONG },
		{ "endless target", "GET /", "a", 40000, "", ERR_TARGET_TOO_LONG },
		{ "endless method", "", "A", 40000, "", ERR_INVALID },
		{ "field at the limit", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", 16384 - 3,
			"\r\n\r\n", 0 },
		{ "field over the limit", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", 16384 - 2,
			"\r\n\r\n", ERR_HEAD_TOO_LARGE },
		{ "endless name", "GET / HTTP/1.1\r\nHost: a\r\n", "a", 40000, "",
			ERR_HEAD_TOO_LARGE },
		{ "endless white space", "GET / HTTP/1.1\r\nHost: a\r\nX:", " ", 40000, "",
			ERR_HEAD_TOO_LARGE },
		{ "100 fields", "GET / HTTP/1.1\r\nHost: a\r\n", "X: a\r\n", 99, "\r\n", 0 },
		{ "101 fields", "GET / HTTP/1.1\r\nHost: a\r\n", "X: a\r\n", 100, "\r\n",
			ERR_HEAD_TOO_LARGE },
		{ "endless fields", "GET / HTTP/1.1\r\nHost: a\r\n", "X: a\r\n", 8000, "",
			ERR_HEAD_TOO_LARGE },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct str text =
			fill(cases[i].text, cases[i].filler, cases[i].count, cases[i].end);
		struct h1_head head;
		int whole = verdict(text, scan_in_pieces(text, text.len, 0), &head);
		int bytes = verdict(text, scan_in_pieces(text, 1, 7), &head);

		test_note(whole == -cases[i].code && bytes == whole, __FILE__, __LINE__,
			"%s: %s, %s", cases[i].name, err_info(whole)->name, err_info(bytes)->name);
	}
}

TEST(h1_head_limit_is_exact)
{
	struct str text = S("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_scan scan = { 0 }, again = { 0 };
	struct h1_head head;

	limits.head = text.len;
	EXPECT_INT(h1_head_scan(&scan, text, &limits), text.len);
	limits.head = text.len - 1;
	EXPECT_INT(h1_head_scan(&again, text, &limits), -ERR_HEAD_TOO_LARGE);
	EXPECT_INT(h1_head_parse(text, &limits, &head), -ERR_HEAD_TOO_LARGE);
}

TEST(h1_scan_leaves_the_next_request)
{
	struct str text = S("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\n");
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_scan scan = { 0 };

	EXPECT_INT(h1_head_scan(&scan, text, &limits), str_find(text, S("GET /next")));
}

TEST(h1_parse_refuses_incomplete_heads)
{
	struct str text = S("GET /a HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n");
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_head head;

	for (size_t len = 0; len < text.len; len++) {
		char *copy = malloc(len + 1);

		CHECK(copy);
		memcpy(copy, text.at, len);
		EXPECT_INT(h1_head_parse(str_of(copy, len), &limits, &head), -ERR_INVALID);
		free(copy);
	}
	EXPECT_INT(h1_head_parse(text, &limits, &head), 0);
}

TEST(h1_lists)
{
	struct str rest = S(" a ,, \"b,c\" , \"d\\\",e\",f");
	struct str member;

	EXPECT(h1_list_next(&rest, &member) && str_eq(member, S("a")));
	EXPECT(h1_list_next(&rest, &member) && str_eq(member, S("\"b,c\"")));
	EXPECT(h1_list_next(&rest, &member) && str_eq(member, S("\"d\\\",e\"")));
	EXPECT(h1_list_next(&rest, &member) && str_eq(member, S("f")));
	EXPECT(!h1_list_next(&rest, &member));
	rest = S("\"open, \\");
	EXPECT(h1_list_next(&rest, &member) && !h1_list_next(&rest, &member));
}

/* Bytes that matter, so that random heads come near the rules. */
static char random_byte(uint64_t *seed)
{
	static const char likely[] = "\r\n\r\n :,;/\\*?#%\t\v\x7f\x80\xff_-aGHost01.\"[]@";
	uint64_t number = test_random(seed);

	return number % 4 ? likely[number / 4 % (sizeof(likely) - 1)] : (char)(number >> 8);
}

/* A good head with a few bytes changed gives the same verdict however it arrives, and no control
 * byte, bare or hidden, ever gets into a field. */
TEST(h1_mutated_heads)
{
	struct str good = S("POST /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nContent-Length: 10\r\n"
			    "Connection: keep-alive\r\nX-Some: value\r\n\r\n");
	size_t rounds = test_long() ? 1000000 : 20000;
	uint64_t seed = 42;

	for (size_t round = 0; round < rounds; round++) {
		char text[256];
		struct h1_head head;
		struct str mutant = str_of(text, good.len);
		ptrdiff_t whole, bytes;

		memcpy(text, good.at, good.len);
		for (uint64_t n = test_random(&seed) % 4; n-- > 0;)
			text[test_random(&seed) % good.len] = random_byte(&seed);

		whole = scan_in_pieces(mutant, good.len, 0);
		bytes = scan_in_pieces(mutant, 1, 1 + test_random(&seed) % 9);
		REQUIRE(whole == bytes);
		if (whole <= 0 || verdict(mutant, whole, &head) < 0)
			continue;
		for (size_t i = 0; i < head.count; i++) {
			struct str value = head.fields[i].value;

			REQUIRE(head.fields[i].name.len > 0);
			for (size_t b = 0; b < value.len; b++)
				REQUIRE((unsigned char)value.at[b] >= 0x20 || value.at[b] == '\t');
		}
	}
}
