/* Showing a configuration: as `.env` lines, as JSON, and the manual of a table. Secrets never come
 * near a buffer here. */
#include "config_value.h"

/* The loaded settings, one at a time. */
struct shown {
	const struct config_loaded *loaded;
	const struct config_entry *entry;
	const struct config_origin *origin;
	const void *member;
};

static struct shown show(const void *values, size_t index)
{
	const struct config_loaded *loaded =
		CONTAINER_OF((const char *)values, const struct config_loaded, values);
	const struct config_entry *entry = &loaded->table->entries[index];

	return (struct shown){
		.loaded = loaded,
		.entry = entry,
		.origin = &loaded->origins[index],
		.member = loaded->values + entry->offset,
	};
}

static size_t count_of(const void *values)
{
	return CONTAINER_OF((const char *)values, const struct config_loaded, values)->table->count;
}

/* The value as text, asterisks for a secret; nothing when it is empty. */
static void write_value(const struct shown *shown, struct buf *out)
{
	if (shown->origin->empty)
		return;

	if (shown->entry->flags & CONFIG_SECRET)
		buf_append(out, S(CONFIG_REDACTED));
	else
		config_kinds[shown->entry->type].write(shown->entry, shown->member, out);
}

/* --- .env ------------------------------------------------------------------------ */

static bool needs_quotes(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = (unsigned char)text.at[i];

		if (byte <= ' ' || byte == '"' || byte == '\'' || byte == '\\' || byte == '#' ||
			byte == '$' || byte == '`')
			return true;
	}
	return false;
}

static void write_quoted(struct str text, struct buf *out)
{
	buf_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		char byte = text.at[i];

		if (byte == '"' || byte == '\\' || byte == '$')
			buf_byte(out, '\\');
		buf_byte(out, byte);
	}
	buf_byte(out, '"');
}

/* `scratch` is for the value before it is quoted. */
static void print_line(const struct shown *shown, struct buf *scratch, struct buf *out)
{
	buf_reset(scratch);
	write_value(shown, scratch);
	if (scratch->failed)
		out->failed = scratch->failed;

	buf_append(out, shown->entry->name);
	buf_byte(out, '=');
	if (needs_quotes(buf_str(scratch)))
		write_quoted(buf_str(scratch), out);
	else
		buf_append(out, buf_str(scratch));
	buf_append(out, S("  # "));
	config_origin_write(shown->entry, shown->origin, out);
	buf_byte(out, '\n');
}

void config_print(const void *loaded, struct buf *out)
{
	struct buf scratch;

	buf_init(&scratch, out->limit);
	for (size_t i = 0; i < count_of(loaded); i++) {
		struct shown shown = show(loaded, i);

		print_line(&shown, &scratch, out);
	}
	buf_done(&scratch);
}

/* --- JSON -------------------------------------------------------------------------- */

void config_json_text(struct str text, struct buf *out)
{
	buf_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		char byte = text.at[i];

		if ((unsigned char)byte < 0x20) {
			buf_append(out, S("\\u"));
			buf_hex(out, (unsigned char)byte, 4);
			continue;
		}
		if (byte == '"' || byte == '\\')
			buf_byte(out, '\\');
		buf_byte(out, byte);
	}
	buf_byte(out, '"');
}

static void write_json_items(struct str text, struct buf *out)
{
	struct str rest = text;

	buf_byte(out, '[');
	while (rest.at && text.len) {
		config_json_text(str_cut(&rest, ','), out);
		if (rest.at)
			buf_byte(out, ',');
	}
	buf_byte(out, ']');
}

static void print_member(const struct shown *shown, struct buf *scratch, struct buf *out)
{
	const struct config_kind *kind = &config_kinds[shown->entry->type];
	bool secret = shown->entry->flags & CONFIG_SECRET;

	buf_reset(scratch);
	write_value(shown, scratch);
	if (scratch->failed)
		out->failed = scratch->failed;

	config_json_text(shown->entry->name, out);
	buf_append(out, S(":{\"value\":"));
	if (kind->json == CONFIG_JSON_LIST && !secret)
		write_json_items(buf_str(scratch), out);
	else if (scratch->len == 0)
		buf_append(out, S("null"));
	else if (kind->json == CONFIG_JSON_BARE && !secret)
		buf_append(out, buf_str(scratch));
	else
		config_json_text(buf_str(scratch), out);

	buf_reset(scratch);
	config_origin_write(shown->entry, shown->origin, scratch);
	buf_append(out, S(",\"origin\":"));
	config_json_text(buf_str(scratch), out);
	buf_byte(out, '}');
}

void config_print_json(const void *loaded, struct buf *out)
{
	struct buf scratch;

	buf_init(&scratch, out->limit);
	buf_byte(out, '{');
	for (size_t i = 0; i < count_of(loaded); i++) {
		struct shown shown = show(loaded, i);

		buf_append(out, i ? S(",") : S(""));
		print_member(&shown, &scratch, out);
	}
	buf_append(out, S("}\n"));
	buf_done(&scratch);
}

/* --- the manual -------------------------------------------------------------------- */

static void doc_text(const char *text, struct buf *out)
{
	buf_append(out, *text ? S("`") : S("empty"));
	buf_append(out, str_from_c(text));
	buf_append(out, *text ? S("`") : S(""));
}

static void doc_default(const struct config_entry *entry, struct buf *out)
{
	const char *const *defaults = entry->defaults;
	bool others_agree = strcmp(defaults[APP_STAGING], defaults[APP_PRODUCTION]) == 0;

	doc_text(defaults[APP_DEVELOPMENT], out);
	if (!others_agree || strcmp(defaults[APP_STAGING], defaults[APP_DEVELOPMENT]) != 0) {
		buf_append(out, S(" in development, "));
		doc_text(defaults[APP_STAGING], out);
		buf_append(out, others_agree ? S(" elsewhere") : S(" in staging, "));
		if (!others_agree)
			doc_text(defaults[APP_PRODUCTION], out);
	}
	if (entry->flags & CONFIG_REQUIRED_IN_PRODUCTION)
		buf_append(out, S("; required in production"));
}

static void doc_entry(const struct config_entry *entry, struct buf *out)
{
	buf_append(out, S("| `"));
	buf_append(out, entry->name);
	buf_append(out, S("` | "));
	config_kinds[entry->type].rule(entry, out);
	buf_append(out, S(" | "));
	doc_default(entry, out);
	buf_append(out, entry->flags & CONFIG_SECRET ? S(" | Secret. ") : S(" | "));
	buf_append(out, str_from_c(entry->text));
	buf_append(out, S(" |\n"));
}

void config_doc(const struct config_table *table, struct buf *out)
{
	const char *section = "";

	buf_append(
		out, S("# Settings\n\nWritten by `bulkhead config doc` from the table in "
		       "`src/config_table.h`. How they are given and checked: `doc/config.md`.\n"));
	for (size_t i = 0; i < table->count; i++) {
		const struct config_entry *entry = &table->entries[i];

		if (strcmp(entry->section, section) != 0) {
			section = entry->section;
			buf_printf(out,
				"\n## %s\n\n| name | must be | default | meaning |\n"
				"|---|---|---|---|\n",
				section);
		}
		doc_entry(entry, out);
	}
}
