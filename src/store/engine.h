/*
 * What the two engines do for the front (db.c): each has one of these. Internal to this folder.
 */
#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

#include "fiber/fiber.h"
#include "schema/row.h"
#include "store/db.h"
#include "store/sql.h"

struct engine;
struct notice_batch;
struct store_options;

/* Where the rows of an answer go. */
struct tx_rows {
	/* Room for the next row, zeroed; -ERR_TOO_LARGE and so on end the statement. */
	int (*place)(struct tx_rows *, void **ret);

	/* The row is filled in. 0: go on; 1: no more are wanted; negative: the statement fails. */
	int (*taken)(struct tx_rows *);

	/* Forgets what came so far: the statement runs again. */
	void (*again)(struct tx_rows *);
};

/*
 * One transaction, on the stack of the fiber that wants it. The front fills in the first part and
 * calls ops->run; the engine calls tx_run_once for each attempt and answers after the commit.
 */
struct tx {
	/* the front's */
	struct store *store;
	struct engine *engine;
	struct arena *arena;
	struct uuid home; /* the handle's tenant */
	bool system;      /* a system handle */
	bool read_only;
	struct tx_options options;
	int (*fn)(struct tx *, void *arg);
	void *arg;
	const struct tx_single *single; /* not NULL: a transaction of this statement and no fn */
	uint64_t deadline_ns;           /* of the caller's scope; TIME_NEVER without one */

	struct str trace; /* id of the trace it belongs to; may be empty */
	int64_t now_us;   /* the same in all attempts */
	struct arena_mark mark;

	/* of the attempt under way; tx_begin_attempt sets them */
	unsigned attempts;  /* begun so far */
	struct uuid tenant; /* who rows are read and written as */
	bool entered;       /* by tx_enter */
	bool stepping;      /* a statement is giving its rows */
	struct err *failed; /* the first error, in the arena; every later call gives it again */
	struct link after;  /* struct tx_after, in the arena */
	size_t after_count;
	struct notice_batch *notices; /* of tx_notice (notice.c); NULL: none */

	/* the engine's */
	void *session; /* the connection it runs on */
};

/* A transaction of one statement: what is sent, and where the answer goes. */
struct tx_single {
	const struct statement *statement;
	const void *in;
	struct tx_rows *rows; /* NULL: none wanted */
	size_t *changed;      /* NULL: not wanted */
};

/* Prepares the next attempt: rewinds the arena, forgets what was to be done after the commit. The
 * engine calls it before each run of the function. */
void tx_begin_attempt(struct tx *tx);

/*
 * Runs the function (or the single statement) with the caller's rules: parking forbidden where
 * there is a scheduler, an error of any statement remembered even when the function ignored it.
 * The result decides: 0 commit, negative roll back.
 */
int tx_call(struct tx *tx);

/* For what belongs to the front but stands beside it: gives the remembered error of the transaction
 * again; remembers an error (r < 0), so that the transaction fails whatever its function thinks of
 * it. Both return what the caller returns. */
int tx_failed_before(const struct tx *tx);
int tx_keep(struct tx *tx, int r);

struct engine_ops {
	/* Prepares and checks a statement whose plan is made; fills in what only the database
	 * knows (sql_plan.columns and types). -ERR_INVALID with a sentence. At the start, not on a
	 * fiber. */
	int (*check)(struct engine *, const struct statement *);

	/* Runs a transaction on the caller's fiber and returns when it is committed, or negative
	 * when it is not; the error is in the fiber's slot. Repeats it as its rules say. */
	int (*run)(struct engine *, struct tx *);

	/*
	 * For tx_call: one statement. Rows go to `rows` (NULL: none are wanted); `changed` (NULL:
	 * not wanted) gets the rows that a change has touched. With neither the engine need not
	 * wait for the answer.
	 */
	int (*step)(struct tx *, const struct statement *, const void *in, struct tx_rows *rows,
		size_t *changed);

	/* Changes tx->tenant, which the front has set already, in the database's eyes. */
	int (*enter)(struct tx *);

	/* The tables with a column tenant_id, by their plain names, those that refer to others
	 * first: the order in which rows can be deleted. In the arena. */
	int (*tenant_tables)(struct engine *, struct arena *, struct str **ret, size_t *ret_count);

	/* Makes the engine run transactions; after all checks. */
	int (*start)(struct engine *);

	/* Ends what is under way, closes all connections. No transaction may be waiting. */
	void (*close)(struct engine *);
};

/* --- what both need --------------------------------------------------------------- */

enum constraint {
	CONSTRAINT_UNIQUE,
	CONSTRAINT_REFERENCE,
	CONSTRAINT_REFERENCED,
	CONSTRAINT_CHECK,
	CONSTRAINT_REQUIRED
};

/*
 * Fails as store/db.h promises for a violated constraint. `column` is the one to blame (of a unique
 * index the last; the name of the member on the wire is found by the statement's tables), or the
 * name of the constraint when the column is not known.
 */
int fail_constraint(enum constraint kind, const struct statement *statement, struct str column);

/* What EXPECT_ONE says about the number of rows that a change has touched: 0, -ERR_NOT_FOUND or
 * -ERR_INTERNAL. For step, wherever the number becomes known. */
int statement_expects(const struct statement *statement, size_t changed);

/* The plan of a registered statement. */
static inline const struct sql_plan *statement_plan(
	const struct statement *statement, enum engine_kind engine)
{
	return statement->slot->plan[engine];
}

/* The highest number that a statement of this process has got so far. */
size_t statement_numbers(void);

/* The value of a parameter of the plan, by the rules of statement.h: the member of `in`, the tenant
 * of the transaction or its time. JSON is made in the arena. */
int tx_param(struct tx *tx, const struct statement *statement, const struct sql_plan *plan,
	size_t param, const void *in, struct row_value *ret);

/* Open the database; what store_open promises. The options are the store's. */
int sqlite_engine_open(
	const struct store_options *options, struct store *store, struct engine **ret);
int pg_engine_open(const struct store_options *options, struct store *store, struct engine **ret);

struct engine {
	enum engine_kind kind;
	const struct engine_ops *ops;
	struct store *store;
};

#endif
