/*
 * Deleting all rows of a tenant: table after table, those that refer to others first, some hundred
 * rows in each transaction so that nobody else waits. Where it stands is not written down: what is
 * left is what is there, so a crash costs nothing. The statements are made at the start from the
 * catalog of the database; they run as the tenant, so that the database itself would not let them
 * touch anybody else's rows.
 */
#include "modules/tenants/tenants_internal.h"

#include "observe/clock.h"
#include "observe/log.h"
#include "store/store.h"

#include <stdio.h>

enum {
	TABLES_MAX = 200,
	TABLE_NAME_MAX = 63, /* bytes, as PostgreSQL has it */
	STATEMENT_TEXT_MAX = 4 * TABLE_NAME_MAX + 200,
	BATCH = 500,  /* rows of one transaction */
	ROUNDS = 100, /* through all tables, when rows appear behind us */
};

/* Requests that were let in before, and instances that had not heard yet, must have ended. */
#define GRACE (2 * MINUTE)

struct room {
	int64_t room;
};

struct rows {
	int64_t rows;
};

struct due {
	int64_t before;
	struct str after_id;
};

/* clang-format off */
static const struct schema room_schema = SCHEMA(room, "How much of a table is deleted at once.",
	FIELD(room, room, "Rows."));

static const struct schema rows_schema = SCHEMA(rows, "How much there is of a table.",
	FIELD(rows, rows, "Rows."));

static const struct schema due_schema = SCHEMA(due, "Which deletion is next.",
	FIELD(due, before, "Begun before then.", .format = FORMAT_DATE_TIME),
	FIELD(due, after_id, "Behind this one.", .format = FORMAT_UUID));

static const struct schema tenant_key_schema = SCHEMA(tenant_ref, "A tenant by its id.",
	FIELD(tenant_ref, id, "Which.", .format = FORMAT_UUID));
/* clang-format on */

static const struct statement deletion_next = STATEMENT("tenant_deletion_next",
	.sql = "SELECT tenant_id AS id FROM main.tenant WHERE status = 'deleting' "
	       "AND updated_at < :before AND tenant_id > :after_id ORDER BY tenant_id LIMIT 1",
	.in = &due_schema, .out = &tenant_key_schema, .flags = STATEMENT_SYSTEM);

/* --- the tables --------------------------------------------------------------------------- */

struct table {
	struct statement_slot delete_slot, count_slot;
	struct statement delete, count;
	char delete_name[TABLE_NAME_MAX + 20], count_name[TABLE_NAME_MAX + 20];
	char delete_text[STATEMENT_TEXT_MAX], count_text[STATEMENT_TEXT_MAX];
	bool last; /* main.tenant itself: by tenant_forget_in_tx */
};

/* Of the store that is open. Static, since statements live as long as the process. */
static struct table tables[TABLES_MAX];
static size_t table_count;

