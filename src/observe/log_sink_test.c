/* The sink alone, on one thread: names, rotation, retention, restarts, and disks and pipes that
 * refuse. */
#include "observe/log_sink.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_US ((int64_t)86400 * 1000000)

static const int64_t start_us = (int64_t)1795132800 * 1000000; /* 2026-11-20T00:00:00Z */

struct place {
	char folder[64];
};

static struct place place_new(void)
{
	struct place place = { "/tmp/bulkhead-sink-XXXXXX" };

	CHECK(mkdtemp(place.folder));
	return place;
}

static void place_done(struct place *place)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf %s", place->folder);
	EXPECT_INT(system(command), 0);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The folder's files, sorted, separated by spaces. */
static const char *list(const struct place *place)
{
	static char all[4096];
	char *names[200];
	size_t count = 0;
	DIR *folder = opendir(place->folder);

	CHECK(folder);
	for (struct dirent *entry; (entry = readdir(folder)) && count < LEN(names);)
		if (entry->d_name[0] != '.')
			names[count++] = strdup(entry->d_name);
	(void)closedir(folder);
	qsort(names, count, sizeof(*names), compare);

	all[0] = 0;
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? " " : "",
			names[i]);
		free(names[i]);
	}
	return all;
}

#define EXPECT_FILES(place, text) EXPECT_STR(str_from_c(list(place)), S(text))

