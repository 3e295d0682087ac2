/* A change of the installation's key, for tables with a sealed text in each row: all of them sealed
 * anew, some in each transaction, in the order of their rows. */
#ifndef REST_RESEAL_H
#define REST_RESEAL_H

#include "http/module.h"
#include "store/db.h"

enum { RESEAL_KEY_MAX = 64 }; /* bytes of a key */

/* Where to go on: what the list asks for. */
struct reseal_place {
	struct str tenant_id, key; /* behind this row */
	int64_t limit;
};

/* What the list answers, and what is put back: only where the text is still the former one. */
struct reseal_row {
	struct str tenant_id, key;
	struct str sealed, former;
};

/* A table. Both statements are system statements; their schemas are of the structs above. */
struct reseal_table {
	const char *name; /* of the transactions */
	const struct statement *list, *set;
	/* 1 with another text, in the arena; 0 when it is under the key in force; -ERR_INVALID when
	 * no key opens it. */
	int (*again)(struct arena *arena, const struct reseal_row *row, struct str *ret);
	struct str first;     /* before the first key */
	size_t batch, memory; /* rows of a transaction, and bytes that it takes at most */
};

/* Adds to `*counted` what each transaction has done. Errors of db_write and of `again`. */
int reseal_table(struct store *store, const struct reseal_table *table, struct resealed *counted);

#endif
