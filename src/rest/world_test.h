/*
 * A server with a store and modules, for tests of what they do over HTTP, on both engines:
 *
 *     static const struct module *const modules[] = { &rest_module, &notes_module, NULL };
 *
 *     WORLD_TEST(notes_are_kept, modules)
 *     {
 *             struct answer answer = world_call(world, "ada", "POST /api/v1/notes", "", "{...}");
 *             ...
 *     }
 *
 * The body runs on the test's own thread and talks to a real port; workers, the writer thread and
 * the pool are as in the program.
 */
#ifndef REST_WORLD_TEST_H
#define REST_WORLD_TEST_H

#include "base/test.h"
#include "crypto/master_key.h"
#include "http/loopback_test.h"
#include "http/module.h"
#include "store/store_test.h"

struct world {
	const struct module *const *modules;
	void (*body)(struct world *);
	struct store *store;
	struct store_options options;
	struct loopback *net;
	struct client *client; /* of world_call */
	struct worker worker;  /* of world_do */
	struct route routes[100];
	struct module all; /* routes of all modules */
};

void world_run(
	enum engine_kind engine, const struct module *const *modules, void (*body)(struct world *));

/* The same on a database that another run has used or will use: options->folder, or options->url.
 */
void world_run_on(const struct store_options *options, const struct module *const *modules,
	void (*body)(struct world *));

/* The installation's key in worlds that are begun from now on. */
extern struct master_key world_master_key;

/* The one before, or NULL. */
extern const struct master_key *world_former_key;

/* A new folder, and removing it with all that is in it. */
struct str world_folder(char *path, size_t size);
void world_remove_folder(const char *path);

#define WORLD_TEST(name_, modules_)                                                                \
	static void world_test_##name_(struct world *world);                                       \
	TEST(name_##_sqlite)                                                                       \
	{                                                                                          \
		world_run(ENGINE_SQLITE, modules_, world_test_##name_);                            \
	}                                                                                          \
	TEST(name_##_postgres)                                                                     \
	{                                                                                          \
		world_run(ENGINE_POSTGRES, modules_, world_test_##name_);                          \
	}                                                                                          \
	static void world_test_##name_(struct world *world)

/* An answer; texts are the client's, until its next response. */
struct answer {
	int status;
	struct response response;
	struct str body;
};

/*
 * Callers, as "Authorization: Bearer NAME": a user of that name. Its first letter tells the tenant:
 * a and A are of tenant 1, b and B of tenant 2, o is an operator, n has no tenant; anything else is
 * nobody. Whose name has a capital letter lacks all rights, others have all of them (platform: only
 * operators).
 *
 * "X-Fault: 3" makes the third allocation from identifying the caller on fail. Who puts another
 * identify in place calls world_arm for that.
 */
void world_arm(const struct req *req);

/* Sends "GET /path" with header lines ("If-Match: \"1\"\r\n") and a body of JSON (NULL: none). */
void world_send(struct client *client, const char *caller, const char *request, const char *headers,
	const char *body);
struct answer world_answer(struct client *client);
struct answer world_call(struct world *world, const char *caller, const char *request,
	const char *headers, const char *body);

/* The same, formatted. */
struct answer world_get(struct world *world, const char *caller, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* The text of the first member of that name, without quotes; a copy, "" without one. At most 16 of
 * them are good at a time. */
const char *answer_text(const struct answer *answer, const char *member);

/* How often a text occurs in the body. */
size_t answer_count(const struct answer *answer, const char *text);

/* Id of a caller. */
struct uuid world_user(struct str name);

/* Id of the tenant of a caller. */
struct uuid world_tenant(const char *caller);

/* Runs fn(db, arg) in a fiber of the world's worker, with a handle of that caller's tenant (of the
 * system for an operator); REQUIREs that it succeeds. */
void world_do(struct world *world, const char *caller, int (*fn)(const struct db *db, void *arg),
	void *arg);

#endif
