/*
 * A group of eight transactions on a disk that fails for one of them: at each place in the group,
 * while it reads, and while it writes more than the cache holds. Only that one's caller gets an
 * error; the seven others are there afterwards, whole, and of it there is nothing.
 */
#include "store/sqlite.h"
#include "store/store_test.h"
#include "store/vfs_test.h"

#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

enum {
	MEMBERS = 8,
	SHEETS = 64, /* rows of about a page */
	SHEET_SIZE = 3000,
	CACHE = 64 * 1024, /* of the writer: less than the sheets */
	MANY = 40,         /* sheets that one transaction writes */
};

struct sheet {
	int64_t id, owner;
	struct str filler;
};

static const struct schema sheet_schema = SCHEMA(sheet, "About a page.", FIELD(sheet, id, "Which."),
	FIELD(sheet, owner, "Who wrote it."), FIELD(sheet, filler, "Bytes.", RANGE(0, 4000)));

static const char migrations[] =
	"-- up 1: sheets\n"
	"CREATE TABLE main.sheet (\n"
	"	tenant_id uuid NOT NULL, id bigint NOT NULL, owner bigint NOT NULL,\n"
	"	filler text NOT NULL, PRIMARY KEY (tenant_id, id)\n"
	");\n";

static const struct statement sheet_put = STATEMENT("sheet_put",
	.sql = "INSERT INTO main.sheet (tenant_id, id, owner, filler) "
	       "VALUES (:tenant, :id, :owner, :filler)",
	.in = &sheet_schema);
static const struct statement sheet_get = STATEMENT("sheet_get",
	.sql = "SELECT id, owner, filler FROM sheet WHERE tenant_id = :tenant AND id = :id",
	.in = &sheet_schema, .out = &sheet_schema);
static const struct statement sheet_all = STATEMENT("sheet_all",
	.sql = "SELECT id, owner, filler FROM sheet WHERE tenant_id = :tenant ORDER BY id",
	.out = &sheet_schema);

static const struct statement *const statements[] = { &sheet_put, &sheet_get, &sheet_all };

static const struct store_test_module modules[] = {
	{ "sheets", migrations, statements, LEN(statements) },
	{ NULL },
};

/* What goes wrong, while the member does what. */
struct trouble {
	struct disk_fault fault;
	bool writes;
};

struct member {
	struct store_test *test;
	size_t number;
	const struct trouble *trouble;
	bool struck; /* it is the one */
	int result;
};

struct group {
	struct member members[MEMBERS];
	bool go; /* all are in the queue */
};

static char filler[SHEET_SIZE];

static int put(struct tx *tx, int64_t id, int64_t owner)
{
	struct sheet sheet = { id, owner, str_of(filler, sizeof(filler)) };

	return tx_exec(tx, &sheet_put, &sheet);
}

/* --- the group ------------------------------------------------------------------------- */

static int ignore(void *row, void *arg)
{
	(void)row, (void)arg;
	return 0;
}

/* Holds the writer until all others wait; its reads push everything else out of the cache. */
static int hold_in_tx(struct tx *tx, void *arg)
{
	struct group *group = arg;
	struct sheet sheet;

	while (!__atomic_load_n(&group->go, __ATOMIC_ACQUIRE))
		(void)usleep(100);
	return tx_each(tx, &sheet_all, NULL, &sheet, ignore, NULL);
}

static int member_in_tx(struct tx *tx, void *arg)
{
	struct member *member = arg;
	int64_t id = 1000 + (int64_t)member->number * 100;
	struct sheet sheet = { .id = (int64_t)member->number * 3 };
	int r;

	if (member->struck)
		disk_fail(&member->trouble->fault);
	r = tx_one(tx, &sheet_get, &sheet, &sheet);
	for (int64_t i = 0; i < (member->trouble->writes ? MANY : 2) && r == 0; i++)
		r = put(tx, id + i, (int64_t)member->number);
	if (member->struck)
		disk_mend();
	return r;
}

static int run_member(void *arg)
{
	struct member *member = arg;
	struct db db = store_test_tenant(member->test, 1);

	member->result = db_write(&db, member_in_tx, member);
	return 0;
}

