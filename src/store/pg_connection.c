/*
 * libpq from fibers. It never waits by itself here: PQgetResult is called only when PQisBusy says
 * that it will not, and in between the fiber parks until the socket can be read (or written, while
 * something is still to be sent: the server may have stopped reading because nobody reads from it).
 */
#include "store/pg_connection.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"
#include "observe/clock.h"
#include "observe/log.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>

enum {
	SETTINGS_MAX = 16,
	MESSAGE_MAX = 160,    /* bytes of a message of libpq's, in a sentence of ours */
	VALUES_MAX = 64,      /* SQL_PARAMS_MAX */
	TLS_READS = 2,        /* a record of TLS can hold as much as libpq reads in so many calls */
	STATEMENT_LIMIT = 30, /* s; a statement that nobody waits for any more ends then */
	LOCK_LIMIT = 10,      /* s */
	FORGOTTEN_LIMIT = 60, /* s; a transaction without a word from us */
	TCP_LIMIT = 10 * 1000, /* ms; data that nobody acknowledges */
};

/* Within it a server says what it is asked of a session. */
#define ANSWER_LIMIT (5 * SECOND)

static _Atomic uint64_t round_trips;
static _Thread_local uint64_t round_trips_here;

uint64_t pg_round_trips(void)
{
	return atomic_load_explicit(&round_trips, memory_order_relaxed);
}

uint64_t pg_round_trips_here(void)
{
	return round_trips_here;
}

/* --- connecting ------------------------------------------------------------------ */

/* The first line of what libpq has to say, without the end of the line. */
static int first_line(const PGconn *pg, const char **ret)
{
	*ret = PQerrorMessage(pg);
	if (!**ret)
		*ret = "it does not answer";
	return (int)MIN(strcspn(*ret, "\n"), (size_t)MESSAGE_MAX);
}

/* libpq's own words about a connection that does not stand hold no password, but those about a URL
 * that it cannot read may hold any part of it. */
static int cannot_connect(const PGconn *pg)
{
	const char *line;
	int len = first_line(pg, &line);

	return fail(ERR_UNAVAILABLE, "cannot connect to PostgreSQL: %.*s", len, line);
}

static bool url_is_sound(const char *url)
{
	char *problem = NULL;
	PQconninfoOption *options = PQconninfoParse(url, &problem);
	bool sound = options;

	PQconninfoFree(options);
	PQfreemem(problem);
	return sound;
}

static void log_notice(void *arg, const PGresult *notice)
{
	const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	(void)arg;
	log_debug("notice from PostgreSQL", LOG_STR("notice", str_from_c(text)));
}

/* False when there is nothing to be read before `until_ns`, and never will be. */
static bool wait_for_input(PGconn *pg, uint64_t until_ns)
{
	uint64_t now_ns = clock_now_ns();
	struct pollfd entry = { .fd = PQsocket(pg), .events = POLLIN };

	if (now_ns >= until_ns)
		return false;
	(void)poll(&entry, 1, (int)((until_ns - now_ns) / MILLISECOND) + 1);
	return !entry.revents || PQconsumeInput(pg);
}

/* PQexecParams, which would wait for ever for a server that says nothing. NULL without an answer;
 * the connection is of no use then. */
static PGresult *ask_blocking(
	PGconn *pg, const char *sql, int count, const char *const *values, uint64_t until_ns)
{
	PGresult *result = NULL;

	if (!PQsendQueryParams(pg, sql, count, NULL, values, NULL, NULL, 0))
		return NULL;
	for (;;) {
		PGresult *next;

		while (PQisBusy(pg))
			if (!wait_for_input(pg, until_ns)) {
				PQclear(result);
				return NULL;
			}
		next = PQgetResult(pg);
		if (!next)
			return result;
		PQclear(result);
		result = next;
	}
}

static bool run_blocking(
	PGconn *pg, const char *sql, int count, const char *const *values, uint64_t until_ns)
{
	PGresult *result = ask_blocking(pg, sql, count, values, until_ns);
	ExecStatusType status = PQresultStatus(result);

	PQclear(result);
	return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
}

static bool put_on_role(PGconn *pg, const char *role, uint64_t until_ns)
{
	return run_blocking(pg, "SELECT set_config('role', $1, false)", 1, &role, until_ns);
}

