/* What a module must be, and what a file must be; whole modules are loaded by tests/modules. */
#include "module_file.h"

#include "base/err.h"
#include "base/test.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- modules ------------------------------------------------------------- */

static const struct route routes[] = {
	{ HTTP_GET, "/x", "X", .place = ROUTE_PUBLIC },
};

static const struct module sound = {
	MODULE_HEAD,
	.name = "sound-1",
	.routes = routes,
	.route_count = LEN(routes),
};

TEST(module_that_is_sound)
{
	struct module module = sound;

	EXPECT(module_check(&module) == 0);
	module.route_count = 0;
	module.routes = NULL;
	EXPECT(module_check(&module) == 0);
}

static struct module with_magic(struct module module)
{
	module.magic ^= 1;
	return module;
}

static struct module with_abi(struct module module)
{
	module.abi = MODULE_ABI + 1;
	module.size = 1; /* the number is told first */
	return module;
}

static struct module with_build(struct module module)
{
	module.build ^= MODULE_BUILD_DEBUG;
	return module;
}

static struct module with_size(struct module module)
{
	module.size += 8;
	return module;
}

static struct module with_req_size(struct module module)
{
	module.req_size += 8;
	return module;
}

static struct module with_route_size(struct module module)
{
	module.route_size -= 8;
	return module;
}

static struct module without_routes(struct module module)
{
	module.routes = NULL;
	return module;
}

TEST(module_that_does_not_fit)
{
	static const struct {
		struct module (*change)(struct module);
		const char *text; /* in the error */
	} cases[] = {
		{ with_magic, "bulkhead_module is no module" },
		{ with_abi, "module sound-1 was built for ABI " },
		{ with_build, "module sound-1 was built for FLAVOUR=" },
		{ with_size, "module sound-1 was built with other headers" },
		{ with_req_size, "module sound-1 was built with other headers" },
		{ with_route_size, "module sound-1 was built with other headers" },
		{ without_routes, "module sound-1 counts routes but has none" },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct module module = cases[i].change(sound);

		EXPECT(module_check(&module) == -ERR_INVALID);
		EXPECT(strncmp(err_text(), cases[i].text, strlen(cases[i].text)) == 0);
	}
}

TEST(module_names)
{
	static const struct {
		const char *name;
		bool sound;
	} cases[] = {
		{ "a", true },
		{ "a-1", true },
		{ "abcdefghijklmnopqrstuvwxyz012345", true },
		{ "abcdefghijklmnopqrstuvwxyz0123456", false },
		{ NULL, false },
		{ "", false },
		{ "1a", false },
		{ "-a", false },
		{ "A", false },
		{ "a_b", false },
		{ "a\n", false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct module module = sound;

		module.name = cases[i].name;
		EXPECT((module_check(&module) == 0) == cases[i].sound);
	}
}

/* --- files ---------------------------------------------------------------- */

/* A folder of this test with a file in it that is no shared object. */
struct place {
	char folder[64];
	char file[80];
};

static void place_make(struct place *place)
{
	const char *parent = getenv("TMPDIR");
	int fd;

	(void)snprintf(place->folder, sizeof(place->folder), "%s/module-XXXXXX",
		parent && strlen(parent) < 40 ? parent : "/tmp");
	EXPECT(mkdtemp(place->folder) != NULL);
	(void)snprintf(place->file, sizeof(place->file), "%s/text.so", place->folder);
	fd = open(place->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	EXPECT(fd >= 0 && write(fd, "text\n", 5) == 5 && close(fd) == 0);
}

static void place_remove(const struct place *place)
{
	EXPECT(unlink(place->file) == 0);
	EXPECT(rmdir(place->folder) == 0);
}

/* The reason alone, which stands below the path. */
static bool refused(const char *path, bool strict, int code, const char *reason)
{
	struct module_file file = { 0 };

	return module_open(str_from_c(path), strict, &file) == code && !file.handle &&
	       err_last()->depth == 2 && strcmp(err_last()->frames[0].text, reason) == 0 &&
	       strncmp(err_text(), "MODULES: ", 9) == 0 && strcmp(err_text() + 9, path) == 0;
}

TEST(module_files_that_are_none)
{
	struct place place;

	place_make(&place);
	EXPECT(refused(place.file, false, -ERR_INVALID, "file too short"));
	EXPECT(refused(place.folder, false, -ERR_INVALID, "not a regular file"));
	EXPECT(refused("/dev/null", false, -ERR_INVALID, "not a regular file"));
	EXPECT(refused("/nowhere.so", false, -ERR_IO, err_errno_text(ENOENT)));
	/* Not searched for where libraries are. */
	EXPECT(refused("libc.so.6", false, -ERR_IO, err_errno_text(ENOENT)));
	place_remove(&place);
}

TEST(module_file_of_another_kind)
{
	struct module_file file = { 0 };
	Dl_info libc;

	EXPECT(dladdr((void *)gnu_get_libc_version, &libc) != 0);
	EXPECT(module_open(str_from_c(libc.dli_fname), false, &file) == -ERR_INVALID);
	EXPECT(strncmp(err_last()->frames[0].text, "it has no symbol bulkhead_module", 32) == 0);
	EXPECT(!file.handle);
}

TEST(module_path_has_a_limit)
{
	static char path[PATH_MAX];
	struct module_file file = { 0 };

	memset(path, 'a', sizeof(path));
	EXPECT(module_open(str_of(path, PATH_MAX), false, &file) == -ERR_INVALID);
	EXPECT(module_open(str_of(path, PATH_MAX - 1), false, &file) == -ERR_IO);
}

TEST(module_file_that_everybody_may_change)
{
	struct place place;

	place_make(&place);
	EXPECT(chmod(place.file, 0646) == 0);
	EXPECT(refused(place.file, true, -ERR_INVALID, "everybody may write the file (chmod o-w)"));
	EXPECT(refused(place.file, false, -ERR_INVALID, "file too short"));

	EXPECT(chmod(place.file, 0644) == 0);
	EXPECT(refused(place.file, true, -ERR_INVALID, "file too short"));
	EXPECT(chmod(place.folder, 0707) == 0);
	EXPECT(refused(place.file, true, -ERR_INVALID,
		"everybody may replace the file in its folder (chmod o-w)"));
	/* As /tmp is: only the owner may replace it. */
	EXPECT(chmod(place.folder, 01707) == 0);
	EXPECT(refused(place.file, true, -ERR_INVALID, "file too short"));
	place_remove(&place);
}
