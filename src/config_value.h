/*
 * The types of settings: how text becomes a value, how a value becomes text, and the sentence that
 * says what is allowed. For the files of config only.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config.h"

#define CONFIG_REDACTED "********"

/* The memory of a loaded configuration, filled from the front, later read-only. */
struct config_region {
	char *at, *end; /* the free part */
	bool full;      /* something did not fit */
};

/* Zeroed memory, aligned for any type; NULL (and `full`) at the end. */
void *config_region_alloc(struct config_region *region, size_t size);

/* Where a value comes from. */
enum config_place { CONFIG_FROM_DEFAULT, CONFIG_FROM_ENVIRONMENT, CONFIG_FROM_DOTENV };

struct config_origin {
	enum config_place place;
	unsigned line;   /* in `.env` */
	struct str file; /* the path that NAME_FILE gives; empty: the value itself was given */
	bool empty;      /* the empty default: the member is zero */
};

/* "environment", ".env line 3", "NAME_FILE=/path, environment". */
void config_origin_write(
	const struct config_entry *entry, const struct config_origin *origin, struct buf *out);

/* What stands before the members in the region. */
struct config_loaded {
	size_t size; /* of the mapping */
	const struct config_table *table;
	const struct config_origin *origins; /* one for each entry */
	_Alignas(16) char values[];
};

/* A type. `member` points at the member in the struct. */
struct config_kind {
	size_t size; /* of the member; bytes */
	/* Stores the value. False, with nothing said and the member in any state, when the text is
	 * not one or is out of bounds (or when the region is full). */
	bool (*parse)(const struct config_entry *entry, struct str text,
		struct config_region *region, void *member);
	/* The canonical text, which parses to the same value; of URLs without the secret
	 * parts. */
	void (*write)(const struct config_entry *entry, const void *member, struct buf *out);
	/* What is allowed, to follow "must be". */
	void (*rule)(const struct config_entry *entry, struct buf *out);
	enum { CONFIG_JSON_TEXT, CONFIG_JSON_BARE, CONFIG_JSON_LIST } json; /* of `write`'s text */
};

extern const struct config_kind config_kinds[CONFIG_TYPES];

/* Appends the text as a JSON string. */
void config_json_text(struct str text, struct buf *out);

/* True when the value, which must not be empty, holds the asterisks that config_print puts in the
 * place of a secret. */
bool config_is_redacted(const struct config_entry *entry, const void *member);

#endif
