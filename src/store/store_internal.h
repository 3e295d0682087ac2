/* The store from inside. Internal to this folder. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "store/engine.h"
#include "store/store.h"

struct store {
	struct engine *engine;
	struct notices *notices;
	struct store_options options;        /* with defaults filled in */
	const struct statement **statements; /* registered ones, to be given back */
	size_t statement_count, statement_room;
	bool started;
};

/* Statements of the store itself (outbox.c). */
extern const struct statement *const outbox_statements[];
extern const size_t outbox_statement_count;

#endif
