/* TLS over pipes and sockets: agreement and refusal, whole and chopped, truncated, garbled, renewed
 * and resumed; each of our own allocations and system calls failed in turn. */
#include "net/tls.h"

#include "base/fault.h"
#include "base/mem.h"
#include "base/test.h"
#include "loop/worker.h"
#include "net/certificate_test.h"
#include "net/pipe.h"
#include "net/tcp.h"
#include "observe/clock.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct certificate_files files;
static struct tls_server server;
static struct tls_client client;
static const struct str http1[] = { S_INIT("http/1.1") };
static const struct str both_http[] = { S_INIT("h2"), S_INIT("http/1.1") };

static struct tls_server_options server_options(void)
{
	return (struct tls_server_options){
		.certificate_file = files.chain_file,
		.key_file = files.key_file,
		.alpn = both_http,
		.alpn_count = 2,
	};
}

/* One authority, server and client for a test; `wish` and `client_options` may be NULL. */
static void begin(
	const struct certificate_wish *wish, const struct tls_client_options *client_options)
{
	struct tls_server_options options;
	struct tls_client_options trust = { .alpn = http1, .alpn_count = 1 };
	struct tls_certificate certificate;

	certificate_make(&files, wish ? wish : &(struct certificate_wish){ 0 });
	options = server_options();
	REQUIRE(tls_server_open(&server, &options, &certificate) == 0);
	if (client_options)
		trust = *client_options;
	if (!trust.ca_file)
		trust.ca_file = files.ca_file;
	REQUIRE(tls_client_open(&client, &trust) == 0);
}

static void end(void)
{
	tls_client_done(&client);
	tls_server_done(&server);
	certificate_remove(&files);
	EXPECT_INT(mem_used(), 0);
	EXPECT_INT(ERR_peek_error(), 0);
}

/* Both sides of a connection over a pipe. */
struct both {
	struct pipe_end ends[2]; /* 0: the client's, 1: the server's */
	struct tls client, server;
	int client_result, server_result; /* of the handshake */
	char client_text[ERR_TEXT_MAX], server_text[ERR_TEXT_MAX];
};

static void connect_over(struct both *both, const char *name, size_t capacity, size_t chop)
{
	pipe_open(both->ends, capacity, chop);
	REQUIRE(tls_connect(&both->client, &client, &both->ends[0].stream, str_from_c(name)) == 0);
	REQUIRE(tls_accept(&both->server, &server, &both->ends[1].stream) == 0);
}

static int shake(struct tls *tls, int result, char *text)
{
	if (result != 0 && !stream_wants(result))
		return result;
	result = tls_handshake(tls);
	if (result < 0 && !stream_wants(result))
		(void)snprintf(text, ERR_TEXT_MAX, "%s", err_text());
	return result;
}

/* Lets both try in turn until both are done or neither can go on. */
static void shake_hands(struct both *both)
{
	both->client_result = both->server_result = STREAM_WANT_READ;
	both->client_text[0] = both->server_text[0] = 0;
	for (size_t i = 0; i < 20000; i++) {
		both->client_result = shake(&both->client, both->client_result, both->client_text);
		both->server_result = shake(&both->server, both->server_result, both->server_text);
		if (!stream_wants(both->client_result) && !stream_wants(both->server_result))
			return;
	}
}

static void disconnect(struct both *both)
{
	stream_close(&both->client.stream);
	stream_close(&both->server.stream);
}

static void connect_now(struct both *both)
{
	connect_over(both, "localhost", 64 * KILOBYTE, 64 * KILOBYTE);
	shake_hands(both);
	REQUIRE(both->client_result == 0 && both->server_result == 0);
}

/* Moves a text from one side to the other, without fibers. */
static void expect_passes(struct tls *from, struct tls *to, const char *text)
{
	struct str part = str_from_c(text);
	char at[100];

	EXPECT_INT(stream_try_write(&from->stream, &part, 1), part.len);
	EXPECT_INT(stream_try_read(&to->stream, at, sizeof(at)), part.len);
	EXPECT(memcmp(at, text, part.len) == 0);
}

/* --- a conversation of fibers ------------------------------------------- */

enum { LONGEST = 150000 };

static struct sched sched;
static struct both pair;
static char sent[LONGEST], received[LONGEST];
static size_t message_len;
static const struct stream_pace pace = { .stall_ns = 10 * SECOND };

static int echo(void *arg)
{
	char at[5000];
	ssize_t got;

	(void)arg;
	REQUIRE(tls_handshake_wait(&pair.server, TIME_NEVER) == 0);
	while ((got = stream_read(&pair.server.stream, at, sizeof(at), TIME_NEVER)) > 0) {
		struct str part = str_of(at, (size_t)got);

		EXPECT_INT(stream_write(&pair.server.stream, &part, 1, &pace), 0);
	}
	EXPECT_INT(got, 0);
	EXPECT_INT(stream_end(&pair.server.stream, TIME_NEVER), 0);
	return 0;
}

static int say(void *arg)
{
	size_t third = message_len / 3;
	struct str parts[] = { { sent, third }, { NULL, 0 }, { sent + third, 1 },
		{ sent + third + 1, message_len - third - 1 } };

	(void)arg;
	EXPECT_INT(stream_write(&pair.client.stream, parts, LEN(parts), &pace), 0);
	EXPECT_INT(stream_end(&pair.client.stream, TIME_NEVER), 0);
	return 0;
}

