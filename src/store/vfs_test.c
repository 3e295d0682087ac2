/*
 * The disk of tests. The real file holds what programs see (the page cache, so to say); each
 * inode keeps the safe bytes in memory and a list of changes since. A sync applies the list to the
 * safe bytes; a power cut applies a part of it and writes the result into the real file.
 *
 * As on Linux, what a failed sync was to write may be lost for good: a later sync that succeeds
 * does not bring it (see "fsyncgate"). Sectors beside the ones that are written stay whole, which
 * is what SQLite relies on (SQLITE_IOCAP_POWERSAFE_OVERWRITE).
 */
#include "store/vfs_test.h"

#include "base/list.h"
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 512, SECTOR = 512, LARGE_SECTOR = 4096 };

/* Bytes that grow; not from the counted heap, so that faults of that do not strike here. */
struct image {
	char *at;
	size_t len, room;
};

/* A write or (data is NULL) a truncation to `offset`. */
struct change {
	struct link link;
	size_t offset, len;
	char *data;
	bool lost; /* a failed sync had it: no sync writes it any more */
};

/* The bytes of a file, apart from its name. Lives until disk_start or disk_done. */
struct inode {
	struct link link;     /* in disk.inodes */
	struct image safe;    /* as of the last sync */
	struct link changes;  /* since then, oldest first */
	size_t size;          /* as programs see it */
	bool folder_unsynced; /* a new journal: its first sync is one of the folder, too */
};

/* A name in the folder. */
struct entry {
	struct link link; /* in disk.entries */
	char path[PATH_SIZE];
	struct inode *now;  /* what programs find; NULL: nothing */
	struct inode *safe; /* what they find after a power cut at the worst time */
};

struct fault {
	struct disk_fault of;
	size_t passed;
};

static struct {
	pthread_mutex_t lock;
	sqlite3_vfs *real;
	sqlite3_vfs vfs;
	uint64_t random;
	struct link inodes, entries;
	struct fault faults[DISK_FAULTS_MAX];
	size_t fault_count, struck;
	size_t room;   /* bytes by which files may still grow */
	size_t cut_in; /* changes until the power goes; SIZE_MAX: never */
	bool off;
	size_t open; /* files */
	size_t calls[DISK_CALLS];
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct disk_handle {
	sqlite3_file base;
	struct inode *inode; /* NULL: a temporary file, which is not our concern */
	unsigned kind;       /* enum disk_file */
	_Alignas(8) char real[];
};

static sqlite3_file *real_of(sqlite3_file *file)
{
	return (sqlite3_file *)((struct disk_handle *)file)->real;
}

static size_t chance(size_t below)
{
	return (size_t)(test_random(&disk.random) % below);
}

static void *allocate(size_t size)
{
	void *at = malloc(MAX(size, (size_t)1));

	CHECK(at);
	return at;
}

/* --- images ---------------------------------------------------------------------- */

/* Shorter, or longer by zeros. */
static void image_size(struct image *image, size_t size)
{
	if (size > image->room) {
		image->room = MAX(size, image->room * 2);
		image->at = realloc(image->at, image->room);
		CHECK(image->at);
	}
	if (size > image->len)
		memset(image->at + image->len, 0, size - image->len);
	image->len = size;
}

static void image_write(struct image *image, size_t offset, const char *data, size_t len)
{
	if (offset + len > image->len)
		image_size(image, offset + len);
	memcpy(image->at + offset, data, len);
}

static void image_apply(struct image *image, const struct change *change)
{
	if (change->data)
		image_write(image, change->offset, change->data, change->len);
	else
		image_size(image, change->offset);
}

static void image_load(struct image *image, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 && errno == ENOENT)
		return;
	CHECK(fd >= 0 && fstat(fd, &stat) == 0);
	image_size(image, (size_t)stat.st_size);
	CHECK(pread(fd, image->at, image->len, 0) == stat.st_size);
	close(fd);
}

static void image_store(const struct image *image, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK(image->len == 0 || pwrite(fd, image->at, image->len, 0) == (ssize_t)image->len);
	close(fd);
}

/* --- inodes and entries ------------------------------------------------------------ */

