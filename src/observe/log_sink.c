/*
 * All paths are relative to a descriptor of the folder, so a later chdir changes nothing. A file's
 * place in time is in its name; modification times are not used. Names that do not have exactly our
 * form are never touched.
 */
#include "observe/log_sink.h"

#include "base/check.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/num.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	POLL_MS = 50,       /* between two looks whether to give up */
	FILES_MAX = 100000, /* of ours that retention looks at */
	RETRY_US = 1000000, /* after a file could not be opened */
	FILE_MODE = 0640,   /* logs hold personal data: not for everybody */
	FOLDER_MODE = 0750,
	FILE_NAME_MAX = SINK_NAME_MAX + TIME_DATE_LEN + NUM_TEXT_MAX + 8,
};

/* --- writing -------------------------------------------------------------- */

/* Pipes, sockets and terminals can stop taking bytes for good; files cannot. */
static bool can_stop(int fd)
{
	struct stat what;

	if (fstat(fd, &what) < 0)
		return false;
	return S_ISFIFO(what.st_mode) || S_ISSOCK(what.st_mode) || isatty(fd);
}

/* Waits until the reader takes more. False when the wait was given up. */
static bool wait_writable(struct log_sink *sink)
{
	struct pollfd entry = { .fd = sink->fd, .events = POLLOUT };

	for (;;) {
		if (poll(&entry, 1, sink->give_up ? POLL_MS : 0) > 0)
			return true;
		if (!sink->give_up || sink->give_up(sink->give_up_arg))
			return false;
	}
}

/* One write(2). A descriptor that can stop gets at most PIPE_BUF bytes after poll has said yes,
 * since more could block for ever. -1 with errno. */
static ssize_t write_some(struct log_sink *sink, struct str rest)
{
	if (fault_point(FAULT_SYSCALL)) {
		errno = EIO;
		return -1;
	}
	if (!sink->waits)
		return write(sink->fd, rest.at, rest.len);

	if (!wait_writable(sink)) {
		errno = ETIMEDOUT;
		return -1;
	}
	return write(sink->fd, rest.at, MIN(rest.len, (size_t)PIPE_BUF));
}

void log_sink_lose(struct log_sink *sink, struct str lines)
{
	uint64_t count = 0;

	while (lines.len) {
		ptrdiff_t end = str_find_byte(lines, '\n');

		count++;
		lines = end < 0 ? str_of(NULL, 0) : str_from(lines, (size_t)end + 1);
	}
	atomic_fetch_add_explicit(&sink->lost, count, memory_order_relaxed);
}

/* Writes all of it. Returns what could not be written; `error` says why. */
static struct str write_all(struct log_sink *sink, struct str rest)
{
	while (rest.len) {
		ssize_t wrote = write_some(sink, rest);

		if (wrote > 0) {
			sink->mid_line = rest.at[wrote - 1] != '\n';
			sink->size += (uint64_t)wrote;
			atomic_fetch_add_explicit(
				&sink->bytes, (uint64_t)wrote, memory_order_relaxed);
			rest = str_from(rest, (size_t)wrote);
			continue;
		}
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0 && errno == EAGAIN && wait_writable(sink))
			continue;

		sink->error = wrote < 0 ? errno : EIO;
		if (sink->error == EPIPE || sink->error == EBADF)
			sink->dead = true;
		break;
	}
	return rest;
}

/* --- names ---------------------------------------------------------------- */

/* One file of ours. */
struct log_file {
	char date[TIME_DATE_LEN];
	uint64_t index;
};

static void file_name(
	const struct log_sink *sink, char at[FILE_NAME_MAX], const char *date, uint64_t index)
{
	(void)snprintf(at, FILE_NAME_MAX, "%s-%.*s.%llu.log", sink->name, TIME_DATE_LEN, date,
		(unsigned long long)index);
}

static bool is_date(struct str text)
{
	static const char form[] = "dddd-dd-dd";

	for (size_t i = 0; i < TIME_DATE_LEN; i++)
		if (form[i] == 'd' ? text.at[i] < '0' || text.at[i] > '9' : text.at[i] != form[i])
			return false;
	return true;
}

/* Reads "<name>-2026-11-20.7.log". False when it is anything else. */
static bool parse_name(const struct log_sink *sink, struct str text, struct log_file *ret)
{
	struct str name = str_from_c(sink->name);
	struct str number;
	uint64_t index;

	if (!str_starts(text, name) || !str_ends(text, S(".log")))
		return false;
	text = str_from(text, name.len);
	if (text.len < 1 + TIME_DATE_LEN + sizeof(".1.log") - 1 || text.at[0] != '-')
		return false;

	text = str_from(text, 1);
	if (!is_date(text) || text.at[TIME_DATE_LEN] != '.')
		return false;

	number = str_from(text, TIME_DATE_LEN + 1);
	number.len -= sizeof(".log") - 1;
	if (!num_parse_u64(number, &index) || index == 0)
		return false;

	memcpy(ret->date, text.at, TIME_DATE_LEN);
	ret->index = index;
	return true;
}

