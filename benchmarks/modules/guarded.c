/* For ./bench auth: the same empty answer for everybody, for who is signed in, for who has a right,
 * after a commit of one row, and after a bare signature of libcrypto. */
#include "base/err.h"
#include "http/module.h"
#include "rest/db.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

static int answer(struct req *req, const struct nothing *in, struct nothing *out)
{
	(void)req, (void)in, (void)out;
	return 0;
}
HANDLER(answer, nothing, nothing, 0)

static const char migrations[] = "-- up 1: rows\n"
				 "CREATE TABLE main.bench_row (\n"
				 "	tenant_id uuid NOT NULL PRIMARY KEY,\n"
				 "	number bigint NOT NULL\n"
				 ");\n"
				 "-- down 1\n"
				 "DROP TABLE main.bench_row; -- safe: going down\n";

static const struct statement row_count = STATEMENT("bench_row_count",
	.sql = "INSERT INTO main.bench_row (tenant_id, number) VALUES (:tenant, 1) "
	       "ON CONFLICT (tenant_id) DO UPDATE SET number = bench_row.number + 1");

static const struct statement *const statements[] = { &row_count };

static int write_row(struct req *req, const struct nothing *in, struct nothing *out)
{
	struct db db = req_db(req);

	(void)in, (void)out;
	return db_exec(&db, &row_count, NULL);
}
HANDLER(write_row, nothing, nothing, 0)

/* Signs 400 bytes, which a token has, with a key of this thread: what any server has to do, beneath
 * the same load and with the same caches as the server that is measured. */
static int sign(EVP_PKEY *key)
{
	static const unsigned char message[400];
	unsigned char signature[256];
	size_t len = sizeof(signature);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestSign(context, signature, &len, message, sizeof(message)) == 1;

	EVP_MD_CTX_free(context);
	return good ? 0 : fail(ERR_INTERNAL, "signing failed");
}

static int sign_rs256(struct req *req, const struct nothing *in, struct nothing *out)
{
	static _Thread_local EVP_PKEY *key;

	(void)req, (void)in, (void)out;
	if (!key)
		key = EVP_RSA_gen(2048);
	return sign(key);
}
HANDLER(sign_rs256, nothing, nothing, 0)

static int sign_es256(struct req *req, const struct nothing *in, struct nothing *out)
{
	static _Thread_local EVP_PKEY *key;

	(void)req, (void)in, (void)out;
	if (!key)
		key = EVP_EC_gen("P-256");
	return sign(key);
}
HANDLER(sign_es256, nothing, nothing, 0)

#define ROUTE(method, path, handler_, right)                                                       \
	{                                                                                          \
		method, path, "Answer", .place = ROUTE_PUBLIC, .handler = &(handler_),             \
					.need = right                                              \
	}

static const struct route routes[] = {
	ROUTE(HTTP_GET, "/bench/open", answer_handler, RIGHT_PUBLIC),
	ROUTE(HTTP_GET, "/bench/self", answer_handler, RIGHT_SELF),
	ROUTE(HTTP_GET, "/bench/right", answer_handler, "tenant:read"),
	ROUTE(HTTP_GET, "/bench/sign/RS256", sign_rs256_handler, "tenant:read"),
	ROUTE(HTTP_GET, "/bench/sign/ES256", sign_es256_handler, "tenant:read"),
	ROUTE(HTTP_POST, "/bench/write", write_row_handler, "tenant:read"),
};

static const struct module guarded_module = {
	MODULE_HEAD,
	.name = "guarded",
	.version = "1",
	.routes = routes,
	.route_count = LEN(routes),
	.migrations = migrations,
	.statements = statements,
	.statement_count = LEN(statements),
};

BULKHEAD_MODULE(guarded_module);
