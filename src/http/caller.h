/*
 * Who asks, and the places where the features that know plug themselves in: identity, rights,
 * repeated requests. The server has the order of things (pipeline.c); what a credential means is
 * not its business.
 */
#ifndef HTTP_CALLER_H
#define HTTP_CALLER_H

#include "base/str.h"

#pragma GCC visibility push(default)

struct limit;
struct req;

enum caller_kind {
	CALLER_NOBODY,      /* no credentials */
	CALLER_USER,        /* a person, by session */
	CALLER_PUBLISHABLE, /* an API key that may be seen in a browser */
	CALLER_SECRET,      /* an API key of a server */
};

/* How much a caller may do where that is not what the limiters of the server say. Prepared
 * (http/limiter.h), alive as long as the request; NULL: the limiter's own. */
struct caller_limits {
	const struct limit *own;    /* instead of that of api, or of server */
	const struct limit *tenant; /* of all callers of its tenant together */
};

/* Texts live at least as long as the request. */
struct caller {
	enum caller_kind kind;
	struct str id;           /* of the user or the key; empty for nobody */
	struct str tenant;       /* id; empty for nobody */
	struct str session;      /* id; empty when there is none */
	struct str owner;        /* id of the user whose rights bound those of a key; else empty */
	struct str impersonator; /* id of the operator who acts as this user; else empty */
	const void *rights;      /* what the rights hook keeps */
	struct caller_limits limits;
};

/* All may be NULL. They run on the request's fiber and may wait. */
struct hooks {
	/* Fills in the caller from the request's credentials. 0, also when there are none;
	 * -ERR_UNAUTHORIZED when they are no good, which counts as a guess (doc/http.md). */
	int (*identify)(struct req *, struct caller *ret);

	/* Whether the caller has a right. 0, or -ERR_FORBIDDEN. Without the hook nobody has any but
	 * RIGHT_PUBLIC. Not asked for nobody, who is -ERR_UNAUTHORIZED. */
	int (*authorize)(struct req *, struct str right);

	/*
	 * A request with an Idempotency-Key. 0: go on, and `finish` will hear once what came of it:
	 * 0, or the negative code of the handler or of the validation before it; 1: it was answered
	 * with what was kept; -ERR_CONFLICT while the first is in work,
	 * -ERR_IDEMPOTENCY for another request under the same key.
	 */
	int (*repeat_begin)(struct req *, struct str key);
	void (*repeat_finish)(struct req *, int result);

	/* Whether the caller, who is not nobody, is served at all: its tenant may be suspended. 0,
	 * or -ERR_FORBIDDEN. May change req->caller.limits. */
	int (*admit)(struct req *);
};

#pragma GCC visibility pop

#endif
