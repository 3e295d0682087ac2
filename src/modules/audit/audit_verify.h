/*
 * Whether the audit log is what was written: every entry as it was, in its place, none missing.
 * Whoever may write to the database can change all that is in it, so the end of a chain is compared
 * with heads from elsewhere, too: those that the log of the program and exports tell.
 */
#ifndef AUDIT_VERIFY_H
#define AUDIT_VERIFY_H

#include "base/arena.h"
#include "base/buf.h"
#include "crypto/uuid.h"

#include <stdint.h>

struct store;

enum {
	AUDIT_HEADS_MAX = 500 * 1000,
	AUDIT_FINDINGS_MAX = 100, /* that are told one by one */
};

/* A head from elsewhere. */
struct audit_known {
	struct uuid tenant;
	int64_t sequence;
	int64_t marked_at;
	char chain[43];
};

struct audit_heads {
	struct audit_known *at;
	size_t count, room;
	size_t forged; /* that this installation has not sealed */
};

/* Adds all heads that stand in a text, wherever. When it is not the last part, the bytes from
 * `*ret_done` on are to be looked at again, with what follows. -ERR_FULL, -ERR_NO_MEMORY. */
int audit_heads_add(struct audit_heads *heads, struct str text, bool last, size_t *ret_done);
void audit_heads_done(struct audit_heads *heads);

enum audit_finding_kind {
	FINDING_KEY, /* nothing is under this key: it is another one's log, or the key is wrong */
	FINDING_EDITED,     /* an entry is not what was written */
	FINDING_ERASED,     /* personal values are missing though nobody asked for that */
	FINDING_GAP,        /* entries are missing */
	FINDING_ORDER,      /* an entry is not in its place */
	FINDING_END,        /* entries are missing at the end, or too many are there */
	FINDING_MARK,       /* the mark of the beginning or the end was changed */
	FINDING_DELETED,    /* entries were not whole when they were deleted for their age */
	FINDING_HEAD,       /* a head from elsewhere is not one of this chain, */
	FINDING_FORGED,     /* or not of this installation */
	FINDING_UNREADABLE, /* a row is not even a row */
	FINDING_KINDS,
};

struct audit_finding {
	struct uuid tenant;
	enum audit_finding_kind kind;
	int64_t sequence; /* where; 0: in the unchained tail, or nowhere in particular */
	struct str id;    /* of the entry; may be empty */
};

struct audit_report {
	struct audit_finding *at;
	size_t count, found; /* told one by one, and all */
	int64_t tenants, entries, unchained, erased, heads;
	int64_t oldest_unchained; /* microseconds since 1970; 0: none */
	int64_t good, bad;        /* seals */
};

/*
 * Looks at all entries of all tenants. On a fiber; while others write. Sorts the heads. What was
 * found is in the report, in the arena; a negative code means that it could not look.
 */
int audit_verify(struct store *store, struct audit_heads *heads, struct arena *arena,
	struct audit_report *ret);

/* For people, or as JSON. */
void audit_report_write(const struct audit_report *report, bool json, struct buf *out);

#endif
