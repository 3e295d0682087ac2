/* OpenSSL's engine between two streams. Its reads and writes end in a BIO that tries the stream
 * below; its errors are told apart here, once. */
#include "net/tls.h"

#include "base/err.h"
#include "net/address.h"
#include "net/tls_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>

enum {
	RECORD_MAX = 16 * 1024, /* plain bytes in a record, RFC 8446 5.1 */
	SERVER_NAME_MAX = 253,  /* bytes of a DNS name */
};

/* --- the BIO ------------------------------------------------------------ */

static int below_read(BIO *bio, char *at, int size)
{
	struct tls *tls = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	got = stream_try_read(tls->below, at, (size_t)size);
	if (got > 0)
		return (int)got;

	tls->below_says = (int)got;
	if (got == 0)
		tls->below_ended = true;
	if (stream_wants(got))
		BIO_set_retry_read(bio);
	return got == 0 ? 0 : -1;
}

static int below_write(BIO *bio, const char *at, int size)
{
	struct tls *tls = BIO_get_data(bio);
	struct str part = str_of(at, (size_t)MAX(size, 0));
	ssize_t took;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	took = stream_try_write(tls->below, &part, 1);
	if (took > 0)
		return (int)took;

	tls->below_says = (int)took;
	if (stream_wants(took))
		BIO_set_retry_write(bio);
	return -1;
}

static long below_control(BIO *bio, int command, long number, void *pointer)
{
	const struct tls *tls = BIO_get_data(bio);

	(void)number, (void)pointer;
	if (command == BIO_CTRL_EOF)
		return tls->below_ended;
	return command == BIO_CTRL_FLUSH;
}

static int below_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO_METHOD *below_method; /* NULL when there was no memory */

static void make_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	if (method && BIO_meth_set_create(method, below_create) &&
		BIO_meth_set_read(method, below_read) && BIO_meth_set_write(method, below_write) &&
		BIO_meth_set_ctrl(method, below_control))
		below_method = method;
}

static BIO *below_new(struct tls *tls)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	(void)pthread_once(&once, make_method);
	bio = below_method ? BIO_new(below_method) : NULL;
	if (bio)
		BIO_set_data(bio, tls);
	return bio;
}

/* --- calls of OpenSSL --------------------------------------------------- */

/* Around each call: its queue of errors must be empty before, and nobody may park inside. */
static void call_begin(struct tls *tls)
{
	ERR_clear_error();
	tls->below_says = 0;
	nopark_begin();
}

/* What became of it: SSL_ERROR_x. */
static int call_end(struct tls *tls, int result)
{
	int error = SSL_get_error(tls->ssl, result);

	nopark_end();
	return error;
}

static int protocol_error(struct tls *tls, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
	long trust = SSL_get_verify_result(tls->ssl);

	if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)
		return fail(ERR_INVALID, "plain HTTP on a TLS port");
	if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return fail(ERR_CLOSED, "the other side closed without ending TLS");
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return fail(ERR_IO, "the server's certificate is not accepted: %s",
			X509_verify_cert_error_string(trust));
	if (reason >= SSL_AD_REASON_OFFSET)
		return fail(ERR_IO, "%s: the other side refused: %s", what, tls_reason());
	return tls_fail(what);
}

/* The error of a call that did not succeed, or STREAM_WANT_x. 0 only for SSL_ERROR_ZERO_RETURN. */
static int outcome(struct tls *tls, int error, const char *what)
{
	int r;

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		if (stream_wants(tls->below_says)) /* TLS over TLS may want the opposite */
			return tls->below_says;
		return error == SSL_ERROR_WANT_READ ? STREAM_WANT_READ : STREAM_WANT_WRITE;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;

	if (error == SSL_ERROR_SYSCALL && tls->below_says < 0)
		r = tls->below_says; /* with the slot filled below */
	else if (error == SSL_ERROR_SYSCALL)
		r = fail(ERR_CLOSED, "the other side closed without ending TLS");
	else
		r = protocol_error(tls, what);
	ERR_clear_error();
	tls->failed = r;
	return r;
}

