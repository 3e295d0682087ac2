/*
 * Which web pages of other origins may call us from a browser (the Fetch standard, 3.2: CORS). An
 * allow-list of exact origins, or all of them without credentials. Nothing here protects against
 * programs that are not browsers.
 */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include "base/buf.h"
#include "http/h1_parse.h"

enum {
	CORS_ORIGINS_MAX = 256,
	CORS_NAMES_MAX = 64,     /* of each other list, and of a request's headers */
	CORS_NAMES_BYTES = 4096, /* of a request's headers in all */
	CORS_MAX_AGE_S = 7200,   /* as long as Chromium remembers a preflight at most */
};

struct cors_list {
	const struct str *names;
	size_t count;
};

struct cors_config {
	/*
	 * As browsers write them: "https://app.example", lower case, no path, no slash at the end,
	 * no default port. Or "*" alone. Empty: no origin may. "null" is refused, since any page
	 * can give itself that origin.
	 */
	struct cors_list origins;
	bool credentials;         /* with cookies and Authorization; not with "*" */
	struct cors_list methods; /* empty: GET, HEAD, PUT, PATCH, POST, DELETE */
	struct cors_list
		headers; /* that requests may have; empty: all, by naming what is asked for */
	struct cors_list exposed; /* that scripts may read; empty: what our answers have */
	uint64_t max_age_s;       /* how long a preflight holds; 0: CORS_MAX_AGE_S */
};

/* Made from it. */
struct cors {
	struct cors_list origins; /* the config's */
	bool any;                 /* "*" */
	bool reflect;             /* the headers that are asked for */
	struct buf granted;       /* lines for an origin that may, besides its own */
	struct buf preflight;     /* lines for its preflight, besides */
};

/*
 * The names of `config` must outlive `cors`. -ERR_INVALID with a sentence for people,
 * -ERR_NO_MEMORY; then there is nothing to undo.
 */
int cors_init(struct cors *cors, const struct cors_config *config);

/* Frees it; also what is zero. */
void cors_done(struct cors *cors);

/*
 * Appends the header lines of the answer to a request, each with its CRLF: before the handler, so
 * that errors have them, too (a browser hides the status of an answer without). True when the
 * request is a preflight: OPTIONS with Origin and Access-Control-Request-Method. It is to be
 * answered with 204 and these lines before identity and limits, since it carries no credentials.
 *
 * With an allow-list every answer has `vary: origin`, also without Origin in the request. An origin
 * that is not on it gets nothing else, and a preflight from it is answered all the same: what is
 * missing makes the browser refuse. Without any allowed origin there are no lines and no
 * preflights. Names of headers are repeated only if all of them are tokens and within the bounds.
 */
bool cors_apply(const struct cors *cors, const struct h1_head *head, struct buf *lines);

#endif
