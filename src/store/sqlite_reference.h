/*
 * Which foreign key it was: SQLite says only that one was violated. Internal to this folder.
 */
#ifndef STORE_SQLITE_REFERENCE_H
#define STORE_SQLITE_REFERENCE_H

#include "store/sqlite_connection.h"

/*
 * Fails for a foreign key that a statement violates: looks which of the rows that its parameters
 * refer to is missing; when none is, or when it deletes, others still refer to its rows.
 */
int sqlite_fail_reference(struct sqlite_connection *connection, struct tx *tx,
	const struct statement *statement, const void *in);

#endif
