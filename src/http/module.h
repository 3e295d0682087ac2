/*
 * A module: what a feature brings, compiled in (the list in app.c) or from a shared object (the
 * setting MODULES, doc/modules.md). Both have the same rights and are written the same way:
 *
 *     static const struct route routes[] = {
 *             { HTTP_GET, "/hello", "Say hello", .run = hello, .place = ROUTE_PUBLIC,
 *               .need = RIGHT_PUBLIC },
 *     };
 *
 *     const struct module hello_module = {
 *             MODULE_HEAD,
 *             .name = "hello",
 *             .routes = routes,
 *             .route_count = LEN(routes),
 *     };
 *
 * and a shared object says which one is its module: BULKHEAD_MODULE(hello_module);
 */
#ifndef HTTP_MODULE_H
#define HTTP_MODULE_H

#include "http/request.h"
#include "http/route.h"

#include <stdint.h>

struct server;
struct statement;

/*
 * The agreement between the program and modules that were compiled at another time. Raised when a
 * header for modules (API_HEADERS in the Makefile) changes a struct, a constant, or what a function
 * takes, gives or promises; not when something is added that older modules do not see.
 */
#define MODULE_ABI 4

#define MODULE_MAGIC UINT32_C(0x42684d6f)

/* What changes the layout of structs besides the version. */
enum module_build {
	MODULE_BUILD_DEBUG = 1,
	MODULE_BUILD_ASAN = 2,
	MODULE_BUILD_TSAN = 4,
};

#ifdef BULKHEAD_DEBUG
#define MODULE_BUILD_IS_DEBUG MODULE_BUILD_DEBUG
#else
#define MODULE_BUILD_IS_DEBUG 0
#endif

#define MODULE_BUILD                                                                               \
	(MODULE_BUILD_IS_DEBUG | (BUILT_WITH_ASAN ? MODULE_BUILD_ASAN : 0) |                       \
		(BUILT_WITH_TSAN ? MODULE_BUILD_TSAN : 0))

/* Work that nobody asks for: once after the start, and then again and again. Several instances may
 * do it at once. */
struct chore {
	const char *name;  /* for the log */
	uint64_t every_ns; /* from the end of one time to the next */
	/* On a fiber of its own, which may wait; at the server's end its waits are cancelled. A
	 * negative code is logged. */
	int (*run)(struct server *server);
};

/* What was found in sealing anew. */
struct resealed {
	size_t sealed; /* that were under the former key */
	size_t lost;   /* that open under neither key */
};

/* Static: it and all it points at live as long as the process. */
struct module {
	/* These stay what and where they are in every ABI, so that a mismatch can be told. */
	uint32_t magic;
	uint32_t abi;        /* MODULE_ABI of the headers it was compiled with */
	uint32_t build;      /* MODULE_BUILD of its compilation */
	uint32_t size;       /* of struct module, */
	uint32_t req_size;   /* struct req, which holds most others, */
	uint32_t route_size; /* and struct route */
	const char *name;    /* [a-z][a-z0-9-]*, at most MODULE_NAME_MAX bytes; one of its kind */
	const char *version; /* its own; NULL: it is a part of the program */

	const struct route *routes;
	size_t route_count;

	/* What it keeps in the store: the text of its migrations (store/migration.h), and its
	 * statements (store/statement.h). NULL: nothing. */
	const char *migrations;
	const struct statement *const *statements;
	size_t statement_count;

	/* Called once the store is open and its statements are registered, before anything is
	 * served: for caches, listeners and hooks. -code with a sentence stops the start; what it
	 * has opened until then is its own to close. NULL: nothing to do. */
	int (*open)(struct server *server);
	/* Called when nothing is served any more, only after an open that succeeded. */
	void (*close)(struct server *server);

	const struct chore *chores;
	size_t chore_count;

	/* Seals under server->master_key whatever of its rows is under server->former_key, in small
	 * transactions, while others read and write; adds to `*counted`. Called on a fiber by
	 * `bulkhead keys reseal`, perhaps again after it was cut off anywhere: what was done is
	 * done. NULL: it seals nothing. */
	int (*reseal)(struct server *server, struct resealed *counted);
};

enum { MODULE_NAME_MAX = 32 };

/* The first initializers of a struct module. */
#define MODULE_HEAD                                                                                \
	.magic = MODULE_MAGIC, .abi = MODULE_ABI, .build = MODULE_BUILD,                           \
	.size = sizeof(struct module), .req_size = sizeof(struct req),                             \
	.route_size = sizeof(struct route)

/* The one name by which a module is found in a shared object. */
#define MODULE_SYMBOL "bulkhead_module"

/* Makes the struct module of that name, which this file defines, the module of its shared object.
 */
#define BULKHEAD_MODULE(definition)                                                                \
	extern const struct module bulkhead_module                                                 \
		__attribute__((alias(#definition), visibility("default")))

#endif
