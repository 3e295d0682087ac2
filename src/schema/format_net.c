/* Formats of the network: host names, addresses, URIs (RFC 1123, 4291, 3986). ASCII only. */
#include "schema/format.h"

#include "base/check.h"
#include "base/num.h"

enum { HOST_MAX = 253, LABEL_MAX = 63, ADDRESS_GROUPS = 8, GROUP_DIGITS = 4 };

/* What a byte may be part of. */
enum {
	ALPHA = 1,
	DIGIT = 2,
	HEX = 4,
	MARK = 8,      /* - . _ ~ */
	DELIM = 16,    /* ! $ & ' ( ) * + , ; = */
	PATH = 32,     /* : @ */
	SLASH = 64,    /* / */
	QUESTION = 128 /* ? */
};

#define UNRESERVED (ALPHA | DIGIT | MARK)
#define PCHAR      (UNRESERVED | DELIM | PATH)

static const uint8_t classes[256] = {
	['a' ... 'f'] = ALPHA | HEX,
	['g' ... 'z'] = ALPHA,
	['A' ... 'F'] = ALPHA | HEX,
	['G' ... 'Z'] = ALPHA,
	['0' ... '9'] = DIGIT | HEX,
	['-'] = MARK,
	['.'] = MARK,
	['_'] = MARK,
	['~'] = MARK,
	['!'] = DELIM,
	['$'] = DELIM,
	['&'] = DELIM,
	['\''] = DELIM,
	['('] = DELIM,
	[')'] = DELIM,
	['*'] = DELIM,
	['+'] = DELIM,
	[','] = DELIM,
	[';'] = DELIM,
	['='] = DELIM,
	[':'] = PATH,
	['@'] = PATH,
	['/'] = SLASH,
	['?'] = QUESTION,
};

static bool is(char byte, unsigned class)
{
	return (classes[(unsigned char)byte] & class) != 0;
}

static bool is_label(struct str label)
{
	if (label.len == 0 || label.len > LABEL_MAX || label.at[0] == '-' ||
		label.at[label.len - 1] == '-')
		return false;

	for (size_t i = 0; i < label.len; i++)
		if (!is(label.at[i], ALPHA | DIGIT) && label.at[i] != '-')
			return false;
	if (label.len >= 4 && label.at[2] == '-' && label.at[3] == '-')
		return label.len > 4 && str_eq_nocase(str_first(label, 2), S("xn"));
	return true;
}

bool format_hostname(struct str text)
{
	struct str rest = text;

	while (rest.at)
		if (!is_label(str_cut(&rest, '.')))
			return false;
	return text.len > 0 && text.len <= HOST_MAX;
}

bool format_ipv4(struct str text)
{
	size_t numbers = 0;

	for (; text.at && numbers < 4; numbers++) {
		struct str part = str_cut(&text, '.');
		uint64_t value;

		if (part.len > 3 || !num_parse_u64(part, &value) || value > 255)
			return false;
	}
	return numbers == 4 && !text.at;
}

static bool is_group(struct str part)
{
	for (size_t i = 0; i < part.len; i++)
		if (!is(part.at[i], HEX))
			return false;
	return part.len > 0 && part.len <= GROUP_DIGITS;
}

/* Groups with single colons between; an IPv4 address may be the last and counts for two. Returns
 * their number, or -1. */
static int count_groups(struct str text, bool last)
{
	int groups = 0;

	if (text.len == 0)
		return 0;
	while (text.at) {
		struct str part = str_cut(&text, ':');

		if (last && !text.at && str_find_byte(part, '.') >= 0)
			groups += format_ipv4(part) ? 2 : ADDRESS_GROUPS + 1;
		else if (is_group(part))
			groups++;
		else
			return -1;
		if (groups > ADDRESS_GROUPS)
			return -1;
	}
	return groups;
}

bool format_ipv6(struct str text)
{
	ptrdiff_t gap = str_find(text, S("::"));
	int before, after;

	if (gap < 0)
		return count_groups(text, true) == ADDRESS_GROUPS;

	before = count_groups(str_first(text, (size_t)gap), false);
	after = count_groups(str_from(text, (size_t)gap + 2), true);
	return before >= 0 && after >= 0 && before + after < ADDRESS_GROUPS;
}

bool format_cidr(struct str text)
{
	ptrdiff_t slash = str_find_byte(text, '/');
	struct str address;
	uint64_t bits;

	if (slash < 0 || !num_parse_u64(str_from(text, (size_t)slash + 1), &bits))
		return false;

	address = str_first(text, (size_t)slash);
	return (bits <= 32 && format_ipv4(address)) || (bits <= 128 && format_ipv6(address));
}

