/* What the files of this module share. */
#ifndef MAILS_INTERNAL_H
#define MAILS_INTERNAL_H

#include "modules/mails/mails.h"

#include "crypto/master_key.h"
#include "loop/offload.h"
#include "modules/jobs/jobs.h"

enum {
	MAIL_TENANT_MAX = 200,    /* characters of a tenant's name */
	MAIL_LINK_MAX = 900,      /* bytes: it stands on a line of its own */
	MAIL_DETAIL_MAX = 8000,   /* characters */
	MAIL_BOX_MAX = 64 * 1024, /* bytes of a sealed letter */
	MAIL_KEEP_HOURS = 24,     /* a mail that cannot be sent is given up after that, and the row
				     without its letter kept as long again */
	MAIL_ATTEMPTS = 15,       /* of a job: more than there is time for */
	MAILS_AN_HOUR = 20, /* to one address; as many alerts beside them, and as many of each from
			       a tenant where it was proved */
	MAIL_FILES_AT_ONCE = 256,
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

/* How long a job waits after each try. */
extern const struct job_backoff mail_backoff;

/* The same after so many tries (1, 2, ...), without chance. Nanoseconds. */
uint64_t mail_wait(int64_t attempts);

/* --- rows (mails_store.c) -------------------------------------------------------------------- */

enum { MAIL_STATEMENTS = 12 };
extern const struct statement *const mail_statements[MAIL_STATEMENTS];
extern const struct statement mail_boxes, mail_box_set; /* mails_reseal.c */
extern const struct statement mail_old, mail_waiting, mail_expired, mail_stray,
	mail_adopt; /* mails_sweep.c */
extern const char *const mail_kind_names[MAIL_KINDS + 1];

struct mail_ref {
	struct str tenant_id, id;
};

struct mail_number {
	int64_t count;
};

extern const struct schema mail_ref_schema, mail_number_schema;

/* A mail as its job finds it. */
struct mail_found {
	struct str id;
	enum mail_kind kind;
	enum mail_status status;
	struct str recipient, box; /* the letter only while it waits */
	int64_t created_at, expires_at;
};

/* -ERR_NOT_FOUND. */
int mail_get(const struct db *db, struct str id, struct mail_found *ret);

/* How many other mails its address had in the hour before it was posted, up to MAILS_AN_HOUR; on a
 * system handle. */
int mail_neighbours(const struct db *system, const struct mail_found *mail, int64_t *ret);

/* What became of a mail that waits. */
int mail_end_in_tx(struct tx *tx, struct str id, int64_t attempts, enum mail_status status);

/* The same, and unless it has failed the job is complete with it. -ERR_CONFLICT when that is
 * somebody else's by now. */
int mail_settle(struct job *job, const struct mail_found *mail, enum mail_status status);

/* Seals letters anew (struct module). */
int mails_reseal(struct store *store, struct resealed *counted);

/* Looks after what no job does (mails_sweep.c); how many mails wait goes to `*ret_waiting`. */
int mails_sweep(struct store *store, int64_t *ret_waiting);

/* --- sending (mails_deliver.c) -------------------------------------------- */

/* How mails leave; set up before anything is served. */
struct mailer {
	struct arena arena; /* of the options' texts */
	struct mails_options options;
	bool configured;      /* else nothing leaves, but may be posted: tests */
	struct smtp *smtp;    /* NULL: none */
	struct offload files; /* writes them; threads == NULL: does not */
};

extern struct mailer mailer;

/* The job that sends a mail. Its payload is the mail's id and nothing else: everybody who looks at
 * jobs sees that. */
extern const struct job_kind mail_deliver;

/* Adds it; `bulk` ones go behind the others. */
int mail_enqueue_in_tx(struct tx *tx, struct str id, bool bulk);

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