/* Calls `each` for every file of ours in the folder. False when it cannot be read. */
static bool each_file(
	const struct log_sink *sink, bool (*each)(void *arg, struct log_file file), void *arg)
{
	int fd = openat(sink->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool more = true;

	if (!folder) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}

	while (more && (entry = readdir(folder))) {
		struct log_file file;

		if (parse_name(sink, str_from_c(entry->d_name), &file))
			more = each(arg, file);
	}
	(void)closedir(folder);
	return true;
}

/* --- retention ------------------------------------------------------------ */

struct file_list {
	struct log_file *files;
	size_t count, cap;
};

static bool list_add(void *arg, struct log_file file)
{
	struct file_list *list = arg;

	if (list->count == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct log_file *files =
			mem_resize(list->files, list->cap * sizeof(*files), cap * sizeof(*files));

		if (!files)
			return false;
		list->files = files;
		list->cap = cap;
	}

	list->files[list->count++] = file;
	return list->count < FILES_MAX;
}

static int newest_first(const void *left, const void *right)
{
	const struct log_file *a = left, *b = right;
	int order = memcmp(b->date, a->date, TIME_DATE_LEN);

	return order ? order : (b->index > a->index) - (b->index < a->index);
}

/* Deletes what is too old or too many. The current file is not counted and never deleted. */
static void prune(const struct log_sink *sink, int64_t now_us)
{
	struct file_list list = { 0 };
	char cutoff[TIME_DATE_LEN];
	char name[FILE_NAME_MAX];
	size_t kept = 0;

	if (!sink->keep_files && !sink->keep_days)
		return;

	time_write_date(cutoff, now_us - (int64_t)sink->keep_days * 86400 * 1000000);
	(void)each_file(sink, list_add, &list);
	if (list.count)
		qsort(list.files, list.count, sizeof(*list.files), newest_first);

	for (size_t i = 0; i < list.count; i++) {
		const struct log_file *file = &list.files[i];
		bool current = memcmp(file->date, sink->date, TIME_DATE_LEN) == 0 &&
			       file->index == sink->index;
		bool old = sink->keep_days && memcmp(file->date, cutoff, TIME_DATE_LEN) < 0;

		if (current)
			continue;
		if (!old && !(sink->keep_files && kept == sink->keep_files)) {
			kept++;
			continue;
		}
		file_name(sink, name, file->date, file->index);
		(void)unlinkat(sink->folder, name, 0);
	}

	mem_free(list.files, list.cap * sizeof(*list.files));
}

/* --- rotation ------------------------------------------------------------- */

/* Opens the file for appending. Links are not followed: the folder may be writable for others. */
static int open_file(
	const struct log_sink *sink, const char *date, uint64_t index, uint64_t *ret_size)
{
	char name[FILE_NAME_MAX];
	struct stat what;
	int fd;

	file_name(sink, name, date, index);
	fd = fault_point(FAULT_SYSCALL) ? (errno = EIO, -1)
					: openat(sink->folder, name,
						  O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC |
							  O_NOFOLLOW | O_NOCTTY | O_NONBLOCK,
						  FILE_MODE);
	if (fd < 0)
		return -1;

	if (fstat(fd, &what) < 0 || !S_ISREG(what.st_mode)) {
		(void)close(fd);
		errno = EINVAL;
		return -1;
	}

	*ret_size = (uint64_t)what.st_size;
	return fd;
}

/* Makes the file the current one. On failure the former one stays. */
static bool switch_to(struct log_sink *sink, const char *date, uint64_t index)
{
	uint64_t size;
	int fd = open_file(sink, date, index, &size);
	int former = sink->fd;
	char last;

	if (fd < 0) {
		sink->error = errno;
		return false;
	}

	memmove(sink->date, date, TIME_DATE_LEN);
	sink->index = index;
	sink->size = size;
	sink->mid_line = size && pread(fd, &last, 1, (off_t)size - 1) == 1 && last != '\n';
	atomic_store(&sink->fd, fd);
	if (former >= 0)
		(void)close(former);
	return true;
}

struct last_of_day {
	const char *date;
	uint64_t index;
};

