/*
 * Follows the chains and compares. Each page of entries is read together with the marks, so that
 * what others do meanwhile (chain, delete, erase) looks like what it is. After something was found
 * it goes on behind it: one change is one finding.
 */
#include "modules/audit/audit_internal.h"

#include "store/store.h"

#include <stdlib.h>

/* One tenant under examination. */
struct exam {
	struct db db;
	struct audit_report *report;
	struct arena *keep; /* of the report */
	struct audit_walk walk;
	const struct audit_known *heads; /* of this tenant, by sequence: not yet compared */
	size_t head_count;
	int64_t target; /* where the chain ended in the beginning; 0: not known yet */
	bool marks_seen;

	/* a page, as the transaction has left it */
	struct audit_mark start, head;
	struct audit_eras eras;
	bool has_start, has_head;
	int64_t limit, last;          /* sequence of the last entry that there is */
	struct str after_id, next_id; /* of the unchained tail */
	struct audit_row *rows;
	bool *excused; /* by row: its personal values were erased as they should be */
	size_t count;
};

/* --- findings ----------------------------------------------------------------------------- */

static int find(struct exam *exam, enum audit_finding_kind kind, int64_t sequence, struct str id)
{
	struct audit_report *report = exam->report;
	struct audit_finding *finding = &report->at[report->count];

	report->found++;
	if (report->count == AUDIT_FINDINGS_MAX)
		return 0;
	*finding = (struct audit_finding){ exam->db.tenant, kind, sequence, id };
	if (id.len)
		finding->id = arena_str(exam->keep, id);
	if (id.len && !finding->id.at)
		return -(int)err_last()->code;
	report->count++;
	return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

/* Whether somebody asked for personal data of this entry to be erased. */
static int was_asked(struct tx *tx, const struct audit_row *row, bool *ret)
{
	struct audit_ask ask = { .user_id = row->user_id,
		.person_id = row->person_id,
		.target = row->user_id,
		.other = row->person_id };
	struct audit_erasure *orders;
	struct audit_row entry = { 0 };
	struct audit_eras eras;
	size_t count;
	int r;

	if (!ask.user_id.len)
		ask.user_id = ask.target = ask.person_id;
	if (!ask.person_id.len)
		ask.person_id = ask.other = ask.user_id;
	if (!ask.user_id.len)
		return 0;
	r = tx_all(tx, &audit_erasures_of, &ask, &orders, &count);
	for (size_t i = 0; i < count && r == 0; i++)
		*ret = *ret ||
		       audit_erasure_sound(tx_tenant(tx), orders[i].user_id, orders[i].seal);
	if (r == 0)
		r = audit_eras_read(tx, &eras);
	if (r == 0)
		r = tx_one(tx, &audit_erased_entry, &ask, &entry);
	if (r == 0 && !(audit_row_look(tx_tenant(tx), &entry, &eras) & AUDIT_EDITED))
		*ret = true;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

static int look_for_orders(struct tx *tx, struct exam *exam)
{
	exam->excused = arena_zalloc(tx_arena(tx), MAX(exam->count, 1) * sizeof(bool));
	if (!exam->excused)
		return -(int)err_last()->code;
	for (size_t i = 0; i < exam->count; i++) {
		const struct audit_row *row = &exam->rows[i];
		bool erased = (row->address_digest.len && !row->address_salt.len) ||
			      (row->personal_count > 0 && !row->personal_salt.len);
		int r = erased ? was_asked(tx, row, &exam->excused[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static int page_in_tx(struct tx *tx, void *arg)
{
	struct exam *exam = arg;
	struct audit_ask ask = { .sequence = exam->walk.sequence, .limit = exam->limit };
	struct audit_found found = { 0 };
	int r = audit_mark_read(tx, AUDIT_START, &exam->start);

	exam->has_start = r > 0;
	if (r >= 0)
		r = audit_mark_read(tx, AUDIT_HEAD, &exam->head);
	exam->has_head = r > 0;
	if (r >= 0)
		r = audit_eras_read(tx, &exam->eras);
	if (r == 0)
		r = tx_one(tx, &audit_last_sequence, NULL, &found);
	exam->last = found.count;
	if (r == 0)
		r = tx_all(tx, &audit_by_sequence, &ask, &exam->rows, &exam->count);
	return r < 0 ? r : look_for_orders(tx, exam);
}

static int tail_in_tx(struct tx *tx, void *arg)
{
	struct exam *exam = arg;
	struct audit_ask ask = { .after_id = exam->after_id, .limit = exam->limit };
	int r = tx_all(tx, &audit_loose, &ask, &exam->rows, &exam->count);

	return r < 0 ? r : look_for_orders(tx, exam);
}

static int skip_in_tx(struct tx *tx, void *arg)
{
	struct exam *exam = arg;
	struct audit_ask ask = { .sequence = exam->walk.sequence };
	struct audit_found found = { 0 };
	int r = tx_one(tx, &audit_next_sequence, &ask, &found);

	if (r == 0 && found.count <= exam->walk.sequence)
		return fail(ERR_INTERNAL, "an entry has no place that can be read");
	if (r == 0)
		exam->walk.sequence = found.count;
	exam->walk.lost = true;
	exam->limit = AUDIT_CHECK_BATCH;
	return r;
}

static int skip_tail_in_tx(struct tx *tx, void *arg)
{
	struct exam *exam = arg;
	struct audit_ask ask = { .after_id = exam->after_id };
	struct audit_found found = { 0 };
	int r = tx_one(tx, &audit_next_loose, &ask, &found);

	exam->next_id = found.id;
	exam->limit = AUDIT_CHECK_BATCH;
	return r;
}

/* --- an entry ------------------------------------------------------------- */

static int examine_entry(struct exam *exam, size_t i, int64_t sequence)
{
	const struct audit_row *row = &exam->rows[i];
	unsigned look = audit_row_look(&exam->db.tenant, row, &exam->eras);
	bool edited = look & AUDIT_EDITED;

	exam->report->good += !edited;
	exam->report->bad += edited;
	if (look & (AUDIT_EDITED | AUDIT_FORGED))
		return find(exam, FINDING_EDITED, sequence, row->id);
	if (look == 0)
		return 0;
	exam->report->erased++;
	return exam->excused[i] ? 0 : find(exam, FINDING_ERASED, sequence, row->id);
}

/* Heads from elsewhere up to a place, of which `chain` is what is here (NULL: nothing is). */
static int compare_heads(struct exam *exam, int64_t sequence, const char *chain)
{
	int r = 0;

	while (exam->head_count > 0 && exam->heads->sequence <= sequence && r == 0) {
		bool here = exam->heads->sequence == sequence && chain;

		if (here && memcmp(exam->heads->chain, chain, AUDIT_DIGEST_TEXT) != 0)
			r = find(exam, FINDING_HEAD, sequence, str_of(NULL, 0));
		exam->heads++;
		exam->head_count--;
	}
	return r;
}

/* Where a former key ends the chain must be what the key in force says: whoever has that former key
 * could write all that is before it. */
static int compare_eras(struct exam *exam)
{
	for (size_t i = 0; i < exam->eras.count; i++)
		if (exam->eras.at[i].until == exam->walk.sequence &&
			(exam->walk.lost || memcmp(exam->eras.at[i].chain, exam->walk.chain,
						    AUDIT_DIGEST_TEXT) != 0))
			return find(exam, FINDING_HEAD, exam->walk.sequence, str_of(NULL, 0));
	return 0;
}

static int step(struct exam *exam, size_t i)
{
	const struct audit_row *row = &exam->rows[i];
	int64_t expected = exam->walk.sequence + 1;
	size_t before = exam->report->found;
	enum audit_step step = audit_walk_step(&exam->walk, row);
	int r = 0;

	if (step == AUDIT_AFTER_GAP) {
		r = compare_heads(exam, row->sequence.value - 1, NULL);
		if (r == 0)
			r = find(exam, FINDING_GAP, expected, str_of(NULL, 0));
	}
	if (r == 0)
		r = examine_entry(exam, i, row->sequence.value);
	if (r == 0 && step == AUDIT_MISPLACED && exam->report->found == before)
		r = find(exam, FINDING_ORDER, row->sequence.value, row->id);
	exam->report->entries++;
	if (r == 0)
		r = compare_eras(exam);
	return r < 0 ? r : compare_heads(exam, row->sequence.value, exam->walk.chain);
}

/* --- the marks ------------------------------------------------------------ */

static int examine_marks(struct exam *exam)
{
	const struct uuid *tenant = &exam->db.tenant;
	bool start_sound = !exam->has_start || audit_mark_sound(tenant, &exam->start);
	bool head_sound = !exam->has_head || audit_mark_sound(tenant, &exam->head);
	int r = 0;

	exam->report->good += (exam->has_start && start_sound) + (exam->has_head && head_sound);
	exam->report->bad += !start_sound + !head_sound + exam->eras.forged;
	exam->marks_seen = true;
	exam->target = exam->has_head ? exam->head.sequence : 0;
	if (!start_sound || !head_sound)
		r = find(exam, FINDING_MARK,
			start_sound ? exam->head.sequence : exam->start.sequence, str_of(NULL, 0));
	if (r == 0 && exam->eras.forged)
		r = find(exam, FINDING_MARK, 0, str_of(NULL, 0));
	if (r == 0 && exam->has_start && exam->start.broken_at > 0)
		r = find(exam, FINDING_DELETED, exam->start.broken_at, str_of(NULL, 0));
	return r;
}

/* The rest of the heads from elsewhere are of entries that should be there. */
static int examine_end(struct exam *exam)
{
	int64_t end = exam->has_head ? exam->head.sequence : 0;
	int r = 0;

	if (exam->last != end &&
		!(exam->last == 0 && exam->has_start && exam->start.sequence == end))
		r = find(exam, FINDING_END, MIN(exam->last, end) + 1, str_of(NULL, 0));
	else if (end == exam->walk.sequence && !exam->walk.lost && exam->has_head &&
		 !str_eq(exam->head.chain, str_of(exam->walk.chain, AUDIT_DIGEST_TEXT)))
		r = find(exam, FINDING_MARK, end, str_of(NULL, 0));
	for (; exam->head_count > 0 && r == 0; exam->head_count--, exam->heads++)
		if (exam->heads->sequence > end)
			r = find(exam, FINDING_HEAD, exam->heads->sequence, str_of(NULL, 0));
	return r;
}

/* --- a tenant ------------------------------------------------------------- */

/* Rows that cannot be read are looked at one by one. */
static int read_page(struct exam *exam, int (*fn)(struct tx *, void *), bool *ret_unreadable)
{
	int r = db_read(&exam->db, fn, exam);

	*ret_unreadable = false;
	if (r == -ERR_INTERNAL && exam->limit > 1) {
		exam->limit = 1;
		r = db_read(&exam->db, fn, exam);
	}
	if (r != -ERR_INTERNAL)
		return r;
	*ret_unreadable = true;
	return 0;
}

/* One page of the chain: 1 when there is more. */
static int examine_page(struct exam *exam)
{
	bool unreadable;
	int r = read_page(exam, page_in_tx, &unreadable);

	if (r == 0 && unreadable) {
		r = find(exam, FINDING_UNREADABLE, exam->walk.sequence + 1, str_of(NULL, 0));
		if (r == 0)
			r = db_read(&exam->db, skip_in_tx, exam);
		return r == 0 ? 1 : r == -ERR_INTERNAL ? 0 : r;
	}
	if (r == 0 && !exam->marks_seen)
		r = examine_marks(exam);
	if (r < 0)
		return r;
	if (exam->has_start && exam->start.sequence > exam->walk.sequence) {
		/* Older ones were deleted, before or just now. */
		audit_walk_from(&exam->walk, &exam->db.tenant, &exam->start, &exam->eras);
		r = compare_heads(
			exam, exam->start.sequence, exam->walk.lost ? NULL : exam->walk.chain);
		return r < 0 ? r : 1;
	}
	for (size_t i = 0; i < exam->count && r == 0; i++)
		r = step(exam, i);
	if (r < 0 || (exam->count > 0 && exam->walk.sequence < exam->target))
		return r < 0 ? r : 1;
	return examine_end(exam);
}

/* A row that cannot be read, whose id perhaps can be: 1 when it can. */
static int pass_in_tail(struct exam *exam)
{
	int r = find(exam, FINDING_UNREADABLE, 0, str_of(NULL, 0));

	if (r == 0)
		r = db_read(&exam->db, skip_tail_in_tx, exam);
	if (r < 0)
		return r == -ERR_INTERNAL || r == -ERR_NOT_FOUND ? 0 : r;
	exam->report->unchained++;
	return 1;
}

/* One page of the tail: 1 when there may be more, behind next_id. */
static int examine_tail_page(struct exam *exam)
{
	struct audit_report *report = exam->report;
	bool unreadable;
	int r = read_page(exam, tail_in_tx, &unreadable);

	if (r == 0 && unreadable)
		return pass_in_tail(exam);
	for (size_t i = 0; i < exam->count && r == 0; i++) {
		int64_t time = exam->rows[i].created_at;

		r = examine_entry(exam, i, 0);
		report->unchained++;
		if (report->oldest_unchained == 0 || time < report->oldest_unchained)
			report->oldest_unchained = time;
	}
	if (r < 0 || exam->count == 0)
		return r;
	exam->next_id = exam->rows[exam->count - 1].id;
	return (int64_t)exam->count == exam->limit;
}

static int examine_tail(struct exam *exam)
{
	char after[UUID_TEXT_LEN];
	int r;

	exam->limit = AUDIT_CHECK_BATCH;
	exam->after_id = str_from_c(UUID_FIRST);
	do {
		struct arena_mark mark = arena_mark(exam->db.arena);

		r = examine_tail_page(exam);
		if (r > 0) {
			memcpy(after, exam->next_id.at, UUID_TEXT_LEN);
			exam->after_id = str_of(after, sizeof(after));
		}
		arena_back(exam->db.arena, mark);
	} while (r > 0);
	return r;
}

static int examine(struct exam *exam)
{
	int r;

	exam->limit = AUDIT_CHECK_BATCH;
	audit_walk_from(&exam->walk, &exam->db.tenant, NULL, &exam->eras);
	do {
		struct arena_mark mark = arena_mark(exam->db.arena);

		r = examine_page(exam);
		arena_back(exam->db.arena, mark);
	} while (r > 0);
	exam->report->tenants++;
	return r < 0 ? r : examine_tail(exam);
}

/* --- all tenants ---------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct audit_known *one = a, *other = b;
	int order = uuid_cmp(&one->tenant, &other->tenant);

	return order ? order
		     : (one->sequence > other->sequence) - (one->sequence < other->sequence);
}

/* Takes over the tenant that a statement finds, when it is before the one that is known. */
static int look_next(const struct db *system, const struct statement *statement,
	const struct uuid *after, struct uuid *next, bool *ret_any)
{
	char text[UUID_TEXT_LEN];
	struct audit_ask ask = { .tenant_id = str_of(text, sizeof(text)) };
	struct audit_found found;
	struct uuid tenant;
	int r;

	uuid_write(text, after);
	r = db_one(system, statement, &ask, &found);
	if (r < 0)
		return r == -ERR_NOT_FOUND ? 0 : r;
	CHECK(uuid_parse(found.tenant_id, &tenant));
	if (!*ret_any || uuid_cmp(&tenant, next) < 0)
		*next = tenant;
	*ret_any = true;
	return 0;
}

/* The tenant behind that one, of those that have entries, marks or heads. 1, or 0 when there is
 * none.
 */
static int next_tenant(
	const struct db *system, const struct audit_known *heads, size_t count, struct uuid *ret)
{
	const struct uuid after = *ret;
	bool any = false;
	int r = look_next(system, &audit_next_entry, &after, ret, &any);

	if (r == 0)
		r = look_next(system, &audit_next_mark, &after, ret, &any);
	if (r == 0 && count > 0 && (!any || uuid_cmp(&heads->tenant, ret) < 0)) {
		*ret = heads->tenant;
		any = true;
	}
	return r < 0 ? r : any;
}

static int examine_all(const struct db *system, const struct audit_known *heads, size_t count,
	struct arena *keep, struct audit_report *report)
{
	struct uuid tenant = { { 0 } };
	int r;

	while ((r = next_tenant(system, heads, count, &tenant)) > 0) {
		struct exam exam = { .db = db_of(system->store, &tenant, system->arena),
			.report = report,
			.keep = keep,
			.heads = heads };

		while (exam.head_count < count &&
			uuid_cmp(&heads[exam.head_count].tenant, &tenant) == 0)
			exam.head_count++;
		if (exam.head_count) {
			heads += exam.head_count;
			count -= exam.head_count;
		}
		r = examine(&exam);
		if (r < 0)
			break;
		arena_reset(system->arena);
	}
	return r;
}

/* Nothing at all was sealed with our key: one finding says more than thousands. */
static void judge_key(struct audit_report *report)
{
	if (report->good > 0 || report->bad == 0)
		return;
	report->count = report->found = 1;
	report->at[0] = (struct audit_finding){ .kind = FINDING_KEY };
}

int audit_verify(struct store *store, struct audit_heads *heads, struct arena *arena,
	struct audit_report *ret)
{
	struct audit_report report = { .heads = (int64_t)heads->count };
	struct arena work;
	struct db system;
	int r;

	report.at = arena_zalloc(arena, AUDIT_FINDINGS_MAX * sizeof(*report.at));
	if (!report.at)
		return -(int)err_last()->code;
	if (heads->count > 0)
		qsort(heads->at, heads->count, sizeof(*heads->at), by_place);
	arena_init(&work, 64 * KILOBYTE, 64 * MEGABYTE);
	system = db_of_system(store, &work);
	r = audit_keys_read(store);
	if (r == 0)
		r = examine_all(&system, heads->at, heads->count, arena, &report);
	arena_done(&work);
	if (r < 0)
		return r;
	judge_key(&report);
	for (size_t i = 0; i < heads->forged; i++, report.found++)
		if (report.count < AUDIT_FINDINGS_MAX)
			report.at[report.count++] =
				(struct audit_finding){ .kind = FINDING_FORGED };
	*ret = report;
	return 0;
}
