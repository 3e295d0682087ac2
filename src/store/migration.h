/*
 * Migrations: what a module's tables look like, as numbered sections of its x.sql. Each runs once,
 * in order, under a lock, and its text is never changed afterwards (a checksum sees to that).
 *
 *     -- up 1: notes
 *     -- runs beside 0.2.0
 *     CREATE TABLE main.note (
 *             tenant_id uuid NOT NULL,
 *             id uuid NOT NULL,
 *             title text NOT NULL,
 *             PRIMARY KEY (tenant_id, id)
 *     ) --sqlite: WITHOUT ROWID
 *     ;
 *
 *     -- down 1
 *     DROP TABLE main.note; -- safe: going down
 *
 * Sections are for both engines, or for one: "-- up 2 postgres: ...". Inside, what follows
 * `--sqlite:` or `--postgres:` on a line is for that engine only, a comment for the other.
 * "-- runs beside X" names the oldest version of the program that may keep running after it;
 * without the line, any. What is unsafe beside running servers is refused unless a comment behind
 * it begins with `-- safe:` and says why (doc/store.md, "Migrations").
 *
 * A table with a column tenant_id belongs to tenants: the store sets up what keeps them apart
 * (views on SQLite; row-level security, policies and grants on PostgreSQL) after every migration.
 * All other tables are for system statements only.
 */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/store.h"

/* The migrations of one module. */
struct migration_source {
	const char *module;
	const char *text; /* of x.sql; NUL at its end */
};

enum migration_state {
	MIGRATION_APPLIED,
	MIGRATION_PENDING,
	MIGRATION_EDITED,  /* applied, but its text is not what it was */
	MIGRATION_UNKNOWN, /* applied, but no longer in the source: a newer program was here */
};

struct migration_row {
	struct str module;
	int64_t number;
	struct str title;
	enum migration_state state;
	int64_t applied_us; /* 0: not yet */
};

struct migration_rows {
	struct migration_row *at;
	size_t count;
};

struct migration_options {
	struct store_options
		store;        /* where; its `url` is the login that gets rights on PostgreSQL */
	struct str owner_url; /* PostgreSQL: who migrates; empty: `store.url` */
	bool dry_run;         /* only tells what it would do */
	struct str only;      /* module; empty: all */
	bool snapshot;        /* SQLite: copies the file before the first change */
	void (*say)(void *arg, struct str line); /* progress, for people; may be NULL */
	void *arg;
};

/*
 * Brings the database up to date: all modules in their order. For the start of the program and for
 * commands; blocks. -ERR_CONFLICT for an edited history, -ERR_INVALID (a text that migration_lint
 * refuses, SQL that fails: the sentence names module, number and line), -ERR_UNAVAILABLE (somebody
 * else migrates, no connection), -ERR_IO.
 */
int migrate_up(const struct migration_options *options, const struct migration_source *sources,
	size_t count);

/* Undoes the last `steps` migrations of one module (options->only). -ERR_INVALID when there is no
 * down section. */
int migrate_down(const struct migration_options *options, const struct migration_source *sources,
	size_t count, size_t steps);

/* What there is and what is applied. Rows live in the arena. */
int migrate_status(const struct migration_options *options, const struct migration_source *sources,
	size_t count, struct arena *arena, struct migration_rows *ret);

/* Looks for mistakes and for what is unsafe; writes one line each ("notes.sql:12: ..."). Returns
 * their number. */
int migration_lint(const struct migration_source *source, struct buf *out);

/* The store's own tables; module "store". */
extern const char store_migrations[];

/* The text of a file as a constant of the compilation: `symbol` is a const char[], NUL at its end.
 * `path` is as the compiler's working folder sees it. */
#define MIGRATION_FILE(symbol, path)                                                               \
	__asm__(".pushsection .rodata\n" #symbol ":\n\t.incbin \"" path "\"\n\t.byte 0\n"          \
		".popsection\n");                                                                  \
	extern const char symbol[] __attribute__((visibility("hidden")))

#endif
