/*
 * The text of migrations, cut into sections and statements and seen as one engine sees it
 * (store/migration.h tells how it is written). No database is asked here, so all of it is pure and
 * fuzzed. Internal to this folder.
 */
#ifndef STORE_MIGRATION_TEXT_H
#define STORE_MIGRATION_TEXT_H

#include "base/arena.h"
#include "crypto/digest.h"
#include "store/migration.h"
#include "store/sql.h"

enum {
	MIGRATION_TEXT_MAX = 1024 * 1024, /* bytes of an x.sql */
	MIGRATIONS_MAX = 1000,            /* of one module */
	MIGRATION_TITLE_MAX = 100,        /* bytes */
	MIGRATION_STATEMENTS_MAX = 1000,  /* of one section */
	MIGRATION_SUM_LEN = 2 * SHA256_LEN,
	MIGRATION_NAME_MAX = 32, /* bytes of a module's name */
};

/* One direction of a migration. */
struct migration_part {
	bool given;      /* there is a section for the engine */
	struct str text; /* below its first line, with what is for the other engine as blanks */
	size_t line;     /* of the file, where `text` begins; from 1 */
};

struct migration {
	int64_t number;    /* from 1 */
	struct str title;  /* of the engine's section, or of the other engine's */
	struct str beside; /* oldest version that may run beside it; empty: any */
	struct migration_part up, down;
	char sum[MIGRATION_SUM_LEN]; /* SHA-256 of the source of `up` in hex, comments and blank
					lines behind it left out */
};

/* Migration N is at[N - 1]. */
struct migrations {
	const struct migration_source *source;
	struct migration *at;
	size_t count;
};

/*
 * Reads the text of a module for one engine; everything is in the arena or points into the source.
 * -ERR_INVALID with "module.sql:LINE: ..." for a text that is too long or not UTF-8, control bytes
 * but line ends and tabs, sections out of order or twice, and first lines that only look like ones.
 */
int migration_parse(struct arena *arena, const struct migration_source *source,
	enum engine_kind engine, struct migrations *ret);

struct migration_statement {
	struct str text; /* without its semicolon; NUL behind it */
	size_t line;     /* of the file */
	struct str safe; /* the reason of its `-- safe:` comment; empty: it has none */
};

struct migration_statements {
	struct migration_statement *at;
	size_t count;
};

/* Cuts a section into statements. -ERR_INVALID with module, line and reason, also beyond
 * MIGRATION_STATEMENTS_MAX and SQL_TEXT_MAX. */
int migration_cut(struct arena *arena, const struct migration_source *source,
	const struct migration_part *part, enum engine_kind engine,
	struct migration_statements *ret);

/* The tokens of a statement in the arena, SQL_END as the last one. -ERR_INVALID. */
int migration_tokens(struct arena *arena, struct str text, enum engine_kind engine,
	struct sql_token **ret, size_t *ret_count);

/* True for CREATE and DROP INDEX CONCURRENTLY on PostgreSQL, which cannot run in a transaction. On
 * SQLite the word means nothing (migrate_sqlite.c leaves it out). */
bool migration_is_concurrent(struct str statement, enum engine_kind engine);

/* True for [a-z][a-z0-9-]*, at most MIGRATION_NAME_MAX bytes. */
bool migration_module_is_sound(struct str name);

/* Orders versions "X.Y.Z": negative, 0, positive. One with a suffix ("0.2.0-dev") comes before the
 * one without. What is no version comes first. */
int version_compare(struct str a, struct str b);
bool version_is_sound(struct str text);

#endif
