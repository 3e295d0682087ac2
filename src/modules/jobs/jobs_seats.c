/*
 * Seats that become free, and who gets them. PostgreSQL locks all groups of a batch by one
 * statement, in an order that is everybody's, and reads them by the next one, which sees what was
 * committed before; what becomes of them is reckoned here; then the jobs that get seats and the
 * rows of the groups are one statement each. SQLite, where a statement costs next to nothing, does
 * one group after the other.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "store/store.h"

#include <stdlib.h>

/* Seats that one call gives away beyond those that became free: after a group was resumed, or has
 * more seats than it had. Further ones are given by the next call. */
enum { SURPLUS_MAX = 8000 };

/* A group, as it is and then as it shall be. */
struct group_row {
	struct str queue, key;
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
	int64_t freed; /* seats that become free now */
	int64_t room, at,
		step;  /* seats to give; when the first may start, how much later the next */
	int64_t given; /* seats that somebody took */
};

/* A list for PostgreSQL, one for SQLite. */
struct group_batch {
	struct str queue, key;
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
	bool later;
	int64_t at;
	LIST_OF(struct group_row) list;
};

/* clang-format off */
#define GROUP_FIELDS(type) \
	FIELD(type, queue, "Of which queue."), \
	FIELD(type, key, "Which."), \
	FIELD(type, active, "Seats that are taken."), \
	FIELD(type, waiting, "Who want one."), \
	FIELD(type, halted, "Whether nobody gets one."), \
	FIELD(type, next_at, "When the next may start.", .name = "next")

static const struct schema group_row_schema = SCHEMA(group_row, "A group and who has its seats.",
	GROUP_FIELDS(group_row),
	FIELD(group_row, freed, "Seats that are free now, if it may go."),
	FIELD(group_row, room, "Seats to give."),
	FIELD(group_row, at, "When who gets the first may start."),
	FIELD(group_row, step, "How much later the next one."));

static const struct schema group_batch_schema = SCHEMA(group_batch, "Groups.",
	GROUP_FIELDS(group_batch),
	FIELD(group_batch, later, "Whether who gets a seat may not start yet."),
	FIELD(group_batch, at, "But then."),
	LIST(group_batch, list, "All.", .nested = &group_row_schema));

static const struct schema group_ref_schema = SCHEMA(group_ref, "A group.",
	FIELD(group_ref, queue, "Of which queue."),
	FIELD(group_ref, key, "Which."));
/* clang-format on */

#define ONE     " WHERE tenant_id = :tenant AND queue = :queue AND key = :key"
#define OF_LIST " WHERE g.tenant_id = :tenant AND g.queue = x.queue AND g.key = x.key"

/* Takes groups away whose last one has left. On PostgreSQL it comes first and locks all others, so
 * it judges by itself; OFFSET makes it lock before it does. */
static const struct statement seats_gone = STATEMENT("job_seats_gone",
	.sqlite = "DELETE FROM main.job_group" ONE,
	.postgres = "DELETE FROM main.job_group AS g USING (SELECT b.queue, b.key, b.active, "
		    "b.waiting, b.halted, b.next_at, y.freed FROM job_group AS b, "
		    "jsonb_to_recordset(:list) AS y (queue text, key text, freed bigint) "
		    "WHERE b.tenant_id = :tenant AND b.queue = y.queue AND b.key = y.key "
		    "ORDER BY b.queue COLLATE \"C\", b.key COLLATE \"C\" OFFSET 0 FOR UPDATE) "
		    "AS x" OF_LIST " AND x.freed > 0 AND x.active <= x.freed AND x.waiting = 0 "
		    "AND NOT x.halted AND x.next_at <= :now",
	.in = &group_batch_schema);

static const struct statement seats_look = STATEMENT("job_seats_look",
	.sqlite = "SELECT queue, key, active, waiting, halted, next_at FROM job_group" ONE,
	.postgres = "SELECT g.queue, g.key, g.active, g.waiting, g.halted, g.next_at "
		    "FROM job_group AS g, jsonb_to_recordset(:list) AS x (queue text, key "
		    "text)" OF_LIST,
	.in = &group_batch_schema, .out = &group_row_schema);

