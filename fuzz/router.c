/*
 * The router against a list that is searched from front to back. A line "+GET /a/{b}" adds a route,
 * a line "GET /a/c" asks for one. Found is what the list says, with the same parameters and the
 * same Allow; a route is refused when the list says so.
 */
#include "http/router.h"

#include "base/check.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { ROUTES = 64, PATTERN_MAX = 200, SEGMENTS = 32 };

struct list {
	struct route routes[ROUTES];
	char patterns[ROUTES][PATTERN_MAX];
	size_t count;
};

static int answer(struct req *req)
{
	(void)req;
	return 0;
}

/* --- patterns ----------------------------------------------------------- */

static struct str cut_pattern(struct str *rest)
{
	return str_cut(rest, '/');
}

static bool is_param(struct str segment)
{
	return segment.len >= 3 && segment.at[0] == '{' && segment.at[segment.len - 1] == '}';
}

static struct str pattern_rest(const char *pattern)
{
	struct str text = str_from_c(pattern);

	return str_of(text.at + 1, text.len - 1);
}

static bool segment_good(struct str segment)
{
	if (is_param(segment))
		segment = str_of(segment.at + 1, segment.len - 2);
	for (size_t i = 0; i < segment.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~",
			    segment.at[i]))
			return false;
	return !str_eq(segment, S(".")) && !str_eq(segment, S(".."));
}

/* Equal but for the names of parameters. */
static bool same_pattern(const char *a, const char *b)
{
	struct str left = pattern_rest(a), right = pattern_rest(b);

	while (left.at && right.at) {
		struct str x = cut_pattern(&left), y = cut_pattern(&right);

		if (is_param(x) != is_param(y) || (!is_param(x) && !str_eq(x, y)))
			return false;
	}
	return !left.at && !right.at;
}

static bool has_twins(const char *pattern)
{
	for (struct str rest = pattern_rest(pattern); rest.at;) {
		struct str segment = cut_pattern(&rest);

		for (struct str later = rest; is_param(segment) && later.at;)
			if (str_eq(cut_pattern(&later), segment))
				return true;
	}
	return false;
}

static int expected_verdict(const struct list *list, const struct route *route)
{
	size_t params = 0;

	if (*route->path != '/')
		return -ERR_INVALID;
	for (struct str rest = pattern_rest(route->path); rest.at;) {
		struct str segment = cut_pattern(&rest);

		params += is_param(segment);
		if (!segment_good(segment) || params > ROUTE_PARAMS_MAX)
			return -ERR_INVALID;
	}
	if (has_twins(route->path))
		return -ERR_INVALID;
	for (size_t i = 0; i < list->count; i++)
		if (list->routes[i].method == route->method &&
			same_pattern(list->routes[i].path, route->path))
			return -ERR_CONFLICT;
	return 0;
}

/* --- lookups ------------------------------------------------------------ */

/* The segment of that number; .at is NULL when the pattern ends before. */
static struct str segment_of(const char *pattern, size_t number)
{
	struct str rest = pattern_rest(pattern), segment = { 0 };

	for (size_t i = 0; i <= number; i++) {
		if (!rest.at)
			return str_of(NULL, 0);
		segment = cut_pattern(&rest);
		if (!segment.at)
			segment = S("");
	}
	return segment;
}

/* Leaves of the routes those whose segment fits: the fixed ones if there is any, else parameters.
 */
static void narrow(const struct list *list, bool *in, size_t number, struct str text)
{
	bool fixed = false;

	for (size_t i = 0; i < list->count; i++) {
		struct str segment = segment_of(list->routes[i].path, number);

		if (in[i] && segment.at && !is_param(segment) && str_eq(segment, text))
			fixed = true;
	}
	for (size_t i = 0; i < list->count; i++) {
		struct str segment = segment_of(list->routes[i].path, number);

		in[i] = in[i] && segment.at &&
			(fixed ? !is_param(segment) && str_eq(segment, text)
			       : is_param(segment) && text.len > 0);
	}
}

/* The routes of a path, its segments in `texts`. */
static void search(const struct list *list, const struct str *texts, size_t count, bool *in)
{
	for (size_t i = 0; i < list->count; i++)
		in[i] = true;
	for (size_t k = 0; k < count; k++)
		narrow(list, in, k, texts[k]);
	for (size_t i = 0; i < list->count; i++)
		in[i] = in[i] && !segment_of(list->routes[i].path, count).at;
}

