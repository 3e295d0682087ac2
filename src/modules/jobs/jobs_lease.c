/* Rows of leases: who has taken jobs, and that it lives. */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"

/* --- statements ------------------------------------------------------------------------- */

struct lease_row {
	struct str id;
	enum lease_kind kind;
	struct str worker;
	struct opt_str queue;
	int64_t lease_us;
};

struct lease_ref {
	struct str id;
};

/* clang-format off */
static const struct schema lease_row_schema = SCHEMA(lease_row, "Who takes jobs.",
	FIELD(lease_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(lease_row, kind, "What it is.", CHOICES("program", "session", "call")),
	FIELD(lease_row, worker, "Its name."),
	FIELD(lease_row, queue, "Where it takes them."),
	FIELD(lease_row, lease_us, "How long it lives without a beat."));

static const struct schema lease_ref_schema = SCHEMA(lease_ref, "A lease.",
	FIELD(lease_ref, id, "Which.", .format = FORMAT_UUID));
/* clang-format on */

static const struct statement lease_open = STATEMENT("job_lease_open",
	.sql = "INSERT INTO main.job_lease (tenant_id, id, kind, worker, queue, lease_us, beats, "
	       "began_at, seen_at) VALUES (:tenant, :id, :kind, :worker, :queue, :lease_us, 0, "
	       ":now, :now)",
	.in = &lease_row_schema);

static const struct statement lease_beat = STATEMENT("job_lease_beat",
	.sql = "UPDATE main.job_lease SET beats = beats + 1, seen_at = :now "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &lease_ref_schema, .expect = EXPECT_ONE);

static const struct statement lease_there = STATEMENT("job_lease_there",
	.sql = "SELECT id FROM job_lease WHERE tenant_id = :tenant AND id = :id",
	.in = &lease_ref_schema, .out = &lease_ref_schema);

/* Any change does: what is committed before it is in front of it in the log. The name is none of a
 * queue's. */
static const struct statement sync_mark = STATEMENT("job_sync",
	.sql = "INSERT INTO main.job_rate (tenant_id, queue, next_at) VALUES (:tenant, '', :now) "
	       "ON CONFLICT (tenant_id, queue) DO UPDATE SET next_at = excluded.next_at");

const struct job_statements job_lease_statements =
	JOB_STATEMENTS(&lease_open, &lease_beat, &lease_there, &sync_mark);

/* --- leases ------------------------------------------------------------------------------- */

int lease_open_in_tx(struct tx *tx, const struct lease *lease)
{
	char id[UUID_TEXT_LEN];
	struct lease_row row = {
		.id = str_of(id, sizeof(id)),
		.kind = lease->kind,
		.worker = lease->worker,
		.queue = { .set = lease->queue.len > 0, .value = lease->queue },
		.lease_us = lease->lease_us,
	};

	uuid_write(id, &lease->id);
	return tx_exec(tx, &lease_open, &row);
}

int lease_beat_in_tx(struct tx *tx, const struct uuid *id)
{
	char text[UUID_TEXT_LEN];
	struct lease_ref ref = { str_of(text, sizeof(text)) };

	uuid_write(text, id);
	return tx_exec(tx, &lease_beat, &ref);
}

int lease_check_in_tx(struct tx *tx, const struct uuid *id)
{
	char text[UUID_TEXT_LEN];
	struct lease_ref ref = { str_of(text, sizeof(text)) }, there;
	int r;

	uuid_write(text, id);
	r = tx_one(tx, &lease_there, &ref, &there);
	return r == -ERR_NOT_FOUND ? fail(ERR_CONFLICT, "this lease was lost") : r;
}

/* --- on the disk -------------------------------------------------------------------------- */

static int sync_in_tx(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_exec(tx, &sync_mark, NULL);
}

int jobs_sync(struct store *store, struct arena *arena)
{
	static const struct tx_options durable = {
		.name = "job-sync",
		.durability = TX_DURABLE,
		.isolation = TX_READ_COMMITTED,
	};
	struct db db = db_of(store, &tenant_system, arena);

	return db_write_with(&db, &durable, sync_in_tx, NULL);
}
