/* Files of backups: each system call with its check, and with a sentence that names the file. All
 * names are relative to a descriptor of the folder. */
#include "store/backup_internal.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/time_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FILE_MODE = 0600, FOLDER_MODE = 0700, CHUNK = 256 * 1024 };

/* True when a call must fail now, as a disk would make it fail. */
static bool faulty(void)
{
	if (!fault_point(FAULT_SYSCALL))
		return false;
	errno = EIO;
	return true;
}

static int failed(const char *doing, const char *name)
{
	int number = errno;

	if (number == ENOSPC || number == EDQUOT)
		return fail(ERR_UNAVAILABLE, "cannot %s %s: the disk is full", doing, name);
	if (number == ENOENT)
		return fail(ERR_NOT_FOUND, "there is no %s", name);
	return fail(ERR_IO, "cannot %s %s: %s", doing, name, err_errno_text(number));
}

/* --- folders ------------------------------------------------------------------------ */

int folder_open(struct str path, struct folder *ret)
{
	int len = snprintf(ret->path, sizeof(ret->path), "%.*s", STR_ARG(path));

	ret->fd = -1;
	if (len <= 0 || (size_t)len >= sizeof(ret->path))
		return fail(ERR_INVALID, "the path of the data folder is too long");

	ret->fd = faulty() ? -1 : open(ret->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->fd < 0 ? failed("open", ret->path) : 0;
}

int folder_open_backups(struct str data, bool make, struct folder *ret)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%.*s/backups", STR_ARG(data));

	ret->fd = -1;
	if (len < 0 || (size_t)len >= sizeof(path))
		return fail(ERR_INVALID, "the path of the data folder is too long");
	if (make && (faulty() || (mkdir(path, FOLDER_MODE) < 0 && errno != EEXIST)))
		return failed("make the folder", path);
	return folder_open(str_of(path, (size_t)len), ret);
}

void folder_close(struct folder *folder)
{
	if (folder->fd >= 0)
		(void)close(folder->fd);
	folder->fd = -1;
}

