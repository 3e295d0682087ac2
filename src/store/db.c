/* The front of both engines: handles, transactions as functions, and what every statement is
 * checked for before an engine sees it. */
#include "store/store_internal.h"

#include "observe/clock.h"
#include "observe/log.h"
#include "store/notice_internal.h"

#include <stdio.h>

/* Version 8 (RFC 9562 5.8), so that no generated id can be the same. */
const struct uuid tenant_system = { { 0, 0, 0, 0, 0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0, 1 } };

struct tx_after {
	struct link link;
	void (*fn)(void *arg);
	void *arg;
};

/* --- handles --------------------------------------------------------------------- */

static bool is_nil(const struct uuid *id)
{
	static const struct uuid nil;

	return uuid_cmp(id, &nil) == 0;
}

struct db db_of(struct store *store, const struct uuid *tenant, struct arena *arena)
{
	return (struct db){ .store = store, .arena = arena, .tenant = *tenant };
}

struct db db_of_system(struct store *store, struct arena *arena)
{
	return (struct db){
		.store = store, .arena = arena, .tenant = tenant_system, .system = true
	};
}

/* --- running a transaction -------------------------------------------------------- */

void tx_begin_attempt(struct tx *tx)
{
	if (tx->attempts++ > 0)
		arena_back(tx->arena, tx->mark);
	tx->tenant = tx->home;
	tx->entered = false;
	tx->stepping = false;
	tx->failed = NULL;
	link_init(&tx->after);
	tx->after_count = 0;
	tx->notices = NULL;
	if (tx->single && tx->single->rows)
		tx->single->rows->again(tx->single->rows);
}

int tx_failed_before(const struct tx *tx)
{
	return err_restore(tx->failed);
}

int tx_keep(struct tx *tx, int r)
{
	struct err err;

	if (LIKELY(r >= 0) || tx->failed)
		return r;
	err = *err_last();
	tx->failed = arena_alloc(tx->arena, sizeof(err));
	if (!tx->failed) {
		static struct err no_memory = { .code = ERR_NO_MEMORY,
			.depth = 1,
			.frames = { { .text = "no memory for the error of a transaction" } } };

		tx->failed = &no_memory;
		return -ERR_NO_MEMORY;
	}
	*tx->failed = err;
	return tx_failed_before(tx);
}

int tx_fail(struct tx *tx, int r)
{
	return tx_keep(tx, r);
}

int tx_call(struct tx *tx)
{
	bool on_fiber = fiber_current();
	int r;

	if (on_fiber)
		nopark_begin();
	if (tx->single)
		r = tx->engine->ops->step(tx, tx->single->statement, tx->single->in,
			tx->single->rows, tx->single->changed);
	else
		r = tx->fn(tx, tx->arg);
	if (on_fiber)
		nopark_end();

	CHECK(r <= 0);
	return r == 0 && tx->failed ? tx_failed_before(tx) : r;
}

static struct str trace_now(void)
{
	const struct log_context *context = log_context_now();

	return context ? context->trace_id : str_of(NULL, 0);
}

static void after_commit(struct tx *tx)
{
	struct tx_after *after;

	LIST_EACH (after, &tx->after, struct tx_after, link)
		after->fn(after->arg);
}

static int run(const struct db *db, struct tx *tx)
{
	struct scope *scope;
	int r;

	CHECK(fiber_current() && sched_here()->nopark == 0); /* no transaction inside another */
	if (!db->store || is_nil(&db->tenant))
		return fail(ERR_FORBIDDEN, "this needs a tenant");

	scope = fiber_current()->scope;
	tx->store = db->store;
	tx->engine = db->store->engine;
	tx->arena = db->arena;
	tx->home = db->tenant;
	tx->system = db->system;
	tx->deadline_ns = scope ? scope->deadline_ns : TIME_NEVER;
	tx->now_us = clock_wall_us();
	tx->trace = trace_now();
	tx->mark = arena_mark(db->arena);

	r = tx->engine->ops->run(tx->engine, tx);
	if (tx->notices && (r == 0 || r == -ERR_UNAVAILABLE)) /* which may be committed */
		notices_tell_batch(tx->notices);
	if (r == 0)
		after_commit(tx);
	return r;
}

int db_write_with(const struct db *db, const struct tx_options *options,
	int (*fn)(struct tx *, void *arg), void *arg)
{
	struct tx tx = { .options = *options, .fn = fn, .arg = arg };

	return run(db, &tx);
}

