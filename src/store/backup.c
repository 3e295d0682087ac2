/*
 * Making, listing, verifying and removing backups. A lock on the folder sees to it that one backup
 * is made or removed at a time, by whichever process. Files get their names last, the copy after
 * its manifest: what has the name of a copy is a backup.
 */
#include "store/backup_internal.h"

#include "base/mem.h"
#include "base/version.h"
#include "crypto/base64.h"
#include "observe/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_US ((int64_t)24 * 3600 * 1000000)

/* --- names in the folder ------------------------------------------------------------- */

struct name {
	char at[BACKUP_NAME_LEN];
};

/* Names of copies, the newest first; on the heap. */
struct names {
	struct name *at;
	size_t count, room;
};

static void names_done(struct names *names)
{
	mem_free(names->at, names->room * sizeof(*names->at));
	*names = (struct names){ 0 };
}

static int names_add(struct names *names, struct str name)
{
	if (names->count == BACKUPS_MAX)
		return fail(ERR_FULL, "there are more than %d backups", BACKUPS_MAX);
	if (names->count == names->room) {
		size_t room = MAX(names->room * 2, (size_t)64);
		struct name *grown =
			mem_resize(names->at, names->room * sizeof(*grown), room * sizeof(*grown));

		if (!grown)
			return -ERR_NO_MEMORY;
		names->at = grown;
		names->room = room;
	}
	memcpy(names->at[names->count++].at, name.at, BACKUP_NAME_LEN);
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	return memcmp(b, a, sizeof(struct name));
}

static struct str name_str(const struct name *name)
{
	return str_of(name->at, BACKUP_NAME_LEN);
}

static DIR *open_listing(const struct folder *folder)
{
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);

	if (!listing) {
		(void)fail(ERR_IO, "cannot list %s: %s", folder->path, err_errno_text(errno));
		if (fd >= 0)
			(void)close(fd);
	}
	return listing;
}

/* The names that have a copy. */
static int read_names(const struct folder *folder, struct names *ret)
{
	DIR *listing = open_listing(folder);
	struct names names = { 0 };
	int r = 0;

	if (!listing)
		return -ERR_IO;
	for (struct dirent *entry; r == 0 && (entry = readdir(listing));) {
		struct str file = str_from_c(entry->d_name);
		struct str name = str_first(file, BACKUP_NAME_LEN);

		if (backup_is_name(name) && str_eq(str_from(file, BACKUP_NAME_LEN), S(".db")))
			r = names_add(&names, name);
	}
	(void)closedir(listing);
	if (r < 0) {
		names_done(&names);
		return r;
	}
	if (names.count)
		qsort(names.at, names.count, sizeof(*names.at), newest_first);
	*ret = names;
	return 0;
}

/* --- what belongs to a backup ---------------------------------------------------------- */

static const char *const endings[] = { ".db.partial", ".db.partial-journal", ".json.partial", ".db",
	".json" };

/* The copy first: a manifest alone is nothing. */
static void discard(const struct folder *folder, struct str name)
{
	char file[BACKUP_FILE_MAX];

	for (size_t i = 0; i < LEN(endings); i++) {
		backup_file_name(name, endings[i], file);
		file_remove(folder, file);
	}
}

/* True for what a backup leaves behind whose process ended before it was done. */
static bool is_remnant(const struct folder *folder, struct str file)
{
	struct str name = str_first(file, BACKUP_NAME_LEN);
	struct str ending = str_from(file, BACKUP_NAME_LEN);
	char copy[BACKUP_FILE_MAX];

	if (!backup_is_name(name))
		return false;
	backup_file_name(name, ".db", copy);
	if (str_eq(ending, S(".json")))
		return !file_exists(folder, copy);
	return str_eq(ending, S(".db.partial")) || str_eq(ending, S(".db.partial-journal")) ||
	       str_eq(ending, S(".json.partial"));
}

/* Under the lock nobody is at work on these. */
static void sweep(const struct folder *folder)
{
	DIR *listing = open_listing(folder);

	if (!listing)
		return;
	for (struct dirent *entry; (entry = readdir(listing));)
		if (is_remnant(folder, str_from_c(entry->d_name)))
			file_remove(folder, entry->d_name);
	(void)closedir(listing);
}

/* --- making one ------------------------------------------------------------------------ */

/* The time, a millisecond later as long as somebody has that name already. */
static void choose_name(const struct folder *folder, char at[BACKUP_NAME_LEN + 1], int64_t *ret_us)
{
	int64_t now_us = clock_wall_us() / 1000 * 1000;
	char time[TIME_NAME_SIZE];
	char file[BACKUP_FILE_MAX];

	for (;; now_us += 1000) {
		time_name(now_us, time);
		memcpy(at, "bulkhead-", 9);
		memcpy(at + 9, time, sizeof(time));
		backup_file_name(str_of(at, BACKUP_NAME_LEN), ".db", file);
		if (!file_exists(folder, file))
			break;
	}
	*ret_us = now_us;
}

