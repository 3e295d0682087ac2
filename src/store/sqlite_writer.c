/*
 * Groups. A member that fails is undone alone, by its savepoint; but some errors make SQLite undo
 * the whole database transaction (a full disk, an interrupt in the middle of a change), and then
 * all others run again without the one that met the error. Nobody is answered before the commit:
 * what a member has seen, a failed one too, may be the work of another that is not there in the
 * end.
 */
#include "store/sqlite_writer.h"

#include "observe/clock.h"
#include "observe/log.h"
#include "store/sqlite.h"
#include "store/sqlite_error.h"
#include "store/sqlite_metrics.h"

#include <signal.h>
#include <time.h>

uint64_t sqlite_group_time_ns = 2 * MILLISECOND;

static struct sqlite_request *request_of(struct link *link)
{
	return CONTAINER_OF(link, struct sqlite_request, link);
}

/* --- the connection ------------------------------------------------------------------ */

static int open_connection(struct sqlite_writer *writer)
{
	int r = sqlite_connection_open(&writer->connection, writer->database, SQLITE_WRITER);

	if (r < 0)
		return r;
	writer->synced = true; /* as sqlite_file_open leaves it */
	sqlite_log_watch(&writer->log, writer->connection.db);
	return 0;
}

/* The last connection moves the log into the database file, unless the log is not to be trusted. */
static void close_connection(struct sqlite_writer *writer)
{
	sqlite3 *db = writer->connection.db;

	if (db && writer->distrusted && sqlite_log_rewrite(db) != SQLITE_OK)
		(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite_connection_close(&writer->connection);
}

/*
 * After the disk has failed. What was written and not synced may be lost although a later sync says
 * otherwise, so the log must not be gone on with: frames behind a lost one would be lost, too. Nor
 * may it be moved into the database file as it is: should the power go in the middle of that, the
 * file would have parts of what the log has lost. So it is written again, then moved, and begins
 * anew.
 */
static int regain_trust(struct sqlite_writer *writer)
{
	int code, r;

	close_connection(writer);
	r = open_connection(writer);
	if (r < 0)
		return r;
	code = sqlite_log_rewrite(writer->connection.db);
	if (code == SQLITE_OK)
		code = sqlite_log_empty(&writer->log, writer->connection.db);
	if (code != SQLITE_OK)
		return sqlite_fail(writer->connection.db, code);
	writer->distrusted = false;
	log_info("the disk of the database is written again");
	return 0;
}

static void distrust(struct sqlite_writer *writer, int code)
{
	if (!sqlite_lost_trust(code) || writer->distrusted)
		return;
	writer->distrusted = true;
	log_error("the disk of the database failed", LOG_INT("code", code));
}

/* Back to no transaction, whatever has happened. */
static void roll_back(struct sqlite_writer *writer)
{
	sqlite3 *db = writer->connection.db;

	if (db && !sqlite3_get_autocommit(db))
		(void)sqlite_connection_do(&writer->connection, SQLITE_OWN_ROLLBACK);
	if (db && !sqlite3_get_autocommit(db))
		writer->distrusted = true;
}

static int set_sync(struct sqlite_writer *writer, bool synced)
{
	struct sqlite_connection *connection = &writer->connection;
	int code;

	if (writer->synced == synced)
		return 0;
	sqlite_guard_open(&connection->guard);
	code = sqlite3_exec(connection->db,
		synced ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
	sqlite_guard_close(&connection->guard);
	if (code != SQLITE_OK)
		return sqlite_fail(connection->db, code);
	writer->synced = synced;
	return 0;
}

/* --- a member -------------------------------------------------------------------------- */

/* A deferred foreign key that is still violated would be the commit's error, and so everybody's. */
static int check_deferred(struct sqlite_connection *connection)
{
	int open = 0, most = 0;

	(void)sqlite3_db_status(connection->db, SQLITE_DBSTATUS_DEFERRED_FKS, &open, &most, 0);
	if (!open)
		return 0;
	return fail_constraint(CONSTRAINT_REFERENCE, connection->wrote, str_of(NULL, 0));
}

/* Runs a member, and keeps or undoes what it did. True when the whole group is lost by that. */
static bool run_member(struct sqlite_writer *writer, struct sqlite_request *request, bool alone)
{
	struct sqlite_connection *connection = &writer->connection;
	bool savepoint = !alone && !request->tx->single;
	sqlite3_int64 before = sqlite3_total_changes64(connection->db);
	int code = SQLITE_OK, r = 0;

	if (savepoint)
		code = sqlite_connection_do(connection, SQLITE_OWN_SAVEPOINT);
	if (code == SQLITE_OK)
		r = sqlite_request_call(request, connection, SQLITE_MEMBER_TIME);
	if (code == SQLITE_OK && r == 0)
		r = check_deferred(connection);
	if (code == SQLITE_OK && savepoint && !sqlite3_get_autocommit(connection->db)) {
		if (r < 0)
			code = sqlite_connection_do(connection, SQLITE_OWN_ROLLBACK_TO);
		if (code == SQLITE_OK)
			code = sqlite_connection_do(connection, SQLITE_OWN_RELEASE);
	}
	if (code != SQLITE_OK && r == 0)
		r = sqlite_fail(connection->db, code);
	request->result = r;
	if (code != SQLITE_OK || sqlite3_get_autocommit(connection->db))
		return true;

	/* One statement needs no savepoint: what it did is undone with its error. Not when the
	 * error came afterwards, from us. */
	return r < 0 && !savepoint && sqlite3_total_changes64(connection->db) != before;
}

/* The same with errors in the caller's slot. */
static bool run_in_slot(struct sqlite_writer *writer, struct sqlite_request *request, bool alone)
{
	struct err *former = err_slot_swap(&request->err);
	bool lost = run_member(writer, request, alone);

	(void)err_slot_swap(former);
	return lost;
}

/* --- a group ------------------------------------------------------------------------------ */

/* All of the list fail with the error in this thread's slot. */
static void fail_all(struct link *members, int r)
{
	struct sqlite_request *request;

	LIST_EACH (request, members, struct sqlite_request, link) {
		request->result = r;
		request->err = *err_last();
	}
}

static bool any_durable(const struct link *members)
{
	struct sqlite_request *request;

	LIST_EACH (request, members, struct sqlite_request, link)
		if (request->tx->options.durability == TX_DURABLE)
			return true;
	return false;
}

static int begin(struct sqlite_writer *writer, bool durable)
{
	int r = writer->distrusted || !writer->connection.db ? regain_trust(writer) : 0, code;

	if (r == 0)
		r = set_sync(writer, durable);
	if (r < 0)
		return r;
	code = sqlite_connection_do(&writer->connection, SQLITE_OWN_BEGIN_IMMEDIATE);
	if (code == SQLITE_OK)
		return 0;
	distrust(writer, code);
	return sqlite_fail(writer->connection.db, code);
}

/* Moves members that have run to `ran`, until the time of the group is over. Returns the one that
 * has undone the group, in no list, or NULL. */
static struct sqlite_request *run_members(
	struct sqlite_writer *writer, struct link *members, struct link *ran)
{
	uint64_t until = clock_now_ns() + sqlite_group_time_ns;
	struct link *link;

	while ((link = list_pop(members))) {
		bool alone = list_empty(members) && list_empty(ran);

		if (run_in_slot(writer, request_of(link), alone))
			return request_of(link);
		list_push(ran, link);
		if (clock_now_ns() >= until)
			break;
	}
	return NULL;
}

static void commit(struct sqlite_writer *writer, struct link *ran, size_t count)
{
	uint64_t began = clock_now_ns();
	int code = sqlite_connection_do(&writer->connection, SQLITE_OWN_COMMIT);

	if (code == SQLITE_OK) {
		metric_observe(sqlite_metrics.commit, clock_now_ns() - began);
		metric_observe(sqlite_metrics.group_size, count);
		return;
	}
	fail_all(ran, sqlite_fail(writer->connection.db, code));
	distrust(writer, code);
}

static size_t list_count(const struct link *list)
{
	size_t count = 0;

	for (const struct link *link = list->next; link != list; link = link->next)
		count++;
	return count;
}

/* One after the other, together, and again without those that cannot be with others. */
static void run_group(struct sqlite_writer *writer, struct link *members)
{
	struct link over = LIST_INIT(over), ran = LIST_INIT(ran);
	bool durable = any_durable(members);

	for (size_t reruns = 0; !list_empty(members) && reruns <= SQLITE_GROUP_RERUNS; reruns++) {
		struct sqlite_request *offender;
		int r = begin(writer, durable);

		if (r < 0) {
			fail_all(members, r);
			list_take(&over, members);
			break;
		}
		offender = run_members(writer, members, &ran);
		if (!offender) {
			commit(writer, &ran, list_count(&ran));
			roll_back(writer);
			list_take(&over, &ran);
			break;
		}
		roll_back(writer);
		metric_count(sqlite_metrics.reruns, 1);
		list_push(&over, &offender->link);
		list_take(&ran, members);
		list_take(members, &ran);
		if (reruns == SQLITE_GROUP_RERUNS)
			writer->careful = list_count(members);
	}
	sqlite_queue_give_back(&writer->queue, members);
	sqlite_answer(&over);
}

/* --- the thread ------------------------------------------------------------------------------ */

static uint64_t idle_until(const struct sqlite_writer *writer)
{
	struct timespec now;

	if (!writer->connection.db || writer->distrusted || !sqlite_log_wants_idle(&writer->log))
		return TIME_NEVER;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec + SQLITE_IDLE;
}

static void tend_log(struct sqlite_writer *writer, bool idle)
{
	int code;

	if (!writer->connection.db || writer->distrusted)
		return;
	code = sqlite_log_tend(&writer->log, writer->connection.db, idle);
	if (code != SQLITE_OK) {
		(void)sqlite_fail(writer->connection.db, code);
		log_warn("a checkpoint failed", LOG_ERR);
		distrust(writer, code);
	}
}

static void *thread_main(void *arg)
{
	struct sqlite_writer *writer = arg;

	for (;;) {
		struct link members = LIST_INIT(members);
		size_t max = writer->careful ? 1 : SQLITE_GROUP_MAX;
		size_t count = sqlite_queue_take(&writer->queue, max, idle_until(writer), &members);

		if (count > 0)
			run_group(writer, &members);
		else if (sqlite_queue_over(&writer->queue))
			return NULL;
		if (writer->careful && max == 1)
			writer->careful--;
		tend_log(writer, count == 0);
	}
}

/* --- from outside --------------------------------------------------------- */

int sqlite_writer_open(
	struct sqlite_writer *writer, const struct sqlite_database *database, size_t queue_limit)
{
	sqlite_queue_init(&writer->queue, "transactions", queue_limit);
	writer->queue.depth = sqlite_metrics.queue;
	writer->database = database;
	return open_connection(writer);
}

int sqlite_writer_start(struct sqlite_writer *writer)
{
	sigset_t all, former;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &former);
	sqlite_queue_open(&writer->queue);
	error = pthread_create(&writer->thread, NULL, thread_main, writer);
	(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
	if (error) {
		sqlite_queue_close(&writer->queue);
		return fail(ERR_IO, "cannot start a thread: %s", err_errno_text(error));
	}
	(void)pthread_setname_np(writer->thread, "sqlite-writer");
	writer->started = true;
	return 0;
}

void sqlite_writer_close(struct sqlite_writer *writer)
{
	if (!writer->database)
		return;
	sqlite_queue_close(&writer->queue);
	if (writer->started)
		(void)pthread_join(writer->thread, NULL);
	close_connection(writer);
	sqlite_queue_done(&writer->queue);
	metric_gauge_add(sqlite_metrics.log_pages, -(int64_t)writer->log.pages);
	*writer = (struct sqlite_writer){ 0 };
}

int sqlite_writer_run(struct sqlite_writer *writer, struct tx *tx)
{
	return sqlite_queue_run(&writer->queue, tx);
}