/* What needs no quotes on either engine. */
static bool is_plain(struct str name)
{
	if (name.len == 0 || name.len > TABLE_NAME_MAX || name.at[0] < 'a' || name.at[0] > 'z')
		return false;
	for (size_t i = 0; i < name.len; i++) {
		char c = name.at[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return true;
}

static struct statement made(const char *name, const char *sql, struct statement_slot *slot)
{
	return (struct statement){ .name = name, .sql = sql, .slot = slot };
}

static void make_table(struct table *table, struct str name, bool sqlite)
{
	*table = (struct table){ .last = str_eq(name, S("tenant")) };
	(void)snprintf(table->delete_name, sizeof(table->delete_name), "tenant_delete_%.*s",
		STR_ARG(name));
	(void)snprintf(
		table->count_name, sizeof(table->count_name), "tenant_count_%.*s", STR_ARG(name));
	(void)snprintf(table->count_text, sizeof(table->count_text),
		"SELECT count(*) AS rows FROM %.*s WHERE tenant_id = :tenant", STR_ARG(name));
	if (sqlite)
		(void)snprintf(table->delete_text, sizeof(table->delete_text),
			"DELETE FROM main.%.*s WHERE tenant_id = :tenant LIMIT :room",
			STR_ARG(name));
	else
		(void)snprintf(table->delete_text, sizeof(table->delete_text),
			"DELETE FROM main.%.*s WHERE tenant_id = :tenant AND ctid = ANY (ARRAY("
			"SELECT ctid FROM %.*s WHERE tenant_id = :tenant LIMIT :room))",
			STR_ARG(name), STR_ARG(name));

	table->delete = made(table->delete_name, table->delete_text, &table->delete_slot);
	table->delete.in = &room_schema;
	table->count = made(table->count_name, table->count_text, &table->count_slot);
	table->count.out = &rows_schema;
}

static int make_tables(struct store *store, struct arena *arena)
{
	struct str *names;
	size_t count;
	int r = store_tenant_tables(store, arena, &names, &count);

	if (r < 0)
		return r;
	if (count > TABLES_MAX)
		return fail(ERR_FULL, "more than %d tables of tenants", TABLES_MAX);
	for (size_t i = 0; i < count; i++) {
		if (!is_plain(names[i]))
			return fail(ERR_INVALID, "table \"%.*s\": a name is [a-z][a-z0-9_]*",
				STR_ARG(names[i]));
		make_table(&tables[i], names[i], store_is_sqlite(store));
	}
	table_count = count;
	return 0;
}

int tenant_tables_open(struct store *store)
{
	static const struct statement *all[2 * TABLES_MAX + 1];
	size_t count = 0;
	struct arena arena;
	int r;

	arena_init(&arena, 16 * KILOBYTE, MEGABYTE);
	r = make_tables(store, &arena);
	arena_done(&arena);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table_count; i++) {
		all[count++] = &tables[i].count;
		if (!tables[i].last)
			all[count++] = &tables[i].delete;
	}
	all[count++] = &deletion_next;
	return store_register(store, all, count);
}

/* --- counting ------------------------------------------------------------------------------- */

struct tally {
	const struct uuid *id;
	bool all; /* the tenant's own row, too */
	int64_t rows;
};

static int count_in_tx(struct tx *tx, void *arg)
{
	struct tally *tally = arg;
	int r = tx_enter(tx, tally->id);

	tally->rows = 0;
	for (size_t i = 0; i < table_count && r == 0; i++) {
		struct rows rows = { 0 };

		if (tables[i].last && !tally->all)
			continue;
		r = tx_one(tx, &tables[i].count, NULL, &rows);
		tally->rows += rows.rows;
	}
	return r < 0 ? r : tx_leave(tx);
}

int tenant_rows_left(struct store *store, const struct uuid *id, struct arena *arena, int64_t *ret)
{
	struct db db = db_of_system(store, arena);
	struct tally tally = { id, true, 0 };
	int r = db_read(&db, count_in_tx, &tally);

	if (r == 0)
		*ret = tally.rows;
	return r;
}

/* --- deleting --------------------------------------------------------------------------------- */

struct batch {
	const struct uuid *id;
	const struct table *table;
	size_t deleted;
};

static int delete_in_tx(struct tx *tx, void *arg)
{
	struct batch *batch = arg;
	struct room room = { BATCH };
	int r = tx_enter(tx, batch->id);

	if (r == 0)
		r = tx_change(tx, &batch->table->delete, &room, &batch->deleted);
	return r < 0 ? r : tx_leave(tx);
}

static int empty_table(const struct db *db, const struct uuid *id, const struct table *table)
{
	static const struct tx_options options = { "tenant_delete_rows", .durability = TX_SOFT };
	struct batch batch = { id, table, 0 };
	int r;

	do {
		struct arena_mark mark = arena_mark(db->arena);

		r = db_write_with(db, &options, delete_in_tx, &batch);
		arena_back(db->arena, mark);
	} while (r == 0 && batch.deleted > 0);
	return r < 0 ? err_wrap("table %s", table->delete_name + sizeof("tenant_delete_") - 1) : 0;
}

struct last_step {
	struct uuid id;
	bool again; /* there are rows that were not there before */
};

/* Whether nothing is left is asked in the transaction that says so. */
static int finish_in_tx(struct tx *tx, void *arg)
{
	struct last_step *step = arg;
	struct tally tally = { &step->id, false, 0 };
	int r = count_in_tx(tx, &tally);

	step->again = tally.rows > 0;
	return r < 0 || step->again ? r : tenant_forget_in_tx(tx, &step->id);
}

static int delete_tenant(const struct db *db, const struct uuid *id)
{
	struct last_step step = { *id, true };
	int r = 0;

	for (int round = 0; round < ROUNDS && step.again && r == 0; round++) {
		for (size_t i = 0; i < table_count && r == 0; i++)
			if (!tables[i].last)
				r = empty_table(db, id, &tables[i]);
		if (r == 0)
			r = db_write(db, finish_in_tx, &step);
	}
	if (r == 0 && step.again)
		return fail(ERR_CONFLICT, "rows keep being added");
	return r == -ERR_NOT_FOUND ? 0 : r; /* another instance did it */
}

/* --- all that are due ----------------------------------------------------- */

static int next_due(const struct db *db, struct str after, struct uuid *ret)
{
	struct due due = { clock_wall_us() - (int64_t)(GRACE / MICROSECOND), after };
	struct tenant_ref ref;
	int r = db_one(db, &deletion_next, &due, &ref);

	if (r == 0)
		CHECK(uuid_parse(ref.id, ret));
	return r;
}

static bool is_over(int r)
{
	return r == -ERR_CANCELLED || r == -ERR_TIMEOUT || r == -ERR_UNAVAILABLE;
}

/* That one cannot be deleted is no reason for the others to wait. */
static void tell(const struct uuid *id, int r)
{
	char text[UUID_TEXT_LEN];
	struct str tenant = str_of(text, sizeof(text));

	uuid_write(text, id);
	if (r == 0)
		log_info("tenant deleted", LOG_STR("tenant", tenant));
	else if (!is_over(r))
		log_error("a tenant could not be deleted", LOG_STR("tenant", tenant), LOG_ERR);
}

static int purge(const struct db *db, size_t *gone)
{
	char after[UUID_TEXT_LEN];
	struct uuid id = { { 0 } };
	int r = 0;

	while (!is_over(r)) {
		struct arena_mark mark = arena_mark(db->arena);

		uuid_write(after, &id);
		r = next_due(db, str_of(after, sizeof(after)), &id);
		if (r < 0)
			break;
		r = delete_tenant(db, &id);
		arena_back(db->arena, mark);
		tell(&id, r);
		*gone += r == 0;
	}
	return r == -ERR_NOT_FOUND ? 0 : r;
}

int tenants_purge(struct store *store, size_t *ret_gone)
{
	struct arena arena;
	struct db db;
	size_t gone = 0;
	int r;

	arena_init(&arena, 16 * KILOBYTE, 4 * MEGABYTE);
	db = db_of_system(store, &arena);
	r = purge(&db, &gone);
	arena_done(&arena);
	if (ret_gone)
		*ret_gone = gone;
	return r;
}
