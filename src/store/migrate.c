/*
 * A run of migrations, for either engine: what is applied is compared with the texts, and what is
 * pending is done step by step. Nothing is changed before all of it has been looked at.
 */
#include "store/migrate.h"

#include "base/err.h"
#include "base/version.h"
#include "observe/clock.h"
#include "store/migration_lint.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	ARENA_CHUNK = 64 * 1024,
	ARENA_MAX = 256 * 1024 * 1024,
	SOURCES_MAX = 256,
	LINT_OUT_MAX = 64 * 1024,
	SAY_MAX = 2048,
};

EMBED_TEXT(store_migrations, "src/store/store.sql");

/* --- for the engines ----------------------------------------------------------- */

void migrate_say(const struct migrate_run *run, const char *format, ...)
{
	char line[SAY_MAX];
	va_list args;
	int len;

	if (!run->options->say)
		return;
	va_start(args, format);
	len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	run->options->say(run->options->arg, str_of(line, MIN((size_t)len, sizeof(line) - 1)));
}

int migrate_fail(const struct migrate_step *step, const struct migration_statement *statement,
	enum err_code code, const char *message)
{
	if (!step->part->given)
		return fail(code, "%s.sql: %s", step->source->module, message);
	return fail(code, "%s.sql:%zu: %s", step->source->module,
		statement ? statement->line : step->part->line - 1, message);
}

static int copy_text(struct arena *arena, struct str *text)
{
	*text = arena_str(arena, *text);
	return text->at ? 0 : -(int)err_last()->code;
}

int migrate_add_applied(struct migrate_run *run, const struct migrate_applied *applied)
{
	struct migrate_applied *at = run->applied, copy = *applied;
	struct str *const texts[] = { &copy.module, &copy.sum, &copy.title, &copy.version,
		&copy.beside };

	if (run->applied_count == MIGRATE_APPLIED_MAX)
		return fail(
			ERR_TOO_LARGE, "main.migration has more than %d rows", MIGRATE_APPLIED_MAX);
	if (run->applied_count == run->applied_room) {
		run->applied_room = run->applied_room ? run->applied_room * 2 : 64;
		at = arena_alloc(&run->arena, run->applied_room * sizeof(*at));
		if (!at)
			return -(int)err_last()->code;
		if (run->applied_count)
			memcpy(at, run->applied, run->applied_count * sizeof(*at));
		run->applied = at;
	}
	for (size_t i = 0; i < LEN(texts); i++)
		if (copy_text(&run->arena, texts[i]) < 0)
			return -(int)err_last()->code;
	at[run->applied_count++] = copy;
	return 0;
}

/* --- the texts ------------------------------------------------------------------- */

/* All texts of a run, in their order. */
struct book {
	struct migrations *at;
	size_t count;
};

static int read_book(struct migrate_run *run, const struct migration_source *sources, size_t count,
	struct book *ret)
{
	struct book book = { .count = count };

	if (count > SOURCES_MAX)
		return fail(ERR_INVALID, "more than %d modules with migrations", SOURCES_MAX);
	book.at = arena_zalloc(&run->arena, (count + 1) * sizeof(*book.at));
	if (!book.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < count; i++) {
		int r;

		if (!migration_module_is_sound(str_from_c(sources[i].module)))
			return fail(
				ERR_INVALID, "\"%s\" is no name of a module", sources[i].module);
		for (size_t j = 0; j < i; j++)
			if (strcmp(sources[i].module, sources[j].module) == 0)
				return fail(
					ERR_INVALID, "module %s is there twice", sources[i].module);
		r = migration_parse(&run->arena, &sources[i], run->engine->kind, &book.at[i]);
		if (r < 0)
			return r;
	}
	*ret = book;
	return 0;
}

/* --- what is applied ----------------------------------------------------------------- */

static const struct migrate_applied *find_applied(
	const struct migrate_run *run, const char *module, int64_t number)
{
	for (size_t i = 0; i < run->applied_count; i++)
		if (run->applied[i].number == number &&
			str_eq(run->applied[i].module, str_from_c(module)))
			return &run->applied[i];
	return NULL;
}

static bool is_done(const struct migrate_applied *applied)
{
	return applied && applied->applied_us != 0;
}

static bool is_edited(const struct migration *migration, const struct migrate_applied *applied)
{
	return !str_eq(applied->sum, str_of(migration->sum, sizeof(migration->sum)));
}

/* How many of a module are applied, one behind the other from the first. */
static size_t count_done(const struct migrate_run *run, const struct migrations *migrations)
{
	size_t count = 0;

	while (count < migrations->count &&
		is_done(find_applied(run, migrations->source->module, (int64_t)count + 1)))
		count++;
	return count;
}

