/* The types of settings, one block each, gathered in one table at the end. Nothing here knows where
 * a text comes from, and nothing puts it into a message. */
#include "config_value.h"

#include "base/num.h"
#include "base/utf8.h"

#include <arpa/inet.h>

_Static_assert(sizeof(enum app_env) == sizeof(unsigned), "enums are stored as unsigned");
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "integers and sizes are stored as 64 bits");

enum { REGION_ALIGNMENT = 16 };

void *config_region_alloc(struct config_region *region, size_t size)
{
	size_t whole = (size + REGION_ALIGNMENT - 1) & ~(size_t)(REGION_ALIGNMENT - 1);
	void *at = region->at;

	if (whole < size || whole > (size_t)(region->end - region->at)) {
		region->full = true;
		return NULL;
	}

	region->at += whole;
	return at;
}

/* A copy with a NUL behind it. */
static struct str region_str(struct config_region *region, struct str text)
{
	char *copy = config_region_alloc(region, text.len + 1);

	if (!copy)
		return str_of(NULL, 0);

	if (text.len)
		memcpy(copy, text.at, text.len);
	return str_of(copy, text.len);
}

void config_origin_write(
	const struct config_entry *entry, const struct config_origin *origin, struct buf *out)
{
	if (origin->place == CONFIG_FROM_DEFAULT) {
		buf_append(out, S("default"));
		return;
	}

	if (origin->file.len) {
		buf_append(out, entry->name);
		buf_append(out, S("_FILE="));
		buf_append(out, origin->file);
		buf_append(out, S(", "));
	}
	if (origin->place == CONFIG_FROM_ENVIRONMENT)
		buf_append(out, S("environment"));
	else
		buf_printf(out, ".env line %u", origin->line);
}

/* --- text and paths ------------------------------------------------------------ */

static bool text_is_printable(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return false;
	return utf8_valid(text);
}

/* A secret may be a key of several lines or any bytes, but never holds a NUL. */
static bool parse_text(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	struct str *ret = member;

	if (text.len < entry->min || text.len > entry->max)
		return false;
	if (entry->flags & CONFIG_SECRET ? str_find_byte(text, 0) >= 0 : !text_is_printable(text))
		return false;

	*ret = region_str(region, text);
	return ret->at != NULL;
}

static void write_text(const struct config_entry *entry, const void *member, struct buf *out)
{
	(void)entry;
	buf_append(out, *(const struct str *)member);
}

static void rule_string(const struct config_entry *entry, struct buf *out)
{
	buf_printf(out, "%s of %llu to %llu bytes",
		entry->flags & CONFIG_SECRET ? "a secret" : "text", (unsigned long long)entry->min,
		(unsigned long long)entry->max);
}

static void rule_path(const struct config_entry *entry, struct buf *out)
{
	buf_printf(out, "a path of at most %llu bytes", (unsigned long long)entry->max);
}

/* --- hosts and addresses -------------------------------------------------------- */

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_alnum(char byte)
{
	return is_digit(byte) || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

/* What stands before an IPv4 address that is written as IPv6: ::ffff:0:0/96. */
static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

/* An address as 16 bytes, IPv4 as ::ffff:a.b.c.d. */
static bool parse_address(struct str text, uint8_t address[16], bool *ret_v4)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) || str_find_byte(text, 0) >= 0)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = 0;

	*ret_v4 = inet_pton(AF_INET, copy, address + sizeof(mapped)) == 1;
	if (!*ret_v4)
		return inet_pton(AF_INET6, copy, address) == 1;

	memcpy(address, mapped, sizeof(mapped));
	return true;
}

static bool is_ipv6(struct str text)
{
	uint8_t address[16];
	bool v4;

	return parse_address(text, address, &v4) && !v4;
}

