/*
 * Groups: at most so many jobs of a group have a seat, and only those may start; the others wait in
 * the order of their turns. All that happens to a group is decided by a change of its one row, so
 * that two who change it at once come one after the other.
 */
#include "modules/jobs/jobs_adding.h"

#include "base/err.h"

struct group_join {
	struct str queue, key;
	int64_t seats, count;    /* that there may be; that want one */
	int64_t active, waiting; /* of a new group */
	int64_t step, next_at;   /* of a new group; microseconds */
	int64_t reach;           /* what lies further ahead is of a clock that was set back */
};

struct group_row {
	struct str queue, key;
	int64_t active, waiting;
	bool halted;
	int64_t next_at;
};

struct group_seat {
	struct str queue, key;
	bool later;
	int64_t at;
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
	FIELD(group_join, next_at, "Next start of a new one."),
	FIELD(group_join, reach, "How far ahead a start may be."));

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

static const struct schema group_seat_schema = SCHEMA(group_seat, "A seat for who waits longest.",
	FIELD(group_seat, queue, "Of which queue."),
	FIELD(group_seat, key, "Of which group."),
	FIELD(group_seat, later, "Whether it may not start yet."),
	FIELD(group_seat, at, "But then."));

static const struct schema group_limit_schema = SCHEMA(group_limit, "How many.",
	FIELD(group_limit, limit, "At most."));
/* clang-format on */

#define GROUP_COLUMNS "queue, key, active, waiting, halted, next_at"

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
	       "WHEN g.next_at > :now AND g.next_at <= :now + :reach THEN g.next_at + (" ROOM
	       ") * :step "
	       "ELSE :now + (" ROOM ") * :step END "
	       "RETURNING " GROUP_COLUMNS,
	.in = &group_join_schema, .out = &group_row_schema);

/* The last one of a group takes it away, unless its rate is still to be minded. */
static const struct statement group_end = STATEMENT("job_group_end",
	.sql = "DELETE FROM main.job_group WHERE tenant_id = :tenant AND queue = :queue "
	       "AND key = :key AND active <= 1 AND waiting = 0 AND NOT halted AND next_at <= :now",
	.in = &group_ref_schema);

static const struct statement group_stand = STATEMENT("job_group_stand",
	.sql = "UPDATE main.job_group AS g SET active = CASE WHEN g.active > 0 THEN g.active - 1 "
	       "ELSE 0 END WHERE g.tenant_id = :tenant AND g.queue = :queue AND g.key = :key "
	       "RETURNING " GROUP_COLUMNS,
	.in = &group_ref_schema, .out = &group_row_schema);

static const struct statement group_halt = STATEMENT("job_group_halt",
	.sql = "UPDATE main.job_group AS g SET halted = TRUE, active = CASE WHEN g.active > 0 "
	       "THEN g.active - 1 ELSE 0 END WHERE g.tenant_id = :tenant AND g.queue = :queue "
	       "AND g.key = :key",
	.in = &group_ref_schema);

static const struct statement group_unwait = STATEMENT("job_group_unwait",
	.sql = "UPDATE main.job_group AS g SET waiting = g.waiting - 1 WHERE g.tenant_id = :tenant "
	       "AND g.queue = :queue AND g.key = :key AND g.waiting > 0",
	.in = &group_ref_schema);

static const struct statement group_resume = STATEMENT("job_group_resume",
	.sql = "UPDATE main.job_group AS g SET halted = FALSE WHERE g.tenant_id = :tenant "
	       "AND g.queue = :queue AND g.key = :key "
	       "RETURNING " GROUP_COLUMNS,
	.in = &group_ref_schema, .out = &group_row_schema);

/* Whose turn it is gets a seat. */
static const struct statement group_seat = STATEMENT("job_group_seat",
	.sql = "UPDATE main.job AS j SET blocked = FALSE, seated = TRUE, "
	       "state = CASE WHEN :later THEN 'scheduled' ELSE 'available' END, "
	       "run_at = CASE WHEN :later THEN :at ELSE j.run_at END "
	       "WHERE j.tenant_id = :tenant AND j.blocked AND j.id = (SELECT b.id FROM job AS b "
	       "WHERE b.tenant_id = :tenant AND b.queue = :queue AND b.group_key = :key "
	       "AND b.blocked ORDER BY b.turn, b.id LIMIT 1)",
	.in = &group_seat_schema);

