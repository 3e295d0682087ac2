/*
 * Judges a document by a loaded schema. The document becomes a tree, since a value may be looked at
 * by several subschemas. Work is counted in steps, so that no combination of subschemas and value
 * takes longer than LOADED_STEPS_MAX allows; where only the verdict counts (anyOf, not, if),
 * nothing is reported and the first problem ends the search.
 */
#include "base/err.h"
#include "base/num.h"
#include "schema/loaded_rule.h"

#include <stdio.h>

struct checker {
	struct report report;
	struct matcher *matcher; /* of the whole document */
	size_t *steps;           /* left */
	size_t levels;
};

/* NOLINTBEGIN(misc-no-recursion): by LOADED_LEVELS_MAX */
static int check(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path);

/* True when further problems would change nothing. */
static bool settled(const struct checker *checker)
{
	return !checker->report.problems && checker->report.found > 0;
}

/* Whether a rule takes a value, without reporting. 1, 0 or a negative code. */
static int takes(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	struct checker quiet = *checker;
	int r;

	quiet.report = (struct report){ .arena = checker->report.arena };
	r = check(&quiet, rule, value, path);
	return r < 0 ? r : quiet.report.found == 0;
}

static int out_of_steps(void)
{
	return fail(
		ERR_TOO_LARGE, "judging the document takes more than %d steps", LOADED_STEPS_MAX);
}

static int equal(struct checker *checker, const struct tree *a, const struct tree *b)
{
	bool same = tree_equal(a, b, checker->steps);

	return *checker->steps == 0 ? out_of_steps() : same;
}

/* --- any value -------------------------------------------------------------------- */

static int check_type(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	static const char *const names[] = { "null", "true or false", "a number", "text",
		"an array", "an object", "an integer" };
	unsigned types = 1u << value->kind;
	char text[120]; /* longer than all names together */
	size_t len = 0;

	if (value->kind == TREE_NUMBER && decimal_is_integer(value->number))
		types |= TYPE_INTEGER;
	if (rule->types & types)
		return 0;

	for (size_t i = 0; i < LEN(names); i++)
		if (rule->types >> i & 1)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
				len ? " or " : "", names[i]);
	return report_at(&checker->report, path, PROBLEM_INVALID_TYPE, "must be %s", text);
}

static int check_choices(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	int r = 0;

	for (const struct tree *choice = rule->choices->first; choice && r == 0;
		choice = choice->next)
		r = equal(checker, choice, value);
	if (r != 0)
		return MIN(r, 0);
	return report_at(&checker->report, path, PROBLEM_INVALID_ENUM,
		"must be one of the %zu values allowed", rule->choices->count);
}

static int check_constant(struct checker *checker, const struct rule *rule,
	const struct tree *value, const struct path *path)
{
	int r = equal(checker, rule->constant, value);

	if (r != 0)
		return MIN(r, 0);
	return report_at(
		&checker->report, path, PROBLEM_INVALID_ENUM, "must be the one value allowed");
}

/* --- numbers ---------------------------------------------------------------------- */

/* A bound as text, as the double that is next to it. */
static int report_number(struct checker *checker, const struct path *path, const char *code,
	const char *what, struct decimal bound)
{
	return report_at(&checker->report, path, code, "must be %s %s%llue%d", what,
		bound.negative ? "-" : "", (unsigned long long)bound.digits, (int)bound.exponent);
}