static void changes_free(struct link *changes)
{
	struct change *change;

	LIST_EACH (change, changes, struct change, link) {
		link_remove(&change->link);
		free(change->data);
		free(change);
	}
}

static void change_add(struct inode *inode, size_t offset, const char *data, size_t len)
{
	struct change *change = allocate(sizeof(*change));

	*change = (struct change){ .offset = offset, .len = len };
	if (data) {
		change->data = allocate(len);
		memcpy(change->data, data, len);
	}
	list_push(&inode->changes, &change->link);
}

static struct inode *inode_new(void)
{
	struct inode *inode = allocate(sizeof(*inode));

	*inode = (struct inode){ 0 };
	link_init(&inode->changes);
	list_push(&disk.inodes, &inode->link);
	return inode;
}

/* What a sync does. Lost changes come before later ones to the same place: those win. */
static void inode_sync(struct inode *inode)
{
	struct change *change;

	LIST_EACH (change, &inode->changes, struct change, link)
		if (!change->lost)
			image_apply(&inode->safe, change);
	changes_free(&inode->changes);
}

/* What a failed sync does: some of it is safe in the end, some is forgotten by the kernel. */
static void inode_lose(struct inode *inode)
{
	struct change *change;

	LIST_EACH (change, &inode->changes, struct change, link)
		if (chance(2) == 0)
			change->lost = true;
}

static struct entry *entry_of(const char *path)
{
	struct entry *entry;

	LIST_EACH (entry, &disk.entries, struct entry, link)
		if (strcmp(entry->path, path) == 0)
			return entry;

	entry = allocate(sizeof(*entry));
	*entry = (struct entry){ 0 };
	CHECK(strlen(path) < sizeof(entry->path));
	strcpy(entry->path, path);
	if (access(path, F_OK) == 0) {
		entry->now = entry->safe = inode_new();
		image_load(&entry->now->safe, path);
		entry->now->size = entry->now->safe.len;
	}
	list_push(&disk.entries, &entry->link);
	return entry;
}

static void folder_sync(void)
{
	struct entry *entry;

	LIST_EACH (entry, &disk.entries, struct entry, link)
		entry->safe = entry->now;
}

/* --- what survives ------------------------------------------------------------------ */

enum survival { NOTHING, ALL, FIRST_ONES, SECTORS, SURVIVALS };

/* Those sectors of a write that chance lets through. */
static void write_sectors(struct image *image, const struct change *change, size_t sector)
{
	size_t end = change->offset + change->len;

	for (size_t at = change->offset; at < end;) {
		size_t next = MIN((at / sector + 1) * sector, end);

		if (chance(2))
			image_write(image, at, change->data + (at - change->offset), next - at);
		at = next;
	}
}

/* A file that has grown may have its new length before its new bytes: zeros, or what was on the
 * disk there before. */
static void grow(struct inode *inode)
{
	struct image *image = &inode->safe;
	size_t old = image->len;

	if (inode->size <= old || chance(4) != 0)
		return;
	image_size(image, inode->size);
	if (chance(2))
		for (size_t i = old; i < image->len; i++)
			image->at[i] = (char)test_random(&disk.random);
}

static void inode_survive(struct inode *inode)
{
	enum survival survival = (enum survival)chance(SURVIVALS);
	size_t sector = chance(2) ? SECTOR : LARGE_SECTOR, count = 0, first;
	struct change *change;

	if (survival != NOTHING)
		grow(inode);
	LIST_EACH (change, &inode->changes, struct change, link)
		count++;
	first = chance(count + 1);
	LIST_EACH (change, &inode->changes, struct change, link) {
		if (survival == NOTHING || (survival == FIRST_ONES && first == 0))
			break;
		first--;
		if ((survival == FIRST_ONES && first == 0) || survival == SECTORS) {
			if (change->data)
				write_sectors(&inode->safe, change, sector);
			else if (chance(2))
				image_apply(&inode->safe, change);
		} else {
			image_apply(&inode->safe, change);
		}
	}
	changes_free(&inode->changes);
	inode->size = inode->safe.len;
	inode->folder_unsynced = false;
}

static void unlink_shared_memory(const char *path)
{
	char name[PATH_SIZE + 8];

	(void)snprintf(name, sizeof(name), "%s-shm", path);
	(void)unlink(name);
}

