/*
 * Putting a backup back. Everything that can fail for reasons of the backup or the disk comes
 * before the first change. The order of the changes is such that after each of them the folder
 * opens as the former database or as all of the backup, and that a log of the former one never lies
 * beside the new file, which would be spoilt by it.
 */
#include "store/backup_internal.h"

#include "base/fault.h"
#include "observe/clock.h"
#include "store/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define INCOMING DATABASE_FILE ".restoring"
#define ASIDE    DATABASE_FILE ".before-restore-"
#define LOG      DATABASE_FILE "-wal"

enum { ASIDE_LEN = sizeof(ASIDE) - 1 + TIME_NAME_SIZE - 1, ASIDE_MAX = ASIDE_LEN + sizeof("-wal") };

/* Copies the backup into the data folder and finds out that it is what the manifest says. */
static int bring_in(const struct folder *backups, const struct folder *data,
	const struct backup *backup, const atomic_bool *stop)
{
	int fd = -1, r;

	file_remove(data, INCOMING);
	r = file_create(data, INCOMING, &fd);
	if (r < 0)
		return r;
	r = backup_read_copy(backups, backup, stop, fd);
	if (r == 0)
		r = file_sync(fd, INCOMING);
	(void)close(fd);
	return r;
}

static int verify_incoming(const struct folder *data, const atomic_bool *stop)
{
	char path[PATH_MAX];
	int r = folder_path(data, INCOMING, path);

	return r < 0 ? r : database_verify(path, stop);
}

/* A second name for the former file; where the file system has no such thing, another one. */
static int name_aside(const struct folder *data, const char *aside)
{
	int r = fault_point(FAULT_SYSCALL) ? (errno = EIO, -1)
					   : linkat(data->fd, DATABASE_FILE, data->fd, aside, 0);

	if (r == 0)
		return 0;
	if (errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK)
		return file_rename(data, DATABASE_FILE, aside, false);
	return fail(
		ERR_IO, "cannot keep the former database as %s: %s", aside, err_errno_text(errno));
}

/* The former database goes aside with what its log still holds; usually that is nothing by now. */
static int put_aside(const struct folder *data, const char *aside, const char *aside_log)
{
	char path[PATH_MAX];
	int r = folder_path(data, DATABASE_FILE, path);

	if (r < 0)
		return r;
	r = database_settle(path);
	if (r == 0)
		r = name_aside(data, aside);
	if (r == 0)
		r = folder_sync(data);
	if (r == 0 && file_exists(data, LOG))
		r = file_rename(data, LOG, aside_log, false);
	return r;
}

/* Back to how it was, after a failure half way. */
static void take_back(const struct folder *data, const char *aside, const char *aside_log)
{
	if (file_exists(data, aside_log))
		(void)renameat(data->fd, aside_log, data->fd, LOG);
	if (file_exists(data, DATABASE_FILE))
		file_remove(data, aside);
	else
		(void)renameat(data->fd, aside, data->fd, DATABASE_FILE);
}

/* The change itself, once the former database has a second name. */
static int change(const struct folder *data)
{
	int r;

	/* What is left of these belongs to no file any more. */
	file_remove(data, LOG);
	file_remove(data, DATABASE_FILE "-shm");
	file_remove(data, DATABASE_FILE "-journal");
	r = folder_sync(data);
	return r < 0 ? r : file_rename(data, INCOMING, DATABASE_FILE, true);
}

static int swap(const struct folder *data, struct arena *arena, struct str *ret_aside)
{
	char aside[ASIDE_MAX] = ASIDE, aside_log[ASIDE_MAX];
	bool former = file_exists(data, DATABASE_FILE);
	struct str kept;
	int r;

	time_name(clock_wall_us(), aside + sizeof(ASIDE) - 1);
	(void)snprintf(aside_log, sizeof(aside_log), "%.*s-wal", ASIDE_LEN, aside);
	kept = arena_str(arena, former ? str_from_c(aside) : S(""));
	if (!kept.at)
		return -(int)err_last()->code;

	r = former ? put_aside(data, aside, aside_log) : 0;
	if (r == 0)
		r = change(data);
	if (r < 0 && former)
		take_back(data, aside, aside_log);
	if (r == 0)
		r = folder_sync(data);
	if (r == 0)
		*ret_aside = kept;
	return r;
}

static int restore(const struct folder *data, const struct folder *backups,
	const struct backup_place *place, struct str name, struct arena *arena,
	struct backup_restored *ret)
{
	struct backup_restored done = { 0 };
	int r = manifest_read(backups, name, arena, &done.backup);

	if (r == 0)
		r = backup_check_size(backups, &done.backup);
	if (r == 0)
		r = folder_has_room(data, (uint64_t)done.backup.size);
	if (r == 0)
		r = bring_in(backups, data, &done.backup, place->stop);
	if (r == 0)
		r = verify_incoming(data, place->stop);
	if (r == 0)
		r = swap(data, arena, &done.aside);
	if (r < 0) {
		file_remove(data, INCOMING);
		return r;
	}
	*ret = done;
	return 0;
}

int backup_restore(const struct backup_place *place, struct str name, struct arena *arena,
	struct backup_restored *ret)
{
	struct folder data = { .fd = -1 }, backups = { .fd = -1 };
	struct folder_lock lock = { 0 };
	int r;

	if (!backup_is_name(name))
		return fail(ERR_NOT_FOUND, "\"%.*s\" is not the name of a backup", STR_ARG(name));
	r = folder_lock_take(place->folder, &lock);
	if (r == -ERR_CONFLICT)
		return err_wrap("the database is in use; stop the server first");
	if (r == 0)
		r = folder_open(place->folder, &data);
	if (r == 0)
		r = folder_open_backups(place->folder, false, &backups);
	if (r == 0)
		r = restore(&data, &backups, place, name, arena, ret);
	folder_close(&backups);
	folder_close(&data);
	folder_lock_release(&lock);
	return r;
}
