/*
 * The rights that there are, each with a number, and sets of them. Filled while the modules open,
 * by one thread; after that it is only read, so nothing here has a lock. Numbers stay what they
 * are as long as the modules are open; nothing that is stored has numbers in it.
 */
#include "modules/rbac/rbac_internal.h"

#include "base/hash.h"
#include "base/mem.h"

enum { SLOTS = 2 * RIGHTS_MAX }; /* a power of two */

static struct {
	char bytes[RIGHTS_MAX][RIGHT_TEXT_MAX];
	struct str texts[RIGHTS_MAX];
	size_t count;
	uint16_t sorted[RIGHTS_MAX]; /* numbers in the order of the texts */
	uint16_t slots[SLOTS];       /* by hash: number + 1, or 0 */
} catalogue;

_Static_assert((SLOTS & (SLOTS - 1)) == 0, "masks");

/* --- texts --------------------------------------------------------------------------- */

/* One half of a right: "jobs". */
static bool is_word(struct str word)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = word.at[i];
		bool letter = c >= 'a' && c <= 'z';
		bool other = (c >= '0' && c <= '9') || c == '-' || c == '_';

		if (!letter && !(other && i > 0))
			return false;
	}
	return word.len > 0;
}

/* Cuts "jobs:read" in two; either half may be "*". */
static bool cut(struct str text, struct str *ret_resource, struct str *ret_action)
{
	ptrdiff_t colon = str_find_byte(text, ':');

	if (colon < 0 || text.len > RIGHT_TEXT_MAX)
		return false;
	*ret_resource = str_first(text, (size_t)colon);
	*ret_action = str_from(text, (size_t)colon + 1);
	return true;
}

static bool is_any(struct str word)
{
	return str_eq(word, S("*"));
}

bool right_is_platform(struct str right)
{
	return str_starts(right, S("platform:"));
}

/* --- the catalogue ------------------------------------------------------------------- */

/* The slot of a right, or the empty one where it would be. */
static size_t slot_of(struct str right)
{
	size_t at = (size_t)hash_str(right) & (SLOTS - 1);

	while (catalogue.slots[at] && !str_eq(catalogue.texts[catalogue.slots[at] - 1], right))
		at = (at + 1) & (SLOTS - 1);
	return at;
}

ptrdiff_t right_number(struct str right)
{
	return (ptrdiff_t)catalogue.slots[slot_of(right)] - 1;
}

size_t rights_count(void)
{
	return catalogue.count;
}

struct str right_at(size_t position)
{
	CHECK(position < catalogue.count);
	return catalogue.texts[catalogue.sorted[position]];
}

static void insert(struct str right, size_t slot)
{
	size_t number = catalogue.count++, at = number;

	memcpy(catalogue.bytes[number], right.at, right.len);
	catalogue.texts[number] = str_of(catalogue.bytes[number], right.len);
	catalogue.slots[slot] = (uint16_t)(number + 1);
	for (; at > 0 && str_cmp(right_at(at - 1), right) > 0; at--)
		catalogue.sorted[at] = catalogue.sorted[at - 1];
	catalogue.sorted[at] = (uint16_t)number;
}

/* True when there was no such right before. */
static int add(struct str right)
{
	struct str resource, action;
	size_t slot;

	if (!cut(right, &resource, &action) || !is_word(resource) || !is_word(action))
		return fail(ERR_INVALID,
			"the right \"%.*s\": must be resource:action, in lower case, at most %d "
			"bytes",
			STR_ARG(str_first(right, RIGHT_TEXT_MAX)), RIGHT_TEXT_MAX);
	slot = slot_of(right);
	if (catalogue.slots[slot])
		return 0;
	if (catalogue.count == RIGHTS_MAX)
		return fail(ERR_FULL, "there are more than %d rights", RIGHTS_MAX);
	insert(right, slot);
	return 1;
}

int right_declare(struct str right)
{
	int r = add(right);

	if (r > 0)
		built_in_refresh();
	return MIN(r, 0);
}

int right_of_route(const struct route *route)
{
	struct str need = str_from_c(route->need);

	if (str_eq(need, S(RIGHT_PUBLIC)) || str_eq(need, S(RIGHT_SELF)))
		return 0;
	return add(need) < 0 ? err_wrap("route %.*s %s", STR_ARG(http_method_text(route->method)),
				       route->path)
			     : 0;
}

int rights_of_routes(const struct route *routes, size_t count)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++)
		r = right_of_route(&routes[i]);
	built_in_refresh();
	return r;
}

int rights_begin(void)
{
	/* What no route needs: to be an owner is to have them. */
	static const struct str own[] = { S_INIT("tenant:delete"), S_INIT("tenant:transfer") };
	int r = 0;

	memset(&catalogue, 0, sizeof(catalogue));
	for (size_t i = 0; i < LEN(own) && r == 0; i++)
		r = right_declare(own[i]);
	return r;
}

/* --- sets ---------------------------------------------------------------------------- */

static bool rights_has_number(const struct rights *rights, size_t number)
{
	return rights->bits[number / 64] >> (number % 64) & 1;
}

bool rights_has(const struct rights *rights, struct str right)
{
	ptrdiff_t number = right_number(right);

	return number >= 0 && rights_has_number(rights, (size_t)number);
}

bool rights_within(const struct rights *part, const struct rights *whole)
{
	uint64_t beyond = 0;

	for (size_t i = 0; i < LEN(part->bits); i++)
		beyond |= part->bits[i] & ~whole->bits[i];
	return beyond == 0;
}

void rights_intersect(struct rights *rights, const struct rights *with)
{
	for (size_t i = 0; i < LEN(rights->bits); i++)
		rights->bits[i] &= with->bits[i];
}

void rights_unite(struct rights *rights, const struct rights *with)
{
	for (size_t i = 0; i < LEN(rights->bits); i++)
		rights->bits[i] |= with->bits[i];
}

void rights_remove(struct rights *rights, const struct rights *without)
{
	for (size_t i = 0; i < LEN(rights->bits); i++)
		rights->bits[i] &= ~without->bits[i];
}

/* Whether a pattern, cut in two, stands for a right. Only who says "platform" means that. */
static bool stands_for(struct str resource, struct str action, struct str right)
{
	struct str of, what;

	CHECK(cut(right, &of, &what));
	if (is_any(resource) ? right_is_platform(right) : !str_eq(resource, of))
		return false;
	return is_any(action) || str_eq(action, what);
}

int rights_add(struct rights *rights, struct str pattern)
{
	struct str resource = S("*"), action = S("*");
	size_t found = 0;

	if (!is_any(pattern) && !cut(pattern, &resource, &action))
		return fail(ERR_INVALID, "\"%.*s\" is no right",
			STR_ARG(str_first(pattern, RIGHT_TEXT_MAX)));
	for (size_t i = 0; i < catalogue.count; i++)
		if (stands_for(resource, action, catalogue.texts[i])) {
			rights->bits[i / 64] |= UINT64_C(1) << (i % 64);
			found++;
		}
	return found ? 0
		     : fail(ERR_INVALID, "\"%.*s\" stands for no right that there is",
			       STR_ARG(pattern));
}
