/*
 * Cuts request targets and decodes their parts. Promises zero-copy where nothing is encoded, one
 * decoding, and checks after it. Knows nothing of routes.
 */
#include "http/target.h"

#include "base/err.h"
#include "base/num.h"
#include "base/utf8.h"
#include "http/chars.h"

#include <arpa/inet.h>

/* Length of "http://" or "https://" (any case) at the start, or 0. */
static size_t scheme_prefix(struct str text)
{
	static const struct str prefixes[] = { S_INIT("http://"), S_INIT("https://") };

	for (size_t i = 0; i < LEN(prefixes); i++)
		if (str_eq_nocase(str_first(text, prefixes[i].len), prefixes[i]))
			return prefixes[i].len;
	return 0;
}

/* Cuts the query off the path. */
static void split_query(struct str path, struct target *target)
{
	const char *mark = path.len ? memchr(path.at, '?', path.len) : NULL;

	target->path = path;
	if (mark) {
		target->path.len = (size_t)(mark - path.at);
		target->query = str_of(mark + 1, path.len - target->path.len - 1);
	}
}

static int parse_absolute(struct str text, struct target *ret_target)
{
	size_t prefix = scheme_prefix(text);
	struct target target = { .form = TARGET_ABSOLUTE };
	size_t end = prefix;

	if (prefix == 0)
		return fail(ERR_INVALID, "the request target starts with neither / nor http://");

	while (end < text.len && text.at[end] != '/' && text.at[end] != '?')
		end++;
	target.scheme = str_first(text, prefix - strlen("://"));
	target.authority = str_of(text.at + prefix, end - prefix);
	if (target.authority.len == 0)
		return fail(ERR_INVALID, "the request target has no host");

	split_query(str_from(text, end), &target);
	if (target.path.len == 0)
		target.path = S("/");
	*ret_target = target;
	return 0;
}

int target_parse(struct str text, struct target *ret_target)
{
	if (text.len == 0)
		return fail(ERR_INVALID, "the request target is empty");
	for (size_t i = 0; i < text.len; i++)
		if (UNLIKELY(!char_is(text.at[i], CHAR_TARGET)))
			return fail(ERR_INVALID, "byte 0x%02x in the request target",
				(unsigned char)text.at[i]);

	if (text.at[0] == '/') {
		*ret_target = (struct target){ .form = TARGET_ORIGIN };
		split_query(text, ret_target);
		return 0;
	}
	if (str_eq(text, S("*"))) {
		*ret_target = (struct target){ .form = TARGET_ASTERISK, .path = text };
		return 0;
	}
	return parse_absolute(text, ret_target);
}

/* The whole of it is an IPv6 address without a zone. */
static bool is_ipv6(struct str text)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (text.len >= sizeof(copy) || memchr(text.at, 0, text.len))
		return false;

	memcpy(copy, text.at, text.len);
	copy[text.len] = 0;
	return inet_pton(AF_INET6, copy, &address) == 1;
}

/* Length of the host at the start, or 0 when there is none. */
static size_t host_length(struct str text)
{
	size_t len = 0;
	bool label = false; /* inside a label that has a character */

	if (text.len && text.at[0] == '[') {
		ptrdiff_t end = str_find_byte(text, ']');

		return end > 1 && is_ipv6(str_of(text.at + 1, (size_t)end - 1)) ? (size_t)end + 1
										: 0;
	}

	for (; len < text.len && char_is(text.at[len], CHAR_HOST); len++) {
		if (text.at[len] == '.' && !label)
			return 0;
		label = text.at[len] != '.';
	}
	return len <= TARGET_HOST_MAX ? len : 0;
}

int authority_parse(struct str text, struct authority *ret_authority)
{
	size_t len = host_length(text);
	struct str rest = str_from(text, len);
	uint64_t port = 0;

	if (len == 0)
		return fail(ERR_INVALID, "the host is missing or malformed");
	if (rest.len && (rest.at[0] != ':' || !num_parse_u64(str_from(rest, 1), &port) ||
				port == 0 || port > UINT16_MAX))
		return fail(ERR_INVALID, "the host is followed by something that is not a port");

	*ret_authority = (struct authority){ str_first(text, len), (uint16_t)port };
	return 0;
}

bool authority_eq(const struct authority *a, const struct authority *b, uint16_t default_port)
{
	uint16_t a_port = a->port ? a->port : default_port;
	uint16_t b_port = b->port ? b->port : default_port;

	return a_port == b_port && str_eq_nocase(a->host, b->host);
}

