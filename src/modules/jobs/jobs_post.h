/* What callers send to add jobs, and what they are answered. */
#ifndef JOBS_POST_H
#define JOBS_POST_H

#include "modules/jobs/jobs_adding.h"

struct job_post_unique {
	struct str key;
	enum job_unique_mode mode;
	int64_t ttl_ms;
};

struct job_post {
	struct str queue, name;
	struct json_value payload;
	struct opt_i64 priority;
	struct opt_i64 run_at;
	int64_t delay_ms;
	int64_t attempts;
	struct job_backoff *backoff;
	int64_t timeout_ms;
	struct job_post_unique *unique;
	struct str group;
	LIST_OF(struct str) tags;
};

struct job_posted {
	struct job_shown shown; /* first: its fields are this one's, too */
	enum job_outcome outcome;
};

struct jobs_post {
	LIST_OF(struct job_post) jobs;
};

struct jobs_posted {
	LIST_OF(struct str) ids; /* in the order of the request */
	int64_t added, replaced, kept;
};

extern const struct schema job_post_schema, job_posted_schema, jobs_post_schema, jobs_posted_schema;

/* What is asked for. Texts are the post's. */
struct job_new job_new_of(const struct job_post *post);

#endif