void disk_power_on(void)
{
	struct entry *entry;
	struct inode *inode;

	CHECK(pthread_mutex_lock(&disk.lock) == 0);
	CHECK(disk.open == 0);
	LIST_EACH (inode, &disk.inodes, struct inode, link)
		inode_survive(inode);
	LIST_EACH (entry, &disk.entries, struct entry, link) {
		if (entry->now != entry->safe && chance(2))
			entry->safe = entry->now;
		entry->now = entry->safe;
		unlink_shared_memory(entry->path);
		if (entry->now)
			image_store(&entry->now->safe, entry->path);
		else
			(void)unlink(entry->path);
	}
	disk.off = false;
	disk.cut_in = SIZE_MAX;
	disk.fault_count = 0;
	disk.room = SIZE_MAX;
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
}

/* --- faults --------------------------------------------------------------------------- */

static const int usual_codes[DISK_CALLS] = {
	[DISK_OPEN] = SQLITE_CANTOPEN,
	[DISK_READ] = SQLITE_IOERR_READ,
	[DISK_WRITE] = SQLITE_IOERR_WRITE,
	[DISK_TRUNCATE] = SQLITE_IOERR_TRUNCATE,
	[DISK_SYNC] = SQLITE_IOERR_FSYNC,
	[DISK_DELETE] = SQLITE_IOERR_DELETE,
	[DISK_SIZE] = SQLITE_IOERR_FSTAT,
	[DISK_LOCK] = SQLITE_IOERR_LOCK,
	[DISK_SHM_MAP] = SQLITE_IOERR_SHMMAP,
	[DISK_SHM_LOCK] = SQLITE_IOERR_SHMLOCK,
};

/* The fault that strikes this call, or NULL. All of its kind count it. */
static const struct disk_fault *strike(enum disk_call call, unsigned kind)
{
	const struct disk_fault *struck = NULL;

	disk.calls[call]++;
	for (size_t i = 0; i < disk.fault_count; i++) {
		struct fault *fault = &disk.faults[i];
		size_t count = fault->of.count ? fault->of.count : 1, at;

		if (fault->of.call != call || !(fault->of.files & kind))
			continue;
		at = fault->passed++;
		if (at >= fault->of.after && at - fault->of.after < count)
			struck = &fault->of;
	}
	disk.struck += struck != NULL;
	if (struck && struck->cut)
		disk.cut_in = 1 + chance(struck->cut);
	return struck;
}

static int code_of(const struct disk_fault *fault)
{
	return fault->code ? fault->code : usual_codes[fault->call];
}

/* Counts a change; true when the power goes during it. */
static bool power_goes(void)
{
	if (disk.cut_in != SIZE_MAX && --disk.cut_in == 0) {
		disk.off = true;
		disk.cut_in = SIZE_MAX;
		return true;
	}
	return false;
}

static int leave(int code)
{
	CHECK(pthread_mutex_unlock(&disk.lock) == 0);
	return code;
}

static void enter(void)
{
	CHECK(pthread_mutex_lock(&disk.lock) == 0);
}

/* --- methods of a file ------------------------------------------------------------------ */

static int handle_close(sqlite3_file *file)
{
	int r = real_of(file)->pMethods->xClose(real_of(file));

	enter();
	disk.open--;
	return leave(r);
}

static int handle_read(sqlite3_file *file, void *at, int size, sqlite3_int64 offset)
{
	struct disk_handle *handle = (struct disk_handle *)file;
	const struct disk_fault *fault;
	size_t whole = (size_t)size;
	int r;

	enter();
	fault = strike(DISK_READ, handle->kind);
	if (disk.off && handle->inode)
		return leave(SQLITE_IOERR_READ);
	if (fault && code_of(fault) != SQLITE_IOERR_SHORT_READ)
		return leave(code_of(fault));
	r = real_of(file)->pMethods->xRead(real_of(file), at, size, offset);
	if (fault && r == SQLITE_OK) {
		size_t got = chance(whole);

		memset((char *)at + got, 0, whole - got);
		r = SQLITE_IOERR_SHORT_READ;
	}
	return leave(r);
}

