/* The contract as an OpenAPI 3.1 document, from the tables that the server runs on: what is not in
 * it is not served, and what is served is in it. */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

#include "http/router.h"
#include "json/writer.h"

enum { OPENAPI_SCHEMAS_MAX = 2000 };

/* Adds members (x-...) to an operation, about the right that it needs. */
typedef void openapi_right(struct str right, struct json_writer *writer);

/* Writes the document of a router's routes, in the order in which they were added. `right` may be
 * NULL. The arena takes what it must remember meanwhile. -ERR_FULL beyond OPENAPI_SCHEMAS_MAX
 * schemas, or the arena's errors; the buffer's are json_writer_done's. */
int openapi_write(const struct router *router, openapi_right *right, struct arena *arena,
	struct json_writer *writer);

#endif
