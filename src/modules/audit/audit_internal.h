/* What the files of this module share. */
#ifndef AUDIT_INTERNAL_H
#define AUDIT_INTERNAL_H

#include "modules/audit/audit.h"
#include "modules/audit/audit_verify.h"

#include "crypto/digest.h"
#include "crypto/master_key.h"
#include "rest/page.h"

enum {
	AUDIT_DIGEST_TEXT = 43, /* bytes of a SHA-256 or HMAC in base64url */
	AUDIT_SALT_LEN = 16,
	AUDIT_SALT_TEXT = 22,
	AUDIT_SEPARATOR = 0x1e,          /* in front of each personal value */
	AUDIT_STATE_MAX = 16 * 1024,     /* bytes of a state; of a longer one a digest is kept */
	AUDIT_STATE_INPUT = 1024 * 1024, /* bytes of a state that is looked at */
	AUDIT_ACTION_MAX = 100,          /* bytes, */
	AUDIT_TYPE_MAX = 64,
	AUDIT_ID_MAX = 255,
	AUDIT_ADDRESS_MAX = 100,
	AUDIT_REQUEST_MAX = 128,
	AUDIT_CHAIN_BATCH = 500,  /* entries that are chained in one transaction, */
	AUDIT_CHECK_BATCH = 100,  /* read at once by who verifies, */
	AUDIT_EXPORT_BATCH = 100, /* or exports, */
	AUDIT_DELETE_BATCH = 200, /* deleted, */
	AUDIT_ERASE_BATCH = 200,  /* or erased */
};

/* --- entries (audit_contract.c) ------------------------------------------------------------ */

/* A row of main.audit. An empty text is NULL. */
struct audit_row {
	struct str id;
	struct opt_i64 sequence; /* not set: not chained yet */
	struct str chain;        /* its value behind this entry */
	enum audit_kind kind;
	struct str user_id, key_id, session_id, impersonator_id;
	struct str address, address_salt, address_digest;
	struct str action, target_type, target_id;
	struct str state_before, state_after;
	struct str person_id;               /* whom the states tell of, or a nobody's address */
	struct str personal, personal_salt; /* values of PERSONAL members: RS JSON RS JSON ... */
	int64_t personal_count;
	bool security;
	struct str request_id, trace_id;
	int64_t created_at;
	struct str seal;
};

/* An entry as it is told. */
struct audit_item {
	struct str id;
	struct opt_i64 sequence;
	enum audit_kind kind;
	struct str user_id, key_id, session_id, impersonator_id, address;
	struct str action, target_type, target_id;
	struct json_value before, after;
	bool security;
	struct str request_id, trace_id;
	int64_t created_at;
};

struct audit_query {
	int64_t limit;
	struct str cursor;
	struct opt_str user_id, key_id, action, target_type, target_id;
	struct opt_i64 from, to;
	struct opt_bool security;
	enum audit_format { AUDIT_JSONL, AUDIT_CSV } format; /* of an export */
	/* of the statements */
	struct str after_id, first_id, last_id;
	struct opt_str action_from, action_to; /* what is between them, when `action` ends in .* */
};

struct audit_page {
	LIST_OF(struct audit_item) items;
};

extern const struct schema audit_row_schema, audit_item_schema, audit_page_schema,
	audit_query_schema, audit_export_schema, audit_search_schema;

/* --- marks: where a chain begins and ends --------------------------------- */

enum audit_mark_kind { AUDIT_HEAD, AUDIT_START };

/* A row of main.audit_mark. */
struct audit_mark {
	struct str tenant_id; /* only of what is read across tenants */
	enum audit_mark_kind kind;
	int64_t sequence; /* of the last entry that is in `chain` */
	struct str chain;
	int64_t broken_at; /* of a start: the first of the deleted entries that was not whole; 0 */
	int64_t marked_at;
	struct str seal;
	int64_t told_sequence, told_at; /* of a head: what the log knows */
	int64_t former;                 /* sequence that a change takes the place of */
};

extern const struct schema audit_mark_schema;

/* --- keys (audit_keys.c) -------------------------------------------------- */

enum {
	AUDIT_KEYS_MAX = 16,
	AUDIT_KEY_ID = 32, /* bytes of text */
};

/* The keys that come from one master key. Each kind of seal has its own, so that none can be taken
 * for another. */
struct audit_keys {
	uint8_t entry[MASTER_KEY_LEN], chain[MASTER_KEY_LEN], mark[MASTER_KEY_LEN];
	char id[AUDIT_KEY_ID]; /* tells nothing of them */
	bool trusted;          /* of a setting: whatever is under it is good */
};

/* Up to where a former key counts in the log of a tenant. */
struct audit_eras {
	struct {
		size_t key;
		int64_t until;
		char chain[AUDIT_DIGEST_TEXT]; /* there */
	} at[AUDIT_KEYS_MAX];
	size_t count;
	bool forged; /* there is one that is not what was written */
};

/* The keys of this installation: number 0, and of the master key before (or NULL): number 1. NULL:
 * one of zero bytes. */
void audit_keys_set(const struct master_key *master, const struct master_key *former);
void audit_keys_forget(void);