int pg_put_on_role(PGconn *pg, const char *role)
{
	return put_on_role(pg, role, clock_now_ns() + ANSWER_LIMIT) ? 0 : cannot_connect(pg);
}

int pg_listen(PGconn *pg, const char *channel)
{
	char sql[80];
	int len = snprintf(sql, sizeof(sql), "LISTEN %s", channel);

	CHECK(len > 0 && (size_t)len < sizeof(sql));
	return run_blocking(pg, sql, 0, NULL, clock_now_ns() + ANSWER_LIMIT) ? 0
									     : cannot_connect(pg);
}

/* What every session of ours has: one message. Behind a pooler it may reach only one of several
 * sessions, so there each transaction brings what it cannot do without (pg_tx.c). */
static bool set_defaults(PGconn *pg, const struct pg_target *target)
{
	const uint64_t until_ns = clock_now_ns() + MIN(target->connect_ns, ANSWER_LIMIT);
	static const char settings[] =
		"SELECT set_config('search_path', 'main', false), "
		"set_config('TimeZone', 'UTC', false), "
		"set_config('standard_conforming_strings', 'on', false), "
		"set_config('statement_timeout', $1, false), "
		"set_config('lock_timeout', $2, false), "
		"set_config('idle_in_transaction_session_timeout', $3, false)";
	char limits[3][16];
	const char *const values[] = { limits[0], limits[1], limits[2] };

	(void)snprintf(limits[0], sizeof(limits[0]), "%ds", STATEMENT_LIMIT);
	(void)snprintf(limits[1], sizeof(limits[1]), "%ds", LOCK_LIMIT);
	(void)snprintf(limits[2], sizeof(limits[2]), "%ds", FORGOTTEN_LIMIT);
	return run_blocking(pg, settings, LEN(values), values, until_ns) &&
	       (!target->role || put_on_role(pg, target->role, until_ns));
}

PGconn *pg_connect(const struct pg_target *target)
{
	char seconds[16], tcp_limit[16];
	/* What stands before the URL it may change, what stands behind it may not. */
	const char *const names[SETTINGS_MAX] = { "application_name", "tcp_user_timeout", "dbname",
		"client_encoding", "gssencmode", "connect_timeout", NULL };
	const char *const values[SETTINGS_MAX] = { "bulkhead", tcp_limit, target->url, "UTF8",
		"disable", seconds, NULL };
	PGconn *pg;

	if (!url_is_sound(target->url)) {
		(void)fail(ERR_INVALID, "the address of the database is no URL of PostgreSQL's");
		return NULL;
	}
	(void)snprintf(tcp_limit, sizeof(tcp_limit), "%d", TCP_LIMIT);
	(void)snprintf(seconds, sizeof(seconds), "%llu",
		(unsigned long long)((target->connect_ns + SECOND - 1) / SECOND));

	pg = fault_point(FAULT_MEMORY) ? NULL : PQconnectdbParams(names, values, true);
	if (!pg) {
		(void)fail(ERR_NO_MEMORY, "no memory for a connection");
		return NULL;
	}
	(void)PQsetNoticeReceiver(pg, log_notice, NULL);
	if (PQstatus(pg) != CONNECTION_OK || !set_defaults(pg, target)) {
		(void)cannot_connect(pg);
		PQfinish(pg);
		return NULL;
	}
	return pg;
}

/* A pooler makes up the process that it tells its clients, for when they want to cancel. */
int pg_ask_pooled(PGconn *pg, bool *ret)
{
	PGresult *result =
		ask_blocking(pg, "SELECT pg_backend_pid()", 0, NULL, clock_now_ns() + ANSWER_LIMIT);
	int64_t pid = 0;
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK &&
		  num_parse_i64(str_from_c(PQgetvalue(result, 0, 0)), &pid);

	PQclear(result);
	if (!ok)
		return fail(ERR_UNAVAILABLE, "the connection to PostgreSQL is lost");
	*ret = pid != PQbackendPID(pg);
	return 0;
}

