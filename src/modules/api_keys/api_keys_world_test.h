/* A world with keys in it. */
#ifndef API_KEYS_WORLD_TEST_H
#define API_KEYS_WORLD_TEST_H

#include "modules/api_keys/api_keys_internal.h"
#include "rest/world_test.h"

const struct module *const *keys_world(void);

/* The tenants of a and b, and their owners anna and bert. */
void keys_begin(struct world *world);

/* How often a key was looked for in the store so far. */
int64_t keys_loads(void);

/* Limiters of the servers of worlds that are begun from now on: none without. */
extern bool keys_limited;
enum { KEYS_API = 4, KEYS_SERVER = 8, KEYS_TENANT = 12 }; /* requests a minute */

/* Makes a key by POST; what the answer says, as copies. `more` are further members: ",\"kind\":..."
 */
struct test_key {
	int status;
	char id[UUID_TEXT_LEN + 1], key[KEY_TEXT_LEN + 1];
};

struct test_key keys_make(
	struct world *world, const char *caller, const char *scopes, const char *more);
struct test_key keys_replace(
	struct world *world, const char *caller, const char *id, const char *overlap);

/* The status of "GET path" with a key as X-API-Key. */
int keys_get(struct world *world, const char *key, const char *path);

/* Which of the doors of world_doors are open to a key. */
const char *keys_doors(struct world *world, const char *key);

/* A request of a key with a body of JSON (NULL: none). */
struct answer keys_call(
	struct world *world, const char *key, const char *request, const char *body);

/* "PATCH /api/v1/api-keys/ID". One of four. */
const char *keys_path(const char *method, const char *id, const char *more);

#endif
