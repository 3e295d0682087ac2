/* For ./bench auth: the same empty answer for everybody, for who is signed in, for who has a right,
 * and after a commit of one row. */
#include "http/module.h"
#include "rest/db.h"

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

#define ROUTE(method, path, handler_, right)                                                       \
	{                                                                                          \
		method, path, "Answer", .place = ROUTE_PUBLIC, .handler = &(handler_),             \
					.need = right                                              \
	}

static const struct route routes[] = {
	ROUTE(HTTP_GET, "/bench/open", answer_handler, RIGHT_PUBLIC),
	ROUTE(HTTP_GET, "/bench/self", answer_handler, RIGHT_SELF),
	ROUTE(HTTP_GET, "/bench/right", answer_handler, "tenant:read"),
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
