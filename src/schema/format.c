/* The table of formats, and those that are neither of the calendar nor of the network. */
#include "schema/format.h"

#include "base/check.h"
#include "base/num.h"
#include "schema/problem.h"

enum { EMAIL_MAX = 254, EMAIL_LOCAL_MAX = 64, UUID_LEN = 36 };

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_lower(char byte)
{
	return byte >= 'a' && byte <= 'z';
}

static bool is_letter(char byte)
{
	return is_lower((char)(byte | 0x20));
}

static const struct format_info formats[FORMATS] = {
#define ROW(constant, valid, name, code, what)                                                     \
	[FORMAT_##constant] = { S_INIT(name), code, what, valid },
	FORMAT_TABLE(ROW)
#undef ROW
};

const struct format_info *format_info(enum format format)
{
	CHECK(format > FORMAT_NONE && format < FORMATS);
	return &formats[format];
}

enum format format_find(struct str name)
{
	for (enum format format = FORMAT_NONE + 1; format < FORMATS; format++)
		if (str_eq(formats[format].name, name))
			return format;
	return FORMAT_NONE;
}

bool format_valid(enum format format, struct str text)
{
	return format == FORMAT_NONE || format_info(format)->valid(text);
}

/* Letters and digits of RFC 5322's atext. */
static bool is_atom(char byte)
{
	return is_letter(byte) || is_digit(byte) ||
	       (byte && memchr("!#$%&'*+-/=?^_`{|}~", byte, 19) != NULL);
}

static bool is_dot_string(struct str text)
{
	struct str rest = text;

	while (rest.at) {
		struct str atom = str_cut(&rest, '.');

		if (atom.len == 0)
			return false;
		for (size_t i = 0; i < atom.len; i++)
			if (!is_atom(atom.at[i]))
				return false;
	}
	return text.len > 0;
}

bool format_email(struct str text)
{
	ptrdiff_t at = str_find_byte(text, '@');
	struct str domain;

	if (at <= 0 || at > EMAIL_LOCAL_MAX || text.len > EMAIL_MAX)
		return false;

	domain = str_from(text, (size_t)at + 1);
	return is_dot_string(str_first(text, (size_t)at)) && str_find_byte(domain, '.') >= 0 &&
	       format_hostname(domain);
}

bool format_read_uuid(struct str text, uint8_t ret_bytes[static 16])
{
	uint8_t bytes[16];
	size_t count = 0;

	if (text.len != UUID_LEN)
		return false;

	for (size_t i = 0; i < UUID_LEN; i++) {
		int high, low;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text.at[i] != '-')
				return false;
			continue;
		}
		high = num_hex_digit(text.at[i]);
		low = num_hex_digit(text.at[++i]);
		if (high < 0 || low < 0)
			return false;
		bytes[count++] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret_bytes, bytes, sizeof(bytes));
	return true;
}

bool format_uuid(struct str text)
{
	uint8_t bytes[16];

	return format_read_uuid(text, bytes);
}

void format_write_uuid(char *at, const uint8_t bytes[static 16])
{
	for (size_t i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		num_write_hex(at, bytes[i], 2);
		at += 2;
	}
}

bool format_slug(struct str text)
{
	struct str rest = text;

	while (rest.at) {
		struct str word = str_cut(&rest, '-');

		if (word.len == 0)
			return false;
		for (size_t i = 0; i < word.len; i++)
			if (!is_lower(word.at[i]) && !is_digit(word.at[i]))
				return false;
	}
	return text.len > 0;
}

/* --- semantic versions --------------------------------------------------------- */

/* One identifier; a number has no leading zero where `strict`. */
static bool is_version_part(struct str part, bool strict)
{
	bool number = true;

	for (size_t i = 0; i < part.len; i++) {
		if (!is_letter(part.at[i]) && !is_digit(part.at[i]) && part.at[i] != '-')
			return false;
		number = number && is_digit(part.at[i]);
	}
	return part.len > 0 && !(strict && number && part.len > 1 && part.at[0] == '0');
}

static bool are_version_parts(struct str text, bool strict)
{
	struct str rest = text;

	while (rest.at)
		if (!is_version_part(str_cut(&rest, '.'), strict))
			return false;
	return text.len > 0;
}

static bool is_version_number(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_digit(text.at[i]))
			return false;
	return is_version_part(text, true);
}

bool format_semver(struct str text)
{
	ptrdiff_t plus = str_find_byte(text, '+'), hyphen;
	struct str core = plus >= 0 ? str_first(text, (size_t)plus) : text;
	size_t numbers = 0;

	if (plus >= 0 && !are_version_parts(str_from(text, (size_t)plus + 1), false))
		return false;
	hyphen = str_find_byte(core, '-');
	if (hyphen >= 0 && !are_version_parts(str_from(core, (size_t)hyphen + 1), true))
		return false;
	if (hyphen >= 0)
		core = str_first(core, (size_t)hyphen);

	for (; core.at; numbers++)
		if (!is_version_number(str_cut(&core, '.')))
			return false;
	return numbers == 3;
}

bool format_json_pointer(struct str text)
{
	if (text.len && text.at[0] != '/')
		return false;

	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '~' &&
			(i + 1 == text.len || (text.at[i + 1] != '0' && text.at[i + 1] != '1')))
			return false;
	return true;
}