/* Bytes of a write that the disk still has room for. */
static size_t room_for(const struct inode *inode, size_t offset, size_t len)
{
	size_t end = offset + len, more = end > inode->size ? end - inode->size : 0;

	if (disk.room == SIZE_MAX || more <= disk.room)
		return len;
	return len - MIN(more - disk.room, len);
}

static int write_through(
	sqlite3_file *file, struct inode *inode, const void *at, size_t len, size_t offset)
{
	size_t end = offset + len;

	if (len == 0)
		return SQLITE_OK;
	change_add(inode, offset, at, len);
	if (end > inode->size) {
		if (disk.room != SIZE_MAX)
			disk.room -= end - inode->size;
		inode->size = end;
	}
	return real_of(file)->pMethods->xWrite(real_of(file), at, (int)len, (sqlite3_int64)offset);
}

static int handle_write(sqlite3_file *file, const void *at, int size, sqlite3_int64 offset)
{
	struct disk_handle *handle = (struct disk_handle *)file;
	const struct disk_fault *fault;
	size_t len = (size_t)size, room;
	int r;

	enter();
	fault = strike(DISK_WRITE, handle->kind);
	if (!handle->inode)
		return leave(real_of(file)->pMethods->xWrite(real_of(file), at, size, offset));
	if (disk.off)
		return leave(SQLITE_IOERR_WRITE);
	if (power_goes()) {
		change_add(handle->inode, (size_t)offset, at, len);
		return leave(SQLITE_IOERR_WRITE);
	}
	if (fault) {
		r = write_through(file, handle->inode, at, chance(len + 1), (size_t)offset);
		return leave(r == SQLITE_OK ? code_of(fault) : r);
	}
	room = room_for(handle->inode, (size_t)offset, len);
	r = write_through(file, handle->inode, at, room, (size_t)offset);
	return leave(r == SQLITE_OK && room < len ? SQLITE_FULL : r);
}

static int handle_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct disk_handle *handle = (struct disk_handle *)file;
	const struct disk_fault *fault;
	int r;

	enter();
	fault = strike(DISK_TRUNCATE, handle->kind);
	if (handle->inode) {
		if (disk.off)
			return leave(SQLITE_IOERR_TRUNCATE);
		if (fault)
			return leave(code_of(fault));
		change_add(handle->inode, (size_t)size, NULL, 0);
		if (power_goes())
			return leave(SQLITE_IOERR_TRUNCATE);
		handle->inode->size = (size_t)size;
	}
	r = real_of(file)->pMethods->xTruncate(real_of(file), size);
	return leave(r);
}

/* The real file is not synced: nobody pulls its plug. */
static int handle_sync(sqlite3_file *file, int flags)
{
	struct disk_handle *handle = (struct disk_handle *)file;
	struct inode *inode = handle->inode;
	const struct disk_fault *fault;

	(void)flags;
	enter();
	fault = strike(DISK_SYNC, handle->kind);
	if (!inode)
		return leave(SQLITE_OK);
	if (disk.off || power_goes())
		return leave(SQLITE_IOERR_FSYNC);
	if (fault && fault->lie)
		return leave(SQLITE_OK);
	if (fault) {
		inode_lose(inode);
		return leave(code_of(fault));
	}
	inode_sync(inode);
	if (inode->folder_unsynced)
		folder_sync();
	inode->folder_unsynced = false;
	return leave(SQLITE_OK);
}

static int handle_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	const struct disk_fault *fault;

	enter();
	fault = strike(DISK_SIZE, ((struct disk_handle *)file)->kind);
	if (fault)
		return leave(code_of(fault));
	return leave(real_of(file)->pMethods->xFileSize(real_of(file), ret));
}

static int handle_lock(sqlite3_file *file, int level)
{
	const struct disk_fault *fault;

	enter();
	fault = strike(DISK_LOCK, ((struct disk_handle *)file)->kind);
	if (fault)
		return leave(code_of(fault));
	return leave(real_of(file)->pMethods->xLock(real_of(file), level));
}

