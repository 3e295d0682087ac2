/*
 * The request target (RFC 9112 3.2) and what is in it: authority, path segments, query pairs.
 *
 * Percent-encoding is undone exactly once and late: a path is cut at '/' first, so that "%2F" stays
 * data of its segment, and every check is made on the decoded text. One form is taken, nothing is
 * repaired: whatever two readers could understand differently is ERR_INVALID.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/arena.h"
#include "base/str.h"

#include <stdint.h>

#pragma GCC visibility push(default)

enum {
	TARGET_HOST_MAX = 255,  /* bytes of a host name */
	QUERY_PAIRS_MAX = 100,  /* name=value pairs of a query */
	PATH_SEGMENTS_MAX = 64, /* segments of a path */
};

enum target_form {
	TARGET_ORIGIN,   /* /path?query */
	TARGET_ABSOLUTE, /* http://host/path?query */
	TARGET_ASTERISK, /* * */
};

/* Parts of a target; they point into its text, nothing is decoded. */
struct target {
	enum target_form form;
	struct str scheme;    /* absolute form: "http" or "https", in any case; else empty */
	struct str authority; /* absolute form: host[:port], not yet checked; else empty */
	struct str path;      /* starts with '/'; "*" in the asterisk form */
	struct str query;     /* without the '?'; .at is NULL when there is none */
};

/*
 * Cuts a target. Refuses (ERR_INVALID): the empty target, other forms and schemes than the three
 * above, a fragment, and any byte but visible ASCII without " < > \ #. Serves HTTP/2's :path too.
 */
int target_parse(struct str text, struct target *ret_target);

/* A host and its port, as in the Host field. */
struct authority {
	struct str host; /* name, IPv4 address, or IPv6 address in its brackets */
	uint16_t port;   /* 1 to 65535; 0 when none was given */
};

/*
 * Parses host[:port] (RFC 3986 3.2.2 and 3.2.3). Names are letters, digits and - . _ ~ with no
 * empty label but a last one; refused (ERR_INVALID) are userinfo, commas, percent, an empty host or
 * port, port 0, leading zeros.
 */
int authority_parse(struct str text, struct authority *ret_authority);

/* Same host (case folded) and same port, where a missing port is `default_port`. */
bool authority_eq(const struct authority *a, const struct authority *b, uint16_t default_port);

/* Visits the segments of a path: "/a/b/" has "a", "b" and "". */
struct path_walk {
	struct str rest; /* .at is NULL at the end */
	size_t count;    /* segments so far */
};

struct path_segment {
	struct str raw;  /* as it came, in the target's memory */
	struct str text; /* decoded: the same memory when there was no '%', else the arena's */
};

/* Starts at a path that target_parse has cut. */
void path_start(struct path_walk *walk, struct str path);

/*
 * The next segment. Returns 1, 0 at the end, what arena_alloc says, or ERR_INVALID: a bad percent
 * escape, and in the decoded text a control byte (NUL included), ill-formed UTF-8, a backslash, or
 * a part
 * "." or ".." (also beside a decoded slash), or more than PATH_SEGMENTS_MAX segments.
 */
int path_next(struct path_walk *walk, struct arena *arena, struct path_segment *ret_segment);

/* Visits the pairs of a query, or of an application/x-www-form-urlencoded body. */
struct query_walk {
	struct str rest; /* .at is NULL at the end */
	size_t count;    /* pairs so far */
};

struct query_pair {
	struct str name, value; /* decoded; zero-copy when there was nothing to decode */
};

void query_start(struct query_walk *walk, struct str query);

/*
 * The next pair; empty ones ("a=1&&b=2") are skipped, a missing '=' is an empty value, '+' is a
 * space. Returns 1, 0 at the end, what arena_alloc says, or ERR_INVALID: a bad percent escape, and
 * in the decoded text ill-formed UTF-8 or a control byte other than tab, CR and LF; or more than
 * QUERY_PAIRS_MAX pairs. The same name may come again: what that means is the caller's business.
 */
int query_next(struct query_walk *walk, struct arena *arena, struct query_pair *ret_pair);

#pragma GCC visibility pop

#endif
