/* Mails as the tests of others see them. */
#include "modules/mails/mails_fixture_test.h"

#include "modules/mails/mails_internal.h"

#include <stdio.h>

struct row {
	struct str id, kind, box;
};

/* clang-format off */
static const struct schema row_schema = SCHEMA(row, "A mail that waits.",
	FIELD(row, id, "Which.", .format = FORMAT_UUID),
	FIELD(row, kind, "What about."),
	FIELD(row, box, "The letter.", RANGE(0, MAIL_BOX_MAX)));
/* clang-format on */

static const struct statement posted_rows = STATEMENT("test_mail_posted",
	.sql = "SELECT id, kind, box FROM mail WHERE tenant_id = :tenant AND box IS NOT NULL "
	       "ORDER BY id",
	.out = &row_schema);

static const struct statement *const statements[] = { &posted_rows };

const struct module mail_fixture_module = {
	MODULE_HEAD,
	.name = "mail-fixture",
	.statements = statements,
	.statement_count = LEN(statements),
};

struct search {
	struct uuid tenant;
	enum mail_kind kind;
	struct str to;
	struct posted *ret;
	size_t count;
};

static int search(const struct db *db, void *arg)
{
	struct search *search = arg;
	struct row *rows;
	size_t count;
	struct db of = db_of(db->store, &search->tenant, db->arena);
	int r = db_all(&of, &posted_rows, NULL, &rows, &count);

	for (size_t i = 0; i < count && r == 0; i++) {
		struct letter letter;
		struct uuid id;

		REQUIRE(uuid_parse(rows[i].id, &id));
		r = letter_open(db->arena, &search->tenant, &id, rows[i].box, &letter);
		if (r < 0 || !str_eq(letter.to, search->to) ||
			!str_eq(rows[i].kind, str_from_c(mail_kind_names[search->kind])))
			continue;
		search->count++;
		if (!search->ret)
			continue;
		search->ret->found = true;
		search->ret->expires_us = letter.expires_us;
		(void)snprintf(
			search->ret->name, sizeof(search->ret->name), "%.*s", STR_ARG(letter.name));
		(void)snprintf(
			search->ret->link, sizeof(search->ret->link), "%.*s", STR_ARG(letter.link));
		(void)snprintf(search->ret->detail, sizeof(search->ret->detail), "%.*s",
			STR_ARG(letter.detail));
		(void)snprintf(search->ret->tenant_name, sizeof(search->ret->tenant_name), "%.*s",
			STR_ARG(letter.tenant_name));
	}
	return r;
}

const struct posted *mail_posted_in(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	static struct posted all[4];
	static size_t next;
	struct search of = { *tenant, kind, str_from_c(to), &all[next++ % LEN(all)], 0 };

	*of.ret = (struct posted){ 0 };
	world_do(world, "o", search, &of);
	return of.ret;
}

const struct posted *mail_posted(
	struct world *world, const char *caller, enum mail_kind kind, const char *to)
{
	struct uuid tenant = world_tenant(caller);

	return mail_posted_in(world, &tenant, kind, to);
}

size_t mail_posted_count_in(
	struct world *world, const struct uuid *tenant, enum mail_kind kind, const char *to)
{
	struct search of = { *tenant, kind, str_from_c(to), NULL, 0 };

	world_do(world, "o", search, &of);
	return of.count;
}

size_t mail_posted_count(
	struct world *world, const char *caller, enum mail_kind kind, const char *to)
{
	struct uuid tenant = world_tenant(caller);

	return mail_posted_count_in(world, &tenant, kind, to);
}

const char *posted_token(const struct posted *posted)
{
	const char *at = strstr(posted->link, "token=");

	return at ? at + strlen("token=") : "";
}
