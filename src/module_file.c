/* Finds the module in a shared object and refuses what does not fit, with a reason for people. */
#include "module_file.h"

#include "base/check.h"
#include "base/err.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

/* --- the module --------------------------------------------------------- */

static bool name_is_sound(const char *name)
{
	size_t len = 0;

	if (!name || name[0] < 'a' || name[0] > 'z')
		return false;
	for (; name[len] != '\0'; len++) {
		char byte = name[len];

		if (len == MODULE_NAME_MAX || !((byte >= 'a' && byte <= 'z') ||
						      (byte >= '0' && byte <= '9') || byte == '-'))
			return false;
	}
	return true;
}

/* The flavour of the Makefile that builds so. */
static const char *build_text(uint32_t build)
{
	if (build & MODULE_BUILD_ASAN)
		return "asan";
	if (build & MODULE_BUILD_TSAN)
		return "tsan";
	return build & MODULE_BUILD_DEBUG ? "debug" : "release";
}

int module_check(const struct module *module)
{
	if (module->magic != MODULE_MAGIC)
		return fail(ERR_INVALID, "%s is no module", MODULE_SYMBOL);
	if (!name_is_sound(module->name))
		return fail(ERR_INVALID, "its name is not one to %d of a-z, 0-9 and -",
			MODULE_NAME_MAX);

	if (module->abi != MODULE_ABI)
		return fail(ERR_INVALID, "module %s was built for ABI %u, this is ABI %u",
			module->name, module->abi, MODULE_ABI);
	if (module->build != MODULE_BUILD)
		return fail(ERR_INVALID, "module %s was built for FLAVOUR=%s, this is %s",
			module->name, build_text(module->build), build_text(MODULE_BUILD));
	if (module->size != sizeof(struct module) || module->req_size != sizeof(struct req) ||
		module->route_size != sizeof(struct route))
		return fail(ERR_INVALID,
			"module %s was built with other headers of ABI %u: build it again",
			module->name, MODULE_ABI);

	if (module->route_count > 0 && !module->routes)
		return fail(ERR_INVALID, "module %s counts routes but has none", module->name);
	return 0;
}

/* --- the file ----------------------------------------------------------- */

static bool anybody_may_write(const struct stat *status)
{
	return (status->st_mode & S_IWOTH) &&
	       !(S_ISDIR(status->st_mode) && (status->st_mode & S_ISVTX));
}

/* `path` is absolute. */
static int check_writers(const char *path, const struct stat *status)
{
	char folder[PATH_MAX];
	struct stat around;
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] != '/')
		len--;
	memcpy(folder, path, len);
	folder[len] = '\0';

	if (anybody_may_write(status))
		return fail(ERR_INVALID, "everybody may write the file (chmod o-w)");
	if (stat(folder, &around) < 0)
		return fail(ERR_IO, "%s: %s", folder, err_errno_text(errno));
	if (anybody_may_write(&around))
		return fail(
			ERR_INVALID, "everybody may replace the file in its folder (chmod o-w)");
	return 0;
}

/* The absolute path of a regular file; opening another kind could wait for ever. */
static int find_file(const char *path, bool strict, char ret[PATH_MAX])
{
	struct stat status;

	if (!realpath(path, ret) || stat(ret, &status) < 0)
		return fail(ERR_IO, "%s", err_errno_text(errno));
	if (!S_ISREG(status.st_mode))
		return fail(ERR_INVALID, "not a regular file");
	return strict ? check_writers(ret, &status) : 0;
}

/* The last error of the linker, without the path that it begins with: the caller says it. */
static const char *linker_text(const char *path)
{
	const char *text = dlerror();
	size_t len = strlen(path);

	if (!text)
		return "the dynamic linker gives no reason";
	if (strncmp(text, path, len) == 0 && strncmp(text + len, ": ", 2) == 0)
		return text + len + 2;
	return text;
}

static int load(const char *path, bool strict, struct module_file *ret)
{
	struct module_file file;
	char absolute[PATH_MAX];
	int r = find_file(path, strict, absolute);

	if (r < 0)
		return r;

	file.handle = dlopen(absolute, RTLD_NOW | RTLD_LOCAL);
	if (!file.handle)
		return fail(ERR_INVALID, "%s", linker_text(absolute));

	file.module = dlsym(file.handle, MODULE_SYMBOL);
	if (file.module)
		r = module_check(file.module);
	else
		r = fail(ERR_INVALID, "it has no symbol %s (BULKHEAD_MODULE is missing)",
			MODULE_SYMBOL);
	if (r < 0) {
		module_close(&file);
		return r;
	}
	*ret = file;
	return 0;
}

int module_open(struct str path, bool strict, struct module_file *ret)
{
	char text[PATH_MAX];
	int r;

	if (path.len >= sizeof(text))
		return fail(ERR_INVALID, "the path of a module is longer than %zu bytes",
			sizeof(text) - 1);
	memcpy(text, path.at, path.len);
	text[path.len] = '\0';

	r = load(text, strict, ret);
	return r < 0 ? err_wrap("MODULES: %s", text) : r;
}

void module_close(struct module_file *file)
{
	const unsigned watched = MODULE_BUILD_ASAN | MODULE_BUILD_TSAN;

	if (file->handle && !(MODULE_BUILD & watched))
		(void)dlclose(file->handle);
	*file = (struct module_file){ 0 };
}
