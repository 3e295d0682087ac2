/*
 * What a client is told about its limits, in every form that clients read:
 *
 *     ratelimit-policy: "address";q=300;w=60, "api";q=600;w=60    what is allowed
 *     ratelimit: "address";r=299;t=1, "api";r=12;t=1              what is left; when there is more
 *     x-ratelimit-limit: 600                                      of the limiter that binds first:
 *     x-ratelimit-remaining: 12
 *     x-ratelimit-reset: 1795162532                               Unix seconds: all is there again
 *     retry-after: 7                                              when one has refused
 *
 * The first two follow draft-ietf-httpapi-ratelimit-headers-10 (structured fields, RFC 9651).
 */
#ifndef HTTP_LIMIT_HEADERS_H
#define HTTP_LIMIT_HEADERS_H

#include "base/buf.h"
#include "http/limiter.h"

enum { LIMIT_HEADERS_MAX = 8 }; /* verdicts on one request */

/*
 * Appends the lines, each with its CRLF, for `count` verdicts (at most LIMIT_HEADERS_MAX; 0 appends
 * nothing) in the order in which they were given. `wall_us` is the time of day of the verdicts.
 *
 * Seconds are rounded up, so that nobody who obeys comes too early. The parameter w is left out
 * when the window is no whole number of seconds, t when nothing is used. The x-ratelimit lines are
 * those of the limiter that has refused (of several, for the longest time), else of the one with
 * least left. Retry-After is the longest wait of all that have refused, so never before a t of
 * theirs; there is none when waiting does not help, since the request costs more than is ever
 * allowed.
 */
void limit_headers(
	struct buf *out, const struct limit_verdict *verdicts, size_t count, int64_t wall_us);

#endif