static int talk(void *arg)
{
	struct scope scope;
	size_t len = 0;
	ssize_t got;

	(void)arg;
	REQUIRE(tls_handshake_wait(&pair.client, TIME_NEVER) == 0);
	scope_open(&scope, TIME_NEVER);
	REQUIRE(scope_spawn(&scope, say, NULL) == 0);
	while ((got = stream_read(&pair.client.stream, received + len, LONGEST - len, TIME_NEVER)) >
		0)
		len += (size_t)got;
	EXPECT_INT(got, 0);
	EXPECT_INT(len, message_len);
	EXPECT(memcmp(sent, received, len) == 0);
	EXPECT_INT(scope_close(&scope), 0);
	return 0;
}

static void run_dry(void)
{
	uint64_t now = sched.now_ns, next;

	while ((next = sched_run(&sched, now)) != TIME_NEVER)
		now = MAX(now, next);
	EXPECT_INT(sched.count, 0);
}

static void converse(size_t len, size_t capacity, size_t chop)
{
	sched_init(&sched, 10);
	message_len = len;
	connect_over(&pair, "localhost", capacity, chop);
	REQUIRE(scope_spawn(&sched.root, echo, NULL) == 0);
	REQUIRE(scope_spawn(&sched.root, talk, NULL) == 0);
	run_dry();
	EXPECT_STR(tls_alpn(&pair.client), S("http/1.1"));
	EXPECT_STR(tls_alpn(&pair.server), S("http/1.1"));
	EXPECT_STR(tls_server_name(&pair.server), S("localhost"));
	disconnect(&pair);
	sched_done(&sched);
}

TEST(tls_carries_all_sizes_in_all_pieces)
{
	static const struct {
		size_t len, capacity, chop;
	} cases[] = {
		{ 3, 1, 1 },
		{ 3, 64 * KILOBYTE, 1 },
		{ 1000, 7, 3 },
		{ 16384, 64 * KILOBYTE, 64 * KILOBYTE },
		{ 16385, 100, 64 * KILOBYTE },
		{ 20000, 64 * KILOBYTE, 1 },
		{ LONGEST - 1, 1000, 999 },
		{ LONGEST - 1, MEGABYTE, MEGABYTE },
	};
	uint64_t seed = 5;

	for (size_t i = 0; i < LONGEST; i++)
		sent[i] = (char)test_random(&seed);
	for (size_t rsa = 0; rsa < 2; rsa++) {
		begin(&(struct certificate_wish){ .rsa = rsa }, NULL);
		for (size_t old = 0; old < 2; old++) {
			(void)SSL_CTX_set_max_proto_version(
				client.context, old ? TLS1_2_VERSION : 0);
			for (size_t i = 0; i < LEN(cases); i++)
				converse(cases[i].len, cases[i].capacity, cases[i].chop);
		}
		end();
	}
}

static int wait_in_vain(void *arg)
{
	(void)arg;
	EXPECT_INT(tls_handshake_wait(&pair.server, 5 * SECOND), -ERR_TIMEOUT);
	EXPECT_INT(sched_now(), 5 * SECOND);
	return 0;
}

TEST(tls_handshake_ends_at_its_deadline)
{
	begin(NULL, NULL);
	sched_init(&sched, 10);
	connect_over(&pair, "localhost", 1000, 1000);
	REQUIRE(scope_spawn(&sched.root, wait_in_vain, NULL) == 0);
	run_dry();
	disconnect(&pair);
	sched_done(&sched);
	end();
}

/* --- what is agreed ----------------------------------------------------- */

TEST(tls_versions)
{
	struct both both;

	begin(NULL, NULL);
	connect_now(&both);
	EXPECT_STR(tls_version(&both.server), S("TLSv1.3"));
	disconnect(&both);

	CHECK(SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION));
	connect_now(&both);
	EXPECT_STR(tls_version(&both.server), S("TLSv1.2"));
	EXPECT(!tls_resumed(&both.server));
	disconnect(&both);

	CHECK(SSL_CTX_set_min_proto_version(server.context, TLS1_3_VERSION));
	connect_over(&both, "localhost", 10000, 10000);
	shake_hands(&both);
	EXPECT_INT(both.server_result, -ERR_IO);
	EXPECT_INT(both.client_result, -ERR_IO);
	disconnect(&both);
	end();
}

TEST(tls_offers_nothing_weak)
{
	static const char *const weak[] = { "AES128-SHA", "ECDHE-ECDSA-AES128-SHA256",
		"DHE-RSA-AES128-GCM-SHA256", "AES128-GCM-SHA256" };
	struct both both;

	begin(NULL, NULL);
	CHECK(SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION));
	for (size_t i = 0; i < LEN(weak); i++) {
		CHECK(SSL_CTX_set_cipher_list(client.context, weak[i]));
		connect_over(&both, "localhost", 10000, 10000);
		shake_hands(&both);
		EXPECT_INT(both.server_result, -ERR_IO);
		EXPECT(strstr(both.server_text, "no shared cipher"));
		disconnect(&both);
	}
	end();
}

TEST(tls_alpn_takes_the_servers_preference)
{
	struct tls_client_options options = { .alpn = http1, .alpn_count = 1 };
	static const struct str reversed[] = { S_INIT("http/1.1"), S_INIT("h2") };
	struct both both;

	options.alpn = reversed;
	options.alpn_count = 2;
	begin(NULL, &options);
	connect_now(&both);
	EXPECT_STR(tls_alpn(&both.server), S("h2"));
	EXPECT_STR(tls_alpn(&both.client), S("h2"));
	disconnect(&both);
	end();
}

