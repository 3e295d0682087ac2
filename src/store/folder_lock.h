/*
 * One owner of a data folder: whoever serves, migrates or restores it holds this lock, so that two
 * processes never write the same database file. It ends with its process, however that ends.
 * Internal to this folder.
 */
#ifndef STORE_FOLDER_LOCK_H
#define STORE_FOLDER_LOCK_H

#include "base/str.h"

/* A lock that is held, or, zeroed, one that is not. */
struct folder_lock {
	int fd; /* of bulkhead.lock, with an flock on it */
	bool held;
};

/*
 * Takes the lock of the folder (which must exist) without waiting. -ERR_CONFLICT when another
 * opener has it, in this process or another one, named by its number; -ERR_IO when the folder is
 * not there or cannot be written; -ERR_INVALID for a path that is too long.
 */
int folder_lock_take(struct str folder, struct folder_lock *ret);

/* Gives it back. Nothing happens when it is not held. */
void folder_lock_release(struct folder_lock *lock);

#endif
