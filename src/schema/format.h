/*
 * Formats: text that means something by a published grammar. Each is checked by hand-written code
 * in time linear in its length, without allocation, and takes only what the grammar takes (stricter
 * where a note says so).
 */
#ifndef SCHEMA_FORMAT_H
#define SCHEMA_FORMAT_H

#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

/* X(constant, function, name in JSON Schema, code of the problem, what the text must be) */
#define FORMAT_TABLE(X)                                                                            \
	X(EMAIL, format_email, "email", PROBLEM_INVALID_EMAIL, "an e-mail address")                \
	X(UUID, format_uuid, "uuid", PROBLEM_INVALID_UUID,                                         \
		"a UUID such as 0190a1b2-c3d4-7e5f-8a9b-0123456789ab")                             \
	X(URI, format_uri, "uri", PROBLEM_INVALID_URI, "a URI such as https://example.com/path")   \
	X(URI_REFERENCE, format_uri_reference, "uri-reference", PROBLEM_INVALID_URI_REFERENCE,     \
		"a URI, or a part of one such as /path")                                           \
	X(DATE_TIME, format_date_time, "date-time", PROBLEM_INVALID_DATE_TIME,                     \
		"a date and time such as 2026-11-20T08:15:30Z")                                    \
	X(DATE, format_date, "date", PROBLEM_INVALID_DATE, "a date such as 2026-11-20")            \
	X(TIME, format_time, "time", PROBLEM_INVALID_TIME, "a time of day such as 08:15:30Z")      \
	X(DURATION, format_duration, "duration", PROBLEM_INVALID_DURATION,                         \
		"a duration such as P1DT12H")                                                      \
	X(SLUG, format_slug, "slug", PROBLEM_INVALID_SLUG,                                         \
		"lower-case letters and digits with single hyphens between them")                  \
	X(HOSTNAME, format_hostname, "hostname", PROBLEM_INVALID_HOSTNAME, "a host name")          \
	X(IPV4, format_ipv4, "ipv4", PROBLEM_INVALID_IPV4, "an IPv4 address")                      \
	X(IPV6, format_ipv6, "ipv6", PROBLEM_INVALID_IPV6, "an IPv6 address")                      \
	X(CIDR, format_cidr, "cidr", PROBLEM_INVALID_CIDR, "a network such as 10.0.0.0/8")         \
	X(SEMVER, format_semver, "semver", PROBLEM_INVALID_SEMVER, "a version such as 1.4.0")      \
	X(JSON_POINTER, format_json_pointer, "json-pointer", PROBLEM_INVALID_JSON_POINTER,         \
		"a JSON pointer such as /items/0")

#define FORMAT_ENUM(constant, valid, name, code, what) FORMAT_##constant,
enum format { FORMAT_NONE, FORMAT_TABLE(FORMAT_ENUM) FORMATS };
#undef FORMAT_ENUM

struct format_info {
	struct str name;
	const char *code;
	const char *what; /* "must be ..." */
	bool (*valid)(struct str text);
};

/* The row of a format (not of FORMAT_NONE). */
const struct format_info *format_info(enum format format);

/* The format of that name, or FORMAT_NONE. */
enum format format_find(struct str name);

/* True when the text has the format. FORMAT_NONE takes all. */
bool format_valid(enum format format, struct str text);

/*
 * A mailbox as people have one: RFC 5321's dot-string of at most 64 bytes, '@', and a host name of
 * at least two labels; at most 254 bytes. Quoted local parts and address literals are refused.
 */
bool format_email(struct str text);

/* RFC 9562, any variant and version, hex digits of either case. */
bool format_uuid(struct str text);

/* RFC 3986: with a scheme, and either. Not more than ASCII. */
bool format_uri(struct str text);
bool format_uri_reference(struct str text);

/* RFC 3339 section 5.6 on the Gregorian calendar; 60 is a second only at 23:59 UTC. */
bool format_date_time(struct str text);
bool format_date(struct str text);
bool format_time(struct str text);

/* RFC 3339 appendix A. */
bool format_duration(struct str text);

/* [a-z0-9]+(-[a-z0-9]+)* */
bool format_slug(struct str text);

/* RFC 1123: letters, digits, inner hyphens; labels of 63, all of 253 bytes. No root dot. "xn--"
 * labels are not decoded, other labels have no "--" as third and fourth. */
bool format_hostname(struct str text);

/* Four decimal numbers without leading zeros (RFC 2673); RFC 4291 without zone. */
bool format_ipv4(struct str text);
bool format_ipv6(struct str text);

/* An IPv4 or IPv6 address, '/' and the length of the prefix; the bits behind it may be set. */
bool format_cidr(struct str text);

/* Semantic Versioning 2.0.0. */
bool format_semver(struct str text);

/* RFC 6901, as text (not as URI fragment). */
bool format_json_pointer(struct str text);

/*
 * A date-time as microseconds since 1970-01-01T00:00:00Z; digits beyond microseconds are cut, the
 * leap second is the one after it. False when it is none, or not in the years 0000 to 9999 of UTC.
 */
bool format_read_date_time(struct str text, int64_t *ret_us);

/* The 16 bytes of a UUID, and its text in lower case (36 bytes, no NUL). */
bool format_read_uuid(struct str text, uint8_t ret_bytes[static 16]);
void format_write_uuid(char *at, const uint8_t bytes[static 16]);

#pragma GCC visibility pop

#endif
