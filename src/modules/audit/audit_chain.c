/*
 * The sequencer. Entries are committed in whatever order; it gives those that are there the next
 * sequence numbers of their tenant and chains them. That one of several instances does it is seen
 * to by the head of the chain: whoever finds it elsewhere than it was when they began is too late,
 * and what they did is rolled back. READ COMMITTED, so that it neither waits for nor disturbs those
 * who write entries.
 */
#include "modules/audit/audit_internal.h"

#include "observe/clock.h"
#include "observe/log.h"
#include "store/store.h"

enum { TELL_BATCH = 100 };

/* How long the log may not know of a head. */
#define TELL_AFTER MINUTE

static const struct tx_options chaining = { "audit_chain", .isolation = TX_READ_COMMITTED };

struct batch {
	size_t count; /* of entries that were chained */
};

/* --- one batch --------------------------------------------------------------------------- */

/* The head, or what is before the first entry. Never goes on from a head that was changed. */
static int read_head(struct tx *tx, struct audit_mark *head, bool *ret_first)
{
	char begin[AUDIT_DIGEST_TEXT];
	int r = audit_mark_read(tx, AUDIT_HEAD, head);

	if (r < 0)
		return r;
	*ret_first = r == 0;
	if (r > 0 && !audit_mark_sound(tx_tenant(tx), head))
		return fail(ERR_INVALID, "the head of the audit log is not what was written: it "
					 "was changed, or MASTER_KEY is another one");
	if (r == 0) {
		audit_chain_begin(0, tx_tenant(tx), begin);
		*head = (struct audit_mark){ .kind = AUDIT_HEAD,
			.chain = arena_str(tx_arena(tx), str_of(begin, sizeof(begin))) };
	}
	return head->chain.at ? 0 : -(int)err_last()->code;
}

/* The links of all entries; `head` goes to the last one. */
static int make_links(struct tx *tx, const struct audit_row *rows, size_t count,
	struct audit_mark *head, struct audit_ask **ret)
{
	struct audit_ask *links = arena_zalloc(tx_arena(tx), count * sizeof(*links));
	char chain[AUDIT_DIGEST_TEXT];

	if (!links)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		head->sequence++;
		audit_chain_next(0, head->chain, head->sequence, rows[i].seal, chain);
		head->chain = arena_str(tx_arena(tx), str_of(chain, sizeof(chain)));
		if (!head->chain.at)
			return -(int)err_last()->code;
		links[i] = (struct audit_ask){
			.id = rows[i].id, .sequence = head->sequence, .chain = head->chain
		};
	}
	*ret = links;
	return 0;
}

/* The head first: who is too late shall know soon. */
static int chain_in_tx(struct tx *tx, void *arg)
{
	struct audit_ask ask = { .limit = AUDIT_CHAIN_BATCH }, *links = NULL;
	struct batch *batch = arg;
	struct audit_mark head = { 0 };
	struct audit_row *rows = NULL;
	int64_t former;
	size_t count = 0;
	bool first = false;
	int r;

	batch->count = 0;
	r = read_head(tx, &head, &first);
	if (r == 0)
		r = tx_all(tx, &audit_unchained, &ask, &rows, &count);
	if (r < 0 || count == 0)
		return r;
	former = first ? -1 : head.sequence;
	r = make_links(tx, rows, count, &head, &links);
	if (r == 0)
		r = audit_mark_put(tx, &head, former);
	for (size_t i = 0; i < count && r == 0; i++)
		r = tx_exec(tx, &audit_chain_set, &links[i]);
	batch->count = count;
	return r;
}

int audit_chain_one(const struct db *db, size_t *ret)
{
	struct batch batch = { 0 };
	int r = db_write_with(db, &chaining, chain_in_tx, &batch);

	if (r == 0)
		*ret = batch.count;
	return r;
}

/* --- all tenants ---------------------------------------------------------------------------- */

/* That one chain cannot go on is no reason for the others to wait; told once a minute. */
static void complain(struct str tenant)
{
	static _Atomic int64_t last_us;
	int64_t last = last_us, now = clock_wall_us();

	if (now - last < (int64_t)(MINUTE / MICROSECOND) && now >= last)
		return;
	last_us = now;
	log_error("an audit log cannot be chained", LOG_STR("tenant", tenant), LOG_ERR);
}

/* One batch of each tenant that has something; whether there is more. */
static int chain_round(const struct db *system, bool *ret_more)
{
	char after[UUID_TEXT_LEN];
	struct audit_ask ask = { .tenant_id = str_from_c(UUID_FIRST) };
	bool more = false;
	int r = 0;

	while (!audit_is_over(r)) {
		struct arena_mark mark = arena_mark(system->arena);
		struct audit_found found;
		struct uuid tenant;
		struct db db;
		size_t count = 0;

		r = db_one(system, &audit_next_unchained, &ask, &found);
		if (r < 0)
			break;
		CHECK(uuid_parse(found.tenant_id, &tenant));
		memcpy(after, found.tenant_id.at, UUID_TEXT_LEN);
		ask.tenant_id = str_of(after, UUID_TEXT_LEN);
		db = db_of(system->store, &tenant, system->arena);
		r = audit_chain_one(&db, &count);
		if (r < 0 && r != -ERR_NOT_FOUND &&
			!audit_is_over(r)) /* not found: another was faster */
			complain(ask.tenant_id);
		more = more || count == AUDIT_CHAIN_BATCH;
		arena_back(system->arena, mark);
	}
	*ret_more = more;
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int audit_sequence(struct store *store)
{
	struct arena arena;
	struct db system;
	bool more = true;
	int r = 0;

	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	system = db_of_system(store, &arena);
	while (more && r == 0)
		r = chain_round(&system, &more);
	arena_done(&arena);
	return r;
}

/* --- what the log knows --------------------------------------------------- */

static int told_in_tx(struct tx *tx, void *arg)
{
	return tx_exec(tx, &audit_mark_told, arg);
}

/* Into the log first: rather twice than never. */
static int tell_one(const struct db *system, const struct audit_mark *head)
{
	struct audit_ask ask = { .sequence = head->sequence };
	char text[AUDIT_HEAD_TEXT];
	struct uuid tenant;
	struct db db;

	CHECK(uuid_parse(head->tenant_id, &tenant));
	if (!audit_mark_sound(&tenant, head))
		log_error("the head of an audit log is not what was written",
			LOG_STR("tenant", head->tenant_id));
	else
		log_info("audit head", LOG_STR("head", audit_head_write(text, &tenant, head)));
	db = db_of(system->store, &tenant, system->arena);
	return db_write_with(&db, &chaining, told_in_tx, &ask);
}

int audit_tell(struct store *store)
{
	struct audit_ask ask = { .limit = TELL_BATCH };
	struct audit_mark *heads;
	struct arena arena;
	struct db system;
	size_t count = 0;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	system = db_of_system(store, &arena);
	do {
		ask.before = clock_wall_us() - (int64_t)(TELL_AFTER / MICROSECOND);
		r = db_all(&system, &audit_marks_untold, &ask, &heads, &count);
		for (size_t i = 0; i < count && r == 0; i++)
			r = tell_one(&system, &heads[i]);
		arena_reset(&arena);
	} while (r == 0 && count == TELL_BATCH);
	arena_done(&arena);
	return r;
}