/* Those that are known are numbered from 0 on. */
size_t audit_key_count(void);
const struct audit_keys *audit_key_at(size_t key);
bool audit_key_of(struct str id, size_t *ret);

/* Whether that key may have sealed what is at that place (0: nowhere yet). `eras` may be NULL. */
bool audit_key_may(const struct audit_eras *eras, size_t key, int64_t sequence);

/* A row of main.audit_former_key. */
struct audit_former {
	struct str key_id, sealed;
};

/* Gets to know the former keys that rows tell of. On a fiber; errors of db_all. */
int audit_keys_read(struct store *store);

/* The row of key number 1. */
int audit_former_seal(struct arena *arena, struct audit_former *ret);

/* As sealing_again. */
int audit_former_again(const struct audit_former *row, struct arena *arena, struct str *ret);

/* --- seals, without rows (audit_seal.c) ----------------------------------- */

/* What stands for a personal value: HMAC under its salt. */
void audit_digest(struct str salt, struct str value, char ret[AUDIT_DIGEST_TEXT]);

/* The seal of an entry: over all that never changes. Here and below `key` is the number of the key;
 * what is written is written under number 0. */
void audit_seal(size_t key, const struct uuid *tenant, const struct audit_row *row,
	char ret[AUDIT_DIGEST_TEXT]);

/* The chain before the first entry, and behind one. */
void audit_chain_begin(size_t key, const struct uuid *tenant, char ret[AUDIT_DIGEST_TEXT]);
void audit_chain_next(size_t key, struct str former, int64_t sequence, struct str entry_seal,
	char ret[AUDIT_DIGEST_TEXT]);

/* The seal of a mark: kind, sequence, chain, broken_at and time. */
void audit_mark_seal(size_t key, const struct uuid *tenant, const struct audit_mark *mark,
	char ret[AUDIT_DIGEST_TEXT]);

/* Whether it is of a key that a setting gives, and whether of the former one. */
bool audit_mark_sound(const struct uuid *tenant, const struct audit_mark *mark);
bool audit_mark_is_old(const struct uuid *tenant, const struct audit_mark *mark);

/* Whether a head from elsewhere is of any key that is known. */
bool audit_head_sound(const struct uuid *tenant, const struct audit_mark *head);

/* The seal of an order to erase. */
void audit_erasure_seal(
	size_t key, const struct uuid *tenant, struct str user, char ret[AUDIT_DIGEST_TEXT]);
bool audit_erasure_sound(const struct uuid *tenant, struct str user, struct str seal);

/* A row of main.audit_era. */
struct audit_era {
	struct str key_id;
	int64_t sequence;
	struct str chain, seal;
};

void audit_era_seal(size_t key, const struct uuid *tenant, const struct audit_era *era,
	char ret[AUDIT_DIGEST_TEXT]);

/* A head as text, for logs and exports: "audit-head:1:TENANT:SEQUENCE:TIME:CHAIN:SEAL". */
#define AUDIT_HEAD_PREFIX "audit-head:1:"
enum { AUDIT_HEAD_TEXT = 13 + UUID_TEXT_LEN + 1 + 20 + 1 + 20 + 2 * (1 + AUDIT_DIGEST_TEXT) };
struct str audit_head_write(
	char at[AUDIT_HEAD_TEXT], const struct uuid *tenant, const struct audit_mark *head);

/* Reads one; its texts are those of `text`. False when it is none, whoever sealed it. */
bool audit_head_read(struct str text, struct uuid *ret_tenant, struct audit_mark *ret);

/* --- rules, without rows (audit_rules.c) ---------------------------------- */

/* What there is to be said of an entry. */
enum {
	AUDIT_EDITED = 1,     /* its seal is not of this entry, */
	AUDIT_FORGED = 2,     /* or a personal value not of its digest */
	AUDIT_NO_ADDRESS = 4, /* personal values are not there (any more) */
	AUDIT_NO_PERSONAL = 8,
};
unsigned audit_row_look(
	const struct uuid *tenant, const struct audit_row *row, const struct audit_eras *eras);

/* How far a chain was followed. */
struct audit_walk {
	struct uuid tenant;
	const struct audit_eras *eras; /* may be NULL */
	size_t key;                    /* of the last link */
	int64_t sequence;
	char chain[AUDIT_DIGEST_TEXT];
	bool begins;   /* nothing is before the next entry: `chain` is not set */
	bool lost;     /* what the chain is there is not known */
	bool doubtful; /* the last entry was not linked: its chain should have been */
	char made[AUDIT_DIGEST_TEXT]; /* this */
};

/* Goes on behind a mark (NULL: at the beginning). `eras` may change between steps. */
void audit_walk_from(struct audit_walk *walk, const struct uuid *tenant,
	const struct audit_mark *mark, const struct audit_eras *eras);

enum audit_step { AUDIT_FOLLOWS, AUDIT_AFTER_GAP, AUDIT_MISPLACED };

/* Takes one step. After whatever there was to be said the walk stands behind this entry. */
enum audit_step audit_walk_step(struct audit_walk *walk, const struct audit_row *row);

