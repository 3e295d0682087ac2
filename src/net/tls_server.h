/*
 * What all TLS connections of a server share: certificate and key, protocols, and the keys of its
 * session tickets. Used by all workers at once; a new certificate is put in place while they run.
 */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include "base/err.h"

#include <pthread.h>
#include <stdint.h>

enum {
	TLS_ALPN_MAX = 64,         /* bytes of all protocol names, one more each */
	TLS_FILE_MAX = 256 * 1024, /* bytes of a PEM file */
	TLS_CHAIN_MAX = 10,        /* certificates in a chain */
};

/* A key that makes tickets lives this long, and reads them for as long again. */
#define TLS_TICKET_KEY_LIFE (12 * HOUR)

struct tls_server_options {
	const char *certificate_file; /* PEM: the server's own first, then the intermediate ones */
	const char *key_file;         /* PEM, not encrypted */
	const struct str *alpn;       /* protocols, the preferred one first */
	size_t alpn_count;            /* 0: ALPN is not answered */
	bool only_tls13;              /* else 1.2 and 1.3 */
};

/* What is worth knowing of a certificate that was loaded. */
struct tls_certificate {
	int64_t not_before_us, not_after_us; /* wall clock */
	char warning[ERR_TEXT_MAX];          /* a sentence, or "" */
};

/* Tells one state of a file from another. */
struct tls_file_stamp {
	uint64_t device, inode, size;
	int64_t modified_ns, changed_ns;
};

struct tls_ticket_key {
	bool valid;
	uint64_t made_ns;
	unsigned char name[16]; /* stands in the ticket */
	unsigned char cipher[32], mac[32];
};

struct tls_server {
	pthread_mutex_t lock; /* of context and keys; never held across anything slow */
	struct ssl_ctx_st *context;
	struct tls_ticket_key keys[2]; /* [0] makes tickets, both read them */
	struct tls_server_options options;
	struct tls_file_stamp stamps[2]; /* certificate, key: as last tried */
	unsigned char alpn[TLS_ALPN_MAX];
	size_t alpn_len;
};

/*
 * Loads the files. The strings of `options` stay the caller's and must live as long as the server.
 * -ERR_INVALID, -ERR_NOT_FOUND, -ERR_IO or -ERR_NO_MEMORY with a sentence that names the file. An
 * expired certificate is a warning in *ret. Reads from disk: not for fibers.
 */
int tls_server_open(struct tls_server *server, const struct tls_server_options *options,
	struct tls_certificate *ret);

/* No connection made from it may live any more. */
void tls_server_done(struct tls_server *server);

/* True when both files are there and one is not what was last tried to load. Two system calls; for
 * the thread that reloads. */
bool tls_server_changed(const struct tls_server *server);

/*
 * Loads the files anew for connections accepted from now on; the others keep what they have, and
 * tickets stay good. When it fails (errors of tls_server_open), nothing has changed. By one thread
 * at a time, while any number accept.
 */
int tls_server_reload(struct tls_server *server, struct tls_certificate *ret);

/* The context of now, with a reference for the caller. For tls_accept. */
struct ssl_ctx_st *tls_server_context(struct tls_server *server);

#endif
