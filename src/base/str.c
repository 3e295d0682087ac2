/* Comparison, search and cutting of text by value. Pure; allocates nothing. */
#include "base/str.h"

#include "base/check.h"

static unsigned char fold(unsigned char byte)
{
	return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

int str_cmp(struct str a, struct str b)
{
	size_t shared = MIN(a.len, b.len);
	int order = shared ? memcmp(a.at, b.at, shared) : 0;

	if (order != 0)
		return order;

	return (a.len > b.len) - (a.len < b.len);
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;

	for (size_t i = 0; i < a.len; i++)
		if (fold((unsigned char)a.at[i]) != fold((unsigned char)b.at[i]))
			return false;

	return true;
}

ptrdiff_t str_find_byte(struct str s, char byte)
{
	const char *found = s.len ? memchr(s.at, byte, s.len) : NULL;

	return found ? found - s.at : -1;
}

ptrdiff_t str_find(struct str s, struct str needle)
{
	const char *found;

	if (needle.len == 0)
		return 0;
	if (s.len == 0)
		return -1;

	found = memmem(s.at, s.len, needle.at, needle.len);
	return found ? found - s.at : -1;
}

struct str str_trim(struct str s)
{
	while (s.len && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;

	return s;
}

struct str str_cut(struct str *rest, char separator)
{
	struct str whole = *rest;
	ptrdiff_t at = str_find_byte(whole, separator);

	if (at < 0) {
		*rest = str_of(NULL, 0);
		return whole;
	}

	*rest = str_of(whole.at + at + 1, whole.len - (size_t)at - 1);
	return str_of(whole.at, (size_t)at);
}
