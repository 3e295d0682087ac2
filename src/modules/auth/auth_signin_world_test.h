/* For the tests of sign-in: its world, and what people send and read there. */
#ifndef AUTH_SIGNIN_WORLD_TEST_H
#define AUTH_SIGNIN_WORLD_TEST_H

#include "modules/auth/auth_signin.h"

#include "modules/auth/auth_fixture_test.h"
#include "modules/mails/mails.h"

#define SIGNIN_PASSWORD "tin whistle over boots"
#define SIGNIN_BCRYPT                                                                              \
	"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" /* of "U*U"                 \
									*/

extern const struct module *const signin_modules[];

/* How many rows there are: links, users; entries of failed logins. */
extern const struct statement signin_link_count, signin_user_count, signin_login_failures;
int64_t signin_count(struct world *world, const struct statement *statement);

/* Suspends all who are called Sus. */
extern const struct statement signin_suspend_all;

/* Options for a test: what is usual there, to be changed. Before the world begins. */
struct auth_options signin_usual(void);
void signin_few_tries(uint64_t tries);

/* Posts a body to a path below /api/v1. */
PRINTF_LIKE(3, 4)
struct answer signin_post(struct world *world, const char *path, const char *format, ...);

/* Registers with SIGNIN_PASSWORD: with a tenant of one's own, or in one that is open. */
struct answer signin_found(struct world *world, const char *email, const char *slug);
struct answer signin_join(struct world *world, const char *email, const char *slug);

/* Signs in; `tenant` may be NULL. */
struct answer signin_login(
	struct world *world, const char *email, const char *password, const char *tenant);
int signin_status(struct world *world, const char *email, const char *password, const char *tenant);

/* Room for a text of SIGNIN_TEXT bytes, or the whole text of a member: good until eight more were
 * asked for. */
enum { SIGNIN_TEXT = 8192 };
char *signin_room(void);
const char *signin_text(const struct answer *answer, const char *member);

/* Of the answer of a login: its access token, the id of its tenant. */
const char *signin_bearer(const struct answer *answer);
struct uuid signin_tenant(const struct answer *answer);

/* Does what was put off; how much. */
size_t signin_do_errands(struct world *world);

/* The token of the newest mail of a kind to somebody in a tenant; how many there are. */
const char *signin_mailed(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to);
size_t signin_mail_count(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to);

#endif