int pg_connection_new(PGconn *pg, bool pooled, size_t numbers, struct pg_connection **ret)
{
	struct pg_connection *connection = mem_zalloc(sizeof(*connection));
	size_t words = (numbers + 63) / 64;

	if (connection)
		connection->prepared = mem_zalloc(words * sizeof(uint64_t));
	if (!connection || !connection->prepared) {
		mem_free(connection, sizeof(*connection));
		PQfinish(pg);
		return -ERR_NO_MEMORY;
	}
	connection->pg = pg;
	connection->pooled = pooled;
	connection->prepared_max = words * 64;
	link_init(&connection->link);
	if (PQsetnonblocking(pg, 1) < 0 ||
		(PQpipelineStatus(pg) == PQ_PIPELINE_OFF && !PQenterPipelineMode(pg))) {
		pg_connection_free(connection);
		return fail(ERR_IO, "libpq refuses pipeline mode");
	}
	*ret = connection;
	return 0;
}

void pg_connection_free(struct pg_connection *connection)
{
	if (!connection)
		return;
	CHECK(!connection->watched);
	PQfinish(connection->pg);
	mem_free(connection->prepared, connection->prepared_max / 64 * sizeof(uint64_t));
	mem_free(connection, sizeof(*connection));
}

int pg_connection_watch(
	struct pg_connection *connection, struct poller *poller, void (*on_change)(struct ready *))
{
	int r = watch_add(poller, &connection->watch, PQsocket(connection->pg));

	connection->watched = r == 0;
	connection->watch.ready.on_change = on_change;
	return r;
}

void pg_connection_unwatch(struct pg_connection *connection)
{
	if (connection->watched)
		watch_remove(&connection->watch);
	connection->watched = false;
}

/* --- sending ---------------------------------------------------------------------- */

static int fail_lost(struct pg_connection *connection)
{
	const char *line;
	int len = first_line(connection->pg, &line);

	connection->lost = true;
	return fail(ERR_IO, "the connection to PostgreSQL is lost: %.*s", len, line);
}

static void expect(struct pg_connection *connection, const struct pg_expected *expected)
{
	CHECK(connection->count < PG_PIPELINE_MAX);
	connection->queue[(connection->head + connection->count++) % PG_PIPELINE_MAX] = *expected;
	connection->asked = true;
}

static bool is_prepared(const struct pg_connection *connection, size_t number)
{
	return connection->prepared[number / 64] >> number % 64 & 1;
}

void pg_unprepare(struct pg_connection *connection, size_t number)
{
	connection->prepared[number / 64] &= ~((uint64_t)1 << number % 64);
}

/* The text is parsed in the same flush as its first use. */
static bool send_parse(struct pg_connection *connection, const struct pg_text *text)
{
	const struct pg_expected expected = { .kind = PG_EXPECT_PREPARED, .number = text->number };

	if (is_prepared(connection, text->number))
		return true;
	if (!PQsendPrepare(connection->pg, text->name, text->text, (int)text->count, text->types))
		return false;
	expect(connection, &expected);
	connection->prepared[text->number / 64] |= (uint64_t)1 << text->number % 64;
	return true;
}

int pg_send(struct pg_connection *connection, const struct pg_text *text,
	const struct pg_value *values, bool prepare, const struct pg_expected *expected)
{
	static const int binary[VALUES_MAX] = { [0 ... VALUES_MAX - 1] = 1 };
	const char *at[VALUES_MAX];
	int lengths[VALUES_MAX];
	bool sent;

	CHECK(text->count <= VALUES_MAX && text->number < connection->prepared_max);
	for (size_t i = 0; i < text->count; i++) {
		at[i] = values[i].at;
		lengths[i] = values[i].len;
	}

	if (fault_point(FAULT_SYSCALL))
		return fail_lost(connection);
	if (prepare)
		sent = send_parse(connection, text) &&
		       PQsendQueryPrepared(connection->pg, text->name, (int)text->count, at,
			       lengths, binary, 1);
	else
		sent = PQsendQueryParams(connection->pg, text->text, (int)text->count, text->types,
			at, lengths, binary, 1);
	if (!sent)
		return fail_lost(connection);
	expect(connection, expected);
	return 0;
}

int pg_send_flush(struct pg_connection *connection)
{
	return PQsendFlushRequest(connection->pg) ? 0 : fail_lost(connection);
}

int pg_send_sync(struct pg_connection *connection)
{
	const struct pg_expected expected = { .kind = PG_EXPECT_SYNC };

	if (!PQpipelineSync(connection->pg))
		return fail_lost(connection);
	expect(connection, &expected);
	return 0;
}

