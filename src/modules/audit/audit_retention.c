/*
 * What goes: entries that are old, and personal data of users who are gone. Old entries go from the
 * beginning of a chain on, some hundred in each transaction, which leaves a signed mark from which
 * the rest can be verified. They are verified once more before: that they were not whole stays
 * known.
 */
#include "modules/audit/audit_internal.h"

#include "observe/clock.h"
#include "observe/log.h"
#include "store/store.h"

/* A transaction that began before an order to erase has ended by then. */
#define ROUND_AFTER (15 * MINUTE)

enum { ROUNDS = 2, ERASURES = 100 };

static const struct tx_options deleting = { "audit_delete", .isolation = TX_READ_COMMITTED };
static const struct tx_options erasing = { "audit_erase", .isolation = TX_READ_COMMITTED };

/* --- old entries --------------------------------------------------------------------------- */

struct cut {
	int64_t before; /* older ones go */
	size_t deleted;
	int64_t broken_at; /* the first that was not whole; 0 */
};

/* How many of the rows go, and where the walk stands behind them. */
static size_t count_old(struct cut *cut, struct audit_walk *walk, const struct audit_row *rows,
	size_t count, struct audit_mark *start)
{
	size_t old = 0;

	while (old < count && rows[old].created_at < cut->before) {
		const struct audit_row *row = &rows[old++];
		unsigned look = audit_row_look(&walk->tenant, row, walk->eras);
		bool whole = audit_walk_step(walk, row) == AUDIT_FOLLOWS &&
			     !(look & (AUDIT_EDITED | AUDIT_FORGED));

		if (!whole && start->broken_at == 0)
			start->broken_at = row->sequence.value;
	}
	return old;
}

static int cut_in_tx(struct tx *tx, void *arg)
{
	struct audit_ask ask = { .limit = AUDIT_DELETE_BATCH };
	struct audit_mark start = { .kind = AUDIT_START };
	struct cut *cut = arg;
	struct audit_eras eras = { .count = 0 };
	struct audit_walk walk;
	struct audit_row *rows = NULL;
	size_t count = 0;
	int64_t former;
	int r = audit_mark_read(tx, AUDIT_START, &start);

	cut->deleted = 0;
	if (r < 0)
		return r;
	former = r > 0 ? start.sequence : -1;
	audit_walk_from(&walk, tx_tenant(tx), r > 0 ? &start : NULL, &eras);
	if (r > 0 && !audit_mark_sound(tx_tenant(tx), &start) && start.broken_at == 0)
		start.broken_at = start.sequence;
	ask.sequence = start.sequence;
	r = audit_eras_read(tx, &eras);
	if (r == 0)
		r = tx_all(tx, &audit_by_sequence, &ask, &rows, &count);
	if (r < 0)
		return r;
	count = count_old(cut, &walk, rows, count, &start);
	if (count == 0)
		return 0;

	start.sequence = ask.last_sequence = walk.sequence;
	start.chain = rows[count - 1].chain;
	start.told_sequence = start.sequence;
	r = audit_mark_put(tx, &start, former);
	if (r == 0)
		r = tx_exec(tx, &audit_delete, &ask);
	if (r == 0 && eras.count > 0)
		r = tx_exec(tx, &audit_era_drop, &ask);
	cut->deleted = count;
	cut->broken_at = start.broken_at;
	return r;
}

static void tell_cut(struct str tenant, size_t deleted, int64_t broken_at)
{
	if (deleted > 0)
		log_info("old audit entries deleted", LOG_STR("tenant", tenant),
			LOG_U64("count", deleted));
	if (deleted > 0 && broken_at > 0)
		log_error("deleted audit entries were not what was written",
			LOG_STR("tenant", tenant), LOG_INT("sequence", broken_at));
}

static int cut_tenant(const struct db *db, struct str tenant, int64_t before)
{
	struct cut cut = { .before = before };
	size_t deleted = 0;
	int r;

	do {
		struct arena_mark mark = arena_mark(db->arena);

		r = db_write_with(db, &deleting, cut_in_tx, &cut);
		arena_back(db->arena, mark);
		if (r == 0)
			deleted += cut.deleted;
	} while (r == 0 && cut.deleted == AUDIT_DELETE_BATCH);
	tell_cut(tenant, deleted, cut.broken_at);
	return r == -ERR_NOT_FOUND ? 0 : r; /* another instance does it */
}

int audit_retain(struct store *store, uint64_t age_ns)
{
	int64_t before = clock_wall_us() - (int64_t)(age_ns / MICROSECOND);
	char first[UUID_TEXT_LEN], after[UUID_TEXT_LEN];
	struct audit_ask ask = { .tenant_id = str_from_c(UUID_FIRST),
		.last_id = audit_id_at(first, before) };
	struct arena arena;
	struct db system;
	int r = 0;

	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	system = db_of_system(store, &arena);
	r = audit_keys_read(store);
	if (r < 0) {
		arena_done(&arena);
		return r;
	}
	while (!audit_is_over(r)) {
		struct audit_found found;
		struct uuid tenant;
		struct db db;

		r = db_one(&system, &audit_next_old, &ask, &found);
		if (r < 0)
			break;
		CHECK(uuid_parse(found.tenant_id, &tenant));
		memcpy(after, found.tenant_id.at, UUID_TEXT_LEN);
		ask.tenant_id = str_of(after, UUID_TEXT_LEN);
		db = db_of(store, &tenant, &arena);
		r = cut_tenant(&db, ask.tenant_id, before);
		if (r < 0 && !audit_is_over(r))
			log_error("old audit entries could not be deleted",
				LOG_STR("tenant", ask.tenant_id), LOG_ERR);
		arena_reset(&arena);
	}
	if (r == -ERR_NOT_FOUND)
		r = db_exec(&system, &audit_former_drop, NULL);
	arena_done(&arena);
	return r;
}

