/* The export of a tenant's log, a part at a time, for who has no request: the command line. */
#ifndef AUDIT_DUMP_H
#define AUDIT_DUMP_H

#include "base/buf.h"
#include "crypto/uuid.h"

struct store;

/* An export under way. Begins with the tenant and the format; the rest is zero. */
struct audit_dump {
	struct uuid tenant;
	bool csv; /* else JSON lines */
	bool begun, over;
	char after[UUID_TEXT_LEN]; /* the id of the last entry that was written */
	int64_t count;             /* of entries so far */
};

/*
 * Appends the next entries, some 2 MB of them or what there is, and moves on. The first part begins
 * with the names of the columns (CSV), the last one ends with the signed head, as the HTTP export.
 * The export is an entry itself, by the program. On a fiber; errors of the store.
 */
int audit_dump_part(struct store *store, struct audit_dump *dump, struct buf *out);

#endif
