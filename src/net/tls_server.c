/* Certificates from PEM files, the choice of a protocol, and ticket keys that change with time. */
#include "net/tls_server.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/time_text.h"
#include "net/tls_context.h"
#include "observe/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- files -------------------------------------------------------------- */

static struct tls_file_stamp stamp_of(const struct stat *status)
{
	return (struct tls_file_stamp){
		.device = status->st_dev,
		.inode = status->st_ino,
		.size = (uint64_t)status->st_size,
		.modified_ns = status->st_mtim.tv_sec * (int64_t)SECOND + status->st_mtim.tv_nsec,
		.changed_ns = status->st_ctim.tv_sec * (int64_t)SECOND + status->st_ctim.tv_nsec,
	};
}

static bool same_stamp(const struct tls_file_stamp *a, const struct tls_file_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

static int cannot_read(const char *path, const char *what, int number)
{
	return fail(number == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot read the %s %s: %s", what,
		path, err_errno_text(number));
}

/* Before the files are read, and also of those that will not load: if one changes meanwhile it is
 * loaded once more, and what failed is not tried again until it is another. */
static void note_stamps(struct tls_server *server)
{
	const char *paths[2] = { server->options.certificate_file, server->options.key_file };
	struct stat status;

	for (size_t i = 0; i < 2; i++)
		server->stamps[i] = stat(paths[i], &status) == 0 ? stamp_of(&status)
								 : (struct tls_file_stamp){ 0 };
}

static int read_open_file(int fd, const char *path, const char *what, struct buf *ret)
{
	struct stat status;
	ssize_t got;

	errno = EIO;
	if (fault_point(FAULT_SYSCALL) || fstat(fd, &status) < 0)
		return cannot_read(path, what, errno);
	if (!S_ISREG(status.st_mode))
		return fail(ERR_INVALID, "the %s %s is not a file", what, path);
	if (status.st_size > TLS_FILE_MAX)
		return fail(
			ERR_INVALID, "the %s %s is larger than %d bytes", what, path, TLS_FILE_MAX);

	if (!buf_room(ret, (size_t)status.st_size + 1))
		return ret->failed;
	got = fault_point(FAULT_SYSCALL) ? -1 : pread(fd, ret->at, (size_t)status.st_size, 0);
	if (got < 0)
		return cannot_read(path, what, errno);
	ret->len = (size_t)got;
	return 0;
}

/* Not blocking, so that a FIFO in the place of a file is an error and no wait. */
static int read_file(const char *path, const char *what, struct buf *ret)
{
	int fd, r;

	errno = EIO;
	fd = fault_point(FAULT_SYSCALL) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return cannot_read(path, what, errno);

	r = read_open_file(fd, path, what, ret);
	(void)close(fd);
	return r;
}

/* --- certificate and key ------------------------------------------------ */

/* Instead of asking at the terminal. */
static int no_pass_phrase(char *at, int size, int writing, void *asked)
{
	(void)at, (void)size, (void)writing;
	*(bool *)asked = true;
	return -1;
}

static int64_t time_us_of(const ASN1_TIME *time)
{
	struct tm calendar;

	return ASN1_TIME_to_tm(time, &calendar) ? timegm(&calendar) * 1000000 : 0;
}

static void look_at(const char *path, X509 *certificate, struct tls_certificate *ret)
{
	int64_t now_us = clock_wall_us();
	char day[TIME_DATE_LEN];

	ret->not_before_us = time_us_of(X509_get0_notBefore(certificate));
	ret->not_after_us = time_us_of(X509_get0_notAfter(certificate));
	if (ret->not_after_us < now_us) {
		time_write_date(day, ret->not_after_us);
		(void)snprintf(ret->warning, sizeof(ret->warning),
			"the certificate %s has expired on %.*s", path, TIME_DATE_LEN, day);
	} else if (ret->not_before_us > now_us) {
		time_write_date(day, ret->not_before_us);
		(void)snprintf(ret->warning, sizeof(ret->warning),
			"the certificate %s is not valid before %.*s", path, TIME_DATE_LEN, day);
	}
}

/* Takes the certificate over: the first is the server's own. */
static bool use_certificate(SSL_CTX *context, X509 *certificate, size_t index)
{
	bool ok;

	if (index > 0 && SSL_CTX_add0_chain_cert(context, certificate))
		return true;
	ok = index == 0 && SSL_CTX_use_certificate(context, certificate);
	X509_free(certificate);
	return ok;
}

static int use_chain(SSL_CTX *context, BIO *pem, const char *path, struct tls_certificate *ret)
{
	bool asked = false;

	for (size_t count = 0;; count++) {
		X509 *certificate = PEM_read_bio_X509(pem, NULL, no_pass_phrase, &asked);
		bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

		if (!certificate && at_end && count > 0) {
			ERR_clear_error();
			return 0;
		}
		if (!certificate && at_end)
			return fail(ERR_INVALID, "the file %s holds no PEM certificate", path);
		if (!certificate)
			return fail(ERR_INVALID, "certificate %zu in %s is damaged: %s", count + 1,
				path, tls_reason());

		if (count == 0)
			look_at(path, certificate, ret);
		if (count == TLS_CHAIN_MAX) {
			X509_free(certificate);
			return fail(ERR_INVALID, "more than %d certificates in %s", TLS_CHAIN_MAX,
				path);
		}
		if (!use_certificate(context, certificate, count))
			return fail(ERR_INVALID, "certificate %zu in %s cannot be used: %s",
				count + 1, path, tls_reason());
	}
}

static int use_key(
	SSL_CTX *context, struct str bytes, BIO *pem, const struct tls_server_options *options)
{
	const char *path = options->key_file;
	bool encrypted = false;
	EVP_PKEY *key;
	int r = 0;

	if (str_find(bytes, S("PRIVATE KEY-----")) < 0) /* OpenSSL would call it "unsupported" */
		return fail(ERR_INVALID, "the file %s holds no PEM private key", path);
	key = PEM_read_bio_PrivateKey(pem, NULL, no_pass_phrase, &encrypted);

	if (!key && encrypted)
		return fail(
			ERR_INVALID, "the key %s is encrypted; a server needs a plain one", path);
	if (!key)
		return fail(ERR_INVALID, "the key in %s is damaged: %s", path, tls_reason());

	if (!X509_check_private_key(SSL_CTX_get0_certificate(context), key))
		r = fail(ERR_INVALID, "the key %s does not belong to the certificate %s", path,
			options->certificate_file);
	else if (!SSL_CTX_use_PrivateKey(context, key))
		r = fail(ERR_INVALID, "the key %s cannot be used: %s", path, tls_reason());
	EVP_PKEY_free(key);
	return r;
}

static int load_file(SSL_CTX *context, const struct tls_server_options *options, bool is_key,
	struct buf *bytes, struct tls_certificate *ret)
{
	const char *path = is_key ? options->key_file : options->certificate_file;
	const char *what = is_key ? "key" : "certificate";
	BIO *pem;
	int r = read_file(path, what, bytes);

	if (r < 0)
		return r;
	pem = BIO_new_mem_buf(bytes->at, (int)bytes->len);
	if (!pem)
		return tls_fail("cannot set up TLS");

	r = is_key ? use_key(context, buf_str(bytes), pem, options)
		   : use_chain(context, pem, path, ret);
	(void)BIO_free(pem);
	ERR_clear_error();
	return r;
}

static int load(SSL_CTX *context, struct tls_server *server, struct tls_certificate *ret)
{
	int r = 0;

	note_stamps(server);
	for (int is_key = 0; is_key < 2 && r == 0; is_key++) {
		struct buf bytes;

		buf_init(&bytes, TLS_FILE_MAX + 1);
		r = load_file(context, &server->options, is_key, &bytes, ret);
		if (bytes.at)
			OPENSSL_cleanse(bytes.at, bytes.cap);
		buf_done(&bytes);
	}
	return r;
}

/* --- choices of the handshake ------------------------------------------- */

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
	const unsigned char *offered, unsigned offered_len, void *arg)
{
	const struct tls_server *server = arg;

	(void)ssl;
	if (SSL_select_next_proto((unsigned char **)ret, ret_len, server->alpn,
		    (unsigned)server->alpn_len, offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol, RFC 7301 3.2 */
	return SSL_TLSEXT_ERR_OK;
}

/* Any name is taken; without this callback the name would not be kept with a ticket. */
static int take_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	return SSL_TLSEXT_ERR_OK;
}

/* --- ticket keys -------------------------------------------------------- */

static bool make_key(struct tls_ticket_key *key, uint64_t now_ns)
{
	key->made_ns = now_ns;
	key->valid = RAND_bytes(key->name, sizeof(key->name)) == 1 &&
		     RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
		     RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
	return key->valid;
}

/* Under the lock. Keys get old while nobody connects, too. */
static bool rotate_keys(struct tls_server *server, uint64_t now_ns)
{
	struct tls_ticket_key *keys = server->keys;
	struct tls_ticket_key fresh = { 0 };
	bool ok;

	if (keys[0].valid && now_ns - keys[0].made_ns < TLS_TICKET_KEY_LIFE)
		return true;

	ok = make_key(&fresh, now_ns);
	if (ok) {
		keys[1] = keys[0];
		keys[0] = fresh;
		if (now_ns - keys[1].made_ns >= 2 * TLS_TICKET_KEY_LIFE)
			keys[1].valid = false;
	}
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return ok;
}

/* Copies the key that makes tickets, or the one of that name: its index, or -1. */
static int find_key(
	struct tls_server *server, const unsigned char *name, struct tls_ticket_key *ret)
{
	int found = -1;

	(void)pthread_mutex_lock(&server->lock);
	if (rotate_keys(server, clock_now_ns()))
		for (int i = 0; i < 2 && found < 0; i++)
			if (!name || (server->keys[i].valid &&
					     memcmp(name, server->keys[i].name, 16) == 0))
				found = i;
	if (found >= 0)
		*ret = server->keys[found];
	(void)pthread_mutex_unlock(&server->lock);
	return found;
}

static bool set_key(const struct tls_ticket_key *key, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int making)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, making) &&
	       EVP_MAC_CTX_set_params(mac, parameters);
}

