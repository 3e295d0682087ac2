/*
 * The file of breached passwords (AUTH_BREACHED_FILE), looked through without loading it. Two forms
 * are told apart by the first line:
 *
 *     sorted digests     "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9545824": SHA-1 in hexadecimal
 *                        digits, ascending, and a count that is not looked at: the file that Have
 *                        I Been Pwned offers. Any size; a look is some 40 small reads.
 *     passwords          one a line, in any order. Their digests are kept in memory, 8 bytes each,
 *                        so at most PASSWORD_LIST_MAX of them.
 *
 * SHA-1 is here a name for a password, not its protection. Read-only after opening; looking blocks
 * on the disk, so it is for the pool's threads.
 */
#ifndef MODULES_AUTH_PASSWORD_LIST_H
#define MODULES_AUTH_PASSWORD_LIST_H

#include "base/str.h"

#include <stdint.h>

enum {
	PASSWORD_LIST_MAX = 10 * 1000 * 1000, /* passwords of a plain file: 80 MB */
	PASSWORD_LIST_LINE_MAX = 4096,        /* bytes of a line */
};

struct password_list {
	int fd;             /* of sorted digests; -1: none */
	uint64_t size;      /* of that file */
	uint64_t *prefixes; /* of a plain file, sorted; NULL: none */
	size_t count, room;
};

/* Opens the file of that name; NULL: an empty list. -ERR_INVALID with a sentence that names the
 * file and what is wrong, -ERR_TOO_LARGE, -ERR_NO_MEMORY; then there is nothing to close. */
int password_list_open(const char *path, struct password_list *ret);

/* Also for what is zero but for fd, which is -1. */
void password_list_close(struct password_list *list);

/* 1 when the password is in the list, 0 when not; -ERR_IO when the file cannot be read, or is not
 * sorted where it was looked at. */
int password_list_has(const struct password_list *list, struct str password);

#endif
