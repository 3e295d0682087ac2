/*
 * Sending mail over SMTP (RFC 5321) by libcurl, on a few threads of its own that keep their
 * connections. TLS is required unless the server is this machine: STARTTLS for smtp://, from the
 * first byte for smtps://.
 */
#ifndef CLIENT_SMTP_H
#define CLIENT_SMTP_H

#include "client/mail.h"

enum {
	SMTP_THREADS = 4, /* mails under way at once */
	SMTP_QUEUE = 256, /* mails that may wait for a thread */
};

/* Texts are copied. */
struct smtp_options {
	struct str host;           /* name or address */
	uint16_t port;             /* 0: 587, or 465 with `tls` */
	bool tls;                  /* smtps:// */
	struct str user, password; /* empty: no authentication; as they are, not percent-encoded */
	const char *ca_file;       /* PEM with the authorities to trust; NULL: the system's */
	uint64_t timeout_ns;       /* of one mail, connecting included; 0: 30 s */
};

struct smtp;

/* -ERR_NO_MEMORY, -ERR_INVALID (a host that is none), -ERR_IO. Connects to nothing yet. */
int smtp_open(const struct smtp_options *options, struct smtp **ret);

/* Waits for what is under way. NULL is allowed. */
void smtp_close(struct smtp *smtp);

/*
 * Sends one mail and waits until the server has taken it, or the scope is over (then it may still
 * be sent; the id stays the same when it is tried again, so that a receiver can tell). From a
 * fiber.
 *
 * -ERR_INVALID: it can never be sent like that; the error's field is "to" when the server does not
 * want the recipient (5xx), and empty when it does not want the mail. -ERR_UNAVAILABLE: not now (no
 * connection, 4xx, the login is refused). -ERR_FULL, -ERR_TIMEOUT, -ERR_CANCELLED, -ERR_NO_MEMORY.
 */
int smtp_send(struct smtp *smtp, const struct mail *mail);

#endif
