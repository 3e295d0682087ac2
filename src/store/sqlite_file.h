/*
 * The database file and how connections to it are opened: its checks, its pragmas, its limits.
 * Internal to this folder.
 */
#ifndef STORE_SQLITE_FILE_H
#define STORE_SQLITE_FILE_H

#include <limits.h>
#include <sqlite3.h>
#include <stddef.h>

#include "base/str.h"

/*
 * Says in the header of the file whose it is ("BHK") and which format the store keeps in it. A file
 * of another program, or of a later format, is refused.
 */
enum { SQLITE_FILE_ID = 0x42484B00, SQLITE_FILE_FORMAT = 1 };

enum sqlite_role {
	SQLITE_WRITER,
	SQLITE_READER, /* cannot change anything */
};

struct sqlite_file {
	char path[PATH_MAX];
	size_t cache_bytes; /* of the writer's pages; a reader has a quarter */
};

/* Sets the path from the folder, and makes an empty file, for the owner only, when there is none.
 * -ERR_IO, -ERR_INVALID. */
int sqlite_file_init(struct sqlite_file *file, struct str folder, size_t cache_bytes);

/*
 * Looks whether the file is a database, ours, sound at first sight and can be written, and marks a
 * new one as ours. -ERR_IO (no database, corrupt, read-only), -ERR_INVALID (another program's, a
 * newer one's), -ERR_UNAVAILABLE (the disk is full, locked by another program).
 */
int sqlite_file_check(const struct sqlite_file *file);

/* Opens a connection for use by one thread at a time. Close it with sqlite3_close. */
int sqlite_file_open(const struct sqlite_file *file, enum sqlite_role role, sqlite3 **ret);

#endif