/* Whether a row that the text does not have is of a newer program that allows this one. */
static int check_newer(const struct migrate_run *run, const struct migrate_applied *applied)
{
	if (applied->beside.len == 0 || version_compare(run->version, applied->beside) >= 0)
		return 0;
	return fail(ERR_CONFLICT,
		"%.*s %lld (%.*s) was applied by version %.*s; beside it runs %.*s or newer, this "
		"is "
		"%.*s",
		STR_ARG(applied->module), (long long)applied->number, STR_ARG(applied->title),
		STR_ARG(applied->version), STR_ARG(applied->beside), STR_ARG(run->version));
}

/* The history of one module against its text. */
static int check_history(const struct migrate_run *run, const struct migrations *migrations)
{
	const char *module = migrations->source->module;
	size_t done = count_done(run, migrations);

	for (size_t i = 0; i < run->applied_count; i++) {
		const struct migrate_applied *applied = &run->applied[i];
		int r;

		if (!str_eq(applied->module, str_from_c(module)) || !is_done(applied))
			continue;
		if (applied->number > (int64_t)migrations->count) {
			r = check_newer(run, applied);
			if (r < 0)
				return r;
			continue;
		}
		if (is_edited(&migrations->at[applied->number - 1], applied))
			return fail(ERR_CONFLICT,
				"%s %lld (%.*s) was applied and edited afterwards; put its text "
				"back and write a new migration",
				module, (long long)applied->number, STR_ARG(applied->title));
		if (applied->number > (int64_t)done)
			return fail(ERR_CONFLICT, "%s %lld is applied, %s %zu before it is not",
				module, (long long)applied->number, module, done + 1);
	}
	return 0;
}

/* --- steps ------------------------------------------------------------------------------ */

struct steps {
	struct migrate_step *at;
	size_t count, room;
};

static int add_step(struct migrate_run *run, const struct migrations *migrations, size_t index,
	bool down, struct steps *steps)
{
	const struct migration *migration = &migrations->at[index];
	struct migrate_step step = { .source = migrations->source,
		.migration = migration,
		.part = down ? &migration->down : &migration->up,
		.down = down,
		.begun = find_applied(run, migrations->source->module, migration->number) };
	int r = 0;

	if (step.part->given)
		r = migration_cut(
			&run->arena, step.source, step.part, run->engine->kind, &step.statements);
	if (r < 0)
		return r;
	step.concurrent = step.statements.count > 0 &&
			  migration_is_concurrent(step.statements.at[0].text, run->engine->kind);

	if (steps->count == steps->room) {
		size_t room = steps->room ? steps->room * 2 : 32;
		struct migrate_step *at = arena_alloc(&run->arena, room * sizeof(*at));

		if (!at)
			return -(int)err_last()->code;
		if (steps->count)
			memcpy(at, steps->at, steps->count * sizeof(*at));
		steps->at = at;
		steps->room = room;
	}
	steps->at[steps->count++] = step;
	return 0;
}

/* Only what is pending: rules that came later do not make an old text wrong, which nobody may
 * change. */
static int lint_pending(
	const struct migrate_run *run, const struct migrations *migrations, size_t done)
{
	struct buf out;
	int r;

	buf_init(&out, LINT_OUT_MAX);
	r = migration_lint_from(migrations, run->engine->kind, (int64_t)done + 1, &out);
	if (r > 0) {
		struct str rest = buf_str(&out);
		struct str first = str_cut(&rest, '\n');

		migrate_say(run, "%.*s", STR_ARG(str_first(buf_str(&out), out.len - 1)));
		r = fail(ERR_INVALID, "%.*s", STR_ARG(first));
	}
	buf_done(&out);
	return r;
}

static bool is_wanted(const struct migrate_run *run, const struct migrations *migrations)
{
	struct str only = run->options->only;

	return only.len == 0 || str_eq(only, str_from_c(migrations->source->module));
}

static int plan_up(struct migrate_run *run, const struct book *book, struct steps *steps)
{
	bool known = run->options->only.len == 0;

	for (size_t i = 0; i < book->count; i++) {
		const struct migrations *migrations = &book->at[i];
		size_t done = count_done(run, migrations);
		int r = check_history(run, migrations);

		known = known || is_wanted(run, migrations);
		if (r == 0 && is_wanted(run, migrations) && done < migrations->count)
			r = lint_pending(run, migrations, done);
		for (size_t j = done; r == 0 && j < migrations->count; j++)
			if (is_wanted(run, migrations))
				r = add_step(run, migrations, j, false, steps);
		if (r < 0)
			return r;
	}
	return known ? 0
		     : fail(ERR_INVALID, "there is no module %.*s with migrations",
			       STR_ARG(run->options->only));
}

