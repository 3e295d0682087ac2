/* Asks SQLite's table-valued pragmas. */
#include "store/sqlite_schema.h"

#include "base/err.h"
#include "store/sqlite_error.h"

#include <stdlib.h>

enum { ARENA_CHUNK = 16 * 1024, ARENA_LIMIT = 16 * 1024 * 1024 };

/* Virtual tables have no root page: what is in them is nobody's. A virtual generated column before
 * the tenant would shift the numbers that the hook uses. */
static const char tables_sql[] =
	"SELECT m.name, c.cid, c.hidden, EXISTS (SELECT 1 FROM pragma_table_xinfo(m.name, 'main') "
	"AS g WHERE g.cid < c.cid AND g.hidden = 2) "
	"FROM main.sqlite_schema AS m LEFT JOIN pragma_table_xinfo(m.name, 'main') AS c "
	"ON c.name = 'tenant_id' COLLATE NOCASE "
	"WHERE m.type = 'table' AND m.rootpage > 0 AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
	"ORDER BY m.name";

/* A foreign key without columns of the other table means its primary key. */
static const char references_sql[] =
	"SELECT f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", (SELECT p.name FROM "
	"pragma_table_info(f.\"table\", 'main') AS p WHERE p.pk = f.seq + 1)) "
	"FROM pragma_foreign_key_list(?1, 'main') AS f ORDER BY f.id, f.seq";

static int text_of(struct sqlite_schema *schema, sqlite3_stmt *stmt, int column, struct str *ret)
{
	const char *text = (const char *)sqlite3_column_text(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);

	*ret = arena_str(&schema->arena, str_of(text, text ? (size_t)len : 0));
	return ret->at ? 0 : -(int)err_last()->code;
}

static int read_table(struct sqlite_schema *schema, sqlite3_stmt *stmt)
{
	struct sqlite_table *table = &schema->tables[schema->count];
	int r = text_of(schema, stmt, 0, &table->name);

	if (r < 0)
		return r;
	table->tenant = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
	table->tenant_column = sqlite3_column_int(stmt, 1);
	if (table->tenant && (sqlite3_column_int(stmt, 2) != 0 || sqlite3_column_int(stmt, 3)))
		return fail(ERR_INVALID,
			"table %s: tenant_id must be a plain column before all generated ones",
			table->name.at);
	schema->count++;
	return 0;
}

static int read_tables(sqlite3 *db, struct sqlite_schema *schema)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, tables_sql, -1, &stmt, NULL), r = 0;

	schema->tables = arena_zalloc(&schema->arena, SQLITE_TABLES_MAX * sizeof(*schema->tables));
	if (!schema->tables)
		r = -(int)err_last()->code;
	while (r == 0 && code != SQLITE_DONE) {
		if (code == SQLITE_OK || code == SQLITE_ROW)
			code = sqlite3_step(stmt);
		if (code == SQLITE_ROW && schema->count == SQLITE_TABLES_MAX)
			r = fail(ERR_FULL, "more than %d tables", SQLITE_TABLES_MAX);
		else if (code == SQLITE_ROW)
			r = read_table(schema, stmt);
		else if (code != SQLITE_DONE)
			r = sqlite_fail(db, code);
	}
	(void)sqlite3_finalize(stmt);
	return r;
}

/* --- foreign keys --------------------------------------------------------------- */

static int read_column(
	struct sqlite_schema *schema, struct sqlite_reference *reference, sqlite3_stmt *stmt)
{
	int r;

	if (reference->count == SQLITE_REFERENCE_COLUMNS_MAX)
		return fail(ERR_FULL, "a foreign key has more than %d columns",
			SQLITE_REFERENCE_COLUMNS_MAX);
	r = text_of(schema, stmt, 2, &reference->from[reference->count]);
	if (r == 0)
		r = text_of(schema, stmt, 3, &reference->to[reference->count]);
	reference->count++;
	return r;
}

/* A row of the answer: the next column of the same foreign key, or the first of another. */
static int read_reference(
	struct sqlite_schema *schema, struct sqlite_table *table, sqlite3_stmt *stmt, int64_t *last)
{
	int64_t id = sqlite3_column_int64(stmt, 0);
	struct sqlite_reference *grown;
	int r;

