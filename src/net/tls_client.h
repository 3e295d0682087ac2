/* What TLS connections to other servers share: whom to trust, and protocols. */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include "base/str.h"

struct tls_client_options {
	const char *ca_file;    /* PEM: trust these and nobody else; NULL: the system's store */
	const struct str *alpn; /* protocols to offer, the preferred one first */
	size_t alpn_count;      /* 0: none are offered */
	bool only_tls13;        /* else 1.2 and 1.3 */
	bool verify_nothing;    /* takes any certificate: for tests and tools only */
};

struct tls_client {
	struct ssl_ctx_st *context; /* safe for all threads once it is open */
};

/* Reads the trusted certificates. -ERR_INVALID, -ERR_IO, -ERR_NO_MEMORY. Reads from disk: not for
 * fibers. */
int tls_client_open(struct tls_client *client, const struct tls_client_options *options);
void tls_client_done(struct tls_client *client);

#endif