/* --- personal data -------------------------------------------------------- */

int audit_erase_user_in_tx(struct tx *tx, const struct uuid *user)
{
	char id[UUID_TEXT_LEN], seal[AUDIT_DIGEST_TEXT];
	struct audit_ask ask = { .user_id = str_of(id, sizeof(id)) };

	uuid_write(id, user);
	audit_erasure_seal(0, tx_tenant(tx), ask.user_id, seal);
	ask.seal = str_of(seal, sizeof(seal));
	return tx_exec(tx, &audit_erasure_add, &ask);
}

/* One batch: the entries of an index from a place on. */
struct erasing {
	const struct statement *find, *erase;
	struct audit_ask ask;
	char after[UUID_TEXT_LEN];
	size_t found, erased;
};

static int erase_in_tx(struct tx *tx, void *arg)
{
	struct erasing *erasing = arg;
	struct audit_found *found;
	int r = tx_all(tx, erasing->find, &erasing->ask, &found, &erasing->found);

	erasing->erased = 0;
	if (r < 0 || erasing->found == 0)
		return r;
	erasing->ask.last_id = found[erasing->found - 1].id;
	return tx_change(tx, erasing->erase, &erasing->ask, &erasing->erased);
}

static int erase_all(const struct db *db, struct str user, const struct statement *find,
	const struct statement *erase, int64_t *erased)
{
	struct erasing work = { find, erase,
		.ask = { .user_id = user,
			.after_id = str_from_c(UUID_FIRST),
			.limit = AUDIT_ERASE_BATCH } };
	int r;

	do {
		struct arena_mark mark = arena_mark(db->arena);

		r = db_write_with(db, &erasing, erase_in_tx, &work);
		if (r == 0 && work.found > 0) {
			memcpy(work.after, work.ask.last_id.at, UUID_TEXT_LEN);
			work.ask.after_id = str_of(work.after, UUID_TEXT_LEN);
			*erased += (int64_t)work.erased;
		}
		arena_back(db->arena, mark);
	} while (r == 0 && work.found == AUDIT_ERASE_BATCH);
	return r;
}

struct round {
	const struct audit_erasure *order;
	struct audit_ask ask;
};

/* After the last round an entry tells what was done, for whoever finds values missing. */
static int end_round_in_tx(struct tx *tx, void *arg)
{
	static const struct audit_actor program = { .kind = AUDIT_PROGRAM };
	const struct round *round = arg;
	struct audit_erasure done = { .erased = round->order->erased + round->ask.erased };
	struct audit_entry entry = { .action = S(AUDIT_ERASED),
		.type = S("user"),
		.id = round->order->user_id,
		.schema = &audit_erased_schema,
		.after = &done };
	int r;

	if (round->order->rounds + 1 < ROUNDS)
		return tx_exec(tx, &audit_erasure_again, &round->ask);
	r = tx_exec(tx, &audit_erasure_done, &round->ask);
	return r < 0 ? r : tx_audit(tx, &program, &entry);
}

/* Somebody who can write to the database wants to be forgotten. */
static int refuse(const struct db *db, const struct round *round)
{
	log_error("an order to erase was not given by this program",
		LOG_STR("user", round->order->user_id));
	return db_exec(db, &audit_erasure_done, &round->ask);
}

static int erase_user(const struct db *db, const struct audit_erasure *order)
{
	struct round round = { order,
		{ .user_id = order->user_id,
			.rounds = order->rounds,
			.due_at = clock_wall_us() + (int64_t)(ROUND_AFTER / MICROSECOND) } };
	int r;

	if (!audit_erasure_sound(&db->tenant, order->user_id, order->seal))
		return refuse(db, &round);
	r = erase_all(db, order->user_id, &audit_of_user, &audit_erase_address, &round.ask.erased);
	if (r == 0)
		r = erase_all(
			db, order->user_id, &audit_of_user, &audit_erase_own, &round.ask.erased);
	if (r == 0)
		r = erase_all(
			db, order->user_id, &audit_of_other, &audit_erase_other, &round.ask.erased);
	if (r == 0)
		r = db_write(db, end_round_in_tx, &round);
	return r == -ERR_NOT_FOUND ? 0 : r; /* another instance was faster */
}

static int erase_one(const struct db *system, const struct audit_erasure *order)
{
	struct uuid tenant;
	struct db db;
	int r;

	CHECK(uuid_parse(order->tenant_id, &tenant));
	db = db_of(system->store, &tenant, system->arena);
	r = erase_user(&db, order);
	if (r == 0 || audit_is_over(r))
		return r;
	log_error(
		"personal data could not be erased", LOG_STR("tenant", order->tenant_id), LOG_ERR);
	return 0;
}

int audit_erase(struct store *store)
{
	struct audit_ask ask = { .before = clock_wall_us(), .limit = ERASURES };
	struct audit_erasure *orders = NULL;
	struct arena arena;
	struct db system;
	size_t count = 0;
	int r;

	arena_init(&arena, 64 * KILOBYTE, 4 * MEGABYTE);
	system = db_of_system(store, &arena);
	r = db_all(&system, &audit_erasure_due, &ask, &orders, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = erase_one(&system, &orders[i]);
	arena_done(&arena);
	return r;
}
