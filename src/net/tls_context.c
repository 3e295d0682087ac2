/* Settings that both sides share, and OpenSSL's error queue as text. */
#include "net/tls_context.h"

#include "base/err.h"
#include "net/tls_server.h"

#include <openssl/err.h>

#define CIPHERS_TLS12                                                                              \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                               \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                               \
	"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

SSL_CTX *tls_context_new(const SSL_METHOD *method, bool only_tls13)
{
	SSL_CTX *context;

	ERR_clear_error();
	context = SSL_CTX_new(method);
	if (!context || !SSL_CTX_set_cipher_list(context, CIPHERS_TLS12) ||
		!SSL_CTX_set_ciphersuites(context, CIPHERS_TLS13) ||
		!SSL_CTX_set1_groups_list(context, "X25519:P-256") ||
		!SSL_CTX_set_min_proto_version(
			context, only_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION) ||
		!SSL_CTX_set_max_proto_version(context, 0)) {
		(void)tls_fail("cannot set up TLS");
		SSL_CTX_free(context);
		return NULL;
	}

	(void)SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
						SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	/* One read below takes a whole record and what follows it, as far as the buffer of one
	 * record (OpenSSL's own size) goes. */
	SSL_CTX_set_read_ahead(context, 1);
	return context;
}

int tls_alpn_list(const struct str *names, size_t count, unsigned char *at, size_t *ret_len)
{
	size_t len = 0;

	for (size_t i = 0; i < count; i++) {
		if (names[i].len == 0 || names[i].len > 255 ||
			names[i].len + 1 > TLS_ALPN_MAX - len)
			return fail(ERR_INVALID, "the list of ALPN protocols is not good");
		at[len++] = (unsigned char)names[i].len;
		memcpy(at + len, names[i].at, names[i].len);
		len += names[i].len;
	}
	*ret_len = len;
	return 0;
}

const char *tls_reason(void)
{
	unsigned long first = ERR_peek_error(), last = ERR_peek_last_error();
	unsigned long code = ERR_GET_LIB(last) == ERR_LIB_SSL ? last : first;
	const char *text = ERR_reason_error_string(code);

	if (code && ERR_SYSTEM_ERROR(code))
		text = err_errno_text((int)ERR_GET_REASON(code));
	ERR_clear_error();
	return text ? text : "for a reason that OpenSSL does not name";
}

int tls_fail(const char *what)
{
	bool memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;

	return fail(memory ? ERR_NO_MEMORY : ERR_IO, "%s: %s", what, tls_reason());
}
