/*
 * What users may do, in memory, so that a check costs some nanoseconds: a table of fixed size that
 * is read without locks by all workers. An entry is good as long as nothing was forgotten that
 * concerns it since before its rows were read.
 */
#ifndef RBAC_MEMORY_H
#define RBAC_MEMORY_H

#include "modules/rbac/rbac_internal.h"

enum {
	MEMORY_ENTRIES = 1 << 15, /* 8 MB, resident as far as they are used */
	MEMORY_ROLES_BYTES = 128, /* names of an entry, with a line break behind each */
};

/* Of one user. */
struct remembered {
	bool known, active;
	struct rights rights;
	bool has_roles; /* false: they were too long to be kept */
	size_t roles_len;
	char roles[MEMORY_ROLES_BYTES];
};

/* Empty; takes its memory page by page as it is used. -ERR_NO_MEMORY. */
int memory_open(void);
void memory_close(void);

/* Whether there is an entry that is good. Names of roles are only given when they are wanted. */
bool memory_find(
	const struct uuid *tenant, const struct uuid *user, bool roles, struct remembered *ret);

/* The moment to be handed to memory_keep; before the rows are read. */
uint64_t memory_moment(const struct uuid *tenant, const struct uuid *user);

/* Keeps what was read since then, unless somebody else is at the place just now. */
void memory_keep(const struct uuid *tenant, const struct uuid *user, uint64_t moment,
	const struct remembered *what);

/* On any thread. */
void memory_forget_user(const struct uuid *tenant, const struct uuid *user);
void memory_forget_tenant(const struct uuid *tenant);
void memory_forget_all(void);

#endif