static int handle_unlock(sqlite3_file *file, int level)
{
	return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int handle_reserved(sqlite3_file *file, int *ret)
{
	return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

/* Hints about sizes would change the real file behind our back. */
static int handle_control(sqlite3_file *file, int code, void *arg)
{
	if (code == SQLITE_FCNTL_SIZE_HINT || code == SQLITE_FCNTL_CHUNK_SIZE)
		return SQLITE_NOTFOUND;
	return real_of(file)->pMethods->xFileControl(real_of(file), code, arg);
}

static int handle_sector_size(sqlite3_file *file)
{
	(void)file;
	return LARGE_SECTOR;
}

static int handle_properties(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int handle_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret)
{
	const struct disk_fault *fault;

	enter();
	fault = strike(DISK_SHM_MAP, ((struct disk_handle *)file)->kind);
	if (fault)
		return leave(code_of(fault));
	return leave(real_of(file)->pMethods->xShmMap(real_of(file), region, size, extend, ret));
}

/* Only taking a lock can fail. */
static int handle_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	const struct disk_fault *fault = NULL;

	enter();
	if (flags & SQLITE_SHM_LOCK)
		fault = strike(DISK_SHM_LOCK, ((struct disk_handle *)file)->kind);
	if (fault)
		return leave(code_of(fault));
	return leave(real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags));
}

static void handle_shm_barrier(sqlite3_file *file)
{
	real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int handle_shm_unmap(sqlite3_file *file, int remove)
{
	return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

/* Version 2: without xFetch, so that no page is seen past xRead. */
static const sqlite3_io_methods handle_methods = {
	.iVersion = 2,
	.xClose = handle_close,
	.xRead = handle_read,
	.xWrite = handle_write,
	.xTruncate = handle_truncate,
	.xSync = handle_sync,
	.xFileSize = handle_size,
	.xLock = handle_lock,
	.xUnlock = handle_unlock,
	.xCheckReservedLock = handle_reserved,
	.xFileControl = handle_control,
	.xSectorSize = handle_sector_size,
	.xDeviceCharacteristics = handle_properties,
	.xShmMap = handle_shm_map,
	.xShmLock = handle_shm_lock,
	.xShmBarrier = handle_shm_barrier,
	.xShmUnmap = handle_shm_unmap,
};

/* --- methods of the file system --------------------------------------------------------- */

static unsigned kind_of(int flags)
{
	if (flags & SQLITE_OPEN_MAIN_DB)
		return DISK_DATABASE;
	if (flags & SQLITE_OPEN_WAL)
		return DISK_WAL;
	return flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL) ? DISK_JOURNAL : 0;
}

/* Binds an open handle to the inode of its name, a new one when there is none. */
static void adopt(struct disk_handle *handle, struct entry *entry)
{
	if (!entry->now) {
		entry->now = inode_new();
		entry->now->folder_unsynced = handle->kind != DISK_DATABASE;
	}
	handle->inode = entry->now;
}

static int disk_open_file(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct disk_handle *handle = (struct disk_handle *)file;
	const struct disk_fault *fault;
	struct entry *entry = NULL;
	int r;

	(void)vfs;
	*handle = (struct disk_handle){ .kind = name ? kind_of(flags) : 0 };
	enter();
	fault = strike(DISK_OPEN, handle->kind);
	if (fault || (disk.off && handle->kind))
		return leave(fault ? code_of(fault) : SQLITE_CANTOPEN);
	if (handle->kind)
		entry = entry_of(name);
	r = disk.real->xOpen(disk.real, name, real_of(file), flags, ret_flags);
	if (r != SQLITE_OK) {
		if (real_of(file)->pMethods)
			(void)real_of(file)->pMethods->xClose(real_of(file));
		return leave(r);
	}
	if (entry)
		adopt(handle, entry);
	handle->base.pMethods = &handle_methods;
	disk.open++;
	return leave(SQLITE_OK);
}

static unsigned kind_of_name(const char *name)
{
	struct str path = str_from_c(name);

	if (str_ends(path, S("-wal")))
		return DISK_WAL;
	return str_ends(path, S("-journal")) ? DISK_JOURNAL : DISK_DATABASE;
}

static int disk_delete_file(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	const struct disk_fault *fault;
	struct entry *entry;
	int r;

	(void)vfs;
	enter();
	fault = strike(DISK_DELETE, kind_of_name(name));
	if (disk.off)
		return leave(SQLITE_IOERR_DELETE);
	if (fault)
		return leave(code_of(fault));
	entry = entry_of(name);
	if (power_goes()) {
		entry->now = NULL;
		return leave(SQLITE_IOERR_DELETE);
	}
	r = disk.real->xDelete(disk.real, name, 0);
	if (r == SQLITE_OK) {
		entry->now = NULL;
		if (sync_folder)
			folder_sync();
	}
	return leave(r);
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	(void)vfs;
	return disk.real->xAccess(disk.real, name, flags, ret);
}

static int disk_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
	(void)vfs;
	return disk.real->xFullPathname(disk.real, name, size, ret);
}