/* --- URIs ---------------------------------------------------------------------- */

/* Bytes of the classes, and percent-encoded ones. */
static bool are(struct str text, unsigned class)
{
	for (size_t i = 0; i < text.len; i++) {
		if (is(text.at[i], class))
			continue;
		if (text.at[i] != '%' || text.len - i < 3 || !is(text.at[i + 1], HEX) ||
			!is(text.at[i + 2], HEX))
			return false;
		i += 2;
	}
	return true;
}

/* "v1.x" between brackets: RFC 3986's door for later kinds of addresses. */
static bool is_future_address(struct str text)
{
	ptrdiff_t dot = str_find_byte(text, '.');

	if (!text.at || dot < 2 || (text.at[0] | 0x20) != 'v' || (size_t)dot + 1 == text.len ||
		str_find_byte(text, '%') >= 0)
		return false;

	for (ptrdiff_t i = 1; i < dot; i++)
		if (!is(text.at[i], HEX))
			return false;
	for (size_t i = (size_t)dot + 1; i < text.len; i++)
		if (!is(text.at[i], UNRESERVED | DELIM) && text.at[i] != ':')
			return false;
	return true;
}

static bool is_port(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is(text.at[i], DIGIT))
			return false;
	return true;
}

static bool is_user(struct str text)
{
	return are(text, UNRESERVED | DELIM | PATH) && str_find_byte(text, '@') < 0;
}

/* [user "@"] host [":" port] */
static bool is_authority(struct str text)
{
	ptrdiff_t at = str_find_byte(text, '@'), colon;

	if (at >= 0) {
		if (!is_user(str_first(text, (size_t)at)))
			return false;
		text = str_from(text, (size_t)at + 1);
	}
	if (text.len && text.at[0] == '[') {
		ptrdiff_t close = str_find_byte(text, ']');
		struct str inner = str_first(str_from(text, 1), close > 0 ? (size_t)close - 1 : 0);
		struct str rest = str_from(text, close > 0 ? (size_t)close + 1 : text.len);

		if (close < 0 || !(format_ipv6(inner) || is_future_address(inner)))
			return false;
		return rest.len == 0 || (rest.at[0] == ':' && is_port(str_from(rest, 1)));
	}

	colon = str_find_byte(text, ':');
	if (colon >= 0 && !is_port(str_from(text, (size_t)colon + 1)))
		return false;
	return are(colon >= 0 ? str_first(text, (size_t)colon) : text, UNRESERVED | DELIM);
}

/* Length of the scheme before its colon, or 0. */
static size_t scheme_len(struct str text)
{
	ptrdiff_t colon = str_find_byte(text, ':');

	if (colon < 1 || !is(text.at[0], ALPHA))
		return 0;
	for (ptrdiff_t i = 1; i < colon; i++)
		if (!is(text.at[i], ALPHA | DIGIT) && !memchr("+-.", text.at[i], 3))
			return 0;
	return (size_t)colon;
}

/* Cuts from the first `mark` on and returns what follows it. */
static bool cut_tail(struct str *text, char mark)
{
	ptrdiff_t at = str_find_byte(*text, mark);
	bool good;

	if (at < 0)
		return true;

	good = are(str_from(*text, (size_t)at + 1), PCHAR | SLASH | QUESTION);
	*text = str_first(*text, (size_t)at);
	return good;
}

/* What stands behind the scheme, or all of a relative reference. */
static bool is_hierarchy(struct str text)
{
	if (!cut_tail(&text, '#') || !cut_tail(&text, '?'))
		return false;

	if (str_starts(text, S("//"))) {
		struct str rest = str_from(text, 2);
		ptrdiff_t slash = str_find_byte(rest, '/');

		if (!is_authority(slash >= 0 ? str_first(rest, (size_t)slash) : rest))
			return false;
		text = slash >= 0 ? str_from(rest, (size_t)slash) : str_of(NULL, 0);
	}
	return are(text, PCHAR | SLASH);
}

bool format_uri(struct str text)
{
	size_t scheme = scheme_len(text);

	return scheme > 0 && is_hierarchy(str_from(text, scheme + 1));
}

bool format_uri_reference(struct str text)
{
	size_t end = 0;

	if (format_uri(text))
		return true;

	/* The first segment of a relative path must not look like a scheme. */
	while (end < text.len && !memchr("/?#", text.at[end], 3))
		end++;
	return str_find_byte(str_first(text, end), ':') < 0 && is_hierarchy(text);
}
