/*
 * Notes: a model of a module. Read it in this order: what goes in and out (notes_contract.c), what
 * a caller may do (notes_routes.c), what is right (notes_rules.c), what is stored (notes.sql,
 * notes_store.c), and that it works (notes_test.c).
 */
#ifndef NOTES_H
#define NOTES_H

#include "base/str.h"
#include "http/module.h"
#include "schema/schema.h"
#include "store/statement.h"

/* How many notes of a tenant can be pinned at a time. */
enum { NOTES_PINNED_MAX = 10 };

/* A row of main.note, and what a caller sees of it. */
struct note {
	struct str id;
	struct str title;
	struct str body;
	struct opt_str tag;
	bool pinned;
	int64_t version;                /* grows by one on each change; the ETag */
	int64_t created_at, updated_at; /* microseconds since 1970 */
};

struct note_new {
	struct str title;
	struct str body;
	struct opt_str tag;
	bool pinned;
};

/* What is not set stays as it is. */
struct note_patch {
	struct str id;
	struct opt_str title, body;
	struct opt_str tag; /* null: without one from now on */
	struct opt_bool pinned;
};

struct note_ref {
	struct str id;
};

struct note_query {
	int64_t limit;
	struct str cursor;
	struct str title; /* what it begins with */
	struct opt_str tag;
	struct opt_bool pinned;
	struct str after_id; /* where the page begins */
};

struct note_page {
	LIST_OF(struct note) items;
};

extern const struct schema note_schema, note_new_schema, note_patch_schema, note_ref_schema,
	note_query_schema, note_page_schema;

/* --- rules (notes_rules.c) ------------------------------------------------------------- */

/* Applies a change. False when it leaves everything as it was. */
bool note_merge(struct note *note, const struct note_patch *patch);

/* Whether one more can be pinned beside those that are. -ERR_CONFLICT. */
int note_check_pinned(int64_t pinned);

/* --- rows (notes_store.c) ---------------------------------------------------------------- */

/* The list, in the order of its pages; takes a struct note_query. */
extern const struct statement note_list;
extern const struct page_order notes_newest_first;

/* Each is one transaction: the row, its event and, for a repeated request, the answer. Errors as
 * the routes declare them. */
int note_store_create(struct req *req, const struct note_new *in, struct note *ret);
int note_store_get(struct req *req, const struct note_ref *ref, struct note *ret);
int note_store_change(struct req *req, const struct note_patch *patch, struct note *ret);
int note_store_delete(struct req *req, const struct note_ref *ref);

extern const char notes_sql[];

enum { NOTE_STATEMENTS = 6 };
extern const struct statement *const note_statements[NOTE_STATEMENTS];

extern const struct module notes_module;

#endif
