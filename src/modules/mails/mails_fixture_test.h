/* For the tests of those who post mails: what was posted, read from the rows. */
#ifndef MAILS_FIXTURE_TEST_H
#define MAILS_FIXTURE_TEST_H

#include "modules/mails/mails.h"
#include "rest/world_test.h"

/* A mail that was posted; texts are static, good until four more were asked for. */
struct posted {
	bool found;
	char name[300], link[2100], detail[8100], tenant_name[300];
	int64_t expires_us;
};

/* The newest mail of that kind to that address, of the caller's tenant, that nobody has sent yet.
 * Needs mail_fixture_module among the world's modules. */
const struct posted *mail_posted(
	struct world *world, const char *caller, enum mail_kind kind, const char *to);

/* How many mails of that kind the caller's tenant has posted to that address. */
size_t mail_posted_count(
	struct world *world, const char *caller, enum mail_kind kind, const char *to);

/* The same of a tenant by its id. */
const struct posted *mail_posted_in(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to);
size_t mail_posted_count_in(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to);

/* The part of the link behind "token=". */
const char *posted_token(const struct posted *posted);

extern const struct module mail_fixture_module;

#endif
