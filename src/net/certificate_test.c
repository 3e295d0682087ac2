/* A small authority for tests, by OpenSSL's API. */
#include "net/certificate_test.h"

#include "base/check.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECONDS_PER_DAY = 24 * 3600 };

static EVP_PKEY *make_key(bool rsa)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");

	CHECK(key);
	return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int which, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, which, value);
	CHECK(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

/* Not signed yet. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, long from_s, long to_s)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	uint64_t serial;

	CHECK(RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1);
	CHECK(X509_set_version(certificate, X509_VERSION_3) &&
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) &&
		X509_gmtime_adj(X509_getm_notBefore(certificate), from_s) &&
		X509_gmtime_adj(X509_getm_notAfter(certificate), to_s) &&
		X509_set_pubkey(certificate, key) &&
		X509_NAME_add_entry_by_txt(
			subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0));
	return certificate;
}

static void sign(X509 *certificate, X509 *issuer, EVP_PKEY *issuer_key)
{
	CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) &&
		X509_sign(certificate, issuer_key, EVP_sha256()));
}

static FILE *open_new(const char *path)
{
	FILE *file = fopen(path, "w");

	CHECK(file);
	return file;
}

static void put_in_place(FILE *file, const char *from, const char *to)
{
	CHECK(fclose(file) == 0 && rename(from, to) == 0);
}

static void write_certificate(
	const struct certificate_files *files, const char *path, X509 *first, X509 *second)
{
	char next[CERTIFICATE_PATH_MAX];
	FILE *file;

	(void)snprintf(next, sizeof(next), "%.40s/next", files->folder);
	file = open_new(next);
	CHECK(PEM_write_X509(file, first) && (!second || PEM_write_X509(file, second)));
	put_in_place(file, next, path);
}

static void write_key(const struct certificate_files *files, const char *path, EVP_PKEY *key)
{
	char next[CERTIFICATE_PATH_MAX];
	FILE *file;

	(void)snprintf(next, sizeof(next), "%.40s/next", files->folder);
	file = open_new(next);
	CHECK(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL));
	put_in_place(file, next, path);
}

static void read_authority(const struct certificate_files *files, X509 **ret, EVP_PKEY **ret_key)
{
	char path[CERTIFICATE_PATH_MAX];
	FILE *file = fopen(files->ca_file, "r");

	CHECK(file && (*ret = PEM_read_X509(file, NULL, NULL, NULL)));
	(void)fclose(file);
	(void)snprintf(path, sizeof(path), "%.40s/ca.key", files->folder);
	file = fopen(path, "r");
	CHECK(file && (*ret_key = PEM_read_PrivateKey(file, NULL, NULL, NULL)));
	(void)fclose(file);
}

void certificate_renew(struct certificate_files *files, const struct certificate_wish *wish)
{
	const char *names = wish->names ? wish->names : "DNS:localhost,IP:127.0.0.1,IP:::1";
	int days = wish->days ? wish->days : 30;
	EVP_PKEY *key = make_key(wish->rsa), *authority_key;
	X509 *authority, *certificate;

	read_authority(files, &authority, &authority_key);
	certificate = make_certificate(key, "server",
		(days < 0 ? days - 1 : -1) * (long)SECONDS_PER_DAY, days * (long)SECONDS_PER_DAY);
	add_extension(certificate, authority, NID_subject_alt_name, names);
	sign(certificate, authority, authority_key);
	write_certificate(files, files->chain_file, certificate, authority);
	write_key(files, files->key_file, key);

	X509_free(certificate);
	X509_free(authority);
	EVP_PKEY_free(authority_key);
	EVP_PKEY_free(key);
}

void certificate_make(struct certificate_files *files, const struct certificate_wish *wish)
{
	char path[CERTIFICATE_PATH_MAX];
	EVP_PKEY *key = make_key(false);
	X509 *authority;

	strcpy(files->folder, "/tmp/bulkhead-tls-XXXXXX");
	CHECK(mkdtemp(files->folder));
	authority = make_certificate(
		key, files->folder, -2 * (long)SECONDS_PER_DAY, 3650 * (long)SECONDS_PER_DAY);
	(void)snprintf(files->ca_file, sizeof(files->ca_file), "%.40s/ca.pem", files->folder);
	(void)snprintf(
		files->chain_file, sizeof(files->chain_file), "%.40s/chain.pem", files->folder);
	(void)snprintf(files->key_file, sizeof(files->key_file), "%.40s/key.pem", files->folder);

	add_extension(authority, authority, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(authority, authority, NID_key_usage, "critical,keyCertSign");
	sign(authority, authority, key);
	write_certificate(files, files->ca_file, authority, NULL);
	(void)snprintf(path, sizeof(path), "%.40s/ca.key", files->folder);
	write_key(files, path, key);
	X509_free(authority);
	EVP_PKEY_free(key);

	certificate_renew(files, wish);
}

void certificate_write(
	const struct certificate_files *files, const char *name, const char *text, char *path)
{
	FILE *file;

	(void)snprintf(path, CERTIFICATE_PATH_MAX, "%.40s/%.20s", files->folder, name);
	file = open_new(path);
	CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
}

void certificate_remove(struct certificate_files *files)
{
	DIR *folder = opendir(files->folder);
	struct dirent *entry;

	CHECK(folder);
	while ((entry = readdir(folder)))
		(void)unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." stay */
	(void)closedir(folder);
	(void)rmdir(files->folder);
}
