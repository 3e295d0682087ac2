/* Trust. */
#include "net/tls_client.h"

#include "base/err.h"
#include "net/tls_context.h"
#include "net/tls_server.h"

#include <openssl/err.h>

static int trust(SSL_CTX *context, const struct tls_client_options *options)
{
	if (options->verify_nothing)
		return 0;

	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (options->ca_file && !SSL_CTX_load_verify_file(context, options->ca_file))
		return fail(ERR_INVALID, "cannot use the trusted certificates in %s: %s",
			options->ca_file, tls_reason());
	if (!options->ca_file && !SSL_CTX_set_default_verify_paths(context))
		return tls_fail("cannot use the system's trusted certificates");
	ERR_clear_error();
	return 0;
}

static int offer(SSL_CTX *context, const struct tls_client_options *options)
{
	unsigned char list[TLS_ALPN_MAX];
	size_t len;
	int r = tls_alpn_list(options->alpn, options->alpn_count, list, &len);

	if (r < 0)
		return r;
	if (len && SSL_CTX_set_alpn_protos(context, list, (unsigned)len) != 0) /* 0 is success */
		return tls_fail("cannot set up TLS");
	return 0;
}

int tls_client_open(struct tls_client *client, const struct tls_client_options *options)
{
	SSL_CTX *context = tls_context_new(TLS_client_method(), options->only_tls13);

	client->context = NULL;
	if (!context)
		return -(int)err_last()->code;
	if (trust(context, options) < 0 || offer(context, options) < 0) {
		SSL_CTX_free(context);
		return -(int)err_last()->code;
	}

	client->context = context;
	return 0;
}

void tls_client_done(struct tls_client *client)
{
	SSL_CTX_free(TAKE(client->context));
}