static void touch(const struct place *place, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	file = fopen(path, "w");
	CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static struct str content(const struct place *place, const char *name)
{
	static char text[4096];
	char path[256];
	FILE *file;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/%s", place->folder, name);
	file = fopen(path, "r");
	if (!file)
		return S("(none)");
	len = fread(text, 1, sizeof(text), file);
	(void)fclose(file);
	return str_of(text, len);
}

static void open_at(struct log_sink *sink, const struct place *place, int64_t now_us)
{
	REQUIRE(log_sink_init_files(sink, str_from_c(place->folder), S("app"), now_us) == 0);
}

TEST(log_sink_rotates_by_day)
{
	struct place place = place_new();
	struct log_sink sink = { 0 };

	open_at(&sink, &place, start_us);
	EXPECT(log_sink_write(&sink, S("one\n"), start_us));
	EXPECT(log_sink_write(&sink, S("two\n"), start_us + DAY_US - 1));
	EXPECT(log_sink_write(&sink, S("three\n"), start_us + DAY_US));
	EXPECT(log_sink_write(&sink, S("back\n"), start_us + 5)); /* the clock was set back */
	EXPECT_FILES(&place, "app-2026-11-20.1.log app-2026-11-21.1.log");
	EXPECT_STR(content(&place, "app-2026-11-20.1.log"), S("one\ntwo\n"));
	EXPECT_STR(content(&place, "app-2026-11-21.1.log"), S("three\nback\n"));
	EXPECT_INT(sink.bytes, 4 + 4 + 6 + 5);
	log_sink_done(&sink);
	place_done(&place);
}

TEST(log_sink_rotates_by_size_and_restarts)
{
	struct place place = place_new();
	struct log_sink sink = { .rotate_bytes = 10 };
	struct stat what;
	char path[128];

	open_at(&sink, &place, start_us);
	EXPECT(log_sink_write(&sink, S("12345\n"), start_us));
	EXPECT(log_sink_write(&sink, S("123\n"), start_us)); /* exactly full */
	EXPECT(log_sink_write(&sink, S("x\n"), start_us));
	EXPECT(log_sink_write(&sink, S("longer than a file\n"), start_us));
	EXPECT(log_sink_write(&sink, S("y\n"), start_us));
	log_sink_done(&sink);
	EXPECT_FILES(&place, "app-2026-11-20.1.log app-2026-11-20.2.log app-2026-11-20.3.log "
			     "app-2026-11-20.4.log");

	/* A restart goes on with the last file; a line cut by a crash stays a line of its own. */
	touch(&place, "app-2026-11-20.4.log", "cut off");
	open_at(&sink, &place, start_us + 1);
	EXPECT(log_sink_write(&sink, S("z\n"), start_us + 1));
	EXPECT_STR(content(&place, "app-2026-11-20.4.log"), S("cut off\nz\n"));
	log_sink_done(&sink);

	(void)snprintf(path, sizeof(path), "%s/app-2026-11-20.1.log", place.folder);
	EXPECT(stat(path, &what) == 0 && (what.st_mode & 0027) == 0);
	place_done(&place);
}

TEST(log_sink_keeps_so_many)
{
	struct place place = place_new();
	struct log_sink sink = { .rotate_bytes = 4, .keep_files = 2 };

	/* Files that are not ours, however near, are left alone. */
	touch(&place, "app.log", "");
	touch(&place, "app-2026-11-20.0.log", "");
	touch(&place, "app-2026-11-20.01.log", "");
	touch(&place, "app-2026-11-2x.1.log", "");
	touch(&place, "app-2026-11-20.1.log.gz", "");
	touch(&place, "apple-2026-11-20.1.log", "");
	touch(&place, "app-2026-11-20.1", "");
	touch(&place, "app-2025-01-01.9.log", "old");

	open_at(&sink, &place, start_us);
	for (int i = 0; i < 12; i++)
		EXPECT(log_sink_write(&sink, S("123\n"), start_us));
	EXPECT_FILES(&place,
		"app-2026-11-20.0.log app-2026-11-20.01.log app-2026-11-20.1 "
		"app-2026-11-20.1.log.gz app-2026-11-20.10.log app-2026-11-20.11.log "
		"app-2026-11-20.12.log app-2026-11-2x.1.log app.log apple-2026-11-20.1.log");
	log_sink_done(&sink);
	place_done(&place);
}

TEST(log_sink_keeps_so_long)
{
	struct place place = place_new();
	struct log_sink sink = { .keep_days = 3 };

	open_at(&sink, &place, start_us);
	for (int day = 0; day < 10; day++)
		EXPECT(log_sink_write(&sink, S("x\n"), start_us + day * DAY_US));
	EXPECT_FILES(&place, "app-2026-11-26.1.log app-2026-11-27.1.log app-2026-11-28.1.log "
			     "app-2026-11-29.1.log");
	log_sink_done(&sink);
	place_done(&place);
}

TEST(log_sink_reopens)
{
	struct place place = place_new();
	struct log_sink sink = { 0 };
	char from[128], to[128];

	open_at(&sink, &place, start_us);
	EXPECT(log_sink_write(&sink, S("a\n"), start_us));
	(void)snprintf(from, sizeof(from), "%s/app-2026-11-20.1.log", place.folder);
	(void)snprintf(to, sizeof(to), "%s/moved", place.folder);
	REQUIRE(rename(from, to) == 0);
	EXPECT(log_sink_write(&sink, S("b\n"), start_us));
	log_sink_reopen(&sink);
	EXPECT(log_sink_write(&sink, S("c\n"), start_us));
	EXPECT_STR(content(&place, "moved"), S("a\nb\n"));
	EXPECT_STR(content(&place, "app-2026-11-20.1.log"), S("c\n"));

	/* A folder in the file's place: lines are lost, until it has gone again. */
	REQUIRE(unlink(from) == 0 && mkdir(from, 0700) == 0);
	log_sink_reopen(&sink);
	EXPECT(!log_sink_write(&sink, S("d\ne\n"), start_us));
	EXPECT_INT(sink.lost, 2);
	REQUIRE(rmdir(from) == 0);
	EXPECT(!log_sink_write(&sink, S("f\n"), start_us + 1)); /* not before a second has passed */
	EXPECT(log_sink_write(&sink, S("g\n"), start_us + 2000000));
	EXPECT_STR(content(&place, "app-2026-11-20.1.log"), S("g\n"));
	log_sink_done(&sink);
	place_done(&place);
}

TEST(log_sink_refuses)
{
	static const struct str bad_names[] = { S_INIT(""), S_INIT("a/b"), S_INIT("."),
		S_INIT("a\0b") };
	struct place place = place_new();
	struct log_sink sink = { 0 };
	char path[128];

	for (size_t i = 0; i < LEN(bad_names); i++)
		EXPECT_INT(log_sink_init_files(
				   &sink, str_from_c(place.folder), bad_names[i], start_us),
			-ERR_INVALID);
	EXPECT_INT(log_sink_init_files(&sink, S("/nowhere/at/all"), S("app"), start_us), -ERR_IO);
	EXPECT_INT(log_sink_init_files(&sink, S("/dev/null"), S("app"), start_us), -ERR_IO);
	EXPECT_INT(log_sink_init_files(&sink, S(""), S("app"), start_us), -ERR_INVALID);

	/* A link in the file's place is not followed; a missing last folder is made. */
	(void)snprintf(path, sizeof(path), "%s/app-2026-11-20.1.log", place.folder);
	REQUIRE(symlink("/tmp/elsewhere", path) == 0);
	EXPECT_INT(
		log_sink_init_files(&sink, str_from_c(place.folder), S("app"), start_us), -ERR_IO);
	(void)snprintf(path, sizeof(path), "%s/new", place.folder);
	EXPECT_INT(log_sink_init_files(&sink, str_from_c(path), S("app"), start_us), 0);
	log_sink_done(&sink);
	place_done(&place);
}

TEST(log_sink_full_disk)
{
	struct log_sink sink;
	int fd = open("/dev/full", O_WRONLY);

	REQUIRE(fd >= 0);
	log_sink_init_fd(&sink, fd);
	EXPECT(!log_sink_write(&sink, S("a\nb\nc\n"), 0));
	EXPECT_INT(sink.lost, 3);
	EXPECT_INT(sink.error, ENOSPC);
	EXPECT(!sink.dead);
	(void)close(fd);
}

TEST(log_sink_line_cut_by_a_full_disk)
{
	struct place place = place_new();
	struct log_sink sink = { 0 };

	open_at(&sink, &place, start_us);
	REQUIRE(write(sink.fd, "par", 3) == 3); /* as ENOSPC leaves it */
	sink.mid_line = true;
	EXPECT(log_sink_write(&sink, S("next\n"), start_us));
	EXPECT_STR(content(&place, "app-2026-11-20.1.log"), S("par\nnext\n"));
	log_sink_done(&sink);
	place_done(&place);
}

static bool at_once(void *arg)
{
	size_t *asked = arg;

	return ++*asked > 1;
}

TEST(log_sink_pipes)
{
	static char lines[300000];
	struct log_sink sink;
	size_t asked = 0;
	int ends[2];

	for (size_t i = 0; i < sizeof(lines); i++)
		lines[i] = i % 100 == 99 ? '\n' : 'x';
	REQUIRE(pipe(ends) == 0);
	log_sink_init_fd(&sink, ends[1]);
	EXPECT(sink.waits);

	/* Nobody reads: it waits until it is told to give up, and never blocks in write. */
	sink.give_up = at_once;
	sink.give_up_arg = &asked;
	EXPECT(!log_sink_write(&sink, str_of(lines, sizeof(lines)), 0));
	EXPECT_INT(asked, 2);
	EXPECT(sink.lost > 1000 && sink.bytes > 0);
	EXPECT_INT(sink.error, ETIMEDOUT);

	/* The reader goes: the end of it. */
	(void)close(ends[0]);
	EXPECT(!log_sink_write(&sink, S("x\n"), 0));
	EXPECT(sink.dead);
	EXPECT(!log_sink_write(&sink, S("x\n"), 0));
	(void)close(ends[1]);
}

#ifdef BULKHEAD_FAULTS
TEST(log_sink_torture)
{
	for (enum fault_kind kind = 0; kind < FAULT_KINDS; kind++) {
		for (size_t nth = 1;; nth++) {
			struct place place = place_new();
			struct log_sink sink = { .rotate_bytes = 8, .keep_files = 1 };
			uint64_t wrote = 0;
			bool struck;

			fault_arm(kind, nth);
			if (log_sink_init_files(
				    &sink, str_from_c(place.folder), S("app"), start_us) == 0) {
				for (int i = 0; i < 10; i++)
					wrote += log_sink_write(
						&sink, S("12345\n"), start_us + i * 700000);
				EXPECT_INT(wrote + sink.lost, 10);
				log_sink_done(&sink);
			}
			struck = fault_struck(kind);
			fault_arm(kind, 0);
			EXPECT_INT(mem_used(), 0);
			place_done(&place);
			if (!struck)
				break;
		}
	}
}
#endif