/* Undoes percent-encoding, and '+' if asked to. Only "%" and two hex digits are an escape. */
static int decode(struct str raw, bool plus, struct arena *arena, struct str *ret)
{
	char *at = arena_alloc(arena, raw.len);
	size_t len = 0;

	if (!at)
		return -(int)err_last()->code;

	for (size_t i = 0; i < raw.len; i++) {
		char byte = raw.at[i];

		if (byte == '%') {
			int high = i + 2 < raw.len ? num_hex_digit(raw.at[i + 1]) : -1;
			int low = high >= 0 ? num_hex_digit(raw.at[i + 2]) : -1;

			if (low < 0)
				return fail(ERR_INVALID, "a %% is not followed by two hex digits");
			byte = (char)(high << 4 | low);
			i += 2;
		} else if (plus && byte == '+') {
			byte = ' ';
		}
		at[len++] = byte;
	}

	*ret = str_of(at, len);
	return utf8_valid(*ret) ? 0 : fail(ERR_INVALID, "a percent-encoded text is not UTF-8");
}

/* A part "." or ".." between the slashes of a decoded segment. */
static bool has_dot_part(struct str text)
{
	struct str rest = text;

	while (rest.at) {
		struct str part = str_cut(&rest, '/');

		if (str_eq(part, S(".")) || str_eq(part, S("..")))
			return true;
	}
	return false;
}

void path_start(struct path_walk *walk, struct str path)
{
	*walk = (struct path_walk){ .rest = path };
	(void)str_cut(&walk->rest, '/'); /* what stands before the first slash: nothing */
}

int path_next(struct path_walk *walk, struct arena *arena, struct path_segment *ret_segment)
{
	struct path_segment segment;
	int r;

	if (!walk->rest.at)
		return 0;
	if (walk->count++ == PATH_SEGMENTS_MAX)
		return fail(ERR_INVALID, "more than %d segments in a path", PATH_SEGMENTS_MAX);

	segment.raw = segment.text = str_cut(&walk->rest, '/');
	if (segment.raw.len && memchr(segment.raw.at, '%', segment.raw.len)) {
		r = decode(segment.raw, false, arena, &segment.text);
		if (r < 0)
			return r;
		if (chars_find_control(segment.text.at, 0, segment.text.len) < segment.text.len)
			return fail(ERR_INVALID, "a control byte in a path segment");
		if (str_find_byte(segment.text, '\\') >= 0)
			return fail(ERR_INVALID, "a backslash in a path segment");
	}
	if (UNLIKELY(segment.text.len && memchr(segment.text.at, '.', segment.text.len) &&
		     has_dot_part(segment.text)))
		return fail(ERR_INVALID, "a path segment is \".\" or \"..\"");

	*ret_segment = segment;
	return 1;
}

void query_start(struct query_walk *walk, struct str query)
{
	*walk = (struct query_walk){ .rest = query };
}

/* True when there is a control byte that no line of text has. */
static bool has_odd_control(struct str text)
{
	size_t at = chars_find_control(text.at, 0, text.len);

	while (at < text.len && memchr("\t\r\n", text.at[at], 3))
		at = chars_find_control(text.at, at + 1, text.len);
	return at < text.len;
}

static int decode_form(struct str raw, struct arena *arena, struct str *ret)
{
	int r;

	*ret = raw;
	if (raw.len && (memchr(raw.at, '%', raw.len) || memchr(raw.at, '+', raw.len))) {
		r = decode(raw, true, arena, ret);
		if (r < 0)
			return r;
	} else if (!utf8_valid(raw)) { /* of a form body; a target is ASCII */
		return fail(ERR_INVALID, "a name or value of the query is not UTF-8");
	}

	if (has_odd_control(*ret))
		return fail(ERR_INVALID, "a control byte in a name or value of the query");
	return 0;
}

int query_next(struct query_walk *walk, struct arena *arena, struct query_pair *ret_pair)
{
	struct str value = { 0 };
	struct query_pair pair;
	int r;

	while (value.len == 0 && walk->rest.at)
		value = str_cut(&walk->rest, '&');
	if (value.len == 0)
		return 0;
	if (walk->count++ == QUERY_PAIRS_MAX)
		return fail(ERR_INVALID, "more than %d pairs in a query", QUERY_PAIRS_MAX);

	r = decode_form(str_cut(&value, '='), arena, &pair.name);
	if (r < 0)
		return r;
	r = decode_form(value, arena, &pair.value);
	if (r < 0)
		return r;

	*ret_pair = pair;
	return 1;
}
