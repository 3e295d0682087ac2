/*
 * Migrations: what a module's tables look like, as numbered sections of its x.sql. Each runs once,
 * in order, under a lock, and its text is never changed afterwards (a checksum sees to that).
 *
 *     -- up 1: notes
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
 *     -- up 2: find notes by title
 *     -- runs beside 0.2.0
 *     CREATE INDEX CONCURRENTLY note_title ON main.note (tenant_id, title);
 *
 *     -- down 2
 *     DROP INDEX CONCURRENTLY main.note_title;
 *
 * Sections are for both engines, or for one: "-- up 2 postgres: ...". Inside, what follows
 * `--sqlite:` or `--postgres:` on a line is for that engine only, a comment for the other.
 * "-- runs beside X" names the oldest version of the program that may keep running after it;
 * without the line, any. What is unsafe beside running servers is refused unless a comment behind
 * it, inside of the statement or on the line of its semicolon, begins with `-- safe:` and says why
 * (doc/migrations.md). CONCURRENTLY, and `main.` in front of the table of an index or a reference,
 * are PostgreSQL's; SQLite does not get to see them.
 *
 * A table with a column tenant_id belongs to tenants: the store sets up what keeps them apart
 * (views on SQLite; row-level security, policies and grants on PostgreSQL) with every migration.
 * All other tables are for system statements only.
 */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/embed.h"
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
	struct str version; /* of the program that applied it; empty: none has */
	enum migration_state state;
	int64_t applied_us; /* 0: not yet */
};

struct migration_rows {
	struct migration_row *at;
	size_t count;
};

struct migration_options {
	/* Where. On PostgreSQL its `url` is the login that gets rights, and its name is that of the
	 * role with "_system" behind it that crosses tenants. */
	struct store_options store;
	struct str owner_url; /* PostgreSQL: who migrates; empty: the login itself */
	bool dry_run;         /* only tells what it would do */
	struct str only;      /* module; empty: all */
	bool snapshot;        /* SQLite: copies the file before the first change */
	uint64_t wait_ns;     /* for others who migrate (60 s) */
	struct str version;   /* of this program (BULKHEAD_VERSION) */
	void (*say)(void *arg, struct str line); /* progress, for people; may be NULL */
	void *arg;
};

enum { MIGRATION_SNAPSHOTS = 5 }; /* that are kept in DATA_DIR/backups */

/*
 * Brings the database up to date: all modules in their order, and sets up what keeps tenants apart,
 * also when nothing was pending. For the start of the program and for commands; blocks. What has
 * been applied stays when a later migration fails; nothing of that one does.
 *
 * -ERR_CONFLICT for an edited history, or one of a newer program beside which this one may not run;
 * -ERR_INVALID for a text that migration_lint refuses or SQL that fails (module.sql:LINE: why), and
 * for tables that tenants are not safe in; -ERR_FORBIDDEN when an administrator has to set up roles
 * (say has told the statements); -ERR_UNAVAILABLE (somebody else migrates or serves, no
 * connection), -ERR_IO, -ERR_NO_MEMORY, -ERR_TOO_LARGE.
 */
int migrate_up(const struct migration_options *options, const struct migration_source *sources,
	size_t count);

/* Undoes the last `steps` migrations of one module (options->only). -ERR_INVALID, nothing undone,
 * when one has no down section or is not in the text; other errors as above. */
int migrate_down(const struct migration_options *options, const struct migration_source *sources,
	size_t count, size_t steps);

/* What there is and what is applied, without waiting for anybody. Rows live in the arena; those of
 * a module stand together, in order. */
int migrate_status(const struct migration_options *options, const struct migration_source *sources,
	size_t count, struct arena *arena, struct migration_rows *ret);

/* Looks for mistakes and for what is unsafe, on both engines; writes one line each ("notes.sql:12:
 * ..."). Returns their number; -ERR_NO_MEMORY, -ERR_TOO_LARGE (the buffer). */
int migration_lint(const struct migration_source *source, struct buf *out);

/* The store's own tables; module "store". */
extern const char store_migrations[];

/* MIGRATION_FILE(notes_sql, "notes.sql"); makes a `const char notes_sql[]` of the file. The path is
 * as the compiler's working folder sees it. */
#define MIGRATION_FILE(symbol, path) EMBED_TEXT(symbol, path)

#endif
