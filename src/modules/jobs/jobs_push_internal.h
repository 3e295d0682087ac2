/* What the files share that send jobs to addresses. Everything is of the pusher's own thread but
 * what is atomic. */
#ifndef JOBS_PUSH_INTERNAL_H
#define JOBS_PUSH_INTERNAL_H

#include "fiber/sync.h"
#include "loop/worker.h"
#include "modules/jobs/jobs_push.h"
#include "modules/jobs/jobs_session.h"

#include <stdatomic.h>

/* A queue with an address. */
struct push_line {
	struct pusher *pusher;
	char name[JOB_QUEUE_MAX];
	size_t name_len;
	bool running;
	size_t under_way;   /* jobs of it that are sent */
	struct uuid after;  /* the tenant served last */
	struct cond freed;  /* fewer are under way */
	struct scope scope; /* of those */
};

struct pusher {
	struct server *server;
	struct worker worker;
	struct http_client *client;
	char name[64]; /* as a worker */
	struct lease lease;
	bool leased;
	struct scope scope; /* of the lines */
	struct push_line lines[PUSH_QUEUES_MAX];
	size_t under_way;  /* jobs of all lines */
	struct cond ended; /* one less is */
	atomic_bool stopping, done;
};

/* A fiber: sends the jobs of one queue until it has no address, or the end begins. */
int push_line_run(void *arg);

#endif
