/*
 * JSON against jansson and json-c, as packaged: reading and writing documents made here. CPU time
 * of this process, the best of several rounds for each, all in one run.
 *
 * What is inside the clock. Reading, theirs: parse into a tree and free it, members that appear
 * twice refused (jansson; json-c cannot). Ours, "pull": all events, with UTF-8 and duplicate names
 * checked; strings stay where they are and numbers stay text. Ours, "keep": besides, every name and
 * string is copied into the arena and every number is converted and stored, which is as much of
 * what a tree holds as a decoder keeps. Writing, theirs: the tree, compact, as text. Ours: the same
 * document by calls of the writer, from events that were read before, numbers from binary.
 */
#include "base/err.h"
#include "json/reader.h"
#include "json/writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Both libraries and we use some of the same names: theirs are moved out of the way. */
#undef JSON_DEPTH_MAX
#define JSON_OBJECT      JANSSON_OBJECT
#define JSON_ARRAY       JANSSON_ARRAY
#define JSON_STRING      JANSSON_STRING
#define JSON_TRUE        JANSSON_TRUE
#define JSON_FALSE       JANSSON_FALSE
#define JSON_NULL        JANSSON_NULL
#define json_type        jansson_type
#define json_object      jansson_object
#define json_object_get  jansson_object_get
#define json_object_iter jansson_object_iter
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL
#undef json_type
#undef json_object
#undef json_object_get
#undef json_object_iter
#undef json_object_foreach

#include <json-c/json_c_version.h>
#include <json-c/json_object.h>
#include <json-c/json_tokener.h>
#include <json-c/linkhash.h>

enum {
	ROUNDS = 7,                      /* for each figure; the best one counts */
	BYTES_A_ROUND = 8 * 1024 * 1024, /* worked through in each */
	NESTING = 60,
};

/* One event of a document that was read before, for the writers. */
struct event {
	int kind;
	bool integer;
	struct str text;
	int64_t number;
	double real;
};

struct document {
	struct buf text;
	struct event *events;
	size_t count;
	json_t *jansson;
	struct json_object *json_c;
};

static struct arena arena;
static const struct json_limits limits = { 16 * MEGABYTE, 128, MEGABYTE, MEGABYTE };
static volatile size_t sink; /* so that no work is for nothing */

/* --- documents ----------------------------------------------------------------- */

static void write_user(struct json_writer *writer, uint64_t id)
{
	json_write_object(writer);
	json_write_key(writer, S("id"));
	json_write_string(writer, S("01890a5d-ac96-774b-bcce-b302099a8057"));
	json_write_key(writer, S("number"));
	json_write_u64(writer, id * 7919);
	json_write_key(writer, S("email"));
	json_write_string(writer, S("grace.hopper@example.com"));
	json_write_key(writer, S("name"));
	json_write_string(writer, S("Grace Hopper"));
	json_write_key(writer, S("active"));
	json_write_bool(writer, id % 2);
	json_write_key(writer, S("score"));
	json_write_double(writer, (double)(id * 37 % 1000) / 8);
	json_write_key(writer, S("manager"));
	json_write_null(writer);
	json_write_key(writer, S("roles"));
	json_write_array(writer);
	json_write_string(writer, S("admin"));
	json_write_string(writer, S("billing"));
	json_write_array_end(writer);
	json_write_key(writer, S("address"));
	json_write_object(writer);
	json_write_key(writer, S("city"));
	json_write_string(writer, S("Arlington"));
	json_write_key(writer, S("zip"));
	json_write_string(writer, S("22201"));
	json_write_object_end(writer);
	json_write_key(writer, S("createdAt"));
	json_write_string(writer, S("2026-11-20T08:15:30.123Z"));
	json_write_object_end(writer);
}

static void make_small(struct json_writer *writer)
{
	write_user(writer, 1);
}

static void make_list(struct json_writer *writer)
{
	json_write_array(writer);
	for (uint64_t i = 0; i < 100; i++)
		write_user(writer, i);
	json_write_array_end(writer);
}

static void make_nested(struct json_writer *writer)
{
	json_write_array(writer);
	for (int i = 0; i < 20; i++) {
		for (int depth = 0; depth < NESTING / 2; depth++) {
			json_write_object(writer);
			json_write_key(writer, S("child"));
			json_write_array(writer);
		}
		for (int depth = 0; depth < NESTING / 2; depth++) {
			json_write_array_end(writer);
			json_write_object_end(writer);
		}
	}
	json_write_array_end(writer);
}

