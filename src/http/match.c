/* Conditions on entity tags: a strict parser of their lists, and what follows from them for a
 * request. Tags are compared as bytes and never taken apart, so a tag that is not ours simply does
 * not match. */
#include "http/match.h"

#include "base/num.h"
#include "http/request.h"

size_t etag_write(char *at, int64_t version)
{
	size_t len;

	_Static_assert(NUM_TEXT_MAX + 2 <= ETAG_MAX, "a number and two quotes");
	at[0] = '"';
	len = 1 + num_write_i64(at + 1, version);
	at[len++] = '"';
	return len;
}

/* --- lists of tags -------------------------------------------------------------- */

static bool etag_byte(unsigned char byte)
{
	return byte == 0x21 || (byte >= 0x23 && byte != 0x7f);
}

/* Takes the tag at the front of `*rest`: [W/]"...", with its quotes, without its mark. */
static bool take_tag(struct str *rest, struct str *ret, bool *ret_weak)
{
	bool weak = str_starts(*rest, S("W/"));
	struct str text = weak ? str_from(*rest, 2) : *rest;
	size_t len = 1;

	if (text.len < 2 || text.at[0] != '"')
		return false;
	while (len < text.len && etag_byte((unsigned char)text.at[len]))
		len++;
	if (len == text.len || text.at[len] != '"')
		return false;

	*ret = str_first(text, len + 1);
	*ret_weak = weak;
	*rest = str_from(text, len + 1);
	return true;
}

int etag_listed(struct str value, struct str tag, bool weak)
{
	struct str rest = str_trim(value);
	bool found = false, any = false;

	if (str_eq(rest, S("*")))
		return 1;

	while (rest.len) {
		struct str each;
		bool each_weak;

		if (rest.at[0] == ',') { /* an empty element is allowed (RFC 9110 5.6.1.2) */
			rest = str_trim(str_from(rest, 1));
			continue;
		}
		if (!take_tag(&rest, &each, &each_weak))
			return fail(ERR_INVALID, "not a list of entity tags");
		any = true;
		found = found || (str_eq(each, tag) && (weak || !each_weak));

		rest = str_trim(rest);
		if (rest.len && rest.at[0] != ',')
			return fail(ERR_INVALID, "not a list of entity tags");
	}
	return any ? found : fail(ERR_INVALID, "a list of no entity tags");
}

/* --- conditions of a request ---------------------------------------------------- */

/* Whether any line of the field names the tag; `*ret_there`: whether there is the field. */
static int field_lists(
	const struct req *req, enum h1_known name, struct str tag, bool weak, bool *ret_there)
{
	struct str value;
	size_t at = 0;
	int found = 0;

	*ret_there = false;
	while (h1_each(&req->head, name, &at, &value)) {
		int r = etag_listed(value, tag, weak);

		if (r < 0)
			return err_wrap("%s", name == H1_IF_MATCH ? "if-match" : "if-none-match");
		*ret_there = true;
		found |= r;
	}
	return found;
}

static int check_if_match(const struct req *req, struct str tag)
{
	bool there;
	int listed = field_lists(req, H1_IF_MATCH, tag, false, &there);

	if (listed < 0)
		return listed;
	return listed || !there ? 0 : fail(ERR_PRECONDITION, "it is at version %.*s", STR_ARG(tag));
}

int req_if_match(const struct req *req, int64_t version)
{
	char text[ETAG_MAX];
	struct str tag = str_of(text, etag_write(text, version));
	bool there;
	int r = check_if_match(req, tag);

	if (r < 0)
		return r;
	r = field_lists(req, H1_IF_NONE_MATCH, tag, true, &there);
	return r > 0 ? fail(ERR_PRECONDITION, "it is at version %.*s", STR_ARG(tag)) : r;
}

int reply_etag(struct req *req, int64_t version)
{
	bool reads = req->head.method == HTTP_GET || req->head.method == HTTP_HEAD, there;
	char text[ETAG_MAX];
	struct str tag = str_of(text, etag_write(text, version));
	int r = reads ? check_if_match(req, tag) : 0, known = 0;

	if (r == 0 && reads)
		known = field_lists(req, H1_IF_NONE_MATCH, tag, true, &there);
	if (r < 0 || known < 0)
		return MIN(r, known);
	r = reply_header(req, S("etag"), tag);
	return r == 0 && known ? reply_empty(req, 304) : r;
}
