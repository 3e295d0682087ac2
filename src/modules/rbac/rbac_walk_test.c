/*
 * Nobody comes to more than there was. Somebody with some rights does whatever the API lets them,
 * at random, for long; after each step nobody has a right but those they had in the beginning and
 * those that this somebody had. And: there is always an owner.
 */
#include "modules/rbac/rbac_world_test.h"

#include <stdio.h>

enum { STEPS = 250, STEPS_LONG = 2000, ROLE_NAMES = 3 };

static const char *const users[] = { "anna", "adam", "amy", "alex", "aron", "abel" };

/* The role that the first user of the walk, aron, begins with. */
static const struct {
	const char *title, *rights; /* NULL: the built-in role of that title */
} walkers[] = {
	{ "registrar", "[\"roles:*\",\"jobs:read\"]" },
	{ "narrow", "[\"roles:write\"]" },
	{ "admin", NULL },
	{ "owner", NULL },
};

/* Those that the walk makes stand there more often. */
static const char *const roles[] = { "owner", "r0", "admin", "r1", "member", "r2", "viewer", "r0",
	"strong", "r1", "r2" };

static const char *const patterns[] = { "\"jobs:read\"", "\"jobs:*\"", "\"roles:read\"",
	"\"roles:write\"", "\"roles:*\"", "\"*:read\"", "\"*\"", "\"tenant:transfer\"",
	"\"keys:read\"", "\"platform:*\"", "\"users:write\"" };

struct walk {
	struct world *world;
	uint64_t random;
	size_t done, refused, others;
};

static size_t below(struct walk *walk, size_t limit)
{
	return test_random(&walk->random) % limit;
}

/* Some of the texts as a JSON array, at most three; `quote` is put around each. */
static const char *some_of(
	struct walk *walk, const char *const *texts, size_t count, size_t least, const char *quote)
{
	static char list[200];
	size_t wanted = least + below(walk, 3 - least), first = below(walk, count);
	size_t len = (size_t)snprintf(list, sizeof(list), "[");

	for (size_t i = 0; i < wanted; i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s%s%s", i ? "," : "",
			quote, texts[(first + i * 3) % count], quote);
	(void)snprintf(list + len, sizeof(list) - len, "]");
	return list;
}

static int step(struct walk *walk)
{
	char request[100], body[400];
	size_t role = below(walk, ROLE_NAMES);

	switch (below(walk, 6)) {
	case 0:
		(void)snprintf(body, sizeof(body), "{\"name\":\"r%zu\",\"rights\":%s}", role,
			some_of(walk, patterns, LEN(patterns), 1, ""));
		return world_call(walk->world, "aron", "POST /api/v1/roles", "", body).status;
	case 1:
		(void)snprintf(request, sizeof(request), "PATCH /api/v1/roles/%s",
			roles[below(walk, LEN(roles))]);
		(void)snprintf(body, sizeof(body), "{\"rights\":%s}",
			some_of(walk, patterns, LEN(patterns), 1, ""));
		return world_call(walk->world, "aron", request, "", body).status;
	case 2:
		(void)snprintf(request, sizeof(request), "DELETE /api/v1/roles/%s",
			roles[below(walk, LEN(roles))]);
		return world_call(walk->world, "aron", request, "", NULL).status;
	default:
		(void)snprintf(body, sizeof(body), "{\"roles\":%s}",
			some_of(walk, roles, LEN(roles), 0, "\""));
		return world_call(walk->world, "aron",
			world_roles_path("PUT", users[below(walk, LEN(users))]), "", body)
			.status;
	}
}

static size_t owners(struct world *world)
{
	struct rights rights;
	size_t count = 0;

	for (size_t i = 0; i < LEN(users); i++) {
		rights = world_rights(world, users[i]);
		count += rights_has(&rights, S("tenant:transfer"));
	}
	return count;
}

static void begin(struct world *world, size_t walker)
{
	char body[200];

	EXPECT_INT(world_give(world, "anna", "owner"), 0);
	EXPECT_INT(world_give(world, "adam", "admin"), 0);
	EXPECT_INT(world_give(world, "amy", "member"), 0);
	EXPECT_INT(world_give(world, "alex", "viewer"), 0);
	EXPECT_INT(world_give(world, "abel", NULL), 0);
	EXPECT_INT(world_call(world, "anna", "POST /api/v1/roles", "",
			   "{\"name\":\"strong\",\"rights\":[\"*\"]}")
			   .status,
		201);
	if (walkers[walker].rights) {
		(void)snprintf(body, sizeof(body), "{\"name\":\"%s\",\"rights\":%s}",
			walkers[walker].title, walkers[walker].rights);
		EXPECT_INT(world_call(world, "anna", "POST /api/v1/roles", "", body).status, 201);
	}
	EXPECT_INT(world_give(world, "aron", walkers[walker].title), 0);
}

static void walk_as(struct world *world, size_t walker)
{
	struct walk walk = { .world = world, .random = 20261121 + walker };
	struct rights allowed[LEN(users)], own, now;
	size_t steps = test_long() ? STEPS_LONG : STEPS;

	begin(world, walker);
	own = world_rights(world, "aron");
	for (size_t i = 0; i < LEN(users); i++) {
		allowed[i] = world_rights(world, users[i]);
		rights_unite(&allowed[i], &own);
	}
	for (size_t i = 0; i < steps; i++) {
		int status = step(&walk);

		walk.done += status < 300;
		walk.refused += status == 403;
		walk.others += status == 400 || status == 404 || status == 409;
		EXPECT(status < 500);
		for (size_t k = 0; k < LEN(users); k++) {
			now = world_rights(world, users[k]);
			EXPECT(rights_within(&now, &allowed[k]));
		}
		EXPECT(owners(world) > 0);
		if (i % 10 == 9) /* who has taken away their own goes on */
			(void)world_give(world, "aron", walkers[walker].title);
	}
	EXPECT(walk.done > 2);
	EXPECT(walk.refused > 0 || strcmp(walkers[walker].title, "owner") == 0);
	EXPECT(walk.others > 0);
}

#define WALK(name, number)                                                                         \
	WORLD_TEST(rbac_walk_of_##name, rbac_world)                                                \
	{                                                                                          \
		walk_as(world, number);                                                            \
	}

WALK(a_registrar, 0)
WALK(a_narrow_one, 1)
WALK(an_admin, 2)
WALK(an_owner, 3)
