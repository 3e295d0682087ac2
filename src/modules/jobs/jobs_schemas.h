/* JSON Schemas of payloads, by tenant and name of the job, as the API sets them. */
#ifndef JOBS_SCHEMAS_H
#define JOBS_SCHEMAS_H

#include "modules/jobs/jobs_adding.h"

enum {
	JOB_SCHEMAS_MAX = 500, /* of a tenant */
	JOB_SCHEMA_BYTES = 64 * 1024,
};

/* A row, and as the API shows it. */
struct job_schema {
	struct str name;
	struct json_value schema;
	int64_t version; /* the ETag */
	int64_t updated_at;
};

struct job_schema_ref {
	struct str name;
};

struct job_schema_put {
	struct str name;
	struct json_value schema;
};

struct job_schema_page {
	LIST_OF(struct job_schema) items;
};

struct job_schema_query {
	int64_t limit;
	struct str cursor;
	struct str after_name; /* where the page begins */
};

extern const struct schema job_schema_schema, job_schema_put_schema, job_schema_ref_schema,
	job_schema_query_schema, job_schema_page_schema;
extern const struct statement job_schema_get, job_schema_list;
extern const struct job_statements job_schema_statements;

/* A change under way. Transaction functions of the tenant. */
struct job_schema_change {
	const struct req *req; /* for If-Match */
	struct str name, schema;
	struct job_schema *ret;
};
int job_schema_put_in_tx(struct tx *tx, void *arg);
int job_schema_delete_in_tx(struct tx *tx, void *arg);

int job_schemas_open(struct store *store);
void job_schemas_close(struct store *store);

#endif
