/*
 * A disk for tests that can lose power, run full and fail. It is a VFS of SQLite above the real
 * one: files are where they always are, but beside each stands what is safe (what the last sync
 * wrote) and what was only written since. When the power goes, safe bytes stay, and of the others
 * chance decides: all, none, the first so many, or sectors of them in any order, each file by
 * itself. Creating and deleting files is kept apart from their bytes, and is safe once the folder
 * was synced, which SQLite does at the first sync of a new journal or WAL.
 *
 * There is one disk in a process. It may be used from several threads, each call of SQLite's is
 * one step of it. The same seed and the same calls in the same order give the same disk.
 */
#ifndef STORE_VFS_TEST_H
#define STORE_VFS_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name of the VFS, for sqlite3_open_v2. */
#define DISK_VFS "disk"

enum disk_call {
	DISK_OPEN,
	DISK_READ,
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_SYNC,
	DISK_DELETE,
	DISK_SIZE,
	DISK_LOCK,
	DISK_SHM_MAP,
	DISK_SHM_LOCK,
	DISK_CALLS,
};

/* Which files; they can be added up. */
enum disk_file {
	DISK_DATABASE = 1,
	DISK_WAL = 2,
	DISK_JOURNAL = 4,
	DISK_ANY_FILE = 7,
};

/* What goes wrong. */
struct disk_fault {
	enum disk_call call;
	unsigned files; /* enum disk_file */
	size_t after;   /* so many calls go well first */
	size_t count;   /* then so many fail; 0 is 1, SIZE_MAX all */
	int code;       /* what SQLite is told; 0: the I/O error of that call */
	bool lie;       /* of a sync: it says that it went well, and nothing is safe */
	size_t cut;     /* not 0: the power goes within so many changes after it has struck */
};

enum { DISK_FAULTS_MAX = 8 };

/* A new disk without faults; what the files hold when they are opened is safe. Registers the VFS.
 * The seed is not 0. Nothing may be open. */
void disk_start(uint64_t seed);

/* Forgets everything and frees it. Nothing may be open. */
void disk_done(void);

/* Adds a fault, at most DISK_FAULTS_MAX; removes all of them. */
void disk_fail(const struct disk_fault *fault);
void disk_mend(void);

/* The number of calls that have failed (or lied) because of faults. */
size_t disk_struck(void);

/* Files may grow by so many bytes in all, then SQLITE_FULL; SIZE_MAX: any number. */
void disk_room(size_t bytes);

/* The power goes at the `changes`th write, truncation, sync or deletion from now on, during it (1
 * is the next one); SIZE_MAX: not by itself. Or now. */
void disk_cut_after(size_t changes);
void disk_cut(void);

/* Whether there is power. Without it all reading and writing fails. */
bool disk_is_on(void);

/* Makes the files what has survived, and gives it power again. All must have been closed. Faults
 * are gone. */
void disk_power_on(void);

#endif
