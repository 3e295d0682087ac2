/*
 * Mails to people, in the transaction that is their reason: kept as rows until a server has taken
 * them. Without SMTP_URL in development they become files in the data folder.
 */
#ifndef MAILS_H
#define MAILS_H

#include "client/smtp.h"
#include "http/module.h"
#include "store/db.h"

enum mail_kind {
	MAIL_WELCOME,
	MAIL_VERIFY,        /* a link that proves the address */
	MAIL_RESET,         /* a link to a new password */
	MAIL_CHANGE_EMAIL,  /* a link, to the new address */
	MAIL_UNLOCK,        /* a link */
	MAIL_INVITATION,    /* a link */
	MAIL_TENANTS,       /* where one has accounts */
	MAIL_ALREADY_THERE, /* somebody tried to register again */
	MAIL_ALERT,   /* something happened to the account: password changed, new address, ... */
	MAIL_INVOICE, /* of users of the queue */
	MAIL_KINDS,
};

/* Texts are copied. */
struct mail_post {
	enum mail_kind kind;
	struct str to, name;    /* address, and of the person; the latter may be empty */
	struct str tenant_name; /* may be empty */
	struct str link;    /* absolute; empty where the kind has none. A secret: kept encrypted */
	struct str detail;  /* a sentence, or the list: lines. May be empty */
	int64_t expires_us; /* of the link; 0: none */
	/* The address was proved to be that of a user of this tenant, and what is mailed is for
	 * them alone: counted by itself, so that nothing that others have mailed there takes its
	 * place. */
	bool proved;
	bool bulk; /* nobody waits for it: goes behind those that somebody does */
};

/*
 * Posts a mail and the job that sends it: it leaves after the commit, or when the server takes it,
 * for a day. One address gets no more than 20 an hour, and as many alerts, and as many of each from
 * every tenant where it was proved; what is more is dropped and counted. Where there is no way to
 * send (mails_can_leave), nothing is posted, and that is no error.
 *
 * -ERR_INVALID, with the field, for an address that is none or a text that is too long. Errors of
 * tx_exec.
 */
int mail_post_in_tx(struct tx *tx, const struct mail_post *post);

/* How many mails of the tenant are not sent yet, up to `most`. */
int mails_unsent_in_tx(struct tx *tx, size_t most, size_t *ret);

/* False when there is neither a server nor a folder for mails. */
bool mails_can_leave(void);

/* Copied by mails_configure. */
struct mails_options {
	struct mail_address from; /* may be empty without a server */
	struct str product;       /* the name that mails speak of */
	struct smtp_options smtp; /* host empty: */
	const char *folder;       /* mails become files here, which are made with it; NULL: none
				     can leave */
};

/* Before the module is opened; later calls replace the former. Without it mails may be posted and
 * wait: for tests. -ERR_INVALID with a sentence for people, -ERR_NO_MEMORY. */
int mails_configure(const struct mails_options *options);

extern const struct module mails_module;

#endif
