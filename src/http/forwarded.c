/*
 * Walks the lists of proxies from the right. Lists are cut from the right, too, so that garbage on
 * the left, such as a quote that is never closed, cannot swallow what a proxy appended. Pure; no
 * allocation.
 */
#include "http/forwarded.h"

#include "base/num.h"
#include "http/chars.h"

/* One step of the walk. */
enum hop {
	HOP_NAMED,  /* an address */
	HOP_HIDDEN, /* well-formed, but no address */
	HOP_BROKEN,
};

/* --- lists, from the right ---------------------------------------------- */

/* The lines of a field, last one first, and the members of each, last one first. */
struct members {
	const struct h1_head *head;
	enum h1_known field;
	bool quoted;     /* quoted strings may hold commas */
	size_t line;     /* fields[line...] have been opened */
	struct str rest; /* of the line, on the left; .at is NULL: open the next one */
};

static struct members members_of(const struct h1_head *head, enum h1_known field, bool quoted)
{
	return (struct members){ head, field, quoted, head->count, { NULL, 0 } };
}

/* True when the quote at `at` has an odd number of backslashes before it. */
static bool escaped(struct str text, size_t at)
{
	size_t start = at;

	while (start > 0 && text.at[start - 1] == '\\')
		start--;
	return (at - start) % 2;
}

/* Cuts the last member off `*rest`, which is then what stands before it, or NULL. */
static struct str cut_last(struct str *rest, bool quoted)
{
	struct str member = *rest;
	bool inside = false;

	for (size_t i = rest->len; i-- > 0;) {
		if (quoted && rest->at[i] == '"' && !(inside && escaped(*rest, i)))
			inside = !inside;
		if (rest->at[i] != ',' || inside)
			continue;
		member = str_of(rest->at + i + 1, rest->len - i - 1);
		*rest = str_first(*rest, i);
		return str_trim(member);
	}
	*rest = str_of(NULL, 0);
	return str_trim(member);
}

/* The next member to the left; empty ones are none (RFC 9110 5.6.1.2). */
static bool members_next(struct members *members, struct str *ret_member)
{
	for (;;) {
		while (members->rest.at) {
			struct str member = cut_last(&members->rest, members->quoted);

			if (member.len == 0)
				continue;
			*ret_member = member;
			return true;
		}
		if (members->line == 0)
			return false;
		members->line--;
		if (members->head->fields[members->line].known == members->field)
			members->rest = members->head->fields[members->line].value;
	}
}

/* --- addresses ---------------------------------------------------------- */