static int run_holder(void *arg)
{
	struct group *group = arg;
	struct db db = store_test_tenant(group->members[0].test, 1);

	EXPECT_INT(db_write(&db, hold_in_tx, group), 0);
	return 0;
}

static int let_go(void *arg)
{
	struct group *group = arg;

	__atomic_store_n(&group->go, true, __ATOMIC_RELEASE);
	return 0;
}

static void run_group(struct store_test *test)
{
	struct group *group = test->arg;
	struct scope scope;

	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, run_holder, group) == 0);
	for (size_t i = 0; i < MEMBERS; i++) {
		group->members[i].test = test;
		REQUIRE(scope_spawn(&scope, run_member, &group->members[i]) == 0);
	}
	REQUIRE(scope_spawn(&scope, let_go, group) == 0);
	(void)scope_close(&scope);
}

/* --- what is there afterwards -------------------------------------------------------------- */

struct count {
	struct sheet sheet;
	size_t sheets[MEMBERS];
};

static int count_sheet(void *row, void *arg)
{
	const struct sheet *sheet = row;
	struct count *count = arg;

	if (sheet->id >= 1000)
		count->sheets[sheet->owner]++;
	return 0;
}

static int count_in_tx(struct tx *tx, void *arg)
{
	struct count *count = arg;

	memset(count->sheets, 0, sizeof(count->sheets));
	return tx_each(tx, &sheet_all, NULL, &count->sheet, count_sheet, count);
}

static void expect_others(struct store_test *test)
{
	const struct group *group = test->arg;
	struct db db = store_test_tenant(test, 1);
	struct count count;

	REQUIRE(db_read(&db, count_in_tx, &count) == 0);
	for (size_t i = 0; i < MEMBERS; i++) {
		const struct member *member = &group->members[i];
		size_t whole = member->trouble->writes ? MANY : 2;

		EXPECT_INT(count.sheets[i], member->struck ? 0 : whole);
		if (member->struck)
			EXPECT(member->result == -ERR_IO || member->result == -ERR_UNAVAILABLE);
		else
			EXPECT_INT(member->result, 0);
	}
}

static int fill_in_tx(struct tx *tx, void *arg)
{
	int r = 0;

	(void)arg;
	for (int64_t i = 0; i < SHEETS && r == 0; i++)
		r = put(tx, i, 0);
	return r;
}

static void fill(struct store_test *test)
{
	struct db db = store_test_tenant(test, 1);

	REQUIRE(db_write(&db, fill_in_tx, NULL) == 0);
}

static void strike(const struct trouble *trouble, size_t number)
{
	struct group group = { 0 };
	struct store_test test = { .options.cache_bytes = CACHE, .arg = &group };
	size_t struck;

	memset(filler, 'f', sizeof(filler));
	for (size_t i = 0; i < MEMBERS; i++)
		group.members[i] =
			(struct member){ .number = i, .trouble = trouble, .struck = i == number };
	store_test_folder(&test, ENGINE_SQLITE);
	store_test_migrate(&test, modules);
	disk_start(number + 1);
	sqlite_vfs_name = DISK_VFS;
	REQUIRE(store_test_open(&test, modules) == 0);
	store_test_work(&test, fill);
	store_test_work(&test, run_group);
	struck = disk_struck();
	store_test_work(&test, expect_others);
	store_test_close(&test);

	REQUIRE(store_test_open(&test, modules) == 0);
	store_test_work(&test, expect_others);
	store_test_close(&test);
	if (!EXPECT(struck > 0))
		fprintf(stderr, "  in member %zu\n", number);
	sqlite_vfs_name = NULL;
	disk_done();
	store_test_remove(&test);
}

TEST(storage_errors_hurt_one_of_a_group)
{
	static const struct trouble troubles[] = {
		{ { DISK_READ, DISK_ANY_FILE, .count = SIZE_MAX }, false },
		{ { DISK_WRITE, DISK_ANY_FILE, .count = SIZE_MAX }, true },
		{ { DISK_WRITE, DISK_ANY_FILE, .count = 1 }, true },
		{ { DISK_WRITE, DISK_ANY_FILE, .count = SIZE_MAX, .code = SQLITE_FULL }, true },
	};

	for (size_t i = 0; i < LEN(troubles); i++)
		for (size_t number = 0; number < MEMBERS; number++)
			strike(&troubles[i], number);
}