int db_write(const struct db *db, int (*fn)(struct tx *, void *arg), void *arg)
{
	return db_write_with(db, &(struct tx_options){ 0 }, fn, arg);
}

int db_read(const struct db *db, int (*fn)(struct tx *, void *arg), void *arg)
{
	struct tx tx = { .read_only = true, .fn = fn, .arg = arg };

	return run(db, &tx);
}

/* --- before a statement ------------------------------------------------------------ */

static int gate(const struct store *store, bool system, bool read_only,
	const struct statement *statement, const void *in)
{
	const struct sql_plan *plan = statement_plan(statement, store->engine->kind);

	CHECK(!in == !statement->in);
	if (!plan)
		return fail(ERR_INTERNAL, "statement %s is not registered", statement->name);
	if (plan->system && !system)
		return fail(ERR_INTERNAL, "statement %s crosses tenants, the handle does not",
			statement->name);
	if (!plan->system && system)
		return fail(ERR_INTERNAL,
			"statement %s is of a tenant, and the handle has entered none",
			statement->name);
	if (read_only && plan->verb != SQL_READ)
		return fail(ERR_INTERNAL, "statement %s writes, in a transaction that reads",
			statement->name);
	return 0;
}

static int step(struct tx *tx, const struct statement *statement, const void *in,
	struct tx_rows *rows, size_t *changed)
{
	int r;

	CHECK(!tx->stepping); /* not out of tx_each */
	if (tx->failed)
		return tx_failed_before(tx);

	r = gate(tx->store, tx->system && !tx->entered, tx->read_only, statement, in);
	if (r == 0) {
		tx->stepping = true;
		r = tx->engine->ops->step(tx, statement, in, rows, changed);
		tx->stepping = false;
	}
	return tx_keep(tx, r);
}

int statement_expects(const struct statement *statement, size_t changed)
{
	if (statement->expect == EXPECT_ANY || changed == 1)
		return 0;
	if (changed == 0)
		return fail(ERR_NOT_FOUND, "there is no such thing");
	return fail(
		ERR_INTERNAL, "statement %s touched %zu rows, not one", statement->name, changed);
}

int tx_param(struct tx *tx, const struct statement *statement, const struct sql_plan *plan,
	size_t param, const void *in, struct row_value *ret)
{
	const struct sql_param *what = &plan->params[param];

	switch (what->source) {
	case SQL_TENANT:
		ret->kind = ROW_UUID;
		memcpy(ret->uuid, tx->tenant.bytes, sizeof(ret->uuid));
		return 0;
	case SQL_NOW:
		ret->kind = ROW_TIME;
		ret->integer = tx->now_us;
		return 0;
	case SQL_MEMBER: break;
	}
	return row_get(statement->in, what->column, in, tx->arena, ret);
}

/* --- rows --------------------------------------------------------------------------- */

/* One row, of which there must not be more. */
struct one_row {
	struct tx_rows rows;
	const struct statement *statement;
	void *at;
	size_t count;
};

static int place_one(struct tx_rows *rows, void **ret)
{
	struct one_row *one = CONTAINER_OF(rows, struct one_row, rows);

	if (one->count > 0)
		return fail(ERR_INTERNAL, "statement %s gave several rows, not one",
			one->statement->name);
	memset(one->at, 0, one->statement->out->size);
	*ret = one->at;
	return 0;
}

static int take_one(struct tx_rows *rows)
{
	CONTAINER_OF(rows, struct one_row, rows)->count++;
	return 0;
}

static void no_row(struct tx_rows *rows)
{
	CONTAINER_OF(rows, struct one_row, rows)->count = 0;
}

static struct one_row one_row(const struct statement *statement, void *ret)
{
	CHECK(statement->out);
	return (struct one_row){ { place_one, take_one, no_row }, statement, ret, 0 };
}

static int one_came(const struct one_row *one)
{
	return one->count ? 0 : fail(ERR_NOT_FOUND, "there is no such thing");
}

/* All rows, in an array that doubles. */
struct all_rows {
	struct tx_rows rows;
	struct arena *arena;
	size_t size; /* of one */
	char *at;
	size_t count, room;
};

static int place_next(struct tx_rows *rows, void **ret)
{
	struct all_rows *all = CONTAINER_OF(rows, struct all_rows, rows);

	if (all->count == TX_ROWS_MAX)
		return fail(ERR_TOO_LARGE, "more than %d rows", TX_ROWS_MAX);
	if (all->count == all->room) {
		size_t room = all->room ? all->room * 2 : 16;
		char *at = arena_alloc(all->arena, room * all->size);

		if (!at)
			return -(int)err_last()->code;
		if (all->count)
			memcpy(at, all->at, all->count * all->size);
		all->at = at;
		all->room = room;
	}
	*ret = memset(all->at + all->count * all->size, 0, all->size);
	return 0;
}

