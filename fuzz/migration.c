/*
 * The text of migrations: read, cut and looked at for both engines. What an engine sees is as long
 * as the source and has the same lines; a section's statements lie in it, in order; the sum does
 * not depend on comments behind the section.
 */
#include "store/migration_text.h"

#include "base/check.h"
#include "base/err.h"
#include "store/migration_lint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { INPUT_MAX = 16 * 1024 };

static void check_part(struct arena *arena, const struct migrations *list,
	const struct migration_part *part, enum engine_kind kind)
{
	struct str file = str_from_c(list->source->text);
	struct migration_statements statements;
	size_t line = 1, at = 0, before = part->line;

	if (!part->given)
		return;
	while (at < file.len && line < part->line)
		line += file.at[at++] == '\n';
	CHECK(at + part->text.len <= file.len);
	for (size_t i = 0; i < part->text.len; i++)
		CHECK(part->text.at[i] == file.at[at + i] ||
			(part->text.at[i] == ' ' && file.at[at + i] != '\n'));

	if (migration_cut(arena, list->source, part, kind, &statements) < 0)
		return;
	for (size_t i = 0; i < statements.count; i++) {
		const struct migration_statement *statement = &statements.at[i];

		CHECK(statement->line >= before && statement->text.len > 0);
		CHECK(statement->text.at[statement->text.len] == '\0');
		before = statement->line;
		(void)migration_is_concurrent(statement->text, kind);
	}
}

static void check_sums(struct arena *arena, const struct migrations *list, enum engine_kind kind)
{
	struct str more = arena_printf(arena, "%s\n\n-- nothing\n", list->source->text);
	struct migration_source source = { list->source->module, more.at };
	struct migrations again;

	if (!more.at || more.len > MIGRATION_TEXT_MAX)
		return;
	CHECK(migration_parse(arena, &source, kind, &again) == 0);
	CHECK(again.count == list->count);
	for (size_t i = 0; i < list->count; i++)
		CHECK(memcmp(again.at[i].sum, list->at[i].sum, MIGRATION_SUM_LEN) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1);
	struct migration_source source = { "fuzz", text };
	struct arena arena;
	struct buf out;

	if (!text || size > INPUT_MAX) {
		free(text);
		return 0;
	}
	memcpy(text, bytes, size);
	text[size] = '\0';
	arena_init(&arena, 64 * KILOBYTE, 64 * MEGABYTE);
	buf_init(&out, MEGABYTE);
	for (enum engine_kind kind = ENGINE_SQLITE; kind <= ENGINE_POSTGRES; kind++) {
		struct migrations list;

		if (migration_parse(&arena, &source, kind, &list) < 0)
			continue;
		for (size_t i = 0; i < list.count; i++) {
			CHECK(list.at[i].number == (int64_t)i + 1 && list.at[i].title.len > 0);
			check_part(&arena, &list, &list.at[i].up, kind);
			check_part(&arena, &list, &list.at[i].down, kind);
		}
		check_sums(&arena, &list, kind);
	}
	(void)migration_lint(&source, &out);
	buf_done(&out);
	arena_done(&arena);
	free(text);
	return 0;
}
