/*
 * What is checked of a statement when it is registered. Internal to this folder.
 */
#ifndef STORE_SQLITE_CHECK_H
#define STORE_SQLITE_CHECK_H

#include "store/sqlite_connection.h"

/*
 * Prepares the statement under the guards, matches its columns with the members of its `out`
 * (plan->columns), and refuses a tenant statement whose query plan reads a tenant table other than
 * by an index that begins with the tenant. -ERR_INVALID with a sentence that begins with the
 * statement's name.
 */
int sqlite_check(struct sqlite_connection *connection, const struct statement *statement);

#endif
