/*
 * Rows of starts that end. PostgreSQL is given all of a batch in one statement, as a list; SQLite,
 * where a statement costs next to nothing, one after the other.
 */
#include "modules/jobs/jobs_run.h"

#include "base/err.h"
#include "store/store.h"

#include <stdlib.h>

/* --- statements ------------------------------------------------------------------------- */

/* A batch: a list for PostgreSQL, one for SQLite. */
struct end_batch {
	struct str queue, id, lease_id;
	int64_t attempt;
	struct str result, group;
	LIST_OF(struct end_ref) list;
};

struct end_id {
	struct str id;
};

/* Jobs, and between which ids they are. */
struct end_range {
	struct str least, most, id;
	LIST_OF(struct end_id) list;
};

struct end_seen {
	bool lines, errors;
};

/* clang-format off */
static const struct schema end_ref_schema = SCHEMA(end_ref, "A start.",
	FIELD(end_ref, id, "Of which job."),
	FIELD(end_ref, lease_id, "Whose it is.", .name = "lease"),
	FIELD(end_ref, attempt, "Which one."),
	FIELD(end_ref, result, "What it came to.", RANGE(0, JOB_RESULT_MAX)));

static const struct schema end_batch_schema = SCHEMA(end_batch, "Starts.",
	FIELD(end_batch, queue, "Where."),
	FIELD(end_batch, id, "Of which job.", .format = FORMAT_UUID),
	FIELD(end_batch, lease_id, "Whose it is.", .format = FORMAT_UUID),
	FIELD(end_batch, attempt, "Which one."),
	FIELD(end_batch, result, "What it came to.", RANGE(0, JOB_RESULT_MAX)),
	FIELD(end_batch, group, "With whom it is in line."),
	LIST(end_batch, list, "Which.", .nested = &end_ref_schema));

