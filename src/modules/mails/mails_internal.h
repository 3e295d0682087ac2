/* What the files of this module share. */
#ifndef MAILS_INTERNAL_H
#define MAILS_INTERNAL_H

#include "modules/mails/mails.h"

#include "crypto/master_key.h"
#include "loop/offload.h"

enum {
	MAIL_TENANT_MAX = 200,    /* characters of a tenant's name */
	MAIL_LINK_MAX = 900,      /* bytes: it stands on a line of its own */
	MAIL_DETAIL_MAX = 8000,   /* characters */
	MAIL_BOX_MAX = 64 * 1024, /* bytes of a sealed letter */
	MAIL_KEEP_HOURS = 24,     /* a mail that cannot be sent is given up after that, and the row
				     without its letter kept as long again */
	MAIL_ATTEMPTS_MAX = 20,
	MAILS_AN_HOUR = 20, /* to one address; as many alerts beside them, and as many of each from
			       a tenant where it was proved */
	MAILS_AT_ONCE = 8,  /* of one instance */
	MAIL_FOLDER_MAX = 1000,
	MAIL_FILES_MAX = 1000, /* in the folder */
};

enum mail_status {
	MAIL_WAITING,
	MAIL_SENT,
	MAIL_FAILED,  /* refused, or too old */
	MAIL_DROPPED, /* one of too many to one address */
	MAIL_STATUSES,
};

/* --- letters: what is in a mail, sealed (mails_letter.c) ---------------------------------- */

/* As it was posted. */
struct letter {
	struct str to, name, tenant_name, link, detail;
	int64_t expires_us;
};

/* The keys of sealing and of telling addresses apart, from that of the installation (NULL: one made
 * of zero bytes, for tests); `former` opens letters, too, or is NULL. -ERR_NO_MEMORY. */
int letters_open(const struct master_key *key, const struct master_key *former);
void letters_close(void);

/* The letter as a text that only we can read, and only in the row of that id. Lives in the arena.
 */
int letter_seal(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	const struct letter *letter, struct str *ret);

/* -ERR_INVALID when it is none of ours. */
int letter_open(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	struct str box, struct letter *ret);

/* As sealing_again, for the box of that row. */
int letter_reseal(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	struct str box, struct str *ret);

enum { RECIPIENT_LEN = 32 };

/* What stands for an address where mails to it are counted: it cannot be read from that. With a
 * tenant, where those of the tenant are counted. */
void letter_recipient(struct str to, const struct uuid *tenant, char ret[RECIPIENT_LEN]);

/* --- wordings (mails_text.c) ------------------------------------------------------------------ */

/* Fills in subject, text, html and to. Texts live in the arena, or are the letter's. */
int letter_write(struct arena *arena, enum mail_kind kind, const struct letter *letter,
	struct str product, struct mail *ret);

/* --- rules, without rows (mails_rules.c) ------------------------------------------------------ */

/* How long to wait after so many tries (1, 2, ...), without chance. Nanoseconds. */
uint64_t mail_backoff(int64_t attempts);

/* --- rows (mails_store.c) -------------------------------------------------------------------- */

enum { MAIL_STATEMENTS = 10 };
extern const struct statement *const mail_statements[MAIL_STATEMENTS];
extern const struct statement mail_boxes, mail_box_set; /* mails_reseal.c */
extern const char *const mail_kind_names[MAIL_KINDS + 1];

/* A mail that waits for its turn. */
struct mail_due {
	struct str tenant_id, id;
};

/* What due mails there are, the longest due first; on a system handle. */
int mails_due(const struct db *system, int64_t limit, struct mail_due **ret_at, size_t *ret_count);

/* A mail that was taken. */
struct mail_taken {
	struct str id;
	enum mail_kind kind;
	struct str recipient, box;
	int64_t attempts; /* this one included */
	int64_t created_at, expires_at;
};

/* Takes a due mail: for `lease_ns` nobody else does. -ERR_NOT_FOUND when somebody has it. */
int mail_take(const struct db *db, struct str id, uint64_t lease_ns, struct mail_taken *ret);

/* How many other mails its address had in the hour before it was posted, up to MAILS_AN_HOUR; on a
 * system handle. */
int mail_neighbours(const struct db *system, const struct mail_taken *taken, int64_t *ret);

/* What became of a mail that was taken. Nothing happens when somebody else has it by now. */
int mail_end(const struct db *db, const struct mail_taken *taken, enum mail_status status);
int mail_again(const struct db *db, const struct mail_taken *taken, int64_t next_us);

/* Seals letters anew (struct module). */
int mails_reseal(struct store *store, struct resealed *counted);

/* Deletes old rows, some at a time; how many mails wait goes to `*ret_waiting`. */
int mails_sweep(struct store *store, int64_t *ret_waiting);

/* --- sending (mails_send.c) ----------------------------------------------- */

/* How mails leave; set up before anything is served. */
struct mailer {
	struct arena arena; /* of the options' texts */
	struct mails_options options;
	bool configured;      /* else nothing leaves, but may be posted: tests */
	struct smtp *smtp;    /* NULL: none */
	struct offload files; /* writes them; threads == NULL: does not */
};

extern struct mailer mailer;

/* Sends what is due until the scope is over. */
int mails_send(struct store *store);

/* Sends what is due now and waits for the end of that; how many were tried goes to `*ret`. */
int mails_send_due(struct store *store, size_t *ret);

enum mail_result {
	MAIL_RESULT_SENT,
	MAIL_RESULT_RETRY,
	MAIL_RESULT_FAILED,
	MAIL_RESULT_DROPPED,
	MAIL_RESULT_REFUSED,
	MAIL_RESULTS,
};

/* -ERR_FULL, -ERR_NO_MEMORY, -ERR_CONFLICT. */
int mail_metrics_open(void);
void mail_count(enum mail_result result);
void mail_count_waiting(int64_t count);

/* --- files (mails_file.c) ------------------------------------------------- */

/* A mail on its way to a file. */
struct mail_file {
	const char *folder;
	struct str name;
	const struct mail *mail;
	int result;
	struct err err;
};

/* On a thread of a pool; `arg` is a struct mail_file. */
void mail_file_write(void *arg);
void mail_files_prune(void *arg);

#endif