static int check_number(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	struct decimal number = value->number;
	int r = 0;

	if (rule->min.set && decimal_compare(number, rule->min.value) < 0)
		r = report_number(checker, path, PROBLEM_TOO_SMALL, "at least", rule->min.value);
	if (r == 0 && rule->above.set && decimal_compare(number, rule->above.value) <= 0)
		r = report_number(checker, path, PROBLEM_TOO_SMALL, "more than", rule->above.value);
	if (r == 0 && rule->max.set && decimal_compare(number, rule->max.value) > 0)
		r = report_number(checker, path, PROBLEM_TOO_LARGE, "at most", rule->max.value);
	if (r == 0 && rule->below.set && decimal_compare(number, rule->below.value) >= 0)
		r = report_number(checker, path, PROBLEM_TOO_LARGE, "less than", rule->below.value);
	if (r == 0 && rule->step.set && !decimal_is_multiple(number, rule->step.value))
		r = report_number(
			checker, path, PROBLEM_NOT_MULTIPLE, "a multiple of", rule->step.value);
	return r;
}

/* --- arrays ------------------------------------------------------------------------ */

/* The first item equal to an earlier one: its position, the count when all differ, or a code. */
static ptrdiff_t find_twin(struct checker *checker, const struct tree *array)
{
	struct arena *arena = checker->report.arena;
	struct arena_mark mark = arena_mark(arena);
	const struct tree **table, *item;
	size_t size = 4, slot;
	int r = 0;

	while (size < 2 * array->count)
		size *= 2;
	table = arena_zalloc(arena, size * sizeof(struct tree *));
	if (!table)
		return -(ptrdiff_t)err_last()->code;

	for (item = array->first; item; item = item->next) {
		for (slot = tree_hash(item) & (size - 1); table[slot] && r == 0;
			slot = (slot + 1) & (size - 1))
			r = equal(checker, table[slot], item);
		if (r != 0)
			break;
		table[slot] = item;
	}
	arena_back(arena, mark);
	if (r < 0)
		return r;
	return (ptrdiff_t)(item ? item->position : array->count);
}

static int check_unique(struct checker *checker, const struct tree *array, const struct path *path)
{
	struct path here = { .up = path };
	ptrdiff_t twin = find_twin(checker, array);

	if (twin < 0)
		return (int)twin;
	if ((size_t)twin == array->count)
		return 0;
	here.index = (size_t)twin;
	return report_at(
		&checker->report, &here, PROBLEM_NOT_UNIQUE, "must differ from the other items");
}

static int check_items(struct checker *checker, const struct rule *rule, const struct tree *array,
	const struct path *path)
{
	const struct tree *prefix = rule->prefix ? rule->prefix->first : NULL;
	int r = 0;

	for (const struct tree *item = array->first; item && r == 0 && !settled(checker);
		item = item->next) {
		const struct rule *own = prefix ? prefix->rule : rule->rest;
		struct path here = { .up = path, .index = item->position };

		prefix = prefix ? prefix->next : NULL;
		if (own)
			r = check(checker, own, item, &here);
	}
	return r;
}

static int check_contained(struct checker *checker, const struct rule *rule,
	const struct tree *array, const struct path *path)
{
	size_t count = 0;

	for (const struct tree *item = array->first; item; item = item->next) {
		struct path here = { .up = path, .index = item->position };
		int r = takes(checker, rule->contains, item, &here);

		if (r < 0)
			return r;
		count += (size_t)r;
	}
	return rule_count(count, rule->contained.min, rule->contained.max,
		"items of the kind it must contain", &checker->report, path);
}

static int check_array(struct checker *checker, const struct rule *rule, const struct tree *array,
	const struct path *path)
{
	int r = rule_count(
		array->count, rule->items.min, rule->items.max, "items", &checker->report, path);

	if (r == 0 && (rule->prefix || rule->rest))
		r = check_items(checker, rule, array, path);
	if (r == 0 && rule->unique && array->count > 1)
		r = check_unique(checker, array, path);
	if (r == 0 && rule->contains)
		r = check_contained(checker, rule, array, path);
	return r;
}

/* --- objects ------------------------------------------------------------------------ */

