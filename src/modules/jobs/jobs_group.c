/*
 * Groups: at most so many jobs of a group have a seat, and only those may start; the others wait in
 * the order of their turns. All that happens to a group is decided under the lock of its one row,
 * so that two who change it at once come one after the other. Here is how jobs join;
 * jobs_seats.c has what happens when they leave.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"
#include "store/store.h"

#include <stdlib.h>

/* A group of a batch, as it is when it is new: then all who join are all there are. */
struct group_part {
	struct str key;
	int64_t active, waiting;
	int64_t next_at; /* microseconds */
};

/* A list for PostgreSQL, one for SQLite; all of one queue. */
struct group_join {
	struct str queue, key;
	int64_t seats; /* that there are */
	int64_t step;  /* between two starts, microseconds */
	int64_t reach; /* what lies further ahead is of a clock that was set back */
	int64_t active, waiting, next_at;
	LIST_OF(struct group_part) list;
};

struct group_row {
	struct str queue, key;
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
};

struct group_limit {
	int64_t limit;
};

/* clang-format off */
static const struct schema group_part_schema = SCHEMA(group_part, "A new group.",
	FIELD(group_part, key, "Which."),
	FIELD(group_part, active, "Seats that are taken."),
	FIELD(group_part, waiting, "Who want one."),
	FIELD(group_part, next_at, "When the next may start.", .name = "next"));

static const struct schema group_join_schema = SCHEMA(group_join, "Jobs that want seats.",
	FIELD(group_join, queue, "Of which queue."),
	FIELD(group_join, key, "Which group."),
	FIELD(group_join, seats, "That there are."),
	FIELD(group_join, step, "Between two starts."),
	FIELD(group_join, reach, "How far ahead a start may be."),
	FIELD(group_join, active, "Seats taken of a new one."),
	FIELD(group_join, waiting, "Who wait in a new one."),
	FIELD(group_join, next_at, "Next start of a new one."),
	LIST(group_join, list, "All.", .nested = &group_part_schema));

static const struct schema group_ref_schema = SCHEMA(group_ref, "A group.",
	FIELD(group_ref, queue, "Of which queue."),
	FIELD(group_ref, key, "Which."));

static const struct schema group_row_schema = SCHEMA(group_row, "A group and who has its seats.",
	FIELD(group_row, queue, "Of which queue."),
	FIELD(group_row, key, "Which."),
	FIELD(group_row, active, "Seats that are taken."),
	FIELD(group_row, waiting, "Who want one."),
	FIELD(group_row, halted, "Whether nobody gets one."),
	FIELD(group_row, next_at, "When the next may start."));

static const struct schema group_limit_schema = SCHEMA(group_limit, "How many.",
	FIELD(group_limit, limit, "At most."));
/* clang-format on */

/* How many come, and how many of them get a seat. */
#define COUNT "(excluded.active + excluded.waiting)"
#define ROOM                                                                                       \
	"CASE WHEN g.halted OR g.waiting > 0 OR g.active >= :seats THEN 0 "                        \
	"WHEN :seats - g.active > " COUNT " THEN " COUNT " ELSE :seats - g.active END"

#define JOINED                                                                                     \
	"ON CONFLICT (tenant_id, queue, key) DO UPDATE SET "                                       \
	"active = g.active + " ROOM ", waiting = g.waiting + " COUNT " - (" ROOM "), "             \
	"next_at = CASE WHEN g.halted OR g.waiting > 0 OR g.active >= :seats THEN g.next_at "      \
	"WHEN g.next_at > :now AND g.next_at <= :now + :reach "                                    \
	"THEN g.next_at + (" ROOM ") * :step "                                                     \
	"ELSE :now + (" ROOM ") * :step END "                                                      \
	"RETURNING queue, key, active, waiting, halted, next_at"

/* In an order that is everybody's. */
static const struct statement group_join = STATEMENT("job_group_join",
	.sqlite = "INSERT INTO main.job_group AS g (tenant_id, queue, key, active, waiting, "
		  "halted, next_at) VALUES (:tenant, :queue, :key, :active, :waiting, FALSE, "
		  ":next_at) " JOINED,
	.postgres = "INSERT INTO main.job_group AS g (tenant_id, queue, key, active, waiting, "
		    "halted, next_at) SELECT :tenant, :queue, x.key, x.active, x.waiting, FALSE, "
		    "x.next FROM jsonb_to_recordset(:list) AS x (key text, active bigint, "
		    "waiting bigint, next bigint) ORDER BY x.key COLLATE \"C\" " JOINED,
	.in = &group_join_schema, .out = &group_row_schema);

static const struct statement group_unwait = STATEMENT("job_group_unwait",
	.sql = "UPDATE main.job_group AS g SET waiting = g.waiting - 1 WHERE g.tenant_id = :tenant "
	       "AND g.queue = :queue AND g.key = :key AND g.waiting > 0",
	.in = &group_ref_schema);

