/*
 * Groups: at most so many jobs of a group have a seat, and only those may start; the others wait in
 * the order of their turns. All that happens to a group is decided under the lock of its one row,
 * so that two who change it at once come one after the other. Here is how jobs join;
 * jobs_seats.c has what happens when they leave.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"

struct group_join {
	struct str queue, key;
	int64_t seats, count;    /* that there may be; that want one */
	int64_t active, waiting; /* of a new group */
	int64_t step, next_at;   /* of a new group; microseconds */
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
static const struct schema group_join_schema = SCHEMA(group_join, "Jobs that want a seat.",
	FIELD(group_join, queue, "Of which queue."),
	FIELD(group_join, key, "Which group."),
	FIELD(group_join, seats, "That there are."),
	FIELD(group_join, count, "How many want one."),
	FIELD(group_join, active, "Seats taken of a new one."),
	FIELD(group_join, waiting, "Who wait in a new one."),
	FIELD(group_join, step, "Between two starts."),
	FIELD(group_join, next_at, "Next start of a new one."));

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

/* How many of those who come get a seat. */
#define ROOM                                                                                       \
	"CASE WHEN g.halted OR g.waiting > 0 OR g.active >= :seats THEN 0 "                        \
	"WHEN :seats - g.active > :count THEN :count ELSE :seats - g.active END"

static const struct statement group_join = STATEMENT("job_group_join",
	.sql = "INSERT INTO main.job_group AS g (tenant_id, queue, key, active, waiting, halted, "
	       "next_at) VALUES (:tenant, :queue, :key, :active, :waiting, FALSE, :next_at) "
	       "ON CONFLICT (tenant_id, queue, key) DO UPDATE SET "
	       "active = g.active + " ROOM ", waiting = g.waiting + :count - (" ROOM "), "
	       "next_at = CASE WHEN g.halted OR g.waiting > 0 OR g.active >= :seats THEN g.next_at "
	       "WHEN g.next_at > :now THEN g.next_at + (" ROOM ") * :step "
	       "ELSE :now + (" ROOM ") * :step END "
	       "RETURNING queue, key, active, waiting, halted, next_at",
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
	return rules;
}

/* --- joining --------------------------------------------------------------------------- */

int group_join_many_in_tx(
	struct tx *tx, const struct group_ref *group, size_t count, struct group_seats *ret)
{
	struct group_rules rules = group_rules_of(group->queue);
	int64_t wanted = (int64_t)count, now = tx_now_us(tx);
	int64_t seated = MIN(wanted, rules.seats);
	const struct group_join join = {
		.queue = group->queue,
		.key = group->key,
		.seats = rules.seats,
		.count = wanted,
		.active = seated,
		.waiting = wanted - seated,
		.step = rules.step,
		.next_at = now + seated * rules.step,
	};
	struct group_row row;
	int r = tx_one(tx, &group_join, &join, &row);

	if (r < 0)
		return r;
	/* Who gets a seat found nobody waiting, so all who wait came now. */
	seated = row.waiting < wanted ? wanted - row.waiting : 0;
	*ret = (struct group_seats){
		.seated = (size_t)seated,
		/* without a rate, a clock that was set back makes nobody wait */
		.at = rules.step ? MAX(row.next_at - seated * rules.step, now) : now,
		.step = rules.step,
		.waiting = row.waiting,
	};
	return 0;
}

int group_join_in_tx(
	struct tx *tx, const struct group_ref *group, bool *ret_blocked, int64_t *ret_at)
{
	struct group_seats seats;
	int r = group_join_many_in_tx(tx, group, 1, &seats);

	if (r < 0)
		return r;
	*ret_blocked = seats.seated == 0;
	*ret_at = *ret_blocked ? tx_now_us(tx) : seats.at;
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