/* Whose turn it is gets a seat. */
static const struct statement seats_give_one = STATEMENT("job_seats_give_one",
	.sqlite = "UPDATE main.job AS j SET blocked = FALSE, seated = TRUE, "
		  "state = CASE WHEN :later THEN 'scheduled' ELSE 'available' END, "
		  "run_at = CASE WHEN :later THEN :at ELSE j.run_at END "
		  "WHERE j.tenant_id = :tenant AND j.blocked AND j.id = (SELECT b.id FROM job AS b "
		  "WHERE b.tenant_id = :tenant AND b.queue = :queue AND b.group_key = :key "
		  "AND b.blocked ORDER BY b.turn, b.id LIMIT 1)",
	.in = &group_batch_schema);

/* The same for all groups. The array and its ends keep PostgreSQL from reading all that are blocked
 * when it takes them for fewer than they are. */
static const struct statement seats_give = STATEMENT("job_seats_give",
	.postgres = "WITH n AS MATERIALIZED (SELECT s.id, x.at + (s.place - 1) * x.step AS at "
		    "FROM jsonb_to_recordset(:list) AS x (queue text, key text, room bigint, "
		    "at bigint, step bigint), LATERAL (SELECT b.id, "
		    "row_number() OVER (ORDER BY b.turn, b.id) AS place FROM job AS b "
		    "WHERE b.tenant_id = :tenant AND b.queue = x.queue AND b.group_key = x.key "
		    "AND b.blocked ORDER BY b.turn, b.id LIMIT x.room) AS s) "
		    "UPDATE main.job AS j SET blocked = FALSE, seated = TRUE, "
		    "state = CASE WHEN n.at > :now THEN 'scheduled' ELSE 'available' END, "
		    "run_at = CASE WHEN n.at > :now THEN n.at ELSE j.run_at END "
		    "FROM n WHERE j.tenant_id = :tenant AND j.blocked AND j.id = n.id "
		    "AND j.id = ANY (ARRAY (SELECT m.id FROM n AS m)) "
		    "AND j.id >= (SELECT m.id FROM n AS m ORDER BY m.id LIMIT 1) "
		    "AND j.id <= (SELECT m.id FROM n AS m ORDER BY m.id DESC LIMIT 1) "
		    "RETURNING j.queue, j.group_key AS key",
	.in = &group_batch_schema, .out = &group_row_schema, .flags = STATEMENT_PLAN_ONCE);

static const struct statement seats_set = STATEMENT("job_seats_set",
	.sqlite = "UPDATE main.job_group SET active = :active, waiting = :waiting, "
		  "halted = :halted, next_at = :next_at" ONE,
	.postgres = "UPDATE main.job_group AS g SET active = x.active, waiting = x.waiting, "
		    "halted = x.halted, next_at = x.next FROM jsonb_to_recordset(:list) "
		    "AS x (queue text, key text, active bigint, waiting bigint, halted boolean, "
		    "next bigint)" OF_LIST,
	.in = &group_batch_schema);

static const struct statement seats_resume = STATEMENT("job_seats_resume",
	.sql = "UPDATE main.job_group SET halted = FALSE" ONE, .in = &group_ref_schema);

const struct job_statements job_seats_statements =
	JOB_STATEMENTS(&seats_gone, &seats_look, &seats_set, &seats_resume);
const struct job_statements job_seats_statements_sqlite = JOB_STATEMENTS(&seats_give_one);
const struct job_statements job_seats_statements_postgres = JOB_STATEMENTS(&seats_give);

/* --- groups of a batch --------------------------------------------------------------------------
 */

/* Groups of a transaction, by queue and key; each once. */
struct seats {
	struct tx *tx;
	struct group_row *rows;
	size_t count;
	bool each; /* one after the other */
};

static int by_name(const void *a, const void *b)
{
	const struct group_row *x = a, *y = b;
	const struct group_ref left = { x->queue, x->key }, right = { y->queue, y->key };

	return group_cmp(&left, &right);
}

static struct group_batch batch_of(const struct group_row *row)
{
	return (struct group_batch){
		.queue = row->queue,
		.key = row->key,
		.active = row->active,
		.waiting = row->waiting,
		.halted = row->halted,
		.next_at = row->next_at,
	};
}

static bool is_any(const struct group_row *row)
{
	(void)row;
	return true;
}

