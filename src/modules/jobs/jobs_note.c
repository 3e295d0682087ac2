/*
 * Progress and log lines of handlers. A call only remembers; a fiber of the thread writes what has
 * come together, in one soft transaction for all jobs, and what is left goes with the job's end.
 */
#include "modules/jobs/jobs_note.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "modules/jobs/jobs_rows.h"
#include "modules/jobs/jobs_work_internal.h"
#include "observe/clock.h"
#include "observe/log.h"

#define WRITE_EVERY (100 * MILLISECOND)

enum {
	WRITE_MAX = 500,          /* starts of one transaction */
	PENDING_MAX = 256 * 1024, /* bytes of lines of a start that are not written yet */
};

/* --- rows ------------------------------------------------------------------------------------ */

static const char *const level_names[] = { "trace", "debug", "info", "warn", "error", "fatal",
	NULL };

/* clang-format off */
static const struct schema job_progress_schema = SCHEMA(job_progress, "How far a job is.",
	FIELD(job_progress, id, "The job.", .format = FORMAT_UUID),
	FIELD(job_progress, lease_id, "Who has it.", .format = FORMAT_UUID),
	FIELD(job_progress, attempt, "Which start."),
	FIELD(job_progress, percent, "Of 100."),
	FIELD(job_progress, note, "In words.", RANGE(0, JOB_NOTE_MAX), .flags = ANY_TEXT));
static const struct schema job_line_schema = SCHEMA(job_line, "A line of a job's log.",
	FIELD(job_line, id, "The line.", .format = FORMAT_UUID),
	FIELD(job_line, job_id, "The job.", .format = FORMAT_UUID),
	FIELD(job_line, lease_id, "Who has it.", .format = FORMAT_UUID),
	FIELD(job_line, attempt, "Which start."),
	FIELD(job_line, level, "How important.", .choices = level_names),
	FIELD(job_line, line, "The text.", RANGE(0, JOB_LINE_MAX), .flags = ANY_TEXT),
	FIELD(job_line, at, "When.", .format = FORMAT_DATE_TIME));
/* clang-format on */

static const struct statement job_note_progress = STATEMENT("job_note_progress",
	.sql = "UPDATE main.job AS j SET progress = :percent, progress_note = :note "
	       "WHERE j.tenant_id = :tenant AND j.id = :id AND j.lease_id = :lease_id "
	       "AND j.attempt = :attempt",
	.in = &job_progress_schema);

/* The count of lines is bounded, and it is the job's own index that is counted. */
#define NOTE_LINE                                                                                  \
	"INSERT INTO main.job_line (tenant_id, job_id, id, level, line, at) "                      \
	"SELECT :tenant, j.id, :id, :level, :line, :at FROM job AS j "                             \
	"WHERE j.tenant_id = :tenant AND j.id = :job_id AND j.lease_id = :lease_id "               \
	"AND j.attempt = :attempt AND (SELECT count(*) FROM job_line AS l "                        \
	"WHERE l.tenant_id = :tenant AND l.job_id = :job_id) < 1000"

/* The row stays until the line is there: who throws both away finds both. */
static const struct statement job_note_line = STATEMENT("job_note_line", .sqlite = NOTE_LINE,
	.postgres = NOTE_LINE " FOR KEY SHARE OF j", .in = &job_line_schema);

const struct job_statements job_note_statements =
	JOB_STATEMENTS(&job_note_progress, &job_note_line);

const struct tx_options jobs_noting = {
	.name = "jobs_note", .durability = TX_SOFT, .isolation = TX_READ_COMMITTED
};

int job_progress_in_tx(struct tx *tx, const struct job_progress *progress)
{
	return tx_exec(tx, &job_note_progress, progress);
}

int job_line_in_tx(struct tx *tx, const struct job_line *line)
{
	return tx_exec(tx, &job_note_line, line);
}

/* --- remembering -------------------------------------------------------------------------------
 */

static void said_init(struct said *said)
{
	*said = (struct said){ .last = &said->first };
	buf_init(&said->note, 4 * (size_t)JOB_NOTE_MAX);
}

static void said_reset(struct said *said)
{
	while (said->first) {
		struct pending_line *line = said->first;

		said->first = line->next;
		mem_free(line, sizeof(*line) + line->len);
	}
	said->last = &said->first;
	said->has_progress = false;
	said->bytes = 0;
	buf_reset(&said->note);
}

void notes_init(struct notes *notes)
{
	*notes = (struct notes){ 0 };
	link_init(&notes->link);
	said_init(&notes->now);
	said_init(&notes->out);
}

void notes_reset(struct notes *notes)
{
	CHECK(!notes->writing);
	link_remove(&notes->link);
	said_reset(&notes->now);
	notes->lines = 0;
}

void notes_done(struct notes *notes)
{
	notes_reset(notes);
	buf_done(&notes->now.note);
	buf_done(&notes->out.note);
}

bool notes_left(const struct notes *notes)
{
	return notes->now.has_progress || notes->now.first;
}

static void be_noted(struct start *start)
{
	struct work_thread *thread = start->crew->thread;

	if (!list_empty(&start->notes.link))
		return;
	list_push(&thread->noted, &start->notes.link);
	cond_signal(&thread->noted_cond);
}

