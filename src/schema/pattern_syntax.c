/*
 * Reads a pattern as ECMA-262 does with the flag "u" and passes on what PCRE2 understands alike;
 * the two places where the same text means something else are rewritten (\v, long names of
 * categories). PCRE2's own inventions (verbs, recursion, possessive quantifiers, POSIX classes,
 * \Q...\E and so on) are syntax errors in ECMA-262 and therefore here.
 */
#include "schema/pattern_syntax.h"

#include "base/err.h"
#include "base/num.h"

struct scan {
	struct str source;
	size_t at;
	bool atom; /* something that may be repeated has just ended */
	struct buf *out;
};

static int refuse(const struct scan *scan, const char *what)
{
	return fail(ERR_INVALID, "pattern \"%.*s\", character %zu: %s",
		STR_ARG(str_first(scan->source, 100)), scan->at + 1, what);
}

/* The byte `ahead` bytes from here, 0 at the end. */
static char peek(const struct scan *scan, size_t ahead)
{
	return scan->at + ahead < scan->source.len ? scan->source.at[scan->at + ahead] : '\0';
}

static bool one_of(char byte, const char *set)
{
	return byte && strchr(set, byte);
}

static void pass(struct scan *scan, size_t count)
{
	buf_append(scan->out, str_of(scan->source.at + scan->at, count));
	scan->at += count;
}

/* How many of the next bytes are hex digits (decimal digits). */
static size_t count_hex(const struct scan *scan, size_t from)
{
	size_t count = 0;

	while (num_hex_digit(peek(scan, from + count)) >= 0)
		count++;
	return count;
}

static size_t count_digits(const struct scan *scan, size_t from)
{
	size_t count = 0;

	while (peek(scan, from + count) >= '0' && peek(scan, from + count) <= '9')
		count++;
	return count;
}

/* The text between here and the next `end`, or one with a NULL pointer. */
static struct str until(const struct scan *scan, size_t from, char end)
{
	struct str rest = str_from(scan->source, scan->at + from);
	ptrdiff_t at = str_find_byte(rest, end);

	return at > 0 ? str_first(rest, (size_t)at) : str_of(NULL, 0);
}

/* \p{...}: PCRE2 knows the categories by their short names only. */
static int pass_property(struct scan *scan)
{
	static const struct {
		struct str name, category;
	} categories[] = {
		{ S_INIT("Letter"), S_INIT("L") },
		{ S_INIT("Lowercase_Letter"), S_INIT("Ll") },
		{ S_INIT("Uppercase_Letter"), S_INIT("Lu") },
		{ S_INIT("Titlecase_Letter"), S_INIT("Lt") },
		{ S_INIT("Modifier_Letter"), S_INIT("Lm") },
		{ S_INIT("Other_Letter"), S_INIT("Lo") },
		{ S_INIT("Mark"), S_INIT("M") },
		{ S_INIT("Number"), S_INIT("N") },
		{ S_INIT("Decimal_Number"), S_INIT("Nd") },
		{ S_INIT("digit"), S_INIT("Nd") },
		{ S_INIT("Letter_Number"), S_INIT("Nl") },
		{ S_INIT("Other_Number"), S_INIT("No") },
		{ S_INIT("Punctuation"), S_INIT("P") },
		{ S_INIT("punct"), S_INIT("P") },
		{ S_INIT("Symbol"), S_INIT("S") },
		{ S_INIT("Separator"), S_INIT("Z") },
		{ S_INIT("Space_Separator"), S_INIT("Zs") },
		{ S_INIT("Other"), S_INIT("C") },
		{ S_INIT("Control"), S_INIT("Cc") },
	};
	struct str name = peek(scan, 2) == '{' ? until(scan, 3, '}') : str_of(NULL, 0);
	struct str category = name;

	if (!name.at || name.at[0] == '^')
		return refuse(scan, "expected \\p{Name}");

	for (size_t i = 0; i < LEN(categories); i++)
		if (str_eq(name, categories[i].name))
			category = categories[i].category;
	buf_printf(scan->out, "\\%c{%.*s}", peek(scan, 1), STR_ARG(category));
	scan->at += name.len + 4;
	return 0;
}

/* \x, \u, \c: a character by number. Returns the length of the escape or 0. */
static size_t numbered(const struct scan *scan)
{
	size_t digits;

	switch (peek(scan, 1)) {
	case 'x': return count_hex(scan, 2) >= 2 ? 4 : 0;
	case 'c': return ((unsigned char)(peek(scan, 2) | 0x20) - 'a') < 26u ? 3 : 0;
	case '0': return count_digits(scan, 2) == 0 ? 2 : 0;
	case 'u':
		if (peek(scan, 2) != '{')
			return count_hex(scan, 2) >= 4 ? 6 : 0;
		digits = count_hex(scan, 3);
		return digits > 0 && digits <= 6 && peek(scan, 3 + digits) == '}' ? digits + 4 : 0;
	default: return 0;
	}
}

