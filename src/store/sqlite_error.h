/*
 * What SQLite's result codes mean to callers. Internal to this folder.
 */
#ifndef STORE_SQLITE_ERROR_H
#define STORE_SQLITE_ERROR_H

#include "store/engine.h"

#include <sqlite3.h>

/*
 * Fails for a result code of a call on this connection (NULL: there is none), with the sentence
 * that SQLite has for it. Not for constraints. Interrupts are -ERR_CANCELLED.
 */
int sqlite_fail(sqlite3 *db, int code);

/* True when what has been written may not be on the disk, whatever is said later. */
bool sqlite_lost_trust(int code);

/* True for a violated constraint. */
static inline bool sqlite_is_constraint(int code)
{
	return (code & 0xFF) == SQLITE_CONSTRAINT;
}

/*
 * The same for a violated constraint of a statement, by fail_constraint: finds the column in
 * SQLite's sentence. Not for foreign keys, of which it says nothing (store/sqlite_reference.h).
 */
int sqlite_fail_constraint(sqlite3 *db, int code, const struct statement *statement);

#endif