static const struct schema end_row_schema = SCHEMA(end_row, "A job that has started.",
	FIELD(end_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(end_row, queue, "Where."),
	FIELD(end_row, name, "What is to be done."),
	FIELD(end_row, attempt, "Which start."),
	FIELD(end_row, uncounted, "Starts that do not count."),
	FIELD(end_row, attempts, "Of how many."),
	FIELD(end_row, priority, "How urgent."),
	FIELD(end_row, turn, "When it was its turn."),
	FIELD(end_row, run_at, "When it was to start."),
	FIELD(end_row, backoff, "How long it waits after a failure.", .nested = &job_backoff_schema),
	FIELD(end_row, group_key, "With whom it is in line."),
	FIELD(end_row, unique_key, "What it is the only one of."),
	FIELD(end_row, worker, "Who had it."),
	FIELD(end_row, cancelling, "Is to stop."));

static const struct schema end_settle_schema = SCHEMA(end_settle, "What becomes of a job.",
	FIELD(end_settle, id, "Which.", .format = FORMAT_UUID),
	FIELD(end_settle, state, "What.", .choices = job_state_names),
	FIELD(end_settle, uncounted, "Starts that do not count."),
	FIELD(end_settle, run_at, "When again."),
	FIELD(end_settle, turn, "When it is its turn."),
	FIELD(end_settle, seated, "Keeps its seat."),
	FIELD(end_settle, ended_at, "When it ended."),
	FIELD(end_settle, result, "What it came to.", RANGE(0, JOB_RESULT_MAX)));

static const struct schema end_id_schema = SCHEMA(end_id, "A job.",
	FIELD(end_id, id, "Which.", .format = FORMAT_UUID));

static const struct schema end_range_schema = SCHEMA(end_range, "Jobs.",
	FIELD(end_range, least, "The first.", .format = FORMAT_UUID),
	FIELD(end_range, most, "The last.", .format = FORMAT_UUID),
	FIELD(end_range, id, "One of them.", .format = FORMAT_UUID),
	LIST(end_range, list, "Which.", .nested = &end_id_schema));

static const struct schema end_seen_schema = SCHEMA(end_seen, "What there is beside jobs.",
	FIELD(end_seen, lines, "They wrote."),
	FIELD(end_seen, errors, "They met."));

static const struct schema end_error_schema = SCHEMA(end_error, "Why an attempt failed.",
	FIELD(end_error, job_id, "Of which job.", .format = FORMAT_UUID),
	FIELD(end_error, attempt, "Which."),
	FIELD(end_error, kind, "What kind of failure."),
	FIELD(end_error, message, "In words.", RANGE(0, JOB_MESSAGE_MAX)),
	FIELD(end_error, worker, "Who had it."),
	FIELD(end_error, trace, "Where to read more."));
/* clang-format on */

#define STARTS " jsonb_to_recordset(:list) AS x (id uuid, lease uuid, attempt bigint, result text) "

#define SAME_ONE                                                                                   \
	" WHERE tenant_id = :tenant AND id = :id AND state = 'running' "                           \
	"AND lease_id = :lease_id AND attempt = :attempt"
#define SAME_OF_LIST                                                                               \
	" WHERE j.tenant_id = :tenant AND j.id = x.id AND j.state = 'running' "                    \
	"AND j.lease_id = x.lease AND j.attempt = x.attempt"

/* The lease stays in the row: who asks again for an end that has happened is told that it has. */
#define COMPLETE                                                                                   \
	" SET state = 'completed', timeout_at = NULL, seated = FALSE, "                            \
	"cancelling = FALSE, ended_at = :now, result = "

#define WHOLE(of)                                                                                  \
	of "id, " of "queue, " of "name, " of "attempt, " of "uncounted, " of "attempts, " of      \
	   "priority, " of "turn, " of "run_at, " of "backoff, " of "group_key, " of               \
	   "unique_key, " of "worker, " of "cancelling"

/* On SQLite, RETURNING costs more than the rest of such a statement; so what has a key, or a group
 * that is not known, goes the long way. */
#define PLAIN    " AND queue = :queue AND group_key IS NULL AND unique_key IS NULL"
#define OF_GROUP " AND queue = :queue AND group_key = :group AND unique_key IS NULL"

static const struct statement end_drop_one = STATEMENT("job_end_drop_one",
	.sqlite = "DELETE FROM main.job" SAME_ONE PLAIN, .in = &end_batch_schema);

static const struct statement end_drop_grouped = STATEMENT("job_end_drop_grouped",
	.sqlite = "DELETE FROM main.job" SAME_ONE OF_GROUP, .in = &end_batch_schema);

static const struct statement end_drop = STATEMENT("job_end_drop",
	.postgres = "DELETE FROM main.job AS j USING" STARTS SAME_OF_LIST " AND j.queue = :queue "
		    "RETURNING j.id, j.group_key, j.unique_key",
	.in = &end_batch_schema, .out = &end_row_schema);

static const struct statement end_keep_one = STATEMENT("job_end_keep_one",
	.sqlite = "UPDATE main.job" COMPLETE "nullif(:result, '')" SAME_ONE PLAIN,
	.in = &end_batch_schema);

static const struct statement end_keep_grouped = STATEMENT("job_end_keep_grouped",
	.sqlite = "UPDATE main.job" COMPLETE "nullif(:result, '')" SAME_ONE OF_GROUP,
	.in = &end_batch_schema);

static const struct statement end_keep = STATEMENT("job_end_keep",
	.postgres = "UPDATE main.job AS j" COMPLETE "nullif(x.result, '') FROM" STARTS SAME_OF_LIST
		    " AND j.queue = :queue RETURNING j.id, j.group_key, j.unique_key",
	.in = &end_batch_schema, .out = &end_row_schema);

/* Changes nothing, but locks. */
static const struct statement end_claim = STATEMENT("job_end_claim",
	.sqlite = "UPDATE main.job SET seated = seated" SAME_ONE " RETURNING " WHOLE(""),
	.postgres = "UPDATE main.job AS j SET seated = j.seated FROM" STARTS SAME_OF_LIST
		    " RETURNING " WHOLE("j."),
	.in = &end_batch_schema, .out = &end_row_schema);

static const struct statement end_settle = STATEMENT("job_end_settle",
	.sql = "UPDATE main.job SET state = :state, uncounted = :uncounted, run_at = :run_at, "
	       "turn = :turn, seated = :seated, blocked = FALSE, "
	       "timeout_at = NULL, cancelling = FALSE, ended_at = :ended_at, result = :result "
	       "WHERE tenant_id = :tenant AND id = :id",
	.in = &end_settle_schema, .expect = EXPECT_ONE);

static const struct statement end_gone = STATEMENT("job_end_gone",
	.sql = "DELETE FROM main.job WHERE tenant_id = :tenant AND id = :id", .in = &end_id_schema);

#define BETWEEN(table)                                                                             \
	"EXISTS (SELECT 1 FROM " table " AS b WHERE b.tenant_id = :tenant "                        \
	"AND b.job_id >= :least AND b.job_id <= :most)"

static const struct statement end_beside = STATEMENT("job_end_beside",
	.sql = "SELECT " BETWEEN("job_line") " AS lines, " BETWEEN("job_error") " AS errors",
	.in = &end_range_schema, .out = &end_seen_schema);

#define FORGET(name_, table)                                                                       \
	STATEMENT(name_,                                                                           \
		.sqlite = "DELETE FROM main." table " WHERE tenant_id = :tenant AND job_id = :id", \
		.postgres = "DELETE FROM main." table " AS b USING jsonb_to_recordset(:list) "     \
			    "AS x (id uuid) WHERE b.tenant_id = :tenant AND b.job_id = x.id "      \
			    "AND b.job_id >= :least AND b.job_id <= :most",                        \
		.in = &end_range_schema)

static const struct statement end_lines = FORGET("job_end_lines", "job_line");
static const struct statement end_errors = FORGET("job_end_errors", "job_error");

static const struct statement end_error = STATEMENT("job_end_error",
	.sql = "INSERT INTO main.job_error (tenant_id, job_id, attempt, kind, message, worker, "
	       "trace, at) VALUES (:tenant, :job_id, :attempt, :kind, :message, :worker, :trace, "
	       ":now) ON CONFLICT (tenant_id, job_id, attempt) DO UPDATE SET kind = excluded.kind, "
	       "message = excluded.message, worker = excluded.worker, trace = excluded.trace, "
	       "at = excluded.at",
	.in = &end_error_schema);

const struct job_statements job_end_statements_sqlite =
	JOB_STATEMENTS(&end_drop_one, &end_drop_grouped, &end_keep_one, &end_keep_grouped);
const struct job_statements job_end_statements_postgres = JOB_STATEMENTS(&end_drop, &end_keep);
const struct job_statements job_end_statements = JOB_STATEMENTS(
	&end_claim, &end_settle, &end_gone, &end_beside, &end_lines, &end_errors, &end_error);

/* --- batches --------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const struct end_row *left = a, *right = b;

	return str_cmp(left->id, right->id);
}

static int change_one(
	struct tx *tx, enum end_how how, const struct end_batch *one, struct end_row *ret)
{
	static const struct statement *const statements[END_HOWS][2] = {
		[END_DROP] = { &end_drop_one, &end_drop_grouped },
		[END_KEEP] = { &end_keep_one, &end_keep_grouped },
	};
	bool grouped = one->group.len > 0;
	size_t changed;
	int r;

	if (how == END_CLAIM) {
		r = tx_one(tx, &end_claim, one, ret);
		return r == -ERR_NOT_FOUND ? 0 : r < 0 ? r : 1;
	}
	*ret = (struct end_row){ .id = one->id,
		.group_key = { .set = grouped, .value = one->group } };
	r = tx_change(tx, statements[how][grouped], one, &changed);
	return r < 0 ? r : changed > 0;
}

static int each_row(struct tx *tx, enum end_how how, const struct end_batch *batch,
	struct end_row **ret, size_t *ret_count)
{
	struct end_row *rows = arena_alloc(tx_arena(tx), batch->list.count * sizeof(*rows));
	size_t found = 0;

	if (!rows)
		return -(int)err_last()->code;
	for (size_t i = 0; i < batch->list.count; i++) {
		const struct end_ref *ref = &batch->list.at[i];
		struct end_batch one = {
			.queue = batch->queue,
			.id = ref->id,
			.lease_id = ref->lease_id,
			.attempt = ref->attempt,
			.result = ref->result,
			.group = ref->group,
		};
		int r = change_one(tx, how, &one, &rows[found]);

		if (r < 0)
			return r;
		found += (size_t)r;
	}
	*ret = rows;
	*ret_count = found;
	return 0;
}

int end_rows_in_tx(struct tx *tx, enum end_how how, struct str queue, struct end_ref *refs,
	size_t count, struct end_row **ret, size_t *ret_count)
{
	static const struct statement *const all[END_HOWS] = {
		[END_DROP] = &end_drop,
		[END_KEEP] = &end_keep,
		[END_CLAIM] = &end_claim,
	};
	/* PostgreSQL looks at no single one */
	struct end_batch batch = { .queue = queue, .id = refs[0].id, .lease_id = refs[0].id };
	int r;

	batch.list.at = refs;
	batch.list.count = count;
	if (store_is_sqlite(tx_store(tx)))
		return each_row(tx, how, &batch, ret, ret_count);
	r = tx_all(tx, all[how], &batch, ret, ret_count);
	if (r == 0 && *ret_count > 1)
		qsort(*ret, *ret_count, sizeof(**ret), by_id);
	return r;
}