/* Size, digest and migrations of the copy, after a check. */
static int describe(const struct folder *folder, const char *file, const atomic_bool *stop,
	struct arena *arena, struct backup *backup)
{
	uint8_t sha256[SHA256_LEN];
	char hex[2 * SHA256_LEN];
	char path[PATH_MAX];
	uint64_t size;
	int fd = -1, r;

	r = folder_path(folder, file, path);
	if (r == 0)
		r = database_verify(path, stop);
	if (r == 0)
		r = database_migrations(path, arena, backup);
	if (r == 0)
		r = file_open(folder, file, &fd);
	if (r < 0)
		return r;

	r = file_digest(fd, -1, file, stop, sha256, &size);
	(void)close(fd);
	if (r < 0)
		return r;
	hex_write(hex, str_of((const char *)sha256, sizeof(sha256)));
	backup->size = (int64_t)size;
	backup->sha256 = arena_str(arena, str_of(hex, sizeof(hex)));
	return backup->sha256.at ? 0 : -(int)err_last()->code;
}

/* Both names, and each of them on the disk before the next. */
static int publish(const struct folder *folder, struct str name)
{
	char from[BACKUP_FILE_MAX], to[BACKUP_FILE_MAX];
	int r;

	backup_file_name(name, ".json.partial", from);
	backup_file_name(name, ".json", to);
	r = file_rename(folder, from, to, false);
	if (r == 0)
		r = folder_sync(folder);
	if (r < 0)
		return r;

	backup_file_name(name, ".db.partial", from);
	backup_file_name(name, ".db", to);
	r = file_rename(folder, from, to, false);
	return r < 0 ? r : folder_sync(folder);
}

static int make(const struct folder *folder, const char *database, const atomic_bool *stop,
	struct arena *arena, struct backup *backup)
{
	char file[BACKUP_FILE_MAX];
	int fd, r;

	backup_file_name(backup->name, ".db.partial", file);
	r = file_create(folder, file, &fd);
	if (r < 0)
		return r;
	(void)close(fd);

	r = database_copy(database, folder, file, stop);
	if (r == 0)
		r = describe(folder, file, stop, arena, backup);
	if (r < 0)
		return r;

	backup_file_name(backup->name, ".json.partial", file);
	r = manifest_write(folder, file, backup);
	return r < 0 ? r : publish(folder, backup->name);
}

static int create_in(const struct folder *folder, const struct backup_place *place,
	struct arena *arena, struct backup *ret)
{
	struct backup backup = { .format = 1, .program = S(BULKHEAD_VERSION) };
	char name[BACKUP_NAME_LEN + 1];
	char database[PATH_MAX];
	int r;

	sweep(folder);
	choose_name(folder, name, &backup.created_at);
	backup.name = arena_str(arena, str_of(name, BACKUP_NAME_LEN));
	if (!backup.name.at)
		return -(int)err_last()->code;

	r = snprintf(database, sizeof(database), "%.*s/" DATABASE_FILE, STR_ARG(place->folder));
	if (r < 0 || (size_t)r >= sizeof(database))
		return fail(ERR_INVALID, "the path of the data folder is too long");
	r = make(folder, database, place->stop, arena, &backup);
	if (r < 0) {
		struct err err = *err_last();

		discard(folder, backup.name);
		return fail(err.code, "%s", err.frames[0].text);
	}
	*ret = backup;
	return 0;
}

int backup_create(const struct backup_place *place, struct arena *arena, struct backup *ret)
{
	struct folder data, folder;
	int r = folder_open(place->folder, &data);

	if (r == 0 && !file_exists(&data, DATABASE_FILE))
		r = fail(ERR_NOT_FOUND, "there is no database in %s", data.path);
	folder_close(&data);
	if (r < 0)
		return r;

	r = folder_open_backups(place->folder, true, &folder);
	if (r == 0)
		r = folder_lock_backups(&folder);
	if (r == 0)
		r = create_in(&folder, place, arena, ret);
	folder_close(&folder);
	return r;
}

/* --- looking at them ------------------------------------------------------------------- */