static const struct statement group_set = STATEMENT("job_group_set",
	.sql = "UPDATE main.job_group SET active = :active, waiting = :waiting, "
	       "next_at = :next_at WHERE tenant_id = :tenant AND queue = :queue AND key = :key",
	.in = &group_row_schema);

static const struct statement group_sweep = STATEMENT("job_group_sweep",
	.sql = "DELETE FROM main.job_group WHERE (tenant_id, queue, key) IN "
	       "(SELECT g.tenant_id, g.queue, g.key FROM main.job_group AS g WHERE g.active = 0 "
	       "AND g.waiting = 0 AND NOT g.halted AND g.next_at <= :now LIMIT :limit) "
	       "AND active = 0 AND waiting = 0",
	.in = &group_limit_schema, .flags = STATEMENT_SYSTEM);

const struct job_statements job_group_statements =
	JOB_STATEMENTS(&group_join, &group_end, &group_stand, &group_halt, &group_unwait,
		&group_resume, &group_seat, &group_set, &group_sweep);

/* --- rules of a queue's groups ------------------------------------------------------------------
 */

struct group_rules {
	int64_t seats;
	int64_t step;  /* between two starts, microseconds; 0: no rate */
	int64_t reach; /* the next start is at most so far ahead */
};

static struct group_rules rules_of(struct str queue)
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

int group_join_many_in_tx(
	struct tx *tx, const struct group_ref *group, size_t count, struct group_seats *ret)
{
	struct group_rules rules = rules_of(group->queue);
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
		.reach = rules.reach,
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

/* --- leaving --------------------------------------------------------------------------- */

/* Gives one free seat away; 1 when somebody took it. */
static int seat_next(struct tx *tx, struct group_row *row, const struct group_rules *rules)
{
	int64_t now = tx_now_us(tx), step = rules->step;
	bool ahead = row->next_at > now && row->next_at <= now + rules->reach;
	int64_t at = ahead ? row->next_at : now;
	const struct group_seat seat = { row->queue, row->key, step && at > now, at };
	size_t seated;
	int r = tx_change(tx, &group_seat, &seat, &seated);

	if (r < 0)
		return r;
	if (seated == 0) { /* nobody waits, whatever was counted */
		row->waiting = 0;
		return 0;
	}
	row->active++;
	row->waiting--;
	row->next_at = step ? at + step : row->next_at;
	r = bell_ring_after(tx, seat.later ? bell_of_later() : bell_of(row->queue));
	return r < 0 ? r : 1;
}

/* Gives free seats to those who wait. The group's row is locked by the change before. */
static int fill(struct tx *tx, struct group_row *row)
{
	struct group_rules rules = rules_of(row->queue);
	int r = 1;

	if (row->halted || row->waiting == 0 || row->active >= rules.seats)
		return 0;
	while (r > 0 && row->waiting > 0 && row->active < rules.seats)
		r = seat_next(tx, row, &rules);
	return r < 0 ? r : tx_exec(tx, &group_set, row);
}

int group_leave_in_tx(struct tx *tx, const struct group_ref *group, bool halt)
{
	struct group_row row;
	size_t ended;
	int r;

	if (halt)
		return tx_exec(tx, &group_halt, group);
	r = tx_change(tx, &group_end, group, &ended);
	if (r < 0 || ended)
		return r;
	r = tx_one(tx, &group_stand, group, &row);
	if (r == -ERR_NOT_FOUND)
		return 0;
	return r < 0 ? r : fill(tx, &row);
}

int group_unwait_in_tx(struct tx *tx, const struct group_ref *group)
{
	return tx_exec(tx, &group_unwait, group);
}

int group_resume_in_tx(struct tx *tx, const struct group_ref *group)
{
	struct group_row row;
	int r = tx_one(tx, &group_resume, group, &row);

	return r < 0 ? r : fill(tx, &row);
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
