/* Real PostgreSQL servers for tests (tests/postgres): the one that all unit tests of a run share, a
 * database each, and servers of a test's own, to be broken. */
#ifndef STORE_PG_SERVER_TEST_H
#define STORE_PG_SERVER_TEST_H

#include "base/str.h"

#include <stdbool.h>

enum { PG_FOLDER_MAX = 90, PG_URL_MAX = 400 };

/* A server of one test; it ends with the test, however that ends. */
struct pg_server {
	char folder[PG_FOLDER_MAX]; /* of its data, socket, log */
	unsigned port;
};

/* Starts one, with options of tests/postgres (ends with NULL; may be NULL). Ends the test as
 * skipped when PostgreSQL is not installed, as failed when it does not start. */
void pg_server_start(struct pg_server *server, const char *const *options);

/* Starts it again, on its data, as tests/postgres does it. */
void pg_server_restart(struct pg_server *server, const char *const *options);

/* Ends it with a signal: "INT" (in order), "QUIT" (as a crash), "KILL". Its data stays. */
void pg_server_stop(struct pg_server *server, const char *signal);

/* Ends it at once and removes its folder. */
void pg_server_remove(struct pg_server *server);

/* Copies the database `pattern`. */
void pg_server_database(const struct pg_server *server, const char *name);

/* Writes the URL of a role ("postgres", "owner", "app") and a database of the server to `url`
 * (PG_URL_MAX bytes); `more` are further parameters ("&x=y"). */
struct str pg_server_url(const struct pg_server *server, const char *role, const char *database,
	const char *more, char *url);

/* The shared server of this run; started by the first who asks. */
const struct pg_server *pg_server_shared(void);

/* Runs SQL (several statements are allowed) by the role of the URL. Ends the test when it fails. */
void pg_run(struct str url, const char *sql);

/* The first column of the first row as text; "" without a row. Valid until the next call. */
const char *pg_ask(struct str url, const char *sql);

/* Whether somebody waits for a lock in the database of the URL; other tests have others. */
bool pg_somebody_waits(struct str url);

#endif