TEST(tls_alpn_without_overlap_is_refused)
{
	static const struct str other[] = { S_INIT("http/1"), S_INIT("http/1.10") };
	struct tls_client_options options = { .alpn = other, .alpn_count = 2 };
	struct both both;

	begin(NULL, &options);
	connect_over(&both, "localhost", 10000, 10000);
	shake_hands(&both);
	EXPECT_INT(both.server_result, -ERR_IO);
	EXPECT_INT(both.client_result, -ERR_IO);
	EXPECT(strstr(both.client_text, "no application protocol"));
	disconnect(&both);
	end();
}

TEST(tls_alpn_is_not_needed)
{
	struct tls_client_options options = { .alpn_count = 0 };
	struct both both;

	begin(NULL, &options);
	connect_now(&both);
	EXPECT_INT(tls_alpn(&both.server).len, 0);
	disconnect(&both);
	end();
}

TEST(tls_alpn_list_is_bounded)
{
	static const char long_name[300] = "x";
	static const struct str cases[][2] = {
		{ S_INIT(""), S_INIT("h2") },
		{ { long_name, 256 }, S_INIT("h2") },
		{ { long_name, 62 }, S_INIT("h2") },
	};

	certificate_make(&files, &(struct certificate_wish){ 0 });
	for (size_t i = 0; i < LEN(cases); i++) {
		struct tls_server_options options = server_options();
		struct tls_client_options trust = { .alpn = cases[i], .alpn_count = 2 };
		struct tls_certificate certificate;

		options.alpn = cases[i];
		EXPECT_INT(tls_server_open(&server, &options, &certificate), -ERR_INVALID);
		tls_server_done(&server);
		EXPECT_INT(tls_client_open(&client, &trust), -ERR_INVALID);
		tls_client_done(&client);
	}
	certificate_remove(&files);
}

/* --- whom a client trusts ----------------------------------------------- */

TEST(tls_client_checks_the_name)
{
	static const struct {
		const char *names, *wanted;
		bool good;
	} cases[] = {
		{ "DNS:localhost", "localhost", true }, { "DNS:localhost", "LOCALHOST", true },
		{ "DNS:localhost", "localhost.", true },
		{ "DNS:localhost", "localhost.evil.example", false },
		{ "DNS:localhost", "127.0.0.1", false },
		{ "DNS:a.example,DNS:b.example", "b.example", true },
		{ "DNS:*.a.example", "x.a.example", true },
		{ "DNS:*.a.example", "x.y.a.example", false },
		{ "DNS:*.a.example", "a.example", false },
		{ "DNS:f*.a.example", "foo.a.example", false },
		{ "IP:127.0.0.1", "127.0.0.1", true }, { "IP:127.0.0.1", "127.0.0.2", false },
		{ "DNS:127.0.0.1", "127.0.0.1", false }, { "IP:2001:DB8::1", "2001:db8::1", true },
		{ "IP:2001:DB8::1", "[2001:db8:0::1]", true },
		{ "IP:2001:DB8::1", "2001:db8::2", false },
		{ "DNS:other", "server", false }, /* the common name does not count */
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		struct both both;

		begin(&(struct certificate_wish){ .names = cases[i].names }, NULL);
		connect_over(&both, cases[i].wanted, 10000, 10000);
		shake_hands(&both);
		test_note((both.client_result == 0) == cases[i].good, __FILE__, __LINE__,
			"%s for %s: %s", cases[i].names, cases[i].wanted, both.client_text);
		if (!cases[i].good) {
			EXPECT_INT(both.client_result, -ERR_IO);
			EXPECT(strstr(both.client_text, "mismatch"));
		}
		disconnect(&both);
		end();
	}
}

TEST(tls_names_of_addresses_are_not_sent)
{
	struct both both;

	begin(NULL, NULL);
	connect_over(&both, "127.0.0.1", 10000, 10000);
	shake_hands(&both);
	EXPECT_INT(both.server_result, 0);
	EXPECT_INT(tls_server_name(&both.server).len, 0);
	disconnect(&both);
	end();
}

TEST(tls_connect_refuses_what_is_no_name)
{
	static char long_name[300];
	static const struct str cases[] = { S_INIT(""), S_INIT("."), { long_name, 254 },
		S_INIT("localhost\0.evil.example") };
	struct pipe_end ends[2];
	struct tls tls;

	memset(long_name, 'a', sizeof(long_name));
	begin(NULL, NULL);
	pipe_open(ends, 100, 100);
	for (size_t i = 0; i < LEN(cases); i++)
		EXPECT_INT(tls_connect(&tls, &client, &ends[0].stream, cases[i]), -ERR_INVALID);
	end();
}

/* Both sides say why. */
static void expect_refused(const char *reason, const char *alert)
{
	struct both both;

	connect_over(&both, "localhost", 10000, 10000);
	shake_hands(&both);
	EXPECT_INT(both.client_result, -ERR_IO);
	test_note(strstr(both.client_text, reason), __FILE__, __LINE__, "\"%s\" and not \"%s\"",
		both.client_text, reason);
	if (both.server_result == 0) { /* TLS 1.3: the server learns it when it reads */
		char at[10];

		EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), -ERR_IO);
		(void)snprintf(both.server_text, sizeof(both.server_text), "%s", err_text());
	}
	test_note(strstr(both.server_text, alert), __FILE__, __LINE__, "\"%s\" and not \"%s\"",
		both.server_text, alert);
	disconnect(&both);
}

TEST(tls_client_refuses_the_expired)
{
	begin(&(struct certificate_wish){ .days = -1 }, NULL);
	expect_refused("certificate has expired", "certificate expired");
	end();
}

