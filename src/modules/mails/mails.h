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
	MAIL_ALERT, /* something happened to the account: password changed, new address, ... */
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
};

/* Posts a mail. -ERR_INVALID for an address that is none. Errors of tx_exec. */
int mail_post_in_tx(struct tx *tx, const struct mail_post *post);

/* Copied by mails_configure. */
struct mails_options {
	struct mail_address from;
	struct str product;       /* the name that mails speak of */
	struct smtp_options smtp; /* host empty: */
	const char *folder;       /* mails become files here; NULL: they are refused */
};

/* Before the module is opened. -ERR_INVALID, -ERR_NO_MEMORY. */
int mails_configure(const struct mails_options *options);

extern const struct module mails_module;

#endif