int job_progress(struct job *job, int64_t percent, struct str note)
{
	struct start *start = start_of(job);
	struct said *said = &start->notes.now;

	if (percent < 0 || percent > 100)
		return fail(ERR_INVALID, "a job's progress is from 0 to 100");
	if (!utf8_valid(note) || str_find_byte(note, 0) >= 0 || utf8_length(note) > JOB_NOTE_MAX)
		return fail(ERR_INVALID, "a note of a job is text of at most %d characters",
			JOB_NOTE_MAX);
	buf_reset(&said->note);
	buf_append(&said->note, note);
	if (said->note.failed)
		return said->note.failed;
	said->percent = percent;
	said->has_progress = true;
	be_noted(start);
	return 0;
}

int job_log(struct job *job, enum log_level level, struct str line)
{
	struct start *start = start_of(job);
	struct notes *notes = &start->notes;
	struct pending_line *pending;

	if (level > LOG_FATAL || line.len > JOB_LINE_MAX || !utf8_valid(line) ||
		str_find_byte(line, 0) >= 0)
		return fail(
			ERR_INVALID, "a line of a job is text of at most %d bytes", JOB_LINE_MAX);
	if (notes->lines >= JOB_LINES_MAX || notes->now.bytes + line.len > PENDING_MAX)
		return fail(ERR_FULL, "a job has said too much");
	pending = mem_alloc(sizeof(*pending) + line.len);
	if (!pending)
		return -ERR_NO_MEMORY;

	*pending = (struct pending_line){ .at = clock_wall_us(), .level = level, .len = line.len };
	if (line.len)
		memcpy(pending->text, line.at, line.len);
	*notes->now.last = pending;
	notes->now.last = &pending->next;
	notes->now.bytes += line.len;
	notes->lines++;
	be_noted(start);
	return 0;
}

/* --- writing --------------------------------------------------------------------------- */

static int write_line(struct tx *tx, const struct start *start, const struct pending_line *line)
{
	struct job_line row = {
		.job_id = start->end.id,
		.lease_id = start->end.lease_id,
		.attempt = start->end.attempt,
		.level = line->level,
		.line = str_of(line->text, line->len),
		.at = line->at,
	};
	struct uuid id;

	uuid_v7(&id, line->at);
	row.id = uuid_text(tx_arena(tx), &id);
	return row.id.at ? job_line_in_tx(tx, &row) : -(int)err_last()->code;
}

static int write_said(struct tx *tx, const struct start *start, const struct said *said)
{
	const struct job_end *end = &start->end;
	int r = 0;

	if (said->has_progress) {
		struct job_progress row = { end->id, end->lease_id, end->attempt, said->percent,
			buf_str(&said->note) };

		r = job_progress_in_tx(tx, &row);
	}
	for (struct pending_line *line = said->first; line && r == 0; line = line->next)
		r = write_line(tx, start, line);
	return r;
}

int notes_write_in_tx(struct tx *tx, const struct start *start)
{
	return write_said(tx, start, &start->notes.now);
}

/* Starts whose notes are being written. */
struct writing {
	struct start *starts[WRITE_MAX];
	size_t count;
};

static int write_in_tx(struct tx *tx, void *arg)
{
	const struct writing *writing = arg;
	int r = 0;

	for (size_t i = 0; i < writing->count && r == 0; i++) {
		r = tx_enter(tx, &writing->starts[i]->job.tenant);
		if (r == 0)
			r = write_said(tx, writing->starts[i], &writing->starts[i]->notes.out);
		if (r == 0)
			r = tx_leave(tx);
	}
	return r;
}

/* The handler goes on while what it has said is written. */
static void take_over(struct notes *notes)
{
	struct said out = notes->now;

	notes->now = notes->out;
	notes->now.last = &notes->now.first;
	notes->out = out;
	notes->writing = true;
}

static void write_some(struct work_thread *thread, struct arena *arena)
{
	struct db db = db_of_system(thread->work->server->store, arena);
	struct writing writing = { .count = 0 };
	struct link *link;

	while (writing.count < WRITE_MAX && (link = list_pop(&thread->noted))) {
		struct start *start = CONTAINER_OF(link, struct start, notes.link);

		take_over(&start->notes);
		writing.starts[writing.count++] = start;
	}
	if (db_write_with(&db, &jobs_noting, write_in_tx, &writing) < 0)
		log_warn("what jobs said of themselves is lost", LOG_ERR,
			LOG_U64("jobs", writing.count));
	for (size_t i = 0; i < writing.count; i++) {
		said_reset(&writing.starts[i]->notes.out);
		writing.starts[i]->notes.writing = false;
	}
	arena_reset(arena);
	cond_broadcast(&thread->noted_cond);
}

int notes_keep(void *arg)
{
	struct work_thread *thread = arg;
	struct arena arena;
	int r = 0;

	arena_init(&arena, 16 * KILOBYTE, 64 * MEGABYTE);
	while (r != -ERR_CANCELLED) {
		if (list_empty(&thread->noted)) {
			r = cond_wait(&thread->noted_cond, TIME_NEVER);
			continue;
		}
		write_some(thread, &arena);
		r = fiber_sleep_until(clock_now_ns() + WRITE_EVERY);
	}
	arena_done(&arena);
	return 0;
}

void notes_settle(struct start *start)
{
	struct work_thread *thread = start->crew->thread;
	uint64_t former = shield_begin(TIME_NEVER);

	while (start->notes.writing)
		(void)cond_wait(&thread->noted_cond, TIME_NEVER);
	link_remove(&start->notes.link);
	shield_end(former);
}