/* Part of a host name: RFC 1123 2.1, and the underscore that container networks use. */
static bool is_label(struct str label)
{
	if (label.len == 0 || label.len > 63 || label.at[0] == '-' ||
		label.at[label.len - 1] == '-')
		return false;

	for (size_t i = 0; i < label.len; i++)
		if (!is_alnum(label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
			return false;
	return true;
}

/* An IPv4 address or a host name. The last label of a name is not a number: 1.2.3 and 1.2.3.256 are
 * mistyped addresses. */
static bool is_ipv4_or_name(struct str text)
{
	uint8_t address[16];
	struct str rest = text;
	struct str label;
	size_t digits = 0;
	bool v4;

	if (parse_address(text, address, &v4))
		return v4;
	if (text.len == 0 || text.len > 253)
		return false;

	do {
		label = str_cut(&rest, '.');
		if (!is_label(label))
			return false;
	} while (rest.at);

	while (digits < label.len && is_digit(label.at[digits]))
		digits++;
	return digits < label.len;
}

static bool parse_host(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	return (is_ipv4_or_name(text) || is_ipv6(text)) && parse_text(entry, text, region, member);
}

static void rule_host(const struct config_entry *entry, struct buf *out)
{
	(void)entry;
	buf_append(out, S("an IPv4 or IPv6 address or a host name"));
}

static bool parse_port_number(struct str text, uint64_t min, uint16_t *ret)
{
	uint64_t port;

	if (!num_parse_u64(text, &port) || port < min || port > UINT16_MAX)
		return false;

	*ret = (uint16_t)port;
	return true;
}

/* "host:port" or "[IPv6]:port" in parts; `*ret_port` is empty without a colon behind the host. */
static bool split_host_port(struct str text, struct str *ret_host, struct str *ret_port)
{
	bool bracket = text.len && text.at[0] == '[';
	ptrdiff_t end = str_find_byte(text, bracket ? ']' : ':');
	struct str host, rest;

	if (bracket && end < 0)
		return false;

	if (bracket) {
		host = str_of(text.at + 1, (size_t)end - 1);
		rest = str_from(text, (size_t)end + 1);
		if (!is_ipv6(host))
			return false;
	} else {
		host = end < 0 ? text : str_first(text, (size_t)end);
		rest = end < 0 ? str_of(NULL, 0) : str_from(text, (size_t)end);
		if (host.len && !is_ipv4_or_name(host))
			return false;
	}
	if (rest.len == 1 || (rest.len && rest.at[0] != ':'))
		return false;

	*ret_host = host;
	*ret_port = str_from(rest, 1);
	return true;
}

static bool parse_listen(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	struct config_listen *ret = member;
	struct str host, port;

	(void)entry;
	if (!split_host_port(text, &host, &port) || !parse_port_number(port, 0, &ret->port))
		return false;

	ret->host = region_str(region, host);
	return ret->host.at != NULL;
}

static void write_host_port(struct str host, uint16_t port, bool with_port, struct buf *out)
{
	bool brackets = str_find_byte(host, ':') >= 0;

	buf_append(out, brackets ? S("[") : S(""));
	buf_append(out, host);
	buf_append(out, brackets ? S("]") : S(""));
	if (with_port)
		buf_printf(out, ":%u", port);
}

static void write_listen(const struct config_entry *entry, const void *member, struct buf *out)
{
	const struct config_listen *listen = member;

	(void)entry;
	write_host_port(listen->host, listen->port, true, out);
}

static void rule_listen(const struct config_entry *entry, struct buf *out)
{
	(void)entry;
	buf_append(out, S("an address and port: HOST:PORT, [IPv6]:PORT or :PORT"));
}

/* --- choices --------------------------------------------------------------------- */

static void write_choices(const char *const *choices, struct buf *out)
{
	for (size_t i = 0; choices[i]; i++) {
		buf_append(out, i == 0 ? S("") : choices[i + 1] ? S(", ") : S(" or "));
		buf_append(out, str_from_c(choices[i]));
	}
}

static bool parse_enum(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	(void)region;
	for (unsigned i = 0; entry->choices[i]; i++)
		if (str_eq_nocase(text, str_from_c(entry->choices[i]))) {
			memcpy(member, &i,
				sizeof(i)); /* any enum: gcc and clang make it unsigned */
			return true;
		}
	return false;
}

static void write_enum(const struct config_entry *entry, const void *member, struct buf *out)
{
	unsigned value;

	memcpy(&value, member, sizeof(value));
	buf_append(out, str_from_c(entry->choices[value]));
}

static void rule_enum(const struct config_entry *entry, struct buf *out)
{
	write_choices(entry->choices, out);
}

static const struct {
	struct str text;
	bool value;
} bools[] = {
	{ S_INIT("true"), true },
	{ S_INIT("false"), false },
	{ S_INIT("1"), true },
	{ S_INIT("0"), false },
	{ S_INIT("on"), true },
	{ S_INIT("off"), false },
	{ S_INIT("yes"), true },
	{ S_INIT("no"), false },
};

static bool parse_bool(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	(void)entry;
	(void)region;
	for (size_t i = 0; i < LEN(bools); i++)
		if (str_eq_nocase(text, bools[i].text)) {
			*(bool *)member = bools[i].value;
			return true;
		}
	return false;
}

static void write_bool(const struct config_entry *entry, const void *member, struct buf *out)
{
	(void)entry;
	buf_append(out, *(const bool *)member ? S("true") : S("false"));
}

static void rule_bool(const struct config_entry *entry, struct buf *out)
{
	(void)entry;
	buf_append(out, S("true or false (or 1, 0, on, off, yes, no)"));
}

/* --- amounts --------------------------------------------------------------------- */

/* A unit of amounts, largest first. */
struct unit {
	uint64_t factor;
	const char *name;
};

static const struct unit durations[] = {
	{ 24 * HOUR, "d" },
	{ HOUR, "h" },
	{ MINUTE, "m" },
	{ SECOND, "s" },
	{ MILLISECOND, "ms" },
};

static const struct unit sizes[] = {
	{ 1024 * MEGABYTE, "gb" },
	{ MEGABYTE, "mb" },
	{ KILOBYTE, "kb" },
	{ 1, "b" },
};

/* In the largest unit that gives a whole number; durations are whole milliseconds. */
static void write_with_unit(uint64_t value, const struct unit *units, size_t count, struct buf *out)
{
	size_t i = 0;

	while (i + 1 < count && (value < units[i].factor || value % units[i].factor))
		i++;
	buf_u64(out, value / units[i].factor);
	buf_append(out, str_from_c(units[i].name));
}

static void write_amount(const struct config_entry *entry, uint64_t value, struct buf *out)
{
	if (value == 0 && entry->type == CONFIG_DURATION)
		buf_append(out, S("0s"));
	else if (entry->type == CONFIG_DURATION)
		write_with_unit(value, durations, LEN(durations), out);
	else if (entry->type == CONFIG_SIZE && value != 0)
		write_with_unit(value, sizes, LEN(sizes), out);
	else
		buf_u64(out, value);
	if (entry->type == CONFIG_PERCENT)
		buf_byte(out, '%');
}

/* Reads by the entry's type and looks at the bounds. */
static bool read_amount(const struct config_entry *entry, struct str text, uint64_t *ret)
{
	uint64_t value;
	bool ok;

	if (entry->type == CONFIG_DURATION)
		ok = num_parse_duration(text, &value);
	else if (entry->type == CONFIG_SIZE)
		ok = num_parse_size(text, &value);
	else if (entry->type == CONFIG_PERCENT && str_ends(text, S("%")))
		ok = num_parse_u64(str_first(text, text.len - 1), &value);
	else
		ok = num_parse_u64(text, &value);

	if (!ok)
		return false;
	if ((value < entry->min || value > entry->max) &&
		!(value == 0 && entry->flags & CONFIG_OR_ZERO))
		return false;

	*ret = value;
	return true;
}

static bool parse_amount(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	(void)region;
	return read_amount(entry, text, member);
}

static void write_u64(const struct config_entry *entry, const void *member, struct buf *out)
{
	write_amount(entry, *(const uint64_t *)member, out);
}

static bool parse_percent(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	uint64_t value;

	(void)region;
	if (!read_amount(entry, text, &value))
		return false;

	*(unsigned *)member = (unsigned)value;
	return true;
}

static void write_percent(const struct config_entry *entry, const void *member, struct buf *out)
{
	write_amount(entry, *(const unsigned *)member, out);
}

static bool parse_port(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	(void)region;
	return parse_port_number(text, entry->min, member);
}

static void write_port(const struct config_entry *entry, const void *member, struct buf *out)
{
	(void)entry;
	buf_u64(out, *(const uint16_t *)member);
}

static void rule_amount(const struct config_entry *entry, struct buf *out)
{
	static const char *const nouns[CONFIG_TYPES] = {
		[CONFIG_INTEGER] = "an integer",
		[CONFIG_PERCENT] = "a percentage",
		[CONFIG_DURATION] = "a duration",
		[CONFIG_SIZE] = "a size",
		[CONFIG_PORT] = "a port",
	};

	buf_append(out, entry->flags & CONFIG_OR_ZERO ? S("0 or ") : S(""));
	buf_append(out, str_from_c(nouns[entry->type]));
	buf_append(out, S(" from "));
	write_amount(entry, entry->min, out);
	buf_append(out, S(" to "));
	write_amount(entry, entry->max, out);
	if (entry->type == CONFIG_DURATION)
		buf_append(out, S(" (units ms, s, m, h, d)"));
	if (entry->type == CONFIG_SIZE)
		buf_append(out, S(" (units b, kb, mb, gb)"));
}

/* --- URLs (RFC 3986) --------------------------------------------------------------- */

/* Only unreserved characters, sub-delimiters, `extra` and percent-encoded bytes other than NUL. */
static bool is_component(struct str text, struct str extra)
{
	for (size_t i = 0; i < text.len; i++) {
		char byte = text.at[i];

		if (byte == '%') {
			uint64_t code;

			if (text.len - i < 3 || !num_parse_hex(str_of(text.at + i + 1, 2), &code) ||
				code == 0)
				return false;
			i += 2;
		} else if (!is_alnum(byte) && str_find_byte(S("-._~!$&'()*+,;="), byte) < 0 &&
			   str_find_byte(extra, byte) < 0) {
			return false;
		}
	}
	return true;
}

static bool is_scheme(const struct config_entry *entry, struct str scheme)
{
	for (size_t i = 0; entry->choices[i]; i++)
		if (str_eq(scheme, str_from_c(entry->choices[i])))
			return true;
	return false;
}

/* [user[:password]@]host[:port] */
static bool parse_authority(struct str text, struct config_url *url)
{
	ptrdiff_t at = str_find_byte(text, '@');
	struct str port;

	if (at >= 0) {
		struct str userinfo = str_first(text, (size_t)at);

		if (at == 0 || !is_component(userinfo, S(":")))
			return false;
		url->user = str_cut(&userinfo, ':');
		url->password = userinfo;
		text = str_from(text, (size_t)at + 1);
	}

	if (!split_host_port(text, &url->host, &port) || url->host.len == 0)
		return false;
	return port.len == 0 || parse_port_number(port, 1, &url->port);
}

static bool parse_url(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	struct config_url url = { 0 };
	struct str rest;
	ptrdiff_t colon = str_find(text, S("://"));
	size_t end = 0;

	if (colon < 0 || text.len > entry->max)
		return false;
	url.text = region_str(region, text);
	if (!url.text.at)
		return false;

	url.scheme = str_first(url.text, (size_t)colon);
	rest = str_from(url.text, (size_t)colon + 3);
	while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
		end++;
	if (!is_scheme(entry, url.scheme) || !parse_authority(str_first(rest, end), &url))
		return false;

	url.query = str_from(rest, end);
	url.path = str_cut(&url.query, '?');
	if (!is_component(url.path, S(":@/")) || !is_component(url.query, S(":@/?")))
		return false;

	*(struct config_url *)member = url;
	return true;
}

static void write_url(const struct config_entry *entry, const void *member, struct buf *out)
{
	const struct config_url *url = member;

	(void)entry;
	buf_append(out, url->scheme);
	buf_append(out, S("://"));
	if (url->user.len || url->password.len)
		buf_append(out, S(CONFIG_REDACTED "@"));
	write_host_port(url->host, url->port, url->port != 0, out);
	buf_append(out, url->path);
	if (url->query.len)
		buf_append(out, S("?" CONFIG_REDACTED)); /* drivers take passwords there, too */
}

static void rule_url(const struct config_entry *entry, struct buf *out)
{
	buf_append(out, S("a URL with the scheme "));
	write_choices(entry->choices, out);
	buf_append(out, S(", a host and no fragment"));
}

bool config_is_redacted(const struct config_entry *entry, const void *member)
{
	if (entry->type == CONFIG_URL) {
		const struct config_url *url = member;

		return str_eq(url->user, S(CONFIG_REDACTED)) ||
		       str_eq(url->query, S(CONFIG_REDACTED));
	}
	return entry->type == CONFIG_STRING && entry->flags & CONFIG_SECRET &&
	       str_eq(*(const struct str *)member, S(CONFIG_REDACTED));
}

/* --- lists ------------------------------------------------------------------------- */

/* Number of parts between commas; 0 when that is out of the entry's bounds. */
static size_t count_items(const struct config_entry *entry, struct str text)
{
	size_t count = 1;

	for (size_t i = 0; i < text.len; i++)
		count += text.at[i] == ',';
	return count >= entry->min && count <= entry->max ? count : 0;
}

static bool parse_list(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	size_t count = count_items(entry, text);
	struct str *items = config_region_alloc(region, count * sizeof(*items));
	struct str rest = text;

	if (count == 0 || !items || !text_is_printable(text))
		return false;

	for (size_t i = 0; i < count; i++) {
		struct str item = str_trim(str_cut(&rest, ','));

		items[i] = region_str(region, item);
		if (item.len == 0 || !items[i].at)
			return false;
	}

	*(struct config_list *)member = (struct config_list){ items, count };
	return true;
}

static void write_list(const struct config_entry *entry, const void *member, struct buf *out)
{
	const struct config_list *list = member;

	(void)entry;
	for (size_t i = 0; i < list->count; i++) {
		buf_append(out, i ? S(",") : S(""));
		buf_append(out, list->at[i]);
	}
}

static void rule_list(const struct config_entry *entry, struct buf *out)
{
	buf_printf(out, "a list of %llu to %llu items with commas between them",
		(unsigned long long)entry->min, (unsigned long long)entry->max);
}

/* No bit behind the prefix may be set: 10.0.0.1/8 is a mistake, one way or the other. */
static bool parse_cidr(struct str text, struct config_cidr *ret)
{
	struct str prefix = text;
	struct str address = str_cut(&prefix, '/');
	uint64_t bits;
	bool v4;

	if (!parse_address(address, ret->address, &v4))
		return false;

	bits = v4 ? 32 : 128;
	if (prefix.at) {
		uint64_t given;

		if (!num_parse_u64(prefix, &given) || given > bits)
			return false;
		bits = given;
	}
	bits += v4 ? 96 : 0;

	for (size_t i = bits; i < 128; i++)
		if (ret->address[i / 8] & (0x80 >> i % 8))
			return false;
	ret->bits = (uint8_t)bits;
	return true;
}

static bool parse_cidrs(const struct config_entry *entry, struct str text,
	struct config_region *region, void *member)
{
	size_t count = count_items(entry, text);
	struct config_cidr *nets = config_region_alloc(region, count * sizeof(*nets));
	struct str rest = text;

	if (count == 0 || !nets)
		return false;

	for (size_t i = 0; i < count; i++)
		if (!parse_cidr(str_trim(str_cut(&rest, ',')), &nets[i]))
			return false;

	*(struct config_cidrs *)member = (struct config_cidrs){ nets, count };
	return true;
}

static void write_cidrs(const struct config_entry *entry, const void *member, struct buf *out)
{
	const struct config_cidrs *nets = member;

	(void)entry;
	for (size_t i = 0; i < nets->count; i++) {
		const struct config_cidr *net = &nets->at[i];
		bool v4 = net->bits >= 96 && memcmp(net->address, mapped, sizeof(mapped)) == 0;
		char text[INET6_ADDRSTRLEN];

		buf_printf(out, "%s%s/%u", i ? "," : "",
			inet_ntop(v4 ? AF_INET : AF_INET6, net->address + (v4 ? 12 : 0), text,
				sizeof(text)),
			net->bits - (v4 ? 96u : 0u));
	}
}

static void rule_cidrs(const struct config_entry *entry, struct buf *out)
{
	buf_printf(out,
		"a list of %llu to %llu networks such as 10.0.0.0/8 or ::1 with commas between "
		"them, no address bit set behind the prefix",
		(unsigned long long)entry->min, (unsigned long long)entry->max);
}

/* --- the types --------------------------------------------------------------------- */

const struct config_kind config_kinds[CONFIG_TYPES] = {
	[CONFIG_STRING] = { sizeof(struct str), parse_text, write_text, rule_string },
	[CONFIG_PATH] = { sizeof(struct str), parse_text, write_text, rule_path },
	[CONFIG_HOST] = { sizeof(struct str), parse_host, write_text, rule_host },
	[CONFIG_ENUM] = { sizeof(unsigned), parse_enum, write_enum, rule_enum },
	[CONFIG_BOOL] = { sizeof(bool), parse_bool, write_bool, rule_bool, CONFIG_JSON_BARE },
	[CONFIG_INTEGER] = { sizeof(size_t), parse_amount, write_u64, rule_amount,
		CONFIG_JSON_BARE },
	[CONFIG_PERCENT] = { sizeof(unsigned), parse_percent, write_percent, rule_amount },
	[CONFIG_DURATION] = { sizeof(uint64_t), parse_amount, write_u64, rule_amount },
	[CONFIG_SIZE] = { sizeof(size_t), parse_amount, write_u64, rule_amount },
	[CONFIG_PORT] = { sizeof(uint16_t), parse_port, write_port, rule_amount, CONFIG_JSON_BARE },
	[CONFIG_LISTEN] = { sizeof(struct config_listen), parse_listen, write_listen, rule_listen },
	[CONFIG_URL] = { sizeof(struct config_url), parse_url, write_url, rule_url },
	[CONFIG_LIST] = { sizeof(struct config_list), parse_list, write_list, rule_list,
		CONFIG_JSON_LIST },
	[CONFIG_CIDRS] = { sizeof(struct config_cidrs), parse_cidrs, write_cidrs, rule_cidrs,
		CONFIG_JSON_LIST },
};
