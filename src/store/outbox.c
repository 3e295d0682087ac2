/* Events of a transaction: rows of its own, which a relay publishes after the commit. */
#include "store/outbox.h"

#include "store/store_internal.h"

#include "observe/clock.h"
#include "schema/encode.h"

/* A row as it is inserted; the rest the database adds. */
struct outbox_row {
	struct str id;
	struct str type, subject, trace;
	struct json_value data;
};

static const struct schema outbox_row_schema = SCHEMA(outbox_row, "An event to be published.",
	FIELD(outbox_row, id, "Which.", .format = FORMAT_UUID),
	FIELD(outbox_row, type, "What happened.", RANGE(1, EVENT_TYPE_MAX)),
	FIELD(outbox_row, subject, "To what."), FIELD(outbox_row, trace, "On whose behalf."),
	FIELD(outbox_row, data, "As the caller would see it.", RANGE(0, EVENT_DATA_MAX)));

#define INSERT                                                                                     \
	"INSERT INTO main.outbox (tenant_id, id, type, subject, data, trace, created_us) "         \
	"VALUES (:tenant, :id, :type, :subject, :data, :trace, :now)"

static const struct statement outbox_insert =
	STATEMENT("outbox_insert", .sql = INSERT, .in = &outbox_row_schema);
static const struct statement outbox_insert_system = STATEMENT(
	"outbox_insert_system", .sql = INSERT, .in = &outbox_row_schema, .flags = STATEMENT_SYSTEM);

enum { SWEEP_BATCH = 500 };

struct outbox_age {
	int64_t before_us;
};

static const struct schema outbox_age_schema = SCHEMA(outbox_age, "Events that are old.",
	FIELD(outbox_age, before_us, "Made before.", RANGE(0, INT64_MAX)));

/* Looks at the first rows only, which are the oldest, so that no index by age is needed. */
#define DELETE_OLD(order)                                                                          \
	"DELETE FROM main.outbox AS o WHERE (o.tenant_id, o.position) IN ("                        \
	"SELECT x.tenant_id, x.position FROM ("                                                    \
	"SELECT y.tenant_id, y.position, y.created_us FROM main.outbox AS y "                      \
	"ORDER BY " order " LIMIT 500) AS x WHERE x.created_us < :before_us)"

static const struct statement outbox_delete = STATEMENT("outbox_delete",
	.sqlite = DELETE_OLD("y.position"), .postgres = DELETE_OLD("y.xact, y.position"),
	.in = &outbox_age_schema, .flags = STATEMENT_SYSTEM);

const struct statement *const outbox_statements[] = { &outbox_insert, &outbox_insert_system,
	&outbox_delete };
const size_t outbox_statement_count = LEN(outbox_statements);

/* Lower case words with dots between: "note.created", "job.retry_planned". */
static bool type_is_sound(struct str type)
{
	bool in_word = false;

	if (type.len > EVENT_TYPE_MAX)
		return false;
	for (size_t i = 0; i < type.len; i++) {
		char c = type.at[i];
		bool word = (c >= 'a' && c <= 'z') ||
			    (in_word && ((c >= '0' && c <= '9') || c == '_' || c == '-'));

		if (!word && !(in_word && c == '.'))
			return false;
		in_word = word;
	}
	return in_word;
}

static int encode(const struct event *event, struct buf *out)
{
	struct json_writer json;

	json_writer_init(&json, out);
	schema_encode(event->schema, SCHEMA_OUTPUT, event->data, &json);
	return json_writer_done(&json);
}

int tx_emit(struct tx *tx, const struct event *event)
{
	bool system = tx->system && !tx->entered;
	struct outbox_row row = {
		.type = event->type, .subject = event->subject, .trace = tx->trace
	};
	char id_text[UUID_TEXT_LEN];
	struct uuid id;
	struct buf data;
	int r = 0;

	CHECK(type_is_sound(event->type));
	uuid_v7(&id, clock_wall_us());
	uuid_write(id_text, &id);
	row.id = str_of(id_text, sizeof(id_text));

	buf_init(&data, EVENT_DATA_MAX);
	if (event->data)
		r = encode(event, &data);
	row.data.json = buf_str(&data);
	if (r == 0)
		r = tx_exec(tx, system ? &outbox_insert_system : &outbox_insert, &row);
	buf_done(&data);
	return r;
}

/* --- old events ------------------------------------------------------------------ */

struct sweep {
	struct outbox_age age;
	size_t deleted;
};

static int sweep_in_tx(struct tx *tx, void *arg)
{
	struct sweep *sweep = arg;

	return tx_change(tx, &outbox_delete, &sweep->age, &sweep->deleted);
}

int outbox_sweep(struct store *store)
{
	struct sweep sweep = { .age.before_us =
				       clock_wall_us() - (int64_t)(OUTBOX_KEEP / MICROSECOND) };
	struct arena arena;
	struct db db = db_of_system(store, &arena);
	size_t total = 0;
	int r;

	arena_init(&arena, 4 * KILOBYTE, MEGABYTE);
	do {
		r = db_write(&db, sweep_in_tx, &sweep);
		total += sweep.deleted;
		arena_reset(&arena);
	} while (r == 0 && sweep.deleted == SWEEP_BATCH && total < OUTBOX_SWEEP);
	arena_done(&arena);
	return r;
}