/* --- rows one by one ------------------------------------------------------------------- */

int end_settle_in_tx(struct tx *tx, const struct end_settle *settle)
{
	return tx_exec(tx, &end_settle, settle);
}

int end_drop_in_tx(struct tx *tx, struct str id)
{
	return tx_exec(tx, &end_gone, &(struct end_id){ id });
}

/* No half character at the end of what is cut off. */
static struct str cut(struct str text, size_t most)
{
	size_t len = MIN(text.len, most);

	while (len > 0 && len < text.len && ((unsigned char)text.at[len] & 0xc0) == 0x80)
		len--;
	return str_first(text, len);
}

int end_error_in_tx(struct tx *tx, const struct end_error *error)
{
	struct end_error row = *error;

	row.message = cut(row.message, JOB_MESSAGE_MAX);
	return tx_exec(tx, &end_error, &row);
}

/* --- what stood beside them ------------------------------------------------------------ */

static int forget_each(
	struct tx *tx, struct end_range *range, const struct end_row *rows, size_t count)
{
	struct end_seen seen;
	int r = tx_one(tx, &end_beside, range, &seen);

	for (size_t i = 0; i < count && r == 0 && (seen.lines || seen.errors); i++) {
		range->id = rows[i].id;
		if (seen.lines)
			r = tx_exec(tx, &end_lines, range);
		if (r == 0 && seen.errors)
			r = tx_exec(tx, &end_errors, range);
	}
	return r;
}