static int take_next(struct tx_rows *rows)
{
	CONTAINER_OF(rows, struct all_rows, rows)->count++;
	return 0;
}

static void no_rows(struct tx_rows *rows)
{
	struct all_rows *all = CONTAINER_OF(rows, struct all_rows, rows);

	all->at = NULL;
	all->count = all->room = 0;
}

static struct all_rows all_rows(const struct statement *statement, struct arena *arena)
{
	CHECK(statement->out);
	return (struct all_rows){ { place_next, take_next, no_rows }, arena, statement->out->size,
		NULL, 0, 0 };
}

static void give_all(const struct all_rows *all, void *ret_at, size_t *ret_count)
{
	void *at = all->count ? all->at : NULL;

	memcpy(ret_at, &at, sizeof(at)); /* a pointer to some struct, whichever */
	*ret_count = all->count;
}

/* Each row in the same place. */
struct each_row {
	struct tx_rows rows;
	struct arena *arena;
	struct arena_mark mark;
	size_t size;
	void *row;
	int (*each)(void *row, void *arg);
	void *arg;
};

static int place_again(struct tx_rows *rows, void **ret)
{
	struct each_row *each = CONTAINER_OF(rows, struct each_row, rows);

	each->mark = arena_mark(each->arena);
	*ret = memset(each->row, 0, each->size);
	return 0;
}

static int pass_on(struct tx_rows *rows)
{
	struct each_row *each = CONTAINER_OF(rows, struct each_row, rows);
	int r = each->each(each->row, each->arg);

	arena_back(each->arena, each->mark);
	return r;
}

/* --- statements ---------------------------------------------------------------------- */

int tx_exec(struct tx *tx, const struct statement *statement, const void *in)
{
	return step(tx, statement, in, NULL, NULL);
}

int tx_change(struct tx *tx, const struct statement *statement, const void *in, size_t *ret)
{
	return step(tx, statement, in, NULL, ret);
}

int tx_one(struct tx *tx, const struct statement *statement, const void *in, void *ret)
{
	struct one_row one = one_row(statement, ret);
	int r = step(tx, statement, in, &one.rows, NULL);

	return r < 0 ? r : one_came(&one);
}

int tx_all(struct tx *tx, const struct statement *statement, const void *in, void *ret_at,
	size_t *ret_count)
{
	struct all_rows all = all_rows(statement, tx->arena);
	int r = step(tx, statement, in, &all.rows, NULL);

	if (r == 0)
		give_all(&all, ret_at, ret_count);
	return r;
}

int tx_each(struct tx *tx, const struct statement *statement, const void *in, void *row,
	int (*each)(void *row, void *arg), void *arg)
{
	struct each_row rows = { { place_again, pass_on, NULL }, tx->arena,
		.size = statement->out->size, .row = row, .each = each, .arg = arg };

	return step(tx, statement, in, &rows.rows, NULL);
}

/* --- transactions of one statement ---------------------------------------------------- */

static int run_single(
	const struct db *db, const struct tx_options *options, const struct tx_single *single)
{
	struct tx tx = { .options = *options, .single = single };
	int r;

	if (!db->store || is_nil(&db->tenant))
		return fail(ERR_FORBIDDEN, "this needs a tenant");
	r = gate(db->store, db->system, false, single->statement, single->in);
	if (r < 0)
		return r;
	tx.read_only = statement_plan(single->statement, db->store->engine->kind)->verb == SQL_READ;
	return run(db, &tx);
}

int db_exec_with(const struct db *db, const struct tx_options *options,
	const struct statement *statement, const void *in)
{
	return run_single(db, options, &(struct tx_single){ .statement = statement, .in = in });
}

int db_exec(const struct db *db, const struct statement *statement, const void *in)
{
	return db_exec_with(db, &(struct tx_options){ 0 }, statement, in);
}

int db_one_with(const struct db *db, const struct tx_options *options,
	const struct statement *statement, const void *in, void *ret)
{
	struct one_row one = one_row(statement, ret);
	int r = run_single(db, options,
		&(struct tx_single){ .statement = statement, .in = in, .rows = &one.rows });

	return r < 0 ? r : one_came(&one);
}

