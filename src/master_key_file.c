/*
 * The file of development that holds the key. It is made whole or not at all, and never replaced:
 * with another key the database is of no use.
 */
#include "master_key_file.h"

#include "base/err.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than any key has, so that a longer text is found out. */
enum { FILE_MAX = 256 };

static int refuse_io(const char *verb)
{
	return fail(
		ERR_IO, "cannot %s DATA_DIR/" MASTER_KEY_FILE ": %s", verb, err_errno_text(errno));
}

/* --- reading -------------------------------------------------------------------------------- */

static int check_mode(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return refuse_io("look at");
	if (!S_ISREG(status.st_mode))
		return fail(ERR_INVALID, "DATA_DIR/" MASTER_KEY_FILE " is no file");
	if (status.st_mode & (S_IRWXG | S_IRWXO))
		return fail(ERR_INVALID,
			"DATA_DIR/" MASTER_KEY_FILE " can be used by others (mode %04o); see who "
			"has it, then chmod 600",
			(unsigned)status.st_mode & 07777u);
	return 0;
}

static int read_key(int fd, struct master_key *ret)
{
	char text[FILE_MAX];
	size_t len = 0;
	int r = check_mode(fd);

	while (r == 0 && len < sizeof(text)) {
		ssize_t got = read(fd, text + len, sizeof(text) - len);

		if (got == 0)
			break;
		if (got > 0)
			len += (size_t)got;
		else if (errno != EINTR)
			r = refuse_io("read");
	}
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (r == 0)
		r = master_key_parse(str_of(text, len), ret);
	if (r == -ERR_INVALID)
		r = err_wrap("DATA_DIR/" MASTER_KEY_FILE);
	crypto_wipe(text, sizeof(text));
	return r;
}

/* --- making --------------------------------------------------------------------------------- */

static int write_all(int fd, const char *at, size_t len)
{
	while (len > 0) {
		ssize_t put = write(fd, at, len);

		if (put < 0 && errno != EINTR)
			return refuse_io("write");
		if (put > 0) {
			at += put;
			len -= (size_t)put;
		}
	}
	return 0;
}

/* Under a name of its own first, so that nobody sees a part of it. A key that another process has
 * made meanwhile is not replaced. */
static int link_key(int folder, int fd, const char *draft)
{
	if (fsync(fd) < 0)
		return refuse_io("write");
	if (linkat(folder, draft, folder, MASTER_KEY_FILE, 0) < 0 && errno != EEXIST)
		return refuse_io("make");
	return fsync(folder) < 0 ? refuse_io("make") : 0;
}

static int make_file(int folder)
{
	char text[MASTER_KEY_TEXT_LEN + 1], draft[64];
	struct master_key key;
	int fd, r;

	(void)snprintf(draft, sizeof(draft), MASTER_KEY_FILE ".%d", (int)getpid());
	(void)unlinkat(folder, draft, 0); /* of a process of that number, long ago */
	fd = openat(folder, draft, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return refuse_io("make");
	master_key_make(&key, text);
	text[MASTER_KEY_TEXT_LEN] = '\n';
	r = write_all(fd, text, sizeof(text));
	if (r == 0)
		r = link_key(folder, fd, draft);
	(void)close(fd);
	(void)unlinkat(folder, draft, 0);
	master_key_done(&key);
	crypto_wipe(text, sizeof(text));
	return r;
}

static int open_key(int folder)
{
	return openat(folder, MASTER_KEY_FILE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
}

static int load_from(int folder, struct master_key *ret)
{
	int fd = open_key(folder), r = 0;

	if (fd < 0 && errno == ENOENT) {
		r = make_file(folder);
		fd = r == 0 ? open_key(folder) : -1;
	}
	if (r < 0)
		return r;
	if (fd < 0)
		return refuse_io("open");
	r = read_key(fd, ret);
	(void)close(fd);
	return r;
}

int master_key_load_former(const struct config *config, struct master_key *ret)
{
	if (config->master_key_previous.len == 0)
		return 0;
	return master_key_parse(config->master_key_previous, ret) < 0
		       ? err_wrap("MASTER_KEY_PREVIOUS")
		       : 1;
}

int master_key_load(const struct config *config, struct master_key *ret)
{
	int folder, r;

	if (config->master_key.len) {
		r = master_key_parse(config->master_key, ret);
		return r < 0 ? err_wrap("MASTER_KEY") : 0;
	}
	CHECK(config->app_env == APP_DEVELOPMENT);
	folder = open(config->data_dir.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return fail(ERR_IO, "cannot open the data folder %s: %s", config->data_dir.at,
			err_errno_text(errno));
	r = load_from(folder, ret);
	(void)close(folder);
	return r;
}