static void make_text(struct json_writer *writer)
{
	json_write_array(writer);
	for (int i = 0; i < 50; i++) {
		json_write_string(writer,
			S("He said: \"It works.\"\n\tThen he closed the window, took the long way "
			  "home\\office and wrote nothing down for a week.\r\n"));
		json_write_string(writer, S("Die gr\xC3\xB6\xC3\x9Ften \xC3\x84pfel kosten 3 "
					    "\xE2\x82\xAC, sagte sie \xE2\x80\x93 und ging. "
					    "\xF0\x9F\x98\x80"));
		json_write_string(writer, S("A paragraph without anything to escape, as most of "
					    "them are, which only has to be found clean and "
					    "handed on as it stands, sentence by sentence."));
	}
	json_write_array_end(writer);
}

static void make_numbers(struct json_writer *writer)
{
	uint64_t random = 88172645463325252u;

	json_write_array(writer);
	for (int i = 0; i < 500; i++) {
		random = random * 6364136223846793005u + 1442695040888963407u;
		json_write_u64(writer, random >> 44);
		json_write_i64(writer, -(int64_t)(random >> 20));
		json_write_double(writer, (double)(random >> 40) / 100);    /* money */
		json_write_double(writer, (double)(random >> 36) / 1e6);    /* places on earth */
		json_write_double(writer, (double)(random >> 11) / 0x1p53); /* all 17 digits */
	}
	json_write_array_end(writer);
}

/* An object of 10,000 members: the duplicate check at work. */
static void make_wide(struct json_writer *writer)
{
	char name[24];

	json_write_object(writer);
	for (int i = 0; i < 10000; i++) {
		int len = snprintf(name, sizeof(name), "member-%d", i);

		json_write_key(writer, str_of(name, (size_t)len));
		json_write_u64(writer, (uint64_t)i);
	}
	json_write_object_end(writer);
}

/* --- reading ------------------------------------------------------------------- */

static void pull(struct document *document)
{
	struct json_reader reader;
	int event;

	json_reader_init(&reader, buf_str(&document->text), &arena, &limits);
	while ((event = json_next(&reader)) > 0)
		sink += reader.text.len;
	CHECK(event == JSON_END);
	arena_reset(&arena);
}

static void keep_number(struct json_reader *reader)
{
	int64_t *integer = arena_alloc(&arena, sizeof(*integer));
	double *real = (double *)integer;

	CHECK(integer);
	if (reader->integer)
		CHECK(json_number_i64(reader->text, integer) == 0);
	else
		CHECK(json_number_double(reader->text, real) == 0);
}

static void keep(struct document *document)
{
	struct json_reader reader;
	int event;

	json_reader_init(&reader, buf_str(&document->text), &arena, &limits);
	while ((event = json_next(&reader)) > 0) {
		if (event == JSON_KEY || event == JSON_STRING)
			CHECK(arena_str(&arena, reader.text).at);
		else if (event == JSON_NUMBER)
			keep_number(&reader);
	}
	CHECK(event == JSON_END);
	arena_reset(&arena);
}

