/* The process metrics of every Prometheus client library, read from /proc at each scrape. */
#include "observe/metric.h"

#include "base/num.h"
#include "observe/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static bool read_cpu_us(void *arg, int64_t *ret)
{
	struct timespec used;

	(void)arg;
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) < 0)
		return false;

	*ret = (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
	return true;
}

/* A small file of /proc as text in `at`. */
static struct str read_file(const char *path, char *at, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, at, size);

	if (fd >= 0)
		(void)close(fd);
	return str_of(at, got > 0 ? (size_t)got : 0);
}

/* The part `number` (from 0) of text that is separated by spaces. */
static bool read_part(struct str text, size_t number, uint64_t *ret)
{
	for (size_t i = 0; i < number && text.at; i++)
		(void)str_cut(&text, ' ');
	return text.at && num_parse_u64(str_cut(&text, ' '), ret);
}

static bool read_resident(void *arg, int64_t *ret)
{
	char at[256];
	uint64_t pages;

	(void)arg;
	if (!read_part(read_file("/proc/self/statm", at, sizeof(at)), 1, &pages))
		return false;

	*ret = (int64_t)pages * sysconf(_SC_PAGESIZE);
	return true;
}

/* When the process started, as the wall clock said at the first scrape: it must not flicker. */
static bool read_start_us(void *arg, int64_t *ret)
{
	enum { AFTER_NAME = 20 }; /* start time in ticks: field 22, that is 20 behind the ")" */
	static int64_t start_us;  /* scrapes come one at a time */
	char at[1024];
	struct str text = read_file("/proc/self/stat", at, sizeof(at));
	const char *name_end = text.len ? memrchr(text.at, ')', text.len) : NULL;
	struct timespec up;
	uint64_t ticks;

	(void)arg;
	if (!start_us) {
		if (!name_end || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
			return false;
		text = str_from(text, (size_t)(name_end - text.at));
		if (!read_part(text, AFTER_NAME, &ticks))
			return false;
		start_us = clock_wall_us() - (int64_t)up.tv_sec * 1000000 - up.tv_nsec / 1000 +
			   (int64_t)ticks * 1000000 / sysconf(_SC_CLK_TCK);
	}

	*ret = start_us;
	return true;
}

static bool read_open_fds(void *arg, int64_t *ret)
{
	DIR *folder = opendir("/proc/self/fd");
	int64_t count = -1; /* the folder itself is one of them */

	(void)arg;
	if (!folder)
		return false;

	for (struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	(void)closedir(folder);
	*ret = count;
	return true;
}

static bool read_max_fds(void *arg, int64_t *ret)
{
	struct rlimit limit;

	(void)arg;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT64_MAX)
		return false;

	*ret = (int64_t)limit.rlim_cur;
	return true;
}

int metric_register_process(void)
{
	static const struct {
		struct metric_def def;
		bool (*read)(void *arg, int64_t *ret);
	} metrics[] = {
		{ { .name = "process_cpu_seconds_total",
			  .help = "Processor time used, user and system, in seconds.",
			  .kind = METRIC_COUNTER,
			  .scale = 1000000 },
			read_cpu_us },
		{ { .name = "process_resident_memory_bytes",
			  .help = "Resident memory in bytes.",
			  .kind = METRIC_GAUGE },
			read_resident },
		{ { .name = "process_start_time_seconds",
			  .help = "When the process started, in seconds since 1970.",
			  .kind = METRIC_GAUGE,
			  .scale = 1000000 },
			read_start_us },
		{ { .name = "process_open_fds",
			  .help = "File descriptors in use.",
			  .kind = METRIC_GAUGE },
			read_open_fds },
		{ { .name = "process_max_fds",
			  .help = "Most file descriptors that may be in use.",
			  .kind = METRIC_GAUGE },
			read_max_fds },
	};

	for (size_t i = 0; i < LEN(metrics); i++) {
		int error = metric_callback(&metrics[i].def, metrics[i].read, NULL);

		if (error < 0)
			return error;
	}
	return 0;
}
