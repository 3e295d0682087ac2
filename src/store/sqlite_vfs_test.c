/* Every call is passed on; those that test_vfs names can fail first. */
#include "store/sqlite_vfs_test.h"

#include "base/test.h"
#include "store/sqlite.h"

#include <sqlite3.h>

struct test_vfs test_vfs;

struct file {
	sqlite3_file base;
	int flags;
	sqlite3_file real[]; /* of the real file system */
};

static struct file *of(sqlite3_file *file)
{
	return (struct file *)file;
}

static int close_file(sqlite3_file *file)
{
	return of(file)->real->pMethods->xClose(of(file)->real);
}

static int read_file(sqlite3_file *file, void *to, int size, sqlite3_int64 at)
{
	return of(file)->real->pMethods->xRead(of(file)->real, to, size, at);
}

static int write_file(sqlite3_file *file, const void *from, int size, sqlite3_int64 at)
{
	int code = of(file)->flags & SQLITE_OPEN_WAL ? atomic_load(&test_vfs.write_code) : 0;

	return code ? code : of(file)->real->pMethods->xWrite(of(file)->real, from, size, at);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
	return of(file)->real->pMethods->xTruncate(of(file)->real, size);
}

static int sync_file(sqlite3_file *file, int flags)
{
	int code = 0;

	if (of(file)->flags & SQLITE_OPEN_WAL) {
		atomic_fetch_add(&test_vfs.syncs, 1);
		if (atomic_load(&test_vfs.hold)) {
			(void)sem_post(&test_vfs.held);
			(void)sem_wait(&test_vfs.go);
		}
		code = atomic_load(&test_vfs.sync_code);
	}
	return code ? code : of(file)->real->pMethods->xSync(of(file)->real, flags);
}

static int size_of(sqlite3_file *file, sqlite3_int64 *ret)
{
	return of(file)->real->pMethods->xFileSize(of(file)->real, ret);
}

static int lock_file(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xLock(of(file)->real, level);
}

static int unlock_file(sqlite3_file *file, int level)
{
	return of(file)->real->pMethods->xUnlock(of(file)->real, level);
}

static int check_lock(sqlite3_file *file, int *ret)
{
	return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, ret);
}

static int control(sqlite3_file *file, int what, void *arg)
{
	return of(file)->real->pMethods->xFileControl(of(file)->real, what, arg);
}

static int sector_size(sqlite3_file *file)
{
	return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int traits(sqlite3_file *file)
{
	return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static int shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return of(file)->real->pMethods->xShmMap(of(file)->real, page, size, extend, ret);
}

static int shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	return of(file)->real->pMethods->xShmLock(of(file)->real, offset, count, flags);
}

static void shm_barrier(sqlite3_file *file)
{
	of(file)->real->pMethods->xShmBarrier(of(file)->real);
}

static int shm_unmap(sqlite3_file *file, int remove)
{
	return of(file)->real->pMethods->xShmUnmap(of(file)->real, remove);
}

static const sqlite3_io_methods methods = { 2, close_file, read_file, write_file, truncate_file,
	sync_file, size_of, lock_file, unlock_file, check_lock, control, sector_size, traits,
	shm_map, shm_lock, shm_barrier, shm_unmap, NULL, NULL };

static int open_file(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	int code;

	of(file)->base.pMethods = NULL;
	of(file)->flags = flags;
	code = real->xOpen(real, name, of(file)->real, flags, ret_flags);
	if (of(file)->real->pMethods)
		of(file)->base.pMethods = &methods;
	return code;
}

void test_vfs_use(void)
{
	static sqlite3_vfs vfs;
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	REQUIRE(real != NULL);
	vfs = *real;
	vfs.pNext = NULL;
	vfs.zName = "test";
	vfs.pAppData = real;
	vfs.szOsFile = (int)sizeof(struct file) + real->szOsFile;
	vfs.xOpen = open_file;
	REQUIRE(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
	(void)sem_init(&test_vfs.held, 0, 0);
	(void)sem_init(&test_vfs.go, 0, 0);
	sqlite_vfs_name = "test";
}