static int plan_down(
	struct migrate_run *run, const struct book *book, size_t count, struct steps *steps)
{
	const struct migrations *migrations = NULL;
	size_t done;
	int r;

	for (size_t i = 0; i < book->count && run->options->only.len; i++)
		if (is_wanted(run, &book->at[i]))
			migrations = &book->at[i];
	if (!migrations)
		return fail(ERR_INVALID, "there is no module %.*s with migrations",
			STR_ARG(run->options->only));

	r = check_history(run, migrations);
	done = count_done(run, migrations);
	if (r < 0)
		return r;
	for (size_t i = 0; i < run->applied_count; i++)
		if (str_eq(run->applied[i].module, run->options->only) &&
			run->applied[i].number > (int64_t)migrations->count)
			return fail(ERR_INVALID,
				"%.*s %lld is not in the text: a newer program has to undo it",
				STR_ARG(run->options->only), (long long)run->applied[i].number);
	if (count > done)
		return fail(ERR_INVALID, "%.*s has %zu migrations to undo, not %zu",
			STR_ARG(run->options->only), done, count);
	for (size_t i = done; i-- > done - count;) {
		if (migrations->at[i].up.given && !migrations->at[i].down.given)
			return fail(ERR_INVALID, "%.*s %zu has no down section",
				STR_ARG(run->options->only), i + 1);
		r = add_step(run, migrations, i, true, steps);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- a run -------------------------------------------------------------------------------- */

static void open_run(struct migrate_run *run, const struct migration_options *options)
{
	*run = (struct migrate_run){
		.options = options,
		.engine = options->store.url.len ? &migrate_postgres : &migrate_sqlite,
		.version = options->version.len ? options->version : S(BULKHEAD_VERSION),
		.wait_ns = options->wait_ns ? options->wait_ns : MINUTE,
	};
	arena_init(&run->arena, ARENA_CHUNK, ARENA_MAX);
}

/* Keeps the error over the closing. */
static int close_run(struct migrate_run *run, int r)
{
	enum err_code code = err_last()->code;
	char text[ERR_TEXT_MAX];

	(void)err_describe(err_last(), text, sizeof(text));
	run->engine->close(run);
	arena_done(&run->arena);
	return r < 0 ? fail(code, "%s", text) : r;
}

static int run_step(struct migrate_run *run, const struct migrate_step *step)
{
	const struct migration *migration = step->migration;
	uint64_t began_ns = clock_now_ns();
	int r;

	if (run->options->dry_run) {
		migrate_say(run, "would %s %s %lld: %.*s (%zu statements)",
			step->down ? "undo" : "apply", step->source->module,
			(long long)migration->number, STR_ARG(migration->title),
			step->statements.count);
		return 0;
	}
	r = run->engine->step(run, step);
	if (r < 0)
		return r;
	migrate_say(run, "%s %s %lld: %.*s (%llu ms)", step->down ? "undid" : "applied",
		step->source->module, (long long)migration->number, STR_ARG(migration->title),
		(unsigned long long)((clock_now_ns() - began_ns) / MILLISECOND));
	return 0;
}

static int run_steps(struct migrate_run *run, const struct steps *steps)
{
	bool dry = run->options->dry_run;
	int r = dry ? 0 : run->engine->prepare(run, steps->at, steps->count);

	for (size_t i = 0; i < steps->count && r == 0; i++)
		r = run_step(run, &steps->at[i]);
	if (r == 0)
		r = run->engine->secure(run);
	if (r == 0 && steps->count == 0)
		migrate_say(run, "nothing to do");
	return r;
}

static int migrate(const struct migration_options *options, const struct migration_source *sources,
	size_t count, size_t down)
{
	struct steps steps = { 0 };
	struct migrate_run run;
	struct book book = { 0 };
	int r;

	open_run(&run, options);
	r = read_book(&run, sources, count, &book);
	if (r == 0)
		r = run.engine->open(&run, !options->dry_run);
	if (r == 0)
		r = run.engine->history(&run);
	if (r == 0)
		r = down ? plan_down(&run, &book, down, &steps) : plan_up(&run, &book, &steps);
	if (r == 0)
		r = run_steps(&run, &steps);
	return close_run(&run, r);
}

int migrate_up(const struct migration_options *options, const struct migration_source *sources,
	size_t count)
{
	return migrate(options, sources, count, 0);
}

int migrate_down(const struct migration_options *options, const struct migration_source *sources,
	size_t count, size_t steps)
{
	if (steps == 0)
		return fail(ERR_INVALID, "how many migrations are to be undone?");
	return migrate(options, sources, count, steps);
}

/* --- status ---------------------------------------------------------------------------------- */

static int add_row(
	struct arena *arena, const struct migration_row *row, struct migration_rows *rows)
{
	struct migration_row *at = &rows->at[rows->count];

	*at = *row;
	at->module = arena_str(arena, row->module);
	at->title = arena_str(arena, row->title);
	at->version = arena_str(arena, row->version);
	if (!at->module.at || !at->title.at || !at->version.at)
		return -(int)err_last()->code;
	rows->count++;
	return 0;
}

static int add_known(const struct migrate_run *run, const struct migrations *migrations,
	struct arena *arena, struct migration_rows *rows)
{
	for (size_t i = 0; i < migrations->count; i++) {
		const struct migration *migration = &migrations->at[i];
		const struct migrate_applied *applied =
			find_applied(run, migrations->source->module, migration->number);
		struct migration_row row = { .module = str_from_c(migrations->source->module),
			.number = migration->number,
			.title = migration->title,
			.state = MIGRATION_PENDING };
		int r;

		if (is_done(applied)) {
			row.state = is_edited(migration, applied) ? MIGRATION_EDITED
								  : MIGRATION_APPLIED;
			row.applied_us = applied->applied_us;
			row.version = applied->version;
		}
		r = add_row(arena, &row, rows);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Those that the text of the module does not have; of modules without a text when it is NULL. */
static int add_unknown(const struct migrate_run *run, const struct book *book,
	const struct migrations *of, struct arena *arena, struct migration_rows *rows)
{
	for (size_t i = 0; i < run->applied_count; i++) {
		const struct migrate_applied *applied = &run->applied[i];
		const struct migrations *migrations = NULL;
		struct migration_row row = { applied->module, applied->number, applied->title,
			applied->version, MIGRATION_UNKNOWN, applied->applied_us };
		int r;

		for (size_t j = 0; j < book->count; j++)
			if (str_eq(applied->module, str_from_c(book->at[j].source->module)))
				migrations = &book->at[j];
		if (migrations != of || !is_done(applied) ||
			(of && applied->number <= (int64_t)of->count))
			continue;
		r = add_row(arena, &row, rows);
		if (r < 0)
			return r;
	}
	return 0;
}

static int list_rows(const struct migrate_run *run, const struct book *book, struct arena *arena,
	struct migration_rows *ret)
{
	struct migration_rows rows = { 0 };
	size_t most = run->applied_count;
	int r = 0;

	for (size_t i = 0; i < book->count; i++)
		most += book->at[i].count;
	rows.at = arena_alloc(arena, (most + 1) * sizeof(*rows.at));
	if (!rows.at)
		return -(int)err_last()->code;
	for (size_t i = 0; i < book->count && r == 0; i++) {
		r = add_known(run, &book->at[i], arena, &rows);
		if (r == 0)
			r = add_unknown(run, book, &book->at[i], arena, &rows);
	}
	if (r == 0)
		r = add_unknown(run, book, NULL, arena, &rows);
	if (r == 0)
		*ret = rows;
	return r;
}

int migrate_status(const struct migration_options *options, const struct migration_source *sources,
	size_t count, struct arena *arena, struct migration_rows *ret)
{
	struct migrate_run run;
	struct book book = { 0 };
	int r;

	open_run(&run, options);
	r = read_book(&run, sources, count, &book);
	if (r == 0)
		r = run.engine->open(&run, false);
	if (r == 0)
		r = run.engine->history(&run);
	if (r == 0)
		r = list_rows(&run, &book, arena, ret);
	return close_run(&run, r);
}

/* --- lint ----------------------------------------------------------------- */

int migration_lint(const struct migration_source *source, struct buf *out)
{
	struct arena arena;
	int count = 0;

	arena_init(&arena, ARENA_CHUNK, ARENA_MAX);
	for (enum engine_kind kind = ENGINE_SQLITE; kind <= ENGINE_POSTGRES; kind++) {
		struct migrations migrations;
		size_t before = out->len;
		int r = migration_parse(&arena, source, kind, &migrations);

		if (r == 0)
			r = migration_lint_from(&migrations, kind, 1, out);
		if (r == -ERR_INVALID) {
			buf_printf(out, "%s\n", err_text());
			count++;
			break; /* the other engine would find the same */
		}
		if (r < 0 || out->failed) {
			arena_done(&arena);
			return out->failed ? out->failed : r;
		}
		for (size_t i = before; i < out->len; i++)
			count += out->at[i] == '\n';
	}
	arena_done(&arena);
	return count;
}
