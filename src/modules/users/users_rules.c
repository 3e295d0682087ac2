/* What an address and a name may be. Pure: no rows, no time. */
#include "modules/users/users_internal.h"

#include "base/utf8.h"
#include "schema/problem.h"

struct str user_key_of(struct arena *arena, struct str text)
{
	char *at = arena_alloc(arena, text.len + 1);

	for (size_t i = 0; at && i < text.len; i++)
		at[i] = text.at[i] >= 'A' && text.at[i] <= 'Z' ? (char)(text.at[i] | 0x20)
							       : text.at[i];
	return str_of(at, at ? text.len : 0);
}

int user_check_email(struct str email)
{
	return format_email(email) ? 0
				   : fail_field(ERR_INVALID, "email", PROBLEM_INVALID_EMAIL,
					     "must be an e-mail address");
}

/* --- names ------------------------------------------------------------------------------- */

/* Unicode's White_Space, without those that end a line. */
static bool is_space(uint32_t c)
{
	return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Controls, ends of lines, and what turns the direction of the text around it: a name stands within
 * lines of others. */
static bool is_refused(uint32_t c)
{
	return c < ' ' || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

int user_clean_name(struct str name, struct str *ret)
{
	size_t first = 0, last = 0, count = 0, spaces = 0, size;
	uint32_t c;

	for (size_t at = 0; at < name.len; at += size) {
		size = utf8_read(str_from(name, at), &c);
		if (size == 0)
			return fail_field(
				ERR_INVALID, "name", PROBLEM_INVALID_TEXT, "must be UTF-8");
		if (is_refused(c))
			return fail_field(ERR_INVALID, "name", PROBLEM_CONTROL_CHARACTER,
				"must not contain control characters");
		if (is_space(c)) {
			spaces++;
			continue;
		}
		if (count == 0)
			first = at;
		count += count ? spaces + 1 : 1;
		spaces = 0;
		last = at + size;
	}
	if (count == 0)
		return fail_field(
			ERR_INVALID, "name", PROBLEM_TOO_SHORT, "must have at least 1 character");
	if (count > USER_NAME_MAX)
		return fail_field(ERR_INVALID, "name", PROBLEM_TOO_LONG,
			"must have at most %d characters", USER_NAME_MAX);
	*ret = str_of(name.at + first, last - first);
	return 0;
}
