/* A snapshot is written under another name and renamed when it is whole and on the disk. Its name
 * begins with the time, so that names in order are copies in order. */
#include "store/migrate_snapshot.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/time_text.h"
#include "observe/clock.h"
#include "store/sqlite.h"
#include "store/sqlite_error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 128, FOLDER_MODE = 0700, FILE_MODE = 0600, LISTED_MAX = 1000 };

static const struct str prefix = S_INIT("migration-");
static const struct str partial = S_INIT(".partial");

static bool call_fails(void)
{
	if (!fault_point(FAULT_SYSCALL))
		return false;
	errno = EIO;
	return true;
}

static int fail_path(const char *doing, const char *path)
{
	return fail(ERR_IO, "cannot %s %s: %s", doing, path, err_errno_text(errno));
}

/* "migration-20261120T081530123Z-notes-2.db" */
static void write_name(const struct migrate_step *first, char *at, size_t size)
{
	char time[TIME_RFC3339_LEN];
	size_t len = 0;

	time_write_rfc3339(time, clock_wall_us());
	for (size_t i = 0; i < sizeof(time); i++)
		if (time[i] != '-' && time[i] != ':' && time[i] != '.')
			time[len++] = time[i];
	(void)snprintf(at, size, "migration-%.*s-%s-%lld.db", (int)len, time, first->source->module,
		(long long)first->migration->number);
}

/* --- the copy --------------------------------------------------------------------- */

static int copy_pages(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");

	if (backup) {
		(void)sqlite3_backup_step(backup, -1);
		(void)sqlite3_backup_finish(backup);
	}
	return sqlite3_errcode(to) == SQLITE_OK ? 0 : sqlite_fail(to, sqlite3_extended_errcode(to));
}

/* The copy is one file without a log beside it. */
static int copy_to(sqlite3 *from, const char *path)
{
	sqlite3 *to = NULL;
	int fd = call_fails() ? -1 : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	int r = 0;

	if (fd < 0)
		return fail_path("make", path);
	if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
		    sqlite_vfs_name) != SQLITE_OK)
		r = fail(ERR_IO, "cannot open %s: %s", path, to ? sqlite3_errmsg(to) : "no memory");
	if (r == 0)
		r = copy_pages(from, to);
	if (r == 0 &&
		sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) != SQLITE_OK)
		r = sqlite_fail(to, sqlite3_extended_errcode(to));
	(void)sqlite3_close(to);
	if (r == 0 && (call_fails() || fsync(fd) < 0))
		r = fail_path("write", path);
	(void)close(fd);
	return r;
}

/* --- keeping a few ------------------------------------------------------------------ */

struct listing {
	char names[LISTED_MAX][NAME_SIZE];
	size_t count;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* What an attempt that did not end has left goes, too. */
static void list_snapshots(DIR *folder, struct listing *listing)
{
	struct dirent *entry;

	while ((entry = readdir(folder)) && listing->count < LISTED_MAX) {
		struct str name = str_from_c(entry->d_name);

		if (!str_starts(name, prefix) || name.len >= NAME_SIZE)
			continue;
		if (str_ends(name, partial))
			(void)unlinkat(dirfd(folder), entry->d_name, 0);
		else if (str_ends(name, S(".db")))
			memcpy(listing->names[listing->count++], name.at, name.len + 1);
	}
}

/* A copy too many is no reason not to migrate, so nothing fails here. */
static void prune(struct migrate_run *run, const char *path)
{
	struct listing *listing = arena_new(&run->arena, struct listing);
	DIR *folder = opendir(path);

	if (folder && listing) {
		list_snapshots(folder, listing);
		qsort(listing->names, listing->count, NAME_SIZE, compare_names);
		for (size_t i = 0; i + MIGRATION_SNAPSHOTS < listing->count; i++)
			(void)unlinkat(dirfd(folder), listing->names[i], 0);
	}
	if (folder)
		(void)closedir(folder);
}

static int sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || call_fails() || fsync(fd) < 0 ? fail_path("write", path) : 0;

	if (fd >= 0)
		(void)close(fd);
	return r;
}

int migrate_snapshot(struct migrate_run *run, sqlite3 *from, const struct migrate_step *first)
{
	char folder[PATH_MAX], path[PATH_MAX + NAME_SIZE + 1], under_way[sizeof(path) + 16];
	char name[NAME_SIZE];
	int r = snprintf(
		folder, sizeof(folder), "%.*s/backups", STR_ARG(run->options->store.folder));

	if (r < 0 || (size_t)r >= sizeof(folder))
		return fail(ERR_INVALID, "the path of the data folder is too long");
	if (call_fails() || (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST))
		return fail_path("make", folder);
	write_name(first, name, sizeof(name));
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	(void)snprintf(under_way, sizeof(under_way), "%s%s", path, partial.at);

	r = copy_to(from, under_way);
	if (r == 0 && (call_fails() || rename(under_way, path) < 0))
		r = fail_path("rename", under_way);
	if (r == 0)
		r = sync_folder(folder);
	if (r < 0) {
		(void)unlink(under_way);
		return r;
	}
	migrate_say(run, "snapshot: %s", path);
	prune(run, folder);
	return 0;
}
