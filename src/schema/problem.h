/*
 * What is wrong with an input: all of it at once, each with the path of the value, a sentence for
 * people and a code for programs. This is the `details` array of the error answer:
 *
 *     {"field":"items.0.email","message":"must be an e-mail address","code":"invalid_email"}
 */
#ifndef SCHEMA_PROBLEM_H
#define SCHEMA_PROBLEM_H

#include "base/arena.h"
#include "json/writer.h"

#pragma GCC visibility push(default)

/*
 * The codes. They are part of the API: programs branch on them, so none is renamed or removed. A
 * module may add codes of its own for what only it can know ("already_used").
 */
#define PROBLEM_REQUIRED              "required"       /* missing */
#define PROBLEM_UNKNOWN_MEMBER        "unknown_member" /* nobody asked for it */
#define PROBLEM_GIVEN_TWICE           "given_twice"    /* a parameter that is no list */
#define PROBLEM_READ_ONLY             "read_only"      /* only we set this */
#define PROBLEM_INVALID_JSON          "invalid_json"   /* no JSON, or a name twice */
#define PROBLEM_INVALID_TYPE          "invalid_type"   /* text for a number and so on */
#define PROBLEM_INVALID_TEXT          "invalid_text"   /* ill-formed UTF-8 */
#define PROBLEM_CONTROL_CHARACTER     "control_character"
#define PROBLEM_TOO_SHORT             "too_short" /* text, in characters */
#define PROBLEM_TOO_LONG              "too_long"
#define PROBLEM_TOO_SMALL             "too_small" /* numbers */
#define PROBLEM_TOO_LARGE             "too_large"
#define PROBLEM_NOT_MULTIPLE          "not_multiple"
#define PROBLEM_TOO_FEW               "too_few" /* items, members, entries */
#define PROBLEM_TOO_MANY              "too_many"
#define PROBLEM_NOT_UNIQUE            "not_unique"
#define PROBLEM_INVALID_ENUM          "invalid_enum"        /* not one of the choices */
#define PROBLEM_INVALID_PATTERN       "invalid_pattern"     /* does not match */
#define PROBLEM_PATTERN_TOO_COMPLEX   "pattern_too_complex" /* matching takes too long */
#define PROBLEM_INVALID_EMAIL         "invalid_email"
#define PROBLEM_INVALID_UUID          "invalid_uuid"
#define PROBLEM_INVALID_URI           "invalid_uri"
#define PROBLEM_INVALID_URI_REFERENCE "invalid_uri_reference"
#define PROBLEM_INVALID_DATE_TIME     "invalid_date_time"
#define PROBLEM_INVALID_DATE          "invalid_date"
#define PROBLEM_INVALID_TIME          "invalid_time"
#define PROBLEM_INVALID_DURATION      "invalid_duration"
#define PROBLEM_INVALID_SLUG          "invalid_slug"
#define PROBLEM_INVALID_HOSTNAME      "invalid_hostname"
#define PROBLEM_INVALID_IPV4          "invalid_ipv4"
#define PROBLEM_INVALID_IPV6          "invalid_ipv6"
#define PROBLEM_INVALID_CIDR          "invalid_cidr"
#define PROBLEM_INVALID_SEMVER        "invalid_semver"
#define PROBLEM_INVALID_JSON_POINTER  "invalid_json_pointer"
#define PROBLEM_NO_MATCH              "no_match"     /* fits none of the alternatives */
#define PROBLEM_MANY_MATCHES          "many_matches" /* fits more than the one allowed */
#define PROBLEM_EXCLUDED              "excluded"     /* fits what is ruled out */

enum { PROBLEMS_MAX = 100, PROBLEM_NAME_MAX = 100 };

struct problem {
	struct str field;   /* path: member names and item numbers, dots between; "" is the whole */
	struct str message; /* goes after the field's name: "must be at most 64 characters" */
	const char *code;   /* one of the above, or a module's own */
};

struct problems {
	struct arena *arena;
	struct problem *at; /* in the arena, in the order in which they were found */
	size_t count;       /* at most PROBLEMS_MAX */
	size_t more;        /* how many followed that were only counted */
};

/* No problems yet. Paths and messages will live in the arena. */
void problems_init(struct problems *problems, struct arena *arena);

/*
 * Adds one; the message as printf makes it. `field` is kept by reference, `code` must be static.
 * Returns 0 (also when only counted), or a negative code when the arena is at its end.
 */
int problems_add(struct problems *problems, struct str field, const char *code, const char *format,
	...) PRINTF_LIKE(4, 5);

/* Writes them as an array; when some were only counted, a last element says how many. */
void problems_write(const struct problems *problems, struct json_writer *writer);

#pragma GCC visibility pop

#endif