/* Members by their name, by patterns, and the others. */
static int check_member(struct checker *checker, const struct rule *rule, const struct tree *member,
	const struct path *path)
{
	struct path here = { .up = path, .name = member->name };
	const struct tree *own =
		rule->properties ? tree_find(rule->properties, member->name) : NULL;
	const struct tree *part = rule->patterns ? rule->patterns->first : NULL;
	bool other = !own;
	int r = 0;

	if (rule->names) {
		struct tree name = { .kind = TREE_STRING, .text = member->name };

		r = check(checker, rule->names, &name, &here);
	}
	if (r == 0 && own)
		r = check(checker, own->rule, member, &here);
	for (; r == 0 && part; part = part->next) {
		int verdict = pattern_match(part->pattern, member->name, checker->matcher);

		if (verdict == PATTERN_YES)
			r = check(checker, part->rule, member, &here);
		other = other && verdict == PATTERN_NO;
		r = MIN(r, MIN(verdict, 0));
	}
	if (r < 0 || !other || !rule->additional)
		return r;
	if (rule->additional->never)
		return report_at(
			&checker->report, &here, PROBLEM_UNKNOWN_MEMBER, "is not known here");
	return check(checker, rule->additional, member, &here);
}

/* Names that must be there. */
static int check_present(struct checker *checker, const struct tree *names,
	const struct tree *object, const struct path *path)
{
	int r = 0;

	for (const struct tree *name = names->first; name && r == 0; name = name->next) {
		struct path here = { .up = path, .name = name->text };

		if (!tree_find(object, name->text))
			r = report_at(&checker->report, &here, PROBLEM_REQUIRED, "is required");
	}
	return r;
}

static int check_dependents(struct checker *checker, const struct rule *rule,
	const struct tree *object, const struct path *path)
{
	const struct tree *part = rule->needs ? rule->needs->first : NULL;
	int r = 0;

	for (; part && r == 0; part = part->next)
		if (tree_find(object, part->name))
			r = check_present(checker, part, object, path);
	for (part = rule->dependents ? rule->dependents->first : NULL; part && r == 0;
		part = part->next)
		if (tree_find(object, part->name))
			r = check(checker, part->rule, object, path);
	return r;
}

static int check_object(struct checker *checker, const struct rule *rule, const struct tree *object,
	const struct path *path)
{
	bool members = rule->properties || rule->patterns || rule->additional || rule->names;
	int r = rule_count(object->count, rule->members.min, rule->members.max, "members",
		&checker->report, path);

	for (const struct tree *member = object->first;
		members && member && r == 0 && !settled(checker); member = member->next)
		r = check_member(checker, rule, member, path);
	if (r == 0 && rule->required)
		r = check_present(checker, rule->required, object, path);
	if (r == 0 && (rule->needs || rule->dependents))
		r = check_dependents(checker, rule, object, path);
	return r;
}

/* --- combinations -------------------------------------------------------------------- */

/* How many of the subschemas take the value; stops behind `enough`. */
static int count_takers(struct checker *checker, const struct tree *parts, const struct tree *value,
	const struct path *path, int enough)
{
	int count = 0;

	for (const struct tree *part = parts->first; part && count < enough; part = part->next) {
		int r = takes(checker, part->rule, value, path);

		if (r < 0)
			return r;
		count += r;
	}
	return count;
}

static int check_alternatives(struct checker *checker, const struct rule *rule,
	const struct tree *value, const struct path *path)
{
	int any = rule->any ? count_takers(checker, rule->any, value, path, 1) : 1;
	int one = rule->one && any >= 0 ? count_takers(checker, rule->one, value, path, 2) : 1;

	if (any < 0 || one < 0)
		return MIN(any, one);
	if (any == 0 || one == 0)
		return report_at(&checker->report, path, PROBLEM_NO_MATCH,
			"matches none of the alternatives");
	if (one > 1)
		return report_at(&checker->report, path, PROBLEM_MANY_MATCHES,
			"matches more than one of the alternatives");
	return 0;
}

