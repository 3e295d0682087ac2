/*
 * A file system for tests: the real one, which fails when it is told to. For one database at a
 * time.
 */
#ifndef STORE_SQLITE_VFS_TEST_H
#define STORE_SQLITE_VFS_TEST_H

#include <semaphore.h>
#include <stdatomic.h>

/* What fails, everywhere, until it is set back to 0: result codes. */
struct test_vfs {
	atomic_int write_code; /* of writes to the log */
	atomic_int sync_code;  /* of syncs of the log */
	atomic_int syncs;      /* of the log, that came */
	atomic_bool hold;      /* syncs of the log post `held` and wait for `go` */
	sem_t held, go;
};

extern struct test_vfs test_vfs;

/* Registers it and makes the engine use it. */
void test_vfs_use(void);

#endif