static const struct statement group_sweep = STATEMENT("job_group_sweep",
	.sql = "DELETE FROM main.job_group WHERE (tenant_id, queue, key) IN "
	       "(SELECT g.tenant_id, g.queue, g.key FROM main.job_group AS g WHERE g.active = 0 "
	       "AND g.waiting = 0 AND NOT g.halted AND g.next_at <= :now LIMIT :limit) "
	       "AND active = 0 AND waiting = 0",
	.in = &group_limit_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_group_statements =
	JOB_STATEMENTS(&group_join, &group_unwait, &group_sweep);

/* --- rules of a queue's groups ------------------------------------------------------------------
 */

struct group_rules group_rules_of(struct str queue)
{
	struct queue_settings settings;
	struct group_rules rules;

	queue_settings(queue, &settings);
	rules.seats = MAX(settings.group_concurrency, 1);
	rules.step = settings.group_rate.count == 0
			     ? 0
			     : settings.group_rate.per_ms * 1000 / settings.group_rate.count;
	/* each seat may have a start of its own ahead, and one more is free */
	rules.reach = MAX(settings.group_rate.per_ms * 1000, (rules.seats + 1) * rules.step);
	return rules;
}

/* --- joining --------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct group_row *left = a, *right = b;

	return str_cmp(left->key, right->key);
}

/* Runs the statement for all of the list; the rows, in its order. */
static int run(struct tx *tx, const struct group_join *all, struct group_row **ret)
{
	struct group_row *rows;
	size_t count;
	int r = 0;

	if (!store_is_sqlite(tx_store(tx))) {
		r = tx_all(tx, &group_join, all, &rows, &count);
		if (r < 0)
			return r;
		CHECK(count == all->list.count);
		qsort(rows, count, sizeof(*rows), by_key);
		*ret = rows;
		return 0;
	}
	rows = arena_alloc(tx_arena(tx), all->list.count * sizeof(*rows));
	if (!rows)
		return -(int)err_last()->code;
	for (size_t i = 0; i < all->list.count && r == 0; i++) {
		const struct group_part *part = &all->list.at[i];
		struct group_join one = *all;

		one.key = part->key;
		one.active = part->active;
		one.waiting = part->waiting;
		one.next_at = part->next_at;
		r = tx_one(tx, &group_join, &one, &rows[i]);
	}
	*ret = rows;
	return r;
}

static void be_seated(
	struct group_joining *joining, const struct group_row *row, int64_t step, int64_t now)
{
	int64_t wanted = (int64_t)joining->count;
	/* Who gets a seat found nobody waiting, so all who wait came now. */
	int64_t seated = row->waiting < wanted ? wanted - row->waiting : 0;

	joining->seated = (size_t)seated;
	/* without a rate, a clock that was set back makes nobody wait */
	joining->at = step ? MAX(row->next_at - seated * step, now) : now;
	joining->step = step;
	joining->waiting = row->waiting;
}

int groups_join_in_tx(struct tx *tx, struct str queue, struct group_joining *joining, size_t count)
{
	const struct group_rules rules = group_rules_of(queue);
	int64_t now = tx_now_us(tx);
	struct group_join all = {
		.queue = queue, .seats = rules.seats, .step = rules.step, .reach = rules.reach
	};
	struct group_row *rows = NULL;
	int r;

	if (!count)
		return 0;
	all.key = joining[0].key; /* PostgreSQL looks at no single one */
	all.list.at = arena_alloc(tx_arena(tx), count * sizeof(*all.list.at));
	if (!all.list.at)
		return -(int)err_last()->code;
	all.list.count = count;
	for (size_t i = 0; i < count; i++) {
		int64_t wanted = (int64_t)joining[i].count, seated = MIN(wanted, rules.seats);

		all.list.at[i] = (struct group_part){ joining[i].key, seated, wanted - seated,
			now + seated * rules.step };
	}
	r = run(tx, &all, &rows);
	CHECK(r < 0 || rows);
	for (size_t i = 0; i < count && r == 0; i++)
		be_seated(&joining[i], &rows[i], rules.step, now);
	return r;
}

int group_join_in_tx(
	struct tx *tx, const struct group_ref *group, bool *ret_blocked, int64_t *ret_at)
{
	struct group_joining joining = { .key = group->key, .count = 1 };
	int r = groups_join_in_tx(tx, group->queue, &joining, 1);

	if (r < 0)
		return r;
	*ret_blocked = joining.seated == 0;
	*ret_at = *ret_blocked ? tx_now_us(tx) : joining.at;
	return 0;
}

/* --- waiting no more ------------------------------------------------------------------- */

int group_unwait_in_tx(struct tx *tx, const struct group_ref *group)
{
	return tx_exec(tx, &group_unwait, group);
}

/* --- what nobody needs ----------------------------------------------------------------- */

int groups_sweep(struct store *store)
{
	static const struct group_limit some = { 10000 };
	struct arena arena;
	struct db db;
	int r;

	arena_init(&arena, KILOBYTE, 64 * KILOBYTE);
	db = db_of_system(store, &arena);
	r = db_exec(&db, &group_sweep, &some);
	arena_done(&arena);
	return r;
}
