/*
 * Rows in and out. A handle (struct db) sees the rows of one tenant, and the database engine sees
 * to that: there is no other way to tenant data.
 *
 * A transaction is a function:
 *
 *     static int rename_in_tx(struct tx *tx, void *arg)
 *     {
 *             struct rename *rename = arg;
 *             struct note note;
 *             int r;
 *
 *             r = tx_one(tx, &note_get, rename, &note);
 *             if (r < 0)
 *                     return r;
 *             note.title = rename->title;
 *             note.version++;
 *             return tx_exec(tx, &note_update, &note);
 *     }
 *
 *     r = db_write(db, rename_in_tx, &rename);
 *
 * It touches nothing but its transaction and its argument, never parks or offloads (CHECK), and may
 * be run again, on either engine: on SQLite it runs on the writer's thread, in a group with others;
 * on PostgreSQL in the caller's fiber, SERIALIZABLE, again after a serialization failure. All of it
 * is committed or nothing. 0 commits, a negative code rolls back and is what db_write returns.
 *
 * A struct that is read or bound belongs to the caller; texts that were read live in the handle's
 * arena, which is rewound when a transaction runs again. A fiber that is cancelled, or out of time,
 * while its transaction waits for its turn gets -ERR_CANCELLED or -ERR_TIMEOUT and nothing
 * happened; one that has begun is interrupted in the database and rolled back; once the commit is
 * under way its end is waited for.
 *
 * All functions here are for fibers of a worker.
 *
 * Errors of all of them, besides those named: -ERR_UNAVAILABLE (no connection, too many waiting, a
 * conflict that five repetitions did not solve, the disk is full: all answered 503), -ERR_FULL,
 * -ERR_TIMEOUT, -ERR_CANCELLED, -ERR_NO_MEMORY, -ERR_TOO_LARGE (the arena), -ERR_IO, -ERR_INTERNAL.
 * A violated constraint names the member in the error's field (base/err.h):
 *
 *     unique         -ERR_CONFLICT  "unique"
 *     foreign key    -ERR_INVALID   "unknown_reference" of a row that refers to nothing,
 *                    -ERR_CONFLICT  "still_referenced" of one that is referred to
 *     check          -ERR_INVALID   "check"
 *     not null       -ERR_INVALID   "required"
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/arena.h"
#include "crypto/uuid.h"
#include "store/statement.h"

#pragma GCC visibility push(default)

struct store;
struct tx;

enum {
	TX_ATTEMPTS = 6,             /* runs of one that meets conflicts: five repetitions */
	TX_AFTER_MAX = 64,           /* tx_after_commit of one transaction */
	TX_ROWS_MAX = 10000,         /* rows of tx_all */
	EVENT_TYPE_MAX = 100,        /* bytes */
	EVENT_DATA_MAX = 256 * 1024, /* bytes of JSON */
	NOTICE_TOPIC_MAX = 64,       /* bytes */
	NOTICE_KEY_MAX = 256,        /* bytes */
	TX_NOTICES_MAX = 2500,       /* of one transaction */
};

/* The tenant of the installation itself: its operators, and what belongs to no other. */
extern const struct uuid tenant_system;

/* --- handles ------------------------------------------------------------------- */

/* A handle: by value, for one request or one piece of work. */
struct db {
	struct store *store;
	struct arena *arena; /* what is read lives here */
	struct uuid tenant;  /* nil: none, and every call is refused */
	bool system;         /* may run STATEMENT_SYSTEM */
};

/* The handle of a tenant. */
struct db db_of(struct store *store, const struct uuid *tenant, struct arena *arena);

/* The handle that crosses tenants; its own rows (:tenant, events) are those of tenant_system. */
struct db db_of_system(struct store *store, struct arena *arena);

/* --- transactions -------------------------------------------------------------- */

enum tx_durability {
	TX_DURABLE, /* on the disk when the call returns */
	TX_SOFT,    /* survives the end of the process, not a power cut: leases, heartbeats */
};

enum tx_isolation {
	TX_SERIALIZABLE,
	TX_READ_COMMITTED, /* PostgreSQL: for hot paths that bring an interleaving test */
};

struct tx_options {
	const char *name; /* for metrics and spans; NULL: "write" or "read" */
	enum tx_durability durability;
	enum tx_isolation isolation;
};

/* Runs a transaction that may write. */
int db_write(const struct db *db, int (*fn)(struct tx *, void *arg), void *arg);
int db_write_with(const struct db *db, const struct tx_options *options,
	int (*fn)(struct tx *, void *arg), void *arg);

/* Runs a transaction that only reads: one consistent state, beside the writers. */
int db_read(const struct db *db, int (*fn)(struct tx *, void *arg), void *arg);

