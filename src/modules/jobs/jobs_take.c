/*
 * Taking jobs. Tenants who have something ready take turns: which they are is found by hopping from
 * one to the next in the index, whatever the length of their queues; then each gives its share, as
 * that tenant. What one leaves over goes round again.
 */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "modules/jobs/jobs_counts.h"
#include "observe/clock.h"

#include <stdlib.h>

enum {
	TENANTS_MAX = 64, /* of one take; the next one begins behind them */
	ROUNDS_MAX = 4,
};

/* Between two looks that gave nothing, when there may be tenants behind those looked at. */
#define LOOK_ON_US INT64_C(20000)

/* --- statements ------------------------------------------------------------------------- */

struct take_turn {
	struct str queue, after;
	int64_t limit;
	struct str lease_of, lease_id; /* the tenant and the id of the lease */
};

struct take_tenant {
	struct str tenant_id;
	bool paused;
	bool leased;
};

struct take_share {
	struct str queue, lease_id, worker;
	int64_t timeout_us; /* of those who say nothing */
	int64_t share;
	int64_t bound; /* of the tenant's running jobs */
};

struct take_named {
	struct str of, id, queue, lease_id, worker;
	int64_t timeout_us;
};

struct taken_row {
	struct str id, name, worker, payload;
	int64_t priority, turn, attempt, counted, attempts, created_at;
	struct opt_i64 timeout_us;
	struct opt_str trace, group_key, unique_key;
	LIST_OF(struct str) tags;
};

/* clang-format off */
static const struct schema take_turn_schema = SCHEMA(take_turn, "Whose turn it is.",
	FIELD(take_turn, queue, "Where."),
	FIELD(take_turn, after, "Who was last.", .format = FORMAT_UUID),
	FIELD(take_turn, limit, "How many."),
	FIELD(take_turn, lease_of, "Who takes them.", .format = FORMAT_UUID),
	FIELD(take_turn, lease_id, "Under which lease.", .format = FORMAT_UUID));

static const struct schema take_tenant_schema = SCHEMA(take_tenant, "Who has jobs.",
	FIELD(take_tenant, tenant_id, "Who.", .format = FORMAT_UUID),
	FIELD(take_tenant, paused, "Does not want them to start, or is not served."),
	FIELD(take_tenant, leased, "Whether the lease is there."));

static const struct schema take_share_schema = SCHEMA(take_share, "What a tenant gives.",
	FIELD(take_share, queue, "Where."),
	FIELD(take_share, lease_id, "Whose they become.", .format = FORMAT_UUID),
	FIELD(take_share, worker, "Its name."),
	FIELD(take_share, timeout_us, "How long they may take."),
	FIELD(take_share, share, "How many."),
	FIELD(take_share, bound, "How many may run."));

static const struct schema take_named_schema = SCHEMA(take_named, "A job that is to be taken.",
	FIELD(take_named, of, "Of which tenant.", .format = FORMAT_UUID),
	FIELD(take_named, id, "Which.", .format = FORMAT_UUID),
	FIELD(take_named, queue, "Where."),
	FIELD(take_named, lease_id, "Whose it becomes.", .format = FORMAT_UUID),
	FIELD(take_named, worker, "Its name."),
	FIELD(take_named, timeout_us, "How long it may take."));