/* A batch of those for which it holds; the list is empty when it does for none. */
static int batch_if(
	const struct seats *seats, bool (*holds)(const struct group_row *), struct group_batch *ret)
{
	*ret = batch_of(&seats->rows[0]); /* PostgreSQL looks at no single one */
	ret->list.at = arena_alloc(tx_arena(seats->tx), seats->count * sizeof(*ret->list.at));
	if (!ret->list.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < seats->count; i++)
		if (holds(&seats->rows[i]))
			ret->list.at[ret->list.count++] = seats->rows[i];
	return 0;
}

/* --- reading them ----------------------------------------------------------------------- */

static int read_each(const struct seats *leaving, struct seats *ret)
{
	ret->rows = arena_zalloc(tx_arena(ret->tx), leaving->count * sizeof(*ret->rows));
	if (!ret->rows)
		return -(int)err_last()->code;
	for (size_t i = 0; i < leaving->count; i++) {
		const struct group_batch one = batch_of(&leaving->rows[i]);
		int r = tx_one(ret->tx, &seats_look, &one, &ret->rows[ret->count]);

		if (r < 0 && r != -ERR_NOT_FOUND)
			return r;
		ret->count += r == 0;
	}
	return 0;
}

static int read_all(const struct seats *leaving, struct seats *ret)
{
	struct group_batch batch;
	int r = batch_if(leaving, is_any, &batch);

	if (r < 0)
		return r;
	for (size_t i = 0; i < batch.list.count; i++)
		if (leaving->rows[i].halted) /* from now on: it stays */
			batch.list.at[i].freed = 0;
	r = tx_exec(ret->tx, &seats_gone, &batch);
	if (r == 0)
		r = tx_all(ret->tx, &seats_look, &batch, &ret->rows, &ret->count);
	if (r == 0 && ret->count > 1)
		qsort(ret->rows, ret->count, sizeof(*ret->rows), by_name);
	return r;
}

/* Locks and reads the groups, and has those who leave stand up. What is not there, or is gone with
 * them, is left out. */
static int read_seats(const struct seats *leaving, struct seats *ret)
{
	size_t at = 0;
	int r;

	*ret = (struct seats){ .tx = leaving->tx, .each = leaving->each };
	r = ret->each ? read_each(leaving, ret) : read_all(leaving, ret);
	for (size_t i = 0; i < ret->count && r == 0; i++) {
		struct group_row *row = &ret->rows[i];

		while (at < leaving->count && by_name(&leaving->rows[at], row) != 0)
			at++;
		CHECK(at < leaving->count);
		row->freed = leaving->rows[at].freed;
		row->active = MAX(row->active - row->freed, 0);
		row->halted |= leaving->rows[at].halted;
	}
	return r;
}

/* --- who gets them ---------------------------------------------------------------------- */

static bool has_room(const struct group_row *row)
{
	return row->room > 0;
}

static void reckon_room(const struct seats *seats, struct group_row *row)
{
	const struct group_rules rules = group_rules_of(row->queue);
	int64_t most = MAX(row->freed, SURPLUS_MAX / (int64_t)seats->count);
	int64_t now = tx_now_us(seats->tx);
	bool ahead = row->next_at > now && row->next_at <= now + rules.reach;

	row->step = rules.step;
	row->at = rules.step && ahead ? row->next_at : now;
	if (!row->halted)
		row->room = MAX(MIN(MIN(rules.seats - row->active, row->waiting), most), 0);
}

static int give_each(const struct seats *seats, struct group_row *row)
{
	struct group_batch one = batch_of(row);
	size_t given = 1;
	int r = 0;

	while (r == 0 && given > 0 && row->given < row->room) {
		one.at = row->at + row->given * row->step;
		one.later = one.at > tx_now_us(seats->tx);
		r = tx_change(seats->tx, &seats_give_one, &one, &given);
		row->given += r == 0 && given > 0;
	}
	return r;
}

/* Both are in the order of names. */
static void count_given(const struct seats *seats, const struct group_row *given, size_t count)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		while (at < seats->count && by_name(&seats->rows[at], &given[i]) != 0)
			at++;
		CHECK(at < seats->count);
		seats->rows[at].given++;
	}
}

static int give(const struct seats *seats)
{
	struct group_batch batch;
	struct group_row *given;
	size_t count;
	int r = 0;

	for (size_t i = 0; i < seats->count && r == 0 && seats->each; i++)
		r = give_each(seats, &seats->rows[i]);
	if (seats->each)
		return r;
	r = batch_if(seats, has_room, &batch);
	if (r < 0 || !batch.list.count)
		return r;
	r = tx_all(seats->tx, &seats_give, &batch, &given, &count);
	if (r == 0 && count > 1)
		qsort(given, count, sizeof(*given), by_name);
	if (r == 0)
		count_given(seats, given, count);
	return r;
}

