/* What the files of this module share. */
#ifndef API_KEYS_INTERNAL_H
#define API_KEYS_INTERNAL_H

#include "crypto/digest.h"
#include "crypto/opaque.h"
#include "modules/api_keys/api_keys.h"
#include "modules/audit/audit.h"
#include "modules/rbac/rbac.h"

enum api_key_kind { API_KEY_SECRET, API_KEY_PUBLISHABLE };

/* --- the text of a key (api_keys_text.c) -------------------------------------------------- */

enum {
	KEY_SECRET_LEN = 32,
	KEY_BYTES = 2 * (int)sizeof(struct uuid) + KEY_SECRET_LEN,
	KEY_MARK_LEN = 6, /* "bh_sk_" */
	KEY_TEXT_LEN = OPAQUE_LEN(KEY_MARK_LEN, KEY_BYTES),
	KEY_PREFIX_LEN = KEY_MARK_LEN +
			 2 * (int)sizeof(struct uuid) * 8 / 5, /* without a bit of the secret */
	KEY_HASH_LEN = OPAQUE_HASH_LEN,                        /* as stored: hex */
};

/* What the text of a key says. None of it is to be believed before the secret was compared. */
struct key_text {
	enum api_key_kind kind;
	struct uuid tenant, id;
	uint8_t secret[KEY_SECRET_LEN];
};

/* Whether a text claims to be a key. */
bool key_text_is(struct str text);

/* False for a mistyped one: nothing was asked for it. */
bool key_text_read(struct str text, struct key_text *ret);

/* Writes KEY_TEXT_LEN bytes, no NUL. */
void key_text_write(char *at, const struct key_text *key);

/* --- what goes in and out (api_keys_contract.c) --------------------------------------------- */

struct key_texts {
	struct str *at;
	size_t count;
};

/* A key as people see it, and behind that what only its row has. */
struct api_key {
	struct str id;
	enum api_key_kind kind;
	struct str name;
	struct str prefix, ending; /* how its text begins and ends, for recognition */
	struct key_texts scopes, allowed_addresses;
	struct opt_i64 requests_per_minute;
	struct str owner_id;         /* the user whose rights bound it */
	struct opt_str created_with; /* the key that made it; not set: a user did */
	struct opt_i64 expires_at, revoked_at;
	struct opt_i64 previous_until; /* the secret before the last rotation holds so long */
	struct opt_i64 last_used_at;
	struct opt_str last_used_address;
	int64_t version;
	int64_t created_at, updated_at;

	struct str secret_hash;
	struct opt_str previous_hash;
	struct opt_i64 ends_at; /* of revoked_at and expires_at the first that is set */

	struct str key; /* the text itself, in the answer to who made or rotated it; never stored */
};

/* The same for that answer; its schema counts on `shown` being first. */
struct api_key_made {
	struct api_key shown;
};

struct api_key_new {
	struct str name;
	enum api_key_kind kind;
	struct key_texts scopes, allowed_addresses;
	struct opt_i64 requests_per_minute, expires_at;
};

/* A member that is not set, a list without items, keeps its value. */
struct api_key_patch {
	struct str id;
	struct opt_str name;
	struct key_texts scopes, allowed_addresses;
	struct opt_i64 requests_per_minute, expires_at;
};

struct api_key_rotation {
	struct str id;
	struct str overlap; /* "24h" */
};

struct api_key_ref {
	struct str id;
};

struct api_key_query {
	int64_t limit;
	struct str cursor;
	struct opt_str owner_id;
	struct str after_id; /* where the page begins */
};

struct api_key_page {
	LIST_OF(struct api_key) items;
};

extern const struct schema api_key_schema, api_key_made_schema, api_key_new_schema,
	api_key_patch_schema, api_key_rotation_schema, api_key_ref_schema, api_key_query_schema,
	api_key_page_schema;

/* --- rules, without rows (api_keys_rules.c) --------------------------------------------------- */

/* Whether a publishable key may hold a scope: "resource:read" of what is no administration. */
bool scope_is_publishable(struct str scope);

/* Checks each scope: -ERR_INVALID when it stands for nothing, or is not for that kind of key. */
int scopes_check(enum api_key_kind kind, const struct key_texts *scopes);

/* The rights that scopes stand for today; those that would be refused today stand for none. */
void scopes_rights(enum api_key_kind kind, const struct key_texts *scopes, struct rights *ret);