void pg_forget(struct pg_connection *connection)
{
	for (unsigned i = 0; i < connection->count; i++)
		connection->queue[(connection->head + i) % PG_PIPELINE_MAX].nobodys = true;
	connection->asked = false; /* whoever waits next asks for something of its own */
}

/* --- receiving -------------------------------------------------------------------- */

struct pg_expected *pg_next(struct pg_connection *connection)
{
	return connection->count ? &connection->queue[connection->head] : NULL;
}

void pg_done(struct pg_connection *connection)
{
	struct ready *ready = &connection->watch.ready;

	connection->head = (connection->head + 1) % PG_PIPELINE_MAX;
	connection->count--;
	/* Whatever is awaited next is still to be sent, and tells of itself when it comes. */
	if (connection->count == 0 && !ready->ended)
		ready->readable = false;
}

/* Parks until the socket can be read or, when asked for, written. */
static int wait_for_socket(struct pg_connection *connection, bool write)
{
	struct ready *ready = &connection->watch.ready;
	struct wait wait;
	int r;

	CHECK(connection->watched && !ready->reader && !ready->writer);
	wait_init(&wait);
	ready->reader = &wait;
	ready->writer = write ? &wait : NULL;
	if (connection->in_call)
		nopark_end();
	r = park(&wait, TIME_NEVER);
	if (connection->in_call)
		nopark_begin();
	ready->reader = ready->writer = NULL;
	return r;
}

/*
 * Lets libpq read. The poller tells of changes only, so as long as the answer is not complete the
 * socket must be empty before we wait; libpq does not say whether it is. With TLS it may hold the
 * rest of a record itself.
 */
static bool read_some(struct pg_connection *connection)
{
	struct ready *ready = &connection->watch.ready;
	int reads = PQsslInUse(connection->pg) ? TLS_READS : 1, left = 0;

	ready->readable = false;
	for (int i = 0; i < reads; i++) {
		if (fault_point(FAULT_SYSCALL) || !PQconsumeInput(connection->pg))
			return false;
		if (!PQisBusy(connection->pg))
			break;
	}
	if (!PQisBusy(connection->pg) ||
		(ioctl(PQsocket(connection->pg), FIONREAD, &left) == 0 && left > 0) || ready->ended)
		ready->readable = true;
	return true;
}

/* What was asked for since the last one is answered by one journey, whether we park or not. */
static void count_round_trip(struct pg_connection *connection)
{
	if (!connection->asked)
		return;
	connection->asked = false;
	atomic_fetch_add_explicit(&round_trips, 1, memory_order_relaxed);
	round_trips_here++;
}

int pg_fetch(struct pg_connection *connection, PGresult **ret)
{
	struct ready *ready = &connection->watch.ready;
	PGconn *pg = connection->pg;

	for (;;) {
		int unsent = PQflush(pg);

		if (!PQisBusy(pg)) {
			*ret = PQgetResult(pg);
			return 0;
		}
		count_round_trip(connection);
		/* After the end what has come before it is still parsed, the reason perhaps. */
		if (connection->lost || unsent < 0)
			return fail_lost(connection);
		if (ready->readable) {
			connection->lost = !read_some(connection);
			continue;
		}
		if (unsent)
			ready->writable = false;

		int r = wait_for_socket(connection, unsent);
		if (r < 0)
			return r;
	}
}

/* Counts as prepared only what was. */
static void note_prepared(struct pg_connection *connection, const PGresult *result)
{
	const struct pg_expected *next = pg_next(connection);

	if (next->kind == PG_EXPECT_PREPARED && PQresultStatus(result) != PGRES_COMMAND_OK)
		pg_unprepare(connection, next->number);
}

bool pg_tidy(struct pg_connection *connection)
{
	PGconn *pg = connection->pg;

	if (connection->watch.ready.ended || !PQconsumeInput(pg))
		return false;
	while (connection->count > 0 && !PQisBusy(pg)) {
		PGresult *result = PQgetResult(pg);
		bool last = !result || PQresultStatus(result) == PGRES_PIPELINE_SYNC;

		if (result)
			note_prepared(connection, result);
		PQclear(result);
		if (last)
			pg_done(connection);
	}
	return PQstatus(pg) == CONNECTION_OK;
}
