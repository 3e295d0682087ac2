/* A tree of path segments: fixed children in order of their text, and at most one for a parameter.
 */
#include "http/router.h"

#include "http/pipeline.h"

struct router_node {
	struct str text;               /* of the segment; empty for a parameter */
	struct router_node **children; /* fixed ones, sorted */
	size_t child_count, child_room;
	struct router_node *param;
	struct router_entry *entries[HTTP_METHODS_COUNT];
};

void router_init(struct router *router)
{
	*router = (struct router){ .unmatched = {
					   .pattern = S_INIT("unmatched"),
					   .title = S_INIT("HTTP"),
				   } };
	router->last = &router->first;
	router->unmatched.stage_count = pipeline_of(NULL, router->unmatched.stages);
	arena_init(&router->arena, 16 * KILOBYTE, 16 * MEGABYTE);
}

void router_done(struct router *router)
{
	arena_done(&router->arena);
	router->root = NULL;
}

/* Where a fixed child is, or would be inserted. */
static size_t child_slot(const struct router_node *node, struct str text, bool *ret_found)
{
	size_t low = 0, high = node->child_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_cmp(node->children[middle]->text, text);

		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = false;
	return low;
}

static int insert_child(
	struct router *router, struct router_node *node, size_t slot, struct router_node *child)
{
	if (node->child_count == node->child_room) {
		size_t room = node->child_room ? node->child_room * 2 : 4;
		struct router_node **children =
			arena_alloc(&router->arena, room * sizeof(struct router_node *));

		if (!children)
			return -(int)err_last()->code;
		if (node->child_count)
			memcpy(children, node->children, node->child_count * sizeof(*children));
		node->children = children;
		node->child_room = room;
	}
	memmove(node->children + slot + 1, node->children + slot,
		(node->child_count - slot) * sizeof(*node->children));
	node->children[slot] = child;
	node->child_count++;
	return 0;
}

/* The child for a segment of a pattern, made when it is new. */
static int descend(struct router *router, struct router_node *node, struct str segment,
	bool is_param, struct router_node **ret)
{
	bool found = false;
	size_t slot = is_param ? 0 : child_slot(node, segment, &found);
	struct router_node *child = is_param ? node->param : found ? node->children[slot] : NULL;

	if (!child) {
		child = arena_new(&router->arena, struct router_node);
		if (!child)
			return -(int)err_last()->code;
		if (is_param) {
			node->param = child;
		} else {
			int r;

			child->text = segment;
			r = insert_child(router, node, slot, child);
			if (r < 0)
				return r;
		}
	}
	*ret = child;
	return 0;
}

static bool plain_segment(struct str segment)
{
	for (size_t i = 0; i < segment.len; i++) {
		char byte = segment.at[i];

		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
			    (byte >= '0' && byte <= '9') || strchr("-._~", byte)))
			return false;
	}
	return !str_eq(segment, S(".")) && !str_eq(segment, S(".."));
}

/* The name in "{name}"; .at is NULL when it is no parameter. */
static struct str param_name(struct str segment)
{
	if (segment.len < 3 || segment.at[0] != '{' || segment.at[segment.len - 1] != '}')
		return str_of(NULL, 0);
	return str_of(segment.at + 1, segment.len - 2);
}

/* The segments of a pattern, to be cut off one by one; "/" alone is one empty segment. */
static struct str segments_of(const struct router_entry *entry)
{
	return str_of(entry->pattern.at + 1, entry->pattern.len - 1);
}

/* Notes a parameter in the entry. */
static int add_param(struct router_entry *entry, struct str name)
{
	if (entry->param_count == ROUTE_PARAMS_MAX)
		return fail(ERR_INVALID, "route %.*s: more than %d parameters",
			STR_ARG(entry->title), ROUTE_PARAMS_MAX);
	for (size_t i = 0; i < entry->param_count; i++)
		if (str_eq(entry->param_names[i], name))
			return fail(ERR_INVALID, "route %.*s: {%.*s} is there twice",
				STR_ARG(entry->title), STR_ARG(name));
	entry->param_names[entry->param_count++] = name;
	return 0;
}

