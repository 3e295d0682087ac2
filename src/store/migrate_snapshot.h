/* Copies of the SQLite file from before migrations. Internal to this folder. */
#ifndef STORE_MIGRATE_SNAPSHOT_H
#define STORE_MIGRATE_SNAPSHOT_H

#include "store/migrate.h"

#include <sqlite3.h>

/* Copies the database into DATA_DIR/backups/migration-TIME-MODULE-NUMBER.db, on the disk when it
 * returns, and removes all but the newest MIGRATION_SNAPSHOTS. -ERR_IO, -ERR_NO_MEMORY; then there
 * is no such file. */
int migrate_snapshot(struct migrate_run *run, sqlite3 *from, const struct migrate_step *first);

#endif