static int check_combinations(struct checker *checker, const struct rule *rule,
	const struct tree *value, const struct path *path)
{
	const struct tree *part = rule->all ? rule->all->first : NULL;
	int r = rule->ref ? check(checker, rule->ref, value, path) : 0, verdict;

	for (; part && r == 0 && !settled(checker); part = part->next)
		r = check(checker, part->rule, value, path);
	if (r == 0 && (rule->any || rule->one))
		r = check_alternatives(checker, rule, value, path);
	if (r == 0 && rule->not ) {
		verdict = takes(checker, rule->not, value, path);
		r = verdict > 0 ? report_at(&checker->report, path, PROBLEM_EXCLUDED,
					  "must not match what is excluded")
				: verdict;
	}
	if (r < 0 || !rule->condition || !(rule->consequence || rule->alternative))
		return r;

	verdict = takes(checker, rule->condition, value, path);
	if (verdict < 0)
		return verdict;
	rule = verdict ? rule->consequence : rule->alternative;
	return rule ? check(checker, rule, value, path) : 0;
}

/* --- one rule, one value -------------------------------------------------------------- */

static int check_kind(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	switch (value->kind) {
	case TREE_NUMBER: return check_number(checker, rule, value, path);
	case TREE_STRING:
		return rule->texts ? rule_text(&rule->text, value->text, checker->matcher,
					     &checker->report, path)
				   : 0;
	case TREE_ARRAY: return check_array(checker, rule, value, path);
	case TREE_OBJECT: return check_object(checker, rule, value, path);
	default: return 0;
	}
}

static int check(struct checker *checker, const struct rule *rule, const struct tree *value,
	const struct path *path)
{
	int r = 0;

	if (*checker->steps == 0)
		return out_of_steps();
	if (checker->levels == LOADED_LEVELS_MAX)
		return fail(ERR_TOO_LARGE, "more than %d subschemas within each other",
			LOADED_LEVELS_MAX);
	--*checker->steps;
	if (rule->never)
		return report_at(&checker->report, path, PROBLEM_EXCLUDED, "is not allowed here");

	checker->levels++;
	if (rule->types != TYPE_ALL)
		r = check_type(checker, rule, value, path);
	if (r == 0 && rule->choices)
		r = check_choices(checker, rule, value, path);
	if (r == 0 && rule->constant)
		r = check_constant(checker, rule, value, path);
	if (r == 0 && !settled(checker))
		r = check_kind(checker, rule, value, path);
	if (r == 0 && rule->height > 1 && !settled(checker))
		r = check_combinations(checker, rule, value, path);
	checker->levels--;
	return r;
}
/* NOLINTEND(misc-no-recursion) */

static const struct json_limits limits = { MEGABYTE, LOADED_DEPTH_MAX, MEGABYTE, 100000 };

int schema_loaded_check(const struct schema_loaded *loaded, struct str json, struct arena *arena,
	struct problems *problems)
{
	size_t steps = LOADED_STEPS_MAX;
	struct matcher matcher;
	struct checker checker = {
		.report = { arena, problems, 0 }, .matcher = &matcher, .steps = &steps
	};
	struct path whole = { 0 };
	struct tree *value;
	int r = tree_read(json, &limits, arena, &value);

	if (r == -ERR_INVALID)
		r = report_at(&checker.report, &whole, PROBLEM_INVALID_JSON,
			"is not valid JSON: %s", err_text());
	else if (r == 0) {
		matcher_init(&matcher, arena);
		r = check(&checker, loaded->root->rule, value, &whole);
		if (r == 0 && matcher.gave_up && checker.report.found == 0)
			r = report_at(&checker.report, &whole, PROBLEM_PATTERN_TOO_COMPLEX,
				"has texts that cannot be matched in reasonable time");
	}
	if (r < 0)
		return r;
	if (checker.report.found == 0)
		return 0;
	return fail(ERR_INVALID, "%zu problems in the document", checker.report.found);
}
