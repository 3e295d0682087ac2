/* What nobody else looks after: mails that no job will send any more, those that were posted before
 * jobs sent them, and rows that are old. Some at a time, by whichever instance comes first. */
#include "modules/mails/mails_internal.h"

#include "base/check.h"

enum { OLD_BATCH = 500, BATCH = 50, ROUNDS = 100 };

/* A try that has begun before is over by then; and so is whoever else sends them, if nobody has
 * begun. */
#define GRACE_US (INT64_C(5) * 60 * 1000000)

struct mail_age {
	int64_t before;
	int64_t limit;
};

/* clang-format off */
static const struct schema mail_age_schema = SCHEMA(mail_age, "Old rows.",
	FIELD(mail_age, before, "From before.", .format = FORMAT_DATE_TIME),
	FIELD(mail_age, limit, "How many."));
/* clang-format on */

const struct statement mail_old = STATEMENT("mail_sweep",
	.sql = "DELETE FROM main.mail AS m WHERE (m.tenant_id, m.id) IN (SELECT x.tenant_id, x.id "
	       "FROM main.mail AS x WHERE x.created_at < :before ORDER BY x.created_at "
	       "LIMIT :limit)",
	.in = &mail_age_schema, .flags = STATEMENT_SYSTEM);

const struct statement mail_waiting = STATEMENT("mail_waiting",
	.sql = "SELECT count(*) AS count FROM main.mail WHERE status = 'waiting'",
	.out = &mail_number_schema, .flags = STATEMENT_SYSTEM);

/* Whose job was called off or removed, or has ended with its process too often. */
const struct statement mail_expired = STATEMENT("mail_expired",
	.sql = "SELECT tenant_id, id FROM main.mail WHERE status = 'waiting' "
	       "AND expires_at < :before ORDER BY tenant_id, expires_at LIMIT :limit",
	.in = &mail_age_schema, .out = &mail_ref_schema, .flags = STATEMENT_SYSTEM);

/* A version that sends them itself and still runs beside this one takes them when they are due. */
const struct statement mail_stray = STATEMENT("mail_stray",
	.sql = "SELECT tenant_id, id FROM main.mail WHERE next_at < :before ORDER BY next_at "
	       "LIMIT :limit",
	.in = &mail_age_schema, .out = &mail_ref_schema, .flags = STATEMENT_SYSTEM);

const struct statement mail_adopt = STATEMENT("mail_adopt",
	.sql = "UPDATE main.mail SET next_at = NULL WHERE tenant_id = :tenant AND id = :id "
	       "AND next_at IS NOT NULL AND status = 'waiting'",
	.in = &mail_ref_schema);

/* --- one by one -------------------------------------------------------------------------------
 */

/* What is done with all that a statement finds. */
struct round {
	const struct statement *find;
	int (*one)(struct tx *tx, struct str id);
	size_t count; /* of the last transaction */
};

static int adopt(struct tx *tx, struct str id)
{
	size_t changed;
	int r = tx_change(tx, &mail_adopt, &(struct mail_ref){ .id = id }, &changed);

	return r < 0 || !changed ? r : mail_enqueue_in_tx(tx, id, false);
}

static int give_up(struct tx *tx, struct str id)
{
	return mail_end_in_tx(tx, id, 0, MAIL_FAILED);
}

static int round_in_tx(struct tx *tx, void *arg)
{
	struct round *round = arg;
	const struct mail_age age = { tx_now_us(tx) - GRACE_US, BATCH };
	struct mail_ref *mails;
	int r = tx_all(tx, round->find, &age, &mails, &round->count);

	for (size_t i = 0; i < round->count && r == 0; i++) {
		struct uuid tenant;

		CHECK(uuid_parse(mails[i].tenant_id, &tenant));
		r = tx_enter(tx, &tenant);
		if (r == 0)
			r = round->one(tx, mails[i].id);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

static int old_in_tx(struct tx *tx, void *arg)
{
	struct round *round = arg;
	const struct mail_age age = {
		tx_now_us(tx) - 2 * MAIL_KEEP_HOURS * (int64_t)(HOUR / MICROSECOND), OLD_BATCH
	};

	return tx_change(tx, round->find, &age, &round->count);
}

/* Again and again, until there is not a whole batch of them. */
static int sweep(
	const struct db *db, int (*fn)(struct tx *, void *), struct round round, size_t batch)
{
	int r = 0;

	for (int i = 0; i < ROUNDS && r == 0; i++) {
		r = db_write(db, fn, &round);
		arena_reset(db->arena);
		if (round.count < batch)
			break;
	}
	return r;
}

int mails_sweep(struct store *store, int64_t *ret_waiting)
{
	struct mail_number waiting = { 0 };
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	int r;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	r = sweep(&db, round_in_tx, (struct round){ &mail_stray, adopt, 0 }, BATCH);
	if (r == 0)
		r = sweep(&db, round_in_tx, (struct round){ &mail_expired, give_up, 0 }, BATCH);
	if (r == 0)
		r = sweep(&db, old_in_tx, (struct round){ &mail_old, NULL, 0 }, OLD_BATCH);
	if (r == 0)
		r = db_one(&db, &mail_waiting, NULL, &waiting);
	if (r == 0)
		*ret_waiting = waiting.count;
	arena_done(&arena);
	return r;
}
