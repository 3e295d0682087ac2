/* What is right, without rows, time or requests: easy to read, and to test by tables. */
#include "notes.h"

#include "base/err.h"

static bool set_text(struct str *to, const struct opt_str *from)
{
	bool differs = from->set && !str_eq(*to, from->value);

	if (differs)
		*to = from->value;
	return differs;
}

static bool set_tag(struct opt_str *to, const struct opt_str *from)
{
	bool has = to->set && !to->null, gets = from->set && !from->null;

	if (!from->set || (has == gets && (!has || str_eq(to->value, from->value))))
		return false;
	*to = gets ? *from : (struct opt_str){ 0 };
	return true;
}

static bool set_pinned(bool *to, const struct opt_bool *from)
{
	bool differs = from->set && *to != from->value;

	if (differs)
		*to = from->value;
	return differs;
}

bool note_merge(struct note *note, const struct note_patch *patch)
{
	bool changed = set_text(&note->title, &patch->title);

	changed |= set_text(&note->body, &patch->body);
	changed |= set_tag(&note->tag, &patch->tag);
	changed |= set_pinned(&note->pinned, &patch->pinned);
	return changed;
}

int note_check_pinned(int64_t pinned)
{
	if (pinned < NOTES_PINNED_MAX)
		return 0;
	return fail_field(ERR_CONFLICT, "pinned", "too_many",
		"cannot be: %d notes are pinned already", NOTES_PINNED_MAX);
}