static int disk_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
	(void)vfs;
	return disk.real->xRandomness(disk.real, size, ret);
}

static int disk_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return disk.real->xSleep(disk.real, us);
}

static int disk_time(sqlite3_vfs *vfs, double *ret)
{
	(void)vfs;
	return disk.real->xCurrentTime(disk.real, ret);
}

static int disk_time_i64(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
	(void)vfs;
	return disk.real->xCurrentTimeInt64(disk.real, ret);
}

static int disk_last_error(sqlite3_vfs *vfs, int size, char *ret)
{
	(void)vfs;
	return disk.real->xGetLastError(disk.real, size, ret);
}

/* --- the disk ----------------------------------------------------------------------------- */

static void register_once(void)
{
	if (disk.real)
		return;

	disk.real = sqlite3_vfs_find("unix");
	CHECK(disk.real);
	disk.vfs = (sqlite3_vfs){
		.iVersion = 2,
		.szOsFile = (int)sizeof(struct disk_handle) + disk.real->szOsFile,
		.mxPathname = disk.real->mxPathname,
		.zName = DISK_VFS,
		.xOpen = disk_open_file,
		.xDelete = disk_delete_file,
		.xAccess = disk_access,
		.xFullPathname = disk_full_path,
		.xRandomness = disk_randomness,
		.xSleep = disk_sleep,
		.xCurrentTime = disk_time,
		.xGetLastError = disk_last_error,
		.xCurrentTimeInt64 = disk_time_i64,
	};
	CHECK(sqlite3_vfs_register(&disk.vfs, 0) == SQLITE_OK);
	link_init(&disk.inodes);
	link_init(&disk.entries);
}

static void forget(void)
{
	struct inode *inode;
	struct entry *entry;

	CHECK(disk.open == 0);
	LIST_EACH (inode, &disk.inodes, struct inode, link) {
		link_remove(&inode->link);
		changes_free(&inode->changes);
		free(inode->safe.at);
		free(inode);
	}
	LIST_EACH (entry, &disk.entries, struct entry, link) {
		link_remove(&entry->link);
		free(entry);
	}
}

void disk_start(uint64_t seed)
{
	enter();
	register_once();
	forget();
	disk.random = seed;
	disk.fault_count = 0;
	disk.struck = 0;
	disk.room = SIZE_MAX;
	disk.cut_in = SIZE_MAX;
	disk.off = false;
	memset(disk.calls, 0, sizeof(disk.calls));
	(void)leave(0);
}

void disk_done(void)
{
	enter();
	forget();
	(void)leave(0);
}

void disk_fail(const struct disk_fault *fault)
{
	enter();
	CHECK(disk.fault_count < DISK_FAULTS_MAX);
	disk.faults[disk.fault_count++] = (struct fault){ .of = *fault };
	(void)leave(0);
}

void disk_mend(void)
{
	enter();
	disk.fault_count = 0;
	(void)leave(0);
}

size_t disk_struck(void)
{
	size_t struck;

	enter();
	struck = disk.struck;
	(void)leave(0);
	return struck;
}

void disk_room(size_t bytes)
{
	enter();
	disk.room = bytes;
	(void)leave(0);
}

void disk_cut_after(size_t changes)
{
	CHECK(changes > 0);
	enter();
	disk.cut_in = changes;
	(void)leave(0);
}

void disk_cut(void)
{
	enter();
	disk.off = true;
	(void)leave(0);
}

bool disk_is_on(void)
{
	bool on;

	enter();
	on = !disk.off;
	(void)leave(0);
	return on;
}