static const struct schema taken_row_schema = SCHEMA(taken_row, "A job that was taken.",
	FIELD(taken_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(taken_row, name, "What is to be done."),
	FIELD(taken_row, worker, "By whom."),
	FIELD(taken_row, payload, "With what.", RANGE(0, JOB_PAYLOAD_MAX)),
	FIELD(taken_row, priority, "How urgent."),
	FIELD(taken_row, turn, "When it was its turn."),
	FIELD(taken_row, attempt, "Which start."),
	FIELD(taken_row, counted, "Starts that count."),
	FIELD(taken_row, attempts, "Of how many."),
	FIELD(taken_row, created_at, "Since when."),
	FIELD(taken_row, timeout_us, "How long it may take."),
	FIELD(taken_row, trace, "Of who added it."),
	FIELD(taken_row, group_key, "With whom it is in line."),
	FIELD(taken_row, unique_key, "What it is the only one of."),
	LIST(taken_row, tags, "Words of who added it.", RANGE(0, JOB_TAGS_MAX)));
/* clang-format on */

#define READY "j.queue = :queue AND j.state = 'available' AND NOT j.blocked"

/* The first tenant for which the condition holds. */
#define FIRST(condition)                                                                           \
	"(SELECT j.tenant_id FROM main.job AS j WHERE " READY condition                            \
	" ORDER BY j.tenant_id LIMIT 1)"

#define HOP(name, condition, more)                                                                 \
	name " (tenant_id, n) AS (SELECT " FIRST(condition) ", 1 UNION ALL SELECT " FIRST(         \
		" AND j.tenant_id > h.tenant_id") ", h.n + 1 FROM " name                           \
						  " AS h WHERE h.tenant_id IS NOT NULL" more       \
						  " AND h.n < :limit)"

/* A tenant that is suspended or being deleted gives nothing, whoever takes. */
#define UNSERVED(tenant_table, id)                                                                 \
	"EXISTS (SELECT 1 FROM " tenant_table " AS o WHERE o.tenant_id = " id                      \
	" AND o.status <> 'active')"

#define PAUSED(pause_table, id)                                                                    \
	"EXISTS (SELECT 1 FROM " pause_table " AS p WHERE p.tenant_id = " id                       \
	" AND p.queue = :queue)"

#define LEASED(id)                                                                                 \
	"EXISTS (SELECT 1 FROM main.job_lease AS m WHERE m.tenant_id = " id " AND m.id = "         \
	":lease_id)"

/* Those behind the one who was last, then those up to it. */
#define IN_TURN                                                                                    \
	"SELECT l.tenant_id, 0 AS part, l.n FROM later AS l UNION ALL"                             \
	" SELECT s.tenant_id, 1, s.n FROM sooner AS s WHERE s.tenant_id <= :after"

/* clang-format off */
static const struct statement take_tenants = STATEMENT("job_take_tenants",
	.sql = "WITH RECURSIVE "
		HOP("later", " AND j.tenant_id > :after", "") ", "
		HOP("sooner", "", " AND h.tenant_id <= :after")
		" SELECT x.tenant_id, "
		PAUSED("main.job_pause", "x.tenant_id") " OR "
		UNSERVED("main.tenant", "x.tenant_id") " AS paused, "
		LEASED(":lease_of") " AS leased"
		" FROM (" IN_TURN ") AS x WHERE x.tenant_id IS NOT NULL"
		" ORDER BY x.part, x.n LIMIT :limit",
	.in = &take_turn_schema, .out = &take_tenant_schema, .flags = STATEMENT_SYSTEM);
/* clang-format on */

/* clang-format off */
#define PICK(share)                                                                                \
	"(SELECT j.id FROM job AS j WHERE j.tenant_id = :tenant AND " READY                        \
	" AND NOT " PAUSED("job_pause", ":tenant") " AND NOT " UNSERVED("tenant", ":tenant")       \
	" ORDER BY j.turn, j.id LIMIT " share
/* clang-format on */

/* What the tenant's own bound leaves of its share. Not below 0, which SQLite takes for no limit. */
#define WITHIN_BOUND                                                                               \
	"(SELECT CASE WHEN count(*) >= :bound THEN 0 WHEN :bound - count(*) < :share "             \
	"THEN :bound - count(*) ELSE :share END FROM (SELECT 1 AS one FROM job AS r "              \
	"WHERE r.tenant_id = :tenant AND r.queue = :queue AND r.state = 'running' LIMIT :bound) "  \
	"AS x)"

/* Whatever PostgreSQL thinks of how many rows a tenant has (a plan may be as old as the last
 * ANALYZE), it reads no more of them than lie between the first and the last one that were picked.
 */
/* clang-format off */
#define PICKED(share)                                                                              \
	"WITH pick AS MATERIALIZED " PICK(share) " FOR UPDATE SKIP LOCKED), list AS MATERIALIZED " \
	"(SELECT array_agg(p.id ORDER BY p.id) AS ids FROM pick AS p) "
/* clang-format on */
#define IS_PICKED                                                                                  \
	"= ANY ((SELECT l.ids FROM list AS l)::uuid[]) "                                           \
	"AND t.id >= (SELECT l.ids[1] FROM list AS l) "                                            \
	"AND t.id <= (SELECT l.ids[cardinality(l.ids)] FROM list AS l)"

#define START(id)                                                                                  \
	"UPDATE main.job AS t SET state = 'running', attempt = attempt + 1, "                      \
	"lease_id = :lease_id, worker = :worker, started_at = :now, "                              \
	"timeout_at = :now + coalesce(timeout_us, :timeout_us), progress = NULL, "                 \
	"progress_note = NULL WHERE t.tenant_id = " id " AND t.id "

#define STARTED                                                                                    \
	" RETURNING id, name, worker, payload, priority, turn, attempt, "                          \
	"attempt - uncounted AS counted, attempts, created_at, timeout_us, trace, group_key, "     \
	"unique_key, tags"

#define GIVE(name_, share)                                                                         \
	STATEMENT(name_, .sqlite = START(":tenant") "IN " PICK(share) ")" STARTED,                 \
		.postgres = PICKED(share) START(":tenant") IS_PICKED STARTED,                      \
		.in = &take_share_schema, .out = &taken_row_schema, .flags = STATEMENT_PLAN_ONCE)

static const struct statement take_some = GIVE("job_take", ":share");
static const struct statement take_within = GIVE("job_take_within", WITHIN_BOUND);

/* clang-format off */
static const struct statement take_named = STATEMENT("job_take_named",
	.sql = START(":of") "= :id AND t.queue = :queue AND t.state = 'available' AND NOT t.blocked"
		" AND NOT " PAUSED("main.job_pause", ":of")
		" AND NOT " UNSERVED("main.tenant", ":of") " AND " LEASED(":tenant") STARTED,
	.in = &take_named_schema, .out = &taken_row_schema, .flags = STATEMENT_SYSTEM);
/* clang-format on */

const struct job_statements job_take_statements =
	JOB_STATEMENTS(&take_tenants, &take_some, &take_within, &take_named);

/* Rows are compared and set by their keys, and locked as they are found; what is counted is counted
 * under the lock of the queue. */
const struct tx_options jobs_taking = {
	.name = "job-take",
	.durability = TX_SOFT,
	.isolation = TX_READ_COMMITTED,
};

/* --- a tenant's share ------------------------------------------------------------------------- */

/* A tenant whose turn it is. */
struct giver {
	struct uuid id;
	struct str text;
	size_t count;     /* has given so many */
	bool served, dry; /* gives no more */
};

/* Jobs that one statement has taken, in their order. */
struct portion {
	struct taken *at;
	size_t first, count; /* which ones of its tenant's */
};

struct taking {
	struct tx *tx;
	struct take *take;
	struct limits limits;
	char lease_id[UUID_TEXT_LEN];
	struct giver givers[TENANTS_MAX];
	size_t giver_count;
	struct portion portions[TENANTS_MAX * ROUNDS_MAX];
	size_t portion_count;
	size_t count; /* of all */
	bool leased;  /* there is a row of the lease, */
	bool checked; /* as was seen */
};

static int by_turn(const void *a, const void *b)
{
	const struct taken_row *left = a, *right = b;

	if (left->turn != right->turn)
		return left->turn < right->turn ? -1 : 1;
	return str_cmp(left->id, right->id);
}

static struct taken taken_of(struct str tenant_id, const struct taken_row *row)
{
	struct taken taken = {
		.tenant_id = tenant_id,
		.id = row->id,
		.name = row->name,
		.worker = row->worker,
		.payload = { row->payload },
		.priority = row->priority,
		.turn = row->turn,
		.attempt = row->attempt,
		.counted = row->counted,
		.attempts = row->attempts,
		.timeout_us = row->timeout_us,
		.trace = row->trace.value,
		.group_key = row->group_key,
		.unique_key = row->unique_key,
		.created_at = row->created_at,
	};

	taken.tags.at = row->tags.at;
	taken.tags.count = row->tags.count;
	return taken;
}

static int keep_portion(
	struct taking *taking, struct giver *giver, struct taken_row *rows, size_t count)
{
	struct portion *portion = &taking->portions[taking->portion_count];
	struct taken *at;

	if (!count)
		return 0;
	at = arena_alloc(tx_arena(taking->tx), count * sizeof(*at));
	if (!at)
		return -(int)err_last()->code;
	qsort(rows, count, sizeof(*rows), by_turn);
	for (size_t i = 0; i < count; i++)
		at[i] = taken_of(giver->text, &rows[i]);
	*portion = (struct portion){ at, giver->count, count };
	giver->count += count;
	taking->portion_count++;
	taking->count += count;
	return 0;
}

/* In the tenant. */
static int take_rows(struct taking *taking, struct giver *giver, int64_t share)
{
	const struct queue_settings *settings = &taking->limits.settings;
	bool within = settings->tenant_concurrency > 0;
	struct take_share in = {
		.queue = taking->take->queue,
		.lease_id = str_of(taking->lease_id, sizeof(taking->lease_id)),
		.worker = taking->take->lease.worker,
		.timeout_us = settings->timeout_ms * 1000,
		.bound = settings->tenant_concurrency,
	};
	struct taken_row *rows = NULL;
	size_t count = 0;
	int r = limits_tenant_in_tx(taking->tx, &taking->limits, share, &in.share);

	if (r == 0 && in.share > 0)
		r = tx_all(taking->tx, within ? &take_within : &take_some, &in, &rows, &count);
	if (r < 0)
		return r;
	giver->served = true;
	giver->dry = (int64_t)count < share;
	r = limits_spend_tenant_in_tx(taking->tx, &taking->limits, (int64_t)count);
	return r < 0 ? r : keep_portion(taking, giver, rows, count);
}

static int open_lease(struct taking *taking)
{
	int r;

	if (!taking->count || taking->leased)
		return 0;
	r = lease_open_in_tx(taking->tx, &taking->take->lease);
	taking->leased = r == 0;
	return r;
}

static int take_share(struct taking *taking, struct giver *giver, int64_t share)
{
	bool own = uuid_cmp(&giver->id, &taking->take->lease.tenant) == 0;
	int r = tx_enter(taking->tx, &giver->id);

	if (r == 0)
		r = take_rows(taking, giver, share);
	if (r == 0 && own)
		r = open_lease(taking);
	return r < 0 ? r : tx_leave(taking->tx);
}

/* --- turns ------------------------------------------------------------------------------------ */

static int find_givers(struct taking *taking)
{
	const struct take *take = taking->take;
	char after[UUID_TEXT_LEN], lease_of[UUID_TEXT_LEN];
	struct take_turn turn = { take->queue, str_of(after, sizeof(after)), TENANTS_MAX,
		str_of(lease_of, sizeof(lease_of)),
		str_of(taking->lease_id, sizeof(taking->lease_id)) };
	struct take_tenant *rows;
	size_t count;
	int r;

	if (take->tenant) {
		taking->givers[0] = (struct giver){ .id = *take->tenant,
			.text = uuid_text(tx_arena(taking->tx), take->tenant) };
		taking->giver_count = 1;
		return taking->givers[0].text.at ? 0 : -(int)err_last()->code;
	}
	uuid_write(after, &take->after);
	uuid_write(lease_of, &take->lease.tenant);
	r = tx_all(taking->tx, &take_tenants, &turn, &rows, &count);
	for (size_t i = 0; i < count && r == 0; i++) {
		struct giver *giver = &taking->givers[i];

		*giver = (struct giver){
			.text = rows[i].tenant_id, .served = rows[i].paused, .dry = rows[i].paused
		};
		CHECK(uuid_parse(rows[i].tenant_id, &giver->id));
	}
	if (r < 0)
		return r;
	taking->giver_count = count;
	taking->checked = count > 0 && rows[0].leased;
	return 0;
}

static int64_t room(const struct taking *taking)
{
	return taking->limits.room - (int64_t)taking->count;
}

static size_t hungry(const struct taking *taking)
{
	size_t count = 0;

	for (size_t i = 0; i < taking->giver_count; i++)
		count += !taking->givers[i].dry;
	return count;
}

/* Each who has more gives as much; `*ret` says that all has been asked for. */
static int go_round(struct taking *taking)
{
	int64_t givers = (int64_t)hungry(taking), share = room(taking);
	int r = 0;

	if (givers)
		share = (share + givers - 1) / givers;
	for (size_t i = 0; i < taking->giver_count && r == 0 && room(taking) > 0; i++)
		if (!taking->givers[i].dry)
			r = take_share(taking, &taking->givers[i], MIN(share, room(taking)));
	return r;
}

/* The next take begins behind the last one who was served, or passed over. */
static void move_on(struct taking *taking)
{
	for (size_t i = 0; i < taking->giver_count && taking->givers[i].served; i++)
		taking->take->after = taking->givers[i].id;
}

/* When to take again: there may be tenants behind those of this take, whom nothing holds back. */
static int64_t again_at(const struct taking *taking)
{
	int64_t now = tx_now_us(taking->tx), at = taking->limits.again_us, on;

	if (taking->giver_count < TENANTS_MAX || room(taking) <= 0)
		return at;
	on = taking->count ? now : now + LOOK_ON_US;
	return at ? MIN(at, on) : on;
}

/* --- the whole ----------------------------------------------------------------------------------
 */

/* The first of each tenant, then the second of each. */
static int give(struct taking *taking, struct taken **ret)
{
	struct taken *at = NULL;
	size_t count = 0;

	if (taking->count) {
		at = arena_alloc(tx_arena(taking->tx), taking->count * sizeof(*at));
		if (!at)
			return -(int)err_last()->code;
	}
	for (size_t rank = 0; count < taking->count; rank++)
		for (size_t i = 0; i < taking->portion_count; i++) {
			const struct portion *portion = &taking->portions[i];

			if (rank >= portion->first && rank - portion->first < portion->count)
				at[count++] = portion->at[rank - portion->first];
		}
	*ret = at;
	return 0;
}

/* The row of a lease whose tenant has given nothing itself; or whether the program, which may have
 * been cut off for a while, still has its own, unless that was seen with the tenants, which saves a
 * round trip. Jobs of a lease that goes in between are found by the reaper. */
static int see_to_lease(struct taking *taking)
{
	const struct take *take = taking->take;
	bool check = take->lease_opened && take->lease.kind == LEASE_PROGRAM;
	int r;

	if (!taking->count || (taking->leased && (!check || taking->checked)))
		return 0;
	r = tx_enter(taking->tx, &take->lease.tenant);
	if (r == 0)
		r = check ? lease_check_in_tx(taking->tx, &take->lease.id) : open_lease(taking);
	return r < 0 ? r : tx_leave(taking->tx);
}

int jobs_take_in_tx(struct tx *tx, struct take *take, struct taken **ret, size_t *ret_count,
	int64_t *ret_next_us)
{
	struct taking *taking = arena_new(tx_arena(tx), struct taking);
	int r;

	CHECK(take->max >= 1 && take->max <= JOBS_TAKE_MAX);
	if (!taking)
		return -(int)err_last()->code;
	taking->tx = tx;
	taking->take = take;
	taking->leased = take->lease_opened;
	uuid_write(taking->lease_id, &take->lease.id);
	r = limits_open_in_tx(tx, take->queue, (int64_t)take->max, &taking->limits);
	if (r == 0 && taking->limits.room > 0)
		r = find_givers(taking);
	for (size_t i = 0; i < ROUNDS_MAX && r == 0 && room(taking) > 0 && hungry(taking); i++)
		r = go_round(taking);
	if (r == 0)
		r = limits_spend_in_tx(tx, &taking->limits);
	if (r == 0)
		r = see_to_lease(taking);
	if (r == 0)
		r = give(taking, ret);
	if (r == 0)
		r = job_count_starts(tx, take->queue, *ret, taking->count);
	if (r < 0)
		return r;
	move_on(taking);
	*ret_count = taking->count;
	*ret_next_us = again_at(taking);
	return 0;
}

/* --- one that is known ---------------------------------------------------------------------------
 */

int jobs_take_named(
	const struct db *db, const struct take *take, const struct uuid *id, struct taken *ret)
{
	struct queue_settings settings;
	struct take_named in = { .of = uuid_text(db->arena, take->tenant),
		.id = uuid_text(db->arena, id),
		.queue = take->queue,
		.lease_id = uuid_text(db->arena, &take->lease.id),
		.worker = take->lease.worker };
	struct taken_row row;
	int r;

	if (!in.of.at || !in.id.at || !in.lease_id.at)
		return -(int)err_last()->code;
	queue_settings(take->queue, &settings);
	in.timeout_us = settings.timeout_ms * 1000;
	r = db_one_with(db, &jobs_taking, &take_named, &in, &row);
	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	*ret = taken_of(in.of, &row);
	job_count_start(take->queue, ret, clock_wall_us());
	return 1;
}