/* The construction of RFC 5077 4. Answers 1, 2 (good, but give a new ticket), 0 (unknown: a full
 * handshake), -1. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int making)
{
	struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_ticket_key key;
	int found = find_key(server, making ? NULL : name, &key);
	bool ok;

	if (found < 0)
		return 0;

	ok = !making || RAND_bytes(iv, EVP_MAX_IV_LENGTH) == 1;
	if (making)
		memcpy(name, key.name, sizeof(key.name));
	ok = ok && set_key(&key, iv, cipher, mac, making);
	OPENSSL_cleanse(&key, sizeof(key));
	if (!ok)
		return -1;
	return found == 0 ? 1 : 2;
}

/* --- the server --------------------------------------------------------- */

static SSL_CTX *make_context(struct tls_server *server)
{
	SSL_CTX *context = tls_context_new(TLS_server_method(), server->options.only_tls13);

	if (!context)
		return NULL;

	/* A request is framed by itself, so an end without close_notify cannot cut one unseen. */
	(void)SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	(void)SSL_CTX_set_app_data(context, server);
	(void)SSL_CTX_set_tlsext_servername_callback(context, take_name);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
	(void)SSL_CTX_set_timeout(context, (long)(TLS_TICKET_KEY_LIFE / SECOND));
	if (server->alpn_len)
		SSL_CTX_set_alpn_select_cb(context, choose_protocol, server);
	return context;
}