TEST(tls_client_refuses_the_untrusted)
{
	struct certificate_files other;
	struct tls_client_options options = { .ca_file = other.ca_file };
	struct both both;

	certificate_make(&other, &(struct certificate_wish){ 0 });
	begin(NULL, &options);
	expect_refused("not accepted", "alert unknown ca");
	tls_client_done(&client);

	options = (struct tls_client_options){ 0 }; /* the system's store does not know it either */
	REQUIRE(tls_client_open(&client, &options) == 0);
	expect_refused("not accepted", "alert unknown ca");
	tls_client_done(&client);

	options.verify_nothing = true;
	REQUIRE(tls_client_open(&client, &options) == 0);
	connect_over(&both, "wrong.example", 10000, 10000);
	shake_hands(&both);
	EXPECT_INT(both.client_result, 0);
	disconnect(&both);
	certificate_remove(&other);
	end();
}

TEST(tls_client_open_names_the_file)
{
	struct tls_client_options options = { .ca_file = "/nonexistent/ca.pem" };

	EXPECT_INT(tls_client_open(&client, &options), -ERR_INVALID);
	EXPECT(strstr(err_text(), "/nonexistent/ca.pem"));
	EXPECT_INT(ERR_peek_error(), 0);
	tls_client_done(&client);
}

/* --- files of a server -------------------------------------------------- */

static void expect_not_opened(const struct tls_server_options *options, int code, const char *text)
{
	struct tls_certificate certificate = { .not_after_us = 77 };

	EXPECT_INT(tls_server_open(&server, options, &certificate), -code);
	test_note(strstr(err_text(), text), __FILE__, __LINE__, "\"%s\" and not \"%s\"", err_text(),
		text);
	EXPECT_INT(certificate.not_after_us, 77);
	EXPECT_INT(ERR_peek_error(), 0);
	tls_server_done(&server);
}

static void write_encrypted_key(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = fopen(path, "w");

	CHECK(key && file);
	CHECK(PEM_write_PrivateKey(
		file, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL));
	CHECK(fclose(file) == 0);
	EVP_PKEY_free(key);
}

TEST(tls_server_open_names_the_file)
{
	struct tls_server_options options;

	certificate_make(&files, &(struct certificate_wish){ 0 });
	options = server_options();
	options.certificate_file = "/nonexistent/chain.pem";
	expect_not_opened(&options, ERR_NOT_FOUND,
		"cannot read the certificate /nonexistent/chain.pem: No such file");
	options = server_options();
	options.key_file = "/nonexistent/key.pem";
	expect_not_opened(
		&options, ERR_NOT_FOUND, "cannot read the key /nonexistent/key.pem: No such file");
	options.key_file = files.folder;
	expect_not_opened(&options, ERR_INVALID, "is not a file");
	options.key_file = "/dev/null";
	expect_not_opened(&options, ERR_INVALID, "is not a file");
	if (geteuid() != 0) {
		options = server_options();
		CHECK(chmod(files.key_file, 0) == 0);
		expect_not_opened(&options, ERR_IO, "Permission denied");
	}
	certificate_remove(&files);
}

TEST(tls_server_open_says_what_is_wrong_inside)
{
	static const struct {
		bool key;
		const char *text, *error;
	} cases[] = {
		{ false, "", "holds no PEM certificate" },
		{ false, "hello\n", "holds no PEM certificate" },
		{ false, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			"certificate 1 in" },
		{ false, "-----BEGIN CERTIFICATE-----\nAAAA\n", "certificate 1 in" },
		{ true, "", "holds no PEM private key" },
		{ true, "hello\n", "holds no PEM private key" },
		{ true, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			"holds no PEM private key" },
		{ true, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
			"is damaged" },
	};
	struct certificate_files other;
	char path[CERTIFICATE_PATH_MAX];
	struct tls_server_options options;

	certificate_make(&files, &(struct certificate_wish){ 0 });
	certificate_make(&other, &(struct certificate_wish){ 0 });
	for (size_t i = 0; i < LEN(cases); i++) {
		options = server_options();
		*(cases[i].key ? &options.key_file : &options.certificate_file) = path;
		certificate_write(&files, "text", cases[i].text, path);
		expect_not_opened(&options, ERR_INVALID, cases[i].error);
	}

	options.key_file = path;
	write_encrypted_key(path);
	expect_not_opened(&options, ERR_INVALID, "is encrypted");
	options.key_file = other.key_file;
	expect_not_opened(&options, ERR_INVALID, "does not belong to the certificate");
	certificate_remove(&other);
	certificate_remove(&files);
	EXPECT_INT(mem_used(), 0);
}

static char *read_all(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "r");
	char *at = malloc(4096);

	CHECK(file && at);
	*ret_len = fread(at, 1, 4095, file);
	at[*ret_len] = 0;
	(void)fclose(file);
	return at;
}

TEST(tls_server_chain_is_bounded_and_whole)
{
	struct tls_server_options options;
	char path[CERTIFICATE_PATH_MAX];
	size_t len;
	char *chain, *many, *big;

	certificate_make(&files, &(struct certificate_wish){ 0 });
	options = server_options();
	options.certificate_file = path;
	chain = read_all(files.chain_file, &len);

	many = calloc(1, 6 * len + 1);
	CHECK(many);
	for (size_t i = 0; i < 6; i++)
		memcpy(many + i * len, chain, len);
	certificate_write(&files, "chain", many, path);
	expect_not_opened(&options, ERR_INVALID, "more than 10 certificates");

	chain[len - 20] = 0; /* the second one is cut */
	certificate_write(&files, "chain", chain, path);
	expect_not_opened(&options, ERR_INVALID, "certificate 2 in");

	big = malloc(TLS_FILE_MAX + 2);
	CHECK(big);
	memset(big, 'x', TLS_FILE_MAX + 1);
	big[TLS_FILE_MAX + 1] = 0;
	certificate_write(&files, "chain", big, path);
	expect_not_opened(&options, ERR_INVALID, "larger than");

	free(big);
	free(many);
	free(chain);
	certificate_remove(&files);
}