/* Some may start at once, others at their time. */
static int ring(const struct seats *seats, const struct group_row *row)
{
	int64_t now = tx_now_us(seats->tx);
	int r = 0;

	if (row->given && row->at <= now)
		r = bell_ring_after(seats->tx, bell_of(row->queue));
	if (r == 0 && row->given && row->at + (row->given - 1) * row->step > now)
		r = bell_ring_after(seats->tx, bell_of_later());
	return r;
}

static void sit_down(struct group_row *row)
{
	row->active += row->given;
	/* who was not found does not wait, whatever was counted */
	row->waiting = row->given < row->room ? 0 : row->waiting - row->given;
	if (row->step && row->given)
		row->next_at = row->at + row->given * row->step;
}

/* --- what is left of them --------------------------------------------------------------- */

/* The last one of a group takes it away, unless its rate is still to be minded. */
static bool is_gone(const struct seats *seats, const struct group_row *row)
{
	return row->freed && row->active == 0 && row->waiting == 0 && !row->halted &&
	       row->next_at <= tx_now_us(seats->tx);
}

/* Nobody waits for an answer. */
static int put(const struct seats *seats)
{
	struct group_batch batch;
	int r = 0;

	if (!seats->each) {
		r = batch_if(seats, is_any, &batch);
		return r < 0 ? r : tx_exec(seats->tx, &seats_set, &batch);
	}
	for (size_t i = 0; i < seats->count && r == 0; i++) {
		const struct group_row *row = &seats->rows[i];

		batch = batch_of(row);
		r = tx_exec(seats->tx, is_gone(seats, row) ? &seats_gone : &seats_set, &batch);
	}
	return r;
}

/* Has them stand up, gives free seats to those who wait, and writes the groups. */
static int settle(const struct seats *leaving)
{
	struct seats seats = { NULL };
	int r = read_seats(leaving, &seats);

	if (r < 0 || !seats.count)
		return r;
	for (size_t i = 0; i < seats.count; i++)
		reckon_room(&seats, &seats.rows[i]);
	r = give(&seats);
	for (size_t i = 0; i < seats.count && r == 0; i++) {
		sit_down(&seats.rows[i]);
		r = ring(&seats, &seats.rows[i]);
	}
	return r < 0 ? r : put(&seats);
}

/* --- leaving ---------------------------------------------------------------------------- */

static int open_seats(struct tx *tx, size_t most, struct seats *ret)
{
	*ret = (struct seats){
		.tx = tx,
		.rows = arena_zalloc(tx_arena(tx), most * sizeof(*ret->rows)),
		.each = store_is_sqlite(tx_store(tx)),
	};
	return ret->rows ? 0 : -(int)err_last()->code;
}

int groups_leave_in_tx(struct tx *tx, const struct group_leaving *leaving, size_t count)
{
	struct group_row *row = NULL;
	struct seats seats = { NULL };
	int r;

	if (!count)
		return 0;
	r = open_seats(tx, count, &seats);
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct group_ref *group = &leaving[i].group;

		if (!row || group_cmp(&leaving[i - 1].group, group) != 0) {
			row = &seats.rows[seats.count++];
			row->queue = group->queue;
			row->key = group->key;
		}
		row->freed++;
		row->halted |= leaving[i].halts;
	}
	return r < 0 ? r : settle(&seats);
}

int group_leave_in_tx(struct tx *tx, const struct group_ref *group, bool halts)
{
	return groups_leave_in_tx(tx, &(struct group_leaving){ *group, halts }, 1);
}

int group_resume_in_tx(struct tx *tx, const struct group_ref *group)
{
	struct seats seats = { NULL };
	size_t found;
	int r = tx_change(tx, &seats_resume, group, &found);

	if (r == 0 && !found)
		return fail(ERR_NOT_FOUND, "there is no such group");
	if (r == 0)
		r = open_seats(tx, 1, &seats);
	if (r < 0)
		return r;
	CHECK(seats.rows);
	seats.rows[seats.count++] = (struct group_row){ .queue = group->queue, .key = group->key };
	return settle(&seats);
}