	if (id != *last) {
		if (table->reference_count == SQLITE_REFERENCES_MAX)
			return fail(ERR_FULL, "table %s has more than %d foreign keys",
				table->name.at, SQLITE_REFERENCES_MAX);
		grown = arena_zalloc(&schema->arena, (table->reference_count + 1) * sizeof(*grown));
		if (!grown)
			return -(int)err_last()->code;
		if (table->reference_count)
			memcpy(grown, table->references, table->reference_count * sizeof(*grown));
		table->references = grown;
		r = text_of(schema, stmt, 1, &grown[table->reference_count].table);
		if (r < 0)
			return r;
		table->reference_count++;
		*last = id;
	}
	return read_column(schema, &table->references[table->reference_count - 1], stmt);
}

static int read_references(sqlite3 *db, struct sqlite_schema *schema, struct sqlite_table *table)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, references_sql, -1, &stmt, NULL), r = 0;
	int64_t last = -1;

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(
			stmt, 1, table->name.at, (int)table->name.len, SQLITE_STATIC);
	while (r == 0 && code != SQLITE_DONE) {
		if (code == SQLITE_OK || code == SQLITE_ROW)
			code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			r = read_reference(schema, table, stmt, &last);
		else if (code != SQLITE_DONE)
			r = sqlite_fail(db, code);
	}
	(void)sqlite3_finalize(stmt);
	return r;
}

static void note_referenced(struct sqlite_schema *schema)
{
	for (size_t i = 0; i < schema->count; i++)
		for (size_t j = 0; j < schema->tables[i].reference_count; j++) {
			struct str name = schema->tables[i].references[j].table;

			for (size_t k = 0; k < schema->count; k++)
				if (str_eq_nocase(schema->tables[k].name, name))
					schema->tables[k].referenced = true;
		}
}

int sqlite_schema_read(sqlite3 *db, struct sqlite_schema *ret)
{
	struct sqlite_schema schema = { 0 };
	int r;

	arena_init(&schema.arena, ARENA_CHUNK, ARENA_LIMIT);
	r = read_tables(db, &schema);
	for (size_t i = 0; i < schema.count && r == 0; i++)
		r = read_references(db, &schema, &schema.tables[i]);
	if (r < 0) {
		arena_done(&schema.arena);
		return r;
	}
	note_referenced(&schema);
	*ret = schema;
	return 0;
}

void sqlite_schema_done(struct sqlite_schema *schema)
{
	if (schema->arena.chunk_size) /* it was read */
		arena_done(&schema->arena);
	*schema = (struct sqlite_schema){ 0 };
}

const struct sqlite_table *sqlite_schema_find(const struct sqlite_schema *schema, struct str name)
{
	for (size_t i = 0; i < schema->count; i++)
		if (str_eq_nocase(schema->tables[i].name, name))
			return &schema->tables[i];
	return NULL;
}

/* --- order ------------------------------------------------------------------------ */

static bool refers(const struct sqlite_table *from, const struct sqlite_table *to)
{
	for (size_t i = 0; i < from->reference_count; i++)
		if (from != to && str_eq_nocase(from->references[i].table, to->name))
			return true;
	return false;
}

/* True when no table that is still to come refers to this one. */
static bool is_free(const struct sqlite_schema *schema, const bool *taken, size_t table)
{
	for (size_t i = 0; i < schema->count; i++)
		if (!taken[i] && refers(&schema->tables[i], &schema->tables[table]))
			return false;
	return true;
}

/* The next table: one that is free, or, in a circle, any. `count`: there is none. */
static size_t next_table(const struct sqlite_schema *schema, const bool *taken)
{
	size_t any = schema->count;

	for (size_t i = 0; i < schema->count; i++) {
		if (taken[i])
			continue;
		if (is_free(schema, taken, i))
			return i;
		any = i;
	}
	return any;
}

int sqlite_schema_order(const struct sqlite_schema *schema, struct arena *arena, struct str **ret,
	size_t *ret_count)
{
	struct str *names = arena_zalloc(arena, (schema->count + 1) * sizeof(*names));
	bool taken[SQLITE_TABLES_MAX];
	size_t count = 0, next;

	if (!names)
		return -(int)err_last()->code;
	for (size_t i = 0; i < schema->count; i++)
		taken[i] = !schema->tables[i].tenant;
	while ((next = next_table(schema, taken)) < schema->count) {
		names[count] = arena_str(arena, schema->tables[next].name);
		if (!names[count++].at)
			return -(int)err_last()->code;
		taken[next] = true;
	}
	*ret = names;
	*ret_count = count;
	return 0;
}
