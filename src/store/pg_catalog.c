/* What the schema `main` holds: its tenant tables in the order in which rows can be deleted, and
 * the columns behind the names of constraints. */
#include "store/pg.h"

enum { CATALOG_CHUNK = 16 * 1024, CATALOG_LIMIT = 16 * 1024 * 1024, TABLES_MAX = 1000 };

/* --- reading ----------------------------------------------------------------------- */

static const char tables_query[] =
	"SELECT c.relname FROM pg_class c"
	" JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnum > 0"
	" WHERE c.relnamespace = 'main'::regnamespace AND c.relkind IN ('r', 'p')"
	" AND NOT c.relispartition AND NOT a.attisdropped ORDER BY c.relname";

/*
 * u: unique indexes; keys only of those that are whole (without a condition or an expression), the
 * last key column is blamed. f: foreign keys, the last column. c: checks of one column beside
 * tenant_id.
 */
static const char constraints_query[] =
	"SELECT 'u', t.relname, i.relname, coalesce(last.attname, ''), '',"
	" CASE WHEN x.indpred IS NULL AND x.indexprs IS NULL AND x.indimmediate THEN"
	"  (SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute a"
	"   WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey[0:x.indnkeyatts - 1]))"
	" ELSE '' END"
	" FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid"
	" JOIN pg_class t ON t.oid = x.indrelid"
	" LEFT JOIN pg_attribute last ON last.attrelid = t.oid"
	"  AND last.attnum = x.indkey[x.indnkeyatts - 1]"
	" WHERE (x.indisunique OR x.indisexclusion) AND t.relnamespace = 'main'::regnamespace "
	"UNION ALL "
	"SELECT c.contype::text, t.relname, c.conname, coalesce(a.attname, ''),"
	" coalesce(o.relname, ''), ''"
	" FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
	" LEFT JOIN pg_class o ON o.oid = c.confrelid"
	" LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = CASE c.contype"
	"  WHEN 'f' THEN c.conkey[array_upper(c.conkey, 1)]"
	"  ELSE (SELECT min(b.attnum) FROM pg_attribute b WHERE b.attrelid = t.oid"
	"   AND b.attnum = ANY (c.conkey) AND b.attname <> 'tenant_id' HAVING count(*) = 1) END"
	" WHERE c.contype IN ('f', 'c') AND t.relnamespace = 'main'::regnamespace";

/* NULL with -ERR_IO. */
static PGresult *query(PGconn *pg, const char *sql)
{
	PGresult *result = PQexec(pg, sql);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	PQclear(result);
	(void)fail(ERR_IO, "cannot read the catalog of PostgreSQL: %s", PQerrorMessage(pg));
	return NULL;
}

static struct str copy(struct arena *arena, const PGresult *result, int row, int column)
{
	return arena_str(arena, str_from_c(PQgetvalue(result, row, column)));
}

static int split_keys(struct arena *arena, struct str list, struct pg_constraint *constraint)
{
	size_t count = list.len > 0;

	for (size_t i = 0; i < list.len; i++)
		count += list.at[i] == ',';
	constraint->keys = arena_zalloc(arena, (count + 1) * sizeof(*constraint->keys));
	if (!constraint->keys)
		return -(int)err_last()->code;
	while (list.len > 0)
		constraint->keys[constraint->key_count++] = str_cut(&list, ',');
	return 0;
}

static int read_constraints(PGconn *pg, struct pg_catalog *catalog)
{
	PGresult *result = query(pg, constraints_query);
	size_t rows;
	int r = 0;

	if (!result)
		return -ERR_IO;
	rows = (size_t)PQntuples(result);
	catalog->constraints =
		arena_zalloc(&catalog->arena, (rows + 1) * sizeof(*catalog->constraints));
	for (size_t i = 0; i < rows && catalog->constraints && r == 0; i++) {
		struct pg_constraint *each = &catalog->constraints[catalog->constraint_count++];
		char kind = PQgetvalue(result, (int)i, 0)[0];

		each->kind = kind == 'u'   ? PG_UNIQUE_INDEX
			     : kind == 'f' ? PG_FOREIGN_KEY
					   : PG_CHECK;
		each->table = copy(&catalog->arena, result, (int)i, 1);
		each->name = copy(&catalog->arena, result, (int)i, 2);
		each->blamed = copy(&catalog->arena, result, (int)i, 3);
		each->other = copy(&catalog->arena, result, (int)i, 4);
		r = split_keys(&catalog->arena, copy(&catalog->arena, result, (int)i, 5), each);
		if (!each->table.at || !each->name.at || !each->blamed.at || !each->other.at)
			r = -ERR_NO_MEMORY;
	}
	PQclear(result);
	return catalog->constraints ? r : -ERR_NO_MEMORY;
}

