/* On the worker first, on a thread when that takes too long. */
#include "store/sqlite_reader.h"

#include "base/mem.h"
#include "observe/clock.h"
#include "store/sqlite.h"
#include "store/sqlite_error.h"
#include "store/sqlite_metrics.h"

#include <signal.h>
#include <stdio.h>

uint64_t sqlite_read_budget_ns = 250 * MICROSECOND;

struct sqlite_reader {
	struct sqlite_readers *readers;
	struct sqlite_connection connection;
	pthread_t thread;
	bool started;
};

/* This thread's connection, for the readers it used last. */
static _Thread_local struct {
	uint64_t serial;
	struct sqlite_connection *connection;
} mine;

void sqlite_readers_init(struct sqlite_readers *readers, const struct sqlite_database *database,
	size_t threads, size_t queue_limit)
{
	static _Atomic uint64_t serial;

	*readers = (struct sqlite_readers){ .database = database,
		.serial = atomic_fetch_add(&serial, 1) + 1,
		.thread_count = MIN(threads, SQLITE_READERS_MAX) };
	sqlite_queue_init(&readers->queue, "reads", queue_limit);
	(void)pthread_mutex_init(&readers->lock, NULL);
}

/* --- one read ------------------------------------------------------------------------ */

/* A function sees one state of the database; a single statement does so anyway. */
static int begin(struct sqlite_connection *connection, const struct tx *tx)
{
	int code = tx->single ? SQLITE_OK : sqlite_connection_do(connection, SQLITE_OWN_BEGIN);

	return code == SQLITE_OK ? 0 : sqlite_fail(connection->db, code);
}

/* There is nothing to commit: this only lets go of the state. */
static void end(struct sqlite_connection *connection)
{
	if (!sqlite3_get_autocommit(connection->db))
		CHECK(sqlite_connection_do(connection, SQLITE_OWN_ROLLBACK) == SQLITE_OK);
}

/* --- on a thread ----------------------------------------------------------------------- */

static void *thread_main(void *arg)
{
	struct sqlite_reader *reader = arg;
	struct sqlite_queue *queue = &reader->readers->queue;

	for (;;) {
		struct link requests = LIST_INIT(requests);
		struct sqlite_request *request;

		if (sqlite_queue_take(queue, 1, TIME_NEVER, &requests) == 0) {
			if (sqlite_queue_over(queue))
				return NULL;
			continue;
		}
		request = CONTAINER_OF(requests.next, struct sqlite_request, link);
		request->result = begin(&reader->connection, request->tx);
		if (request->result < 0)
			request->err = *err_last();
		else
			request->result =
				sqlite_request_call(request, &reader->connection, SQLITE_READ_TIME);
		end(&reader->connection);
		sqlite_answer(&requests);
	}
}

static int start_thread(struct sqlite_readers *readers, size_t number)
{
	struct sqlite_reader *reader = mem_zalloc(sizeof(*reader));
	sigset_t all, former;
	char name[16];
	int error, r;

	if (!reader)
		return -ERR_NO_MEMORY;
	readers->threads[number] = reader;
	reader->readers = readers;
	r = sqlite_connection_open(&reader->connection, readers->database, SQLITE_READER);
	if (r < 0)
		return r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &former);
	error = pthread_create(&reader->thread, NULL, thread_main, reader);
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (error)
		return fail(ERR_IO, "cannot start a thread: %s", err_errno_text(error));
	reader->started = true;
	(void)snprintf(name, sizeof(name), "sqlite-read-%zu", number % 100);
	(void)pthread_setname_np(reader->thread, name);
	return 0;
}

/* --- on the worker ------------------------------------------------------------------------ */

static struct sqlite_connection *open_mine(struct sqlite_readers *readers)
{
	struct sqlite_connection *connection = NULL;

	(void)pthread_mutex_lock(&readers->lock);
	if (readers->worker_count < SQLITE_READERS_MAX)
		connection = mem_zalloc(sizeof(*connection));
	if (connection &&
		sqlite_connection_open(connection, readers->database, SQLITE_READER) < 0) {
		mem_free(connection, sizeof(*connection));
		connection = NULL;
	}
	if (connection)
		readers->workers[readers->worker_count++] = connection;
	(void)pthread_mutex_unlock(&readers->lock);
	return connection;
}