static int64_t wall_of_test(void *arg)
{
	return *(int64_t *)arg;
}

static uint64_t now_of_test(void *arg)
{
	return (uint64_t)(*(int64_t *)arg) * MICROSECOND;
}

TEST(tls_server_warns_of_dates)
{
	struct tls_server_options options;
	struct tls_certificate certificate;
	int64_t now_us = clock_wall_us(), day = 24 * (int64_t)(HOUR / MICROSECOND);
	struct clock_source source = { now_of_test, wall_of_test, &now_us };

	certificate_make(&files, &(struct certificate_wish){ .days = 30 });
	options = server_options();
	REQUIRE(tls_server_open(&server, &options, &certificate) == 0);
	EXPECT_STR(str_from_c(certificate.warning), S(""));
	EXPECT(certificate.not_before_us < now_us && certificate.not_after_us > now_us + 29 * day);

	clock_replace(&source);
	now_us += 31 * day;
	EXPECT_INT(tls_server_reload(&server, &certificate), 0);
	EXPECT(strstr(certificate.warning, "has expired on 20"));
	now_us -= 40 * day;
	EXPECT_INT(tls_server_reload(&server, &certificate), 0);
	EXPECT(strstr(certificate.warning, "is not valid before 20"));
	clock_replace(NULL);
	tls_server_done(&server);
	certificate_remove(&files);
}

#ifdef BULKHEAD_FAULTS

TEST(tls_server_files_torture)
{
	struct tls_server_options options;
	struct tls_certificate certificate;

	certificate_make(&files, &(struct certificate_wish){ 0 });
	options = server_options();
	for (int kind = 0; kind < FAULT_KINDS; kind++) {
		size_t n = 0;

		do {
			int r;

			fault_arm(kind, ++n);
			r = tls_server_open(&server, &options, &certificate);
			EXPECT((r == 0) != fault_struck(kind));
			tls_server_done(&server);
			EXPECT_INT(mem_used(), 0);
		} while (fault_struck(kind));
		fault_arm(kind, 0);
		EXPECT(n > 2);
	}
	certificate_remove(&files);
}

#endif

/* --- reload ------------------------------------------------------------- */

TEST(tls_server_reload_keeps_the_old_when_the_new_is_bad)
{
	struct tls_certificate certificate;
	struct both before, after;
	char path[CERTIFICATE_PATH_MAX];

	begin(NULL, NULL);
	EXPECT(!tls_server_changed(&server));
	connect_now(&before);

	certificate_write(&files, "key.pem", "broken", path);
	EXPECT(tls_server_changed(&server));
	EXPECT_INT(tls_server_reload(&server, &certificate), -ERR_INVALID);
	EXPECT(!tls_server_changed(&server)); /* not tried again until it is another */
	connect_now(&after);
	expect_passes(&after.client, &after.server, "old");
	disconnect(&after);

	CHECK(unlink(files.key_file) == 0);
	EXPECT(!tls_server_changed(&server)); /* in the middle of being replaced */
	certificate_renew(&files, &(struct certificate_wish){ .rsa = true });
	EXPECT(tls_server_changed(&server));
	EXPECT_INT(tls_server_reload(&server, &certificate), 0);
	EXPECT(!tls_server_changed(&server));
	connect_now(&after);
	EXPECT(EVP_PKEY_is_a(X509_get0_pubkey(SSL_get0_peer_certificate(after.client.ssl)), "RSA"));
	EXPECT(EVP_PKEY_is_a(X509_get0_pubkey(SSL_get0_peer_certificate(before.client.ssl)), "EC"));
	expect_passes(&before.client, &before.server, "still here");
	disconnect(&after);
	disconnect(&before);
	end();
}

static atomic_bool enough;
static _Atomic unsigned connected;

static int connect_again_and_again(void *arg)
{
	(void)arg;
	while (!enough) {
		struct both *both = malloc(sizeof(*both));

		CHECK(both);
		connect_now(both);
		expect_passes(&both->client, &both->server, "ping");
		expect_passes(&both->server, &both->client, "pong");
		disconnect(both);
		free(both);
		connected++;
		fiber_yield();
	}
	return 0;
}

static int start_traffic(struct worker *worker)
{
	for (size_t i = 0; i < 4; i++)
		REQUIRE(scope_spawn(&worker->sched.root, connect_again_and_again, NULL) == 0);
	return 0;
}

TEST(tls_server_reload_under_traffic)
{
	struct worker workers[2];
	struct tls_certificate certificate;

	begin(NULL, NULL);
	for (size_t i = 0; i < 2; i++) {
		workers[i] = (struct worker){ .fiber_limit = 100, .on_start = start_traffic };
		REQUIRE(worker_start(&workers[i]) == 0);
	}
	for (size_t i = 0; i < 20; i++) {
		unsigned before = connected;

		certificate_renew(&files, &(struct certificate_wish){ 0 });
		EXPECT(tls_server_changed(&server));
		EXPECT_INT(tls_server_reload(&server, &certificate), 0);
		while (connected < before + 4)
			(void)usleep(1000);
	}
	enough = true;
	for (size_t i = 0; i < 2; i++) {
		worker_stop(&workers[i]);
		worker_join(&workers[i]);
	}
	end();
}

