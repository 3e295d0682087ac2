/*
 * A mail as text on the wire (RFC 5322, MIME): what is ours of it. The parts and their transfer
 * coding are libcurl's (client/smtp.c).
 */
#ifndef CLIENT_MAIL_H
#define CLIENT_MAIL_H

#include "base/buf.h"

enum {
	MAIL_ADDRESS_MAX = 254,      /* bytes (RFC 5321 4.5.3.1.3 without the brackets) */
	MAIL_NAME_MAX = 200,         /* bytes of a display name */
	MAIL_SUBJECT_MAX = 300,      /* bytes */
	MAIL_BODY_MAX = 1024 * 1024, /* bytes, of each form */
};

struct mail_address {
	struct str name;    /* for people; may be empty */
	struct str address; /* "ada@example.com": ASCII, a dot-atom before the @ */
};

/* Texts are UTF-8 and the caller's. */
struct mail {
	struct str id; /* unique: becomes <id@domain of from>; the same when it is sent again */
	struct mail_address from, to;
	struct str reply_to; /* an address; may be empty */
	struct str subject;
	struct str text; /* the plain form: always there */
	struct str html; /* the same with markup; may be empty */
	int64_t date_us; /* microseconds since 1970 */
};

/* Whether it can be sent as it is. -ERR_INVALID, with the member in the error's field: an address
 * that is none, a control byte in a line, ill-formed UTF-8, a length. */
int mail_check(const struct mail *mail);

/* Appends one header line of a checked mail, without its line end: "Subject: =?UTF-8?B?...?=".
 * Lines are folded before column 78 (RFC 5322 2.1.1, RFC 2047). */
enum mail_header {
	MAIL_FROM,
	MAIL_TO,
	MAIL_REPLY_TO, /* nothing is appended when there is none */
	MAIL_SUBJECT,
	MAIL_DATE,
	MAIL_MESSAGE_ID,
	MAIL_HEADERS,
};
void mail_header_write(const struct mail *mail, enum mail_header header, struct buf *buf);

#endif
