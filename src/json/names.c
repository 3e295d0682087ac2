/*
 * One stack of names for all open objects, and open addressing with linear probing, at most half
 * full, for the objects that have many.
 */
#include "json/names.h"

#include "base/err.h"
#include "base/hash.h"

enum {
	FEW = 16,        /* names that are compared one by one */
	TABLE_FIRST = 64 /* places of the smallest table */
};

struct json_name_table {
	uint32_t cap;      /* places there is memory for */
	uint32_t mask;     /* places in use, a power of two, less one */
	uint32_t places[]; /* 0: free; else 1 + position among the object's names */
};

void json_names_init(struct json_names *names)
{
	names->slots = names->start;
	names->count = names->first = 0;
	names->cap = LEN(names->start);
	names->table = names->unused = NULL;
}

static int grow(struct json_names *names, struct arena *arena)
{
	size_t cap = (size_t)names->cap * 2;
	union json_name_slot *slots = arena_alloc(arena, cap * sizeof(*slots));

	if (!slots)
		return -(int)err_last()->code;

	memcpy(slots, names->slots, names->count * sizeof(*slots));
	names->slots = slots;
	names->cap = (uint32_t)cap;
	return 0;
}

int json_names_open(struct json_names *names, struct arena *arena)
{
	int r;

	if (UNLIKELY(names->count == names->cap)) {
		r = grow(names, arena);
		if (r < 0)
			return r;
	}

	names->slots[names->count].outer.table = names->table;
	names->slots[names->count].outer.first = names->first;
	names->first = ++names->count;
	names->table = NULL;
	return 0;
}

void json_names_close(struct json_names *names)
{
	union json_name_slot *slot = &names->slots[names->first - 1];

	if (names->table && (!names->unused || names->table->cap > names->unused->cap))
		names->unused = names->table;
	names->count = names->first - 1;
	names->first = slot->outer.first;
	names->table = slot->outer.table;
}

/* Tells most names apart by their first and last bytes. */
static uint32_t tag_of(struct str name)
{
	uint32_t head, tail;

	if (name.len >= 4) {
		memcpy(&head, name.at, 4);
		memcpy(&tail, name.at + name.len - 4, 4);
		return head * 0x9E3779B1u + tail;
	}
	if (name.len == 0)
		return 0;
	return (uint32_t)(unsigned char)name.at[0] << 16 |
	       (uint32_t)(unsigned char)name.at[name.len / 2] << 8 |
	       (uint32_t)(unsigned char)name.at[name.len - 1];
}

static bool same(const union json_name_slot *slot, struct str name, uint32_t tag)
{
	return slot->name.tag == tag && str_eq(str_of(slot->name.at, slot->name.len), name);
}

static bool among_few(const struct json_names *names, struct str name, uint32_t tag)
{
	const union json_name_slot *end = names->slots + names->count;

	for (const union json_name_slot *slot = names->slots + names->first; slot < end; slot++)
		if (UNLIKELY(same(slot, name, tag)))
			return true;
	return false;
}

/* Enters the names the object has. They are known to differ. */
static void fill(struct json_names *names, uint32_t places)
{
	struct json_name_table *table = names->table;
	const union json_name_slot *slots = names->slots + names->first;

	table->mask = places - 1;
	memset(table->places, 0, places * sizeof(*table->places));
	for (uint32_t i = 0; i < names->count - names->first; i++) {
		uint32_t at = slots[i].name.tag & table->mask;

		while (table->places[at])
			at = (at + 1) & table->mask;
		table->places[at] = i + 1;
	}
}

/* Gives the object a table of so many places: its own, the unused one, or a new one. Clearing no
 * more than `places` keeps an unused large one from costing every later object its size. */
static int make_table(struct json_names *names, struct arena *arena, uint32_t places)
{
	struct json_name_table *table = names->table;

	if (!table || table->cap < places) {
		table = names->unused;
		if (table && table->cap >= places) {
			names->unused = NULL;
		} else {
			table = arena_alloc(arena, sizeof(*table) + places * sizeof(uint32_t));
			if (!table)
				return -(int)err_last()->code;
			table->cap = places;
		}
	}

	names->table = table;
	fill(names, places);
	return 0;
}

/* The first table of an object that stops having few names: their tags become hashes. */
static int begin_table(struct json_names *names, struct arena *arena)
{
	for (uint32_t i = names->first; i < names->count; i++) {
		union json_name_slot *slot = &names->slots[i];

		slot->name.tag = (uint32_t)hash_str(str_of(slot->name.at, slot->name.len));
	}
	return make_table(names, arena, TABLE_FIRST);
}

/* Enters a name that the caller will push. Returns 0, 1 when it is there, or a negative code. */
static int add_to_table(
	struct json_names *names, struct arena *arena, struct str name, uint32_t tag)
{
	const union json_name_slot *slots = names->slots + names->first;
	uint32_t members = names->count - names->first;
	struct json_name_table *table = names->table;
	uint32_t at;
	int r;

	if ((members + 1) * 2 > table->mask + 1) {
		r = make_table(names, arena, (table->mask + 1) * 2);
		if (r < 0)
			return r;
		table = names->table;
	}

	for (at = tag & table->mask; table->places[at]; at = (at + 1) & table->mask)
		if (same(&slots[table->places[at] - 1], name, tag))
			return 1;
	table->places[at] = members + 1;
	return 0;
}

int json_names_add(struct json_names *names, struct arena *arena, struct str name)
{
	uint32_t members = names->count - names->first;
	union json_name_slot *slot;
	uint32_t tag;
	int r = 0;

	if (UNLIKELY(names->count == names->cap))
		r = grow(names, arena);
	if (r == 0 && members == FEW)
		r = begin_table(names, arena);
	if (r < 0)
		return r;

	if (LIKELY(members < FEW)) {
		tag = tag_of(name);
		r = among_few(names, name, tag);
	} else {
		tag = (uint32_t)hash_str(name);
		r = add_to_table(names, arena, name, tag);
	}
	if (r != 0)
		return r;

	slot = &names->slots[names->count++];
	slot->name.at = name.at;
	slot->name.len = (uint32_t)name.len;
	slot->name.tag = tag;
	return 0;
}