/* An escape, inside or outside of a class. */
static int pass_escape(struct scan *scan, bool in_class)
{
	char letter = peek(scan, 1);
	size_t len = numbered(scan);

	if (letter == 'p' || letter == 'P')
		return pass_property(scan);

	if (letter == 'v') {
		buf_append(scan->out, S("\\x0b"));
		scan->at += 2;
		return 0;
	}
	if (one_of(letter, "dDsSwWbfnrt^$\\.*+?()[]{}|/") || one_of(letter, in_class ? "-" : "B"))
		len = 2;
	else if (!in_class && letter >= '1' && letter <= '9')
		len = 1 + count_digits(scan, 1);
	else if (!in_class && letter == 'k' && peek(scan, 2) == '<')
		len = until(scan, 3, '>').at ? until(scan, 3, '>').len + 4 : 0;
	if (len == 0)
		return refuse(scan, "an escape that ECMA-262 does not have");

	pass(scan, len);
	return 0;
}

/* True when a set such as \d has just passed and a hyphen would make it the start of a range. */
static bool starts_range(const struct scan *scan)
{
	return peek(scan, 0) == '-' && peek(scan, 1) != ']' && peek(scan, 1) != '\0';
}

static int pass_class(struct scan *scan)
{
	pass(scan, peek(scan, 1) == '^' ? 2 : 1);
	while (peek(scan, 0) != ']') {
		char byte = peek(scan, 0);
		int r;

		if (scan->at == scan->source.len)
			return refuse(scan, "expected ']'");
		if (byte == '[' && one_of(peek(scan, 1), ":.="))
			return refuse(scan, "a POSIX class, which ECMA-262 does not have");
		if (byte != '\\') {
			pass(scan, 1);
			continue;
		}

		byte = peek(scan, 1);
		r = pass_escape(scan, true);
		if (r < 0)
			return r;
		if (one_of(byte, "dDsSwWpP") && starts_range(scan))
			return refuse(scan, "a range that starts with a set");
	}
	pass(scan, 1);
	scan->atom = true;
	return 0;
}

/* An opening parenthesis with what tells the kind of the group. */
static int pass_group(struct scan *scan)
{
	size_t len = 1;

	if (peek(scan, 1) == '*')
		return refuse(scan, "nothing to repeat");
	if (peek(scan, 1) == '?') {
		if (one_of(peek(scan, 2), ":=!"))
			len = 3;
		else if (peek(scan, 2) == '<' && one_of(peek(scan, 3), "=!"))
			len = 4;
		else if (peek(scan, 2) == '<' && until(scan, 3, '>').at)
			len = until(scan, 3, '>').len + 4;
		else
			return refuse(scan, "a kind of group that ECMA-262 does not have");
	}
	pass(scan, len);
	scan->atom = false;
	return 0;
}

/* The length of a quantifier here, or 0. */
static size_t quantifier(const struct scan *scan)
{
	size_t len;

	if (one_of(peek(scan, 0), "*+?"))
		return 1;

	len = count_digits(scan, 1);
	if (len == 0)
		return 0;
	len++;
	if (peek(scan, len) == ',')
		len += 1 + count_digits(scan, len + 1);
	return peek(scan, len) == '}' ? len + 1 : 0;
}

static int pass_quantifier(struct scan *scan)
{
	size_t len = quantifier(scan);

	if (len == 0)
		return refuse(scan, "a brace that must be escaped");
	if (!scan->atom)
		return refuse(scan, "nothing to repeat");

	pass(scan, len);
	if (peek(scan, 0) == '?')
		pass(scan, 1);
	scan->atom = false;
	return 0;
}

static int pass_one(struct scan *scan)
{
	bool assertion;
	int r;

	switch (peek(scan, 0)) {
	case '\\':
		assertion = one_of(peek(scan, 1), "bB");
		r = pass_escape(scan, false);
		scan->atom = !assertion;
		return r;
	case '[': return pass_class(scan);
	case '(': return pass_group(scan);
	case '*':
	case '+':
	case '?':
	case '{': return pass_quantifier(scan);
	case ']':
	case '}': return refuse(scan, "a bracket that must be escaped");
	case '|':
	case '^':
	case '$':
		pass(scan, 1);
		scan->atom = false;
		return 0;
	default:
		pass(scan, 1);
		scan->atom = true;
		return 0;
	}
}

int pattern_translate(struct str source, struct buf *ret)
{
	struct scan scan = { .source = source, .out = ret };
	int r;

	while (scan.at < source.len) {
		if (source.at[scan.at] == '\0')
			return refuse(&scan, "a NUL must be written as \\0");
		r = pass_one(&scan);
		if (r < 0)
			return r;
	}
	return ret->failed;
}