/* --- sessions ----------------------------------------------------------- */

/* Connects, resuming `session` if there is one, and returns the session of the new connection. */
static SSL_SESSION *visit(SSL_SESSION *session, bool want_resumed)
{
	SSL_SESSION *next;
	struct both both;

	connect_over(&both, "localhost", 10000, 10000);
	if (session)
		CHECK(SSL_set_session(both.client.ssl, session));
	shake_hands(&both);
	REQUIRE(both.client_result == 0 && both.server_result == 0);
	EXPECT_INT(tls_resumed(&both.server), want_resumed);
	EXPECT_INT(tls_resumed(&both.client), want_resumed);
	EXPECT_STR(tls_server_name(&both.server), S("localhost"));
	EXPECT_STR(tls_alpn(&both.server), S("http/1.1"));

	expect_passes(&both.server, &both.client, "ticket"); /* reading takes tickets in */
	expect_passes(&both.client, &both.server, "thanks");
	next = SSL_get1_session(both.client.ssl);
	EXPECT_INT(both.client.stream.ops->end(&both.client.stream), 0);
	disconnect(&both);
	SSL_SESSION_free(session);
	return next;
}

TEST(tls_sessions_resume_while_their_key_lives)
{
	int64_t now_us = clock_wall_us();
	struct clock_source source = { now_of_test, wall_of_test, &now_us };
	int64_t half = TLS_TICKET_KEY_LIFE / MICROSECOND / 2 + 1000000;

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_certificate certificate;
		SSL_SESSION *session, *first;

		begin(NULL, NULL);
		CHECK(SSL_CTX_set_max_proto_version(client.context, version));
		clock_replace(&source);
		session = visit(NULL, false);
		session = visit(session, true);

		certificate_renew(&files, &(struct certificate_wish){ 0 });
		REQUIRE(tls_server_reload(&server, &certificate) == 0);
		session = visit(session, true); /* reloading changes no ticket keys */

		first = visit(NULL, false);
		now_us +=
			3 * half; /* one rotation: the former key still reads, the new one writes */
		session = visit(session, true);
		now_us += half;
		session = visit(session, true);
		now_us += half; /* a second rotation */
		first = visit(first, false);
		now_us += 8 * half; /* all keys grew old while nobody came */
		session = visit(session, false);

		SSL_SESSION_free(session);
		SSL_SESSION_free(first);
		clock_replace(NULL);
		end();
	}
}

/* --- how it ends -------------------------------------------------------- */

TEST(tls_end_is_told)
{
	struct both both;
	char at[10];

	begin(NULL, NULL);
	connect_now(&both);
	EXPECT_INT(both.client.stream.ops->end(&both.client.stream), 0);
	EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), 0);
	EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), 0);
	expect_passes(&both.server, &both.client, "the other way"); /* stays open */
	EXPECT_INT(both.server.stream.ops->end(&both.server.stream), 0);
	EXPECT_INT(stream_try_read(&both.client.stream, at, sizeof(at)), 0);
	disconnect(&both);
	end();
}

TEST(tls_truncation_is_an_error_for_clients_only)
{
	struct both both;
	struct str part = S("hello");
	char at[10];

	begin(NULL, NULL);
	connect_now(&both);
	EXPECT_INT(stream_try_write(&both.server.stream, &part, 1), 5);
	stream_close(&both.server.stream); /* without close_notify */
	EXPECT_INT(stream_try_read(&both.client.stream, at, sizeof(at)), 5);
	EXPECT_INT(stream_try_read(&both.client.stream, at, sizeof(at)), -ERR_CLOSED);
	EXPECT(strstr(err_text(), "without ending TLS"));
	EXPECT_INT(stream_try_read(&both.client.stream, at, sizeof(at)), -ERR_CLOSED);
	EXPECT_INT(stream_try_write(&both.client.stream, &part, 1), -ERR_CLOSED);
	EXPECT_INT(both.client.stream.ops->end(&both.client.stream), -ERR_CLOSED);
	stream_close(&both.client.stream);

	connect_now(&both);
	stream_close(&both.client.stream);
	EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), 0);
	EXPECT_INT(stream_try_write(&both.server.stream, &part, 1), -ERR_CLOSED);
	stream_close(&both.server.stream);
	end();
}

TEST(tls_peer_may_leave_during_the_handshake)
{
	struct both both;

	begin(NULL, NULL);
	connect_over(&both, "localhost", 10000, 10000);
	EXPECT_INT(tls_handshake(&both.client), STREAM_WANT_READ);
	stream_close(&both.client.stream);
	EXPECT(tls_handshake(&both.server) < 0);
	EXPECT_INT(tls_handshake(&both.server), -ERR_CLOSED);
	stream_close(&both.server.stream);

	connect_over(&both, "localhost", 10000, 10000);
	EXPECT_INT(tls_handshake(&both.client), STREAM_WANT_READ);
	stream_close(&both.server.stream);
	EXPECT_INT(tls_handshake(&both.client), -ERR_CLOSED);
	stream_close(&both.client.stream);
	end();
}

TEST(tls_changed_record_is_an_error)
{
	struct both both;
	struct str part = S("pay 10 to a");
	char at[20];

	begin(NULL, NULL);
	connect_now(&both);
	EXPECT_INT(stream_try_write(&both.client.stream, &part, 1), part.len);
	both.ends[1].incoming.at[both.ends[1].incoming.len - 3] ^= 1;
	EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), -ERR_IO);
	EXPECT_INT(stream_try_read(&both.client.stream, at, sizeof(at)), -ERR_IO);
	disconnect(&both);
	end();
}

