/* Which rights the built-in roles have, as a table, and what a role of a tenant's own gives. Pure:
 * no rows, no time. */
#include "modules/rbac/rbac_internal.h"

/* What is about who may do what, rather than about the tenant's work. */
#define ADMINISTRATION                                                                             \
	"-users:* -invitations:* -roles:* -keys:* -sessions:* -mails:* -audit:* -tenant:* "

/* All may look at everything but at what is about persons and credentials. */
#define LOOK "*:read -keys:* -sessions:* -mails:* -audit:*"

/* clang-format off */
const struct built_in_role built_in_roles[BUILT_IN_ROLES] = {
	[ROLE_OWNER]  = { S_INIT("owner"),  S_INIT("Everything, the tenant itself included."),
		"*", true },
	[ROLE_ADMIN]  = { S_INIT("admin"),  S_INIT("Everything but deleting the tenant and handing it over."),
		"* -tenant:delete -tenant:transfer", true },
	[ROLE_MEMBER] = { S_INIT("member"), S_INIT("All of the work, and nothing of the administration."),
		"* " ADMINISTRATION "-jobs:manage " LOOK, false },
	[ROLE_VIEWER] = { S_INIT("viewer"), S_INIT("Looks on."),
		LOOK, false },
};
/* clang-format on */

/* By whether it is the tenant of the installation. */
static struct rights sets[2][BUILT_IN_ROLES];

int built_in_find(struct str name)
{
	for (int i = 0; i < BUILT_IN_ROLES; i++)
		if (str_eq(built_in_roles[i].name, name))
			return i;
	return -1;
}

static bool is_system(const struct uuid *tenant)
{
	return uuid_cmp(tenant, &tenant_system) == 0;
}

const struct rights *built_in_rights(enum built_in role, const struct uuid *tenant)
{
	return &sets[is_system(tenant)][role];
}

static struct rights set_of(struct str rule)
{
	struct rights all = { 0 };

	while (rule.len) {
		struct str word = str_cut(&rule, ' ');
		bool without = str_starts(word, S("-"));
		struct rights some = { 0 };

		/* That there are none of a kind is no mistake. */
		(void)rights_add(&some, str_from(word, without ? 1 : 0));
		if (without)
			rights_remove(&all, &some);
		else
			rights_unite(&all, &some);
	}
	return all;
}

void built_in_refresh(void)
{
	struct rights platform = set_of(S("platform:*"));

	for (int i = 0; i < BUILT_IN_ROLES; i++) {
		sets[false][i] = sets[true][i] = set_of(str_from_c(built_in_roles[i].rule));
		if (built_in_roles[i].operates)
			rights_unite(&sets[true][i], &platform);
	}
}

void patterns_rights(
	const struct uuid *tenant, const struct str *patterns, size_t count, struct rights *ret)
{
	*ret = (struct rights){ 0 };
	for (size_t i = 0; i < count; i++)
		if (is_system(tenant) || !right_is_platform(patterns[i]))
			(void)rights_add(ret, patterns[i]);
}

int patterns_check(const struct uuid *tenant, const struct str *patterns, size_t count)
{
	struct rights rights = { 0 };

	for (size_t i = 0; i < count; i++)
		if (rights_add(&rights, patterns[i]) < 0 ||
			(right_is_platform(patterns[i]) && !is_system(tenant)))
			return fail_field(ERR_INVALID, "rights", "unknown_right",
				"\"%.*s\" stands for no right that there is", STR_ARG(patterns[i]));
	return 0;
}

size_t right_roles(struct str right, struct str ret[BUILT_IN_ROLES_MAX])
{
	bool all = str_eq(right, S(RIGHT_SELF));
	size_t count = 0;

	_Static_assert((int)BUILT_IN_ROLES <= (int)BUILT_IN_ROLES_MAX, "room for all");
	for (int i = 0; i < BUILT_IN_ROLES; i++)
		if (all || rights_has(&sets[right_is_platform(right)][i], right))
			ret[count++] = built_in_roles[i].name;
	return count;
}

void right_write(struct str right, struct json_writer *writer)
{
	struct str roles[BUILT_IN_ROLES_MAX];
	size_t count = right_roles(right, roles);

	if (right_number(right) < 0 && !str_eq(right, S(RIGHT_SELF)))
		return;
	json_write_key(writer, S("x-roles"));
	json_write_array(writer);
	for (size_t i = 0; i < count; i++)
		json_write_string(writer, roles[i]);
	json_write_array_end(writer);
	if (right_is_platform(right)) {
		json_write_key(writer, S("x-tenant"));
		json_write_string(writer, S("system"));
	}
}

/* --- names --------------------------------------------------------------------------- */

static void swap(struct str *a, struct str *b)
{
	struct str kept = *a;

	*a = *b;
	*b = kept;
}

/* Few of them. */
void texts_sort(struct texts *texts)
{
	for (size_t i = 1; i < texts->count; i++)
		for (size_t k = i; k > 0 && str_cmp(texts->at[k - 1], texts->at[k]) > 0; k--)
			swap(&texts->at[k - 1], &texts->at[k]);
}

bool texts_have(const struct texts *texts, struct str text)
{
	for (size_t i = 0; i < texts->count; i++)
		if (str_eq(texts->at[i], text))
			return true;
	return false;
}