/*
 * A transaction of one statement, in one round trip: like db_read or db_write (whatever the
 * statement is) around the tx_ function of the same name.
 */
int db_one(const struct db *db, const struct statement *statement, const void *in, void *ret);
int db_exec(const struct db *db, const struct statement *statement, const void *in);
int db_all(const struct db *db, const struct statement *statement, const void *in, void *ret_at,
	size_t *ret_count);

/* db_exec and db_one with options. */
int db_exec_with(const struct db *db, const struct tx_options *options,
	const struct statement *statement, const void *in);
int db_one_with(const struct db *db, const struct tx_options *options,
	const struct statement *statement, const void *in, void *ret);

/* --- statements of a transaction ------------------------------------------------ */

/*
 * Runs a change whose answer is not needed. PostgreSQL is not waited for: what goes wrong may be
 * told by a later call or by the commit; then the whole transaction has failed in any case. With
 * EXPECT_ONE a change of no row fails with -ERR_NOT_FOUND, of several with -ERR_INTERNAL.
 */
int tx_exec(struct tx *tx, const struct statement *statement, const void *in);

/* Runs a change and waits; the number of rows it has touched. */
int tx_change(struct tx *tx, const struct statement *statement, const void *in, size_t *ret);

/* One row, also of a change with RETURNING. -ERR_NOT_FOUND without one (ret untouched),
 * -ERR_INTERNAL with several. */
int tx_one(struct tx *tx, const struct statement *statement, const void *in, void *ret);

/* All rows, at most TX_ROWS_MAX (else -ERR_TOO_LARGE), as an array in the arena. `ret_at` is the
 * address of a pointer to the statement's `out` struct; NULL is stored when there are none. */
int tx_all(struct tx *tx, const struct statement *statement, const void *in, void *ret_at,
	size_t *ret_count);

/* Each row in turn in `row`; its texts live until `each` returns. A negative result of `each` ends
 * it, 1 ends it without an error. The memory needed does not grow with the number of rows. */
int tx_each(struct tx *tx, const struct statement *statement, const void *in, void *row,
	int (*each)(void *row, void *arg), void *arg);

/*
 * On a system handle: what follows is done as that tenant, tenant statements included (and system
 * ones refused), until tx_leave. For work that must be one commit in both worlds.
 */
int tx_enter(struct tx *tx, const struct uuid *tenant);
int tx_leave(struct tx *tx);

/* --- what a transaction brings with it ------------------------------------------ */

/* Something that happened; to be published once it is committed. */
struct event {
	struct str type;    /* "note.created": lower case words with dots */
	struct str subject; /* what it is about: usually the id; may be empty */
	const struct schema *schema;
	const void *data; /* the struct, encoded as a caller would get it; NULL: none */
};

/* Puts an event of the current tenant into the outbox. -ERR_TOO_LARGE beyond EVENT_DATA_MAX. */
int tx_emit(struct tx *tx, const struct event *event);

/*
 * Tells all instances, after the commit, that something of the current tenant that they may have
 * kept has changed: told here before the call that committed returns, elsewhere within half a
 * second. Those who want to know call notice_listen (store/notice.h). Topic and key are text; the
 * empty key means everything of the topic, of all tenants. -ERR_INVALID for what is no text or too
 * long, -ERR_FULL beyond TX_NOTICES_MAX.
 */
int tx_notice(struct tx *tx, struct str topic, struct str key);

/* Calls fn(arg) on the caller's fiber after the commit, in the order given; not when it failed, and
 * once however often it is asked for. At most TX_AFTER_MAX different ones, else -ERR_FULL. `arg`
 * must live until then, or be in the arena. */
int tx_after_commit(struct tx *tx, void (*fn)(void *arg), void *arg);

/* What fn was first asked for with, so that it can be told more; NULL: not yet. */
void *tx_after_arg(const struct tx *tx, void (*fn)(void *arg));

/* Gives `r` back; a negative one ends the transaction with the current error, whatever its function
 * returns. For functions that must not be half believed. */
int tx_fail(struct tx *tx, int r);

/* --- of a transaction ------------------------------------------------------------ */

/* Memory for what a transaction function makes; the handle's arena. */
struct arena *tx_arena(struct tx *tx);

/* The time of the transaction, microseconds since 1970; the :now of its statements. */
int64_t tx_now_us(const struct tx *tx);

/* The tenant that rows are read and written as. */
const struct uuid *tx_tenant(const struct tx *tx);

/* The store, for what is kept beside it; not for other transactions. */
struct store *tx_store(const struct tx *tx);

#pragma GCC visibility pop

#endif
