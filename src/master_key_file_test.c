/* The key's file: made once and kept, and refused when others can use it. */
#include "master_key_file.h"

#include "base/err.h"
#include "base/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_TEXT "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918"

static char folder[100], file[120];

static struct config enter(void)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(folder, sizeof(folder), "%s/master-key-XXXXXX", base ? base : "/tmp");
	REQUIRE(mkdtemp(folder) != NULL);
	(void)snprintf(file, sizeof(file), "%s/" MASTER_KEY_FILE, folder);
	return (struct config){ .data_dir = str_from_c(folder) };
}

static void leave(void)
{
	(void)unlink(file);
	EXPECT(rmdir(folder) == 0); /* nothing else was left there */
}

static void put(const char *text, mode_t mode)
{
	int fd;

	(void)unlink(file);
	fd = open(file, O_WRONLY | O_CREAT | O_EXCL, mode);
	REQUIRE(fd >= 0 && fchmod(fd, mode) == 0);
	REQUIRE(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

TEST(master_key_is_made_once)
{
	struct config config = enter();
	struct master_key first, second;
	struct stat status;

	REQUIRE(master_key_load(&config, &first) == 0);
	REQUIRE(master_key_load(&config, &second) == 0);
	EXPECT(memcmp(first.bytes, second.bytes, sizeof(first.bytes)) == 0);
	REQUIRE(stat(file, &status) == 0);
	EXPECT_INT(status.st_mode & 07777, 0600);
	EXPECT_INT(status.st_size, MASTER_KEY_TEXT_LEN + 1);

	REQUIRE(unlink(file) == 0);
	REQUIRE(master_key_load(&config, &second) == 0);
	EXPECT(memcmp(first.bytes, second.bytes, sizeof(first.bytes)) != 0);
	leave();
}

TEST(master_key_of_the_setting)
{
	struct config config = enter();
	struct master_key key;

	config.master_key = S(KEY_TEXT);
	REQUIRE(master_key_load(&config, &key) == 0);
	EXPECT_INT(key.bytes[0], 0x8c);
	EXPECT(access(file, F_OK) < 0);
	leave();
}

TEST(master_key_file_is_checked)
{
	static const struct {
		const char *text;
		mode_t mode;
		int result;
	} cases[] = {
		{ KEY_TEXT "\n", 0600, 0 },
		{ KEY_TEXT, 0400, 0 },
		{ KEY_TEXT "\n", 0640, -ERR_INVALID },
		{ KEY_TEXT "\n", 0604, -ERR_INVALID },
		{ KEY_TEXT "\n", 0620, -ERR_INVALID },
		{ "", 0600, -ERR_INVALID },
		{ "8c6976e5", 0600, -ERR_INVALID },
		{ KEY_TEXT KEY_TEXT KEY_TEXT KEY_TEXT KEY_TEXT, 0600, -ERR_INVALID },
	};
	struct config config = enter();

	for (size_t i = 0; i < LEN(cases); i++) {
		struct master_key key;

		put(cases[i].text, cases[i].mode);
		EXPECT_INT(master_key_load(&config, &key), cases[i].result);
		EXPECT(cases[i].result == 0 || !strstr(err_text(), "8c6976e5"));
	}
	(void)unlink(file);
	REQUIRE(symlink("/dev/zero", file) == 0);
	EXPECT(master_key_load(&config, &(struct master_key){ 0 }) < 0);
	(void)unlink(file);
	REQUIRE(mkdir(file, 0700) == 0);
	EXPECT(master_key_load(&config, &(struct master_key){ 0 }) < 0);
	REQUIRE(rmdir(file) == 0);
	leave();
}
