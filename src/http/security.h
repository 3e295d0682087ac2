/*
 * The headers that harden an answer against browsers' older habits: those of helmet 8.3,
 * ready-made. `x-powered-by` is never sent in the first place.
 */
#ifndef HTTP_SECURITY_H
#define HTTP_SECURITY_H

#include "base/str.h"

enum security_flag {
	/*
	 * An HTML page of ours (/docs, /console): helmet's own policy, which lets a page use what
	 * comes from the same origin. Without the flag it is an answer for programs: should a
	 * browser show it, it can load nothing and not be framed.
	 */
	SECURITY_PAGE = 1,

	/*
	 * It goes over TLS: Strict-Transport-Security, and for pages upgrade-insecure-requests.
	 * Over plain HTTP the first is ignored (RFC 6797 7.2) and the second breaks the page.
	 */
	SECURITY_TLS = 2,

	/* `cache-control: no-store`: for answers of the API whose handler says nothing else. */
	SECURITY_NO_STORE = 4,

	/* Other origins may embed it without CORS (`cross-origin-resource-policy: cross-origin`):
	 * public images, scripts, widgets. */
	SECURITY_EMBEDDABLE = 8,

	SECURITY_BLOCKS = 16, /* combinations of the above */

	/* Without content-security-policy: the handler has written one that fits its page. */
	SECURITY_OWN_POLICY = 16,

	SECURITY_VARIANTS = 32, /* combinations of all */
};

/* Header lines, each with its CRLF, in constant memory. `flags` is any combination. */
struct str security_headers(unsigned flags);

#endif
