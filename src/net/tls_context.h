/* What the contexts of TLS servers and clients have in common. Internal to this folder. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include "base/str.h"

#include <openssl/ssl.h>

/*
 * A context with the settings of Mozilla's "intermediate" configuration: TLS 1.2 with forward
 * secrecy and AEAD only, TLS 1.3, X25519 and P-256; no compression, no renegotiation, no session
 * cache. NULL with the error slot filled.
 */
SSL_CTX *tls_context_new(const SSL_METHOD *method, bool only_tls13);

/* Writes the protocol names as the list of RFC 7301 3.1 into `at` (TLS_ALPN_MAX bytes).
 * -ERR_INVALID when a name is empty or too long, or the list does not fit. */
int tls_alpn_list(const struct str *names, size_t count, unsigned char *at, size_t *ret_len);

/* What OpenSSL complained of on this thread, for people: what TLS made of it, else the cause.
 * Empties its queue. Static. */
const char *tls_reason(void);

/* -ERR_NO_MEMORY when that was the reason, else -ERR_IO, with "`what`: reason" in the slot. */
int tls_fail(const char *what);

#endif