static bool note_last(void *arg, struct log_file file)
{
	struct last_of_day *last = arg;

	if (memcmp(file.date, last->date, TIME_DATE_LEN) == 0)
		last->index = MAX(last->index, file.index);
	return true;
}

static bool full(const struct log_sink *sink, size_t more)
{
	return sink->rotate_bytes && sink->size && sink->size + more > sink->rotate_bytes;
}

/* Goes on with the last file of the day, or starts the day's first one. */
static bool open_day(struct log_sink *sink, const char *date, int64_t now_us)
{
	struct last_of_day last = { date, 1 };

	(void)each_file(sink, note_last, &last);
	if (!switch_to(sink, date, last.index))
		return false;

	prune(sink, now_us);
	return true;
}

/* Before a write: the file of the right day with room. A clock that goes back changes nothing. */
static void rotate(struct log_sink *sink, size_t more, int64_t now_us)
{
	char today[TIME_DATE_LEN];

	if (now_us < sink->retry_us && sink->retry_us - now_us <= RETRY_US)
		return;

	time_write_date(today, now_us);
	if (sink->fd < 0 || memcmp(today, sink->date, TIME_DATE_LEN) > 0) {
		if (!open_day(sink, sink->fd < 0 && sink->index ? sink->date : today, now_us)) {
			sink->retry_us = now_us + RETRY_US;
			return;
		}
	}
	if (full(sink, more)) {
		if (switch_to(sink, sink->date, sink->index + 1))
			prune(sink, now_us);
		else
			sink->retry_us = now_us + RETRY_US;
	}
}

bool log_sink_write(struct log_sink *sink, struct str lines, int64_t now_us)
{
	struct str rest;

	if (sink->files)
		rotate(sink, lines.len, now_us);

	if (sink->fd < 0 || sink->dead) {
		log_sink_lose(sink, lines);
		return false;
	}

	/* The line that a full disk cut in two must not swallow the next one. */
	if (sink->mid_line && write_all(sink, S("\n")).len) {
		log_sink_lose(sink, lines);
		return false;
	}

	rest = write_all(sink, lines);
	log_sink_lose(sink, rest);
	return rest.len == 0;
}

void log_sink_reopen(struct log_sink *sink)
{
	if (!sink->files || sink->fd < 0)
		return;

	if (!switch_to(sink, sink->date, sink->index)) {
		(void)close(sink->fd); /* it may have been deleted: do not write into nowhere */
		atomic_store(&sink->fd, -1);
	}
}

/* --- opening -------------------------------------------------------------- */

void log_sink_init_fd(struct log_sink *sink, int fd)
{
	*sink = (struct log_sink){ .fd = fd, .folder = -1, .waits = can_stop(fd) };
}

static bool good_name(struct str name)
{
	return name.len > 0 && name.len <= SINK_NAME_MAX && name.at[0] != '.' &&
	       str_find_byte(name, '/') < 0 && str_find_byte(name, 0) < 0;
}

int log_sink_init_files(struct log_sink *sink, struct str folder, struct str name, int64_t now_us)
{
	char path[SINK_FOLDER_MAX + 1];
	char today[TIME_DATE_LEN];

	if (!good_name(name))
		return fail(
			ERR_INVALID, "\"%.*s\" cannot begin the name of a log file", STR_ARG(name));
	if (folder.len == 0 || folder.len > SINK_FOLDER_MAX || str_find_byte(folder, 0) >= 0)
		return fail(ERR_INVALID, "the folder for log files has a bad name");

	memcpy(path, folder.at, folder.len);
	path[folder.len] = 0;
	if (mkdir(path, FOLDER_MODE) < 0 && errno != EEXIST)
		return fail(ERR_IO, "cannot make %s: %s", path, err_errno_text(errno));

	*sink = (struct log_sink){ .fd = -1,
		.files = true,
		.rotate_bytes = sink->rotate_bytes,
		.keep_files = sink->keep_files,
		.keep_days = sink->keep_days };
	memcpy(sink->name, name.at, name.len);
	sink->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sink->folder < 0)
		return fail(ERR_IO, "cannot open %s: %s", path, err_errno_text(errno));

	time_write_date(today, now_us);
	if (open_day(sink, today, now_us))
		return 0;

	(void)close(sink->folder);
	return fail(ERR_IO, "cannot write log files in %s: %s", path, err_errno_text(sink->error));
}

void log_sink_done(struct log_sink *sink)
{
	if (!sink->files)
		return;

	if (sink->fd >= 0)
		(void)close(sink->fd);
	(void)close(sink->folder);
	atomic_store(&sink->fd, -1);
}