static const struct route *route_for(
	const struct list *list, const bool *in, enum http_method method)
{
	for (size_t i = 0; i < list->count; i++)
		if (in[i] && list->routes[i].method == method)
			return &list->routes[i];
	return method == HTTP_HEAD ? route_for(list, in, HTTP_GET) : NULL;
}

static void check_params(
	const struct router_match *match, const struct route *route, const struct str *texts)
{
	size_t params = 0;

	for (size_t k = 0; segment_of(route->path, k).at; k++) {
		struct str segment = segment_of(route->path, k);

		if (!is_param(segment))
			continue;
		CHECK(str_eq(match->entry->param_names[params],
			str_of(segment.at + 1, segment.len - 2)));
		CHECK(str_eq(match->params[params], texts[k]));
		params++;
	}
	CHECK(params == match->entry->param_count);
}

static void check_allow(const struct list *list, const bool *in, const struct router_node *node)
{
	char text[ROUTER_ALLOW_MAX];
	struct str allow = str_of(text, router_allow(node, text)), member;
	bool listed[HTTP_METHODS_COUNT] = { false };

	while (h1_list_next(&allow, &member)) {
		enum http_method method;

		CHECK(http_method_of(member, &method) && !listed[method]);
		listed[method] = true;
	}
	for (enum http_method method = 0; method < HTTP_METHODS_COUNT; method++)
		CHECK(listed[method] ==
			(method == HTTP_OPTIONS || route_for(list, in, method) != NULL));
}

static void ask(
	struct router *router, const struct list *list, enum http_method method, struct str path)
{
	bool in[ROUTES], any = false;
	struct str texts[SEGMENTS];
	struct router_match match;
	struct path_segment segment;
	struct path_walk walk;
	struct arena arena;
	size_t count = 0;
	int more, r;

	arena_init(&arena, 1024, MEGABYTE);
	path_start(&walk, path);
	while ((more = path_next(&walk, &arena, &segment)) > 0 && count < SEGMENTS)
		texts[count++] = segment.text;
	if (more <= 0) {
		r = router_find(router, method, path, &arena, &match);
		CHECK(r == more);
	}
	if (more == 0) {
		search(list, texts, count, in);
		for (size_t i = 0; i < list->count; i++)
			any |= in[i];
		CHECK(any == (match.node != NULL));
		CHECK(route_for(list, in, method) == (match.entry ? match.entry->route : NULL));
		if (match.entry)
			check_params(&match, match.entry->route, texts);
		if (match.node)
			check_allow(list, in, match.node);
	}
	arena_done(&arena);
}

/* --- lines -------------------------------------------------------------- */

/* Adds a route; false when it is refused, which ends a program at its start. */
static bool add(struct router *router, struct list *list, enum http_method method, struct str path)
{
	struct route *route = &list->routes[list->count];
	int r, expected;

	if (list->count == ROUTES || path.len >= PATTERN_MAX || memchr(path.at, 0, path.len))
		return true;
	memcpy(list->patterns[list->count], path.at, path.len);
	list->patterns[list->count][path.len] = '\0';
	*route = (struct route){ method, list->patterns[list->count], "A route", answer,
		ROUTE_PUBLIC, .need = RIGHT_PUBLIC };
	expected = expected_verdict(list, route);
	r = router_add(router, route);
	CHECK(r == expected);
	list->count += r == 0;
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct list list;
	struct str rest = str_of((const char *)bytes, size);
	struct router router;
	bool good = true;

	list.count = 0;
	router_init(&router);
	while (rest.at && good) {
		struct str line = str_cut(&rest, '\n');
		bool is_route = str_starts(line, S("+"));
		struct str path = is_route ? str_from(line, 1) : line;
		struct str name = str_cut(&path, ' ');
		enum http_method method;
		struct target target;

		if (!path.at || !http_method_of(name, &method))
			continue;
		if (is_route)
			good = add(&router, &list, method, path);
		else if (router.root && target_parse(path, &target) == 0 &&
			 target.form == TARGET_ORIGIN)
			ask(&router, &list, method, target.path);
	}
	router_done(&router);
	return 0;
}