/* Checks the pattern and notes its parameters, before anything of it is in the tree. */
static int check_pattern(struct router_entry *entry)
{
	struct str rest = segments_of(entry);

	while (rest.at) {
		struct str segment = str_cut(&rest, '/');
		struct str name = param_name(segment);
		int r = 0;

		if (!plain_segment(name.at ? name : segment))
			return fail(ERR_INVALID, "route %.*s: \"%.*s\" is no path segment",
				STR_ARG(entry->title), STR_ARG(segment));
		if (name.at)
			r = add_param(entry, name);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Walks the pattern into the tree. */
static int place(struct router *router, const struct router_entry *entry, struct router_node **ret)
{
	struct str rest = segments_of(entry);
	struct router_node *node = router->root;

	while (rest.at) {
		struct str segment = str_cut(&rest, '/');
		int r = descend(router, node, segment, param_name(segment).at != NULL, &node);

		if (r < 0)
			return r;
	}
	*ret = node;
	return 0;
}

int router_add(struct router *router, const struct route *route)
{
	struct router_entry *entry = arena_new(&router->arena, struct router_entry);
	struct router_node *node = NULL;
	int r;

	if (!router->root)
		router->root = arena_new(&router->arena, struct router_node);
	if (!entry || !router->root)
		return -(int)err_last()->code;

	entry->route = route;
	entry->stage_count = pipeline_of(route, entry->stages);
	entry->pattern = str_from_c(route->path);
	entry->title = arena_printf(&router->arena, "%s %s", http_method_text(route->method).at,
		route->path ? route->path : "");
	if (!entry->title.at)
		return -(int)err_last()->code;
	if (!str_starts(entry->pattern, S("/")))
		return fail(ERR_INVALID, "route %.*s: a path starts with /", STR_ARG(entry->title));
	if ((!route->run && !route->handler) || !route->summary || !route->place)
		return fail(ERR_INVALID, "route %.*s: handler, summary or place is missing",
			STR_ARG(entry->title));

	r = check_pattern(entry);
	if (r == 0)
		r = place(router, entry, &node);
	if (r < 0)
		return r;
	if (node->entries[route->method])
		return fail(ERR_CONFLICT, "route %.*s: %.*s is there already",
			STR_ARG(entry->title), STR_ARG(node->entries[route->method]->title));

	node->entries[route->method] = entry;
	*router->last = entry;
	router->last = &entry->next;
	return 0;
}

/* Answers HEAD by GET. */
static struct router_entry *entry_of(const struct router_node *node, enum http_method method)
{
	struct router_entry *entry = node->entries[method];

	return !entry && method == HTTP_HEAD ? node->entries[HTTP_GET] : entry;
}

static bool has_entries(const struct router_node *node)
{
	for (size_t i = 0; i < HTTP_METHODS_COUNT; i++)
		if (node->entries[i])
			return true;
	return false;
}

/*
 * A fixed child wins at once, without a way back: "/a/{x}/c" is not found under a fixed "/a/b".
 * That keeps a lookup linear in the path; router_add could be asked for both, so a table that needs
 * it says so by repeating the fixed segment.
 */
int router_find(struct router *router, enum http_method method, struct str path,
	struct arena *arena, struct router_match *ret)
{
	struct router_node *node = router->root;
	struct path_segment segment;
	struct path_walk walk;
	size_t params = 0;
	int more;

	*ret = (struct router_match){ 0 };
	path_start(&walk, path);
	while ((more = path_next(&walk, arena, &segment)) > 0) {
		bool found = false;
		size_t slot = node ? child_slot(node, segment.text, &found) : 0;

		if (!node)
			continue; /* nothing more to find, but the rest must be well-formed, too */
		if (found) {
			node = node->children[slot];
		} else if (node->param && segment.text.len > 0) {
			ret->params[params++] = segment.text;
			node = node->param;
		} else {
			node = NULL;
		}
	}
	if (more < 0)
		return more;

	if (node && has_entries(node)) {
		ret->node = node;
		ret->entry = entry_of(node, method);
	}
	return 0;
}

size_t router_allow(const struct router_node *node, char *at)
{
	size_t len = 0;

	for (enum http_method method = 0; method < HTTP_METHODS_COUNT; method++) {
		struct str text = http_method_text(method);

		if (!entry_of(node, method) && method != HTTP_OPTIONS)
			continue;
		if (len > 0) {
			memcpy(at + len, ", ", 2);
			len += 2;
		}
		CHECK(len + text.len <= ROUTER_ALLOW_MAX);
		memcpy(at + len, text.at, text.len);
		len += text.len;
	}
	return len;
}
