/*
 * What SQLite alone can take in jobs: one thread, a loop, our rows, our group size. Prints rows per
 * second. benchmarks/jobs.mjs runs it on a copy of a server's database that has one job, and every
 * row is that job again with an id and a time of its own.
 *
 *     jobs_native DATABASE GROUP SECONDS
 */
#include "base/num.h"
#include "crypto/library.h"
#include "crypto/uuid.h"
#include "observe/clock.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS_MAX = 64 };

static sqlite3 *db;

static void must(int r)
{
	if (r == SQLITE_OK || r == SQLITE_DONE || r == SQLITE_ROW)
		return;
	(void)fprintf(stderr, "jobs_native: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static void run(const char *sql)
{
	must(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement;

	must(sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
	return statement;
}

static void step(sqlite3_stmt *statement)
{
	must(sqlite3_step(statement));
	must(sqlite3_reset(statement));
}

/* --- the row -------------------------------------------------------------------------- */

static sqlite3_value *values[COLUMNS_MAX];
static int columns;
static int id_at, times_at[COLUMNS_MAX], times;

static bool is_time(const char *column)
{
	return strcmp(column, "created_at") == 0 || strcmp(column, "run_at") == 0 ||
	       strcmp(column, "turn") == 0;
}

/* Takes the one job and makes the table empty. */
static void take_row(void)
{
	sqlite3_stmt *row = prepare("SELECT * FROM job LIMIT 1");

	if (sqlite3_step(row) != SQLITE_ROW || sqlite3_column_count(row) > COLUMNS_MAX) {
		(void)fprintf(stderr, "jobs_native: no job to begin with\n");
		exit(1);
	}
	columns = sqlite3_column_count(row);
	for (int i = 0; i < columns; i++) {
		const char *name = sqlite3_column_name(row, i);

		values[i] = sqlite3_value_dup(sqlite3_column_value(row, i));
		if (strcmp(name, "id") == 0)
			id_at = i;
		if (is_time(name))
			times_at[times++] = i;
	}
	must(sqlite3_finalize(row));
	run("DELETE FROM job");
}

static sqlite3_stmt *prepare_insert(void)
{
	char sql[64 + 2 * COLUMNS_MAX] = "INSERT INTO job VALUES (?";
	sqlite3_stmt *statement;

	for (int i = 1; i < columns; i++)
		strcat(sql, ",?");
	strcat(sql, ")");
	statement = prepare(sql);
	for (int i = 0; i < columns; i++)
		must(sqlite3_bind_value(statement, i + 1, values[i]));
	return statement;
}

static void insert(sqlite3_stmt *statement)
{
	int64_t now = clock_wall_us();
	struct uuid id;

	uuid_v7(&id, now);
	must(sqlite3_bind_blob(statement, id_at + 1, id.bytes, sizeof(id.bytes), SQLITE_STATIC));
	for (int i = 0; i < times; i++)
		must(sqlite3_bind_int64(statement, times_at[i] + 1, now));
	step(statement);
}

int main(int argc, char **argv)
{
	sqlite3_stmt *add, *begin, *commit;
	uint64_t began, until;
	size_t done = 0, group;

	if (argc != 4)
		return (void)fprintf(stderr, "jobs_native DATABASE GROUP SECONDS\n"), 2;
	crypto_start();
	group = strtoul(argv[2], NULL, 10);
	must(sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL));
	run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=OFF;"
	    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=16000");
	take_row();
	add = prepare_insert();
	begin = prepare("BEGIN IMMEDIATE");
	commit = prepare("COMMIT");

	began = clock_now_ns();
	for (until = began + strtoul(argv[3], NULL, 10) * SECOND; clock_now_ns() < until;
		done += group) {
		step(begin);
		for (size_t i = 0; i < group; i++)
			insert(add);
		step(commit);
	}
	(void)printf("%.0f\n", (double)done * (double)SECOND / (double)(clock_now_ns() - began));
	(void)sqlite3_finalize(add);
	(void)sqlite3_finalize(begin);
	(void)sqlite3_finalize(commit);
	for (int i = 0; i < columns; i++)
		sqlite3_value_free(values[i]);
	(void)sqlite3_close(db);
	return 0;
}
