/*
 * One connection to PostgreSQL: libpq, without blocking, in pipeline mode. What is sent is answered
 * later, in order; a queue says what each answer is for. Used by one fiber at a time; an idle one
 * listens for its end. Internal to this folder.
 */
#ifndef STORE_PG_CONNECTION_H
#define STORE_PG_CONNECTION_H

#include "loop/poller.h"
#include "store/engine.h"
#include "store/pg_value.h"

#include <libpq-fe.h>

enum {
	PG_PIPELINE_MAX = 128, /* commands without an answer yet */
	PG_PIPELINE_ROOM = 8,  /* of these kept free for the end of a transaction */
};

/* What our own commands are, as distinct from statements. */
enum pg_command {
	PG_BEGIN_SERIALIZABLE,
	PG_BEGIN_READ_COMMITTED,
	PG_BEGIN_READ_ONLY,
	PG_COMMIT,
	PG_ROLLBACK,
	PG_OPENING,      /* says who the transaction belongs to */
	PG_OPENING_SOFT, /* the same, and that its commit need not wait for the disk */
	PG_ENTER,
	PG_PLAN_ONCE,
	PG_COMMANDS,
};

/* A text to run, and its number among those that a connection may have prepared. */
struct pg_text {
	size_t number;
	const char *name, *text; /* of the prepared statement; SQL */
	const Oid *types;
	size_t count; /* of parameters */
};

enum pg_expected_kind {
	PG_EXPECT_PREPARED,
	PG_EXPECT_COMMAND,   /* done, or the transaction fails */
	PG_EXPECT_STATEMENT, /* rows, a count, or the transaction fails */
	PG_EXPECT_COMMIT,
	PG_EXPECT_SYNC,
	PG_EXPECT_ANYTHING, /* nobody wants to know */
};

/* What a command that was sent will be answered with. */
struct pg_expected {
	enum pg_expected_kind kind;
	bool nobodys;  /* its transaction is over; nothing below is there any more */
	size_t number; /* PG_EXPECT_PREPARED */
	const struct statement *statement;
	struct tx_rows *rows;
	size_t *changed;
};

enum pg_connection_state {
	PG_CONNECTING,
	PG_IDLE,   /* in the pool's list */
	PG_MOVING, /* from one worker to another */
	PG_BUSY,
};

/* How to reach a database. */
struct pg_target {
	const char *url;
	const char *role;    /* put on at once; NULL: none */
	uint64_t connect_ns; /* it must stand by then */
	bool pooled;         /* what pg_ask_pooled says */
};

struct pg_pool;
struct pg_place;
struct pg_waiter;

struct pg_connection {
	PGconn *pg;
	struct watch watch;
	bool watched;

	/* the pool's, under its lock */
	struct pg_pool *pool;
	struct pg_place *home; /* whose poller watches it; NULL: none */
	enum pg_connection_state state;
	struct pg_waiter *promised; /* on the way to */
	struct link link;
	uint64_t expires_ns;

	bool pooled;  /* a pooler stands between us and the server */
	bool lost;    /* the server has gone, or we no longer know where we are */
	bool in_call; /* waiting happens below tx_call, where parking is forbidden to others */
	bool asked;   /* something was sent since the last wait */
	uint64_t *prepared;  /* bits by number */
	size_t prepared_max; /* numbers */
	struct pg_expected queue[PG_PIPELINE_MAX];
	unsigned head, count;
};

/*
 * Connects and sets what our sessions need. Blocks, and touches no fiber. NULL with an error:
 * -ERR_UNAVAILABLE, or -ERR_INVALID for a URL that is none; sentences without the password.
 */
PGconn *pg_connect(const struct pg_target *target);

/* Whether a pooler stands between us and the server: settings of a session are not kept then, and a
 * session is not the same from one transaction to the next. Blocks. -ERR_UNAVAILABLE. */
int pg_ask_pooled(PGconn *pg, bool *ret);

/* For the rest of the session. Blocks. -ERR_UNAVAILABLE. */
int pg_put_on_role(PGconn *pg, const char *role);

/* To `channel`, a word of lower-case letters. Blocks. -ERR_UNAVAILABLE. */
int pg_listen(PGconn *pg, const char *channel);

/* Takes over what pg_connect gave (also when it fails: -ERR_NO_MEMORY, -ERR_IO). `numbers`: texts
 * have lower ones. */
int pg_connection_new(PGconn *pg, bool pooled, size_t numbers, struct pg_connection **ret);

/* Closes and frees; not watched any more. NULL is allowed. */
void pg_connection_free(struct pg_connection *connection);

/* Looks at its socket from this thread's poller; -ERR_IO. And no more. */
int pg_connection_watch(
	struct pg_connection *connection, struct poller *poller, void (*on_change)(struct ready *));
void pg_connection_unwatch(struct pg_connection *connection);

/* --- sending: queued in memory, sent at the next wait or flush --------------------- */

/* -ERR_IO when the connection is lost, -ERR_NO_MEMORY. `prepare`: keeps the text on the server. */
int pg_send(struct pg_connection *connection, const struct pg_text *text,
	const struct pg_value *values, bool prepare, const struct pg_expected *expected);

/* Asks for the answers so far, without an end of the transaction's part of the pipeline. */
int pg_send_flush(struct pg_connection *connection);

/* Ends the part of the pipeline: after an error the server takes commands again from here on. */
int pg_send_sync(struct pg_connection *connection);

/* Marks everything without an answer as nobody's. */
void pg_forget(struct pg_connection *connection);

/* Forgets that a text is prepared. */
void pg_unprepare(struct pg_connection *connection, size_t number);

/* --- receiving --------------------------------------------------------------------- */

/* What the next answer is for; NULL when none is due. */
struct pg_expected *pg_next(struct pg_connection *connection);

/*
 * Waits for the next result of it (NULL: it had its last one; call pg_done then). -ERR_IO when the
 * connection is lost; -ERR_TIMEOUT and -ERR_CANCELLED as park.
 */
int pg_fetch(struct pg_connection *connection, PGresult **ret);

/* The next answer has been dealt with. */
void pg_done(struct pg_connection *connection);

/* Receives answers that are nobody's and have come, without waiting. False when the connection is
 * no longer good. For idle ones. */
bool pg_tidy(struct pg_connection *connection);

/* Times that the server was waited for: round trips. By all, and on this thread. */
uint64_t pg_round_trips(void);
uint64_t pg_round_trips_here(void);

#endif