/* Checks each network: -ERR_INVALID. */
int networks_check(const struct key_texts *networks);

/* Whether the address is in one of them; all are when there are none. */
bool networks_have(const struct network *networks, size_t count, const struct address *address);

/* The time for which a former secret holds, in microseconds. -ERR_INVALID. */
int overlap_read(struct str text, int64_t *ret_us);

/* Puts the patch into the key; false when nothing changes. */
bool key_merge(struct api_key *key, const struct api_key_patch *patch);

/* Sets ends_at from what it follows from. */
void key_set_end(struct api_key *key);

/* Whether it was revoked or has expired. */
bool key_has_ended(const struct api_key *key, int64_t now_us);

/*
 * Nobody gives what he lacks: -ERR_FORBIDDEN unless `rights` hold all scopes of the key and, when
 * it was a key that asked (`with`, else NULL), this one bounds it in time, places and pace, too.
 */
int key_is_within(
	const struct api_key *key, const struct rights *rights, const struct api_key *with);

/* --- rows (api_keys_store.c) ---------------------------------------------- */

extern const struct statement key_get, key_list, key_owned, key_end_owned;
enum { KEY_STATEMENTS = 9 };
extern const struct statement *const key_statements[KEY_STATEMENTS];

/* Who asks for a change, as a transaction function can know it. */
struct key_asker {
	struct audit_actor actor;
	struct rights rights;
	struct str with; /* id of the key that asks; empty: a user does */
};

struct key_creation {
	struct key_asker asker;
	const struct api_key_new *in;
	struct str owner_id;
	struct key_text text;
	struct api_key *ret;
};

struct key_change {
	struct key_asker asker;
	const struct req *req; /* for If-Match */
	struct str id;
	const struct api_key_patch *patch; /* or NULL */
	struct key_text *text;             /* a new secret, or NULL; neither: it is revoked */
	int64_t overlap_us;
	struct api_key *ret;
};

/* Transaction functions of the key's tenant. */
int key_create_in_tx(struct tx *tx, void *arg); /* struct key_creation */
int key_change_in_tx(struct tx *tx, void *arg); /* struct key_change */

/* Deletes what has ended long ago, in small transactions. */
int keys_sweep(struct store *store);

/* --- verified keys in memory (api_keys_known.c) --------------------------- */

/* What a request needs to know of a key. */
struct known_key {
	enum api_key_kind kind;
	bool has_previous, has_limit;
	uint8_t hash[SHA256_LEN], previous[SHA256_LEN];
	int64_t ends_us, previous_until_us; /* INT64_MAX: never */
	char owner[UUID_TEXT_LEN];
	struct uuid owner_id;
	struct rights scopes;
	struct limit limit; /* its own */
	size_t network_count;
	struct network networks[];
};

int known_open(struct store *store);
void known_close(void);

/* The key of that id in the arena; -ERR_NOT_FOUND, errors of the store. On a fiber. */
int known_find(struct store *store, const struct uuid *tenant, const struct uuid *id,
	struct arena *arena, const struct known_key **ret);

/* Forgets a key, or all of an owner, on all instances once the transaction is committed. */
int known_forget(struct tx *tx, struct str id);
int known_forget_owner(struct tx *tx, const struct uuid *owner);

/* --- when a key was used (api_keys_use.c) --------------------------------- */

/* Remembers it, in bounded memory; what finds no room is forgotten. Never waits. */
void use_note(const struct uuid *tenant, const struct uuid *id, int64_t now_us,
	const struct address *address);

/* Writes what was remembered. A chore. */
int uses_write(struct store *store);

int uses_open(void);
void uses_close(void);

/* Sets last_used_at and last_used_address. */
struct key_use {
	struct str id;
	int64_t last_used_at;
	struct str last_used_address;
};

extern const struct statement key_use_set;

/* --- who asks (api_keys_identify.c) --------------------------------------- */

int identify_open(struct server *server);
void identify_close(struct server *server);

/* Writes to the audit log that something looks like an attack, at most once a minute for each
 * caller. What cannot be written is logged. */
void tell_security(struct req *req, const struct uuid *tenant, const struct caller *caller,
	struct str action, struct str key);

/* --- the keys of a user (api_keys_owner.c) -------------------------------- */

void owner_open(void);

#endif