int db_one(const struct db *db, const struct statement *statement, const void *in, void *ret)
{
	return db_one_with(db, &(struct tx_options){ 0 }, statement, in, ret);
}

int db_all(const struct db *db, const struct statement *statement, const void *in, void *ret_at,
	size_t *ret_count)
{
	struct all_rows all = all_rows(statement, db->arena);
	int r = run_single(db, &(struct tx_options){ 0 },
		&(struct tx_single){ .statement = statement, .in = in, .rows = &all.rows });

	if (r == 0)
		give_all(&all, ret_at, ret_count);
	return r;
}

/* --- tenants ---------------------------------------------------------------------------- */

int tx_enter(struct tx *tx, const struct uuid *tenant)
{
	if (tx->failed)
		return tx_failed_before(tx);
	if (!tx->system || tx->entered || is_nil(tenant))
		return tx_keep(tx,
			fail(ERR_INTERNAL, "only a system handle enters a tenant, one at a time"));

	tx->tenant = *tenant;
	tx->entered = true;
	return tx_keep(tx, tx->engine->ops->enter(tx));
}

int tx_leave(struct tx *tx)
{
	if (tx->failed)
		return tx_failed_before(tx);
	if (!tx->entered)
		return tx_keep(tx, fail(ERR_INTERNAL, "no tenant was entered"));

	tx->tenant = tx->home;
	tx->entered = false;
	return tx_keep(tx, tx->engine->ops->enter(tx));
}

/* --- the rest ------------------------------------------------------------------------------ */

void *tx_after_arg(const struct tx *tx, void (*fn)(void *arg))
{
	const struct tx_after *after;

	LIST_EACH (after, &tx->after, struct tx_after, link)
		if (after->fn == fn)
			return after->arg;
	return NULL;
}

static bool is_asked_for(const struct tx *tx, void (*fn)(void *arg), const void *arg)
{
	const struct tx_after *after;

	LIST_EACH (after, &tx->after, struct tx_after, link)
		if (after->fn == fn && after->arg == arg)
			return true;
	return false;
}

int tx_after_commit(struct tx *tx, void (*fn)(void *arg), void *arg)
{
	struct tx_after *after;

	if (tx->failed)
		return tx_failed_before(tx);
	if (is_asked_for(tx, fn, arg))
		return 0;
	if (tx->after_count == TX_AFTER_MAX)
		return tx_keep(tx,
			fail(ERR_FULL, "more than %d things to do after a commit", TX_AFTER_MAX));
	after = arena_new(tx->arena, struct tx_after);
	if (!after)
		return tx_keep(tx, -(int)err_last()->code);

	after->fn = fn;
	after->arg = arg;
	list_push(&tx->after, &after->link);
	tx->after_count++;
	return 0;
}

struct arena *tx_arena(struct tx *tx)
{
	return tx->arena;
}

int64_t tx_now_us(const struct tx *tx)
{
	return tx->now_us;
}

const struct uuid *tx_tenant(const struct tx *tx)
{
	return &tx->tenant;
}

struct store *tx_store(const struct tx *tx)
{
	return tx->store;
}

/* --- constraints ----------------------------------------------------------------------------- */

/* The member's name on the wire, or the column's own. */
static struct str wire_name(const struct statement *statement, struct str column)
{
	ptrdiff_t at = statement->in ? row_find(statement->in, column) : -1;

	return at < 0 ? column : row_wire_name(statement->in, (size_t)at);
}

int fail_constraint(enum constraint kind, const struct statement *statement, struct str column)
{
	static const struct {
		enum err_code code;
		const char *rule, *text;
	} rows[] = {
		[CONSTRAINT_UNIQUE] = { ERR_CONFLICT, "unique", "is taken" },
		[CONSTRAINT_REFERENCE] = { ERR_INVALID, "unknown_reference",
			"refers to something that does not exist" },
		[CONSTRAINT_REFERENCED] = { ERR_CONFLICT, "still_referenced",
			"is still referred to" },
		[CONSTRAINT_CHECK] = { ERR_INVALID, "check", "breaks a rule of the table" },
		[CONSTRAINT_REQUIRED] = { ERR_INVALID, "required", "is required" },
	};
	char field[ERR_FIELD_MAX];

	(void)snprintf(field, sizeof(field), "%.*s", STR_ARG(wire_name(statement, column)));
	return fail_field(rows[kind].code, field, rows[kind].rule, "%s", rows[kind].text);
}