static int failed_before(const struct tls *tls)
{
	return fail((enum err_code) - tls->failed, "the TLS connection has failed");
}

/* --- reading and writing ------------------------------------------------ */

static struct tls *tls_of(struct stream *stream)
{
	return CONTAINER_OF(stream, struct tls, stream);
}

/* Two fibers may wait, one on each side; one that waited on the wrong side would meet the other. */
static int unexpected_want(struct tls *tls)
{
	tls->failed = fail(ERR_IO, "TLS wants to turn around after its handshake");
	return tls->failed;
}

static ssize_t tls_read(struct stream *stream, char *at, size_t size)
{
	struct tls *tls = tls_of(stream);
	size_t got = 0;
	int error, r;

	CHECK(tls->established);
	if (tls->failed)
		return failed_before(tls);

	call_begin(tls);
	error = call_end(tls, SSL_read_ex(tls->ssl, at, size, &got));
	if (error == SSL_ERROR_NONE)
		return (ssize_t)got;
	r = outcome(tls, error, "TLS read");
	if (r == STREAM_WANT_READ) /* what SSL_MODE_RELEASE_BUFFERS forgets after a ticket */
		(void)SSL_free_buffers(tls->ssl);
	return r == STREAM_WANT_WRITE ? unexpected_want(tls) : r;
}

/* The parts, or as much of them as one record holds, in one piece: a head and its body shall not
 * become two records. What is not alone or large enough is copied. */
static struct str one_record(const struct str *parts, size_t count)
{
	static _Thread_local char gathered[RECORD_MAX]; /* of no use once OpenSSL returns */
	size_t len = 0;

	while (count > 0 && parts->len == 0)
		parts++, count--;
	if (count == 1 || (count > 1 && parts->len >= RECORD_MAX))
		return str_first(*parts, RECORD_MAX);

	for (size_t i = 0; i < count; i++) {
		struct str part = str_first(parts[i], RECORD_MAX - len);

		if (part.len)
			memcpy(gathered + len, part.at, part.len);
		len += part.len;
	}
	return str_of(gathered, len);
}

static ssize_t tls_write(struct stream *stream, const struct str *parts, size_t count)
{
	struct tls *tls = tls_of(stream);
	struct str record = one_record(parts, count);
	size_t took = 0;
	int error, r;

	CHECK(tls->established && record.len > 0 && record.len >= tls->writing);
	if (tls->failed)
		return failed_before(tls);
	if (tls->writing) /* encrypted already; OpenSSL must be given the same again */
		record.len = tls->writing;

	call_begin(tls);
	error = call_end(tls, SSL_write_ex(tls->ssl, record.at, record.len, &took));
	tls->writing = 0;
	if (error == SSL_ERROR_NONE)
		return (ssize_t)took;
	r = outcome(tls, error, "TLS write");
	if (r == STREAM_WANT_READ)
		return unexpected_want(tls);
	if (r == STREAM_WANT_WRITE)
		tls->writing = record.len;
	return r == 0 ? fail(ERR_CLOSED, "the TLS connection has ended") : r;
}

/* close_notify, RFC 8446 6.1: the other direction stays open. */
static int notify(struct tls *tls)
{
	int r, error;

	call_begin(tls);
	r = SSL_shutdown(tls->ssl); /* 0: sent, and not answered yet */
	error = call_end(tls, r);
	return r >= 0 ? 0 : outcome(tls, error, "TLS end");
}

static int tls_end(struct stream *stream)
{
	struct tls *tls = tls_of(stream);

	if (tls->failed)
		return failed_before(tls);
	if (tls->established && !tls->notified) {
		int r = notify(tls);

		if (r < 0)
			return r;
		tls->notified = true;
	}
	return tls->below->ops->end(tls->below);
}

static void tls_close(struct stream *stream)
{
	struct tls *tls = tls_of(stream);

	SSL_free(TAKE(tls->ssl));
	stream_close(TAKE(tls->below));
}

