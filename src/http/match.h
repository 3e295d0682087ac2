/*
 * Editing together without overwriting each other: entity tags and the conditions on them (RFC 9110
 * 8.8.3, 13.1.1, 13.1.2). A version is a number that grows with each change; its tag is "<number>",
 * strong.
 */
#ifndef HTTP_MATCH_H
#define HTTP_MATCH_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(default)

struct req;

enum { ETAG_MAX = 24 }; /* bytes of the tag of a version: a 64-bit number in quotes */

/*
 * Whether the caller wants the change to happen to this version: 0 when its If-Match names the
 * version's tag or is not there, and its If-None-Match does not name it. -ERR_PRECONDITION (412)
 * when somebody else was faster; -ERR_INVALID for a field that is no list of tags. Called where the
 * version cannot change any more: in the transaction that writes. Routes that call it are
 * `.versioned`.
 */
int req_if_match(const struct req *req, int64_t version);

/*
 * Gives the answer the tag of this version. A GET or HEAD whose If-None-Match names it is answered:
 * 304. A typed handler of a `.versioned` route need not call it, the server does, with the version
 * of its output. -ERR_PRECONDITION and -ERR_INVALID for a GET or HEAD as above, errors of
 * reply_header.
 */
int reply_etag(struct req *req, int64_t version);

/*
 * Whether one value of If-Match or If-None-Match, a list of tags or "*", names a tag. Strong
 * comparison: a tag marked as weak (W/"1") never equals; `weak`: the mark does not matter. 1, 0, or
 * -ERR_INVALID. Pure.
 */
int etag_listed(struct str value, struct str tag, bool weak);

/* Writes the tag of a version to `at`, which has room for ETAG_MAX bytes; returns its length. */
size_t etag_write(char *at, int64_t version);

#pragma GCC visibility pop

#endif
