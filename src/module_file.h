/*
 * Modules from shared objects. A module runs in this process with all its rights, so a file is
 * trusted before it is opened: what is checked here are mistakes, not attacks.
 */
#ifndef MODULE_FILE_H
#define MODULE_FILE_H

#include "base/str.h"
#include "http/module.h"

/* A shared object and its module. */
struct module_file {
	void *handle; /* of dlopen; NULL: nothing to close */
	const struct module *module;
};

/*
 * Loads a shared object: all its symbols are bound at once and seen by nobody else. A path without
 * a folder, or a relative one, is meant from the working directory; library paths are not searched.
 * `strict` refuses a file that everybody may write, or that lies in a folder where everybody may
 * replace it.
 *
 * Errors, with a sentence and the path: ERR_INVALID for everything that is wrong with the file,
 * ERR_IO when it cannot be looked at.
 */
int module_open(struct str path, bool strict, struct module_file *ret);

/* Unloads it; nothing may use it any more. Builds with a sanitizer leave it in memory, so that
 * their reports at the end can name its functions. */
void module_close(struct module_file *file);

/* Whether a module was compiled for this program and is well-formed. ERR_INVALID with a sentence
 * that begins with its name. */
int module_check(const struct module *module);

#endif
