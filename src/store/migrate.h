/* What a run of migrations shares with the two engines: each opens a connection of its own,
 * blocking and without fibers, for the start of the program and for commands. Internal to this
 * folder. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include "base/err.h"
#include "store/migration_text.h"

/* A row of main.migration. */
struct migrate_applied {
	struct str module;
	int64_t number;
	struct str sum, title, version, beside;
	int64_t applied_us; /* 0: begun outside of a transaction, and not finished */
};

enum { MIGRATE_APPLIED_MAX = 100 * 1000 };

/* One migration to be done or undone. */
struct migrate_step {
	const struct migration_source *source;
	const struct migration *migration;
	const struct migration_part *part; /* `up` or `down` of it */
	bool down;
	struct migration_statements statements;
	bool concurrent;                     /* cannot run in a transaction */
	const struct migrate_applied *begun; /* what an attempt that did not end has left */
};

struct migrate_engine;

struct migrate_run {
	const struct migration_options *options;
	const struct migrate_engine *engine;
	struct str version; /* of this program */
	uint64_t wait_ns;
	struct arena arena;
	void *database; /* the engine's; NULL: not open */
	struct migrate_applied *applied;
	size_t applied_count, applied_room;
};

struct migrate_engine {
	enum engine_kind kind;

	/* Opens the database; `change`: to write, with the lock of all instances. A database that
	 * is not there yet is not an error when only reading. */
	int (*open)(struct migrate_run *run, bool change);

	/* Calls migrate_add_applied for each row, ordered by module and number; a table that is not
	 * there has none. */
	int (*history)(struct migrate_run *run);

	/* Before the steps (there may be none): what they need. */
	int (*prepare)(struct migrate_run *run, const struct migrate_step *steps, size_t count);

	/* Runs one, with its row of history and with tenancy set up, in one transaction. */
	int (*step)(struct migrate_run *run, const struct migrate_step *step);

	/* After the steps: sets up and checks what keeps tenants apart. A dry run only tells. */
	int (*secure)(struct migrate_run *run);

	void (*close)(struct migrate_run *run); /* also what is not open */
};

extern const struct migrate_engine migrate_sqlite, migrate_postgres;

/* Copies a row into run->applied. */
int migrate_add_applied(struct migrate_run *run, const struct migrate_applied *applied);

/* Tells people what happens. */
void migrate_say(const struct migrate_run *run, const char *format, ...) PRINTF_LIKE(2, 3);

/* Fails for a statement of a step: "module.sql:LINE: message". */
int migrate_fail(const struct migrate_step *step, const struct migration_statement *statement,
	enum err_code code, const char *message);

#endif
