/* An flock on a file of its own, which is never deleted: a lock on a file that can be replaced
 * would guard nothing. The number of the holder's process stands in it, for people. */
#include "store/folder_lock.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

enum { LOCK_MODE = 0600 };

/* What the holder wrote, or 0: it has not come to that yet. */
static uint64_t read_holder(int fd)
{
	char text[NUM_TEXT_MAX];
	ssize_t got = pread(fd, text, sizeof(text), 0);
	struct str number = str_of(text, got > 0 ? (size_t)got : 0);
	struct str line = str_cut(&number, '\n');
	uint64_t pid = 0;

	return num_parse_u64(line, &pid) ? pid : 0;
}

/* For people only, so that a full disk does not matter. */
static void write_holder(int fd)
{
	char text[NUM_TEXT_MAX + 1];
	size_t len = num_write_u64(text, (uint64_t)getpid());

	text[len++] = '\n';
	(void)!ftruncate(fd, 0);
	(void)!pwrite(fd, text, len, 0);
}

static int fail_taken(int fd, struct str folder)
{
	uint64_t pid = read_holder(fd);

	if (pid == 0)
		return fail(
			ERR_CONFLICT, "another process has the data folder %.*s", STR_ARG(folder));
	return fail(ERR_CONFLICT, "another process (pid %llu) has the data folder %.*s",
		(unsigned long long)pid, STR_ARG(folder));
}

int folder_lock_take(struct str folder, struct folder_lock *ret)
{
	char path[PATH_MAX];
	int fd, r;

	r = snprintf(path, sizeof(path), "%.*s/bulkhead.lock", STR_ARG(folder));
	if (r < 0 || (size_t)r >= sizeof(path))
		return fail(ERR_INVALID, "the path of the data folder is too long");

	fd = fault_point(FAULT_SYSCALL)
		     ? (errno = EMFILE, -1)
		     : open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
	if (fd < 0)
		return fail(ERR_IO, "cannot open %s: %s", path, err_errno_text(errno));

	if (fault_point(FAULT_SYSCALL) ? (errno = ENOLCK, true)
				       : flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK
			    ? fail_taken(fd, folder)
			    : fail(ERR_IO, "cannot lock %s: %s", path, err_errno_text(errno));
		(void)close(fd);
		return r;
	}
	write_holder(fd);
	*ret = (struct folder_lock){ fd, true };
	return 0;
}

void folder_lock_release(struct folder_lock *lock)
{
	if (!lock->held)
		return;

	(void)!ftruncate(lock->fd, 0); /* a number that is no longer true helps nobody */
	(void)close(lock->fd);
	*lock = (struct folder_lock){ 0 };
}