TEST(tls_parts_become_one_record)
{
	struct both both;
	struct str parts[] = { S("HTTP/1.1 200 OK\r\n"), { NULL, 0 }, S("\r\n"), S("body") };
	size_t total = parts[0].len + parts[2].len + parts[3].len;
	const unsigned char *wire;

	begin(NULL, NULL);
	connect_now(&both);
	CHECK(both.ends[1].incoming.len == 0);
	EXPECT_INT(stream_try_write(&both.client.stream, parts, LEN(parts)), total);
	wire = (const unsigned char *)both.ends[1].incoming.at;
	EXPECT_INT(wire[0], 23); /* application data */
	EXPECT_INT(both.ends[1].incoming.len, 5 + (wire[3] << 8 | wire[4]));
	disconnect(&both);
	end();
}

/* The client asks for new keys: reads what the server makes of it. */
static ssize_t ask_for_new_keys(struct both *both)
{
	struct str hello = S("hello");
	char at[10];

	CHECK(SSL_key_update(both->client.ssl, SSL_KEY_UPDATE_REQUESTED));
	EXPECT_INT(stream_try_write(&both->client.stream, &hello, 1), 5);
	return stream_try_read(&both->server.stream, at, sizeof(at));
}

/* Reading must not begin to want writing, since another fiber may be at that. */
TEST(tls_key_update_while_writing)
{
	static char much[16 * KILOBYTE], at[16 * KILOBYTE];
	struct str part = { much, sizeof(much) };
	struct both both;
	size_t total = 0;

	begin(NULL, NULL);
	connect_over(&both, "localhost", 3000, 3000);
	shake_hands(&both);
	REQUIRE(both.server_result == 0);
	EXPECT_INT(stream_try_write(&both.server.stream, &part, 1), STREAM_WANT_WRITE);
	EXPECT_INT(ask_for_new_keys(&both), 5);
	EXPECT_INT(stream_try_read(&both.server.stream, at, 1), STREAM_WANT_READ);

	for (size_t i = 0; i < 20 && total < sizeof(much); i++) {
		ssize_t got;

		if (part.len) {
			got = stream_try_write(&both.server.stream, &part, 1);
			part = str_from(part, got > 0 ? (size_t)got : 0);
		}
		while ((got = stream_try_read(&both.client.stream, at, sizeof(at))) > 0)
			total += (size_t)got;
		EXPECT_INT(got, STREAM_WANT_READ);
	}
	EXPECT_INT(total, sizeof(much));
	expect_passes(&both.server, &both.client, "new keys");

	/* More of it without taking what the server sends is more than OpenSSL bears. */
	part = str_of(much, sizeof(much));
	EXPECT_INT(stream_try_write(&both.server.stream, &part, 1), STREAM_WANT_WRITE);
	EXPECT_INT(ask_for_new_keys(&both), 5);
	EXPECT_INT(ask_for_new_keys(&both), -ERR_IO);
	disconnect(&both);
	end();
}

TEST(tls_key_updates_in_a_row)
{
	struct both both;

	begin(NULL, NULL);
	connect_now(&both);
	for (size_t i = 0; i < 100; i++) {
		EXPECT_INT(ask_for_new_keys(&both), 5);
		if (i % 3 == 0)
			expect_passes(&both.server, &both.client, "answer");
	}
	disconnect(&both);
	end();
}

/* --- hostile beginnings ------------------------------------------------- */

static void feed(struct pipe_end *end, struct str bytes)
{
	EXPECT_INT(stream_try_write(&end->stream, &bytes, 1), bytes.len);
}

TEST(tls_plain_http_is_recognised)
{
	static const char *const requests[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
		"PUT / HTTP/1.1\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\n\r\n" };

	begin(NULL, NULL);
	for (size_t i = 0; i < LEN(requests); i++) {
		struct pipe_end ends[2];
		struct tls tls;

		pipe_open(ends, 1000, i % 2 ? 1000 : 64);
		REQUIRE(tls_accept(&tls, &server, &ends[1].stream) == 0);
		feed(&ends[0], str_from_c(requests[i]));
		EXPECT_INT(tls_handshake(&tls), -ERR_INVALID);
		EXPECT_STR(str_from_c(err_text()), S("plain HTTP on a TLS port"));
		EXPECT_INT(ends[0].incoming.len, 0); /* the caller may answer in plain, too */
		stream_close(&tls.stream);
		stream_close(&ends[0].stream);
	}
	end();
}

static int shake_with(struct str bytes, size_t chop)
{
	struct pipe_end ends[2];
	struct tls tls;
	int r;

	pipe_open(ends, 64 * KILOBYTE, 64 * KILOBYTE);
	ends[1].chop = chop;
	REQUIRE(tls_accept(&tls, &server, &ends[1].stream) == 0);
	if (bytes.len)
		feed(&ends[0], bytes);
	(void)ends[0].stream.ops->end(&ends[0].stream);
	r = tls_handshake(&tls);
	while (r == STREAM_WANT_WRITE)
		r = tls_handshake(&tls);
	EXPECT(!stream_wants(r)); /* nothing more will come */
	stream_close(&tls.stream);
	stream_close(&ends[0].stream);
	return r;
}

