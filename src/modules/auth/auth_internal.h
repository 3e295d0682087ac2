/* What the files of this module share. */
#ifndef MODULES_AUTH_INTERNAL_H
#define MODULES_AUTH_INTERNAL_H

#include "crypto/master_key.h"
#include "modules/auth/auth.h"

/* The options in force. */
const struct auth_options *auth_options(void);

/* The installation's key; zero bytes where there is none, as in tests. */
struct master_key auth_master_key(const struct server *server);

/* Seals the signing keys anew (struct module). */
int keys_reseal(struct server *server, struct resealed *counted);

/* --- what each half brings; joined in auth.c -------------------------------------------- */

enum { AUTH_SESSION_ROUTES = 12, AUTH_SESSION_STATEMENTS = 12 };

extern const struct route auth_session_routes[AUTH_SESSION_ROUTES];
extern const struct statement *const auth_session_statements[AUTH_SESSION_STATEMENTS];

/* Who asks, by access token or cookie (struct hooks). */
int auth_identify(struct req *req, struct caller *ret);

/* Forgets what the workers have verified; they have ended. */
void auth_identify_close(void);

#endif
