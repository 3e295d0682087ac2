/* What is kept of users: found, forgotten, displaced, and never torn by threads that meet. */
#include "modules/rbac/rbac_memory.h"

#include "base/test.h"

#include <pthread.h>
#include <stdatomic.h>

static struct uuid id_of(uint64_t number)
{
	struct uuid id = { { 0 } };

	number = number * 0x9e3779b97f4a7c15U + 1;
	memcpy(id.bytes, &number, 8);
	number *= 0xbf58476d1ce4e5b9U;
	memcpy(id.bytes + 8, &number, 8);
	return id;
}

/* What a user of that number has: all of it says which it is. */
static struct remembered made_of(uint64_t number)
{
	struct remembered what = { .known = true, .active = true, .has_roles = true };

	for (size_t i = 0; i < LEN(what.rights.bits); i++)
		what.rights.bits[i] = number * 31 + i;
	what.roles_len = 8 + number % (MEMORY_ROLES_BYTES - 8);
	memset(what.roles, (int)(number & 0x7f), what.roles_len);
	return what;
}

static bool is_made_of(const struct remembered *what, uint64_t number)
{
	struct remembered made = made_of(number);

	return memcmp(&what->rights, &made.rights, sizeof(made.rights)) == 0 &&
	       what->roles_len == made.roles_len &&
	       memcmp(what->roles, made.roles, made.roles_len) == 0 && what->known && what->active;
}

static void keep(const struct uuid *tenant, const struct uuid *user, uint64_t number)
{
	struct remembered what = made_of(number);

	memory_keep(tenant, user, memory_moment(tenant, user), &what);
}

static bool finds(const struct uuid *tenant, const struct uuid *user, uint64_t number)
{
	struct remembered what;

	return memory_find(tenant, user, true, &what) && EXPECT(is_made_of(&what, number));
}

TEST(rbac_memory_keeps_and_forgets)
{
	struct uuid a = id_of(1), b = id_of(2), u = id_of(3), v = id_of(4);
	struct remembered what = made_of(9);
	uint64_t moment;

	EXPECT(!finds(&a, &u, 1)); /* closed: nothing */
	keep(&a, &u, 1);
	REQUIRE(memory_open() == 0);
	EXPECT(!finds(&a, &u, 1));
	keep(&a, &u, 1);
	keep(&a, &v, 2);
	keep(&b, &u, 3);
	EXPECT(finds(&a, &u, 1) && finds(&a, &v, 2) && finds(&b, &u, 3) && !finds(&b, &v, 4));
	keep(&a, &u, 5);
	EXPECT(finds(&a, &u, 5));

	memory_forget_user(&a, &u);
	EXPECT(!finds(&a, &u, 5) && finds(&a, &v, 2) && finds(&b, &u, 3));
	keep(&a, &u, 6);
	memory_forget_tenant(&a);
	EXPECT(!finds(&a, &u, 6) && !finds(&a, &v, 2) && finds(&b, &u, 3));
	memory_forget_all();
	EXPECT(!finds(&b, &u, 3));

	/* What changed while it was read is not kept. */
	moment = memory_moment(&a, &u);
	memory_forget_user(&a, &u);
	memory_keep(&a, &u, moment, &what);
	EXPECT(!finds(&a, &u, 9));
	moment = memory_moment(&a, &u);
	memory_forget_tenant(&a);
	memory_keep(&a, &u, moment, &what);
	EXPECT(!finds(&a, &u, 9));
	memory_close();
}

TEST(rbac_memory_is_bounded)
{
	struct uuid tenant = id_of(1);
	size_t found = 0;

	REQUIRE(memory_open() == 0);
	for (uint64_t i = 0; i < 2 * MEMORY_ENTRIES; i++) {
		struct uuid user = id_of(i);

		keep(&tenant, &user, i);
		EXPECT(finds(&tenant, &user, i));
	}
	for (uint64_t i = 0; i < 2 * MEMORY_ENTRIES; i++) {
		struct uuid user = id_of(i);

		found += finds(&tenant, &user, i);
	}
	EXPECT(found > MEMORY_ENTRIES / 2 && found <= MEMORY_ENTRIES);
	memory_close();
}

/* --- threads ------------------------------------------------------------------------- */

enum { USERS = 6, THREADS = 4 };

static atomic_bool ends;
static _Atomic uint64_t hits;
static _Atomic uint64_t versions[USERS]; /* what the rows say; grows */

/* Reads rows and keeps them, changes rows and tells, and looks: what is found is of one piece. */
static void *work(void *arg)
{
	uint64_t random = *(uint64_t *)arg;
	struct uuid tenant = id_of(77);

	while (!atomic_load(&ends)) {
		uint64_t which = test_random(&random) % USERS;
		struct uuid user = id_of(which);
		struct remembered what;

		switch (test_random(&random) % 8) {
		case 0:
			atomic_fetch_add(&versions[which], 1);
			memory_forget_user(&tenant, &user);
			break;
		case 1: {
			uint64_t moment = memory_moment(&tenant, &user);

			what = made_of(atomic_load(&versions[which]));
			memory_keep(&tenant, &user, moment, &what);
			break;
		}
		default:
			if (memory_find(&tenant, &user, true, &what)) {
				EXPECT(is_made_of(&what, what.rights.bits[0] / 31));
				atomic_fetch_add(&hits, 1);
			}
		}
	}
	return NULL;
}

TEST(rbac_memory_is_not_torn)
{
	uint64_t seeds[THREADS] = { 1, 2, 3, 4 };
	pthread_t threads[THREADS];

	REQUIRE(memory_open() == 0);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, work, &seeds[i]) == 0);
	(void)nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
	atomic_store(&ends, true);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
	EXPECT(atomic_load(&hits) > 1000);
	memory_close();
}

/* One changes and tells, and then nobody finds what was before. */
static void *read_and_keep(void *arg)
{
	struct uuid tenant = id_of(77), user = id_of(0);

	(void)arg;
	while (!atomic_load(&ends)) {
		uint64_t moment = memory_moment(&tenant, &user);
		struct remembered what = made_of(atomic_load(&versions[0]));

		memory_keep(&tenant, &user, moment, &what);
	}
	return NULL;
}

TEST(rbac_memory_is_not_stale)
{
	struct uuid tenant = id_of(77), user = id_of(0);
	pthread_t threads[2];
	size_t found = 0;

	REQUIRE(memory_open() == 0);
	for (size_t i = 0; i < LEN(threads); i++)
		REQUIRE(pthread_create(&threads[i], NULL, read_and_keep, NULL) == 0);
	for (uint64_t i = 1; i < 20000; i++) {
		bool again = false;
		struct remembered what;

		atomic_store(&versions[0], i);
		memory_forget_user(&tenant, &user);
		for (int k = 0; k < 200 && !again; k++) {
			again = memory_find(&tenant, &user, true, &what);
			if (again && !EXPECT_INT(what.rights.bits[0], i * 31))
				i = 20000;
		}
		found += again;
	}
	atomic_store(&ends, true);
	for (size_t i = 0; i < LEN(threads); i++)
		REQUIRE(pthread_join(threads[i], NULL) == 0);
	EXPECT(found > 10);
	memory_close();
}