int folder_lock_backups(const struct folder *folder)
{
	if (faulty() || flock(folder->fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return fail(ERR_CONFLICT, "a backup is under way already");
		return failed("lock", folder->path);
	}
	return 0;
}

int folder_sync(const struct folder *folder)
{
	return faulty() || fsync(folder->fd) < 0 ? failed("sync", folder->path) : 0;
}

int folder_has_room(const struct folder *folder, uint64_t bytes)
{
	struct statvfs disk;
	uint64_t room;

	if (faulty() || fstatvfs(folder->fd, &disk) < 0)
		return failed("look at the disk of", folder->path);

	room = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (room < DISK_RESERVE || room - DISK_RESERVE < bytes)
		return fail(ERR_UNAVAILABLE,
			"the disk of %s is too full: %llu MB are needed, and %d MB must stay free, "
			"but only %llu MB are left",
			folder->path, (unsigned long long)(bytes / MEGABYTE + 1),
			DISK_RESERVE / (1024 * 1024), (unsigned long long)(room / MEGABYTE));
	return 0;
}

int folder_path(const struct folder *folder, const char *name, char ret[PATH_MAX])
{
	int len = snprintf(ret, PATH_MAX, "%s/%s", folder->path, name);

	if (len < 0 || len >= PATH_MAX)
		return fail(ERR_INVALID, "the path of %s is too long", name);
	return 0;
}

/* --- files -------------------------------------------------------------------------- */

int file_create(const struct folder *folder, const char *name, int *ret_fd)
{
	int fd = faulty() ? -1
			  : openat(folder->fd, name,
				    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);

	if (fd < 0)
		return failed("make", name);
	*ret_fd = fd;
	return 0;
}

int file_open(const struct folder *folder, const char *name, int *ret_fd)
{
	int fd = faulty()
			 ? -1
			 : openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat what;

	if (fd < 0)
		return failed("open", name);
	if (fstat(fd, &what) < 0 || !S_ISREG(what.st_mode)) {
		(void)close(fd);
		return fail(ERR_INVALID, "%s is no file", name);
	}
	*ret_fd = fd;
	return 0;
}

int file_write(int fd, const char *name, struct str bytes)
{
	while (bytes.len) {
		ssize_t wrote = faulty() ? -1 : write(fd, bytes.at, bytes.len);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return failed("write", name);
		bytes = str_from(bytes, (size_t)wrote);
	}
	return 0;
}

int file_sync(int fd, const char *name)
{
	return faulty() || fsync(fd) < 0 ? failed("sync", name) : 0;
}

int file_rename(const struct folder *folder, const char *from, const char *to, bool replace)
{
	int r = faulty() ? -1
			 : renameat2(folder->fd, from, folder->fd, to,
				   replace ? 0 : RENAME_NOREPLACE);

	/* A file system that does not know how: whoever makes names here holds a lock. */
	if (r < 0 && errno == EINVAL && !replace && !file_exists(folder, to))
		r = renameat(folder->fd, from, folder->fd, to);
	return r < 0 ? failed("rename", from) : 0;
}

void file_remove(const struct folder *folder, const char *name)
{
	(void)unlinkat(folder->fd, name, 0);
}

bool file_exists(const struct folder *folder, const char *name)
{
	return faccessat(folder->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 0 at the end. */
static ssize_t read_some(int fd, const char *name, char *at, size_t size)
{
	for (;;) {
		ssize_t got = faulty() ? -1 : read(fd, at, size);

		if (got >= 0)
			return got;
		if (errno != EINTR)
			return failed("read", name);
	}
}

int file_read(const struct folder *folder, const char *name, size_t limit, struct arena *arena,
	struct str *ret)
{
	struct stat what;
	ssize_t got = 1;
	size_t len = 0;
	char *at;
	int fd = -1;
	int r = file_open(folder, name, &fd);

	if (r < 0)
		return r;
	if (fstat(fd, &what) < 0 || (uint64_t)what.st_size > limit) {
		(void)close(fd);
		return fail(ERR_INVALID, "%s is larger than %zu bytes", name, limit);
	}

	at = arena_alloc(arena, (size_t)what.st_size + 1);
	while (at && len < (size_t)what.st_size && got > 0) {
		got = read_some(fd, name, at + len, (size_t)what.st_size - len);
		len += got > 0 ? (size_t)got : 0;
	}
	(void)close(fd);
	if (!at || got < 0)
		return -(int)err_last()->code;
	*ret = str_of(at, len);
	return 0;
}

int stop_asked(const atomic_bool *stop)
{
	if (stop && atomic_load_explicit(stop, memory_order_relaxed))
		return fail(ERR_CANCELLED, "the work was ended early");
	return 0;
}

int file_digest(int from, int to, const char *name, const atomic_bool *stop,
	uint8_t ret_sha256[SHA256_LEN], uint64_t *ret_size)
{
	char *chunk = mem_alloc(CHUNK);
	struct digest digest = { 0 };
	uint64_t size = 0;
	ssize_t got = 0;
	int r;

	if (!chunk)
		return -ERR_NO_MEMORY;
	r = digest_begin(&digest, DIGEST_SHA256);
	while (r == 0 && (got = read_some(from, name, chunk, CHUNK)) > 0) {
		digest_add(&digest, str_of(chunk, (size_t)got));
		size += (uint64_t)got;
		r = to < 0 ? 0 : file_write(to, name, str_of(chunk, (size_t)got));
		if (r == 0)
			r = stop_asked(stop);
	}
	mem_free(chunk, CHUNK);
	if (r == 0)
		r = (int)got;
	if (r < 0) {
		digest_done(&digest);
		return r;
	}
	digest_end(&digest, ret_sha256);
	*ret_size = size;
	return 0;
}

/* --- names -------------------------------------------------------------------------- */

#define NAME_PREFIX "bulkhead-"
#define NAME_FORM   NAME_PREFIX "dddd-dd-ddTdd-dd-dd.dddZ"

_Static_assert(sizeof(NAME_FORM) - 1 == BACKUP_NAME_LEN, "the form is as long as a name");

void time_name(int64_t time_us, char ret[TIME_NAME_SIZE])
{
	time_write_rfc3339(ret, time_us);
	ret[TIME_NAME_SIZE - 1] = '\0';
	/* A colon means something else to too many programs that copy files. */
	for (char *at = ret; *at; at++)
		if (*at == ':')
			*at = '-';
}

bool backup_is_name(struct str text)
{
	if (text.len != BACKUP_NAME_LEN)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		bool in_prefix = i < sizeof(NAME_PREFIX) - 1;
		bool digit = !in_prefix && NAME_FORM[i] == 'd';

		if (digit ? text.at[i] < '0' || text.at[i] > '9' : text.at[i] != NAME_FORM[i])
			return false;
	}
	return true;
}

void backup_file_name(struct str name, const char *ending, char ret[BACKUP_FILE_MAX])
{
	int len = snprintf(ret, BACKUP_FILE_MAX, "%.*s%s", STR_ARG(name), ending);

	CHECK(len > 0 && len < BACKUP_FILE_MAX);
}