static bool parse_port(struct str text, uint16_t *ret_port)
{
	uint64_t port;

	if (!num_parse_u64(text, &port) || port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool is_obfuscated(struct str text)
{
	if (text.len < 2 || text.at[0] != '_')
		return false;

	for (size_t i = 1; i < text.len; i++) {
		char c = text.at[i];

		if (!(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'z') && c != '.' &&
			c != '_' && c != '-')
			return false;
	}
	return true;
}

/* Only digits, dots, colons and hex: address_parse takes no scopes, but says so by an error, which
 * costs more than a look. */
static bool looks_numeric(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (num_hex_digit(text.at[i]) < 0 && text.at[i] != '.' && text.at[i] != ':')
			return false;
	return text.len > 0;
}

/* Cuts host[:port], the host without its brackets. Two colons outside brackets are an IPv6 address
 * without a port. False when a bracket is not closed or something else than a port follows it. */
static bool cut_port(
	struct str text, struct str *ret_host, struct str *ret_port, bool *ret_brackets)
{
	ptrdiff_t colon = str_find_byte(text, ':');
	ptrdiff_t bracket = str_find_byte(text, ']');

	*ret_port = str_of(NULL, 0);
	*ret_host = text;
	*ret_brackets = text.len && text.at[0] == '[';
	if (*ret_brackets) {
		if (bracket < 0)
			return false;
		*ret_host = str_of(text.at + 1, (size_t)bracket - 1);
		text = str_from(text, (size_t)bracket + 1);
		if (text.len == 0)
			return true;
		if (text.at[0] != ':')
			return false;
		*ret_port = str_of(text.at + 1, text.len - 1);
	} else if (colon >= 0 && str_find_byte(str_from(text, (size_t)colon + 1), ':') < 0) {
		*ret_host = str_first(text, (size_t)colon);
		*ret_port = str_of(text.at + colon + 1, text.len - (size_t)colon - 1);
	}
	return true;
}

/* A node of either family. In RFC 7239 IPv6 needs brackets and the port may be obfuscated. */
static enum hop parse_node(struct str text, enum forwarded_family family, struct address *ret)
{
	struct address address;
	struct str host, port;
	uint16_t number = 0;
	bool brackets, v6;

	if (!cut_port(text, &host, &port, &brackets))
		return HOP_BROKEN;
	if (port.at && !parse_port(port, &number) &&
		!(family == FORWARDED_RFC7239 && is_obfuscated(port)))
		return HOP_BROKEN;
	if (!brackets && (str_eq_nocase(host, S("unknown")) || is_obfuscated(host)))
		return HOP_HIDDEN;

	v6 = str_find_byte(host, ':') >= 0;
	if (v6 != brackets && (brackets || family == FORWARDED_RFC7239))
		return HOP_BROKEN;
	if (!looks_numeric(host) || address_parse(host, number, &address) < 0)
		return HOP_BROKEN;
	*ret = address;
	return HOP_NAMED;
}

/* --- schemes and hosts -------------------------------------------------- */

static enum forwarded_scheme scheme_of(struct str text)
{
	if (str_eq_nocase(text, S("https")) || str_eq_nocase(text, S("wss")))
		return FORWARDED_HTTPS;
	if (str_eq_nocase(text, S("http")) || str_eq_nocase(text, S("ws")))
		return FORWARDED_HTTP;
	return FORWARDED_UNKNOWN;
}

static void take_host(struct str text, struct forwarded *ret)
{
	struct authority host;

	if (text.len && authority_parse(text, &host) == 0)
		ret->host = host;
}

/* Of the first `hops` members from the right (at least one) the leftmost there is. */
static struct str member_of(const struct h1_head *head, enum h1_known field, size_t hops)
{
	struct members members = members_of(head, field, false);
	struct str member = { NULL, 0 };

	if (h1_has(head, field))
		while (hops-- > 0 && members_next(&members, &member))
			;
	return member;
}

/* --- the elements of Forwarded ------------------------------------------ */

struct element {
	struct str node, proto, host; /* .at is NULL: not there; quotes are taken off */
};

/* A token or a quoted string at the start of `*rest`. Escapes are refused: no value that makes
 * sense here has any. */
static bool cut_value(struct str *rest, struct str *ret_value)
{
	size_t len = 1;

	if (rest->len == 0 || rest->at[0] != '"') {
		*ret_value = chars_cut_token(rest);
		return ret_value->len > 0;
	}

	while (len < rest->len && char_is(rest->at[len], CHAR_QUOTED))
		len++;
	if (len == rest->len || rest->at[len] != '"')
		return false;
	*ret_value = str_of(rest->at + 1, len - 1);
	*rest = str_of(rest->at + len + 1, rest->len - len - 1);
	return true;
}

/* Keeps a parameter; false when it came before. */
static bool keep(struct element *element, struct str name, struct str value)
{
	struct str *place = str_eq_nocase(name, S("for"))     ? &element->node
			    : str_eq_nocase(name, S("proto")) ? &element->proto
			    : str_eq_nocase(name, S("host"))  ? &element->host
							      : NULL;

	if (!place)
		return true;
	if (place->at)
		return false;
	*place = value;
	return true;
}

/* name=value pairs with ';' between them, RFC 7239 4; spaces around ';' are let pass. */
static bool parse_element(struct str text, struct element *ret)
{
	struct element element = { 0 };

	for (;;) {
		struct str name, value;

		text = str_trim(text);
		name = chars_cut_token(&text);
		if (name.len == 0 || text.len == 0 || text.at[0] != '=')
			return false;
		text = str_from(text, 1);
		if (!cut_value(&text, &value) || !keep(&element, name, value))
			return false;
		text = str_trim(text);
		if (text.len == 0)
			break;
		if (text.at[0] != ';')
			return false;
		text = str_from(text, 1);
	}
	*ret = element;
	return true;
}

/* --- the walks ---------------------------------------------------------- */

static void walk_x(
	const struct h1_head *head, const struct forwarded_trust *trust, struct forwarded *ret)
{
	struct members members = members_of(head, H1_X_FORWARDED_FOR, false);
	size_t hops = 0;
	struct str member;

	do {
		if (!members_next(&members, &member))
			break;
		hops++;
		if (parse_node(member, FORWARDED_X, &ret->client) != HOP_NAMED)
			break;
		ret->hops = hops;
	} while (hops < FORWARDED_HOPS_MAX && trust->trusted(&ret->client, trust->arg));

	hops = MAX(hops, (size_t)1);
	ret->scheme = scheme_of(member_of(head, H1_X_FORWARDED_PROTO, hops));
	take_host(member_of(head, H1_X_FORWARDED_HOST, hops), ret);
}

static void walk_rfc7239(
	const struct h1_head *head, const struct forwarded_trust *trust, struct forwarded *ret)
{
	struct members members = members_of(head, H1_FORWARDED, true);
	struct element element = { 0 }, next;
	struct str member;

	do {
		if (!members_next(&members, &member) || !parse_element(member, &next))
			break;
		element = next;
		if (!element.node.at ||
			parse_node(element.node, FORWARDED_RFC7239, &ret->client) != HOP_NAMED)
			break;
		ret->hops++;
	} while (ret->hops < FORWARDED_HOPS_MAX && trust->trusted(&ret->client, trust->arg));

	ret->scheme = scheme_of(element.proto);
	take_host(element.host, ret);
}

void forwarded_read(const struct h1_head *head, const struct address *peer,
	const struct forwarded_trust *trust, struct forwarded *ret)
{
	*ret = (struct forwarded){ .client = *peer };
	if (!trust->trusted || !trust->trusted(peer, trust->arg))
		return;

	if (trust->family == FORWARDED_X)
		walk_x(head, trust, ret);
	else
		walk_rfc7239(head, trust, ret);
}
