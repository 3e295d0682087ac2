/*
 * The text that a worker shows to say which start of a job it speaks of:
 *
 *     bh_ls_AZAAAAAAcACAAAAAAAAAAQGQAAAAAHAAgAAAAAAAAAIAAAAB
 *
 * It is opaque to workers and no secret by itself: whatever it claims is compared with the job's
 * row, among the rows that the caller may touch anyway. Bytes have exactly one text.
 */
#ifndef JOBS_TOKEN_H
#define JOBS_TOKEN_H

#include "crypto/base64.h"
#include "crypto/uuid.h"

enum {
	JOB_TOKEN_BYTES = 2 * (int)sizeof(struct uuid) + 4,
	JOB_TOKEN_MARK_LEN = 6, /* "bh_ls_" */
	JOB_TOKEN_LEN = JOB_TOKEN_MARK_LEN + BASE64_SIZE(JOB_TOKEN_BYTES),
};

struct job_token {
	struct uuid tenant; /* of the job, */
	struct uuid lease;  /* of the lease that it was started under, */
	int64_t attempt;    /* and the number of the start: 1 to INT32_MAX */
};

/* Writes JOB_TOKEN_LEN bytes, no NUL. */
void job_token_write(char *at, const struct job_token *token);

/* False for what is none. */
bool job_token_read(struct str text, struct job_token *ret);

#endif