static json_t *parse_jansson(struct document *document)
{
	return json_loadb(document->text.at, document->text.len,
		JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
}

static struct json_object *parse_json_c(struct document *document)
{
	struct json_tokener *tokener = json_tokener_new_ex(128);
	struct json_object *tree;

	CHECK(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	tree = json_tokener_parse_ex(tokener, document->text.at, (int)document->text.len);
	json_tokener_free(tokener);
	return tree;
}

static void read_jansson(struct document *document)
{
	json_t *tree = parse_jansson(document);

	CHECK(tree);
	json_decref(tree);
}

static void read_json_c(struct document *document)
{
	struct json_object *tree = parse_json_c(document);

	CHECK(tree);
	json_object_put(tree);
}

/* --- writing ------------------------------------------------------------------- */

static void write_event(struct json_writer *writer, const struct event *event)
{
	switch ((enum json_event)event->kind) {
	case JSON_OBJECT: json_write_object(writer); break;
	case JSON_OBJECT_END: json_write_object_end(writer); break;
	case JSON_ARRAY: json_write_array(writer); break;
	case JSON_ARRAY_END: json_write_array_end(writer); break;
	case JSON_KEY: json_write_key(writer, event->text); break;
	case JSON_STRING: json_write_string(writer, event->text); break;
	case JSON_TRUE: json_write_bool(writer, true); break;
	case JSON_FALSE: json_write_bool(writer, false); break;
	case JSON_NUMBER:
		if (event->integer)
			json_write_i64(writer, event->number);
		else
			json_write_double(writer, event->real);
		break;
	default: json_write_null(writer); break;
	}
}

static void write_ours(struct document *document)
{
	static struct buf buf = { .limit = 16 * MEGABYTE };
	struct json_writer writer;

	buf_reset(&buf);
	json_writer_init(&writer, &buf);
	for (size_t i = 0; i < document->count; i++)
		write_event(&writer, &document->events[i]);
	CHECK(json_writer_done(&writer) == 0 && buf.len == document->text.len);
}

static void write_jansson(struct document *document)
{
	char *text = json_dumps(document->jansson, JSON_COMPACT | JSON_ENCODE_ANY);

	CHECK(text);
	free(text);
}

static void write_json_c(struct document *document)
{
	size_t len;

	CHECK(json_object_to_json_string_length(
		document->json_c, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len));
	sink += len;
}

/* --- the run ------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

/* One of the things that are compared, and its best round: MB (10^6 bytes of the document) a
 * second. */
struct contender {
	void (*work)(struct document *);
	double best;
};

static double measure(void (*work)(struct document *), struct document *document)
{
	size_t times = BYTES_A_ROUND / document->text.len + 1;
	uint64_t start = cpu_ns();

	for (size_t i = 0; i < times; i++)
		work(document);
	return (double)(times * document->text.len) * 1e3 / (double)(cpu_ns() - start);
}

/* The rounds of all take turns, so that a disturbance hits no one alone. */
static void compete(struct contender *contenders, size_t count, struct document *document)
{
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < count; i++)
			contenders[i].best =
				fmax(contenders[i].best, measure(contenders[i].work, document));
}

/* json-c repeats the text of a double that it has parsed; setting it anew makes it format it. */
static void forget_texts(struct json_object *tree)
{
	if (json_object_is_type(tree, json_type_double))
		json_object_set_double(tree, json_object_get_double(tree));
	if (json_object_is_type(tree, json_type_object)) {
		json_object_object_foreach(tree, name, member)
		{
			(void)name;
			forget_texts(member);
		}
	}
	if (json_object_is_type(tree, json_type_array))
		for (size_t i = 0; i < json_object_array_length(tree); i++)
			forget_texts(json_object_array_get_idx(tree, i));
}

/* Reads the document for the writers. What is kept lives as long as the program. */
static void load(struct document *document)
{
	static struct arena kept;
	struct json_reader reader;
	int kind;

	if (!kept.limit)
		arena_init(&kept, MEGABYTE, 64 * MEGABYTE);
	document->events = calloc(document->text.len, sizeof(struct event));
	CHECK(document->events);
	json_reader_init(&reader, buf_str(&document->text), &kept, &limits);
	while ((kind = json_next(&reader)) > 0) {
		struct event *event = &document->events[document->count++];

		*event = (struct event){ kind, reader.integer, reader.text };
		if (kind == JSON_NUMBER && reader.integer)
			CHECK(json_number_i64(reader.text, &event->number) == 0);
		else if (kind == JSON_NUMBER)
			CHECK(json_number_double(reader.text, &event->real) == 0);
	}
	CHECK(kind == JSON_END);

	document->jansson = parse_jansson(document);
	document->json_c = parse_json_c(document);
	CHECK(document->jansson && document->json_c);
	forget_texts(document->json_c);
}

static void unload(struct document *document)
{
	json_decref(document->jansson);
	json_object_put(document->json_c);
	free(document->events);
	buf_done(&document->text);
}

static void show(
	const char *what, struct contender ours, struct contender jansson, struct contender json_c)
{
	printf("  %-6s %8.0f %8.0f %8.0f %8.1fx %8.1fx\n", what, ours.best, jansson.best,
		json_c.best, ours.best / jansson.best, ours.best / json_c.best);
}

static void run(const char *name, void (*make)(struct json_writer *))
{
	struct contender all[] = { { pull }, { keep }, { read_jansson }, { read_json_c },
		{ write_ours }, { write_jansson }, { write_json_c } };
	struct document document = { 0 };
	struct json_writer writer;

	buf_init(&document.text, 16 * MEGABYTE);
	json_writer_init(&writer, &document.text);
	make(&writer);
	CHECK(json_writer_done(&writer) == 0);
	load(&document);
	compete(all, LEN(all), &document);

	printf("%s, %zu bytes\n", name, document.text.len);
	show("pull", all[0], all[2], all[3]);
	show("keep", all[1], all[2], all[3]);
	show("write", all[4], all[5], all[6]);
	unload(&document);
}

int main(void)
{
	arena_init(&arena, MEGABYTE, 64 * MEGABYTE);
	printf("JSON, MB/s of CPU time, best of %d rounds; jansson %s, json-c %s\n", ROUNDS,
		jansson_version_str(), json_c_version());
	printf("pull: every event, UTF-8 and duplicate names checked, nothing copied\n"
	       "keep: the same, each name and string copied and each number converted and stored\n"
	       "theirs: a tree is built and freed (jansson checks duplicates, json-c cannot)\n"
	       "write: from events and from trees, doubles formatted anew by all (theirs with "
	       "%%.17g)"
	       "\n\n");
	printf("%-8s %8s %8s %8s %9s %9s\n", "", "ours", "jansson", "json-c", "/jansson",
		"/json-c");
	run("api body", make_small);
	run("list of 100", make_list);
	run("nested", make_nested);
	run("text", make_text);
	run("numbers", make_numbers);
	run("wide object", make_wide);
	arena_done(&arena);
	return 0;
}