/* --- order --------------------------------------------------------------------------- */

static bool refers(const struct pg_catalog *catalog, struct str from, struct str to)
{
	for (size_t i = 0; i < catalog->constraint_count; i++) {
		const struct pg_constraint *each = &catalog->constraints[i];

		if (each->kind == PG_FOREIGN_KEY && str_eq(each->table, from) &&
			str_eq(each->other, to))
			return true;
	}
	return false;
}

/* Whether one of the tables from `first` on (but itself) refers to it. */
static bool is_referred_to(const struct pg_catalog *catalog, size_t first, size_t table)
{
	struct str name = catalog->tenant_tables[table];

	for (size_t i = first; i < catalog->tenant_table_count; i++)
		if (i != table && refers(catalog, catalog->tenant_tables[i], name))
			return true;
	return false;
}

/* Moves to the front, one after the other, what nobody behind refers to. Tables that refer to each
 * other in a circle stay as they are, and are remembered. */
static void sort_tables(struct pg_catalog *catalog)
{
	for (size_t done = 0; done < catalog->tenant_table_count; done++) {
		size_t next = done;
		struct str name;

		while (next < catalog->tenant_table_count && is_referred_to(catalog, done, next))
			next++;
		if (next == catalog->tenant_table_count) {
			catalog->circle = catalog->tenant_tables[done];
			return;
		}
		name = catalog->tenant_tables[next];
		memmove(&catalog->tenant_tables[done + 1], &catalog->tenant_tables[done],
			(next - done) * sizeof(name));
		catalog->tenant_tables[done] = name;
	}
}

static int read_tables(PGconn *pg, struct pg_catalog *catalog)
{
	PGresult *result = query(pg, tables_query);
	size_t rows;
	int r = 0;

	if (!result)
		return -ERR_IO;
	rows = (size_t)PQntuples(result);
	if (rows > TABLES_MAX)
		r = fail(ERR_TOO_LARGE, "more than %d tables with a tenant_id", TABLES_MAX);
	catalog->tenant_tables =
		r < 0 ? NULL : arena_zalloc(&catalog->arena, (rows + 1) * sizeof(struct str));
	for (size_t i = 0; i < rows && catalog->tenant_tables && r == 0; i++) {
		struct str name = copy(&catalog->arena, result, (int)i, 0);

		catalog->tenant_tables[catalog->tenant_table_count++] = name;
		r = name.at ? 0 : -ERR_NO_MEMORY;
	}
	PQclear(result);
	if (r == 0 && !catalog->tenant_tables)
		r = -ERR_NO_MEMORY;
	if (r == 0)
		sort_tables(catalog);
	return r;
}

int pg_catalog_read(PGconn *pg, struct pg_catalog *ret)
{
	struct pg_catalog catalog = { 0 };
	int r;

	arena_init(&catalog.arena, CATALOG_CHUNK, CATALOG_LIMIT);
	r = read_constraints(pg, &catalog);
	if (r == 0)
		r = read_tables(pg, &catalog);
	if (r < 0) {
		arena_done(&catalog.arena);
		return r;
	}
	*ret = catalog;
	return 0;
}

void pg_catalog_done(struct pg_catalog *catalog)
{
	if (catalog->arena.chunk_size) /* else it was never read */
		arena_done(&catalog->arena);
	*catalog = (struct pg_catalog){ 0 };
}

const struct pg_constraint *pg_constraint_find(
	const struct pg_catalog *catalog, struct str table, struct str name)
{
	for (size_t i = 0; i < catalog->constraint_count; i++) {
		const struct pg_constraint *each = &catalog->constraints[i];

		if (str_eq(each->name, name) && str_eq(each->table, table))
			return each;
	}
	return NULL;
}
