/*
 * Backups of the SQLite file: copies of one consistent state, made while transactions go on, in
 * DATA_DIR/backups. Beside each copy stands a manifest that says what it is and what its bytes are.
 *
 *     bulkhead-2026-11-21T02-05-00.123Z.db
 *     bulkhead-2026-11-21T02-05-00.123Z.json
 *
 * The name is the time in UTC, so names sort by age; none is ever written over. A copy that is not
 * complete, checked and on the disk does not have such a name, whatever ends the process: it is
 * called x.partial until then, and the next backup removes what was left so.
 *
 * Keys and settings are not in it: MASTER_KEY and the like live in the environment or in files.
 *
 * All functions here block for as long as the disk takes; in a server they run on a thread for such
 * work. They touch the live file through SQLite only: opening and closing it otherwise would take
 * away the locks of the whole process. Texts that are returned live in the arena.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "base/arena.h"
#include "base/buf.h"
#include "schema/schema.h"

#include <stdatomic.h>

enum {
	BACKUP_NAME_LEN = 33,          /* of "bulkhead-2026-11-21T02-05-00.123Z" */
	BACKUPS_MAX = 10000,           /* that are looked at */
	BACKUP_MIGRATIONS_MAX = 10000, /* named in a manifest */
	BACKUP_FINDINGS_MAX = 20,      /* of a check */
};

/* The folder of the database, and who may end the work early. */
struct backup_place {
	struct str folder;       /* DATA_DIR */
	const atomic_bool *stop; /* once true, the work ends with -ERR_CANCELLED; may be NULL */
};

/* A migration that was applied to what is in a backup. */
struct backup_migration {
	struct str module;
	int64_t number;
};

/* The manifest. */
struct backup {
	int64_t format; /* of the manifest: 1 */
	struct str name;
	int64_t created_at; /* microseconds since 1970 */
	struct str program; /* the version that made it */
	int64_t size;       /* bytes of the copy */
	struct str sha256;  /* of the copy, in hex */
	LIST_OF(struct backup_migration) migrations;
};

extern const struct schema backup_schema;

/*
 * Makes one. -ERR_NOT_FOUND (there is no database yet), -ERR_CONFLICT (another one is being made),
 * -ERR_UNAVAILABLE (the disk is full, or would be), -ERR_INVALID (the database is damaged: the
 * sentence says how), -ERR_CANCELLED, -ERR_IO, -ERR_NO_MEMORY; then nothing is left of it.
 */
int backup_create(const struct backup_place *place, struct arena *arena, struct backup *ret);

/* One of a list. */
struct backup_entry {
	struct backup backup; /* of a damaged one only the name */
	struct str problem;   /* why it could not be restored; empty: nothing is known against it */
};

/* What there is, the newest first. Looks at names, sizes and manifests, not at the copies' bytes. A
 * folder that is not there has none. -ERR_FULL beyond BACKUPS_MAX, -ERR_IO, -ERR_NO_MEMORY. */
int backup_list(const struct backup_place *place, struct arena *arena, struct backup_entry **ret,
	size_t *ret_count);

/* Reads all of it: that the bytes are those of the manifest, and that they are a sound database.
 * -ERR_NOT_FOUND, -ERR_INVALID with what is wrong, -ERR_CANCELLED, -ERR_IO, -ERR_NO_MEMORY. */
int backup_verify(
	const struct backup_place *place, struct str name, struct arena *arena, struct backup *ret);

/* What stays. */
struct backup_retention {
	size_t keep; /* the newest so many; at least 1 */
	size_t days; /* and of those none that is older; 0: of any age */
};

/*
 * Removes what retention does not keep; never the newest one. Damaged ones do not count as kept,
 * but go with what is as old as they. `*ret_removed` is their number. -ERR_CONFLICT (a backup is
 * being made), -ERR_IO, -ERR_NO_MEMORY.
 */
int backup_prune(const struct backup_place *place, const struct backup_retention *retention,
	size_t *ret_removed);

/* What a restore did. */
struct backup_restored {
	struct backup backup;
	struct str aside; /* where the former database is now; empty: there was none */
};

/*
 * Puts a backup in the place of the database. It is copied and checked before anything is touched;
 * the former database stays beside as bulkhead.db.before-restore-TIME. Whatever ends the process
 * meanwhile, there is either the former database or all of the backup. -ERR_CONFLICT (a server has
 * the folder: the sentence names it), -ERR_NOT_FOUND, -ERR_INVALID (the backup is damaged),
 * -ERR_UNAVAILABLE (the disk is full), -ERR_IO, -ERR_NO_MEMORY.
 */
int backup_restore(const struct backup_place *place, struct str name, struct arena *arena,
	struct backup_restored *ret);

/*
 * Checks the live file from a connection that only reads, beside the writers: the structure of all
 * its tables and indexes, and that rows refer to others that exist. What is wrong is written to
 * `findings`, a line each, at most BACKUP_FINDINGS_MAX of both kinds. 0 when nothing is; then
 * -ERR_INVALID, or -ERR_NOT_FOUND, -ERR_CANCELLED, -ERR_IO.
 */
int database_check(const struct backup_place *place, struct buf *findings);

#endif
