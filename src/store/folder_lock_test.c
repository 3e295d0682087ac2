#include "store/folder_lock.h"

#include "base/err.h"
#include "base/fault.h"
#include "base/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A new folder of its own; the caller removes it with remove_folder. */
static struct str make_folder(char *at)
{
	REQUIRE(mkdtemp(at) != NULL);
	return str_from_c(at);
}

static void remove_folder(struct str folder)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%.*s/bulkhead.lock", STR_ARG(folder));
	(void)unlink(path);
	(void)rmdir(folder.at);
}

TEST(folder_lock_has_one_holder)
{
	char at[] = "/tmp/bulkhead-lock-XXXXXX", wanted[200];
	struct str folder = make_folder(at);
	struct folder_lock lock = { 0 }, other = { 0 };

	REQUIRE(folder_lock_take(folder, &lock) == 0);
	EXPECT_INT(folder_lock_take(folder, &other), -ERR_CONFLICT);
	EXPECT(!other.held);
	(void)snprintf(wanted, sizeof(wanted), "another process (pid %d) has the data folder %s",
		(int)getpid(), at);
	EXPECT_STR(str_from_c(err_text()), str_from_c(wanted));

	folder_lock_release(&lock);
	folder_lock_release(&lock);
	EXPECT_INT(folder_lock_take(folder, &other), 0);
	folder_lock_release(&other);
	remove_folder(folder);
}

TEST(folder_lock_ends_with_its_process)
{
	char at[] = "/tmp/bulkhead-lock-XXXXXX";
	struct str folder = make_folder(at);
	struct folder_lock lock = { 0 };
	int told[2];
	char byte;
	pid_t child;

	REQUIRE(pipe(told) == 0);
	child = fork();
	REQUIRE(child >= 0);
	if (child == 0) {
		byte = folder_lock_take(folder, &lock) == 0 ? 'y' : 'n';
		(void)!write(told[1], &byte, 1);
		(void)pause();
		_exit(0);
	}
	REQUIRE(read(told[0], &byte, 1) == 1 && byte == 'y');
	EXPECT_INT(folder_lock_take(folder, &lock), -ERR_CONFLICT);

	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	EXPECT_INT(folder_lock_take(folder, &lock), 0);
	folder_lock_release(&lock);
	remove_folder(folder);
}

TEST(folder_lock_refuses)
{
	char at[] = "/tmp/bulkhead-lock-XXXXXX", other[] = "/tmp/bulkhead-lock-XXXXXX", path[200];
	struct str folder = make_folder(at), elsewhere = make_folder(other);
	struct folder_lock lock = { 0 };
	char *longest = calloc(1, 5000);

	/* A link in its place could make a file of another owner empty. */
	(void)snprintf(path, sizeof(path), "%s/bulkhead.lock", at);
	REQUIRE(longest && symlink("/tmp/bulkhead-lock-target", path) == 0);
	EXPECT_INT(folder_lock_take(folder, &lock), -ERR_IO);
	remove_folder(folder);

	EXPECT_INT(folder_lock_take(S("/nowhere/at/all"), &lock), -ERR_IO);
	memset(longest, 'a', 4999);
	EXPECT_INT(folder_lock_take(str_from_c(longest), &lock), -ERR_INVALID);
	free(longest);

#ifdef BULKHEAD_FAULTS
	for (size_t i = 1; i <= 2; i++) {
		fault_arm(FAULT_SYSCALL, i);
		EXPECT_INT(folder_lock_take(elsewhere, &lock), -ERR_IO);
		EXPECT(fault_struck(FAULT_SYSCALL) && !lock.held);
	}
	fault_arm(FAULT_SYSCALL, 0);
#endif
	EXPECT_INT(folder_lock_take(elsewhere, &lock), 0);
	folder_lock_release(&lock);
	remove_folder(elsewhere);
}