static const struct stream_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.end = tls_end,
	.close = tls_close,
};

/* --- beginning ---------------------------------------------------------- */

static int begin(struct tls *tls, SSL_CTX *context, struct stream *below)
{
	BIO *bio;

	ERR_clear_error();
	*tls = (struct tls){ .below = below };
	tls->stream = (struct stream){ &tls_ops, below->ready };
	tls->ssl = SSL_new(context);
	bio = tls->ssl ? below_new(tls) : NULL;
	if (!bio) {
		SSL_free(TAKE(tls->ssl));
		ERR_clear_error();
		return fail(ERR_NO_MEMORY, "no memory for a TLS connection");
	}

	SSL_set_bio(tls->ssl, bio, bio);
	return 0;
}

int tls_accept(struct tls *tls, struct tls_server *server, struct stream *below)
{
	SSL_CTX *context = tls_server_context(server);
	int r = begin(tls, context, below);

	SSL_CTX_free(context);
	if (r == 0)
		SSL_set_accept_state(tls->ssl);
	return r;
}

/* The name that is asked for and that the certificate must have; an IP address is not asked for,
 * RFC 6066 3. */
static bool expect_name(SSL *ssl, const char *name)
{
	struct address address;
	bool numeric = address_parse(str_from_c(name), 0, &address) == 0;

	if (numeric && address.any.sa_family == AF_INET6)
		return X509_VERIFY_PARAM_set1_ip(
			SSL_get0_param(ssl), address.v6.sin6_addr.s6_addr, 16);
	if (numeric)
		return X509_VERIFY_PARAM_set1_ip(
			SSL_get0_param(ssl), (const unsigned char *)&address.v4.sin_addr, 4);

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) && SSL_set_tlsext_host_name(ssl, name);
}

int tls_connect(struct tls *tls, const struct tls_client *client, struct stream *below,
	struct str server_name)
{
	char name[SERVER_NAME_MAX + 1];
	int r;

	if (str_ends(server_name, S("."))) /* the absolute form; no certificate has it */
		server_name.len--;
	if (server_name.len == 0 || server_name.len > SERVER_NAME_MAX ||
		memchr(server_name.at, 0, server_name.len))
		return fail(ERR_INVALID, "\"%.*s\" is no server name",
			STR_ARG(str_first(server_name, 80)));
	memcpy(name, server_name.at, server_name.len);
	name[server_name.len] = 0;

	r = begin(tls, client->context, below);
	if (r < 0)
		return r;
	if (!expect_name(tls->ssl, name)) {
		SSL_free(TAKE(tls->ssl));
		return tls_fail("cannot ask for the server's name");
	}
	SSL_set_connect_state(tls->ssl);
	return 0;
}

int tls_handshake(struct tls *tls)
{
	int error, r;

	if (tls->established)
		return 0;
	if (tls->failed)
		return failed_before(tls);

	call_begin(tls);
	error = call_end(tls, SSL_do_handshake(tls->ssl));
	if (error == SSL_ERROR_NONE) {
		tls->established = true;
		return 0;
	}

	r = outcome(tls, error, "TLS handshake");
	if (r == 0)
		r = tls->failed = fail(ERR_CLOSED, "the other side closed during the handshake");
	return r;
}

int tls_handshake_wait(struct tls *tls, uint64_t deadline_ns)
{
	for (;;) {
		int r = tls_handshake(tls);

		if (!stream_wants(r))
			return r;
		r = stream_wait(&tls->stream, r, deadline_ns);
		if (r < 0)
			return r;
	}
}

/* --- what was agreed ---------------------------------------------------- */

struct str tls_alpn(const struct tls *tls)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(tls->ssl, &name, &len);
	return str_of((const char *)name, len);
}

struct str tls_version(const struct tls *tls)
{
	return str_from_c(SSL_get_version(tls->ssl));
}

struct str tls_server_name(const struct tls *tls)
{
	return str_from_c(SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name));
}

bool tls_resumed(const struct tls *tls)
{
	return SSL_session_reused(tls->ssl);
}
