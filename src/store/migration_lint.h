/* What the rules for migrations share: a statement as a row of tokens, the tables that a module has
 * made so far, and findings. Internal to this folder. */
#ifndef STORE_MIGRATION_LINT_H
#define STORE_MIGRATION_LINT_H

#include "store/migration_text.h"

/* Looks at the sections of one engine from up `from` on; those before only say which tables there
 * are. Lines go to `out`; their number is returned. -ERR_INVALID: the text cannot be read;
 * -ERR_TOO_LARGE, -ERR_NO_MEMORY. */
int migration_lint_from(const struct migrations *migrations, enum engine_kind engine, int64_t from,
	struct buf *out);

/* --- tokens, read from front to back ----------------------------------------- */

struct words {
	const struct sql_token *at;
	size_t count, next;
};

/* The token `ahead` places further; SQL_END behind the last one. */
const struct sql_token *words_peek(const struct words *words, size_t ahead);

bool words_is(const struct words *words, size_t ahead, const char *word);
bool words_sign(const struct words *words, size_t ahead, char sign);

/* Takes the words of a phrase ("IF NOT EXISTS", upper case, at most four), all or none. */
bool words_take(struct words *words, const char *phrase);

/* What stands in the parentheses that begin here, which are taken. False, and nothing taken, when
 * none do. */
bool words_take_group(struct words *words, struct words *ret);

/* The next part between commas that are in no parentheses; false when there is none. */
bool words_take_item(struct words *words, struct words *ret);

/* True when the word stands somewhere in it, in no parentheses. */
bool words_have(const struct words *words, const char *phrase);

/* --- tables -------------------------------------------------------------------- */

/* A name as written: of a table, an index, a column. */
struct lint_name {
	struct str schema; /* empty: none is written */
	struct str name;
};

/* "x", "main.x", with or without quotes. False, and nothing taken, when there is no name. */
bool words_take_name(struct words *words, struct lint_name *ret);

struct lint_column {
	struct lint_column *next;
	struct str name;
	bool leakproof; /* its type can be searched under row-level security */
};

struct lint_table {
	struct lint_table *next;
	struct str name;
	bool tenant;    /* it has a column tenant_id */
	size_t section; /* that made it; see struct lint */
	struct lint_column *columns;
};

struct lint {
	struct arena *arena;
	const struct migrations *migrations;
	enum engine_kind engine;
	struct buf *out;
	int count; /* of findings */

	/* what is looked at */
	size_t section; /* counts up and down sections */
	bool muted;     /* nothing is told about it */
	const struct migration_statement *statement;
	const struct sql_token *focus; /* what is to blame: its line is told */
	bool adds_unchecked;           /* the section has an ADD CONSTRAINT ... NOT VALID */

	struct lint_table *tables;
};

/* Tells of a mistake, or (unsafe) of what a `-- safe:` comment may allow. */
void lint_wrong(struct lint *lint, const char *format, ...) PRINTF_LIKE(2, 3);
void lint_unsafe(struct lint *lint, const char *format, ...) PRINTF_LIKE(2, 3);

struct lint_table *lint_find(struct lint *lint, struct str name);

/* Takes the name of a table that must be written main.x and be one of the module; NULL when it is
 * not (which has been told). */
struct lint_table *lint_take_table(struct lint *lint, struct words *words);

/* True when the table was made in this section, so that nobody uses it yet. */
bool lint_is_new(const struct lint *lint, const struct lint_table *table);

/* --- rules of tables and indexes (migration_lint_table.c), behind the words named -- */

void lint_create_table(struct lint *lint, struct words *words);
void lint_create_index(struct lint *lint, struct words *words, bool unique);
void lint_alter_table(struct lint *lint, struct words *words);
void lint_drop_table(struct lint *lint, struct words *words);
void lint_drop_index(struct lint *lint, struct words *words);

#endif
