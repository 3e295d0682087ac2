/* Certificates made while tests run, in a folder that goes away with them: nothing secret is in the
 * repository. For the tests of this folder and of those that serve TLS. */
#ifndef NET_CERTIFICATE_TEST_H
#define NET_CERTIFICATE_TEST_H

#include <stdbool.h>

enum { CERTIFICATE_PATH_MAX = 64 };

/* PEM files; *_file fit struct tls_server_options and struct tls_client_options. */
struct certificate_files {
	char folder[CERTIFICATE_PATH_MAX];
	char ca_file[CERTIFICATE_PATH_MAX]; /* whom a client must trust */
	char chain_file[CERTIFICATE_PATH_MAX];
	char key_file[CERTIFICATE_PATH_MAX];
};

/* What the certificate is to be. */
struct certificate_wish {
	const char *names; /* as in subjectAltName: "DNS:localhost,IP:127.0.0.1"; NULL: these */
	int days;          /* it is good from a day ago for so long; 0: 30; negative: expired */
	bool rsa;          /* RSA-2048 instead of ECDSA P-256 */
};

/* Makes a folder with an authority of its own and a certificate that it has signed. */
void certificate_make(struct certificate_files *files, const struct certificate_wish *wish);

/* Replaces chain and key (each by rename) by another pair of the same authority. */
void certificate_renew(struct certificate_files *files, const struct certificate_wish *wish);

/* Writes a text to a file of the folder and leaves its path in `path`. */
void certificate_write(
	const struct certificate_files *files, const char *name, const char *text, char *path);

/* Removes the folder. */
void certificate_remove(struct certificate_files *files);

#endif
