/* Between the files of backups. */
#ifndef STORE_BACKUP_INTERNAL_H
#define STORE_BACKUP_INTERNAL_H

#include "base/err.h"
#include "crypto/digest.h"
#include "store/backup.h"

#include <limits.h>

#define DATABASE_FILE "bulkhead.db"

enum {
	/* Of a file in a backup folder: the name and ".json.partial-journal". */
	BACKUP_FILE_MAX = BACKUP_NAME_LEN + 32,
	/* Left free on a disk, so that a copy does not stop the database itself. */
	DISK_RESERVE = 16 * 1024 * 1024,
};

/* A folder that is worked in: a descriptor for ourselves, its path for SQLite. */
struct folder {
	int fd;
	char path[PATH_MAX];
};

/* --- backup_file.c: files, each call checked; errors name the file ------------------- */

/* -ERR_NOT_FOUND when it is not there; -ERR_IO, -ERR_INVALID (path too long). */
int folder_open(struct str path, struct folder *ret);

/* DATA_DIR/backups; made when `make` says so. */
int folder_open_backups(struct str data, bool make, struct folder *ret);
void folder_close(struct folder *folder);

/* Until it is closed nobody else gets this. -ERR_CONFLICT, -ERR_IO. */
int folder_lock_backups(const struct folder *folder);

/* Makes names durable. -ERR_IO. */
int folder_sync(const struct folder *folder);

/* -ERR_UNAVAILABLE when `bytes` more would leave less than DISK_RESERVE. */
int folder_has_room(const struct folder *folder, uint64_t bytes);

/* The path of a file in it. -ERR_INVALID when it is too long. */
int folder_path(const struct folder *folder, const char *name, char ret[PATH_MAX]);

/* A new file, mode 0600, that was not there before. */
int file_create(const struct folder *folder, const char *name, int *ret_fd);

/* A regular file, to be read. -ERR_NOT_FOUND. */
int file_open(const struct folder *folder, const char *name, int *ret_fd);

int file_write(int fd, const char *name, struct str bytes);
int file_sync(int fd, const char *name);

/* Gives a file its name, which nobody may have yet, or (`replace`) may. */
int file_rename(const struct folder *folder, const char *from, const char *to, bool replace);

/* Does not mind when it is not there. */
void file_remove(const struct folder *folder, const char *name);
bool file_exists(const struct folder *folder, const char *name);

/* All of a small file, in the arena. -ERR_NOT_FOUND, -ERR_INVALID beyond `limit`. */
int file_read(const struct folder *folder, const char *name, size_t limit, struct arena *arena,
	struct str *ret);

/* Reads from where `from` stands to its end: the digest and the number of bytes; and writes them to
 * `to` unless that is negative. */
int file_digest(int from, int to, const char *name, const atomic_bool *stop,
	uint8_t ret_sha256[SHA256_LEN], uint64_t *ret_size);

/* -ERR_CANCELLED when the work is to end. */
int stop_asked(const atomic_bool *stop);

/* --- names ---------------------------------------------------------------------------- */

/* "2026-11-21T02-05-00.123Z", with a NUL. */
enum { TIME_NAME_SIZE = 25 };
void time_name(int64_t time_us, char ret[TIME_NAME_SIZE]);

/* True when the text has exactly the form of a backup's name. */
bool backup_is_name(struct str text);

/* "NAME.db", "NAME.json.partial" and so on. */
void backup_file_name(struct str name, const char *ending, char ret[BACKUP_FILE_MAX]);

/* --- backup_manifest.c ---------------------------------------------------------------- */

/* Writes it as `file`, durable but for the name. */
int manifest_write(const struct folder *folder, const char *file, const struct backup *backup);

/* Reads NAME.json. -ERR_NOT_FOUND, -ERR_INVALID with what is wrong. */
int manifest_read(
	const struct folder *folder, struct str name, struct arena *arena, struct backup *ret);

/* --- backup.c --------------------------------------------------------------------------- */

/* -ERR_INVALID when the size of the copy is not that of the manifest; -ERR_NOT_FOUND. */
int backup_check_size(const struct folder *folder, const struct backup *backup);

/* Reads all of the copy, and writes it to `to` unless that is negative. -ERR_INVALID when it is not
 * what the manifest says. */
int backup_read_copy(
	const struct folder *folder, const struct backup *backup, const atomic_bool *stop, int to);

/* --- backup_database.c: all that is asked of SQLite ------------------------------------ */

/* Copies the state that `from` has now into the empty file `to` of a folder. */
int database_copy(
	const char *from, const struct folder *folder, const char *to, const atomic_bool *stop);

/* Checks a file that nobody writes to; a sentence for people in the error. */
int database_verify(const char *path, const atomic_bool *stop);

/* The migrations that were applied to it; none when it has no table of them. */
int database_migrations(const char *path, struct arena *arena, struct backup *ret);

/* Takes what is in the log into the file, so that the file alone is all; as far as that goes with
 * one that is broken. -ERR_CONFLICT when somebody has it open. */
int database_settle(const char *path);

#endif
