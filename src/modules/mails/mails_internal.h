/* What the files of this module share. */
#ifndef MAILS_INTERNAL_H
#define MAILS_INTERNAL_H

#include "modules/mails/mails.h"

#include "crypto/aead.h"
#include "crypto/master_key.h"

enum {
	MAIL_TENANT_MAX = 200,    /* characters of a tenant's name */
	MAIL_LINK_MAX = 2000,     /* bytes */
	MAIL_DETAIL_MAX = 8000,   /* characters */
	MAIL_BOX_MAX = 64 * 1024, /* bytes of a sealed letter */
	MAIL_KEEP_HOURS = 24,     /* a mail that cannot be sent is given up after that, and a row
				     without its letter is kept as long */
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
 * of zero bytes, for tests). -ERR_NO_MEMORY. */
int letters_open(const struct master_key *key);
void letters_close(void);

/* The letter as a text that only we can read, and only in the row of that id. Lives in the arena.
 */
int letter_seal(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	const struct letter *letter, struct str *ret);

/* -ERR_INVALID when it is none of ours. */
int letter_open(struct arena *arena, const struct uuid *tenant, const struct uuid *id,
	struct str box, struct letter *ret);

enum { RECIPIENT_LEN = 32 };

/* What stands for an address where mails to it are counted: it cannot be read from that. */
void letter_recipient(struct str to, char ret[RECIPIENT_LEN]);

/* --- rows (mails_store.c) -------------------------------------------------------------------- */

extern const char *const mail_kind_names[MAIL_KINDS + 1];
extern const struct statement mail_insert;

#endif
