/*
 * API keys: credentials of programs. bh_sk_... are for servers, bh_pk_... may be seen in a browser.
 *
 * A key belongs to the user who made it and may do what its scopes say, as far as that user may do
 * it at that moment. It is shown once; only the SHA-256 of its secret is kept. The module puts
 * itself in front of hooks.identify: what begins like a key, and all of X-API-Key, is its business,
 * anything else that of whoever was there before.
 */
#ifndef API_KEYS_H
#define API_KEYS_H

#include "http/module.h"

enum {
	API_KEYS_MAX = 1000,       /* of a tenant that can be used */
	API_KEYS_KEPT_MAX = 5000,  /* of a tenant, with those that have ended */
	API_KEY_SCOPES_MAX = 100,  /* of a key */
	API_KEY_NETWORKS_MAX = 50, /* of a key */
	API_KEY_NAME_MAX = 100,    /* characters */
	API_KEY_OVERLAP_DAYS = 7,  /* that a former secret holds, at most */
	API_KEY_KEPT_DAYS = 30,    /* that a key stays in the list after its end */
};

extern const struct module api_keys_module;

#endif