int end_forget_in_tx(struct tx *tx, const struct end_row *rows, size_t count)
{
	struct end_range range;
	int r;

	if (!count)
		return 0;
	range = (struct end_range){
		.least = rows[0].id,
		.most = rows[count - 1].id,
		.id = rows[0].id,
	};
	if (store_is_sqlite(tx_store(tx)))
		return forget_each(tx, &range, rows, count);

	range.list.at = arena_alloc(tx_arena(tx), count * sizeof(*range.list.at));
	if (!range.list.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++)
		range.list.at[i].id = rows[i].id;
	range.list.count = count;
	r = tx_exec(tx, &end_lines, &range);
	return r < 0 ? r : tx_exec(tx, &end_errors, &range);
}

/* --- what they leave behind -------------------------------------------------------------- */

static int leave_groups(struct tx *tx, struct end_row *const *rows, size_t count)
{
	struct group_leaving *leaving = arena_alloc(tx_arena(tx), count * sizeof(*leaving));
	size_t leaving_count = 0;

	if (!leaving)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++)
		if (rows[i]->group_key.set)
			leaving[leaving_count++] = (struct group_leaving){
				{ rows[i]->queue, rows[i]->group_key.value }, rows[i]->halts
			};
	return groups_leave_in_tx(tx, leaving, leaving_count);
}

int end_leave_in_tx(struct tx *tx, struct end_row *const *rows, size_t count)
{
	int r = count ? leave_groups(tx, rows, count) : 0;

	for (size_t i = 0; i < count && r == 0; i++)
		if (rows[i]->unique_key.set)
			r = unique_free_in_tx(
				tx, rows[i]->queue, rows[i]->unique_key.value, rows[i]->id);
	return r;
}
