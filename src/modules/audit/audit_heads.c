/* Heads from elsewhere, found in texts of whatever kind. */
#include "modules/audit/audit_internal.h"

#include "base/mem.h"

static bool is_of_head(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == ':' || c == '-' || c == '_';
}

static int make_room(struct audit_heads *heads)
{
	size_t room = heads->room ? heads->room * 2 : 64;
	struct audit_known *at;

	if (heads->count < heads->room)
		return 0;
	if (heads->count == AUDIT_HEADS_MAX)
		return fail(ERR_FULL, "more than %d heads", AUDIT_HEADS_MAX);
	at = mem_resize(heads->at, heads->room * sizeof(*at), room * sizeof(*at));
	if (!at)
		return -ERR_NO_MEMORY;
	heads->at = at;
	heads->room = room;
	return 0;
}

static int add_one(struct audit_heads *heads, struct str text)
{
	struct audit_mark head;
	struct uuid tenant;
	int r;

	if (!audit_head_read(text, &tenant, &head) || !audit_head_sound(&tenant, &head)) {
		heads->forged++;
		return 0;
	}
	r = make_room(heads);
	if (r < 0)
		return r;
	heads->at[heads->count] = (struct audit_known){
		.tenant = tenant, .sequence = head.sequence, .marked_at = head.marked_at
	};
	memcpy(heads->at[heads->count].chain, head.chain.at, AUDIT_DIGEST_TEXT);
	heads->count++;
	return 0;
}

int audit_heads_add(struct audit_heads *heads, struct str text, bool last, size_t *ret_done)
{
	const struct str prefix = S(AUDIT_HEAD_PREFIX);
	size_t done = 0;
	ptrdiff_t found;

	while ((found = str_find(str_from(text, done), prefix)) >= 0) {
		size_t at = done + (size_t)found, end = at;
		int r;

		while (end < text.len && end - at <= AUDIT_HEAD_TEXT && is_of_head(text.at[end]))
			end++;
		if (end == text.len && end - at <= AUDIT_HEAD_TEXT && !last) {
			*ret_done = at;
			return 0;
		}
		r = add_one(heads, str_of(text.at + at, end - at));
		if (r < 0)
			return r;
		done = end;
	}
	/* What is left may end in the beginning of a prefix. */
	*ret_done = last ? text.len : MAX(done, text.len - MIN(text.len, prefix.len - 1));
	return 0;
}

void audit_heads_done(struct audit_heads *heads)
{
	mem_free(heads->at, heads->room * sizeof(*heads->at));
	*heads = (struct audit_heads){ 0 };
}
