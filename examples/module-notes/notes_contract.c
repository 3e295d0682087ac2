/* What goes in and out: each member with its bounds and its sentence for the manual. */
#include "notes.h"

#include "rest/page.h"

#define TITLE RANGE(1, 200), .example = "Groceries"
#define BODY  RANGE(0, 20000), .flags = MULTILINE, .example = "Bread, butter"
#define TAG   RANGE(1, 40), .format = FORMAT_SLUG, .example = "home"

/* clang-format off */
const struct schema note_schema = SCHEMA(note, "A note.",
	FIELD(note, id, "Which.", .flags = REQUIRED, .format = FORMAT_UUID),
	FIELD(note, title, "What it is about.", .flags = REQUIRED, TITLE),
	FIELD(note, body, "What it says.", BODY),
	FIELD(note, tag, "What it belongs to.", TAG),
	FIELD(note, pinned, "Whether it stays on top.", .flags = REQUIRED),
	FIELD(note, version, "Grows by one on each change.", .flags = REQUIRED, .example = "1"),
	FIELD(note, created_at, "When it was written.", .flags = REQUIRED, .format = FORMAT_DATE_TIME),
	FIELD(note, updated_at, "When it was changed last.", .flags = REQUIRED, .format = FORMAT_DATE_TIME));

const struct schema note_new_schema = SCHEMA(note_new, "A note to be.",
	FIELD(note_new, title, "What it is about.", .flags = REQUIRED, TITLE),
	FIELD(note_new, body, "What it says.", BODY),
	FIELD(note_new, tag, "What it belongs to.", TAG),
	FIELD(note_new, pinned, "Whether it stays on top."));

const struct schema note_patch_schema = SCHEMA(note_patch, "What is to change; the rest stays.",
	FIELD(note_patch, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID),
	FIELD(note_patch, title, "What it is about.", TITLE),
	FIELD(note_patch, body, "What it says.", BODY),
	FIELD(note_patch, tag, "What it belongs to; null for nothing.", .flags = NULLABLE, TAG),
	FIELD(note_patch, pinned, "Whether it stays on top."));

const struct schema note_ref_schema = SCHEMA(note_ref, "A note by its id.",
	FIELD(note_ref, id, "Which.", .from = FROM_PATH, .format = FORMAT_UUID));

const struct schema note_query_schema = SCHEMA(note_query, "Which notes.",
	PAGE_FIELDS(note_query),
	FIELD(note_query, title, "Only those whose title begins so.", .from = FROM_QUERY, RANGE(0, 200)),
	FIELD(note_query, tag, "Only those with this tag.", .from = FROM_QUERY, TAG),
	FIELD(note_query, pinned, "Only those that are pinned, or not.", .from = FROM_QUERY));

const struct schema note_page_schema = SCHEMA(note_page, "Notes, the newest first.",
	LIST(note_page, items, "Those of this page.", .flags = REQUIRED, RANGE(0, PAGE_MAX),
		.item = RULES(.nested = &note_schema)));
/* clang-format on */