/* The connection of this worker; NULL when it cannot have one: then a thread will do, or tell why
 * not. */
static struct sqlite_connection *connection_here(struct sqlite_readers *readers)
{
	if (UNLIKELY(mine.serial != readers->serial)) {
		struct sqlite_connection *connection = open_mine(readers);

		if (!connection)
			return NULL;
		mine.serial = readers->serial;
		mine.connection = connection;
	}
	return mine.connection;
}

static void note_slow(struct sqlite_readers *readers, const struct statement *statement)
{
	size_t number = statement->slot->number;

	if (number < readers->slow_count)
		atomic_store_explicit(
			&readers->slow[number], SQLITE_SLOW_SKIPS, memory_order_relaxed);
}

int sqlite_readers_admit(
	struct sqlite_readers *readers, struct tx *tx, const struct statement *statement)
{
	struct sqlite_connection *connection = tx->session;
	size_t number = statement->slot->number;
	unsigned char skips;

	if (connection->limits.budget_until_ns == TIME_NEVER || number >= readers->slow_count)
		return 0;
	skips = atomic_load_explicit(&readers->slow[number], memory_order_relaxed);
	if (LIKELY(skips == 0))
		return 0;
	/* Two workers may count the same skip once: no harm. */
	atomic_store_explicit(
		&readers->slow[number], (unsigned char)(skips - 1), memory_order_relaxed);
	connection->over_budget = true;
	return fail(ERR_UNAVAILABLE, "statement %s takes too long here", statement->name);
}

/* 1 when the read has to run again on a thread. */
static int run_here(
	struct sqlite_readers *readers, struct sqlite_connection *connection, struct tx *tx)
{
	uint64_t now = clock_now_ns();
	struct sqlite_limits limits = { .deadline_ns = sqlite_deadline(tx),
		.budget_until_ns = now + sqlite_read_budget_ns };
	bool over_budget;
	int r;

	r = begin(connection, tx);
	if (r < 0)
		return r;
	sqlite_connection_attach(connection, tx, &limits);
	r = tx_call(tx);
	over_budget = connection->over_budget;
	if (over_budget && connection->slow)
		note_slow(readers, connection->slow);
	sqlite_connection_detach(connection);
	end(connection);
	return over_budget ? 1 : r;
}

/* --- from outside --------------------------------------------------------------------------- */

int sqlite_readers_run(struct sqlite_readers *readers, struct tx *tx)
{
	struct sqlite_connection *connection;
	int r;

	r = sqlite_refuse();
	if (r < 0)
		return r;
	connection = sqlite_read_budget_ns ? connection_here(readers) : NULL;
	if (connection) {
		r = run_here(readers, connection, tx);
		if (r <= 0)
			return r;
		metric_count(sqlite_metrics.moved, 1);
	}
	return sqlite_queue_run(&readers->queue, tx);
}

int sqlite_readers_start(struct sqlite_readers *readers)
{
	int r = 0;

	readers->slow_count = statement_numbers() + 1;
	readers->slow = mem_zalloc(readers->slow_count * sizeof(*readers->slow));
	if (!readers->slow)
		return -ERR_NO_MEMORY;
	sqlite_queue_open(&readers->queue);
	for (size_t i = 0; i < readers->thread_count && r == 0; i++)
		r = start_thread(readers, i);
	return r;
}

void sqlite_readers_close(struct sqlite_readers *readers)
{
	if (!readers->database)
		return;
	sqlite_queue_close(&readers->queue);
	for (size_t i = 0; i < readers->thread_count && readers->threads[i]; i++) {
		struct sqlite_reader *reader = readers->threads[i];

		if (reader->started)
			(void)pthread_join(reader->thread, NULL);
		sqlite_connection_close(&reader->connection);
		mem_free(reader, sizeof(*reader));
	}
	for (size_t i = 0; i < readers->worker_count; i++) {
		sqlite_connection_close(readers->workers[i]);
		mem_free(readers->workers[i], sizeof(*readers->workers[i]));
	}
	mem_free(readers->slow, readers->slow_count * sizeof(*readers->slow));
	sqlite_queue_done(&readers->queue);
	(void)pthread_mutex_destroy(&readers->lock);
	*readers = (struct sqlite_readers){ 0 };
}