int backup_check_size(const struct folder *folder, const struct backup *backup)
{
	char file[BACKUP_FILE_MAX];
	struct stat what;

	backup_file_name(backup->name, ".db", file);
	if (fstatat(folder->fd, file, &what, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(ERR_NOT_FOUND, "there is no %s", file);
	if (!S_ISREG(what.st_mode) || what.st_size != backup->size)
		return fail(ERR_INVALID, "%s has %lld bytes and not %lld", file,
			(long long)what.st_size, (long long)backup->size);
	return 0;
}

/* A backup that is damaged is listed, too: somebody should know. */
static int list_one(const struct folder *folder, struct str name, struct arena *arena,
	struct backup_entry *entry)
{
	struct str own = arena_str(arena, name);
	int r = own.at ? manifest_read(folder, own, arena, &entry->backup) : -(int)err_last()->code;

	if (r == 0)
		r = backup_check_size(folder, &entry->backup);
	if (r == -ERR_NO_MEMORY || r == -ERR_TOO_LARGE)
		return r;
	if (r < 0) {
		entry->backup = (struct backup){ .name = own };
		entry->problem = arena_str(arena, str_from_c(err_text()));
		return entry->problem.at ? 0 : -(int)err_last()->code;
	}
	return 0;
}

int backup_list(const struct backup_place *place, struct arena *arena, struct backup_entry **ret,
	size_t *ret_count)
{
	struct backup_entry *entries = NULL;
	struct names names = { 0 };
	struct folder folder;
	int r = folder_open_backups(place->folder, false, &folder);

	if (r == -ERR_NOT_FOUND) {
		*ret = NULL;
		*ret_count = 0;
		return 0;
	}
	if (r == 0)
		r = read_names(&folder, &names);
	if (r == 0 && names.count) {
		entries = arena_zalloc(arena, names.count * sizeof(*entries));
		r = entries ? 0 : -(int)err_last()->code;
	}
	for (size_t i = 0; i < names.count && r == 0; i++)
		r = list_one(&folder, name_str(&names.at[i]), arena, &entries[i]);
	folder_close(&folder);
	if (r == 0) {
		*ret = entries;
		*ret_count = names.count;
	}
	names_done(&names);
	return r;
}

int backup_read_copy(
	const struct folder *folder, const struct backup *backup, const atomic_bool *stop, int to)
{
	char file[BACKUP_FILE_MAX];
	uint8_t sha256[SHA256_LEN];
	char hex[2 * SHA256_LEN];
	uint64_t size;
	int from = -1, r;

	backup_file_name(backup->name, ".db", file);
	r = file_open(folder, file, &from);
	if (r < 0)
		return r;
	r = file_digest(from, to, file, stop, sha256, &size);
	(void)close(from);
	if (r < 0)
		return r;
	hex_write(hex, str_of((const char *)sha256, sizeof(sha256)));
	if ((int64_t)size != backup->size || !str_eq(backup->sha256, str_of(hex, sizeof(hex))))
		return fail(ERR_INVALID, "%s is damaged: its SHA-256 is not that of the manifest",
			file);
	return 0;
}

int backup_verify(
	const struct backup_place *place, struct str name, struct arena *arena, struct backup *ret)
{
	char file[BACKUP_FILE_MAX], path[PATH_MAX];
	struct backup backup;
	struct folder folder;
	int r;

	if (!backup_is_name(name))
		return fail(ERR_NOT_FOUND, "\"%.*s\" is not the name of a backup", STR_ARG(name));
	r = folder_open_backups(place->folder, false, &folder);
	if (r == 0)
		r = manifest_read(&folder, name, arena, &backup);
	if (r == 0)
		r = backup_check_size(&folder, &backup);
	if (r == 0)
		r = backup_read_copy(&folder, &backup, place->stop, -1);
	backup_file_name(name, ".db", file);
	if (r == 0)
		r = folder_path(&folder, file, path);
	if (r == 0)
		r = database_verify(path, place->stop);
	folder_close(&folder);
	if (r == 0)
		*ret = backup;
	return r;
}

/* --- removing -------------------------------------------------------------------------- */

/* Retention in terms of names: what sorts behind the last one that is kept goes. */
static size_t kept(const struct folder *folder, const struct names *names,
	const struct backup_retention *retention, struct arena *arena)
{
	char oldest[BACKUP_NAME_LEN + 1] = "";
	size_t good = 0, i;

	if (retention->days) {
		memcpy(oldest, "bulkhead-", 9);
		time_name(clock_wall_us() - (int64_t)retention->days * DAY_US, oldest + 9);
	}
	for (i = 0; i < names->count && good < MAX(retention->keep, (size_t)1); i++) {
		struct arena_mark mark = arena_mark(arena);
		struct backup backup;
		bool sound = manifest_read(folder, name_str(&names->at[i]), arena, &backup) == 0 &&
			     backup_check_size(folder, &backup) == 0;

		arena_back(arena, mark);
		if (good > 0 && retention->days &&
			memcmp(names->at[i].at, oldest, BACKUP_NAME_LEN) < 0)
			break;
		good += sound;
	}
	return i;
}

int backup_prune(const struct backup_place *place, const struct backup_retention *retention,
	size_t *ret_removed)
{
	struct names names = { 0 };
	struct folder folder;
	struct arena arena;
	size_t keep;
	int r = folder_open_backups(place->folder, false, &folder);

	*ret_removed = 0;
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = folder_lock_backups(&folder);
	if (r == 0)
		r = read_names(&folder, &names);
	if (r == 0) {
		arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
		keep = kept(&folder, &names, retention, &arena);
		arena_done(&arena);
		for (size_t i = keep; i < names.count; i++)
			discard(&folder, name_str(&names.at[i]));
		*ret_removed = names.count - keep;
		r = *ret_removed ? folder_sync(&folder) : 0;
	}
	folder_close(&folder);
	names_done(&names);
	return r;
}
