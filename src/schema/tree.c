/* Building without recursion: the open containers are the parents of the newest node. */
#include "schema/tree.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/num.h"

struct tree_index {
	size_t mask;
	struct tree *slots[];
};

static struct tree *add_node(struct arena *arena, struct tree *parent, struct str name)
{
	struct tree *tree = arena_new(arena, struct tree);

	if (!tree)
		return NULL;
	tree->parent = parent;
	tree->name = name;
	if (!parent)
		return tree;

	tree->position = parent->count++;
	if (parent->last)
		parent->last->next = tree;
	else
		parent->first = tree;
	parent->last = tree;
	return tree;
}

static void set_value(struct tree *tree, int event, const struct json_reader *reader)
{
	switch (event) {
	case JSON_OBJECT: tree->kind = TREE_OBJECT; break;
	case JSON_ARRAY: tree->kind = TREE_ARRAY; break;
	case JSON_TRUE:
	case JSON_FALSE:
		tree->kind = TREE_BOOL;
		tree->boolean = event == JSON_TRUE;
		break;
	case JSON_NUMBER:
		tree->kind = TREE_NUMBER;
		tree->number = decimal_read(reader->text);
		break;
	case JSON_STRING:
		tree->kind = TREE_STRING;
		tree->text = reader->text;
		break;
	default: tree->kind = TREE_NULL; break;
	}
}

/* A table of the members' names, once an object is complete. */
static int index_members(struct tree *object, struct arena *arena)
{
	size_t size = (size_t)2 * TREE_INDEX_MIN;

	if (object->kind != TREE_OBJECT || object->count < TREE_INDEX_MIN)
		return 0;

	while (size < 2 * object->count)
		size *= 2;
	object->index = arena_zalloc(arena, sizeof(*object->index) + size * sizeof(struct tree *));
	if (!object->index)
		return -(int)err_last()->code;
	object->index->mask = size - 1;
	for (struct tree *member = object->first; member; member = member->next) {
		size_t slot = hash_str(member->name) & object->index->mask;

		while (object->index->slots[slot])
			slot = (slot + 1) & object->index->mask;
		object->index->slots[slot] = member;
	}
	return 0;
}

int tree_read(
	struct str json, const struct json_limits *limits, struct arena *arena, struct tree **ret)
{
	struct tree *root = NULL, *open = NULL, *tree;
	struct str name = { 0 };
	struct json_reader reader;
	int event;

	json_reader_init(&reader, json, arena, limits);
	while ((event = json_next(&reader)) > 0) {
		if (event == JSON_KEY) {
			name = reader.text;
			continue;
		}
		if (event == JSON_OBJECT_END || event == JSON_ARRAY_END) {
			CHECK(open);
			if (index_members(open, arena) < 0)
				return -(int)err_last()->code;
			open = open->parent;
			name = str_of(NULL, 0);
			continue;
		}

		tree = add_node(arena, open, name);
		if (!tree)
			return -(int)err_last()->code;
		set_value(tree, event, &reader);
		name = str_of(NULL, 0);
		if (!root)
			root = tree;
		if (event == JSON_OBJECT || event == JSON_ARRAY)
			open = tree;
	}
	if (event == 0)
		*ret = root;
	return event;
}

struct tree *tree_find(const struct tree *object, struct str name)
{
	const struct tree_index *index = object->index;
	struct tree *member;
	size_t slot;

	if (!index) {
		for (member = object->first; member; member = member->next)
			if (str_eq(member->name, name))
				return member;
		return NULL;
	}
	for (slot = hash_str(name) & index->mask; index->slots[slot];
		slot = (slot + 1) & index->mask)
		if (str_eq(index->slots[slot]->name, name))
			return index->slots[slot];
	return NULL;
}

/* NOLINTBEGIN(misc-no-recursion): by the levels of the document */
static bool equal_parts(const struct tree *a, const struct tree *b, size_t *steps)
{
	const struct tree *mine, *other = b->first;

	for (mine = a->first; mine; mine = mine->next) {
		if (a->kind == TREE_OBJECT)
			other = tree_find(b, mine->name);
		if (!other || !tree_equal(mine, other, steps))
			return false;
		other = other->next;
	}
	return true;
}

bool tree_equal(const struct tree *a, const struct tree *b, size_t *steps)
{
	if (*steps == 0 || a->kind != b->kind || a->count != b->count)
		return false;

	--*steps;
	switch (a->kind) {
	case TREE_BOOL: return a->boolean == b->boolean;
	case TREE_NUMBER: return decimal_equal(a->number, b->number);
	case TREE_STRING: return str_eq(a->text, b->text);
	case TREE_NULL: return true;
	default: return equal_parts(a, b, steps);
	}
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	return hash_str(str_of((const char *)(uint64_t[]){ hash, value }, 16));
}

uint64_t tree_hash(const struct tree *tree)
{
	uint64_t hash = (uint64_t)tree->kind + 1;

	switch (tree->kind) {
	case TREE_BOOL: return mix(hash, tree->boolean);
	case TREE_NUMBER:
		return mix(mix(hash + tree->number.negative, tree->number.digits),
			(uint64_t)(int64_t)tree->number.exponent);
	case TREE_STRING: return mix(hash, hash_str(tree->text));
	case TREE_ARRAY:
		for (const struct tree *item = tree->first; item; item = item->next)
			hash = mix(hash, tree_hash(item));
		return hash;
	case TREE_OBJECT: /* a sum, since order does not count */
		for (const struct tree *member = tree->first; member; member = member->next)
			hash += mix(hash_str(member->name), tree_hash(member));
		return hash;
	default: return hash;
	}
}

/* NOLINTEND(misc-no-recursion) */

/* --- pointers -------------------------------------------------------------------- */

static void append_name(struct buf *buf, struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '~')
			buf_append(buf, S("~0"));
		else if (name.at[i] == '/')
			buf_append(buf, S("~1"));
		else
			buf_byte(buf, name.at[i]);
	}
}

struct str tree_pointer(const struct tree *tree, struct arena *arena)
{
	const struct tree *way[JSON_DEPTH_MAX];
	size_t count = 0;
	struct str text;
	struct buf buf;

	for (; tree->parent && count < JSON_DEPTH_MAX; tree = tree->parent)
		way[count++] = tree;

	buf_init(&buf, 4 * KILOBYTE);
	buf_byte(&buf, '#');
	while (count-- > 0) {
		buf_byte(&buf, '/');
		if (way[count]->name.at)
			append_name(&buf, way[count]->name);
		else
			buf_u64(&buf, way[count]->position);
	}
	text = arena_str(arena, buf_str(&buf));
	buf_done(&buf);
	return text.at ? text : S("#");
}