TEST(tls_garbage_is_an_error)
{
	static char garbage[5000];
	uint64_t seed = 99;

	begin(NULL, NULL);
	EXPECT_INT(shake_with(S(""), 10), -ERR_CLOSED);
	EXPECT(shake_with(S("SSH-2.0-OpenSSH_9\r\n"), 10) < 0);
	for (size_t round = 0; round < 300; round++) {
		size_t len = test_random(&seed) % sizeof(garbage);

		for (size_t i = 0; i < len; i++)
			garbage[i] = (char)test_random(&seed);
		if (round % 2 && len > 5) /* as far as a record's head goes, good */
			memcpy(garbage, "\x16\x03\x01\x10\x00", 5);
		EXPECT(shake_with(str_of(garbage, len), round % 3 ? 5000 : 1) < 0);
	}
	end();
}

TEST(tls_changed_hello_is_survived)
{
	static char hello[4000], changed[4000];
	struct pipe_end ends[2];
	struct tls tls;
	uint64_t seed = 3;
	size_t len;

	begin(NULL, NULL);
	pipe_open(ends, sizeof(hello), sizeof(hello));
	REQUIRE(tls_connect(&tls, &client, &ends[0].stream, S("localhost")) == 0);
	EXPECT_INT(tls_handshake(&tls), STREAM_WANT_READ);
	len = (size_t)stream_try_read(&ends[1].stream, hello, sizeof(hello));
	stream_close(&tls.stream);
	stream_close(&ends[1].stream);

	for (size_t at = 0; at < len; at++) { /* each byte, and each length */
		memcpy(changed, hello, len);
		changed[at] = (char)((unsigned char)changed[at] ^ 1u << test_random(&seed) % 8);
		EXPECT(shake_with(str_of(changed, len), len) < 0);
		EXPECT(shake_with(str_of(hello, at), len) < 0);
	}
	end();
}

/* --- torture ------------------------------------------------------------ */

#ifdef BULKHEAD_FAULTS

static void talk_once(void)
{
	struct both both;
	struct str part = S("ping");
	char at[10];

	connect_over(&both, "localhost", 10000, 10000);
	shake_hands(&both);
	if (both.client_result == 0 && both.server_result == 0 &&
		stream_try_write(&both.client.stream, &part, 1) == 4)
		EXPECT_INT(stream_try_read(&both.server.stream, at, sizeof(at)), 4);
	disconnect(&both);
}

TEST(tls_over_pipes_memory_torture)
{
	size_t n = 0;

	begin(NULL, NULL);
	do {
		size_t before = mem_used();

		fault_arm(FAULT_MEMORY, ++n);
		talk_once();
		EXPECT_INT(mem_used(), before);
	} while (fault_struck(FAULT_MEMORY));
	fault_arm(FAULT_MEMORY, 0);
	EXPECT(n > 2);
	end();
}

struct side {
	struct tcp tcp;
	struct tls tls;
	struct stream *stream; /* the outermost that could be opened; NULL: none */
};

static void open_side(struct side *side, int fd, bool is_client)
{
	int r = tcp_open(&side->tcp, &worker_here()->poller, fd);

	side->stream = NULL;
	if (r < 0)
		return;
	side->stream = &side->tcp.stream;
	r = is_client ? tls_connect(&side->tls, &client, side->stream, S("localhost"))
		      : tls_accept(&side->tls, &server, side->stream);
	REQUIRE(r == 0);
	side->stream = &side->tls.stream;
}

static int serve_side(void *arg)
{
	struct side *side = arg;
	char at[10];
	ssize_t got;

	if (side->stream && tls_handshake_wait(&side->tls, sched_now() + 5 * SECOND) == 0) {
		got = stream_read(side->stream, at, sizeof(at), sched_now() + 5 * SECOND);
		if (got > 0)
			(void)stream_write(
				side->stream, &(struct str){ at, (size_t)got }, 1, &pace);
	}
	stream_close(side->stream);
	return 0;
}

/* True when the answer came. */
static bool ask_side(struct side *side)
{
	char at[10];

	return side->stream && tls_handshake_wait(&side->tls, sched_now() + 5 * SECOND) == 0 &&
	       stream_write(side->stream, &S("ping"), 1, &pace) == 0 &&
	       stream_read(side->stream, at, sizeof(at), sched_now() + 5 * SECOND) == 4;
}

static int torture_sockets(void *arg)
{
	size_t n = 0;
	bool struck;

	do {
		struct side sides[2];
		struct scope scope;
		int fds[2];
		bool answered;

		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
		scope_open(&scope, TIME_NEVER);
		fault_arm(FAULT_SYSCALL, ++n);
		open_side(&sides[0], fds[0], true);
		open_side(&sides[1], fds[1], false);
		REQUIRE(scope_spawn(&scope, serve_side, &sides[1]) == 0);
		answered = ask_side(&sides[0]);
		stream_close(sides[0].stream);
		EXPECT_INT(scope_close(&scope), 0);
		struck = fault_struck(FAULT_SYSCALL);
		EXPECT(answered || struck);
	} while (struck);
	fault_arm(FAULT_SYSCALL, 0);
	EXPECT(n > 8);
	(void)sem_post(arg);
	return 0;
}

static int start_torture(struct worker *worker)
{
	return scope_spawn(&worker->sched.root, torture_sockets, worker->arg);
}

TEST(tls_over_sockets_system_call_torture)
{
	struct worker worker;
	sem_t done;

	begin(NULL, NULL);
	CHECK(sem_init(&done, 0, 0) == 0);
	worker = (struct worker){ .fiber_limit = 10, .on_start = start_torture, .arg = &done };
	REQUIRE(worker_start(&worker) == 0);
	CHECK(sem_wait(&done) == 0);
	worker_stop(&worker);
	worker_join(&worker);
	end();
}

#endif