/* The entry with its personal values put in; texts are the row's or in the arena. */
int audit_item_of(const struct audit_row *row, struct arena *arena, struct audit_item *ret);

/* The query in the terms of the statements. -ERR_INVALID for an action that is none. */
int audit_query_ready(struct arena *arena, struct audit_query *query);

/* The first id that an entry of a time can have, with room for clocks that differ, as text of
 * UUID_TEXT_LEN bytes. */
struct str audit_id_at(char at[UUID_TEXT_LEN], int64_t time_us);

/* --- CSV (audit_csv.c) ---------------------------------------------------------------------- */

/* Append a cell, the record of names, the record of an entry: RFC 4180, safe for spreadsheets. */
void audit_csv_text(struct str text, struct buf *out);
void audit_csv_names(struct buf *out);
void audit_csv_row(const struct audit_item *item, struct buf *out);

/* --- rows (audit_store.c) ------------------------------------------------- */

/* The action of the entry that says whose data was erased. */
#define AUDIT_ERASED "audit.erased"

/* What statements ask for; each takes some of it. */
struct audit_ask {
	struct str tenant_id; /* behind this one */
	enum audit_mark_kind kind;
	struct str id, user_id, person_id, after_id, last_id;
	struct str target, other; /* user_id and person_id as text */
	int64_t sequence, last_sequence, limit;
	int64_t before, due_at;
	struct str chain, seal;
	int64_t rounds, erased;
};

struct audit_found {
	struct str tenant_id, id;
	int64_t count;
};

/* A row of main.audit_erasure. */
struct audit_erasure {
	struct str tenant_id, user_id;
	int64_t rounds, erased, due_at;
	struct str seal;
};

extern const struct schema audit_erased_schema;

extern const struct statement audit_insert, audit_unchained, audit_chain_set, audit_by_sequence,
	audit_loose, audit_next_loose, audit_next_sequence, audit_last_sequence, audit_delete,
	audit_next_unchained, audit_next_entry, audit_next_mark, audit_next_old, audit_mark_told,
	audit_marks_untold, audit_of_user, audit_of_other, audit_erase_address, audit_erase_own,
	audit_erase_other, audit_erasure_add, audit_erasure_due, audit_erasure_again,
	audit_erasure_done, audit_erasures_of, audit_erased_entry, audit_erasures_all,
	audit_erasure_set, audit_era_list, audit_era_put, audit_era_drop, audit_former_list,
	audit_former_put, audit_former_set, audit_former_drop;

enum audit_list { LIST_ALL, LIST_TARGET, LIST_KEY, LIST_USER, LIST_ACTION, LIST_SECURITY, LISTS };
extern const struct statement audit_lists[LISTS];   /* newest first */
extern const struct statement audit_forward[LISTS]; /* oldest first */

/* The statements that find what the query wants with the least reading. */
enum audit_list audit_list_of(const struct audit_query *query);

enum { AUDIT_STATEMENTS = 38 + 2 * LISTS };
extern const struct statement *const audit_statements[AUDIT_STATEMENTS];

/* The mark of the transaction's tenant. 1, or 0 when there is none. */
int audit_mark_read(struct tx *tx, enum audit_mark_kind kind, struct audit_mark *ret);

/* Seals a mark and puts it where there was `former` (sequence of the mark that was read; -1: none).
 * The transaction fails with -ERR_NOT_FOUND or -ERR_CONFLICT when somebody else was faster. */
int audit_mark_put(struct tx *tx, struct audit_mark *mark, int64_t former);

/* Up to where former keys count in the log of the transaction's tenant. */
int audit_eras_read(struct tx *tx, struct audit_eras *ret);

/* Whether there is no use in going on with other tenants. */
static inline bool audit_is_over(int r)
{
	return r == -ERR_CANCELLED || r == -ERR_TIMEOUT || r == -ERR_UNAVAILABLE;
}

/* --- the chain (audit_chain.c) -------------------------------------------- */

/* Chains what is committed and not chained yet: a batch of one tenant (the number of entries;
 * -ERR_NOT_FOUND or -ERR_CONFLICT when somebody else was faster), or all there is of all. */
int audit_chain_one(const struct db *db, size_t *ret);
int audit_sequence(struct store *store);

/* Tells the log of heads that it has not heard of for a minute. */
int audit_tell(struct store *store);

/* --- what goes (audit_retention.c) ---------------------------------------- */

/* Deletes chained entries that are older, of all tenants. */
int audit_retain(struct store *store, uint64_t age_ns);

/* Erases what is due. */
int audit_erase(struct store *store);

/* --- a change of the master key (audit_reseal.c) --------------------------- */

/* Seals anew what is sealed again and again, and notes how far the former key counts. */
int audit_reseal(struct server *server, struct resealed *counted);

/* --- export (audit_export.c) ---------------------------------------------- */

struct req;
int audit_export(struct req *req, const struct audit_query *query);

/* Appends an entry; and what comes after all of them: how many there were, and the signed head. */
int audit_export_item(enum audit_format format, const struct audit_item *item, struct buf *out);
int audit_export_end(const struct db *db, enum audit_format format, int64_t count, struct buf *out);

#endif
