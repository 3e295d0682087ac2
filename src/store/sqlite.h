/*
 * What tests and benchmarks may change about the SQLite engine (opened by sqlite_engine_open,
 * store/engine.h). Set before the store is opened. Internal to this folder.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <stdint.h>

/* The VFS (the file system as SQLite sees it) that database files are opened with; NULL, as at the
 * start: the default one. */
extern const char *sqlite_vfs_name;

/* How long a group takes in members before it is committed (2 ms). */
extern uint64_t sqlite_group_time_ns;

/* How long a read may hold up its worker before it is repeated on a thread of its own; 0: all
 * reads run there (250 us). See doc/decisions/007. */
extern uint64_t sqlite_read_budget_ns;

#endif
