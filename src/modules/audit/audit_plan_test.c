/*
 * Which index each statement goes through on SQLite. The store refuses statements that read more
 * than one tenant's rows; these must also not read all rows of a tenant for a few of them.
 */
#include "modules/audit/audit_internal.h"

#include "store/store_test.h"

#include <sqlite3.h>
#include <stdio.h>

#define PRIMARY "USING PRIMARY KEY (tenant_id=? AND id"
#define BY(index, column)                                                                          \
	"COVERING INDEX audit_by_" index " (tenant_id=? AND " column "=? AND id>? AND id<?)"

static const struct {
	const struct statement *statement;
	const char *wanted; /* of one of the lines of its plan */
} cases[] = {
	{ &audit_lists[LIST_ALL], PRIMARY },
	{ &audit_lists[LIST_TARGET], BY("target", "target_id") },
	{ &audit_lists[LIST_KEY], BY("key", "key_id") },
	{ &audit_lists[LIST_USER], BY("user", "user_id") },
	{ &audit_lists[LIST_ACTION], BY("action", "action") },
	{ &audit_lists[LIST_SECURITY],
		"audit_security (tenant_id=? AND security=? AND id>? AND id<?)" },
	{ &audit_forward[LIST_ALL], PRIMARY },
	{ &audit_forward[LIST_TARGET], BY("target", "target_id") },
	{ &audit_forward[LIST_KEY], BY("key", "key_id") },
	{ &audit_forward[LIST_USER], BY("user", "user_id") },
	{ &audit_forward[LIST_ACTION], BY("action", "action") },
	{ &audit_forward[LIST_SECURITY],
		"audit_security (tenant_id=? AND security=? AND id>? AND id<?)" },
	{ &audit_unchained, "COVERING INDEX audit_unchained (tenant_id=?" },
	{ &audit_chain_set, PRIMARY },
	{ &audit_by_sequence, "audit_by_sequence (tenant_id=? AND sequence>?" },
	{ &audit_loose, "COVERING INDEX audit_unchained (tenant_id=?" },
	{ &audit_loose, PRIMARY },
	{ &audit_next_loose,
		"COVERING INDEX audit_unchained (tenant_id=? AND sequence=? AND id>?)" },
	{ &audit_next_sequence, "audit_by_sequence (tenant_id=? AND sequence>?" },
	{ &audit_last_sequence, "audit_by_sequence (tenant_id=?" },
	{ &audit_delete, "audit_by_sequence (tenant_id=? AND sequence>? AND sequence<?)" },
	{ &audit_of_user, "audit_by_user (tenant_id=? AND user_id=? AND id>?)" },
	{ &audit_erase_address, BY("user", "user_id") },
	{ &audit_erase_own, BY("user", "user_id") },
	{ &audit_of_other, "audit_by_other (tenant_id=? AND person_id=? AND id>?)" },
	{ &audit_erase_other, BY("other", "person_id") },
	{ &audit_erased_entry, "audit_erased (tenant_id=? AND target_id=?" },
	{ &audit_next_unchained, "audit_unchained (tenant_id>?" },
	{ &audit_next_old, PRIMARY "<?)" },
	{ &audit_marks_untold, "audit_mark_untold (told_at<?)" },
	{ &audit_erasure_due, "audit_erasure_due (due_at<?)" },
};

/* Of tables with a row for each former key, a few in all. */
static const struct statement *const of_few_rows[] = { &audit_era_list, &audit_former_list,
	&audit_former_drop };

static bool is_of_few_rows(const struct statement *statement)
{
	for (size_t i = 0; i < LEN(of_few_rows); i++)
		if (of_few_rows[i] == statement)
			return true;
	return false;
}

/* The plan of a statement, line behind line. The plain name of a table is that of all its rows
 * here; that they are a tenant's is in each statement as well. */
static void read_plan(sqlite3 *db, const struct statement *statement, char *ret, size_t room)
{
	char *sql = sqlite3_mprintf(
		"EXPLAIN QUERY PLAN %s", statement->sqlite ? statement->sqlite : statement->sql);
	sqlite3_stmt *stmt = NULL;
	size_t len = 0;

	ret[0] = 0;
	REQUIRE(sql && sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW && len < room)
		len += (size_t)snprintf(
			ret + len, room - len, "%s\n", (const char *)sqlite3_column_text(stmt, 3));
	REQUIRE(len < room);
	(void)sqlite3_finalize(stmt);
	sqlite3_free(sql);
}

static void check_plans(sqlite3 *db)
{
	char plan[2048];

	for (size_t i = 0; i < LEN(cases); i++) {
		read_plan(db, cases[i].statement, plan, sizeof(plan));
		test_note(strstr(plan, cases[i].wanted) != NULL, __FILE__, __LINE__,
			"%s: wanted %s, got %s", cases[i].statement->name, cases[i].wanted, plan);
	}
	for (size_t i = 0; i < AUDIT_STATEMENTS; i++) {
		if (is_of_few_rows(audit_statements[i]))
			continue;
		read_plan(db, audit_statements[i], plan, sizeof(plan));
		test_note(strstr(plan, "SCAN") == NULL && strstr(plan, "TEMP B-TREE") == NULL,
			__FILE__, __LINE__, "%s: %s", audit_statements[i]->name, plan);
	}
}

TEST(audit_statements_have_their_index)
{
	const struct store_test_module modules[] = { { "audit", audit_module.migrations }, { 0 } };
	struct store_test test = { 0 };
	sqlite3 *db = NULL;
	char path[300];

	store_test_folder(&test, ENGINE_SQLITE);
	store_test_migrate(&test, modules);
	(void)snprintf(path, sizeof(path), "%s/bulkhead.db", test.folder);
	REQUIRE(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
	check_plans(db);
	REQUIRE(sqlite3_close(db) == SQLITE_OK);
	store_test_remove(&test);
}
