/*
 * What keeps tenants apart inside of SQLite. Three guards on every connection, beside the rules for
 * the text (store/sql.h), none of which is enough alone:
 *
 *   - for each tenant table a TEMP view of the same name, which an unqualified name always finds
 *     first and which shows the rows of current_tenant() only;
 *   - an authorizer that denies, while a statement is prepared, everything that its plan does not
 *     allow;
 *   - a hook that sees the tenant of every row before it is changed and after, REPLACE and foreign
 *     key actions included.
 *
 * Internal to this folder.
 */
#ifndef STORE_SQLITE_GUARD_H
#define STORE_SQLITE_GUARD_H

#include "crypto/uuid.h"
#include "store/sql.h"
#include "store/sqlite_schema.h"

struct sqlite_guard {
	sqlite3 *db;
	const struct sqlite_schema *schema;
	struct uuid tenant;          /* of current_tenant() */
	const struct sql_plan *plan; /* that is prepared or runs; NULL: none is, all is denied */
	bool own;                    /* what is prepared is ours */
	bool violated;               /* a row of another tenant was touched, or */
	int unseen;                  /* this code kept the hook from seeing whose it was */
	char denied[160];            /* what the authorizer denied last; for people */
	const struct sqlite_table *seen; /* by the hook, most recently */
};

/* Sets the guards up on a new connection: the views, the function, the authorizer, and with
 * `writes` the hook. The guard must stay where it is as long as the connection. */
int sqlite_guard_init(
	struct sqlite_guard *guard, sqlite3 *db, const struct sqlite_schema *schema, bool writes);

/* Between these two the engine prepares what is its own. */
static inline void sqlite_guard_open(struct sqlite_guard *guard)
{
	guard->own = true;
}

static inline void sqlite_guard_close(struct sqlite_guard *guard)
{
	guard->own = false;
}

/* Between these two that statement is prepared or runs, as the guard's tenant. */
static inline void sqlite_guard_enter(struct sqlite_guard *guard, const struct sql_plan *plan)
{
	guard->plan = plan;
	guard->violated = false;
	guard->unseen = SQLITE_OK;
	guard->denied[0] = '\0';
}

static inline void sqlite_guard_leave(struct sqlite_guard *guard)
{
	guard->plan = NULL;
}

#endif