/* A context with the files of now, or NULL. */
static SSL_CTX *load_context(struct tls_server *server, struct tls_certificate *ret)
{
	struct tls_certificate certificate = { 0 };
	SSL_CTX *context = make_context(server);

	if (!context || load(context, server, &certificate) < 0) {
		SSL_CTX_free(context);
		return NULL;
	}
	*ret = certificate;
	return context;
}

int tls_server_open(struct tls_server *server, const struct tls_server_options *options,
	struct tls_certificate *ret)
{
	int r;

	*server = (struct tls_server){ .options = *options };
	r = tls_alpn_list(options->alpn, options->alpn_count, server->alpn, &server->alpn_len);
	if (r < 0)
		return r;

	server->context = load_context(server, ret);
	if (!server->context)
		return -(int)err_last()->code;
	(void)pthread_mutex_init(&server->lock, NULL);
	return 0;
}

void tls_server_done(struct tls_server *server)
{
	if (!server->context)
		return;

	SSL_CTX_free(TAKE(server->context));
	(void)pthread_mutex_destroy(&server->lock);
	OPENSSL_cleanse(server->keys, sizeof(server->keys));
}

static bool file_changed(const char *path, const struct tls_file_stamp *before, bool *ret_there)
{
	struct stat status;
	struct tls_file_stamp now;

	*ret_there = stat(path, &status) == 0;
	if (!*ret_there)
		return false;
	now = stamp_of(&status);
	return !same_stamp(&now, before);
}

bool tls_server_changed(const struct tls_server *server)
{
	bool there[2];
	bool certificate =
		file_changed(server->options.certificate_file, &server->stamps[0], &there[0]);
	bool key = file_changed(server->options.key_file, &server->stamps[1], &there[1]);

	return there[0] && there[1] && (certificate || key);
}

int tls_server_reload(struct tls_server *server, struct tls_certificate *ret)
{
	SSL_CTX *fresh = load_context(server, ret);
	SSL_CTX *former;

	if (!fresh)
		return -(int)err_last()->code;

	(void)pthread_mutex_lock(&server->lock);
	former = server->context;
	server->context = fresh;
	(void)pthread_mutex_unlock(&server->lock);
	SSL_CTX_free(former); /* its connections have references of their own */
	return 0;
}

struct ssl_ctx_st *tls_server_context(struct tls_server *server)
{
	SSL_CTX *context;

	(void)pthread_mutex_lock(&server->lock);
	context = server->context;
	(void)SSL_CTX_up_ref(context);
	(void)pthread_mutex_unlock(&server->lock);
	return context;
}
